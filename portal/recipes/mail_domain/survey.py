"""What is left to do for a domain to be a mail domain, or to be none any more. Looks, and changes nothing.

    survey = await surveyor.remove("example.org", row)
    survey.items       # what would change, in the order in which it is done
    survey.conflicts   # while there is one, nothing can be done

The same look serves the plan, the second look before it is applied, and the re-check after a crash: something that is
done leaves no item.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from portal.edge.dns import Extra
from portal.edge.live import Live, LiveZone
from portal.edge.ownership import Kind, Ownership
from portal.edge.recipients import DomainList, normal_form
from portal.edge.service import EdgeService, Planned
from portal.edge.steps import Act, Conflict, Step
from portal.integrations.cloudflare import Cloudflare
from portal.integrations.records import Json
from portal.mailboxes.addresses import Address
from portal.mailboxes.database import MailDatabase, SchemaError
from portal.recipes.mail_domain.accounts import CANARY, Accounts, accounts
from portal.recipes.mail_domain.records import extra_of
from portal.recipes.models import MailDomainRow
from portal.settings import PortalSettings

REMOVE = "remove "  # before the names of what a removal changes
ZONE, WORKER, RULE, RECORDS, ROUTING = "zone", "worker", "rule", "records", "routing"
MAIL_DOMAIN, RECIPIENTS, CANARY_STEP = "mail-domain", "recipients", "canary"
ADD_STEPS = (ZONE, MAIL_DOMAIN, WORKER, RULE, RECORDS, ROUTING, RECIPIENTS, CANARY_STEP)
REMOVE_STEPS = (RULE, ROUTING, RECORDS, RECIPIENTS, MAIL_DOMAIN)

_STEP_OF = {
    Kind.RULE: RULE,
    Kind.CATCH_ALL: RULE,
    Kind.RECORD: RECORDS,
    Kind.FORMER_RECORD: RECORDS,
    Kind.MERGED_RECORD: RECORDS,
    Kind.ROUTING: ROUTING,
}
_NAME_OF = {Kind.CATCH_ALL: "rule", Kind.MERGED_RECORD: "record", Kind.FORMER_RECORD: "former record"}


@dataclass(frozen=True, slots=True)
class Item:
    """One change. name: unique in its survey. before, after: as an operator should see them; None: nothing is there."""

    name: str
    step: str
    act: str
    before: Any
    after: Any
    reason: str

    @property
    def present(self) -> Json:
        """What is to be changed, as a plan compares it."""
        document: Json = json.loads(
            json.dumps({"act": self.act, "before": self.before, "after": self.after}, default=str)
        )
        return document

    def document(self) -> Json:
        return {each: getattr(self, each) for each in ("name", "step", "act", "before", "after", "reason")}


@dataclass(frozen=True, slots=True)
class Survey:
    """
    items   in the order in which they are done; the canary is not among them
    edge    what is planned at Cloudflare; None when a conflict keeps it from being looked at
    zone    one line on the zone
    """

    items: tuple[Item, ...]
    conflicts: tuple[Conflict, ...] = ()
    notes: tuple[str, ...] = ()
    edge: Planned | None = None
    zone: str = ""

    @property
    def replaces(self) -> bool:
        """Whether mail that goes elsewhere today is taken over."""
        steps = self.edge.plan.steps if self.edge is not None else ()
        return any(
            step.kind is Kind.FORMER_RECORD or (step.act is Act.REPLACE and (step.former or {}).get("enabled"))
            for step in steps
        )


class Surveyor:
    def __init__(
        self, cf: Cloudflare, mail: MailDatabase, settings: PortalSettings, edge: Callable[[], EdgeService]
    ) -> None:
        self._cf, self._mail, self._settings, self._edge = cf, mail, settings, edge

    async def add(
        self, domain: str, mailbox: str, *, adopt: bool, replace_mail: bool, has_password: bool, is_known: bool
    ) -> Survey:
        """Raise CloudflareError, NotReady, Unreadable, OwnershipError, SchemaError, DatabaseUnavailable.

        has_password   whether the password of the canary's mailbox is known
        is_known       whether the portal has noted that the domain was added
        """
        await self._check_mail_database()
        zone = await self._zone(domain)
        if zone is None or zone.get("status") != "active":
            return Survey((), (_no_zone(domain, zone),), zone=str(zone["status"]) if zone else "not there")
        known = await self.accounts(domain)
        items, conflicts, notes = self._mail_domain(domain, mailbox, known, has_password=has_password)
        zones = (*self._settings.edge_zones, *Ownership.load(self._settings.state_dir).zones)
        if not is_known or domain not in zones:
            items.append(Item("entry", MAIL_DOMAIN, "create", None, domain, "Homeport remembers the domain"))
        edge = self._edge()
        live = await edge.look(zones=(domain,))
        extra = self.wanted_records(live, domain)
        planned = await asyncio.to_thread(  # reads files, and compares secrets slowly on purpose
            lambda: edge.plan(live, may_adopt=adopt, may_replace_mail=replace_mail, extra={domain: extra})
        )
        items += [item_of(step) for step in planned.plan.steps]
        if domain in self._settings.edge_zones:
            notes.append(
                f"{domain} stands in {self._settings.variable('edge_zones')}: "
                "its list of recipients is pushed by `homeport edge sync`, as before"
            )
        else:
            addresses = known.receiving | {f"{CANARY}@{domain}"}
            if f"{mailbox}@{domain}" not in known.mailboxes:
                addresses |= {f"{mailbox}@{domain}"}
            items += await self._recipients(edge, self.list_of(domain, addresses))
        if not self._settings.mail_dmarc_rua:
            variable = self._settings.variable("mail_dmarc_rua")
            notes.append(f"reports of other servers (DMARC, TLS-RPT) are not asked for: {variable} is not set")
        return Survey(
            tuple(items),
            (*conflicts, *planned.plan.conflicts),
            (*notes, *planned.plan.notes),
            planned,
            f"active at {', '.join(zone.get('name_servers') or [])}",
        )

    async def remove(self, domain: str, row: MailDomainRow | None) -> Survey:
        """Raise as `add` does."""
        if domain in self._settings.edge_zones:
            variable = self._settings.variable("edge_zones")
            way_out = f"take it out there and start the portal again; then `homeport domain remove {domain}`"
            return Survey((), (Conflict(f"{domain} stands in {variable}", way_out),))
        await self._check_mail_database()
        edge = self._edge()
        planned, items, zone = None, [], await self._zone(domain)
        owned = Ownership.load(self._settings.state_dir)
        recorded = [thing.name for thing in owned if thing.zone == domain]
        if zone is not None:
            planned = await edge.plan_removal_of(domain)
            items = [item_of(step, REMOVE) for step in planned.plan.steps]
        count, _ = await edge.standing(DomainList(domain, frozenset()))
        if count is not None:
            before = f"{count} addresses"
            items.append(Item(f"{REMOVE}recipients", RECIPIENTS, "remove", before, None, "nobody is refused by it"))
        known = await self.accounts(domain)
        if known.mailboxes.get(f"{CANARY}@{domain}"):
            name = f"{REMOVE}mailbox {CANARY}"
            items.append(Item(name, MAIL_DOMAIN, "change", "enabled", "disabled", "made for canaries"))
        notes = ["the Worker and what it stands on stay: `homeport edge destroy` removes them"]
        if known.is_active and row is not None and row.made_domain:
            why = "it takes no mail any more; its mailboxes and their mail stay"
            items.append(Item(f"{REMOVE}mail-domain", MAIL_DOMAIN, "change", "enabled", "disabled", why))
            notes.append(f"mailboxes of {domain} and their mail stay in the mail server, which takes no mail for them")
        elif known.is_active:
            notes.append(
                f"the mail server goes on taking mail for {domain}: it did before Homeport added the domain, "
                "or nothing says otherwise"
            )
        if row is not None or domain in owned.zones or (recorded and zone is None):
            reason = "Homeport forgets the domain"
            items.append(Item(f"{REMOVE}entry", MAIL_DOMAIN, "remove", domain, None, reason))
        if zone is None:
            notes.append(
                f"the account has no zone {domain} any more, or the token may not see it: nothing is removed there, "
                f"and Homeport forgets what it made ({len(recorded)} things)"
            )
        notes += planned.plan.notes if planned else ()
        return Survey(tuple(items), (), tuple(notes), planned, "active" if zone else "not there")

    def wanted_records(self, live: Live, domain: str) -> Extra:
        """What the settings want of a zone's records."""
        zone = live.zones[domain]
        records = zone.records if isinstance(zone, LiveZone) and isinstance(zone.records, list) else []
        return extra_of(domain, records, self._settings)

    async def accounts(self, domain: str) -> Accounts:
        return await self._mail.read(lambda session: accounts(session, domain))

    def list_of(self, domain: str, addresses: frozenset[str]) -> DomainList:
        """The recipients' list of a domain, as the edge hashes it."""
        delimiter = self._settings.edge_recipient_delimiter
        forms = {normal_form(address, delimiter) for address in addresses}
        return DomainList(domain, frozenset(form for form in forms if form is not None))

    async def _check_mail_database(self) -> None:
        """Raise SchemaError when it does not answer, or is of another version."""
        if not await asyncio.to_thread(self._mail.is_current):
            raise SchemaError("its tables are not those of this version; `homeport mailboxes migrate` makes them so")

    async def has_zone(self, domain: str) -> bool:
        """Whether the account has this zone, as far as the token sees. Raise CloudflareError when it cannot be read."""
        return await self._zone(domain) is not None

    async def _zone(self, domain: str) -> Json | None:
        found = await self._cf.read_pages("zones.list", name=domain, extra_query={"account.id": self._cf.account})
        return next((zone for zone in found if zone["name"] == domain), None)

    def _mail_domain(
        self, domain: str, mailbox: str, known: Accounts, *, has_password: bool
    ) -> tuple[list[Item], list[Conflict], list[str]]:
        items, conflicts, notes = [], [], []
        first, canary = str(Address(mailbox, domain)), str(Address(CANARY, domain))
        if not known.is_active:
            before = None if known.is_active is None else "disabled"
            act = "create" if before is None else "change"
            why = "the mail server takes mail for the domains it knows"
            items.append(Item("mail-domain", MAIL_DOMAIN, act, before, domain, why))
        if first not in known.mailboxes and first not in known.aliases:
            why = "mail servers of others write to a domain's postmaster (RFC 5321 4.5.1)"
            why = why if mailbox == "postmaster" else "the domain's first mailbox"
            items.append(Item(f"mailbox {mailbox}", MAIL_DOMAIN, "create", None, first, why))
            notes.append(f"nobody can log in at {first} yet; a password: `homeport mailboxes passwd {first}`")
        elif known.mailboxes.get(first) is False:
            notes.append(f"the mailbox {first} is disabled, and stays so: `homeport mailboxes enable {first}`")
        if canary in known.aliases:
            way_out = f"`homeport mailboxes alias remove {canary}`"
            conflicts.append(Conflict(f"{canary} is an alias, and canaries need a mailbox of their own", way_out))
        elif known.mailboxes.get(canary) is not True or not has_password:
            before = {None: None, False: "disabled", True: "its password is not known"}[known.mailboxes.get(canary)]
            act = "create" if before is None else "change"
            why = "canaries come in there; its password is drawn at random and known to the portal alone"
            items.append(Item(f"mailbox {CANARY}", MAIL_DOMAIN, act, before, canary, why))
        return items, conflicts, notes

    async def _recipients(self, edge: EdgeService, wish: DomainList) -> list[Item]:
        count, is_same = await edge.standing(wish)
        if is_same:
            return []
        before, after = None if count is None else f"{count} addresses", f"{len(wish.addresses)} addresses"
        why = "by it the edge refuses unknown addresses while this machine is away"
        return [Item("recipients", RECIPIENTS, "create" if before is None else "change", before, after, why)]


def item_of(step: Step, prefix: str = "") -> Item:
    """A step at the edge as an item."""
    kind = _NAME_OF.get(step.kind, str(step.kind))
    name = kind if step.kind is Kind.ROUTING else f"{kind} {step.name}"
    act = str(step.act)
    return Item(f"{prefix}{name}", _STEP_OF.get(step.kind, WORKER), act, step.before, step.after, step.reason)


def _no_zone(domain: str, zone: Json | None) -> Conflict:
    if zone is None:
        way_out = f"add {domain} in Cloudflare's dashboard (Add a domain), and give the token access to it"
        return Conflict(f"the Cloudflare account has no zone {domain}, or the token may not see it", way_out)
    servers = ", ".join(zone.get("name_servers") or []) or "that the dashboard shows"
    return Conflict(
        f"the zone {domain} is {zone.get('status')}, not active",
        f"set its name servers where the domain is registered: {servers}; then wait until Cloudflare says active",
    )
