"""A runner on a database of the test's own, and what a test asks of both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import select

from kit.clock import SystemClock
from portal.actor import Actor, Role
from portal.audit.models import AuditRow
from portal.db import Database
from portal.operations.hub import Hub
from portal.operations.runner import Runner

ANNA = Actor("user", "7", "anna", Role.OPERATOR, "127.0.0.1", "req-1")
RESTART = "containers:restart"


@pytest.fixture
def hub() -> Hub:
    return Hub()


@pytest.fixture
async def runner(database: Database, hub: Hub) -> AsyncIterator[Runner]:
    runner = Runner(database, hub, SystemClock(), recheck_waits_s=(0.0, 0.0))
    yield runner
    await runner.close()


def audited(database: Database) -> list[tuple[str, str, str]]:
    """Every audit row: action, result, detail."""
    return database.read_sync(
        lambda session: [
            (row.action, row.result, row.detail)
            for row in session.scalars(select(AuditRow).order_by(AuditRow.sequence))
        ]
    )


async def eventually(condition: Callable[[], Awaitable[Any]], *, within_s: float = 20.0) -> Any:
    """Return the first true value of `condition`; fail if there is none in time."""
    async with asyncio.timeout(within_s):
        while True:
            if value := await condition():
                return value
            await asyncio.sleep(0.01)
