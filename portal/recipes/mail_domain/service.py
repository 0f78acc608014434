"""A domain that receives mail, in one action: what is shown, what is refused, who may do what.

    mail_domains = MailDomains.of(cloudflare, room, db, runner, plans, clock, settings)
    plan = await mail_domains.plan(actor, NewDomainPlan(domain="example.co.jp"))
    operation = await mail_domains.apply(actor, plan.id, wanted, confirm)

What is done, and in which order, is in work.py; what would be done, in survey.py. A domain is finished when a mail from
outside has come in since the last change, and not before. There is no undo: the plan that removes a domain is the way
back, and takes away only what was made for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from kit.clock import Clock, now_utc
from kit.logging import get_logger
from kit.problem import Problem
from kit.settings import SettingsError
from portal.actor import Actor
from portal.auth.dependencies import require_typed_name
from portal.auth.sealing import Seal
from portal.db import Database
from portal.dns.posture.suffixes import registrable
from portal.dns.records.names import unicode_name
from portal.dns.service import DnsRoom
from portal.edge.ownership import Ownership, OwnershipError
from portal.edge.service import secrets_of
from portal.integrations.cloudflare import Cloudflare
from portal.mailboxes.addresses import Address, BadAddress, parse_domain
from portal.mailboxes.database import MailDatabase
from portal.mailboxes.settings import MailboxesSettings
from portal.operations.plans import Plan, PlanNotFound, Plans, PlanStale
from portal.operations.progress import Progress
from portal.operations.runner import Runner
from portal.operations.schemas import OperationView
from portal.recipes.mail_domain import store
from portal.recipes.mail_domain.accounts import CANARY
from portal.recipes.mail_domain.canary import Inbox, Outside
from portal.recipes.mail_domain.problems import (
    MailDomainConflict,
    MailDomainRefused,
    MailDomainsNotReady,
    NoSuchMailDomain,
    explained,
)
from portal.recipes.mail_domain.ready import edge_settings, missing
from portal.recipes.mail_domain.schemas import (
    ApplyDomainPlan,
    DomainConflict,
    DomainPlan,
    MailDomainList,
    MailDomainView,
    NewDomainPlan,
    StepView,
)
from portal.recipes.mail_domain.survey import CANARY_STEP
from portal.recipes.mail_domain.views import as_ended, is_finished, shown_plan
from portal.recipes.mail_domain.work import IN_ORDER, Recipe
from portal.recipes.models import MailDomainRow
from portal.scheduler import Job
from portal.settings import PortalSettings

log = get_logger()

APPLY = "mail-domains:apply"
SEND_CANARY = "mail-domains:canary"
EDGE_S = 1800.0  # a first deploy, at a Cloudflare that limits the rate
LISTS_EVERY_S = 3600.0  # a list stops refusing after a day by default


class MailDomains:
    """
    recipe    None while something that it needs is not set; `not_ready` says what
    probes    none: how its domains are is the posture's to say
    """

    def __init__(
        self,
        recipe: Recipe | None,
        not_ready: Callable[[], list[str]],
        db: Database,
        runner: Runner,
        plans: Plans,
        clock: Clock,
        settings: PortalSettings,
    ) -> None:
        self._recipe, self._not_ready = recipe, not_ready
        self._db, self._runner, self._plans, self._clock, self._settings = db, runner, plans, clock, settings
        self.probes: list[Any] = []
        self.jobs = [Job("recipients of mail domains", LISTS_EVERY_S, self._refresh_lists, timeout_s=600)]

    @classmethod
    def of(
        cls,
        cf: Cloudflare | None,
        room: DnsRoom,
        db: Database,
        runner: Runner,
        plans: Plans,
        clock: Clock,
        settings: PortalSettings,
    ) -> MailDomains:
        """The settings of the mail server's database are its own, HOMEPORT_MAILBOXES_*; they may be missing."""
        mail, mistakes = None, []
        try:
            mail = MailDatabase(MailboxesSettings.load())
        except SettingsError as error:
            mistakes = error.mistakes
        edge, recipe = edge_settings(settings), None
        if cf is not None and edge is not None and mail is not None:
            for secret in secrets_of(edge):
                cf.conceal(secret)
            seal = Seal.at(settings.state_dir / "secret.key")
            outside, inbox = Outside.of(settings), Inbox.of(settings)
            recipe = Recipe(cf, room, db, mail, edge, seal, clock, outside, inbox)
        return cls(recipe, lambda: missing(settings, mistakes), db, runner, plans, clock, settings)

    def begin(self) -> None:
        """Let it be planned. Before `runner.recover`."""
        if self._recipe is not None:
            self._plans.register(APPLY, self._recipe, timeout_s=EDGE_S + self._settings.mail_canary_s)

    async def close(self) -> None:
        if self._recipe is not None:
            self._recipe.mail.close()

    # -- looking ------------------------------------------------------------------------------------------------------

    async def names(self) -> list[str]:
        """The domains that Homeport receives mail for: the settings' and the added ones."""
        rows = await self._db.read(store.all_of)
        return self._named(await asyncio.to_thread(self._added), (row.domain for row in rows))

    async def domains(self) -> MailDomainList:
        rows = {row.domain: row for row in await self._db.read(store.all_of)}
        added = await asyncio.to_thread(self._added)
        at_edge = frozenset({*self._settings.edge_zones, *added}) if added is not None else None  # None: not known
        views = [self._view(name, rows.get(name), at_edge) for name in self._named(added, rows)]
        return MailDomainList(domains=views, not_ready=await asyncio.to_thread(self._not_ready))

    def _named(self, added: tuple[str, ...] | None, noted: Iterable[str]) -> list[str]:
        return sorted({*self._settings.edge_zones, *(added or ()), *noted})

    def _added(self) -> tuple[str, ...] | None:
        """The domains that edge.json names; None when it cannot be read. Reads a file, as the next one does."""
        try:
            return Ownership.load(self._settings.state_dir).zones
        except OwnershipError as error:
            log.warning("edge_record_unreadable", error=str(error))
            return None

    def _is_recorded(self, domain: str) -> bool:
        """Whether something was made for it, also where nothing names it any more. Raise OwnershipError."""
        return any(thing.zone == domain for thing in Ownership.load(self._settings.state_dir))

    def _view(self, name: str, row: MailDomainRow | None, at_edge: frozenset[str] | None) -> MailDomainView:
        is_at_edge = at_edge is None or name in at_edge
        is_proven = is_finished(row) and is_at_edge
        if row is None:
            detail = "never proven by a canary; `homeport domain add` completes it"
        elif row.wanted == "remove":
            detail = f"its removal was begun and has not ended; `homeport domain remove {name}` finishes it"
        elif not is_at_edge:
            detail = (
                "the edge does not know it: it was destroyed since, or adding has not come so far; "
                f"`homeport domain add {name}` completes it"
            )
        elif is_proven:
            detail = "a mail from outside has come in"
        elif self._recipe is not None and self._recipe.is_canary_possible:
            detail = f"waiting for the first mail; `homeport domain canary {name}` sends one"
        else:
            detail = f"waiting for the first mail: write to {CANARY}@{name}, then `homeport domain canary {name}`"
        return MailDomainView(
            domain=name,
            unicode_domain=unicode_name(name),
            managed_by="settings" if name in self._settings.edge_zones else "homeport",
            is_finished=is_proven,
            added_at=row.added_at if row else None,
            canary_at=row.canary_at if row else None,
            canary_seconds=row.canary_s if row else None,
            detail=detail,
        )

    # -- planning -----------------------------------------------------------------------------------------------------

    async def plan(self, actor: Actor, wanted: NewDomainPlan) -> DomainPlan:
        """Raise MailDomainRefused, NoSuchMailDomain, MailDomainsNotReady, a Cloudflare problem."""
        domain = mail_domain(wanted.domain)
        mailbox = _mailbox(wanted.mailbox, domain)
        recipe = await self._ready()
        row = await recipe.row(domain)
        async with explained():
            if wanted.act == "remove":
                is_named = row is not None or domain in await self.names()
                if not is_named and not await asyncio.to_thread(self._is_recorded, domain):
                    raise NoSuchMailDomain(f"Homeport receives no mail for {unicode_name(domain)}")
                survey = await recipe.surveyor.remove(domain, row)
            else:
                survey = await recipe.surveyor.add(
                    domain,
                    mailbox,
                    adopt=wanted.adopt,
                    replace_mail=wanted.replace_mail,
                    has_password=recipe.password_of(row) is not None,
                    is_known=row is not None,
                )
        wish: dict[str, Any] = {item.name: IN_ORDER for item in survey.items}
        if wanted.act == "add":
            wish[f"mailbox {mailbox}"] = IN_ORDER  # also where it is: the second look reads there which it is
        sends = wanted.act == "add" and recipe.is_canary_possible and not survey.conflicts
        if sends:
            wish[CANARY_STEP] = IN_ORDER
        plan = await self._plans.plan(actor, APPLY, domain, wish)
        shown = shown_plan(survey, wanted.act, row, waits=wanted.act == "add" and not sends)
        asked = wanted.model_copy(update={"domain": domain, "mailbox": mailbox}).model_dump()
        now = now_utc(self._clock)
        await self._db.run(lambda session: store.keep_plan(session, plan.id, asked, shown, now))
        return await self._document(plan, asked, shown)

    async def read_plan(self, plan_id: str) -> DomainPlan:
        """Raise PlanNotFound."""
        plan, asked, shown = await self._kept(plan_id)
        return await self._document(plan, asked, shown)

    async def apply(
        self, actor: Actor, plan_id: str, wanted: ApplyDomainPlan, confirm: Callable[[], None]
    ) -> OperationView:
        """Begin to do what was planned.

        confirm  raises unless whoever asks has just proven who they are
        raises   MailDomainConflict, TypedNameRequired, what `confirm` and Plans.apply raise
        """
        await self._ready()
        plan, asked, shown = await self._kept(plan_id)
        if shown["conflicts"]:
            said = "; ".join(f"{each['what']} ({each['way_out']})" for each in shown["conflicts"])
            raise MailDomainConflict(said, conflicts=shown["conflicts"])
        if shown["needs_typed_name"]:
            require_typed_name(plan.target, plan.target if plan.target in wanted.typed_names else None)
        if shown["needs_step_up"]:
            confirm()
        how = {name: asked[name] for name in ("replace_mail", "adopt", "mailbox")} | {"wanted": asked["act"]}
        how |= {"reason": wanted.reason} if wanted.reason else {}
        try:
            return OperationView.of(await self._plans.apply(actor, APPLY, plan_id, how=how))
        except PlanStale as stale:
            new = await self.plan(actor, NewDomainPlan(**asked))
            stale.extensions["plan"] = new.model_dump(mode="json")
            raise

    async def canary(self, actor: Actor, domain: str) -> OperationView:
        """Send a canary, or without a relay wait for any mail. Raise NoSuchMailDomain, MailDomainsNotReady."""
        domain = mail_domain(domain)
        recipe = await self._ready()
        row = await recipe.row(domain)
        if row is None or row.wanted != "add":
            raise NoSuchMailDomain(f"{unicode_name(domain)} was not added; `homeport domain add {domain}` does it")
        if recipe.inbox is None:
            lacking = f"{self._settings.variable('mail_imap_url')} is not set: where would the canary be looked for?"
            raise MailDomainsNotReady(lacking, missing=[lacking])

        async def work(progress: Progress) -> dict[str, Any]:
            return {"canary_seconds": await recipe.canary(domain, progress)}

        timeout_s = self._settings.mail_canary_s + 120.0
        return OperationView.of(await self._runner.start(actor, SEND_CANARY, domain, work, timeout_s=timeout_s))

    # -- what they share ----------------------------------------------------------------------------------------------

    async def _ready(self) -> Recipe:
        """Raise MailDomainsNotReady."""
        lines = await asyncio.to_thread(self._not_ready)
        if lines or self._recipe is None:
            lines = lines or ["the portal was started before everything was set: start it again"]
            raise MailDomainsNotReady("; ".join(lines), missing=lines)
        return self._recipe

    async def _kept(self, plan_id: str) -> tuple[Plan, dict[str, Any], dict[str, Any]]:
        plan = await self._plans.get(APPLY, plan_id)
        kept = await self._db.read(lambda session: store.plan(session, plan_id))
        if kept is None:
            raise PlanNotFound("there is no plan of this id")
        return plan, *kept

    async def _document(self, plan: Plan, asked: dict[str, Any], shown: dict[str, Any]) -> DomainPlan:
        steps = [StepView(**step) for step in shown["steps"]]
        if plan.operation_id is not None:
            steps = as_ended(steps, await self._runner.get(plan.operation_id))
        changed = {change.name for change in plan.changes}
        return DomainPlan(
            id=plan.id,
            act=plan.act,
            target=plan.target,
            domain=plan.target,
            unicode_domain=unicode_name(plan.target),
            wanted=asked["act"],
            steps=steps,
            changes=shown["changes"],
            unchanged=sorted(plan.wish.keys() - changed),
            conflicts=[DomainConflict(**conflict) for conflict in shown["conflicts"]],
            notes=shown["notes"],
            silent_rooms=[],
            needs_step_up=shown["needs_step_up"],
            needs_typed_name=shown["needs_typed_name"],
            created_at=plan.created_at,
            expires_at=plan.expires_at,
            undoes=plan.undoes,
            operation_id=plan.operation_id,
        )

    async def _refresh_lists(self) -> None:
        """Lists of recipients age: those of the added domains are pushed again, as the mail server has them now."""
        lacking = await asyncio.to_thread(self._not_ready)
        if self._recipe is None or lacking:
            return
        rows = {row.domain: row for row in await self._db.read(store.all_of)}
        for domain in await asyncio.to_thread(self._added) or ():
            if domain in self._settings.edge_zones or domain not in rows or rows[domain].wanted != "add":
                continue
            try:
                async with explained():
                    log.info("recipients_pushed", said=await self._recipe.push(domain, lambda _: None))
            except Problem as problem:
                log.warning("recipients_not_pushed", domain=domain, problem=problem.type, detail=problem.detail)


def mail_domain(text: str) -> str:
    """Given a domain as people write it, return its A-labels. Raise MailDomainRefused when no mail can come for it."""
    try:
        name = parse_domain(text.strip().rstrip("."))
    except BadAddress as error:
        raise MailDomainRefused(str(error)) from None
    registered = registrable(name)
    if registered is None:
        raise MailDomainRefused(
            f"{unicode_name(name)} is a public suffix: domains are registered below it, and it belongs to nobody"
        )
    if registered != name:
        raise MailDomainRefused(
            f"{unicode_name(name)} lies below {unicode_name(registered)}, and Homeport routes mail of whole domains "
            "only: Email Routing for subdomains is not supported here"
        )
    return name


def _mailbox(text: str, domain: str) -> str:
    try:
        local = Address.parse(f"{text}@{domain}").local
    except BadAddress as error:
        raise MailDomainRefused(str(error)) from None
    if local == CANARY:
        raise MailDomainRefused(f"{CANARY} is the canaries' own mailbox; people need another")
    return local
