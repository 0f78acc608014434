"""The SQL console's routes: parse, call, return."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from portal.actor import Actor
from portal.auth.dependencies import GuardedRoute, allowed, require_typed_name
from portal.databases.console.export import MEDIA_TYPES
from portal.databases.console.schemas import (
    ApplyWrite,
    CompletionWords,
    ConsoleView,
    KilledQuery,
    NewWrite,
    QueryHistory,
    QueryResult,
    RunExport,
    RunQuery,
    WriteList,
    WriteView,
)
from portal.databases.console.service import Console, Download
from portal.idempotency import OnceDep
from portal.operations.records import ID
from portal.operations.refused import recorded
from portal.operations.schemas import OperationView

router = APIRouter(prefix="/api/console", tags=["console"], route_class=GuardedRoute)

QueryId = Annotated[str, Path(pattern=r"^[A-Za-z0-9]{16,40}$")]
WriteId = Annotated[str, Path(pattern=ID)]
ServerName = Annotated[str, Path(min_length=1, max_length=32)]
DatabaseName = Annotated[str, Path(min_length=1, max_length=64)]
Before = Annotated[str | None, Query(pattern=ID)]
Limit = Annotated[int, Query(ge=1, le=500)]


def console_of(request: Request) -> Console:
    console: Console = request.app.state.portal.console
    return console


@router.get("")
async def read_console(request: Request, actor: Annotated[Actor, allowed("console:read")]) -> ConsoleView:
    """The servers, whether the console and its write mode are on there or what keeps them off, and the limits."""
    return await console_of(request).view()


@router.post("/query")
async def run_query(
    request: Request, actor: Annotated[Actor, allowed("console:query")], wanted: RunQuery, once: OnceDep
) -> QueryResult:
    """Run one reading statement and return its rows, up to the caps. A client that goes away kills it."""
    console = console_of(request)
    return await once(
        actor, QueryResult, lambda: console.query(actor, wanted, request.is_disconnected), keep_answer=False
    )


@router.post("/query/{query_id}/kill")
async def kill_query(
    request: Request, actor: Annotated[Actor, allowed("console:query")], query_id: QueryId, once: OnceDep
) -> KilledQuery:
    """End one's own query or export."""

    async def kill() -> KilledQuery:
        return KilledQuery(was_running=await console_of(request).kill(actor, query_id))

    return await once(actor, KilledQuery, kill)


@router.post(
    "/export",
    response_class=StreamingResponse,
    responses={200: {"content": {media_type: {"schema": {"type": "string"}} for media_type in MEDIA_TYPES.values()}}},
)
async def export_query(
    request: Request, actor: Annotated[Actor, allowed("console:export")], wanted: RunExport, once: OnceDep
) -> StreamingResponse:
    """Run one reading statement and stream all its rows as a download. A stream that is cut off was not read to its
    end. A repeated key streams nothing: the rows of that time are not kept."""
    begun: list[Download] = []

    async def begin() -> KilledQuery:
        begun.append(await console_of(request).export(actor, wanted))
        return KilledQuery(was_running=True)

    try:
        await once(actor, KilledQuery, begin, keep_answer=False)
    except BaseException:
        for download in begun:
            await download.aclose()
        raise
    name = "".join(each if each.isascii() and each.isalnum() else "-" for each in wanted.database or wanted.server)
    headers = {"Content-Disposition": f'attachment; filename="{name}.{wanted.form}"'}
    return _Closing(begun[0], headers=headers, media_type=MEDIA_TYPES[wanted.form])


class _Closing(StreamingResponse):
    """A stream that is closed also when nobody has begun to read it."""

    def __init__(self, download: Download, *, headers: dict[str, str], media_type: str) -> None:
        super().__init__(download, headers=headers, media_type=media_type)
        self._download = download

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._download.aclose()


@router.get("/history")
async def list_history(
    request: Request,
    actor: Annotated[Actor, allowed("console:read")],
    before: Before = None,
    limit: Limit = 100,
) -> QueryHistory:
    """What the caller ran, newest first."""
    return await console_of(request).past(actor, before=before, limit=limit)


@router.get("/words/{server}/{database}")
async def read_words(
    request: Request, actor: Annotated[Actor, allowed("console:read")], server: ServerName, database: DatabaseName
) -> CompletionWords:
    """What completion offers."""
    return await console_of(request).words(server, database)


@router.post("/writes", status_code=201)
async def measure_write(
    request: Request, actor: Annotated[Actor, allowed("console:write")], wanted: NewWrite, once: OnceDep
) -> WriteView:
    """What one INSERT, REPLACE, UPDATE or DELETE would change: done in a transaction that is rolled back."""

    async def measure() -> WriteView:
        return await console_of(request).writes.measure(actor, wanted.server, wanted.database, wanted.statement)

    return await once(actor, WriteView, measure, keep_answer=False)


@router.get("/writes")
async def list_writes(
    request: Request,
    actor: Annotated[Actor, allowed("console:read")],
    before: Before = None,
    limit: Limit = 50,
) -> WriteList:
    """Everybody's writes, newest first, without their rows."""
    return await console_of(request).writes.list(before=before, limit=limit)


@router.get("/writes/{write_id}")
async def read_write(
    request: Request, actor: Annotated[Actor, allowed("console:read")], write_id: WriteId
) -> WriteView:
    """A write as it was measured, and what became of it."""
    return await console_of(request).writes.get(write_id)


@router.post("/writes/{write_id}/apply", status_code=202)
async def apply_write(
    request: Request,
    actor: Annotated[Actor, allowed("console:write")],
    write_id: WriteId,
    wanted: ApplyWrite,
    once: OnceDep,
) -> OperationView:
    """Do what was measured, with the table's name typed. When the rows are others now: 409 with the new measure."""

    async def apply() -> OperationView:
        writes = console_of(request).writes
        require_typed_name((await writes.get(write_id)).table, wanted.typed_name)
        return OperationView.of(await writes.apply(actor, write_id, wanted.reason))

    return await recorded(request, actor, "console:write", write_id, once(actor, OperationView, apply))


@router.post("/writes/{write_id}/undo", status_code=201)
async def undo_write(
    request: Request, actor: Annotated[Actor, allowed("console:write")], write_id: WriteId, once: OnceDep
) -> WriteView:
    """The way back from a write that was applied, measured: a write to be looked at and applied like any other."""

    async def undo() -> WriteView:
        return await console_of(request).writes.undo(write_id)

    return await once(actor, WriteView, undo, keep_answer=False)
