"""The records of writes: a row for each measure, what became of it, and how both are shown."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from portal.databases.console import image
from portal.databases.console.failures import NoSuchWrite, WriteApplied
from portal.databases.console.image import Image
from portal.databases.console.schemas import QueryColumn, RowChange, WriteView
from portal.databases.console.values import shown
from portal.databases.console.write import Measured
from portal.databases.models import ConsoleWriteRow
from portal.operations.records import new_id

VALID_MIN = 15
KEPT_DAYS = 30  # measured or applied: the saved rows go with the record
SHOWN_CHANGES = 20
SHOWN_CHARACTERS = 1000


@dataclass(frozen=True, slots=True)
class Subject:
    """What a measure is of; `undoes` is the id of the write that it would take back."""

    server: str
    database: str
    table: str
    kind: str
    statement: str
    fingerprint: str
    undoes: str | None = None

    @classmethod
    def of(cls, row: ConsoleWriteRow) -> Subject:
        """The same once more."""
        return cls(row.server, row.database, row.table, row.kind, row.statement, row.fingerprint, row.undoes)


def measured(found: Measured, what: Subject, now: datetime) -> tuple[WriteView, ConsoleWriteRow]:
    """A new record, as it is shown and as it is kept."""
    view = WriteView.model_validate(
        {
            "id": new_id(now),
            "kind": what.kind,
            "state": "measured",
            "server": what.server,
            "database": what.database,
            "table": what.table,
            "statement": what.statement,
            "affected_rows": found.affected,
            "columns": [QueryColumn(name=each.name, kind=each.kind) for each in found.image.columns],
            "key": list(found.image.key),
            "changes": [_change(found.image, key) for key in found.image.touched[:SHOWN_CHANGES]],
            "image_bytes": found.image.bytes,
            "warnings": list(found.warnings),
            "measured_at": now,
            "expires_at": now + timedelta(minutes=VALID_MIN),
            "undoes": what.undoes,
            "undone_by": None,
            "operation_id": None,
            "applied_at": None,
            "undo_until": None,
        }
    )
    row = ConsoleWriteRow(
        id=view.id,
        kind=what.kind,
        state=view.state,
        server=what.server,
        database=what.database,
        table=what.table,
        statement=what.statement,
        fingerprint=what.fingerprint,
        before=found.before,
        document=view.model_dump_json(),
        measured_at=now,
        expires_at=view.expires_at,
        undoes=what.undoes,
        operation_id=None,
        applied_at=None,
    )
    return view, row


def row_of(session: Session, write_id: str) -> ConsoleWriteRow:
    """Raise NoSuchWrite."""
    row = session.get(ConsoleWriteRow, write_id)
    if row is None:
        raise NoSuchWrite("there is no write of this id")
    return row


def claim(session: Session, write_id: str, operation_id: str) -> None:
    """Note what applies it. Raise WriteApplied when something else does."""
    session.execute(
        update(ConsoleWriteRow)
        .where(ConsoleWriteRow.id == write_id, ConsoleWriteRow.state == "measured")
        .values(state="applying", operation_id=operation_id)
    )
    row = row_of(session, write_id)
    if row.operation_id != operation_id:
        raise WriteApplied(operation=row.operation_id)


def undone_by(session: Session, write_id: str) -> str | None:
    """Id of the write that takes this one back, or is about to."""
    return session.scalar(
        select(ConsoleWriteRow.id).where(
            ConsoleWriteRow.undoes == write_id, ConsoleWriteRow.state.in_(("applying", "applied", "unknown"))
        )
    )


def view_of(session: Session, row: ConsoleWriteRow) -> WriteView:
    """As it was measured, and what became of it."""
    taken_back = undone_by(session, row.id)
    can_undo = row.state == "applied" and taken_back is None
    more = {
        "state": row.state,
        "operation_id": row.operation_id,
        "applied_at": row.applied_at,
        "undone_by": taken_back,
        "undo_until": row.measured_at + timedelta(days=KEPT_DAYS) if can_undo else None,
    }
    return WriteView.model_validate_json(row.document).model_copy(update=more)


def _change(found: Image, key: image.RawRow) -> RowChange:
    def cells(row: image.RawRow | None) -> list[Any] | None:
        if row is None:
            return None
        return [shown(cell, each.kind, SHOWN_CHARACTERS)[0] for cell, each in zip(row, found.columns, strict=True)]

    return RowChange(before=cells(found.before.get(key)), after=cells(found.after.get(key)))
