"""What takes too long: the upload, the mailbox server, another request with the same message (wire.md, "Deadlines")."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mail_api.ingress import LEAST_DELIVERY_S, PROBE_S
from mail_api.settings import (
    DRAIN_DEADLINE_S,
    DRAIN_UPLOAD_S,
    IN_MEMORY_BYTES,
    LEASE_MARGIN_S,
    LIVE_DEADLINE_S,
    LIVE_UPLOAD_S,
)
from mail_api.spool import Entry, Place
from mail_api.upload import FIRST_BYTE_S
from tests.mail_api.in_process import MovableClock, Pipe, ingress, until
from tests.services.homeport import Answer, message
from tests.services.lmtp_scripted import HANG, ScriptedLmtp

RETAINED_AT = 1_700_000_000
MODES = pytest.mark.parametrize(
    ("retained_at", "upload_s", "deadline_s"),
    [(None, LIVE_UPLOAD_S, LIVE_DEADLINE_S), (RETAINED_AT, DRAIN_UPLOAD_S, DRAIN_DEADLINE_S)],
    ids=["live", "drain"],
)


@pytest.fixture
async def pipe(tmp_path: Path, clock: MovableClock) -> AsyncIterator[Pipe]:
    """Before a mailbox that takes everything."""
    async with ingress(tmp_path, ScriptedLmtp(), clock) as pipe:
        yield pipe


def assert_queued(pipe: Pipe, answer: Answer) -> Entry:
    assert (answer.status, answer.document["status"]) == (202, "queued")
    return pipe.parts.spool.read(Place.QUEUE, answer.document["queue_id"])


class TestUpload:
    async def test_body_that_never_begins_is_given_up(self, pipe: Pipe, clock: MovableClock) -> None:
        message_id = secrets.token_hex(16)
        request = pipe.request(message(), message_id=message_id)
        await asyncio.sleep(0)
        clock.advance(FIRST_BYTE_S - 1)
        await asyncio.sleep(0.01)
        assert not request.is_answered
        clock.advance(1)
        answer = await request.answer()
        assert (answer.status, answer.type, answer.smtp) == (408, "upload-timeout", None)
        assert answer.document["message_id"] == message_id

    @MODES
    @pytest.mark.parametrize("size", [1000, 2 * IN_MEMORY_BYTES], ids=["small", "large"])
    async def test_body_that_stalls_is_given_up_and_leaves_nothing(
        self, pipe: Pipe, clock: MovableClock, size: int, retained_at: int | None, upload_s: float, deadline_s: float
    ) -> None:
        raw, message_id = message(b"x" * size), secrets.token_hex(16)
        request = pipe.request(raw, message_id=message_id, retained_at=retained_at)
        request.feed(raw[:-1])
        await asyncio.sleep(0.01)
        clock.advance(upload_s - 1)
        await asyncio.sleep(0.01)
        assert not request.is_answered
        clock.advance(1)
        answer = await request.answer()
        assert (answer.status, answer.type, answer.smtp) == (408, "upload-timeout", None)
        assert list(pipe.parts.spool.tmp.iterdir()) == []
        assert (await pipe.post(raw, message_id=message_id, retained_at=retained_at)).status == 200

    @MODES
    async def test_upload_that_leaves_no_time_is_queued(
        self, pipe: Pipe, clock: MovableClock, retained_at: int | None, upload_s: float, deadline_s: float
    ) -> None:
        raw = message()
        assert (await pipe.post(message())).status == 200  # the mailbox is known
        for spent_s, status in [(deadline_s - 2, 200), (deadline_s - LEAST_DELIVERY_S / 2, 202), (upload_s - 1, 202)]:
            raw = message()
            request = pipe.request(raw, retained_at=retained_at)
            request.feed(raw[:1])
            await asyncio.sleep(0.01)
            clock.advance(spent_s)
            answer = await request.answer_to(raw[1:])
            assert answer.status == status

    async def test_client_that_leaves_is_not_waited_for(self, pipe: Pipe) -> None:
        raw = message()
        request = pipe.request(raw)
        request.feed(raw[:-1])
        request.leave()
        assert (await request.answer()).type == "body-mismatch"
        assert pipe.parts.spool.census().counts == dict.fromkeys(Place, 0)


class TestMailboxServer:
    async def test_server_that_does_not_answer_rcpt_leaves_the_message_queued(
        self, tmp_path: Path, clock: MovableClock
    ) -> None:
        async with ingress(tmp_path, ScriptedLmtp(rcpt=[HANG]), clock) as pipe:
            request = pipe.posted(message())
            await until(lambda: any(command.startswith("RCPT") for command in pipe.peer.commands))
            clock.advance(PROBE_S)
            entry = assert_queued(pipe, await request.answer())
        assert entry.reason == "no answer in time (rcpt)"

    @MODES
    async def test_server_that_does_not_answer_the_body_leaves_the_message_queued_under_its_id(
        self, tmp_path: Path, clock: MovableClock, retained_at: int | None, upload_s: float, deadline_s: float
    ) -> None:
        async with ingress(tmp_path, ScriptedLmtp(body=[HANG]), clock) as pipe:
            raw, message_id = message(), secrets.token_hex(16)
            request = pipe.posted(raw, message_id=message_id, retained_at=retained_at)
            await pipe.sent()
            clock.advance(deadline_s - 1)
            await asyncio.sleep(0.01)
            assert not request.is_answered
            clock.advance(1)
            answer = await request.answer()
            entry = assert_queued(pipe, answer)
            assert (entry.queue_id, entry.sha256) == (message_id, answer.document["sha256"])
            assert entry.retained_at == retained_at


class TestInFlight:
    async def test_repeat_waits_for_the_first_and_gets_its_receipt(self, tmp_path: Path, clock: MovableClock) -> None:
        async with ingress(tmp_path, ScriptedLmtp(body=[HANG]), clock) as pipe:
            raw, message_id = message(), secrets.token_hex(16)
            first = pipe.posted(raw, message_id=message_id)
            await pipe.sent()
            clock.advance(1)
            second = pipe.posted(raw, message_id=message_id)
            await asyncio.sleep(0.1)
            assert not second.is_answered
            clock.advance(LIVE_DEADLINE_S - 1)
            receipts = [(await request.answer()).document for request in (first, second)]
            assert receipts[0] == receipts[1]
            assert receipts[0]["status"] == "queued"
            assert len(pipe.bodies()) == 1

    async def test_live_repeat_of_a_drain_in_flight_is_told_to_come_again(
        self, tmp_path: Path, clock: MovableClock
    ) -> None:
        async with ingress(tmp_path, ScriptedLmtp(body=[HANG]), clock) as pipe:
            raw, message_id = message(), secrets.token_hex(16)
            drain = pipe.posted(raw, message_id=message_id, retained_at=RETAINED_AT)
            await pipe.sent()
            live = pipe.posted(raw, message_id=message_id)
            await asyncio.sleep(0.1)
            clock.advance(LIVE_DEADLINE_S)
            answer = await live.answer()
            assert (answer.status, answer.type, answer.smtp) == (503, "still-in-flight", None)
            assert answer.headers["retry-after"] == "5"
            clock.advance(DRAIN_DEADLINE_S - LIVE_DEADLINE_S)
            assert (await drain.answer()).status == 202

    async def test_message_of_a_dead_ingress_is_delivered_when_its_lease_has_expired(
        self, pipe: Pipe, clock: MovableClock
    ) -> None:
        raw, message_id = message(), secrets.token_hex(16)
        await pipe.claim_and_die(raw, message_id)
        early = pipe.posted(raw, message_id=message_id)
        await asyncio.sleep(0.1)
        clock.advance(LIVE_DEADLINE_S)
        assert (await early.answer()).type == "still-in-flight"
        clock.advance(LEASE_MARGIN_S)
        assert (await pipe.post(raw, message_id=message_id)).status == 200

    @pytest.mark.parametrize(
        ("place", "status"),
        [(Place.QUEUE, "queued"), (Place.ACTIVE, "queued"), (Place.HOLD, "held"), (Place.CORRUPT, "held")],
    )
    async def test_message_that_a_dead_ingress_had_spooled_is_not_delivered_again(
        self, pipe: Pipe, clock: MovableClock, place: Place, status: str
    ) -> None:
        raw, message_id = message(), secrets.token_hex(16)
        await pipe.claim_and_die(raw, message_id)
        pipe.parts.spool.path(place, message_id).mkdir()
        clock.advance(LIVE_DEADLINE_S + LEASE_MARGIN_S)
        answer = await pipe.post(raw, message_id=message_id)
        assert (answer.status, answer.document["status"], answer.document["queue_id"]) == (202, status, message_id)
        assert pipe.bodies() == []
