"""What runs in a site, as a plan: made, looked at, applied, taken back (state.py)."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request

from kit.problem import Problem
from portal.actor import Actor
from portal.auth.dependencies import GuardedRoute, allowed
from portal.idempotency import OnceDep
from portal.operations.plans import Plan, PlanStale
from portal.operations.records import ID
from portal.operations.schemas import OperationView
from portal.wordpress.changes import Name, has_way_back, suffers
from portal.wordpress.routes import SiteName, room_of
from portal.wordpress.schemas import ApplySitePlan, NewReplacement, NewSitePlan, PlannedSiteChange, SitePlan

router = APIRouter(prefix="/api/wordpress", tags=["wordpress"], route_class=GuardedRoute)

PlanId = Annotated[str, Path(pattern=ID)]
_PLAN = ("id", "act", "target", "created_at", "expires_at", "undoes", "operation_id")


@router.post("/sites/{site}/plans", status_code=201)
async def plan_wordpress_site(
    request: Request,
    actor: Annotated[Actor, allowed("wordpress:plan")],
    site: SiteName,
    wanted: NewSitePlan,
    once: OnceDep,
) -> SitePlan:
    """What has to change in a site for plugins, themes, core and settings to be so. Changes nothing."""

    async def plan() -> SitePlan:
        return await _view(request, await room_of(request).plan(actor, site, wanted))

    return await once(actor, SitePlan, plan)


@router.post("/sites/{site}/search-replace", status_code=201)
async def plan_wordpress_replacement(
    request: Request,
    actor: Annotated[Actor, allowed("wordpress:plan")],
    site: SiteName,
    wanted: NewReplacement,
    once: OnceDep,
) -> SitePlan:
    """Count where a text stands in the site's database, as a plan that replaces it. Changes nothing."""

    async def plan() -> SitePlan:
        return await _view(request, await room_of(request).plan_replacement(actor, site, wanted))

    return await once(actor, SitePlan, plan)


@router.get("/plans/{plan_id}")
async def read_wordpress_plan(
    request: Request, actor: Annotated[Actor, allowed("wordpress:read")], plan_id: PlanId
) -> SitePlan:
    """A plan as it was made; what suffers and where versions come from is said as of now."""
    return await _view(request, await room_of(request).get_plan(plan_id))


@router.post("/plans/{plan_id}/apply", status_code=202)
async def apply_wordpress_plan(
    request: Request,
    actor: Annotated[Actor, allowed("wordpress:apply")],
    plan_id: PlanId,
    wanted: ApplySitePlan,
    once: OnceDep,
) -> OperationView:
    """Do what was planned, as one operation with a result for each change. A stale plan is 409, with the new one. What
    only a restore brings back is preceded by a restore point, or needs to be asked for without one."""

    async def apply() -> OperationView:
        try:
            return OperationView.of(await room_of(request).apply(actor, plan_id, wanted))
        except PlanStale as stale:
            raise await _stale(request, stale) from stale

    return await once(actor, OperationView, apply)


@router.post("/plans/{plan_id}/undo", status_code=201)
async def undo_wordpress_plan(
    request: Request, actor: Annotated[Actor, allowed("wordpress:plan")], plan_id: PlanId, once: OnceDep
) -> SitePlan:
    """The way back from a plan that was applied, as a plan to be looked at and applied. Changes nothing."""

    async def undo() -> SitePlan:
        try:
            return await _view(request, await room_of(request).undo(actor, plan_id))
        except PlanStale as stale:
            raise await _stale(request, stale) from stale

    return await once(actor, SitePlan, undo)


async def _view(request: Request, plan: Plan) -> SitePlan:
    room = room_of(request)
    site = await room.sites.get(plan.target)
    changes = []
    for change in plan.changes:
        name = Name.parse(change.name)
        changes.append(
            PlannedSiteChange(
                name=change.name,
                kind=name.kind,
                subject=name.subject,
                before=change.before,
                after=change.after,
                source=await room.state.source(site, change),
                has_way_back=has_way_back(change),
                suffers=suffers(change),
            )
        )
    return SitePlan(
        **{name: getattr(plan, name) for name in _PLAN},
        changes=changes,
        unchanged=sorted(plan.wish.keys() - {change.name for change in plan.changes}),
        restore_point=await room.restore_point(plan),
    )


async def _stale(request: Request, stale: PlanStale) -> Problem:
    """The same problem, with the new plan as these routes show it."""
    stale.extensions["plan"] = (await _view(request, stale.plan)).model_dump(mode="json")
    return stale
