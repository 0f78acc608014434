"""The console's tests: a real server with the stack's accounts; the console in this process, or a whole portal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql  # type: ignore[import-untyped]
import pytest

from kit.clock import Clock, SystemClock
from portal.actor import Actor, Role
from portal.databases.console.schemas import QueryResult, RunQuery, WriteView
from portal.databases.console.service import Console
from portal.databases.servers import Servers
from portal.db import Database
from portal.operations.hub import Hub
from portal.operations.runner import Operation, Runner
from portal.settings import PortalSettings
from tests.portal import database as databases
from tests.services.mariadb import MariaDB

ANNA = Actor("user", "u-anna", "anna", Role.ADMIN, "127.0.0.1", "r1")
BEN = Actor("user", "u-ben", "ben", Role.OPERATOR, "127.0.0.1", "r2")

# Root's view of the rows of a query, past everything that is tested.
Rows = Callable[..., list[tuple[Any, ...]]]


async def still_there() -> bool:
    """A client that waits."""
    return False


@dataclass
class Desk:
    """A console that has begun, and what app.py gives it."""

    console: Console
    runner: Runner
    db: Database
    servers: Servers
    state_dir: Path
    ids: Iterator[int] = field(default_factory=lambda: iter(range(1, 10_000)))

    async def query(self, database: str | None, statement: str, actor: Actor = ANNA) -> QueryResult:
        wanted = RunQuery(id=self.new_id(), server="blog", database=database, statement=statement)
        return await self.console.query(actor, wanted, still_there)

    def new_id(self) -> str:
        return f"q{next(self.ids):020d}"

    async def measure(self, database: str, statement: str) -> WriteView:
        return await self.console.writes.measure(ANNA, "blog", database, statement)

    async def apply(self, write: WriteView) -> Operation:
        """Apply it; return the operation when it has ended."""
        begun = await self.console.writes.apply(ANNA, write.id, "")
        return await self.runner.wait(begun.id)

    async def done(self, write: WriteView) -> Operation:
        operation = await self.apply(write)
        assert operation.state == "done", operation.error
        return operation


@asynccontextmanager
async def standing(url: str, servers: Servers, state_dir: Path, clock: Clock) -> AsyncIterator[Desk]:
    hub = Hub()
    with databases.opened(url) as db:
        runner = Runner(db, hub, clock)
        console = Console.of(servers, db, runner, clock, PortalSettings(state_dir=state_dir))
        console.begin()
        await runner.recover()
        try:
            yield Desk(console, runner, db, servers, state_dir)
        finally:
            await runner.close()
            await console.close()
            hub.close()


Stand = Callable[..., AbstractAsyncContextManager[Desk]]


@pytest.fixture
def stand(database_url: str, servers: Servers, tmp_path: Path) -> Stand:
    """Stand a console up on this test's database; again, after it has ended, as a portal that restarts does."""

    def stand(clock: Clock | None = None) -> AbstractAsyncContextManager[Desk]:
        return standing(database_url, servers, tmp_path, clock or SystemClock())

    return stand


@pytest.fixture
async def desk(stand: Stand) -> AsyncIterator[Desk]:
    async with stand() as standing_desk:
        yield standing_desk


@pytest.fixture
def rows(mariadb: MariaDB) -> Iterator[Rows]:
    connection = pymysql.connect(
        unix_socket=str(mariadb.unix_socket), user="root", charset="utf8mb4", autocommit=True, ssl_disabled=True
    )

    def rows(statement: str, *values: object) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return list(cursor.fetchall())

    yield rows
    connection.close()
