"""The time machine over zones and histories made up by Hypothesis."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portal.db import Database
from portal.dns.history.snapshots import values_of
from portal.dns.records.values import Value
from tests.portal.dns.history.test_time_machine import ANNA, Desk
from tests.portal.dns.zones import as_records, records

Zone = list[Value]
numbers = itertools.count()
tried = settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def new_zone() -> str:
    """A zone of this example's own: making a database for each would take longer than all the rest."""
    return f"{next(numbers)}.example"


@st.composite
def histories(draw: st.DrawFn) -> list[Zone]:
    """A zone again and again: a part of what it was, with something new, or what it was some steps before."""
    history: list[Zone] = [draw(records(max_size=6))]
    for _ in range(draw(st.integers(1, 4))):
        if draw(st.booleans()):
            history.append(draw(st.sampled_from(history)))
        else:
            kept = [each for each in history[-1] if draw(st.booleans())]
            changed = [each | {"comment": draw(st.sampled_from(("x", "y")))} for each in kept if draw(st.booleans())]
            history.append(list(values_of(draw(records(max_size=3)) + kept + changed).values()))
    return history


def applied(now: Sequence[Value], wish: dict[str, Value | None]) -> dict[str, Value]:
    """The zone as it is when the wish has come true."""
    wished = values_of(as_records(now)) | wish
    return {key: value for key, value in wished.items() if value is not None}


@tried
@given(history=histories())
def test_rollback_to_any_point_gives_what_the_zone_was(database: Database, history: list[Zone]) -> None:
    desk, zone_name = Desk(database), new_zone()

    async def work() -> None:
        points = [(await desk.keep(*as_records(zone), zone=zone_name), zone) for zone in history]
        for point, zone in points:
            wish = await desk.machine.rollback_wish(zone_name, point, None, as_records(history[-1]))
            assert applied(history[-1], wish) == values_of(as_records(zone))

    asyncio.run(work())


@tried
@given(history=histories())
def test_whatever_was_done_outside_taking_all_drift_back_gives_the_zone_as_it_was(
    database: Database, history: list[Zone]
) -> None:
    desk, zone_name = Desk(database), new_zone()

    async def work() -> None:
        for zone in history:
            drift = await desk.see(*as_records(zone), zone=zone_name)
            wish = await desk.machine.drift_wish(zone_name, [each.id for each in drift], as_records(zone))
            assert applied(zone, wish) == values_of(as_records(history[0]))
            keys = [key for each in drift for key in each.keys]
            assert len(keys) == len(set(keys))  # no change is told of twice

    asyncio.run(work())


@tried
@given(history=histories(), ours=st.lists(st.booleans(), min_size=5, max_size=5))
def test_drift_is_never_what_homeport_did_and_accepting_all_leaves_none(
    database: Database, history: list[Zone], ours: list[bool]
) -> None:
    """What is open after a step of ours was open before it, and is untouched by it."""

    desk, zone_name = Desk(database), new_zone()

    async def work() -> None:
        await desk.see(*as_records(history[0]), zone=zone_name)
        before: set[str] = set()
        for zone, is_ours in zip(history[1:], ours, strict=False):
            drift = await desk.see(*as_records(zone), zone=zone_name, ours="edge" if is_ours else None)
            keys = {key for each in drift for key in each.keys}
            assert not is_ours or keys <= before
            before = keys
        left = [each.id for each in (await desk.machine.drift(zone_name, "open")).drift]
        if left:
            await desk.machine.accept(ANNA, zone_name, left)
        assert await desk.see(*as_records(history[-1]), zone=zone_name) == []

    asyncio.run(work())
