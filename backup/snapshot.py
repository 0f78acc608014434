"""One run's point: stage the sources, write manifest and state, read back, seal by one rename.

    clear -> stage -> scan for secrets -> sync -> manifest -> read back -> close directories -> state, signature -> seal

Until the seal everything is in `.partial-<name>`, which the next run removes if this one dies. A point that is there
already (a second run of one date) is swapped with the new one by one step, and then removed. A run that is not
complete - a source failed, a secret was found - is kept once as `.incomplete-<name>` and never gets a point's name.

What is written is compared with the hashes that were taken while the sources were read, after the page cache was
dropped: a disk that keeps something else than it was given is found before the seal.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from backup import linux, removal
from backup.copier import shown
from backup.exit_codes import BackupError, DestinationFailed, VerificationFailed, WrongUsage
from backup.journal import Journal
from backup.layout import INCOMPLETE, MANIFEST, STATE, TRASH, Layout
from backup.manifest import check_signature, digest_of, parse, path_of, sign
from backup.points import PointId
from backup.previous import Previous, newest
from backup.signing import Signer
from backup.sources.source import Source, Staged
from backup.stage import Finished, Stage
from backup.state import PointState, SourceState
from kit.atomic import fsync_dir, write_durably
from kit.clock import Clock, now_utc

SCANNED = "stacks"  # backup.md 3: secrets go only into the encrypted repository, never into the plain tree
SCAN_BYTES = 1 << 20
SHOWN_DAMAGE = 20
NO_FILE = "point"  # in place of a source's name: the sources have worked, and gave nothing
PROGRESS_FILES = 500


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    state      as it stands in the point's STATE.json
    is_sealed  False: a source failed, `state.sources` says which; the tree is kept as `.incomplete-<name>`
    """

    point: PointId
    state: PointState
    is_sealed: bool
    seconds: float


def take(
    point: PointId,
    sources: Sequence[Source],
    *,
    layout: Layout,
    host: str,
    signer: Signer,
    clock: Clock,
    journal: Journal,
    known_secrets: Callable[[], Iterable[bytes]] = lambda: (),
    real_copy: bool = False,
    compares: bool = True,
    distrusted: Collection[PointId] = (),
) -> Outcome:
    """Make a point. The caller holds the points lock.

    known_secrets  values that may not be in `stacks/`
    real_copy      link nothing: once a month, so that one bad write cannot damage all points
    compares       False: a source may have shrunk or be empty, as what is to be replaced by a restore often is
    distrusted     points with known damage: nothing is linked to them
    raises         DestinationFailed: the unfinished tree is removed, no sealed point was touched. VerificationFailed:
                   what was written is not what the disk gives back; the tree is kept as incomplete. WrongUsage for no
                   source. Never SourceFailed: a failing source does not stop the others
    """
    if not sources:
        raise WrongUsage("backup.toml names no source: an empty point would count as a good one")
    layout.require()
    journal.step("clear")
    removal.clear(layout, journal)
    with contextlib.ExitStack() as stack:
        previous = newest(layout, signer.verifier, frozenset(distrusted))
        if previous is not None:
            stack.enter_context(previous)
            journal.note(f"the point before is {previous.point}; {'a real copy' if real_copy else 'links to it'}")
        run = _Run(point, layout, host, signer, clock, journal, previous, real_copy, compares)
        try:
            return run.take(sources, known_secrets)
        except DestinationFailed as error:
            with contextlib.suppress(DestinationFailed):
                removal.delete(run.directory)
            raise DestinationFailed(f"{error}. The unfinished tree goes, no sealed point was touched") from error


