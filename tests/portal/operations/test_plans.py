"""Plan -> apply -> undo on a world that is a dictionary: a room's subject in its simplest form."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from portal.db import Database
from portal.operations.hub import Hub
from portal.operations.plans import (
    Change,
    Order,
    PlanApplied,
    PlanIncomplete,
    PlanNotApplied,
    PlanNotFound,
    Plans,
    PlanStale,
)
from portal.operations.progress import Progress
from portal.operations.runner import Operation, Outcome, Runner, State, TargetBusy
from tests.clock import FakeClock
from tests.portal.operations.conftest import ANNA, audited

APPLY = "dns:apply"
ZONE = "home.example"
WISH: Mapping[str, Any] = {"www": ["192.0.2.7"], "old": None, "same": "x"}
AFTER = {"www": ["192.0.2.7"], "same": "x", "other": 1}


class World:
    """Implements plans.Subject."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {"old": ["192.0.2.1"], "same": "x", "other": 1}
        self.may_put = asyncio.Event()
        self.may_put.set()
        self.fails_at: str | None = None
        self.error: Exception = OSError("refused")
        self.orders: list[Order] = []

    async def look(self, target: str, names: Sequence[str]) -> Mapping[str, Any]:
        assert target == ZONE
        return {name: self.values[name] for name in names if name in self.values}

    async def put(self, order: Order, progress: Progress) -> None:
        self.orders.append(order)
        await self.may_put.wait()
        for number, change in enumerate(order.changes, 1):
            if change.name == self.fails_at:
                raise self.error
            self.values.pop(change.name, None)
            if change.after is not None:
                self.values[change.name] = change.after
            progress.at(number, len(order.changes))


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def plans(database: Database, runner: Runner, clock: FakeClock, world: World) -> Plans:
    plans = Plans(database, runner, clock)
    plans.register(APPLY, world, timeout_s=60)
    return plans


async def applied(plans: Plans, runner: Runner, plan_id: str) -> Operation:
    return await runner.wait((await plans.apply(ANNA, APPLY, plan_id)).id)


async def test_plan_shows_what_would_change_and_changes_nothing(plans: Plans, world: World) -> None:
    before = dict(world.values)
    plan = await plans.plan(ANNA, APPLY, ZONE, WISH)
    assert plan.changes == (Change("old", ["192.0.2.1"], None), Change("www", None, ["192.0.2.7"]))
    assert world.values == before
    assert await plans.get(APPLY, plan.id) == plan


async def test_plan_apply_undo_leaves_the_world_as_it_was(
    plans: Plans, runner: Runner, world: World, database: Database
) -> None:
    before = dict(world.values)
    plan = await plans.plan(ANNA, APPLY, ZONE, WISH)
    operation = await applied(plans, runner, plan.id)
    assert (operation.state, world.values) == (State.DONE, AFTER)
    assert operation.inverse is not None
    assert operation.inverse.plan_id == plan.id

    back = await plans.undo(ANNA, APPLY, plan.id)
    assert back.undoes == plan.id
    assert world.values == AFTER  # so far it is a plan
    assert (await applied(plans, runner, back.id)).state is State.DONE
    assert world.values == before
    again = await plans.undo(ANNA, APPLY, back.id)  # an undo is an entry like any other
    assert (await applied(plans, runner, again.id)).state is State.DONE
    assert world.values == AFTER
    assert [result for _, result, _ in audited(database)] == ["accepted", "done"] * 3


async def test_world_that_has_changed_refuses_the_plan_and_gives_the_new_one(
    plans: Plans, runner: Runner, world: World
) -> None:
    plan = await plans.plan(ANNA, APPLY, ZONE, WISH)
    world.values["same"] = "y"  # planned as no change, and still part of what was shown
    with pytest.raises(PlanStale) as stale:
        await plans.apply(ANNA, APPLY, plan.id)
    new: Any = stale.value.extensions["plan"]
    assert [change["name"] for change in new["changes"]] == ["old", "same", "www"]
    assert world.values["old"] == ["192.0.2.1"]
    assert (await applied(plans, runner, new["id"])).state is State.DONE
    assert world.values == AFTER


