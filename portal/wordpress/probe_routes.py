"""A site's probes over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request

from portal.actor import Actor
from portal.auth.dependencies import GuardedRoute, allowed
from portal.wordpress.names import SITE
from portal.wordpress.probe_schemas import SiteProbesView, SiteReachList
from portal.wordpress.probes import SiteProbes

router = APIRouter(prefix="/api/wordpress", tags=["wordpress"], route_class=GuardedRoute)


@router.get("/probes")
async def list_site_probes(request: Request, actor: Annotated[Actor, allowed("wordpress:list")]) -> SiteReachList:
    """How every served site answered in the last round, at its origin and by its public name."""
    probes: SiteProbes = request.app.state.portal.site_probes
    return await probes.of_all()


@router.get("/sites/{site}/probes")
async def read_site_probes(
    request: Request,
    actor: Annotated[Actor, allowed("wordpress:read")],
    site: Annotated[str, Path(pattern=SITE)],
) -> SiteProbesView:
    """What was measured of a site: answers of origin and public name, certificate, uptime, and the edge's cache."""
    probes: SiteProbes = request.app.state.portal.site_probes
    return await probes.of_site(site)
