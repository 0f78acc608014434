"""The mail of sites over HTTP: parse, call, return."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request

from portal.actor import Actor
from portal.auth.dependencies import GuardedRoute, allowed
from portal.idempotency import OnceDep
from portal.operations.records import ID as OPERATION_ID
from portal.operations.schemas import OperationView
from portal.recipes.site_mail.schemas import ApplyMailPlan, MailPlan, NewMailPlan, SiteMailList
from portal.recipes.site_mail.service import SiteMail
from portal.wordpress.names import SITE

router = APIRouter(prefix="/api/wordpress", tags=["wordpress"], route_class=GuardedRoute)

PlanId = Annotated[str, Path(pattern=OPERATION_ID)]


@router.get("/mail")
async def list_site_mail(request: Request, actor: Annotated[Actor, allowed("wordpress:read")]) -> SiteMailList:
    """Who each site sends as, and what is missing before sites can send."""
    return await _site_mail(request).sites()


@router.post("/mail/plans", status_code=201)
async def plan_site_mail(
    request: Request, actor: Annotated[Actor, allowed("wordpress:configure")], wanted: NewMailPlan, once: OnceDep
) -> MailPlan:
    """What would change for these sites to send through our server, or not to any more. Changes nothing."""
    return await once(actor, MailPlan, lambda: _site_mail(request).plan(actor, wanted))


@router.get("/mail/plans/{plan_id}")
async def read_site_mail_plan(
    request: Request, actor: Annotated[Actor, allowed("wordpress:read")], plan_id: PlanId
) -> MailPlan:
    """A plan as it was made."""
    return await _site_mail(request).read_plan(plan_id)


@router.post("/mail/plans/{plan_id}/apply", status_code=202)
async def apply_site_mail_plan(
    request: Request,
    actor: Annotated[Actor, allowed("wordpress:configure")],
    plan_id: PlanId,
    wanted: ApplyMailPlan,
    once: OnceDep,
) -> OperationView:
    """Do what was planned: accounts, and each site's own way to the submission server."""
    return await once(actor, OperationView, lambda: _site_mail(request).apply(actor, plan_id, wanted))


@router.post("/mail/plans/{plan_id}/undo", status_code=201)
async def undo_site_mail_plan(
    request: Request, actor: Annotated[Actor, allowed("wordpress:configure")], plan_id: PlanId, once: OnceDep
) -> MailPlan:
    """Plan the way back from a plan that was applied."""
    return await once(actor, MailPlan, lambda: _site_mail(request).undo(actor, plan_id))


@router.post("/sites/{site}/mail-test", status_code=202)
async def test_site_mail(
    request: Request,
    actor: Annotated[Actor, allowed("wordpress:mail-test")],
    site: Annotated[str, Path(pattern=SITE)],
    once: OnceDep,
) -> OperationView:
    """Have the site send a mail by its own WordPress, and wait until it is in a mailbox of ours."""
    return await once(actor, OperationView, lambda: _site_mail(request).test(actor, site))


def _site_mail(request: Request) -> SiteMail:
    site_mail: SiteMail = request.app.state.portal.site_mail
    return site_mail