@dataclass(slots=True)
class _Run:
    point: PointId
    layout: Layout
    host: str
    signer: Signer
    clock: Clock
    journal: Journal
    previous: Previous | None
    real_copy: bool
    compares: bool

    @property
    def directory(self) -> Path:
        return self.layout.staging(self.point)

    def take(self, sources: Sequence[Source], known_secrets: Callable[[], Iterable[bytes]]) -> Outcome:
        begun, started_at = self.clock.monotonic(), now_utc(self.clock)
        with self._on_disk():
            self.directory.parent.mkdir(mode=0o700, exist_ok=True)
        with Stage(self.directory, None if self.real_copy else self.previous, self.journal) as stage:
            states, staged = self._stage(stage, sources)
            states += self._scan(stage, known_secrets)
            if not stage.files:
                states.append(SourceState(source=NO_FILE, ok=False, error="the sources gave no file", seconds=0))
            self.journal.step("sync")
            stage.sync()
            self.journal.step("manifest")
            finished = stage.write_manifest()
            damage = self._read_back(finished)
            self._close_directories()
            state = PointState(
                point=str(self.point),
                started_at=started_at,
                sealed_at=now_utc(self.clock),
                host=self.host,
                homeport=version("homeport"),
                verified=not damage and all(state.ok for state in states),
                sources=states,
                assets=[asset for each in staged for asset in each.assets],
                entries=finished.entries,
                files=stage.files,
                bytes=stage.bytes,
                linked_files=stage.linked_files,
                linked_bytes=stage.linked_bytes,
                is_real_copy=self.real_copy,
                manifest_sha256=finished.manifest_sha256,
            )
        with self._on_disk():
            write_durably(self.directory / STATE, state.model_dump_json(indent=1).encode() + b"\n")
            sign(self.directory, self.signer)
            check_signature(self.directory, self.signer.verifier)
            os.chmod(self.directory, 0o500)
            fsync_dir(self.directory)
            if state.verified:
                self.journal.step("seal")
                self._seal()
            else:
                self.journal.step("keep")
                self._keep()
        if damage:
            raise VerificationFailed("\n".join([f"{self.point}: what was written reads back otherwise", *damage]))
        return Outcome(self.point, state, state.verified, self.clock.monotonic() - begun)

    # -- before the manifest ------------------------------------------------------------------------------------------

    def _stage(self, stage: Stage, sources: Sequence[Source]) -> tuple[list[SourceState], list[Staged]]:
        states: list[SourceState] = []
        staged: list[Staged] = []
        before = self.previous.state if self.previous is not None and self.compares else None
        for source in sources:
            self.journal.step("stage", source=source.name)
            begun = self.clock.monotonic()
            try:
                found = source.stage(stage, before, self.journal)
            except DestinationFailed:
                raise
            except (BackupError, OSError, ValueError) as error:  # a site's lock, a disk's words, a name that is no text
                self.journal.warn(f"{source.name}: {error}")
                seconds = self.clock.monotonic() - begun
                states.append(SourceState(source=source.name, ok=False, error=str(error), seconds=seconds))
                continue
            staged.append(found)
            states.append(
                SourceState(
                    source=source.name,
                    ok=True,
                    seconds=self.clock.monotonic() - begun,
                    warnings=list(found.warnings),
                    versions=found.versions,
                )
            )
        return states, staged

    def _scan(self, stage: Stage, known_secrets: Callable[[], Iterable[bytes]]) -> list[SourceState]:
        """Take every file of `stacks/` that holds a known secret out of the stage; return what says so."""
        if not stage.has(SCANNED.encode()):
            return []
        self.journal.step("scan")
        begun = self.clock.monotonic()
        try:
            secrets = sorted({secret for secret in known_secrets() if secret})
        except (BackupError, OSError, ValueError) as failure:
            return [self._unscanned(f"{SCANNED}/ was not searched for secrets: {failure}", begun)]
        found = []
        with self._on_disk():
            for path in _files(os.fsencode(self.directory), SCANNED.encode()) if secrets else ():
                if _holds(os.path.join(os.fsencode(self.directory), path), secrets):
                    stage.discard(path)
                    found.append(shown(path))
        if not found:
            return []
        error = (
            f"the value of a known secret stands in {', '.join(found)}: left out. Name such a file in sources.secrets,"
            " which goes into the encrypted repository only, and in leave_out"
        )
        return [self._unscanned(error, begun)]

    def _unscanned(self, error: str, begun: float) -> SourceState:
        self.journal.warn(error)
        return SourceState(source="secrets:scan", ok=False, error=error, seconds=self.clock.monotonic() - begun)

    # -- between manifest and seal ------------------------------------------------------------------------------------

    def _read_back(self, finished: Finished) -> list[str]:
        """Compare every file that was written with the manifest; return what differs."""
        self.journal.step("read back", files=len(finished.written))
        damage: list[str] = []
        done = 0
        with self._on_disk(), (self.directory / MANIFEST).open("rb") as manifest, self._opened() as root:
            for number, offset in enumerate(finished.written, 1):
                manifest.seek(offset)
                entry = parse(manifest.readline())
                try:
                    found = digest_of(entry.path, root)
                except OSError as error:  # the disk cannot give it back
                    found = error.strerror or str(error), -1
                if found != (entry.sha256, entry.size) and len(damage) < SHOWN_DAMAGE:
                    damage.append(f"{shown(entry.path)}: expected {entry.sha256}, found {found[0]}")
                done += entry.size
                if number % PROGRESS_FILES == 0:
                    self.journal.progress(done, None)
            if digest_of(self.directory / MANIFEST)[0] != finished.manifest_sha256:
                damage.append(f"{MANIFEST}: expected {finished.manifest_sha256}")
        return damage

    def _close_directories(self) -> None:
        """Take the write bits of every directory below; the point's own follows when its last file is written."""
        with self._on_disk(), (self.directory / MANIFEST).open("rb") as manifest, self._opened() as root:
            for line in manifest:
                if b'"type":"dir"' in line:  # not within a path: there a quote has a backslash before it
                    os.chmod(path_of(line), parse(line).mode & 0o555 | 0o500, dir_fd=root)

    # -- the end ------------------------------------------------------------------------------------------------------

    def _seal(self) -> None:
        final, trash = self.layout.point(self.point), self.layout.staging(self.point, TRASH)
        if final.exists():
            linux.exchange(os.fsencode(self.directory), os.fsencode(final))
            fsync_dir(final.parent)
            removal.discard(self.directory, trash)
        else:
            os.rename(self.directory, final)
            fsync_dir(final.parent)
        self._forget_incomplete()

    def _keep(self) -> None:
        self._forget_incomplete()
        os.rename(self.directory, self.layout.staging(self.point, INCOMPLETE))
        fsync_dir(self.directory.parent)

    def _forget_incomplete(self) -> None:
        """An incomplete tree is kept until the next run of its kind and scope has ended, well or not."""
        for name in sorted(os.listdir(self.directory.parent)):
            with contextlib.suppress(ValueError):
                other = PointId.parse(f"{self.point.kind}/{name.removeprefix(INCOMPLETE)}")
                if name.startswith(INCOMPLETE) and other.scope == self.point.scope:
                    removal.discard(self.directory.parent / name, self.layout.staging(other, TRASH))

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        root = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield root
        finally:
            os.close(root)

    @contextlib.contextmanager
    def _on_disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            where = shown(os.fsencode(error.filename or self.directory))
            raise DestinationFailed(f"{where}: {error.strerror}") from error


def _files(root: bytes, below: bytes) -> Iterator[bytes]:
    for directory, _, names in os.walk(os.path.join(root, below)):
        for name in names:
            path = os.path.join(directory, name)
            if not os.path.islink(path):
                yield path[len(root) + 1 :]


def _holds(path: bytes, secrets: Sequence[bytes]) -> bool:
    """Whether one of the values stands in a file, also across the pieces in which it is read."""
    overlap = max(map(len, secrets)) - 1
    with open(path, "rb") as file:
        kept = b""
        while data := file.read(SCAN_BYTES):
            data = kept + data
            if any(secret in data for secret in secrets):
                return True
            kept = data[len(data) - min(overlap, len(data)) :]
    return False
