"""What an operator can do with the edge; commands.py prints what comes back, routes of the portal will do the same.

Whatever changes something holds the lock of the state directory. Nothing here prints; `say` tells of progress.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from kit.clock import Clock
from portal.edge import desired as desired_state
from portal.edge import live as live_state
from portal.edge import plan as planning
from portal.edge import recipients
from portal.edge.account_acts import AccountActs, bucket_keys
from portal.edge.apply import Applier
from portal.edge.desired import RECIPIENTS_KEY, Desired, NotReady
from portal.edge.dns import Extra
from portal.edge.live import Live, LiveZone, Unknown
from portal.edge.ownership import (
    RECIPIENTS_KEY_NAME,
    Kind,
    Ownership,
    OwnershipError,
    forget_recipients_key,
    recipients_key,
)
from portal.edge.permissions import Needed, as_needed, needed_for
from portal.edge.removal import MAIL_PREFIXES, OWN_PREFIXES, plan_removal, plan_zone_removal
from portal.edge.steps import Plan
from portal.edge.worker_client import WorkerClient
from portal.edge.zone_acts import RULE_PAUSE_S, ZoneActs
from portal.integrations.cloudflare import Cloudflare, MissingPermission, NotFound
from portal.settings import EdgeSettings

Json = dict[str, Any]
NO_KEY = b""  # before the first deploy


class Unreadable(Exception):
    """Cloudflare did not show all that a plan stands on. One line; every missing permission is named."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan and what it stands on."""

    plan: Plan
    desired: Desired | None
    live: Live
    owned: Ownership


@dataclass(frozen=True, slots=True)
class Synced:
    """One domain's list as it was pushed. `before`: how many addresses there were, None without a list."""

    domain: str
    addresses: int
    is_catch_all: bool
    generation: int
    is_changed: bool
    before: int | None


