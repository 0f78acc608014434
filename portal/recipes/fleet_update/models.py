"""The tables of updates of many sites: which there were, and how far each site came."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from portal.db import Base, LongText, UtcDateTime


class FleetUpdateRow(Base):
    """An update that was begun.

    id           of its operation
    soaks_until  while it waits between two rings; NULL otherwise
    stopped      why the rings behind were not begun; "" when it came through, or is at work
    """

    __tablename__ = "fleet_updates"

    id: Mapped[str] = mapped_column(String(26), primary_key=True)
    plan_id: Mapped[str] = mapped_column(String(26))
    by: Mapped[str] = mapped_column(String(255))
    soak_minutes: Mapped[int]
    began_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    soaks_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    stopped: Mapped[str] = mapped_column(LongText)


class FleetUpdateSiteRow(Base):
    """How far one site came; written before each step, so that a crash leaves what it was at.

    state         waiting · at_work · updated · rolled_back · not_begun · failed · unknown
    step          of what is at work: health · point · updating · checking · public · rolling_back; stays at the end
    updates       JSON: [[kind, slug, before, after], ...]
    point         the restore point; NULL until it is made
    checksum      of the database when the point was made; NULL where no databases room is connected
    before, after JSON of `health.Health`
    reason        why it is not updated, in one text
    operation_id  of the site's own operation
    """

    __tablename__ = "fleet_update_sites"

    update_id: Mapped[str] = mapped_column(String(26), primary_key=True)
    site: Mapped[str] = mapped_column(String(31), primary_key=True)
    ring: Mapped[int]
    position: Mapped[int]
    state: Mapped[str] = mapped_column(String(16))
    step: Mapped[str] = mapped_column(String(16))
    updates: Mapped[str] = mapped_column(LongText)
    point: Mapped[str | None] = mapped_column(String(100))
    checksum: Mapped[str | None] = mapped_column(String(128))
    before: Mapped[str | None] = mapped_column(LongText)
    after: Mapped[str | None] = mapped_column(LongText)
    reason: Mapped[str] = mapped_column(LongText)
    operation_id: Mapped[str | None] = mapped_column(String(26), index=True)
    began_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class FleetUpdatePlanRow(Base):
    """What was asked for and what was left out, beside the plan itself (operations.plans)."""

    __tablename__ = "fleet_update_plans"

    plan_id: Mapped[str] = mapped_column(String(26), primary_key=True)
    asked: Mapped[str] = mapped_column(LongText)  # JSON: schemas.NewUpdatePlan
    left_out: Mapped[str] = mapped_column(LongText)  # JSON: [[site, why], ...]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
