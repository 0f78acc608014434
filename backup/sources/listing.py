"""Directories that are walked by descriptors, without following a link, and each read in one system call.

readdir(3) asks the kernel for some 32 KiB at a time, and a file that is renamed between two of its questions may be in
none of the answers: with 5,000 files and one thread that renames them, 196 of 200 listings lacked at least one. Linux
holds a directory's lock for the whole of one getdents64(2), so that one call with a buffer that takes everything sees
the directory as it is at one moment: 0 of 200. (Network file systems promise nothing.)
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from backup.exit_codes import SourceFailed
from backup.layout import RESTORING
from backup.sources.source import Estimate

if TYPE_CHECKING:
    from backup.manifest import Entry
    from backup.stage import Stage

FIRST_BYTES = 64 * 1024  # some 800 mails
MOST_BYTES = 256 * 1024**2  # about three million; what is more is read in pieces of this

_HEADER = struct.Struct("=QqHB")  # of linux_dirent64: inode, offset, length of the record, type
_DIRECTORY, _REGULAR, _LINK, _UNKNOWN = 4, 8, 10, 0
_RESTORING = os.fsencode(RESTORING)
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Name:
    """One entry. Sockets, pipes and devices are neither of the three."""

    name: bytes
    is_dir: bool
    is_file: bool
    is_link: bool


def list_at_once(directory: int) -> list[Name]:
    """Given a descriptor of a directory, return what is in it at one moment, in no order. Raise OSError."""
    size = FIRST_BYTES
    while True:
        os.lseek(directory, 0, os.SEEK_SET)
        first = _read(directory, size)
        rest = _read(directory, FIRST_BYTES)
        if not rest or size >= MOST_BYTES:
            break
        size *= 8
    found = list(_names(directory, first))
    while rest:
        found += _names(directory, rest)
        rest = _read(directory, size)
    return found


@dataclass(frozen=True, slots=True)
class Directory:
    """One that is open. It stays the same one whatever is renamed or put in its place.

    source   its path, for people
    path     where it goes in the stage
    """

    descriptor: int
    source: bytes
    path: bytes

    def names(self) -> list[Name]:
        """What is in it at one moment, without what a restore is staging there. Raise SourceFailed."""
        try:
            return [name for name in list_at_once(self.descriptor) if not name.name.startswith(_RESTORING)]
        except OSError as error:
            raise SourceFailed(f"{shown(self.source)}: {error.strerror}") from error

    @contextlib.contextmanager
    def below(self, name: bytes) -> Iterator[Directory | None]:
        """Open a directory in it; None when it has vanished. Raise SourceFailed, also when it is a link by now."""
        source = join(self.source, name)
        try:
            descriptor = _open(name, self.descriptor)
        except FileNotFoundError:
            yield None
            return
        except OSError as error:
            raise SourceFailed(
                f"{shown(source)} is not, or no longer, a readable directory: {error.strerror}"
            ) from error
        try:
            yield Directory(descriptor, source, join(self.path, name))
        finally:
            os.close(descriptor)

    def copy_file(self, stage: Stage, name: bytes) -> Entry:
        """Raise FileNotFoundError when it has vanished, SourceFailed, DestinationFailed."""
        with self._named():
            return stage.copy_file(self._within(name), join(self.path, name))

    def copy_link(self, stage: Stage, name: bytes) -> Entry:
        with self._named():
            return stage.copy_link(self._within(name), join(self.path, name))

    def make(self, stage: Stage) -> None:
        stage.make_dir(self.path, os.fstat(self.descriptor))

    def _within(self, name: bytes) -> bytes:
        return b"/proc/self/fd/%d/%s" % (self.descriptor, name)

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except SourceFailed as error:
            raise SourceFailed(str(error).replace(f"/proc/self/fd/{self.descriptor}", shown(self.source))) from error


@contextlib.contextmanager
def opened(top: Path, path: bytes) -> Iterator[Directory]:
    """Open the directory that an operator has named, so its own name may be a link. Raise SourceFailed."""
    try:
        descriptor = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise SourceFailed(f"{top}: {error.strerror}") from error
    try:
        yield Directory(descriptor, os.fsencode(top), path)
    finally:
        os.close(descriptor)


def measure(top: Path, skip: Callable[[bytes, bool], bool] = lambda _path, _is_dir: False) -> Estimate:
    """How much lies below a directory, directories among the files: each takes an inode. Raise SourceFailed.

    skip    as for Stage.copy_tree
    """
    total = files = 0
    waiting = [b""]
    while waiting:
        at = waiting.pop()
        try:
            with os.scandir(join(os.fsencode(top), at)) as entries:
                for entry in entries:
                    path = join(at, entry.name) if at else entry.name
                    is_dir = entry.is_dir(follow_symlinks=False)
                    if skip(path, is_dir):
                        continue
                    files += 1
                    if is_dir:
                        waiting.append(path)
                    else:
                        with contextlib.suppress(FileNotFoundError):
                            total += entry.stat(follow_symlinks=False).st_size
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR) and at:
                continue
            raise SourceFailed(f"{shown(join(os.fsencode(top), at).rstrip(b'/'))}: {error.strerror}") from error
    return Estimate(total, files)


def join(parent: bytes, name: bytes) -> bytes:
    return b"%s/%s" % (parent, name)


def shown(path: bytes) -> str:
    """For a message: what is not UTF-8 or not printable is escaped."""
    text = path.decode("utf-8", "backslashreplace")
    return text if text.isprintable() else ascii(text)[1:-1]


def _open(name: bytes, parent: int) -> int:
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)


def _read(directory: int, size: int) -> bytes:
    buffer = ctypes.create_string_buffer(size)
    while (read := _LIBC.getdents64(directory, buffer, ctypes.c_size_t(size))) < 0:
        number = ctypes.get_errno()
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))
    return ctypes.string_at(buffer, read)


def _names(directory: int, records: bytes) -> Iterator[Name]:
    at = 0
    while at < len(records):
        _, _, length, kind = _HEADER.unpack_from(records, at)
        name = records[at + _HEADER.size : at + length].split(b"\0", 1)[0]
        at += length
        if name in (b".", b".."):
            continue
        if kind == _UNKNOWN:  # a file system that does not say
            try:
                mode = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
            except FileNotFoundError:
                continue
            kind = mode >> 12
        yield Name(name, kind == _DIRECTORY, kind == _REGULAR, kind == _LINK)
