"""Directories by descriptor: nothing here follows a link, so whoever owns a tree cannot lead out of it.

Descriptors of directories are called `place`; names are single parts of a path.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO

from failures import Failure

MAX_DEPTH = 64
MAX_ENTRIES = 2_000_000
DIRECTORY_MODE, FILE_MODE = 0o755, 0o644
_PIECE = 1024 * 1024
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a FIFO would keep an open waiting
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(slots=True)
class Count:
    """Of a tree."""

    files: int = 0
    bytes: int = 0
    directories: int = 0  # as far as they are counted: those that an archive makes

    def entry(self) -> None:
        self.files += 1
        if self.files > MAX_ENTRIES:
            raise Failure("unsafe", f"more than {MAX_ENTRIES} files")

    def directory(self) -> None:
        self.directories += 1
        if self.directories > MAX_ENTRIES:
            raise Failure("unsafe", f"more than {MAX_ENTRIES} directories")


@contextlib.contextmanager
def directory(name: str, place: int | None = None) -> Iterator[int]:
    """Open a directory that must be one. Raise Failure where there is none, or something else."""
    try:
        opened = os.open(name, _DIRECTORY, dir_fd=place)
    except FileNotFoundError:
        raise Failure("missing", f"there is no {name}") from None
    except OSError as error:
        raise Failure("unsafe", f"{name} is not a directory") from error
    try:
        yield opened
    finally:
        os.close(opened)


@contextlib.contextmanager
def new_directory(name: str, place: int, *, mode: int = 0o700) -> Iterator[int]:
    os.mkdir(name, mode, dir_fd=place)
    with directory(name, place) as opened:
        yield opened


def names(place: int) -> list[str]:
    with os.scandir(place) as entries:
        return sorted(entry.name for entry in entries)


def kind(name: str, place: int) -> int:
    """The type bits of an entry, stat(2): S_IFDIR and the like; 0 where there is none."""
    try:
        return stat.S_IFMT(os.stat(name, dir_fd=place, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return 0


def remove(name: str, place: int) -> None:
    """Remove a file or a whole tree; nothing happens where there is none."""
    found = kind(name, place)
    if found == stat.S_IFDIR:
        shutil.rmtree(name, dir_fd=place)
    elif found:
        os.unlink(name, dir_fd=place)


@contextlib.contextmanager
def gone_on_failure(name: str, place: int) -> Iterator[None]:
    """Whatever goes wrong inside, what was made under this name does not stay: on a full disk least of all."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError, RecursionError):
            remove(name, place)
        raise


def write(name: str, place: int, content: bytes, *, mode: int, uid: int, gid: int) -> None:
    """Write a file in the place of whatever is there, durably; at once, unless that is a directory."""
    temporary = f".{name}.{os.urandom(6).hex()}"
    opened = os.open(temporary, _NEW, 0o600, dir_fd=place)
    try:
        with os.fdopen(opened, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fchown(file.fileno(), uid, gid)
            os.fsync(file.fileno())
        if kind(name, place) == stat.S_IFDIR:  # put there by a site that would keep its old secrets
            remove(name, place)
        os.rename(temporary, name, src_dir_fd=place, dst_dir_fd=place)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=place)
        raise
    os.fsync(place)


def read(name: str, place: int, limit: int) -> bytes | None:
    """A regular file's first bytes; None where there is none."""
    try:
        opened = os.open(name, _FILE, dir_fd=place)
    except OSError:
        return None
    with os.fdopen(opened, "rb") as file:
        return file.read(limit) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else None


def pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        yield piece


def new_file(name: str, place: int, content: Iterator[bytes], *, uid: int, mode: int = FILE_MODE) -> int:
    """Write a file that is not there yet, not durably; return its size."""
    size = 0
    with os.fdopen(os.open(name, _NEW, 0o600, dir_fd=place), "wb", buffering=0) as file:
        for piece in content:
            left = memoryview(piece)
            while left:
                left = left[file.write(left) :]
            size += len(piece)
        os.fchown(file.fileno(), uid, uid)
        os.fchmod(file.fileno(), mode)
    return size


def give(place: int, uid: int, gid: int, mode: int) -> None:
    """Give a directory its owner and mode.

    The mode comes first: whoever is not in a directory's group cannot set its setgid bit, and changing the owner of a
    directory does not take it away (chown(2), chmod(2)).
    """
    os.fchmod(place, mode)
    os.fchown(place, uid, gid)


def copy(
    source: int, target: int, *, uid: int, is_allowed: Callable[[os.stat_result], bool], count: Count, depth: int = 0
) -> None:
    """Copy what a directory holds into an empty one, for uid. Links are copied as links and never followed; what is
    neither file nor directory nor link is left out.

    is_allowed   given what fstat(2) says of a file that was opened; one that is not allowed is Failure
    """
    if depth > MAX_DEPTH:
        raise Failure("unsafe", f"directories lie more than {MAX_DEPTH} deep")
    for name in names(source):
        found = kind(name, source)
        if found == stat.S_IFDIR:
            with directory(name, source) as inner, new_directory(name, target) as made:
                copy(inner, made, uid=uid, is_allowed=is_allowed, count=count, depth=depth + 1)
                give(made, uid, uid, DIRECTORY_MODE)
        elif found == stat.S_IFREG:
            count.entry()
            count.bytes += copy_file(name, source, name, target, uid=uid, is_allowed=is_allowed)
        elif found == stat.S_IFLNK:
            count.entry()
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
            os.chown(name, uid, uid, dir_fd=target, follow_symlinks=False)


def copy_file(
    name: str, source: int, new_name: str, target: int, *, uid: int, is_allowed: Callable[[os.stat_result], bool]
) -> int:
    try:
        opened = os.open(name, _FILE, dir_fd=source)
    except OSError as error:
        raise Failure("unsafe", "a file changed while it was copied") from error
    with os.fdopen(opened, "rb", buffering=0) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or not is_allowed(status):
            raise Failure("unsafe", "a file belongs to somebody else")
        return new_file(new_name, target, pieces(file), uid=uid)


def measure(place: int, count: Count, depth: int = 0) -> bool:
    """Add up files and the bytes they say they have. Return False when there is more than is counted.

    The site is at work meanwhile: what is gone since it was listed is not counted.
    """
    if depth > MAX_DEPTH:
        return False
    is_whole = True
    for name in names(place):
        if count.files >= MAX_ENTRIES:
            return False
        try:
            status = os.stat(name, dir_fd=place, follow_symlinks=False)
        except FileNotFoundError:
            continue
        if stat.S_ISDIR(status.st_mode):
            with contextlib.suppress(Failure), directory(name, place) as inner:
                is_whole &= measure(inner, count, depth + 1)
        elif stat.S_ISREG(status.st_mode):
            count.entry()
            count.bytes += status.st_size
    return is_whole
