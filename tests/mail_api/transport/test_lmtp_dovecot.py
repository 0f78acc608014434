"""The LMTP client against the real Dovecot: bytes as they lie in the Maildir, quota, unknown users, restarts."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from mail_api.content import Content, Outgoing
from mail_api.reply import Kind, Meaning, Stage
from tests.mail_api.transport.samples import HEADER, HELLO, HOSTILE, MESSAGE_ID, lmtp, outgoing, stored
from tests.services.dovecot import Dovecot, Mailbox
from tests.services.lmtp_proxy import LmtpProxy

OURS = b"X-Homeport-Id: 0123\r\n"


def after_ours(file: bytes) -> bytes:
    """Return what follows our first header field in a file that Dovecot wrote; above it is only Dovecot's own."""
    above, ours, rest = file.partition(stored(OURS))
    assert ours
    assert above.startswith(b"Return-Path:")
    return rest


class TestBytes:
    @pytest.mark.parametrize("strip", [(), ("CHUNKING",)], ids=["BDAT", "DATA"])
    async def test_lmtp_hostile_bodies_arrive_byte_for_byte(
        self, dovecot: Dovecot, mailbox: Mailbox, strip: tuple[str, ...]
    ) -> None:
        """mail.md 3.2: equal modulo CRLF -> LF; DATA adds the last line end, a bare CR as the last byte is lost."""
        sent = []
        with LmtpProxy(dovecot.lmtp_port, strip=strip) as proxy:
            async with lmtp(proxy.port) as transport:
                for body in HOSTILE.values():
                    message = HEADER + body
                    [reply] = await transport.deliver(
                        "sender@mail.test", [mailbox.address], outgoing(message), message_id=MESSAGE_ID, timeout_s=10
                    )
                    assert reply.meaning is Meaning.DELIVERED, reply
                    if strip and not message.endswith(b"\n"):
                        message += b"\r\n"
                    sent.append(stored(message))
        assert sorted(map(after_ours, mailbox.files().values())) == sorted(sent)

    @pytest.mark.parametrize("strip", [(), ("CHUNKING",)], ids=["BDAT", "DATA"])
    async def test_lmtp_25_mib_from_a_file_arrives(
        self, dovecot: Dovecot, mailbox: Mailbox, strip: tuple[str, ...], tmp_path: Path
    ) -> None:
        message = HEADER + (b".0123456789abcdef" * 50 + b"\r\n") * 30_000
        message = message[: 25 * 1024**2 - 2] + b"\r\n"
        (tmp_path / "message").write_bytes(message)
        descriptor = os.open(tmp_path / "message", os.O_RDONLY)
        try:
            content = Content(descriptor, len(message), "")
            with LmtpProxy(dovecot.lmtp_port, strip=strip) as proxy:
                async with lmtp(proxy.port) as transport:
                    [reply] = await transport.deliver(
                        "", [mailbox.address], Outgoing(OURS, content), message_id=MESSAGE_ID, timeout_s=60
                    )
        finally:
            os.close(descriptor)
        assert reply.meaning is Meaning.DELIVERED, reply
        [file] = mailbox.files().values()
        assert after_ours(file) == stored(message)


class TestReplies:
    @pytest.mark.parametrize("strip", [(), ("CHUNKING",), ("PIPELINING",), ("PIPELINING", "CHUNKING", "8BITMIME")])
    async def test_lmtp_quota_unknown_and_duplicates_are_told_apart(
        self, dovecot: Dovecot, mailbox: Mailbox, strip: tuple[str, ...]
    ) -> None:
        full = dovecot.add_user(quota_bytes=100)
        rcpts = [mailbox.address, full.address, "nobody@home.test", mailbox.address]
        with LmtpProxy(dovecot.lmtp_port, strip=strip) as proxy:
            async with lmtp(proxy.port) as transport:
                for _ in range(2):
                    replies = await transport.deliver(
                        "a@mail.test", rcpts, outgoing(HELLO), message_id=MESSAGE_ID, timeout_s=10
                    )
                    assert [reply.meaning for reply in replies] == [
                        Meaning.DELIVERED, Meaning.MAILBOX_FULL, Meaning.NO_MAILBOX, Meaning.DELIVERED,
                    ]  # fmt: skip
                    assert [reply.sentinel_accepted for reply in replies] == [None, None, True, None]
            assert proxy.connections == 1
        assert len(mailbox.files()) == 2
        assert full.files() == {}

    @pytest.mark.parametrize("strip", [(), ("CHUNKING",), ("PIPELINING",)])
    async def test_lmtp_all_refused_leaves_the_connection_usable(
        self, dovecot: Dovecot, mailbox: Mailbox, strip: tuple[str, ...]
    ) -> None:
        with LmtpProxy(dovecot.lmtp_port, strip=strip) as proxy:
            async with lmtp(proxy.port) as transport:
                for _ in range(3):
                    for rcpts, expected in (
                        (["x@home.test", "y@home.test"], [Meaning.NO_MAILBOX] * 2),
                        ([mailbox.address], [Meaning.DELIVERED]),
                    ):
                        replies = await transport.deliver(
                            "", rcpts, outgoing(HELLO), message_id=MESSAGE_ID, timeout_s=10
                        )
                        assert [reply.meaning for reply in replies] == expected
            assert proxy.connections == 1
        assert len(mailbox.files()) == 3

    async def test_lmtp_sentinel_that_is_gone_is_said(self, dovecot: Dovecot) -> None:
        async with lmtp(dovecot.lmtp_unix_url, sentinel="gone@home.test") as transport:
            reply = await transport.probe("nobody@home.test", timeout_s=5)
        assert (reply.meaning, reply.sentinel_accepted) == (Meaning.NO_MAILBOX, False)

    async def test_lmtp_non_ascii_is_accepted_as_sender_and_refused_as_recipient(
        self, dovecot: Dovecot, mailbox: Mailbox
    ) -> None:
        rcpts = ["jürgen@home.test", mailbox.address]
        async with lmtp(dovecot.lmtp_url) as transport:
            replies = await transport.deliver(
                "früh@mail.test", rcpts, outgoing(HELLO), message_id=MESSAGE_ID, timeout_s=5
            )
        assert [reply.code for reply in replies] == [501, 250]
        assert replies[0].meaning is Meaning.TEMPORARY

    async def test_lmtp_check_names_what_dovecot_offers(self, dovecot: Dovecot) -> None:
        async with lmtp(dovecot.lmtp_unix_url) as transport:
            line = await transport.check(timeout_s=5)
        assert line == f"LMTP {dovecot.lmtp_socket} 8BITMIME CHUNKING PIPELINING"


