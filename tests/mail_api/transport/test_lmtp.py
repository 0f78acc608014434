"""The LMTP client against a scripted server: what may be concluded from what happens.

ScriptedLmtp itself fails a test in which the client leaves a reply unread, waits for one too many, or uses what LHLO
does not list.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from mail_api.content import Content, Outgoing
from mail_api.reply import Kind, Meaning, Reply, Stage
from mail_api.transport.lmtp import LmtpTransport
from mail_api.transport.lmtp_exchange import FRESH_S, WHOLE_BYTES
from tests.clock import FakeClock
from tests.mail_api.transport.samples import HELLO, MESSAGE_ID, lmtp, outgoing, stored
from tests.services.dovecot import SENTINEL
from tests.services.lmtp_scripted import CAPABILITIES, DROP, HANG, Last, ScriptedLmtp, Slowly, Step
from tests.services.process import free_port
from tests.services.tcp import TcpServer

NO_CHUNKING = tuple(name for name in CAPABILITIES if name != "CHUNKING")
NO_PIPELINING = tuple(name for name in CAPABILITIES if name != "PIPELINING")
LARGE = b"Subject: large\r\n\r\n" + (b"0123456789" * 99 + b"\r\n") * 3_600  # 3.6 MB
SOON_S = 0.6  # a deadline for a server that never answers, long enough for this side on a busy machine
UNKNOWN_USER = "550 5.1.1 <nobody@home.test> User doesn't exist"


def at(stage: str, *steps: Step) -> dict[str, Any]:
    """A script of one stage, for ScriptedLmtp."""
    return {stage: steps}


class DeafServer(TcpServer):
    """Accepts an envelope and stops reading before the body; `then` says what it does instead."""

    def __init__(self, then: Callable[[socket.socket], None] = lambda connection: None) -> None:
        super().__init__(self._refuse_to_hear)
        self.heard_envelope = threading.Event()
        self._then = then
        self._is_over = threading.Event()

    @staticmethod
    def hear_envelope(connection: socket.socket) -> socket.socket:
        with connection.makefile("rb", buffering=0) as lines:
            connection.sendall(b"220 deaf\r\n")
            lines.readline()
            connection.sendall(b"250-deaf\r\n250-PIPELINING\r\n250 CHUNKING\r\n")
            assert [lines.readline()[:4] for _ in range(2)] == [b"MAIL", b"RCPT"]
            connection.sendall(b"250 OK\r\n250 OK\r\n")
        return connection

    def _refuse_to_hear(self, connection: socket.socket) -> None:
        self.hear_envelope(connection)
        self.heard_envelope.set()
        self._then(connection)
        self._is_over.wait()

    def hang_up(self) -> None:
        self._is_over.set()
        super().hang_up()


class SilentServer(TcpServer):
    """Has only so much to say. `heard`: it was spoken to after that; `was_left`: a client has gone."""

    def __init__(self, *says: bytes) -> None:
        super().__init__(self._listen)
        self.heard, self.was_left = threading.Event(), threading.Event()
        self._says = says

    def _listen(self, connection: socket.socket) -> None:
        for said in self._says:
            connection.sendall(said)
            connection.recv(65536)
        with contextlib.suppress(ConnectionResetError):
            self.heard.set()
            while connection.recv(65536):
                pass
        self.was_left.set()


def serve_at_leisure(connection: socket.socket) -> None:
    """Take whole transactions and accept them, each after a while."""
    connection.sendall(b"220 leisure\r\n")
    connection.recv(1000)
    connection.sendall(b"250-leisure\r\n250-CHUNKING\r\n250 PIPELINING\r\n")
    while connection.recv(65536) not in (b"", b"QUIT\r\n"):
        time.sleep(0.002)
        connection.sendall(b"250 OK\r\n250 OK\r\n250 2.0.0 Saved\r\n")


async def deliver(
    transport: LmtpTransport, *rcpts: str, message: bytes | Outgoing = HELLO, timeout_s: float = 5.0
) -> list[Reply]:
    return await transport.deliver(
        "sender@mail.test",
        rcpts or ("anna@home.test",),
        message if isinstance(message, Outgoing) else outgoing(message),
        message_id=MESSAGE_ID,
        timeout_s=timeout_s,
    )


def summary(replies: list[Reply]) -> list[tuple[Kind, Stage, int]]:
    return [(reply.kind, reply.stage, reply.code) for reply in replies]


DELIVERED = (Kind.ANSWERED, Stage.DATA, 250)
UNKNOWN = (Kind.UNKNOWN, Stage.DATA, 0)


def never_sent(stage: Stage) -> tuple[Kind, Stage, int]:
    return (Kind.NOT_SENT, stage, 0)


@pytest.fixture
def stale() -> FakeClock:
    """A clock that a test moves on, so that a pooled connection may have been closed for idleness."""
    return FakeClock()


class TestReplies:
    @pytest.mark.parametrize(
        "capabilities", [CAPABILITIES, NO_CHUNKING, NO_PIPELINING, ()], ids=["all", "DATA", "in turn", "neither"]
    )
    @pytest.mark.parametrize("message", [HELLO, LARGE], ids=["small", "large"])
    async def test_lmtp_second_recipient_over_quota_is_deferred_alone(
        self, capabilities: tuple[str, ...], message: bytes
    ) -> None:
        full = "552 5.2.2 <b@home.test> Quota exceeded"
        body: list[Step] = ["250 2.0.0 Saved", full, "452 4.2.2 Later", "250 2.0.0 Saved"]
        with ScriptedLmtp(capabilities=capabilities, body=body) as peer:
            async with lmtp(peer.port) as transport:
                rcpts = ("a@home.test", "b@home.test", "c@home.test", "a@home.test")
                replies = await deliver(transport, *rcpts, message=message)
                again = await deliver(transport)
        assert [reply.code for reply in replies] == [250, 552, 452, 250]
        assert replies[1] == Reply(Kind.ANSWERED, Stage.DATA, 552, "5.2.2", "<b@home.test> Quota exceeded")
        assert summary(again) == [DELIVERED]
        assert peer.connections == 1
        assert peer.transactions[0].rcpts == list(rcpts)
        assert stored(peer.transactions[0].body) == stored(b"X-Homeport-Id: 0123\r\n" + message)

    @pytest.mark.parametrize("capabilities", [CAPABILITIES, NO_CHUNKING, NO_PIPELINING])
    async def test_lmtp_some_refused_replies_go_to_the_accepted_by_position(
        self, capabilities: tuple[str, ...]
    ) -> None:
        rcpt: list[Step] = ["250 OK", "550 5.7.1 No", "250 OK", "451 4.3.0 Later"]
        body: list[Step] = ["250 2.0.0 first", "451 4.2.0 third"]
        with ScriptedLmtp(capabilities=capabilities, rcpt=rcpt, body=body) as peer:
            async with lmtp(peer.port) as transport:
                replies = await deliver(transport, *(f"{name}@home.test" for name in "abcd"))
        assert [str(reply) for reply in replies] == [
            "250 2.0.0 first (data)",
            "550 5.7.1 No (rcpt)",
            "451 4.2.0 third (data)",
            "451 4.3.0 Later (rcpt)",
        ]

    @pytest.mark.parametrize("capabilities", [CAPABILITIES, NO_CHUNKING, NO_PIPELINING])
    async def test_lmtp_all_refused_resets_and_keeps_the_connection(self, capabilities: tuple[str, ...]) -> None:
        with ScriptedLmtp(capabilities=capabilities, rcpt=["550 5.7.1 No", "451 4.3.0 Later"]) as peer:
            async with lmtp(peer.port) as transport:
                refused = await deliver(transport, "a@home.test", "b@home.test")
                accepted = await deliver(transport)
        assert [reply.code for reply in refused] == [550, 451]
        assert summary(accepted) == [DELIVERED]
        assert peer.connections == 1
        assert "RSET" in peer.commands

    @pytest.mark.parametrize("capabilities", [CAPABILITIES, NO_PIPELINING])
    async def test_lmtp_sender_refused_answers_every_recipient(self, capabilities: tuple[str, ...]) -> None:
        with ScriptedLmtp(capabilities=capabilities, mail=["501 5.5.4 Bad sender"]) as peer:
            async with lmtp(peer.port) as transport:
                refused = await deliver(transport, "a@home.test", "b@home.test")
                accepted = await deliver(transport)
        assert summary(refused) == [(Kind.ANSWERED, Stage.MAIL, 501)] * 2
        assert summary(accepted) == [DELIVERED]
        assert peer.connections == 1

    async def test_lmtp_data_refused_answers_the_accepted_and_resets(self) -> None:
        with ScriptedLmtp(capabilities=NO_CHUNKING, rcpt=["550 5.7.1 No"], data=["451 4.3.0 Later"]) as peer:
            async with lmtp(peer.port) as transport:
                refused = await deliver(transport, "a@home.test", "b@home.test", "c@home.test")
                accepted = await deliver(transport)
        assert [(reply.stage, reply.code) for reply in refused] == [
            (Stage.RCPT, 550),
            (Stage.DATA, 451),
            (Stage.DATA, 451),
        ]
        assert summary(accepted) == [DELIVERED]
        assert peer.connections == 1

    @pytest.mark.parametrize("code", ["250", "220", "355"])
    async def test_lmtp_data_answered_as_if_done_is_never_delivered(self, code: str) -> None:
        with ScriptedLmtp(capabilities=NO_CHUNKING, data=[f"{code} 2.0.0 Saved".encode() + b"\r\n"] * 9) as peer:
            async with lmtp(peer.port) as transport:
                assert summary(await deliver(transport)) == [never_sent(Stage.DATA)]
        assert peer.connections == 3

    async def test_lmtp_no_recipient_says_nothing(self) -> None:
        async with lmtp(free_port()) as transport:
            assert await transport.deliver("", [], outgoing(HELLO), message_id=MESSAGE_ID, timeout_s=1) == []

    async def test_lmtp_replies_in_pieces_and_lines_are_understood(self) -> None:
        rcpt: list[Step] = [Slowly("250 2.1.5 slow", 0.002)]
        body: list[Step] = ["552-5.2.2 one\r\n552-5.2.2 two\r\n552 5.2.2 three"]
        with ScriptedLmtp(rcpt=rcpt, body=body) as peer:
            async with lmtp(peer.port) as transport:
                assert await deliver(transport) == [Reply(Kind.ANSWERED, Stage.DATA, 552, "5.2.2", "one two three")]


class TestWhatIsSent:
    @pytest.mark.parametrize(
        ("capabilities", "parameters"),
        [((), ()), (("8BITMIME",), ("BODY=8BITMIME",)), (("SIZE 1000", "PIPELINING"), (f"SIZE={len(HELLO) + 21}",))],
    )
    async def test_lmtp_only_what_is_offered_is_used(
        self, capabilities: tuple[str, ...], parameters: tuple[str, ...]
    ) -> None:
        with ScriptedLmtp(capabilities=capabilities) as peer:
            async with lmtp(peer.port) as transport:
                assert summary(await deliver(transport)) == [DELIVERED]
        [transaction] = peer.transactions
        assert transaction.parameters == parameters
        assert transaction.verb == "DATA"

    async def test_lmtp_binarymime_offered_is_not_used(self) -> None:
        with ScriptedLmtp(capabilities=(*CAPABILITIES, "BINARYMIME")) as peer:
            async with lmtp(peer.port) as transport:
                await deliver(transport, message=b"\0\xff")
        assert peer.transactions[0].parameters == ("BODY=8BITMIME",)

    @pytest.mark.parametrize("message", [b"", b"\n", b".", HELLO, b"x" * (WHOLE_BYTES - 1), b"y" * WHOLE_BYTES, LARGE])
    async def test_lmtp_bdat_sends_exactly_the_bytes(self, message: bytes) -> None:
        with ScriptedLmtp() as peer:
            async with lmtp(peer.port) as transport:
                assert summary(await deliver(transport, message=outgoing(message, prepend=b""))) == [DELIVERED]
        [transaction] = peer.transactions
        assert transaction.body == message
        assert peer.commands[3] == f"BDAT {len(message)} LAST"

    @pytest.mark.parametrize("capabilities", [CAPABILITIES, NO_CHUNKING])
    async def test_lmtp_file_with_cuts_is_sent_without_them(
        self, capabilities: tuple[str, ...], tmp_path: Path
    ) -> None:
        path = tmp_path / "message"
        path.write_bytes(b"X-Spam: yes\r\n" + LARGE)
        descriptor = os.open(path, os.O_RDONLY)
        try:
            message = Outgoing(b"A: b\r\n", Content(descriptor, len(LARGE) + 13, ""), cuts=((0, 13),))
            with ScriptedLmtp(capabilities=capabilities) as peer:
                async with lmtp(peer.port) as transport:
                    assert summary(await deliver(transport, message=message)) == [DELIVERED]
            assert peer.transactions[0].body == b"A: b\r\n" + LARGE
        finally:
            os.close(descriptor)

    @pytest.mark.parametrize("size", [100, 2 * 1024**2])
    async def test_lmtp_short_file_is_not_sent(self, size: int, tmp_path: Path) -> None:
        path = tmp_path / "message"
        path.write_bytes(b"x" * (size - 1))
        descriptor = os.open(path, os.O_RDONLY)
        try:
            with ScriptedLmtp(rcpt=[b"250 OK\r\n"]) as peer:  # in bytes: a client that leaves is not judged
                async with lmtp(peer.port) as transport:
                    [reply] = await deliver(transport, message=Outgoing(b"", Content(descriptor, size, "")))
            assert (reply.kind, reply.meaning) == (Kind.NOT_SENT, Meaning.TEMPORARY)
            assert "shorter" in reply.text
            assert peer.connections == 1
        finally:
            os.close(descriptor)

    async def test_lmtp_small_message_on_a_fresh_connection_is_one_write(self) -> None:
        with ScriptedLmtp(rcpt=["550 5.7.1 No"] * 2) as peer:
            async with lmtp(peer.port) as transport:
                await deliver(transport)
                await deliver(transport)
        assert [command.split()[0] for command in peer.commands] == [
            "LHLO", "MAIL", "RCPT", "BDAT", "RSET", "MAIL", "RCPT", "BDAT", "RSET", "QUIT",
        ]  # fmt: skip

    async def test_lmtp_body_waits_on_an_idle_connection(self, stale: FakeClock) -> None:
        with ScriptedLmtp(rcpt=["250 OK", "550 5.7.1 No"]) as peer:
            async with lmtp(peer.port, clock=stale) as transport:
                await deliver(transport)
                stale.advance(FRESH_S + 1)
                await deliver(transport)
        assert peer.connections == 1
        assert len([command for command in peer.commands if command.startswith("BDAT")]) == 1

    @pytest.mark.parametrize(
        "address",
        [
            'a"b c"@home.test',
            '"a<b>c"@home.test',
            r'"a\"> <b"@home.test',
            "früh@home.test",
            "a=b+c/d@home.test",
            "a\\b@home.test",
        ],
    )
    async def test_lmtp_unusual_sender_is_sent_as_utf_8(self, address: str) -> None:
        with ScriptedLmtp() as peer:
            async with lmtp(peer.port) as transport:
                message = outgoing(HELLO)
                await transport.deliver(address, ["a@home.test"], message, message_id=MESSAGE_ID, timeout_s=5)
        assert f"MAIL FROM:<{address}> BODY=8BITMIME" in peer.commands

    @pytest.mark.parametrize(
        "address",
        [
            "a@home.test>\r\nRCPT TO:<b@home.test",
            "a@home.test\n",
            "a\0@home.test",
            "a\x7f@home.test",
            "a\x85@home.test",
            "a b@home.test",
            "a> SIZE=1@home.test",
            "<a@home.test>",
            '"a\nb"@home.test',
            '"a\\\n"@home.test',
            '"open@home.test',
            'a"@home.test',
            '"a\\"@home.test',
            "\ud800@home.test",
        ],
    )
    async def test_lmtp_address_that_could_say_more_is_refused_before_anything_is_sent(self, address: str) -> None:
        message = outgoing(HELLO)
        with ScriptedLmtp() as peer:
            async with lmtp(peer.port) as transport:
                with pytest.raises(ValueError):  # noqa: PT011 - UnicodeEncodeError has a text of its own
                    await transport.deliver(address, ["a@home.test"], message, message_id=MESSAGE_ID, timeout_s=5)
                with pytest.raises(ValueError):  # noqa: PT011
                    await transport.deliver("", ["a@home.test", address], message, message_id=MESSAGE_ID, timeout_s=5)
                with pytest.raises(ValueError):  # noqa: PT011
                    await transport.probe(address, timeout_s=5)
        assert peer.connections == 0


class TestLoss:
    @pytest.mark.parametrize("where", ["mail", "rcpt"])
    @pytest.mark.parametrize("step", [Last("421 4.3.2 Shutting down"), DROP], ids=["421", "EOF"])
    async def test_lmtp_stale_connection_lost_in_the_envelope_is_repeated_on_a_new_one(
        self, where: str, step: Step, stale: FakeClock
    ) -> None:
        with ScriptedLmtp(**at(where, "250 OK", step)) as peer:
            async with lmtp(peer.port, clock=stale) as transport:
                await deliver(transport)
                stale.advance(FRESH_S + 1)
                assert summary(await deliver(transport)) == [DELIVERED]
        assert peer.connections == 2
        assert [transaction.body for transaction in peer.transactions if transaction.body] == [
            b"X-Homeport-Id: 0123\r\n" + HELLO
        ] * 2

    @pytest.mark.parametrize("where", ["mail", "rcpt"])
    async def test_lmtp_pipelined_body_behind_a_421_is_repeated(self, where: str) -> None:
        with ScriptedLmtp(**at(where, Last("421 4.3.2 Shutting down"))) as peer:
            async with lmtp(peer.port) as transport:
                assert summary(await deliver(transport)) == [DELIVERED]
        assert peer.connections == 2

    async def test_lmtp_421_again_and_again_is_given_up_after_two_repeats(self) -> None:
        with ScriptedLmtp(mail=[Last("421 4.3.2 Shutting down")] * 9) as peer:
            async with lmtp(peer.port) as transport:
                [reply] = await deliver(transport)
        assert reply == Reply(Kind.ANSWERED, Stage.MAIL, 421, "4.3.2", "Shutting down")
        assert reply.meaning is Meaning.TEMPORARY
        assert peer.connections == 3

    async def test_lmtp_421_without_an_end_is_an_end(self) -> None:
        with ScriptedLmtp(mail=[b"421 4.3.2 Shutting down\r\n"]) as peer:
            async with lmtp(peer.port) as transport:
                assert summary(await deliver(transport)) == [DELIVERED]
        assert peer.connections == 2

    @pytest.mark.parametrize("where", ["mail", "rcpt", "body"])
    async def test_lmtp_pipelined_body_and_no_word_is_unknown(self, where: str) -> None:
        with ScriptedLmtp(**at(where, DROP)) as peer:
            async with lmtp(peer.port) as transport:
                assert summary(await deliver(transport)) == [UNKNOWN]
                assert summary(await deliver(transport)) == [DELIVERED]
        assert peer.connections == 2

    @pytest.mark.parametrize("capabilities", [CAPABILITIES, NO_CHUNKING, NO_PIPELINING])
    @pytest.mark.parametrize("message", [HELLO, LARGE], ids=["small", "large"])
    async def test_lmtp_dropped_after_the_last_byte_is_unknown(
        self, capabilities: tuple[str, ...], message: bytes
    ) -> None:
        with ScriptedLmtp(capabilities=capabilities, rcpt=["250 OK", "550 5.7.1 No"], body=[DROP]) as peer:
            async with lmtp(peer.port) as transport:
                replies = await deliver(transport, "a@home.test", "b@home.test", message=message)
        assert summary(replies) == [UNKNOWN, (Kind.ANSWERED, Stage.RCPT, 550)]
        assert peer.connections == 1

    @pytest.mark.parametrize("capabilities", [CAPABILITIES, NO_CHUNKING])
    @pytest.mark.parametrize("step", [DROP, HANG, b"garbage\r\n", Last("421 4.4.2 Timeout")])
    async def test_lmtp_first_250_already_read_stays_a_250(self, capabilities: tuple[str, ...], step: Step) -> None:
        with ScriptedLmtp(capabilities=capabilities, body=["250 2.0.0 Saved", step]) as peer:
            async with lmtp(peer.port) as transport:
                replies = await deliver(transport, "a@home.test", "b@home.test", "c@home.test", timeout_s=1.5)
        assert replies[0].meaning is Meaning.DELIVERED
        assert replies[1].code == (421 if isinstance(step, Last) else 0)
        assert summary(replies[2:]) == [UNKNOWN]

    @pytest.mark.parametrize("capabilities", [CAPABILITIES, NO_CHUNKING])
    async def test_lmtp_dropped_in_mid_body_is_not_sent(self, capabilities: tuple[str, ...]) -> None:
        with ScriptedLmtp(capabilities=capabilities, drop_after_bytes=10_000) as peer:
            async with lmtp(peer.port) as transport:
                assert summary(await deliver(transport, message=LARGE * 4)) == [never_sent(Stage.DATA)]
        assert peer.connections == 1

    async def test_lmtp_early_refusal_of_a_large_body_is_heard(self) -> None:
        """A server may say no before it has read the whole chunk, and leave."""

        def refuse(connection: socket.socket) -> None:
            connection.recv(10)
            connection.sendall(b"552 5.3.4 Too big\r\n")
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass

        with DeafServer(refuse) as peer:
            async with lmtp(peer.port) as transport:
                [reply] = await deliver(transport, message=LARGE * 4)
        assert reply == Reply(Kind.ANSWERED, Stage.DATA, 552, "5.3.4", "Too big")

    async def test_lmtp_success_before_the_whole_body_is_no_success(self) -> None:
        def praise(connection: socket.socket) -> None:
            connection.recv(10)
            connection.sendall(b"250 2.0.0 Saved\r\n")

        with DeafServer(praise) as peer:
            async with lmtp(peer.port) as transport:
                assert summary(await deliver(transport, message=LARGE * 4, timeout_s=1)) == [never_sent(Stage.DATA)]

    @pytest.mark.parametrize("where", ["greeting", "lhlo", "mail", "rcpt", "body"])
    @pytest.mark.parametrize(
        "garbage",
        [b"garbage\r\n", b"x" * 10_000, b"250-more\r\n" * 1_000, b"\r\n", b"250-a\r\n550 b\r\n"],
        ids=["text", "long", "endless", "empty", "two codes"],
    )
    async def test_lmtp_garbage_is_a_lost_connection(self, where: str, garbage: bytes) -> None:
        with ScriptedLmtp(**at(where, garbage)) as peer:
            async with lmtp(peer.port) as transport:
                [reply] = await deliver(transport)
                assert summary(await deliver(transport)) == [DELIVERED]
        stage = {"greeting": Stage.CONNECT, "lhlo": Stage.LHLO}.get(where)
        assert summary([reply]) == [never_sent(stage) if stage else UNKNOWN]
        assert peer.connections == 2

    @pytest.mark.parametrize(
        ("more", "reply"), [(b"250 2.0.0 Saved again\r\n", UNKNOWN), (b"25", DELIVERED), (b"hello\r\n", DELIVERED)]
    )
    async def test_lmtp_more_than_was_asked_for_ends_the_connection(
        self, more: bytes, reply: tuple[Kind, Stage, int]
    ) -> None:
        """With one reply too many, nobody can say which of them answered the body."""
        with ScriptedLmtp(body=[b"250 2.0.0 Saved\r\n" + more]) as peer:
            async with lmtp(peer.port) as transport:
                assert summary(await deliver(transport)) == [reply]
                assert summary(await deliver(transport)) == [DELIVERED]
        assert peer.connections == 2

    async def test_lmtp_a_reply_for_the_refused_too_ends_the_connection(self) -> None:
        body = b"250 2.0.0 Saved\r\n503 5.5.1 You were refused\r\n"
        with ScriptedLmtp(rcpt=["250 OK", "550 5.7.1 No"], body=[body]) as peer:
            async with lmtp(peer.port) as transport:
                replies = await deliver(transport, "a@home.test", "b@home.test")
                assert [reply.code for reply in replies] == [250, 550]
                assert summary(await deliver(transport)) == [DELIVERED]
        assert peer.connections == 2

    async def test_lmtp_nonsense_after_the_last_reply_changes_nothing(self) -> None:
        script = at("rcpt", UNKNOWN_USER) | at("mail", "250 OK", b"250 OK\r\n250 OK\r\n250 OK\r\n250 OK\r\n")
        with ScriptedLmtp(**script) as peer:
            async with lmtp(peer.port) as transport:
                replies = await deliver(transport, "x@home.test", "anna@home.test")
        assert [reply.meaning for reply in replies] == [Meaning.NO_MAILBOX, Meaning.DELIVERED]
        assert replies[0].sentinel_accepted is None

    async def test_lmtp_a_reply_too_many_in_the_envelope_is_never_taken_for_the_body_s(self) -> None:
        with ScriptedLmtp(mail=[b"250 OK\r\n250 OK\r\n250 OK\r\n"], body=["552 5.2.2 Full"]) as peer:
            async with lmtp(peer.port) as transport:
                [reply] = await deliver(transport, message=LARGE)
        assert reply.meaning is not Meaning.DELIVERED


class TestUnreachable:
    async def test_lmtp_refused_is_not_sent_at_connect(self) -> None:
        async with lmtp(free_port()) as transport:
            [reply] = await deliver(transport, timeout_s=5)
            assert reply.meaning is Meaning.UNREACHABLE
            assert reply.stage is Stage.CONNECT
            assert (await transport.probe("a@home.test", timeout_s=5)).meaning is Meaning.UNREACHABLE
            with pytest.raises(OSError):  # noqa: PT011
                await transport.check(timeout_s=5)

    async def test_lmtp_missing_socket_is_not_sent_at_connect(self, tmp_path: Path) -> None:
        async with lmtp(f"lmtp+unix://{tmp_path}/none") as transport:
            assert summary(await deliver(transport)) == [never_sent(Stage.CONNECT)]

    @pytest.mark.parametrize(
        ("script", "stage"),
        [(at("greeting", "554 5.3.2 Not today"), Stage.CONNECT), (at("lhlo", "502 5.5.1 SMTP only"), Stage.LHLO)],
    )
    async def test_lmtp_unwelcome_is_not_sent_and_says_why(self, script: dict[str, Any], stage: Stage) -> None:
        with ScriptedLmtp(**script) as peer:
            async with lmtp(peer.port) as transport:
                [reply] = await deliver(transport)
        assert (reply.meaning, reply.stage) == (Meaning.UNREACHABLE, stage)
        assert "5." in reply.text

    async def test_lmtp_outage_is_logged_when_it_begins_and_ends(self) -> None:
        with capture_logs() as logged, ScriptedLmtp(greeting=["421 4.3.2 Busy"] * 3) as peer:
            async with lmtp(peer.port) as transport:
                replies = [await deliver(transport) for _ in range(4)]
        assert [reply.is_positive for [reply] in replies] == [False, False, False, True]
        assert [entry["event"] for entry in logged] == ["lmtp_unreachable", "lmtp_reachable"]

    @pytest.mark.parametrize("url", ["smtp://127.0.0.1:24", "lmtp://127.0.0.1", "lmtp:///run/lmtp", "lmtp+unix://h/p"])
    def test_lmtp_url_of_another_kind_is_refused(self, url: str) -> None:
        with pytest.raises(ValueError, match="neither"):
            LmtpTransport(url, hostname="mx.home.test", sentinel=None, clock=FakeClock())

    @pytest.mark.parametrize(
        "unusable", [{"hostname": "mx\r\nQUIT"}, {"hostname": "mx é"}, {"sentinel": "a b@home.test"}]
    )
    def test_lmtp_unusable_name_is_refused(self, unusable: dict[str, str]) -> None:
        options: dict[str, Any] = {"hostname": "mx.home.test", "sentinel": None, **unusable}
        with pytest.raises(ValueError):  # noqa: PT011
            LmtpTransport("lmtp://127.0.0.1:24", clock=FakeClock(), **options)


class TestDeadlines:
    @pytest.mark.parametrize(
        ("capabilities", "where"),
        [
            *itertools.product([CAPABILITIES, NO_PIPELINING], ["greeting", "lhlo", "mail", "rcpt", "body"]),
            *itertools.product([NO_CHUNKING], ["greeting", "lhlo", "mail", "rcpt", "data", "body"]),
        ],
    )
    @pytest.mark.parametrize("message", [HELLO, LARGE[: 2 * WHOLE_BYTES]], ids=["small", "large"])
    async def test_lmtp_hang_ends_at_the_deadline(
        self, where: str, capabilities: tuple[str, ...], message: bytes
    ) -> None:
        loop = asyncio.get_running_loop()
        with ScriptedLmtp(capabilities=capabilities, **at(where, HANG)) as peer:
            async with lmtp(peer.port) as transport:
                began = loop.time()
                [reply] = await deliver(transport, message=message, timeout_s=SOON_S)
                took = loop.time() - began
        assert 0.9 * SOON_S < took < 10 * SOON_S
        pipelined = message is HELLO and capabilities is CAPABILITIES
        expected = {
            "greeting": never_sent(Stage.CONNECT),
            "lhlo": never_sent(Stage.LHLO),
            "mail": UNKNOWN if pipelined else never_sent(Stage.MAIL),
            "rcpt": UNKNOWN if pipelined else never_sent(Stage.MAIL),
            "data": never_sent(Stage.DATA),
            "body": UNKNOWN,
        }
        assert summary([reply]) == [expected[where]]
        assert reply.text == "no answer in time"

    async def test_lmtp_timer_that_fires_early_leaves_no_time_for_another_try(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As uvloop's do, by up to a millisecond: what hung at MAIL would be told as a server that can't be reached."""
        loop = asyncio.get_running_loop()
        with ScriptedLmtp(capabilities=NO_PIPELINING, **at("mail", HANG)) as peer:
            async with lmtp(peer.port) as transport:
                monkeypatch.setattr(transport, "_now", lambda: loop.time() - 0.05)
                [reply] = await deliver(transport, message=HELLO, timeout_s=SOON_S)
        assert summary([reply]) == [never_sent(Stage.MAIL)]

    async def test_lmtp_server_that_stops_reading_is_not_sent(self) -> None:
        with DeafServer() as peer:
            async with lmtp(peer.port) as transport:
                assert summary(await deliver(transport, message=LARGE * 4, timeout_s=1)) == [never_sent(Stage.DATA)]

    async def test_lmtp_body_whose_end_the_kernel_does_not_take_is_not_sent(self, tmp_path: Path) -> None:
        """However little is missing: bytes in our own buffer have not been sent."""
        one, other = socket.socketpair()
        with one, other:
            one.setblocking(False)
            taken = one.send(b"x" * 10_000_000)  # what a unix socket takes when nobody reads
        message = outgoing(b"x" * (taken + 20_000), prepend=b"")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(tmp_path / "lmtp"))
            listener.listen()
            server = asyncio.create_task(asyncio.to_thread(lambda: DeafServer.hear_envelope(listener.accept()[0])))
            async with lmtp(f"lmtp+unix://{tmp_path}/lmtp") as transport:
                assert summary(await deliver(transport, message=message, timeout_s=1)) == [never_sent(Stage.DATA)]
            (await server).close()

    async def test_lmtp_without_time_says_nothing(self) -> None:
        with ScriptedLmtp() as peer:
            async with lmtp(peer.port) as transport:
                await deliver(transport)
                assert summary(await deliver(transport, timeout_s=0)) == [never_sent(Stage.CONNECT)]
        assert len(peer.transactions) == 1

    async def test_lmtp_deadline_that_was_kept_does_not_end_the_connection_later(self) -> None:
        with ScriptedLmtp() as peer:
            async with lmtp(peer.port) as transport:
                assert summary(await deliver(transport, timeout_s=1.5)) == [DELIVERED]
                await asyncio.sleep(1.6)
                assert summary(await deliver(transport)) == [DELIVERED]
        assert peer.connections == 1

    async def test_lmtp_connect_deadline_is_its_own_and_leaves_no_connection(self) -> None:
        with SilentServer() as peer:
            async with lmtp(peer.port, connect_timeout_s=SOON_S) as transport:
                [reply] = await deliver(transport, timeout_s=30)
                assert await asyncio.to_thread(peer.was_left.wait, 5)
        assert summary([reply]) == [never_sent(Stage.CONNECT)]
        assert reply.text == "no answer in time"


