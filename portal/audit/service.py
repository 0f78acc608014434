"""Reading the audit: search by page, export as a stream, verify."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.orm import Session

from portal.actor import Actor
from portal.audit import chain
from portal.audit.chain import Broken, Result
from portal.audit.models import AuditHead, AuditRow
from portal.audit.schemas import AuditActor, AuditEntry, AuditPage, AuditVerification
from portal.db import Database

EXPORT_ROWS = 500  # fetched at once: an export holds no transaction while its reader is slow
Format = Literal["jsonl", "csv"]


@dataclass(frozen=True, slots=True)
class Filter:
    """What to look for; None means anything. Texts are looked for anywhere in the column, whatever their case."""

    actor: str | None = None
    action: str | None = None
    target: str | None = None
    text: str | None = None  # in actor, action, target or detail
    result: Result | None = None
    since: datetime | None = None
    until: datetime | None = None
    operation_id: str | None = None
    request_id: str | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """The WHERE of it."""
        found: list[ColumnElement[bool]] = []
        for column, wanted in (
            (AuditRow.actor_name, self.actor),
            (AuditRow.action, self.action),
            (AuditRow.target, self.target),
        ):
            if wanted:
                found.append(_contains(column, wanted))
        if self.text:
            anywhere = (AuditRow.actor_name, AuditRow.action, AuditRow.target, AuditRow.detail)
            found.append(or_(*(_contains(column, self.text) for column in anywhere)))
        if self.result:
            found.append(AuditRow.result == self.result.value)
        if self.since:
            found.append(AuditRow.at >= self.since)
        if self.until:
            found.append(AuditRow.at < self.until)
        if self.operation_id:
            found.append(AuditRow.operation_id == self.operation_id)
        if self.request_id:
            found.append(AuditRow.request_id == self.request_id)
        return found


async def search(database: Database, wanted: Filter, *, limit: int, below: int | None = None) -> AuditPage:
    """Return the newest rows that fit, or those below a number."""
    rows = await database.read(lambda session: _page(session, wanted, limit + 1, below))
    entries = [_entry(row) for row in rows[:limit]]
    return AuditPage(entries=entries, below=entries[-1].sequence if len(rows) > limit else None)


async def export(database: Database, actor: Actor, wanted: Filter, form: Format) -> AsyncIterator[bytes]:
    """Record the export; return every row that fits, oldest first, up to this one's own.

    jsonl   one entry a line, as the API has it
    csv     for spreadsheets: cells that one would run as a formula begin with an apostrophe
    """
    last = await database.run(
        lambda session: chain.record(
            session, actor, actor.tag("audit:export"), "", Result.DONE, after={"format": form, "filter": wanted}
        )
    )
    return _rows(database, wanted, form, last)


async def _rows(database: Database, wanted: Filter, form: Format, last: int) -> AsyncIterator[bytes]:
    if form == "csv":
        yield _csv_line(CSV_COLUMNS)
    done = 0
    while rows := await database.read(partial(_run, wanted=wanted, above=done, last=last)):
        yield b"".join(_WRITERS[form](_entry(row)) for row in rows)
        done = rows[-1].sequence


async def verify(database: Database) -> AuditVerification:
    """Check the whole chain."""

    def check(session: Session) -> tuple[int, Broken | None]:
        return session.scalar(select(func.max(AuditHead.sequence))) or 0, chain.verify(session)

    rows, broken = await database.read(check)
    return AuditVerification(
        rows=rows, broken_at=broken.sequence if broken else None, reason=broken.reason if broken else None
    )


def _page(session: Session, wanted: Filter, limit: int, below: int | None) -> Sequence[AuditRow]:
    query = _matching(wanted).order_by(AuditRow.sequence.desc()).limit(limit)
    return session.scalars(query if below is None else query.where(AuditRow.sequence < below)).all()


def _run(session: Session, wanted: Filter, above: int, last: int) -> Sequence[AuditRow]:
    query = _matching(wanted).where(AuditRow.sequence > above, AuditRow.sequence <= last)
    return session.scalars(query.order_by(AuditRow.sequence).limit(EXPORT_ROWS)).all()


def _matching(wanted: Filter) -> Select[AuditRow]:
    return select(AuditRow).where(*wanted.conditions())


def _contains(column: Any, wanted: str) -> ColumnElement[bool]:
    condition: ColumnElement[bool] = func.lower(column).contains(wanted.lower(), autoescape=True)
    return condition


def _entry(row: AuditRow) -> AuditEntry:
    return AuditEntry(
        sequence=row.sequence,
        at=row.at,
        actor=AuditActor(kind=row.actor_kind, id=row.actor_id, name=row.actor_name, role=row.actor_role),
        source=row.source,
        request_id=row.request_id,
        action=row.action,
        target=row.target,
        result=row.result,
        detail=row.detail,
        before=None if row.before is None else json.loads(row.before),
        after=None if row.after is None else json.loads(row.after),
        operation_id=row.operation_id,
        hash=row.hash,
    )


# -- forms of export --------------------------------------------------------------------------------------------------

CSV_COLUMNS = (
    *("sequence", "at", "actor_kind", "actor_id", "actor_name", "actor_role", "source", "request_id", "action"),
    *("target", "result", "detail", "before", "after", "operation_id", "hash"),
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def _jsonl(entry: AuditEntry) -> bytes:
    return entry.model_dump_json().encode() + b"\n"


def _csv(entry: AuditEntry) -> bytes:
    document = entry.model_dump(mode="json")
    document |= {f"actor_{name}": value for name, value in document.pop("actor").items()}
    return _csv_line([_cell(document[name]) for name in CSV_COLUMNS])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str | int) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    text = str(text)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _csv_line(cells: Sequence[str]) -> bytes:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue().encode()


_WRITERS: dict[str, Callable[[AuditEntry], bytes]] = {"jsonl": _jsonl, "csv": _csv}
