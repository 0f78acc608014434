"""The operations table: what an operation is, and the statements on it. Each runs in its caller's transaction.

A row is written before the act begins and closed after it. `guard` names the target as long as it is held, under a
UNIQUE constraint: whoever inserts the row has the target, whatever else runs at the same moment. It is held while the
act runs and, after an interruption, until the re-check has said what is true.
"""

from __future__ import annotations

import enum
import json
import secrets
import statistics
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import CursorResult, delete, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, defer

from portal.actor import Actor, Kind, Role
from portal.audit.redaction import canonical, clip
from portal.operations.models import OperationRow
from portal.operations.progress import Line, Report

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
TYPICAL_RUNS = 5
ID = r"^[0-9A-HJKMNP-TV-Z]{26}$"


class State(enum.StrEnum):
    """Where an operation is. All but RUNNING are final."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    INTERRUPTED = "interrupted"  # the portal stopped meanwhile; `outcome` says what became of the act


class Outcome(enum.StrEnum):
    """What a look at the world says about an interrupted act."""

    CHECKING = "checking"
    DONE = "done"
    NOT_DONE = "not_done"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Inverse:
    """What would take an operation back: an act on a target, or a plan of that act."""

    act: str
    target: str
    plan_id: str | None = None

    def document(self) -> dict[str, str | None]:
        return {"act": self.act, "target": self.target, "plan_id": self.plan_id}


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation as it is or was at some moment.

    id              ULID: 26 characters that sort by the time of the start
    act             as in the policy table, such as "containers:restart"
    actor           who asked for it, as they were then
    outcome         of an interrupted one; None for all others
    outcome_detail  one line on how the outcome was found
    cancelled_by    the name of whoever asked to cancel, also while the work still runs
    report          how far it came, and its newest lines; of a list's operations without lines
    detail          what was asked for, beside act and target
    result          what the work returned; of a failed one, what its problem says beside its text
    error           {"type", "title", "detail"}: the problem that ended the work
    """

    id: str
    act: str
    target: str
    actor: Actor
    state: State
    outcome: Outcome | None
    outcome_detail: str
    started_at: datetime
    ended_at: datetime | None
    timeout_s: float
    cancelled_by: str | None
    report: Report
    detail: Any
    inverse: Inverse | None
    result: Any
    error: Any

    @property
    def guard(self) -> str:
        return f"{self.act.partition(':')[0]}/{self.target}"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which operations a list shows: all that are equal in every given field."""

    state: State | None = None
    act: str | None = None
    target: str | None = None
    actor_id: str | None = None


def new_id(now: datetime) -> str:
    """Return a ULID: 48 bits of milliseconds since the epoch, 80 random bits."""
    number = int(now.timestamp() * 1000) << 80 | secrets.randbits(80)
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def insert(
    session: Session, operation: Operation, owner: str, *, detail: str | None, inverse: str | None
) -> str | None:
    """Write a running operation and take its target. Return None, or the id of the operation that holds the target.

    detail, inverse   as JSON
    raises            IntegrityError when another transaction took the target at this moment: look again
    """
    holder = session.scalar(select(OperationRow.id).where(OperationRow.guard == operation.guard))
    if holder is not None:
        return holder
    actor = operation.actor
    session.add(
        OperationRow(
            id=operation.id,
            act=operation.act,
            target=operation.target,
            guard=operation.guard,
            owner=owner,
            actor_kind=actor.kind,
            actor_id=clip(actor.id, 64),
            actor_name=clip(actor.name, 255),
            actor_role=actor.role.value if actor.role else None,
            source=clip(actor.source, 64),
            request_id=clip(actor.request_id, 64),
            state=operation.state.value,
            outcome=None,
            outcome_detail="",
            started_at=operation.started_at,
            timeout_s=operation.timeout_s,
            lines="[]",
            detail=detail,
            inverse=inverse,
        )
    )
    session.flush()
    return None


def is_guard_taken(error: IntegrityError) -> bool:
    """Whether this is about the target, not about a defect such as a missing column's value."""
    return "guard" in str(error.orig)


def save_report(session: Session, operation_id: str, report: Report) -> None:
    """Keep what a running operation has said so far."""
    _update_running(session, operation_id, _report_columns(report))


def save_canceller(session: Session, operation_id: str, name: str) -> bool:
    """Write down who cancels a running operation. Return whether it is running and nobody has cancelled it before."""
    columns = {"cancelled_by": clip(name, 255)}
    return _update_running(session, operation_id, columns, OperationRow.cancelled_by.is_(None))


def close(
    session: Session,
    operation_id: str,
    *,
    state: State,
    at: datetime,
    report: Report | None,
    result: str | None,
    error: str | None,
    outcome: Outcome | None,
    outcome_detail: str,
) -> bool:
    """Close a running operation; free its target, unless it has to be checked. Return whether it was running."""
    columns: dict[str, Any] = {
        "state": state.value,
        "ended_at": at,
        "result": result,
        "error": error,
        "outcome": outcome.value if outcome else None,
        "outcome_detail": clip(outcome_detail, 500),
    }
    if outcome is not Outcome.CHECKING:
        columns["guard"] = None
    if report is not None:
        columns |= _report_columns(report)
    return _update_running(session, operation_id, columns)


