"""Who listens to a run: `runs/<id>.jsonl` for the portal, a terminal for a person, or both.

One JSON object a line, flushed at once, readable by the directory's group:

    {"at":..., "type":"started", "verb":"run daily", "by":"timer"}
    {"at":..., "type":"step", "name":"stage", "detail":{...}}
    {"at":..., "type":"progress", "done":1, "total":9, "unit":"bytes", "rate":0.5, "eta_s":16.0}    at most 2 a second
    {"at":..., "type":"note"|"warning", "text":...}
    {"at":..., "type":"result", "result":{...}}
    {"at":..., "type":"ended", "exit_code":0, "meaning":"done and verified", "error":""}            always the last

A journal without its last line belongs to a run that still works, or was killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from backup.catalog import iso
from backup.journal import Journal
from backup.state import readable
from kit.clock import Clock
from kit.terminal import visible

BETWEEN_PROGRESS_S = 0.5
MODE = 0o640

INTERRUPTED = 143  # as a shell shows a process that SIGTERM has ended
INTERRUPTED_MEANING = "interrupted"


class RunJournal(Journal, Protocol):
    """A journal that also knows beginning and end."""

    def started(self, verb: str, by: str) -> None: ...
    def result(self, result: dict[str, Any]) -> None: ...
    def ended(self, exit_code: int, meaning: str, error: str) -> None: ...


class FileJournal:
    """Appends to one file, which must not be there yet: a run's id is used once. Holds a lock on it while open."""

    def __init__(self, path: Path, clock: Clock, *, is_new: bool = True) -> None:
        """Raise OSError: FileExistsError for a second run of one id, BlockingIOError while another holds it."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_EXCL if is_new else 0)
        self._descriptor = os.open(path, flags, MODE)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.fchmod(self._descriptor, MODE)
        except OSError:
            os.close(self._descriptor)
            raise
        self._clock = clock
        self._step_began: tuple[float, float] | None = None  # time and amount of the step's first progress
        self._last_progress = -BETWEEN_PROGRESS_S

    @classmethod
    @contextlib.contextmanager
    def reopened(cls, path: Path, clock: Clock) -> Iterator[Self]:
        """The journal of a run whose process is gone, to give it its last line. Raise OSError."""
        journal = cls(path, clock, is_new=False)
        try:
            yield journal
        finally:
            journal.close()

    def close(self) -> None:
        os.close(self._descriptor)

    def started(self, verb: str, by: str) -> None:
        self._write("started", verb=verb, by=by)

    def step(self, name: str, **detail: Any) -> None:
        self._step_began = None
        self._last_progress = -BETWEEN_PROGRESS_S
        self._write("step", name=name, detail=detail)

    def progress(self, done: float, total: float | None, unit: str = "bytes") -> None:
        at = self._clock.monotonic()
        if self._step_began is None:
            self._step_began = (at, done)
        is_end = total is not None and done >= total
        if at - self._last_progress < BETWEEN_PROGRESS_S and not is_end:
            return
        self._last_progress = at
        rate, eta_s = pace(self._step_began, at, done, total)
        self._write("progress", done=done, total=total, unit=unit, rate=rate, eta_s=eta_s)

    def note(self, text: str) -> None:
        self._write("note", text=readable(text))

    def warn(self, text: str) -> None:
        self._write("warning", text=readable(text))

    def result(self, result: dict[str, Any]) -> None:
        self._write("result", result=result)

    def ended(self, exit_code: int, meaning: str, error: str) -> None:
        self._write("ended", exit_code=exit_code, meaning=meaning, error=error)

    def _write(self, kind: str, **rest: Any) -> None:
        at = iso(datetime.fromtimestamp(self._clock.now(), UTC))
        line = json.dumps({"at": at, "type": kind, **rest}, default=str)  # ASCII: a damaged name cannot break a line
        with contextlib.suppress(OSError):  # its disk is full or gone: the run meets that itself, and tells the others
            os.write(self._descriptor, line.encode() + b"\n")


def pace(began: tuple[float, float], at: float, done: float, total: float | None) -> tuple[float | None, float | None]:
    """Given when and where a step began, return what it does per second and how many seconds it still needs."""
    seconds, moved = at - began[0], done - began[1]
    if seconds <= 0 or moved <= 0:
        return None, None
    rate = moved / seconds
    return round(rate, 1), None if total is None else round(max(total - done, 0) / rate, 1)


class LineJournal:
    """For a log or a pipe: one plain line for each step, note and warning; no progress."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr

    def started(self, verb: str, by: str) -> None:
        pass

    def step(self, name: str, **detail: Any) -> None:
        self._say(f"{name}: {described(detail)}" if detail else name)

    def progress(self, done: float, total: float | None, unit: str = "bytes") -> None:
        pass

    def note(self, text: str) -> None:
        self._say(text)

    def warn(self, text: str) -> None:
        self._say(f"warning: {text}")

    def result(self, result: dict[str, Any]) -> None:
        pass

    def ended(self, exit_code: int, meaning: str, error: str) -> None:
        pass

    def _say(self, text: str) -> None:
        print(visible(text), file=self._stream, flush=True)


