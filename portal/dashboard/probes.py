"""What the portal measures of itself."""

from __future__ import annotations

from sqlalchemy import text

from kit.clock import Clock, now_utc
from portal.db import Database
from portal.probes import Reading, Status

SLOW_MS = 250.0  # the list calls' budget is 100 ms, of which the database is a part


class DatabaseProbe:
    """How long the portal's own database takes to answer."""

    name = "portal:database"
    interval_s = 60.0
    timeout_s = 10.0

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    async def measure(self) -> Reading:
        began = self._clock.monotonic()
        await self._database.read(lambda session: session.scalar(text("SELECT COUNT(*) FROM audit_head")))
        took_ms = round((self._clock.monotonic() - began) * 1000, 1)
        return Reading(
            Status.OK if took_ms <= SLOW_MS else Status.WARNING,
            took_ms,
            "ms",
            f"at most {SLOW_MS:g} ms",
            now_utc(self._clock),
            "SQLite answered" if self._database.is_sqlite else "MariaDB answered",
        )
