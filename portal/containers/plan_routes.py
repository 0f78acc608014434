"""Starting and stopping containers as a plan: made, looked at, applied, taken back (run_state.py)."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Request

from kit.problem import Problem
from portal.actor import Actor
from portal.auth.dependencies import GuardedRoute, allowed, require_step_up, require_typed_name
from portal.broker.schemas import Container
from portal.containers.routes import room_of
from portal.containers.run_state import STOPPED, RunState
from portal.containers.schemas import ApplyPlan, ContainerPlan, NewPlan, PlannedChange
from portal.idempotency import OnceDep
from portal.operations.plans import Plan, PlanStale
from portal.operations.records import ID
from portal.operations.refused import recorded
from portal.operations.schemas import OperationView
from portal.probes import Uses, UseView

router = APIRouter(prefix="/api/containers/plans", tags=["containers"], route_class=GuardedRoute)

PlanId = Annotated[str, Path(pattern=ID)]


@router.post("", status_code=201)
async def plan_containers(
    request: Request, actor: Annotated[Actor, allowed("containers:plan")], wanted: NewPlan, once: OnceDep
) -> ContainerPlan:
    """What has to change for these containers to run, or to be stopped, and what suffers then. Changes nothing."""

    async def plan() -> ContainerPlan:
        return await _plan(request, await _run_state(request).plan(actor, wanted.names, wanted.want))

    return await once(actor, ContainerPlan, plan)


@router.get("/{plan_id}")
async def read_container_plan(
    request: Request, actor: Annotated[Actor, allowed("containers:read")], plan_id: PlanId
) -> ContainerPlan:
    """A plan as it was made; what suffers is said as of now."""
    return await _plan(request, await _run_state(request).get(plan_id))


@router.post("/{plan_id}/apply", status_code=202)
async def apply_container_plan(
    request: Request,
    actor: Annotated[Actor, allowed("containers:apply")],
    plan_id: PlanId,
    wanted: ApplyPlan,
    once: OnceDep,
) -> OperationView:
    """Do what was planned, as one operation whose result has an entry for each container. A stale plan is 409, with the
    new one. Each protected container that goes down needs its name typed, a reason and a fresh factor."""

    def confirm(container: Container) -> None:
        require_typed_name(container.name, container.name if container.name in wanted.typed_names else None)
        require_step_up(request)

    async def apply() -> OperationView:
        try:
            return OperationView.of(await _run_state(request).apply(actor, plan_id, wanted, confirm))
        except PlanStale as stale:
            raise await _stale(request, stale) from stale

    return await recorded(request, actor, "containers:apply", plan_id, once(actor, OperationView, apply))


@router.post("/{plan_id}/undo", status_code=201)
async def undo_container_plan(
    request: Request, actor: Annotated[Actor, allowed("containers:plan")], plan_id: PlanId, once: OnceDep
) -> ContainerPlan:
    """The way back from a plan that was applied, as a plan to be looked at and applied. Changes nothing."""

    async def undo() -> ContainerPlan:
        try:
            return await _plan(request, await _run_state(request).undo(actor, plan_id))
        except PlanStale as stale:
            raise await _stale(request, stale) from stale

    return await once(actor, ContainerPlan, undo)


def _run_state(request: Request) -> RunState:
    run_state: RunState = request.app.state.portal.run_state
    return run_state


async def _plan(request: Request, plan: Plan) -> ContainerPlan:
    uses: Uses = request.app.state.portal.uses
    going_down = [change.name for change in plan.changes if change.after == STOPPED]
    found = dict(
        zip(going_down, await asyncio.gather(*(uses.of("container", name) for name in going_down)), strict=True)
    )
    picture = room_of(request).picture
    changes = [
        PlannedChange(
            name=change.name,
            before=change.before,
            after=change.after,
            is_protected=(container := picture.named(change.name)) is not None and container.protection is not None,
            used_by=[UseView.of(use) for use in found[change.name].uses] if change.name in found else [],
        )
        for change in plan.changes
    ]
    return ContainerPlan(
        **{name: getattr(plan, name) for name in _PLAN},
        changes=changes,
        unchanged=sorted(plan.wish.keys() - {change.name for change in plan.changes}),
        silent_rooms=sorted({room for each in found.values() for room in each.silent_rooms}),
    )


_PLAN = ("id", "act", "target", "created_at", "expires_at", "undoes", "operation_id")


async def _stale(request: Request, stale: PlanStale) -> Problem:
    """The same problem, with the new plan as these routes show it."""
    stale.extensions["plan"] = (await _plan(request, stale.plan)).model_dump(mode="json")
    return stale
