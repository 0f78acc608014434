"""A tunnel's configuration as pure data: which entry stands for which public hostname, and how one comes in or goes.

The entries are read from the top, the first that fits takes the request, and the last one takes all that is left
(Cloudflare Tunnel, "Configuration file", "Ingress rules"). So a new entry stands in front of those that would take its
requests: a wildcard above it, or the same hostname with a shorter path or none. Nothing else moves, and whatever an
entry or the configuration holds beside what is spoken of here stays as it is.

A route's value, in a plan, is its entry as Cloudflare keeps it, and under AHEAD_OF the names of the entries below that
overlap with it: so an entry that is put back stands where it stood.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from graphlib import TopologicalSorter
from typing import Any

from portal.dns.records.names import canonical

Json = dict[str, Any]
AHEAD_OF = "ahead_of"
FALLBACK = "http_status:404"  # what a configuration without any entry gets as its last one


def hostname_of(entry: Mapping[str, Any]) -> str:
    """The hostname as lower-case A-labels; "" for one that takes every host."""
    hostname = canonical(str(entry.get("hostname") or "").strip())
    return "" if hostname == "*" else hostname


def path_of(entry: Mapping[str, Any]) -> str | None:
    """The regular expression over the request's path; None: every path."""
    return str(entry.get("path") or "") or None


def route_name(hostname: str, path: str | None) -> str:
    """What people and plans call a route: "app.example.com/api"; a path that does not begin with / after a space."""
    if path is None:
        return hostname
    return f"{hostname}{path}" if path.startswith("/") else f"{hostname} {path}"


def takes_all(entry: Mapping[str, Any]) -> bool:
    return not hostname_of(entry) and path_of(entry) is None


def entries_of(config: Mapping[str, Any]) -> list[Json]:
    return [entry for entry in config.get("ingress") or [] if isinstance(entry, dict)]


def routes_of(config: Mapping[str, Any]) -> dict[str, Json]:
    """Name -> entry, in their order, without the last one that takes all. A name's second entry is called NAME #2."""
    found: dict[str, Json] = {}
    for entry in entries_of(config):
        if takes_all(entry):
            continue
        name = base = route_name(hostname_of(entry) or "*", path_of(entry))
        number = 2
        while name in found:
            name, number = f"{base} #{number}", number + 1
        found[name] = entry
    return found


def namesakes_below(name: str, routes: Mapping[str, Any]) -> list[str]:
    """The names of later entries of the same hostname and path, which would get others if this one went."""
    base, sign, number = name.rpartition(" #")
    if not sign or not number.isdecimal() or base not in routes:
        base, number = name, "1"
    found = []
    following = int(number) + 1
    while (other := f"{base} #{following}") in routes:
        found.append(other)
        following += 1
    return found


def fallback_of(config: Mapping[str, Any]) -> str | None:
    """Where requests for every other hostname go."""
    return next((str(entry.get("service")) for entry in entries_of(config) if takes_all(entry)), None)


def values_of(config: Mapping[str, Any]) -> dict[str, Json]:
    """Name -> value, as plans keep it."""
    routes = routes_of(config)
    names = list(routes)
    values = {}
    for place, (name, entry) in enumerate(routes.items()):
        below = [other for other in names[place + 1 :] if _overlap(entry, routes[other])]
        values[name] = copy.deepcopy(entry) | ({AHEAD_OF: below} if below else {})
    return values


def new_entry(hostname: str, path: str | None, service: str, former: Mapping[str, Any] | None) -> Json:
    """The entry for a route; of the one that it replaces, everything else stays."""
    kept = {name: value for name, value in (former or {}).items() if name != AHEAD_OF}
    return kept | {"hostname": hostname, **({} if path is None else {"path": path}), "service": service}


def put_routes(config: Mapping[str, Any], changes: Iterable[tuple[str, Json | None]]) -> Json:
    """Return the configuration with these routes as given; None: gone. What is so already changes nothing.

    changes   name and value
    """
    changed = copy.deepcopy(dict(config))
    values = dict(changes)
    # What stands below another goes in first, so that the other finds its place.
    below = {
        name: [each for each in (value or {}).get(AHEAD_OF, ()) if each in values] for name, value in values.items()
    }
    routes = routes_of(changed)  # names as they were: when NAME goes, NAME #2 does not become NAME in the middle of it
    for name in TopologicalSorter(below).static_order():
        _put(changed, routes, name, values[name])
    return changed


def _put(config: Json, routes: dict[str, Json], name: str, value: Json | None) -> None:
    entries: list[Json] = list(config.get("ingress") or [])
    present = routes.pop(name, None)
    place = next((number for number, entry in enumerate(entries) if entry is present), None)
    if value is None:
        if place is not None:
            del entries[place]
            config["ingress"] = entries
        return
    entry = {member: content for member, content in value.items() if member != AHEAD_OF}
    if place is not None:
        entries[place] = entry
    else:
        if not any(takes_all(each) for each in entries):
            entries.append({"service": FALLBACK})
        below = [routes[other] for other in value.get(AHEAD_OF, ()) if other in routes]
        entries.insert(_place_for(entry, entries, below), entry)
    routes[name] = entry
    config["ingress"] = entries


def _place_for(entry: Json, entries: list[Json], below: list[Json]) -> int:
    """In front of the first that must stand below it: those named, else those that would take its requests."""
    for place, other in enumerate(entries):
        if any(other is each for each in below) or takes_all(other) or (not below and _shadows(other, entry)):
            return place
    return len(entries)


def _shadows(other: Json, entry: Json) -> bool:
    """Whether an entry would take all, or some, of the requests that a new one below it is meant for."""
    mine, its = hostname_of(entry), hostname_of(other)
    if mine == its:
        return len(path_of(other) or "") < len(path_of(entry) or "")
    return covers(its, mine)


def _overlap(one: Json, other: Json) -> bool:
    mine, its = hostname_of(one), hostname_of(other)
    return mine == its or covers(mine, its) or covers(its, mine)


def covers(wildcard: str, hostname: str) -> bool:
    """Whether an entry for the first takes requests for the second; "" is every host."""
    return wildcard == "" or (wildcard.startswith("*.") and hostname != wildcard and hostname.endswith(wildcard[1:]))