class TestPool:
    async def test_lmtp_fifty_at_once_share_the_pool(self) -> None:
        with ScriptedLmtp() as peer:
            async with lmtp(peer.port, pool_size=3) as transport:
                replies = await asyncio.gather(*(deliver(transport, f"u{n}@home.test") for n in range(50)))
        assert [reply.meaning for [reply] in replies] == [Meaning.DELIVERED] * 50
        assert peer.connections == 3
        assert sorted(rcpt for transaction in peer.transactions for rcpt in transaction.rcpts) == sorted(
            f"u{n}@home.test" for n in range(50)
        )

    async def test_lmtp_waiting_for_a_connection_is_in_order_and_counts(self) -> None:
        with ScriptedLmtp(body=[HANG]) as peer:
            async with lmtp(peer.port, pool_size=1) as transport:
                first = asyncio.create_task(deliver(transport, "first@home.test", timeout_s=2 * SOON_S))
                await asyncio.sleep(0)
                second = asyncio.create_task(deliver(transport, "second@home.test", timeout_s=SOON_S))
                third = asyncio.create_task(deliver(transport, "third@home.test"))
                fourth = asyncio.create_task(deliver(transport, "fourth@home.test"))
                replies = [reply for task in (first, second, third, fourth) for reply in await task]
        assert summary(replies) == [UNKNOWN, never_sent(Stage.CONNECT), DELIVERED, DELIVERED]
        assert [transaction.rcpts for transaction in peer.transactions] == [
            ["first@home.test"], ["third@home.test"], ["fourth@home.test"],
        ]  # fmt: skip

    async def test_lmtp_cancelled_while_the_server_thinks_drops_the_connection_and_frees_the_slot(self) -> None:
        with SilentServer(b"220 silent\r\n", b"250-silent\r\n250-PIPELINING\r\n250 CHUNKING\r\n") as peer:
            async with lmtp(peer.port, pool_size=1) as transport:
                task = asyncio.create_task(deliver(transport))
                assert await asyncio.to_thread(peer.heard.wait, 5)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert await asyncio.to_thread(peer.was_left.wait, 5)
                assert summary(await deliver(transport, timeout_s=SOON_S)) == [UNKNOWN]
        assert peer.connections == 2

    async def test_lmtp_cancelled_in_mid_body_frees_the_slot(self) -> None:
        with DeafServer() as peer:
            async with lmtp(peer.port, pool_size=1) as transport:
                task = asyncio.create_task(deliver(transport, message=LARGE * 4, timeout_s=30))
                await asyncio.to_thread(peer.heard_envelope.wait)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert summary(await deliver(transport, message=LARGE * 4, timeout_s=1)) == [never_sent(Stage.DATA)]
        assert peer.connections == 2

    async def test_lmtp_cancelled_while_waiting_takes_nothing(self) -> None:
        with ScriptedLmtp() as peer:
            async with lmtp(peer.port, pool_size=1) as transport:
                first = asyncio.create_task(deliver(transport))
                second = asyncio.create_task(deliver(transport))
                await asyncio.sleep(0)
                second.cancel()
                assert summary(await first) == [DELIVERED]
                assert summary(await deliver(transport)) == [DELIVERED]
        assert peer.connections == 1

    @pytest.mark.parametrize("farewell", [b"421 4.4.2 Idle too long\r\n", b"", b"250 what?\r\n", b"2"])
    async def test_lmtp_connection_closed_or_talking_while_idle_is_not_used_again(self, farewell: bytes) -> None:
        """The server speaks or leaves between two deliveries: seen before anything is written."""
        served: list[socket.socket] = []

        def serve(connection: socket.socket) -> None:
            served.append(connection)
            connection.sendall(b"220 hi\r\n")
            connection.recv(1000)
            connection.sendall(b"250-hi\r\n250-PIPELINING\r\n250 CHUNKING\r\n")
            connection.recv(65536)
            connection.sendall(b"250 OK\r\n250 OK\r\n250 2.0.0 Saved\r\n")
            while connection.recv(65536) not in (b"", b"QUIT\r\n"):
                pass

        with TcpServer(serve) as peer:
            async with lmtp(peer.port) as transport:
                assert summary(await deliver(transport)) == [DELIVERED]
                served[0].sendall(farewell)  # no turn of the event loop between this and the next delivery
                if not farewell:
                    served[0].shutdown(socket.SHUT_WR)
                assert summary(await deliver(transport)) == [DELIVERED]
        assert peer.connections == 2

    async def test_lmtp_connection_unused_for_long_is_closed_with_quit(self, stale: FakeClock) -> None:
        with ScriptedLmtp() as peer:
            async with lmtp(peer.port, clock=stale, idle_s=30) as transport:
                await deliver(transport)
                stale.advance(29)
                await deliver(transport)
                stale.advance(31)
                await deliver(transport)
        assert peer.connections == 2
        assert peer.commands.count("QUIT") == 2

    async def test_lmtp_close_waits_for_no_server(self) -> None:
        with ScriptedLmtp(quit=[HANG]) as peer:
            async with asyncio.timeout(10), lmtp(peer.port) as transport:
                await deliver(transport)


