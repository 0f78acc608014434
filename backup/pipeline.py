"""A run: lock -> preflight -> stage, seal -> retention -> release; repository; re-hash; the vault, when it is late.

The local point comes first and stands alone: whatever fails after it undoes nothing of it. A failing repository does
not keep the vault from renewing its locks, a failing vault not the catalog from being written. The exit code is that of
the first failure. Locks, in the order in which they are taken:

    night       scheduled runs exclude each other; `vault sync` waits for the one at work, so that its point goes up
    points      stage, seal, retention of the local trees
    vault       one sync at a time
    repository  shared by backup and sync, exclusive for forget and prune
"""

from __future__ import annotations

from collections.abc import Callable

from backup import checks, make_point, offsite, store_point
from backup.exit_codes import BackupError
from backup.house import NIGHT, POINTS, REPOSITORY, House
from backup.make_point import Asked
from backup.points import PointKind
from backup.runs import Run
from backup.schedule.timetable import last_at, row
from kit.clock import now_utc


def run(house: House, asked: Asked, work: Run) -> None:
    """Make a point, keep and remove by the rules, carry it into the repository; a scheduled one is followed by the
    daily re-hash and, past the vault's hour, by the sync.
    """
    point = make_point.name_of(house, asked, now_utc(house.clock))
    if asked.kind is PointKind.MANUAL:
        make_point.make(house, asked, point, work)
        store_point.store(house, point, work, is_weekly=False)
        return
    with house.hold(NIGHT, str(point), work.journal):
        steps: list[Callable[[], None]] = [
            lambda: make_point.make(house, asked, point, work),
            lambda: store_point.store(house, point, work, is_weekly=asked.kind is PointKind.WEEKLY),
        ]
        if asked.kind is PointKind.DAILY:
            steps.append(lambda: checks.rehash(house, work))
        if asked.kind is PointKind.DAILY and house.settings.vault is not None and is_late(house):
            steps.append(lambda: offsite.sync(house, work))
        for step in steps:
            try:
                step()
            except BackupError as error:
                work.failed(error)


def is_late(house: House) -> bool:
    """Whether the vault's hour has passed since this night's began: then the run itself carries the point up."""
    now, zone = now_utc(house.clock), house.settings.time_zone
    return last_at(row("vault"), now, zone) > last_at(row("daily"), now, zone)


def prune(house: House, work: Run) -> None:
    """Retention now, then forget and prune the repository; removes nothing unless there is a verified point."""
    facts = house.facts()
    with house.hold(POINTS, "prune", work.journal):
        made = make_point.newest_scheduled(house)
        decisions = make_point.keep(house, made, facts, work.journal)
    removed = [str(each.point) for each in decisions if not each.keep]
    work.result = {"removed": removed, "verified": made is not None}
    work.summary = f"{len(removed)} points removed"
    if not house.has_repository():
        return
    repository = house.repository(work.journal)
    store_point.forget(house, repository, work)
    with house.hold(REPOSITORY, "prune", work.journal):
        repository.prune()
