"""Run a command and leave no process behind: `python3 scripts/contain.py COMMAND [ARGUMENT ...]`.

Whatever the command starts, and whatever that starts, ends up as a child of this process once its own parent is gone
(prctl(2), PR_SET_CHILD_SUBREAPER). When the command has ended, or this process is told to end, the rest is named and
killed. The exit code is the command's. Uses the standard library only: it runs before there is a .venv.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def main(argv: list[str]) -> int:
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    started: list[subprocess.Popen[bytes]] = []

    def forward(number: int, _frame: FrameType | None) -> None:
        for command in started:
            command.send_signal(number)

    # Before the start: what was ignored here (a shell's `... &` ignores SIGINT) is then as usual for the command.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, forward)
    command = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
    started.append(command)
    try:
        code = command.wait()
    finally:
        end_descendants()
    return code if code >= 0 else 128 - code


def end_descendants() -> None:
    """Kill children until there are none; the children of each become ours when it is gone."""
    while children := _children():
        for pid in children:
            name = (Path("/proc") / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            if name:  # a zombie has none
                print(f"contain: left behind, killed: {pid} {name}", file=sys.stderr)
                os.kill(pid, signal.SIGKILL)
        for pid in children:
            os.waitpid(pid, 0)


def _children() -> list[int]:
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
