"""The operator's hand on the queue: HTTP on `control.sock`, served by the delivery process.

List, show, retry, hold, release, drop. Every act on an entry is recorded in its history with the peer's user id, which
the kernel vouches for; retrying the whole queue is logged. The socket's file mode (0660, in a directory of the mail
user's) decides who may connect.
"""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi import Path as PathParameter
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import StreamingResponse
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from kit import health, problem
from kit.clock import Clock
from kit.logging import get_logger
from kit.problem import Problem
from mail_api.content import CHUNK_BYTES
from mail_api.delivery import Delivery
from mail_api.history import Event, Step
from mail_api.ledger import Ledger, State
from mail_api.observe import Observer
from mail_api.scan.verdict import Verdict
from mail_api.spool import MESSAGE, Entry, Place, Spool

log = get_logger()

MAX_PAGE = 1000
QueueId = Annotated[str, PathParameter(pattern="^[0-9a-f]{32}$", description="queue id = message id")]


class EntryNotFound(Problem):
    """No entry of this queue id is in the spool: it was delivered, dropped, or never was."""

    status, type, title = 404, "queue-entry-not-found", "No such queue entry"


class EntryBusy(Problem):
    """The entry is being delivered right now, or lies where this act makes no sense."""

    status, type, title = 409, "queue-entry-busy", "Queue entry is busy"


class EntryDamaged(Problem):
    """The entry's files do not say the same thing; they lie in the spool, for a human."""

    status, type, title = 409, "queue-entry-damaged", "Queue entry is damaged"


class Reason(BaseModel):
    """Why an operator does this; kept in the message's history."""

    model_config = ConfigDict(extra="forbid")
    reason: str = Field(min_length=1, max_length=500)


class HttpWithPeer(HttpToolsProtocol):
    """HTTP whose `scope["client"]` is ("uid:N", pid), by SO_PEERCRED: who spoke, as the kernel knows it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        peer = transport.get_extra_info("socket")
        if peer is not None and peer.family == socket.AF_UNIX:
            pid, uid, _gid = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            self.client = (f"uid:{uid}", pid)


def bind(path: Path) -> socket.socket:
    """Listen on the control socket. A stale one is replaced: the caller holds the spool's lock, so it is nobody's."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(0o660)
        listener.listen(64)
    except OSError as error:
        listener.close()
        raise OSError(f"cannot listen on {path}: {error.strerror or error}") from error
    return listener


