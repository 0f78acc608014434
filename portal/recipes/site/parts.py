"""What the recipes for sites stand on, in one place, and what is the same for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from portal.broker.schemas import DatabaseLogin, RedisLogin, Secrets
from portal.dns.tunnel.service import Tunnels
from portal.integrations.backup_sites import BackupSites, ListedSite
from portal.integrations.site_files import SiteFiles
from portal.operations.runner import Runner
from portal.recipes.site.database import SiteDatabases
from portal.recipes.site.imports import ImportDirectory
from portal.recipes.site.probe import Prober
from portal.recipes.site.runs import Runs
from portal.wordpress.points import RestorePoints
from portal.wordpress.serving import Serving
from portal.wordpress.sites import Site, Sites
from portal.wordpress.wp import WpCommands

REDIS_HOST, REDIS_PORT = "blog-redis", 6379
ORIGIN = "http://blog-nginx:8080"  # where the tunnel finds the sites; by the engine's name for it


class MailOfSites(Protocol):
    """The accounts that sites send as (recipes.site_mail). Raise what the mail server's database raises."""

    async def enabled(self, site: Site) -> list[str]: ...
    async def disable(self, site: Site) -> None: ...
    async def enable(self, site: Site, addresses: Sequence[str]) -> None: ...


class NoMail:
    """Where no mail of sites is connected."""

    async def enabled(self, site: Site) -> list[str]:
        return []

    async def disable(self, site: Site) -> None: ...
    async def enable(self, site: Site, addresses: Sequence[str]) -> None: ...


@dataclass(frozen=True, slots=True)
class Parts:
    sites: Sites
    serving: Serving
    wp: WpCommands
    files: SiteFiles
    databases: SiteDatabases
    tunnels: Tunnels
    backup: BackupSites
    points: RestorePoints
    imports: ImportDirectory
    prober: Prober
    runner: Runner
    runs: Runs
    mail: MailOfSites

    def secrets_of(self, site: Site, database_password: str, redis_password: str | None) -> Secrets:
        """What the site's tree is to know. redis_password: None leaves what is there."""
        server = self.databases.server(site.server)
        assert server is not None  # it has a name
        return Secrets(
            url=site.url,
            database=DatabaseLogin(
                host=server.host,
                port=server.port,
                name=site.database,
                user=site.account,
                password=database_password,
            ),
            redis=None
            if redis_password is None
            else RedisLogin(host=REDIS_HOST, port=REDIS_PORT, user=site.name, password=redis_password),
        )

    async def list_for_backup(self, *, with_: str | None = None, without: str | None = None) -> bool:
        """Write the backup's list: the sites that are whole, with this one or without it. Raise SitesListNotWritten."""
        return await self.backup.write(
            ListedSite(site.name, site.server, site.database)
            for site in await self.sites.all()
            if site.name == with_ or (site.state in ("active", "removing") and site.name != without)
        )
