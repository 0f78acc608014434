"""Points in time: equal zones are equal, what is packed comes back, and which of them stay."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from portal.dns.history.snapshots import DAYS, OPERATION_DAYS, Held, decide, digest, pack, unpack, values_of

NOW = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)
HOSTILE = 'v=spf1 "\\\x00\u202e\ud800' + "x" * 4096


def record(content: str = "192.0.2.1", **more: Any) -> dict[str, Any]:
    return {"id": "1" * 32, "type": "A", "name": "www.home.example", "content": content, "ttl": 300, **more}


def held(number: int, age: timedelta, *, seen_for: timedelta = timedelta(), reason: str = "hourly") -> Held:
    return Held(number, NOW - age, NOW - age + seen_for, reason)


def kept(*snapshots: Held) -> dict[int, str]:
    return {each.id: each.reason for each in decide(snapshots, NOW) if each.keep}


def test_digest_is_of_values_and_not_of_ids_order_or_times() -> None:
    one, two = record(), record("192.0.2.2")
    again = [two | {"id": "9" * 32, "modified_on": "2026-01-01T00:00:00Z"}, one]
    assert digest(values_of([one, two])) == digest(values_of(again))


@pytest.mark.parametrize("changed", [{"ttl": 1}, {"proxied": True}, {"comment": "x"}, {"tags": ["a:b"]}])
def test_digest_tells_every_field_that_can_be_written(changed: dict[str, Any]) -> None:
    assert digest(values_of([record()])) != digest(values_of([record(**changed)]))


def test_packed_records_come_back_as_they_were_hostile_text_too() -> None:
    records = [record(), record(HOSTILE, type="TXT", comment=HOSTILE, unknown={"a": [None, 0]})]
    found = unpack(pack(records))
    assert sorted(found, key=lambda each: each["type"]) == records
    assert digest(values_of(found)) == digest(values_of(records))


def test_newest_stays_however_old() -> None:
    assert kept(held(1, timedelta(days=5000)), held(2, timedelta(days=4000))) == {2: "the newest"}


def test_all_of_the_last_two_days_stay() -> None:
    assert kept(*(held(number, timedelta(hours=48 - number)) for number in range(1, 48))).keys() == set(range(1, 48))


def test_older_ones_thin_out_to_the_last_of_each_day() -> None:
    morning = timedelta(days=10, hours=3)  # noon of the day, of which 15:00 is the present's
    found = kept(held(1, morning), held(2, morning - timedelta(hours=2)), held(3, timedelta()))
    assert found == {2: "the last of 2026-11-12", 3: "the newest"}


def test_days_end_after_ninety() -> None:
    old = [held(number, timedelta(days=200 - number)) for number in range(200)]
    found = kept(*old)
    assert min(found) == 200 - DAYS + 1
    assert len(found) == DAYS - 1


def test_zone_that_did_not_change_for_weeks_counts_for_each_of_its_days() -> None:
    """Taken 120 days ago, seen until 30 days ago: it is what the zone was like on sixty of the days that are kept."""
    stable = held(1, timedelta(days=120), seen_for=timedelta(days=90))
    assert 1 in kept(stable, held(2, timedelta(days=29)), held(3, timedelta()))


@pytest.mark.parametrize(("age_days", "is_kept"), [(OPERATION_DAYS - 1, True), (OPERATION_DAYS + 1, False)])
@pytest.mark.parametrize("reason", ["before", "after"])
def test_those_around_an_operation_stay_longer(reason: str, age_days: int, is_kept: bool) -> None:
    assert (1 in kept(held(1, timedelta(days=age_days), reason=reason), held(2, timedelta()))) is is_kept


def test_one_dated_ahead_by_a_wrong_clock_stays() -> None:
    assert kept(held(1, timedelta(days=-3)), held(2, timedelta())).keys() == {1, 2}


def test_every_snapshot_has_a_decision_with_its_reason() -> None:
    decisions = decide([held(number, timedelta(days=number * 7)) for number in range(30, 0, -1)], NOW)
    assert len(decisions) == 30
    assert all(each.reason for each in decisions)
