"""Which sites suffer without a thing of another room. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from portal.probes import Use
from portal.wordpress.sites import Site

_ADDRESSES = frozenset({"A", "AAAA", "CNAME"})


def uses_of(kind: str, name: str, sites: Iterable[Site]) -> list[Use]:
    """
    kind   "database", named "server/database" · "record", named "TYPE host ..." · "zone"; nothing is known of others
    """
    why = {"database": "depends-on", "record": "points-at", "zone": "points-at"}.get(kind, "")
    return [Use("wordpress", "site", site.name, why) for site in sites if why and _uses(site, kind, name)]


def _uses(site: Site, kind: str, name: str) -> bool:
    if kind == "database":
        return name == f"{site.server}/{site.database}"
    if kind == "zone":
        return any(host == name or host.endswith(f".{name}") for host in site.hostnames)
    type_, _, rest = name.partition(" ")
    return type_ in _ADDRESSES and rest.partition(" ")[0] in site.hostnames
