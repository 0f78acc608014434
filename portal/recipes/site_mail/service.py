"""The mail that sites send: configured in bulk as a plan, and proved by a message that arrives.

    site_mail = SiteMail.of(wordpress, db, runner, plans, clock, settings)
    plan = await site_mail.plan(actor, NewMailPlan(domain="home.example"))
    operation = await site_mail.test(actor, "garden")

A test is WordPress's own wp_mail, whatever plugins stand in its way, to a mailbox of ours, whose password this process
has drawn: tests of several sites look into one mailbox at once. The message is known by a header that nobody can guess,
and deleted when it is found.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from typing import Any

from kit.clock import Clock, now_utc
from kit.logging import get_logger
from kit.settings import SettingsError
from portal.actor import Actor
from portal.db import Database
from portal.mailboxes import passwords, service
from portal.mailboxes.addresses import Address, BadAddress, parse_domain
from portal.mailboxes.database import MailDatabase
from portal.mailboxes.settings import MailboxesSettings
from portal.operations.plans import Plan, Plans, PlanStale
from portal.operations.progress import Progress
from portal.operations.records import Operation
from portal.operations.runner import Runner
from portal.operations.schemas import OperationView
from portal.recipes.mail_domain.canary import Inbox, NotLooked, new_id
from portal.recipes.site_mail import accounts
from portal.recipes.site_mail.problems import (
    SiteMailConflict,
    SiteMailNotConfigured,
    SiteMailNotReady,
    SiteMailNotSeen,
    SiteMailNotSent,
)
from portal.recipes.site_mail.schemas import (
    ApplyMailPlan,
    MailChange,
    MailPlan,
    NewMailPlan,
    SiteMailList,
    SiteMailView,
)
from portal.recipes.site_mail.work import APPLY, PASSWORD_BYTES, TARGET, Shared, SiteMailWork
from portal.settings import PortalSettings
from portal.wordpress.service import WordPress
from portal.wordpress.sites import NoSuchSite, Site
from portal.wordpress.wp import WpFailed, WpTimedOut

log = get_logger()

TEST = "wordpress:mail-test"
APPLY_S = 3600.0
SEND_S = 120
POLL_S = 1.0


class SiteMail:
    def __init__(
        self,
        wordpress: WordPress,
        work: SiteMailWork | None,
        mail: MailDatabase | None,
        inbox: Inbox | None,
        runner: Runner,
        plans: Plans,
        clock: Clock,
        settings: PortalSettings,
    ) -> None:
        self._wordpress, self._work, self._mail, self._inbox = wordpress, work, mail, inbox
        self._runner, self._plans, self._clock, self._settings = runner, plans, clock, settings
        self._passwords: dict[Address, str] = {}  # of the mailboxes that tests are sent to
        self._giving = asyncio.Lock()

    @classmethod
    def of(
        cls, wordpress: WordPress, db: Database, runner: Runner, plans: Plans, clock: Clock, settings: PortalSettings
    ) -> SiteMail:
        """The settings of the mail server's database are its own, HOMEPORT_MAILBOXES_*; they may be missing."""
        mail, shared, work = None, None, None
        try:
            mail = MailDatabase(MailboxesSettings.load())
        except SettingsError:
            user, password = settings.site_mail_user, settings.site_mail_password
            shared = Shared(user, password.get_secret_value()) if user and password else None
        if settings.site_mail_host is not None and (mail is not None or shared is not None):
            work = SiteMailWork(
                wordpress.sites,
                wordpress.site_files,
                db,
                mail,
                shared,
                settings.site_mail_host,
                settings.site_mail_port,
                clock,
            )
        return cls(wordpress, work, mail, Inbox.of(settings), runner, plans, clock, settings)

    def begin(self) -> None:
        """Let it be planned. Before `runner.recover`."""
        if self._work is not None:
            self._plans.register(APPLY, self._work, timeout_s=APPLY_S)

    async def close(self) -> None:
        if self._mail is not None:
            self._mail.close()

    # -- looking ------------------------------------------------------------------------------------------------------

    async def sites(self) -> SiteMailList:
        views = []
        for site in await self._wordpress.sites.all():
            mail = site.mail or {}
            views.append(
                SiteMailView(
                    site=site.name,
                    sender=mail.get("sender"),
                    sender_name=mail.get("sender_name", ""),
                    source=mail.get("source"),
                )
            )
        return SiteMailList(sites=views, domains=await self._domains(), not_ready=self._not_ready())

    # -- configuring --------------------------------------------------------------------------------------------------

    async def plan(self, actor: Actor, wanted: NewMailPlan) -> MailPlan:
        """Raise SiteMailNotReady, NoSuchSite, SiteMailConflict."""
        work = self._ready()
        sites = await self._chosen(wanted)
        if wanted.act == "remove":
            wish: dict[str, Any] = {site.name: None for site in sites}
        else:
            wish = {site.name: self._wish(work, site, wanted.domain) for site in sites}
            await self._require_free(work, sites, wish)
        return _shown(await self._plans.plan(actor, APPLY, TARGET, wish))

    async def read_plan(self, plan_id: str) -> MailPlan:
        """Raise PlanNotFound."""
        return _shown(await self._plans.get(APPLY, plan_id))

    async def apply(self, actor: Actor, plan_id: str, wanted: ApplyMailPlan) -> OperationView:
        """Raise SiteMailNotReady, and what Plans.apply raises."""
        self._ready()
        how = {"reason": wanted.reason} if wanted.reason else {}
        try:
            return OperationView.of(await self._plans.apply(actor, APPLY, plan_id, how=how))
        except PlanStale as stale:
            stale.extensions["plan"] = _shown(stale.plan).model_dump(mode="json")
            raise

    async def undo(self, actor: Actor, plan_id: str) -> MailPlan:
        """The way back of an applied plan, as a plan. Raise as Plans.undo."""
        self._ready()
        return _shown(await self._plans.undo(actor, APPLY, plan_id))

    def _wish(self, work: SiteMailWork, site: Site, domain: str | None) -> dict[str, Any]:
        reading = self._wordpress.inventory.last(site.name)
        title = reading.inventory.title if reading is not None and reading.inventory is not None else ""
        beside = {"sender_name": (title or site.hostnames[0])[:100]}
        if work.shared is not None:
            return {"account": work.shared.user, "sender": work.shared.user, "source": "shared", **beside}
        try:
            address = str(accounts.address_of(site.name, parse_domain(domain or "")))
        except BadAddress as error:
            raise SiteMailConflict(str(error), conflicts=[str(error)]) from error
        return {"account": address, "sender": address, "source": "mailbox", **beside}

    async def _require_free(self, work: SiteMailWork, sites: list[Site], wish: dict[str, Any]) -> None:
        if work.mail is None:
            return
        reasons = [await work.taken(site, Address.parse(wish[site.name]["account"])) for site in sites]
        if conflicts := [why for why in dict.fromkeys(reasons) if why]:
            raise SiteMailConflict("; ".join(conflicts)[:1000], conflicts=conflicts)

    # -- of a site that goes, or comes back (recipes.site.parts.MailOfSites) ------------------------------------------

    async def enabled(self, site: Site) -> list[str]:
        return [] if self._work is None else await self._work.enabled(site)

    async def disable(self, site: Site) -> None:
        if self._work is not None:
            await self._work.disable(site)

    async def enable(self, site: Site, addresses: Sequence[str]) -> None:
        if self._work is not None:
            await self._work.enable(site, addresses)
        elif addresses:
            raise SiteMailNotReady("the accounts of sites are not to be reached", missing=self._not_ready())

    # -- testing ------------------------------------------------------------------------------------------------------

    async def test(self, actor: Actor, name: str) -> OperationView:
        """Begin it. Raise NoSuchSite, SiteMailNotConfigured, SiteMailNotReady."""
        site = await self._wordpress.sites.active(name)
        if site.mail is None:
            raise SiteMailNotConfigured(f"{name} has no account to send with")
        inbox, mail = self._inbox, self._mail
        lines = [*self._not_ready(), *self._no_inbox()]
        if lines or inbox is None or mail is None:
            raise SiteMailNotReady("; ".join(lines), missing=lines)
        domain = Address.parse(str(site.mail["account"])).domain

        async def work(progress: Progress) -> dict[str, Any]:
            return await self._test(site, Address(accounts.TESTS, domain), mail, inbox, progress)

        timeout_s = self._settings.mail_canary_s + SEND_S + 60.0
        operation: Operation = await self._runner.start(actor, TEST, site.name, work, timeout_s=timeout_s)
        return OperationView.of(operation)

    async def _test(
        self, site: Site, to: Address, mail: MailDatabase, inbox: Inbox, progress: Progress
    ) -> dict[str, Any]:
        password, canary_id = self._passwords.setdefault(to, secrets.token_urlsafe(PASSWORD_BYTES)), new_id()
        stored = await progress.in_thread(passwords.hashed, password, to.local)
        now = now_utc(self._clock)
        async with self._giving:
            try:
                await mail.run(lambda session: accounts.give(session, to, stored, now, may_send=False))
            except service.Refused as error:
                raise SiteMailNotReady(str(error), missing=[str(error)]) from error
        progress.note(f"{site.name} writes to {to}")
        began = self._clock.monotonic()
        options = {"to": str(to), "id": canary_id}
        try:
            await self._wordpress.wp.done(site, ("homeport", "mail-test"), options=options, timeout_s=SEND_S)
        except (WpFailed, WpTimedOut) as problem:
            raise SiteMailNotSent(problem.detail or problem.title) from problem
        progress.note("the submission server has taken it; waiting for it to arrive")
        return await self._awaited(to, password, canary_id, inbox, began, progress)

    async def _awaited(
        self, to: Address, password: str, canary_id: str, inbox: Inbox, began: float, progress: Progress
    ) -> dict[str, Any]:
        why = "the mailbox is there, and the message is not in it"
        while (seconds := self._clock.monotonic() - began) < self._settings.mail_canary_s:
            try:
                if await progress.in_thread(inbox.has, str(to), password, canary_id):
                    return {"seconds": round(seconds, 1), "to": str(to)}
                why = "the mailbox is there, and the message is not in it"
            except NotLooked as error:  # the mail server may know a new password only after a moment
                why = str(error)
            await asyncio.sleep(POLL_S)
        raise SiteMailNotSeen(f"after {self._settings.mail_canary_s} s: {why}")

    # -- what they share ----------------------------------------------------------------------------------------------

    def _ready(self) -> SiteMailWork:
        """Raise SiteMailNotReady."""
        lines = self._not_ready()
        if lines or self._work is None:
            raise SiteMailNotReady("; ".join(lines), missing=lines)
        return self._work

    def _not_ready(self) -> list[str]:
        settings, lines = self._settings, []
        if settings.site_mail_host is None:
            lines.append(f"{settings.variable('site_mail_host')} is not set")
        if self._mail is None and not (settings.site_mail_user and settings.site_mail_password):
            shared = settings.variable("site_mail_user")
            lines.append(f"neither HOMEPORT_MAILBOXES_* (an account for each site) nor {shared} is set")
        return lines

    def _no_inbox(self) -> list[str]:
        lines = []
        if self._inbox is None:
            variable = self._settings.variable("mail_imap_url")
            lines.append(f"{variable} is not set: where would the message be looked for?")
        if self._mail is None:
            lines.append("HOMEPORT_MAILBOXES_* is not set: there is no mailbox of ours to write to")
        return lines

    async def _domains(self) -> list[str]:
        if self._mail is None:
            return []
        try:
            return await self._mail.read(
                lambda session: sorted(each.name for each in service.domains(session) if each.is_active)
            )
        except Exception as error:  # a list to choose from; the plan says what is wrong
            log.warning("mail_domains_not_read", error=type(error).__name__)
            return []

    async def _chosen(self, wanted: NewMailPlan) -> list[Site]:
        active = {site.name: site for site in await self._wordpress.sites.all() if site.state == "active"}
        for name in wanted.sites or ():
            if name not in active:
                raise NoSuchSite(f"no active site is called {name}")
        return [active[name] for name in dict.fromkeys(wanted.sites or active)]


def _shown(plan: Plan) -> MailPlan:
    return MailPlan(
        id=plan.id,
        act=plan.act,
        target=plan.target,
        changes=[MailChange(name=each.name, before=each.before, after=each.after) for each in plan.changes],
        created_at=plan.created_at,
        expires_at=plan.expires_at,
        undoes=plan.undoes,
        operation_id=plan.operation_id,
    )
