"""The containers room's routes: parse, call, return."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.responses import Response, StreamingResponse

from kit.problem import Problem
from portal import metrics
from portal.actor import Actor
from portal.auth.dependencies import GuardedRoute, allowed, is_still_allowed, require_step_up, require_typed_name
from portal.broker import schemas as broker
from portal.broker.client import Broker, Flow
from portal.broker.failures import BrokerProblem
from portal.broker.schemas import Container, DiskUse, ImageList, Logs, StackList, WatchStats
from portal.containers.log_store import Kept
from portal.containers.models import ContainerEventRow
from portal.containers.schemas import (
    NAME,
    ActOn,
    BulkAct,
    BulkResults,
    ContainerDetail,
    ContainerList,
    ContainerView,
    EngineView,
    EventList,
    EventView,
    KeptLog,
    KeptLogs,
    LogView,
    StatsHistory,
    StatsView,
    container_detail,
    container_view,
    line_view,
)
from portal.containers.service import Confirm, Containers
from portal.idempotency import OnceDep
from portal.operations.refused import recorded
from portal.operations.schemas import OperationView
from portal.web.times import Instant

router = APIRouter(prefix="/api/containers", tags=["containers"], route_class=GuardedRoute)

MAX_LINES = 20_000  # in one answer; more come by `before`, or as a download
MAX_EVENTS = 1000
CHECK_EVERY_S = 5.0  # whether whoever reads a stream still may
RETRY_MS = 2000

Name = Annotated[str, Path(pattern=NAME)]
KeptId = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]
Tail = Annotated[int, Query(ge=0, le=MAX_LINES)]
Moment = Annotated[Instant | None, Query()]
LATEST = 253_402_300_799.0  # the last moment that the broker takes
LINE_ID = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", re.ASCII)  # as the engine writes it


# -- all of them ------------------------------------------------------------------------------------------------------


@router.get("", response_model=ContainerList)
async def list_containers(request: Request, actor: Annotated[Actor, allowed("containers:list")]) -> Response:
    """Every container of the known stacks, and since when the engine is there. Answers also while it is silent."""
    room = room_of(request)
    await room.picture.ready()
    body = await room.shared_list.answer(lambda: _list(room))
    return Response(body, media_type="application/json")


async def _list(room: Containers) -> bytes:
    engine = room.picture.engine
    operations = await room.running_operations()
    found = ContainerList(
        measured_at=_time(room.picture.measured_at),
        engine=EngineView(state=engine.state, since=_time(engine.since), detail=engine.detail),
        containers=[ContainerView(**_members(room, each, operations)) for each in room.picture.containers()],
    )
    return found.model_dump_json().encode()


@router.get("/events")
async def list_container_events(
    request: Request,
    actor: Annotated[Actor, allowed("containers:events")],
    limit: Annotated[int, Query(ge=1, le=MAX_EVENTS)] = 200,
) -> EventList:
    """What happened to all containers, also to those that are gone; newest first."""
    return EventList(events=[_event(row) for row in await room_of(request).events(None, limit=limit)])


@router.get("/kept-logs")
async def list_kept_logs(request: Request, actor: Annotated[Actor, allowed("containers:logs")]) -> KeptLogs:
    """Containers that are gone and whose last lines are kept, newest first."""
    return KeptLogs(logs=[_kept(kept) for kept in await room_of(request).kept_logs()])


@router.get("/kept-logs/{container_id}")
async def read_kept_log(
    request: Request, actor: Annotated[Actor, allowed("containers:logs")], container_id: KeptId, tail: Tail = 1000
) -> LogView:
    """The last lines of a container that is gone."""
    lines = await room_of(request).kept_log(container_id)
    shown = lines[-tail:] if tail else []
    return LogView(lines=[line_view(line) for line in shown], is_truncated=len(lines) > tail)


@router.get("/stacks")
async def list_stacks(request: Request, actor: Annotated[Actor, allowed("containers:read")]) -> StackList:
    """Containers grouped by Compose project."""
    return await _broker(request).ask(broker.Stacks())


@router.get("/images")
async def list_images(request: Request, actor: Annotated[Actor, allowed("containers:read")]) -> ImageList:
    """The images that the known containers were made of."""
    return await _broker(request).ask(broker.Images())


@router.get("/disk-usage")
async def read_disk_usage(request: Request, actor: Annotated[Actor, allowed("containers:read")]) -> DiskUse:
    """What images, containers, volumes and build cache take on the engine's disk."""
    return await _broker(request).ask(broker.DiskUsage())


@router.post("/restart", status_code=202)
async def restart_containers(
    request: Request, actor: Annotated[Actor, allowed("containers:restart")], wanted: BulkAct, once: OnceDep
) -> BulkResults:
    """Restart several. A protected one is refused here: it is confirmed for itself."""
    room = room_of(request)

    async def restart() -> BulkResults:
        results = await room.each(wanted.names, lambda name: room.restart(actor, name, ActOn(), None))
        return BulkResults(results=results)

    return await once(actor, BulkResults, restart)


