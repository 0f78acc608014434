"""Which local points stay. Pure: points in, keep or remove out, each with its reason.

daily, weekly   the newest N verified ones: points are counted, not days, so a gap rotates nothing out
manual          as many days as the rule says, and the newest verified one of each scope for good
not verified    counts for nothing; goes when N verified ones of its kind are newer

A run whose own point is not verified removes nothing: a failed night cannot rotate out a good one. A point dated ahead
of today (a clock that was wrong) stays and does not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from backup.points import PointId, PointKind
from backup.settings import Retention


@dataclass(frozen=True, slots=True)
class Held:
    """A sealed local point.

    is_verified  it was sealed verified, and nothing has found damage in it since
    """

    point: PointId
    is_verified: bool


@dataclass(frozen=True, slots=True)
class Decision:
    point: PointId
    keep: bool
    reason: str


def decide(points: Sequence[Held], rules: Retention, *, today: date, made: PointId | None) -> list[Decision]:
    """Given all sealed points, return a decision for each, newest first within each kind.

    today  the local date
    made   the point of this run; None, or one that is not verified: nothing is removed
    """
    decisions = [
        *_counted(points, PointKind.DAILY, rules.daily, today),
        *_counted(points, PointKind.WEEKLY, rules.weekly, today),
        *_manual(points, rules.manual_days, today),
    ]
    if made is not None and Held(made, is_verified=True) in points:
        return decisions
    return [
        each if each.keep else Decision(each.point, True, "this run made no verified point: nothing is removed")
        for each in decisions
    ]


def _counted(points: Sequence[Held], kind: PointKind, limit: int, today: date) -> list[Decision]:
    decisions = []
    count = 0
    for held in _newest_first(points, kind):
        point = held.point
        if point.day > today:
            decisions.append(Decision(point, True, f"dated ahead of today, {today}: not counted"))
        elif not held.is_verified:
            decisions.append(Decision(point, count < limit, f"not verified, not counted; {count} of {limit} are newer"))
        elif count < limit:
            count += 1
            decisions.append(Decision(point, True, f"{kind}, {count} of {limit}"))
        else:
            decisions.append(Decision(point, False, f"{kind}, {limit} newer verified ones are kept"))
    return decisions


def _manual(points: Sequence[Held], days: int, today: date) -> list[Decision]:
    decisions = []
    seen: set[str] = set()
    for held in _newest_first(points, PointKind.MANUAL):
        point = held.point
        last = point.day + timedelta(days=days)
        if held.is_verified and point.scope not in seen:
            seen.add(point.scope)
            decisions.append(Decision(point, True, f"the newest verified one of {point.scope}"))
        elif today <= last:
            decisions.append(Decision(point, True, f"manual, kept until {last}"))
        elif point.scope not in seen:
            decisions.append(Decision(point, True, f"not verified, but no newer one of {point.scope} is either"))
        else:
            decisions.append(Decision(point, False, f"manual, {days} days have passed, and a newer one is kept"))
    return decisions


def _newest_first(points: Sequence[Held], kind: PointKind) -> list[Held]:
    return sorted((held for held in points if held.point.kind is kind), key=lambda held: held.point.name, reverse=True)
