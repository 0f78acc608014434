"""Sites as a whole over HTTP: parse, call, return."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Path, Request

from portal.actor import Actor
from portal.auth.dependencies import GuardedRoute, allowed, require_step_up
from portal.idempotency import OnceDep
from portal.operations.records import ID as OPERATION_ID
from portal.operations.refused import recorded
from portal.operations.schemas import OperationView
from portal.recipes.site.schemas import (
    AddSite,
    ApplySiteRecipe,
    ImportFiles,
    ImportSite,
    RemoveSite,
    SiteRecipePlan,
    UnfinishedRuns,
)
from portal.recipes.site.service import SiteRecipes

router = APIRouter(prefix="/api/sites", tags=["sites"], route_class=GuardedRoute)

PlanId = Annotated[str, Path(pattern=OPERATION_ID)]
RunId = Annotated[str, Path(pattern=OPERATION_ID)]


@router.post("/plans", status_code=201)
async def plan_site_recipe(
    request: Request,
    actor: Annotated[Actor, allowed("sites:plan")],
    wanted: Annotated[AddSite | ImportSite | RemoveSite, Body(discriminator="act")],
    once: OnceDep,
) -> SiteRecipePlan:
    """What making, removing or bringing in a site changes, and what is in the way. Changes nothing."""
    return await once(actor, SiteRecipePlan, lambda: _sites(request).plan(actor, wanted))


@router.get("/plans/{plan_id}")
async def read_site_recipe(
    request: Request, actor: Annotated[Actor, allowed("sites:read")], plan_id: PlanId
) -> SiteRecipePlan:
    """A plan as it was made, and how far it has come."""
    return await _sites(request).read_plan(plan_id)


@router.post("/plans/{plan_id}/apply", status_code=202)
async def apply_site_recipe(
    request: Request,
    actor: Annotated[Actor, allowed("sites:apply")],
    plan_id: PlanId,
    wanted: ApplySiteRecipe,
    once: OnceDep,
) -> OperationView:
    """Do what was planned, as one operation. A step that fails has those before it taken back. A removal needs the
    site's name and a fresh factor; what changes DNS needs the factor. A stale plan is 409, with the new one."""

    async def apply() -> OperationView:
        return await _sites(request).apply(actor, plan_id, wanted, lambda: require_step_up(request))

    return await recorded(request, actor, "sites:apply", plan_id, once(actor, OperationView, apply))


@router.get("/unfinished")
async def list_unfinished_site_runs(request: Request, actor: Annotated[Actor, allowed("sites:read")]) -> UnfinishedRuns:
    """What neither ended nor was taken back: the portal was stopped, somebody cancelled, or taking back failed."""
    return await _sites(request).unfinished()


@router.post("/unfinished/{run_id}/resume", status_code=202)
async def resume_site_run(
    request: Request, actor: Annotated[Actor, allowed("sites:apply")], run_id: RunId, once: OnceDep
) -> OperationView:
    """Do what is left of it. Needs a fresh factor."""

    async def resume() -> OperationView:
        return await _sites(request).go_on(actor, run_id, "resume", lambda: require_step_up(request))

    return await recorded(request, actor, "sites:apply", run_id, once(actor, OperationView, resume))


@router.post("/unfinished/{run_id}/revert", status_code=202)
async def revert_site_run(
    request: Request, actor: Annotated[Actor, allowed("sites:apply")], run_id: RunId, once: OnceDep
) -> OperationView:
    """Take back what it made, and nothing else. Needs a fresh factor."""

    async def revert() -> OperationView:
        return await _sites(request).go_on(actor, run_id, "revert", lambda: require_step_up(request))

    return await recorded(request, actor, "sites:apply", run_id, once(actor, OperationView, revert))


@router.get("/imports")
async def list_site_imports(request: Request, actor: Annotated[Actor, allowed("sites:read")]) -> ImportFiles:
    """Archives and dumps that an operator has laid into the import directory."""
    return await _sites(request).imports()


def _sites(request: Request) -> SiteRecipes:
    recipes: SiteRecipes = request.app.state.portal.site_recipes
    return recipes
