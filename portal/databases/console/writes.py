"""Write mode: measured, looked at, applied, taken back.

    write = await writes.measure(actor, server, database, statement)     # 201: what would change; nothing is changed
    operation = await writes.apply(actor, write.id, reason)              # 202; or WriteStale with the new measure
    back = await writes.undo(actor, write.id)                            # a write of kind "undo", applied alike

Applying does the statement again in one transaction and compares: the same rows as they were, the same number of them.
The touched rows are saved (image.py) before the commit, so at every moment either nothing has changed or the way back
is on disk. A portal that is killed in between finds by the saved rows, at its next start, what became of the write.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from kit.clock import Clock, now_utc
from kit.problem import Problem
from portal.actor import Actor
from portal.audit import Result
from portal.databases.console import image, tables, write_guard
from portal.databases.console import write_records as records
from portal.databases.console.failures import (
    ConsoleOff,
    StatementRefused,
    WriteApplied,
    WriteNotApplied,
    WriteStale,
)
from portal.databases.console.guard import masked_roughly
from portal.databases.console.history import Asked, Journal
from portal.databases.console.image import Image
from portal.databases.console.lexer import Refused
from portal.databases.console.run import Running
from portal.databases.console.schemas import WriteList, WriteView
from portal.databases.console.write import Measured, Moved, Restore, Statement, Work, apply, current, measure
from portal.databases.console.write_records import KEPT_DAYS, VALID_MIN, Subject, claim, row_of, undone_by, view_of
from portal.databases.models import ConsoleWriteRow
from portal.databases.servers import Server, Servers
from portal.db import Database
from portal.operations.progress import Progress
from portal.operations.records import Outcome
from portal.operations.runner import Finding, Inverse, Operation, Runner

T = TypeVar("T")

ACT = "console:write"
MEASURE_S = 15.0
APPLY_S = 60.0


class InThread(Protocol):
    def __call__(self, function: Callable[..., T], *args: Any) -> Awaitable[T]:
        """Run what blocks in a thread."""
        ...


class Writes:
    """`directory` is the writes' own, in the portal's state."""

    def __init__(
        self,
        servers: Servers,
        db: Database,
        runner: Runner,
        clock: Clock,
        directory: Path,
        journal: Journal,
        in_thread: InThread,
    ) -> None:
        self._servers = servers
        self._db = db
        self._runner = runner
        self._clock = clock
        self._directory = directory
        self._journal = journal
        self._in_thread = in_thread

    def begin(self) -> None:
        """Before the runner recovers."""
        self._runner.recheck(ACT, self._recheck)

    async def measure(self, actor: Actor, server: str, database: str, statement: str) -> WriteView:
        """Say what a statement would change. Raise StatementRefused, StatementFailed, WriteNotPossible, ConsoleOff."""
        found = self._server(server)
        try:
            wanted = await self._in_thread(write_guard.check, statement)
        except Refused as refused:
            asked = Asked(actor, "write", server, database, statement, masked_roughly(statement), "")
            await self._journal.ended(asked, "refused", error=f"{refused.rule}: {refused.why}")
            raise StatementRefused(refused.why, rule=refused.rule, position=refused.position) from refused
        if wanted.database not in (None, database):
            raise StatementRefused("The table is in another database: choose that one.", rule="database", position=0)
        asked = Asked(actor, "measure", server, database, statement, wanted.masked, wanted.fingerprint)
        await self._journal.accepted(asked)
        try:
            measured = await self._in_thread(self._measured_statement, found, database, wanted)
        except BaseException:
            await asyncio.shield(self._journal.measured(asked, Result.FAILED))
            raise
        await self._journal.measured(asked, Result.DONE, rows=measured.affected)
        what = Subject(server, database, wanted.table, wanted.kind, statement, wanted.fingerprint)
        return await self._keep(measured, what)

    async def get(self, write_id: str) -> WriteView:
        """Raise NoSuchWrite."""
        return await self._db.read(lambda session: view_of(session, row_of(session, write_id)))

    async def list(self, *, before: str | None, limit: int) -> WriteList:
        """Everybody's, newest first; their changes are left out."""

        def read(session: Session) -> WriteList:
            query = select(ConsoleWriteRow)
            if before is not None:
                query = query.where(ConsoleWriteRow.id < before)
            rows = session.scalars(query.order_by(ConsoleWriteRow.id.desc()).limit(limit + 1)).all()
            views = [view_of(session, row).model_copy(update={"changes": []}) for row in rows[:limit]]
            return WriteList(writes=views, before=views[-1].id if len(rows) > limit else None)

        return await self._db.read(read)

    async def apply(self, actor: Actor, write_id: str, reason: str) -> Operation:
        """Begin to do what was measured. Raise NoSuchWrite, WriteApplied, WriteStale, TargetBusy."""
        row = await self._db.read(lambda session: row_of(session, write_id))
        if row.state != "measured":
            raise WriteApplied(operation=row.operation_id)
        work = await self._work(row)
        measured = await self._in_thread(self._measured, self._server(row.server), row.database, work)
        document = WriteView.model_validate_json(row.document)
        is_old = now_utc(self._clock) >= row.expires_at
        if is_old or (measured.before, measured.affected) != (row.before, document.affected_rows):
            why = f"it is older than {VALID_MIN} minutes" if is_old else "the rows have changed since"
            raise await self._stale(row, measured, why)

        async def do(progress: Progress) -> Mapping[str, Any]:
            return await self._do(actor, row, document.affected_rows, progress)

        target = f"{row.server}/{row.database}/{row.table}"
        detail = {
            "write": row.id,
            "kind": row.kind,
            "fingerprint": row.fingerprint,
            "affected_rows": document.affected_rows,
            "undoes": row.undoes,
            "reason": reason,
        }
        inverse = Inverse(ACT, target, row.id)
        return await self._runner.start(actor, ACT, target, do, timeout_s=APPLY_S * 2, detail=detail, inverse=inverse)

    async def undo(self, write_id: str) -> WriteView:
        """Measure the way back. Raise NoSuchWrite, WriteNotApplied, RowsChanged, WriteNotPossible."""
        row = await self._db.read(lambda session: row_of(session, write_id))
        state = row.state
        if state == "unknown":  # nobody could say at the time
            state = await self._truth(row)
            await self._settle(row.id, state, now_utc(self._clock) if state == "applied" else None)
        taken_back = await self._db.read(lambda session: undone_by(session, row.id))
        if state != "applied" or taken_back is not None:
            raise WriteNotApplied(undone_by=taken_back)
        server = self._server(row.server)
        work = await self._in_thread(self._way_back, server, row)
        measured = await self._in_thread(self._measured, server, row.database, work)
        return await self._keep(measured, replace(Subject.of(row), kind="undo", undoes=row.id))

    async def forget(self, now: datetime) -> None:
        """Remove what is too old to be undone, and saved rows that no record names."""
        before = now - timedelta(days=KEPT_DAYS)
        old = ConsoleWriteRow.measured_at < before
        await self._db.run(lambda session: session.execute(delete(ConsoleWriteRow).where(old)))
        kept = set(await self._db.read(lambda session: session.scalars(select(ConsoleWriteRow.id)).all()))
        await self._in_thread(_remove_but, self._directory, kept)

    # -- the parts of an act ------------------------------------------------------------------------------------------

    async def _do(self, actor: Actor, row: ConsoleWriteRow, affected: int, progress: Progress) -> Mapping[str, Any]:
        await self._db.run(lambda session: claim(session, row.id, progress.operation_id))
        began = self._clock.monotonic()
        failure: BaseException | None = None
        try:
            work = await self._work(row)
            await progress.in_thread(self._applied, row, work, affected)
        except Moved as moved:
            failure = await self._stale(row, moved.measured, "the rows have changed since")
        except BaseException as error:  # cancelled too: the thread has ended by then, and may have committed
            failure = error
        state = await asyncio.shield(self._end(actor, row, affected, failure, began))
        if failure is not None and (state != "applied" or not isinstance(failure, Problem)):
            raise failure
        return {"write": row.id, "rows": affected}

    async def _end(
        self, actor: Actor, row: ConsoleWriteRow, affected: int, failure: BaseException | None, began: float
    ) -> str:
        """Find out what is true, and write it down. A failure may be that of the commit's answer, not of the commit."""
        state = "applied"
        if failure is not None:
            state = "unknown"
            with contextlib.suppress(Problem):
                state = await self._truth(row)
        await self._settle(row.id, state, now_utc(self._clock) if state == "applied" else None)
        error = failure.detail or failure.title if isinstance(failure, Problem) else ""
        await self._journal.remember(
            Asked(actor, "write", row.server, row.database, row.statement, "", row.fingerprint),
            "done" if state == "applied" else "failed",
            rows=affected if state == "applied" else 0,
            took_ms=(self._clock.monotonic() - began) * 1000,
            error=error,
        )
        return state

    def _applied(self, row: ConsoleWriteRow, work: Work, affected: int) -> Measured:
        running = Running(self._server(row.server), "write", self._clock)

        def save(found: Image) -> None:
            image.save(self._path(row.id), found)

        with running.speaking(row.statement, APPLY_S), running.session(row.database, APPLY_S) as connection:
            return apply(connection, work, before=row.before, affected=affected, save=save)

    def _measured_statement(self, server: Server, database: str, wanted: write_guard.Wanted) -> Measured:
        return self._measured(server, database, self._statement(server, database, wanted))

    def _measured(self, server: Server, database: str, work: Work) -> Measured:
        running = Running(server, "write", self._clock)
        text = work.wanted.text if isinstance(work, Statement) else ""
        with running.speaking(text, MEASURE_S), running.session(database, MEASURE_S) as connection:
            return measure(connection, work)

    def _statement(self, server: Server, database: str, wanted: write_guard.Wanted) -> Statement:
        with contextlib.closing(server.connect("admin")) as connection:
            return Statement(tables.read(connection, database, wanted.table, wanted.kind), wanted)

    async def _work(self, row: ConsoleWriteRow) -> Work:
        server = self._server(row.server)
        if row.undoes is None:
            wanted = await self._in_thread(write_guard.check, row.statement)
            return await self._in_thread(self._statement, server, row.database, wanted)
        undone = await self._db.read(lambda session: row_of(session, str(row.undoes)))
        return await self._in_thread(self._way_back, server, undone)

    def _way_back(self, server: Server, row: ConsoleWriteRow) -> Restore:
        """What takes an applied write back. Raise WriteNotApplied when its rows are not kept any more."""
        saved = image.load(self._path(row.id))
        if saved is None:
            raise WriteNotApplied("what it saved is gone")
        with contextlib.closing(server.connect("admin")) as connection:
            return Restore(tables.read(connection, row.database, row.table, "undo"), saved.turned())

    def _server(self, name: str) -> Server:
        server = self._servers.find(name)
        if server.write is None:
            raise ConsoleOff("the servers' file has no account for writing", server=name)
        return server

    def _path(self, write_id: str) -> Path:
        return self._directory / f"{write_id}.zst"

    # -- what is written down -----------------------------------------------------------------------------------------

    async def _keep(self, measured: Measured, what: Subject) -> WriteView:
        view, row = records.measured(measured, what, now_utc(self._clock))
        await self._db.run(lambda session: session.add(row))
        return view

    async def _stale(self, row: ConsoleWriteRow, measured: Measured, why: str) -> WriteStale:
        new = await self._keep(measured, Subject.of(row))
        return WriteStale(why, write=json.loads(new.model_dump_json()))

    async def _settle(self, write_id: str, state: str, applied_at: datetime | None) -> None:
        values = {"state": state, "applied_at": applied_at}
        query = update(ConsoleWriteRow).where(ConsoleWriteRow.id == write_id).values(**values)
        await self._db.run(lambda session: session.execute(query))
        if state == "not-applied":
            await self._in_thread(_remove, self._path(write_id))

    async def _recheck(self, operation: Operation) -> Finding:
        """What an interrupted write has done: by its saved rows, which are there before it is committed."""
        write_id = operation.inverse.plan_id if operation.inverse is not None else None
        row = await self._db.read(lambda session: session.get(ConsoleWriteRow, write_id or ""))
        if row is None:
            return Finding(Outcome.UNKNOWN, "its record is gone")
        state = await self._truth(row)
        at = operation.started_at if state == "applied" else None
        await self._settle(row.id, state, at)
        outcome, detail = _FINDINGS[state]
        return Finding(outcome, detail)

    async def _truth(self, row: ConsoleWriteRow) -> str:
        """applied, not-applied or unknown, by a look at the rows. Raise what keeps the server from being asked."""
        saved = await self._in_thread(image.load, self._path(row.id))
        if saved is None:
            return "not-applied"  # it is saved before it is committed
        present = await self._in_thread(self._present, row, saved)
        if present == dict(saved.after):
            return "applied"
        return "not-applied" if present == dict(saved.before) else "unknown"

    # What a portal that was killed has left at work on these rows ends first: they are read FOR UPDATE.
    def _present(self, row: ConsoleWriteRow, saved: Image) -> dict[image.RawRow, image.RawRow]:
        server = self._server(row.server)
        with contextlib.closing(server.connect("admin")) as connection:
            table = tables.read(connection, row.database, row.table, "insert")
        running = Running(server, "write", self._clock)
        keys = list(dict.fromkeys((*saved.before, *saved.after)))
        with running.speaking("", MEASURE_S), running.session(row.database, MEASURE_S) as connection:
            return dict(current(connection, table, keys, saved.columns))


_FINDINGS = {
    "applied": (Outcome.DONE, "the rows are as the write leaves them"),
    "not-applied": (Outcome.NOT_DONE, "the rows are as they were before it"),
    "unknown": (Outcome.UNKNOWN, "the rows are neither as before nor as the write leaves them"),
}


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def _remove_but(directory: Path, kept: set[str]) -> None:
    for path in directory.glob("*.zst") if directory.is_dir() else ():
        if path.stem not in kept:
            path.unlink(missing_ok=True)
