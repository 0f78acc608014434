"""The DNS room on Cloudflare's fake: in this process with a real database and runner, or as a portal with its pages."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import text

from kit.clock import Clock, SystemClock
from portal.actor import Actor
from portal.app import Adapters, Portal, create_app
from portal.broker.client import Broker
from portal.db import Database
from portal.dns.schemas import ApplyDnsPlan, DnsPlan, Draft, Edit, NewDnsPlan
from portal.dns.service import DnsRoom
from portal.integrations.cloudflare import Cloudflare
from portal.operations.hub import Hub
from portal.operations.plans import Plans
from portal.operations.runner import Operation, Runner
from portal.probes import UsedBy, Uses
from portal.settings import PortalSettings
from tests.clock import FakeClock
from tests.fakes.cloudflare import CloudflareFake
from tests.fakes.cloudflare.dns import answer_of
from tests.portal import database as databases
from tests.portal.auth.browser import ORIGIN, PASSWORD, Browser, done
from tests.services.portal import Browser as RemoteBrowser
from tests.services.portal import Portal as PortalProcess

HOME, TWO = "home.example", "two.example"
ANNA = Actor.system("anna")
Json = dict[str, Any]


@dataclass
class Room:
    """A room with what app.py wires to it. `rooms`: others that are asked what depends on a record."""

    service: DnsRoom
    cf: CloudflareFake
    cloudflare: Cloudflare
    runner: Runner
    plans: Plans
    uses: Uses
    hub: Hub
    database: Database
    settings: PortalSettings
    clock: Clock
    rooms: dict[str, UsedBy]

    async def plan(self, *edits: Edit, zone: str = HOME) -> DnsPlan:
        return await self.service.plan_edits(ANNA, zone, NewDnsPlan(edits=list(edits)))

    async def apply(self, plan: DnsPlan) -> Operation:
        """Apply it as one who may; return the operation when it has ended."""
        begun = await self.service.apply(ANNA, plan.target, plan.id, ApplyDnsPlan(), lambda: None)
        return await self.runner.wait(begun.id)

    async def done(self, plan: DnsPlan) -> Operation:
        """As `apply`, and be sure that it worked."""
        operation = await self.apply(plan)
        assert operation.state == "done", operation.error
        return operation

    async def export(self, zone: str = HOME, form: Any = "bind") -> str:
        return bytes((await self.service.export(zone, form)).body).decode()

    async def keys(self, zone: str = HOME) -> dict[str, str]:
        """The key of each record as it is now, by "TYPE name"; of several one."""
        return {key.rpartition(" ")[0]: key for key in (await self.service.zones.read(zone)).records}


def create(type_: str, name: str, content: str | None = None, **more: Any) -> Edit:
    return Edit(act="create", record=Draft(type=type_, name=name, content=content, **more))


def change(key: str, **fields: Any) -> Edit:
    return Edit(act="change", key=key, record=Draft(**fields))


def remove(key: str) -> Edit:
    return Edit(act="delete", key=key)


def records_at(cf: CloudflareFake, zone: str = HOME) -> list[Json]:
    """What is at Cloudflare, as it would list it."""
    return [answer_of(record) for record in cf.state.zones[zone].records]


@asynccontextmanager
async def standing_room(
    cf: CloudflareFake,
    url: str,
    directory: Path,
    *,
    clock: Clock | None = None,
    token: str | None = "",
    joining: Callable[[Room], None] | None = None,
    **settings: Any,
) -> AsyncIterator[Room]:
    """A room that has begun. token: by default one that may do everything; None: no account is connected.

    joining   is called with the room before the runner recovers: another part of the portal begins beside it
    """
    clock = clock or SystemClock()
    secret = cf.token() if token == "" else token
    given = PortalSettings(
        state_dir=directory,
        cloudflare_token=None if secret is None else SecretStr(secret),
        cloudflare_account=cf.account_id,
        cloudflare_url=cf.url,
        **settings,
    )
    hub = Hub()
    rooms: dict[str, UsedBy] = {}
    uses = Uses(rooms)
    adapter = Cloudflare(SecretStr(secret or "none"), account=cf.account_id, url=cf.url, say=lambda _: None)
    with databases.opened(url) as database:
        runner = Runner(database, hub, clock)
        plans = Plans(database, runner, clock)
        service = DnsRoom.of(None if secret is None else adapter, database, hub, runner, plans, uses, clock, given)
        rooms["dns"] = service
        service.mail_domains = no_names
        service.begin()
        room = Room(service, cf, adapter, runner, plans, uses, hub, database, given, clock, rooms)
        if joining is not None:
            joining(room)
        await runner.recover()
        try:
            yield room
        finally:
            await runner.close()
            await service.close()
            await adapter.close()
            hub.close()


async def no_names() -> list[str]:
    return []


Stand = Callable[..., AbstractAsyncContextManager[Room]]


@pytest.fixture
def cf() -> Iterator[CloudflareFake]:
    with CloudflareFake(zones=[HOME, TWO]) as fake:
        yield fake


@pytest.fixture
def stand(cf: CloudflareFake, database_url: str, tmp_path: Path) -> Stand:
    """Stand a room up on this test's database and fake; again, after it has ended, as a portal that restarts does."""

    def stand(**settings: Any) -> AbstractAsyncContextManager[Room]:
        return standing_room(cf, database_url, tmp_path, **settings)

    return stand


