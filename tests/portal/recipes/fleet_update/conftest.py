"""Updates on the fleet: real sites, a real edge in front of them, and a real backup whose units take the requests."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from backup import work
from backup.house import House
from backup.settings import BackupSettings
from backup.signing import generate
from kit.clock import SystemClock
from portal.backups.service import Backups
from portal.broker.client import Broker
from portal.databases.service import DatabasesRoom
from portal.db import Database
from portal.integrations.backup_sites import BackupSites, ListedSite
from portal.operations.hub import Hub
from portal.operations.plans import Plans
from portal.operations.runner import Operation, Runner
from portal.recipes.fleet_update.one_site import Tools
from portal.recipes.fleet_update.points import BackupPoints
from portal.recipes.fleet_update.schemas import ApplyUpdatePlan, NewUpdatePlan, UpdatePlan, UpdateReport
from portal.recipes.fleet_update.service import FleetUpdates
from portal.settings import PortalSettings
from portal.wordpress.look import Looks
from portal.wordpress.service import WordPress
from tests.portal import database as databases
from tests.portal.wordpress.adopted import adopt_into
from tests.portal.wordpress.conftest import ANNA
from tests.portal.wordpress.public_edge import PublicEdge
from tests.services.fleet import Fleet

BACKUP_PASSWORD = "a password of the backup account"
RIGHTS = "SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES ON *.*"


class Units:
    """The backup's two units, as systemd starts them: whatever the portal asks for is done, one after the other."""

    def __init__(self, fleet: Fleet, directory: Path) -> None:
        root, keys = directory / "root", directory / "keys"
        for each in (root, keys):
            each.mkdir(parents=True)
        generate(keys / "signing.key", keys / "signing.pub")
        (keys / "password").write_text(BACKUP_PASSWORD)
        make_account(fleet)
        account = {"user": "homeport_backup", "password_file": keys / "password"}
        restores = {"restore_user": "homeport_restore", "restore_password_file": keys / "password"}
        server = {"name": "blog", "socket": fleet.mariadb.unix_socket, **account, **restores}
        sources = {
            "mariadb": [server],
            "sites": {"root": fleet.sites_root, "server": "blog"},
            "allow_same_device": True,
        }
        document = {
            "root": root,
            "lock_wait_hours": 0.05,
            "signing_key_file": keys / "signing.key",
            "public_key_file": keys / "signing.pub",
            "sources": sources,
        }
        self.house = House(BackupSettings.model_validate(document))
        self.house.layout.create()
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._serve, args=(unit,)) for unit in ("run", "restore")]

    @property
    def directory(self) -> Path:
        """The backup's for the portal."""
        return self.house.layout.portal

    def know(self) -> None:
        """Write the catalog, as every run does at its end: the listed sites are assets then."""
        self.house.with_listed_sites().write_catalog(self.house.facts())

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _serve(self, unit: Any) -> None:
        while not self._is_over.is_set():
            work.serve(self.house, unit)
            time.sleep(0.1)


def make_account(fleet: Fleet) -> None:
    """The backup's two accounts, as stacks/blog makes them."""
    for name, rights in (("homeport_backup", RIGHTS), ("homeport_restore", "ALL ON *.*")):
        grantable = " WITH GRANT OPTION" if name == "homeport_restore" else ""
        fleet.mariadb.execute(
            *(
                f"CREATE USER IF NOT EXISTS {name}@{host} IDENTIFIED BY '{BACKUP_PASSWORD}'"
                for host in ("localhost", "'%'")
            ),
            *(f"GRANT {rights} TO {name}@{host}{grantable}" for host in ("localhost", "'%'")),
        )


