"""Closed-loop load: so many connections, each sends its next message when the last one was answered.

Messages are built and signed, connections made, before the clock starts; while it runs, a message costs its driver one
write and one small parse. `smtp-source` (Postfix) drives the SMTP side, a process per connection and mailbox.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self, cast

from kit.signing import Key
from mail_api.envelope import Envelope
from mail_api.signature import signed_headers

SENDER = "sender@bench.test"
PAYLOAD_BYTES = 4096  # of the body, as in smtp-source -l
_LINE = b"The quick brown fox jumps over the lazy dog, and the dog doesn't mind it.\r\n"


def build_message(payload_bytes: int = PAYLOAD_BYTES) -> bytes:
    """Return a message with so many bytes after its header, and a Message-ID of its own."""
    head = b"From: <%s>\r\nTo: <somebody@bench.test>\r\nSubject: bench\r\nMessage-Id: <%s@bench.test>\r\n\r\n"
    body = (_LINE * (payload_bytes // len(_LINE) + 1))[: payload_bytes - 2] + b"\r\n"
    return head % (SENDER.encode(), secrets.token_hex(8).encode()) + body


def http_head(
    key: Key, message: bytes | memoryview, rcpt: str, *, sender: str = SENDER, digest: str | None = None
) -> bytes:
    """Return the head of a signed POST of `message` (wire.md). Valid for 300 s.

    digest   of the message, when it is known already
    """
    envelope = Envelope(
        message_id=secrets.token_hex(16),
        mail_from=sender,
        rcpt_to=rcpt,
        size_bytes=len(message),
        sha256=digest or hashlib.sha256(message).hexdigest(),
    )
    signed = signed_headers(key, now=int(time.time()), method="POST", path="/v1/messages", message=envelope)
    fields = {"Host": "bench.test", "Content-Type": "message/rfc822", "Content-Length": str(len(message)), **signed}
    return b"POST /v1/messages HTTP/1.1\r\n%s\r\n" % b"".join(
        f"{name}: {value}\r\n".encode("ascii") for name, value in fields.items()
    )


def http_requests(key: Key, rcpts: Sequence[str], count: int) -> list[bytes]:
    """Return so many complete requests, round robin over the recipients."""
    messages = (build_message() for _ in range(count))
    return [http_head(key, message, rcpts[i % len(rcpts)]) + message for i, message in enumerate(messages)]


def lmtp_transactions(rcpts: Sequence[str], count: int) -> list[bytes]:
    """Return so many whole transactions, each to be sent in one write (RFC 2920, 3030)."""
    transactions = []
    for i in range(count):
        message = build_message()
        envelope = f"MAIL FROM:<{SENDER}> BODY=8BITMIME\r\nRCPT TO:<{rcpts[i % len(rcpts)]}>\r\n"
        transactions.append(b"%sBDAT %d LAST\r\n%s" % (envelope.encode(), len(message), message))
    return transactions


class LoadFailed(RuntimeError):
    """A message was not answered as it has to be for the figures to mean anything."""


class _Connection(asyncio.Protocol):
    """One connection. `is_answered` says whether `answer` holds the whole answer to what was sent last.

    hello   what is sent once, before the first message
    """

    hello: tuple[bytes, ...] = ()

    def __init__(self) -> None:
        self.answer = b""
        self._work: Iterator[bytes] = iter(())
        self._latencies_s: list[float] = []
        self._sent_at = 0.0
        self._done: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None

    def is_answered(self) -> bool:
        """Raise LoadFailed when the answer isn't the one that is expected."""
        raise NotImplementedError

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class doesn't inherit it

    def connection_lost(self, exc: Exception | None) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(LoadFailed(f"the server ended the connection: {exc}"))

    def data_received(self, data: bytes) -> None:
        self.answer += data
        try:
            if not self.is_answered():
                return
        except LoadFailed as failure:
            assert self._done is not None
            self._done.set_exception(failure)
            return
        self.answer = b""
        self._latencies_s.append(time.perf_counter() - self._sent_at)
        self._next()

    def send(self, work: Iterator[bytes], latencies_s: list[float]) -> asyncio.Future[None]:
        """Send what `work` gives, one after another; the future is done when it gives no more."""
        self._work, self._latencies_s = work, latencies_s
        self._done = asyncio.get_running_loop().create_future()
        self._next()
        return self._done

    def close(self) -> None:
        assert self._transport is not None
        self._done = None
        self._transport.close()

    def _next(self) -> None:
        assert self._transport is not None
        assert self._done is not None
        request = next(self._work, None)
        if request is None:
            self._done.set_result(None)
            return
        self._sent_at = time.perf_counter()
        self._transport.write(request)


