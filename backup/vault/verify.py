"""Read the vault back, from anywhere, with rights to read only: is every stored point protected as it was promised?

For each seal whose points are still under their promise, every object it lists is asked for by its version. A point is
protected until the smallest end of a lock among the objects of a seal that lists it; of several seals the best counts,
for each of them is enough to restore from. The promise is the point's own instant and 30 days.

The margin is the smallest time left of what is needed today, that is of the newest seal. A sync renews to 31 days at
least and comes every day, so it sinks to 30; below 29.5 a renewal was missed.

Objects that others have put under our keys, or delete markers, change nothing: versions are read by their ids. They are
named as warnings, for they tell that somebody has tried.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from backup.exit_codes import VaultUnsafe, VerificationFailed
from backup.journal import Journal, Silent
from backup.points import PointId
from backup.settings import VaultSettings
from backup.signing import Verifier
from backup.vault import bucket, parallel, seal
from backup.vault.seal import Seal, SealedObject
from backup.vault.sync import MISSED
from backup.vault.vault import NotThere, Stored, VaultStore

SHOWN = 5
GRACE = timedelta(days=1)  # a seal is written after the points in it


@dataclass(frozen=True, slots=True)
class Protection:
    """Of one point in the vault.

    sealed_at        of the newest seal that lists it
    protected_until  UTC; None when an object of each such seal is missing or damaged
    """

    point: PointId
    started_at: datetime
    sealed_at: datetime
    protected_until: datetime | None


@dataclass(frozen=True, slots=True)
class VaultReport:
    """
    newest               the newest valid seal, which a restore begins with; None: there is none
    points               every point under its promise, newest first
    objects              that the newest seal lists; `checked`: versions that were looked at, of all seals
    lowest_retain_until  of the newest seal's objects
    margin               what is left of that now
    warnings             what others have put over our keys: harmless to a restore
    problems             why the vault is not safe; empty when it is
    """

    at: datetime
    newest: Seal | None
    points: tuple[Protection, ...]
    objects: int
    checked: int
    lowest_retain_until: datetime | None
    margin: timedelta | None
    warnings: tuple[str, ...]
    problems: tuple[str, ...]

    def require_safe(self) -> None:
        """Raise VaultUnsafe, which says what is wrong."""
        if self.problems:
            more = f"\nand {len(self.problems) - SHOWN} more" if len(self.problems) > SHOWN else ""
            raise VaultUnsafe("\n".join(self.problems[:SHOWN]) + more + "\nDo not delete anything")


def verify(
    store: VaultStore, verifier: Verifier, *, settings: VaultSettings, journal: Journal | None = None
) -> VaultReport:
    """`inspect`, and raise VaultUnsafe when something is wrong. Also VaultUnreachable."""
    report = inspect(store, verifier, settings=settings, journal=journal)
    report.require_safe()
    return report


def inspect(
    store: VaultStore, verifier: Verifier, *, settings: VaultSettings, journal: Journal | None = None
) -> VaultReport:
    """Look at everything and report; what is found wrong stands in the report. Raise VaultUnreachable."""
    journal = journal or Silent()
    journal.step("verify the vault", vault=store.name)
    problems = [f"{store.name}: {text}" for text in bucket.problems(store.bucket())]
    now = store.now()
    floor = timedelta(days=settings.floor_days)
    seals, broken = _seals(store, verifier, now - floor - GRACE)
    problems += broken
    if not seals:
        problems.append(
            f"{store.name} holds no valid seal of the key {verifier.key_id}: nothing can be restored from it"
        )
    found, wrong = _look(store, seals, settings.parallel, journal)
    problems += wrong
    points = _points(seals, found, now - floor)
    for each in points:
        if each.protected_until is None:
            problems.append(f"{each.point} cannot be restored whole from any seal")
        elif each.protected_until < each.started_at + floor:
            problems.append(
                f"{each.point} is protected until {each.protected_until} only, not for {settings.floor_days} days"
            )
    lowest = _until(seals[0], found) if seals else None
    margin = None if lowest is None else lowest - now
    if margin is not None and margin < floor - MISSED:
        problems.append(
            f"what is needed today is locked for {margin.total_seconds() / 86400:.1f} days only: a renewal was missed."
            " Run `homeport backup vault sync`"
        )
    warnings = _foreign(store, seals[0]) if seals else ()
    for text in warnings:
        journal.warn(text)
    return VaultReport(
        at=now,
        newest=seals[0] if seals else None,
        points=points,
        objects=len(seals[0].objects) if seals else 0,
        checked=len(found),
        lowest_retain_until=lowest,
        margin=margin,
        warnings=warnings,
        problems=tuple(problems),
    )


def _seals(store: VaultStore, verifier: Verifier, since: datetime) -> tuple[list[Seal], list[str]]:
    """The valid seals since then, and the newest valid one however old, newest first; and what is wrong with others."""
    found: list[Seal] = []
    broken: list[str] = []
    for version in seal.listed(store):
        if found and store.keys.parse_seal(version.key)[0] < since:
            break
        try:
            found.append(seal.read(store, version, verifier))
        except VerificationFailed as error:
            broken.append(f"a seal does not verify: {error} (version {version.version_id})")
        except NotThere:
            continue  # its lock had ended, and the collector was here
    return found, broken


_Id = tuple[str, str]  # key, version


def _look(
    store: VaultStore, seals: Iterable[Seal], threads: int, journal: Journal
) -> tuple[dict[_Id, Stored], list[str]]:
    """Ask for every version that a seal lists, once. Return what is sound, and what is wrong with the rest."""
    listed: dict[_Id, SealedObject] = {}
    for each in seals:
        listed |= {(entry.key, entry.version_id): entry for entry in each.objects}
    found: dict[_Id, Stored] = {}
    wrong: list[str] = []
    with parallel.each(listed.items(), lambda item: store.head(*item[0]), threads) as heads:
        for done, ((identity, sealed), head) in enumerate(heads, 1):
            journal.progress(done, len(listed), "objects")
            name = f"{sealed.key} (version {sealed.version_id})"
            if isinstance(head, NotThere):
                wrong.append(f"{name} is gone")
            elif isinstance(head, Exception):
                raise head
            elif (head.size, head.sha256) != (sealed.size, sealed.sha256):
                wrong.append(f"{name} has the SHA-256 {head.sha256 or 'unknown'}, not {sealed.sha256}")
            elif head.mode != "COMPLIANCE" or head.retain_until is None:
                wrong.append(f"{name} is not locked in COMPLIANCE mode but {head.mode or 'not at all'}")
            elif head.retain_until < sealed.retain_until:
                wrong.append(f"{name} is locked until {head.retain_until}, its seal says {sealed.retain_until}")
            else:
                found[identity] = head
    return found, wrong


def _until(of: Seal, found: dict[_Id, Stored]) -> datetime | None:
    """When the first of its objects may be deleted; None when one is not sound."""
    ends = []
    for each in of.objects:
        stored = found.get((each.key, each.version_id))
        if stored is None or stored.retain_until is None:
            return None
        ends.append(stored.retain_until)
    return min(ends, default=None)


def _points(seals: Iterable[Seal], found: dict[_Id, Stored], since: datetime) -> tuple[Protection, ...]:
    best: dict[PointId, Protection] = {}
    for of in seals:  # newest first
        until = _until(of, found)
        for each in of.points:
            if each.started_at <= since:
                continue
            before = best.get(each.point)
            if before is None:
                best[each.point] = Protection(each.point, each.started_at, of.sealed_at, until)
            elif until is not None and (before.protected_until is None or until > before.protected_until):
                best[each.point] = Protection(each.point, each.started_at, before.sealed_at, until)
    return tuple(sorted(best.values(), key=lambda each: each.started_at, reverse=True))


def _foreign(store: VaultStore, newest: Seal) -> tuple[str, ...]:
    """What lies over the versions that a restore would read: somebody else has put it there."""
    ours = {each.key: each.version_id for each in newest.objects}
    found = []
    for version in store.versions(store.keys.repository):
        if version.is_latest and version.key in ours and version.version_id != ours[version.key]:
            what = "a delete marker" if version.is_delete_marker else "another version"
            found.append(
                f"{what} ({version.version_id}, {version.modified}) lies over {version.key}: it hides nothing from a"
                " restore, but somebody else has put it there"
            )
    return tuple(found)
