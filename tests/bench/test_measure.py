"""The bench's instruments show what happened."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from tests.bench.measure import Arrivals, counted_fsyncs, cpu_s, memory_bytes, pair_ratio
from tests.services.process import POLL_S, Daemon

# Says it is ready by making the file `ready`; then flushes five times and burns 0.3 s of CPU whenever `go` appears,
# half of that in a child, and removes `go`. The child has ended and was waited for when `go` is gone.
_WORKER = """
import os, subprocess, sys, time
def burn():
    end = time.process_time() + 0.15
    while time.process_time() < end: pass
if len(sys.argv) > 1:
    burn()
else:
    keep = bytearray(64 * 1024**2)
    with open("ready", "wb") as file:
        while True:
            time.sleep(0.01)
            if os.path.exists("go"):
                for _ in range(5): os.fsync(file.fileno())
                burn()
                subprocess.run([sys.executable, __file__, "child"])
                os.remove("go")
"""


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Daemon:
    monkeypatch.chdir(tmp_path)
    Path("worker.py").write_text(_WORKER)
    return Daemon([sys.executable, "worker.py"], ready=Path("ready").stat, log=tmp_path / "log")


def _let_it_go() -> None:
    Path("go").touch()
    give_up = time.monotonic() + 20
    while Path("go").exists():
        assert time.monotonic() < give_up
        time.sleep(POLL_S)


def test_cpu_and_memory_count_the_children_that_ended(worker: Daemon) -> None:
    worker.start()
    try:
        before_s = cpu_s([worker])
        _let_it_go()
        assert 0.28 <= cpu_s([worker]) - before_s < 1.0
        assert memory_bytes(worker, "VmHWM") > 64 * 1024**2
    finally:
        worker.kill()


@pytest.mark.skipif(os.geteuid() != 0, reason="tracing may need root (kernel.yama.ptrace_scope)")
def test_fsyncs_are_counted_while_traced(worker: Daemon) -> None:
    worker.start()
    try:
        _let_it_go()
        with counted_fsyncs(worker) as finish:
            _let_it_go()
            assert finish() == 5
    finally:
        worker.kill()


async def test_arrivals_count_what_is_moved_or_created(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp" / "a").touch()
    with Arrivals([tmp_path / "new"]) as arrivals:
        (tmp_path / "tmp" / "a").rename(tmp_path / "new" / "a")
        (tmp_path / "new" / "b").touch()
        await arrivals.wait_for(2, deadline_s=1)
        with pytest.raises(TimeoutError):
            await arrivals.wait_for(3, deadline_s=0.05)
    assert arrivals.count == 2


def test_pair_ratio_of_a_steady_advantage_is_exact() -> None:
    assert pair_ratio([2.0, 4.0, 6.0], [1.0, 2.0, 3.0]) == (2.0, 2.0, 2.0)


def test_pair_ratio_interval_holds_the_median() -> None:
    ratio = pair_ratio([1.0, 1.2, 1.1, 0.9, 1.4, 1.0, 1.3], [1.0] * 7)
    assert 0.9 <= ratio.low < ratio.median == 1.1 < ratio.high <= 1.4


def test_pair_ratio_refuses_unequal_sides() -> None:
    with pytest.raises(ValueError, match="zip"):
        pair_ratio([1.0], [1.0, 2.0])
