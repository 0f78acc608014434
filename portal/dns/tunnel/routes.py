"""The tunnel's routes over HTTP: parse, call, return."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request

from portal.actor import Actor
from portal.auth.dependencies import GuardedRoute, allowed, require_step_up
from portal.dns.schemas import ApplyDnsPlan
from portal.dns.tunnel.schemas import NewRoutePlan, RoutePlan, TunnelOverview
from portal.dns.tunnel.service import Tunnels
from portal.idempotency import OnceDep
from portal.operations.records import ID as OPERATION_ID
from portal.operations.refused import recorded
from portal.operations.schemas import OperationView

router = APIRouter(prefix="/api/dns/tunnel", tags=["dns"], route_class=GuardedRoute)

PlanId = Annotated[str, Path(pattern=OPERATION_ID)]


@router.get("")
async def read_tunnel(request: Request, actor: Annotated[Actor, allowed("dns:list")]) -> TunnelOverview:
    """The tunnel, its public hostnames, what is orphaned on either side, the rules in front of the mail API."""
    return await _tunnels(request).overview()


@router.post("/plans", status_code=201)
async def plan_tunnel(
    request: Request, actor: Annotated[Actor, allowed("dns:plan")], wanted: NewRoutePlan, once: OnceDep
) -> RoutePlan:
    """What these routes change, in the tunnel and in DNS. Changes nothing."""
    return await once(actor, RoutePlan, lambda: _tunnels(request).plan(actor, wanted))


@router.get("/plans/{plan_id}")
async def read_tunnel_plan(
    request: Request, actor: Annotated[Actor, allowed("dns:list")], plan_id: PlanId
) -> RoutePlan:
    """A plan as it was made."""
    return await _tunnels(request).read_plan(plan_id)


@router.post("/plans/{plan_id}/apply", status_code=202)
async def apply_tunnel_plan(
    request: Request,
    actor: Annotated[Actor, allowed("dns:route")],
    plan_id: PlanId,
    wanted: ApplyDnsPlan,
    once: OnceDep,
) -> OperationView:
    """Do what was planned, as one operation. A stale plan is 409, with the new one. What changes or goes, and more than
    one change, needs a fresh factor."""

    async def apply() -> OperationView:
        return await _tunnels(request).apply(actor, plan_id, wanted, lambda: require_step_up(request))

    return await recorded(request, actor, "dns:route", plan_id, once(actor, OperationView, apply))


@router.post("/plans/{plan_id}/undo", status_code=201)
async def undo_tunnel_plan(
    request: Request, actor: Annotated[Actor, allowed("dns:plan")], plan_id: PlanId, once: OnceDep
) -> RoutePlan:
    """The way back, as a plan. Changes nothing."""
    return await once(actor, RoutePlan, lambda: _tunnels(request).undo(actor, plan_id))


def _tunnels(request: Request) -> Tunnels:
    tunnels: Tunnels = request.app.state.portal.tunnels
    return tunnels
