"""The databases room's routes: parse, call, return."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from pydantic import TypeAdapter, ValidationError
from starlette.responses import StreamingResponse

from kit.problem import InvalidRequest
from portal.actor import Actor
from portal.audit import Result, record_now
from portal.auth.dependencies import GuardedRoute, allowed, require_step_up, require_typed_name
from portal.databases import schemas
from portal.databases.acts import Confirm
from portal.databases.browse import MAX_FILTERS, MAX_LIMIT, Wanted
from portal.databases.downloads import MEDIA_TYPES, download_of_database, download_of_dump
from portal.databases.dump_store import Upload
from portal.databases.models import DumpRow
from portal.databases.schemas import (
    NAME,
    AccountList,
    BeginUpload,
    ChangeGrants,
    Compression,
    ConnectionChecks,
    CreateDatabase,
    DatabaseView,
    DumpList,
    DumpView,
    Filter,
    Killed,
    KillProcess,
    LoadDump,
    ProcessList,
    RowPage,
    ServerList,
    ServerView,
    SlowList,
    TableView,
    UploadPiece,
    UploadView,
    WithPassword,
)
from portal.databases.servers import NAME as SERVER_NAME
from portal.databases.service import DatabasesRoom
from portal.databases.slow import MAX_QUERIES
from portal.idempotency import OnceDep
from portal.operations.refused import recorded
from portal.operations.schemas import OperationView

router = APIRouter(prefix="/api/databases", tags=["databases"], route_class=GuardedRoute)

ServerName = Annotated[str, Path(pattern=SERVER_NAME, max_length=32)]
DatabaseName = Annotated[str, Path(pattern=NAME, max_length=64)]
TableName = Annotated[str, Path(pattern=NAME, max_length=64)]
AccountName = Annotated[str, Path(min_length=1, max_length=200, pattern=r"^[^\x00/]+$", description="user@host")]
DumpId = Annotated[str, Path(pattern=r"^[0-9A-Z]{26}$")]
UploadId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]
Typed = Annotated[str | None, Query(max_length=64, description="The database's name, typed")]

_BINARY: dict[str, Any] = {
    media_type: {"schema": {"type": "string", "format": "binary"}} for media_type in MEDIA_TYPES.values()
}


# -- dumps and uploads: before the servers, whose paths begin alike ---------------------------------------------------


@router.get("/dumps")
async def list_dumps(request: Request, actor: Annotated[Actor, allowed("databases:dump")]) -> DumpList:
    """The dumps that are kept here, newest first."""
    return DumpList(dumps=[_dump(row) for row in await room_of(request).store.all()])


@router.get("/dumps/{dump}", response_class=StreamingResponse, responses={200: {"content": _BINARY}})
async def download_dump(
    request: Request, actor: Annotated[Actor, allowed("databases:dump")], dump: DumpId
) -> StreamingResponse:
    """A kept dump, as it lies: `.sql.zst`."""
    row = await room_of(request).store.get(dump)
    await record_now(
        request.app.state.portal.db,
        actor,
        actor.tag("databases:dump"),
        f"{row.server}/{row.database}",
        Result.ACCEPTED,
        detail=f"dump {row.id}",
    )
    return download_of_dump(row, room_of(request).store.path(row.id))


@router.post("/uploads", status_code=201)
async def begin_upload(
    request: Request, actor: Annotated[Actor, allowed("databases:load")], wanted: BeginUpload, once: OnceDep
) -> UploadView:
    """Say what will be sent. It comes in pieces, in order; an upload that is not loaded is removed after a day."""
    room = room_of(request)

    async def begin() -> UploadView:
        return _upload(await room.blocking(room.store.begin_upload, _who(actor), wanted.name, wanted.bytes))

    return await once(actor, UploadView, begin)


@router.put("/uploads/{upload}/{offset}", max_body_size=schemas.MAX_PIECE_BODY + 1024)
async def upload_piece(
    request: Request,
    actor: Annotated[Actor, allowed("databases:load")],
    upload: UploadId,
    offset: Annotated[int, Path(ge=0, le=1024**4)],
    piece: UploadPiece,
    once: OnceDep,
) -> UploadView:
    """The next piece, at its place. One that has arrived already may be sent again."""
    room = room_of(request)
    try:
        data = base64.b64decode(piece.data, validate=True)
    except binascii.Error:
        raise InvalidRequest("the piece is no base64") from None
    if len(data) > schemas.PIECE_BYTES:
        raise InvalidRequest(f"a piece has at most {schemas.PIECE_BYTES} bytes")

    async def add() -> UploadView:
        return _upload(await room.blocking(room.store.add_piece, _who(actor), upload, offset, data))

    return await once(actor, UploadView, add)


@router.delete("/uploads/{upload}", status_code=204)
async def remove_upload(
    request: Request, actor: Annotated[Actor, allowed("databases:load")], upload: UploadId, once: OnceDep
) -> None:
    """Forget an upload."""
    room = room_of(request)

    async def remove() -> None:
        found = await room.blocking(room.store.upload, _who(actor), upload)
        await room.blocking(room.store.remove_upload, found.id)

    await once.without_answer(actor, remove)


# -- servers ----------------------------------------------------------------------------------------------------------


@router.get("")
async def list_servers(request: Request, actor: Annotated[Actor, allowed("databases:list")]) -> ServerList:
    """Every configured server with its databases; a silent one as it was last seen, with that time."""
    return await room_of(request).overview()


@router.get("/{server}")
async def read_server(
    request: Request, actor: Annotated[Actor, allowed("databases:list")], server: ServerName
) -> ServerView:
    """One server with its databases."""
    return await room_of(request).server(server)


@router.get("/{server}/connection")
async def check_server(
    request: Request, actor: Annotated[Actor, allowed("databases:accounts")], server: ServerName
) -> ConnectionChecks:
    """Go the way of every configured account now, and say where it ends: name, tcp, tls, login, permission."""
    return await room_of(request).check(server)


@router.get("/{server}/processes")
async def list_processes(
    request: Request, actor: Annotated[Actor, allowed("databases:processes")], server: ServerName
) -> ProcessList:
    """What the server is doing now, longest first; without Homeport's own connections."""
    return await room_of(request).processes(server)


