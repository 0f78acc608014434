"""What the dashboard and the alerts read of the containers room."""

from __future__ import annotations

from datetime import UTC, datetime

from portal.broker.failures import BrokerUnavailable
from portal.containers.picture import Picture
from portal.probes import Reading, Status


class _PictureProbe:
    """A measurement of the room's picture. While broker or engine are silent it fails: the last reading is unknown."""

    interval_s = 30.0
    timeout_s = 5.0

    def __init__(self, picture: Picture) -> None:
        self._picture = picture

    async def measure(self) -> Reading:
        engine, measured_at = self._picture.engine, self._picture.measured_at
        if engine.state == "not-configured":
            return Reading(Status.NOT_CONNECTED, None, "", "none", None, "no broker is configured")
        if engine.state == "silent" or measured_at is None:
            raise BrokerUnavailable(engine.detail)
        status, names = self._look()
        at = datetime.fromtimestamp(measured_at, UTC)
        return Reading(status, len(names), "", "none", at, ", ".join(names)[:500])

    def _look(self) -> tuple[Status, list[str]]:
        raise NotImplementedError


class TroubleProbe(_PictureProbe):
    """How many containers crash in a loop, were ended for want of memory, or are unhealthy."""

    name = "containers:trouble"

    def _look(self) -> tuple[Status, list[str]]:
        found = [(each.name, self._picture.trouble(each)) for each in self._picture.containers()]
        names = [f"{name} ({' '.join(trouble)})" for name, trouble in found if trouble]
        if any("crash-loop" in trouble for _, trouble in found):
            return Status.CRITICAL, names
        return Status.WARNING if names else Status.OK, names


class StoppedProbe(_PictureProbe):
    """How many containers do not run although their restart policy says that they should."""

    name = "containers:stopped"

    def _look(self) -> tuple[Status, list[str]]:
        wanted = [each for each in self._picture.containers() if each.restart_policy in ("always", "unless-stopped")]
        names = [each.name for each in wanted if each.state not in ("running", "restarting")]
        return Status.WARNING if names else Status.OK, names
