"""What the dashboard and the alerts read of the DNS room."""

from __future__ import annotations

from kit.clock import Clock, now_utc
from portal.dns.history.time_machine import TimeMachine
from portal.dns.zones import Zones
from portal.probes import Reading, Status

_STATUS = {"connected": Status.OK, "limited": Status.WARNING, "refused": Status.CRITICAL, "silent": Status.WARNING}


class ConnectionProbe:
    """Whether Cloudflare answers, and our token may do what the room needs. Measured by what the room asks anyway."""

    name = "dns:cloudflare"
    interval_s = 60.0
    timeout_s = 15.0

    def __init__(self, zones: Zones, clock: Clock) -> None:
        self._zones, self._clock = zones, clock

    async def measure(self) -> Reading:
        await self._zones.all()
        found = self._zones.connection.view()
        if found["state"] == "not-configured":
            return Reading(Status.NOT_CONNECTED, None, "", "connected", None, found["detail"])
        # A permission that is missing for something is shown as refused too, while all else goes on.
        status = Status.WARNING if found["permission"] else _STATUS[found["state"]]
        return Reading(status, found["state"], "", "connected", now_utc(self._clock), found["detail"][:500])


class DriftProbe:
    """How many records were changed by somebody else, and not accepted."""

    name = "dns:drift"
    interval_s = 60.0
    timeout_s = 15.0

    def __init__(self, zones: Zones, machine: TimeMachine) -> None:
        self._zones, self._machine = zones, machine

    async def measure(self) -> Reading:
        states = await self._zones.all()
        found = self._zones.connection.view()
        if found["state"] == "not-configured":
            return Reading(Status.NOT_CONNECTED, None, "", "none", None, found["detail"])
        names = {state.zone.name for state in states}
        drift = {zone: count for zone, count in (await self._machine.open_drift()).items() if zone in names}
        read = [state.read_at for state in states if state.read_at is not None]
        if not read:
            return Reading(Status.UNKNOWN, None, "", "none", None, "no zone was read yet")
        unread = sorted(state.zone.name for state in states if state.read_at is None)
        parts = [f"{zone} ({count})" for zone, count in sorted(drift.items())]
        if unread:  # what was never read can't be called free of drift
            parts.append(f"never read: {', '.join(unread)}")
        status = Status.WARNING if drift else Status.UNKNOWN if unread else Status.OK
        return Reading(status, sum(drift.values()), "", "none", min(read), ", ".join(parts)[:500])