@pytest.fixture
async def room(stand: Stand) -> AsyncIterator[Room]:
    async with stand() as standing:
        yield standing


@dataclass
class TokenClient:
    browser: Browser
    secret: str

    async def ask(self, method: str, path: str, document: object = None) -> httpx2.Response:
        return await self.browser.request(method, path, document, headers={"Authorization": f"Bearer {self.secret}"})


@dataclass
class Web:
    """The whole application in this process, and a browser in which its first administrator, anna, is logged in."""

    app: FastAPI
    anna: Browser
    clock: FakeClock
    parts: Portal

    async def get(self, path: str, **asked: Any) -> httpx2.Response:
        return await self.anna.get(f"{path}?{urlencode(asked)}" if asked else path)

    async def post(self, path: str, document: object = None) -> httpx2.Response:
        return await self.anna.post(path, document)

    async def plan(self, *edits: Json, zone: str = HOME) -> Json:
        return done(await self.post(f"/api/dns/zones/{zone}/plans", {"edits": edits}), 201)

    async def apply(self, plan: Json) -> Json:
        """The operation when it has ended."""
        begun = done(await self.post(f"/api/dns/zones/{plan['target']}/plans/{plan['id']}/apply"), 202)
        await self.parts.runner.wait(begun["id"])
        return done(await self.get(f"/api/operations/{begun['id']}"))

    async def token(self, *scopes: tuple[str, str]) -> TokenClient:
        """Something that has a token of anna's for these acts on these resources."""
        listed = [{"act": act, "resource": resource} for act, resource in scopes]
        made = await self.post("/api/tokens", {"name": "t", "scopes": listed, "expires_in_days": 1})
        return TokenClient(self.anna.another(), done(made, 201)["secret"])

    async def denied(self) -> list[str]:
        """The acts that were refused to somebody, as the audit has them."""
        query = text("SELECT action FROM audit WHERE result = 'denied' ORDER BY sequence")
        return await self.parts.db.read(lambda session: [row[0] for row in session.execute(query)])


OpenWeb = Callable[..., AbstractAsyncContextManager[Web]]


@pytest.fixture
def open_web(cf: CloudflareFake, database_url: str, tmp_path: Path) -> OpenWeb:
    """Start the application; token: None connects no account."""

    @asynccontextmanager
    async def open_web(*, token: str | None = "") -> AsyncIterator[Web]:
        clock = FakeClock(time.time())
        secret = cf.token() if token == "" else token
        settings = PortalSettings(
            state_dir=tmp_path,
            public_url=ORIGIN,
            database_url=SecretStr(database_url),
            cloudflare_token=None if secret is None else SecretStr(secret),
            cloudflare_account=None if secret is None else cf.account_id,
            cloudflare_url=cf.url,
            dns_resolvers=("127.0.0.1:9",),  # nobody
        )
        app = create_app(settings, Adapters(Broker(None), clock, Cloudflare.of(settings)))
        async with app.router.lifespan_context(app):
            anna = Browser(app, clock)
            parts: Portal = app.state.portal
            link = await parts.auth.users.begin_setup()
            if link is not None:
                document = {"token": link.partition("#")[2], "name": "anna", "password": PASSWORD}
                done(await anna.post("/api/setup", document))
            else:
                await anna.login("anna")
            yield Web(app, anna, clock, parts)

    return open_web


@pytest.fixture
async def web(open_web: OpenWeb) -> AsyncIterator[Web]:
    async with open_web() as opened:
        yield opened


def portal_settings(cf: CloudflareFake, **more: str) -> Mapping[str, str]:
    """What connects a portal's process to the fake."""
    return {
        "CLOUDFLARE_TOKEN": cf.token(),
        "CLOUDFLARE_ACCOUNT": cf.account_id,
        "CLOUDFLARE_URL": cf.url,
        "DNS_RESOLVERS": "127.0.0.1:9",  # nobody
        **more,
    }


@pytest.fixture
def portal(cf: CloudflareFake, tmp_path: Path) -> Iterator[PortalProcess]:
    """A portal as a process of its own; it takes seconds to start."""
    with PortalProcess(tmp_path, portal_settings(cf)) as running:
        yield running


@pytest.fixture
def anna(portal: PortalProcess) -> RemoteBrowser:
    return portal.set_up()
