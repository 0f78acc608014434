"""The one order of a zone's records in every file: the zone itself first, then name by name from the right. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable

from portal.dns.records.values import Value


def in_order(zone: str, values: Iterable[Value]) -> list[Value]:
    """Equal zones give equal lists, whatever order Cloudflare answered in."""
    return sorted(
        values, key=lambda value: (_place(zone, value["name"]), value["type"], json.dumps(value, sort_keys=True))
    )


def _place(zone: str, name: str) -> list[str]:
    return [] if name == zone else name.split(".")[::-1]
