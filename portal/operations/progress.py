"""What a work function sees of its operation: where it says how far it is, and how it calls what blocks.

    async def restart(progress: Progress) -> dict[str, object] | None:
        progress.note("stopping")
        progress.at(1, of=2)
        await progress.in_thread(engine.restart, container_id)

Everything here may be called from any thread, never raises for what it is given, and is bounded: the newest
MAX_LINES lines are kept, each cut at MAX_LINE_CHARACTERS. The text may come from outside; it is shown as text.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from typing import NamedTuple, TypeVar

from kit.clock import Clock
from portal.audit.redaction import clip

T = TypeVar("T")

MAX_LINES = 500
MAX_LINE_CHARACTERS = 500
MAX_COUNT = 2**53  # what a browser's number holds exactly


class Line(NamedTuple):
    """
    number   from 1; a gap at the beginning means that older lines were dropped
    at       seconds since the epoch
    """

    number: int
    at: float
    text: str


class Report(NamedTuple):
    """How far the work is: `done` of `of`, each None while unknown, and its newest lines."""

    done: int | None
    of: int | None
    lines: tuple[Line, ...]


class Progress:
    """Made by the runner, in its event loop."""

    def __init__(self, operation_id: str, clock: Clock, threads: Executor) -> None:
        self.operation_id = operation_id
        self._clock = clock
        self._threads = threads
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._lines: deque[Line] = deque(maxlen=MAX_LINES)
        self._number = 0
        self._done: int | None = None
        self._of: int | None = None
        self._is_new = False
        self._news = asyncio.Event()
        self._cancelled = threading.Event()

    def note(self, line: str) -> None:
        """Add a line for the reader; a text of several lines becomes several."""
        texts = [clip(text, MAX_LINE_CHARACTERS) for text in str(line).splitlines()[-MAX_LINES:]] or [""]
        at = self._clock.now()
        with self._lock:
            for text in texts:
                self._number += 1
                self._lines.append(Line(self._number, at, text))
        self._tell()

    def at(self, done: int, of: int | None = None) -> None:
        """Say how much is done, and of how much if that is known; the unit is the act's."""
        with self._lock:
            self._done = _count(done)
            self._of = None if of is None else _count(of)
        self._tell()

    @property
    def is_cancelled(self) -> bool:
        """Whether the work is to end: to be looked at by a function in a thread, which nobody can interrupt."""
        return self._cancelled.is_set()

    async def in_thread(self, function: Callable[..., T], *args: object) -> T:
        """Run what blocks in a thread. When cancelled or out of time, wait for its end first.

        The thread goes on whatever happens here; if this did not wait, the operation would be over and its target free
        while the thread still acts on it.
        """
        context = contextvars.copy_context()
        # A future, not a task: a task that ends with SystemExit takes the event loop with it.
        thread = self._threads.submit(lambda: context.run(_without_stop_iteration, function, args))
        work = asyncio.wrap_future(thread, loop=self._loop)
        was_cancelled = False
        while not work.done():
            try:
                await asyncio.wait([work])
            except asyncio.CancelledError:
                was_cancelled = True
                thread.cancel()  # succeeds while it waits for a free thread: then it never begins
        if was_cancelled:
            if not work.cancelled():
                work.exception()  # seen: being cancelled is the news now
            raise asyncio.CancelledError
        return work.result()

    def report(self) -> Report:
        with self._lock:
            return Report(self._done, self._of, tuple(self._lines))

    async def news(self) -> None:
        """Return when something was said since the last call. For the runner alone."""
        await self._news.wait()
        self._news.clear()
        with self._lock:
            self._is_new = False

    def cancel(self) -> None:
        """Tell the threads. For the runner alone."""
        self._cancelled.set()

    def _tell(self) -> None:
        with self._lock:
            if self._is_new:
                return  # the loop knows: a work function may speak a million times a second
            self._is_new = True
        with contextlib.suppress(RuntimeError):  # the loop is closed, the thread still speaks
            self._loop.call_soon_threadsafe(self._news.set)


def _count(value: int) -> int:
    return max(0, min(int(value), MAX_COUNT))


def _without_stop_iteration(function: Callable[..., T], args: tuple[object, ...]) -> T:
    """A future cannot hold a StopIteration: whoever waits for it would wait for ever (Python 3.11)."""
    try:
        return function(*args)
    except StopIteration as error:
        raise RuntimeError("StopIteration") from error
