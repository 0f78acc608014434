"""Threads for what blocks: a few for each server, so that one that hangs keeps nobody from the others; and a few more
for downloads, which last as long as their readers are slow.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, ParamSpec, TypeVar

from portal.databases.servers import Purpose, Server, Servers
from portal.databases.sql import Connection, execute

THREADS = 8
DOWNLOADS = 4
PATIENT_S = 3600.0
T = TypeVar("T")
P = ParamSpec("P")


class Pools:
    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._threads = {name: ThreadPoolExecutor(THREADS, f"database-{name}") for name in servers}
        self._downloads = {name: ThreadPoolExecutor(DOWNLOADS, f"download-{name}") for name in servers}

    async def ask(
        self,
        name: str,
        purpose: Purpose,
        work: Callable[Concatenate[Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run `work` with a fresh connection in a thread. Raise what `servers.find`, `connect` and the work raise."""
        server = self._servers.find(name)
        return await self.run(name, lambda: with_connection(server, purpose, work, *args, **kwargs))

    async def run(self, name: str, work: Callable[[], T]) -> T:
        """Run what blocks in one of the server's threads. Who asked may go away; the work goes on to its end."""
        return await self._run(self._threads[name], work)

    async def download(self, name: str, work: Callable[[], T]) -> T:
        """As `run`, for what gives its text to a reader; more than DOWNLOADS of one server wait for each other."""
        return await self._run(self._downloads[name], work)

    @staticmethod
    async def _run(threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(threads, lambda: context.run(work))

    def close(self) -> None:
        for threads in (*self._threads.values(), *self._downloads.values()):
            threads.shutdown(wait=False, cancel_futures=True)


def with_connection(
    server: Server, purpose: Purpose, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Run `work` with a fresh connection, here."""
    with contextlib.closing(server.connect(purpose)) as connection:
        return work(connection, *args, **kwargs)


def patiently(server: Server, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
    """As the admin, for what takes as long as a database is large: to drop it, or to read all of it."""
    with contextlib.closing(server.connect("admin", answer_s=PATIENT_S)) as connection:
        execute(connection, "SET SESSION max_statement_time = 0")
        return work(connection, *args, **kwargs)
