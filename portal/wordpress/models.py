"""The tables of the WordPress room: sites, their host names, what was last read of them, trees put aside."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Boolean, Double, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from portal.db import Base, LongText, UtcDateTime

MAX_NAME = 31
MAX_HOSTNAME = 253


class SiteRow(Base):
    """A site, also one that was removed: its uid is never given again. Columns as of `sites.Site`.

    live_name   the name, until the site is removed: of two sites of one name at most one lives
    php, mail   JSON
    """

    __tablename__ = "wp_sites"

    uid: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(MAX_NAME), index=True)
    live_name: Mapped[str | None] = mapped_column(String(MAX_NAME), unique=True)
    server: Mapped[str] = mapped_column(String(64))
    database: Mapped[str] = mapped_column(String(64))
    account: Mapped[str] = mapped_column(String(80))
    redis_password_sha256: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    ring: Mapped[int]
    php: Mapped[str] = mapped_column(LongText)
    mail: Mapped[str | None] = mapped_column(LongText)
    xmlrpc: Mapped[bool] = mapped_column(Boolean)
    is_served: Mapped[bool] = mapped_column(Boolean)
    is_maintained: Mapped[bool] = mapped_column(Boolean)
    adopted: Mapped[bool] = mapped_column(Boolean)
    made_by: Mapped[str | None] = mapped_column(String(26))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    removed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class HostnameRow(Base):
    """A host name of a site that is not removed. position: 0 is the primary one."""

    __tablename__ = "wp_hostnames"

    hostname: Mapped[str] = mapped_column(String(MAX_HOSTNAME), primary_key=True)
    uid: Mapped[int] = mapped_column(ForeignKey("wp_sites.uid"), index=True)
    position: Mapped[int]


class ReadingRow(Base):
    """What was last known of a site, and how the last look at it ended.

    document    JSON of `reading.Inventory`, as of read_at; NULL: it was never read
    error       why the last look failed, or what it could not see; "" when it went well
    checksums   JSON of `reading.Checksums`; NULL: they were never compared
    """

    __tablename__ = "wp_readings"

    uid: Mapped[int] = mapped_column(ForeignKey("wp_sites.uid"), primary_key=True, autoincrement=False)
    document: Mapped[str | None] = mapped_column(LongText)
    read_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    tried_at: Mapped[datetime] = mapped_column(UtcDateTime)
    took_s: Mapped[float] = mapped_column(Double)
    trouble: Mapped[str] = mapped_column(String(16))
    error: Mapped[str] = mapped_column(LongText)
    checksums: Mapped[str | None] = mapped_column(LongText)


class KeptRow(Base):
    """The tree of a plugin or theme that was put aside before it was changed. id: also of the directory in `kept/`."""

    __tablename__ = "wp_kept"
    __table_args__ = (Index("ix_wp_kept_uid_kind_slug", "uid", "kind", "slug"),)

    id: Mapped[str] = mapped_column(String(26), primary_key=True)
    uid: Mapped[int] = mapped_column(ForeignKey("wp_sites.uid"))
    kind: Mapped[str] = mapped_column(String(8))
    slug: Mapped[str] = mapped_column(String(100))
    version: Mapped[str] = mapped_column(String(64))
    operation_id: Mapped[str] = mapped_column(String(26))
    kept_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
