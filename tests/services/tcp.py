"""A TCP server on a free port of 127.0.0.1: one thread per connection, all of them ended when its context ends."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tests.services.process import free_port

_TCP_ESTABLISHED = 1  # linux/tcp_states.h; it is CLOSE_WAIT once the other side has ended the connection
_LINGER_0 = struct.pack("ii", 1, 0)  # socket(7): close() then discards what is unsent and sends RST


def reset(connection: socket.socket) -> None:
    """Make a connection end the hard way, by RST, as soon as its thread returns; wake that thread if it is reading."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
    connection.shutdown(socket.SHUT_RD)  # sends nothing


def shut(connection: socket.socket) -> None:
    """End a connection in both directions; the thread that reads from it sees its end."""
    with contextlib.suppress(OSError):  # it has ended already
        connection.shutdown(socket.SHUT_RDWR)


def _is_established(connection: socket.socket) -> bool:
    try:
        return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _TCP_ESTABLISHED
    except OSError:  # closed meanwhile
        return False


class TcpServer:
    """Hands every connection to `serve`, in a thread of its own, and closes it afterwards.

    connections   how many were accepted so far
    hung_up       those that this side ended, not the other one
    """

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self.port = free_port()
        self.connections = 0
        self.hung_up: set[socket.socket] = set()
        self._serve = serve
        self._listener: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._failures: list[Exception] = []

    def __enter__(self) -> Self:
        self.listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.refuse()
        self.hang_up()
        for thread in self._threads:
            thread.join()
        if self._failures and error is None:
            raise ExceptionGroup("in connections of this server", self._failures)

    def listen(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        self._start(self._accept, self._listener)

    def refuse(self) -> None:
        """Stop listening: new connections are refused, open ones go on."""
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread in accept(), which closes it
            self._listener = None

    def hang_up(self) -> None:
        """End all connections that the other side hasn't ended; the thread of such a one sees that by itself."""
        for connection in list(self._open):
            if _is_established(connection):
                self.hung_up.add(connection)
                shut(connection)

    def _accept(self, listener: socket.socket) -> None:
        with listener:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.connections += 1
                self._open.add(connection)
                self._start(self._run, connection)

    def _run(self, connection: socket.socket) -> None:
        with connection:
            try:
                self._serve(connection)
            except OSError:  # the other side went away, or hang_up()
                pass
            except Exception as error:  # a thread has no caller: the test hears of it when the context ends
                self._failures.append(error)
            finally:
                self._open.discard(connection)

    def _start(self, target: Callable[[socket.socket], None], connection: socket.socket) -> None:
        thread = threading.Thread(target=target, args=(connection,), daemon=True)
        thread.start()
        self._threads.append(thread)
