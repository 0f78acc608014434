"""The time machine: what zones were like, and what changed in them without Homeport.

Whoever has read a zone says so by `saw`; from one sight to the next it tells what is drift. `keep` makes a sight a
point in time that can be looked at and gone back to. Both take raw records, as Cloudflare sent them, or the Sight that
was made of them; the work is done in threads.

    await machine.saw("example.com", records, at=now, ours=None)  # the poll: what differs was done outside
    await machine.saw("example.com", records, at=now, ours=operation_id, keys=keys)  # after our own change

After our own change what differs is ours as far as its keys are named; all of it, when they aren't known.

A drift is told once, on the hub and in the log, and once more whenever it becomes another one.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Literal

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, undefer

from kit.clock import Clock, now_utc
from kit.logging import get_logger
from kit.problem import Problem
from portal import audit
from portal.actor import Actor
from portal.audit import Result
from portal.db import Database
from portal.dns.history import sights
from portal.dns.history.drift import Difference, Triple, differences, triples
from portal.dns.history.sights import Reason, Sight
from portal.dns.history.snapshots import Json, Records, by_key, unpack, values_of
from portal.dns.models import DriftRow, LastChangeRow, SeenZoneRow, SnapshotRow
from portal.dns.records.values import Value, is_fixed, is_locked
from portal.dns.records.view import view
from portal.dns.schemas import (
    DriftList,
    DriftView,
    LastChange,
    RecordDifference,
    RecordView,
    SnapshotList,
    SnapshotView,
    ZoneDifference,
)
from portal.operations.hub import Hub
from portal.scheduler import Job

log = get_logger()

NOW = "now"  # in place of a snapshot's id: the zone as it was last read
OUTSIDE = "outside Homeport"
TOLD = 50  # of the drift of one sight, in the log line by line; and in one row of the audit


class NoSuchSnapshot(Problem):
    """The zone has no snapshot of this id: it is another zone's, or retention has removed it. List the zone's
    snapshots to see which there are."""

    status, type, title = 404, "snapshot-not-found", "No such snapshot"


class TimeMachine:
    def __init__(
        self, db: Database, hub: Hub, clock: Clock, *, edge_marker: Callable[[], str | None] = lambda: None
    ) -> None:
        """edge_marker: gives the comment of the records that this installation's edge writes, and None while there is
        none; they are no drift. Asked for at each sight, in a thread: `homeport edge` may have begun meanwhile."""
        self._db = db
        self._hub = hub
        self._clock = clock
        self._edge_marker = edge_marker

    @property
    def jobs(self) -> list[Job]:
        return [Job("forget old zones", every_s=3_600, work=self.purge, timeout_s=600)]

    # -- sights -------------------------------------------------------------------------------------------------------

    async def saw(
        self,
        zone: str,
        records: Records | Sight,
        *,
        at: datetime,
        ours: str | None,
        keys: Collection[str] | None = None,
    ) -> None:
        """Compare a zone with how it was last seen.

        ours   id of the operation that made what has changed since, or "edge"; None: nobody of Homeport's did. The
               first sight of a zone is no drift.
        keys   of all records that `ours` may have changed: what else differs was done outside. None: they aren't known
        """
        sight = await _sight(records)
        marker = await asyncio.to_thread(self._edge_marker)

        def see(session: Session) -> tuple[list[Difference], int] | None:
            return sights.see(session, zone, sight, at, ours, keys=keys, marker=marker)

        try:
            alarms = await self._db.run(see)
        except IntegrityError:  # two first sights at once: the other one's stands now
            alarms = await self._db.run(see)
        if alarms is None:
            return
        told, open_ = alarms
        for each in told[:TOLD]:
            log.warning("dns_drift", zone=zone, record=each.paired.name, act=each.paired.act)
        if len(told) > TOLD:
            log.warning("dns_drift_more", zone=zone, more=len(told) - TOLD)
        self._hub.publish("dns", {"zone": zone, "event": "drift", "new": len(told), "open": open_})

    async def newest(self, zone: str) -> tuple[datetime, list[Json]] | None:
        """When a zone was last seen, and its raw records then; None when it never was."""

        def find(session: Session) -> tuple[datetime, list[Json]] | None:
            row = session.get(SeenZoneRow, zone, options=[undefer(SeenZoneRow.records)])
            return None if row is None else (row.seen_at, unpack(row.records))

        return await self._db.read(find)

    async def zones(self) -> dict[str, datetime]:
        """Every zone that was ever seen, and when that was last."""

        def find(session: Session) -> dict[str, datetime]:
            return {row.zone: row.seen_at for row in session.scalars(select(SeenZoneRow))}

        return await self._db.read(find)

    async def last_change(self, zone: str, key: str) -> LastChange | None:
        """Who or what changed a record last; None when it hasn't changed since the zone was first seen."""
        row = await self._db.read(lambda session: session.get(LastChangeRow, (zone, key)))
        return None if row is None else LastChange(at=row.at, by=row.by or OUTSIDE, operation_id=row.operation_id)

    # -- points in time -----------------------------------------------------------------------------------------------

    async def keep(
        self, zone: str, records: Records | Sight, *, reason: Reason, operation_id: str | None, at: datetime
    ) -> SnapshotView:
        """Make a sight a point in time. One that is equal to the newest is not kept twice: it was seen for longer, and
        the operation that it lies before or after is noted on it."""
        sight = await _sight(records)
        row = await self._db.run(lambda session: sights.keep(session, zone, sight, reason, operation_id, at))
        return snapshot_view(row)

    async def snapshots(self, zone: str, *, before: str | None, limit: int) -> SnapshotList:
        """Newest first, from behind the snapshot `before` on."""
        query = select(SnapshotRow).where(SnapshotRow.zone == zone).order_by(SnapshotRow.id.desc()).limit(limit + 1)
        if before is not None:
            query = query.where(SnapshotRow.id < _number(before))
        rows = await self._db.read(lambda session: session.scalars(query).all())
        return SnapshotList(
            snapshots=[snapshot_view(row) for row in rows[:limit]],
            next_before=str(rows[limit - 1].id) if len(rows) > limit else None,
        )

    async def unfinished_change(self, zone: str) -> str | None:
        """The operation before which a snapshot was taken, but after which the zone was not seen, since its portal has
        ended meanwhile. None when there is none."""
        return await self._db.read(lambda session: sights.unfinished_change(session, zone))

    async def difference(
        self, zone: str, from_id: str, to_id: str, *, present: Records, read_at: datetime
    ) -> ZoneDifference:
        """What differs between two points. `present`: the zone as it was last read, which "now" is. Raise
        NoSuchSnapshot."""

        async def point(name: str) -> tuple[datetime, Records]:
            return (read_at, present) if name == NOW else await self._snapshot(zone, name)

        (from_at, before), (to_at, after) = await point(from_id), await point(to_id)

        def compare() -> list[RecordDifference]:
            found = differences(triples(values_of(before), values_of(after)))
            return [_difference_view(each) for each in found]

        found = await asyncio.to_thread(compare)
        return ZoneDifference(
            zone=zone,
            from_id=from_id,
            to_id=to_id,
            from_at=from_at,
            to_at=to_at,
            differences=found,
            counts={act: sum(each.act == act for each in found) for act in ("create", "change", "delete")},
        )

    async def rollback_wish(
        self, zone: str, snapshot_id: str, keys: Collection[str] | None, present: Records
    ) -> dict[str, Value | None]:
        """What a plan wishes for that makes a zone, or the records of some keys, as they were. What Email Routing keeps
        stays, as do SOA and NS of the apex. Raise NoSuchSnapshot.

        keys   a record whose content has changed is one key that goes and one that comes: either stands for both
        """
        _, then = await self._snapshot(zone, snapshot_id)

        def wish() -> dict[str, Value | None]:
            was, now = by_key(then), by_key(present)
            return {
                key: before
                for each in differences(triples(values_of(now), values_of(was)))
                if keys is None or not each.keys.isdisjoint(keys)
                for key, _, before in each.changes
                if not any(_stays(zone, side[key]) for side in (was, now) if key in side)
            }

        return await asyncio.to_thread(wish)

    # -- drift --------------------------------------------------------------------------------------------------------

    async def drift(self, zone: str, state: Literal["open", "all"]) -> DriftList:
        """Newest first."""
        return DriftList(drift=await self._drift(zone, only_open=state == "open"))

    async def drift_of(self, zone: str, key: str) -> list[DriftView]:
        """The open drift of a record."""
        return [each for each in await self._drift(zone, only_open=True) if key in each.keys]

    async def open_keys(self, zone: str) -> set[str]:
        """The keys of all records that have drifted; those that are gone, too."""
        query = select(DriftRow.keys).where(DriftRow.zone == zone, DriftRow.state == "open")
        rows = await self._db.read(lambda session: session.scalars(query).all())
        return {key for keys in rows for key in json.loads(keys)}

    async def open_drift(self) -> dict[str, int]:
        """How many open drift each zone has; zones without any are left out."""
        query = select(DriftRow.zone).where(DriftRow.state == "open")
        return dict(Counter(await self._db.read(lambda session: session.scalars(query).all())))

    async def drift_wish(self, zone: str, ids: Collection[int], present: Records) -> dict[str, Value | None]:
        """What a plan wishes for that takes drift back. What Email Routing keeps stays, as do SOA and NS of the apex.
        Raise NoSuchDrift."""
        rows = await self._db.read(lambda session: sights.open_of(session, zone, ids))
        now = by_key(present)

        def is_left(key: str, before: Value | None) -> bool:
            return any(_stays(zone, each) for each in (before, now.get(key)) if each is not None)

        return {key: before for row in rows for key, before, _ in json.loads(row.changes) if not is_left(key, before)}

    async def accept(self, actor: Actor, zone: str, ids: Collection[int]) -> DriftList:
        """Take drift as it is: it is part of the zone now. Return what is left. Raise NoSuchDrift."""
        at = now_utc(self._clock)

        def settle(session: Session) -> None:
            rows = sights.open_of(session, zone, ids)
            for row in rows:
                row.state, row.settled_by, row.settled_at = "accepted", actor.name, at
            names = [row.name for row in rows[:TOLD]]
            audit.record(session, actor, actor.tag("dns:accept"), zone, Result.DONE, after={"accepted": names})

        await self._db.run(settle)
        left = await self.drift(zone, "open")
        self._hub.publish("dns", {"zone": zone, "event": "drift", "new": 0, "open": len(left.drift)})
        return left

    async def purge(self) -> None:
        """Remove what retention doesn't keep. See `snapshots.decide`."""
        now = now_utc(self._clock)
        removed = await self._db.run(lambda session: sights.purge(session, now))
        if removed:
            log.info("dns_snapshots_removed", count=removed)

    async def _drift(self, zone: str, *, only_open: bool) -> list[DriftView]:
        return await self._db.read(
            lambda session: [_drift_view(row) for row in sights.drift_rows(session, zone, only_open=only_open)]
        )

    async def _snapshot(self, zone: str, snapshot_id: str) -> tuple[datetime, list[Json]]:
        def find(session: Session) -> tuple[datetime, list[Json]]:
            row = session.get(SnapshotRow, _number(snapshot_id), options=[undefer(SnapshotRow.records)])
            if row is None or row.zone != zone:
                raise NoSuchSnapshot(f"{zone} has no snapshot of this id")
            return row.taken_at, unpack(row.records)

        return await self._db.read(find)


