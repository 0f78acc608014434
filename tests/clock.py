"""A clock that stands still until it is told to move."""

from __future__ import annotations


class FakeClock:
    """Implements kit.clock.Clock. Both readings start where the test says and advance together."""

    def __init__(self, now: float = 1_800_000_000.0, monotonic: float = 0.0) -> None:
        self._now, self._monotonic = now, monotonic

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        self._now += seconds
        self._monotonic += seconds
