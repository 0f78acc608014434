from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from kit.clock import Clock, SystemClock, now_utc
from tests.clock import FakeClock


def test_now_utc_of_a_clock_is_its_time_in_utc() -> None:
    clock: Clock = FakeClock(now=1_800_000_000.5)
    assert now_utc(clock) == datetime(2027, 1, 15, 8, 0, 0, 500_000, tzinfo=UTC)


def test_now_utc_without_a_clock_is_the_system_time() -> None:
    assert abs(now_utc() - datetime.now(UTC)) < timedelta(seconds=5)


def test_system_clock_reads_the_epoch_and_the_boot() -> None:
    clock = SystemClock()
    assert abs(clock.now() - time.time()) < 5
    assert clock.monotonic() <= time.monotonic()


def test_fake_clock_advanced_moves_both_readings() -> None:
    clock = FakeClock(now=100.0, monotonic=7.0)
    clock.advance(2.5)
    assert (clock.now(), clock.monotonic()) == (102.5, 9.5)
