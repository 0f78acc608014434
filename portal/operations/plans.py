"""Plan -> apply -> undo, the same for every act that has an inverse.

A plan says what the world is and what it is to become, name by name (a DNS record, an alias, a plugin):

    plan = await plans.plan(actor, "dns:apply", "example.com", {"www A": "192.0.2.7", "old A": None})
    operation = await plans.apply(actor, "dns:apply", plan.id)      # or PlanStale, with the new plan
    back = await plans.undo(actor, "dns:apply", plan.id)            # a plan like any other, to be looked at and applied

What is shown is what is done: `apply` looks at the world again, under the target's guard, and does nothing when it is
not as it was planned from. Undoing is an entry of its own; it plans the way back, and says so when somebody else has
changed meanwhile what was applied. Since a plan names both ends, an interrupted one is re-checked by looking.

A plan of several things that cannot be brought about all at once ends with a result for each; when one of them did not
come about, with PlanIncomplete, which holds the results.

A room brings a `Subject` and calls `register`; its routes name the act, so no room can apply another one's plan.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from kit.clock import Clock, now_utc
from kit.problem import Problem
from portal.actor import Actor
from portal.db import Database
from portal.operations.models import PlanRow
from portal.operations.progress import Progress
from portal.operations.records import new_id
from portal.operations.runner import Finding, Inverse, Operation, Outcome, Runner, State

VALID_MIN = 15
KEPT_DAYS = 90  # as long as it can be undone
Value = Any  # anything JSON can hold; None: it is not there


class PlanNotFound(Problem):
    """There is no plan of this id for this act."""

    status, type, title = 404, "plan-not-found", "No such plan"


class PlanStale(Problem):
    """The world is not what was planned from, or the plan is old. Nothing was done; `plan` is the new one."""

    status, type, title = 409, "plan-stale", "Plan is stale"

    def __init__(self, detail: str, plan: Plan) -> None:
        super().__init__(detail, plan=plan.document())
        self.plan = plan


class PlanApplied(Problem):
    """The plan has been applied already; `operation` says by what."""

    status, type, title = 409, "plan-applied", "Plan has been applied"


class PlanNotApplied(Problem):
    """The plan was never applied, or is being applied just now: there is nothing to undo yet."""

    status, type, title = 409, "plan-not-applied", "Plan has not been applied"


class PlanIncomplete(Problem):
    """Some of the plan's changes did not come about. `results` has one entry for each, with what kept it."""

    status, type, title = 409, "plan-incomplete", "Plan was applied in part"


@dataclass(frozen=True, slots=True)
class Change:
    """One name whose value is to change; None means that it is not there."""

    name: str
    before: Value
    after: Value

    def document(self) -> dict[str, Value]:
        return {"name": self.name, "before": self.before, "after": self.after}


@dataclass(frozen=True, slots=True)
class Plan:
    """
    changes       what applying it does, sorted by name; empty when the world is as wished
    wish          every name that was asked for, whether it has to change or not
    undoes        id of the plan that this one takes back
    operation_id  what applied it, once that has begun
    """

    id: str
    act: str
    target: str
    changes: tuple[Change, ...]
    wish: Mapping[str, Value]
    created_at: datetime
    expires_at: datetime
    undoes: str | None
    operation_id: str | None

    def document(self) -> dict[str, Any]:
        """What a page or a command shows."""
        return {
            "id": self.id,
            "act": self.act,
            "target": self.target,
            "changes": [change.document() for change in self.changes],
            "created_at": self.created_at.isoformat(),
            "expires_at": self.expires_at.isoformat(),
            "undoes": self.undoes,
            "operation_id": self.operation_id,
        }


@dataclass(frozen=True, slots=True)
class Order:
    """
    actor   who applies the plan
    how     what whoever applies it has said beside the plan, such as a reason; without secrets, since it is recorded
    """

    target: str
    changes: tuple[Change, ...]
    actor: Actor
    how: Mapping[str, Any]


