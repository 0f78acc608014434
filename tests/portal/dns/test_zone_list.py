"""What is said of a zone that the last list of the account's zones doesn't have."""

from __future__ import annotations

import time
from typing import Literal

import pytest

from portal.dns.problems import NoSuchZone
from portal.dns.zones import ASK_AGAIN_S
from portal.integrations.cloudflare_problems import CloudflareSilent
from tests.clock import FakeClock
from tests.fakes.cloudflare import CloudflareFake
from tests.fakes.cloudflare.state import Zone
from tests.portal.dns.conftest import HOME, TWO, Stand

NEW = "new.example"


@pytest.mark.parametrize("fault", ["reset", "hang"])
async def test_zone_that_was_added_before_an_outage_is_never_said_to_be_missing(
    stand: Stand, cf: CloudflareFake, monkeypatch: pytest.MonkeyPatch, fault: Literal["reset", "hang"]
) -> None:
    """Only a list that was read since can say that there is no such zone."""
    clock = FakeClock(time.time())
    async with stand(clock=clock) as room:
        zones = room.service.zones
        assert [state.zone.name for state in await zones.all()] == [HOME, TWO]
        with pytest.raises(NoSuchZone):
            await zones.state(NEW)
        cf.state.zones[NEW] = Zone(NEW)
        clock.advance(ASK_AGAIN_S + 1)
        cf.fail("GET", ".", fault, times=1_000)
        if fault == "hang":
            monkeypatch.setattr("portal.dns.zones.FIRST_WAIT_S", 0.1)
        for _ in range(2):  # the second is answered by what the first has learnt
            with pytest.raises(CloudflareSilent):
                await zones.state(NEW)
        cf.heal()


async def test_zone_is_found_and_a_missing_one_is_missing_once_cloudflare_answers_again(
    stand: Stand, cf: CloudflareFake
) -> None:
    clock = FakeClock(time.time())
    async with stand(clock=clock) as room:
        zones = room.service.zones
        await zones.all()
        cf.state.zones[NEW] = Zone(NEW)
        clock.advance(ASK_AGAIN_S + 1)
        cf.fail("GET", ".", "reset", times=1_000)
        with pytest.raises(CloudflareSilent):
            await zones.state(NEW)
        cf.heal()
        clock.advance(ASK_AGAIN_S + 1)
        assert (await zones.state(NEW)).records == {}
        with pytest.raises(NoSuchZone):
            await zones.state("none.example")
