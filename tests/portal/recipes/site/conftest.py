"""Recipes for sites on all they stand on: a fleet with one site, its real MariaDB, Cloudflare's fake with a tunnel."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pymysql  # type: ignore[import-untyped]
import pytest
from pydantic import SecretStr
from sqlalchemy import select

from kit.clock import SystemClock
from portal.actor import Actor
from portal.auth.sealing import Seal
from portal.broker.client import Broker
from portal.databases.service import DatabasesRoom
from portal.db import Database
from portal.dns.service import DnsRoom
from portal.dns.tunnel.service import Tunnels
from portal.integrations.backup_sites import BackupSites, ListedSite
from portal.integrations.cloudflare import Cloudflare
from portal.integrations.php_settings import PhpSettings
from portal.operations.hub import Hub
from portal.operations.plans import Plans
from portal.operations.progress import Progress
from portal.operations.runner import Operation, Runner
from portal.probes import Uses
from portal.recipes.site.runs import Runs
from portal.recipes.site.schemas import AddSite, ApplySiteRecipe, ImportSite, RemoveSite, SiteRecipePlan
from portal.recipes.site.service import SiteRecipes
from portal.settings import PortalSettings
from portal.wordpress.models import HostnameRow, SiteRow
from portal.wordpress.service import WordPress
from portal.wordpress.sites import Site
from tests.fakes.cloudflare import CloudflareFake
from tests.portal import database as databases
from tests.portal.conftest import HOME
from tests.portal.dns.tunnel.conftest import a_tunnel
from tests.services.fleet import Fleet

ANNA = Actor.system("anna")
SITE, HOST = "garden", f"garden.{HOME}"
Json = dict[str, Any]


PATIENCE_S = 600  # a run of a recipe is seconds, on a machine that does much else a minute


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "fleet_of_one" in getattr(item, "fixturenames", ()):
            item.add_marker("services")
            item.add_marker(pytest.mark.timeout(PATIENCE_S))


class Killed(BaseException):
    """The portal dies here: nothing that would be done on an error is done."""


@dataclass
class Accounts:
    """Those that sites send as, as the recipe for their mail keeps them: whether each is enabled. trouble: raised
    instead of looking."""

    of: dict[int, dict[str, bool]] = field(default_factory=dict)
    trouble: Exception | None = None

    async def enabled(self, site: Site) -> list[str]:
        if self.trouble is not None:
            raise self.trouble
        return [name for name, is_enabled in self.of.get(site.uid, {}).items() if is_enabled]

    async def disable(self, site: Site) -> None:
        self.of[site.uid] = dict.fromkeys(self.of.get(site.uid, {}), False)

    async def enable(self, site: Site, addresses: Sequence[str]) -> None:
        assert set(addresses) <= self.of.get(site.uid, {}).keys()
        self.of.setdefault(site.uid, {}).update(dict.fromkeys(addresses, True))


@dataclass
class Points:
    """Restore points as the backups room's users see them. trouble: raised instead of making a point."""

    made: list[str] = field(default_factory=list)
    mail: Accounts = field(default_factory=Accounts)
    is_known: bool = True
    trouble: Exception | None = None

    async def is_connected(self, site: str) -> bool:
        return self.is_known

    async def make(self, actor: Actor, site: str, progress: Progress) -> str:
        if self.trouble is not None:
            raise self.trouble
        self.made.append(site)
        return f"manual/20261122T000000Z-{site}"