class TestStorms:
    async def test_lmtp_babbling_server_still_gets_every_recipient_one_reply(self) -> None:
        """Whatever a server says, and whenever: one reply for each recipient, in time, and the pool survives."""
        words = [b"250 OK\r\n", b"250-more\r\n", b"354 go\r\n", b"421 bye\r\n", b"550 5.1.1 no\r\n", b"452", b"\r\n"]
        words += [b"250 2.0.0 Saved\r\n" * 3, b"\0\xff", b"220 hi\r\n", b"250-CHUNKING\r\n250 PIPELINING\r\n"]

        def babble(connection: socket.socket, chance: random.Random) -> None:
            connection.sendall(b"220 babel\r\n")
            connection.recv(65536)
            connection.sendall(b"250-babel\r\n250-CHUNKING\r\n250 PIPELINING\r\n")
            while connection.recv(65536):
                for _ in range(chance.randrange(4)):
                    connection.sendall(chance.choice(words))
                if chance.random() < 0.1:
                    return

        async def talk(seed: int) -> None:
            chance = random.Random(seed)
            with TcpServer(lambda connection: babble(connection, chance)) as peer:
                async with lmtp(peer.port, pool_size=1) as transport:
                    for _ in range(5):
                        rcpts = ["a@home.test"] * chance.randrange(1, 4)
                        message = chance.choice([HELLO, b"x" * WHOLE_BYTES])
                        assert len(await deliver(transport, *rcpts, message=message, timeout_s=0.05)) == len(rcpts)
                        await transport.probe("a@home.test", timeout_s=0.05)

        async with asyncio.timeout(60):
            await asyncio.gather(*(talk(seed) for seed in range(40)))

    async def test_lmtp_cancelled_and_late_deliveries_leak_no_slot(self) -> None:
        chance = random.Random(1)
        with TcpServer(serve_at_leisure) as peer:
            async with lmtp(peer.port, pool_size=2) as transport:

                async def hurry(number: int) -> None:
                    with contextlib.suppress(asyncio.CancelledError):
                        await deliver(transport, f"u{number}@home.test", timeout_s=chance.random() / 20)

                tasks = [asyncio.create_task(hurry(number)) for number in range(100)]
                for task in chance.sample(tasks, 50):
                    await asyncio.sleep(chance.random() / 200)
                    task.cancel()
                await asyncio.gather(*tasks)
                last = await asyncio.gather(*(deliver(transport) for _ in range(4)))
        assert [summary(replies) for replies in last] == [[DELIVERED]] * 4


