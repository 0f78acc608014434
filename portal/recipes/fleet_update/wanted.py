"""Which updates there are for a site, by what it told of itself. Pure.

A plan names each by site and thing: "garden plugin:cache-it" -> the version that is to be there. Core comes last, since
its database may have to change for it, and what was written for the new one is in place by then.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from portal.broker.wp import VERSION
from portal.wordpress.reading import Inventory

Kind = Literal["plugin", "theme", "core"]
ORDER: tuple[Kind, ...] = ("plugin", "theme", "core")
_VERSION = re.compile(VERSION)


@dataclass(frozen=True, slots=True)
class Update:
    """slug: "" of core."""

    kind: Kind
    slug: str
    version: str

    @property
    def name(self) -> str:
        return f"{self.kind}:{self.slug}" if self.slug else self.kind


def offered(inventory: Inventory, kinds: Sequence[Kind]) -> list[Update]:
    """What could be newer, in the order in which it is to be done. What no command could name is left out."""
    return sorted(_offered(inventory, kinds), key=lambda each: (ORDER.index(each.kind), each.slug))


def _offered(inventory: Inventory, kinds: Sequence[Kind]) -> Iterator[Update]:
    for kind, extensions in (("plugin", inventory.plugins), ("theme", inventory.themes)):
        for each in extensions:
            version = each.update_version or ""
            if kind in kinds and each.is_named and _VERSION.fullmatch(version):
                yield Update("plugin" if kind == "plugin" else "theme", each.name, version)
    version = inventory.core.update_version or ""
    if "core" in kinds and _VERSION.fullmatch(version):
        yield Update("core", "", version)


def present(inventory: Inventory, update_name: str) -> str | None:
    """The version that is there; None: it is not there."""
    kind, _, slug = update_name.partition(":")
    if kind == "core":
        return inventory.core.version
    found = inventory.plugin(slug) if kind == "plugin" else inventory.theme(slug)
    return None if found is None else found.version


def change_name(site: str, update: Update) -> str:
    return f"{site} {update.name}"


def parsed(name: str, version: str) -> tuple[str, Update]:
    """Given the name of a plan's change, return site and update."""
    site, _, rest = name.partition(" ")
    kind, _, slug = rest.partition(":")
    for known in ORDER:
        if known == kind:
            return site, Update(known, slug, version)
    raise ValueError(f"{name!r} names no update")
