"""In the place of cloudflared: hands each connection on to the ingress, and answers 530 itself while there is none.

Runs alone in a container, so it is the standard library only. `python3 tunnel.py LISTEN ORIGIN`, both HOST:PORT.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

CONNECT_S = 5.0
NO_ORIGIN = b"HTTP/1.1 530 \r\ncontent-type: text/plain\r\ncontent-length: 10\r\nconnection: close\r\n\r\nerror 1033"


async def pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await source.read(65536):
            target.write(piece)
            await target.drain()
    target.close()


async def serve(listen: str, origin: str) -> None:
    own, _, port = listen.rpartition(":")
    host, _, origin_port = origin.rpartition(":")

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            connecting = asyncio.open_connection(host, int(origin_port))
            origin_reader, origin_writer = await asyncio.wait_for(connecting, CONNECT_S)
        except OSError:  # TimeoutError is one
            with contextlib.suppress(OSError):
                await reader.read(65536)
                writer.write(NO_ORIGIN)
                await writer.drain()
            writer.close()
            return
        await asyncio.gather(pass_on(reader, origin_writer), pass_on(origin_reader, writer))

    server = await asyncio.start_server(connected, own, int(port))
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], sys.argv[2]))