def adopt_ownerless(session: Session, owner: str, at: datetime) -> list[tuple[Operation, bool]]:
    """Make every operation that nobody owns interrupted, and this owner's to check.

    returns   each with whether it was running till now; the others had been waiting for their check before
    """
    rows = session.scalars(
        select(OperationRow)
        .where(
            OperationRow.owner != owner,
            or_(OperationRow.state == State.RUNNING.value, OperationRow.outcome == Outcome.CHECKING.value),
        )
        .order_by(OperationRow.id)
        .with_for_update()
    ).all()
    adopted = []
    for row in rows:
        was_running = row.state == State.RUNNING.value
        row.owner = owner
        if was_running:
            row.state, row.outcome, row.ended_at = State.INTERRUPTED.value, Outcome.CHECKING.value, at
        adopted.append((to_operation(row), was_running))
    return adopted


def settle(session: Session, operation_id: str, outcome: Outcome, detail: str) -> bool:
    """Write down what the re-check found, and free the target. Return whether it was still to be found."""
    changed = session.execute(
        update(OperationRow)
        .where(OperationRow.id == operation_id, OperationRow.outcome == Outcome.CHECKING.value)
        .values(outcome=outcome.value, outcome_detail=clip(detail, 500), guard=None)
    )
    return cast(CursorResult[Any], changed).rowcount == 1


def get(session: Session, operation_id: str) -> Operation | None:
    row = session.get(OperationRow, operation_id)
    return to_operation(row) if row else None


def find(session: Session, wanted: Filter, *, before: str | None, limit: int) -> list[Operation]:
    """Return the newest operations, newest first, without their lines; `before` is the last id of the page before."""
    statement = select(OperationRow).options(defer(OperationRow.lines)).order_by(OperationRow.id.desc()).limit(limit)
    columns = {
        OperationRow.state: wanted.state and wanted.state.value,
        OperationRow.act: wanted.act,
        OperationRow.target: wanted.target,
        OperationRow.actor_id: wanted.actor_id,
    }
    for column, value in columns.items():
        if value is not None:
            statement = statement.where(column == value)
    if before is not None:
        statement = statement.where(OperationRow.id < before)
    return [to_operation(row, has_lines=False) for row in session.scalars(statement)]


def typical_s(session: Session, act: str, target: str) -> float | None:
    """How long this act on this target takes: the median of its last runs that went well, in seconds."""
    runs = session.execute(
        select(OperationRow.started_at, OperationRow.ended_at)
        .where(OperationRow.act == act, OperationRow.target == target, OperationRow.state == State.DONE.value)
        .order_by(OperationRow.id.desc())
        .limit(TYPICAL_RUNS)
    ).all()
    durations = [(ended - started).total_seconds() for started, ended in runs if ended is not None]
    return statistics.median(durations) if durations else None


def purge(session: Session, *, before: datetime) -> int:
    """Remove operations that ended before then. Return how many. The audit keeps what was done."""
    removed = session.execute(delete(OperationRow).where(OperationRow.ended_at < before, OperationRow.guard.is_(None)))
    return cast(CursorResult[Any], removed).rowcount


def to_operation(row: OperationRow, *, has_lines: bool = True) -> Operation:
    inverse = _parsed(row.inverse)
    return Operation(
        id=row.id,
        act=row.act,
        target=row.target,
        actor=Actor(
            cast(Kind, row.actor_kind),
            row.actor_id,
            row.actor_name,
            Role(row.actor_role) if row.actor_role else None,
            row.source,
            row.request_id,
        ),
        state=State(row.state),
        outcome=Outcome(row.outcome) if row.outcome else None,
        outcome_detail=row.outcome_detail,
        started_at=row.started_at,
        ended_at=row.ended_at,
        timeout_s=row.timeout_s,
        cancelled_by=row.cancelled_by,
        report=Report(
            row.progress_done,
            row.progress_of,
            tuple(Line(*line) for line in json.loads(row.lines)) if has_lines else (),
        ),
        detail=_parsed(row.detail),
        inverse=Inverse(**inverse) if inverse else None,
        result=_parsed(row.result),
        error=_parsed(row.error),
    )


def _parsed(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def _report_columns(report: Report) -> dict[str, Any]:
    lines = canonical([list(line) for line in report.lines])
    return {"progress_done": report.done, "progress_of": report.of, "lines": lines}


def _update_running(session: Session, operation_id: str, columns: dict[str, Any], *conditions: Any) -> bool:
    """Change a row as long as it is running. Return whether it was."""
    changed = session.execute(
        update(OperationRow)
        .where(OperationRow.id == operation_id, OperationRow.state == State.RUNNING.value, *conditions)
        .values(**columns)
    )
    return cast(CursorResult[Any], changed).rowcount == 1
