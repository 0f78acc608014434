"""Mirror the repository into the vault: upload what is missing, renew what is there, read back, seal. Delete nothing.

    bucket is safe -> list -> budget -> renew -> data, index, keys, config, snapshots -> renew -> read back -> seal

Each step may be the last: what was stored is remembered object by object, nothing is sent twice, and whatever the next
sync finds it ends the same. Renewal comes first as well as last: what guards the points that are stored already must
not wait for tonight's upload, nor for a file that cannot be uploaded, nor for a budget. A seal is written only when
every needed object was read back: in its version, in COMPLIANCE mode, locked long enough, with its size and its
SHA-256. Nor is one written of a repository that is damaged here: what the newest seal lists is renewed instead, since a
pack that is lost here may be there.

The caller holds the vault lock, and the repository lock shared: files may appear beside us, none vanishes.

    VaultUnsafe          other content under a name of ours; an object that is gone, or less locked than was asked
    VerificationFailed   a local file does not have the SHA-256 in its name: the repository rots, the vault does not
    RepositoryFailed     a point has no snapshot here, a file has vanished, or the caller says that it is damaged
    WrongUsage           the vault holds another repository than the one that is here
    VaultUnreachable, OverBudget
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from backup.exit_codes import (
    BackupError,
    OverBudget,
    RepositoryFailed,
    VaultUnreachable,
    VaultUnsafe,
    VerificationFailed,
    WrongUsage,
)
from backup.journal import Journal, Silent
from backup.points import PointId
from backup.settings import VaultSettings
from backup.signing import Signer, Verifier
from backup.vault import bucket, local_files, parallel, seal
from backup.vault.keys import KINDS
from backup.vault.known import Known
from backup.vault.local_files import LocalFile
from backup.vault.seal import Seal, SealedPoint
from backup.vault.vault import Exists, NotThere, Stored, VaultStore
from kit.clock import Clock, SystemClock, now_utc

CLOCK_OFF = timedelta(minutes=5)
MISSED = timedelta(hours=12)  # below the floor by so much, a renewal was missed: backup.md 6.2, 29.5 of 30 days
SHOWN = 3  # of many failures, in an error's text


@dataclass(frozen=True, slots=True)
class Planned:
    """What a sync is about to do, for the budget.

    stored_bytes  in the vault now, under a lock or past it: the collector comes seldom
    objects       all that will be renewed from now on
    """

    stored_bytes: int
    objects: int
    upload_bytes: int
    uploads: int
    renewals: int


@dataclass(frozen=True, slots=True)
class SyncReport:
    """
    uploaded, extended    objects; `adopted`: those that were there already though unknown
    lowest_retain_until   of all objects that are needed today, as read back
    margin_found          the smallest before this sync renewed anything; None for the first sync
    locked_bytes          of everything in the vault that is still locked, needed or not
    """

    uploaded: int
    uploaded_bytes: int
    adopted: int
    extended: int
    checked: int
    lowest_retain_until: datetime
    margin_found: timedelta | None
    objects: int
    locked_bytes: int
    sealed: Seal


def sync(
    store: VaultStore,
    repository: Path,
    known: Known,
    signer: Signer,
    *,
    points: Sequence[SealedPoint],
    point: PointId,
    settings: VaultSettings,
    host: str,
    journal: Journal | None = None,
    estimate: Callable[[Planned], None] = lambda _: None,
    config_sha256: str | None = None,
    damage: str = "",
    clock: Clock | None = None,
) -> SyncReport:
    """Store the repository as it is, and seal it.

    points         all whose snapshots the repository holds, `point` among them: the newest, which the seal is for
    estimate       is told the plan before the first byte; raises OverBudget
    config_sha256  of the repository's `config`, recorded when it was made (it is not named by its content)
    damage         what a check of the repository has found; "": it is whole
    """
    clock, journal = clock or SystemClock(), journal or Silent()
    journal.step("vault", vault=store.name, point=str(point))
    with _telling_the_time_left(store, repository, known, settings, clock):
        run = _Sync(store, repository, known, settings, journal)
        bucket.require_safe(store)
        if not known.is_of(store):
            known.rebuild(store, signer.verifier, journal)
        run.compare_clocks(clock)
        files = run.list_files(config_sha256)
        _require_snapshots(points, point, files)
        if damage:
            run.keep_what_is_sealed(signer.verifier)
        run.look_for_expired()
        margin = run.margin()
        try:
            estimate(run.planned())
        except OverBudget:  # what is stored already must not run out because something has grown
            run.renew()
            run.require_no_failures()
            raise

        run.renew()
        run.require_no_failures()
        run.upload()
        run.renew()
        run.require_no_failures()
        stored = run.read_back()
        if damage:
            raise RepositoryFailed(
                f"{damage}\nWhat is here was carried up, and renewed with all that the newest seal lists. No seal was"
                " written; the seals before this one stand"
            )
        journal.step("seal")
        now = store.now()
        wanted = Seal(
            point, now.replace(microsecond=0), host, store.keys.prefix, tuple(points), seal.sealed_objects(stored)
        )
        sealed = seal.write(store, wanted, signer, retain_until=run.end_of_lock())
    known.forget_old((each.key for each in stored), now)
    return SyncReport(
        uploaded=run.uploaded,
        uploaded_bytes=run.uploaded_bytes,
        adopted=run.adopted,
        extended=run.extended,
        checked=len(stored),
        lowest_retain_until=sealed.lowest_retain_until,
        margin_found=margin,
        objects=len(stored),
        locked_bytes=known.locked_bytes(now),
        sealed=sealed,
    )


class _Sync:
    """One sync on its way: what is needed, what is known of it, what was done."""

    def __init__(
        self, store: VaultStore, repository: Path, known: Known, settings: VaultSettings, journal: Journal
    ) -> None:
        self.store, self.repository, self.known = store, repository, known
        self.settings, self.journal = settings, journal
        self.files: dict[str, LocalFile] = {}  # by key, in the order of upload
        self.stored: dict[str, Stored] = {}  # what is known of them
        self.failures: list[BackupError] = []
        self.uploaded = self.uploaded_bytes = self.adopted = self.extended = 0
        self.locked_from = store.now()  # the instant against which the read-back compares

    def end_of_lock(self) -> datetime:
        """W from now. Whole seconds: what S3 keeps."""
        return (self.store.now() + timedelta(days=self.settings.window_days)).replace(microsecond=0)

    @property
    def threshold(self) -> timedelta:
        return timedelta(days=self.settings.threshold_days)

    def compare_clocks(self, clock: Clock) -> None:
        off = abs(now_utc(clock) - self.store.now())
        if off > CLOCK_OFF:
            self.journal.warn(
                f"this machine's clock is {off.total_seconds() / 60:.0f} min off the vault's; the vault's counts here"
            )

    def require_no_failures(self) -> None:
        if self.failures:
            raise _together(self.failures)

    def list_files(self, config_sha256: str | None) -> set[str]:
        """Find out what is needed, and what is known of it; return the files' names."""
        before = self.known.get(self.store.keys.file("config"))
        files = local_files.listed(
            self.repository, config_sha256=config_sha256 or (before.sha256 if before is not None else None)
        )
        config = next(file for file in files if file.name == "config")
        if before is not None and before.sha256 != config.sha256:
            raise WrongUsage(
                f"{self.repository} is another repository than the one in {self.store.name}: give vault.prefix a new"
                " value. Nothing was sent or renewed; what is there stays locked as long as it was promised"
            )
        self.files = {self.store.keys.file(file.name): file for file in files}
        remembered = self.known.all()
        self.stored = {key: remembered[key] for key in self.files if key in remembered}
        return {file.name for file in files}

    def keep_what_is_sealed(self, verifier: Verifier) -> None:
        """Let what the newest seal lists be renewed like what is here."""
        try:
            sealed = seal.newest(self.store, verifier)
        except NotThere:
            return
        remembered = self.known.all()
        for each in sealed.objects:
            known = remembered.get(each.key)
            if known is None or known.version_id != each.version_id:
                known = Stored(each.key, each.version_id, each.size, each.sha256, each.retain_until, "COMPLIANCE")
            self.stored.setdefault(each.key, known)

    def look_for_expired(self) -> None:
        """A lock that has run out protects nothing: ask whether its object is still there, else it is sent again."""
        now = self.store.now()
        expired = [each for each in self.stored.values() if each.retain_until is None or each.retain_until <= now]
        with parallel.each(expired, self._head, self.settings.parallel) as results:
            for old, found in results:
                if isinstance(found, NotThere):
                    del self.stored[old.key]
                    self.known.forget(old.key)
                elif isinstance(found, Exception):
                    raise found
                else:
                    self._remember(found)

    def margin(self) -> timedelta | None:
        """How long the least protected object is still locked, before anything is done; warn when that is short."""
        ends = [each.retain_until for each in self.stored.values() if each.retain_until is not None]
        if not ends:
            return None
        margin = min(ends) - self.store.now()
        if margin < timedelta(days=self.settings.floor_days) - MISSED:
            self.journal.warn(
                f"the least protected object is locked for {_days(margin)} only: a renewal was missed. It is made now"
            )
        return margin

    def planned(self) -> Planned:
        missing = [file for key, file in self.files.items() if key not in self.stored]
        return Planned(
            stored_bytes=self.known.stored_bytes(),
            objects=len(self.files),
            upload_bytes=sum(file.size for file in missing),
            uploads=len(missing),
            renewals=len(self._short()),
        )

    # -- renew ---------------------------------------------------------------------------------------------------------

    def renew(self) -> None:
        """Move every lock that ends within T, of what is needed, to W from now."""
        self.locked_from = self.store.now()
        short = self._short()
        self.journal.step("renew", objects=len(short))
        with parallel.each(short, self._extend, self.settings.parallel) as results:
            for done, (old, new) in enumerate(results, 1):
                if isinstance(new, NotThere):  # the others are renewed all the same
                    self.failures.append(
                        VaultUnsafe(
                            f"{old.key} (version {old.version_id}) is gone though it was locked until"
                            f" {old.retain_until}. Do not delete anything; the bucket's access log says who did"
                        )
                    )
                elif isinstance(new, Exception):
                    raise new
                else:
                    self._remember(new)
                    self.extended += 1
                self.journal.progress(done, len(short), "objects")

    def _short(self) -> list[Stored]:
        end = self.store.now() + self.threshold
        return [
            each
            for each in self.stored.values()
            if each.retain_until is None or each.retain_until < end or each.mode != "COMPLIANCE"
        ]

    def _extend(self, old: Stored) -> Stored:
        until = self.end_of_lock()
        self.store.extend(old.key, old.version_id, until)
        return Stored(old.key, old.version_id, old.size, old.sha256, until, "COMPLIANCE")

    # -- upload --------------------------------------------------------------------------------------------------------

    def upload(self) -> None:
        """Send what is missing, kind after kind. A file that cannot be sent ends its kind, and none comes after it."""
        missing = [key for key in self.files if key not in self.stored]
        total = sum(self.files[key].size for key in missing)
        self.journal.step("upload", objects=len(missing), bytes=total)
        done_bytes = 0
        for kind in KINDS:
            of_kind = [key for key in missing if self.files[key].kind == kind]
            with parallel.each(of_kind, self._put, self.settings.parallel) as results:
                for _, found in results:
                    if isinstance(found, VaultUnsafe | VerificationFailed | RepositoryFailed):
                        self.failures.append(found)  # of this one file; the others of its kind go on
                        continue
                    if isinstance(found, Exception):
                        raise found
                    stored, is_new = found
                    self._remember(stored)
                    done_bytes += stored.size
                    self.uploaded += is_new
                    self.uploaded_bytes += stored.size * is_new
                    self.adopted += not is_new
                    self.journal.progress(done_bytes, total)
            if self.failures:
                return

    def _put(self, key: str) -> tuple[Stored, bool]:
        """Return what is stored now, and whether it was sent; what is there already is adopted if it is the same."""
        file = self.files[key]
        try:
            return self.store.put(key, file.path, sha256=file.sha256, retain_until=self.end_of_lock()), True
        except Exists:
            pass
        except OSError as error:
            raise local_files.unreadable(file.path, error) from error
        try:
            found = self.store.head(key)
        except NotThere as error:  # a delete marker was put over it between the two calls
            raise VaultUnreachable(f"{key} was there and then was not; the next sync sends it again") from error
        if found.sha256 != file.sha256:
            raise VaultUnsafe(
                f"TAMPER: {key} (version {found.version_id}) in {self.store.name} has the SHA-256"
                f" {found.sha256 or 'unknown'}, not {file.sha256}. Somebody else has written it. Do not delete anything"
            )
        return found, False

    # -- read back -----------------------------------------------------------------------------------------------------

    def read_back(self) -> list[Stored]:
        """Ask for every needed object, by version. Raise VaultUnsafe unless each is as it must be."""
        self.journal.step("read back", objects=len(self.files))
        found: list[Stored] = []
        wrong: list[BackupError] = []
        needed = [self.stored[key] for key in self.files]
        with parallel.each(needed, self._head, self.settings.parallel) as results:
            for done, (known, read) in enumerate(results, 1):
                if isinstance(read, NotThere):
                    wrong.append(VaultUnsafe(f"{known.key} (version {known.version_id}) is not there any more"))
                elif isinstance(read, Exception):
                    raise read
                else:
                    problem = self._wrong(read)
                    if problem:
                        wrong.append(VaultUnsafe(f"{known.key} (version {known.version_id}) {problem}"))
                    if (
                        read.sha256 == known.sha256
                    ):  # else the next sync would compare with what somebody else has written
                        self._remember(read)
                    found.append(read)
                self.journal.progress(done, len(needed), "objects")
        if wrong:
            raise _together(wrong)
        return found

    def _wrong(self, read: Stored) -> str:
        file = self.files[read.key]
        if read.mode != "COMPLIANCE" or read.retain_until is None:
            return f"is not locked in COMPLIANCE mode but {read.mode or 'not at all'}"
        if read.retain_until < self.locked_from + self.threshold:
            return f"is locked until {read.retain_until} only, after renewal"
        if (read.size, read.sha256) != (file.size, file.sha256):
            return f"has {read.size} bytes of the SHA-256 {read.sha256 or 'unknown'}, not {file.size} of {file.sha256}"
        return ""

    def _head(self, known: Stored) -> Stored:
        return self.store.head(known.key, known.version_id)

    def _remember(self, stored: Stored) -> None:
        if self.stored.get(stored.key) != stored:
            self.known.put(stored)
        self.stored[stored.key] = stored