class EdgeService:
    """pause_s   between the tries of a rule whose Worker Cloudflare does not know yet"""

    def __init__(
        self,
        settings: EdgeSettings,
        cf: Cloudflare,
        *,
        clock: Clock,
        say: Callable[[str], None],
        pause_s: float = RULE_PAUSE_S,
    ) -> None:
        self._settings, self._cf, self._clock, self._say, self._pause_s = settings, cf, clock, say, pause_s

    # -- plan and deploy --------------------------------------------------------------------------------------------

    @property
    def zones(self) -> tuple[str, ...]:
        """The domains whose mail comes in through the edge: the settings' own, and those that were added. Raise
        OwnershipError."""
        return tuple(dict.fromkeys((*self._settings.edge_zones, *Ownership.load(self._settings.state_dir).zones)))

    async def look(self, *, zones: tuple[str, ...] | None = None) -> Live:
        """Look at all zones, or some. Raise TokenRefused, OwnershipError; what else cannot be read is Unknown in it."""
        settings = self._settings
        self._say("reading what is at Cloudflare")
        return await live_state.read(
            self._cf,
            script=settings.edge_name,
            bucket=settings.edge_bucket,
            namespace=settings.edge_namespace,
            zones=self.zones if zones is None else zones,
        )

    def permissions(self, live: Live) -> list[Needed]:
        return needed_for(self._settings.cloudflare_account, tuple(live.zones), live)

    def plan(
        self,
        live: Live,
        *,
        may_adopt: bool,
        may_replace_mail: bool,
        owned: Ownership | None = None,
        extra: Mapping[str, Extra] | None = None,
    ) -> Planned:
        """Plan for the zones that `live` shows, which count as added where neither settings nor edge.json name them.

        owned    of an earlier plan, to go on from it: before the first deploy its installation id is in no file
        extra    what else the records of a zone shall be
        raises   Unreadable, NotReady, OwnershipError
        """
        _refuse_unknown(live)
        owned = owned or Ownership.load(self._settings.state_dir)
        added = (*owned.zones, *live.zones)
        wish = desired_state.build(self._settings, self._recipients_key(owned, make=False), added_zones=added)
        plan = planning.plan(
            wish,
            live,
            owned,
            changed_secrets=owned.changed_secrets(wish.secrets),
            may_adopt=may_adopt,
            may_replace_mail=may_replace_mail,
            extra=extra,
        )
        return Planned(plan, wish, live, owned)

    async def deploy(self, planned: Planned) -> None:
        """Do what was planned. Raise CloudflareError, OwnershipError."""
        key = self._recipients_key(planned.owned, make=True)
        added = (*planned.owned.zones, *planned.live.zones)
        wish = desired_state.build(self._settings, key, added_zones=added)
        for secret in wish.secrets.values():  # a key may have been made, or another put in its place, since the start
            self._cf.conceal(secret)
        await self._applier(planned, wish).run(planned.plan.steps)

    def _applier(self, planned: Planned, wish: Desired | None) -> Applier:
        zones = {name: zone.zone for name, zone in planned.live.zones.items() if isinstance(zone, LiveZone)}
        worker = next((thing.name for thing in planned.owned if thing.kind is Kind.WORKER), "")
        shared = (self._cf, planned.owned, self._clock, self._say)
        script = wish.script if wish else worker
        return Applier(AccountActs(*shared, wish), ZoneActs(*shared, zones, script, self._pause_s))

    def _recipients_key(self, owned: Ownership, *, make: bool) -> bytes:
        key = recipients_key(self._settings.state_dir, make=False)
        if key is None and owned.has_uploaded(RECIPIENTS_KEY):
            raise OwnershipError(
                f"{self._settings.state_dir / RECIPIENTS_KEY_NAME} is gone, and with another key the Worker would take "
                "every address for unknown: restore it from a backup, or else `homeport edge destroy` and deploy anew"
            )
        return key or (recipients_key(self._settings.state_dir, make=True) if make else None) or NO_KEY

    # -- recipients -------------------------------------------------------------------------------------------------

    def parse_recipients(self, text: str) -> dict[str, recipients.DomainList]:
        """Raise RecipientsError."""
        return recipients.parse(text, self.zones, self._settings.edge_recipient_delimiter)

    async def sync(
        self, lists: dict[str, recipients.DomainList], *, may_shrink: bool, zones: tuple[str, ...] | None = None
    ) -> list[Synced]:
        """Push one list per domain; of `zones`, those that `lists` lacks count as empty. Nothing is pushed if one is
        refused.

        A zone that has no list and gets no address is left without one: then nothing is refused by list there.

        zones    by default the settings' own: the portal pushes the lists of the added ones, from the mailboxes
        raises   RecipientsError for a list that would shrink; NotReady, OwnershipError, CloudflareError
        """
        zones = self._settings.edge_zones if zones is None else zones
        owned = Ownership.load(self._settings.state_dir)
        key = recipients_key(self._settings.state_dir, make=False)
        title = self._settings.edge_namespace
        namespace = await live_state.namespace_titled(self._cf, title)
        if key is None or namespace is None or owned.find(Kind.NAMESPACE, None, title) is None:
            raise NotReady("the edge is not deployed yet: `homeport edge deploy` first")
        judged = tuple(dict.fromkeys((*zones, *lists)))
        before = {domain: await self.pushed(namespace["id"], domain) for domain in judged}
        after = {
            domain: lists.get(domain) or recipients.DomainList(domain, frozenset())
            for domain, old in before.items()
            if domain in lists or old is not None
        }
        refused = [text for domain, new in after.items() if (text := recipients.shrinks(before[domain], new, key))]
        if refused and not may_shrink:
            raise recipients.RecipientsError([f"{text}; --allow-shrink if that is meant" for text in refused])
        return [
            await self._push(owned, namespace["id"], new, before[domain], key) for domain, new in sorted(after.items())
        ]

    async def _push(
        self,
        owned: Ownership,
        namespace_id: str,
        new: recipients.DomainList,
        old: recipients.Pushed | None,
        key: bytes,
    ) -> Synced:
        document, is_changed = recipients.value_of(
            new,
            old,
            key=key,
            now=int(self._clock.now()),
            last_generation=owned.generation(new.domain),
            delimiter=self._settings.edge_recipient_delimiter,
        )
        owned.remember_generation(new.domain, document["generation"])
        value = recipients.encoded(document)

        async def settled() -> bool | None:
            return True if await self._value(namespace_id, new.domain) == value else None

        await self._cf.change(
            "kv.namespaces.values.update",
            recipients.key_of(new.domain),
            namespace_id=namespace_id,
            value=value,
            settled=settled,
        )
        before = len(old.hashes) if old else None
        return Synced(new.domain, len(document["hashes"]), new.is_catch_all, document["generation"], is_changed, before)

    async def standing(self, wish: recipients.DomainList) -> tuple[int | None, bool]:
        """How many addresses a domain's list at the edge has (None: no list), and whether they are those of `wish`.

        Raise OwnershipError, CloudflareError.
        """
        key = recipients_key(self._settings.state_dir, make=False)
        namespace = await live_state.namespace_titled(self._cf, self._settings.edge_namespace)
        old = await self.pushed(namespace["id"], wish.domain) if namespace is not None else None
        if old is None or key is None:
            return (len(old.hashes) if old else None), False
        delimiter = self._settings.edge_recipient_delimiter
        _, is_changed = recipients.value_of(wish, old, key=key, now=0, last_generation=0, delimiter=delimiter)
        return len(old.hashes), not is_changed

    async def drop_list(self, domain: str) -> None:
        """Take a domain's list away from the edge: then nobody is refused by it. Raise CloudflareError."""
        namespace = await live_state.namespace_titled(self._cf, self._settings.edge_namespace)
        if namespace is None:
            return

        async def settled() -> bool | None:
            return True if await self._value(namespace["id"], domain) is None else None

        with contextlib.suppress(NotFound):
            await self._cf.change(
                "kv.namespaces.values.delete",
                recipients.key_of(domain),
                namespace_id=namespace["id"],
                settled=settled,
            )

    async def pushed(self, namespace_id: str, domain: str) -> recipients.Pushed | None:
        """The list of a domain as it lies at the edge; None when there is none, or none that can be read."""
        value = await self._value(namespace_id, domain)
        return recipients.Pushed.read(value) if value is not None else None

    async def _value(self, namespace_id: str, domain: str) -> bytes | None:
        key = recipients.key_of(domain)
        try:
            return await self._cf.read_bytes("kv.namespaces.values.get", key, namespace_id=namespace_id)
        except NotFound:
            return None

    # -- the Worker's routes ----------------------------------------------------------------------------------------

    async def worker(self) -> WorkerClient:
        """The Worker at the settings' address, or under workers.dev. Raise NotReady, CloudflareError."""
        url = self._settings.edge_worker_url
        if url is None:
            subdomain = await live_state.account_subdomain(self._cf)
            if subdomain is None:
                raise NotReady("the account has no workers.dev subdomain: the edge is not deployed yet")
            url = f"https://{self._settings.edge_name}.{subdomain}.workers.dev"
        return WorkerClient(url, desired_state.signing_key(self._settings), clock=self._clock)

    # -- destroy ----------------------------------------------------------------------------------------------------

    async def plan_destroy(self) -> Planned | None:
        """Return None when nothing is recorded. Raise Unreadable, OwnershipError, CloudflareError."""
        owned = Ownership.load(self._settings.state_dir)
        things = list(owned)
        if not things:
            return None
        names = {thing.kind: thing.name for thing in things if thing.zone is None}
        self._say("reading what is at Cloudflare")
        live = await live_state.read(
            self._cf,
            script=names.get(Kind.WORKER, self._settings.edge_name),
            bucket=names.get(Kind.BUCKET, self._settings.edge_bucket),
            namespace=names.get(Kind.NAMESPACE, self._settings.edge_namespace),
            zones=tuple(sorted({thing.zone for thing in things if thing.zone is not None})),
        )
        try:
            _refuse_unknown(live)
        except Unreadable as error:
            gone = [name for name, zone in live.zones.items() if isinstance(zone, Unknown) and _is_gone(zone)]
            ways = [f"`homeport domain remove {name}` forgets a zone that was deleted at Cloudflare" for name in gone]
            raise Unreadable("; ".join([str(error), *ways])) from error
        objects = None
        if isinstance(live.bucket, dict) and Kind.BUCKET in names:
            objects = _by_prefix(await bucket_keys(self._cf, names[Kind.BUCKET]))
        return Planned(plan_removal(live, owned, objects=objects), None, live, owned)

    async def destroy(self, planned: Planned) -> None:
        """Do what was planned; without a list at the edge, its key goes too. Raise CloudflareError, OwnershipError."""
        await self.remove(planned)
        for zone in planned.owned.zones:
            if not any(thing.zone == zone for thing in planned.owned):
                planned.owned.forget_zone(zone)
        if not any(thing.kind in (Kind.NAMESPACE, Kind.WORKER) for thing in planned.owned):
            planned.owned.remember_digests({})
            forget_recipients_key(self._settings.state_dir)

    async def plan_removal_of(self, zone: str) -> Planned:
        """What was made for one zone alone, taken back. Raise Unreadable, OwnershipError, CloudflareError."""
        owned = Ownership.load(self._settings.state_dir)
        live = await self.look(zones=(zone,))
        _refuse_unknown(live)
        return Planned(plan_zone_removal(live, owned, zone), None, live, owned)

    async def remove(self, planned: Planned) -> None:
        """Do the steps of a removal. Raise CloudflareError, OwnershipError."""
        await self._applier(planned, None).run(planned.plan.steps)
        planned.owned.forget(*planned.plan.forgotten)


