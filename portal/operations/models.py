"""The tables of operations and plans."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Double, String
from sqlalchemy.orm import Mapped, mapped_column

from portal.db import Base, LongText, UtcDateTime

MAX_TARGET = 255


class OperationRow(Base):
    """One operation. Its columns are explained at `records.Operation`."""

    __tablename__ = "operations"

    id: Mapped[str] = mapped_column(String(26), primary_key=True)
    act: Mapped[str] = mapped_column(String(100), index=True)
    target: Mapped[str] = mapped_column(String(MAX_TARGET), index=True)
    guard: Mapped[str | None] = mapped_column(String(400), unique=True)  # as long as the target is held; then NULL
    owner: Mapped[str] = mapped_column(String(32))  # the runner, new with every start of the portal
    actor_kind: Mapped[str] = mapped_column(String(16))
    actor_id: Mapped[str] = mapped_column(String(64), index=True)
    actor_name: Mapped[str] = mapped_column(String(255))
    actor_role: Mapped[str | None] = mapped_column(String(16))
    source: Mapped[str] = mapped_column(String(64))
    request_id: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16), index=True)
    outcome: Mapped[str | None] = mapped_column(String(16))
    outcome_detail: Mapped[str] = mapped_column(String(500))
    started_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    timeout_s: Mapped[float] = mapped_column(Double)
    cancelled_by: Mapped[str | None] = mapped_column(String(255))
    progress_done: Mapped[int | None] = mapped_column(BigInteger)
    progress_of: Mapped[int | None] = mapped_column(BigInteger)
    lines: Mapped[str] = mapped_column(LongText)  # JSON: [[number, seconds since the epoch, text], ...]
    detail: Mapped[str | None] = mapped_column(LongText)  # JSON, without secrets, as are the next three
    inverse: Mapped[str | None] = mapped_column(LongText)
    result: Mapped[str | None] = mapped_column(LongText)
    error: Mapped[str | None] = mapped_column(LongText)


class PlanRow(Base):
    """One plan. Its columns are explained at `plans.Plan`."""

    __tablename__ = "plans"

    id: Mapped[str] = mapped_column(String(26), primary_key=True)
    act: Mapped[str] = mapped_column(String(100))
    target: Mapped[str] = mapped_column(String(MAX_TARGET))
    actor_kind: Mapped[str] = mapped_column(String(16))
    actor_id: Mapped[str] = mapped_column(String(64))
    changes: Mapped[str] = mapped_column(LongText)  # JSON: [[name, before, after], ...]
    wish: Mapped[str] = mapped_column(LongText)  # JSON: {name: after}
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    undoes: Mapped[str | None] = mapped_column(String(26))
    operation_id: Mapped[str | None] = mapped_column(String(26), unique=True)  # set once it is being applied
