"""`<root>/portal/told/<site>.lock`: the portal holds it, by flock, while it changes a site's files and database.

A copy of a site in the middle of its update would have the database of one version and the files of another. So a site
that is being updated is waited for, and one that is being read here is not updated meanwhile. The portal is less
trusted than we are: it can keep us waiting, for WAIT_S a site; it cannot keep us from a copy.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

POLL_S = 0.5
WAIT_S = 900.0  # an update of one site is a minute or two

HALF = "read while the portal was updating it: database and files may be of two versions"


@contextlib.contextmanager
def kept_off(path: Path | None, *, waiting: Callable[[str], None], wait_s: float = WAIT_S) -> Iterator[list[str]]:
    """Keep the portal from updating a site while the body runs; yield warnings.

    path     of the lock; None: nobody updates this site
    waiting  is told once that an update is being waited for
    """
    descriptor = None if path is None else _opened(path)
    if descriptor is None:
        yield []
        return
    try:
        yield [] if _taken(descriptor, waiting, wait_s) else [HALF]
    finally:
        os.close(descriptor)


def _opened(path: Path) -> int | None:
    """None: there is none, or it is no plain file, which nobody waits for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    return None


def _taken(descriptor: int, waiting: Callable[[str], None], wait_s: float) -> bool:
    give_up, was_told = time.monotonic() + wait_s, False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= give_up:
                return False
        if not was_told:
            waiting("waiting for the portal, which is updating this site")
            was_told = True
        time.sleep(min(POLL_S, max(give_up - time.monotonic(), 0.01)))
