"""Which containers run, as something that is planned, applied and taken back (portal/operations/plans.py).

    plan = await run_state.plan(actor, ["mail-postfix", "mail-dovecot"], "stopped")
    operation = await run_state.apply(actor, plan.id, wanted, confirm)
    back = await run_state.undo(actor, plan.id)

A container's value is "running", also while it is paused or about to be started again, or "stopped". Applying is one
operation, which begins an ordinary start or stop for each container: so each of them holds its own container, has its
own record and re-check, and is refused by itself when something else is at work there. What needs another container is
stopped before it and started after it; otherwise up to AT_ONCE at the same time. What one refuses keeps no other from
it; the operation then fails, with a result for each.

Cancelled, or out of time: what has begun ends by itself, nothing more is begun. After a crash the starts and stops are
re-checked one by one, and the whole by looking where the world stands between the plan's two ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from kit.problem import Problem
from portal.actor import Actor
from portal.broker import schemas as broker_schemas
from portal.broker.client import Broker
from portal.broker.failures import NoSuchContainer
from portal.broker.schemas import Container
from portal.containers.dependence import in_order, is_up
from portal.containers.schemas import ActOn, ApplyPlan
from portal.containers.service import Containers
from portal.operations.models import MAX_TARGET
from portal.operations.plans import Order, Plan, PlanIncomplete, Plans
from portal.operations.progress import Progress
from portal.operations.records import State
from portal.operations.runner import Operation, Runner

APPLY = "containers:apply"
RUNNING, STOPPED = "running", "stopped"
AT_ONCE = 8
TIMEOUT_S = 3600.0  # two hundred containers whose programs use up their grace, a few deep

Confirm = Callable[[Container], None]  # as in service.py


class RunState:
    """Implements plans.Subject."""

    def __init__(self, room: Containers, broker: Broker, runner: Runner, plans: Plans) -> None:
        self._room, self._broker, self._runner, self._plans = room, broker, runner, plans

    def begin(self) -> None:
        """Let it be planned. Before `runner.recover`."""
        self._plans.register(APPLY, self, timeout_s=TIMEOUT_S)

    async def plan(self, actor: Actor, names: Sequence[str], want: Literal["running", "stopped"]) -> Plan:
        """Say what has to change for all of them to be so. Raise NoSuchContainer, or what the broker says."""
        wish = dict.fromkeys(names, want)
        present = await self.look("", list(wish))
        if missing := [name for name in wish if name not in present]:
            raise NoSuchContainer(f"no container is called {', '.join(missing[:5])}")
        return await self._plans.plan(actor, APPLY, _target(list(wish)), wish)

    async def get(self, plan_id: str) -> Plan:
        """Raise PlanNotFound."""
        return await self._plans.get(APPLY, plan_id)

    async def apply(self, actor: Actor, plan_id: str, wanted: ApplyPlan, confirm: Confirm) -> Operation:
        """Begin to do what was planned, once every protected container that goes down is confirmed.

        confirm  raises unless whoever asks may end this container now
        raises   ReasonRequired, what `confirm` raises, and what Plans.apply raises
        """
        plan = await self.get(plan_id)
        going_down = [self._room.picture.named(change.name) for change in plan.changes if change.after == STOPPED]
        protected = [container for container in going_down if container is not None and container.protection]
        asked = ActOn(reason=wanted.reason, grace_s=wanted.grace_s)
        for container in protected:
            self._room.override(container, asked, confirm)
        how: dict[str, Any] = {"grace_s": wanted.grace_s}
        if protected:
            how |= {"reason": asked.reason, "confirmed": [container.name for container in protected]}
        return await self._plans.apply(actor, APPLY, plan_id, how=how)

    async def undo(self, actor: Actor, plan_id: str) -> Plan:
        """Plan the way back; a container that was gone then has none. Raise what Plans.undo raises."""
        return await self._plans.undo(actor, APPLY, plan_id, has_way_back=lambda change: change.before is not None)

    # -- as a subject of plans ----------------------------------------------------------------------------------------

    async def look(self, target: str, names: Sequence[str]) -> Mapping[str, str]:
        found = await self._named(names)
        return {name: RUNNING if is_up(container) else STOPPED for name, container in found.items()}

    async def put(self, order: Order, progress: Progress) -> Mapping[str, Any]:
        found = await self._named([change.name for change in order.changes])
        groups = in_order(list(found.values()))
        gone = [change.name for change in order.changes if change.name not in found]
        results: list[dict[str, Any]] = []
        for after, steps in ((STOPPED, [gone, *reversed(groups)]), (RUNNING, [gone, *groups])):
            names = {change.name for change in order.changes if change.after == after}
            for step in steps:
                await self._put_each([name for name in step if name in names], after, order, progress, results)
        failed = [each["name"] for each in results if each["state"] != State.DONE]
        if failed:
            raise PlanIncomplete(f"{len(failed)} of {len(results)} did not come about", results=results)
        return {"results": results}

    async def _put_each(
        self, names: Sequence[str], after: str, order: Order, progress: Progress, results: list[dict[str, Any]]
    ) -> None:
        """Bring them about, AT_ONCE at the same time; add one result for each as it is known."""
        turns = asyncio.Semaphore(AT_ONCE)

        async def put(name: str) -> None:
            async with turns:
                result = await self._put_one(name, after, order)
            results.append(result)
            progress.note(f"{name}: {result['state']}")
            progress.at(len(results), len(order.changes))

        async with asyncio.TaskGroup() as tasks:
            for name in names:
                tasks.create_task(put(name))

    async def _put_one(self, name: str, after: str, order: Order) -> dict[str, Any]:
        """Start or stop one and wait for its end. state: the operation's, or `refused` when none was begun.

        A problem beside the state `running`: it was begun, and its record cannot be read just now.
        """
        wanted = ActOn(reason=order.how.get("reason"), grace_s=order.how["grace_s"])
        confirm = _confirmed if name in order.how.get("confirmed", ()) else None
        try:
            if after == RUNNING:
                begun = await self._room.start(order.actor, name)
            else:
                begun = await self._room.stop(order.actor, name, wanted, confirm)
        except Problem as problem:
            return {"name": name, "operation": None, "state": "refused", "problem": problem.document()}
        try:
            ended = await self._runner.wait(begun.id)
        except Problem as problem:
            return {"name": name, "operation": begun.id, "state": begun.state.value, "problem": problem.document()}
        return {"name": name, "operation": ended.id, "state": ended.state.value, "problem": ended.error}

    async def _named(self, names: Sequence[str]) -> dict[str, Container]:
        """Ask the engine, not the picture. Raise a BrokerProblem."""
        listed = await self._broker.ask(broker_schemas.List())
        return {container.name: container for container in listed.containers if container.name in names}


def _confirmed(_: Container) -> None:
    """It was confirmed when the plan was applied."""


def _target(names: Sequence[str]) -> str:
    """What the operation is called after: the names, or as many as there is room for. No container is called so."""
    text = "plan of "
    for number, name in enumerate(names):
        more = (", " if number else "") + name
        if len(text) + len(more) > MAX_TARGET - 60:
            return f"{text}{more[: 20 if number else 150]}... ({len(names)} in all)"
        text += more
    return text
