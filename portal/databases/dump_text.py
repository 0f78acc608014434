"""The text of a dump while it streams past: what it makes, whether it is whole, who its code belongs to.

`Scan` leans on how mariadb-dump and mysqldump write:

    CREATE TABLE `t` (          one line
    INSERT INTO `t` VALUES      one line for each row behind it, or all of them in one line
    DELIMITER ;;                before the body of a trigger, routine or event, which may hold any line
    DELIMITER ;                 after it
    -- Dump completed           the last line

`without_definers` takes out the DEFINER clauses that these programs write. The account that loads a dump may not make
code in another one's name: with these clauses the server would refuse every view and trigger.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO

import zstandard

from portal.databases.failures import DumpUnreadable
from portal.databases.schemas import Compression

CHUNK_BYTES = 1024**2
BITE_BYTES = 1024
MAX_WINDOW_BYTES = 128 * 1024**2  # of zstd: what decompression may take of memory
MAGIC: dict[bytes, Compression] = {b"\x1f\x8b": "gz", b"\x28\xb5\x2f\xfd": "zst"}

_NAME = rb"`((?:[^`]|``)+)`"
_CREATE = re.compile(rb"CREATE TABLE (?:IF NOT EXISTS )?" + _NAME + rb" \(")
_WRITERS = re.compile(rb"(?:/\*M?!999999\\- enable the sandbox mode \*/ ?\n)?-- (?:MariaDB|MySQL) dump ")
_COMPLETED = b"-- Dump completed"
_DEFINER = re.compile(
    rb"^(/\*!50013 |/\*!50003 CREATE\*/ /\*!50017 |/\*!50106 CREATE\*/ /\*!50117 |CREATE )"
    rb"DEFINER=`(?:[^`\n]|``)*`@`(?:[^`\n]|``)*`",
    re.MULTILINE,
)
_LONGEST_CLAUSE = 400  # prefix, an account's 128 + 255 characters, quotes
_TAIL_BYTES = 256


class Scan:
    """
    tables      that the dump makes, in its order
    rows        that are written one a line, as our own dumps have them
    bytes       seen so far, uncompressed
    is_dump     whether a dump program wrote it: then its last line must say that it is whole
    """

    def __init__(self) -> None:
        self.tables: list[str] = []
        self.rows = 0
        self.bytes = 0
        self.is_dump = False
        self._head = b""
        self._tail = b""
        self._line = b""  # the beginning of a line that has not ended
        self._is_body = False
        self._is_rows = False

    def feed(self, chunk: bytes) -> None:
        if len(self._head) < _TAIL_BYTES:
            self._head = (self._head + chunk)[:_TAIL_BYTES]
            self.is_dump = _WRITERS.match(self._head) is not None
        self.bytes += len(chunk)
        self._tail = (self._tail + chunk)[-_TAIL_BYTES:]
        first, *rest = chunk.split(b"\n")
        self._line += first if len(self._line) < CHUNK_BYTES else b""
        for piece in rest:
            self._whole(self._line)
            self._line = piece

    @property
    def is_whole(self) -> bool:
        """Whether it ends as its writer ends a whole one; of other writers nobody knows."""
        return not self.is_dump or self._tail.rstrip().rpartition(b"\n")[2].startswith(_COMPLETED)

    @property
    def last_words(self) -> str:
        return self._tail.rstrip().rpartition(b"\n")[2].decode("utf-8", "replace")[-120:]

    def _whole(self, line: bytes) -> None:
        if self._is_body:
            self._is_body = line != b"DELIMITER ;"
        elif line == b"DELIMITER ;;":
            self._is_body = True
        elif self._is_rows and line.startswith(b"("):
            self.rows += 1
            self._is_rows = not line.endswith(b");")
        else:
            self._is_rows = line.startswith(b"INSERT INTO ") and line.endswith(b" VALUES")
            if made := _CREATE.match(line):
                self.tables.append(made[1].replace(b"``", b"`").decode("utf-8", "replace"))


def compression_of(path: Path) -> Compression:
    """By its first bytes, whatever it is called."""
    with path.open("rb") as file:
        head = file.read(4)
    return next((kind for magic, kind in MAGIC.items() if head.startswith(magic)), "none")


def pieces(path: Path) -> Iterator[tuple[bytes, int]]:
    """The text of a dump, piece by piece, and how many bytes of the file were read for it.

    raises  DumpUnreadable for a file that is cut off or damaged
    """
    kind = compression_of(path)
    with path.open("rb") as file:
        try:
            if kind == "zst":
                yield from _zst(file)
                return
            reader: BinaryIO | gzip.GzipFile = gzip.GzipFile(fileobj=file) if kind == "gz" else file
            while chunk := reader.read(CHUNK_BYTES):
                yield chunk, file.tell()
        except (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError) as error:
            raise DumpUnreadable(f"its {kind} compression is damaged or cut off: {error}") from error


def _zst(file: IO[bytes]) -> Iterator[tuple[bytes, int]]:
    """Small bites: a kilobyte can hold at most 32 MiB. The library's reader would take a cut off frame for whole."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
    unit, held, is_inside = decompressor.decompressobj(), bytearray(), True
    while bite := file.read(BITE_BYTES):
        while bite:
            if not is_inside:
                unit, is_inside = decompressor.decompressobj(), True
            held += unit.decompress(bite)
            bite = unit.unused_data if unit.eof else b""
            is_inside = not unit.eof
        if len(held) >= CHUNK_BYTES:
            yield bytes(held), file.tell()
            held.clear()
    if is_inside:
        raise DumpUnreadable("its zst compression is cut off")
    if held:
        yield bytes(held), file.tell()


def inspect(path: Path) -> Scan:
    """Read a whole dump. Raise DumpUnreadable when it is no text, or is cut off."""
    scan = Scan()
    for chunk, _ in pieces(path):
        if not scan.bytes and (b"\0" in chunk[:1024] or not chunk.strip()):
            raise DumpUnreadable("it is no SQL text")
        scan.feed(chunk)
    if not scan.bytes:
        raise DumpUnreadable("it is empty")
    if not scan.is_whole:
        raise DumpUnreadable(f"it is cut off: it ends with {scan.last_words!r}")
    return scan


def without_definers(chunks: Iterator[tuple[bytes, int]]) -> Iterator[tuple[bytes, int]]:
    """The same text without the DEFINER clauses at the beginnings of lines where dump programs write them."""
    held, is_line_start = b"", True
    read = 0
    for chunk, read in chunks:
        text = held + chunk
        cut = text.rfind(b"\n") + 1
        if len(text) - cut > _LONGEST_CLAUSE:  # a long line: its clause, if it had one, is in what there is
            cut = len(text)
        held, text = text[cut:], text[:cut]
        if not text:
            continue
        yield _stripped(text, is_line_start=is_line_start), read
        is_line_start = text.endswith(b"\n")
    if held:
        yield _stripped(held, is_line_start=is_line_start), read


def _stripped(text: bytes, *, is_line_start: bool) -> bytes:
    if is_line_start:
        return _DEFINER.sub(rb"\1", text)
    rest, newline, more = text.partition(b"\n")
    return rest + newline + _DEFINER.sub(rb"\1", more)
