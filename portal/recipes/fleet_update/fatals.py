"""PHP's fatal errors of one site, out of the log that all sites' PHP shares: the container's standard error."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime
from typing import Protocol

from kit.logging import get_logger
from portal.broker import schemas
from portal.broker.client import Broker
from portal.broker.failures import BrokerProblem
from portal.broker.wp import SERVICE
from portal.recipes.fleet_update.health import fatals_of

log = get_logger()

LINES = 5000  # newest, of all sites
READ_S = 20.0


class FatalLog(Protocol):
    async def since(self, site: str, moment: datetime) -> list[str] | None:
        """Return the site's fatal errors at or after a moment; None when nobody could look."""
        ...


class BrokerFatals:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def since(self, site: str, moment: datetime) -> list[str] | None:
        lines: list[str] = []
        try:
            listed = (await self._broker.ask(schemas.List())).containers
            found = next((each for each in listed if each.service == SERVICE), None)
            if found is None:
                return None
            request = schemas.Logs(container=found.id, since=moment.timestamp(), tail=LINES, stdout=False)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(READ_S), self._broker.follow(request) as flow:
                    async for part in flow:
                        lines += [line.text for line in part.lines]
        except BrokerProblem as problem:
            log.warning("php_log_not_read", site=site, problem=problem.type)
            return None
        return fatals_of(site, lines)
