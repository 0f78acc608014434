"""backup/lock.py: who comes later waits, and a holder that dies releases."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from backup import lock
from backup.exit_codes import DestinationFailed, LockBusy

SPAWN = multiprocessing.get_context("spawn")


def _hold(directory: Path, name: str, held: Event, shared: bool) -> None:
    with lock.hold(directory, name, who="the other", shared=shared, wait_s=1):
        held.set()
        time.sleep(60)


@contextlib.contextmanager
def somebody(directory: Path, name: str, *, shared: bool = False) -> Iterator[multiprocessing.process.BaseProcess]:
    """Another process that holds the lock until it is killed."""
    held = SPAWN.Event()
    process = SPAWN.Process(target=_hold, args=(directory, name, held, shared), daemon=True)
    process.start()
    assert held.wait(30)
    try:
        yield process
    finally:
        process.kill()
        process.join()


def test_a_held_lock_names_its_holder_when_the_wait_is_over(tmp_path: Path) -> None:
    told: list[str] = []
    with somebody(tmp_path, "points") as other:
        named = rf"'points' is held by the other \(process {other.pid}, since 20"
        with (
            pytest.raises(LockBusy, match=named),
            lock.hold(tmp_path, "points", who="me", wait_s=0.05, waiting=told.append),
        ):
            pass
        with lock.hold(tmp_path, "vault", who="me", wait_s=0):
            pass
    assert len(told) == 1
    assert told[0].startswith("waiting for the lock 'points', held by the other")


def test_a_later_one_waits_until_a_killed_holder_releases(tmp_path: Path) -> None:
    with somebody(tmp_path, "points") as other:
        threading.Timer(0.3, lambda: os.kill(other.pid or 0, signal.SIGKILL)).start()
        with lock.hold(tmp_path, "points", who="me", wait_s=30):
            assert '"who": "me"' in (tmp_path / "points.lock").read_text()


def test_readers_share_and_a_writer_waits_for_them(tmp_path: Path) -> None:
    with somebody(tmp_path, "repository", shared=True):
        with lock.hold(tmp_path, "repository", who="sync", shared=True, wait_s=0):
            pass
        with pytest.raises(LockBusy), lock.hold(tmp_path, "repository", who="prune", wait_s=0):
            pass


def test_an_error_inside_releases(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), lock.hold(tmp_path, "points", who="me", wait_s=0):
        raise RuntimeError
    with lock.hold(tmp_path, "points", who="me", wait_s=0):
        pass


def test_damaged_words_in_a_lock_file_decide_nothing(tmp_path: Path) -> None:
    (tmp_path / "points.lock").write_bytes(b"\xff\x00 not json")
    with somebody(tmp_path, "points"):
        (tmp_path / "points.lock").write_bytes(b"[1]")
        with pytest.raises(LockBusy, match="held by somebody"), lock.hold(tmp_path, "points", who="me", wait_s=0):
            pass


def test_a_missing_directory_is_the_destinations_fault(tmp_path: Path) -> None:
    with pytest.raises(DestinationFailed, match="No such file"), lock.hold(tmp_path / "x", "a", who="me", wait_s=0):
        pass