@router.post("/{server}/processes/{process}/kill")
async def kill_process(
    request: Request,
    actor: Annotated[Actor, allowed("databases:kill")],
    server: ServerName,
    process: Annotated[int, Path(ge=1, le=2**63 - 1)],
    wanted: KillProcess,
    once: OnceDep,
) -> Killed:
    """End a statement, or the connection it came by."""
    room, database = room_of(request), request.app.state.portal.db

    async def kill() -> Killed:
        act, target = actor.tag("databases:kill"), f"{server}/process {process}"
        await record_now(database, actor, act, target, Result.ACCEPTED, detail=wanted.what)
        found = await room.kill(server, process, wanted)
        await record_now(database, actor, act, target, Result.DONE, detail=f"{found.user}, {found.seconds:g} s")
        return Killed(id=process, what=wanted.what)

    return await once(actor, Killed, kill)


@router.get("/{server}/slow")
async def list_slow_queries(
    request: Request,
    actor: Annotated[Actor, allowed("databases:processes")],
    server: ServerName,
    limit: Annotated[int, Query(ge=1, le=MAX_QUERIES)] = 50,
) -> SlowList:
    """Queries that took long, as far as the server keeps them; where it keeps none, that is said."""
    return await room_of(request).slow(server, limit)


@router.get("/{server}/accounts")
async def list_accounts(
    request: Request, actor: Annotated[Actor, allowed("databases:accounts")], server: ServerName
) -> AccountList:
    """Every account with what it may do."""
    return await room_of(request).accounts(server)


