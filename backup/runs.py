"""One run from its first line to its last word: journal, facts, catalog, monitor, exit code.

    started -> (the monitor hears it) -> the work -> facts -> catalog -> (the monitor hears how it went) -> ended

What follows the work stands in the outermost `finally`, each step guarded from the others: no failing step silences the
notification, and none changes the exit code, which is that of the work's first failure. A run holds a lock on its own
journal, so that one which was killed can be told from one that still works.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

from backup import monitor
from backup.exit_codes import BackupError, DestinationFailed, ExitCode, WrongUsage
from backup.facts import Facts
from backup.file_journal import INTERRUPTED, INTERRUPTED_MEANING, FileJournal, RunJournal, Several
from backup.journal import Journal
from backup.layout import Layout
from backup.settings import BackupSettings
from backup.state import readable
from kit.clock import Clock, now_utc

KEPT_DAYS = 90  # journals of runs
BY_TIMER, BY_HOST = "timer", "host"


class Interrupted(BaseException):
    """SIGTERM: the run ends as after an error, and says that it was ended. Not caught by whoever handles errors."""


@dataclass(slots=True)
class Run:
    """A run at work. Whoever can go on after a failure tells it here; the run then ends with the first.

    result   what the portal shows of it
    summary  one line for the list of runs; without one the first failure, or the meaning of the exit code
    """

    id: str
    journal: Journal
    result: dict[str, Any] = field(default_factory=dict)
    summary: str = ""
    failures: list[BackupError] = field(default_factory=list)

    def failed(self, error: BackupError) -> None:
        self.failures.append(error)
        self.journal.warn(readable(str(error)))


@dataclass(frozen=True, slots=True)
class End:
    run: str
    exit_code: int
    meaning: str
    error: str
    result: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Conductor:
    """
    journal        for a person, beside the file; None: nobody looks
    write_catalog  builds and writes it, at the end of each run
    """

    settings: BackupSettings
    clock: Clock
    journal: Callable[[], RunJournal | None]
    write_catalog: Callable[[Facts], None]

    @property
    def layout(self) -> Layout:
        return self.settings.layout

    def conduct(self, verb: str, by: str, work: Callable[[Run], None], *, run: str | None = None) -> End:
        """Do the work as a run. What is no BackupError is a bug: it is told like the others, and raised again.

        run   its id, when the portal has chosen one
        """
        started_at = now_utc(self.clock)
        run = run or new_id(verb, started_at)
        person = self.journal()
        recorder = _Recorder(self, run, verb, by, started_at)
        journals = [] if person is None else [person]
        journal = Several(journals)
        present = Run(run, journal)
        code, meaning, error = int(ExitCode.BUG), ExitCode.BUG.meaning, ""
        try:
            file, trouble = recorder.open()
            if file is not None:
                journals.insert(0, file)
            journal.started(verb, by)
            _warn_all(journal, trouble)
            self._guarded(
                journal, "the monitor", lambda: _warn_all(journal, monitor.started(self.settings.monitor, verb))
            )
            work(present)
            code, meaning, error = _outcome(present.failures)
        except BackupError as problem:
            present.failed(problem)
            code, meaning, error = _outcome(present.failures)
        except (Interrupted, KeyboardInterrupt):
            code, meaning, error = INTERRUPTED, INTERRUPTED_MEANING, "the run was ended before it was done"
        except BaseException as bug:
            error = readable(f"{type(bug).__name__}: {bug}")
            raise
        finally:
            with _deaf():
                summary = readable(present.summary) if code == 0 and present.summary else error or meaning
                ended_at = now_utc(self.clock)
                end = monitor.Ended(self.settings.host, run, verb, started_at, ended_at, code, meaning, summary)
                self._guarded(journal, "the result", lambda: journal.result(present.result) if present.result else None)
                self._guarded(journal, "the record of the run", lambda: recorder.ended(end))
                self._guarded(journal, "the catalog", lambda: recorder.publish())
                self._guarded(
                    journal, "the monitor", lambda: _warn_all(journal, monitor.ended(self.settings.monitor, end))
                )
                self._guarded(journal, "the journal", lambda: journal.ended(code, meaning, error))
                recorder.close()
        return End(run, code, meaning, error, present.result)

    def _guarded(self, journal: Journal, what: str, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:  # the edge of the run: what follows must still be told
            try:
                journal.warn(f"{what} could not be written: {type(error).__name__}: {error}")
            except OSError:
                return  # the disk of the journal is the one that failed


class _Recorder:
    """What lies on the root's disk about a run. Without the disk there is nothing, and the run goes on to say so."""

    def __init__(self, conductor: Conductor, run: str, verb: str, by: str, started_at: datetime) -> None:
        self._conductor, self._run, self._verb, self._by, self._at = conductor, run, verb, by, started_at
        self._facts: Facts | None = None
        self._file: FileJournal | None = None

    def open(self) -> tuple[FileJournal | None, list[str]]:
        """Return the journal, and what is wrong with journal and record. Neither keeps the run from its work, which
        meets a full or read-only disk too. Raise WrongUsage for an id that was used before.
        """
        layout = self._conductor.layout
        if not layout.marker.is_file():
            return None, []
        trouble = []
        try:
            self._file = FileJournal(layout.runs / f"{self._run}.jsonl", self._conductor.clock)
        except FileExistsError as error:
            raise WrongUsage(f"there was a run {self._run} already. Nothing was done") from error
        except OSError as error:
            trouble.append(f"this run has no journal: {error}")
        try:
            self._facts = facts = Facts(layout.state / "facts.sqlite3")
            if facts.moved_to is not None:
                moved = f"it lies at {facts.moved_to}, a new one was begun"
                trouble.append(f"the history of runs and drills was damaged; {moved}")
            end_dead_runs(layout, facts, self._conductor.clock)
            remove_old_journals(layout, self._conductor.clock)
            facts.run_started(self._run, self._verb, self._by, self._at)
        except (OSError, ValueError, sqlite3.Error, DestinationFailed) as error:
            trouble.append(f"this run is not in the list of runs: {error}")
        return self._file, trouble

    def ended(self, end: monitor.Ended) -> None:
        if self._facts is not None:
            self._facts.run_ended(end.run, end.ended_at, end.exit_code, end.meaning, end.summary)

    def publish(self) -> None:
        if self._facts is not None:
            self._conductor.write_catalog(self._facts)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def new_id(verb: str, at: datetime) -> str:
    """As in `20261122T030004Z-run-91f0aa37`; the middle is the verb's first word."""
    return f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{verb.split()[0]}-{secrets.token_hex(4)}"


