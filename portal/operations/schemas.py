"""Operations as the API shows them. Texts of strangers (names, lines) come as they are; a page shows them as text."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from portal.operations.records import Inverse, Operation, Outcome, State


class OperationActor(BaseModel):
    """Who asked for it, as they were then."""

    kind: str
    id: str
    name: str


class OperationProgress(BaseModel):
    """How much is done, and of how much; null while unknown. The unit is the act's."""

    done: int | None
    of: int | None


class OperationLine(BaseModel):
    """
    A line of the operation's log; a gap in the numbers means that lines were dropped. `at`: seconds since the epoch.
    """

    number: int
    at: float
    text: str


class OperationInverse(BaseModel):
    """What takes the operation back: an act on a target, or the undoing of a plan of that act."""

    act: str
    target: str
    plan_id: str | None

    @classmethod
    def of(cls, inverse: Inverse) -> OperationInverse:
        return cls(act=inverse.act, target=inverse.target, plan_id=inverse.plan_id)


class OperationError(BaseModel):
    """The problem that ended it; `type` is documented as for any problem."""

    type: str
    title: str
    detail: str


class OperationView(BaseModel):
    id: str = Field(description="26 characters that sort by the time of the start")
    act: str = Field(description="As in the policy table, such as containers:restart")
    target: str
    actor: OperationActor
    state: State
    outcome: Outcome | None = Field(description="Of an interrupted operation: what became of the act")
    outcome_detail: str
    started_at: datetime
    ended_at: datetime | None
    timeout_s: float
    cancelled_by: str | None = Field(description="Who asked to cancel it, also while its work still runs")
    progress: OperationProgress
    lines: list[OperationLine] = Field(description="The newest lines; empty in a list of operations")
    detail: dict[str, Any] | None = Field(description="What was asked for, beside act and target")
    inverse: OperationInverse | None
    result: Any = Field(description="What the work returned; of a failed one, what its problem says beside its text")
    error: OperationError | None
    typical_s: float | None = Field(description="Median of the last runs on this target; null in a list")

    @classmethod
    def of(cls, operation: Operation, *, typical_s: float | None = None) -> OperationView:
        actor, report = operation.actor, operation.report
        return cls(
            id=operation.id,
            act=operation.act,
            target=operation.target,
            actor=OperationActor(kind=actor.kind, id=actor.id, name=actor.name),
            state=operation.state,
            outcome=operation.outcome,
            outcome_detail=operation.outcome_detail,
            started_at=operation.started_at,
            ended_at=operation.ended_at,
            timeout_s=operation.timeout_s,
            cancelled_by=operation.cancelled_by,
            progress=OperationProgress(done=report.done, of=report.of),
            lines=[OperationLine(number=line.number, at=line.at, text=line.text) for line in report.lines],
            detail=operation.detail,
            inverse=OperationInverse.of(operation.inverse) if operation.inverse else None,
            result=operation.result,
            error=OperationError(**operation.error) if operation.error else None,
            typical_s=typical_s,
        )


class OperationPage(BaseModel):
    operations: list[OperationView]
    before: str | None = Field(description="Give this as `before` for the next page; null when this is the last")
