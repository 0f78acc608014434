"""What is shown of the tunnel, from what is known of it, of the zones and of the containers. Pure.

Nothing that is not known is called fine, nor an orphan: without the broker no target has a trouble, a zone that was
never read has no missing record.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from portal.broker.schemas import Container
from portal.dns.records.names import canonical
from portal.dns.records.view import view
from portal.dns.schemas import RecordView
from portal.dns.tunnel import ingress, targets
from portal.dns.tunnel.configuration import TARGET_SUFFIX, Configuration
from portal.dns.tunnel.picture import TunnelState
from portal.dns.tunnel.schemas import OrphanView, Role, RouteView, TunnelView
from portal.dns.zones import ZoneState

Json = dict[str, Any]
Names = dict[str, list[tuple[str, Json]]]
MARKER = "homeport-tunnel"  # comment of the records that are made here

NO_RECORD, ELSEWHERE, NOT_PROXIED = "no-record", "record-elsewhere", "not-proxied"
UNKNOWN, STOPPED, NO_ZONE = "target-unknown", "target-stopped", "zone-unknown"

_ADDRESSES = ("A", "AAAA", "CNAME", "NS")  # what a CNAME cannot stand beside


@dataclass(frozen=True, slots=True)
class World:
    """
    zones        those that were ever read, by name; `all_zones` has the names of the others too
    names        what stands at each hostname of each of these zones
    containers   None: the broker does not answer
    mail_api     hostname of the mail API, where a setting says it
    """

    zones: Mapping[str, ZoneState]
    all_zones: frozenset[str]
    names: Mapping[str, Names]
    containers: Sequence[Container] | None
    mail_api: str | None

    @classmethod
    def of(cls, zones: Iterable[ZoneState], containers: Sequence[Container] | None, mail_api_url: str | None) -> World:
        zones = list(zones)
        known = {each.zone.name: each for each in zones if each.read_at is not None}
        host = urlsplit(mail_api_url).hostname if mail_api_url else None
        names = {name: at_names(state) for name, state in known.items()}
        return cls(known, frozenset(each.zone.name for each in zones), names, containers, host)

    def zone_of(self, hostname: str) -> str | None:
        return targets.zone_of(hostname.removeprefix("*."), self.all_zones)

    def records_at(self, hostname: str) -> list[tuple[str, Json]]:
        """Key and record of each that a CNAME could not stand beside; none when the zone is not known."""
        return self.names.get(self.zone_of(hostname) or "", {}).get(hostname, [])


def at_names(state: ZoneState) -> Names:
    """Given a zone, return hostname -> key and record of each that a CNAME could not stand beside, those that lead to a
    tunnel first."""
    found: Names = {}
    for key, record in state.records.items():
        if record["type"] not in _ADDRESSES:
            continue
        name = canonical(record["name"])
        if not (record["type"] == "NS" and name == state.zone.name):
            found.setdefault(name, []).append((key, record))
    for records in found.values():
        records.sort(key=lambda each: tunnel_of(each[1]) is None)
    return found


def tunnel_of(record: Mapping[str, Any] | None) -> str | None:
    """Id of the tunnel that a record, or a record's value, leads to."""
    if record is None or record.get("type") != "CNAME":
        return None
    host = canonical(str(record.get("content") or ""))
    return host.removesuffix(TARGET_SUFFIX) if host.endswith(TARGET_SUFFIX) else None


def tunnel_view(state: TunnelState, world: World) -> TunnelView | None:
    tunnel, known = state.tunnel, state.configuration
    if tunnel is None or known is None:
        return None
    return TunnelView(
        id=tunnel["id"],
        name=tunnel["name"],
        status=str(tunnel.get("status") or "unknown"),
        version=None if known.is_local else known.version,
        is_ours=not known.is_local,
        connections=len(tunnel.get("connections") or []),
        routes=[_route(name, entry, tunnel["id"], world) for name, entry in ingress.routes_of(known.config).items()],
        fallback=ingress.fallback_of(known.config),
    )


