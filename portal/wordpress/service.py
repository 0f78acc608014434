"""The rules of the WordPress room: what is shown, what is planned, what is done to a site.

    room = WordPress.of(broker, db, hub, runner, plans, clock, settings, points=points)
    room.begin() ... await room.close()

What runs in a site changes by plans (state.py). The further acts are operations too: recorded before they begin, one
per site at a time, whoever asks for the answer. A site's tree, database and virtual host are made by recipes.
"""

from __future__ import annotations

import asyncio
import secrets
import string
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, TypeVar

from kit.clock import Clock, now_utc
from kit.logging import get_logger
from kit.problem import Problem
from portal.actor import Actor
from portal.broker.client import Broker
from portal.broker.failures import BrokerProblem
from portal.broker.schemas import Secrets
from portal.broker.wp import ALLOWED
from portal.db import Database
from portal.integrations.php_settings import PhpSettings
from portal.integrations.site_files import SiteFiles
from portal.integrations.web_config import WebConfig, WebConfigRefused, WebConfigUnwritable
from portal.operations.hub import Hub
from portal.operations.plans import Plan, Plans
from portal.operations.progress import Progress
from portal.operations.records import Filter, Operation, Outcome, State
from portal.operations.recovery import Finding
from portal.operations.runner import Runner
from portal.probes import Probe, Use
from portal.scheduler import Job
from portal.settings import PortalSettings
from portal.wordpress.changes import ChangeRefused, Replacement, has_way_back, needs_restore_point, wish_of
from portal.wordpress.inventory import InventoryReader
from portal.wordpress.inventory_probe import InventoryProbe
from portal.wordpress.kept import KeptTrees
from portal.wordpress.packages import Package, Packages
from portal.wordpress.points import NoRestorePoints, RestorePoints
from portal.wordpress.reading import Inventory
from portal.wordpress.schemas import (
    ApplySitePlan,
    ConfigureSite,
    CoreChange,
    ExtensionChange,
    NewPassword,
    NewReplacement,
    NewSitePlan,
    WpAnswer,
    WpLine,
)
from portal.wordpress.serving import Serving
from portal.wordpress.sites import Site, Sites
from portal.wordpress.state import APPLY, TIMEOUT_S, WITHOUT_POINT, SiteState
from portal.wordpress.uses import uses_of
from portal.wordpress.whole import whole
from portal.wordpress.wp import WpCommands

log = get_logger()
T = TypeVar("T")

CONFIGURE = "wordpress:configure"
ACT_S = 180.0
CONFIGURE_S = 300.0
PASSWORD_CHARACTERS = 20
READ_AGAIN_AFTER = timedelta(hours=6)
VERIFY_AGAIN_AFTER = timedelta(hours=24)
_ALPHABET = string.ascii_letters + string.digits

# Subcommands that the `wp` line does not run, since what they do has an act of its own, with its own rules.
_HAS_ITS_ACT: Mapping[tuple[str, ...], str] = {
    ("core", "install"): "a new site",
    ("core", "update"): "a plan, with a restore point before it",
    ("user", "update"): "a password that is drawn and shown once",
    ("homeport", "mail-test"): "a mail test, whose message is awaited",
}


class RestorePointRequired(Problem):
    """The plan has no way back but a restore, and no backup of this site is connected. Connect one, or say that it is
    to be done without a restore point."""

    status, type, title = 409, "restore-point-required", "No restore point can be made"


class NoSuchUser(Problem):
    """The site has no user of this login. `homeport wordpress show` lists them."""

    status, type, title = 404, "no-such-wordpress-user", "No such user"


class WpLineRefused(Problem):
    """This subcommand is not run from a line: `detail` says what does it instead, or that nothing does."""

    status, type, title = 422, "wp-line-refused", "wp is not run so"


class ActCutOff(Problem):
    """The act was cancelled or ran out of time before its end was known; `operation` is its record. Look at the site
    before doing it again."""

    status, type, title = 503, "act-cut-off", "The act was cut off"


