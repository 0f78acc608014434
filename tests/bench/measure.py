"""What the bench reads from the machine: arrivals in Maildirs, CPU time, memory, fsync calls; and its statistics."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import random
import re
import signal
import statistics
import struct
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile
from types import TracebackType
from typing import NamedTuple, Self

from tests.services.process import Daemon, process_stats

POLL_S = 0.002  # how late an arrival may be seen; a round takes a second or more
QUIET_S = 0.1
QUIET_DEADLINE_S = 5.0
SYNC_CALLS = "fsync,fdatasync,sync,syncfs,sync_file_range,msync"

_EVENT = struct.Struct("iIII")  # inotify(7): wd, mask, cookie, length of the name that follows
_IN_MOVED_TO, _IN_CREATE, _IN_Q_OVERFLOW = 0x80, 0x100, 0x4000
_LIBC = ctypes.CDLL(None, use_errno=True)


class Arrivals:
    """Counts files that appear in some directories, by inotify: nothing is scanned while the clock runs."""

    def __init__(self, directories: Iterable[Path]) -> None:
        self.count = 0
        self._fd = _LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        for directory in directories:
            if _LIBC.inotify_add_watch(self._fd, os.fsencode(directory), _IN_MOVED_TO | _IN_CREATE) < 0:
                code = ctypes.get_errno()
                raise OSError(code, os.strerror(code), str(directory))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)

    async def wait_for(self, count: int, *, deadline_s: float) -> float:
        """Return the time (perf_counter) when so many files have appeared. Raise TimeoutError."""
        async with asyncio.timeout(deadline_s):
            while True:
                self._read()
                if self.count >= count:
                    return time.perf_counter()
                await asyncio.sleep(POLL_S)  # in batches: a wake-up per file would take CPU from what is measured

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                data, offset = os.read(self._fd, 65536), 0
                while offset < len(data):
                    _, mask, _, length = _EVENT.unpack_from(data, offset)
                    if mask & _IN_Q_OVERFLOW:
                        raise OSError("inotify queue overflow: arrivals were not counted")
                    self.count += 1
                    offset += _EVENT.size + length


def cpu_s(daemons: Iterable[Daemon]) -> float:
    """CPU seconds of all processes of these daemons so far: /proc/PID/stat, utime + stime + cutime + cstime.

    A child that ended is in its parent's cutime once it was waited for, and counts for itself until then. Each figure
    is cut to 10 ms, so a difference of two sums over n processes is off by some 4 * sqrt(n) ms.
    """
    sessions = {daemon.pid for daemon in daemons}
    return sum(stat.cpu_s for stat in process_stats() if stat.session in sessions)


async def quiet_cpu_s(daemons: Sequence[Daemon]) -> float:
    """Wait until these daemons have done what they do after the last delivery; return `cpu_s` then."""
    give_up = time.monotonic() + QUIET_DEADLINE_S
    before = cpu_s(daemons)
    while time.monotonic() < give_up:
        await asyncio.sleep(QUIET_S)
        now = cpu_s(daemons)
        if now - before < 0.011:  # one tick
            return now
        before = now
    return before


def memory_bytes(daemon: Daemon, field: str) -> int:
    """The sum over the daemon's processes of a field of /proc/PID/status, such as VmHWM (peak) or VmRSS (now)."""
    return sum(1024 * status_field(stat.pid, field) for stat in daemon.members())


def status_field(pid: int, field: str) -> int:
    """A numeric field of /proc/PID/status, proc(5); memory is in KiB there. Raise KeyError if there is none."""
    match = re.search(rf"^{field}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    if match is None:
        raise KeyError(field)
    return int(match[1])


async def wait_for_files(directories: Sequence[Path], count: int, *, deadline_s: float) -> None:
    """Return when there are so many files in directories that needn't exist yet. Raise TimeoutError."""
    async with asyncio.timeout(deadline_s):
        while True:
            if sum(len(list(directory.glob("*"))) for directory in directories) >= count:
                return
            await asyncio.sleep(QUIET_S)


@contextlib.contextmanager
def counted_fsyncs(daemon: Daemon) -> Iterator[Callable[[], int]]:
    """Trace a daemon, its threads and children; inside, the result can be asked for once, which ends the tracing."""
    pids = [stat.pid for stat in daemon.members()]
    with NamedTemporaryFile("r") as report:
        argv = ["strace", "-f", "-c", "-U", "name,calls", "-e", f"trace={SYNC_CALLS}", "-o", report.name]
        tracer = subprocess.Popen(
            [*argv, *(argument for pid in pids for argument in ("-p", str(pid)))], stderr=subprocess.DEVNULL
        )
        give_up = time.monotonic() + QUIET_DEADLINE_S
        while any(status_field(pid, "TracerPid") != tracer.pid for pid in pids):
            if time.monotonic() > give_up:
                raise TimeoutError(f"strace didn't attach to {pids}")
            time.sleep(POLL_S)

        def finish() -> int:
            tracer.send_signal(signal.SIGINT)  # it detaches, then writes its table
            tracer.wait(timeout=10)
            return sum(int(calls) for calls in re.findall(r"^\s*(?:\w*sync\w*)\s+(\d+)", report.read(), re.MULTILINE))

        try:
            yield finish
        finally:
            if tracer.poll() is None:
                tracer.kill()
                tracer.wait()


class Ratio(NamedTuple):
    """The median of pair ratios and its 95 % bootstrap interval."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3f}  [{self.low:.3f}, {self.high:.3f}]"


def pair_ratio(ours: Sequence[float], theirs: Sequence[float], *, resamples: int = 10_000) -> Ratio:
    """Given one figure per round for each side, return ours / theirs. The percentile bootstrap, Efron 1979; seeded."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    draw = random.Random(2).choices
    medians = sorted(statistics.median(draw(ratios, k=len(ratios))) for _ in range(resamples))
    return Ratio(statistics.median(ratios), medians[resamples * 25 // 1000], medians[resamples * 975 // 1000])
