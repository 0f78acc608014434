"""From what somebody wants of the tunnel to a wish that can be planned. Pure.

The names of a plan's changes, H a hostname as A-labels:

    route H[/PATH]   the tunnel's entry, as Cloudflare keeps it (ingress.py), or None
    record H         the record that leads there, as its value (records.py), or None
    rule waf H       the rule in front of the mail API, as Cloudflare keeps it (rules.py), or None
    rule rate H      likewise, the rate limiting rule
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from portal.dns.records.values import value_of
from portal.dns.tunnel import ingress, rules, targets
from portal.dns.tunnel.configuration import TARGET_SUFFIX
from portal.dns.tunnel.overview import MARKER, Names, World, at_names, tunnel_of, why_orphaned
from portal.dns.tunnel.picture import TunnelState
from portal.dns.tunnel.problems import HostnameTaken, NoSuchRoute, RouteInvalid
from portal.dns.tunnel.rules import Kind
from portal.dns.tunnel.schemas import NewRoutePlan, RouteWarning
from portal.dns.zones import ZoneState
from portal.operations.plans import Change, Plan

Json = dict[str, Any]
Rules = Mapping[tuple[str, Kind], Sequence[Json] | None]  # of (zone, kind); None: they cannot be read

KINDS: tuple[Kind, ...] = ("waf", "rate")


@dataclass(frozen=True, slots=True)
class WantedRoute:
    hostname: str
    path: str | None
    service: str
    is_protected: bool

    @property
    def name(self) -> str:
        return ingress.route_name(self.hostname, self.path)


@dataclass(frozen=True, slots=True)
class Named:
    """A change's name, taken apart. rest: hostname, of a route with its path."""

    what: Literal["route", "record", "waf", "rate"]
    rest: str

    @classmethod
    def of(cls, name: str) -> Named:
        what, _, rest = name.partition(" ")
        if what == "rule":
            kind, _, rest = rest.partition(" ")
            return cls("waf" if kind == "waf" else "rate", rest)
        return cls("record" if what == "record" else "route", rest)

    @property
    def hostname(self) -> str:
        """Neither / nor a space is in a hostname, and one of them begins a path."""
        return self.rest.partition("/")[0].partition(" ")[0] if self.what == "route" else self.rest


def cleaned(wanted: NewRoutePlan, all_zones: Iterable[str]) -> list[WantedRoute]:
    """The routes to add, in one spelling. Raise RouteInvalid with every fault of all of them."""
    found: list[WantedRoute] = []
    findings: list[Json] = []
    zones = list(all_zones)
    for number, route in enumerate(wanted.add):

        def fault(field: str, text: str, number: int = number) -> None:
            findings.append({"route": number, "field": field, "text": text})

        hostname = ""
        try:
            hostname = targets.clean_hostname(route.hostname)
        except ValueError as error:
            fault("hostname", str(error))
        else:
            if targets.zone_of(hostname.removeprefix("*."), zones) is None:
                fault("hostname", f"{hostname} is in none of the account's zones")
        if (text := targets.service_fault(route.service)) is not None:
            fault("service", text)
        path = route.path or None
        if path is not None and (text := targets.path_fault(path)) is not None:
            fault("path", text)
        entry = WantedRoute(hostname, path, route.service, wanted.protect and route.role == "mail-api")
        if entry.name in [each.name for each in found] or entry.name in wanted.remove:
            fault("hostname", f"{entry.name} stands here twice")
        found.append(entry)
    if findings:
        raise RouteInvalid(findings[0]["text"], findings=findings)
    return found


def going(wanted: NewRoutePlan, adding: Sequence[WantedRoute], config: Json) -> set[str]:
    """Hostnames that no route is left of. Raise NoSuchRoute when one to remove is not there, RouteInvalid when another
    one of the same name would silently come into force in its place."""
    routes = ingress.routes_of(config)
    if missing := [name for name in wanted.remove if name not in routes]:
        raise NoSuchRoute(f"the tunnel has no route {missing[0]}", names=missing)
    for name in wanted.remove:
        if stay := [each for each in ingress.namesakes_below(name, routes) if each not in wanted.remove]:
            text = f"{stay[0]} would take the place of {name}: remove it too, or first"
            raise RouteInvalid(text, findings=[{"route": name, "field": "remove", "text": text}])
    left = {ingress.hostname_of(entry) for name, entry in routes.items() if name not in wanted.remove}
    left |= {route.hostname for route in adding}
    return {ingress.hostname_of(routes[name]) for name in wanted.remove} - left - {""}


def wish_for_routes(wanted: NewRoutePlan, adding: Sequence[WantedRoute], config: Json) -> dict[str, Json | None]:
    """Where each entry stands among the others is part of what is wished for."""
    routes = ingress.routes_of(config)
    changes: list[tuple[str, Json | None]] = [(name, None) for name in wanted.remove]
    for route in adding:
        former = routes.get(route.name)
        changes.append((route.name, ingress.new_entry(route.hostname, route.path, route.service, former)))
    values = ingress.values_of(ingress.put_routes(config, changes))
    return {f"route {name}": None if value is None else values[name] for name, value in changes}


