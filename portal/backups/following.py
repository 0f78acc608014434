"""A request's way, as the work of an operation: requested -> accepted -> running -> done.

What a unit does is its own job: neither the portal's restart nor a closed page touches it. So

- cancelling takes a request back as long as nobody has taken it; afterwards it only says that it cannot, and goes on
- a portal that stops leaves everything as it is; `found` is the re-check of its next start, and follows to the end
- an operation that is out of time takes back what nobody has taken; a run that others wait for is followed on

A request that was written and lies there no more was taken. The portal cannot look where the unit puts it.

The end is the record's last line: exit code 0 is done, 9 is RestoreRefused, 143 BackupInterrupted, anything else
BackupFailed in the unit's own words. A unit that was killed writes no such line: its record is silent and no longer
held, which is BackupInterrupted too.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kit.clock import Clock
from kit.problem import Problem
from portal.backups.requests import Request, Requests, verb_of
from portal.backups.runs import RunRecord, is_held
from portal.backups.schemas import RunLine
from portal.operations.progress import Progress
from portal.operations.records import Outcome
from portal.operations.recovery import Finding
from portal.operations.runner import Runner

FIRST_POLL_S, LAST_POLL_S, SLOWER = 0.05, 1.0, 1.3  # soon after news, slowly while there is none
UNHEARD_S = 120.0  # after which it is said that nobody takes the request
LOST_S = 30.0  # a request that is in no place for so long is gone: between taking it and its record lies a moment
SILENT_S = 10.0  # after which it is asked whether anybody still holds the record; dead when not, and again not
RESULT_BYTES = 48 * 1024  # an operation remembers 64 KiB

RESTORE_REFUSED, INTERRUPTED = 9, 143  # of backup's exit codes
UNITS: Mapping[str, str] = dict.fromkeys(("preview", "restore", "vaultdrill"), "restore")  # all other verbs: "run"


class BackupFailed(Problem):
    """The backup's unit ended with an error; `detail` is its own text, `exit_code` and `meaning` are of its table."""

    status, type, title = 502, "backup-failed", "The backup unit failed"


class RestoreRefused(Problem):
    """The restore was refused: unverified data, a path that escapes, or the world has changed since the preview."""

    status, type, title = 409, "restore-refused", "The restore was refused"


class BackupInterrupted(Problem):
    """The unit was killed, or lost its power, before it was done. What it had done is as it left it: look, then ask
    again; nothing is done twice by itself.
    """

    status, type, title = 502, "backup-interrupted", "The backup unit was interrupted"


class BackupRequestLost(Problem):
    """The request is in no place any more, and no run has begun: somebody has removed it."""

    status, type, title = 502, "backup-request-lost", "The request is gone"


class NoBackupRunner(Problem):
    """Nobody took the request in time, so it was taken back. Look at the unit that takes requests."""

    status, type, title = 503, "no-backup-runner", "Nobody takes requests"