def end_dead_runs(layout: Layout, facts: Facts, clock: Clock) -> None:
    """Write the last word of runs whose process is gone: killed, or without power."""
    for run in facts.runs():
        if run.ended_at is None and not is_alive(layout.runs / f"{run.id}.jsonl"):
            text = "its process was killed, or the power failed"
            facts.run_ended(run.id, now_utc(clock), INTERRUPTED, INTERRUPTED_MEANING, text)
            end_journal(layout.runs / f"{run.id}.jsonl", clock, INTERRUPTED, INTERRUPTED_MEANING, text)


def remove_old_journals(layout: Layout, clock: Clock) -> None:
    """The hourly runs alone would leave 9,000 a year where the portal looks. Their names begin with the time."""
    oldest = f"{now_utc(clock) - timedelta(days=KEPT_DAYS):%Y%m%dT%H%M%SZ}"
    for path in layout.runs.glob("*.jsonl"):
        if path.name < oldest and not is_alive(path):
            path.unlink(missing_ok=True)


def is_alive(journal: Path) -> bool:
    """Whether the run of a journal still holds its lock."""
    try:
        descriptor = os.open(journal, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)


def end_journal(path: Path, clock: Clock, exit_code: int, meaning: str, error: str) -> None:
    """Append the last line to the journal of a run that is dead, or make one that has only begun and ended."""
    with FileJournal.reopened(path, clock) as journal:
        journal.ended(exit_code, meaning, error)


@contextmanager
def terminable() -> Iterator[None]:
    """While the body runs, SIGTERM raises Interrupted in it."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Interrupted

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _deaf() -> Iterator[None]:
    """While the body runs, a second SIGTERM or ^C changes nothing: it is short, and must be complete."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _outcome(failures: list[BackupError]) -> tuple[int, str, str]:
    if not failures:
        return int(ExitCode.DONE), ExitCode.DONE.meaning, ""
    return int(failures[0].code), failures[0].code.meaning, readable("\n".join(map(str, failures)))


def _warn_all(journal: Journal, sentences: list[str]) -> None:
    for sentence in sentences:
        journal.warn(sentence)
