"""Frames: a length in four bytes, the most significant first, then so many bytes of one JSON document in UTF-8.

A connection carries one request and its answer. The answer to most verbs is one frame, `{"result": ...}` or
`{"error": {"type", "detail"}}`. A stream is any number of `{"item": ...}` and then `{"end": ...}` or an error; whoever
asked ends it early by closing the connection. A length above the limit is refused before a byte of the document is
read, so nobody can make the other side reserve memory.
"""

from __future__ import annotations

import socket
import struct
import time

MAX_REQUEST_BYTES = 64 * 1024  # the longest request is a list of 512 ids
MAX_ANSWER_BYTES = 32 * 1024**2  # 4 MiB of output and 1 MiB of errors, every byte of it escaped

LENGTH = struct.Struct(">I")


class FrameError(Exception):
    """What arrived is no frame. The text says why and holds nothing of what was sent."""


def encode(document: bytes, *, limit: int) -> bytes:
    """Return the frame of a document. Raise FrameError if the document is longer than the other side takes."""
    if len(document) > limit:
        raise FrameError(f"a document of {len(document)} bytes, more than {limit}")
    return LENGTH.pack(len(document)) + document


def length_of(head: bytes, *, limit: int) -> int:
    """Given the first four bytes, return how many follow. Raise FrameError if there are none, or too many."""
    (length,) = LENGTH.unpack(head)
    if not 0 < length <= limit:
        raise FrameError(f"a length of {length}, not 1 to {limit}")
    return int(length)


def receive(connection: socket.socket, *, limit: int, timeout_s: float) -> bytes:
    """Read one frame's document, all of it within `timeout_s`.

    raises   FrameError: no frame, cut short, or too slow; OSError from the socket
    """
    give_up = time.monotonic() + timeout_s
    length = length_of(_exactly(connection, LENGTH.size, give_up), limit=limit)
    return _exactly(connection, length, give_up)


def _exactly(connection: socket.socket, size: int, give_up: float) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        left_s = give_up - time.monotonic()
        if left_s <= 0:
            raise FrameError("did not arrive in time")
        connection.settimeout(left_s)
        try:
            part = connection.recv(min(size - len(parts), 65536))
        except TimeoutError as error:
            raise FrameError("did not arrive in time") from error
        if not part:
            raise FrameError(f"ended after {len(parts)} of {size} bytes")
        parts += part
    return bytes(parts)