class Following:
    """directory   the backup's for the portal"""

    def __init__(self, directory: Path, requests: Requests, runner: Runner, clock: Clock) -> None:
        self._runs = directory / "runs"
        self._requests, self._runner, self._clock = requests, runner, clock
        self.operations: dict[str, str] = {}  # run -> the operation that follows it
        self.left: set[str] = set()  # runs that go on, whose following was cut off

    def record(self, run_id: str) -> RunRecord:
        return RunRecord(self._runs / f"{run_id}.jsonl")

    async def ask(self, progress: Progress, request: Request, *, take_within_s: float | None = None) -> dict[str, Any]:
        """Write a request and follow it to its end; return what the run says its result is, and `run`.

        take_within_s  take it back when nobody has taken it by then, and once it is taken stay to its end, also out of
                       time; None: it may lie there
        raises         RequestNotWritten, BackupFailed, RestoreRefused, BackupInterrupted, BackupRequestLost,
                       NoBackupRunner. CancelledError: the run is in `left`, or was taken back, or the portal stops
        """
        self.operations[request.id] = progress.operation_id
        try:
            record = await self._asked(progress, request, take_within_s)
        finally:
            self.operations.pop(request.id, None)
        result = dict(record.result.result or {}) if record.result else {}
        _check(request.id, record, result)
        return _remembered(result) | {"run": request.id}

    async def found(self, operation_id: str, run_id: str, *, take_within_s: float | None = None) -> Finding:
        """What became of a request that an earlier portal has written, or was about to. Returns at the run's end."""
        self.operations[run_id] = operation_id
        try:
            record = await self._follow(run_id, None, take_within_s)
        except (BackupInterrupted, BackupRequestLost, NoBackupRunner) as problem:
            return Finding(Outcome.NOT_DONE, problem.detail)
        finally:
            self.operations.pop(run_id, None)
        assert record.ended is not None
        if record.ended.exit_code == 0:
            return Finding(Outcome.DONE, f"run {run_id} ended well")
        return Finding(Outcome.NOT_DONE, f"run {run_id}: {record.ended.error or record.ended.meaning or ''}"[:500])

    async def is_stopping(self, progress: Progress) -> bool:
        """Whether an operation's work is being cancelled because the portal stops, not because somebody wants it."""
        return progress.is_cancelled and (await self._runner.get(progress.operation_id)).cancelled_by is None

    async def _asked(self, progress: Progress, request: Request, take_within_s: float | None) -> RunRecord:
        was_written = False

        def write() -> None:
            nonlocal was_written
            self._requests.write(request)
            was_written = True

        try:
            await progress.in_thread(write)
            progress.note(f"requested: {request.id}")
            return await self._follow(request.id, progress, take_within_s)
        except asyncio.CancelledError:
            if await self.is_stopping(progress):
                raise
            if await asyncio.to_thread(self._requests.withdraw, request.id):
                progress.note("the request was taken back; nobody had begun it")
                raise
            is_wanted = (await self._runner.get(progress.operation_id)).cancelled_by is not None
            if not was_written or not (is_wanted or take_within_s is not None):
                raise
        # Once: whoever cancels a second time is the end of this process.
        if (task := asyncio.current_task()) is not None:
            task.uncancel()
        progress.note("a unit has taken the request and ends what it has begun; that cannot be cancelled here")
        try:
            return await self._follow(request.id, progress, None)
        except asyncio.CancelledError:
            self.left.add(request.id)
            raise

    async def _follow(self, run_id: str, progress: Progress | None, take_within_s: float | None) -> RunRecord:
        """Return the record of a run that has ended. Raise BackupInterrupted, BackupRequestLost or NoBackupRunner."""
        record, began = self.record(run_id), self._clock.monotonic()
        seen_at = asked_at = began
        was_free = False
        told: str | None = None
        pause_s = FIRST_POLL_S
        while True:
            # in this order: a request moves on while this looks, and must be seen in one place or the next
            state = await asyncio.to_thread(self._requests.state, run_id)
            lines = await asyncio.to_thread(record.advance)
            now = self._clock.monotonic()
            if progress is not None:
                if told != "accepted" and (state == "accepted" or lines):
                    told = "accepted"
                    progress.note("accepted")
                for line in lines:
                    _tell(line, progress)
            if record.ended is not None:
                return record
            if state is not None or record.last is not None:
                seen_at = now
            elif now - seen_at > LOST_S:
                raise BackupRequestLost(f"{run_id} is neither requested nor taken, and no run has begun")
            if lines:
                asked_at, was_free = now, False
            elif record.last is not None and now - asked_at >= SILENT_S:
                asked_at = now
                is_free = not await asyncio.to_thread(is_held, record.path)
                if is_free and was_free:
                    raise BackupInterrupted(_cut_off(run_id, record), run=run_id)
                was_free = is_free
            waited_s = now - began
            if state == "requested" and take_within_s is not None and waited_s > take_within_s:
                if await asyncio.to_thread(self._requests.withdraw, run_id):
                    raise NoBackupRunner(_unheard(run_id, waited_s))
            elif state == "requested" and waited_s > UNHEARD_S and told is None:
                told = "unheard"
                if progress is not None:
                    progress.note(_unheard(run_id, waited_s))
            pause_s = FIRST_POLL_S if lines else min(pause_s * SLOWER, LAST_POLL_S)
            await asyncio.sleep(pause_s)


def _tell(line: RunLine, progress: Progress) -> None:
    """Say in the operation what a run says."""
    match line.type:
        case "started":
            progress.note("running")
        case "step":
            detail = " ".join(f"{name}={value}" for name, value in (line.detail or {}).items())
            progress.note(f"{line.name}: {detail}" if detail else str(line.name))
        case "progress" if line.unit == "bytes" and line.done is not None:
            progress.at(int(line.done), None if line.total is None else int(line.total))
        case "note":
            progress.note(line.text or "")
        case "warning":
            progress.note(f"warning: {line.text or ''}")
        case "ended":
            progress.note(line.error or line.meaning or "ended")


def _check(run_id: str, record: RunRecord, result: Mapping[str, Any]) -> None:
    """Raise unless the run ended well."""
    ended = record.ended
    assert ended is not None
    if ended.exit_code == 0:
        return
    kinds = {RESTORE_REFUSED: RestoreRefused, INTERRUPTED: BackupInterrupted}
    raise kinds.get(ended.exit_code or 0, BackupFailed)(
        ended.error or ended.meaning or "",
        run=run_id,
        exit_code=ended.exit_code,
        meaning=ended.meaning,
        result=_remembered(result) or None,
    )


def _remembered(result: Mapping[str, Any]) -> dict[str, Any]:
    """A result as an operation can remember it: a long list of changes is cut, the run's record has all of them."""
    kept = dict(result)
    while len(json.dumps(kept)) > RESULT_BYTES and isinstance(changes := kept.get("changes"), list) and changes:
        kept["changes"] = changes[: len(changes) // 2]
    return kept


def _cut_off(run_id: str, record: RunRecord) -> str:
    where = f" at the step {record.step.name}" if record.step else ""
    return f"the process of {run_id} was killed, or the power failed, before it was done{where}"


def _unheard(run_id: str, waited_s: float) -> str:
    unit = UNITS.get(verb_of(run_id), "run")
    return (
        f"no runner has picked this up for {waited_s / 60:.0f} minutes: is the unit that takes requests alive"
        f" (homeport backup requests --unit {unit})?"
    )
