"""The repository: the second, independent format. Stock restic writes it, and stock restic reads it without us.

restic is run with what versions 0.14 to 0.18 all know. The password reaches it as the name of a file. Our own lock
`repository` (backup/lock.py) excludes whom restic's locks are meant for, so reading takes none of restic's; what a
power cut leaves of them is removed under our exclusive lock alone.

    shared     backup, backup_secrets, check, snapshots, restore, and the vault's sync
    exclusive  forget, prune, unlock

    RepositoryFailed   with restic's own words: locked, damaged, wrong password, or there is no restic
    DestinationFailed  its disk is full or read-only
    SourceFailed       a secret that should be kept is not there
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from backup.exit_codes import DestinationFailed, RepositoryFailed, SourceFailed, WrongUsage
from backup.journal import Journal, Silent
from backup.layout import Layout
from backup.points import PointId, PointKind
from backup.settings import RepositorySettings
from kit.atomic import write_durably
from kit.command import CommandError, CommandFailed, CommandNotStarted, run

SECRETS_TAG = "secrets"
POINT_TAG = "point:"
MAX_UNUSED = "10%"  # repacking daily, or to the last byte, uploads ten times as much: backup.md 5
SHORT_S, LONG_S = 600.0, 48 * 3600.0
LEAST_VERSION = (0, 14)  # the first with format 2, and so with compression
INCOMPLETE = 3  # exit code of `restic backup`: there is a snapshot, but something could not be read

_LOCK, _TEMPORARY = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{64}-tmp-\d+")
_NO_SPACE = re.compile(r"no space left on device|disk quota exceeded|read-only file system", re.IGNORECASE)
_SPECIAL, _ESCAPED = re.compile(r"([\\*?\[\]])"), r"\\\1"
_ADVICE = {
    r"wrong password|no key found": "the password file does not hold this repository's password",
    r"already locked": "a run that was killed left its lock; the next prune removes it",
    r"verification failed|does not match|not found in|damaged|unexpected EOF|contains errors|invalid data": (
        "the repository is damaged; the local points and the vault are not"
    ),
}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """
    id     64 hex digits; the name of its file below snapshots/
    point  whose it is; None for one that is not ours
    """

    id: str
    time: datetime
    tags: tuple[str, ...]
    point: PointId | None
    is_secrets: bool


class Reader:
    """A repository that is only read: one fetched from the vault, or the local one.

    cache  restic's own, None: none. It may be lost at any time
    """

    def __init__(
        self,
        directory: Path,
        password_file: Path,
        *,
        program: str = "restic",
        cache: Path | None = None,
        journal: Journal | None = None,
    ) -> None:
        self.directory = directory
        self.journal = journal or Silent()
        self._password_file, self._program, self._cache = password_file, program, cache

    def exists(self) -> bool:
        return (self.directory / "config").is_file()

    @property
    def version(self) -> str:
        """Of restic, such as "0.14.0"."""
        return ".".join(str(part) for part in self._version())

    def size_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.directory.rglob("*") if path.is_file())

    def snapshots(self) -> list[Snapshot]:
        """Oldest first."""
        found = [_snapshot(each) for each in self._json("snapshots", "--no-lock")]
        return sorted(found, key=lambda each: each.time)

    def check(self, part: tuple[int, int] | None = None) -> None:
        """Check that everything fits together; with `part`, (i, n), also read the i-th of n parts of all data."""
        self.journal.step("check the repository", part="its structure" if part is None else f"{part[0]}/{part[1]}")
        subset = [] if part is None else [f"--read-data-subset={part[0]}/{part[1]}"]
        self._restic("check", "--no-lock", *subset, timeout_s=LONG_S)

    def restore(self, snapshot: str, target: Path, include: Sequence[str] = ()) -> None:
        """Restore a snapshot into a directory.

        include  paths below the snapshot's root, taken literally, each with all below it; none: everything
        """
        self.journal.step("restore from the repository", snapshot=snapshot[:8], target=str(target))
        patterns = [f"--include=/{_SPECIAL.sub(_ESCAPED, path.strip('/'))}" for path in include]
        self._restic("restore", "--no-lock", f"--target={target}", *patterns, "--", snapshot, timeout_s=LONG_S)

    # -- how restic is run ---------------------------------------------------------------------------------------------

    def _version(self) -> tuple[int, ...]:
        said = self._run([self._program, "version"], SHORT_S).decode("utf-8", "replace")
        match = re.match(r"restic (\d+)\.(\d+)(?:\.(\d+))?", said)
        if match is None:
            raise RepositoryFailed(f"{self._program} is no restic: it says {said[:80]!r}")
        return tuple(int(part or 0) for part in match.groups())

    def _restic(
        self,
        verb: str,
        *arguments: str,
        timeout_s: float = SHORT_S,
        cwd: Path | None = None,
        sink: Callable[[bytes], object] | None = None,
    ) -> bytes:
        """Run one of its verbs; what it says is JSON where that verb knows it, and goes to `sink` when there is one."""
        cache = "--no-cache" if self._cache is None else f"--cache-dir={self._cache}"
        where = (f"--repo={self.directory}", f"--password-file={self._password_file}", cache)
        form = "--quiet" if sink is None else "--json"
        return self._run([self._program, verb, *where, form, *arguments], timeout_s, cwd, sink)

    def _json(self, verb: str, *arguments: str) -> Any:
        said = self._restic(verb, "--json", *arguments)
        try:
            return json.loads(said) or []
        except ValueError as error:
            raise RepositoryFailed(f"restic {verb} said something that is not JSON: {said[:200]!r}") from error

    def _run(
        self,
        argv: list[str],
        timeout_s: float,
        cwd: Path | None = None,
        sink: Callable[[bytes], object] | None = None,
    ) -> bytes:
        try:
            return run(argv, timeout_s=timeout_s, cwd=cwd, sink=sink, env={"RESTIC_PROGRESS_FPS": "1"}).stdout
        except CommandNotStarted as error:
            raise RepositoryFailed(f"{error}: without restic there are local points only") from error
        except CommandFailed as error:
            raise _failed(argv[1], error) from error
        except CommandError as error:
            raise RepositoryFailed(f"restic {argv[1]}: {error}") from error


class Repository(Reader):
    """The local one, `<root>/repository`; its cache lies in `<root>/state/restic-cache`."""

    def __init__(self, layout: Layout, settings: RepositorySettings, host: str, journal: Journal | None = None) -> None:
        super().__init__(
            layout.repository,
            settings.password_file,
            program=settings.program,
            cache=layout.state / "restic-cache",
            journal=journal,
        )
        self._layout, self._host = layout, host

    @staticmethod
    def at(directory: Path, password_file: Path, *, program: str = "restic", journal: Journal | None = None) -> Reader:
        """One that lies elsewhere and is only read, such as one fetched from the vault."""
        return Reader(directory, password_file, program=program, journal=journal)

    @property
    def _config_record(self) -> Path:
        return self._layout.state / "repository-config.sha256"

    def create(self) -> None:
        """Make the repository in format 2. Raise WrongUsage when there is one."""
        if self.exists():
            raise WrongUsage(f"{self.directory} is a repository already; it stays")
        if self._version() < LEAST_VERSION:
            raise RepositoryFailed(f"restic {self.version} is too old: 0.14 is the first that knows format 2")
        self._restic("init", "--repository-version=2")
        self.record_config(hashlib.sha256((self.directory / "config").read_bytes()).hexdigest())

    def record_config(self, sha256: str) -> None:
        """Write down what `config` is, when it was made or when a signed seal has said so."""
        write_durably(self._config_record, f"{sha256}\n".encode())

    @property
    def _incomplete_record(self) -> Path:
        return self._layout.state / "incomplete-snapshots"

    def incomplete(self) -> frozenset[str]:
        """Ids of snapshots that lack what could not be read, until the next `forget` removes them."""
        try:
            return frozenset(self._incomplete_record.read_text("ascii").split())
        except FileNotFoundError:
            return frozenset()

    def snapshots(self) -> list[Snapshot]:
        """Oldest first, without the incomplete ones: nobody shall take one for its point."""
        hidden = self.incomplete()
        return [each for each in super().snapshots() if each.id not in hidden]

    def config_sha256(self) -> str | None:
        """Of `config` as it was made: no other file is not named by its content. None when nobody wrote it down."""
        try:
            return self._config_record.read_text("ascii").strip()
        except FileNotFoundError:
            return None

    def backup(self, point: PointId, *, reread: bool = False) -> str:
        """Store a sealed point; return the snapshot's id.

        reread  read every file again, whatever the snapshot before says: once a month. Else a file counts as unchanged
                by size, mtime and inode; a new hard link moves ctime, and each tree lies under another path
        """
        directory = self._layout.point(point)
        parent = None if reread else self._newest_of_a_point()
        since = ["--force"] if reread else ["--ignore-ctime", *([f"--parent={parent.id}"] if parent else [])]
        self.journal.step("repository", point=str(point), reread=reread)
        return self._backup([*since, f"--tag={POINT_TAG}{point.flat}", "."], cwd=directory)

    def backup_secrets(self, point: PointId, paths: Sequence[Path], extra: Path | None = None) -> str:
        """Store the secret set, read from its own place, as a snapshot of its own; return its id.

        extra   a directory with what is no file elsewhere, such as accounts and grants
        raises  SourceFailed when one of them is not there
        """
        every = [*paths, *([extra] if extra is not None else [])]
        if missing := [str(path) for path in every if not os.path.lexists(path)]:
            raise SourceFailed(f"secrets that are to be kept are not there: {', '.join(missing)}")
        self.journal.step("secrets", point=str(point), paths=len(every))
        tags = f"--tag={SECRETS_TAG},{POINT_TAG}{point.flat}"
        return self._backup([tags, "--", *(str(path) for path in every)], cwd=None)

    def forget(self, ids: Iterable[str]) -> None:
        """Remove snapshots, and all incomplete ones; not yet their data. One that is gone already is no error."""
        present = {each.id for each in super().snapshots()}
        if wanted := sorted(present.intersection({*ids, *self.incomplete()})):
            self.journal.step("forget", snapshots=len(wanted))
            self._unlock_if_locked()
            self._restic("forget", "--", *wanted)
        self._incomplete_record.unlink(missing_ok=True)

    def prune(self) -> None:
        """Remove data that no snapshot needs, once that is a tenth of the whole, and what killed runs have left."""
        self.journal.step("prune")
        self._unlock_if_locked()
        for path in self.directory.rglob("*-tmp-*"):
            if _TEMPORARY.fullmatch(path.name):  # restic 0.14 never does
                path.unlink()
        self._restic("prune", f"--max-unused={MAX_UNUSED}", timeout_s=LONG_S)

    def has_locks(self) -> bool:
        """Whether restic's own locks are there: of somebody at work, or of somebody killed."""
        return any(_LOCK.fullmatch(path.name) for path in (self.directory / "locks").glob("*"))

    def unlock(self) -> None:
        """Remove all of restic's locks. Only under our exclusive lock: then they belong to nobody alive."""
        self._restic("unlock", "--remove-all")

    def _unlock_if_locked(self) -> None:
        if self.has_locks():
            self.journal.warn("restic's locks of a run that was killed are removed")
            self.unlock()

    def _newest_of_a_point(self) -> Snapshot | None:
        """Of a scheduled one: a manual point may hold a part only, and all the rest would be read again."""
        for each in reversed(self.snapshots()):
            if each.point is not None and each.point.kind is not PointKind.MANUAL and not each.is_secrets:
                return each
        return None

    def _backup(self, arguments: list[str], *, cwd: Path | None) -> str:
        said = _Messages(self.journal)
        try:
            self._restic("backup", f"--host={self._host}", *arguments, timeout_s=LONG_S, cwd=cwd, sink=said.hear)
        except (RepositoryFailed, DestinationFailed):
            if said.summary is not None:  # there is a snapshot, without what could not be read
                self._hide(str(said.summary.get("snapshot_id", "")))
            raise
        if said.summary is None:
            raise RepositoryFailed("restic backup ended without a summary: whether there is a snapshot is not known")
        self.journal.note(_told(said.summary))
        return self._whole_id(str(said.summary.get("snapshot_id", "")))

    def _hide(self, short: str) -> None:
        """To forget it takes the exclusive lock, not held here. Raise nothing: restic's words are on their way."""
        try:
            ids = {*self.incomplete(), self._whole_id(short)}
            write_durably(self._incomplete_record, "".join(f"{each}\n" for each in sorted(ids)).encode())
        except (RepositoryFailed, OSError) as error:
            self.journal.warn(f"the incomplete snapshot {short} is listed like a whole one: {error}")

    def _whole_id(self, short: str) -> str:
        """restic 0.14 names a new snapshot by the beginning of its id."""
        found = [path.name for path in (self.directory / "snapshots").glob(f"{short}*")] if short else []
        if len(found) != 1:
            raise RepositoryFailed(f"restic named the snapshot {short!r}; {len(found)} files begin like that")
        return found[0]


