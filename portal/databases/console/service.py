"""The SQL console: who may run what now, and what is written down of it.

    console = Console.of(servers, db, runner, clock, settings)
    result = await console.query(actor, wanted, is_gone)       # Refused, Failed, TimedOut ... as problems

Each query has a connection and a thread of its own; two at once for one user, eight for all. It is killed when its user
says so, when their client goes away, and at its limit. The console is off on a server whose account has more rights
than `grants.CONSOLE`: looked at when the portal starts, every hour, and again by each connection.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from kit.clock import Clock, now_utc
from kit.problem import Problem
from portal.actor import Actor
from portal.databases.console import completion, export, guard, history, write, write_records
from portal.databases.console.export import Export as Reading
from portal.databases.console.failures import (
    ConsoleOff,
    NoSuchQuery,
    QueryIdInUse,
    QueryKilled,
    StatementRefused,
    TooManyQueries,
)
from portal.databases.console.history import Act, Asked, Ending, Journal
from portal.databases.console.lexer import Refused
from portal.databases.console.run import Limits, Result, Running
from portal.databases.console.schemas import (
    MAX_STATEMENT,
    CompletionWords,
    ConsoleLimits,
    ConsoleServer,
    ConsoleSwitch,
    ConsoleView,
    QueryColumn,
    QueryHistory,
    QueryResult,
    RunExport,
    RunQuery,
    ShortenedCell,
)
from portal.databases.console.switches import Switches
from portal.databases.console.writes import Writes
from portal.databases.failures import StatementTimedOut
from portal.databases.servers import Server, Servers
from portal.db import Database
from portal.operations.runner import Runner
from portal.scheduler import Job
from portal.settings import PortalSettings

T = TypeVar("T")

AT_ONCE = 2  # of one user
THREADS = 8
QUERY = Limits(timeout_s=10.0, rows=1000, bytes=8 * 1024**2, characters=4096)
LOOK_EVERY_S = 0.25  # whether the client is still there

IsGone = Callable[[], Awaitable[bool]]


@dataclass(slots=True)
class _Held:
    """A query that runs: whose it is, and what ends it."""

    actor: tuple[str, str]
    kill: Callable[[], bool]


class Console:
    def __init__(self, servers: Servers, db: Database, runner: Runner, clock: Clock, state_dir: Path) -> None:
        self._servers = servers
        self._db = db
        self._clock = clock
        self._threads = ThreadPoolExecutor(THREADS, "console")
        self._running: dict[str, _Held] = {}
        self._journal = Journal(db, clock)
        self.switches = Switches(servers, clock)
        self.writes = Writes(servers, db, runner, clock, state_dir / "console", self._journal, self.in_thread)

    @classmethod
    def of(cls, servers: Servers, db: Database, runner: Runner, clock: Clock, settings: PortalSettings) -> Console:
        return cls(servers, db, runner, clock, settings.state_dir)

    def begin(self) -> None:
        """Before the runner recovers."""
        self.writes.begin()

    async def close(self) -> None:
        for held in list(self._running.values()):
            await self._in_any_thread(held.kill)
        self._threads.shutdown(wait=False, cancel_futures=True)

    @property
    def jobs(self) -> list[Job]:
        async def look() -> None:
            await asyncio.gather(*(self.in_thread(self.switches.look, name) for name in self._servers))

        async def forget() -> None:
            now = now_utc(self._clock)
            await self._db.run(lambda session: history.purge(session, now))
            await self.writes.forget(now)

        return [
            Job("console rights", every_s=3_600, work=look, timeout_s=120, is_at_start=True),
            Job("console forget", every_s=3_600, work=forget, timeout_s=120),
        ]

    # -- what is there ------------------------------------------------------------------------------------------------

    async def view(self) -> ConsoleView:
        """Every server, whether its console is on, and the limits. A silent server says so and keeps nobody waiting."""
        looked = await asyncio.gather(*(self.in_thread(self.switches.look, name) for name in self._servers))
        return ConsoleView(
            servers=[
                ConsoleServer(
                    name=name,
                    databases=list(seen.databases),
                    console=_switch(seen.console, seen.checked_at),
                    write=_switch(seen.write, seen.checked_at),
                )
                for name, seen in zip(self._servers, looked, strict=True)
            ],
            limits=ConsoleLimits(
                statement_characters=MAX_STATEMENT,
                query_s=QUERY.timeout_s,
                query_rows=QUERY.rows,
                query_bytes=QUERY.bytes,
                cell_characters=QUERY.characters,
                at_once=AT_ONCE,
                export_s=export.TIMEOUT_S,
                export_rows=export.MAX_ROWS,
                write_rows=write.MAX_ROWS,
                write_bytes=write.MAX_BYTES,
                write_valid_min=write_records.VALID_MIN,
                undo_days=write_records.KEPT_DAYS,
            ),
        )

    async def words(self, server: str, database: str) -> CompletionWords:
        running = Running(self._on(server), "console", self._clock)
        return await self.in_thread(completion.read, running, database)

    # -- reading ------------------------------------------------------------------------------------------------------

    async def query(self, actor: Actor, wanted: RunQuery, is_gone: IsGone) -> QueryResult:
        """Run one reading statement. `is_gone` says whether whoever waits for it still does."""
        server = self._on(wanted.server)
        asked, allowed = await self._asked(actor, "query", wanted)
        running = Running(server, "console", self._clock)
        with self._hold(actor, wanted.id, running.kill):
            async with self._noted(asked) as note:
                work = self.in_thread(running.read, allowed.text, wanted.database, QUERY)
                result = await self._while_there(work, running.kill, is_gone)
                note(len(result.rows), result.bytes, result.took_ms)
        return _view(wanted.id, result)

    async def export(self, actor: Actor, wanted: RunExport) -> Download:
        """Run one reading statement; return its rows as a stream, once the server has accepted it. It is closed by
        whoever has it, whether it was read or not."""
        server = self._on(wanted.server)
        asked, allowed = await self._asked(actor, "export", wanted)
        reading = Reading(Running(server, "console", self._clock), allowed.text, wanted.database, wanted.form)
        began = self._clock.monotonic()
        stack = contextlib.AsyncExitStack()
        try:
            stack.enter_context(self._hold(actor, wanted.id, reading.kill))
            note = await stack.enter_async_context(self._noted(asked))
            await self.in_thread(reading.open)
        except BaseException as error:
            await asyncio.shield(_unwind(stack, error))
            raise

        def told() -> None:
            note(reading.rows, reading.bytes, (self._clock.monotonic() - began) * 1000)

        return Download(self, reading, stack, told)

    async def kill(self, actor: Actor, query_id: str) -> bool:
        """End one's own query or export. Raise NoSuchQuery."""
        held = self._running.get(query_id)
        if held is None or held.actor != _who(actor):
            raise NoSuchQuery("it has ended, or was never yours")
        return await self._in_any_thread(held.kill)

    async def past(self, actor: Actor, *, before: str | None, limit: int) -> QueryHistory:
        return await self._journal.page(actor, before=before, limit=limit)

    # -- how ----------------------------------------------------------------------------------------------------------

    async def in_thread(self, function: Callable[..., T], *args: object) -> T:
        """Run what blocks in one of the console's threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: function(*args))

    @staticmethod
    async def _in_any_thread(function: Callable[..., T], *args: object) -> T:
        """As `in_thread` where no thread of the console may be free: killing must never wait for what it ends."""
        return await asyncio.to_thread(function, *args)

    def _on(self, name: str) -> Server:
        """Raise NoSuchServer, DatabasesNotConnected, ConsoleOff for an account that is not configured."""
        server = self._servers.find(name)
        if server.console is None:
            raise ConsoleOff("the servers' file has no account for the console", server=name)
        return server

    async def _asked(self, actor: Actor, act: Act, wanted: RunQuery | RunExport) -> tuple[Asked, guard.Allowed]:
        """Ask the guard, in a thread: a long statement takes its time. A refused one is written down."""
        place = wanted.server, wanted.database, wanted.statement
        try:
            allowed = await self.in_thread(guard.check, wanted.statement)
        except Refused as refused:
            asked = Asked(actor, act, *place, masked=guard.masked_roughly(wanted.statement), fingerprint="")
            await self._journal.ended(asked, "refused", error=f"{refused.rule}: {refused.why}")
            raise StatementRefused(refused.why, rule=refused.rule, position=refused.position) from refused
        asked = Asked(actor, act, *place, masked=allowed.masked, fingerprint=allowed.fingerprint)
        return asked, allowed

    @contextlib.contextmanager
    def _hold(self, actor: Actor, query_id: str, kill: Callable[[], bool]) -> Iterator[None]:
        """Count it as one of the actor's. Raise TooManyQueries, QueryIdInUse."""
        who = _who(actor)
        if query_id in self._running:
            raise QueryIdInUse("draw another id for each query")
        if sum(held.actor == who for held in self._running.values()) >= AT_ONCE:
            raise TooManyQueries(f"{AT_ONCE} of yours are running", headers={"Retry-After": "2"})
        if len(self._running) >= THREADS:
            raise TooManyQueries(f"{THREADS} of everybody's are running", headers={"Retry-After": "2"})
        self._running[query_id] = _Held(who, kill)
        try:
            yield
        finally:
            del self._running[query_id]

    @contextlib.asynccontextmanager
    async def _noted(self, asked: Asked) -> AsyncIterator[Callable[[int, int, float], None]]:
        """Write it down before and after. The block says by the given function what came of it."""
        await self._journal.accepted(asked)
        rows, size, took_ms = 0, 0, 0.0

        def note(found_rows: int, found_size: int, found_ms: float) -> None:
            nonlocal rows, size, took_ms
            rows, size, took_ms = found_rows, found_size, found_ms

        state: Ending = "done"
        error = ""
        try:
            yield note
        except BaseException as failure:
            state, error = _ending(failure)
            raise
        finally:
            ended = self._journal.ended(asked, state, rows=rows, size=size, took_ms=took_ms, error=error)
            await asyncio.shield(ended)

    async def _while_there(self, work: Awaitable[T], kill: Callable[[], bool], is_gone: IsGone) -> T:
        """Await the work; kill it when its client has gone, or when this is cancelled."""
        task = asyncio.ensure_future(work)
        try:
            while not task.done():
                await asyncio.wait([task], timeout=LOOK_EVERY_S)
                if not task.done() and await is_gone():
                    await self._in_any_thread(kill)
                    break
            return await task
        except asyncio.CancelledError:
            await asyncio.shield(self._in_any_thread(kill))
            raise


