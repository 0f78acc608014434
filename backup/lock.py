"""Locks of the backup root, by flock on files of `<root>/locks/`: the kernel releases them when their holder dies.

points       stage, seal and retention of the local trees: exclusive
repository   vault sync, restic backup and readers: shared; prune, forget, unlock: exclusive
vault        one sync at a time
site-<name>  backup and update of one site exclude each other

Whoever comes later waits, and is not skipped. A lock file says who holds it, for people to read; nothing is decided by
that text. Order for whoever takes several: points, site, vault, repository.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from backup.exit_codes import DestinationFailed, LockBusy

POLL_S = 0.2


@contextlib.contextmanager
def hold(
    directory: Path,
    name: str,
    *,
    who: str,
    shared: bool = False,
    wait_s: float,
    waiting: Callable[[str], None] = lambda _: None,
) -> Iterator[None]:
    """Hold a lock while the body runs.

    who      what the holder does, such as "daily/2026-11-22"; shown to those who wait
    wait_s   after which LockBusy is raised, which names the holder
    waiting  is told once who is being waited for
    """
    path = directory / f"{name}.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DestinationFailed(f"the lock {path} cannot be opened: {error.strerror}") from error
    try:
        _take(descriptor, name, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, wait_s, waiting)
        if not shared:
            _sign(descriptor, who)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, name: str, kind: int, wait_s: float, waiting: Callable[[str], None]) -> None:
    give_up = time.monotonic() + wait_s
    told = False
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            holder = _holder(descriptor)
            if time.monotonic() >= give_up:
                raise LockBusy(f"the lock {name!r} is held by {holder}; waited {wait_s:.0f} s for it") from None
            if not told:
                waiting(f"waiting for the lock {name!r}, held by {holder}")
                told = True
            time.sleep(min(POLL_S, max(wait_s, 0.01)))


def _sign(descriptor: int, who: str) -> None:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps({"who": who, "pid": os.getpid(), "since": since}).encode(), 0)


def _holder(descriptor: int) -> str:
    try:
        held = json.loads(os.pread(descriptor, 4096, 0))
        return f"{held['who']} (process {held['pid']}, since {held['since']})"
    except (ValueError, KeyError, TypeError, OSError):
        return "somebody"