# -- one of them ------------------------------------------------------------------------------------------------------


@router.get("/{name}")
async def read_container(
    request: Request, actor: Annotated[Actor, allowed("containers:read")], name: Name
) -> ContainerDetail:
    """One container as it is now."""
    room = room_of(request)
    details = await room.find(name)
    return container_detail(details, _members(room, details, await room.running_operations()))


@router.get("/{name}/events")
async def list_events_of_container(
    request: Request,
    actor: Annotated[Actor, allowed("containers:events")],
    name: Name,
    limit: Annotated[int, Query(ge=1, le=MAX_EVENTS)] = 200,
) -> EventList:
    """What happened to containers of this name, also to earlier ones; newest first."""
    return EventList(events=[_event(row) for row in await room_of(request).events(name, limit=limit)])


@router.get("/{name}/stats")
async def read_container_stats(
    request: Request,
    actor: Annotated[Actor, allowed("containers:stats")],
    name: Name,
    minutes: Annotated[int, Query(ge=1, le=30)] = 15,
) -> StatsHistory:
    """What was measured in the last minutes, oldest first; one measurement every ten seconds."""
    room = room_of(request)
    details = await room.find(name)
    since = request.app.state.portal.clock.now() - 60 * minutes
    samples = room.picture.samples(details.id)
    pairs = zip([None, *samples], samples, strict=False)
    return StatsHistory(samples=[StatsView.of(each, before) for before, each in pairs if each.at >= since])


@router.get("/{name}/stats/follow", response_class=EventSourceResponse)
async def follow_container_stats(
    request: Request, actor: Annotated[Actor, allowed("containers:stats")], name: Name
) -> AsyncIterator[ServerSentEvent]:
    """`event: sample` once a second, until `event: end` or `event: problem`."""
    try:
        details = await room_of(request).find(name)
        async with _broker(request).follow(WatchStats(container=details.id)) as flow:
            async for sample in _while_allowed(request, "containers:stats", "stats", flow):
                yield ServerSentEvent(event="sample", raw_data=StatsView.of(sample).model_dump_json(), retry=RETRY_MS)
        yield _end(flow)
    except BrokerProblem as problem:
        yield _problem(problem)


@router.get("/{name}/logs")
async def read_container_logs(
    request: Request,
    actor: Annotated[Actor, allowed("containers:logs")],
    name: Name,
    tail: Tail = 1000,
    since: Moment = None,
    before: Moment = None,
) -> LogView:
    """The newest lines in a time, oldest first."""
    found = await room_of(request).log(name, tail=tail, since=_seconds(since), until=_seconds(before))
    return LogView(lines=[line_view(line) for line in found.lines], is_truncated=found.is_truncated)


@router.get("/{name}/logs/follow", response_class=EventSourceResponse)
async def follow_container_logs(
    request: Request,
    actor: Annotated[Actor, allowed("containers:logs")],
    name: Name,
    tail: Tail = 200,
    since: Moment = None,
) -> AsyncIterator[ServerSentEvent]:
    """`event: lines`, each a list of lines, until `event: end` or `event: problem`. The id is the last line's time."""
    last = request.headers.get("last-event-id", "")
    resumed = _resumed(last, request.app.state.portal.clock.now())
    begin, last = (_seconds(since), "") if resumed is None else (resumed, last)
    try:
        details = await room_of(request).find(name)
        wanted = Logs(container=details.id, follow=True, since=begin, tail=tail if resumed is None else None)
        async with _broker(request).follow(wanted) as flow:
            async for item in _while_allowed(request, "containers:logs", "logs", flow):
                lines = [line for line in item.lines if line.at > last]
                if lines:
                    data = [line_view(line).model_dump() for line in lines]
                    yield ServerSentEvent(id=lines[-1].at, event="lines", data=data, retry=RETRY_MS)
        yield _end(flow)
    except BrokerProblem as problem:
        yield _problem(problem)


@router.get("/{name}/logs/download", response_class=StreamingResponse)
async def download_container_logs(
    request: Request,
    actor: Annotated[Actor, allowed("containers:logs")],
    name: Name,
    since: Moment = None,
    before: Moment = None,
) -> StreamingResponse:
    """All lines in a time as plain text: time, stream, line."""
    details = await room_of(request).find(name)
    wanted = Logs(container=details.id, tail=broker.MAX_TAIL_LINES, since=_seconds(since), until=_seconds(before))
    headers = {"Content-Disposition": f'attachment; filename="{name}.log"', "X-Content-Type-Options": "nosniff"}
    return StreamingResponse(_text(request, wanted), headers=headers, media_type="text/plain; charset=utf-8")


