"""Safe updates of many sites: what there is to update, what cannot be, who may begin it, and how each went.

    points = BackupPoints(backups, runner)                       # the WordPress room uses them too
    updates = FleetUpdates.of(wordpress, points, checksum, looks, broker, db, hub, runner, plans, clock, settings)
    plan = await updates.plan(actor, NewUpdatePlan())
    operation = await updates.apply(actor, plan.id, ApplyUpdatePlan())

There is no undo: the way back of each site is its restore point, which the report names.
"""

from __future__ import annotations

from typing import Any

from kit.clock import Clock, now_utc
from portal.actor import Actor
from portal.broker.client import Broker
from portal.db import Database
from portal.operations.hub import Hub
from portal.operations.plans import Plan, PlanNotFound, Plans, PlanStale
from portal.operations.runner import OperationNotFound, Runner
from portal.operations.schemas import OperationView
from portal.recipes.fleet_update import store
from portal.recipes.fleet_update.fatals import BrokerFatals
from portal.recipes.fleet_update.one_site import Checksum, Tools
from portal.recipes.fleet_update.points import BackupPoints
from portal.recipes.fleet_update.problems import UpdateNotFound, UpdateNotReady
from portal.recipes.fleet_update.recheck import Recheck
from portal.recipes.fleet_update.schemas import ApplyUpdatePlan, NewUpdatePlan, UpdatePlan, UpdateReport, UpdateReports
from portal.recipes.fleet_update.views import not_journalled, report, shown_plan
from portal.recipes.fleet_update.wanted import Kind, change_name, offered
from portal.recipes.fleet_update.work import ACT, SITE_ACT, TARGET, FleetWork
from portal.scheduler import Job
from portal.settings import PortalSettings
from portal.wordpress.look import Looks
from portal.wordpress.service import WordPress
from portal.wordpress.sites import NoSuchSite, Site

TIMEOUT_S = 4 * 24 * 3600.0  # the longest soak, and some hundred sites
RECHECK_S = 600.0


