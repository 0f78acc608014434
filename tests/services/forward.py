"""Lead TCP connections between two network namespaces: `forward.py /proc/PID/ns/net INTO OUT`, both PORT:PORT,...

INTO is listened on here and connected to in that namespace, OUT the other way round, all on 127.0.0.1. A socket belongs
to the namespace its thread was in when it was made; one thread changes sides for each.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import socket
import sys

READ_BYTES = 64 * 1024
BACKLOG = 128
CLONE_NEWNET = 0x40000000  # sched.h
_libc = ctypes.CDLL(None, use_errno=True)


def made_in(network: int) -> socket.socket:
    """A TCP socket of that namespace."""
    if _libc.setns(network, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
    made = socket.socket()
    made.setblocking(False)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


async def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, network: int, port: int) -> None:
    other = made_in(network)
    try:
        await asyncio.get_running_loop().sock_connect(other, ("127.0.0.1", port))
    except OSError:
        other.close()
        writer.transport.abort()  # refused there, and a reset here
        return
    far_reader, far_writer = await asyncio.open_connection(sock=other)
    await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(READ_BYTES):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.transport.abort()


async def main(here: int, there: int, into: str, out: str) -> None:
    servers = []
    for table, from_network, to_network in ((into, here, there), (out, there, here)):
        for pair in filter(None, table.split(",")):
            listen, _, connect = pair.partition(":")
            listener = made_in(from_network)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", int(listen)))

            async def serve(
                reader: asyncio.StreamReader,
                writer: asyncio.StreamWriter,
                network: int = to_network,
                port: int = int(connect),
            ) -> None:
                with contextlib.suppress(OSError):
                    await lead(reader, writer, network, port)
                writer.close()

            servers.append(await asyncio.start_server(serve, sock=listener, backlog=BACKLOG))
    print("listening", flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(
        main(os.open("/proc/self/ns/net", os.O_RDONLY), os.open(sys.argv[1], os.O_RDONLY), sys.argv[2], sys.argv[3])
    )
