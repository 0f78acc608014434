"""A file as a wish: what a zone is to become by it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from portal.dns.files import csv_file, json_file, zone_file
from portal.dns.files.lines import Line
from portal.dns.records.checks import PLANS, Limits, check
from portal.dns.records.findings import Finding, at_line, warning
from portal.dns.records.names import full_name
from portal.dns.records.neighbours import Neighbours
from portal.dns.records.rdata import complete
from portal.dns.records.types import TYPES
from portal.dns.records.values import Json, Value, is_fixed, is_locked, key_of, value_of
from portal.dns.schemas import Format

READERS: dict[Format, Callable[[str, str], tuple[list[Line], list[Finding]]]] = {
    "bind": zone_file.parse,
    "csv": csv_file.parse,
    "json": json_file.parse,
}
WRITERS: dict[Format, Callable[..., str]] = {"bind": zone_file.dump, "csv": csv_file.dump, "json": json_file.dump}

Place = tuple[str, str]  # type and full name
_KNOWN = frozenset({*TYPES, "SOA"})


@dataclass
class Import:
    """
    wish       key -> value, None: it goes; those that are so already too
    findings   errors: lines that were left alone; warnings: what is to be said. params["line"] says where
    """

    wish: dict[str, Value | None] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def read(
    zone: str,
    kind: Format,
    text: str,
    present: Mapping[str, Json],
    *,
    replace: bool,
    values: Mapping[str, Value] | None = None,
    limits: Limits = PLANS["free"],
) -> Import:
    """Given a file and the zone's records by key, return what the zone is to become.

    What the file doesn't say of a record that is there, such as its comment, stays. Left alone are SOA and NS of the
    zone itself, what Email Routing keeps, records of types that can't be written here, and lines that are wrong.

    replace   what the file lacks goes; not what stands at the name of a line that was left alone
    values    value_of each of the records, where these are known already
    """
    lines, findings = READERS[kind](zone, text)
    result = Import(findings=findings)
    places = [_place(line.draft, zone) for line in lines]
    befores = {key: value_of(record) for key, record in present.items()} if values is None else values
    soles = _soles(places, befores) if replace else {}
    unknown = {_place_of(value) for value in befores.values() if value["type"] not in _KNOWN}
    wanted: dict[str, tuple[int, Value]] = {}
    refused: set[Place] = set()
    for line, place in zip(lines, places, strict=True):
        if place in unknown:
            result.findings.append(warning("", "line-type-kept", line=line.number, type=line.draft["type"]))
            continue
        value = _read_line(zone, line, place, present, befores, soles, limits, result)
        if value is None:
            refused.add(place)
            continue
        key = key_of(value)
        if key in wanted:
            result.findings.append(warning("", "line-duplicate", line=line.number, first=wanted[key][0]))
        else:
            wanted[key] = line.number, value
    stay = {key for key, record in present.items() if not replace or _stays(zone, record)}
    future = {key: befores[key] for key in stay} | {key: value for key, (_, value) in wanted.items()}
    others = Neighbours([*(present[key] for key in stay if is_locked(present[key])), *_unlocked(future, present)])
    for key, (number, value) in wanted.items():
        if befores.get(key) != value:
            found = others.check(zone, value, own=key, before=befores.get(key))
            result.findings += [at_line(each, number) for each in found]
            if any(each.severity == "error" for each in found):
                refused.add(_place_of(value))
                continue
        result.wish[key] = value
    if replace:
        kept = stay | wanted.keys()
        for key, value in befores.items():
            if key not in kept and _place_of(value) not in refused:
                result.wish[key] = None
    result.findings.sort(key=lambda each: each.params.get("line", 0))
    return result


def _read_line(
    zone: str,
    line: Line,
    place: Place,
    present: Mapping[str, Json],
    befores: Mapping[str, Value],
    soles: Mapping[Place, str],
    limits: Limits,
    result: Import,
) -> Value | None:
    """The value of a line, or None when it is left alone, with what is to be said of it among the findings."""
    if place[0] == "SOA":
        result.findings.append(warning("", "line-soa", line=line.number))
        return None
    key = _key(line.draft, place)
    if place == ("NS", zone):
        if key not in present:
            result.findings.append(warning("", "line-apex-ns", line=line.number))
        return None
    if key in present and is_locked(present[key]):
        value, _ = check(zone, line.draft, before=befores[key], limits=limits)
        if value != befores[key]:
            result.findings.append(warning("", "line-locked", line=line.number))
        return None
    before = befores.get(key) or befores.get(soles.get(place, ""))
    draft = line.draft
    if draft.get("data") and draft["type"] in TYPES:
        draft = {**draft, "data": complete(TYPES[draft["type"]], draft["data"])}
    value, found = check(zone, draft, before=before, limits=limits)
    result.findings += [at_line(each, line.number) for each in found if before is None or each.severity == "error"]
    return value


def _stays(zone: str, record: Json) -> bool:
    """Whether an import leaves a record alone, whatever the file has: an export may lack it."""
    return is_fixed(zone, record) or is_locked(record) or record["type"] not in TYPES


def _key(draft: Mapping[str, Any], place: Place) -> str:
    """The key that a draft would have, as far as it can be read; "" for none."""
    if place[0] not in TYPES:
        return ""
    try:
        return key_of({**draft, "name": place[1]})
    except ValueError:
        return ""


def _soles(places: Sequence[Place], befores: Mapping[str, Value]) -> dict[Place, str]:
    """Place -> key, where zone and file both have one record there: it is changed, not replaced by another."""
    in_file, in_zone = Counter(places), Counter(map(_place_of, befores.values()))
    return {
        place: key for key, value in befores.items() if in_zone[place := _place_of(value)] == 1 and in_file[place] == 1
    }


def _place_of(value: Value) -> Place:
    return value["type"], value["name"]


def _place(draft: Mapping[str, Any], zone: str) -> Place:
    """Where a draft belongs; ("", "") when its name can't be read."""
    try:
        return str(draft.get("type")), full_name(str(draft.get("name")), zone)
    except ValueError:
        return "", ""


def _unlocked(future: Mapping[str, Value], present: Mapping[str, Json]) -> list[Value]:
    return [value for key, value in future.items() if key not in present or not is_locked(present[key])]
