"""A plain blocking LMTP client for looking at servers: it sends what it is told and reads one reply at a time."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self


class Dialogue:
    """One connection to a TCP port of 127.0.0.1, or to a unix socket; its greeting has been read.

    raises   TimeoutError when an awaited reply doesn't come within timeout_s, EOFError when the server left instead
    """

    def __init__(self, server: int | Path, *, timeout_s: float = 5.0) -> None:
        self._socket = socket.socket(socket.AF_UNIX if isinstance(server, Path) else socket.AF_INET)
        self._stream = self._socket.makefile("rb")
        try:
            self._socket.settimeout(timeout_s)
            self._socket.connect(str(server) if isinstance(server, Path) else ("127.0.0.1", server))
            self.greeting = self.reply()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._stream.close()
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def reply(self) -> bytes:
        """Return the next reply, all its lines, with line ends."""
        reply = line = self._stream.readline()
        while line[3:4] == b"-":
            line = self._stream.readline()
            reply += line
        if not line:
            raise EOFError("the server ended the connection")
        return reply

    def ask(self, command: bytes) -> bytes:
        """Send one line, return its reply."""
        self.send(command + b"\r\n")
        return self.reply()

    def transact(self, rcpts: Sequence[str], message: bytes) -> list[bytes]:
        """LHLO and one transaction by BDAT, each command answered before the next, then QUIT.

        returns   the replies to MAIL and each RCPT, then one per accepted recipient (a 503 if there is none)
        """
        self.ask(b"LHLO dialogue")
        replies = [self.ask(b"MAIL FROM:<>"), *(self.ask(b"RCPT TO:<%s>" % rcpt.encode()) for rcpt in rcpts)]
        self.send(b"BDAT %d LAST\r\n%s" % (len(message), message))
        accepted = sum(reply.startswith(b"2") for reply in replies[1:])
        replies += [self.reply() for _ in range(max(accepted, 1))]
        self.ask(b"QUIT")
        return replies
