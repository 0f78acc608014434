"""The tables of the recipes for sites: runs, their steps, and what was said of their plans."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from portal.db import Base, LongText, UtcDateTime
from portal.wordpress.models import MAX_NAME


class SiteRunRow(Base):
    """One run of a recipe, from its first operation on; another operation may finish it or take it back.

    id         of the operation that began it; what is made in it bears this id
    act        add | remove | import
    asked      JSON, what was asked for; no secret
    sealed     JSON, sealed: the passwords that were drawn for it; NULL as soon as it is closed
    state      open | done | reverted; open without an operation at work is unfinished
    operation  the operation that works on it, or has last
    trouble    what kept it from its end, last; "" while nothing has
    """

    __tablename__ = "site_runs"

    id: Mapped[str] = mapped_column(String(26), primary_key=True)
    act: Mapped[str] = mapped_column(String(16))
    site: Mapped[str] = mapped_column(String(MAX_NAME), index=True)
    asked: Mapped[str] = mapped_column(LongText)
    sealed: Mapped[str | None] = mapped_column(LongText)
    state: Mapped[str] = mapped_column(String(16), index=True)
    operation: Mapped[str] = mapped_column(String(26))
    trouble: Mapped[str] = mapped_column(LongText)
    began_at: Mapped[datetime] = mapped_column(UtcDateTime)
    closed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class SiteStepRow(Base):
    """How far a step of a run is, written before and after its act.

    state   begun | done | undoing | undone
    made    JSON, what it made, by id, written before that is made where the id is known before
    """

    __tablename__ = "site_steps"

    run: Mapped[str] = mapped_column(ForeignKey("site_runs.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(16), primary_key=True)
    number: Mapped[int]
    state: Mapped[str] = mapped_column(String(16))
    made: Mapped[str] = mapped_column(LongText)
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime)


class SitePlanRow(Base):
    """A plan as it is shown, beside the plan itself (operations.plans)."""

    __tablename__ = "site_plans"

    plan_id: Mapped[str] = mapped_column(String(26), primary_key=True)
    asked: Mapped[str] = mapped_column(LongText)  # JSON: what was asked for
    shown: Mapped[str] = mapped_column(LongText)  # JSON: steps, conflicts, notes
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
