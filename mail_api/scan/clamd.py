"""clamd by INSTREAM (clamd(8)), over TCP or a unix socket: one connection a scan, one deadline for all of it.

    zINSTREAM NUL   then blocks, each behind its length (4 bytes, big-endian), a length of 0 at the end
    stream: OK NUL | stream: NAME FOUND NUL | ... ERROR NUL

clamd may answer and leave while we still send: that is how it says that a message is over its limit. So a write that
fails is followed by a look at what it said; that, an end that comes at once whatever the peer does, and unix sockets
are why this speaks to the socket itself instead of by aioclamd (docs/adr/0018). Only a whole answer that says OK is
OK.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mail_api.content import Content, Outgoing
from mail_api.scan.verdict import Finding, Opinion, one_line
from mail_api.settings import parse_clamd

MAX_ANSWER_BYTES = 4096  # a line with one name

_FOUND = re.compile(r"stream: (.+) FOUND")
_NOT_SCANNED = "Heuristics.Limits.Exceeded"  # clamd.conf(5), AlertExceedsMax: no virus, but not looked at whole
_OVER_LIMIT = "INSTREAM size limit exceeded. ERROR"


class Unreachable(OSError):
    """No connection could be made."""


class Clamd:
    """One clamd. `address` as the setting has it; raises ValueError."""

    def __init__(self, address: str) -> None:
        self._address = parse_clamd(address)
        self._name = address

    async def scan(self, content: Content, *, timeout_s: float) -> Opinion:
        """Return what clamd finds. Raises nothing that clamd or the network does."""
        try:
            async with asyncio.timeout(timeout_s), self._connected() as connection:
                answer = await self._instream(connection, content)
        except TimeoutError:
            return Opinion(Finding.FAILED, f"no answer within {timeout_s:.1f} s")
        except Unreachable as error:
            return Opinion(Finding.FAILED, f"cannot be reached: {one_line(str(error))}", is_unreachable=True)
        except OSError as error:
            return Opinion(Finding.FAILED, one_line(str(error)) or type(error).__name__)
        return read_answer(answer)

    async def check(self, *, timeout_s: float) -> str:
        """For /readyz: return its version and that of its database, or raise OSError."""
        async with asyncio.timeout(timeout_s), self._connected() as connection:
            await asyncio.get_running_loop().sock_sendall(connection, b"zVERSION\0")
            answer = await _read_line(connection)
        if not answer.startswith("ClamAV "):
            raise OSError(f"{self._name} is no clamd: it said {one_line(answer, 60)!r}")
        return f"{self._name} {one_line(answer)}"

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[socket.socket]:
        """A connection, closed at once at the end: what was not sent by then is nobody's. Raise Unreachable."""
        connection = await self._connect()
        try:
            yield connection
        finally:
            connection.close()

    async def _connect(self) -> socket.socket:
        loop = asyncio.get_running_loop()
        addresses: list[tuple[socket.AddressFamily, object]]
        try:
            if isinstance(self._address, str):
                addresses = [(socket.AF_UNIX, self._address)]
            else:
                found = await loop.getaddrinfo(*self._address, type=socket.SOCK_STREAM)
                addresses = [(family, address) for family, _, _, _, address in found]
        except OSError as error:
            raise Unreachable(f"{self._name}: {error}") from error
        failure: OSError | None = None
        for family, address in addresses:
            connection = socket.socket(family, socket.SOCK_STREAM)
            try:
                connection.setblocking(False)
                await loop.sock_connect(connection, address)  # type: ignore[arg-type]  # a path for AF_UNIX
                return connection
            except OSError as error:
                connection.close()
                failure = error
            except BaseException:
                connection.close()
                raise
        raise Unreachable(f"{self._name}: {failure}") from failure

    async def _instream(self, connection: socket.socket, content: Content) -> str:
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_sendall(connection, b"zINSTREAM\0")
            async for chunk in Outgoing(b"", content).chunks():
                if chunk:  # a length of 0 is the end
                    await loop.sock_sendall(connection, len(chunk).to_bytes(4))
                    await loop.sock_sendall(connection, chunk)
            await loop.sock_sendall(connection, bytes(4))
        except (BrokenPipeError, ConnectionResetError) as error:
            try:
                return await _read_line(connection)  # it left; did it say why?
            except OSError:
                raise error from None
        return await _read_line(connection)


async def _read_line(connection: socket.socket) -> str:
    """Return what stands before the NUL. Raise OSError for an answer that has none."""
    loop = asyncio.get_running_loop()
    answer = bytearray()
    while b"\0" not in answer:
        block = await loop.sock_recv(connection, MAX_ANSWER_BYTES)
        if not block:
            raise OSError("the connection ended before the answer was whole")
        answer += block
        if len(answer) > MAX_ANSWER_BYTES:
            raise OSError(f"the answer is longer than {MAX_ANSWER_BYTES} bytes")
    return bytes(answer.partition(b"\0")[0]).decode("utf-8", "replace")


def read_answer(answer: str) -> Opinion:
    """Given clamd's line, return what it says; FAILED for everything that is not surely an opinion."""
    if answer == "stream: OK":
        return Opinion(Finding.CLEAN, "clean")
    if answer == _OVER_LIMIT:
        return Opinion(Finding.OVER_LIMIT, "larger than clamd's StreamMaxLength")
    if found := _FOUND.fullmatch(answer):
        name = one_line(found[1], 120)
        if name.startswith(_NOT_SCANNED):
            return Opinion(Finding.OVER_LIMIT, f"not scanned whole: {name}", {"name": name})
        return Opinion(Finding.REFUSED, f"found {name}", {"name": name})
    return Opinion(Finding.FAILED, f"it said {one_line(answer, 120)!r}")
