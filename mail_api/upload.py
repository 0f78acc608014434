"""The body of a request while it streams in: counted and hashed, in memory or in a file, and held to what was signed.

A body up to IN_MEMORY_BYTES stays in memory; a larger one goes to an unnamed file on the spool's file system, from
which it is delivered or linked into its entry. Nothing of a body that did not arrive whole is kept.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from starlette.types import Receive

from kit.clock import Clock
from kit.problem import Problem
from mail_api.admission import storage_problem
from mail_api.content import Content
from mail_api.envelope import Envelope
from mail_api.settings import IN_MEMORY_BYTES, LIVE_UPLOAD_S
from mail_api.spool import BodyFile, Spool
from mail_api.threads import if_large, to_the_end

FIRST_BYTE_S = 10.0  # a request whose body does not begin is given up
FLUSH_BYTES = 256 * 1024  # of a large body wait in memory; 32 uploads at once = 8 MiB
DRAIN_BYTES = 64 * 1024**2  # of a refused body is read, so that the answer is heard; then the connection is cut


class BodyMismatch(Problem):
    """The body is not what the signed headers announce."""

    status, type, title = 400, "body-mismatch", "Body does not match its headers"


class UploadTimeout(Problem):
    """The body did not arrive in time."""

    status, type, title = 408, "upload-timeout", "Upload took too long"


@dataclass(frozen=True, slots=True)
class Body:
    """A whole body. `began`: when its first byte came, by the monotonic clock. Close it when the message is settled."""

    content: Content
    began: float
    file: BodyFile | None = None

    def close(self) -> None:
        if self.file is not None:
            self.file.close()


class Upload:
    """One request's body as it comes off the connection; knows whether all of it has come."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._is_complete = False

    async def read(self, envelope: Envelope, spool: Spool, *, timeout_s: float, clock: Clock) -> Body:
        """Return the body that the envelope announces.

        timeout_s   from the first byte to the last
        raises      BodyMismatch, UploadTimeout, InsufficientStorage, SpoolUnavailable; nothing is left behind
        """
        sink = _Sink(envelope, spool)
        began = clock.monotonic()
        try:
            async with asyncio.timeout(FIRST_BYTE_S) as timer:
                async for chunk in self._chunks():
                    if sink.size_bytes == 0 and chunk:
                        began = clock.monotonic()
                        timer.reschedule(asyncio.get_running_loop().time() + timeout_s)
                    await sink.append(chunk)
            return Body(await sink.finish(), began, sink.file)
        except BaseException as error:
            sink.close()
            if isinstance(error, TimeoutError):
                raise UploadTimeout(f"{sink.size_bytes} of {envelope.size_bytes} bytes arrived") from error
            if isinstance(error, OSError):
                raise storage_problem(error) from error
            raise

    async def drain(self) -> None:
        """Read what is left of a refused body, within bounds, so that the client gets to read the answer."""
        left = DRAIN_BYTES
        try:
            async with asyncio.timeout(LIVE_UPLOAD_S):
                async for chunk in self._chunks():
                    left -= len(chunk)
                    if left < 0:
                        return
        except (TimeoutError, BodyMismatch):
            return

    async def _chunks(self) -> AsyncIterator[bytes]:
        while not self._is_complete:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._is_complete = True
                raise BodyMismatch("the connection ended in the middle of the body")
            self._is_complete = not message.get("more_body", False)
            yield message.get("body", b"")


class _Sink:
    """Where the blocks of a body go."""

    def __init__(self, envelope: Envelope, spool: Spool) -> None:
        self._expected = envelope
        self._spool = spool
        self._pending = bytearray()
        self.file: BodyFile | None = None
        self.size_bytes = 0

    async def append(self, chunk: bytes) -> None:
        """Raise BodyMismatch as soon as there is more than was announced."""
        self.size_bytes += len(chunk)
        if self.size_bytes > self._expected.size_bytes:
            raise BodyMismatch(f"more than the announced {self._expected.size_bytes} bytes arrived")
        self._pending += chunk
        if self._expected.size_bytes > IN_MEMORY_BYTES and len(self._pending) >= FLUSH_BYTES:
            await self._flush()

    async def finish(self) -> Content:
        """Return the content. Raise BodyMismatch when length or digest differ from what was announced."""
        expected = self._expected
        if self.size_bytes != expected.size_bytes:
            raise BodyMismatch(f"{self.size_bytes} bytes arrived, {expected.size_bytes} were announced")
        if expected.size_bytes > IN_MEMORY_BYTES:
            content = (await self._flush()).content()
        else:
            data = bytes(self._pending)
            digest = await if_large(len(data), lambda: hashlib.sha256(data).hexdigest())
            content = Content(data, len(data), digest)
        if content.sha256 != expected.sha256:
            raise BodyMismatch("the body has another SHA-256 than was announced")
        return content

    async def _flush(self) -> BodyFile:
        pending, self._pending = self._pending, bytearray()
        if self.file is None:
            self.file = self._spool.body_file()
        await to_the_end(self.file.append, pending)
        return self.file

    def close(self) -> None:
        if self.file is not None:
            self.file.close()
