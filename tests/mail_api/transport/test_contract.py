"""What mail_api.transport.Transport promises, asked of every implementation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest

from kit.clock import SystemClock
from mail_api.reply import Kind, Meaning, Reply, Stage
from mail_api.transport import Transport
from mail_api.transport.lmtp import LmtpTransport
from mail_api.transport.maildir import MaildirTransport
from tests.mail_api.transport.samples import HEADER, HELLO, HOSTILE, MESSAGE_ID, outgoing, stored
from tests.services.dovecot import SENTINEL, Dovecot
from tests.services.lmtp_proxy import LmtpProxy

OURS = b"X-Homeport-Id: 0123\r\n"


@dataclass(frozen=True, slots=True)
class Subject:
    """A transport, an address that it knows, and how to read what was delivered there."""

    transport: Transport
    address: str
    read: Callable[[], Iterable[bytes]]
    refused: str  # an address that is not delivered to


@pytest.fixture(params=["lmtp BDAT", "lmtp DATA", "lmtp unix", "maildir"])
async def subject(request: pytest.FixtureRequest, dovecot: Dovecot, tmp_path: Path) -> AsyncIterator[Subject]:
    if request.param == "maildir":
        maildir = MaildirTransport(tmp_path, domains={"home.test"}, hostname="mx.home.test")
        yield Subject(
            maildir,
            "anna@home.test",
            lambda: [stored(path.read_bytes()) for path in (tmp_path / "home.test/anna/new").glob("*")],
            "anna@else.test",
        )
        await maildir.close()
        return
    mailbox = dovecot.add_user()
    stripping: AbstractContextManager[LmtpProxy | None] = nullcontext()
    if request.param == "lmtp DATA":
        stripping = LmtpProxy(dovecot.lmtp_port, strip=["CHUNKING"])
    with stripping as proxy:
        url = proxy.url if proxy else dovecot.lmtp_unix_url if "unix" in request.param else dovecot.lmtp_url
        lmtp = LmtpTransport(url, hostname="mx.home.test", sentinel=SENTINEL, clock=SystemClock())
        yield Subject(lmtp, mailbox.address, lambda: mailbox.files().values(), "nobody@home.test")
        await lmtp.close()


async def deliver(subject: Subject, *rcpts: str, message: bytes = HELLO, timeout_s: float = 10) -> list[Reply]:
    return await subject.transport.deliver(
        "sender@mail.test", rcpts, outgoing(message), message_id=MESSAGE_ID, timeout_s=timeout_s
    )


class TestTransport:
    async def test_transport_delivers_and_says_so(self, subject: Subject) -> None:
        [reply] = await deliver(subject, subject.address)
        assert (reply.meaning, reply.stage) == (Meaning.DELIVERED, Stage.DATA)
        [message] = subject.read()
        assert message.endswith(stored(OURS + HELLO))

    async def test_transport_null_sender_is_delivered(self, subject: Subject) -> None:
        [reply] = await subject.transport.deliver(
            "", [subject.address], outgoing(HELLO), message_id=MESSAGE_ID, timeout_s=10
        )
        assert reply.meaning is Meaning.DELIVERED

    async def test_transport_replies_by_position_duplicates_kept(self, subject: Subject) -> None:
        rcpts = [subject.refused, subject.address, subject.refused, subject.address]
        replies = await deliver(subject, *rcpts)
        assert [reply.is_positive for reply in replies] == [False, True, False, True]
        assert len(list(subject.read())) == 1

    async def test_transport_no_recipient_gives_no_reply(self, subject: Subject) -> None:
        assert await deliver(subject) == []

    @pytest.mark.parametrize("body", [body for body in HOSTILE.values() if body.endswith(b"\r\n")])
    async def test_transport_keeps_the_bytes(self, subject: Subject, body: bytes) -> None:
        [reply] = await deliver(subject, subject.address, message=HEADER + body)
        assert reply.meaning is Meaning.DELIVERED
        [message] = subject.read()
        assert message.endswith(stored(OURS + HEADER + body))

    async def test_transport_probe_says_whether_and_delivers_nothing(self, subject: Subject) -> None:
        known = await subject.transport.probe(subject.address, timeout_s=5)
        refused = await subject.transport.probe(subject.refused, timeout_s=5)
        assert (known.meaning, known.stage) == (Meaning.ACCEPTED, Stage.RCPT)
        assert not refused.is_positive
        assert list(subject.read()) == []

    async def test_transport_check_is_one_line(self, subject: Subject) -> None:
        line = await subject.transport.check(timeout_s=5)
        assert line
        assert line.isprintable()

    async def test_transport_many_at_once_each_get_their_reply(self, subject: Subject) -> None:
        replies = await asyncio.gather(
            *(
                subject.transport.deliver(
                    "", [subject.address], outgoing(b"Subject: %d\r\n\r\n" % n), message_id=f"{n:032x}", timeout_s=20
                )
                for n in range(50)
            )
        )
        assert {reply.meaning for [reply] in replies} == {Meaning.DELIVERED}
        assert len(list(subject.read())) == 50

    async def test_transport_no_time_at_all_is_not_delivered(self, subject: Subject) -> None:
        replies = await deliver(subject, subject.address, subject.address, timeout_s=0)
        assert {reply.kind for reply in replies} <= {Kind.NOT_SENT, Kind.UNKNOWN}
        assert len(replies) == 2

    async def test_transport_cancelled_goes_on_working(self, subject: Subject) -> None:
        for turns in range(12):
            task = asyncio.create_task(deliver(subject, subject.address))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        [reply] = await deliver(subject, subject.address)
        assert reply.meaning is Meaning.DELIVERED
