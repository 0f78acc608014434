"""What became of the operations that a stopped portal has left behind.

Each is `interrupted` from the first moment; its act's re-check then looks at the world and says whether the act has
come about. Until that is known the target stays held, so that nobody changes what is being looked at. Whom a check asks
may be starting at the same moment: it is asked again for about a minute, then the outcome is unknown, and the
target is free. A check of what goes on without the portal says how long that may take, and returns at its end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from kit.logging import get_logger
from portal.operations.journal import Journal
from portal.operations.records import Operation, Outcome

log = get_logger()

RECHECK_S = 30.0
RECHECK_WAITS_S = (1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0)
RECHECKS_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Finding:
    """What a re-check found: whether the interrupted act has come about, and one line on how that shows."""

    outcome: Outcome
    detail: str = ""

    def __post_init__(self) -> None:
        if self.outcome is Outcome.CHECKING:
            raise ValueError("a finding is final")


Recheck = Callable[[Operation], Awaitable[Finding]]


@dataclass(frozen=True, slots=True)
class _Known:
    """A registered re-check, and how long one call of it may take."""

    check: Recheck
    within_s: float


class Recovery:
    def __init__(self, journal: Journal, *, waits_s: tuple[float, ...] = RECHECK_WAITS_S) -> None:
        self._journal = journal
        self._waits_s = waits_s
        self._rechecks: dict[str, _Known] = {}
        self._slots = asyncio.Semaphore(RECHECKS_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    def register(self, act: str, check: Recheck, *, within_s: float = RECHECK_S) -> None:
        """within_s   more than RECHECK_S: what it looks at goes on by itself, and it returns when that has ended"""
        if act in self._rechecks:
            raise ValueError(f"{act} has a re-check already")
        self._rechecks[act] = _Known(check, within_s)

    async def begin(self) -> list[Operation]:
        """Adopt what is nobody's and begin to check it. Return it as it was found."""
        operations = await self._journal.adopt()
        for operation in operations:
            log.warning("operation_interrupted", operation_id=operation.id, act=operation.act, target=operation.target)
            self._journal.tell(operation, state=operation.state, outcome=operation.outcome, report=operation.report)
            task = asyncio.create_task(self._settle(operation))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return operations

    async def finished(self) -> None:
        """Return when every outcome is known."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def close(self) -> None:
        """Stop checking. What is not settled is left for the next start."""
        for task in self._tasks:
            task.cancel()
        await self.finished()

    async def _settle(self, operation: Operation) -> None:
        known = self._rechecks.get(operation.act)
        # one that waits for hours must not keep the others from their turn
        async with contextlib.nullcontext() if known and known.within_s > RECHECK_S else self._slots:
            finding = await self._find_out(operation)
        await self._journal.settle(operation, finding.outcome, finding.detail)
        log.info("operation_rechecked", operation_id=operation.id, act=operation.act, outcome=finding.outcome.value)
        self._journal.tell(operation, state=operation.state, outcome=finding.outcome, report=operation.report)

    async def _find_out(self, operation: Operation) -> Finding:
        known = self._rechecks.get(operation.act)
        if known is None:
            return Finding(Outcome.UNKNOWN, "this act has no re-check")
        for wait_s in (*self._waits_s, None):
            try:
                return await asyncio.wait_for(_contained(known.check, operation), known.within_s)
            except TimeoutError:
                log.warning("recheck_without_answer", operation_id=operation.id, act=operation.act)
            except _CheckFailed as error:
                log.warning("recheck_failed", operation_id=operation.id, act=operation.act, exc_info=error.__cause__)
            if wait_s is not None:
                await asyncio.sleep(wait_s)
        return Finding(Outcome.UNKNOWN, "the re-check got no answer")


class _CheckFailed(Exception):
    """A re-check raised; `__cause__` is what."""


async def _contained(check: Recheck, operation: Operation) -> Finding:
    try:
        return await check(operation)
    except BaseException as error:  # SystemExit too; but our own being cancelled goes on
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise
        raise _CheckFailed from error
