"""What the dashboard and the alerts read of the databases room."""

from __future__ import annotations

from portal.databases.failures import ServerUnavailable
from portal.databases.schemas import ServerSeen, ServerView
from portal.databases.seen import Looks
from portal.databases.servers import Servers
from portal.probes import Probe, Reading, Status

BUSY = 0.8  # of the connections that a server takes
AGE_S = 30.0


class ServersProbe:
    """How many of the configured servers answer."""

    name = "databases:servers"
    interval_s = 60.0
    timeout_s = 20.0

    def __init__(self, servers: Servers, looks: Looks) -> None:
        self._servers, self._looks = servers, looks

    async def measure(self) -> Reading:
        if self._servers.mistakes:
            detail = f"the servers' file has mistakes: {self._servers.mistakes[0]}"
            return Reading(Status.CRITICAL, None, "", "all", None, detail[:500])
        if not self._servers:
            return Reading(Status.NOT_CONNECTED, None, "", "all", None, "no database server is configured")
        views = [await self._looks.view(name, max_age_s=AGE_S) for name in self._servers]
        silent = [f"{view.name}: {view.layer}: {view.detail}" for view in views if view.state != "connected"]
        seen = [view.seen_at for view in views if view.seen_at is not None]
        if not seen:
            raise ServerUnavailable("; ".join(silent)[:500])
        status = Status.CRITICAL if silent else Status.OK
        return Reading(status, len(views) - len(silent), "", f"all {len(views)}", max(seen), "; ".join(silent)[:500])


class _OfServer:
    """A figure of one server. While it is silent it fails: the last reading stays, and is unknown."""

    interval_s = 60.0
    timeout_s = 20.0

    def __init__(self, server: str, looks: Looks) -> None:
        self._server, self._looks = server, looks

    async def measure(self) -> Reading:
        view = await self._looks.view(self._server, max_age_s=AGE_S)
        if view.state != "connected" or view.seen is None:
            raise ServerUnavailable(view.detail, layer=view.layer)
        return self._reading(view, view.seen)

    def _reading(self, view: ServerView, seen: ServerSeen) -> Reading:
        raise NotImplementedError


class ConnectionsProbe(_OfServer):
    """How many of a server's connections are taken."""

    @property
    def name(self) -> str:
        return f"databases:{self._server}-connections"

    def _reading(self, view: ServerView, seen: ServerSeen) -> Reading:
        limit = int(BUSY * seen.max_connections)
        status = Status.OK if seen.connections <= limit else Status.WARNING
        detail = f"{seen.connections} of {seen.max_connections}"
        return Reading(status, seen.connections, "", f"at most {limit}", view.seen_at, detail)


class SizeProbe(_OfServer):
    """What a server's databases take, and how many tables would be locked by a dump."""

    @property
    def name(self) -> str:
        return f"databases:{self._server}-size"

    def _reading(self, view: ServerView, seen: ServerSeen) -> Reading:
        others = {each.name: each.others for each in seen.databases if each.others}
        detail = f"{len(seen.databases)} databases"
        if others:
            detail += f"; not InnoDB: {', '.join(f'{name} ({count})' for name, count in others.items())}"
        status = Status.WARNING if others else Status.OK
        mib = round(sum(each.bytes for each in seen.databases) / 1024**2, 1)
        return Reading(status, mib, "MiB", "InnoDB only", view.seen_at, detail[:500])


def probes_of(servers: Servers, looks: Looks) -> list[Probe]:
    found: list[Probe] = [ServersProbe(servers, looks)]
    for name in servers:
        found += [ConnectionsProbe(name, looks), SizeProbe(name, looks)]
    return found
