"""A TCP proxy before an LMTP server that can make the network bad. Settings may be changed while it runs.

    with LmtpProxy(dovecot.lmtp_port, strip={"CHUNKING"}) as proxy:
        ...                     # a client talks to 127.0.0.1:proxy.port
        proxy.lose_replies = 1  # the next message is delivered, its reply never arrives

It follows the dialogue of each connection (RFC 2033, 2920, 3030), so it knows which reply answers a body. Bytes are
passed on unchanged, but for the LHLO reply when something is stripped.
"""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Iterable
from types import TracebackType
from typing import BinaryIO, Self

from tests.services.tcp import TcpServer, reset, shut

CONNECT_S = 5.0


class LmtpProxy:
    """One proxy to the LMTP server on 127.0.0.1:upstream_port.

    strip          capabilities taken out of the LHLO reply
    lose_replies   so many of the next bodies reach the server, which answers; instead of its answers the client gets a
                   reset. The message is delivered then, and the client can't know
    delay_s        wait before passing on each reply
    is_silent      accept and read, but say nothing, not even a greeting; applies to new connections
    """

    def __init__(self, upstream_port: int, *, strip: Iterable[str] = ()) -> None:
        self.upstream_port = upstream_port
        self.strip = frozenset(strip)
        self.lose_replies = 0
        self.delay_s = 0.0
        self.is_silent = False
        self._server = TcpServer(self._serve)
        self._upstreams: set[socket.socket] = set()

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def url(self) -> str:
        return f"lmtp://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """How many were accepted so far."""
        return self._server.connections

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.refuse()
        self._server.__exit__(kind, error, trace)

    def refuse(self) -> None:
        """Refuse new connections and end those that are open, until `listen`."""
        self._server.refuse()
        self._server.hang_up()
        for upstream in list(self._upstreams):
            shut(upstream)  # wakes a thread that writes to a server which doesn't read

    def listen(self) -> None:
        self._server.listen()

    def _serve(self, client: socket.socket) -> None:
        if self.is_silent:
            while client.recv(65536):
                pass
            return
        with socket.create_connection(("127.0.0.1", self.upstream_port), timeout=CONNECT_S) as upstream:
            upstream.settimeout(None)
            upstream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._upstreams.add(upstream)
            try:
                _Dialogue(self, client, upstream).run()
            finally:
                self._upstreams.discard(upstream)


class _Dialogue:
    """One connection: commands go one way in the caller's thread, replies the other way in a second one."""

    def __init__(self, proxy: LmtpProxy, client: socket.socket, upstream: socket.socket) -> None:
        self._proxy, self._client, self._upstream = proxy, client, upstream
        self._awaited: queue.SimpleQueue[str] = queue.SimpleQueue()  # the verbs whose replies are still to come
        self._data_accepted = False  # by 354; written before the client can know, so before it can send the body

    def run(self) -> None:
        self._awaited.put("GREETING")
        replies = threading.Thread(target=self._pass_replies)
        replies.start()
        try:
            self._pass_commands()
        finally:
            self._awaited.put("NOTHING")  # wakes a thread that holds a reply nobody asked for
            shut(self._upstream)
            replies.join()

    def _pass_commands(self) -> None:
        """Pass on what the client says until it leaves; note each reply to expect before the server can give it."""
        with self._client.makefile("rb") as stream:
            while line := stream.readline():
                if self._data_accepted:
                    if line == b".\r\n":
                        self._data_accepted = False
                        self._awaited.put("BODY")
                    self._upstream.sendall(line)
                    continue
                verb, *arguments = line.split() or [b""]
                is_last = len(arguments) == 2  # BDAT size LAST
                self._awaited.put("BODY" if verb.upper() == b"BDAT" and is_last else verb.upper().decode("latin-1"))
                self._upstream.sendall(line)
                left = int(arguments[0]) if verb.upper() == b"BDAT" else 0
                while left and (piece := stream.read1(min(left, 65536))):
                    left -= len(piece)
                    self._upstream.sendall(piece)

    def _pass_replies(self) -> None:
        try:
            with self._upstream.makefile("rb") as stream:
                self._pass_replies_of(stream)
        except OSError:  # the client went away, or the server
            shut(self._client)

    def _pass_replies_of(self, stream: BinaryIO) -> None:
        accepted = 0  # recipients of the transaction in progress
        while reply := _read_reply(stream):
            if reply.startswith(b"421"):  # the server's farewell answers no command
                self._client.sendall(reply)
                continue
            match self._awaited.get():
                case "LHLO":
                    reply = _without(reply, self._proxy.strip)
                case "MAIL" | "RSET":
                    accepted = 0
                case "RCPT":
                    accepted += reply.startswith(b"2")
                case "DATA":
                    self._data_accepted = reply.startswith(b"354")
                case "BODY" if accepted:  # without recipients, one 503, and the transaction stays
                    reply += b"".join(_read_reply(stream) for _ in range(accepted - 1))
                    accepted = 0
                    if self._proxy.lose_replies:
                        self._proxy.lose_replies -= 1
                        reset(self._client)
                        return
            time.sleep(self._proxy.delay_s)
            self._client.sendall(reply)
        shut(self._client)


def _read_reply(stream: BinaryIO) -> bytes:
    """Return one reply with all its lines; empty at the end of the stream."""
    reply = line = stream.readline()
    while line[3:4] == b"-":
        line = stream.readline()
        reply += line
    return reply


def _without(reply: bytes, capabilities: frozenset[str]) -> bytes:
    """Return the LHLO reply without the lines of these capabilities."""
    first, *rest = reply.splitlines()
    kept = [first, *(line for line in rest if line[4:].split()[0].decode("ascii") not in capabilities)]
    return b"".join(line[:3] + b"- "[i == len(kept) - 1 :][:1] + line[4:] + b"\r\n" for i, line in enumerate(kept))
