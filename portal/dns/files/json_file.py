"""A zone as JSON: exact values, for other programs and for keeping.

    {"zone": "example.com", "records": [{"type": "MX", "name": "example.com", "content": "mx.example.net", ...}]}

Read is also a list alone, and Cloudflare's own answer with its `result`. A record says all of itself: one without a
comment has none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from portal.dns.files.lines import RECORDS_MAX, Line, read_json
from portal.dns.records.findings import Finding, error
from portal.dns.records.sorting import in_order
from portal.dns.records.values import value_of

_MEMBERS = {
    "type": str, "name": str, "content": str, "data": dict, "priority": int | float, "ttl": int | float,
    "proxied": bool, "comment": str, "tags": list, "settings": dict, "private_routing": bool,
}  # fmt: skip
_ABSENT: dict[str, Any] = {"ttl": 1, "proxied": False, "comment": "", "tags": [], "settings": {}}


def dump(zone: str, records: Iterable[Mapping[str, Any]]) -> str:
    """Write records or values; equal zones give equal bytes."""
    return (
        json.dumps({"zone": zone, "records": in_order(zone, map(value_of, records))}, ensure_ascii=False, indent=1)
        + "\n"
    )


def parse(zone: str, text: str) -> tuple[list[Line], list[Finding]]:
    """Read records; the number of a line is the place in the list, from 1."""
    try:
        given = read_json(text)
    except ValueError as wrong:
        return [], [error("", "file-form", reason=str(wrong))]
    if isinstance(given, dict):
        given = given.get("records", given.get("result"))
    if not isinstance(given, list):
        return [], [error("", "file-form", reason="there is no list of records")]
    lines: list[Line] = []
    found: list[Finding] = []
    for number, each in enumerate(given[:RECORDS_MAX], start=1):
        reason = _fault(each)
        if reason is None:
            draft = _ABSENT | {name: each[name] for name in _MEMBERS if each.get(name) is not None}
            if draft.get("data"):  # what Cloudflare writes as content is made of it
                draft.pop("content", None)
            lines.append(Line(number, draft))
        else:
            found.append(error("", "line-unreadable", line=number, reason=reason))
    if len(given) > RECORDS_MAX:
        found.append(error("", "line-too-many", most=RECORDS_MAX))
    return lines, found


def _fault(given: object) -> str | None:
    if not isinstance(given, dict):
        return "it is no object"
    for name, kind in _MEMBERS.items():
        each = given.get(name)
        if each is not None and (not isinstance(each, kind) or (isinstance(each, bool) and kind is not bool)):
            return f"{name} is of the wrong type"
    if not all(isinstance(tag, str) for tag in given.get("tags") or []):
        return "a tag is no text"
    return None
