"""Files out of a point and into a directory, contained: nothing is read or written outside of the two roots.

Every name is walked part by part from an open directory with O_NOFOLLOW. A `..`, an absolute path, a link in place of a
directory, a device or a fifo stops the restore with RestoreRefused; so does a live tree in which somebody has put a
link where a directory was. Contents are hashed while they are copied and compared with the manifest.

Every file becomes a new inode: nothing is written through, so a hard link between two points or two live files changes
one of them only. Links are made as they were, never followed.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from backup.exit_codes import DestinationFailed, RestoreRefused, VerificationFailed
from backup.linux import syncfs
from backup.manifest import Entry

Item = TypeVar("Item")

CHUNK = 1 << 20
OPEN_DIRECTORIES = 64
AHEAD = 64  # files
READER = "read-ahead"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DESTINATION = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG}


def split(path: bytes) -> list[bytes]:
    """Given a path of a manifest, return its parts. Raise RestoreRefused for one that could lead anywhere else."""
    parts = path.split(b"/")
    if any(part in (b"", b".", b"..") or b"\0" in part for part in parts):
        raise RestoreRefused(f"{shown(path)} is no path below a point: it could lead out of it. Nothing was written")
    return parts


def shown(path: bytes) -> str:
    """For an error's text: on one line, whatever the name holds."""
    return repr(os.fsdecode(path))


