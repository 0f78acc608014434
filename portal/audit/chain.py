"""The chain: each row's hash covers the row and the hash before it, so no row can be changed, removed or moved.

    hash = SHA-256(previous + canonical JSON of the row), lower-case hex
    previous = the hash of the row before, as hex text; of the first row 64 zeros

The JSON holds every column but `previous` and `hash`: sorted keys, no spaces, UTF-8, `at` as in
`2026-11-22T06:10:57.000000Z`, `before` and `after` as the text that is stored. Anybody can check a chain with that.

A row is part of the caller's transaction: what is recorded has been done and what is done has been recorded, or
neither. Writers take their turn on the one row of `audit_head`, until they commit.

What a chain cannot show: that its newest rows and the head were cut off together. For that the head is written to
where the portal cannot reach (backup).
"""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from kit.clock import now_utc
from portal.actor import Actor
from portal.audit.models import MAX_DETAIL, AuditHead, AuditRow
from portal.audit.redaction import canonical, clip, to_json
from portal.db import Database

GENESIS = "0" * 64
FETCH_ROWS = 500


class Result(enum.StrEnum):
    """What became of it. An act that takes time has two rows: ACCEPTED before, DONE or FAILED after."""

    ACCEPTED = "accepted"
    DONE = "done"
    FAILED = "failed"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class Broken:
    """The first row that does not hold: its number, and what is wrong with it."""

    sequence: int
    reason: str


def record(
    session: Session,
    actor: Actor,
    action: str,
    target: str,
    result: Result,
    *,
    before: object = None,
    after: object = None,
    detail: str = "",
    operation_id: str | None = None,
) -> int:
    """Write one row in the caller's transaction; return its number.

    action         "source:subject:action", such as "ui:containers:restart"; source is ui, api, cli, system
    target         what it was done to; "" where there is nothing to name
    before, after  anything JSON can hold, models and dataclasses too; secrets are cut out (redaction.py)
    detail         a sentence for a reader, such as the reason given; never a secret
    raises         only what the database raises: no value is too long or too strange to be recorded
    """
    head = session.execute(select(AuditHead.sequence, AuditHead.hash).with_for_update()).one()
    columns: dict[str, Any] = {
        "sequence": head.sequence + 1,
        "at": now_utc(),
        "actor_kind": actor.kind,
        "actor_id": clip(actor.id, 64),
        "actor_name": clip(actor.name, 255),
        "actor_role": actor.role.value if actor.role else None,
        "source": clip(actor.source, 64),
        "request_id": clip(actor.request_id, 64),
        "action": clip(action, 100),
        "target": clip(target, 255),
        "result": result.value,
        "detail": clip(detail, MAX_DETAIL),
        "before": to_json(before),
        "after": to_json(after),
        "operation_id": None if operation_id is None else clip(operation_id, 64),
    }
    digest = _digest(head.hash, columns)
    session.execute(insert(AuditRow).values(**columns, previous=head.hash, hash=digest))
    session.execute(update(AuditHead).values(sequence=columns["sequence"], hash=digest))
    return int(columns["sequence"])


async def record_now(
    database: Database,
    actor: Actor,
    action: str,
    target: str,
    result: Result,
    *,
    before: object = None,
    after: object = None,
    detail: str = "",
    operation_id: str | None = None,
) -> int:
    """As `record`, in a transaction of its own: for refused attempts, which change nothing else."""
    return await database.run(
        lambda session: record(
            session,
            actor,
            action,
            target,
            result,
            before=before,
            after=after,
            detail=detail,
            operation_id=operation_id,
        )
    )


def verify(session: Session) -> Broken | None:
    """Read the whole chain; return the first row that is not as it was written, or None. For `Database.read`."""
    head = session.execute(select(AuditHead.sequence, AuditHead.hash)).one_or_none()
    if head is None:
        return Broken(0, "the head of the chain is missing")
    sequence, previous = 0, GENESIS
    query = select(AuditRow.__table__).order_by(AuditRow.sequence)
    for row in session.execute(query.execution_options(yield_per=FETCH_ROWS)):
        sequence += 1
        columns = row._asdict()
        stored_previous, stored_hash = columns.pop("previous"), columns.pop("hash")
        if row.sequence != sequence:
            return Broken(sequence, "the row is missing")
        if stored_previous != previous:
            return Broken(sequence, "the row does not follow the one before it")
        if _digest(previous, columns) != stored_hash:
            return Broken(sequence, "the row was changed")
        previous = stored_hash
    if head.sequence > sequence:
        return Broken(sequence + 1, "the row is missing; the chain was cut off here")
    if head.sequence < sequence or head.hash != previous:
        return Broken(sequence, "the head of the chain does not belong to this row")
    return None


def _digest(previous: str, columns: dict[str, Any]) -> str:
    at: datetime = columns["at"].astimezone(UTC)
    document = columns | {"at": at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
    return hashlib.sha256((previous + canonical(document)).encode()).hexdigest()
