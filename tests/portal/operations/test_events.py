"""`GET /api/events` and the operations' routes, on a real socket: who gets in, what a stream says, and when it ends."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import delete
from sqlalchemy.orm import Session

from portal.auth.models import SessionRow
from portal.db import Database
from portal.operations.hub import MAX_BYTES, Hub
from portal.operations.progress import Progress
from portal.operations.routes import CHECK_EVERY_S
from portal.operations.runner import Operation, Runner, State
from tests.clock import FakeClock
from tests.portal.operations.conftest import ANNA, RESTART, audited, eventually
from tests.portal.operations.served import Events, Served, serve
from tests.portal.operations.test_hub import HOSTILE_IDS


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def served(
    database: Database, hub: Hub, runner: Runner, clock: FakeClock, tmp_path: Path
) -> AsyncIterator[Served]:
    async with serve(database, hub, runner, clock, tmp_path) as served:
        yield served


async def for_ever(_progress: Progress) -> None:
    await asyncio.Event().wait()


# -- the stream --


async def test_operation_is_followed_from_its_start_to_its_end(served: Served, runner: Runner) -> None:
    may_end = asyncio.Event()

    async def work(progress: Progress) -> dict[str, int]:
        progress.note("stopping <b>\x1b[31m\r\n\r\nevent: forged\n")
        progress.at(1, 2)
        await may_end.wait()
        return {"exit": 0}

    async with served.events() as events:
        assert await events.next() == ("ready", {"resumed": False})
        operation = await runner.start(ANNA, RESTART, "blog-nginx", work, timeout_s=60)
        topic, begun = await events.next() or ("", {})
        assert (topic, begun["id"], begun["state"]) == ("operations", operation.id, "running")
        seen = begun
        while not seen["lines"]:
            _, seen = await events.next() or ("", {})
        assert [line["text"] for line in seen["lines"]] == ["stopping <b>\x1b[31m", "", "event: forged"]
        assert seen["progress"] == {"done": 1, "of": 2}
        may_end.set()
        while seen["state"] == "running":
            _, seen = await events.next() or ("", {})
        assert (seen["state"], seen["lines"]) == ("done", [])


async def test_stream_that_was_cut_goes_on_where_it_was(served: Served, hub: Hub) -> None:
    async with served.events() as events:
        await events.next()
        hub.publish("numbers", 1)
        assert await events.next() == ("numbers", 1)
    for number in (2, 3):
        hub.publish("numbers", number)
    async with served.events(last_event_id=events.last_id) as again:
        assert [await again.next() for _ in range(3)] == [
            ("ready", {"resumed": True}),
            ("numbers", 2),
            ("numbers", 3),
        ]
    async with served.events(after=events.last_id) as again:  # as a page does that opens a new EventSource
        assert await again.next() == ("ready", {"resumed": True})


def bytes_of(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


@pytest.mark.parametrize(
    "last_event_id",
    [bytes_of(each) for each in HOSTILE_IDS if each.isprintable() and each != " "]
    + [b"\xff\xfe", b"a, b", b"%00", b"'--"],
    ids=lambda value: repr(value)[:20],
)
async def test_hostile_last_event_id_means_from_now_on(served: Served, last_event_id: bytes) -> None:
    headers = [(b"last-event-id", last_event_id)] * 2
    async with served.admin() as client, client.stream("GET", "/api/events", headers=headers) as answer:
        assert answer.status_code == 200
        assert await Events(answer).next() == ("ready", {"resumed": False})


async def test_stream_ends_with_its_session(served: Served, database: Database, hub: Hub, clock: FakeClock) -> None:
    cookie = await served.log_in()
    async with (
        served.client(cookie=cookie) as client,
        client.stream("GET", "/api/events") as answer,
    ):
        events = Events(answer)
        assert await events.next() == ("ready", {"resumed": False})
        clock.advance(CHECK_EVERY_S)
        hub.publish("numbers", 1)
        assert await events.next() == ("numbers", 1)  # it was asked, and may go on

        await database.run(end_all_sessions)
        clock.advance(CHECK_EVERY_S)
        hub.publish("numbers", 2)
        assert await events.next() is None


async def test_stream_is_no_activity_and_ends_when_its_session_was_idle(
    served: Served, database: Database, hub: Hub, clock: FakeClock
) -> None:
    cookie = await served.log_in()
    async with (
        served.client(cookie=cookie) as client,
        client.stream("GET", "/api/events") as answer,
    ):
        events = Events(answer)
        await events.next()
        received: object = ()
        for _ in range(8):
            clock.advance(5 * 60)
            hub.publish("numbers", 1)
            if (received := await events.next()) is None:
                break
        assert received is None


async def test_anonymous_gets_no_stream(served: Served, hub: Hub) -> None:
    async with served.client() as client:
        answer = await client.get("/api/events")
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert hub.subscriptions == 0


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD"])
async def test_events_are_only_read(served: Served, method: str) -> None:
    async with served.admin() as client:
        assert (await client.request(method, "/api/events")).status_code == 405


async def test_stream_that_is_left_leaves_nothing_behind(served: Served, hub: Hub) -> None:
    async with served.events() as events:
        await events.next()
        assert hub.subscriptions == 1
    await eventually(lambda: asyncio.sleep(0, hub.subscriptions == 0))


async def test_portal_that_stops_ends_its_streams(served: Served, hub: Hub) -> None:
    async with served.events() as events:
        await events.next()
        hub.close()
        assert await events.next() is None


async def test_reader_that_does_not_read_costs_nothing_and_is_told_what_it_missed(served: Served, hub: Hub) -> None:
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(slow, ("127.0.0.1", served.port))
        request = f"GET /api/events HTTP/1.1\r\nHost: localhost\r\nCookie: {await served.log_in()}\r\n\r\n"
        await loop.sock_sendall(slow, request.encode())
        await eventually(lambda: asyncio.sleep(0, hub.subscriptions == 1))

        for number in range(20_000):  # 20 MB; the backlog has 4
            hub.publish("numbers", {"n": number, "text": "x" * 1000})
            if number % 100 == 0:
                await asyncio.sleep(0)  # the server sends what the socket takes
        [connection] = served.server.server_state.connections
        waiting = connection.transport.get_write_buffer_size()
        assert waiting < 256 * 1024
        assert hub.backlog_bytes <= MAX_BYTES

        received, is_last_sent = bytearray(), False
        async with asyncio.timeout(60):
            while b"event: last" not in received:
                received += await loop.sock_recv(slow, 65536)
                if not is_last_sent and received.count(b'{"resumed": false}') == 2:  # the greeting, and the gap
                    hub.publish("last", {})
                    is_last_sent = True
        assert len(received) < 2 * MAX_BYTES


# -- the routes --


async def test_operations_are_listed_and_read(served: Served, runner: Runner) -> None:
    operations = [await ended(runner, f"box-{number}") for number in range(3)]
    async with served.admin() as client:
        page = (await client.get("/api/operations", params={"limit": 2})).json()
        rest = (await client.get("/api/operations", params={"limit": 2, "before": page["before"]})).json()
        one = (await client.get(f"/api/operations/{operations[0].id}")).json()
    ids = [each["id"] for each in page["operations"] + rest["operations"]]
    assert ids == sorted((each.id for each in operations), reverse=True)
    assert rest["before"] is None
    assert (one["state"], one["result"], one["actor"]["name"]) == ("done", {"exit": 0}, "anna")
    assert one["typical_s"] is not None
    assert [line["text"] for line in one["lines"]] == ["hello"]
    assert all(each["lines"] == [] for each in page["operations"])


@pytest.mark.parametrize(
    ("path", "status", "slug"),
    [
        ("/api/operations/" + "0" * 26, 404, "operation-not-found"),
        ("/api/operations/" + "0" * 25 + "u", 422, "invalid-request"),
        ("/api/operations/..%2f..%2fetc", 404, "not-found"),
        ("/api/operations?limit=0", 422, "invalid-request"),
        ("/api/operations?limit=1000000", 422, "invalid-request"),
        ("/api/operations?before=1", 422, "invalid-request"),
        ("/api/operations?state=x", 422, "invalid-request"),
    ],
)
async def test_what_is_not_there_or_malformed_is_said_so(served: Served, path: str, status: int, slug: str) -> None:
    async with served.admin() as client:
        answer = await client.get(path)
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{slug}")


async def test_operation_is_cancelled_once_however_often_it_is_asked(
    served: Served, runner: Runner, database: Database
) -> None:
    operation = await runner.start(ANNA, RESTART, "blog-nginx", for_ever, timeout_s=60)
    path = f"/api/operations/{operation.id}/cancel"
    async with served.admin() as client:
        answers = [await client.post(path, headers={"idempotency-key": "k1"}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202] * 3
    assert answers[0].json() == answers[1].json() == answers[2].json()
    assert answers[0].json()["cancelled_by"] == "uid 0"
    assert (await runner.wait(operation.id)).state is State.CANCELLED
    assert [row for row in audited(database) if row[0] == "cli:operations:cancel"] == [
        ("cli:operations:cancel", "done", "")
    ]


@pytest.mark.parametrize("key", ["", "x" * 256, "a b", "ä"])
async def test_malformed_idempotency_key_is_refused(served: Served, runner: Runner, key: str) -> None:
    operation = await ended(runner, "box")
    async with served.admin() as client:
        headers = [(b"idempotency-key", key.encode("latin-1"))]
        answer = await client.post(f"/api/operations/{operation.id}/cancel", headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid-request")


async def test_what_has_ended_is_not_cancelled(served: Served, runner: Runner) -> None:
    operation = await ended(runner, "box")
    async with served.admin() as client:
        answer = await client.post(f"/api/operations/{operation.id}/cancel")
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/operation-ended")


async def ended(runner: Runner, target: str) -> Operation:
    async def work(progress: Progress) -> dict[str, int]:
        progress.note("hello")
        return {"exit": 0}

    return await runner.wait((await runner.start(ANNA, RESTART, target, work, timeout_s=60)).id)


def end_all_sessions(session: Session) -> None:
    session.execute(delete(SessionRow))
