"""What is written about an operation: its row and the audit's in one transaction, then an event for whoever watches.

`open` is the record before the act: when it returns, the operation exists and holds its target. What comes after the
act (`close`, `settle`) is written however long it takes the database to be writable again, since what was done has been
done.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from kit.clock import Clock, now_utc
from kit.logging import get_logger
from kit.problem import Problem
from portal import audit
from portal.actor import Actor
from portal.audit import Result
from portal.audit.redaction import to_json
from portal.db import Database, DatabaseUnavailable
from portal.operations import records
from portal.operations.hub import Hub
from portal.operations.progress import Line, Report
from portal.operations.records import Operation, Outcome, State

log = get_logger()

TOPIC = "operations"
OPEN_ATTEMPTS = 3  # at a target that is taken and freed again between two looks
WRITE_WAITS_S = (0.1, 0.5, 2.0, 5.0)  # between attempts to write what was done; the last one again and again


class TargetBusy(Problem):
    """Another operation holds this target; `operation` is its id."""

    status, type, title = 409, "target-busy", "Target is busy"


@dataclass(frozen=True, slots=True)
class Ending:
    """How an operation ended.

    result, error  JSON
    outcome        of an interrupted one; CHECKING holds the target until somebody has looked
    detail         for the audit, and of an outcome
    """

    state: State
    result: str | None = None
    error: str | None = None
    outcome: Outcome | None = None
    detail: str = ""


class Journal:
    def __init__(self, database: Database, hub: Hub, clock: Clock) -> None:
        self._database = database
        self._hub = hub
        self._clock = clock
        self._owner = secrets.token_hex(16)  # this process; whatever else is running in the table is nobody's

    async def open(self, operation: Operation) -> None:
        """Record an operation that is about to begin. Raise TargetBusy, DatabaseUnavailable: then it must not begin."""
        detail = to_json(operation.detail)
        inverse = to_json(operation.inverse.document()) if operation.inverse else None

        def write(session: Session) -> str | None:
            holder = records.insert(session, operation, self._owner, detail=detail, inverse=inverse)
            if holder is None:
                _audit(session, operation, Result.ACCEPTED, after=operation.detail or None)
            return holder

        for attempts_left in reversed(range(OPEN_ATTEMPTS)):
            try:
                holder = await self._database.run(write)
            except IntegrityError as error:
                if records.is_guard_taken(error) and attempts_left:
                    continue
                raise
            if holder is not None:
                await self._refuse(operation, holder)
            return

    async def _refuse(self, operation: Operation, holder: str) -> None:
        action = operation.actor.tag(operation.act)
        detail = f"the target is held by operation {holder}"
        await audit.record_now(self._database, operation.actor, action, operation.target, Result.DENIED, detail=detail)
        raise TargetBusy(
            f"operation {holder} holds {operation.target}",
            operation=holder,
            instance=f"/api/operations/{holder}",
        )

    async def save(self, operation_id: str, report: Report) -> None:
        """Keep what a running operation has said, so that a crash leaves it."""
        await self._database.run(lambda session: records.save_report(session, operation_id, report))

    async def cancel(self, operation_id: str, actor: Actor) -> bool:
        """Record who cancels a running operation. Return False when it has ended, or is being cancelled already."""

        def write(session: Session) -> bool:
            if not records.save_canceller(session, operation_id, actor.name):
                return False
            action = actor.tag("operations:cancel")
            audit.record(session, actor, action, operation_id, Result.DONE, operation_id=operation_id)
            return True

        return await self._database.run(write)

    async def close(self, operation: Operation, ending: Ending, report: Report | None) -> None:
        """Record how an operation ended."""
        at = now_utc(self._clock)

        def write(session: Session, ending: Ending, report: Report | None) -> None:
            is_closed = records.close(
                session,
                operation.id,
                state=ending.state,
                at=at,
                report=report,
                result=ending.result,
                error=ending.error,
                outcome=ending.outcome,
                outcome_detail=ending.detail if ending.outcome else "",
            )
            if is_closed and ending.state is State.DONE:
                _audit(session, operation, Result.DONE)
            elif is_closed:
                _audit(session, operation, Result.FAILED, detail=f"{ending.state}: {ending.detail}".rstrip(": "))

        bare = Ending(ending.state, outcome=ending.outcome, detail=ending.detail)
        await self._write(
            lambda session: write(session, ending, report), or_else=lambda session: write(session, bare, None)
        )

    async def adopt(self) -> list[Operation]:
        """Make what an earlier process has left interrupted, and this one's to check; return it."""

        def write(session: Session) -> list[Operation]:
            adopted = records.adopt_ownerless(session, self._owner, now_utc(self._clock))
            for operation, was_running in adopted:
                if was_running:
                    _audit(session, operation, Result.FAILED, detail="interrupted: the portal stopped meanwhile")
            return [operation for operation, _ in adopted]

        return await self._database.run(write)

    async def settle(self, operation: Operation, outcome: Outcome, detail: str) -> None:
        """Record what became of an interrupted operation."""

        def write(session: Session) -> None:
            if records.settle(session, operation.id, outcome, detail):
                result = Result.DONE if outcome is Outcome.DONE else Result.FAILED
                text = f"re-checked, {outcome}: {detail}".rstrip(": ")
                _audit(session, operation, result, actor=Actor.system("recheck"), detail=text)

        await self._write(write)

    def tell(
        self,
        operation: Operation,
        *,
        state: State,
        outcome: Outcome | None = None,
        report: Report,
        lines: list[Line] | None = None,
    ) -> None:
        """Publish where an operation is; `lines` are those that are new."""
        document = {
            "id": operation.id,
            "act": operation.act,
            "target": operation.target,
            "state": state.value,
            "outcome": outcome.value if outcome else None,
            "cancelled_by": operation.cancelled_by,
            "progress": {"done": report.done, "of": report.of},
            "lines": [line._asdict() for line in lines or ()],
        }
        self._hub.publish(TOPIC, document)

    async def _write(
        self, write: Callable[[Session], None], *, or_else: Callable[[Session], None] | None = None
    ) -> None:
        """Write until it is written.

        or_else   what to write when the database is there but refuses this
        """
        attempt = 0
        while True:
            try:
                await self._database.run(write)
                return
            except DatabaseUnavailable:
                log.warning("operation_write_waits", attempt=attempt)
            except Exception:  # whatever it is, an open record would hold its target for ever
                log.exception("operation_write_failed", attempt=attempt)
                write = or_else or write
            await asyncio.sleep(WRITE_WAITS_S[min(attempt, len(WRITE_WAITS_S) - 1)])
            attempt += 1


def _audit(
    session: Session,
    operation: Operation,
    result: Result,
    *,
    actor: Actor | None = None,
    after: Any = None,
    detail: str = "",
) -> None:
    actor = actor or operation.actor
    audit.record(
        session,
        actor,
        actor.tag(operation.act),
        operation.target,
        result,
        after=after,
        detail=detail,
        operation_id=operation.id,
    )
