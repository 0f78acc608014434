"""What hangs on a container: who needs it, what it publishes, what goes dark without it. Pure.

Who needs whom is what Compose wrote into the containers' labels (`depends_on`), within one project. A container is up
while it runs, is paused, or is about to be started again: then its processes, or the intention to have them, are there.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from graphlib import CycleError, TopologicalSorter

from portal.broker.schemas import Container
from portal.probes import Use

ROOM = "containers"

# What stops without a service that nothing protects, by the names of the stacks' Compose files: codes as those of the
# protected ones (portal/broker/protection.py). Scanners down: mail waits, it is never delivered unscanned.
GOES_DARK = {
    "mail-ingress": ("incoming-mail",),
    "mail-delivery": ("mail-delivery",),
    "mail-postfix": ("mail-sending",),
    "mail-rspamd": ("mail-delivery", "mail-sending"),
    "mail-clamav": ("mail-delivery",),
    "mail-roundcube": ("webmail",),
    "mail-webmail": ("webmail",),
    "blog-nginx": ("websites",),
    "blog-php": ("websites",),
}
UP = frozenset({"running", "paused", "restarting"})


def is_up(container: Container) -> bool:
    return container.state in UP


def uses_of(container: Container, others: Collection[Container]) -> list[Use]:
    """Given a container and all that there are, return what suffers while it is down, the gravest first."""
    dark = container.protection.goes_dark if container.protection else GOES_DARK.get(container.service, ())
    published = [port for port in container.ports if port.host_port is not None]
    return [
        *(Use(ROOM, "service", code, "goes-dark") for code in dark),
        *(Use(ROOM, "container", each.name, "depends-on") for each in dependents(container, others) if is_up(each)),
        *(Use(ROOM, "port", str(port), "publishes") for port in published),
    ]


def dependents(container: Container, others: Collection[Container]) -> list[Container]:
    """Return those that need it, directly or through others, sorted by name; never itself."""
    found: dict[str, Container] = {}
    to_ask = [container]
    while to_ask:
        needed = to_ask.pop()
        for each in others:
            if each.id != container.id and each.id not in found and _needs(each, needed):
                found[each.id] = each
                to_ask.append(each)
    return sorted(found.values(), key=lambda each: each.name)


def in_order(containers: Sequence[Container]) -> list[list[str]]:
    """Return the names in groups: each needs only those of the groups before it, so Compose would start them so.

    Containers that need each other in a circle, which Compose never writes, make one group of all.
    """
    needs = {each.name: [other.name for other in containers if _needs(each, other)] for each in containers}
    sorter = TopologicalSorter(needs)
    try:
        sorter.prepare()
    except CycleError:
        return [sorted(needs)]
    groups = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        groups.append(ready)
        sorter.done(*ready)
    return groups


def _needs(one: Container, other: Container) -> bool:
    return one.project is not None and one.project == other.project and other.service in one.depends_on
