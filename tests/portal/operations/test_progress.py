"""Calling what blocks: what happens to the thread when the caller is cancelled, and what the loop survives."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import structlog

from kit.clock import SystemClock
from portal.operations.progress import Progress


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as threads:
        yield threads


@pytest.fixture
async def progress(threads: ThreadPoolExecutor) -> Progress:
    return Progress("01", SystemClock(), threads)


async def test_function_gets_its_arguments_and_the_logs_context(progress: Progress) -> None:
    def add(one: int, two: int) -> tuple[int, object]:
        return one + two, structlog.contextvars.get_contextvars().get("operation_id")

    with structlog.contextvars.bound_contextvars(operation_id="01"):
        assert await progress.in_thread(add, 1, 2) == (3, "01")


async def test_caller_that_is_cancelled_waits_for_the_end_however_often(progress: Progress) -> None:
    begun, may_end = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def block() -> None:
        loop.call_soon_threadsafe(begun.set)
        may_end.wait(30)
        raise OSError("nobody asks any more")

    caller = asyncio.create_task(progress.in_thread(block))
    await begun.wait()
    for _ in range(3):
        caller.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not caller.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await caller


async def test_function_that_waits_for_a_thread_never_begins_when_its_caller_is_cancelled(progress: Progress) -> None:
    begun, may_end, called = asyncio.Event(), threading.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def block() -> None:
        loop.call_soon_threadsafe(begun.set)
        may_end.wait(30)

    first = asyncio.create_task(progress.in_thread(block))
    await begun.wait()
    second = asyncio.create_task(progress.in_thread(called.set))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    may_end.set()
    await first
    assert not called.is_set()


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), StopIteration(), GeneratorExit()])
async def test_function_that_raises_anything_leaves_the_loop_alone(progress: Progress, error: BaseException) -> None:
    def throw() -> None:
        raise error

    with pytest.raises(RuntimeError if isinstance(error, StopIteration) else type(error)):
        await progress.in_thread(throw)
    assert await progress.in_thread(len, "still here") == 10


def test_thread_that_speaks_after_the_loop_is_closed_does_no_harm(threads: ThreadPoolExecutor) -> None:
    async def main() -> Progress:
        return Progress("01", SystemClock(), threads)

    progress = asyncio.run(main())
    progress.note("hello")
    progress.at(1, 2)
    assert progress.report()[:2] == (1, 2)