class Download:
    """An export's parts, as an asynchronous iterator. `aclose` ends it where it is; closing twice does nothing."""

    def __init__(
        self, console: Console, reading: Reading, stack: contextlib.AsyncExitStack, told: Callable[[], None]
    ) -> None:
        self._console = console
        self._reading = reading
        self._stack = stack
        self._told = told
        self._is_closed = False

    def __aiter__(self) -> Download:
        return self

    async def __anext__(self) -> bytes:
        try:
            part = await self._console.in_thread(self._reading.next)
        except BaseException as error:
            await asyncio.shield(self._close(error))
            raise
        if not part:
            await self._close(None)
            raise StopAsyncIteration
        return part

    async def aclose(self) -> None:
        """Its reader went away, unless it has come to its end."""
        await asyncio.shield(self._close(QueryKilled("its reader went away")))

    async def _close(self, why: BaseException | None) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        if why is not None:  # a thread may be waiting for the server's next row
            await asyncio.to_thread(self._reading.kill)
        await asyncio.to_thread(self._reading.close)
        self._told()
        await _unwind(self._stack, why)


async def _unwind(stack: contextlib.AsyncExitStack, error: BaseException | None) -> None:
    """Leave what was entered, and tell it why; what it raises is the same again."""
    with contextlib.suppress(Problem, asyncio.CancelledError):
        await stack.__aexit__(None if error is None else type(error), error, None)


def _ending(failure: BaseException) -> tuple[Ending, str]:
    """How a failure is written down; the server's words are cut, and those of a defect stay out."""
    state: Ending = "failed"
    if isinstance(failure, StatementTimedOut):
        state = "timed-out"
    elif isinstance(failure, QueryKilled | asyncio.CancelledError | GeneratorExit):
        state = "killed"
    return state, failure.detail or failure.title if isinstance(failure, Problem) else ""


def _who(actor: Actor) -> tuple[str, str]:
    return actor.kind, actor.id


def _switch(why: str, checked_at: datetime | None) -> ConsoleSwitch:
    return ConsoleSwitch(is_on=not why, why=why, checked_at=checked_at)


def _view(query_id: str, result: Result) -> QueryResult:
    return QueryResult(
        id=query_id,
        columns=[QueryColumn(name=each.name, kind=each.kind) for each in result.columns],
        rows=result.rows,
        cut=[ShortenedCell(row=row, column=column, length=length) for row, column, length in result.cut],
        stopped_by=result.stopped_by,
        bytes=result.bytes,
        took_ms=round(result.took_ms, 1),
        warnings=result.warnings,
    )