class FleetUpdates:
    def __init__(self, tools: Tools, plans: Plans, settings: PortalSettings) -> None:
        self._tools, self._plans, self._settings = tools, plans, settings
        self._work, self._recheck = FleetWork(tools), Recheck(tools)
        self.jobs = [Job("updates that were cut off", 3600.0, self._recheck.left_over, timeout_s=60, is_at_start=True)]

    @classmethod
    def of(
        cls,
        wordpress: WordPress,
        points: BackupPoints,
        checksum: Checksum | None,
        looks: Looks,
        broker: Broker,
        db: Database,
        hub: Hub,
        runner: Runner,
        plans: Plans,
        clock: Clock,
        settings: PortalSettings,
    ) -> FleetUpdates:
        """checksum: of a database, by the databases room; None where that is not connected."""
        tools = Tools(
            sites=wordpress.sites,
            inventory=wordpress.inventory,
            wp=wordpress.wp,
            serving=wordpress.serving,
            looks=looks,
            fatals=BrokerFatals(broker),
            points=points,
            checksum=checksum,
            db=db,
            hub=hub,
            runner=runner,
            clock=clock,
        )
        return cls(tools, plans, settings)

    def begin(self) -> None:
        """Let it be planned. Before `runner.recover`."""
        self._plans.register(ACT, self._work, timeout_s=TIMEOUT_S)
        self._tools.runner.recheck(SITE_ACT, self._recheck.site, within_s=RECHECK_S)

    # -- looking ------------------------------------------------------------------------------------------------------

    async def updates(self) -> UpdateReports:
        """Those that were begun, the newest first."""
        found = await self._tools.db.read(store.newest)
        return UpdateReports(updates=[report(*each) for each in found], not_ready=self._not_ready())

    async def update(self, operation_id: str) -> UpdateReport:
        """Raise UpdateNotFound."""
        found = await self._tools.db.read(lambda session: store.get(session, operation_id))
        if found is not None:
            return report(*found)
        try:
            operation = await self._tools.runner.get(operation_id)
        except OperationNotFound:
            operation = None
        if operation is None or operation.act != ACT:
            raise UpdateNotFound("no update of sites was begun by this operation")
        return not_journalled(operation)

    # -- planning -----------------------------------------------------------------------------------------------------

    async def plan(self, actor: Actor, wanted: NewUpdatePlan) -> UpdatePlan:
        """Look at the sites now and say what would be updated. Raise UpdateNotReady, NoSuchSite."""
        if lines := self._not_ready():
            raise UpdateNotReady("; ".join(lines), missing=lines)
        tools = self._tools
        sites = await self._chosen(wanted)
        readings = await tools.inventory.refresh([site.name for site in sites])
        kinds: list[Kind] = [kind for kind, is_wanted in _kinds(wanted) if is_wanted]
        wish: dict[str, Any] = {}
        left_out: list[tuple[str, str]] = []
        for site in sites:
            reading = readings[site.name]
            if reading.trouble or reading.inventory is None:
                left_out.append((site.name, f"it cannot be read: {reading.error[:300] or reading.trouble}"))
            elif not (found := offered(reading.inventory, kinds)):
                continue
            elif not await tools.points.is_connected(site.name):
                left_out.append((site.name, "the backup does not know it: there would be no restore point"))
            else:
                wish |= {change_name(site.name, each): each.version for each in found}
        plan = await self._plans.plan(actor, ACT, TARGET, wish)
        asked, now = wanted.model_dump(mode="json"), now_utc(tools.clock)
        await tools.db.run(lambda session: store.keep_plan(session, plan.id, asked, left_out, now))
        return await self._shown(plan)

    async def read_plan(self, plan_id: str) -> UpdatePlan:
        """Raise PlanNotFound."""
        return await self._shown(await self._plans.get(ACT, plan_id))

    async def apply(self, actor: Actor, plan_id: str, wanted: ApplyUpdatePlan) -> OperationView:
        """Begin it. Raise UpdateNotReady, and what Plans.apply raises."""
        if lines := self._not_ready():
            raise UpdateNotReady("; ".join(lines), missing=lines)
        asked, _ = await self._kept(plan_id)
        how = {"plan": plan_id, "soak_minutes": asked["soak_minutes"]}
        how |= {"reason": wanted.reason} if wanted.reason else {}
        try:
            return OperationView.of(await self._plans.apply(actor, ACT, plan_id, how=how))
        except PlanStale as stale:
            new = await self.plan(actor, NewUpdatePlan(**asked))
            stale.extensions["plan"] = new.model_dump(mode="json")
            raise

    # -- parts --------------------------------------------------------------------------------------------------------

    def _not_ready(self) -> list[str]:
        settings = self._settings
        needed = ("broker_socket", "web_dir", "sites_origin_url", "backup_dir")
        return [f"{settings.variable(name)} is not set" for name in needed if getattr(settings, name) is None]

    async def _chosen(self, wanted: NewUpdatePlan) -> list[Site]:
        active = {site.name: site for site in await self._tools.sites.all() if site.state == "active"}
        for name in wanted.sites or ():
            if name not in active:
                raise NoSuchSite(f"no active site is called {name}")
        names = wanted.sites if wanted.sites is not None else list(active)
        return [active[name] for name in dict.fromkeys(names) if active[name].ring in wanted.rings]

    async def _kept(self, plan_id: str) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        kept = await self._tools.db.read(lambda session: store.plan(session, plan_id))
        if kept is None:
            raise PlanNotFound("there is no plan of this id")
        return kept

    async def _shown(self, plan: Plan) -> UpdatePlan:
        asked, left_out = await self._kept(plan.id)
        rings = {site.name: int(site.ring) for site in await self._tools.sites.all()}
        return shown_plan(plan, rings, left_out, asked["soak_minutes"])


def _kinds(wanted: NewUpdatePlan) -> tuple[tuple[Kind, bool], ...]:
    return ("plugin", wanted.plugins), ("theme", wanted.themes), ("core", wanted.core)
