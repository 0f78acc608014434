"""One answer for all who ask at the same time: the same bytes until something happens, or a second has passed.

Every open page asks for the list after every event, and building it costs three times as much as everything else in
the request (docs/benchmarks.md). Whatever changes the list is told on the hub after it has changed, so the number of
its last event says whether an answer still holds; measured values may be a second old.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from kit.clock import Clock
from portal.operations.hub import Hub

FRESH_S = 1.0


class Shared:
    def __init__(self, hub: Hub, clock: Clock) -> None:
        self._hub, self._clock = hub, clock
        self._building = asyncio.Lock()
        self._body = b""
        self._number = -1
        self._until = 0.0

    async def answer(self, build: Callable[[], Awaitable[bytes]]) -> bytes:
        """Return what `build` made for the first who asked since the last event, within the last second."""
        async with self._building:
            now = self._clock.monotonic()
            if self._number != self._hub.number or now >= self._until:
                number = self._hub.number  # before it is built: what happens meanwhile makes it old at once
                self._body = await build()
                self._number, self._until = number, now + FRESH_S
            return self._body
