"""A walk over a live tree, in the order of the manifest, through descriptors.

A directory's children stand in the manifest after those of its siblings whose names sort before `name/`, such as
`name.txt`: hence a directory is met twice, as `name`, which is told, and as `name/`, which is entered. In that order
the previous manifest can be read along with the walk, from its beginning to its end.

What is named by the listing and then gone, or then something else, is told as vanished; what comes after the listing
of its directory is the next run's.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Generator
from typing import NamedTuple

from backup.copier import OtherType, shown, unreadable
from backup.exit_codes import SourceFailed

ENTERED = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Found(NamedTuple):
    """
    path          below the top, "/" between parts; the top itself is b""
    name, dir_fd  for opening it, until the next step of the walk
    stat          of lstat; None: it has vanished
    """

    path: bytes
    name: bytes
    dir_fd: int
    stat: os.stat_result | None


def walk(top: bytes, skip: Callable[[bytes, bool], bool]) -> Generator[Found]:
    """Yield a directory and all below it. Close it when it is not used up: it holds a descriptor for each level.

    skip    told a path and whether it is a directory; True leaves it out, with all below
    raises  FileNotFoundError when there is no `top`; SourceFailed when something cannot be read
    """
    try:
        descriptor = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise SourceFailed(f"{shown(top)} cannot be read: {error.strerror}") from error
    entered = [descriptor]
    try:
        yield Found(b"", b".", descriptor, os.fstat(descriptor))
        levels = [(b"", iter(_names(descriptor, top, b"", skip)))]
        told: set[bytes] = set()  # directories that will be entered: what was told as a link stays one
        while levels:
            below, names = levels[-1]
            for name in names:
                if not name.endswith(b"/"):
                    found = _lstat(name, entered[-1], top, below)
                    if found is not None and stat.S_ISDIR(found.st_mode):
                        told.add(below + name)
                    yield Found(below + name, name, entered[-1], found)
                    continue
                is_told = below + name[:-1] in told
                told.discard(below + name[:-1])
                deeper = _enter(name, entered[-1], top, below) if is_told else None
                if deeper is None:
                    yield Found(below + name[:-1], name, entered[-1], None)
                    continue
                entered.append(deeper)
                levels.append((below + name, iter(_names(deeper, top, below + name, skip))))
                break
            else:
                levels.pop()
                os.close(entered.pop())
    finally:
        for descriptor in entered:
            os.close(descriptor)


def _names(directory: int, top: bytes, below: bytes, skip: Callable[[bytes, bool], bool]) -> list[bytes]:
    names: list[bytes] = []
    try:
        with os.scandir(directory) as listing:
            for each in listing:
                name, is_dir = os.fsencode(each.name), each.is_dir(follow_symlinks=False)
                if not skip(below + name, is_dir):
                    names.extend((name, name + b"/") if is_dir else (name,))
    except OSError as error:
        raise SourceFailed(f"{shown(top + b'/' + below)} cannot be read: {error.strerror}") from error
    names.sort()
    return names


def _lstat(name: bytes, directory: int, top: bytes, below: bytes) -> os.stat_result | None:
    try:
        return os.lstat(name, dir_fd=directory)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(error, b"%b/%b%b" % (top, below, name)) from error


def _enter(name: bytes, directory: int, top: bytes, below: bytes) -> int | None:
    try:
        return os.open(name[:-1], ENTERED, dir_fd=directory)
    except OSError as error:
        problem = unreadable(error, b"%b/%b%b" % (top, below, name))
        if error.errno == errno.ENOENT or isinstance(problem, OtherType):
            return None
        raise problem from error