class TestLoss:
    async def test_lmtp_lost_reply_is_unknown_and_the_message_is_there(
        self, dovecot: Dovecot, mailbox: Mailbox
    ) -> None:
        with LmtpProxy(dovecot.lmtp_port) as proxy:
            proxy.lose_replies = 1
            async with lmtp(proxy.port) as transport:
                [reply] = await transport.deliver(
                    "", [mailbox.address], outgoing(HELLO), message_id=MESSAGE_ID, timeout_s=5
                )
        assert (reply.kind, reply.stage) == (Kind.UNKNOWN, Stage.DATA)
        assert len(mailbox.files()) == 1

    async def test_lmtp_dovecot_restarted_is_not_noticed(self, own_dovecot: Dovecot) -> None:
        mailbox = own_dovecot.add_user()
        async with lmtp(own_dovecot.lmtp_url) as transport:
            for _ in range(3):
                [reply] = await transport.deliver(
                    "", [mailbox.address], outgoing(HELLO), message_id=MESSAGE_ID, timeout_s=5
                )
                assert reply.meaning is Meaning.DELIVERED
                await asyncio.to_thread(own_dovecot.restart)
        assert len(mailbox.files()) == 3

    async def test_lmtp_dovecot_stopped_hung_and_back(self, own_dovecot: Dovecot) -> None:
        mailbox = own_dovecot.add_user()
        async with lmtp(own_dovecot.lmtp_url) as transport:

            async def send(timeout_s: float) -> Meaning:
                [reply] = await transport.deliver(
                    "", [mailbox.address], outgoing(HELLO), message_id=MESSAGE_ID, timeout_s=timeout_s
                )
                return reply.meaning

            assert await send(5) is Meaning.DELIVERED
            own_dovecot.pause()
            assert await send(0.3) is Meaning.UNKNOWN  # on the pooled connection: the kernel took it
            assert await send(0.3) is Meaning.UNREACHABLE  # on a new one: no greeting
            own_dovecot.resume()
            assert await send(5) is Meaning.DELIVERED
            await asyncio.to_thread(own_dovecot.stop)
            assert await send(5) is Meaning.UNREACHABLE
            await asyncio.to_thread(own_dovecot.start)
            assert await send(5) is Meaning.DELIVERED
        assert len(mailbox.files()) in (3, 4)

    async def test_lmtp_dovecot_killed_under_load_loses_nothing_it_confirmed(self, own_dovecot: Dovecot) -> None:
        mailbox = own_dovecot.add_user()
        confirmed = []
        async with lmtp(own_dovecot.lmtp_url) as transport:

            async def send(number: int) -> None:
                message = b"Subject: %d\r\n\r\n" % number
                [reply] = await transport.deliver(
                    "", [mailbox.address], outgoing(message), message_id=MESSAGE_ID, timeout_s=5
                )
                if reply.meaning is Meaning.DELIVERED:
                    confirmed.append(stored(message))

            deliveries = [asyncio.create_task(send(number)) for number in range(200)]
            await asyncio.wait(deliveries, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.to_thread(own_dovecot.kill)
            await asyncio.gather(*deliveries)
        assert 0 < len(confirmed) < 200
        assert set(confirmed) <= {after_ours(file) for file in mailbox.files().values()}
