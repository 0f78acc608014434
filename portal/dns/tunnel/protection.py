"""How the rules in front of the mail API stand, as it was last read: for pages, which don't wait long for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from kit.clock import Clock
from portal.dns.tunnel import rules, rulesets
from portal.dns.tunnel.overview import World
from portal.dns.tunnel.planning import KINDS
from portal.dns.tunnel.rules import Kind
from portal.dns.tunnel.schemas import ProtectionView
from portal.integrations.cloudflare import Cloudflare, CloudflareError

FRESH_S = 60.0
WAIT_S = 3.0


class Protection:
    def __init__(self, cf: Cloudflare | None, clock: Clock) -> None:
        self._cf, self._clock = cf, clock
        self._views: dict[str, list[ProtectionView]] = {}  # by hostname
        self._known: set[str] = set()  # hostnames whose zone was known then
        self._read_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    def forget_age(self) -> None:
        self._read_at = float("-inf")

    async def views(self, hostnames: Iterable[str], world: World) -> list[ProtectionView]:
        """Two for each hostname: as last read, unknown while nobody has read them."""
        wanted = sorted(set(hostnames))
        known = {name for name in wanted if world.zone_of(name) in world.zones}
        is_old = self._clock.monotonic() - self._read_at > FRESH_S or not self._views.keys() >= set(wanted)
        is_old = is_old or not self._known >= known  # the portal had just started, and its zones were not read yet
        if wanted and is_old and (self._reading is None or self._reading.done()):
            self._reading = asyncio.create_task(self._read(wanted, world))
        if self._reading is not None and not self._reading.done():
            await asyncio.wait([self._reading], timeout=WAIT_S)
        unread = {name: [_unknown(kind, name, "not read yet") for kind in KINDS] for name in wanted}
        return [view for name in wanted for view in (unread | self._views)[name]]

    async def _read(self, hostnames: list[str], world: World) -> None:
        self._views = {name: [await self._view(kind, name, world) for kind in KINDS] for name in hostnames}
        self._known = {name for name in hostnames if world.zone_of(name) in world.zones}
        self._read_at = self._clock.monotonic()

    async def _view(self, kind: Kind, hostname: str, world: World) -> ProtectionView:
        zone = world.zones.get(world.zone_of(hostname) or "")
        if zone is None or self._cf is None:
            return _unknown(kind, hostname, "its zone is not known")
        try:
            found = await rulesets.rules_of(self._cf, zone.zone, kind)
        except CloudflareError as error:
            return _unknown(kind, hostname, str(error))
        ours = rules.ours(found, kind, hostname)
        taken = rules.taken_by(found, zone.plan, kind) if ours is None else None
        return ProtectionView(
            kind="waf" if kind == "waf" else "rate-limit",
            hostname=hostname,
            state=rules.state_of(ours, kind, hostname),
            detail=f"the zone's only rule is {str(taken.get('description') or '')[:100]!r}" if taken else "",
            expression=rules.expression(kind, hostname) if ours is None else str(ours.get("expression") or ""),
        )


def _unknown(kind: Kind, hostname: str, why: str) -> ProtectionView:
    return ProtectionView(
        kind="waf" if kind == "waf" else "rate-limit",
        hostname=hostname,
        state="unknown",
        detail=why,
        expression=rules.expression(kind, hostname),
    )
