"""Frames: what is one comes through whole, whatever else arrives is a FrameError."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.broker import frames

LIMIT = 1000


def _received(sent: bytes) -> bytes:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(sent)
        theirs.shutdown(socket.SHUT_WR)
        return frames.receive(ours, limit=LIMIT, timeout_s=5.0)


@given(st.binary(min_size=1, max_size=LIMIT))
def test_frame_comes_through_whole(document: bytes) -> None:
    assert _received(frames.encode(document, limit=LIMIT)) == document


@given(st.binary(max_size=200))
def test_bytes_are_a_frame_or_refused(sent: bytes) -> None:
    try:
        document = _received(sent)
    except frames.FrameError:
        return
    assert sent[:4] == struct.pack(">I", len(document))
    assert sent[4 : 4 + len(document)] == document


@pytest.mark.parametrize("length", [0, LIMIT + 1, 2**31, 2**32 - 1])
def test_length_out_of_bounds_is_refused_before_the_document(length: int) -> None:
    with pytest.raises(frames.FrameError, match="not 1 to 1000"):
        _received(struct.pack(">I", length))


def test_frame_that_never_ends_is_given_up() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(struct.pack(">I", 10) + b"12345")
        with pytest.raises(frames.FrameError, match="in time"):
            frames.receive(ours, limit=LIMIT, timeout_s=0.05)


def test_document_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(frames.FrameError):
        frames.encode(b"x" * (LIMIT + 1), limit=LIMIT)