@contextlib.contextmanager
def _telling_the_time_left(
    store: VaultStore, repository: Path, known: Known, settings: VaultSettings, clock: Clock
) -> Iterator[None]:
    """Add to a VaultUnreachable how urgent it is, by what is remembered of the files that are here."""
    try:
        yield
    except VaultUnreachable as error:
        here = {store.keys.file(name) for name in local_files.names(repository)}
        ends = [each.retain_until for key, each in known.all().items() if key in here and each.retain_until]
        if not ends:
            raise
        alarm_in = min(ends) - now_utc(clock) - timedelta(days=settings.floor_days) + MISSED
        hours = alarm_in.total_seconds() / 3600
        left = f"in {hours:.0f} h" if hours > 0 else "now: a renewal was missed"
        raise VaultUnreachable(f"{error}\nThe margin alarm sounds {left}") from error


def _require_snapshots(points: Sequence[SealedPoint], point: PointId, files: Set[str]) -> None:
    """Raise RepositoryFailed unless every point that the seal is going to promise has its snapshot in the list."""
    if not any(each.point == point for each in points):
        raise RepositoryFailed(f"{point} has no snapshot in the repository: it cannot be stored in the vault")
    for each in points:
        if f"snapshots/{each.snapshot}" not in files:
            raise RepositoryFailed(f"the snapshot {each.snapshot} of {each.point} is not in the repository any more")


def _together(failures: Sequence[BackupError]) -> BackupError:
    """One error of the gravest kind that says what all of them say."""
    gravest = min(failures, key=lambda error: not isinstance(error, VaultUnsafe))
    texts = [str(each) for each in sorted(failures, key=lambda error: type(error) is not type(gravest))]
    more = f"\nand {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return type(gravest)("\n".join(texts[:SHOWN]) + more + "\nNo seal was written; the seals before this one stand")


def _days(span: timedelta) -> str:
    return f"{span.total_seconds() / 86400:.1f} days"
