"""The stage: where sources put their copies, and out of which a point's manifest is written.

All paths of a stage are bytes below its root, `/` between parts; they are checked here. What is copied is hashed while
the source is read, and never again from the copy; what the previous point holds already is linked (copier.py); `sync`
makes all of it durable at once. A crash leaves the unfinished directory and nothing else.

Every method raises DestinationFailed for what the stage's own disk refuses: no space, read-only, broken.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

from backup import linux
from backup.copier import RESERVED, YOUNG_NS, Copier, OtherType, Placed, shown, taken, unreadable
from backup.exit_codes import DestinationFailed, SourceFailed
from backup.journal import Journal, Silent
from backup.layout import MANIFEST
from backup.manifest import Entry, ManifestFile, Sorter, is_safe, parse
from backup.previous import Previous
from backup.walk import Found, walk

MAX_PATH_BYTES = 3500  # of a path in the point; with the root before it, it must stay below PATH_MAX, 4096
PROGRESS_FILES = 500
SHOWN_CHANGES = 20
WRITTEN, PRESENT = b"w", b"-"  # marks of the manifest's lines: to be read back before the seal, or not


@dataclass(slots=True)
class TreeCounts:
    """
    bytes     of the files, as they were read
    changed   files that were written while they were read
    vanished  what was listed and then no longer there
    special   sockets, fifos and devices, which are left out
    """

    files: int = 0
    dirs: int = 0
    links: int = 0
    bytes: int = 0
    changed: int = 0
    vanished: int = 0
    special: int = 0


class Finished(NamedTuple):
    """
    written  offsets in the manifest of the files whose bytes were written, not linked
    """

    manifest_sha256: str
    entries: int
    written: array[int]


class Stage:
    """
    files, bytes, linked_files, linked_bytes   what is in it so far; linked ones are counted in both
    """

    def __init__(self, root: Path, previous: Previous | None = None, journal: Journal | None = None) -> None:
        """Make the directory, which must not exist. Raise DestinationFailed."""
        self.root = root
        self.files = self.bytes = self.linked_files = self.linked_bytes = 0
        self._journal = journal or Silent()
        self._changed = 0
        self._directories: set[bytes] = set()  # made by this stage: nothing is put below anything else
        try:
            os.mkdir(root, 0o700)
            self._fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise DestinationFailed(f"{shown(os.fsencode(root))}: {error.strerror}") from error
        self._copier = Copier(os.fsencode(root), self._fd, os.fstat(self._fd).st_ctime_ns - YOUNG_NS, previous)
        self._sorter = Sorter(root)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._sorter.__exit__()
        os.close(self._fd)

    # -- one thing ----------------------------------------------------------------------------------------------------

    def has(self, path: bytes) -> bool:
        try:
            os.lstat(path, dir_fd=self._fd)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise self._copier.failed(error, path) from error
        return True

    def make_dir(self, path: bytes, like: os.stat_result | None = None) -> None:
        """Make a directory and its parents; one that is there stays.

        like   what the manifest says of it; without it a new directory is ours, of mode 0700
        """
        self._check(path)
        self._parents(path)
        self._mkdir(path, like)

    def copy_file(self, source: bytes | Path, path: bytes) -> Entry:
        """Copy or link one regular file. Its parents in the stage are made.

        raises  FileNotFoundError when it has vanished; SourceFailed when it is no regular file, cannot be read, or
                `path` is taken
        """
        self._check(path)
        name = os.fsencode(source)
        try:
            found = os.lstat(name)
            if not stat.S_ISREG(found.st_mode):
                raise OtherType
            self._parents(path)
            placed = self._copier.place(name, None, found, path)
        except OtherType:
            raise SourceFailed(f"{shown(name)} is not, or no longer, a regular file") from None
        except (PermissionError, NotADirectoryError) as error:
            raise SourceFailed(f"{shown(name)} cannot be read: {error.strerror}") from error
        self._placed(path, placed)
        return parse(placed.line)

    def copy_link(self, source: bytes | Path, path: bytes) -> Entry:
        """Copy a symlink as a symlink. It raises what copy_file raises."""
        self._check(path)
        name = os.fsencode(source)
        try:
            found, target = os.lstat(name), os.readlink(name)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise SourceFailed(f"{shown(name)} is not, or no longer, a symlink: {error.strerror}") from error
        self._parents(path)
        return self._symlink(path, found, target)

    @contextlib.contextmanager
    def stream(self, path: bytes, mode: int = 0o600) -> Iterator[Writer]:
        """Write a file piece by piece. When the body ends well it is in the stage, after an error nothing of it is.

        It is linked when the previous point has the same bytes at this path, and has then that file's time.
        """
        self._check(path)
        self._parents(path)
        with self._copier.created(path) as copy:
            writer = Writer(self._copier, copy, path)
            yield writer
            placed = self._copier.finish_stream(copy, path, writer.size, writer.digest.hexdigest(), mode)
        self._placed(path, placed)

    def discard(self, path: bytes) -> None:
        """Take a file out again."""
        try:
            os.unlink(path, dir_fd=self._fd)
        except OSError as error:
            raise self._copier.failed(error, path) from error
        self._add(path, Sorter.DROP, b"\n")

    # -- a tree -------------------------------------------------------------------------------------------------------

    def copy_tree(
        self, source: Path, path: bytes, *, skip: Callable[[bytes, bool], bool] = lambda _path, _is_dir: False
    ) -> TreeCounts:
        """Copy a directory and all below it, through descriptors: a directory that becomes a symlink is not followed.

        skip    told a path relative to `source` and whether it is a directory; True leaves it out, with all below
        raises  FileNotFoundError when `source` is not there; SourceFailed when something cannot be read
        """
        self._check(path)
        counts = TreeCounts()
        with contextlib.closing(walk(os.fsencode(source), skip)) as tree:
            for found in tree:
                there = b"%b/%b" % (path, found.path) if found.path else path
                if len(there) > MAX_PATH_BYTES:
                    self._check(there)
                try:
                    self._one(there, found, counts)
                except (FileNotFoundError, OtherType):
                    counts.vanished += 1
        return counts

    def _one(self, path: bytes, found: Found, counts: TreeCounts) -> None:
        if found.stat is None:
            raise OtherType
        if found.path:  # the top's parents are made with it
            self._require_parent(path)
        match stat.S_IFMT(found.stat.st_mode):
            case stat.S_IFREG:
                placed = self._copier.place(found.name, found.dir_fd, found.stat, path)
                self._placed(path, placed)
                counts.files += 1
                counts.bytes += placed.size
                counts.changed += placed.is_changed
            case stat.S_IFDIR:
                self.make_dir(path, found.stat)
                counts.dirs += 1
            case stat.S_IFLNK:
                try:
                    target = os.readlink(found.name, dir_fd=found.dir_fd)
                except OSError as error:
                    raise unreadable(error, path) from error
                self._symlink(path, found.stat, target)
                counts.links += 1
            case _:
                counts.special += 1

    # -- the end ------------------------------------------------------------------------------------------------------

    def sync(self) -> None:
        """Make all that was staged durable.

        syncfs(2) waits for data, names and inodes of the whole file system: one wait instead of one for each of
        200,000 files and their directories, and as durable.
        """
        try:
            linux.syncfs(self._fd)
        except OSError as error:
            raise self._copier.failed(error, b"") from error

    def write_manifest(self) -> Finished:
        """Write the manifest of all that was staged, durably."""
        written: array[int] = array("Q")
        entries = 0
        try:
            with ManifestFile(self.root / MANIFEST) as file:
                for mark, line in self._sorter:
                    if mark == WRITTEN:
                        written.append(file.offset)
                    file.append(line)
                    entries += 1
                return Finished(file.finish(), entries, written)
        except OSError as error:
            raise self._copier.failed(error, MANIFEST.encode()) from error

    # -- directories, symlinks, the manifest's lines ------------------------------------------------------------------

    def _symlink(self, path: bytes, found: os.stat_result, target: bytes) -> Entry:
        try:
            os.symlink(target, path, dir_fd=self._fd)
            self._copier.give(found, path)
            os.utime(path, ns=(found.st_mtime_ns, found.st_mtime_ns), dir_fd=self._fd, follow_symlinks=False)
        except FileExistsError:
            raise taken(path) from None
        except OSError as error:
            raise self._copier.failed(error, path) from error
        entry = Entry.of(path, found, target=target)
        self._note(entry)
        return entry

    def _parents(self, path: bytes) -> None:
        missing = []
        while (path := path.rpartition(b"/")[0]) and path not in self._directories:
            missing.append(path)
        for directory in reversed(missing):
            self._mkdir(directory)

    def _require_parent(self, path: bytes) -> None:
        """What a moving source shows as a directory may stand here as a link: nothing is written through one."""
        parent = path.rpartition(b"/")[0]
        if parent and parent not in self._directories:
            raise OtherType

    def _mkdir(self, path: bytes, like: os.stat_result | None = None) -> None:
        try:
            os.mkdir(path, 0o700, dir_fd=self._fd)
            self._directories.add(path)
            if like is None:
                mtime_ns = os.lstat(path, dir_fd=self._fd).st_mtime_ns
                self._note(Entry(path, "dir", 0, 0o700, *self._copier.owner, mtime_ns))
        except FileExistsError:
            if path not in self._directories:
                raise taken(path) from None
        except OSError as error:
            raise self._copier.failed(error, path) from error
        if like is not None:
            self._note(Entry.of(path, like))

    def _placed(self, path: bytes, placed: Placed) -> None:
        self._add(path, PRESENT if placed.is_linked else WRITTEN, placed.line)
        self.files += 1
        self.bytes += placed.size
        if placed.is_linked:
            self.linked_files += 1
            self.linked_bytes += placed.size
        if placed.is_changed:
            self._changed += 1
            if self._changed <= SHOWN_CHANGES:
                self._journal.warn(f"{shown(path)} was written while it was read; it is kept as it was read")
        if self.files % PROGRESS_FILES == 0:
            self._journal.progress(self.bytes, None)

    def _note(self, entry: Entry) -> None:
        self._add(entry.path, PRESENT, entry.line())

    def _add(self, path: bytes, mark: bytes, line: bytes) -> None:
        try:
            self._sorter.add(path, mark, line)
        except OSError as error:
            raise self._copier.failed(error, path) from error

    def _check(self, path: bytes) -> None:
        if not is_safe(path) or path in RESERVED:
            raise ValueError(f"not a path of a stage: {path!r}")
        if len(path) > MAX_PATH_BYTES:
            raise SourceFailed(f"{shown(path)[:200]}...: a path of {len(path)} bytes; {MAX_PATH_BYTES} are possible")


class Writer:
    """The body of `Stage.stream`."""

    def __init__(self, copier: Copier, copy: int, path: bytes) -> None:
        self.digest = hashlib.sha256()
        self.size = 0
        self._copier, self._copy, self._path = copier, copy, path

    def write(self, data: bytes) -> None:
        """Raise DestinationFailed."""
        self.digest.update(data)
        self._copier.write(self._copy, data, self._path, len(data))
        self.size += len(data)
