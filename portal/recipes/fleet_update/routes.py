"""Updates of many sites over HTTP: parse, call, return."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request

from portal.actor import Actor
from portal.auth.dependencies import GuardedRoute, allowed
from portal.idempotency import OnceDep
from portal.operations.records import ID as OPERATION_ID
from portal.operations.schemas import OperationView
from portal.recipes.fleet_update.schemas import ApplyUpdatePlan, NewUpdatePlan, UpdatePlan, UpdateReport, UpdateReports
from portal.recipes.fleet_update.service import FleetUpdates

router = APIRouter(prefix="/api/wordpress/updates", tags=["wordpress"], route_class=GuardedRoute)

Id = Annotated[str, Path(pattern=OPERATION_ID)]


@router.get("")
async def list_site_updates(request: Request, actor: Annotated[Actor, allowed("wordpress:read")]) -> UpdateReports:
    """The updates of many sites that were begun, and what is missing before one can be."""
    return await _updates(request).updates()


@router.post("/plans", status_code=201)
async def plan_site_update(
    request: Request, actor: Annotated[Actor, allowed("wordpress:plan")], wanted: NewUpdatePlan, once: OnceDep
) -> UpdatePlan:
    """Look at the sites now, and say what would be updated in which order. Changes nothing."""
    return await once(actor, UpdatePlan, lambda: _updates(request).plan(actor, wanted))


@router.get("/plans/{plan_id}")
async def read_site_update_plan(
    request: Request, actor: Annotated[Actor, allowed("wordpress:read")], plan_id: Id
) -> UpdatePlan:
    """A plan as it was made."""
    return await _updates(request).read_plan(plan_id)


@router.post("/plans/{plan_id}/apply", status_code=202)
async def apply_site_update_plan(
    request: Request,
    actor: Annotated[Actor, allowed("wordpress:update")],
    plan_id: Id,
    wanted: ApplyUpdatePlan,
    once: OnceDep,
) -> OperationView:
    """Begin the update: ring 1, a while, the rest; a restore point before each site, and back where one is harmed."""
    return await once(actor, OperationView, lambda: _updates(request).apply(actor, plan_id, wanted))


@router.get("/{operation_id}")
async def read_site_update(
    request: Request, actor: Annotated[Actor, allowed("wordpress:read")], operation_id: Id
) -> UpdateReport:
    """How an update goes, or went, site by site."""
    return await _updates(request).update(operation_id)


def _updates(request: Request) -> FleetUpdates:
    updates: FleetUpdates = request.app.state.portal.fleet_updates
    return updates
