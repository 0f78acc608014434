"""What the dashboard reads of the inventory: how many sites cannot be read, or are known from long ago."""

from __future__ import annotations

from kit.clock import Clock, now_utc
from portal.broker.client import Broker
from portal.probes import Reading, Status
from portal.wordpress.inventory import InventoryReader
from portal.wordpress.sites import Sites


class InventoryProbe:
    """It looks at what is known, and asks no site: so it costs nothing, and is as old as its oldest reading."""

    name = "wordpress:inventory"
    interval_s = 60.0
    timeout_s = 10.0

    def __init__(self, sites: Sites, inventory: InventoryReader, broker: Broker, clock: Clock) -> None:
        self._sites, self._inventory, self._broker, self._clock = sites, inventory, broker, clock

    async def measure(self) -> Reading:
        if not self._broker.is_configured:
            return Reading(Status.NOT_CONNECTED, None, "", "none", None, "no broker is configured")
        now = now_utc(self._clock)
        sites = [site.name for site in await self._sites.all() if site.state == "active"]
        readings = {name: self._inventory.last(name) for name in sites}
        bad = {
            name: "never read" if reading is None or reading.read_at is None else reading.trouble or "stale"
            for name, reading in readings.items()
            if reading is None or reading.read_at is None or reading.trouble or reading.is_stale(now)
        }
        detail = ", ".join(f"{name} ({why})" for name, why in bad.items())[:500]
        status = Status.WARNING if bad else Status.OK
        if any(why == "fatal" for why in bad.values()):
            status = Status.CRITICAL
        return Reading(status, len(bad), "", "none", now, detail or f"{len(readings)} sites")
