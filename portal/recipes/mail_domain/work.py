"""A mail domain brought about, and taken back: the subject of its plans (portal/operations/plans.py).

A plan names what is to change; the value of a name is IN_ORDER once there is nothing left to do for it, else what would
be done. So the second look before applying, and the re-check after a crash, are the same survey again.

Adding goes in this order, each step recorded before it is done, so that running it again finishes it: the mail server
takes mail for the domain; the edge is deployed for this zone, by which mail turns to it; the recipients' list is
pushed; a canary comes in. Removing goes the other way: first no more mail comes, then nobody takes it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from kit.clock import Clock, now_utc
from kit.problem import Problem
from portal.auth.sealing import Seal, SealBroken
from portal.db import Database
from portal.dns.service import DnsRoom
from portal.edge.desired import NotReady
from portal.edge.ownership import Ownership, locked
from portal.edge.service import EdgeService, Planned
from portal.edge.worker_client import WorkerError
from portal.integrations.cloudflare import Cloudflare, CloudflareError, telling
from portal.mailboxes import passwords
from portal.mailboxes.database import MailDatabase
from portal.operations.plans import Order
from portal.operations.progress import Progress
from portal.recipes.mail_domain import store
from portal.recipes.mail_domain.accounts import CANARY, disable, make
from portal.recipes.mail_domain.canary import Inbox, NotLooked, NotSent, Outside, new_id
from portal.recipes.mail_domain.problems import CanaryNotSeen, CanaryNotSent, MailDomainOvertaken, explained
from portal.recipes.mail_domain.survey import (
    CANARY_STEP,
    MAIL_DOMAIN,
    RECIPIENTS,
    RECORDS,
    REMOVE,
    ROUTING,
    RULE,
    WORKER,
    Item,
    Surveyor,
    item_of,
)
from portal.recipes.models import MailDomainRow
from portal.settings import EdgeSettings

IN_ORDER = "in order"
WAITING = "waiting"  # of the canary
POLL_S = 2.0
EDGE_STEPS = frozenset({WORKER, RULE, RECORDS, ROUTING})


@dataclass(frozen=True)
class Recipe:
    """What it takes; made once everything is set. Implements plans.Subject.

    outside, inbox   None: no canary can be sent, or looked for
    poll_s           between two looks for a canary
    """

    cf: Cloudflare
    room: DnsRoom
    db: Database
    mail: MailDatabase
    settings: EdgeSettings
    seal: Seal
    clock: Clock
    outside: Outside | None
    inbox: Inbox | None
    poll_s: float = POLL_S

    def edge(self, say: Callable[[str], None] = lambda _: None) -> EdgeService:
        return EdgeService(self.settings, self.cf, clock=self.clock, say=say)

    @property
    def surveyor(self) -> Surveyor:
        return Surveyor(self.cf, self.mail, self.settings, self.edge)

    async def row(self, domain: str) -> MailDomainRow | None:
        return await self.db.read(lambda session: store.get(session, domain))

    @property
    def is_canary_possible(self) -> bool:
        return self.outside is not None and self.inbox is not None

    # -- as a subject of plans ----------------------------------------------------------------------------------------

    async def look(self, target: str, names: Sequence[str]) -> Mapping[str, Any]:
        """What is left to do is looked for as if everything were allowed: what is asked for is named in `names`."""
        if not names:
            return {}
        row = await self.row(target)
        async with explained():
            if any(name.startswith(REMOVE) for name in names):
                survey = await self.surveyor.remove(target, row)
            else:
                mailbox = next((name[8:] for name in names if name.startswith("mailbox ") and name[8:] != CANARY), None)
                survey = await self.surveyor.add(
                    target,
                    mailbox or (row.mailbox if row else "postmaster"),
                    adopt=True,
                    replace_mail=True,
                    has_password=self.password_of(row) is not None,
                    is_known=row is not None,
                )
        left = {item.name: item.present for item in survey.items}
        present: dict[str, Any] = {name: left.get(name, IN_ORDER) for name in names}
        if CANARY_STEP in present:
            is_done = row is not None and row.canary_at is not None and row.canary_at >= row.changed_at
            others = [name for name in names if name != CANARY_STEP]
            is_done = is_done and all(present[name] == IN_ORDER for name in others)
            present[CANARY_STEP] = IN_ORDER if is_done else WAITING
        return present

    async def put(self, order: Order, progress: Progress) -> Mapping[str, Any]:
        planned = {change.name: change.before for change in order.changes}
        steps = [CANARY_STEP, *(_step_of(name) for name in planned)]
        done: list[str] = []

        def at(step: str) -> None:
            done.append(step)
            progress.at(len(set(done) & set(steps)), of=len(set(steps)))

        try:
            with telling(progress.note):
                async with explained():
                    if order.how["wanted"] == "remove":
                        await self._remove(order.target, planned, progress, at)
                        return {"steps": done}
                    return await self._add(order, planned, progress, at)
        except Problem as problem:
            problem.extensions.setdefault("steps", done)
            raise

    # -- adding -------------------------------------------------------------------------------------------------------

    async def _add(
        self, order: Order, planned: Mapping[str, Any], progress: Progress, at: Callable[[str], None]
    ) -> Mapping[str, Any]:
        domain, mailbox = order.target, str(order.how["mailbox"])
        changes = planned.keys() - {CANARY_STEP}
        if changes:
            now, makes = now_utc(self.clock), not (await self.surveyor.accounts(domain)).is_active
            await self.db.run(lambda session: store.begin(session, domain, "add", mailbox, now, makes_domain=makes))
            await self._accounts(domain, mailbox, progress)
            at(MAIL_DOMAIN)
            if any(_step_of(name) in EDGE_STEPS for name in changes):
                await self._deploy(order, planned, progress)
            for step in (WORKER, RULE, RECORDS, ROUTING):
                at(step)
            await self._take_over(domain)
            if "recipients" in changes:
                progress.note(await self.push(domain, progress.note))
            at(RECIPIENTS)
        if CANARY_STEP not in planned:
            return {"canary": None}
        seconds = await self.canary(domain, progress)
        at(CANARY_STEP)
        return {"canary_seconds": seconds}

    async def _accounts(self, domain: str, mailbox: str, progress: Progress) -> None:
        """A password that we keep is the one that is set: it is forgotten before another is set, and kept after."""
        row = await self.row(domain)
        known = await self.surveyor.accounts(domain)
        stored, password = None, ""
        if self.password_of(row) is None or f"{CANARY}@{domain}" not in known.mailboxes:
            password = secrets.token_urlsafe(24)
            await self.db.run(lambda session: store.keep_password(session, domain, None))
            stored = await asyncio.to_thread(passwords.hashed, password, CANARY)
        now = now_utc(self.clock)
        for line in await self.mail.run(lambda session: make(session, domain, mailbox, now, canary_password=stored)):
            progress.note(line)
        if stored is not None:
            sealed = self.seal.seal(password, _context(domain))
            await self.db.run(lambda session: store.keep_password(session, domain, sealed))

    async def _deploy(self, order: Order, planned: Mapping[str, Any], progress: Progress) -> None:
        """Bring the edge about for this zone. Nothing is done that the plan does not name."""
        domain, service = order.target, self.edge(progress.note)
        async with self.room.zones.changing(domain, progress.operation_id):
            with locked(self.settings.state_dir):
                live = await service.look(zones=(domain,))
                extra = self.surveyor.wanted_records(live, domain)
                flags = {"may_adopt": order.how["adopt"], "may_replace_mail": order.how["replace_mail"]}
                found = await asyncio.to_thread(lambda: service.plan(live, **flags, extra={domain: extra}))
                refuse_overtaken(found, planned)
                if domain not in self.settings.edge_zones:
                    found.owned.add_zone(domain)
                await service.deploy(found)

    async def _take_over(self, domain: str) -> None:
        """A domain whose zone was in order already is remembered all the same."""
        state_dir = self.settings.state_dir
        if domain in self.settings.edge_zones:
            return

        def remember() -> None:
            with locked(state_dir):
                Ownership.load(state_dir).add_zone(domain)

        await asyncio.to_thread(remember)

    async def push(self, domain: str, say: Callable[[str], None]) -> str:
        """Push the list of recipients of a domain, as the mail server has them now; say so in one line."""
        known = await self.surveyor.accounts(domain)
        wish = self.surveyor.list_of(domain, known.receiving if known.is_active else frozenset())
        with locked(self.settings.state_dir):
            service = self.edge(say)
            (synced,) = await service.sync({domain: wish}, may_shrink=False, zones=(domain,))
        return f"{domain}: the edge knows {synced.addresses} addresses, generation {synced.generation}"

    # -- the canary ---------------------------------------------------------------------------------------------------

    def password_of(self, row: MailDomainRow | None) -> str | None:
        """Of the canary's mailbox; None where it is not known."""
        if row is None or row.canary_password is None:
            return None
        try:
            return self.seal.open(row.canary_password, _context(row.domain))
        except SealBroken:
            return None

    async def canary(self, domain: str, progress: Progress) -> float | None:
        """Send a canary and wait for it; without a relay, wait for any new mail from outside. Return its seconds, None
        without a relay.

        raises   CanaryNotSent, CanaryNotSeen
        """
        row = await self.row(domain)
        password, login = self.password_of(row), f"{CANARY}@{domain}"
        assert self.inbox is not None
        if password is None:
            raise CanaryNotSeen(f"the password of {login} is not known; `homeport domain add {domain}` sets another")
        canary_id, said = None, ""
        began = self.clock.monotonic()
        if self.outside is None:
            progress.note(f"no relay is set: write a mail to {login} from another provider now")
        else:
            canary_id = new_id()
            try:
                said = await self.outside.send(login, canary_id, self.clock.now())
            except NotSent as error:
                raise CanaryNotSent(str(error)) from error
            progress.note(f"the relay has taken the canary from {self.outside.sender} to {login}: {said}")
        assert row is not None  # or there would be no password
        since = max(row.changed_at, row.canary_at or row.changed_at)  # what proved it once does not prove it again
        inbox = self.inbox

        def is_there() -> bool:
            if canary_id is None:
                return inbox.has_mail_since(login, password, since)
            return inbox.has(login, password, canary_id)

        trouble = await self._until_seen(is_there, progress)
        seconds = round(self.clock.monotonic() - began, 1)
        if trouble is not None:
            raise CanaryNotSeen(await self._last_seen(seconds, said, trouble))
        taken = seconds if canary_id else None
        now = now_utc(self.clock)
        await self.db.run(lambda session: store.seen(session, domain, now, taken))
        progress.note(f"it is in the mailbox {login}" + (f", after {seconds:g} s" if canary_id else ""))
        return taken

    async def _until_seen(self, is_there: Callable[[], bool], progress: Progress) -> str | None:
        """Return None when it is there, else what kept us from seeing it ("" when the mailbox could be read)."""
        until = self.clock.monotonic() + self.settings.mail_canary_s
        trouble = told = ""
        while True:
            try:
                if await progress.in_thread(is_there):
                    return None
                trouble = ""
            except NotLooked as error:
                trouble = str(error)
                if trouble != told:
                    progress.note(f"cannot look yet: {trouble}")
                    told = trouble
            if self.clock.monotonic() >= until:
                return trouble
            await asyncio.sleep(self.poll_s)

    async def _last_seen(self, seconds: float, said: str, trouble: str) -> str:
        """What is known of a canary that did not come."""
        way = [f"not seen within {seconds:g} s"]
        if said:
            way.append(f"the relay took it ({said})")
        if trouble:
            way.append(f"the mailbox could not be read at the end: {trouble}")
        try:
            status = await (await self.edge().worker()).status()
            retained, held = (status.get(name) for name in ("retained", "held"))
            counts = [
                f"{name} {part.get('count')}"
                for name, part in (("retained", retained), ("held", held))
                if isinstance(part, dict)
            ]
            origin = status.get("origin")
            fails = isinstance(origin, dict) and origin.get("failing_since")
            way.append(
                f"the Worker says: {', '.join(counts) or 'no bucket'}" + ("; the mail API fails" if fails else "")
            )
        except (CloudflareError, WorkerError, NotReady) as error:  # one line, safe to show; no other's text is
            way.append(f"the Worker could not be asked: {str(error)[:200]}")
        return "; ".join(way)

    # -- removing -----------------------------------------------------------------------------------------------------

    async def _remove(
        self, domain: str, planned: Mapping[str, Any], progress: Progress, at: Callable[[str], None]
    ) -> None:
        row = await self.row(domain)
        if row is not None:
            now, mailbox = now_utc(self.clock), row.mailbox
            await self.db.run(lambda session: store.begin(session, domain, "remove", mailbox, now))
        is_in_zone = any(_step_of(name) in EDGE_STEPS for name in planned)
        changing = self.room.zones.changing(domain, progress.operation_id) if is_in_zone else nullcontext()
        async with changing:
            with locked(self.settings.state_dir):
                service = self.edge(progress.note)
                if is_in_zone:
                    found = await service.plan_removal_of(domain)
                    refuse_overtaken(found, planned, REMOVE)
                    await service.remove(found)
                for step in (RULE, ROUTING, RECORDS):
                    at(step)
                await service.drop_list(domain)
                at(RECIPIENTS)
                now = now_utc(self.clock)
                made_domain = row is not None and row.made_domain
                for line in await self.mail.run(lambda session: disable(session, domain, now, made_domain=made_domain)):
                    progress.note(line)
                owned = Ownership.load(self.settings.state_dir)
                if not is_in_zone and not await self.surveyor.has_zone(domain):
                    # Nothing can be taken back in a zone that is gone, and what is recorded of it would keep
                    # `homeport edge destroy` from ever ending.
                    owned.forget(*(thing for thing in owned if thing.zone == domain))
                owned.forget_zone(domain)
        await self.db.run(lambda session: store.forget(session, domain))
        at(MAIL_DOMAIN)


def refuse_overtaken(found: Planned, planned: Mapping[str, Any], prefix: str = "") -> None:
    """What is about to be done must have been shown. Raise MailDomainOvertaken."""
    new: list[Item] = [item_of(step, prefix) for step in found.plan.steps]
    unplanned = [item.name for item in new if planned.get(item.name) != item.present]
    if unplanned or found.plan.conflicts:
        what = [*unplanned, *(conflict.what for conflict in found.plan.conflicts)]
        raise MailDomainOvertaken(f"not in the plan: {', '.join(what)[:500]}")


def _step_of(name: str) -> str:
    """Of a change, by its name."""
    kind = name.removeprefix(REMOVE).partition(" ")[0]
    return _STEPS.get(kind, WORKER)


_STEPS = {
    "rule": RULE,
    "record": RECORDS,
    "former": RECORDS,
    "routing": ROUTING,
    "recipients": RECIPIENTS,
    "mail-domain": MAIL_DOMAIN,
    "mailbox": MAIL_DOMAIN,
    "entry": MAIL_DOMAIN,
    "canary": CANARY_STEP,
}


def _context(domain: str) -> str:
    return f"mail domain canary {domain}"
