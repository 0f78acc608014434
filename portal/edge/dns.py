"""DNS records as far as mail needs them: compared by meaning, and an SPF record merged. Pure.

By meaning: names and host names without case and trailing dot, TXT without its quotes and the splits between them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Json = dict[str, Any]

SPF = "v=spf1"
CLOCKS_APART_S = 600
KEPT_FIELDS = ("type", "name", "content", "ttl", "priority", "proxied", "comment", "tags", "data", "settings")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ALL = re.compile(r"^(?:[-~?+]?all|redirect=.*)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a zone lacks for Email Routing.

    missing      records to be made, as Cloudflare listed them, with full names
    foreign_mx   MX records of the zone itself that lead elsewhere
    merges       (SPF record, its new content)
    problems     what only a person can decide
    """

    missing: tuple[Json, ...]
    foreign_mx: tuple[Json, ...]
    merges: tuple[tuple[Json, str], ...]
    problems: tuple[str, ...]


def compare(zone: str, records: list[Json], needed: list[Json], *, is_ready: bool) -> Comparison:
    """Given a zone's records and those that Email Routing needs, return what to do.

    is_ready   Email Routing says that it has all of them: some zones do not show those that it made itself
    """
    wanted = [record | {"name": full_name(record.get("name") or "@", zone)} for record in needed]
    present = {meaning(record) for record in records}
    mx = {meaning(record)[2] for record in wanted if record["type"] == "MX"}
    foreign_mx = [
        record
        for record in records
        if record["type"] == "MX" and _host(record["name"]) == zone and meaning(record)[2] not in mx
    ]
    missing, merges, problems = [], [], []
    for record in wanted:
        if meaning(record) in present:
            continue
        if not is_spf(record):
            missing.append(record)
            continue
        found = [each for each in records if is_spf(each) and _host(each["name"]) == record["name"]]
        if not found:
            missing.append(record)
        elif len(found) > 1:
            problems.append(f"{record['name']} has {len(found)} SPF records, and only one is allowed (RFC 7208 3.2)")
        elif merged := merge_spf(text_of(found[0]["content"]), text_of(record["content"] or "")):
            merges.append((found[0], merged))
    return Comparison(() if is_ready else tuple(missing), tuple(foreign_mx), tuple(merges), tuple(problems))


def merge_spf(present: str, needed: str) -> str | None:
    """Given two SPF records, return the first with what it lacks of the second, or None if it lacks nothing.

    Only mechanisms that name others (include:, a, mx, ip4: ...) are taken over, in front of `all` or `redirect=`, so
    that what the present record says of everybody else stays as it is.
    """
    terms = present.split()
    known = {term.lower().lstrip("+") for term in terms}
    lacking = [term for term in needed.split()[1:] if not _ALL.match(term) and term.lower().lstrip("+") not in known]
    if not lacking:
        return None
    end = next((number for number, term in enumerate(terms) if _ALL.match(term)), len(terms))
    return " ".join([*terms[:end], *lacking, *terms[end:]])


def is_spf(record: Json) -> bool:
    return record["type"] == "TXT" and (text_of(record.get("content") or "").lower() + " ").startswith(f"{SPF} ")


def text_of(content: str) -> str:
    """The text of a TXT record, whether it is written with quotes or without."""
    content = content.strip()
    parts = _QUOTED.findall(content)
    return re.sub(r"\\(.)", r"\1", "".join(parts)) if content.startswith('"') and parts else content


def meaning(record: Json) -> tuple[str, str, str]:
    """What two records have in common if they say the same, the priority of an MX aside."""
    content = record.get("content") or ""
    return record["type"], _host(record["name"]), text_of(content) if record["type"] == "TXT" else _host(content)


def full_name(name: str, zone: str) -> str:
    name = _host(name)
    if name == "@":
        return zone
    return name if name == zone or name.endswith(f".{zone}") else f"{name}.{zone}"


def label(record: Json) -> str:
    """What names a record in edge.json and in a plan's line."""
    return " ".join(meaning(record))


def exact_label(record: Json) -> str:
    """As `label`, with the priority: one host may stand in two MX records of a name."""
    priority = record.get("priority")
    return label(record) if priority is None else f"{label(record)} {priority:g}"


def shown(record: Json) -> str:
    priority = f"{record['priority']:g} " if record.get("priority") is not None else ""
    return f"{priority}{record.get('content') or ''}"


def writable(record: Json) -> Json:
    """The fields of a record that can be written back, as they are: zero and empty ones too."""
    return {name: record[name] for name in KEPT_FIELDS if record.get(name) is not None}


def is_not_older(created_at: str | None, at: float) -> bool:
    """Whether a thing of Cloudflare's was made at a time or later, clocks apart; true where its time is not known."""
    try:
        return created_at is None or datetime.fromisoformat(created_at).timestamp() >= at - CLOCKS_APART_S
    except ValueError:
        return True


def _host(name: str) -> str:
    return name.rstrip(".").lower()
