"""The WordPress room on the fleet: real sites behind a real broker, a real database and runner in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kit.clock import Clock, SystemClock
from portal.actor import Actor
from portal.broker.client import Broker
from portal.db import Database
from portal.operations.hub import Hub
from portal.operations.plans import Plan, Plans
from portal.operations.runner import Operation, Runner
from portal.settings import PortalSettings
from portal.wordpress.points import RestorePoints
from portal.wordpress.schemas import ApplySitePlan, NewSitePlan
from portal.wordpress.service import WordPress
from tests.portal import database as databases
from tests.portal.wordpress.adopted import adopt_into
from tests.services.fleet import Fleet

ANNA = Actor.system("anna")
Json = dict[str, Any]


@dataclass
class Room:
    """A room with what app.py wires to it."""

    service: WordPress
    runner: Runner
    plans: Plans
    hub: Hub
    database: Database
    clock: Clock

    async def plan(self, site: str, *changes: Json) -> Plan:
        return await self.service.plan(ANNA, site, NewSitePlan.model_validate({"changes": list(changes)}))

    async def apply(self, plan: Plan, *, without_restore_point: bool = False) -> Operation:
        """Apply it; return the operation when it has ended."""
        wanted = ApplySitePlan(without_restore_point=without_restore_point)
        return await self.runner.wait((await self.service.apply(ANNA, plan.id, wanted)).id)

    async def done(self, plan: Plan, *, without_restore_point: bool = False) -> Operation:
        """As `apply`, and be sure that it worked."""
        operation = await self.apply(plan, without_restore_point=without_restore_point)
        assert operation.state == "done", (operation.error, operation.result)
        return operation

    async def present(self, site: str, *names: str) -> Json:
        return dict(await self.service.state.look(site, names))


@asynccontextmanager
async def standing_room(
    url: str,
    directory: Path,
    *,
    fleet: Fleet | None = None,
    clock: Clock | None = None,
    points: RestorePoints | None = None,
    socket: Path | None = None,
) -> AsyncIterator[Room]:
    """A room that has begun, and knows the fleet's sites. socket: of another broker than the fleet's."""
    clock = clock or SystemClock()
    settings = PortalSettings(
        state_dir=directory,
        web_dir=fleet.web_dir if fleet else None,
        import_dir=fleet.import_dir if fleet else None,
    )
    with databases.opened(url) as database:
        hub, broker = Hub(), Broker(socket or (fleet.broker_socket if fleet else None))
        runner = Runner(database, hub, clock, recheck_waits_s=(0.05,))
        plans = Plans(database, runner, clock)
        service = WordPress.of(broker, database, hub, runner, plans, clock, settings, points=points)
        service.begin()
        await runner.recover()
        try:
            if fleet is not None:
                await adopt_into(service.sites, fleet)
            yield Room(service, runner, plans, hub, database, clock)
        finally:
            await service.close()
            await runner.close()
            await broker.close()


@pytest.fixture
async def room(fleet: Fleet, database_url: str, tmp_path: Path) -> AsyncIterator[Room]:
    """A room on the shared fleet, without backups."""
    async with standing_room(database_url, tmp_path, fleet=fleet) as standing:
        yield standing


@pytest.fixture
def new_room(database_url: str, tmp_path: Path) -> Callable[..., Any]:
    """Rooms on one database: a second one is the portal after a restart."""
    return lambda **more: standing_room(database_url, tmp_path, **more)