async def test_plan_of_what_was_looked_at_before_is_stale_once_the_world_has_changed(
    plans: Plans, world: World
) -> None:
    seen = {"old": ("192.0.2.1",), "same": "x"}
    world.values["same"] = "y"  # after somebody looked, and before the plan is made
    plan = await plans.plan(ANNA, APPLY, ZONE, WISH, present=seen)
    assert [change.name for change in plan.changes] == ["old", "www"]
    assert await plans.get(APPLY, plan.id) == plan
    with pytest.raises(PlanStale):
        await plans.apply(ANNA, APPLY, plan.id)
    assert world.values["old"] == ["192.0.2.1"]


async def test_world_that_changes_elsewhere_does_not_matter(plans: Plans, runner: Runner, world: World) -> None:
    plan = await plans.plan(ANNA, APPLY, ZONE, WISH)
    world.values["other"] = 2
    assert (await applied(plans, runner, plan.id)).state is State.DONE
    assert world.values["other"] == 2


async def test_world_that_changes_between_the_look_and_the_guard_is_left_alone(
    plans: Plans, runner: Runner, world: World, hub: Hub
) -> None:
    plan = await plans.plan(ANNA, APPLY, ZONE, WISH)
    publish = hub.publish

    def change_then_publish(*args: Any, **kwargs: Any) -> None:  # the operation is recorded, its work has not begun
        world.values["www"] = ["203.0.113.9"]
        publish(*args, **kwargs)

    hub.publish = change_then_publish  # type: ignore[method-assign]
    operation = await applied(plans, runner, plan.id)
    assert operation.state is State.FAILED
    assert operation.error["type"] == "/problems/plan-stale"
    assert operation.result["plan"]["changes"], "the new plan can be found where the old one failed"
    assert world.values["old"] == ["192.0.2.1"]


async def test_old_plan_is_refused_with_a_new_one(plans: Plans, clock: FakeClock) -> None:
    plan = await plans.plan(ANNA, APPLY, ZONE, WISH)
    clock.advance(15 * 60)
    with pytest.raises(PlanStale, match="older than 15 minutes"):
        await plans.apply(ANNA, APPLY, plan.id)


async def test_plan_is_applied_once(plans: Plans, runner: Runner) -> None:
    plan = await plans.plan(ANNA, APPLY, ZONE, WISH)
    await applied(plans, runner, plan.id)
    with pytest.raises(PlanApplied):
        await plans.apply(ANNA, APPLY, plan.id)


async def test_plan_applied_twice_at_once_is_applied_once(plans: Plans, world: World) -> None:
    plan = await plans.plan(ANNA, APPLY, ZONE, WISH)
    world.may_put.clear()
    ended = await asyncio.gather(*(plans.apply(ANNA, APPLY, plan.id) for _ in range(4)), return_exceptions=True)
    assert sorted(type(each).__name__ for each in ended) == ["Operation"] + ["TargetBusy"] * 3
    world.may_put.set()


async def test_plan_without_changes_is_applied_and_does_nothing(plans: Plans, runner: Runner, world: World) -> None:
    plan = await plans.plan(ANNA, APPLY, ZONE, {"same": "x"})
    assert plan.changes == ()
    assert (await applied(plans, runner, plan.id)).state is State.DONE


async def test_what_was_said_when_applying_goes_to_the_subject_and_into_the_record(
    plans: Plans, runner: Runner, world: World
) -> None:
    plan = await plans.plan(ANNA, APPLY, ZONE, WISH)
    operation = await plans.apply(ANNA, APPLY, plan.id, how={"reason": "new address"})
    await runner.wait(operation.id)
    assert world.orders == [Order(ZONE, plan.changes, ANNA, {"reason": "new address"})]
    assert (operation.detail["reason"], operation.detail["plan_id"]) == ("new address", plan.id)


