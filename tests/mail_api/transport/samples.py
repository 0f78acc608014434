"""Messages to deliver, and an LMTP client that says goodbye when a test ends."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from kit.clock import SystemClock
from mail_api.content import Content, Outgoing
from mail_api.transport.lmtp import LmtpTransport
from tests.services.dovecot import SENTINEL

MESSAGE_ID = "0123456789abcdef0123456789abcdef"
HELLO = b"Subject: hello\r\n\r\nHello.\r\n"
HEADER = b"Subject: hostile\r\nMessage-ID: <hostile@mail.test>\r\n\r\n"
HOSTILE = {  # mail.md 3.2
    "dot lines after CRLF": b"one\r\n.\r\n..\r\n.two\r\n.\r\nthree\r\n",
    "dot lines after bare LF": b"one\n.\n..\n.two\n.\nthree\n",
    "a smuggled transaction": b"one\n.\nMAIL FROM:<evil@mail.test>\nRCPT TO:<a@b>\nDATA\nSubject: evil\n\nevil\n.\n",
    "a smuggled transaction, CRLF": b"one\r\n.\r\nMAIL FROM:<evil@mail.test>\r\nRCPT TO:<a@b>\r\nDATA\r\nevil\r\n.\r\n",
    "a smuggled transaction, bare CR": b"one\r.\rMAIL FROM:<evil@mail.test>\rRCPT TO:<a@b>\rDATA\revil\r.\r\r\n",
    "bare CR": b"one\rtwo\r\rthree\r\n",
    "CR CR LF": b"one\r\r\ntwo\r\r\r\n\r\n",
    "every byte value": bytes(range(256)) * 3 + b"\r\n",
    "NUL and 0xFF": b"\0\xff\0\xff\r\n" * 20,
    "a line of 5,000": b"x" * 5_000 + b"\r\n",
    "a line of 100,000": b"y" * 100_000 + b"\r\n",
    "no line end at the end": b"one\r\ntwo",
    "a dot at the end": b"one\r\n.",
    "an empty body": b"",
}


def outgoing(message: bytes, *, prepend: bytes = b"X-Homeport-Id: 0123\r\n") -> Outgoing:
    return Outgoing(prepend, Content(message, len(message), hashlib.sha256(message).hexdigest()))


def stored(message: bytes) -> bytes:
    """Return a message as Maildir has it: CRLF as LF."""
    return message.replace(b"\r\n", b"\n")


@asynccontextmanager
async def lmtp(server: int | str, **options: Any) -> AsyncIterator[LmtpTransport]:
    """An LmtpTransport to a port of 127.0.0.1 or a url, closed at the end."""
    url = f"lmtp://127.0.0.1:{server}" if isinstance(server, int) else server
    transport = LmtpTransport(
        url, **{"hostname": "mx.home.test", "sentinel": SENTINEL, "clock": SystemClock(), **options}
    )
    try:
        yield transport
    finally:
        await transport.close()
