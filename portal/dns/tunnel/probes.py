"""What the dashboard and the alerts read of the tunnel."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from kit.clock import Clock
from portal.broker.failures import BrokerUnavailable
from portal.dns.tunnel.schemas import TunnelOverview
from portal.integrations.cloudflare_problems import CloudflareSilent
from portal.probes import Reading, Status

_STATUSES = {"healthy": Status.OK, "degraded": Status.WARNING, "down": Status.CRITICAL, "inactive": Status.CRITICAL}


class _OverviewProbe:
    """A measurement of the overview. While Cloudflare is silent it fails: the last reading is unknown."""

    interval_s = 60.0
    timeout_s = 40.0

    def __init__(self, overview: Callable[[], Awaitable[TunnelOverview]], clock: Clock) -> None:
        self._overview, self._clock = overview, clock

    async def measure(self) -> Reading:
        found = await self._overview()
        if found.connection.state == "not-configured":
            return Reading(Status.NOT_CONNECTED, None, "", "none", None, found.connection.detail)
        if "tunnel" in found.silent or found.read_at is None:
            raise CloudflareSilent(found.connection.detail)
        return self._look(found)

    def _look(self, found: TunnelOverview) -> Reading:
        raise NotImplementedError


class StatusProbe(_OverviewProbe):
    """Whether the tunnel has its connections to Cloudflare."""

    name = "tunnel:status"

    def _look(self, found: TunnelOverview) -> Reading:
        if found.tunnel is None:
            return Reading(Status.NOT_CONNECTED, None, "", "healthy", None, "the account has no tunnel")
        status = _STATUSES.get(found.tunnel.status, Status.UNKNOWN)
        detail = f"{found.tunnel.connections} connections"
        return Reading(status, found.tunnel.status, "", "healthy", found.read_at, detail)


class OrphansProbe(_OverviewProbe):
    """How many records lead to no route, and how many routes to nothing that runs."""

    name = "tunnel:orphans"

    def _look(self, found: TunnelOverview) -> Reading:
        names = [f"{each.kind} {each.name} ({each.why})" for each in found.orphans]
        if "broker" in found.silent and not names:
            raise BrokerUnavailable("nobody knows where the routes lead")
        status = Status.WARNING if names else Status.OK
        return Reading(status, len(names), "", "0", found.read_at, ", ".join(names)[:500])
