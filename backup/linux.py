"""Two system calls that Python has no name for, and what they promise."""

from __future__ import annotations

import ctypes
import os

_LIBC = ctypes.CDLL(None, use_errno=True)
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # linux/fs.h


def syncfs(descriptor: int) -> None:
    """Wait until all of the file system that holds `descriptor` is on stable storage: data, names, inodes. syncfs(2).

    raises  OSError: EIO, ENOSPC, EDQUOT when a write since the opening of `descriptor` was lost (Linux 5.8 on)
    """
    if _LIBC.syncfs(descriptor) != 0:
        raise _error()


def exchange(one: bytes, other: bytes) -> None:
    """Swap two names by one step, as rename does. renameat2(2).

    raises  OSError: ENOENT; EINVAL when the file system cannot
    """
    if _LIBC.renameat2(_AT_FDCWD, one, _AT_FDCWD, other, _RENAME_EXCHANGE) != 0:
        raise _error(other)


def _error(path: bytes | None = None) -> OSError:
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code), path)
