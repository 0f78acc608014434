"""The tables of the DNS room: zones as they were seen, points in time, changes from outside, half applied plans."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, LargeBinary, String
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, mapped_column

from portal.db import Base, BigId, LongText, UtcDateTime

MAX_ZONE = 253
MAX_KEY = 400
Blob = LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")  # 16 MiB; MariaDB's BLOB ends at 64 KiB


class SeenZoneRow(Base):
    """A zone as it was last seen: what the next sight of it is compared with, and what an outage leaves to show.

    last_ours  the operation, or "edge", by which Homeport itself changed it last
    digest     of the values, so that ids and times of change make no difference
    records    as Cloudflare sent them, packed
    """

    __tablename__ = "dns_seen_zones"

    zone: Mapped[str] = mapped_column(String(MAX_ZONE), primary_key=True)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_ours: Mapped[str | None] = mapped_column(String(26))
    digest: Mapped[str] = mapped_column(String(64))
    records: Mapped[bytes] = mapped_column(Blob, deferred=True)


class SnapshotRow(Base):
    """A point in time of a zone; equal ones that follow each other are one. Columns as of `schemas.SnapshotView`."""

    __tablename__ = "dns_snapshots"
    __table_args__ = (Index("ix_dns_snapshots_zone_id", "zone", "id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    zone: Mapped[str] = mapped_column(String(MAX_ZONE))
    taken_at: Mapped[datetime] = mapped_column(UtcDateTime)
    seen_until: Mapped[datetime] = mapped_column(UtcDateTime)
    reason: Mapped[str] = mapped_column(String(16))
    operation_id: Mapped[str | None] = mapped_column(String(26))
    digest: Mapped[str] = mapped_column(String(64))
    count: Mapped[int]
    records: Mapped[bytes] = mapped_column(Blob, deferred=True)


class DriftRow(Base):
    """A change that Homeport did not make. Columns as of `schemas.DriftView`.

    changes   JSON: [[key, before, after], ...], what a plan that takes it back wishes for
    keys      JSON, as is fields
    """

    __tablename__ = "dns_drift"
    __table_args__ = (Index("ix_dns_drift_zone_state", "zone", "state"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    zone: Mapped[str] = mapped_column(String(MAX_ZONE))
    name: Mapped[str] = mapped_column(String(MAX_KEY))
    act: Mapped[str] = mapped_column(String(16))
    keys: Mapped[str] = mapped_column(LongText)
    changes: Mapped[str] = mapped_column(LongText)
    fields: Mapped[str] = mapped_column(LongText)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
    state: Mapped[str] = mapped_column(String(16))
    settled_by: Mapped[str | None] = mapped_column(String(255))
    settled_at: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)


class LastChangeRow(Base):
    """Who or what changed a record last. `by` is a name; "edge"; or None, for somebody outside Homeport."""

    __tablename__ = "dns_last_changes"

    zone: Mapped[str] = mapped_column(String(MAX_ZONE), primary_key=True)
    key: Mapped[str] = mapped_column(String(MAX_KEY), primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    by: Mapped[str | None] = mapped_column(String(255))
    operation_id: Mapped[str | None] = mapped_column(String(26))


class ApplyRow(Base):
    """How far a plan of several batches has come at Cloudflare. `state`: running, done, reverted or open."""

    __tablename__ = "dns_applies"

    operation_id: Mapped[str] = mapped_column(String(26), primary_key=True)
    plan_id: Mapped[str] = mapped_column(String(26))
    zone: Mapped[str] = mapped_column(String(MAX_ZONE), index=True)
    batches_done: Mapped[int]
    batches: Mapped[int]
    changes: Mapped[int]
    state: Mapped[str] = mapped_column(String(16), index=True)
    detail: Mapped[str] = mapped_column(String(500))
    since: Mapped[datetime] = mapped_column(UtcDateTime)