async def test_plan_that_came_about_in_part_keeps_the_results(plans: Plans, runner: Runner, world: World) -> None:
    plan = await plans.plan(ANNA, APPLY, ZONE, WISH)
    results = [{"name": "old", "state": "done"}, {"name": "www", "state": "failed"}]
    world.fails_at, world.error = "www", PlanIncomplete("1 of 2 did not come about", results=results)
    operation = await applied(plans, runner, plan.id)
    assert (operation.state, operation.result) == (State.FAILED, {"results": results})
    assert operation.error["type"] == "/problems/plan-incomplete"


async def test_plan_of_another_act_is_not_found(plans: Plans, world: World) -> None:
    plans.register("aliases:apply", world, timeout_s=60)
    plan = await plans.plan(ANNA, APPLY, ZONE, WISH)
    for refused in (plans.apply(ANNA, "aliases:apply", plan.id), plans.undo(ANNA, "aliases:apply", plan.id)):
        with pytest.raises(PlanNotFound):
            await refused


async def test_what_was_not_applied_or_is_at_work_cannot_be_undone(plans: Plans, runner: Runner, world: World) -> None:
    plan = await plans.plan(ANNA, APPLY, ZONE, WISH)
    with pytest.raises(PlanNotApplied):
        await plans.undo(ANNA, APPLY, plan.id)
    world.may_put.clear()
    operation = await plans.apply(ANNA, APPLY, plan.id)
    with pytest.raises(PlanNotApplied):
        await plans.undo(ANNA, APPLY, plan.id)
    other = await plans.plan(ANNA, APPLY, ZONE, WISH)
    with pytest.raises(TargetBusy):
        await plans.apply(ANNA, APPLY, other.id)
    world.may_put.set()
    await runner.wait(operation.id)


async def test_undo_after_a_change_by_somebody_else_says_so(plans: Plans, runner: Runner, world: World) -> None:
    plan = await plans.plan(ANNA, APPLY, ZONE, WISH)
    await applied(plans, runner, plan.id)
    world.values["www"] = ["203.0.113.9"]
    with pytest.raises(PlanStale) as stale:
        await plans.undo(ANNA, APPLY, plan.id)
    new: Any = stale.value.extensions["plan"]
    assert {"name": "www", "before": ["203.0.113.9"], "after": None} in new["changes"]


async def test_plan_that_failed_halfway_can_be_undone(plans: Plans, runner: Runner, world: World) -> None:
    before = dict(world.values)
    plan = await plans.plan(ANNA, APPLY, ZONE, WISH)
    world.fails_at = "www"
    assert (await applied(plans, runner, plan.id)).state is State.FAILED
    assert world.values != before
    back = await plans.undo(ANNA, APPLY, plan.id)
    assert [change.name for change in back.changes] == ["old"]
    assert (await applied(plans, runner, back.id)).state is State.DONE
    assert world.values == before


@pytest.mark.parametrize(
    ("values", "outcome", "detail"),
    [
        ({"old": ["192.0.2.1"]}, Outcome.NOT_DONE, "0 of 2 changes are there"),
        ({}, Outcome.UNKNOWN, "1 of 2 changes are there"),
        ({"www": ["192.0.2.7"]}, Outcome.DONE, "2 of 2 changes are there"),
        ({"old": 1, "www": 1}, Outcome.UNKNOWN, "0 of 2 changes are there"),
    ],
)
async def test_interrupted_plan_is_checked_by_looking(
    database: Database, hub: Hub, runner: Runner, plans: Plans, world: World, clock: FakeClock,
    values: dict[str, Any], outcome: Outcome, detail: str,
) -> None:  # fmt: skip
    earlier = Runner(database, hub, clock)
    theirs = Plans(database, earlier, clock)
    theirs.register(APPLY, world, timeout_s=60)
    plan = await theirs.plan(ANNA, APPLY, ZONE, {"www": ["192.0.2.7"], "old": None})
    world.may_put.clear()
    operation = await theirs.apply(ANNA, APPLY, plan.id)
    await asyncio.sleep(0)
    await earlier.close()

    world.values = values
    await runner.recover()
    await runner.recovered()
    found = await runner.get(operation.id)
    assert (found.outcome, found.outcome_detail) == (outcome, detail)
