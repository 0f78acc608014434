"""What the time machine reads and writes, each in its caller's transaction: sights of zones, snapshots, drift."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Self, TypeVar

from sqlalchemy import Select, delete, func, insert, select
from sqlalchemy.orm import Session

from kit.problem import Problem
from portal.dns.history import snapshots
from portal.dns.history.drift import (
    EDGE,
    Difference,
    Open,
    Settled,
    Triple,
    is_written_by_edge,
    ours_of,
    reconcile,
    triples,
)
from portal.dns.history.snapshots import Json, Records, by_key, digest, pack, unpack, values_of
from portal.dns.models import MAX_KEY, DriftRow, LastChangeRow, SeenZoneRow, SnapshotRow
from portal.dns.records.values import Value
from portal.operations.models import OperationRow

T = TypeVar("T")
Reason = Literal["hourly", "before", "after", "asked"]

NAMED = 50  # in one line of text
DRIFT_DAYS = 400  # settled drift is forgotten then
CHUNK = 500  # keys in one statement


class NoSuchDrift(Problem):
    """The zone has no open drift of this number: it was accepted, or taken back, meanwhile. Read the list again."""

    status, type, title = 404, "drift-not-found", "No such drift"


@dataclass(frozen=True, slots=True)
class Sight:
    """A zone as it was read. Made before the transaction: on a large zone it takes a while."""

    records: Mapping[str, Json]
    values: Mapping[str, Value]
    digest: str

    @classmethod
    def of(cls, records: Records) -> Self:
        raw = by_key(records)
        values = values_of(raw)
        return cls(raw, values, digest(values))


def see(
    session: Session,
    zone: str,
    sight: Sight,
    at: datetime,
    ours: str | None,
    *,
    keys: Collection[str] | None,
    marker: str | None,
) -> tuple[list[Difference], int] | None:
    """Note a sight. Return what has to be told and how much drift is open, or None when that is as it was.

    marker   see drift.is_written_by_edge
    """
    now = sight.values
    row = session.scalars(select(SeenZoneRow).where(SeenZoneRow.zone == zone).with_for_update()).one_or_none()
    if row is None:
        session.add(
            SeenZoneRow(zone=zone, seen_at=at, last_ours=ours, digest=sight.digest, records=pack(sight.records))
        )
        session.flush()
        return None
    if at < row.seen_at:  # a slow read, overtaken by a newer one
        return None
    row.seen_at = at
    row.last_ours = ours or row.last_ours
    if sight.digest == row.digest:
        return None
    seen = values_of(unpack(row.records))
    row.digest, row.records = sight.digest, pack(sight.records)

    by = None if ours is None else _name_of(session, ours)
    differing = triples(seen, now)
    own = ours_of(differing, is_ours=ours is not None, keys=keys)
    operation_id = None if ours == EDGE else ours
    _note_changes(session, zone, [each for each in differing if each[0] in own], at, by, operation_id, marker)
    _note_changes(session, zone, [each for each in differing if each[0] not in own], at, None, None, marker)
    open_rows = {each.id: each for each in drift_rows(session, zone, only_open=True)}
    known = [
        Open(number, tuple((key, before, after) for key, before, after in json.loads(each.changes)))
        for number, each in open_rows.items()
    ]
    found = reconcile(seen, now, known, ours=own)
    for drift, how in found.settled:
        _settle(open_rows[drift.id], how, None if drift.keys.isdisjoint(own) else by, at)
    for drift, difference in found.changed:
        for name, column in _columns(difference, at).items():
            setattr(open_rows[drift.id], name, column)
        if difference.is_of_edge(marker):
            _settle(open_rows[drift.id], "accepted", EDGE, at)
    rows = [{"zone": zone, **_columns(each, at), **_state(each, at, marker)} for each in found.new]
    if rows:
        session.execute(insert(DriftRow), rows)
    if not (found.new or found.changed or found.settled):
        return None
    drifted = (*found.new, *(difference for _, difference in found.changed))
    told = [each for each in drifted if not each.is_of_edge(marker)]
    query = select(func.count()).select_from(DriftRow).where(DriftRow.zone == zone, DriftRow.state == "open")
    session.flush()
    return told, session.scalar(query) or 0


def _note_changes(
    session: Session,
    zone: str,
    changes: Sequence[Triple],
    at: datetime,
    by: str | None,
    operation_id: str | None,
    marker: str | None,
) -> None:
    """Remember who changed what last. Of records that are gone nobody asks."""
    keys = [_clipped(key) for key, _, _ in changes]
    for chunk in _chunks(keys):
        session.execute(delete(LastChangeRow).where(LastChangeRow.zone == zone, LastChangeRow.key.in_(chunk)))
    rows = [
        {
            "zone": zone,
            "key": _clipped(key),
            "at": at,
            "by": _by(by, before, after, marker),
            "operation_id": operation_id,
        }
        for key, before, after in changes
        if after is not None
    ]
    if rows:
        session.execute(insert(LastChangeRow), rows)


def _by(by: str | None, before: Value | None, after: Value | None, marker: str | None) -> str | None:
    return EDGE if by is None and is_written_by_edge(before, after, marker) else by


def _name_of(session: Session, ours: str) -> str:
    """Who began an operation."""
    row = session.get(OperationRow, ours)
    return ours if row is None else row.actor_name


def _columns(difference: Difference, at: datetime) -> dict[str, Any]:
    """What of a drift's row changes when the drift becomes another one."""
    paired = difference.paired
    return {
        "name": _clipped(paired.name),
        "act": paired.act,
        "keys": json.dumps(paired.keys),
        "changes": json.dumps(difference.changes),
        "fields": json.dumps(paired.fields),
        "seen_at": at,
    }


