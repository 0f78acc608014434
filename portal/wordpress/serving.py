"""Which sites the web server has, and how: the one place that renders them.

    await serving.serve("garden")            # its pool, its virtual host, its Redis user
    await serving.drop("garden")
    await serving.maintain("garden", True)   # 503 in its place
    await serving.configure("garden", php)   # its PHP

A rendering holds all sites that are served, never one alone; so rows are changed and rendered one after the other. When
the web server refuses, it serves what it did before, and the row is put back. Killed between the two, the row is ahead
of the web server: `recheck` finds that the current generation is not what the table says, and renders.
"""

from __future__ import annotations

import asyncio
from typing import Any

from portal.integrations.php_settings import PhpSettings
from portal.integrations.site_spec import SiteSpec
from portal.integrations.web_config import Generation, WebConfig
from portal.wordpress.sites import Ring, Site, Sites
from portal.wordpress.whole import whole


class Serving:
    def __init__(self, sites: Sites, web: WebConfig) -> None:
        self._sites = sites
        self._web = web
        self._lock = asyncio.Lock()

    @property
    def is_configured(self) -> bool:
        """Whether this portal renders at all; otherwise every act here raises WebConfigUnavailable."""
        return self._web.is_configured

    async def serve(self, name: str) -> Generation:
        """Raise NoSuchSite, WebConfigRefused and the other problems of WebConfig.render; nothing has changed then."""
        return await self._changed(name, is_served=True)

    async def drop(self, name: str) -> Generation:
        """As `serve`. A site that is not served any more answers like an unknown name."""
        return await self._changed(name, is_served=False, is_maintained=False)

    async def maintain(self, name: str, is_maintained: bool) -> Generation:
        """As `serve`."""
        return await self._changed(name, is_maintained=is_maintained)

    async def configure(self, name: str, *, php: PhpSettings, xmlrpc: bool, ring: Ring) -> Generation:
        """As `serve`."""
        return await self._changed(name, php=php, xmlrpc=xmlrpc, ring=ring)

    async def render(self) -> Generation:
        """Render what the table says. Raise as `serve`."""
        async with self._lock:
            return await self._render()

    async def recheck(self) -> None:
        """Have the current generation served, and what the table says rendered: after a start. Raise as `render`."""
        async with self._lock:
            current, specs = await self._web.recheck(), await self._specs()
            if (specs or current is not None) and not await self._web.has(specs):
                await self._web.render(specs)

    async def names(self) -> frozenset[str]:
        """Return the names that the web server has. Raise WebConfigUnavailable."""
        return await self._web.names()

    async def _changed(self, name: str, **changes: Any) -> Generation:
        """To its end also when whoever asked goes away: in the middle, table and web server would say different."""
        return await whole(self._change(name, changes))

    async def _change(self, name: str, changes: dict[str, Any]) -> Generation:
        async with self._lock:
            before = await self._sites.get(name)
            await self._sites.change(name, **changes)
            try:
                return await self._render()
            except BaseException:
                await self._sites.change(name, **{member: getattr(before, member) for member in changes})
                raise

    async def _render(self) -> Generation:
        return await self._web.render(await self._specs())

    async def _specs(self) -> list[SiteSpec]:
        return [spec_of(site) for site in await self._sites.all() if site.is_served]


def spec_of(site: Site) -> SiteSpec:
    return SiteSpec(
        name=site.name,
        hostnames=site.hostnames,
        uid=site.uid,
        php=site.php,
        redis_password_sha256=site.redis_password_sha256,
        is_maintained=site.is_maintained,
        allows_xmlrpc=site.xmlrpc,
    )