@router.post("/{server}/accounts/{account}/rotate", status_code=202)
async def rotate_password(
    request: Request,
    actor: Annotated[Actor, allowed("databases:rotate")],
    server: ServerName,
    account: AccountName,
    once: OnceDep,
) -> WithPassword:
    """Give an account another password: shown in this answer alone, or handed to the site that works with it."""
    room = room_of(request)

    async def rotate() -> WithPassword:
        operation, name, password = await room.acts.rotate(actor, server, account)
        return WithPassword(operation=OperationView.of(operation), account=name, password=password)

    return await once(actor, WithPassword, rotate, keep_answer=False)


@router.put("/{server}/accounts/{account}/grants", status_code=202)
async def change_grants(
    request: Request,
    actor: Annotated[Actor, allowed("databases:grant")],
    server: ServerName,
    account: AccountName,
    wanted: ChangeGrants,
    once: OnceDep,
) -> OperationView:
    """Let an account do exactly these things in a database."""
    room = room_of(request)

    async def change() -> OperationView:
        return OperationView.of(await room.acts.grant(actor, server, account, wanted))

    return await once(actor, OperationView, change)


@router.post("/{server}/databases", status_code=202)
async def create_database(
    request: Request,
    actor: Annotated[Actor, allowed("databases:create")],
    server: ServerName,
    wanted: CreateDatabase,
    once: OnceDep,
) -> WithPassword:
    """Make an empty database and an account for it. The password is in this answer and nowhere else."""
    room = room_of(request)

    async def create() -> WithPassword:
        operation, name, password = await room.acts.create(actor, server, wanted)
        return WithPassword(operation=OperationView.of(operation), account=name, password=password)

    return await once(actor, WithPassword, create, keep_answer=False)


# -- one database -----------------------------------------------------------------------------------------------------


@router.get("/{server}/{database}")
async def read_database(
    request: Request, actor: Annotated[Actor, allowed("databases:read")], server: ServerName, database: DatabaseName
) -> DatabaseView:
    """One database as it is now: its tables, views, routines and triggers."""
    return await room_of(request).database(server, database)


@router.delete("/{server}/{database}", status_code=202)
async def drop_database(
    request: Request,
    actor: Annotated[Actor, allowed("databases:drop")],
    server: ServerName,
    database: DatabaseName,
    once: OnceDep,
    typed_name: Typed = None,
    account: Annotated[list[str] | None, Query(max_length=20, description="user@host; goes with it")] = None,
) -> OperationView:
    """Remove a database, after a verified dump that is kept for 30 days."""
    room = room_of(request)

    async def drop() -> OperationView:
        def confirm(name: str) -> None:
            require_typed_name(name, typed_name)

        return OperationView.of(await room.acts.drop(actor, server, database, account or [], confirm))

    target = f"{server}/{database}"
    return await recorded(request, actor, "databases:drop", target, once(actor, OperationView, drop))


@router.get("/{server}/{database}/dump", response_class=StreamingResponse, responses={200: {"content": _BINARY}})
async def download_database(
    request: Request,
    actor: Annotated[Actor, allowed("databases:dump")],
    server: ServerName,
    database: DatabaseName,
    compression: Compression = "zst",
) -> StreamingResponse:
    """A dump of now, as a download. One that can't be made whole is cut off, so that it never looks whole."""
    return await download_of_database(request, room_of(request), actor, server, database, compression)


@router.post("/{server}/{database}/dumps", status_code=202)
async def keep_dump(
    request: Request,
    actor: Annotated[Actor, allowed("databases:dump")],
    server: ServerName,
    database: DatabaseName,
    once: OnceDep,
) -> OperationView:
    """Make a verified dump and keep it here for 30 days."""
    room = room_of(request)

    async def dump() -> OperationView:
        return OperationView.of(await room.acts.dump(actor, server, database))

    return await once(actor, OperationView, dump)


