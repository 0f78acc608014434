"""Which records point at a name: CNAME, MX, NS, SRV and their like. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from portal.dns.records.names import canonical
from portal.integrations.records import Json

_BY_CONTENT = frozenset({"CNAME", "MX", "NS", "PTR"})
_BY_TARGET = frozenset({"SRV", "HTTPS", "SVCB"})


def by_target(records: Iterable[Json]) -> dict[str, list[Json]]:
    """Host -> the records of other names that lead to it."""
    found: dict[str, list[Json]] = {}
    for record in records:
        target = target_of(record)
        if target and target != record["name"]:
            found.setdefault(target, []).append(record)
    return found


def target_of(record: Json) -> str | None:
    """The host that a record leads to, as records have it; None for the types that lead to none."""
    if record["type"] in _BY_CONTENT:
        return canonical(str(record.get("content") or ""))
    if record["type"] in _BY_TARGET:
        return canonical(str((record.get("data") or {}).get("target") or ""))
    return None
