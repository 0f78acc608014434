"""The portal's periodic jobs, on a clock that only moves when they wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import pytest

from kit.clock import now_utc
from portal.scheduler import Job, Scheduler
from tests.clock import FakeClock


class Days:
    """Time that passes when everybody waits: whoever is due first goes on, until `end_s` is reached."""

    def __init__(self, end_s: float) -> None:
        self.clock = FakeClock()
        self._end_s = end_s
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    async def wait(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        self._count += 1
        self._waiting.append((self.clock.monotonic() + seconds, self._count, future))
        await future

    async def pass_by(self, jobs: Sequence[Job]) -> Scheduler:
        scheduler = Scheduler(jobs, self.clock, wait=self.wait)
        task = asyncio.create_task(scheduler.run())
        while True:
            for _ in range(10):
                await asyncio.sleep(0)  # whoever can go on does
            if not self._waiting or min(self._waiting)[0] > self._end_s:
                break
            first = min(self._waiting)
            self._waiting.remove(first)
            self.clock.advance(max(0.0, first[0] - self.clock.monotonic()))
            first[2].set_result(None)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return scheduler


@pytest.fixture
def days() -> Days:
    return Days(end_s=100.0)


def recorder(
    days: Days, runs: list[float], raises: Callable[[], BaseException] | None = None
) -> Callable[[], Awaitable[object]]:
    async def work() -> None:
        runs.append(days.clock.monotonic())
        if raises is not None:
            raise raises()

    return work


async def test_jobs_run_at_their_intervals_side_by_side(days: Days) -> None:
    slow: list[float] = []
    quick: list[float] = []
    await days.pass_by(
        [
            Job("slow", 40, recorder(days, slow), timeout_s=5),
            Job("quick", 25, recorder(days, quick), timeout_s=5, is_at_start=True),
        ]
    )
    assert slow == [40, 80]
    assert quick == [0, 25, 50, 75, 100]


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, asyncio.CancelledError, GeneratorExit])
async def test_job_that_raises_runs_again_and_keeps_nobody_from_running(days: Days, error: type[BaseException]) -> None:
    failing: list[float] = []
    good: list[float] = []
    scheduler = await days.pass_by(
        [
            Job("failing", 50, recorder(days, failing, error), timeout_s=5),
            Job("good", 50, recorder(days, good), timeout_s=5),
        ]
    )
    assert failing == good == [50, 100]
    reports = {report.name: report for report in scheduler.report()}
    assert [report.last and report.last.error for report in reports.values()] == [error.__name__, ""]
    assert not any(report.is_running for report in reports.values())


async def test_job_without_end_is_cut_off(days: Days) -> None:
    async def for_ever() -> None:
        await asyncio.Event().wait()

    waits = asyncio.Event()

    async def wait(_seconds: float) -> None:  # for the second run
        waits.set()
        await for_ever()

    scheduler = Scheduler([Job("endless", 50, for_ever, timeout_s=0.01, is_at_start=True)], days.clock, wait=wait)
    task = asyncio.create_task(scheduler.run())
    await waits.wait()
    last = scheduler.report()[0].last
    assert last is not None
    assert last.error == "TimeoutError"
    task.cancel()


async def test_what_was_missed_while_the_machine_slept_is_done_once(days: Days) -> None:
    runs: list[float] = []

    async def work() -> None:
        runs.append(days.clock.monotonic())
        if len(runs) == 1:
            days.clock.advance(55)  # five intervals and a half

    await days.pass_by([Job("hourly", 10, work, timeout_s=1000)])
    assert runs == [10, 70, 80, 90, 100]


async def test_report_says_when_a_job_runs_next(days: Days) -> None:
    async def nothing() -> None: ...

    scheduler = Scheduler([Job("daily", 60, nothing, timeout_s=5)], days.clock, wait=days.wait)
    assert scheduler.report()[0].next_at is None
    task = asyncio.create_task(scheduler.run())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert scheduler.report()[0].next_at == now_utc(days.clock) + timedelta(seconds=60)
    task.cancel()


async def test_empty_table_is_at_its_end_at_once() -> None:
    await Scheduler([], FakeClock()).run()


def test_table_is_checked() -> None:
    async def nothing() -> None: ...

    with pytest.raises(ValueError, match="positive"):
        Job("never", 0, nothing, timeout_s=1)
    job = Job("twice", 1, nothing, timeout_s=1)
    with pytest.raises(ValueError, match="two jobs"):
        Scheduler([job, job], FakeClock())