class TestProbe:
    @pytest.mark.parametrize("capabilities", [CAPABILITIES, ()], ids=["pipelined", "in turn"])
    async def test_probe_known_mailbox_sends_nothing(self, capabilities: tuple[str, ...]) -> None:
        with ScriptedLmtp(capabilities=capabilities) as peer:
            async with lmtp(peer.port) as transport:
                reply = await transport.probe("anna@home.test", timeout_s=5)
                assert summary(await deliver(transport)) == [DELIVERED]
        assert reply.meaning is Meaning.ACCEPTED
        assert [transaction.verb for transaction in peer.transactions] == ["", peer.transactions[1].verb]
        assert peer.connections == 1

    @pytest.mark.parametrize("capabilities", [CAPABILITIES, ()], ids=["pipelined", "in turn"])
    @pytest.mark.parametrize(
        ("sentinel_rcpt", "accepted"), [("250 OK", True), (UNKNOWN_USER, False), ("451 4.3.0 Later", False)]
    )
    async def test_probe_unknown_mailbox_asks_the_sentinel_in_the_same_session(
        self, capabilities: tuple[str, ...], sentinel_rcpt: str, accepted: bool
    ) -> None:
        with ScriptedLmtp(capabilities=capabilities, rcpt=[UNKNOWN_USER, sentinel_rcpt]) as peer:
            async with lmtp(peer.port) as transport:
                reply = await transport.probe("nobody@home.test", timeout_s=5)
                assert summary(await deliver(transport)) == [DELIVERED]
        assert (reply.meaning, reply.sentinel_accepted) == (Meaning.NO_MAILBOX, accepted)
        assert f"RCPT TO:<{SENTINEL}>" in peer.commands
        assert peer.connections == 1

    @pytest.mark.parametrize("step", [DROP, HANG, b"garbage\r\n", Last("421 4.3.2 Shutting down")])
    @pytest.mark.parametrize("where", ["mail", "rcpt"])
    async def test_probe_sentinel_that_cannot_be_asked_is_none(self, where: str, step: Step) -> None:
        script = at("rcpt", UNKNOWN_USER) | at(where, UNKNOWN_USER if where == "rcpt" else "250 OK", step)
        with ScriptedLmtp(**script) as peer:
            async with lmtp(peer.port) as transport:
                reply = await transport.probe("nobody@home.test", timeout_s=1.5)
        assert (reply.meaning, reply.sentinel_accepted) == (Meaning.NO_MAILBOX, None)

    async def test_probe_sentinel_s_sender_refused_is_none(self) -> None:
        with ScriptedLmtp(rcpt=[UNKNOWN_USER], mail=["250 OK", "451 4.3.0 Later"]) as peer:
            async with lmtp(peer.port) as transport:
                assert (await transport.probe("nobody@home.test", timeout_s=5)).sentinel_accepted is None
        assert peer.connections == 1

    async def test_probe_without_sentinel_asks_nobody(self) -> None:
        with ScriptedLmtp(rcpt=[UNKNOWN_USER]) as peer:
            async with lmtp(peer.port, sentinel=None) as transport:
                assert (await transport.probe("nobody@home.test", timeout_s=5)).sentinel_accepted is None
        assert len(peer.transactions) == 1

    @pytest.mark.parametrize("refusal", ["550 5.7.1 No", "451 4.3.0 Later", "550 No"])
    async def test_probe_other_refusal_asks_no_sentinel(self, refusal: str) -> None:
        with ScriptedLmtp(rcpt=[refusal]) as peer:
            async with lmtp(peer.port) as transport:
                assert (await transport.probe("anna@home.test", timeout_s=5)).meaning is Meaning.TEMPORARY
        assert len(peer.transactions) == 1

    @pytest.mark.parametrize("capabilities", [CAPABILITIES, NO_CHUNKING, NO_PIPELINING])
    async def test_deliver_unknown_mailboxes_ask_the_sentinel_once(self, capabilities: tuple[str, ...]) -> None:
        with ScriptedLmtp(capabilities=capabilities, rcpt=[UNKNOWN_USER, "250 OK", UNKNOWN_USER]) as peer:
            async with lmtp(peer.port) as transport:
                replies = await deliver(transport, "x@home.test", "anna@home.test", "y@home.test")
                assert summary(await deliver(transport)) == [DELIVERED]
        assert [reply.meaning for reply in replies] == [Meaning.NO_MAILBOX, Meaning.DELIVERED, Meaning.NO_MAILBOX]
        assert [reply.sentinel_accepted for reply in replies] == [True, None, True]
        assert peer.commands.count(f"RCPT TO:<{SENTINEL}>") == 1
        assert peer.connections == 1

    async def test_deliver_lost_while_asking_the_sentinel_keeps_the_replies(self) -> None:
        with ScriptedLmtp(rcpt=[UNKNOWN_USER, "250 OK", DROP]) as peer:
            async with lmtp(peer.port) as transport:
                replies = await deliver(transport, "x@home.test", "anna@home.test")
        assert [reply.meaning for reply in replies] == [Meaning.NO_MAILBOX, Meaning.DELIVERED]
        assert replies[0].sentinel_accepted is None
        assert peer.connections == 1

    async def test_probe_lost_is_repeated(self) -> None:
        with ScriptedLmtp(mail=[DROP], rcpt=[Last("421 4.3.2 Shutting down")]) as peer:
            async with lmtp(peer.port) as transport:
                assert (await transport.probe("anna@home.test", timeout_s=5)).meaning is Meaning.ACCEPTED
        assert peer.connections == 3

    async def test_probe_hang_is_not_sent(self) -> None:
        with ScriptedLmtp(rcpt=[HANG]) as peer:
            async with lmtp(peer.port) as transport:
                reply = await transport.probe("anna@home.test", timeout_s=SOON_S)
        assert summary([reply]) == [never_sent(Stage.RCPT)]


class TestCheck:
    async def test_check_says_what_was_reached(self) -> None:
        with ScriptedLmtp() as peer:
            async with lmtp(peer.port) as transport:
                line = f"LMTP 127.0.0.1:{peer.port} 8BITMIME CHUNKING PIPELINING"
                assert [await transport.check(timeout_s=5) for _ in range(2)] == [line, line]
        assert peer.connections == 1

    @pytest.mark.parametrize("where", ["greeting", "lhlo", "noop"])
    async def test_check_hang_raises_at_the_deadline(self, where: str) -> None:
        with ScriptedLmtp(**at(where, HANG)) as peer:
            async with lmtp(peer.port) as transport:
                with pytest.raises(OSError, match="no answer in time"):
                    await transport.check(timeout_s=SOON_S)
