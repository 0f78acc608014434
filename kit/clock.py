"""Time as something that is passed in, so that no test sleeps.

Whatever waits, expires or stamps takes a `Clock`; the command that wires a process together passes `SystemClock()`,
a test passes its own. Leases, time stamps and retention use `now`, which an operator may set back; durations and
deadlines use `monotonic`, which means nothing outside this boot.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> float:
        """Seconds since the epoch, UTC. May jump."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment of this boot. Never runs backwards."""
        ...


class SystemClock:
    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


def now_utc(clock: Clock | None = None) -> datetime:
    """Return the present as an aware datetime in UTC; the system's present when no clock is given."""
    return datetime.fromtimestamp((clock or SystemClock()).now(), UTC)
