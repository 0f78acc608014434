"""Retention: a table of cases that a person can check, and properties over any history."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup.points import PointId, PointKind
from backup.retention import Decision, Held, decide
from backup.settings import Retention

RULES = Retention()
TODAY = date(2026, 11, 22)


def daily(days_ago: int) -> PointId:
    return PointId.scheduled(PointKind.DAILY, TODAY - timedelta(days=days_ago))


def weekly(weeks_ago: int) -> PointId:
    return PointId.scheduled(PointKind.WEEKLY, TODAY - timedelta(weeks=weeks_ago))


def manual(days_ago: int, scope: str = "site-blog") -> PointId:
    return PointId.manual(datetime(2026, 11, 22, 1, tzinfo=UTC) - timedelta(days=days_ago), scope)


def held(*points: PointId, but: PointId | None = None) -> list[Held]:
    """All verified, `but` one."""
    return [Held(point, is_verified=point != but) for point in points]


def removed(decisions: list[Decision]) -> list[PointId]:
    return [each.point for each in decisions if not each.keep]


def reason(decisions: list[Decision], point: PointId) -> str:
    return next(each.reason for each in decisions if each.point == point)


def test_seven_dailies_and_four_weeklies_stay() -> None:
    points = [*map(daily, range(9)), *map(weekly, range(6))]
    decisions = decide(held(*points), RULES, today=TODAY, made=daily(0))
    assert removed(decisions) == [daily(7), daily(8), weekly(4), weekly(5)]
    assert reason(decisions, daily(0)) == "daily, 1 of 7"
    assert reason(decisions, daily(7)) == "daily, 7 newer verified ones are kept"


def test_a_failed_night_rotates_nothing_out() -> None:
    points = held(*map(daily, range(1, 12)))
    decisions = decide(points, RULES, today=TODAY, made=None)
    assert removed(decisions) == []
    assert reason(decisions, daily(11)) == "this run made no verified point: nothing is removed"


@pytest.mark.parametrize("made", [daily(0), manual(0)])
def test_a_run_whose_point_is_damaged_or_gone_removes_nothing(made: PointId) -> None:
    points = held(*map(daily, range(12)), but=daily(0))
    assert removed(decide(points, RULES, today=TODAY, made=made)) == []


def test_a_gap_of_a_month_rotates_nothing_out() -> None:
    points = [daily(0), *(daily(days) for days in range(31, 40))]
    assert removed(decide(held(*points), RULES, today=TODAY, made=daily(0))) == [daily(37), daily(38), daily(39)]


def test_a_damaged_point_does_not_count_and_goes_when_enough_good_ones_are_newer() -> None:
    points = held(*map(daily, range(9)), but=daily(3))
    decisions = decide(points, RULES, today=TODAY, made=daily(0))
    assert removed(decisions) == [daily(8)]
    assert reason(decisions, daily(3)) == "not verified, not counted; 3 of 7 are newer"
    points = held(*map(daily, range(9)), but=daily(8))
    assert removed(decide(points, RULES, today=TODAY, made=daily(0))) == [daily(7), daily(8)]


def test_a_point_dated_ahead_stays_and_takes_nobodys_place() -> None:
    ahead = daily(-400)
    decisions = decide(held(ahead, *map(daily, range(8))), RULES, today=TODAY, made=daily(0))
    assert removed(decisions) == [daily(7)]
    assert reason(decisions, ahead) == "dated ahead of today, 2026-11-22: not counted"


def test_an_on_demand_point_stays_two_weeks_and_the_newest_of_its_scope_for_good() -> None:
    points = [manual(3), manual(14), manual(15), manual(200, "mail"), manual(300, "mail")]
    decisions = decide(held(daily(0), *points), RULES, today=TODAY, made=daily(0))
    assert removed(decisions) == [manual(15), manual(300, "mail")]
    assert reason(decisions, manual(14)) == "manual, kept until 2026-11-22"
    assert reason(decisions, manual(200, "mail")) == "the newest verified one of mail"


def test_an_on_demand_point_never_counts_as_a_daily_one() -> None:
    points = held(*map(daily, range(7)), *map(manual, range(7)))
    assert removed(decide(points, RULES, today=TODAY, made=manual(0))) == []


def test_the_date_of_a_night_is_the_local_one_also_when_the_clocks_change() -> None:
    zone = ZoneInfo("Europe/Berlin")
    nights = [datetime(2026, 10, day, 3, tzinfo=zone) for day in range(18, 29)]  # DST ends on the 25th
    points = held(*(PointId.scheduled(PointKind.DAILY, night.date()) for night in nights))
    decisions = decide(points, RULES, today=nights[-1].date(), made=points[-1].point)
    assert [point.name for point in removed(decisions)] == ["2026-10-21", "2026-10-20", "2026-10-19", "2026-10-18"]


HISTORIES = st.lists(
    st.builds(
        Held,
        st.one_of(
            st.builds(daily, st.integers(-5, 60)),
            st.builds(weekly, st.integers(-1, 20)),
            st.builds(manual, st.integers(-1, 60), st.sampled_from(["mail", "site-blog", "all"])),
        ),
        st.booleans(),
    ),
    max_size=40,
    unique_by=lambda held: held.point,
)
ANY_RULES = st.builds(Retention, daily=st.integers(1, 10), weekly=st.integers(1, 6), manual_days=st.integers(1, 30))


@given(HISTORIES, ANY_RULES, st.randoms())
def test_no_history_loses_its_newest_or_its_last_verified_point(
    points: list[Held], rules: Retention, random: Random
) -> None:
    made = random.choice(points).point if points else None
    decisions = decide(points, rules, today=TODAY, made=made)
    kept = {each.point for each in decisions if each.keep}
    assert sorted(each.point for each in decisions) == sorted(held.point for held in points)
    assert all(each.reason for each in decisions)
    for kind in PointKind:
        good = [held.point for held in points if held.is_verified and held.point.kind is kind]
        assert not good or max(good, key=lambda point: point.name) in kept
    for kind, limit in ((PointKind.DAILY, rules.daily), (PointKind.WEEKLY, rules.weekly)):
        good = sorted((held.point for held in points if held.is_verified and held.point.kind is kind), reverse=True)
        assert set(good[:limit]) <= kept


@given(HISTORIES, ANY_RULES)
def test_a_second_decision_over_what_was_kept_removes_nothing_more(points: list[Held], rules: Retention) -> None:
    for made in (held.point for held in points if held.is_verified):
        kept = {each.point for each in decide(points, rules, today=TODAY, made=made) if each.keep}
        left = [held for held in points if held.point in kept]
        if made in kept:
            assert removed(decide(left, rules, today=TODAY, made=made)) == []


@given(HISTORIES, ANY_RULES)
def test_the_order_in_which_points_are_listed_decides_nothing(points: list[Held], rules: Retention) -> None:
    made = next((held.point for held in points if held.is_verified), None)
    assert decide(points, rules, today=TODAY, made=made) == decide(points[::-1], rules, today=TODAY, made=made)


@given(st.lists(st.booleans(), min_size=1, max_size=80))
def test_night_after_night_the_last_seven_good_ones_stand(nights: list[bool]) -> None:
    points: list[Held] = []
    for number, is_good in enumerate(nights):
        today = TODAY + timedelta(days=number)
        made = PointId.scheduled(PointKind.DAILY, today) if is_good else None
        if made is not None:
            points.append(Held(made, is_verified=True))
        kept = {each.point for each in decide(points, RULES, today=today, made=made) if each.keep}
        points = [held for held in points if held.point in kept]
        assert len(points) == min(7, sum(nights[: number + 1]))