@dataclass
class World:
    """Updates as app.py wires them, and what an operator does with them."""

    fleet: Fleet
    units: Units
    edge: PublicEdge
    wordpress: WordPress
    updates: FleetUpdates
    points: BackupPoints
    runner: Runner
    database: Database

    @property
    def tools(self) -> Tools:
        return self.updates._tools

    async def plan(self, **wanted: Any) -> UpdatePlan:
        return await self.updates.plan(ANNA, NewUpdatePlan(**{"soak_minutes": 0} | wanted))

    async def begun(self, plan: UpdatePlan) -> str:
        return (await self.updates.apply(ANNA, plan.id, ApplyUpdatePlan())).id

    async def applied(self, plan: UpdatePlan) -> tuple[Operation, UpdateReport]:
        """Apply it; return the operation when it has ended, and the report."""
        operation = await self.runner.wait(await self.begun(plan))
        return operation, await self.updates.update(operation.id)

    async def ring(self, name: str, ring: int) -> None:
        await self.wordpress.sites.change(name, ring=ring)

    async def is_maintained(self, name: str) -> bool:
        return (await self.wordpress.sites.get(name)).is_maintained


@contextmanager
def standing_units(fleet: Fleet, directory: Path) -> Iterator[Units]:
    units = Units(fleet, directory)
    units.start()
    try:
        yield units
    finally:
        units.end()


@asynccontextmanager
async def standing(
    url: str, directory: Path, fleet: Fleet, units: Units, edge: PublicEdge, *, is_first: bool = True
) -> AsyncIterator[World]:
    """A portal. is_first: False after a restart, when the sites are known."""
    clock = SystemClock()
    settings = PortalSettings(
        state_dir=directory,
        broker_socket=fleet.broker_socket,
        web_dir=fleet.web_dir,
        import_dir=fleet.import_dir,
        databases_file=fleet.database_servers_file,
        sites_origin_url=fleet.origin_url,
        sites_edge_url=edge.url,
        backup_dir=units.directory,
    )
    with databases.opened(url) as database:
        hub, broker = Hub(), Broker(fleet.broker_socket)
        runner = Runner(database, hub, clock, recheck_waits_s=(0.05,))
        plans = Plans(database, runner, clock)
        backups = Backups.of(units.directory, broker, hub, runner, clock)
        points = BackupPoints(backups, runner)
        wordpress = WordPress.of(broker, database, hub, runner, plans, clock, settings, points=points)
        rooms = DatabasesRoom.of(settings, database, hub, runner, clock)
        looks = Looks.of(settings, clock)
        updates = FleetUpdates.of(
            wordpress, points, rooms.works.checksum, looks, broker, database, hub, runner, plans, clock, settings
        )
        for room in (backups, wordpress, rooms, updates):
            room.begin()
        await runner.recover()
        try:
            if is_first:
                await adopt_into(wordpress.sites, fleet)
                listed = [ListedSite(site.name, site.server, site.database) for site in await wordpress.sites.all()]
                await BackupSites(units.directory).write(listed)
                units.know()
            yield World(fleet, units, edge, wordpress, updates, points, runner, database)
        finally:
            await runner.close()
            await wordpress.close()
            await rooms.close()
            await backups.close()
            await looks.close()
            await broker.close()
            with suppress(Exception):
                hub.close()


@pytest.fixture
def edge(fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PublicEdge]:
    """In front of the shared fleet, trusted by this process."""
    with PublicEdge(fleet.origin_url, tmp_path, [site.hostname for site in fleet.sites.values()]) as standing_edge:
        monkeypatch.setenv("SSL_CERT_FILE", str(standing_edge.certificate))
        yield standing_edge


@pytest.fixture
def units(fleet: Fleet, tmp_path: Path) -> Iterator[Units]:
    with standing_units(fleet, tmp_path / "backup") as running:
        yield running


@pytest.fixture
async def world(
    fleet: Fleet, units: Units, edge: PublicEdge, database_url: str, tmp_path: Path
) -> AsyncIterator[World]:
    async with standing(database_url, tmp_path, fleet, units, edge) as ready:
        yield ready