@router.post("/{server}/{database}/load", status_code=202)
async def load_dump(
    request: Request,
    actor: Annotated[Actor, allowed("databases:load")],
    server: ServerName,
    database: DatabaseName,
    wanted: LoadDump,
    once: OnceDep,
) -> OperationView:
    """Load an upload or a kept dump. A database that holds tables needs its name typed and a fresh factor; what it
    holds is dumped first."""
    room = room_of(request)
    if (wanted.upload is None) == (wanted.dump is None):
        raise InvalidRequest("give either upload or dump")

    async def load() -> OperationView:
        def done() -> None:
            if wanted.upload is not None:
                room.store.remove_upload(wanted.upload)

        if wanted.upload is not None:
            path, what = await room.blocking(room.store.whole_upload, _who(actor), wanted.upload)
        else:
            row = await room.store.get(wanted.dump or "")
            path, what = room.store.path(row.id), f"dump {row.id} of {row.server}/{row.database}"
        confirm = _confirm(request, wanted)
        return OperationView.of(await room.acts.load(actor, server, database, path, what, confirm, then=done))

    target = f"{server}/{database}"
    return await recorded(request, actor, "databases:load", target, once(actor, OperationView, load))


@router.get("/{server}/{database}/{table}")
async def read_table(
    request: Request,
    actor: Annotated[Actor, allowed("databases:read")],
    server: ServerName,
    database: DatabaseName,
    table: TableName,
) -> TableView:
    """One table: columns, indexes, foreign keys, triggers; a view's SELECT."""
    return await room_of(request).table(server, database, table)


@router.get("/{server}/{database}/{table}/rows")
async def browse_rows(
    request: Request,
    actor: Annotated[Actor, allowed("databases:browse")],
    server: ServerName,
    database: DatabaseName,
    table: TableName,
    sort: Annotated[str | None, Query(max_length=64)] = None,
    descending: bool = False,
    filters: Annotated[
        str | None, Query(max_length=4000, description='JSON: [{"column": "ID", "is": "=", "value": "5"}, ...]')
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 50,
    after: Annotated[str | None, Query(pattern="^[A-Za-z0-9_-]*$", max_length=8000)] = None,
) -> RowPage:
    """A page of rows, sorted and filtered on the server, and recorded as read. Long cells are cut and say how long."""
    conditions = _conditions(filters)
    if len(conditions) > MAX_FILTERS:
        raise InvalidRequest(f"at most {MAX_FILTERS} filters")
    wanted = Wanted(sort=sort, is_descending=descending, filters=tuple(conditions), limit=limit, after=after)
    page = await room_of(request).rows(server, database, table, wanted)
    asked = ", ".join(sorted({each.column for each in conditions}))
    await record_now(
        request.app.state.portal.db,
        actor,
        actor.tag("databases:browse"),
        f"{server}/{database}/{table}",
        Result.DONE,
        detail=f"{len(page.rows)} rows" + (f", filtered by {asked}" if asked else ""),
    )
    return page


# -- parts ------------------------------------------------------------------------------------------------------------


def room_of(request: Request) -> DatabasesRoom:
    room: DatabasesRoom = request.app.state.portal.databases
    return room


def _confirm(request: Request, wanted: LoadDump) -> Confirm:
    def confirm(name: str) -> None:
        require_typed_name(name, wanted.typed_name)
        require_step_up(request)

    return confirm


def _who(actor: Actor) -> str:
    return f"{actor.kind}:{actor.id}"


def _dump(row: DumpRow) -> DumpView:
    return DumpView.model_validate({name: getattr(row, name) for name in DumpView.model_fields})


def _upload(upload: Upload) -> UploadView:
    return UploadView(id=upload.id, name=upload.name, bytes=upload.bytes, received=upload.received)


def _conditions(text: str | None) -> list[Filter]:
    """Raise InvalidRequest. The framework takes no JSON of a list as a query parameter."""
    try:
        return [] if text is None else _FILTERS.validate_json(text)
    except ValidationError as error:
        raise InvalidRequest("filters is no JSON list of {column, is, value}") from error


_FILTERS = TypeAdapter(list[Filter])
