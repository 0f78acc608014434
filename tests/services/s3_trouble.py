"""An HTTP proxy before an S3 server that is in trouble as it is told: slow, 500, 503, cut, or with a wrong clock.

    with TroubledS3(seaweedfs.port) as proxy:
        settings = seaweedfs.vault_settings(bucket, directory, url=proxy.url)
        proxy.trouble = answer(503, "SlowDown", times=2)

A trouble is asked for each request and may answer in the server's place or change its answer. Requests are passed on
byte by byte otherwise; signatures stay valid, because the `Host` that was signed is sent on.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from tests.services.process import free_port

ANSWER_S = 60.0


@dataclass
class Exchange:
    """A request that came, and the answer to it; `status` 0 ends the connection instead.

    cut_at   so many bytes of the body are sent, then the connection is reset
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    status: int = 0
    answer_headers: list[tuple[str, str]] = field(default_factory=list)
    answer: bytes = b""
    cut_at: int | None = None


Trouble = Callable[[Exchange, Callable[[], None]], None]


def none(exchange: Exchange, ask: Callable[[], None]) -> None:
    ask()


def answers(status: int, code: str, *, times: int, method: str = "", part: str = "") -> Trouble:
    """Refuse so many requests of this method whose path holds `part`; the server does not hear of them."""
    left = threading.Semaphore(times)

    def trouble(exchange: Exchange, ask: Callable[[], None]) -> None:
        if method in ("", exchange.method) and part in exchange.path and left.acquire(blocking=False):
            exchange.status = status
            exchange.answer = f"<Error><Code>{code}</Code><Message>{code} for a test</Message></Error>".encode()
            exchange.answer_headers = [("Content-Type", "application/xml")]
        else:
            ask()

    return trouble


def loses_answers(*, times: int, method: str) -> Trouble:
    """The server does what it was asked; its answer is lost with the connection."""
    left = threading.Semaphore(times)

    def trouble(exchange: Exchange, ask: Callable[[], None]) -> None:
        ask()
        if exchange.method == method and left.acquire(blocking=False):
            exchange.status = 0

    return trouble


def cuts(*, times: int, at: int) -> Trouble:
    """End the connection after so many bytes of the body of a GET."""
    left = threading.Semaphore(times)

    def trouble(exchange: Exchange, ask: Callable[[], None]) -> None:
        ask()
        if exchange.method == "GET" and len(exchange.answer) > at and left.acquire(blocking=False):
            exchange.cut_at = at

    return trouble


def flips(*, times: int, method: str) -> Trouble:
    """Change one bit of the body of a PUT on its way, or of the answer to a GET."""
    left = threading.Semaphore(times)

    def trouble(exchange: Exchange, ask: Callable[[], None]) -> None:
        is_hit = exchange.method == method and "retention" not in exchange.path and left.acquire(blocking=False)
        if is_hit and method == "PUT":
            exchange.body = bytes([exchange.body[0] ^ 1]) + exchange.body[1:]
        ask()
        if is_hit and method == "GET" and exchange.answer:
            exchange.answer = bytes([exchange.answer[0] ^ 1]) + exchange.answer[1:]

    return trouble


def is_dated(date: str) -> Trouble:
    """Every answer says that it is another time."""

    def trouble(exchange: Exchange, ask: Callable[[], None]) -> None:
        ask()
        kept = [(name, value) for name, value in exchange.answer_headers if name.lower() != "date"]
        exchange.answer_headers = [*kept, ("Date", date)]

    return trouble


class TroubledS3:
    """
    trouble    what happens to the requests that come from now on
    requests   how many of each method have come
    """

    def __init__(self, port: int) -> None:
        self.port = free_port()
        self.trouble: Trouble = none
        self.requests: Counter[str] = Counter()
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), _handler(self, port))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(proxy: TroubledS3, port: int) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = ANSWER_S

        def handle_one_request(self) -> None:
            with contextlib.suppress(ConnectionError):
                super().handle_one_request()
                return
            self.close_connection = True

        def do_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            exchange = Exchange(self.command, self.path, dict(self.headers.items()), body)
            proxy.requests[self.command] += 1

            def ask() -> None:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
                with contextlib.closing(connection):
                    headers = {name: value for name, value in exchange.headers.items() if name.lower() != "expect"}
                    connection.request(exchange.method, exchange.path, exchange.body, headers)
                    answer = connection.getresponse()
                    exchange.status, exchange.answer = answer.status, answer.read()
                    exchange.answer_headers = answer.getheaders()

            proxy.trouble(exchange, ask)
            if exchange.status == 0:
                self._hang_up()
                return
            self.send_response_only(exchange.status)
            has_length = False
            for name, value in exchange.answer_headers:
                if name.lower() not in ("connection", "transfer-encoding"):
                    self.send_header(name, value)
                    has_length |= name.lower() == "content-length"
            if not has_length:
                self.send_header("Content-Length", str(len(exchange.answer)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(exchange.answer[: exchange.cut_at])
            if exchange.cut_at is not None:
                self._hang_up()

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = do_any  # noqa: N815

        def _hang_up(self) -> None:
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    return Handler
