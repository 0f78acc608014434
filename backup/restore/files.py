"""Where the files of a point go, what that changes, and how they get there: staged first, put in place by renames.

Four rules, of a place:

    new      beside: a directory of its own that nothing stands in
    replace  files in place: what the point holds is added or overwritten, everything else stays
    mirror   a site in place: likewise, and what the point does not hold goes, but for the secrets, which are in no tree
    missing  a mailbox in place: only what is not there is added, messages by base name in any folder, so that mail
             that has arrived stays, and mail that was read, flagged or moved since is not doubled

Nothing live changes before every file is staged on the same file system, compared with the manifest, and synced. Then
come renames. Killed among them, the next restore starts over; what it finds staged by the dead one it removes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Literal

from backup.exit_codes import RestoreRefused
from backup.journal import Journal
from backup.layout import RESTORING
from backup.manifest import Entry
from backup.restore.mail import base_name, is_message, message_names
from backup.restore.model import Change, Tally
from backup.restore.tree import Below, Copier, destination, read_ahead, shown

SQLITE_BESIDE = (b"-wal", b"-shm", b"-journal")
PROGRESS_EVERY = 256
Rule = Literal["new", "replace", "mirror", "missing"]


@dataclass(frozen=True, slots=True)
class Place:
    """
    prefix  of paths in the point: what lies there goes below `into`; b"" for the whole point
    root    a directory that exists; nothing outside of it is touched
    into    below the root; b"" for the root itself
    only    of the entries below the prefix: which
    keep    of `mirror`: given a path below the root, and whether it is a directory: not deleted, nor what is below it
    sqlite  below the root: databases whose companions would spoil the restored file
    """

    prefix: bytes
    root: Path
    into: bytes
    rule: Rule
    only: Callable[[bytes], bool] = lambda _: True
    keep: Callable[[bytes, bool], bool] = lambda _path, _is_directory: False
    sqlite: frozenset[bytes] = frozenset()

    def target(self, path: bytes) -> bytes:
        """Given a path of the point below the prefix, return the one below the root."""
        rest = path[len(self.prefix) :].lstrip(b"/")
        return b"/".join(part for part in (self.into, rest) if part)


@dataclass(slots=True)
class _Placed:
    """A place while it is worked on."""

    place: Place
    live: Below
    messages: set[bytes] = field(default_factory=set)
    seen: set[bytes] = field(default_factory=set)
    staged: list[tuple[bytes, Entry, bytes]] = field(default_factory=list)  # name in the staging, entry, target
    directories: list[tuple[bytes, Entry]] = field(default_factory=list)
    deletes: list[bytes] = field(default_factory=list)


class Placement:
    """One pass over a manifest with the places it concerns; `look` alone plans, `stage` and `commit` apply."""

    def __init__(self, places: Sequence[Place], *, run_id: str) -> None:
        self._stack = contextlib.ExitStack()
        self._staging_name = os.fsencode(f"{RESTORING}{run_id}")
        self._stagings: dict[Path, int] = {}  # of each root, which places may share: open
        self._staged = 0
        self._directory: tuple[bytes | None, _Placed | None] = None, None  # looked up last
        self.matched = 0  # files and links of the point that the places concern, changed or not
        self._placed: dict[bytes, _Placed] = {}
        try:
            for place in places:
                live = self._stack.enter_context(Below(place.root))
                placed = self._placed[place.prefix] = _Placed(place, live)
                if place.rule == "missing":
                    placed.messages = message_names(live, place.into)
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> Placement:
        return self

    def __exit__(self, *_: object) -> None:
        """Close, and take away what is staged still."""
        with self._stack:
            for root, descriptor in self._stagings.items():
                os.close(descriptor)
                shutil.rmtree(root / os.fsdecode(self._staging_name), ignore_errors=True)

    def look(self, entries: Iterable[Entry], tally: Tally) -> None:
        """Find out what would change."""
        for _ in self._changes(entries, tally):
            pass

    def stage(self, entries: Iterable[Entry], tally: Tally, copier: Copier, journal: Journal, total: int) -> None:
        """Find it out once more and copy what is needed beside where it goes. Live files are as they were."""
        for placed in self._placed.values():
            if placed.place.rule != "new":
                self._begin(placed)
        changes = read_ahead(self._changes(entries, tally), itemgetter(1), copier.source.path)
        for count, (placed, entry, target) in enumerate(changes):
            if placed.place.rule == "new":
                with destination(placed.place.root):
                    directory, name = placed.live.parent(target, make=True)
            else:
                directory, name = self._stagings[placed.place.root], b"%d" % self._staged
                self._staged += 1
                placed.staged.append((name, entry, target))
            (copier.link if entry.type == "symlink" else copier.file)(entry, directory, name)
            if count % PROGRESS_EVERY == 0:
                journal.progress(copier.bytes, total)
        for placed in self._placed.values():
            with destination(placed.place.root):
                if placed.place.rule == "new":
                    for path, _ in placed.directories:
                        placed.live.make(path)
                    self._directories(placed, copier)
                placed.live.sync()
        journal.progress(copier.bytes, total)

    def commit(self, copier: Copier) -> None:
        """Put what is staged into its place, then delete what is to go."""
        for placed in self._placed.values():
            if placed.place.rule == "new":
                continue
            missing = [(path, entry) for path, entry in placed.directories if placed.live.lstat(path) is None]
            for path, _ in missing:
                placed.live.make(path)
            staging = self._stagings[placed.place.root]
            for name, _, target in placed.staged:
                directory, last = placed.live.parent(target, make=True)
                if placed.place.rule == "missing":
                    with contextlib.suppress(FileExistsError):  # it has come back meanwhile
                        os.link(name, last, src_dir_fd=staging, dst_dir_fd=directory, follow_symlinks=False)
                else:
                    os.rename(name, last, src_dir_fd=staging, dst_dir_fd=directory)
            for path in placed.deletes:
                directory, last = placed.live.parent(path)
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(last, dir_fd=directory)
            _remove_empty(placed)
            placed.directories = missing
            self._directories(placed, copier)
            placed.live.sync()

    def _begin(self, placed: _Placed) -> None:
        root = placed.place.root
        if root in self._stagings:
            return
        for name, _ in placed.live.names(b""):
            if name.startswith(os.fsencode(RESTORING)):  # of a restore that was killed; one at a time holds the lock
                shutil.rmtree(root / os.fsdecode(name))
        with destination(root):
            placed.live.make(self._staging_name)
        self._stagings[root] = os.open(root / os.fsdecode(self._staging_name), os.O_RDONLY | os.O_DIRECTORY)
        os.fchmod(self._stagings[root], 0o700)

    def _changes(self, entries: Iterable[Entry], tally: Tally) -> Iterator[tuple[_Placed, Entry, bytes]]:
        """Yield what has to be copied, and where to; count all changes, deletions too."""
        for placed in self._placed.values():
            placed.seen, placed.staged, placed.directories, placed.deletes = set(), [], [], []
        for entry in entries:
            where = self._of(entry.path)
            if where is None:
                continue
            target = where.place.target(entry.path)
            if where.place.rule == "mirror":
                where.seen.add(target)
            if entry.type == "dir":
                if target:
                    where.directories.append((target, entry))
                    _require_directory(where, target)
                continue
            self.matched += 1
            change = _decide(where, entry, target)
            if change is not None:
                tally.add(change, entry.sha256)
                yield where, entry, target
        for placed in self._placed.values():
            for path, found in _to_delete(placed):
                placed.deletes.append(path)
                tally.add(Change(os.fsdecode(path), "delete", 0, _identity(found)))

    def _of(self, path: bytes) -> _Placed | None:
        """The place with the longest prefix of this path."""
        placed = self._placed.get(path)
        if placed is None:
            directory = path[: max(path.rfind(b"/"), 0)]
            if directory != self._directory[0]:  # entries come sorted: mostly it is the one before
                self._directory = directory, self._longest(directory)
            placed = self._directory[1]
        return placed if placed is not None and placed.place.only(path) else None

    def _longest(self, path: bytes) -> _Placed | None:
        while path and path not in self._placed:
            path = path[: max(path.rfind(b"/"), 0)]
        return self._placed.get(path)

    @staticmethod
    def _directories(placed: _Placed, copier: Copier) -> None:
        """Owner, mode and mtime, the innermost first: what is made in a directory changes its mtime."""
        for path, entry in reversed(placed.directories):
            copier.directory(entry, placed.live, path)


def _require_directory(placed: _Placed, target: bytes) -> None:
    found = placed.live.lstat(target) if placed.place.rule != "new" else None
    if found is not None and not stat.S_ISDIR(found.st_mode):
        raise RestoreRefused(f"{shown(target)} in {placed.place.root} is no directory any more: move it away first")


def _decide(placed: _Placed, entry: Entry, target: bytes) -> Change | None:
    """What becomes of one file or link; None when it is there already."""
    name = os.fsdecode(target)
    if placed.place.rule == "new":
        return Change(name, "add", entry.size)
    if placed.place.rule == "missing":
        there = base_name(target) in placed.messages if is_message(target) else placed.live.lstat(target) is not None
        return None if there else Change(name, "add", entry.size)
    found = placed.live.lstat(target)
    if found is None:
        return Change(name, "add", entry.size)
    if stat.S_ISDIR(found.st_mode):
        raise RestoreRefused(f"{shown(target)} in {placed.place.root} is a directory now: move it away first")
    if _is_same(placed.live, entry, target, found):
        return None
    return Change(name, "overwrite", entry.size, _identity(found))


def _is_same(live: Below, entry: Entry, target: bytes, found: os.stat_result) -> bool:
    """Whether a live file has the content, mode and owner of the entry. Times are not trusted, ctime excepted."""
    if entry.type == "symlink":
        if not stat.S_ISLNK(found.st_mode):
            return False
        directory, name = live.parent(target)
        return os.readlink(name, dir_fd=directory) == entry.target
    attributes = (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, found.st_size)
    if not stat.S_ISREG(found.st_mode) or attributes != (entry.mode, entry.uid, entry.gid, entry.size):
        return False
    if (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns) == (
        entry.dev,
        entry.ino,
        entry.mtime_ns,
        entry.ctime_ns,
    ):
        return True
    return live.sha256(target) == entry.sha256


def _to_delete(placed: _Placed) -> Iterator[tuple[bytes, os.stat_result]]:
    place = placed.place
    if place.rule == "mirror":
        for path, found in _walk_mirror(placed):
            if not stat.S_ISDIR(found.st_mode) and path not in placed.seen:
                yield path, found
    for database in sorted(place.sqlite):
        for suffix in SQLITE_BESIDE:
            if (beside := placed.live.lstat(database + suffix)) is not None:
                yield database + suffix, beside


def _remove_empty(placed: _Placed) -> None:
    """Of a mirror: directories that the point does not hold, the innermost first. What is in one keeps it."""
    if placed.place.rule != "mirror":
        return
    every = _walk_mirror(placed)
    directories = [path for path, found in every if stat.S_ISDIR(found.st_mode) and path not in placed.seen]
    for path in sorted(directories, key=len, reverse=True):
        directory, name = placed.live.parent(path)
        with contextlib.suppress(OSError):
            os.rmdir(name, dir_fd=directory)


def _walk_mirror(placed: _Placed) -> Iterator[tuple[bytes, os.stat_result]]:
    """What is live, without secrets and our own staging."""

    def leave_out(path: bytes, is_directory: bool) -> bool:
        return path.startswith(os.fsencode(RESTORING)) or placed.place.keep(path, is_directory)

    return placed.live.walk(placed.place.into, leave_out)


def _identity(found: os.stat_result) -> str:
    return f"{found.st_ino}:{found.st_size}:{found.st_mtime_ns}:{found.st_ctime_ns}"
