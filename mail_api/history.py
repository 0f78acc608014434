"""What happened to a message: event rows beside the ledger, and the questions `homeport mail trace` asks them.

Every step a message takes leaves one event: time, step, and what was said (verdict, reply, queue id). No subjects, no
bodies. Events are written in the transaction that settles the step, so a row never tells of something that did not
last; they are kept for 90 days. Of the edge we know what its drain says: that it had the message, and since when.
"""

from __future__ import annotations

import enum
import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

KEEP_S = 90 * 86400.0  # wire.md and mail.md 4.2

SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY,
    message_id TEXT NOT NULL,
    at REAL NOT NULL,
    step TEXT NOT NULL,
    data TEXT NOT NULL
);
"""


class Step(enum.StrEnum):
    RETAINED = "retained"  # by the edge; read out of the drain's event, never written
    DRAINED = "drained"  # received, from the edge's store
    RECEIVED = "received"
    DUPLICATE = "duplicate"
    RECIPIENT = "recipient"
    SCANNED = "scanned"
    DELIVERED = "delivered"
    QUEUED = "queued"
    ATTEMPTED = "attempted"
    HELD = "held"
    REFUSED = "refused"
    FAILED = "failed"
    RELEASED = "released"
    RETRIED = "retried"
    DROPPED = "dropped"
    CORRUPT = "corrupt"


@dataclass(frozen=True, slots=True)
class Event:
    """One step of one message; `at` in epoch seconds, `data` JSON-ready and free of content."""

    step: Step
    at: float
    data: dict[str, Any] = field(default_factory=dict)


def write_events(db: sqlite3.Connection, message_id: str, events: Iterable[Event]) -> None:
    """Append events; the caller owns the transaction."""
    db.executemany(
        "INSERT INTO events (message_id, at, step, data) VALUES (?, ?, ?, ?)",
        [(message_id, event.at, event.step.value, json.dumps(event.data)) for event in events],
    )


def read_events(db: sqlite3.Connection, message_id: str) -> list[Event]:
    """Return a message's events as they were written; before its first drain stands when the edge received it."""
    rows = db.execute("SELECT step, at, data FROM events WHERE message_id = ? ORDER BY id", (message_id,))
    events = [Event(Step(step), at, json.loads(data)) for step, at, data in rows]
    for number, event in enumerate(events):
        if event.step is Step.DRAINED:
            return [*events[:number], Event(Step.RETAINED, event.data["retained_at"]), *events[number:]]
    return events


def old_events(db: sqlite3.Connection, now: float, *, limit: int) -> list[int]:
    """Return the ids of up to `limit` events older than KEEP_S."""
    return [number for (number,) in db.execute("SELECT id FROM events WHERE at < ? LIMIT ?", (now - KEEP_S, limit))]


def delete_events(db: sqlite3.Connection, numbers: Iterable[int]) -> None:
    """Delete events by id; the caller owns the transaction."""
    db.executemany("DELETE FROM events WHERE id = ?", [(number,) for number in numbers])
