"""What ran in the console: one row for each statement, shown to whoever ran it; and the audit's two rows around it.

The audit is written before the statement is sent and after it has ended, without the statement's values. The history
has the statement as it was typed: it is one's own, and is what one runs again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from kit.clock import Clock, now_utc
from portal.actor import Actor
from portal.audit import Result, record
from portal.audit.redaction import clip
from portal.databases.console.schemas import HistoryEntry, QueryHistory
from portal.databases.models import ConsoleQueryRow
from portal.db import Database
from portal.operations.records import new_id

KEPT_DAYS = 90
MAX_ERROR = 500

Act = Literal["query", "export", "write", "measure"]
Ending = Literal["done", "refused", "failed", "timed-out", "killed"]


@dataclass(frozen=True, slots=True)
class Asked:
    """A statement that somebody wants to run; `fingerprint` is "" for one that the guard refuses."""

    actor: Actor
    act: Act
    server: str
    database: str | None
    statement: str
    masked: str
    fingerprint: str

    @property
    def target(self) -> str:
        return f"{self.server}/{self.database}" if self.database else self.server


class Journal:
    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def accepted(self, asked: Asked) -> None:
        """Before it is sent."""
        await self._db.run(lambda session: _audit(session, asked, Result.ACCEPTED, {}))

    async def ended(
        self, asked: Asked, state: Ending, *, rows: int = 0, size: int = 0, took_ms: float = 0.0, error: str = ""
    ) -> None:
        """After it: history and audit in one transaction."""
        row = self._row(asked, state, rows, size, took_ms, error)
        result = {"done": Result.DONE, "refused": Result.DENIED}.get(state, Result.FAILED)
        more: dict[str, object] = {"state": state, "rows": rows, "bytes": size, "took_ms": round(took_ms)}

        def write(session: Session) -> None:
            session.merge(row)
            _audit(session, asked, result, more)

        await self._db.run(write)

    async def measured(self, asked: Asked, result: Result, *, rows: int = 0) -> None:
        """The audit alone: a measure changes nothing, and is listed among the writes."""
        await self._db.run(lambda session: _audit(session, asked, result, {"rows": rows}))

    async def remember(self, asked: Asked, state: Ending, *, rows: int, took_ms: float, error: str) -> None:
        """As `ended` for what is an operation, whose runner writes the audit."""
        row = self._row(asked, state, rows, 0, took_ms, error)
        await self._db.run(lambda session: session.merge(row))

    def _row(self, asked: Asked, state: Ending, rows: int, size: int, took_ms: float, error: str) -> ConsoleQueryRow:
        now = now_utc(self._clock)
        return ConsoleQueryRow(
            id=new_id(now),
            at=now,
            actor_kind=asked.actor.kind,
            actor_id=clip(asked.actor.id, 64),
            server=asked.server,
            database=asked.database,
            act=asked.act,
            statement=clip(asked.statement, 65_536),
            state=state,
            rows=rows,
            bytes=size,
            took_ms=round(took_ms),
            error=clip(error, MAX_ERROR),
        )

    async def page(self, actor: Actor, *, before: str | None, limit: int) -> QueryHistory:
        """The actor's own, newest first."""

        def read(session: Session) -> list[ConsoleQueryRow]:
            query = select(ConsoleQueryRow).where(
                ConsoleQueryRow.actor_kind == actor.kind, ConsoleQueryRow.actor_id == clip(actor.id, 64)
            )
            if before is not None:
                query = query.where(ConsoleQueryRow.id < before)
            return list(session.scalars(query.order_by(ConsoleQueryRow.id.desc()).limit(limit + 1)))

        rows = await self._db.read(read)
        entries = [HistoryEntry.model_validate(row, from_attributes=True) for row in rows[:limit]]
        return QueryHistory(entries=entries, before=entries[-1].id if len(rows) > limit else None)


def purge(session: Session, now: datetime) -> None:
    session.execute(delete(ConsoleQueryRow).where(ConsoleQueryRow.at < now - timedelta(days=KEPT_DAYS)))


def _audit(session: Session, asked: Asked, result: Result, more: dict[str, object]) -> None:
    after = {"statement": asked.masked, "fingerprint": asked.fingerprint, **more}
    record(session, asked.actor, asked.actor.tag(f"console:{asked.act}"), asked.target, result, after=after)
