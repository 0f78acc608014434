"""The tables of the databases room: servers as last seen, what was made, dumps, and what ran in the console."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from portal.db import Base, BigId, LongText, UtcDateTime

MAX_SERVER = 32
MAX_IDENTIFIER = 64  # characters, of a database or a table: MariaDB's "Identifier Names"
MAX_ACCOUNT = 128


class SeenServerRow(Base):
    """A server as it was last seen: what is shown, with its age, while it is silent.

    document   JSON, a `schemas.ServerSeen`
    """

    __tablename__ = "database_servers_seen"

    server: Mapped[str] = mapped_column(String(MAX_SERVER), primary_key=True)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
    document: Mapped[str] = mapped_column(LongText)


class MadeRow(Base):
    """A database or an account that this portal made; whoever undoes a run removes only what the run made.

    kind        database | account
    made_by     id of the operation
    removed_at  None while it is there
    """

    __tablename__ = "databases_made"
    __table_args__ = (UniqueConstraint("server", "kind", "name", "made_by"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    server: Mapped[str] = mapped_column(String(MAX_SERVER))
    kind: Mapped[str] = mapped_column(String(16))
    name: Mapped[str] = mapped_column(String(MAX_ACCOUNT))
    made_by: Mapped[str] = mapped_column(String(26))
    made_at: Mapped[datetime] = mapped_column(UtcDateTime)
    removed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class DumpRow(Base):
    """A dump that lies in the state directory. Written once the file is whole and was verified.

    id         as the operation's that made it; the file is `<id>.sql.zst`
    why        drop | load | asked
    bytes      of the file
    sha256     of the file
    tables     how many it makes
    rows       how many rows it holds
    """

    __tablename__ = "database_dumps"
    __table_args__ = (Index("ix_database_dumps_server_database", "server", "database"),)

    id: Mapped[str] = mapped_column(String(26), primary_key=True)
    server: Mapped[str] = mapped_column(String(MAX_SERVER))
    database: Mapped[str] = mapped_column(String(MAX_IDENTIFIER))
    why: Mapped[str] = mapped_column(String(16))
    bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    tables: Mapped[int]
    rows: Mapped[int] = mapped_column(BigInteger)
    made_by: Mapped[str] = mapped_column(String(26))
    made_at: Mapped[datetime] = mapped_column(UtcDateTime)
    kept_until: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class ConsoleQueryRow(Base):
    """A statement that somebody ran in the console; shown to them alone, the audit has it without its values.

    act        query | export | write
    state      done | refused | failed | timed-out | killed
    rows       read, or touched by a write
    """

    __tablename__ = "console_history"
    __table_args__ = (Index("ix_console_history_actor", "actor_kind", "actor_id", "id"),)

    id: Mapped[str] = mapped_column(String(26), primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    actor_kind: Mapped[str] = mapped_column(String(16))
    actor_id: Mapped[str] = mapped_column(String(64))
    server: Mapped[str] = mapped_column(String(MAX_SERVER))
    database: Mapped[str | None] = mapped_column(String(MAX_IDENTIFIER))
    act: Mapped[str] = mapped_column(String(16))
    statement: Mapped[str] = mapped_column(LongText)
    state: Mapped[str] = mapped_column(String(16))
    rows: Mapped[int] = mapped_column(BigInteger)
    bytes: Mapped[int] = mapped_column(BigInteger)
    took_ms: Mapped[int] = mapped_column(BigInteger)
    error: Mapped[str] = mapped_column(String(500))


class ConsoleWriteRow(Base):
    """A write that was measured, and what became of it; the touched rows lie in `<state dir>/console/<id>.zst`.

    kind          insert | replace | update | delete | undo
    state         measured | applying | applied | not-applied | unknown
    fingerprint   SHA-256 of the statement without its values
    before        SHA-256 of the touched rows as they were when it was measured
    document      JSON, a `schemas.WriteView` as it was measured
    undoes        id of the write that this one takes back
    """

    __tablename__ = "console_writes"

    id: Mapped[str] = mapped_column(String(26), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    server: Mapped[str] = mapped_column(String(MAX_SERVER))
    database: Mapped[str] = mapped_column(String(MAX_IDENTIFIER))
    table: Mapped[str] = mapped_column("table_name", String(MAX_IDENTIFIER))
    statement: Mapped[str] = mapped_column(LongText)
    fingerprint: Mapped[str] = mapped_column(String(64))
    before: Mapped[str] = mapped_column("before_image", String(64))
    document: Mapped[str] = mapped_column(LongText)
    measured_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    undoes: Mapped[str | None] = mapped_column(String(26), index=True)
    operation_id: Mapped[str | None] = mapped_column(String(26))
    applied_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
