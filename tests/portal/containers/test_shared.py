"""One answer for all who ask at the same time, and never one from before the last event."""

from __future__ import annotations

import asyncio

import pytest

from portal.containers.shared import FRESH_S, Shared
from portal.operations.hub import Hub
from tests.clock import FakeClock


class Built:
    """Counts how often the answer was built; it is that number."""

    def __init__(self, hub: Hub) -> None:
        self.count = 0
        self.tells_meanwhile = False
        self._hub = hub

    async def __call__(self) -> bytes:
        self.count += 1
        number = self.count
        if self.tells_meanwhile:
            self._hub.publish("containers", {})
        await asyncio.sleep(0)
        return str(number).encode()


async def test_answer_is_built_once_for_all_who_ask_together() -> None:
    hub = Hub()
    shared, build = Shared(hub, FakeClock()), Built(hub)
    assert set(await asyncio.gather(*(shared.answer(build) for _ in range(10)))) == {b"1"}
    assert build.count == 1


async def test_answer_is_built_anew_after_an_event_and_after_a_second() -> None:
    hub, clock = Hub(), FakeClock()
    shared, build = Shared(hub, clock), Built(hub)
    assert await shared.answer(build) == b"1"
    hub.publish("operations", {})
    assert [await shared.answer(build), await shared.answer(build)] == [b"2", b"2"]
    clock.advance(FRESH_S)
    assert await shared.answer(build) == b"3"


async def test_event_while_it_is_built_makes_it_old() -> None:
    hub = Hub()
    shared, build = Shared(hub, FakeClock()), Built(hub)
    build.tells_meanwhile = True
    assert await shared.answer(build) == b"1"
    build.tells_meanwhile = False
    assert await shared.answer(build) == b"2"


async def test_answer_that_could_not_be_built_is_tried_again() -> None:
    async def fails() -> bytes:
        raise OSError("no")

    hub = Hub()
    shared, build = Shared(hub, FakeClock()), Built(hub)
    with pytest.raises(OSError, match="no"):
        await shared.answer(fails)
    assert await shared.answer(build) == b"1"
