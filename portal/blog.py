"""The rooms of the sites and of their databases, wired: what each is told of the others, since rooms never import
each other. A part of app.py, by the same rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime

from kit.clock import Clock
from portal.auth.sealing import Seal
from portal.backups.catalog import BackupsNotConnected
from portal.backups.service import Backups
from portal.broker.client import Broker
from portal.databases.console.routes import router as console_routes
from portal.databases.console.service import Console
from portal.databases.owners import SiteDatabase
from portal.databases.routes import router as databases_routes
from portal.databases.service import DatabasesRoom
from portal.db import Database
from portal.dns.tunnel.service import Tunnels
from portal.operations.hub import Hub
from portal.operations.plans import Plans
from portal.operations.runner import Runner
from portal.probes import Probe, UsedBy
from portal.recipes.fleet_update.points import BackupPoints
from portal.recipes.fleet_update.routes import router as fleet_update_routes
from portal.recipes.fleet_update.service import FleetUpdates
from portal.recipes.site.routes import router as site_routes
from portal.recipes.site.service import SiteRecipes
from portal.recipes.site_mail.routes import router as site_mail_routes
from portal.recipes.site_mail.service import SiteMail
from portal.scheduler import Job
from portal.settings import PortalSettings
from portal.wordpress.look import Looks
from portal.wordpress.plan_routes import router as wordpress_plan_routes
from portal.wordpress.probe_routes import router as site_probe_routes
from portal.wordpress.probes import SiteProbes
from portal.wordpress.routes import router as wordpress_routes
from portal.wordpress.service import WordPress

# Those with fixed words in the place of a site's or a server's name first.
ROUTERS = (
    console_routes,
    databases_routes,
    fleet_update_routes,
    site_mail_routes,
    site_probe_routes,
    wordpress_plan_routes,
    wordpress_routes,
    site_routes,
)


@dataclass(frozen=True, slots=True)
class Blog:
    databases: DatabasesRoom
    console: Console
    wordpress: WordPress
    site_probes: SiteProbes
    fleet_updates: FleetUpdates
    site_mail: SiteMail
    site_recipes: SiteRecipes

    @classmethod
    def of(
        cls,
        stack: AsyncExitStack,
        settings: PortalSettings,
        broker: Broker,
        db: Database,
        hub: Hub,
        runner: Runner,
        plans: Plans,
        clock: Clock,
        seal: Seal,
        *,
        backups: Backups,
        tunnels: Tunnels,
    ) -> Blog:
        """Make the rooms, each after what it needs; `stack` closes them."""
        points = BackupPoints(backups, runner)
        wordpress = WordPress.of(broker, db, hub, runner, plans, clock, settings, points=points)
        stack.push_async_callback(wordpress.close)
        databases = DatabasesRoom.of(settings, db, hub, runner, clock)
        stack.push_async_callback(databases.close)
        console = Console.of(databases.servers, db, runner, clock, settings)
        stack.push_async_callback(console.close)
        looks = Looks.of(settings, clock)
        stack.push_async_callback(looks.close)
        checksum = databases.works.checksum if settings.databases_file is not None else None
        updates = FleetUpdates.of(wordpress, points, checksum, looks, broker, db, hub, runner, plans, clock, settings)
        site_mail = SiteMail.of(wordpress, db, runner, plans, clock, settings)
        stack.push_async_callback(site_mail.close)
        recipes = SiteRecipes.of(
            settings, db, runner, plans, clock, seal, wordpress, databases, tunnels, mail=site_mail
        )

        async def owners() -> Sequence[SiteDatabase]:
            return [
                SiteDatabase(each.name, each.server, each.database, each.account)
                for each in await wordpress.sites.all()
            ]

        async def backed_up() -> Mapping[tuple[str, str], datetime]:
            try:
                catalog = await backups.catalog()
            except BackupsNotConnected:
                return {}
            return {(each.kind, each.name): each.local_at for each in catalog.assets if each.local_at is not None}

        async def hand_over(owner: SiteDatabase, password: str) -> None:
            await recipes.hand_over(owner.site, password)

        databases.owners, databases.backed_up, databases.hand_over = owners, backed_up, hand_over
        probes = SiteProbes(wordpress.sites, looks, db, hub, clock)
        return cls(databases, console, wordpress, probes, updates, site_mail, recipes)

    @property
    def uses(self) -> Mapping[str, UsedBy]:
        return {"databases": self.databases, "wordpress": self.wordpress}

    @property
    def probes(self) -> Sequence[Probe]:
        return [*self.databases.probes, *self.wordpress.probes, *self.site_probes.probes]

    @property
    def jobs(self) -> Sequence[Job]:
        rooms = (self.databases, self.console, self.wordpress, self.site_probes, self.fleet_updates)
        return [job for room in rooms for job in room.jobs]

    def begin(self) -> None:
        """Tell the runner how the acts are re-checked. Before `runner.recover`."""
        for room in (
            self.databases,
            self.console,
            self.wordpress,
            self.fleet_updates,
            self.site_mail,
            self.site_recipes,
        ):
            room.begin()