class _Messages:
    """What `restic backup --json` says, a JSON object a line, in pieces. What is none is passed over."""

    def __init__(self, journal: Journal) -> None:
        self.summary: dict[str, Any] | None = None
        self._journal, self._rest = journal, b""

    def hear(self, piece: bytes) -> None:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            try:
                message = json.loads(line)
            except ValueError:
                continue
            match message:
                case {"message_type": "status", "bytes_done": int() as done, "total_bytes": int() as total}:
                    self._journal.progress(done, total)
                case {"message_type": "summary"}:
                    self.summary = message


def _told(summary: dict[str, Any]) -> str:
    new, changed, unchanged = (summary.get(f"files_{kind}", "?") for kind in ("new", "changed", "unmodified"))
    added = summary.get("data_added", "?")
    return f"restic: {new} files new, {changed} changed, {unchanged} as before; {added} bytes added"


def _snapshot(document: dict[str, Any]) -> Snapshot:
    try:
        tags = tuple(document.get("tags") or ())
        # restic writes nanoseconds and a zone; Python 3.11 takes six digits
        time = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", document["time"])).astimezone(UTC)
        return Snapshot(document["id"], time, tags, _point(tags), SECRETS_TAG in tags)
    except (KeyError, TypeError, ValueError) as error:
        raise RepositoryFailed(f"restic listed a snapshot that cannot be read: {error!r}") from error


def _point(tags: Sequence[str]) -> PointId | None:
    for tag in tags:
        if tag.startswith(POINT_TAG):
            try:
                return PointId.parse(tag.removeprefix(POINT_TAG))
            except ValueError:
                continue
    return None


def _failed(verb: str, error: CommandFailed) -> Exception:
    said = error.completed.stderr.decode("utf-8", "replace").strip()
    text = f"restic {verb} ended with {error.completed.exit_code}: {said[-1500:] or 'it said nothing'}"
    if _NO_SPACE.search(said):
        return DestinationFailed(f"{text}\nThe snapshots before this one stand")
    if verb == "backup" and error.completed.exit_code == INCOMPLETE:
        return RepositoryFailed(f"{text}\nIts snapshot lacks what could not be read; the point itself is unchanged")
    advice = next((advice for pattern, advice in _ADVICE.items() if re.search(pattern, said, re.IGNORECASE)), "")
    return RepositoryFailed(f"{text}\n{advice}".rstrip())