class Subject(Protocol):
    """What a room lets be planned."""

    async def look(self, target: str, names: Sequence[str]) -> Mapping[str, Value]:
        """Return the present values; a name that is not there is left out. Changes nothing."""
        ...

    async def put(self, order: Order, progress: Progress) -> Mapping[str, Any] | None:
        """Bring every change about, all at once where that is possible; raise when one cannot be."""
        ...


class Plans:
    def __init__(self, database: Database, runner: Runner, clock: Clock) -> None:
        self._database = database
        self._runner = runner
        self._clock = clock
        self._subjects: dict[str, tuple[Subject, float]] = {}

    def register(self, act: str, subject: Subject, *, timeout_s: float) -> None:
        """Let an act be planned; `timeout_s` is for applying. Before the runner recovers."""
        if act in self._subjects:
            raise ValueError(f"{act} has a subject already")
        self._subjects[act] = subject, timeout_s
        self._runner.recheck(act, self._recheck)

    async def plan(
        self,
        actor: Actor,
        act: str,
        target: str,
        wish: Mapping[str, Value],
        *,
        present: Mapping[str, Value] | None = None,
    ) -> Plan:
        """Say what would have to change for the world to be as wished. Changes nothing but the table of plans.

        present   what the wish was made from, where somebody has just looked: what changes since then makes the plan
                  stale, and nothing of it is undone unseen
        """
        seen = await self._look(act, target, list(wish)) if present is None else _as_kept(present)
        return await self._plan(actor, act, target, wish, seen)

    async def get(self, act: str, plan_id: str) -> Plan:
        """Return a plan of this act. Raise PlanNotFound."""
        row = await self._database.read(lambda session: session.get(PlanRow, plan_id))
        if row is None or row.act != act:
            raise PlanNotFound("there is no plan of this id")
        return _to_plan(row)

    async def apply(self, actor: Actor, act: str, plan_id: str, *, how: Mapping[str, Any] | None = None) -> Operation:
        """Begin to do what was planned. how: see Order. Raise PlanNotFound, PlanApplied, PlanStale, TargetBusy."""
        plan = await self.get(act, plan_id)
        await self._check(actor, plan)
        order = Order(plan.target, plan.changes, actor, dict(how or {}))

        async def work(progress: Progress) -> Mapping[str, Any] | None:
            await self._check(actor, plan)  # again: now the target is ours
            await self._database.run(lambda session: _claim(session, plan.id, progress.operation_id))
            return await self._subjects[act][0].put(order, progress)

        changes = [each.document() for each in plan.changes]
        detail = {"plan_id": plan.id, "undoes": plan.undoes, "changes": changes, **order.how}
        inverse = Inverse(act, plan.target, plan.id)
        timeout_s = self._subjects[act][1]
        return await self._runner.start(
            actor, act, plan.target, work, timeout_s=timeout_s, detail=detail, inverse=inverse
        )

    async def undo(
        self, actor: Actor, act: str, plan_id: str, *, has_way_back: Callable[[Change], bool] = lambda _: True
    ) -> Plan:
        """Plan the way back from an applied plan. The new plan is looked at and applied like any other.

        has_way_back   of a change; those that have none stay out of the new plan
        raises         PlanNotFound, PlanNotApplied; PlanStale when the world is not as the plan left it, with what
                       going back would change now
        """
        plan = await self.get(act, plan_id)
        if plan.operation_id is None:
            raise PlanNotApplied
        operation = await self._runner.get(plan.operation_id)
        if operation.state is State.RUNNING:
            raise PlanNotApplied(f"operation {operation.id} is at work", operation=operation.id)
        changes = [change for change in plan.changes if has_way_back(change)]
        present = await self._look(act, plan.target, [change.name for change in changes])
        wish = {change.name: change.before for change in changes}
        back = await self._plan(actor, act, plan.target, wish, present, undoes=plan.id)
        is_as_left = all(present.get(change.name) == change.after for change in changes)
        if operation.state is State.DONE and not is_as_left:
            raise PlanStale("what was applied has been changed since; the new plan says how", back)
        return back

    async def _plan(
        self,
        actor: Actor,
        act: str,
        target: str,
        wish: Mapping[str, Value],
        present: Mapping[str, Value],
        *,
        undoes: str | None = None,
    ) -> Plan:
        now = now_utc(self._clock)
        wished = _as_kept(wish)
        changes = _changes(wished, present)
        row = PlanRow(
            id=new_id(now),
            act=act,
            target=target,
            actor_kind=actor.kind,
            actor_id=actor.id,
            changes=json.dumps([[each.name, each.before, each.after] for each in changes]),
            wish=json.dumps(wished),
            created_at=now,
            expires_at=now + timedelta(minutes=VALID_MIN),
            undoes=undoes,
            operation_id=None,
        )
        plan = _plan_of(row, changes, wished)
        await self._database.run(lambda session: session.add(row))
        return plan

    async def _check(self, actor: Actor, plan: Plan) -> None:
        """Raise unless the plan can be applied to the world as it is."""
        if plan.operation_id is not None:
            raise PlanApplied(operation=plan.operation_id)
        present = await self._look(plan.act, plan.target, list(plan.wish))
        is_old = now_utc(self._clock) >= plan.expires_at
        if is_old or _changes(plan.wish, present) != plan.changes:
            new = await self._plan(actor, plan.act, plan.target, plan.wish, present, undoes=plan.undoes)
            why = f"it is older than {VALID_MIN} minutes" if is_old else "something has changed since it was made"
            raise PlanStale(why, new)

    async def _recheck(self, operation: Operation) -> Finding:
        """Where the world stands between the two ends of the plan."""
        if operation.inverse is None or operation.inverse.plan_id is None:
            return Finding(Outcome.UNKNOWN, "it was no plan")
        plan = await self.get(operation.act, operation.inverse.plan_id)
        present = await self._look(plan.act, plan.target, [change.name for change in plan.changes])
        done = sum(present.get(change.name) == change.after for change in plan.changes)
        detail = f"{done} of {len(plan.changes)} changes are there"
        if done == len(plan.changes):
            return Finding(Outcome.DONE, detail)
        is_untouched = all(present.get(change.name) == change.before for change in plan.changes)
        return Finding(Outcome.NOT_DONE if is_untouched else Outcome.UNKNOWN, detail)

    async def _look(self, act: str, target: str, names: Sequence[str]) -> Mapping[str, Value]:
        return _as_kept(await self._subjects[act][0].look(target, names))