async def _sight(records: Records | Sight) -> Sight:
    return records if isinstance(records, Sight) else await asyncio.to_thread(Sight.of, records)


def snapshot_view(row: SnapshotRow) -> SnapshotView:
    return SnapshotView(
        id=str(row.id),
        zone=row.zone,
        taken_at=row.taken_at,
        seen_until=row.seen_until,
        reason=row.reason,
        operation_id=row.operation_id,
        records=row.count,
        digest=row.digest,
    )


# -- views ------------------------------------------------------------------------------------------------------------


def _drift_view(row: DriftRow) -> DriftView:
    changes = [(key, before, after) for key, before, after in json.loads(row.changes)]
    before, after = _ends(changes)
    return DriftView(
        id=row.id,
        zone=row.zone,
        name=row.name,
        act=row.act,
        keys=json.loads(row.keys),
        before=before,
        after=after,
        fields=json.loads(row.fields),
        seen_at=row.seen_at,
        state=row.state,
        settled_by=row.settled_by,
        settled_at=row.settled_at,
    )


def _difference_view(difference: Difference) -> RecordDifference:
    before, after = _ends(difference.changes)
    paired = difference.paired
    return RecordDifference(
        name=paired.name, act=paired.act, keys=paired.keys, before=before, after=after, fields=paired.fields
    )


def _ends(changes: Sequence[Triple]) -> tuple[RecordView | None, RecordView | None]:
    """A difference is of at most two records: one that was there, and one that is."""
    before = next((view(value, key=key) for key, value, _ in changes if value is not None), None)
    after = next((view(value, key=key) for key, _, value in changes if value is not None), None)
    return before, after


def _stays(zone: str, record: Json) -> bool:
    """Whether no plan of ours touches it."""
    return is_locked(record) or is_fixed(zone, record)


def _number(snapshot_id: str) -> int:
    """Raise NoSuchSnapshot for what is none."""
    if not (snapshot_id.isascii() and snapshot_id.isdecimal() and len(snapshot_id) < 19):
        raise NoSuchSnapshot("a snapshot's id is a number")
    return int(snapshot_id)