def wish_for_records(
    adding: Sequence[WantedRoute],
    removing: Iterable[str],
    orphans: Iterable[str],
    state: TunnelState,
    present_at: Mapping[str, Json],
) -> dict[str, Json | None]:
    """
    removing    hostnames whose last route goes
    orphans     hostnames of records to remove that lead to no route
    present_at  the values of what stands at these hostnames
    raises      HostnameTaken, NoSuchRoute
    """
    assert state.tunnel is not None
    tunnel_id = state.tunnel["id"]
    wish: dict[str, Json | None] = {}
    for hostname in dict.fromkeys(route.hostname for route in adding):
        present = present_at.get(hostname)
        if present is not None and tunnel_of(present) != tunnel_id and tunnel_of(present) not in _gone(present, state):
            raise taken(hostname, present)
        kept = present or {"type": "CNAME", "name": hostname, "comment": MARKER}
        wish[f"record {hostname}"] = kept | {"content": tunnel_id + TARGET_SUFFIX, "ttl": 1, "proxied": True}
    for hostname in sorted(removing):
        if tunnel_of(present_at.get(hostname)) == tunnel_id:  # what leads elsewhere is not the route's, and stays
            wish[f"record {hostname}"] = None
    for hostname in orphans:
        present = present_at.get(hostname)
        leads_to = tunnel_of(present)
        if leads_to is None or why_orphaned(hostname, leads_to, state) is None:
            raise NoSuchRoute(
                f"no orphaned record stands at {hostname}: it leads elsewhere, or to a route that is there"
            )
        wish[f"record {hostname}"] = None
    return wish


def _gone(value: Json, state: TunnelState) -> set[str]:
    """The tunnel that a record leads to, if it is deleted."""
    tunnel_id = tunnel_of(value)
    return set() if tunnel_id is None or tunnel_id in state.alive else {tunnel_id}


def may_change(value: Json | None, state: TunnelState) -> bool:
    """Whether what stands at a hostname may be changed or deleted: nothing, or a record to this or a deleted tunnel."""
    tunnel_id = tunnel_of(value)
    is_here = state.tunnel is not None and tunnel_id == state.tunnel["id"]
    return value is None or is_here or bool(_gone(value, state))


def taken(hostname: str, value: Json) -> HostnameTaken:
    content = f"{value['type']} {str(value.get('content') or '')[:255]!r}"
    return HostnameTaken(f"at {hostname} stands {content}", record=value)


def record_at(names: Names, hostname: str) -> Json | None:
    """The value of what stands at a hostname: the record to a tunnel, else another that keeps one from being there."""
    return next((value_of(record) for _, record in names.get(hostname, ())), None)


def values_at(zones: Mapping[str, ZoneState]) -> dict[str, Json]:
    """Given the zone of each hostname, return the values of what stands there."""
    names = {state.zone.name: at_names(state) for state in {id(each): each for each in zones.values()}.values()}
    found = {hostname: record_at(names[state.zone.name], hostname) for hostname, state in zones.items()}
    return {hostname: value for hostname, value in found.items() if value is not None}


def wish_for_rules(
    adding: Sequence[WantedRoute], removing: Collection[str], zones: Mapping[str, ZoneState], found: Rules
) -> dict[str, Json | None]:
    """The rules of hostnames to protect, as they are to be; those of hostnames that go, gone."""
    wish: dict[str, Json | None] = {}
    for route in adding:
        zone = zones[route.hostname]
        for kind in KINDS if route.is_protected else ():
            present = found.get((zone.zone.name, kind)) or ()
            ours = rules.ours(present, kind, route.hostname)
            # A rule that goes in the same plan makes room: the mail API moves to another hostname.
            leaving = {rules.description(kind, name) for name in removing}
            staying = [rule for rule in present if rule.get("description") not in leaving]
            if ours is not None or rules.taken_by(staying, zone.plan, kind) is None:
                wish[f"rule {kind} {route.hostname}"] = rules.repaired(ours, kind, route.hostname)
    for hostname in removing:
        for kind in KINDS if hostname in zones else ():
            present = found.get((zones[hostname].zone.name, kind)) or ()
            if rules.ours(present, kind, hostname) is not None:
                wish[f"rule {kind} {hostname}"] = None
    return wish


def needs_step_up(changes: Sequence[Change]) -> bool:
    """What goes or changes, and more than one change, as everywhere in this room."""
    return len(changes) > 1 or any(change.before is not None for change in changes)


def warnings(plan: Plan, world: World) -> list[RouteWarning]:
    """What is to be said of a plan, as of now."""
    found = []
    for change in plan.changes:
        if Named.of(change.name).what == "route" and change.after is not None:
            found += _target_warnings(change, world)
    for name, value in plan.wish.items():
        named = Named.of(name)
        if named.what == "waf" and value is not None and f"rule rate {named.hostname}" not in plan.wish:
            text = "the zone's only rate limiting rule is another one, so there is no room for the mail API's"
            found.append(RouteWarning(code="rate-rule-taken", name=name, text=text))
    return found


def _target_warnings(change: Change, world: World) -> list[RouteWarning]:
    service = str(change.after.get("service") or "")
    host, target = targets.host_of(service), targets.resolve(service, world.containers or ())
    texts = {}
    if host is not None and target.container is None and world.containers is not None:
        texts["target-unknown"] = f"no container of a known stack is called {host!r}"
    if target.container is not None and not target.is_up:
        texts["target-stopped"] = "the container does not run"
    if target.container is not None and not targets.is_on_edge(target.container):
        texts["target-not-on-edge"] = (
            f"the container is not on the network {targets.EDGE_NETWORK}, where the tunnel could reach it"
        )
    return [RouteWarning(code=code, name=change.name, text=text) for code, text in texts.items()]
