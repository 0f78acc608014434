"""Mail domains over HTTP: parse, call, return."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request

from portal.actor import Actor
from portal.auth.dependencies import GuardedRoute, allowed, require_step_up
from portal.idempotency import OnceDep
from portal.operations.records import ID as OPERATION_ID
from portal.operations.refused import recorded
from portal.operations.schemas import OperationView
from portal.recipes.mail_domain.schemas import ApplyDomainPlan, DomainPlan, MailDomainList, NewDomainPlan
from portal.recipes.mail_domain.service import MailDomains

router = APIRouter(prefix="/api/mail-domains", tags=["mail-domains"], route_class=GuardedRoute)

DOMAIN = r"^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$"
PlanId = Annotated[str, Path(pattern=OPERATION_ID)]


@router.get("")
async def list_mail_domains(request: Request, actor: Annotated[Actor, allowed("mail-domains:read")]) -> MailDomainList:
    """The domains that Homeport receives mail for, and what is missing before one can be added."""
    return await _mail_domains(request).domains()


@router.post("/plans", status_code=201)
async def plan_mail_domain(
    request: Request, actor: Annotated[Actor, allowed("mail-domains:plan")], wanted: NewDomainPlan, once: OnceDep
) -> DomainPlan:
    """What making, or removing, a mail domain changes. Changes nothing."""
    return await once(actor, DomainPlan, lambda: _mail_domains(request).plan(actor, wanted))


@router.get("/plans/{plan_id}")
async def read_mail_domain_plan(
    request: Request, actor: Annotated[Actor, allowed("mail-domains:read")], plan_id: PlanId
) -> DomainPlan:
    """A plan as it was made, and how far it has come."""
    return await _mail_domains(request).read_plan(plan_id)


@router.post("/plans/{plan_id}/apply", status_code=202)
async def apply_mail_domain_plan(
    request: Request,
    actor: Annotated[Actor, allowed("mail-domains:apply")],
    plan_id: PlanId,
    wanted: ApplyDomainPlan,
    once: OnceDep,
) -> OperationView:
    """Do what was planned, as one operation that ends when the canary has come in. A stale plan is 409, with the new
    one. What changes the zone needs a fresh factor, and what takes something away the domain typed too."""

    async def apply() -> OperationView:
        return await _mail_domains(request).apply(actor, plan_id, wanted, lambda: require_step_up(request))

    return await recorded(request, actor, "mail-domains:apply", plan_id, once(actor, OperationView, apply))


@router.post("/{domain}/canary", status_code=202)
async def send_mail_domain_canary(
    request: Request,
    actor: Annotated[Actor, allowed("mail-domains:canary")],
    domain: Annotated[str, Path(pattern=DOMAIN, max_length=253)],
    once: OnceDep,
) -> OperationView:
    """Send a canary mail from outside and wait until it is in its mailbox."""
    return await once(actor, OperationView, lambda: _mail_domains(request).canary(actor, domain))


def _mail_domains(request: Request) -> MailDomains:
    mail_domains: MailDomains = request.app.state.portal.mail_domains
    return mail_domains
