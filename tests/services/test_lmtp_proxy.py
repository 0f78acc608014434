"""The proxy makes the network between client and Dovecot bad, in just the way it is told."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.services.dialogue import Dialogue
from tests.services.dovecot import Dovecot, Mailbox
from tests.services.lmtp_proxy import LmtpProxy

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def running() -> Iterator[Dovecot]:
    with Dovecot() as dovecot:
        yield dovecot


@pytest.fixture
def proxy(running: Dovecot) -> Iterator[LmtpProxy]:
    with LmtpProxy(running.lmtp_port) as proxy:
        yield proxy


@pytest.fixture
def letterbox(running: Dovecot) -> Mailbox:
    return running.add_user()


def test_proxy_passes_messages_on_unchanged(proxy: LmtpProxy, letterbox: Mailbox) -> None:
    body = b"Subject: x\r\n\r\n.\r\nQUIT\r\n" + bytes(range(256)) * 4000
    for _ in range(2):
        with Dialogue(proxy.port) as lmtp:
            assert lmtp.transact(["nobody@home.test", letterbox.address], body)[-1].startswith(b"250 ")
    for stored in letterbox.files().values():
        assert stored.endswith(body.replace(b"\r\n", b"\n"))
    assert proxy.connections == 2


def test_proxy_strips_capabilities(proxy: LmtpProxy) -> None:
    with Dialogue(proxy.port) as lmtp:
        assert b"250-CHUNKING\r\n" in lmtp.ask(b"LHLO x")
        proxy.strip = frozenset({"CHUNKING", "PIPELINING"})
        _, *capabilities = lmtp.ask(b"LHLO x").splitlines()
    assert capabilities == [b"250-8BITMIME", b"250 ENHANCEDSTATUSCODES"]


def test_proxy_follows_data(proxy: LmtpProxy, letterbox: Mailbox) -> None:
    with Dialogue(proxy.port) as lmtp:
        lmtp.ask(b"LHLO x")
        assert lmtp.ask(b"DATA").startswith(b"503")  # no body follows
        lmtp.ask(b"MAIL FROM:<>")
        lmtp.ask(b"RCPT TO:<%s>" % letterbox.address.encode())
        assert lmtp.ask(b"DATA").startswith(b"354")
        assert lmtp.ask(b"QUIT\r\n..\r\n.").startswith(b"250 2.0.0")
        assert lmtp.ask(b"NOOP").startswith(b"250")
    (stored,) = letterbox.files().values()
    assert stored.endswith(b"QUIT\n.\n")


def test_proxy_loses_the_reply_of_a_delivered_message(proxy: LmtpProxy, letterbox: Mailbox) -> None:
    proxy.lose_replies = 1
    with Dialogue(proxy.port) as lmtp:
        lmtp.ask(b"LHLO x")
        rcpt = letterbox.address.encode()
        lmtp.send(b"MAIL FROM:<>\r\nRCPT TO:<%s>\r\nRCPT TO:<%s>\r\nBDAT 4 LAST\r\nx: y" % (rcpt, rcpt))
        assert [lmtp.reply()[:3] for _ in range(3)] == [b"250"] * 3
        with pytest.raises(ConnectionResetError):
            lmtp.reply()
    assert len(letterbox.files()) == 1
    with Dialogue(proxy.port) as lmtp:
        assert lmtp.transact([letterbox.address], b"x: z").pop().startswith(b"250")


def test_proxy_refuses_and_listens_again(proxy: LmtpProxy) -> None:
    with Dialogue(proxy.port) as lmtp:
        proxy.refuse()
        with pytest.raises(EOFError):
            lmtp.ask(b"NOOP")
    with pytest.raises(ConnectionRefusedError):
        Dialogue(proxy.port)
    proxy.listen()
    with Dialogue(proxy.port) as lmtp:
        assert lmtp.greeting.startswith(b"220 ")


def test_proxy_silent_accepts_and_never_greets(proxy: LmtpProxy) -> None:
    proxy.is_silent = True
    with pytest.raises(TimeoutError):
        Dialogue(proxy.port, timeout_s=0.2)


def test_proxy_ends_while_its_server_hangs(running: Dovecot, letterbox: Mailbox) -> None:
    try:
        with LmtpProxy(running.lmtp_port) as proxy, Dialogue(proxy.port, timeout_s=1.5) as lmtp:
            lmtp.ask(b"LHLO x")
            lmtp.send(b"MAIL FROM:<>\r\nRCPT TO:<%s>\r\nBDAT 20000000 LAST\r\n" % letterbox.address.encode())
            running.pause()
            with pytest.raises(TimeoutError):
                lmtp.send(bytes(20_000_000))
    finally:
        running.resume()


def test_proxy_delays_each_reply(proxy: LmtpProxy) -> None:
    proxy.delay_s = 0.1
    started = time.monotonic()
    with Dialogue(proxy.port) as lmtp:
        lmtp.ask(b"NOOP")
    assert time.monotonic() - started >= 0.2
