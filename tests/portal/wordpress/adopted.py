"""The fleet's sites, made known to a portal that did not make them."""

from __future__ import annotations

import asyncio

from kit.clock import SystemClock
from portal.wordpress.sites import NewSite, Sites
from tests.portal import database as databases
from tests.services.fleet import Fleet
from tests.services.portal import Portal


async def adopt_into(sites: Sites, fleet: Fleet) -> None:
    """With the user ids that they have: those are given one after the other. Once only."""
    if await sites.all():
        return
    uid = (await sites.add(NewSite("before-all", ("before.example",), "blog", "0" * 64), operation_id=None)).uid
    await sites.remove("before-all")
    for site in sorted(fleet.sites.values(), key=lambda each: each.uid):
        assert site.uid == uid + 1
        spec = site.spec()
        new = NewSite(site.name, spec.hostnames, "blog", spec.redis_password_sha256, php=spec.php, adopted=True)
        uid = (await sites.add(new, operation_id=None)).uid
        await sites.change(site.name, state="active", is_served=True)


def adopt(portal: Portal, fleet: Fleet) -> None:
    """Write them into the database of a portal that has not started: when it does, it renders what it finds there."""
    portal.run("portal", "migrate")
    with databases.opened(f"sqlite:///{portal.state_dir / 'portal.sqlite3'}") as database:
        asyncio.run(adopt_into(Sites(database, SystemClock()), fleet))
