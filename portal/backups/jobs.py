"""What is asked for and what runs, read from the directory: requests that lie there, records without an end.

Also of runs that nobody asked for here: timers start most of them.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from kit.clock import Clock, now_utc
from portal.backups.requests import Asked, Requests, started_at, verb_of
from portal.backups.runs import RunRecord
from portal.backups.schemas import PendingJob

SHOWN_RUNS = 100  # newest records that may still be running
SILENT = timedelta(hours=24)  # a run that has said nothing for so long was cut off


class Jobs:
    """operations   run -> the operation that follows it, as Following keeps it"""

    def __init__(self, directory: Path, requests: Requests, operations: Mapping[str, str], clock: Clock) -> None:
        self._runs = directory / "runs"
        self._requests, self._operations, self._clock = requests, operations, clock
        self._running: dict[str, RunRecord] = {}
        self._ended: set[str] = set()
        self._lock = threading.Lock()

    def pending(self) -> list[PendingJob]:
        """Return what has not ended, newest first. Blocks; each record is read once, then as it grows."""
        with self._lock:
            asked = {each.id: each for each in self._requests.all()}
            self._advance()
            jobs = [
                _job(run_id, asked.get(run_id), self._running.get(run_id), self._operations.get(run_id))
                for run_id in sorted(asked.keys() | self._running.keys(), reverse=True)
                if run_id not in self._ended
            ]
        oldest = now_utc(self._clock) - SILENT
        return [job for job in jobs if job.state == "requested" or (job.heard_at or job.at) >= oldest]

    def _advance(self) -> None:
        """Read on in the newest records that have not ended."""
        try:
            names = sorted((each.name for each in self._runs.iterdir() if each.name.endswith(".jsonl")), reverse=True)
        except OSError:
            names = []
        ids = [run_id for name in names[:SHOWN_RUNS] if started_at(run_id := name.removesuffix(".jsonl"))]
        self._ended &= set(ids)
        self._running = {
            run_id: self._running.get(run_id) or RunRecord(self._runs / f"{run_id}.jsonl")
            for run_id in ids
            if run_id not in self._ended
        }
        for record in self._running.values():
            with contextlib.suppress(OSError):
                record.advance()
        over = {run_id for run_id, record in self._running.items() if record.ended is not None}
        self._ended |= over
        self._running = {run_id: record for run_id, record in self._running.items() if run_id not in over}


def _job(run_id: str, asked: Asked | None, record: RunRecord | None, operation: str | None) -> PendingJob:
    started = record.started if record else None
    progress = record.progress if record else None
    last = record.last if record else None
    at = started.at if started else asked.at if asked else started_at(run_id)
    assert at is not None  # only ids with a time in them come here
    return PendingJob(
        id=run_id,
        verb=(started and started.verb) or verb_of(run_id),
        by=(started and started.by) or (asked.by if asked else ""),
        at=at,
        state="running" if last else asked.state if asked else "running",
        step=record.step.name if record and record.step else None,
        text=record.text.text if record and record.text else None,
        done=progress.done if progress else None,
        total=progress.total if progress else None,
        unit=progress.unit if progress else None,
        rate=progress.rate if progress else None,
        eta_s=progress.eta_s if progress else None,
        heard_at=last.at if last else None,
        operation=operation,
    )
