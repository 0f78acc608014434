"""Reading what another process left in a directory: plain files only, bounded, and never waiting for one.

The directory is shared with the backup's units, so nothing in it is trusted to be what its name says: a symlink is not
followed, a FIFO does not hold the reader, a file of any size costs no more memory than the caller allows.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path


class NotPlain(OSError):
    """The name is there and is no plain file, or the file is larger than what is read of it. The text says which."""


def read_plain(path: Path, *, limit: int) -> tuple[bytes, os.stat_result]:
    """Return a whole file, and what it was. Raise NotPlain, or OSError such as FileNotFoundError."""
    descriptor = open_plain(path)
    try:
        found = os.fstat(descriptor)
        if found.st_size > limit:
            raise NotPlain(f"it has {found.st_size} bytes; {limit} are read at most")
        data = read_part(descriptor, 0, limit + 1)
        if len(data) > limit:  # it grew meanwhile
            raise NotPlain(f"it has more than {limit} bytes")
        return data, found
    finally:
        os.close(descriptor)


def open_plain(path: Path) -> int:
    """Return a descriptor of a plain file. Raise NotPlain, or OSError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        if path.is_symlink():
            raise NotPlain("it is a symbolic link") from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotPlain("it is no plain file")
    return descriptor


def read_part(descriptor: int, offset: int, limit: int) -> bytes:
    """Return at most `limit` bytes from an offset on."""
    parts, rest = [], limit
    while rest > 0 and (part := os.pread(descriptor, rest, offset + limit - rest)):
        parts.append(part)
        rest -= len(part)
    return b"".join(parts)
