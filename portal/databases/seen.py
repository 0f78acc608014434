"""How the servers are: looked at when somebody asks and the last look is old, remembered while they are silent.

A silent server keeps what was last seen of it, with its time: an empty list would be a lie. What was seen is kept in
the portal's database too, so that a restart forgets nothing.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, get_args

from pydantic import ValidationError
from sqlalchemy import select

from kit.clock import Clock, now_utc
from kit.logging import get_logger
from kit.problem import Problem
from portal.databases import structure
from portal.databases.failures import ServerUnavailable
from portal.databases.models import SeenServerRow
from portal.databases.pools import Pools
from portal.databases.schemas import ServerSeen, ServerView
from portal.databases.servers import Layer, Servers
from portal.db import Database
from portal.operations.hub import Hub

log = get_logger()

TOPIC = "databases"
FRESH_S = 10.0
PATIENCE_S = 3.0  # a page waits no longer for a server that hangs
SAVE_EVERY_S = 300.0

State = Literal["connected", "silent", "unseen"]


@dataclass(slots=True)
class _Look:
    """What is known of one server. at: when it was last looked at, by the monotonic clock; None: never."""

    at: float | None = None
    seen: ServerSeen | None = None
    seen_at: datetime | None = None
    trouble: Problem | None = None
    saved_at: float | None = None
    task: asyncio.Task[None] | None = field(default=None, repr=False)


class Looks:
    def __init__(self, servers: Servers, pools: Pools, database: Database, hub: Hub, clock: Clock) -> None:
        self._servers, self._pools, self._database = servers, pools, database
        self._hub, self._clock = hub, clock
        self._looks = {name: _Look() for name in servers}
        self._loaded: asyncio.Task[None] | None = None

    async def close(self) -> None:
        tasks = [task for task in (self._loaded, *(look.task for look in self._looks.values())) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def view(self, name: str, *, max_age_s: float = FRESH_S) -> ServerView:
        """How a server is. Waits PATIENCE_S at most for a new look. Raise NoSuchServer, DatabasesNotConnected."""
        server = self._servers.find(name)
        await self._remember()
        look = self._looks[name]
        if look.task is None or look.task.done():
            is_fresh = look.at is not None and self._clock.monotonic() - look.at < max_age_s
            look.task = look.task if is_fresh else asyncio.create_task(self._look(name, look))
        if look.task is not None and not look.task.done():
            await asyncio.wait([look.task], timeout=PATIENCE_S)
        is_waiting = look.task is not None and not look.task.done()
        trouble = look.trouble or (ServerUnavailable("no answer yet", layer="answer") if is_waiting else None)
        state: State = "connected" if trouble is None else "silent" if look.seen is not None else "unseen"
        return ServerView(
            name=name,
            host=server.host,
            port=server.port,
            tls=server.tls,
            owner_of=server.owner_of,
            accounts=list(server.logins),
            state=state,
            layer=None if trouble is None else layer_of(trouble),
            detail="" if trouble is None else trouble.detail,
            seen_at=look.seen_at,
            seen=look.seen,
        )

    def age(self, name: str) -> None:
        """What is known of a server has just been changed by us: look again when somebody asks."""
        if (look := self._looks.get(name)) is not None:
            look.at = None
            self._hub.publish(TOPIC, {"server": name})

    async def _look(self, name: str, look: _Look) -> None:
        had_trouble = look.trouble is not None
        try:
            look.seen = await self._pools.ask(name, "admin", structure.seen)
            look.seen_at, look.trouble = now_utc(self._clock), None
        except Problem as problem:
            look.trouble = problem
        except Exception:  # the edge of a task that nobody awaits
            log.exception("database_server_not_read", server=name)
            look.trouble = ServerUnavailable("its answer could not be read", layer="answer")
        look.at = self._clock.monotonic()
        if (look.trouble is not None) != had_trouble:
            self._hub.publish(TOPIC, {"server": name})
        if look.trouble is None and (look.saved_at is None or look.at - look.saved_at >= SAVE_EVERY_S):
            await self._save(name, look)

    async def _save(self, name: str, look: _Look) -> None:
        assert look.seen is not None
        assert look.seen_at is not None
        row = SeenServerRow(server=name, seen_at=look.seen_at, document=look.seen.model_dump_json())
        try:
            await self._database.run(lambda session: session.merge(row))
            look.saved_at = look.at
        except Problem as problem:  # our own database is away; the server isn't
            log.warning("database_server_not_kept", server=name, problem=problem.type)

    async def _remember(self) -> None:
        """Once: what an earlier process has seen."""
        if self._loaded is None:
            self._loaded = asyncio.create_task(self._load())
        await asyncio.shield(self._loaded)

    async def _load(self) -> None:
        try:
            rows = await self._database.read(lambda session: list(session.scalars(select(SeenServerRow))))
        except Problem as problem:
            log.warning("database_servers_not_remembered", problem=problem.type)
            return
        for row in rows:
            look = self._looks.get(row.server)
            try:
                seen = ServerSeen.model_validate(json.loads(row.document))
            except (ValueError, ValidationError):  # of another version
                continue
            if look is not None and look.seen is None:
                look.seen, look.seen_at = seen, row.seen_at


def layer_of(problem: Problem) -> Layer:
    """How far the way to the server goes, by what was raised on it."""
    said = problem.extensions.get("layer")
    return next((layer for layer in get_args(Layer) if layer == said), "answer")
