"""What the Docker engine's own timing does to an answer, by a socket that answers as the engine does.

The real engine is asked by test_verbs.py and the stacks' tests; when it sends what is another matter of chance.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from portal.broker.engine import Engine

CONTAINER = "c" * 64
UPGRADED = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"


def frame(stream: int, data: bytes) -> bytes:
    return struct.pack(">BxxxL", stream, len(data)) + data


def document(content: dict[str, object]) -> bytes:
    body = json.dumps(content).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def read_request(connection: socket.socket) -> bytes:
    """Read a request with its body; return its first line."""
    reader = connection.makefile("rb")
    first, length = reader.readline(), 0
    while (line := reader.readline()) not in (b"\r\n", b""):
        if line.lower().startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    reader.read(length)
    return first


def serve(listener: socket.socket, started: bytes) -> None:
    """Answer each connection's requests; `started` is all that an exec's start is answered with, in one piece."""

    def answer(connection: socket.socket) -> None:
        with connection:
            while first := read_request(connection):
                if b"/start " in first:
                    connection.sendall(started)
                    return
                known: dict[bytes, dict[str, object]] = {
                    b"/version ": {"ApiVersion": "1.41"},
                    b"/exec ": {"Id": "e"},
                    b"/json ": {"ExitCode": 0},
                }
                connection.sendall(next(document(each) for part, each in known.items() if part in first))

    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


@pytest.fixture
def answered(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Engine]:
    path = tmp_path / "engine.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        threading.Thread(target=serve, args=(listener, request.param), daemon=True).start()
        engine = Engine(f"unix://{path}")
        yield engine
        engine.close()


@pytest.mark.parametrize("answered", [UPGRADED + frame(1, b"20001\n") + frame(2, b"a word")], indirect=True)
def test_output_that_comes_in_one_piece_with_the_headers_is_not_lost(answered: Engine) -> None:
    ended = answered.run(CONTAINER, ["stat"], user="65534:65534", limit=1000)
    assert (ended.exit_code, ended.stdout, ended.stderr, ended.is_cut) == (0, b"20001\n", b"a word", False)


@pytest.mark.parametrize("answered", [UPGRADED + frame(1, b"x" * 600) + frame(1, b"y" * 600)], indirect=True)
def test_output_beyond_the_limit_is_cut(answered: Engine) -> None:
    ended = answered.run(CONTAINER, ["cat"], user="65534:65534", limit=1000)
    assert (ended.stdout, ended.is_cut) == (b"x" * 600 + b"y" * 400, True)