class Below:
    """The directories below one root, opened without following a link. The root itself is the caller's word."""

    def __init__(self, root: Path) -> None:
        self.path = root
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._open: OrderedDict[bytes, int] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for descriptor in (*self._open.values(), self._root):
            os.close(descriptor)

    def parent(self, path: bytes, *, make: bool = False) -> tuple[int, bytes]:
        """Given a path below the root, return a descriptor of its directory, valid until the next call, and its name.

        make    make what is missing on the way, with owner and mode of the directory above
        raises  FileNotFoundError; RestoreRefused when something other than a directory stands on the way
        """
        head, _, name = path.rpartition(b"/")
        if name in (b"", b".", b"..") or b"\0" in name or path[:1] == b"/":
            split(path)
        return self._directory(head, make), name

    def lstat(self, path: bytes) -> os.stat_result | None:
        """Of what stands there now; None when there is nothing."""
        try:
            directory, name = self.parent(path)
            return os.lstat(name, dir_fd=directory)
        except FileNotFoundError:
            return None

    def make(self, path: bytes) -> None:
        """Make a directory, and those above it, unless it is there."""
        self._directory(path, make=True)

    def sha256(self, path: bytes) -> str:
        """Of a file. Raise FileNotFoundError, OSError."""
        directory, name = self.parent(path)
        with os.fdopen(os.open(name, _READ, dir_fd=directory), "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def names(self, path: bytes) -> list[tuple[bytes, os.stat_result]]:
        """What stands directly below a directory, by name; nothing when there is no such directory."""
        try:
            descriptor = self._directory(path, make=False)
        except FileNotFoundError:
            return []
        found = []
        for name in os.listdir(descriptor):  # noqa: PTH208 - of a descriptor
            with contextlib.suppress(FileNotFoundError):
                found.append((os.fsencode(name), os.lstat(name, dir_fd=descriptor)))
        return sorted(found)

    def walk(
        self, path: bytes = b"", leave_out: Callable[[bytes, bool], bool] = lambda _path, _is_directory: False
    ) -> Iterator[tuple[bytes, os.stat_result]]:
        """Everything below a directory, a directory before what is in it, none of the links followed.

        leave_out   given a path below the root, and whether it is a directory: not that, and nothing below it
        """
        waiting = [path]
        while waiting:
            directory = waiting.pop()
            for name, found in self.names(directory):
                below = directory + b"/" + name if directory else name
                is_directory = stat.S_ISDIR(found.st_mode)
                if leave_out(below, is_directory):
                    continue
                yield below, found
                if is_directory:
                    waiting.append(below)

    def sync(self) -> None:
        """Put the whole file system of the root on stable storage: one call where 100,000 fsyncs would take minutes."""
        syncfs(self._root)

    def _directory(self, path: bytes, make: bool) -> int:
        if not path:
            return self._root
        if (known := self._open.get(path)) is not None:
            self._open.move_to_end(path)
            return known
        head, _, name = path.rpartition(b"/")
        if name in (b"", b".", b"..") or b"\0" in name:
            split(path)
        above = self._directory(head, make)
        try:
            opened = os.open(name, _DIRECTORY, dir_fd=above)
        except FileNotFoundError:
            if not make:
                raise
            opened = _make_like_parent(above, name)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                raise RestoreRefused(
                    f"{shown(path)} in {self.path} is a link or a file where a directory belongs: the restore does not"
                    " go through it. Move it away, then restore again"
                ) from None
            raise
        self._open[path] = opened
        if len(self._open) > OPEN_DIRECTORIES:
            os.close(self._open.popitem(last=False)[1])
        return opened


def read_ahead(items: Iterable[Item], entry_of: Callable[[Item], Entry], source: Path) -> Iterator[Item]:
    """Yield the items as they come, while the kernel is asked for the content of the AHEAD files behind each.

    Read one after the other, small files leave the disk idle between two of them. It is a hint only: what fails here
    fails again when the file is read, and is told then.
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix=READER)
    with Below(source) as below:
        try:
            window: deque[Item] = deque()
            for item in items:
                window.append(item)
                pool.submit(_want, below, entry_of(item))
                if len(window) > AHEAD:
                    yield window.popleft()
            yield from window
        finally:  # an iteration that was left half-way is ended by whichever thread collects it; none waits for itself
            pool.shutdown(wait=not threading.current_thread().name.startswith(READER), cancel_futures=True)


def _want(below: Below, entry: Entry) -> None:
    if entry.type == "file":
        above, name = below.parent(entry.path)
        opened = os.open(name, _READ, dir_fd=above)
        try:
            os.posix_fadvise(opened, 0, 0, os.POSIX_FADV_WILLNEED)
        finally:
            os.close(opened)


class Copier:
    """Copies entries of one manifest out of one tree, and counts.

    take_damaged  a file that is not what its manifest says is copied all the same, and named in `damaged`
    """

    def __init__(self, source: Below, *, take_damaged: bool = False) -> None:
        self.source = source
        self.take_damaged = take_damaged
        self.damaged: list[str] = []
        self.files = 0
        self.bytes = 0
        self._may_give_away = os.geteuid() == 0

    def file(self, entry: Entry, directory: int, name: bytes) -> None:
        """Make a new file in an open directory: content, mode, owner and mtime of the entry.

        raises  VerificationFailed when the content is another; RestoreRefused for what is no file; FileExistsError;
                DestinationFailed. No part of the file stays behind
        """
        opened = self._open(entry)
        try:
            target = os.open(name, _WRITE_NEW, 0o600, dir_fd=directory)
            try:
                found = _copy_content(opened, target, entry.size)
                if found != entry.sha256:
                    self._differs(entry, found)
                self._owner_and_mode(target, entry)
                os.utime(target, ns=(entry.mtime_ns, entry.mtime_ns))
            except BaseException:
                os.unlink(name, dir_fd=directory)
                raise
            finally:
                os.close(target)
        except OSError as error:
            _raise_of_destination(error, f"from {self.source.path}")
            raise
        finally:
            os.close(opened)
        self.files += 1
        self.bytes += entry.size

    @contextlib.contextmanager
    def checked(self, entry: Entry) -> Iterator[int]:
        """Open a file that has been read whole and found to be what its manifest says. Raise as `file` does."""
        opened = self._open(entry)
        try:
            with os.fdopen(os.dup(opened), "rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != entry.sha256:
                self._differs(entry, found)
            os.lseek(opened, 0, os.SEEK_SET)
            yield opened
        finally:
            os.close(opened)

    def link(self, entry: Entry, directory: int, name: bytes) -> None:
        """Make the same link, wherever it points. Raise VerificationFailed when the point's link is another."""
        try:
            above, last = self.source.parent(entry.path)
            found = os.readlink(last, dir_fd=above)
        except FileNotFoundError:
            raise VerificationFailed(f"{shown(entry.path)} is in the manifest and not in the point") from None
        except OSError as error:
            raise RestoreRefused(f"{shown(entry.path)} is no link, as the manifest says: {error.strerror}") from None
        if found != entry.target:
            self._differs(entry, shown(found))
        with destination(self.source.path):
            os.symlink(found, name, dir_fd=directory)
            if self._may_give_away:
                os.chown(name, entry.uid, entry.gid, dir_fd=directory, follow_symlinks=False)
            os.utime(name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=directory, follow_symlinks=False)
        self.files += 1

    def directory(self, entry: Entry, target: Below, path: bytes) -> None:
        """Give a directory that is there the owner, mode and mtime of its entry."""
        above, name = target.parent(path)
        opened = os.open(name, _DIRECTORY, dir_fd=above)
        try:
            self._owner_and_mode(opened, entry)
            os.utime(opened, ns=(entry.mtime_ns, entry.mtime_ns))
        finally:
            os.close(opened)

    def _open(self, entry: Entry) -> int:
        try:
            above, name = self.source.parent(entry.path)
            opened = os.open(name, _READ, dir_fd=above)
        except FileNotFoundError:
            raise VerificationFailed(f"{shown(entry.path)} is in the manifest and not in the point") from None
        except OSError as error:
            raise RestoreRefused(f"{shown(entry.path)} is no file, as the manifest says: {error.strerror}") from None
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            os.close(opened)
            raise RestoreRefused(f"{shown(entry.path)} is no file, as the manifest says")
        return opened

    def _differs(self, entry: Entry, found: str) -> None:
        expected = entry.sha256 or shown(entry.target or b"")
        text = f"{shown(entry.path)} is damaged: the manifest says {expected}, found {found}"
        if not self.take_damaged:
            raise VerificationFailed(
                f"{text}. No live data was touched. Take another point or origin, or allow unverified data"
            )
        self.damaged.append(os.fsdecode(entry.path))

    def _owner_and_mode(self, descriptor: int, entry: Entry) -> None:
        if self._may_give_away:
            os.fchown(descriptor, entry.uid, entry.gid)
        os.fchmod(descriptor, entry.mode)  # after the owner: a change of owner takes the set-id bits away


@contextlib.contextmanager
def destination(path: Path) -> Iterator[None]:
    """Turn a full, read-only or broken disk into DestinationFailed."""
    try:
        yield
    except OSError as error:
        _raise_of_destination(error, f"into {path}")
        raise


def _raise_of_destination(error: OSError, where: str) -> None:
    if error.errno in _DESTINATION:
        raise DestinationFailed(f"{error.strerror}, while restoring {where}. No live data was touched") from error


def _make_like_parent(above: int, name: bytes) -> int:
    os.mkdir(name, 0o700, dir_fd=above)
    opened = os.open(name, _DIRECTORY, dir_fd=above)
    like = os.fstat(above)
    if os.geteuid() == 0:
        os.fchown(opened, like.st_uid, like.st_gid)
    os.fchmod(opened, stat.S_IMODE(like.st_mode) | stat.S_IRWXU)
    return opened


def _copy_content(source: int, target: int, size: int) -> str:
    """Copy, and return the SHA-256. No more than one byte beyond the size that is expected: that tells it apart."""
    digest = hashlib.sha256()
    left = size + 1
    while left:
        data = os.read(source, min(left, CHUNK))
        if not data:
            break
        digest.update(data)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(target, rest) :]
        left -= len(data)
    return digest.hexdigest()
