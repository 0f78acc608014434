"""Whether cron's question makes a run."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from backup.due import is_due
from backup.exit_codes import DestinationFailed
from backup.house import House
from tests.backup.houses import make_house
from tests.clock import FakeClock

AT_THREE = datetime(2026, 11, 20, 18, 0, 2, tzinfo=UTC)  # 03:00 in Tokyo


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(AT_THREE.timestamp())


@pytest.fixture
def house(tmp_path: Path, clock: FakeClock) -> House:
    return make_house(tmp_path, clock=clock)


def test_run_is_due_until_one_has_begun_that_was_not_cut_off(house: House, clock: FakeClock) -> None:
    facts = house.facts()
    assert is_due(house, "run daily")
    facts.run_started("a", "run daily", "timer", AT_THREE)
    facts.run_ended("a", AT_THREE, 143, "interrupted", "")
    assert is_due(house, "run daily")
    facts.run_started("b", "run daily", "timer", AT_THREE)
    facts.run_ended("b", AT_THREE, 4, "a source failed", "")
    assert not is_due(house, "run daily")
    clock.advance(86_400)
    assert is_due(house, "run daily")


def test_quarterly_run_is_remembered_behind_thousands_of_hourly_ones(house: House, clock: FakeClock) -> None:
    facts = house.facts()
    facts.run_started("a", "drill --origin vault", "timer", AT_THREE)
    with facts._connect() as connection:  # a transaction for each would take a minute
        connection.executemany(
            "INSERT INTO runs (id, verb, by, started_at, exit_code) VALUES (?, 'vault audit-head', 'timer', ?, 0)",
            [(str(number), f"2026-11-20T19:{number // 60 % 60:02}:{number % 60:02}Z") for number in range(2500)],
        )
    facts.run_ended("a", AT_THREE, 0, "", "")
    assert not is_due(house, "drill --origin vault")


def test_root_that_is_not_there_makes_the_run_at_its_hour_and_no_further_one(house: House, clock: FakeClock) -> None:
    house.layout.marker.unlink()
    assert is_due(house, "run daily")  # it tells whoever is to be told
    clock.advance(1800)
    with pytest.raises(DestinationFailed, match="not mounted"):
        is_due(house, "run daily")
