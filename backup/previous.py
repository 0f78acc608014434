"""The point that a new one is linked to: its manifest looked up by path and by content, its files as link targets.

Nothing here grows with the manifest but two tables of 12 to 24 bytes an entry, which are made when they are first
needed: by content for the first changed file, by path for the first source that goes in another order. The manifest's
signature is checked first: a damaged manifest must not hand its hashes on.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Self

from backup.exit_codes import VerificationFailed
from backup.layout import MANIFEST, Layout
from backup.manifest import check_signature, path_of, read_state
from backup.points import PointId, PointKind
from backup.signing import Verifier
from backup.state import PointState

FAR_LINES = 256  # a path that is not found so far ahead is looked up in a table
_OFFSET_BITS = 40
_OFFSET = (1 << _OFFSET_BITS) - 1


def newest(layout: Layout, verifier: Verifier, distrusted: frozenset[PointId] = frozenset()) -> Previous | None:
    """Return the newest sealed daily or weekly point whose manifest and state are as they were signed.

    distrusted  points with known damage: a link would hand it on, a copy heals it
    """
    points = [point for point in layout.sealed(PointKind.DAILY, PointKind.WEEKLY) if point not in distrusted]
    for point in sorted(points, key=lambda point: (point.day, _sealed_at_ns(layout.point(point))), reverse=True):
        try:
            check_signature(layout.point(point), verifier)
            return Previous(layout.point(point), point)
        except VerificationFailed:  # `verify` reports it
            continue
    return None


def _sealed_at_ns(point_dir: Path) -> int:
    try:
        return (point_dir / MANIFEST).stat().st_mtime_ns
    except OSError:
        return 0


class Previous:
    """
    state  of the point
    fd     its directory, for links
    """

    def __init__(self, point_dir: Path, point: PointId | None = None) -> None:
        """Raise VerificationFailed when it cannot be read."""
        self.point = point
        self.state: PointState = read_state(point_dir)
        try:
            self.fd = os.open(point_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise VerificationFailed(f"{point_dir}: {error.strerror}") from error
        try:
            self._file = (point_dir / MANIFEST).open("rb", 1 << 14)
        except OSError as error:
            os.close(self.fd)
            raise VerificationFailed(f"{point_dir / MANIFEST}: {error.strerror}") from error
        self._paths: array[int] | None = None
        self._contents: array[int] | None = None
        self._line = self._path = self._asked = b""  # the next line, its path, and what was asked for last
        self._advance()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        os.close(self.fd)

    # -- by path: those who ask in order get their answer from the next line ------------------------------------------

    def line(self, path: bytes) -> bytes | None:
        """Return the line of exactly this path."""
        if path >= self._asked:
            self._asked = path
            for _ in range(FAR_LINES):
                if self._path >= path or not self._line:
                    return self._line if self._line and self._path == path else None
                self._advance()
        if self._paths is None:
            self._paths = self._index(path_of)
        found = self._look_up(self._paths, path, path_of)
        if found is None:
            return None
        offset, line = found
        self._file.seek(offset)
        self._advance()
        self._asked = path
        return line

    def _advance(self) -> None:
        self._line = self._file.readline()
        self._path = path_of(self._line) if self._line else b""

    # -- by content: whatever its path was ----------------------------------------------------------------------------

    def same_file(self, line: bytes) -> bytes | None:
        """Given the line of a new file, return the path of a file of the same size, mode, owner, mtime and hash."""
        if self._contents is None:
            self._contents = self._index(_content)
        found = self._look_up(self._contents, _content(line), _content)
        return path_of(found[1]) if found is not None else None

    # -- hash tables with open addressing: 24 bits of the hash and the line's offset in one number --------------------

    def _index(self, key_of: Callable[[bytes], bytes]) -> array[int]:
        """Equal keys take one slot, the first line's: ten thousand empty files are no chain of ten thousand."""
        slots = 1 << max(self.state.entries * 3 // 2, 1).bit_length()
        table = array("Q", bytes(8 * slots))
        offset, used = 0, 0
        descriptor = os.open(MANIFEST, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.fd)
        with os.fdopen(descriptor, "rb", 1 << 16) as file:  # its own offset: the reader by path stays where it is
            for line in file:
                key = key_of(line)
                if key:
                    tag, slot = _hashed(key, slots)
                    while (found := table[slot]) and found >> _OFFSET_BITS != tag:
                        slot = slot + 1 & slots - 1
                    if not found and used < slots - 1:  # one slot stays free, or a search would not end
                        table[slot] = tag << _OFFSET_BITS | offset + 1
                        used += 1
                offset += len(line)
        return table

    def _look_up(self, table: array[int], key: bytes, key_of: Callable[[bytes], bytes]) -> tuple[int, bytes] | None:
        """Return offset and line. Two keys of one hash share a slot: the second is not found, and its file copied."""
        tag, slot = _hashed(key, len(table))
        while found := table[slot]:
            if found >> _OFFSET_BITS == tag:
                line = self._line_at((found & _OFFSET) - 1)
                return ((found & _OFFSET) - 1, line) if key_of(line) == key else None
            slot = slot + 1 & len(table) - 1
        return None

    def _line_at(self, offset: int) -> bytes:
        line = b""
        while part := os.pread(self._file.fileno(), 4096, offset + len(line)):
            end = part.find(b"\n") + 1
            line += part[: end or len(part)]
            if end:
                break
        return line


def _content(line: bytes) -> bytes:
    """The part of a file's line that says what lies in its inode: size, mode, owner, mtime, hash. Else b""."""
    start = line.index(b'","type":"')  # none of these is within the path: there a quote has a backslash before it
    return line[start : line.index(b'","dev":', start)] if line.startswith(b'","type":"file"', start) else b""


def _hashed(key: bytes, slots: int) -> tuple[int, int]:
    """Return a tag of 24 bits and the first slot."""
    number = hash(key) & 0xFFFF_FFFF_FFFF_FFFF
    return number >> _OFFSET_BITS, number & slots - 1
