"""The second format: what the local tree keeps is in the restic repository too; what it lets go is forgotten there."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from backup import catalog_build, retention
from backup.exit_codes import BackupError, LockBusy, RepositoryFailed
from backup.facts import Facts, PointFacts
from backup.house import REPOSITORY, House
from backup.points import PointId
from backup.repository import Repository
from backup.runs import Run
from kit.clock import now_utc

CHECK_PARTS = 8  # the whole repository is read once in 8 weeks
REREAD_DAYS = 30  # restic reads every file again, trusting no time stamp
BRIEFLY_S = 60.0  # a sync of 30 hours holds the repository: what is not forgotten tonight is forgotten tomorrow


def store(house: House, point: PointId, work: Run, *, is_weekly: bool) -> None:
    """Carry every verified point that is not there yet into the repository; weekly prune it, and read an eighth of it.

    A failure is told to the run: the local point stands, and the next run catches up.
    """
    if not house.has_repository():
        work.journal.note("no repository is configured: local points only")
        return
    facts = house.facts()
    try:
        _store(house, point, facts, work, is_weekly=is_weekly)
    except RepositoryFailed as error:
        facts.put(
            catalog_build.REPOSITORY, now_utc(house.clock), **_document(facts) | {"ok": False, "detail": str(error)}
        )
        work.failed(error)
    except LockBusy as error:
        work.failed(error)


def _store(house: House, point: PointId, facts: Facts, work: Run, *, is_weekly: bool) -> None:
    journal, detail = work.journal, ""
    repository = house.repository(journal)
    _unlock(house, repository, work)
    with house.hold(REPOSITORY, str(point), journal, shared=True):
        stored = {each.point for each in repository.snapshots() if each.point is not None and not each.is_secrets}
        for missing in _missing(house, stored, point, facts):
            facts.set_point(str(missing), snapshot=_back_up(house, repository, missing, facts))
        if work.result.get("verified"):
            try:
                _back_up_secrets(house, repository, point)
            except BackupError as error:  # the points are stored, and what is due is forgotten and checked
                work.failed(error)
                detail = f"the secrets were not stored: {error}"
    kept = forget(house, repository, work)
    if is_weekly:
        try:
            with house.hold(REPOSITORY, f"prune after {point}", journal, wait_s=min(BRIEFLY_S, house.wait_s)):
                repository.prune()
        except LockBusy as error:  # a first sync may take a day, and no point waits for it
            journal.note(f"{error}. It is pruned by a later weekly run")
    with house.hold(REPOSITORY, f"check after {point}", journal, shared=True):
        week = now_utc(house.clock).isocalendar().week
        repository.check((week % CHECK_PARTS + 1, CHECK_PARTS) if is_weekly else None)
    document = {"ok": not detail, "detail": detail, "snapshots": kept, "bytes": repository.size_bytes()}
    facts.put(catalog_build.REPOSITORY, now_utc(house.clock), **document)


def _unlock(house: House, repository: Repository, work: Run) -> None:
    """What a power cut has left of restic's locks. While we hold the repository alone, none of them is alive."""
    if not repository.has_locks():
        return
    try:
        with house.hold(REPOSITORY, "unlock", work.journal, wait_s=min(BRIEFLY_S, house.wait_s)):
            repository.unlock()
    except LockBusy as error:
        work.journal.note(f"{error}. The locks in the repository stay: one of them may be alive")


def _missing(house: House, stored: set[PointId], point: PointId, facts: Facts) -> list[PointId]:
    """Verified points that the repository does not hold, oldest first. A second run of one date counts anew."""
    verified = [tree for tree in catalog_build.trees(house.layout) if tree.state is not None and tree.state.verified]
    wanted = [tree.point for tree in reversed(verified) if not tree.is_incomplete]
    recorded = {name for name, known in facts.points().items() if known.snapshot}
    return [each for each in wanted if each not in stored or each == point or str(each) not in recorded]


def _back_up(house: House, repository: Repository, point: PointId, facts: Facts) -> str:
    now = now_utc(house.clock)
    last = facts.get("reread")
    reread = last is None or now - last.at >= timedelta(days=REREAD_DAYS)
    snapshot_id = repository.backup(point, reread=reread)
    if reread:
        facts.put("reread", now, point=str(point))
    return snapshot_id


def _back_up_secrets(house: House, repository: Repository, point: PointId) -> None:
    """Secrets go nowhere but into the encrypted repository; what is gathered for them lies in memory if it can."""
    secrets = house.secrets()
    shm = Path("/dev/shm")  # noqa: S108  # a directory of our own, 0700, is made in it
    place = shm if shm.is_dir() else house.layout.state
    with tempfile.TemporaryDirectory(prefix="homeport-secrets-", dir=place) as directory:
        gathered = Path(directory)
        secrets.gather(gathered)
        extra = gathered if any(gathered.iterdir()) else None
        paths = secrets.paths()
        if paths or extra is not None:
            repository.backup_secrets(point, paths, extra)


def forget(house: House, repository: Repository, work: Run) -> int:
    """Forget each snapshot whose point retention lets go; return how many snapshots stay.

    A point that lies only in the repository, as all but the newest do after a bootstrap, counts like a local one. Of a
    point that was made twice the older snapshot goes too. Nothing goes in a run without a verified point.
    """
    snapshots = sorted(repository.snapshots(), key=lambda each: each.time)
    kept = _kept(house, {each.point for each in snapshots if each.point is not None and not each.is_secrets})
    newest = {(each.point, each.is_secrets): each.id for each in snapshots}
    superfluous = [
        each.id
        for each in snapshots
        if each.point is not None and (each.point not in kept or newest[each.point, each.is_secrets] != each.id)
    ]
    if not (superfluous or repository.incomplete()) or not kept or not work.result.get("verified"):
        return len(snapshots)
    try:
        with house.hold(REPOSITORY, "forget", work.journal, wait_s=min(BRIEFLY_S, house.wait_s)):
            repository.forget(superfluous)
    except LockBusy as error:
        work.journal.note(f"{error}. {len(superfluous)} snapshots are forgotten by a later run")
        return len(snapshots)
    return len(snapshots) - len(superfluous)


def _kept(house: House, stored: set[PointId]) -> set[PointId]:
    """The local points, and of those that only the repository has the ones that the rules would keep beside them."""
    known = house.facts().points()
    local = {
        tree.point: tree.state is not None and tree.state.verified and not _damage(known, tree.point)
        for tree in catalog_build.trees(house.layout)
        if not tree.is_incomplete
    }
    held = [retention.Held(point, is_verified=local.get(point, True)) for point in local.keys() | stored]
    today = now_utc(house.clock).astimezone(house.settings.time_zone).date()
    made = next((each.point for each in held if each.is_verified), None)
    decisions = retention.decide(held, house.settings.retention, today=today, made=made)
    return local.keys() | {each.point for each in decisions if each.keep}


def _damage(known: Mapping[str, PointFacts], point: PointId) -> str:
    return known[str(point)].damage if str(point) in known else ""


def _document(facts: Facts) -> dict[str, object]:
    thing = facts.get(catalog_build.REPOSITORY)
    return dict(thing.document) if thing else {}