class HttpConnection(_Connection):
    """Expects 200 to every request: delivered, not queued."""

    def is_answered(self) -> bool:
        head, end, body = self.answer.partition(b"\r\n\r\n")
        if not end:
            return False
        _, _, length = head.lower().partition(b"\r\ncontent-length:")
        if len(body) < int(length.partition(b"\r\n")[0]):
            return False
        if not head.startswith(b"HTTP/1.1 200 "):
            raise LoadFailed(self.answer.decode("latin-1"))
        return True


class LmtpConnection(_Connection):
    """Expects three positive replies to every transaction (MAIL, RCPT, BDAT) and before that two: greeting and LHLO."""

    hello = (b"LHLO bench.test\r\n",)

    def __init__(self) -> None:
        super().__init__()
        self._due = 2

    def is_answered(self) -> bool:
        replies = [line for line in self.answer.splitlines(keepends=True) if line[3:4] == b" " and line.endswith(b"\n")]
        if len(replies) < self._due:
            return False
        if any(not reply.startswith(b"2") for reply in replies):
            raise LoadFailed(self.answer.decode("latin-1"))
        self._due = 3
        return True


class ClosedLoop:
    """So many connections of one kind to a port of 127.0.0.1; what is sent is shared out as they become free."""

    def __init__(self, kind: type[_Connection], port: int, connections: int) -> None:
        self._kind, self._port, self._count = kind, port, connections
        self._connections: list[_Connection] = []

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for _ in range(self._count):
            _, connection = await loop.create_connection(self._kind, "127.0.0.1", self._port)
            self._connections.append(connection)
        await asyncio.gather(*(connection.send(iter(self._kind.hello), []) for connection in self._connections))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection in self._connections:
            connection.close()

    async def send(self, work: Sequence[bytes]) -> list[float]:
        """Send everything; return the seconds from each write to its whole answer. Raise LoadFailed."""
        latencies_s: list[float] = []
        shared = iter(work)
        await asyncio.gather(*(connection.send(shared, latencies_s) for connection in self._connections))
        return latencies_s


class SmtpSource:
    """`smtp-source` processes, one connection and one recipient each, held back until `send`.

    count   messages in all; a multiple of the number of recipients
    """

    def __init__(self, port: int, rcpts: Sequence[str], count: int) -> None:
        each, rest = divmod(count, len(rcpts))
        if rest:
            raise ValueError(f"{count} messages can't be shared by {len(rcpts)} processes")
        options = [
            "-d",
            "-s",
            "1",
            "-m",
            str(each),
            "-l",
            str(PAYLOAD_BYTES),
            "-f",
            SENDER,
        ]  # -d: one connection for all
        self._processes = [
            subprocess.Popen(
                ["sh", "-c", 'read _ && exec "$@"', "sh", "smtp-source", *options, "-t", rcpt, f"127.0.0.1:{port}"],
                stdin=subprocess.PIPE,
            )
            for rcpt in rcpts
        ]

    async def send(self) -> list[float]:
        """Let them go and wait for their end; latencies aren't known. Raise LoadFailed when one of them failed."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(b"\n")
            process.stdin.close()
        codes = [await asyncio.to_thread(process.wait) for process in self._processes]
        if any(codes):
            raise LoadFailed(f"smtp-source: exit codes {codes}")
        return []


async def post_large(port: int, key: Key, rcpt: str, count: int, *, size_bytes: int = 25 * 1024**2) -> dict[int, int]:
    """Post so many large messages at once, all of one body and different senders; return how often each status came."""
    head = build_message(0)
    body = memoryview(head + bytes(_LINE * (size_bytes // len(_LINE)))[: size_bytes - len(head)])
    digest = hashlib.sha256(body).hexdigest()
    posts = [http_head(key, body, rcpt, sender=f"s{i}@bench.test", digest=digest) for i in range(count)]
    return dict(Counter(await asyncio.gather(*(_post(port, head, body) for head in posts))))


async def _post(port: int, head: bytes, body: memoryview) -> int:
    loop = asyncio.get_running_loop()
    with socket.socket() as connection:  # a StreamWriter would copy what the kernel doesn't take at once
        connection.setblocking(False)
        await loop.sock_connect(connection, ("127.0.0.1", port))
        await loop.sock_sendall(connection, head)
        await loop.sock_sendall(connection, body)
        answer = await loop.sock_recv(connection, 65536)
    return int(answer.split()[1])
