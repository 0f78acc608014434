"""The rules of the databases room: what is shown, who owns what, what depends on what.

    room = DatabasesRoom.of(settings, db, hub, runner, clock)
    room.begin() ... await room.close()

Servers are configured (servers.py), never typed. What is shown of a server is remembered with its time (seen.py);
what is shown of one database is read when it is asked for. Acts are operations (acts.py) on the works that recipes use
too (works.py). Who needs a database is known by other rooms: app.py hands in `owners`, `hand_over` and `backed_up`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Concatenate, ParamSpec, TypeVar

from kit.clock import Clock, now_utc
from kit.logging import get_logger
from kit.problem import Problem
from portal.databases import accounts, browse, processes, slow, structure
from portal.databases import dumps as dump_work
from portal.databases.acts import Acts
from portal.databases.browse import Wanted
from portal.databases.dump_store import DumpStore
from portal.databases.owners import BackedUp, HandOver, Owners, SiteDatabase, never, nobody
from portal.databases.pools import Pools
from portal.databases.probes import probes_of
from portal.databases.schemas import (
    AccountList,
    ConnectionCheck,
    ConnectionChecks,
    DatabaseSummary,
    DatabaseView,
    KillProcess,
    ProcessList,
    ProcessView,
    RowPage,
    ServerList,
    ServerView,
    SlowList,
    TableView,
)
from portal.databases.seen import Looks, layer_of
from portal.databases.servers import Purpose, Server, Servers
from portal.databases.sql import Connection
from portal.databases.works import Works
from portal.db import Database
from portal.operations.hub import Hub
from portal.operations.runner import Runner
from portal.probes import Use
from portal.scheduler import Job
from portal.settings import PortalSettings

log = get_logger()

SWEEP_S = 3600.0

T = TypeVar("T")
P = ParamSpec("P")


class DatabasesRoom:
    """owners, hand_over, backed_up: see owners.py; app.py sets them."""

    def __init__(
        self, servers: Servers, store: DumpStore, database: Database, hub: Hub, runner: Runner, clock: Clock
    ) -> None:
        self.servers, self.store = servers, store
        self.owners: Owners = nobody
        self.hand_over: HandOver | None = None
        self.backed_up: BackedUp = never
        self._clock = clock
        self.pools = Pools(servers)
        self.looks = Looks(servers, self.pools, database, hub, clock)
        self.works = Works(servers, store, self.looks, database, clock)
        self.acts = Acts(self, runner)
        self.probes = probes_of(servers, self.looks)
        self.jobs = (Job("databases: remove old dumps", every_s=SWEEP_S, work=store.sweep, timeout_s=600),)
        self._clearing: asyncio.Task[None] | None = None

    @classmethod
    def of(cls, settings: PortalSettings, database: Database, hub: Hub, runner: Runner, clock: Clock) -> DatabasesRoom:
        servers = Servers.of(settings.databases_file)
        for mistake in servers.mistakes:
            log.error("databases_file_unusable", mistake=mistake)
        return cls(servers, DumpStore(settings.state_dir, database, clock), database, hub, runner, clock)

    def begin(self) -> None:
        """Register the re-checks, and lock what a killed portal has left. Before `runner.recover`."""
        self.store.begin()
        self.acts.begin()
        self._clearing = asyncio.create_task(self._clear())

    async def close(self) -> None:
        if self._clearing is not None:
            self._clearing.cancel()
            await asyncio.gather(self._clearing, return_exceptions=True)
        await self.looks.close()
        self.pools.close()

    # -- servers ------------------------------------------------------------------------------------------------------

    async def overview(self) -> ServerList:
        views = await asyncio.gather(*(self.server(name) for name in self.servers))
        return ServerList(
            is_configured=self.servers.is_configured, mistakes=list(self.servers.mistakes), servers=list(views)
        )

    async def server(self, name: str) -> ServerView:
        """One server, now or as it was last seen. Raise NoSuchServer, DatabasesNotConnected."""
        view = await self.looks.view(name)
        if view.seen is None:
            return view
        databases = await self._known_of(name, view.seen.databases)
        return view.model_copy(update={"seen": view.seen.model_copy(update={"databases": databases})})

    async def check(self, name: str) -> ConnectionChecks:
        """Go the way of every configured account, now."""
        server = self.servers.find(name)
        checks = [self.pools.run(name, partial(self._check, server, purpose)) for purpose in server.logins]
        return ConnectionChecks(checks=await asyncio.gather(*checks))

    def _check(self, server: Server, purpose: Purpose) -> ConnectionCheck:
        began, layer, detail = self._clock.monotonic(), None, ""
        try:
            server.check(purpose)
        except Problem as problem:
            layer, detail = layer_of(problem), problem.detail
        took_ms = round((self._clock.monotonic() - began) * 1000, 1)
        return ConnectionCheck(
            purpose=purpose, user=server.login(purpose).user, layer=layer, detail=detail, took_ms=took_ms
        )

    # -- structure and rows -------------------------------------------------------------------------------------------

    async def database(self, name: str, asked: str) -> DatabaseView:
        view = await self.ask(name, "admin", _database_view, name, asked)
        (summary,) = await self._known_of(name, [view.database])
        return view.model_copy(update={"database": summary})

    async def table(self, name: str, database: str, asked: str) -> TableView:
        return await self.ask(name, "admin", _table_view, name, database, asked)

    async def rows(self, name: str, database: str, asked: str, wanted: Wanted) -> RowPage:
        """One page, by the console's account, which can only read."""
        return await self.ask(name, "console", _rows, database, asked, wanted, self._clock)

    # -- the server at work -------------------------------------------------------------------------------------------

    async def processes(self, name: str) -> ProcessList:
        ours = {self.servers.find(name).admin.user}
        return await self.ask(name, "admin", processes.processes, name, ours, now_utc(self._clock))

    async def kill(self, name: str, process: int, wanted: KillProcess) -> ProcessView:
        ours = {self.servers.find(name).admin.user}
        return await self.ask(name, "admin", processes.kill, process, wanted, ours)

    async def slow(self, name: str, limit: int) -> SlowList:
        return await self.ask(name, "admin", slow.slow_queries, name, limit)

    async def accounts(self, name: str) -> AccountList:
        sites = {each.account: each.site for each in await self.owners() if each.server == name}
        return await self.ask(name, "admin", _accounts, name, self.ours(name), sites)

    # -- who needs what -----------------------------------------------------------------------------------------------

    def ours(self, name: str) -> set[str]:
        """The accounts of a server that the portal works with."""
        return {login.user for login in self.servers.find(name).logins.values()}

    async def owner_of(self, name: str, database: str) -> SiteDatabase | None:
        """The site that lives in a database. Raise what `owners` raises: then nobody knows."""
        found = (each for each in await self.owners() if (each.server, each.database) == (name, database))
        return next(found, None)

    async def used_by(self, kind: str, name: str) -> Sequence[Use]:
        """Implements probes.UsedBy: of a database ("server/database"), a server, and a server's container."""
        if kind == "database":
            server, _, database = name.partition("/")
            owner = await self.owner_of(server, database)
            return [Use("wordpress", "site", owner.site, "stores-in")] if owner else ()
        servers = [
            server.name
            for server in self.servers.values()
            if (kind == "database-server" and server.name == name)
            or (kind == "container" and server.owner_of is not None and server.host == name)
        ]
        sites = [each for each in await self.owners() if each.server in servers]
        return [Use("wordpress", "site", each.site, "stores-in") for each in sites]

    # -- parts --------------------------------------------------------------------------------------------------------

    async def ask(
        self,
        name: str,
        purpose: Purpose,
        work: Callable[Concatenate[Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run `work` with a fresh connection of the server in a thread."""
        return await self.pools.ask(name, purpose, work, *args, **kwargs)

    async def blocking(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what blocks on the portal's own disk in a thread."""
        return await asyncio.to_thread(work, *args, **kwargs)

    async def _known_of(self, name: str, databases: Sequence[DatabaseSummary]) -> list[DatabaseSummary]:
        """The same with owner, newest dump and newest restore point. Rooms that fail leave theirs empty."""
        owners: Mapping[str, str] = {}
        backed_up = {}
        try:
            owners = {each.database: each.site for each in await self.owners() if each.server == name}
        except Problem as problem:
            log.warning("database_owners_unknown", problem=problem.type)
        try:
            backed_up = dict(await self.backed_up())
        except Problem as problem:
            log.warning("database_backups_unknown", problem=problem.type)
        dumped = await self.store.newest(name)
        return [
            each.model_copy(
                update={
                    "owner": owners.get(each.name),
                    "dumped_at": dumped.get(each.name),
                    "backed_up_at": backed_up.get(("database", f"{name}/{each.name}"))
                    or backed_up.get(("site", owners.get(each.name, ""))),
                }
            )
            for each in databases
        ]

    async def _clear(self) -> None:
        """Lock the accounts of loads that a killed portal has left; a server that is silent is left alone."""
        for name in self.servers:
            try:
                await self.ask(name, "admin", dump_work.retire_all)
            except Problem as problem:
                log.warning("load_accounts_not_locked", server=name, problem=problem.type)


def _database_view(connection: Connection, server: str, asked: str) -> DatabaseView:
    name = structure.database_of(connection, asked)
    tables = structure.tables(connection, name)
    summary = structure.summary(connection, name, tables)
    return DatabaseView(
        server=server,
        database=summary,
        tables=tables,
        routines=structure.routines(connection, name),
        triggers=structure.triggers(connection, name),
        warnings=[
            f"{each.name} is {each.engine or 'of an engine that is not there'}, not InnoDB: a dump locks it, and a"
            " crash may damage it"
            for each in tables
            if each.kind in ("table", "other") and each.engine != "InnoDB"
        ],
    )


def _table_view(connection: Connection, server: str, database: str, asked: str) -> TableView:
    return structure.table_view(connection, server, structure.database_of(connection, database), asked)


def _rows(connection: Connection, database: str, asked: str, wanted: Wanted, clock: Clock) -> RowPage:
    return browse.rows(connection, structure.database_of(connection, database), asked, wanted, clock)


def _accounts(connection: Connection, server: str, ours: set[str], owners: Mapping[str, str]) -> AccountList:
    databases = [each.name for each in structure.databases(connection)]
    return AccountList(server=server, accounts=accounts.accounts(connection, databases, ours, owners))
