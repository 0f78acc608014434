"""One regular file from a source into the stage: by a link to the previous point, or copied and hashed while read.

same source   the previous point has this path with the same dev, ino, size, mode, owner, mtime_ns and ctime_ns: the
              source is not read, the manifest's line is taken as it is
same content  the source was read, and a file of the previous point has its hash, size, mode, owner and mtime (they
              live in the inode): a renamed or moved mail, a file that was only opened

A link is made only when the other point's file still has the size, mode, owner and time that its manifest says, and
when the file system allows it; else the file is copied. Owners are applied when the process may, modes without setuid
bits and always with the owner's read bit: the manifest has what the source had.

A source file that is written while it is read is kept as it was read, up to the size it had at its opening.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from backup.exit_codes import DestinationFailed, SourceFailed
from backup.layout import MANIFEST, SIGNATURE, STATE
from backup.manifest import CHUNK_BYTES, READ_ONLY, Entry, file_line, parse
from backup.previous import Previous

SMALL_BYTES = 1 << 20  # up to here the hash is known before anything is written
YOUNG_NS = 100_000_000  # the kernel stamps ctime by a tick of up to 10 ms: a younger file may change and look the same
LINKING = b".linking"  # at the root: the name of a link that is about to take the place of a copy
RESERVED = frozenset({LINKING, *(name.encode() for name in (MANIFEST, SIGNATURE, STATE))})
NO_LINK = frozenset({errno.EMLINK, errno.EXDEV, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EOPNOTSUPP})
NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
OTHER_TYPE = frozenset({errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENXIO, errno.EINVAL})


class Placed(NamedTuple):
    """
    line        of the manifest
    size        bytes that were read
    is_linked   nothing was written
    is_changed  the source was written while it was read
    """

    line: bytes
    size: int
    is_linked: bool
    is_changed: bool = False


class OtherType(Exception):
    """A source is no longer what the listing said it was."""


@dataclass(slots=True)
class Copier:
    """
    root        of the stage; fd: its descriptor, to which all paths are relative
    young_ns    ctime from which on a source may be written again without a sign
    owner       of what this process writes
    gives_away  whether it may change owners: root, until it turns out that it may not
    """

    root: bytes
    fd: int
    young_ns: int
    previous: Previous | None
    owner: tuple[int, int] = field(default_factory=lambda: (os.geteuid(), os.getegid()))
    gives_away: bool = field(default_factory=lambda: os.geteuid() == 0)

    def place(self, name: bytes, dir_fd: int | None, found: os.stat_result, path: bytes) -> Placed:
        """Given a source file, its stat and its path in the stage, whose directory exists, link or copy it.

        raises  FileNotFoundError when the source has vanished; OtherType; SourceFailed, DestinationFailed
        """
        line = self._unchanged(path, found)
        return Placed(line, found.st_size, is_linked=True) if line is not None else self._copy(name, dir_fd, path)

    # -- links --------------------------------------------------------------------------------------------------------

    def _unchanged(self, path: bytes, found: os.stat_result) -> bytes | None:
        """Link the previous point's file of this path if its source is the same; return its line."""
        if self.previous is None or (line := self.previous.line(path)) is None:
            return None
        head, tail = file_line(path, found.st_size, found, found.st_ctime_ns)
        if len(line) != len(head) + 64 + len(tail) or not (line.startswith(head) and line.endswith(tail)):
            return None
        return line if self._link(path, path, found.st_size, found) else None

    def _link(self, candidate: bytes, path: bytes, size: int, wanted: os.stat_result) -> bool:
        """Link a file of the previous point to `path`, unless it is not what its manifest says, or cannot be linked."""
        assert self.previous is not None
        try:
            there = os.lstat(candidate, dir_fd=self.previous.fd)
            if (
                there.st_size != size
                or there.st_mode != stat.S_IFREG | applied(wanted.st_mode)
                or there.st_mtime_ns // 1_000_000_000 != wanted.st_mtime_ns // 1_000_000_000  # some disks know seconds
                or (self.gives_away and (there.st_uid, there.st_gid) != (wanted.st_uid, wanted.st_gid))
            ):
                return False
            os.link(candidate, path, src_dir_fd=self.previous.fd, dst_dir_fd=self.fd, follow_symlinks=False)
        except FileExistsError:
            raise taken(path) from None
        except OSError as error:
            if error.errno in NO_LINK:
                return False
            raise self.failed(error, path) from error
        return True

    def _replace(self, same: bytes, path: bytes, size: int, wanted: os.stat_result) -> bool:
        """Put a link to `same` in the place of the copy that is at `path`, if it can be linked."""
        if not self._link(same, LINKING, size, wanted):
            return False
        try:
            os.rename(LINKING, path, src_dir_fd=self.fd, dst_dir_fd=self.fd)
        except OSError as error:
            raise self.failed(error, path) from error
        return True

    # -- copies -------------------------------------------------------------------------------------------------------

    def _copy(self, name: bytes, dir_fd: int | None, path: bytes) -> Placed:
        try:
            descriptor = os.open(name, READ_ONLY, dir_fd=dir_fd)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise unreadable(error, path) from error
        try:
            before = os.fstat(descriptor)
            if not stat.S_ISREG(before.st_mode):
                raise OtherType
            placed = (self._copy_small if before.st_size <= SMALL_BYTES else self._copy_large)(
                *(descriptor, before, path)
            )
            after = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        return placed._replace(is_changed=placed.size != before.st_size or _version(before) != _version(after))

    def _copy_small(self, descriptor: int, before: os.stat_result, path: bytes) -> Placed:
        data = _read(descriptor, before.st_size, path)
        while len(data) < before.st_size and (more := _read(descriptor, before.st_size - len(data), path)):
            data += more
        line = self._line(path, len(data), before, hashlib.sha256(data).hexdigest())
        same = self.previous.same_file(line) if self.previous is not None else None
        if same is not None and self._link(same, path, len(data), before):
            return Placed(line, len(data), is_linked=True)
        with self.created(path) as copy:
            self.write(copy, data, path, len(data))
            self._stamp(copy, path, before)
        return Placed(line, len(data), is_linked=False)

    def _copy_large(self, descriptor: int, before: os.stat_result, path: bytes) -> Placed:
        digest, size = hashlib.sha256(), 0
        with self.created(path) as copy:
            while data := _read(descriptor, min(before.st_size - size, CHUNK_BYTES), path):
                digest.update(data)
                self.write(copy, data, path, before.st_size - size)
                size += len(data)
            line = self._line(path, size, before, digest.hexdigest())
            same = self.previous.same_file(line) if self.previous is not None else None
            if same is not None and self._replace(same, path, size, before):
                return Placed(line, size, is_linked=True)
            self._stamp(copy, path, before)
        return Placed(line, size, is_linked=False)

    def finish_stream(self, copy: int, path: bytes, size: int, sha256: str, mode: int) -> Placed:
        """Given an open file that was written piece by piece, link the previous point's if it has the same bytes."""
        line = self.previous.line(path) if self.previous is not None else None
        there = parse(line) if line is not None else None
        if there is not None and (there.sha256, there.size, there.mode) == (sha256, size, mode):
            mtime_ns = self._replace_stream(there)
            if mtime_ns is not None:
                return Placed(self._streamed(path, size, sha256, mode, mtime_ns), size, is_linked=True)
        try:
            os.fchmod(copy, applied(mode))
            mtime_ns = os.fstat(copy).st_mtime_ns
        except OSError as error:
            raise self.failed(error, path) from error
        return Placed(self._streamed(path, size, sha256, mode, mtime_ns), size, is_linked=False)

    def _replace_stream(self, there: Entry) -> int | None:
        """Put the previous point's file in the place of the same stream; return its time."""
        assert self.previous is not None
        try:
            found = os.lstat(there.path, dir_fd=self.previous.fd)
        except OSError:
            return None
        is_ours = (found.st_uid, found.st_gid) == (there.uid, there.gid) == self.owner
        is_same = is_ours and found.st_mtime_ns // 1_000_000_000 == there.mtime_ns // 1_000_000_000
        return there.mtime_ns if is_same and self._replace(there.path, there.path, there.size, found) else None

    def _streamed(self, path: bytes, size: int, sha256: str, mode: int, mtime_ns: int) -> bytes:
        return Entry(path, "file", size, mode, *self.owner, mtime_ns, sha256).line()

    def _line(self, path: bytes, size: int, before: os.stat_result, sha256: str) -> bytes:
        head, tail = file_line(path, size, before, before.st_ctime_ns if before.st_ctime_ns < self.young_ns else 0)
        return b"%b%b%b" % (head, sha256.encode(), tail)

    @contextlib.contextmanager
    def created(self, path: bytes) -> Iterator[int]:
        """A new file, open for writing; after an error nothing of it stays."""
        try:
            copy = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=self.fd)
        except FileExistsError:
            raise taken(path) from None
        except OSError as error:
            raise self.failed(error, path) from error
        try:
            yield copy
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(path, dir_fd=self.fd)
            raise
        finally:
            os.close(copy)

    def write(self, copy: int, data: bytes, path: bytes, wanted: int) -> None:
        """`wanted`: bytes of this file that are still to be written, for the error."""
        rest = memoryview(data)
        try:
            while rest:
                done = os.write(copy, rest)
                rest = rest[done:]
                wanted -= done
        except OSError as error:
            raise self.failed(error, path, wanted) from error

    def _stamp(self, copy: int, path: bytes, like: os.stat_result) -> None:
        """Give a copy the owner, mode and time of its source."""
        try:
            self.give(like, path, copy)
            os.fchmod(copy, applied(like.st_mode))
            os.utime(copy, ns=(like.st_mtime_ns, like.st_mtime_ns))
        except OSError as error:
            raise self.failed(error, path) from error

    def give(self, like: os.stat_result, path: bytes, copy: int | None = None) -> None:
        """Apply the owner, if the process may."""
        if not self.gives_away or (like.st_uid, like.st_gid) == self.owner:
            return
        try:
            if copy is not None:
                os.fchown(copy, like.st_uid, like.st_gid)
            else:
                os.chown(path, like.st_uid, like.st_gid, dir_fd=self.fd, follow_symlinks=False)
        except PermissionError:  # root without CAP_CHOWN: the manifest has the owner all the same
            self.gives_away = False

    def failed(self, error: OSError, path: bytes, wanted: int = 0) -> DestinationFailed:
        """Given what the stage's disk said, return the error of the run; it says how many bytes are missing."""
        missing = ""
        if error.errno in NO_SPACE:
            with contextlib.suppress(OSError):
                free = os.fstatvfs(self.fd)
                missing = f"; at least {max(wanted - free.f_bavail * free.f_frsize, 1)} bytes are missing"
        return DestinationFailed(f"{shown(self.root)}/{shown(path)}: {error.strerror}{missing}")


def applied(mode: int) -> int:
    """The mode that a file gets in the point."""
    return mode & 0o777 | stat.S_IRUSR


def shown(path: bytes) -> str:
    """A path for people: escapes for line ends, control characters and bytes that are not UTF-8."""
    text = path.decode("utf-8", "surrogateescape")
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def taken(path: bytes) -> SourceFailed:
    return SourceFailed(f"{shown(path)} is in the point already: two sources, or two paths of one, overlap")


def unreadable(error: OSError, path: bytes) -> SourceFailed | OtherType:
    """Given what the source's disk said, return what to raise."""
    if error.errno in OTHER_TYPE:
        return OtherType()
    return SourceFailed(f"{shown(path)} cannot be read: {error.strerror}")


def _read(descriptor: int, size: int, path: bytes) -> bytes:
    try:
        return os.read(descriptor, size) if size > 0 else b""
    except OSError as error:
        raise unreadable(error, path) from error


def _version(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns
