"""The lock by which the backup and an update of one site exclude each other: `told/<site>.lock`, by flock.

    with await site_lock(settings.backup_dir, "garden", wait):     # None: the backup is reading this site just now
        ...                                                       # nobody copies it meanwhile

The kernel lets go of it when the portal dies. The backup's side is backup/sources/updating.py. The files stay: one that
were removed could be locked by two.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

MODE = 0o640
LOOK_S = 2.0


class Lock:
    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def close(self) -> None:
        """Let the backup read the site again. A second time does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


async def site_lock(
    directory: Path, site: str, *, within_s: float, wait: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> closing[Lock] | None:
    """Return the site's lock, held; None when the backup has read the site for all this time.

    directory   the backup's for the portal
    raises      OSError when its file cannot be made
    """
    path = directory / "told" / f"{site}.lock"
    waited_s = 0.0
    while (lock := await asyncio.to_thread(_tried, path)) is None:
        if waited_s >= within_s:
            return None
        await wait(LOOK_S)
        waited_s += LOOK_S
    return closing(lock)


def _tried(path: Path) -> Lock | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return Lock(descriptor)
