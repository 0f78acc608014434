"""Where a route leads: the container behind a service URL, and what a new route's hostname, path and service may be.

cloudflared runs in a container of its own and reaches others by the names that the engine's DNS has for them: the
container's, or its Compose service's. Nothing here is ever called by the portal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from portal.broker.schemas import Container
from portal.dns.records.names import canonical
from portal.settings import domain_name

EDGE_NETWORK = "edge"  # the one network that cloudflared is in (security.md 3.5)
UP = frozenset({"running", "paused", "restarting"})
ROLES: dict[str, Literal["site", "webmail", "mail-api"]] = {
    "blog-nginx": "site",
    "mail-roundcube": "webmail",
    "mail-webmail": "webmail",
    "mail-ingress": "mail-api",
}  # by Compose service

_SERVICE = re.compile(
    r"https?://[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?(?::(\d{1,5}))?|http_status:([1-5]\d\d)"
)
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Target:
    """What a service URL names.

    container   None when there is none of this name, or when it names no container at all
    is_named    whether it is a name that only a container can have; else "unknown" says nothing
    """

    container: Container | None
    is_named: bool

    @property
    def is_up(self) -> bool:
        return self.container is not None and self.container.state in UP


def host_of(service: str) -> str | None:
    """The host part of a service URL; None for those without, such as http_status:404 and unix sockets."""
    try:
        parts = urlsplit(service)
        return parts.hostname if "//" in service and not parts.scheme.startswith("unix") else None
    except ValueError:
        return None


def resolve(service: str, containers: Iterable[Container]) -> Target:
    """Given all known containers, return what a service URL leads to; among several of a service one that runs."""
    host = host_of(service)
    if host is None or host == "localhost":
        return Target(None, False)
    found = [each for each in containers if host in (each.name.lower(), each.service.lower())]
    found.sort(key=lambda each: (each.state not in UP, each.name.lower() != host, each.name))
    return Target(found[0] if found else None, bool(_NAME.fullmatch(host)) and not host.isdigit())


def is_on_edge(container: Container) -> bool:
    """Compose calls a project's own network PROJECT_edge."""
    return any(net.name == EDGE_NETWORK or net.name.endswith(f"_{EDGE_NETWORK}") for net in container.networks)


def zone_of(hostname: str, zones: Iterable[str]) -> str | None:
    """The longest of the zones that a hostname is in."""
    fitting = [zone for zone in zones if hostname == zone or hostname.endswith(f".{zone}")]
    return max(fitting, key=len, default=None)


# -- what a new route may be ------------------------------------------------------------------------------------------


def clean_hostname(text: str) -> str:
    """Given a hostname as people write it, also *.example.com, return its A-labels. Raise ValueError."""
    text = text.strip().rstrip(".")
    if text.startswith("*."):
        return f"*.{domain_name(canonical(text[2:]))}"
    return domain_name(canonical(text))


def path_fault(path: str) -> str | None:
    """Why a path cannot be one; cloudflared takes it for a regular expression over the request's path."""
    if not path.isprintable() or not path.isascii() or any(char.isspace() for char in path):
        return "has a space, or a character outside ASCII"
    try:
        re.compile(path)
    except re.error as error:
        return f"is no regular expression: {error}"
    return None


def service_fault(service: str) -> str | None:
    """Why a service cannot be one: only containers are named here, and fixed answers."""
    match = _SERVICE.fullmatch(service)
    if match is None:
        return "is neither http(s)://CONTAINER:PORT, without a path, nor http_status:NNN"
    if match[1] is not None and not 1 <= int(match[1]) <= 65_535:
        return "has a port outside 1 to 65535"
    return None
