"""The tunnel as this portal knows it: what Cloudflare said last, since when, and why it could not be asked since.

    picture = Picture(cloudflare, zones.connection, tunnel_id, path, clock)
    state = await picture.state()      # last known, read anew when it is older than FRESH_S and that costs no wait
    state = await picture.read()       # now, or a problem

What was read well is kept in a file, so that a portal that starts during an outage shows that.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from kit.atomic import write_durably
from kit.clock import Clock, now_utc
from kit.logging import get_logger
from kit.problem import Problem
from portal.dns.tunnel import configuration
from portal.dns.tunnel.configuration import Configuration
from portal.integrations.cloudflare import Cloudflare, CloudflareError
from portal.integrations.cloudflare_problems import CloudflareNotConfigured, ConnectionWatch, as_problem

log = get_logger()

Json = dict[str, Any]
FRESH_S = 30.0
RETRY_S = 15.0  # after a failure no page asks again for so long
WAIT_S = 2.0  # how long a page waits for something fresher
FIRST_WAIT_S = 10.0  # and for what was never read


@dataclass(frozen=True, slots=True)
class TunnelState:
    """
    tunnel         as Cloudflare sent it; None when there is none, or not one that could be chosen
    alive          ids of the account's tunnels that are not deleted
    read_at        when all of this was true; None: never read
    problem        why there is no tunnel, or why the newest reading failed
    """

    tunnel: Json | None
    configuration: Configuration | None
    alive: frozenset[str]
    read_at: datetime | None
    problem: Problem | None


NEVER = TunnelState(None, None, frozenset(), None, None)


class Picture:
    def __init__(
        self,
        cf: Cloudflare | None,
        connection: ConnectionWatch,
        tunnel_id: str | None,
        path: Path,
        clock: Clock,
    ) -> None:
        """path: of the file that holds what was read well last."""
        self._cf, self._connection, self._tunnel_id, self._path, self._clock = cf, connection, tunnel_id, path, clock
        self._last = NEVER
        self._is_loaded = False
        self._loading = asyncio.Lock()
        self._is_due = True
        self._tried_at = float("-inf")
        self._reading = asyncio.Lock()
        self._refreshing: asyncio.Task[None] | None = None

    async def close(self) -> None:
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.gather(self._refreshing, return_exceptions=True)

    @property
    def last(self) -> TunnelState:
        return self._last

    def forget_age(self) -> None:
        """What is known is known to be old: the next who looks reads anew."""
        self._is_due = True

    async def state(self) -> TunnelState:
        """As last known; read when it is old and nobody has failed just now, without waiting long for it. Raises
        nothing of Cloudflare's."""
        if self._cf is None:
            return self._last
        await self._load()
        if self._is_worth_a_try() and (self._refreshing is None or self._refreshing.done()):
            self._refreshing = asyncio.create_task(self._refresh())
        if self._refreshing is not None and not self._refreshing.done():
            await asyncio.wait([self._refreshing], timeout=FIRST_WAIT_S if self._last is NEVER else WAIT_S)
        return self._last

    async def _refresh(self) -> None:
        async with self._reading:
            if self._is_worth_a_try():
                await self._try()

    async def read(self) -> TunnelState:
        """As it is now. Raise CloudflareNotConfigured, a Cloudflare problem, NoTunnel, TunnelNotChosen."""
        if self._cf is None:
            raise CloudflareNotConfigured(settings=self._connection.view()["settings"])
        await self._load()
        async with self._reading:
            state = await self._try()
        if state.problem is not None:
            raise state.problem
        return state

    def _is_worth_a_try(self) -> bool:
        now = self._clock.monotonic()
        if self._last.problem is not None:
            return now - self._tried_at > RETRY_S
        return self._is_due or now - self._tried_at > FRESH_S

    async def _load(self) -> None:
        """At the first question: what was kept before this portal started."""
        async with self._loading:
            if not self._is_loaded:
                self._last = await asyncio.to_thread(_load, self._path, self._tunnel_id)
                self._is_loaded = True

    async def _try(self) -> TunnelState:
        assert self._cf is not None
        at, account = now_utc(self._clock), f"account {self._cf.account}"
        try:
            found = await configuration.tunnels(self._cf)
            alive = frozenset(each["id"] for each in found)
            try:
                tunnel = configuration.chosen(found, self._tunnel_id)
            except Problem as problem:
                self._connection.ok(at, on=account)
                self._last = TunnelState(None, None, alive, at, problem)
            else:
                known = await configuration.read(self._cf, tunnel)
                self._connection.ok(at, on=account)
                self._last = TunnelState(tunnel, known, alive, at, None)
                await asyncio.to_thread(_save, self._path, self._last)
            self._is_due = False
        except CloudflareError as error:
            self._connection.failed(error, at)
            self._last = replace(self._last, problem=as_problem(error))
        self._tried_at = self._clock.monotonic()
        return self._last


_TUNNEL_FIELDS = ("id", "name", "status", "config_src")


def _save(path: Path, state: TunnelState) -> None:
    assert state.tunnel is not None
    assert state.configuration is not None
    assert state.read_at is not None
    document = {
        "tunnel": {name: state.tunnel.get(name) for name in _TUNNEL_FIELDS},
        "version": state.configuration.version,
        "config": state.configuration.config,
        "is_local": state.configuration.is_local,
        "alive": sorted(state.alive),
        "read_at": state.read_at.isoformat(),
    }
    try:
        write_durably(path, json.dumps(document).encode())
    except OSError as error:  # it is for the next outage only
        log.warning("tunnel_not_kept", error=str(error))


def _load(path: Path, tunnel_id: str | None) -> TunnelState:
    """What was kept; nothing when it is not there, cannot be read, or is another tunnel's."""
    try:
        document = json.loads(path.read_bytes())
        tunnel = document["tunnel"]
        if tunnel_id not in (None, tunnel["id"]):
            return NEVER
        known = Configuration(document["version"], document["config"], document["is_local"])
        read_at = datetime.fromisoformat(document["read_at"])
        return TunnelState(tunnel, known, frozenset(document["alive"]), read_at, None)
    except (OSError, ValueError, KeyError, TypeError):
        return NEVER
