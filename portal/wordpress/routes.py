"""The WordPress room's routes: parse, call, return. Plans lie in plan_routes.py, updates and mail in the recipes."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel

from kit.clock import now_utc
from portal.actor import Actor
from portal.auth.dependencies import GuardedRoute, allowed
from portal.broker.failures import BrokerUnavailable
from portal.idempotency import OnceDep
from portal.operations.schemas import OperationView
from portal.wordpress.names import SITE
from portal.wordpress.schemas import (
    ConfigureSite,
    KeptView,
    NewPassword,
    PackageList,
    PackageView,
    SiteRowView,
    SiteView,
    WordPressOverview,
    WpAnswer,
    WpLine,
    site_row,
    site_view,
)
from portal.wordpress.service import WordPress

router = APIRouter(prefix="/api/wordpress", tags=["wordpress"], route_class=GuardedRoute)

SiteName = Annotated[str, Path(pattern=SITE)]
Login = Annotated[str, Path(pattern=r"^[^\x00-\x1f\x7f/]{1,60}$")]


class Begun(BaseModel):
    """The sites that are being read now; each is told on the event stream, topic `wordpress`, as it is done."""

    sites: list[str]


@router.get("")
async def read_wordpress(request: Request, actor: Annotated[Actor, allowed("wordpress:list")]) -> WordPressOverview:
    """Every site with what was last known of it, and since when. Asks no site."""
    room = room_of(request)
    operations = await room.running_operations()
    now = now_utc(request.app.state.portal.clock)
    rows = [
        SiteRowView(
            **site_row(
                site,
                room.inventory.last(site.name),
                now,
                is_reading=site.name in room.inventory.under_way,
                operation=operations.get(site.name),
            )
        )
        for site in await room.sites.all()
    ]
    return WordPressOverview(is_connected=room.is_connected, can_render=room.serving.is_configured, sites=rows)


@router.post("/refresh", status_code=202)
async def refresh_wordpress(
    request: Request, actor: Annotated[Actor, allowed("wordpress:refresh")], once: OnceDep
) -> Begun:
    """Begin to read every site anew. One that is being read already is not read twice."""
    room = room_of(request)

    async def refresh() -> Begun:
        if not room.is_connected:
            raise BrokerUnavailable("no broker is configured")
        sites = [site for site in await room.sites.all() if site.state == "active"]
        room.inventory.begin_refresh(sites)
        return Begun(sites=[site.name for site in sites])

    return await once(actor, Begun, refresh)


@router.get("/packages")
async def list_wordpress_packages(request: Request, actor: Annotated[Actor, allowed("wordpress:read")]) -> PackageList:
    """The zip files of plugins and themes that can be installed."""
    found = await asyncio.to_thread(room_of(request).packages.all)
    return PackageList(packages=[PackageView(**asdict(each)) for each in found])


@router.get("/sites/{site}")
async def read_wordpress_site(
    request: Request, actor: Annotated[Actor, allowed("wordpress:read")], site: SiteName
) -> SiteView:
    """One site with all that was last known of it."""
    return await _site(request, site)


@router.post("/sites/{site}/refresh")
async def refresh_wordpress_site(
    request: Request, actor: Annotated[Actor, allowed("wordpress:refresh")], site: SiteName, once: OnceDep
) -> SiteView:
    """Read one site now. A site that fails is no failure of this: its trouble is in `reading`."""
    room = room_of(request)

    async def refresh() -> SiteView:
        await room.inventory.refresh([site])
        return await _site(request, site)

    return await once(actor, SiteView, refresh)


@router.post("/sites/{site}/checksums", status_code=202)
async def verify_wordpress_site(
    request: Request, actor: Annotated[Actor, allowed("wordpress:refresh")], site: SiteName, once: OnceDep
) -> OperationView:
    """Compare the files of core and plugins with wordpress.org's sums."""

    async def verify() -> OperationView:
        return OperationView.of(await room_of(request).verify(actor, site))

    return await once(actor, OperationView, verify)


@router.post("/sites/{site}/cache", status_code=202)
async def flush_wordpress_cache(
    request: Request, actor: Annotated[Actor, allowed("wordpress:cache")], site: SiteName, once: OnceDep
) -> OperationView:
    """Empty the site's object cache."""

    async def flush() -> OperationView:
        return OperationView.of(await room_of(request).flush_cache(actor, site))

    return await once(actor, OperationView, flush)


@router.post("/sites/{site}/users/{login}/password")
async def reset_wordpress_password(
    request: Request,
    actor: Annotated[Actor, allowed("wordpress:password")],
    site: SiteName,
    login: Login,
    once: OnceDep,
) -> NewPassword:
    """Give a user of the site another password, which is shown in this answer and nowhere else."""

    async def reset() -> NewPassword:
        return await room_of(request).reset_password(actor, site, login)

    return await once(actor, NewPassword, reset, keep_answer=False)


@router.post("/sites/{site}/salts", status_code=202)
async def renew_wordpress_salts(
    request: Request, actor: Annotated[Actor, allowed("wordpress:password")], site: SiteName, once: OnceDep
) -> OperationView:
    """Draw the site's salts anew, so that every login ends, also a stolen one."""

    async def renew() -> OperationView:
        return OperationView.of(await room_of(request).renew_salts(actor, site))

    return await once(actor, OperationView, renew)


@router.post("/sites/{site}/wp")
async def run_wp(
    request: Request,
    actor: Annotated[Actor, allowed("wordpress:wp")],
    site: SiteName,
    line: WpLine,
    once: OnceDep,
) -> WpAnswer:
    """Run one allowed subcommand of wp as the site's own user, and answer how it ended."""

    async def run() -> WpAnswer:
        return await room_of(request).run_line(actor, site, line)

    return await once(actor, WpAnswer, run)


@router.put("/sites/{site}/php", status_code=202)
async def configure_wordpress_site(
    request: Request,
    actor: Annotated[Actor, allowed("wordpress:configure")],
    site: SiteName,
    wanted: ConfigureSite,
    once: OnceDep,
) -> OperationView:
    """Change how the site's PHP runs, and its ring. When the web server refuses, everything stays as it was."""

    async def configure() -> OperationView:
        return OperationView.of(await room_of(request).configure(actor, site, wanted))

    return await once(actor, OperationView, configure)


async def _site(request: Request, name: str) -> SiteView:
    room = room_of(request)
    site = await room.sites.get(name)
    reading = room.inventory.last(name)
    row = site_row(
        site,
        reading,
        now_utc(request.app.state.portal.clock),
        is_reading=name in room.inventory.under_way,
        operation=(await room.running_operations()).get(name),
    )
    kept = [
        KeptView(**{member: getattr(each, member) for member in KeptView.model_fields})
        for each in await room.kept.of(site)
    ]
    return site_view(row, site, reading, kept)


def room_of(request: Request) -> WordPress:
    room: WordPress = request.app.state.portal.wordpress
    return room
