"""The operations' routes with real auth, on two real sockets: the front door, and the administrator's."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import uvicorn
from argon2 import PasswordHasher
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from kit import problem
from portal.auth.logins import Visitor
from portal.auth.passwords import Passwords
from portal.auth.sealing import Seal
from portal.auth.service import Auth
from portal.auth.site import Site
from portal.client import SOCKET_NAME
from portal.db import Database
from portal.idempotency import Idempotency
from portal.operations.hub import Hub
from portal.operations.routes import router
from portal.operations.runner import Runner
from tests.clock import FakeClock
from tests.portal.operations.conftest import ANNA, eventually
from tests.services.process import free_port

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
PASSWORD = "vier kleine Igel im Laub"


class AdminDoor:
    """The kernel said who speaks."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app({**scope, "state": {"local_uid": 0}}, receive, send)


class Events:
    """A browser's EventSource."""

    def __init__(self, answer: httpx2.Response) -> None:
        self._lines = answer.aiter_lines()
        self.last_id = ""

    async def next(self) -> tuple[str, Any] | None:
        """Return (topic, data); None at the end of the stream."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(20):
            async for line in self._lines:
                if line == "":
                    if "data" in fields:
                        self.last_id = fields["id"]
                        return fields["event"], json.loads(fields["data"])
                    fields = {}
                elif not line.startswith(":"):
                    name, _, value = line.partition(": ")
                    fields[name] = value
        return None


@dataclass(frozen=True, slots=True)
class Served:
    port: int
    state_dir: Path
    auth: Auth
    server: uvicorn.Server

    def client(self, *, cookie: str | None = None) -> httpx2.AsyncClient:
        """At the front door: whoever has the cookie, or nobody."""
        headers = {"cookie": cookie} if cookie else {}
        return httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{self.port}", headers=headers, timeout=20, trust_env=False
        )

    def admin(self) -> httpx2.AsyncClient:
        """The local administrator."""
        transport = httpx2.AsyncHTTPTransport(uds=str(self.state_dir / SOCKET_NAME))
        return httpx2.AsyncClient(transport=transport, base_url="http://localhost", timeout=20)

    @contextlib.asynccontextmanager
    async def events(self, *, last_event_id: str | None = None, **parameters: str) -> AsyncIterator[Events]:
        """The administrator's stream."""
        headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
        async with (
            self.admin() as client,
            client.stream("GET", "/api/events", headers=headers, params=parameters) as answer,
        ):
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/event-stream")
            yield Events(answer)

    async def log_in(self) -> str:
        """Set the first administrator of the portal up; return the cookie of her session."""
        link = await self.auth.users.begin_setup()
        assert link is not None
        login = await self.auth.users.set_up(link.partition("#")[2], "mika", PASSWORD, Visitor(ANNA, "a browser"))
        return f"{self.auth.site.cookie_name}={login.secret}"


@contextlib.asynccontextmanager
async def serve(
    database: Database, hub: Hub, runner: Runner, clock: FakeClock, state_dir: Path
) -> AsyncIterator[Served]:
    port = free_port()
    app = FastAPI()
    problem.install(app)
    app.include_router(router)
    site, seal = Site.from_public_url(f"http://localhost:{port}"), Seal.at(state_dir / "secret.key")
    auth = Auth(database, site=site, seal=seal, clock=clock, passwords=Passwords(CHEAP))
    idempotency = Idempotency(database, clock, b"secret")
    app.state.portal = SimpleNamespace(
        auth=auth, db=database, hub=hub, runner=runner, clock=clock, idempotency=idempotency
    )
    listeners: list[tuple[ASGIApp, dict[str, Any]]] = [
        (app, {"port": port}),
        (AdminDoor(app), {"uds": str(state_dir / SOCKET_NAME)}),
    ]
    servers = [
        uvicorn.Server(uvicorn.Config(door, lifespan="off", ws="none", http="h11", log_config=None, **where))
        for door, where in listeners
    ]
    async with asyncio.TaskGroup() as group:
        for server in servers:
            group.create_task(server._serve())
        await eventually(lambda: asyncio.sleep(0, all(server.started for server in servers)))
        try:
            yield Served(port, state_dir, auth, servers[0])
        finally:
            hub.close()
            for server in servers:
                server.should_exit = True
