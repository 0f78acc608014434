"""A daemon never outlives the test process, whatever becomes of that."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.services.process import POLL_S, Daemon, ServiceFailed, process_stats

# A daemon with a child, in a session of its own; prints that session and dies without cleaning up.
_DYING_TEST_PROCESS = """
import os, pathlib, sys
from tests.services.process import Daemon
daemon = Daemon(["sh", "-c", "sleep 100 & sleep 100"], ready=lambda: None, log=pathlib.Path(sys.argv[1]))
daemon.start()
print(daemon.pid, flush=True)
os._exit(1)
"""


def test_daemon_is_killed_when_its_test_process_dies(tmp_path: Path) -> None:
    dying = [sys.executable, "-c", _DYING_TEST_PROCESS, str(tmp_path / "log")]
    session = int(subprocess.run(dying, stdout=subprocess.PIPE, check=False).stdout)
    give_up = time.monotonic() + 10
    while any(stat.session == session and stat.state != "Z" for stat in process_stats()):
        assert time.monotonic() < give_up
        time.sleep(POLL_S)


def test_daemon_that_ignores_sigterm_is_killed_and_told_of(tmp_path: Path) -> None:
    is_deaf = tmp_path / "is-deaf"
    script = f"trap '' TERM; touch {is_deaf}; while :; do sleep 1; done"
    stubborn = Daemon(["sh", "-c", script], ready=is_deaf.stat, log=tmp_path / "log")
    stubborn.start()
    with pytest.raises(ServiceFailed, match="did not end"):
        stubborn.stop(deadline_s=0.2)
    assert not stubborn.is_running


def test_daemon_that_ended_by_itself_can_be_started_again(tmp_path: Path) -> None:
    daemon = Daemon(["sleep", "100"], ready=lambda: None, log=tmp_path / "log")
    daemon.start()
    with pytest.raises(ServiceFailed, match="running already"):
        daemon.start()
    first = daemon.pid
    os.kill(first, signal.SIGKILL)
    while daemon.is_running:
        time.sleep(POLL_S)
    daemon.start()
    assert daemon.pid != first
    daemon.stop()


def test_daemon_that_ends_at_once_is_reported_with_its_last_words(tmp_path: Path) -> None:
    def never() -> None:
        raise ConnectionRefusedError("nobody listens")

    with pytest.raises(ServiceFailed, match="last words"):
        Daemon(["sh", "-c", "echo last words; exit 3"], ready=never, log=tmp_path / "log").start()