class TerminalJournal(LineJournal):
    """For a person: the step at work with its bar below, everything worth keeping above."""

    def __init__(self, console: Console | None = None) -> None:
        super().__init__()
        self._console = console or Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[amount]}"))
        self._progress = Progress(*columns, TimeRemainingColumn(), console=self._console, transient=True)
        self._task: TaskID | None = None

    def started(self, verb: str, by: str) -> None:
        self._progress.start()

    def step(self, name: str, **detail: Any) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
        text = f"{name}: {described(detail)}" if detail else name
        self._task = self._progress.add_task(visible(text), total=None, amount="")

    def progress(self, done: float, total: float | None, unit: str = "bytes") -> None:
        if self._task is not None:
            self._progress.update(self._task, completed=done, total=total, amount=amount(done, total, unit))

    def ended(self, exit_code: int, meaning: str, error: str) -> None:
        self._progress.stop()

    def _say(self, text: str) -> None:
        self._console.print(visible(text), markup=False, highlight=False)


class Several:
    """One journal to whoever works, several to those who read."""

    def __init__(self, journals: Sequence[RunJournal]) -> None:
        self._journals = journals

    def started(self, verb: str, by: str) -> None:
        for journal in self._journals:
            journal.started(verb, by)

    def step(self, name: str, **detail: Any) -> None:
        for journal in self._journals:
            journal.step(name, **detail)

    def progress(self, done: float, total: float | None, unit: str = "bytes") -> None:
        for journal in self._journals:
            journal.progress(done, total, unit)

    def note(self, text: str) -> None:
        for journal in self._journals:
            journal.note(text)

    def warn(self, text: str) -> None:
        for journal in self._journals:
            journal.warn(text)

    def result(self, result: dict[str, Any]) -> None:
        for journal in self._journals:
            journal.result(result)

    def ended(self, exit_code: int, meaning: str, error: str) -> None:
        for journal in self._journals:
            journal.ended(exit_code, meaning, error)


def for_person() -> RunJournal:
    """A bar on a terminal, plain lines elsewhere. On standard error: standard output is the result's."""
    return TerminalJournal() if sys.stderr.isatty() else LineJournal()


def described(detail: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in detail.items())


def amount(done: float, total: float | None, unit: str) -> str:
    """As in "1.5 of 2.0 GiB"; of other units the bare numbers."""
    if unit != "bytes":
        return f"{done:,.0f}" + ("" if total is None else f" of {total:,.0f}") + f" {unit}"
    return size(done) if total is None else f"{size(done)} of {size(total)}"


def size(count: float) -> str:
    """Given bytes, return them for the eye: "0 B", "18.0 MiB"."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
