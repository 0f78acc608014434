"""A site's database as the recipes see it: the databases room's works, and what they need to know beside them."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Protocol

from portal.databases.dump_store import DumpStore
from portal.databases.failures import NotOurs
from portal.databases.pools import with_connection
from portal.databases.servers import Server, Servers
from portal.databases.sql import Connection, fetch
from portal.databases.works import Works
from portal.operations.progress import Progress

_DROP = "drop"  # why a dump was made


class Room(Protocol):
    """Of the databases room."""

    @property
    def servers(self) -> Servers: ...

    @property
    def works(self) -> Works: ...

    @property
    def store(self) -> DumpStore: ...


class SiteDatabases:
    def __init__(self, room: Room) -> None:
        self._room = room

    def server(self, asked: str | None) -> Server | None:
        """The server of this name; for None the only one, or the blog stack's, None when that is no one.

        raises   NoSuchServer, DatabasesNotConnected
        """
        servers = self._room.servers
        if asked is not None:
            return servers.find(asked)
        names = [name for name in servers if servers[name].owner_of == "blog"] or list(servers)
        return servers[names[0]] if len(names) == 1 else None

    async def exists(self, server: str, name: str) -> tuple[bool, bool]:
        """Whether there is a database of this name, and an account. Raise NoSuchServer, ServerUnavailable."""
        return await asyncio.to_thread(with_connection, self._room.servers.find(server), "admin", _exists, name)

    async def create(self, server: str, name: str, password: str, run: str, progress: Progress) -> None:
        """Make database and account. Raise DatabaseExists, AccountExists."""
        await self._room.works.create(server, name, name, password, made_by=run, progress=progress)

    async def drop_own(self, server: str, name: str, run: str, progress: Progress) -> None:
        """Remove what this run has made, and nothing else."""
        try:
            await self._room.works.drop(server, name, name, only_if_made_by=run, dump=False, progress=progress)
        except NotOurs:
            return

    async def drop(self, server: str, database: str, account: str, progress: Progress, *, dump: bool) -> str | None:
        """Remove both, whoever made them; return the id of the dump that was kept."""
        dropped = await self._room.works.drop(server, database, account, dump=dump, progress=progress)
        return dropped.dump

    async def load(self, server: str, database: str, path: Path, progress: Progress) -> int:
        """Load a dump; return how many tables are there then."""
        return (await self._room.works.load(server, database, path, progress)).tables

    async def checksum(self, server: str, database: str, progress: Progress) -> str:
        return await self._room.works.checksum(server, database, progress)

    async def dump_since(self, server: str, database: str, since: datetime) -> Path | None:
        """The newest dump that was made of a database when it was removed, not before a time."""
        for row in await self._room.store.all():
            if (row.server, row.database, row.why) == (server, database, _DROP) and row.made_at >= since:
                return self._room.store.path(row.id)
        return None


def _exists(connection: Connection, name: str) -> tuple[bool, bool]:
    databases = fetch(connection, "SELECT 1 FROM information_schema.schemata WHERE schema_name = %s", [name])
    users = fetch(connection, "SELECT 1 FROM mysql.global_priv WHERE user = %s", [name])
    return bool(databases), bool(users)