def _is_gone(zone: Unknown) -> bool:
    return isinstance(zone.error, NotFound)


def _refuse_unknown(live: Live) -> None:
    unknowns = [unknown.error for unknown in live.unknowns()]
    if not unknowns:
        return
    missing = [as_needed(error) for error in unknowns if isinstance(error, MissingPermission)]
    others = [str(error) for error in unknowns if not isinstance(error, MissingPermission)]
    said = [f"the token lacks: {'; '.join(dict.fromkeys(missing))}"] if missing else []
    raise Unreadable("; ".join([*said, *dict.fromkeys(others)]))


def _by_prefix(keys: Collection[str]) -> dict[str, int]:
    """How many keys lie below each prefix that we know; the rest under ""."""
    counts = dict.fromkeys((*MAIL_PREFIXES, *OWN_PREFIXES, ""), 0)
    for key in keys:
        counts[next((prefix for prefix in (*MAIL_PREFIXES, *OWN_PREFIXES) if key.startswith(prefix)), "")] += 1
    return counts


def secrets_of(settings: EdgeSettings) -> list[str]:
    """What no message may quote, whoever says it, as far as it is there."""
    given = [settings.edge_alert_webhook, settings.edge_access_client_secret]
    found = [secret.get_secret_value() for secret in given if secret is not None]
    found += [settings.edge_access_client_id] if settings.edge_access_client_id else []
    # Each for itself, for one that is missing keeps none of the others from being known. What needs them says it.
    with contextlib.suppress(NotReady):
        found.append(desired_state.signing_key(settings).secret.hex())
    with contextlib.suppress(OwnershipError):
        key = recipients_key(settings.state_dir, make=False)
        found += [key.hex()] if key else []
    return found


def told(error: Exception) -> str:
    """What to tell of an error that a command ends with."""
    if isinstance(error, MissingPermission):
        return f"the token lacks: {as_needed(error)}"
    return str(error)