def _route(name: str, entry: Json, tunnel_id: str, world: World) -> RouteView:
    hostname, service = ingress.hostname_of(entry), str(entry.get("service") or "")
    target = targets.resolve(service, world.containers or ())
    record, record_trouble = _record(hostname, tunnel_id, world)
    return RouteView(
        name=name,
        hostname=hostname or "*",
        path=ingress.path_of(entry),
        service=service,
        role=role_of(hostname, target, world),
        target=target.container.name if target.container else None,
        target_state=target.container.state if target.container else None,
        record=record,
        zone=world.zone_of(hostname) if hostname else None,
        is_ours=record is not None and record.comment == MARKER,
        settings={key: value for key, value in entry.items() if key not in ("hostname", "path", "service")},
        trouble=[*record_trouble, *target_trouble(target, world)],
    )


def role_of(hostname: str, target: targets.Target, world: World) -> Role:
    """mail-api by the setting; else what the container is."""
    if world.mail_api is not None and hostname == world.mail_api:
        return "mail-api"
    return targets.ROLES.get(target.container.service, "other") if target.container else "other"


def target_trouble(target: targets.Target, world: World) -> list[str]:
    if world.containers is None:
        return []
    if target.container is None:
        return [UNKNOWN] if target.is_named else []
    return [] if target.is_up else [STOPPED]


def _record(hostname: str, tunnel_id: str, world: World) -> tuple[RecordView | None, list[str]]:
    """The record that leads a hostname here, and what is wrong with that."""
    if not hostname:
        return None, []
    zone = world.zone_of(hostname)
    if zone is None:
        return None, [NO_ZONE]
    if zone not in world.zones:
        return None, []
    at_name = world.records_at(hostname)
    found = at_name or [each for name in _wildcards(hostname) for each in world.records_at(name)]
    for key, record in found:
        if tunnel_of(record) == tunnel_id:
            shown = view(record, key=key, marker=MARKER)
            return shown, [] if record.get("proxied") else [NOT_PROXIED]
    return None, [ELSEWHERE if found else NO_RECORD]


def _wildcards(hostname: str) -> list[str]:
    """The name of the wildcard record that answers for a hostname without a record of its own (RFC 4592, nearest)."""
    labels = hostname.removeprefix("*.").split(".")
    return [f"*.{'.'.join(labels[start:])}" for start in range(1, len(labels) - 1)][:1]


def orphans(state: TunnelState, world: World) -> list[OrphanView]:
    """Records that lead to a route that is not there, routes that lead to a container that does not run."""
    return [*_orphaned_records(state, world), *_orphaned_routes(state, world)]


def _orphaned_records(state: TunnelState, world: World) -> list[OrphanView]:
    found = []
    for zone, names in world.names.items():
        for name, records in names.items():
            for key, record in records:
                tunnel_id = tunnel_of(record)
                why = None if tunnel_id is None else why_orphaned(name, tunnel_id, state)
                if why is not None:
                    shown = view(record, key=key, marker=MARKER)
                    found.append(OrphanView(kind="record", name=name, zone=zone, why=why, record=shown))
    return sorted(found, key=lambda each: each.name)


def why_orphaned(hostname: str, tunnel_id: str, state: TunnelState) -> Literal["no-route", "tunnel-gone"] | None:
    """Why a record that leads to a tunnel leads to nothing; None when it does not, or when that is not known."""
    if state.read_at is None:
        return None
    if tunnel_id not in state.alive:
        return "tunnel-gone"
    is_here = state.tunnel is not None and state.tunnel["id"] == tunnel_id
    if not is_here or state.configuration is None or state.configuration.is_local:
        return None
    return None if _is_routed(hostname, state.configuration) else "no-route"


def _is_routed(hostname: str, known: Configuration) -> bool:
    """A wildcard's record is routed when anything below it is; so is all, where the last entry leads somewhere."""
    fallback = ingress.fallback_of(known.config) or ""
    if fallback and not fallback.startswith("http_status:"):
        return True
    for entry in ingress.routes_of(known.config).values():
        routed = ingress.hostname_of(entry)
        if routed == hostname or ingress.covers(routed, hostname) or ingress.covers(hostname, routed):
            return True
    return False


def _orphaned_routes(state: TunnelState, world: World) -> list[OrphanView]:
    found = []
    routes = ingress.routes_of(state.configuration.config) if state.configuration else {}
    for name, entry in routes.items():
        for why in target_trouble(targets.resolve(str(entry.get("service") or ""), world.containers or ()), world):
            hostname = ingress.hostname_of(entry)
            shown = _record(hostname, state.tunnel["id"], world)[0] if state.tunnel else None
            zone = world.zone_of(hostname) if hostname else None
            found.append(OrphanView(kind="route", name=name, zone=zone, why=why, record=shown))
    return found