@router.post("/{name}/start", status_code=202)
async def start_container(
    request: Request, actor: Annotated[Actor, allowed("containers:start")], name: Name, once: OnceDep
) -> OperationView:
    """Start it."""
    room = room_of(request)

    async def start() -> OperationView:
        return OperationView.of(await room.start(actor, name))

    return await once(actor, OperationView, start)


@router.post("/{name}/stop", status_code=202)
async def stop_container(
    request: Request, actor: Annotated[Actor, allowed("containers:stop")], name: Name, wanted: ActOn, once: OnceDep
) -> OperationView:
    """Stop it. A protected one needs its name typed, a reason and a fresh factor."""
    room, confirm = room_of(request), _confirm(request, wanted)

    async def stop() -> OperationView:
        return OperationView.of(await room.stop(actor, name, wanted, confirm))

    return await recorded(request, actor, "containers:stop", name, once(actor, OperationView, stop))


@router.post("/{name}/restart", status_code=202)
async def restart_container(
    request: Request, actor: Annotated[Actor, allowed("containers:restart")], name: Name, wanted: ActOn, once: OnceDep
) -> OperationView:
    """Restart it. A protected one needs its name typed, a reason and a fresh factor."""
    room, confirm = room_of(request), _confirm(request, wanted)

    async def restart() -> OperationView:
        return OperationView.of(await room.restart(actor, name, wanted, confirm))

    return await recorded(request, actor, "containers:restart", name, once(actor, OperationView, restart))


# -- parts ------------------------------------------------------------------------------------------------------------


def _confirm(request: Request, wanted: ActOn) -> Confirm:
    def confirm(container: Container) -> None:
        require_typed_name(container.name, wanted.typed_name)
        require_step_up(request)

    return confirm


def room_of(request: Request) -> Containers:
    room: Containers = request.app.state.portal.containers
    return room


def _broker(request: Request) -> Broker:
    client: Broker = request.app.state.portal.broker
    return client


def _members(room: Containers, container: Container, operations: Mapping[str, str]) -> dict[str, Any]:
    sample, before = room.picture.last_two(container.id)
    stats = StatsView.of(sample, before) if sample else None
    return container_view(
        container,
        trouble=room.picture.trouble(container),
        stats=stats if container.state == "running" else None,
        operation=operations.get(container.name),
    )


async def _while_allowed(request: Request, act: str, kind: str, flow: Flow[Any]) -> AsyncIterator[Any]:
    """The items of a stream, for as long as whoever asked for it may have them, and the portal does not stop."""
    portal = request.app.state.portal
    check_at = portal.clock.monotonic() + CHECK_EVERY_S
    following, closing = asyncio.ensure_future(anext(flow, None)), asyncio.ensure_future(portal.hub.closed())
    try:
        with metrics.open_stream(kind):
            while True:
                patience_s = max(0.0, check_at - portal.clock.monotonic())  # a log may be silent for days
                await asyncio.wait([following, closing], timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
                if closing.done():  # the server waits for this stream to end
                    return
                if portal.clock.monotonic() >= check_at:
                    if not await is_still_allowed(request, act):
                        return
                    check_at = portal.clock.monotonic() + CHECK_EVERY_S
                if following.done():
                    if (item := following.result()) is None:
                        return
                    yield item
                    following = asyncio.ensure_future(anext(flow, None))
    finally:
        for waiting in (following, closing):
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError, BrokerProblem):
                await waiting


async def _text(request: Request, wanted: Logs) -> AsyncIterator[bytes]:
    async with _broker(request).follow(wanted) as flow:
        async for item in _while_allowed(request, "containers:logs", "logs", flow):
            yield "".join(f"{line.at} {line.stream} {line.text}\n" for line in item.lines).encode()


def _end(flow: Flow[Any]) -> ServerSentEvent:
    return ServerSentEvent(event="end", data={"why": flow.why})


def _problem(problem: Problem) -> ServerSentEvent:
    return ServerSentEvent(event="problem", data=problem.document())


def _resumed(last_event_id: str, now: float) -> float | None:
    """The moment in a Last-Event-ID of ours; whatever else it is means "as if for the first time"."""
    if LINE_ID.fullmatch(last_event_id) is None:
        return None
    try:
        at = datetime.fromisoformat(last_event_id).timestamp()
    except ValueError:  # no such day
        return None
    return at if at <= now else None


def _event(row: ContainerEventRow) -> EventView:
    return EventView(**{name: getattr(row, name) for name in EventView.model_fields})


def _kept(kept: Kept) -> KeptLog:
    return KeptLog(**{name: getattr(kept, name) for name in KeptLog.model_fields})


def _seconds(at: datetime | None) -> float | None:
    return None if at is None else min(max(0.0, at.timestamp()), LATEST)


def _time(at: float | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at, UTC)
