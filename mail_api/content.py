"""A message's bytes, in memory or in a file, and the message as it goes on to the mailbox.

A leaf. `Content` is what was received and is never changed. `Outgoing` is what the transport sends: our header fields
in front, the received bytes behind, minus the header fields that wire.md tells us to remove. Neither decodes anything,
and neither holds a second copy of the body: large bodies stay in their file and are read in chunks.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

CHUNK_BYTES = 256 * 1024  # what one read from a file takes into memory; 32 concurrent deliveries = 8 MiB


@dataclass(frozen=True, slots=True)
class Content:
    """The received bytes.

    source       the bytes themselves, or a file descriptor open for reading, owned by whoever made this object
    size_bytes   length of the message
    sha256       lower-case hex digest of the message
    """

    source: bytes | int
    size_bytes: int
    sha256: str

    def read(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`; may block. Raise OSError when the file is shorter than it was."""
        if isinstance(self.source, bytes):
            return self.source[offset : offset + length]
        data = os.pread(self.source, length, offset)
        if len(data) < min(length, self.size_bytes - offset):
            raise OSError(f"message file is shorter than {self.size_bytes} bytes")
        return data


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What the transport sends: `prepend`, then `content` without the byte ranges in `cuts`.

    cuts   (start, end) offsets into content, ascending, not overlapping, end exclusive
    """

    prepend: bytes
    content: Content
    cuts: tuple[tuple[int, int], ...] = ()

    @property
    def size_bytes(self) -> int:
        return len(self.prepend) + self.content.size_bytes - sum(end - start for start, end in self.cuts)

    def _ranges(self) -> Iterator[tuple[int, int]]:
        offset = 0
        for start, end in (*self.cuts, (self.content.size_bytes, self.content.size_bytes)):
            while offset < start:
                length = min(CHUNK_BYTES, start - offset)
                yield offset, length
                offset += length
            offset = max(offset, end)

    def blocks(self) -> Iterator[bytes]:
        """Yield the message in blocks; blocks when the source is a file. The first one carries `prepend`."""
        yield from self._joined(self.content.read(offset, length) for offset, length in self._ranges())

    def _joined(self, body: Iterator[bytes]) -> Iterator[bytes]:
        yield self.prepend + next(body, b"")
        yield from body

    async def chunks(self) -> AsyncIterator[bytes]:
        """Like `blocks`, but reads files in a worker thread."""
        if isinstance(self.content.source, bytes):
            for block in self.blocks():
                yield block
            return
        prepend = self.prepend
        for offset, length in self._ranges():
            yield prepend + await asyncio.to_thread(self.content.read, offset, length)
            prepend = b""
        if prepend:
            yield prepend
