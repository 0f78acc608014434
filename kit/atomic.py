"""Files and directories that are either wholly there or not there, also after a power cut.

Every function returns only when the kernel has confirmed that the result is on stable storage. An `OSError` means that
this was not confirmed: the name may then show the old state or the new one, never a mixture. After a failed fsync the
descriptor is closed and never fsynced again (fsync(2): the pages count as lost).

A crash may leave a `.NAME.XXXXXXXX.tmp` beside NAME; an error leaves nothing. All calls go through the attributes of
`os`, so that tests can make any one of them fail (docs/adr/0004).
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path


def write_durably(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Given a path in an existing directory, make it a file that holds exactly `data`, replacing what was there.

    mode    the file's permissions, whatever the umask
    raises  OSError, such as ENOSPC; what was at `path` before is then still there, unless it was the directory's own
            fsync that failed
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        _write_new(temporary, data, mode)
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    fsync_dir(path.parent)


def _write_new(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        os.fchmod(descriptor, mode)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def publish_dir(src: Path, dst: Path) -> None:
    """Given a complete directory whose files are fsynced, give it its final name by one rename.

    src     on the same file system as `dst`
    raises  OSError: ENOTEMPTY or EEXIST when `dst` is a directory with content, EXDEV across file systems
    """
    fsync_dir(src)
    os.rename(src, dst)
    fsync_dir(dst.parent)


def fsync_dir(path: Path) -> None:
    """Make the entries of a directory durable: names created, renamed or removed in it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
