"""What was received is what is sent: our fields in front, the cuts left out, from memory and from a file alike."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mail_api.content import CHUNK_BYTES, Content, Outgoing

type_of_source = pytest.mark.parametrize("in_file", [False, True], ids=["memory", "file"])
Make = Callable[[bytes, bool], Content]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    opened: list[int] = []

    def content(data: bytes, in_file: bool) -> Content:
        digest = hashlib.sha256(data).hexdigest()
        if not in_file:
            return Content(data, len(data), digest)
        path = tmp_path / str(len(opened))
        path.write_bytes(data)
        opened.append(os.open(path, os.O_RDONLY))
        return Content(opened[-1], len(data), digest)

    yield content
    for descriptor in opened:
        os.close(descriptor)


def _all_ways(outgoing: Outgoing) -> list[bytes]:
    async def collected() -> bytes:
        return b"".join([block async for block in outgoing.chunks()])

    return [b"".join(outgoing.blocks()), asyncio.run(collected())]


def _expected(prepend: bytes, data: bytes, cuts: tuple[tuple[int, int], ...]) -> bytes:
    kept = bytearray(data)
    for start, end in reversed(cuts):
        del kept[start:end]
    return prepend + bytes(kept)


@type_of_source
@pytest.mark.parametrize("prepend", [b"", b"X-Homeport-Id: 1\r\n"])
@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 7])
@pytest.mark.parametrize("cut", ["none", "first", "last", "middle", "all", "two", "across"])
def test_outgoing_is_prepend_and_content_without_cuts(
    make: Make, in_file: bool, prepend: bytes, size: int, cut: str
) -> None:
    data = bytes(range(256)) * (size // 256) + bytes(range(size % 256))
    cuts: tuple[tuple[int, int], ...] = {
        "none": (),
        "first": ((0, min(size, 10)),),
        "last": ((max(size - 10, 0), size),),
        "middle": ((size // 3, size // 2),),
        "all": ((0, size),),
        "two": ((0, size // 3), (size // 2, size)),
        "across": ((min(size, CHUNK_BYTES - 5), min(size, CHUNK_BYTES + 5)),),
    }[cut]
    outgoing = Outgoing(prepend, make(data, in_file), cuts)
    expected = _expected(prepend, data, cuts)
    assert _all_ways(outgoing) == [expected, expected]
    assert outgoing.size_bytes == len(expected)


@given(data=st.binary(max_size=60), points=st.sets(st.integers(0, 60), max_size=8), prepend=st.binary(max_size=5))
def test_outgoing_with_any_cuts_equals_the_plain_calculation(data: bytes, points: set[int], prepend: bytes) -> None:
    bounds = iter(sorted(point for point in points if point <= len(data)))
    cuts = tuple(zip(bounds, bounds, strict=False))
    outgoing = Outgoing(prepend, Content(data, len(data), ""), cuts)
    assert b"".join(outgoing.blocks()) == _expected(prepend, data, cuts)
    assert outgoing.size_bytes == len(_expected(prepend, data, cuts))


def test_outgoing_large_file_comes_in_chunks_of_bounded_size(make: Make) -> None:
    outgoing = Outgoing(b"X: 1\r\n", make(bytes(10 * CHUNK_BYTES), True))
    assert max(len(block) for block in outgoing.blocks()) <= CHUNK_BYTES + len(b"X: 1\r\n")


@type_of_source
def test_content_read_stops_at_the_end(make: Make, in_file: bool) -> None:
    content = make(b"abcdef", in_file)
    assert content.read(0, 3) == b"abc"
    assert content.read(4, 100) == b"ef"
    assert content.read(6, 1) == b""


def test_content_read_of_a_file_that_lost_its_tail_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "message"
    path.write_bytes(b"abc")
    descriptor = os.open(path, os.O_RDONLY)
    try:
        shortened = Content(descriptor, 6, "")
        assert shortened.read(0, 3) == b"abc"
        with pytest.raises(OSError, match="shorter than 6 bytes"):
            shortened.read(0, 6)
        with pytest.raises(OSError, match="shorter than 6 bytes"):
            b"".join(Outgoing(b"", shortened).blocks())
    finally:
        os.close(descriptor)