def purge(session: Session, now: datetime) -> None:
    """Forget plans that nobody applies or undoes any more."""
    session.execute(delete(PlanRow).where(PlanRow.created_at < now - timedelta(days=KEPT_DAYS)))


def _as_kept(values: Mapping[str, Value]) -> dict[str, Value]:
    """Values as they come back from the table of plans: a tuple that comes back as a list is no change."""
    kept: dict[str, Value] = json.loads(json.dumps(dict(values)))
    return kept


def _changes(wish: Mapping[str, Value], present: Mapping[str, Value]) -> tuple[Change, ...]:
    return tuple(
        Change(name, present.get(name), wish[name]) for name in sorted(wish) if present.get(name) != wish[name]
    )


def _claim(session: Session, plan_id: str, operation_id: str) -> None:
    """Note what applies the plan. Raise PlanApplied when something else has."""
    session.execute(
        update(PlanRow).where(PlanRow.id == plan_id, PlanRow.operation_id.is_(None)).values(operation_id=operation_id)
    )
    row = session.get_one(PlanRow, plan_id)
    if row.operation_id != operation_id:
        raise PlanApplied(operation=row.operation_id)


def _to_plan(row: PlanRow) -> Plan:
    return _plan_of(row, tuple(Change(*each) for each in json.loads(row.changes)), json.loads(row.wish))


def _plan_of(row: PlanRow, changes: tuple[Change, ...], wish: Mapping[str, Value]) -> Plan:
    return Plan(
        id=row.id,
        act=row.act,
        target=row.target,
        changes=changes,
        wish=wish,
        created_at=row.created_at,
        expires_at=row.expires_at,
        undoes=row.undoes,
        operation_id=row.operation_id,
    )
