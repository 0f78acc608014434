"""scripts/contain.py leaves no process behind, whatever the command does."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

CONTAIN = [sys.executable, str(Path(__file__).parents[2] / "scripts" / "contain.py")]

# Starts a daemon of the thorough kind (a session of its own, its parent gone, deaf to SIGTERM), tells its pid, ends.
DAEMON = """
import os, signal, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.close(2)
        print(os.getpid(), flush=True)
        os.close(1)
        signal.pause()
    os._exit(0)
os.wait()
"""


def is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("code", [0, 3])
def test_daemon_left_behind_is_named_and_gone(code: int) -> None:
    argv = [*CONTAIN, sys.executable, "-c", f"{DAEMON}\nsys.exit({code})"]
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=30)
    daemon = int(ended.stdout)
    assert ended.returncode == code
    assert f"left behind, killed: {daemon} " in ended.stderr
    assert not is_running(daemon)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_everything_ends(number: signal.Signals) -> None:
    argv = [*CONTAIN, sys.executable, "-c", f"{DAEMON}\nsignal.signal(signal.SIGINT, signal.SIG_DFL)\nsignal.pause()"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        daemon = int(process.stdout.readline())
        process.send_signal(number)
        assert process.wait(timeout=30) == 128 + number
    assert not is_running(daemon)


def test_command_gets_no_input_and_keeps_its_output() -> None:
    argv = [*CONTAIN, sys.executable, "-c", "import sys; print(repr(sys.stdin.read()))"]
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=30)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "''\n", "")


def test_signals_that_a_background_shell_ignores_reach_the_command() -> None:
    shell = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]
    ended = subprocess.run([*shell, *CONTAIN, "sh", "-c", "kill -INT $$"], capture_output=True, text=True, timeout=30)
    assert ended.returncode == 128 + signal.SIGINT
