"""Dumps as downloads: streamed while they are made, cut off when they can't be made whole."""

from __future__ import annotations

import asyncio
import re
import tempfile
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING

from fastapi import Request
from starlette.responses import StreamingResponse

from portal.actor import Actor
from portal.audit import Result, record_now
from portal.databases import structure
from portal.databases.dumps import Cancelled, compressed, dump
from portal.databases.models import DumpRow
from portal.databases.schemas import Compression

if TYPE_CHECKING:
    from portal.databases.service import DatabasesRoom

QUEUE = 8  # pieces: how far the server may be ahead of a slow reader
PIECE_BYTES = 256 * 1024
MEDIA_TYPES: Mapping[Compression, str] = {
    "none": "application/sql",
    "gz": "application/gzip",
    "zst": "application/zstd",
}
SUFFIXES: Mapping[Compression, str] = {"none": ".sql", "gz": ".sql.gz", "zst": ".sql.zst"}


def download_of_dump(row: DumpRow, path: Path) -> StreamingResponse:
    name = f"{_plain(row.server)}-{_plain(row.database)}-{row.made_at:%Y%m%dT%H%M%SZ}.sql.zst"
    headers = _headers(name) | {"Content-Length": str(row.bytes)}
    return StreamingResponse(_file(path.open("rb")), headers=headers, media_type=MEDIA_TYPES["zst"])


async def download_of_database(
    request: Request, room: DatabasesRoom, actor: Actor, server: str, asked: str, kind: Compression
) -> StreamingResponse:
    """Begin to dump a database for whoever asks, and record that they did. Raise NoSuchDatabase, ServerUnavailable."""
    database = await room.ask(server, "admin", structure.database_of, asked)
    summary = await room.ask(server, "admin", structure.summary, database)
    await record_now(
        request.app.state.portal.db,
        actor,
        actor.tag("databases:dump"),
        f"{server}/{database}",
        Result.ACCEPTED,
        detail=f"download, {kind}",
    )
    # A dump of other tables than InnoDB's locks them: they must not stay locked until a slow reader has it all.
    flow = _spooled if summary.others else _streamed
    headers = _headers(f"{_plain(server)}-{_plain(database)}{SUFFIXES[kind]}")
    return StreamingResponse(flow(room, server, database, kind), headers=headers, media_type=MEDIA_TYPES[kind])


async def _streamed(room: DatabasesRoom, server: str, database: str, kind: Compression) -> AsyncGenerator[bytes, None]:
    loop, gone = asyncio.get_running_loop(), threading.Event()
    queue: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUE)
    found = room.servers.find(server)

    def put(piece: bytes | None) -> None:
        waiting = asyncio.run_coroutine_threadsafe(queue.put(piece), loop)
        while not gone.is_set():
            try:
                waiting.result(0.5)
                return
            except TimeoutError:
                continue
        waiting.cancel()
        raise Cancelled

    def work() -> None:
        try:
            with compressed(put, kind) as take:
                dump(found, database, take, is_cancelled=gone.is_set, tell=lambda _: None)
        finally:
            if not gone.is_set():
                put(None)

    making = asyncio.ensure_future(room.pools.download(server, work))
    try:
        while (piece := await queue.get()) is not None:
            yield piece
        await making  # raises when it is not whole: then the connection is cut
    finally:
        gone.set()
        making.add_done_callback(_seen)


async def _spooled(room: DatabasesRoom, server: str, database: str, kind: Compression) -> AsyncIterator[bytes]:
    found = room.servers.find(server)
    with tempfile.TemporaryFile(dir=room.store.scratch) as file:

        def work() -> None:
            with compressed(file.write, kind) as take:
                dump(found, database, take, is_cancelled=lambda: file.closed, tell=lambda _: None)

        await room.pools.download(server, work)
        file.seek(0)
        while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
            yield piece


async def _file(file: IO[bytes]) -> AsyncIterator[bytes]:
    try:
        while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
            yield piece
    finally:
        file.close()


def _seen(making: asyncio.Future[None]) -> None:
    if not making.cancelled():
        making.exception()  # nobody waits for it any more


def _headers(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)
