"""The runner: record before act, one operation per target, closed whatever happens.

    operation = await runner.start(actor, "containers:restart", "blog-nginx", restart, timeout_s=60)

What is true at each moment:

1. `start` writes the operation and an audit row (ACCEPTED) in one transaction; the row takes the target. Only then the
   work begins, in this process, as a task. That the caller goes away changes nothing any more.
2. The work returns, raises (anything), is cancelled, or runs out of time: one transaction writes the end and the second
   audit row, and frees the target. While the database cannot be written, this is tried again until it can.
3. A crash at any point leaves a running row with the name of an owner that is gone. `recover`, at the next start, makes
   it `interrupted` and asks the act's re-check what is true (recovery.py). A portal that stops in order cancels its
   work and leaves the rows in the same state.

The work runs beside the loop's other tasks, so what blocks goes through `progress.in_thread`. An operation counts as
running as long as its work does: a cancelled one whose thread has not ended yet still holds its target.

One runner per database: the portal takes a lock before it starts one.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog

from kit.clock import Clock, now_utc
from kit.logging import get_logger
from kit.problem import InternalError, Problem
from portal import metrics
from portal.actor import Actor
from portal.audit.redaction import clip, to_json
from portal.db import Database, DatabaseUnavailable
from portal.operations import records
from portal.operations.hub import Hub
from portal.operations.journal import Ending, Journal, TargetBusy
from portal.operations.models import MAX_TARGET
from portal.operations.progress import Progress, Report
from portal.operations.records import Filter, Inverse, Operation, Outcome, State
from portal.operations.recovery import RECHECK_S, RECHECK_WAITS_S, Finding, Recheck, Recovery

__all__ = ["Filter", "Finding", "Inverse", "Operation", "Outcome", "Runner", "State", "TargetBusy", "Work"]

log = get_logger()
T = TypeVar("T")

THREADS = 16  # of work that blocks; more than that many at once wait for their turn
REPORT_EVERY_S = 0.25  # to those who watch
SAVE_EVERY_S = 2.0  # to the database
LINES_PER_EVENT = 40
LAST_S = 5.0  # for work to end when the portal stops

Work = Callable[[Progress], Awaitable[Mapping[str, Any] | None]]


class OperationNotFound(Problem):
    """There is no operation of this id."""

    status, type, title = 404, "operation-not-found", "No such operation"


class OperationEnded(Problem):
    """The operation has ended, so there is nothing to cancel."""

    status, type, title = 409, "operation-ended", "Operation has ended"


class PortalStopping(Problem):
    """The portal is about to stop and begins nothing new."""

    status, type, title = 503, "portal-stopping", "Portal is stopping"


_CANCELLED = Ending(State.CANCELLED)
_STOPPED = Ending(State.INTERRUPTED, outcome=Outcome.CHECKING, detail="the portal stopped")
_NOT_BEGUN = Ending(State.INTERRUPTED, outcome=Outcome.NOT_DONE, detail="the portal stopped before it began")


@dataclass(slots=True)
class _Running:
    """An operation whose work this runner owns.

    ordered   why its work was told to end before its time: CANCELLED, INTERRUPTED, or None
    told      the number of the newest line that was published
    """

    operation: Operation
    progress: Progress
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[Ending] | None = None
    ordered: State | None = None
    told: int = 0

    def end(self, order: State) -> None:
        """Tell the work to end. The first order counts."""
        if self.ordered is None:
            self.ordered = order
            self.progress.cancel()
            if self.task is not None:
                self.task.cancel()

    def without_work(self) -> Ending:
        """How it ends when its work never began."""
        return _CANCELLED if self.ordered is State.CANCELLED else _NOT_BEGUN

    def present(self) -> Operation:
        return dataclasses.replace(self.operation, report=self.progress.report())


class Runner:
    """Belongs to one event loop. `recover` at its beginning, `close` at its end."""

    def __init__(
        self, database: Database, hub: Hub, clock: Clock, *, recheck_waits_s: tuple[float, ...] = RECHECK_WAITS_S
    ) -> None:
        self._database = database
        self._clock = clock
        self._journal = Journal(database, hub, clock)
        self._recovery = Recovery(self._journal, waits_s=recheck_waits_s)
        self._running: dict[str, _Running] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._threads = ThreadPoolExecutor(THREADS, "operation")
        self._is_closing = False
        self._patience_s = LAST_S

    async def start(
        self,
        actor: Actor,
        act: str,
        target: str,
        work: Work,
        *,
        timeout_s: float,
        detail: Mapping[str, object] | None = None,
        inverse: Inverse | None = None,
    ) -> Operation:
        """Record an operation, then begin it; return as soon as it is recorded.

        act        as in the policy table: "room:verb"
        target     what it is done to, unique within the room
        work       does it, and returns what to remember of it
        timeout_s  after which the work is cancelled
        detail     what was asked for, beside act and target; for the reader, without its secrets
        inverse    what takes it back, if anything does
        raises     TargetBusy, with the id of the operation that holds the target; DatabaseUnavailable, PortalStopping:
                   then nothing begins
        """
        if clip(target, MAX_TARGET) != target or not target:
            raise ValueError(f"a target has 1 to {MAX_TARGET} characters, none of them NUL or a lone surrogate")
        now = now_utc(self._clock)
        operation = Operation(
            id=records.new_id(now),
            act=act,
            target=target,
            actor=actor,
            state=State.RUNNING,
            outcome=None,
            outcome_detail="",
            started_at=now,
            ended_at=None,
            timeout_s=timeout_s,
            cancelled_by=None,
            report=Report(None, None, ()),
            detail=dict(detail or {}),
            inverse=inverse,
            result=None,
            error=None,
        )
        # Who asked may go away while the transaction is under way; what it has written still has to be done.
        return await asyncio.shield(self._own(self._begin(operation, work)))

    async def get(self, operation_id: str) -> Operation:
        """Return an operation as it is now, with its lines. Raise OperationNotFound."""
        if running := self._running.get(operation_id):
            return running.present()
        operation = await self._database.read(lambda session: records.get(session, operation_id))
        if operation is None:
            raise OperationNotFound("there is no operation of this id")
        return operation

    async def find(self, wanted: Filter, *, before: str | None = None, limit: int = 50) -> list[Operation]:
        """Return the newest operations, newest first, without their lines; `before` continues behind that id."""
        return await self._database.read(lambda session: records.find(session, wanted, before=before, limit=limit))

    async def typical_s(self, operation: Operation) -> float | None:
        """How long such an operation takes: the median of its last runs that went well, in seconds."""
        return await self._database.read(lambda session: records.typical_s(session, operation.act, operation.target))

    async def wait(self, operation_id: str) -> Operation:
        """Return an operation when it has ended. Raise OperationNotFound."""
        if running := self._running.get(operation_id):
            await running.ended.wait()
        return await self.get(operation_id)

    async def cancel(self, actor: Actor, operation_id: str) -> Operation:
        """Record who wants it, then tell the work to end; asking again changes nothing.

        returns   the operation as it is then: mostly still running, since work may need time to end
        raises    OperationNotFound, OperationEnded
        """
        running = self._running.get(operation_id)
        if running is not None and await self._journal.cancel(operation_id, actor):
            running.operation = dataclasses.replace(running.operation, cancelled_by=clip(actor.name, 255))
            log.info("operation_cancelled", operation_id=operation_id)
            running.end(State.CANCELLED)
            if not running.ended.is_set():  # else its end has been told, and is the last word
                self._tell(running)
        operation = await self.get(operation_id)
        if operation.state is not State.RUNNING and operation.cancelled_by is None:
            raise OperationEnded(f"it is {operation.state} already", operation=operation.id)
        return operation

    def recheck(self, act: str, check: Recheck, *, within_s: float = RECHECK_S) -> None:
        """Register what finds out whether an interrupted act has come about. Before `recover`.

        check     looks at the world and never changes it; when it raises or gives no answer, it is asked again
        within_s  for an answer. What the act has begun may go on without the portal: then until its end
        """
        self._recovery.register(act, check, within_s=within_s)

    async def recover(self) -> list[Operation]:
        """Make what an earlier process has left interrupted, and begin to check what became of it. Return it."""
        return await self._recovery.begin()

    async def recovered(self) -> None:
        """Return when the outcome of every interrupted operation is known."""
        await self._recovery.finished()

    async def close(self, *, within_s: float = LAST_S) -> None:
        """Begin nothing new, cancel what runs, and wait for it, but not for ever.

        Work that has not ended by then is left behind in its thread, and recorded as interrupted, to be checked by the
        next start.
        """
        self._is_closing = True
        for running in self._running.values():
            running.end(State.INTERRUPTED)
        await self._recovery.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._tasks:
                    await asyncio.wait(set(self._tasks))
        if self._running:
            log.warning("operations_left_behind", operation_ids=sorted(self._running))
        self._patience_s = 0.0
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=LAST_S)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _begin(self, operation: Operation, work: Work) -> Operation:
        if self._is_closing:
            raise PortalStopping(headers={"Retry-After": "5"})
        try:
            await self._journal.open(operation)
        except DatabaseUnavailable:
            if not self._database.is_sqlite:  # a connection lost in the middle of a commit: it may be written
                self._own(self._journal.close(operation, _NOT_BEGUN, None))
            raise
        running = _Running(operation, Progress(operation.id, self._clock, self._threads))
        self._running[operation.id] = running
        metrics.OPERATIONS_RUNNING.inc()
        self._own(self._watch(running, work))
        self._tell(running)
        log.info("operation_started", operation_id=operation.id, act=operation.act, target=operation.target)
        return operation

    async def _watch(self, running: _Running, work: Work) -> None:
        """Own an operation from its record to its end."""
        operation = running.operation
        structlog.contextvars.bind_contextvars(operation_id=operation.id)  # of this task and the work's
        ending = await self._run(running, work)
        await self._journal.close(operation, ending, running.progress.report())
        del self._running[operation.id]
        metrics.OPERATIONS_RUNNING.dec()
        metrics.OPERATIONS.labels(ending.state.value).inc()
        running.ended.set()
        self._tell(running, ending)
        log.info("operation_ended", act=operation.act, target=operation.target, state=ending.state.value)

    async def _run(self, running: _Running, work: Work) -> Ending:
        if running.ordered is not None or self._is_closing:
            return running.without_work()
        task = running.task = asyncio.create_task(self._work(running, work))
        reporting = asyncio.create_task(self._report(running))
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:  # by `close`, whose patience is over, or by the end of the loop itself
            running.end(State.INTERRUPTED)
            await asyncio.wait([task], timeout=self._patience_s)
        finally:
            reporting.cancel()
        if not task.done():
            return _STOPPED
        if task.cancelled():  # before its first step
            return running.without_work()
        return task.result()

    async def _work(self, running: _Running, work: Work) -> Ending:
        """Do the work and say how it ended. Raises nothing, whatever the work does."""
        limit = asyncio.timeout(running.operation.timeout_s)
        try:
            async with limit:
                result = await work(running.progress)
            return Ending(State.DONE, result=_remembered(result))
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if running.ordered is State.CANCELLED:
                return _CANCELLED
            if running.ordered is State.INTERRUPTED or (task is not None and task.cancelling()):
                return _STOPPED
            return _defect(error)  # it awaited something that somebody else has cancelled
        except TimeoutError as error:
            if limit.expired():
                return Ending(State.TIMED_OUT, detail=f"it had {running.operation.timeout_s:g} s")
            return _defect(error)
        except Problem as error:
            log.info("operation_refused", problem=error.type, detail=error.detail, exc_info=error.__cause__)
            return _failed(error)
        except BaseException as error:  # SystemExit too: work may end itself, not the portal
            return _defect(error)
        finally:
            running.progress.cancel()  # a thread that was left behind learns that nobody waits for it

    async def _report(self, running: _Running) -> None:
        """Pass on what the work says: soon to those who watch, at times to the database."""
        saved_at = self._clock.monotonic()
        while True:
            await running.progress.news()
            self._tell(running)
            if self._clock.monotonic() - saved_at >= SAVE_EVERY_S:
                try:
                    await self._journal.save(running.operation.id, running.progress.report())
                except Exception as error:  # these are lines for a reader; the end is what has to be written
                    log.warning("operation_report_not_saved", error=type(error).__name__)
                saved_at = self._clock.monotonic()
            await asyncio.sleep(REPORT_EVERY_S)

    def _tell(self, running: _Running, ending: Ending | None = None) -> None:
        report = running.progress.report()
        new = [line for line in report.lines if line.number > running.told]
        running.told = report.lines[-1].number if report.lines else 0
        self._journal.tell(
            running.operation,
            state=ending.state if ending else State.RUNNING,
            outcome=ending.outcome if ending else None,
            report=report,
            lines=new[-LINES_PER_EVENT:],
        )

    def _own(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run it as a task of this runner: it is kept, and ended with it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _remembered(result: Mapping[str, Any] | None) -> str | None:
    try:
        return to_json(result)
    except Exception:  # the work is done, whatever it says about it
        log.exception("operation_result_not_kept")
        return None


def _failed(error: Problem) -> Ending:
    document = {"type": f"/problems/{error.type}", "title": error.title, "detail": error.detail}
    beside = _remembered(error.extensions) if error.extensions else None
    return Ending(State.FAILED, result=beside, error=to_json(document), detail=error.type)


def _defect(error: BaseException) -> Ending:
    log.error("operation_failed", error=type(error).__name__, exc_info=error)
    return _failed(InternalError())