class WordPress:
    """
    sites, wp, inventory, serving, site_files, kept   the parts that recipes use as well
    """

    def __init__(
        self,
        broker: Broker,
        database: Database,
        hub: Hub,
        runner: Runner,
        plans: Plans,
        clock: Clock,
        web: WebConfig,
        packages: Packages,
        points: RestorePoints,
    ) -> None:
        self._broker, self._runner, self._plans, self._clock = broker, runner, plans, clock
        self.points = points
        self.packages = packages
        self.sites = Sites(database, clock)
        self.wp = WpCommands(broker)
        self.site_files = SiteFiles(broker)
        self.serving = Serving(self.sites, web)
        self.inventory = InventoryReader(self.sites, self.wp, database, hub, clock)
        self.kept = KeptTrees(database, self.site_files, clock)
        self.state = SiteState(
            self.sites, self.wp, self.inventory, self.kept, packages, self.serving, points=self.points
        )
        self.probes: tuple[Probe, ...] = (InventoryProbe(self.sites, self.inventory, broker, clock),)
        self.jobs: tuple[Job, ...] = (
            Job("wordpress web server", 600, self._serve_current, 300, is_at_start=True),
            Job("wordpress inventory", 900, self._read_again, 1800, is_at_start=True),
            Job("wordpress checksums", 3600, self._verify_again, 3600),
            Job("wordpress kept trees", 3600, self.kept.sweep, 1800),
        )

    @classmethod
    def of(
        cls,
        broker: Broker,
        database: Database,
        hub: Hub,
        runner: Runner,
        plans: Plans,
        clock: Clock,
        settings: PortalSettings,
        *,
        points: RestorePoints | None = None,
    ) -> WordPress:
        """points   None: nothing here can be restored, and what has no other way back has to be asked for so"""
        web = WebConfig.of(settings.web_dir, broker, clock=clock)
        packages = Packages(settings.import_dir)
        return cls(broker, database, hub, runner, plans, clock, web, packages, points or NoRestorePoints())

    def begin(self) -> None:
        """Remember what was known, and say how acts are re-checked. Before `runner.recover`."""
        self.inventory.begin()
        self._plans.register(APPLY, self.state, timeout_s=TIMEOUT_S)
        self._runner.recheck(CONFIGURE, self._was_configured)

    async def close(self) -> None:
        await self.inventory.close()

    @property
    def is_connected(self) -> bool:
        """Whether sites can be asked at all."""
        return self._broker.is_configured

    # -- looking ------------------------------------------------------------------------------------------------------

    async def running_operations(self) -> Mapping[str, str]:
        """Site -> id of the operation that holds it."""
        running = await self._runner.find(Filter(state=State.RUNNING), limit=200)
        return {each.target: each.id for each in running if each.act.startswith(("wordpress:", "sites:"))}

    async def used_by(self, kind: str, name: str) -> Sequence[Use]:
        """Implements probes.UsedBy: the sites that use a database ("server/name") or are served at a record or zone."""
        return uses_of(kind, name, await self.sites.all())

    # -- plans --------------------------------------------------------------------------------------------------------

    async def plan(self, actor: Actor, name: str, wanted: NewSitePlan) -> Plan:
        """Raise NoSuchSite, SiteUnreadable, ChangeRefused, NoSuchExtension, PackageUnusable, a BrokerProblem."""
        await self.sites.active(name)
        files = [each.package for each in wanted.changes if isinstance(each, ExtensionChange) and each.package]
        packages: dict[str, Package] = {file: await asyncio.to_thread(self.packages.read, file) for file in files}
        is_read = any(isinstance(each, ExtensionChange | CoreChange) for each in wanted.changes)
        inventory = (await self.state.read(name))[0] if is_read else Inventory()
        return await self._plans.plan(actor, APPLY, name, wish_of(wanted.changes, inventory, packages))

    async def plan_replacement(self, actor: Actor, name: str, wanted: NewReplacement) -> Plan:
        """Count what would be replaced. Raise NoSuchSite, ChangeRefused, WpTimedOut and the other failures of wp."""
        if wanted.old == wanted.new:
            raise ChangeRefused("both texts are the same")
        if wanted.old in wanted.new:
            raise ChangeRefused("the new text holds the old one, and would be replaced again itself. Give more of it")
        replacement = Replacement(wanted.old, wanted.new, tuple(dict.fromkeys(wanted.skip_columns)))
        return await self._plans.plan(actor, APPLY, name, {replacement.name: {"replacements": 0, "tables": {}}})

    async def get_plan(self, plan_id: str) -> Plan:
        """Raise PlanNotFound."""
        return await self._plans.get(APPLY, plan_id)

    async def apply(self, actor: Actor, plan_id: str, wanted: ApplySitePlan) -> Operation:
        """Raise RestorePointRequired, and what Plans.apply raises."""
        plan = await self.get_plan(plan_id)
        how: dict[str, Any] = {}
        if await self.restore_point(plan) == "none":
            if not wanted.without_restore_point:
                raise RestorePointRequired(f"no backup of {plan.target} is connected")
            how = {WITHOUT_POINT: True}
        return await self._plans.apply(actor, APPLY, plan_id, how=how)

    async def restore_point(self, plan: Plan) -> Literal["first", "none", "not-needed"]:
        """`first`: one is made before the plan is applied; `none`: none can be made; `not-needed`."""
        if not needs_restore_point(plan.changes):
            return "not-needed"
        return "first" if await self.points.is_connected(plan.target) else "none"

    async def undo(self, actor: Actor, plan_id: str) -> Plan:
        """Raise what Plans.undo raises. What has no way back stays out of the new plan."""
        return await self._plans.undo(actor, APPLY, plan_id, has_way_back=has_way_back)

    # -- further acts -------------------------------------------------------------------------------------------------

    async def flush_cache(self, actor: Actor, name: str) -> Operation:
        """Begin to empty the site's object cache. Raise NoSuchSite, TargetBusy."""
        site = await self.sites.active(name)

        async def work(progress: Progress) -> None:
            progress.note("emptying the object cache")
            await whole(self.wp.flush_cache(site))

        return await self._runner.start(actor, "wordpress:cache", name, work, timeout_s=ACT_S)

    async def verify(self, actor: Actor, name: str) -> Operation:
        """Begin to compare the site's files with wordpress.org's sums. Raise NoSuchSite, TargetBusy."""
        await self.sites.active(name)

        async def work(progress: Progress) -> dict[str, Any]:
            progress.note("comparing files with wordpress.org's sums")
            sums = (await self.inventory.verify(name)).checksums
            return {} if sums is None else sums.model_dump(mode="json", exclude={"problems"})

        return await self._runner.start(actor, "wordpress:refresh", name, work, timeout_s=4 * ACT_S)

    async def reset_password(self, actor: Actor, name: str, login: str) -> NewPassword:
        """Give a user a password that is drawn here, and return it. Raise NoSuchSite, NoSuchUser, ActCutOff."""
        site = await self.sites.active(name)
        password = "".join(secrets.choice(_ALPHABET) for _ in range(PASSWORD_CHARACTERS))

        async def work() -> NewPassword:
            found = [str(each.get("ID")) for each in await self.wp.users(site) if each.get("user_login") == login]
            if not found or not found[0].isdecimal():
                raise NoSuchUser(f"{name} has no user of this login")
            await self.wp.set_password(site, int(found[0]), password)
            return NewPassword(login=login, password=password)

        return await self._answered(actor, "wordpress:password", name, work, {"user": login})

    async def renew_salts(self, actor: Actor, name: str) -> Operation:
        """Begin to draw the site's salts anew: every login ends. Raise NoSuchSite, TargetBusy."""
        site = await self.sites.active(name)

        async def work(progress: Progress) -> None:
            progress.note("drawing new salts: every login of the site ends")
            await whole(self.site_files.secrets(site.name, site.uid, Secrets(url=site.url), renew_salts=True))

        return await self._runner.start(
            actor, "wordpress:password", name, work, timeout_s=ACT_S, detail={"what": "salts"}
        )

    async def run_line(self, actor: Actor, name: str, line: WpLine) -> WpAnswer:
        """Run one allowed subcommand and return how it ended. Raise WpLineRefused, NotAllowed, ActCutOff."""
        site = await self.sites.active(name)
        command = tuple(line.command)
        _require_line(command, line.options)

        async def work() -> WpAnswer:
            ended = await self.wp.run(site, command, *line.arguments, options=line.options, timeout_s=50)
            return WpAnswer(exit_code=ended.exit_code, stdout=ended.stdout, stderr=ended.stderr, is_cut=ended.is_cut)

        return await self._answered(actor, "wordpress:wp", name, work, line.model_dump())

    async def configure(self, actor: Actor, name: str, wanted: ConfigureSite) -> Operation:
        """Begin to run the site so. Refused by the web server, everything is as before. Raise NoSuchSite."""
        site = await self.sites.active(name)
        ring = wanted.ring or site.ring
        detail = {
            "before": {"php": site.php.model_dump(), "xmlrpc": site.xmlrpc, "ring": site.ring},
            "after": {"php": wanted.php.model_dump(), "xmlrpc": wanted.xmlrpc, "ring": ring},
        }

        async def work(progress: Progress) -> dict[str, Any]:
            progress.note("testing and taking the new configuration")
            generation = await self.serving.configure(name, php=wanted.php, xmlrpc=wanted.xmlrpc, ring=ring)
            return {"generation": generation.number}

        return await self._runner.start(actor, CONFIGURE, name, work, timeout_s=CONFIGURE_S, detail=detail)

    async def _answered(
        self, actor: Actor, act: str, name: str, work: Callable[[], Awaitable[T]], detail: Mapping[str, object]
    ) -> T:
        """Do it as an operation, wait for its end, and return what it has to say; the record keeps nothing of that."""
        answers: list[T] = []
        problems: list[Problem] = []

        async def recorded() -> None:
            try:
                answers.append(await work())
            except Problem as problem:
                problems.append(problem)
                raise

        async def begun(progress: Progress) -> None:
            await whole(recorded())

        operation = await self._runner.start(actor, act, name, begun, timeout_s=ACT_S, detail=detail)
        await self._runner.wait(operation.id)
        if problems:
            raise problems[0]
        if not answers:
            raise ActCutOff(operation=operation.id)
        return answers[0]

    # -- by itself ----------------------------------------------------------------------------------------------------

    async def _was_configured(self, operation: Operation) -> Finding:
        """The table is ahead of the web server, if anything: have it rendered, or go back when that is refused."""
        detail = operation.detail or {}
        site = await self.sites.find(operation.target)
        if site is None or "before" not in detail:
            return Finding(Outcome.UNKNOWN, "the site is gone")
        if {"php": site.php.model_dump(), "xmlrpc": site.xmlrpc, "ring": site.ring} == detail["before"]:
            return Finding(Outcome.NOT_DONE, "the site is configured as before")
        try:
            await self.serving.render()
        except (WebConfigRefused, WebConfigUnwritable) as problem:
            before = detail["before"]
            values = {"php": PhpSettings(**before["php"]), "xmlrpc": before["xmlrpc"], "ring": before["ring"]}
            await self.sites.change(site.name, **values)
            return Finding(Outcome.NOT_DONE, f"refused: {problem.detail}"[:500])
        return Finding(Outcome.DONE, "rendered again")

    async def _serve_current(self) -> None:
        """The web server may have been started anew, or have missed a reload."""
        if self.serving.is_configured and self.is_connected:
            await self.serving.recheck()

    async def _read_again(self) -> None:
        if not self.is_connected:
            return
        before = now_utc(self._clock) - READ_AGAIN_AFTER
        # One in maintenance is left alone: reading it runs its plugins, which may be a burglar's, or half updated.
        sites = [site.name for site in await self._active() if not site.is_maintained]
        readings = {name: self.inventory.last(name) for name in sites}
        old = [name for name, reading in readings.items() if reading is None or reading.tried_at < before]
        await self.inventory.refresh(old)

    async def _verify_again(self) -> None:
        before = now_utc(self._clock) - VERIFY_AGAIN_AFTER
        for site in await self._active() if self.is_connected else ():
            reading = self.inventory.last(site.name)
            sums = reading.checksums if reading is not None else None
            if sums is None or sums.checked_at < before:
                try:
                    await self.inventory.verify(site.name)
                except BrokerProblem:
                    return  # it is asked again in an hour
                except Problem as problem:  # removed meanwhile
                    log.info("checksums_not_compared", site=site.name, problem=problem.type)

    async def _active(self) -> list[Site]:
        return [site for site in await self.sites.all() if site.state == "active"]


def _require_line(command: tuple[str, ...], options: Mapping[str, str]) -> None:
    if command not in ALLOWED:
        raise WpLineRefused("this subcommand is not on the list")
    if command in _HAS_ITS_ACT:
        raise WpLineRefused(f"what does it instead: {_HAS_ITS_ACT[command]}")
    if command == ("search-replace",) and "dry-run" not in options:
        raise WpLineRefused("what does it instead: a plan, with a restore point before it")
