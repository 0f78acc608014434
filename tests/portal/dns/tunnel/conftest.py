"""The tunnel on Cloudflare's fake, in a room that stands in this process, with a broker that lists what a test says."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from portal.broker import frames
from portal.broker.client import Broker
from portal.broker.schemas import Container, Containers, Network
from portal.dns.schemas import ApplyDnsPlan
from portal.dns.tunnel.schemas import NewRoute, NewRoutePlan, RoutePlan
from portal.dns.tunnel.service import Tunnels
from portal.operations.runner import Operation
from tests.fakes.cloudflare import CloudflareFake
from tests.fakes.cloudflare.state import Connection, Record, Tunnel
from tests.portal.dns.conftest import ANNA, Room, Stand

Json = dict[str, Any]
FALLBACK: Json = {"service": "http_status:404"}


def container(name: str, *, service: str = "", state: Any = "running", network: str = "edge") -> Container:
    return Container(
        id=secrets.token_hex(32),
        name=name,
        stack="blog",
        service=service or name,
        project="homeport",
        image="busybox",
        image_id="sha256:0",
        image_digest=None,
        state=state,
        health="none",
        exit_code=None,
        oom_killed=False,
        error=None,
        restart_count=0,
        restart_policy="always",
        created_at=0.0,
        started_at=None,
        finished_at=None,
        ports=(),
        networks=(Network(name=network),),
        protection=None,
    )


@dataclass
class ListingBroker:
    """A broker's socket at which only `list` is answered. containers: what it says; None: it hangs up."""

    path: Path
    containers: list[Container] | None = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = frames.length_of(await reader.readexactly(frames.LENGTH.size), limit=frames.MAX_REQUEST_BYTES)
        assert json.loads(await reader.readexactly(length))["verb"] == "list"
        if self.containers is not None:
            listed = Containers(containers=tuple(self.containers), measured_at=0.0)
            document = json.dumps({"result": listed.model_dump(mode="json")}).encode()
            writer.write(frames.encode(document, limit=frames.MAX_ANSWER_BYTES))
            await writer.drain()
        writer.close()


@dataclass
class Desk:
    """An operator's desk: the tunnel's part of the room, and what it is about at the fake."""

    tunnels: Tunnels
    room: Room
    cf: CloudflareFake
    broker: ListingBroker

    @property
    def tunnel(self) -> Tunnel:
        return self.cf.state.tunnels[0]

    @property
    def ingress(self) -> list[Json]:
        return list(self.tunnel.config["ingress"])

    @property
    def host(self) -> str:
        """What a record to the tunnel points to."""
        return f"{self.tunnel.id}.cfargotunnel.com"

    def lead(self, hostname: str, content: str | None = None, *, zone: str = "home.example", **more: Any) -> Record:
        """Put a record there that leads to the tunnel, as Cloudflare's dashboard does."""
        record = Record("CNAME", hostname, content or self.host, **{"proxied": True, **more})
        self.cf.state.zones[zone].records.append(record)
        return record

    def records_at(self, hostname: str, zone: str = "home.example") -> list[tuple[str, str]]:
        return [(each.type, each.content) for each in self.cf.state.zones[zone].records if each.name == hostname]

    async def plan(self, *add: NewRoute, **more: Any) -> RoutePlan:
        return await self.tunnels.plan(ANNA, NewRoutePlan(add=list(add), **more))

    async def apply(self, plan: RoutePlan) -> Operation:
        """Apply it as one who may; return the operation when it has ended."""
        begun = await self.tunnels.apply(ANNA, plan.id, ApplyDnsPlan(), lambda: None)
        return await self.room.runner.wait(begun.id)

    async def done(self, plan: RoutePlan) -> Operation:
        """As `apply`, and be sure that it worked."""
        operation = await self.apply(plan)
        assert operation.state == "done", operation.error
        return operation

    async def add(self, *routes: NewRoute, **more: Any) -> RoutePlan:
        plan = await self.plan(*routes, **more)
        await self.done(plan)
        return plan


def route(hostname: str, service: str = "http://blog-nginx:80", **more: Any) -> NewRoute:
    return NewRoute(hostname=hostname, service=service, **more)


def a_tunnel(name: str = "home", *ingress: Json, **config: Any) -> Tunnel:
    """A tunnel that is configured at Cloudflare and has its four connections."""
    connections = [Connection() for _ in range(4)]
    config = {"ingress": [*ingress, FALLBACK], **config}
    return Tunnel(name, "secret", config_src="cloudflare", config=config, version=3, connections=connections)


Sit = Callable[..., AbstractAsyncContextManager[Desk]]


@pytest.fixture
def sit(cf: CloudflareFake, stand: Stand, tmp_path: Path) -> Sit:
    """Sit down at a desk in a room with these settings; again, as a portal that restarts does. broker: a real one's
    socket."""

    @asynccontextmanager
    async def sit(*, broker: Path | None = None, **settings: Any) -> AsyncIterator[Desk]:
        listing = ListingBroker(tmp_path / f"b{secrets.token_hex(3)}.sock")
        listing.containers = [container("blog-nginx"), container("mail-ingress"), container("mail-roundcube")]
        joined: list[Tunnels] = []

        def joining(room: Room) -> None:
            cloudflare = room.cloudflare if room.settings.cloudflare_token is not None else None
            client = Broker(broker or listing.path)
            tunnels = Tunnels.of(cloudflare, room.service, client, room.plans, room.uses, room.clock, room.settings)
            room.rooms["tunnel"] = tunnels
            tunnels.begin()
            joined.append(tunnels)

        async with (
            await asyncio.start_unix_server(listing.serve, listing.path),
            stand(joining=joining, **settings) as room,
        ):
            yield Desk(joined[0], room, cf, listing)
            await joined[0].close()

    return sit


@pytest.fixture
async def desk(cf: CloudflareFake, sit: Sit) -> AsyncIterator[Desk]:
    cf.state.tunnels.append(a_tunnel())
    async with sit() as sitting:
        yield sitting
