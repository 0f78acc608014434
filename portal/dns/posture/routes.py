"""The posture of mail domains over HTTP: parse, call, return."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request

from portal.actor import Actor
from portal.auth.dependencies import GuardedRoute, allowed
from portal.dns.posture.schemas import DomainPosture, FixFindings, PostureOverview
from portal.dns.posture.service import Posture
from portal.dns.schemas import ZONE, DnsPlan
from portal.idempotency import OnceDep

router = APIRouter(prefix="/api/dns/mail", tags=["dns"], route_class=GuardedRoute)

DomainName = Annotated[str, Path(pattern=ZONE, max_length=253, description="The domain as A-labels, lower case")]


@router.get("")
async def read_mail_posture(request: Request, actor: Annotated[Actor, allowed("dns:list")]) -> PostureOverview:
    """Every mail domain as it was last checked."""
    return await _posture(request).overview()


@router.get("/{zone}")
async def read_domain_posture(
    request: Request, actor: Annotated[Actor, allowed("dns:read")], zone: DomainName
) -> DomainPosture:
    """One mail domain as it was last checked."""
    return await _posture(request).domain(zone)


@router.post("/{zone}/check")
async def check_domain_posture(
    request: Request, actor: Annotated[Actor, allowed("dns:refresh")], zone: DomainName, once: OnceDep
) -> DomainPosture:
    """Check a mail domain now."""
    return await once(actor, DomainPosture, lambda: _posture(request).check(zone))


@router.post("/{zone}/plans/fix", status_code=201)
async def plan_domain_fix(
    request: Request, actor: Annotated[Actor, allowed("dns:plan")], zone: DomainName, wanted: FixFindings, once: OnceDep
) -> DnsPlan:
    """What mending these findings changes, as a plan of the zone. Changes nothing."""
    return await once(actor, DnsPlan, lambda: _posture(request).plan_fix(actor, zone, wanted.findings))


def _posture(request: Request) -> Posture:
    posture: Posture = request.app.state.portal.posture
    return posture