def create_app(delivery: Delivery, spool: Spool, ledger: Ledger, observer: Observer, *, clock: Clock) -> FastAPI:
    app = FastAPI(
        title="Homeport mail control", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False
    )
    problem.install(app)
    app.include_router(health.routes())

    async def record(request: Request, queue_id: str, state: State | None, step: Step, reason: str = "") -> None:
        actor = _actor(request)
        await ledger.advance(queue_id, state, [Event(step, clock.now(), {"actor": actor, "reason": reason})])
        log.info("queue_entry_changed", queue_id=queue_id, step=step.value, actor=actor)

    def entry_at(queue_id: str, *places: Place) -> tuple[Place, Entry]:
        place = spool.find(queue_id)
        if place is None:
            raise EntryNotFound(f"{queue_id} is not in the spool")
        if place not in places:
            raise EntryBusy(f"{queue_id} is in {place.value}")
        try:
            return place, spool.read(place, queue_id)
        except FileNotFoundError as error:
            raise EntryBusy(f"{queue_id} has just moved; ask again") from error
        except ValueError as error:
            raise EntryDamaged(f"{queue_id} in {place.value}: {error}") from error

    async def change(queue_id: str, source: Place, target: Place, entry: Entry) -> None:
        try:
            await asyncio.to_thread(spool.move, source, target, entry)
        except FileNotFoundError as error:
            raise EntryBusy(f"{queue_id} is being delivered") from error
        delivery.wake()

    @app.get("/v1/status")
    async def status() -> dict[str, Any]:
        """How much lies where, and how old the oldest is."""
        census = await observer.census(fresh=True)
        return {
            "counts": {place.value: count for place, count in census.counts.items()},
            "oldest_s": round(census.oldest_s(clock.now())),
            "is_transport_reachable": delivery.is_transport_reachable,
        }

    @app.get("/v1/queue")
    async def list_queue(
        place: Place = Place.QUEUE, limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100
    ) -> dict[str, Any]:
        """The entries of one place, soonest due first."""
        return await asyncio.to_thread(_page, spool, place, limit)

    @app.get("/v1/queue/{queue_id}")
    async def show(queue_id: QueueId) -> dict[str, Any]:
        """One entry, wherever it is."""
        place, entry = await asyncio.to_thread(entry_at, queue_id, *Place)
        return _document(place, entry, spool)

    @app.get("/v1/queue/{queue_id}/message")
    async def message(queue_id: QueueId) -> StreamingResponse:
        """The raw message as it was received."""
        place, _ = await asyncio.to_thread(entry_at, queue_id, *Place)
        path = spool.path(place, queue_id) / MESSAGE
        return StreamingResponse(
            _blocks(path), media_type="message/rfc822", headers={"X-Content-Type-Options": "nosniff"}
        )

    @app.post("/v1/queue/retry", status_code=202)
    async def retry_all(request: Request) -> dict[str, int]:
        """Try everything that is queued now, whatever its back-off."""

        def reschedule() -> int:
            count = 0
            for queue_id in spool.names(Place.QUEUE):
                try:
                    spool.reschedule(queue_id, 0.0)
                    count += 1
                except FileNotFoundError:
                    continue  # it is being delivered
            return count

        count = await asyncio.to_thread(reschedule)
        delivery.retry_now()
        log.info("queue_retried", entries=count, actor=_actor(request))
        return {"count": count}

    @app.post("/v1/queue/{queue_id}/retry", status_code=202)
    async def retry(request: Request, queue_id: QueueId) -> dict[str, Any]:
        """Try one queued entry now."""
        place, entry = await asyncio.to_thread(entry_at, queue_id, Place.QUEUE)
        try:
            await asyncio.to_thread(spool.reschedule, queue_id, 0.0)
        except FileNotFoundError as error:
            raise EntryBusy(f"{queue_id} is being delivered") from error
        await record(request, queue_id, None, Step.RETRIED)
        delivery.retry_now()
        return _document(place, entry, spool)

    @app.post("/v1/queue/{queue_id}/hold")
    async def hold(request: Request, queue_id: QueueId, body: Reason) -> dict[str, Any]:
        """Take a queued entry out of delivery until it is released."""
        place, entry = await asyncio.to_thread(entry_at, queue_id, Place.QUEUE)
        entry = dataclasses.replace(entry, reason=body.reason)
        await change(queue_id, place, Place.HOLD, entry)
        await record(request, queue_id, State.HELD, Step.HELD, body.reason)
        return _document(Place.HOLD, entry, spool)

    @app.post("/v1/queue/{queue_id}/release", status_code=202)
    async def release(request: Request, queue_id: QueueId) -> dict[str, Any]:
        """Deliver a held entry after all; what the scanners said against it is overruled and kept."""
        place, entry = await asyncio.to_thread(entry_at, queue_id, Place.HOLD)
        actor = _actor(request)
        stored = Verdict.stored(entry.verdict)
        verdict = stored.released(actor) if stored is not None else None
        entry = dataclasses.replace(
            entry,
            verdict=dataclasses.asdict(verdict) if verdict is not None else None,
            attempts=0,
            reason=f"released by {actor}",
            released_at=clock.now(),
        )
        overruled = verdict.reason if verdict is not None and verdict.released_by else ""
        await record(request, queue_id, State.QUEUED, Step.RELEASED, overruled)
        await change(queue_id, place, Place.QUEUE, entry)
        return _document(Place.QUEUE, entry, spool)

    @app.post("/v1/queue/{queue_id}/drop")
    async def drop(request: Request, queue_id: QueueId, body: Reason) -> dict[str, Any]:
        """Remove an entry for good. Its sender has long heard "accepted": nobody will be told."""
        place, entry = await asyncio.to_thread(entry_at, queue_id, Place.QUEUE, Place.HOLD)
        document = _document(place, entry, spool)
        await record(request, queue_id, State.DROPPED, Step.DROPPED, body.reason)
        try:
            await asyncio.to_thread(spool.remove, place, queue_id)
        except FileNotFoundError as error:
            raise EntryBusy(f"{queue_id} is being delivered") from error
        delivery.wake()
        return document

    return app


def _actor(request: Request) -> str:
    return request.client.host if request.client else "unknown"


def _page(spool: Spool, place: Place, limit: int) -> dict[str, Any]:
    scheduled = sorted(spool.schedule(place))
    entries = []
    for _, queue_id in scheduled[:limit]:
        try:
            entries.append(_document(place, spool.read(place, queue_id), spool))
        except FileNotFoundError:
            continue  # it has moved on
        except ValueError as error:
            entries.append({"queue_id": queue_id, "place": place.value, "reason": str(error)})
    return {"place": place.value, "total": len(scheduled), "entries": entries}


def _document(place: Place, entry: Entry, spool: Spool) -> dict[str, Any]:
    try:
        due = spool.path(place, entry.queue_id).stat().st_mtime if place is Place.QUEUE else None
    except FileNotFoundError:
        due = None
    return {"place": place.value, "next_attempt_at": due} | dataclasses.asdict(entry)


async def _blocks(path: Path) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(path.open, "rb") as file:
        while block := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield block
