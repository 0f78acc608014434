"""The scripted LMTP server says what it is told and catches clients that don't read one reply per recipient."""

from __future__ import annotations

import pytest

from tests.services.dialogue import Dialogue
from tests.services.lmtp_scripted import DROP, HANG, Last, ScriptedLmtp, Slowly, Step

RCPTS = ["a@home.test", "b@home.test", "c@home.test"]


def test_scripted_answers_each_recipient_by_position() -> None:
    peer = ScriptedLmtp(rcpt=["250 2.1.5 OK", "550 5.1.1 Unknown"], body=["250 2.0.0 first", "452 4.2.2 second"])
    with peer, Dialogue(peer.port) as lmtp:
        replies = lmtp.transact(RCPTS, b"\r\n.\r\nbody")
    assert [reply[:3] for reply in replies] == [b"250", b"250", b"550", b"250", b"250", b"452"]
    (transaction,) = peer.transactions
    assert (transaction.rcpts, transaction.body, transaction.verb) == ([RCPTS[0], RCPTS[2]], b"\r\n.\r\nbody", "BDAT")


def test_scripted_data_is_unstuffed() -> None:
    with ScriptedLmtp(capabilities=["8BITMIME"]) as peer, Dialogue(peer.port) as lmtp:
        for line in (b"LHLO x", b"MAIL FROM:<s@x.test> BODY=8BITMIME", b"RCPT TO:<a@home.test>", b"DATA"):
            lmtp.ask(line)
        assert lmtp.ask(b"x\r\n..\r\n..y\r\n.").startswith(b"250 ")
        lmtp.ask(b"QUIT")
    assert peer.transactions[0].body == b"x\r\n.\r\n.y\r\n"
    assert peer.transactions[0].parameters == ("BODY=8BITMIME",)


def _converse(peer: ScriptedLmtp, sent: bytes, replies: int, *, then_quit: bool) -> None:
    """Send LHLO and then all of `sent`, read so many replies to it, leave with or without QUIT."""
    with peer, Dialogue(peer.port) as lmtp:
        lmtp.ask(b"LHLO x")
        lmtp.send(sent)
        for _ in range(replies):
            lmtp.reply()
        if then_quit:
            lmtp.ask(b"QUIT")


def test_scripted_client_that_reads_one_reply_for_all_is_caught() -> None:
    rcpts = b"".join(b"RCPT TO:<%s>\r\n" % rcpt.encode() for rcpt in RCPTS)
    with pytest.raises(AssertionError, match="before reply 3 of 3"):
        _converse(ScriptedLmtp(), b"MAIL FROM:<>\r\n" + rcpts + b"BDAT 1 LAST\r\nx", 5, then_quit=True)


def test_scripted_client_that_gives_up_though_all_was_answered_is_caught() -> None:
    transaction = b"MAIL FROM:<>\r\nRCPT TO:<a@home.test>\r\nBDAT 1 LAST\r\nx"
    _converse(ScriptedLmtp(), transaction, 3, then_quit=True)
    with pytest.raises(AssertionError, match="one reply too many"):
        _converse(ScriptedLmtp(), transaction, 3, then_quit=False)


@pytest.mark.parametrize(
    ("sent", "violation"),
    [
        (b"MAIL FROM:<> SIZE=9\r\n", "SIZE=9"),
        (b"MAIL FROM:<> BODY=8BITMIME\r\n", "BODY=8BITMIME"),
        (b"MAIL FROM:<>\r\nRCPT TO:<a@home.test>\r\n", "pipelined"),
        (b"BDAT 1 LAST\r\nx", "BDAT 1 LAST"),
        (b"HELO x\r\n", "unknown command"),
    ],
)
def test_scripted_client_that_uses_what_is_not_listed_is_caught(sent: bytes, violation: str) -> None:
    with pytest.raises(AssertionError, match=violation):
        _converse(ScriptedLmtp(capabilities=[]), sent, 1, then_quit=False)


def test_scripted_steps_that_break_the_protocol() -> None:
    steps: list[Step] = [
        b"garbage\r\n",
        b"250-more\r\n250 2.1.0 end\r\n",
        Slowly("250 2.1.0 slow"),
        Last("421 4.3.2 Bye"),
    ]
    with ScriptedLmtp(mail=steps) as peer, Dialogue(peer.port) as lmtp:
        assert lmtp.ask(b"MAIL FROM:<>") == b"garbage\r\n"
        assert lmtp.ask(b"MAIL FROM:<>") == b"250-more\r\n250 2.1.0 end\r\n"
        lmtp.ask(b"RSET")
        assert lmtp.ask(b"MAIL FROM:<>") == b"250 2.1.0 slow\r\n"
        lmtp.ask(b"RSET")
        assert lmtp.ask(b"MAIL FROM:<>") == b"421 4.3.2 Bye\r\n"
        with pytest.raises(EOFError):
            lmtp.reply()


def test_scripted_drop_after_the_last_byte_keeps_the_body() -> None:
    with ScriptedLmtp(body=[DROP]) as peer, Dialogue(peer.port) as lmtp, pytest.raises((EOFError, ConnectionError)):
        lmtp.transact(RCPTS[:1], b"all of it")
    assert peer.transactions[0].body == b"all of it"


def test_scripted_drop_within_the_body() -> None:
    peer = ScriptedLmtp(drop_after_bytes=100_000)
    with peer, Dialogue(peer.port) as lmtp, pytest.raises(ConnectionError):
        lmtp.transact(RCPTS[:1], bytes(10_000_000))
    assert 100_000 <= len(peer.transactions[0].body) < 10_000_000


def test_scripted_hang_never_answers() -> None:
    with ScriptedLmtp(body=[HANG]) as peer, Dialogue(peer.port, timeout_s=0.2) as lmtp, pytest.raises(TimeoutError):
        lmtp.transact(RCPTS[:1], b"x")
    assert peer.transactions[0].verb == "BDAT"


def test_scripted_client_that_is_still_connected_at_the_end_is_not_blamed() -> None:
    peer = ScriptedLmtp()
    with peer:
        lmtp = Dialogue(peer.port)
        lmtp.ask(b"LHLO x")
        lmtp.send(b"MAIL FROM:<>\r\nRCPT TO:<a@home.test>\r\nBDAT 1 LAST\r\nx")
        for _ in range(3):
            lmtp.reply()
    lmtp.close()
    assert not peer.violations