def _state(difference: Difference, at: datetime, marker: str | None) -> dict[str, Any]:
    if difference.is_of_edge(marker):
        return {"state": "accepted", "settled_by": EDGE, "settled_at": at}
    return {"state": "open", "settled_by": None, "settled_at": None}


def _settle(row: DriftRow, how: Settled, by: str | None, at: datetime) -> None:
    row.state, row.settled_by, row.settled_at = how, by, at


def keep(
    session: Session, zone: str, sight: Sight, reason: Reason, operation_id: str | None, at: datetime
) -> SnapshotRow:
    """See TimeMachine.keep."""
    newest = session.scalars(_newest(zone).with_for_update()).one_or_none()
    if newest is not None and newest.digest == sight.digest:
        newest.seen_until = max(newest.seen_until, at)
        # "before" counts for more than "after": it is where undoing that operation leads
        is_noted = newest.operation_id not in (None, operation_id)
        if reason == "before" or (reason == "after" and not is_noted):
            newest.reason, newest.operation_id = reason, operation_id
        return newest
    row = SnapshotRow(
        zone=zone,
        taken_at=at,
        seen_until=at,
        reason=reason,
        operation_id=operation_id,
        digest=sight.digest,
        count=len(sight.records),
        records=pack(sight.records),
    )
    session.add(row)
    session.flush()
    return row


def unfinished_change(session: Session, zone: str) -> str | None:
    """See TimeMachine.unfinished_change."""
    newest = session.scalars(_newest(zone)).one_or_none()
    if newest is None or newest.reason != "before":
        return None
    seen = session.get(SeenZoneRow, zone)
    return None if seen is not None and seen.last_ours == newest.operation_id else newest.operation_id


def _newest(zone: str) -> Select[SnapshotRow]:
    return select(SnapshotRow).where(SnapshotRow.zone == zone).order_by(SnapshotRow.id.desc()).limit(1)


def drift_rows(session: Session, zone: str, *, only_open: bool) -> Sequence[DriftRow]:
    query = select(DriftRow).where(DriftRow.zone == zone).order_by(DriftRow.id.desc())
    return session.scalars(query.where(DriftRow.state == "open") if only_open else query).all()


def open_of(session: Session, zone: str, ids: Collection[int]) -> list[DriftRow]:
    """Raise NoSuchDrift unless all are open drift of this zone."""
    found = {row.id: row for row in drift_rows(session, zone, only_open=True)}
    if missing := sorted(set(ids) - found.keys()):
        raise NoSuchDrift(f"not open in {zone}: {', '.join(map(str, missing[:NAMED]))}")
    return [found[number] for number in dict.fromkeys(ids)]


def purge(session: Session, now: datetime) -> int:
    """Return how many snapshots were removed."""
    held: dict[str, list[snapshots.Held]] = {}
    for row in session.scalars(select(SnapshotRow)):
        one = snapshots.Held(row.id, row.taken_at, row.seen_until, row.reason)
        held.setdefault(row.zone, []).append(one)
    gone = [each.id for zone in held.values() for each in snapshots.decide(zone, now) if not each.keep]
    for chunk in _chunks(gone):
        session.execute(delete(SnapshotRow).where(SnapshotRow.id.in_(chunk)))
    session.execute(delete(DriftRow).where(DriftRow.settled_at < now - timedelta(days=DRIFT_DAYS)))
    return len(gone)


def _clipped(text: str) -> str:
    """As a column takes it: a lone surrogate, which JSON allows, is no text."""
    return text.encode("utf-8", "replace").decode()[:MAX_KEY]


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]
