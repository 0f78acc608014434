"""Operations, and the one event stream of a browser tab."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from portal import metrics
from portal.actor import Actor
from portal.auth.dependencies import GuardedRoute, allowed, is_still_allowed
from portal.idempotency import OnceDep
from portal.operations.hub import READY, Subscription
from portal.operations.records import ID, Filter, State
from portal.operations.runner import Runner
from portal.operations.schemas import OperationPage, OperationView

router = APIRouter(prefix="/api", tags=["operations"], route_class=GuardedRoute)

MAX_PAGE = 200
CHECK_EVERY_S = 5.0  # whether whoever reads a stream still may
RETRY_MS = 2000  # after which a browser comes back

OperationId = Annotated[str, Path(pattern=ID)]
Text = Annotated[str | None, Query(max_length=255)]

_STREAM = allowed("events:stream")  # one object, so that it is asked once for a request


@router.get("/operations")
async def list_operations(
    request: Request,
    actor: Annotated[Actor, allowed("operations:list")],
    state: State | None = None,
    act: Text = None,
    target: Text = None,
    actor_id: Text = None,
    before: Annotated[str | None, Query(pattern=ID, description="Continue behind this operation")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
) -> OperationPage:
    """Newest first."""
    wanted = Filter(state=state, act=act, target=target, actor_id=actor_id)
    found = await _runner(request).find(wanted, before=before, limit=limit + 1)
    shown = found[:limit]
    return OperationPage(
        operations=[OperationView.of(operation) for operation in shown],
        before=shown[-1].id if len(found) > limit else None,
    )


@router.get("/operations/{operation_id}")
async def read_operation(
    request: Request, actor: Annotated[Actor, allowed("operations:read")], operation_id: OperationId
) -> OperationView:
    """With its newest lines, and how long it usually takes."""
    runner = _runner(request)
    operation = await runner.get(operation_id)
    return OperationView.of(operation, typical_s=await runner.typical_s(operation))


@router.post("/operations/{operation_id}/cancel", status_code=202)
async def cancel_operation(
    request: Request, actor: Annotated[Actor, allowed("operations:cancel")], operation_id: OperationId, once: OnceDep
) -> OperationView:
    """Tell its work to end. It is over when its state says so: work in a thread ends at its next step."""

    async def cancel() -> OperationView:
        return OperationView.of(await _runner(request).cancel(actor, operation_id))

    return await once(actor, OperationView, cancel)


async def _subscription(
    request: Request,
    actor: Annotated[Actor, _STREAM],
    after: Annotated[str | None, Query(description="Id of the last event seen, as the header Last-Event-ID")] = None,
) -> AsyncIterator[Subscription]:
    last_event_id = request.headers.get("last-event-id", after)
    subscription = request.app.state.portal.hub.subscribe(last_event_id=last_event_id, role=actor.role)
    with metrics.open_stream("events"), contextlib.closing(subscription):
        yield subscription


@router.get("/events", response_class=EventSourceResponse)
async def stream_events(
    request: Request,
    actor: Annotated[Actor, _STREAM],
    subscription: Annotated[Subscription, Depends(_subscription)],
) -> AsyncIterator[ServerSentEvent]:
    """All that happens, as it happens: `event` is the topic, `data` one JSON document.

    The first event is `ready`; its `resumed` says whether nothing was missed since `Last-Event-ID`. The stream ends
    with the session or token that it was opened with; a browser comes back by itself.
    """
    clock = request.app.state.portal.clock
    check_at = clock.monotonic() + CHECK_EVERY_S
    while True:
        try:
            received = await subscription.next(timeout_s=max(0.0, check_at - clock.monotonic()))
        except TimeoutError:
            received = None
        else:
            if received is None:  # the portal stops
                return
        if clock.monotonic() >= check_at:
            if not await is_still_allowed(request, "events:stream"):
                return
            check_at = clock.monotonic() + CHECK_EVERY_S
        if received is not None:
            retry = RETRY_MS if received.topic == READY else None
            yield ServerSentEvent(id=received.id, event=received.topic, raw_data=received.data, retry=retry)


def _runner(request: Request) -> Runner:
    runner: Runner = request.app.state.portal.runner
    return runner
