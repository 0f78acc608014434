"""Points in time of a zone: packed, told apart by their values, and which of them stay. Pure.

all             of the last HOURS, the last one of each day for DAYS, those around an operation for OPERATION_DAYS
the newest one  stays whatever its age: without it a zone that is not seen any more would be forgotten

A zone that did not change for a week is one snapshot that was seen for a week; it counts for each of these days.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

from portal.dns.records.values import Value, keyed, value_of

Json = dict[str, Any]
Records = Iterable[Json] | Mapping[str, Json]  # raw, as Cloudflare sent them; by their keys where these are known

HOURS = 48
DAYS = 90
OPERATION_DAYS = 400
AROUND_AN_OPERATION = ("before", "after")

# record by record: one call for a whole large zone would keep every other thread waiting
_compact = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Held:
    """A snapshot of one zone, as far as retention asks."""

    id: int
    taken_at: datetime
    seen_until: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    id: int
    keep: bool
    reason: str


def values_of(records: Records) -> dict[str, Value]:
    """key -> what can be written back."""
    return {key: value_of(record) for key, record in by_key(records).items()}


def by_key(records: Records) -> Mapping[str, Json]:
    return records if isinstance(records, Mapping) else keyed(records)


def digest(values: Mapping[str, Value]) -> str:
    """Equal for equal zones, whatever ids, order and times of change their records have."""
    hashed = hashlib.sha256()
    for key in sorted(values):
        hashed.update(_compact([key, values[key]]).encode("ascii"))
    return hashed.hexdigest()


def pack(records: Records) -> bytes:
    """Raw records, compressed: one a line, in the order of their keys, so that what is alike stands together."""
    raw = by_key(records)
    return zlib.compress("\n".join(_compact(raw[key]) for key in sorted(raw)).encode("ascii"), 6)


def unpack(packed: bytes) -> list[Json]:
    return [json.loads(line) for line in zlib.decompress(packed).splitlines()]


def decide(snapshots: Sequence[Held], now: datetime) -> list[Decision]:
    """Given all snapshots of one zone, return a decision for each, newest first."""
    by_age = sorted(snapshots, key=lambda held: held.id, reverse=True)
    last_of_day = _last_of_each_day(by_age, now)
    decisions = []
    for number, held in enumerate(by_age):
        if number == 0:
            decisions.append(Decision(held.id, True, "the newest"))
        elif held.seen_until > now - timedelta(hours=HOURS):
            decisions.append(Decision(held.id, True, f"seen within the last {HOURS} hours"))
        elif held.id in last_of_day:
            decisions.append(Decision(held.id, True, f"the last of {last_of_day[held.id]}"))
        elif held.reason in AROUND_AN_OPERATION and held.taken_at > now - timedelta(days=OPERATION_DAYS):
            decisions.append(Decision(held.id, True, f"{held.reason} an operation, kept for {OPERATION_DAYS} days"))
        else:
            decisions.append(Decision(held.id, False, "a newer one of its day is kept, or its time has passed"))
    return decisions


def _last_of_each_day(by_age: Sequence[Held], now: datetime) -> dict[int, str]:
    """Of the last DAYS days (UTC), by id: the newest snapshot that was the zone's state on that day."""
    found: dict[int, str] = {}
    today = now.astimezone(UTC).date()
    for back in range(DAYS):
        day = today - timedelta(days=back)
        begin = datetime.combine(day, time(), UTC)
        end = begin + timedelta(days=1)
        last = next((held for held in by_age if held.taken_at < end and held.seen_until >= begin), None)
        if last is not None:
            found.setdefault(last.id, day.isoformat())
    return found
