"""What the dashboard may show of a probe: nothing green that was not measured, nothing old that looks new."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from kit.clock import now_utc
from portal.probes import Found, Probe, Reading, Readings, Status, Use, UsedBy, Uses
from tests.clock import FakeClock


@dataclass
class Thermometer:
    """Implements probes.Probe."""

    clock: FakeClock
    name: str = "room:temperature"
    interval_s: float = 60.0
    timeout_s: float = 0.01
    error: Exception | None = None
    hangs: bool = False

    async def measure(self) -> Reading:
        if self.hangs:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        return Reading(Status.OK, 21.5, "°C", "at most 30 °C", now_utc(self.clock))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def probe(clock: FakeClock) -> Thermometer:
    return Thermometer(clock)


@pytest.fixture
def readings(probe: Thermometer, clock: FakeClock) -> Readings:
    return Readings([probe], clock)


def shown(readings: Readings) -> Reading:
    return readings.shown()["room:temperature"]


def test_what_was_never_measured_is_unknown(readings: Readings, probe: Probe) -> None:
    assert (shown(readings).status, shown(readings).value, shown(readings).measured_at) == (Status.UNKNOWN, None, None)
    assert list(readings.probes) == [probe]


async def test_reading_is_shown_until_it_is_older_than_two_intervals(readings: Readings, clock: FakeClock) -> None:
    await readings.measure("room:temperature")
    clock.advance(120)
    assert shown(readings).status is Status.OK
    clock.advance(1)
    assert (shown(readings).status, shown(readings).value) == (Status.UNKNOWN, 21.5)


@pytest.mark.parametrize("fault", ["raises", "hangs"])
async def test_probe_that_fails_keeps_its_value_and_time_and_is_unknown(
    readings: Readings, probe: Thermometer, clock: FakeClock, fault: str
) -> None:
    measured_at = (await readings.measure("room:temperature")).measured_at
    clock.advance(60)
    probe.error, probe.hangs = (OSError("secret text") if fault == "raises" else None), fault == "hangs"
    await readings.measure("room:temperature")
    reading = shown(readings)
    assert (reading.status, reading.value, reading.measured_at) == (Status.UNKNOWN, 21.5, measured_at)
    assert reading.detail == ("OSError" if fault == "raises" else "no answer within 0.01 s")


def test_nothing_is_ok_without_a_value_and_a_time() -> None:
    with pytest.raises(ValueError, match="not measured"):
        Reading(Status.OK, None, "", "", None)


def test_probes_have_names_of_their_own(probe: Thermometer, clock: FakeClock) -> None:
    with pytest.raises(ValueError, match="two probes"):
        Readings([probe, probe], clock)


# -- what depends on what ---------------------------------------------------------------------------------------------


@dataclass
class Room:
    """Implements probes.UsedBy."""

    found: tuple[Use, ...] = ()
    error: Exception | None = None
    hangs: bool = False

    async def used_by(self, kind: str, name: str) -> tuple[Use, ...]:
        if self.hangs:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        return self.found


async def test_every_room_is_asked_and_one_that_cannot_answer_is_named() -> None:
    use = Use("wordpress", "site", "example.com", "serves")
    rooms: dict[str, UsedBy] = {
        "wordpress": Room((use,)),
        "databases": Room(hangs=True),
        "mail": Room(error=ValueError()),
        "dns": Room(),
    }
    assert await Uses(rooms, timeout_s=0.01).of("container", "blog-php") == Found((use,), ("databases", "mail"))
