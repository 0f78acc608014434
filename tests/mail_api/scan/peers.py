"""Scanners on real sockets that answer what no daemon says on demand: nothing, half, too much, too slowly, nonsense.

    with ScriptedRspamd(Reply(b"<html>")) as peer:
        ...                     # peer.port; peer.requests has what it was sent

A reply goes out in pieces, with a pause before each but the first; after the last one the connection ends.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any, BinaryIO, Self

from tests.services.tcp import TcpServer


def http(body: bytes, status: str = "200 OK", *fields: str, length: int | None = None) -> bytes:
    """An HTTP answer; `length` announces another length than the body has."""
    announced = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {announced}", *fields]
    return "\r\n".join([*lines, "", ""]).encode() + body


def opinion(action: str = "no action", score: float = 0.0, **more: Any) -> bytes:
    """Rspamd's answer to /checkv2."""
    return http(json.dumps({"action": action, "score": score, "required_score": 15.0, **more}).encode())


class Peer:
    """A server that reads what `_read` reads and answers what it was told to.

    pieces     of each answer; None = say nothing until the other side leaves
    drip_s     between pieces
    reads      False: take no byte of what is sent
    requests   what was read, complete ones only
    """

    def __init__(self, *pieces: bytes, silent: bool = False, drip_s: float = 0.0, reads: bool = True) -> None:
        self.pieces: Sequence[bytes] = pieces
        self.silent, self.drip_s, self.reads = silent, drip_s, reads
        self.requests: list[bytes] = []
        self._server = TcpServer(self._serve)
        self._is_closing = threading.Event()

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def connections(self) -> int:
        return self._server.connections

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_closing.set()
        self._server.__exit__(kind, error, trace)

    def _read(self, stream: BinaryIO) -> bytes:
        raise NotImplementedError

    def _serve(self, connection: socket.socket) -> None:
        if not self.reads:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # the kernel takes little in its place
            self._is_closing.wait()
            return
        with connection.makefile("rb") as stream:
            self.requests.append(self._read(stream))
            if self.silent:
                stream.read(1)
                return
            for number, piece in enumerate(self.pieces):
                if number and self._is_closing.wait(self.drip_s):
                    return
                connection.sendall(piece)


class ScriptedRspamd(Peer):
    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _read(self, stream: BinaryIO) -> bytes:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = stream.readline()
            if not line:
                return head
            head += line
        lengths = [line.split(b":")[1] for line in head.splitlines() if line.lower().startswith(b"content-length:")]
        return head + stream.read(int(lengths[0]) if lengths else 0)

    @property
    def fields(self) -> list[tuple[str, str]]:
        """The header fields of the only request."""
        [request] = self.requests
        lines = request.partition(b"\r\n\r\n")[0].decode().splitlines()[1:]
        return [(name.lower(), value) for name, _, value in (line.partition(": ") for line in lines)]

    @property
    def body(self) -> bytes:
        [request] = self.requests
        return request.partition(b"\r\n\r\n")[2]


class ScriptedClamd(Peer):
    """`leaves_after`: it takes so many bytes of the stream, then answers and leaves with data unread."""

    def __init__(self, *pieces: bytes, leaves_after: int | None = None, **options: Any) -> None:
        super().__init__(*pieces, **options)
        self.leaves_after = leaves_after

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def _read(self, stream: BinaryIO) -> bytes:
        command, taken = b"", b""
        while not command.endswith(b"\0"):
            command += stream.read(1)
        if command != b"zINSTREAM\0":
            return command
        while length := int.from_bytes(stream.read(4)):
            if self.leaves_after is not None and len(taken) + length > self.leaves_after:
                return taken
            taken += stream.read(length)
        return taken