@dataclass
class World:
    """The recipes as app.py wires them, and what an operator does with them."""

    recipes: SiteRecipes
    wordpress: WordPress
    room: DatabasesRoom
    tunnels: Tunnels
    runner: Runner
    database: Database
    cf: CloudflareFake
    fleet: Fleet
    points: Points
    settings: PortalSettings

    async def plan(self, wanted: AddSite | ImportSite | RemoveSite) -> SiteRecipePlan:
        return await self.recipes.plan(ANNA, wanted)

    async def apply(self, plan: SiteRecipePlan) -> Operation:
        """Apply it as one who may; return the operation when it has ended."""
        begun = await self.recipes.apply(ANNA, plan.id, ApplySiteRecipe(typed_names=[plan.site]), lambda: None)
        return await self.runner.wait(begun.id)

    async def done(self, wanted: AddSite | ImportSite | RemoveSite) -> Operation:
        """Plan and apply, and be sure that it worked."""
        operation = await self.apply(await self.plan(wanted))
        assert operation.state == "done", (operation.error, operation.report.lines[-5:])
        return operation

    async def go_on(self, way: Any) -> Operation:
        """Finish, or take back, the one run that is unfinished."""
        (run,) = (await self.recipes.unfinished()).runs
        return await self.runner.wait((await self.recipes.go_on(ANNA, run.run, way, lambda: None)).id)

    async def seen(self) -> Json:
        """Everything outside the portal, and its live rows: without numbers that only count up, and without what was
        put aside."""
        fleet = self.fleet
        root = self.root
        current = fleet.web_dir / "current"
        return {
            "databases": sorted(root("SELECT schema_name FROM information_schema.schemata")),
            "accounts": sorted(root("SELECT user, host FROM mysql.global_priv WHERE user NOT LIKE 'homeport-load%'")),
            "grants": sorted(
                root("SELECT grantee, table_schema, privilege_type FROM information_schema.schema_privileges")
            ),
            "trees": sorted(
                (path.name, path.stat().st_uid, (path / "private").stat().st_uid)
                for path in fleet.sites_root.iterdir()
                if not path.name.startswith(".")
            ),
            "web": {
                str(path.relative_to(current)): re.sub('generation(?: |":)[0-9]+', "generation", path.read_text())
                for path in sorted(current.resolve().rglob("*"))
                for path in [current / path.relative_to(current.resolve())]
                if path.is_file() and not path.name.startswith("generation")
            },
            "ingress": self.cf.state.tunnels[0].config["ingress"],
            "records": sorted(
                str((record.type, record.name, record.content)) for record in self.cf.state.zones[HOME].records
            ),
            "sites": [
                (site.name, site.state, site.is_served, site.is_maintained, site.hostnames, site.mail)
                for site in await self.wordpress.sites.all()
            ],
            "alder": fleet.page("alder")[0],
            "listed": self.listed,
            "mail": [
                name for accounts in self.points.mail.of.values() for name, may_log_in in accounts.items() if may_log_in
            ],
        }

    def page(self, host: str, path: str = "/", *, visitor: str | None = None) -> tuple[int, str]:
        """Ask a site at its own web server, as the tunnel does. visitor: an address that maintenance is shown to."""
        headers = {"Host": host, "X-Forwarded-Proto": "https"} | ({"CF-Connecting-IP": visitor} if visitor else {})
        answer = httpx2.get(f"{self.fleet.origin_url}{path}", headers=headers, trust_env=False)
        return answer.status_code, answer.text

    def root(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask the database server as root."""
        socket = str(self.fleet.mariadb.unix_socket)
        with pymysql.connect(unix_socket=socket, user="root") as connection, connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return list(cursor.fetchall())

    @property
    def listed(self) -> list[str]:
        """The sites that the backup is told of."""
        assert self.settings.backup_dir is not None
        path = self.settings.backup_dir / "told" / "sites.json"
        return [site["name"] for site in json.loads(path.read_text())["sites"]] if path.exists() else []


@dataclass
class Desk:
    """Stands a world up, again and again on the same state: a restart of the portal."""

    fleet: Fleet
    cf: CloudflareFake
    database_url: str
    directory: Path
    points: Points

    @asynccontextmanager
    async def stand(self, **more: Any) -> AsyncIterator[World]:
        given: Json = {
            "state_dir": self.directory / "state",
            "backup_dir": self.directory / "backup",
            "cloudflare_token": SecretStr(self.cf.token()),
            "cloudflare_account": self.cf.account_id,
            "cloudflare_url": self.cf.url,
            "sites_edge_url": self.fleet.origin_url,
            **{name.lower(): value for name, value in self.fleet.portal_settings().items()},
        }
        settings = PortalSettings(**(given | more))
        settings.state_dir.mkdir(exist_ok=True)
        (self.directory / "backup" / "told").mkdir(parents=True, exist_ok=True)
        listed = BackupSites(settings.backup_dir)
        await listed.write(await listed.read() or [ListedSite("alder", "blog", "wp_alder")])
        with databases.opened(self.database_url) as database:
            know_alder(database, self.fleet)
        async with wired(settings, self.database_url, self.points) as standing:
            world = World(*standing, self.cf, self.fleet, self.points, settings)
            is_known = await world.wordpress.sites.find(SITE) is not None
            if settings.web_dir is not None and not is_known and SITE in await world.wordpress.serving.names():
                await world.wordpress.serving.render()  # what a test that failed has left
            yield world


Standing = tuple[SiteRecipes, WordPress, DatabasesRoom, Tunnels, Runner, Database]


@asynccontextmanager
async def wired(settings: PortalSettings, database_url: str, points: Points) -> AsyncIterator[Standing]:
    """The recipes and what they stand on, as app.py wires them."""
    clock, hub, broker = SystemClock(), Hub(), Broker(settings.broker_socket)
    cloudflare = Cloudflare.of(settings)
    assert cloudflare is not None
    with databases.opened(database_url) as database:
        runner = Runner(database, hub, clock, recheck_waits_s=(0.05,))
        plans = Plans(database, runner, clock)
        dns = DnsRoom.of(cloudflare, database, hub, runner, plans, Uses({}), clock, settings)
        tunnels = Tunnels.of(cloudflare, dns, broker, plans, Uses({}), clock, settings)
        wordpress = WordPress.of(broker, database, hub, runner, plans, clock, settings, points=points)
        room = DatabasesRoom.of(settings, database, hub, runner, clock)
        seal = Seal.at(settings.state_dir / "secret.key")
        recipes = SiteRecipes.of(
            settings, database, runner, plans, clock, seal, wordpress, room, tunnels, mail=points.mail
        )
        for each in (dns, tunnels, wordpress, room, recipes):
            each.begin()
        await runner.recover()
        try:
            yield recipes, wordpress, room, tunnels, runner, database
        finally:
            await runner.close()
            for closing in (wordpress, room, tunnels, dns, cloudflare, broker):
                await closing.close()
            hub.close()


def know_alder(database: Database, fleet: Fleet) -> None:
    """The fleet's site is one of the portal's, so that it is served on."""
    alder = fleet.site("alder")
    spec = alder.spec()

    def add(session: Any) -> None:
        if session.scalar(select(SiteRow.uid)) is not None:
            return
        session.add(
            SiteRow(
                uid=alder.uid,
                name=alder.name,
                live_name=alder.name,
                server="blog",
                database=alder.database,
                account=alder.account,
                redis_password_sha256=spec.redis_password_sha256,
                state="active",
                ring=1,
                php=PhpSettings(memory_limit_mib=128, max_children=2).model_dump_json(),
                mail=None,
                xmlrpc=False,
                is_served=True,
                is_maintained=False,
                adopted=True,
                made_by=None,
                created_at=datetime.now(UTC),
                removed_at=None,
            )
        )
        session.flush()
        session.add(HostnameRow(hostname=alder.hostname, uid=alder.uid, position=0))

    database.run_sync(add)


def a_site(**more: Any) -> AddSite:
    given: Json = {
        "site": SITE,
        "hostnames": [HOST],
        "title": "Garden",
        "admin_login": "anna",
        "admin_email": "anna@home.example",
        "php": PhpSettings(memory_limit_mib=128, max_children=2),
    }
    return AddSite(**(given | more))


def gone(**more: Any) -> RemoveSite:
    return RemoveSite(act="remove", site=SITE, **more)


@pytest.fixture(scope="session")
def fleet_of_one() -> Iterator[Fleet]:
    """One WordPress site, which every test here leaves as it was."""
    if os.geteuid() != 0:
        pytest.skip("a fleet in namespaces of its own needs root")
    with Fleet(1) as running:
        yield running


@pytest.fixture
def cf() -> Iterator[CloudflareFake]:
    with CloudflareFake(zones=[HOME]) as fake:
        fake.state.tunnels.append(a_tunnel())
        yield fake


@pytest.fixture
def desk(fleet_of_one: Fleet, cf: CloudflareFake, database_url: str, tmp_path: Path) -> Iterator[Desk]:
    yield Desk(fleet_of_one, cf, database_url, tmp_path, Points())
    fleet_of_one.mariadb.execute("DROP DATABASE IF EXISTS wp_garden", "DROP USER IF EXISTS wp_garden@'%'")
    for left in (".removed", SITE):  # of a test that failed, else nothing of the second
        shutil.rmtree(fleet_of_one.sites_root / left, ignore_errors=True)


@pytest.fixture
async def world(desk: Desk) -> AsyncIterator[World]:
    async with desk.stand() as standing:
        yield standing


@contextmanager
def failing(step: str, state: str, error: BaseException) -> Iterator[None]:
    """The journal's note that a step is in this state fails, once. With "done", the step has come about by then."""
    note, struck = Runs.step, False

    async def broken(self: Runs, run_id: str, number: int, name: str, became: Any) -> None:
        nonlocal struck
        if (name, became) == (step, state) and not struck:
            struck = True
            raise error
        await note(self, run_id, number, name, became)

    Runs.step = broken  # type: ignore[method-assign, assignment]
    try:
        yield
        assert struck, f"{step} never came to be {state}"
    finally:
        Runs.step = note  # type: ignore[method-assign]
