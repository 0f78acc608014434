"""What is wrong with a record, before Cloudflare says so. Pure.

A draft names what is to be; what it leaves out stays as it was, or takes its default. An error keeps a record from
being planned, a warning is said beside it. Sources: the RFC of each type (types.py), Cloudflare's documentation for
TTL, proxying, comments and tags ("Record attributes", "Time to Live", checked 2026-11).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import dns.exception
import dns.rdata
import dns.rdataclass
import dns.rdatatype
from publicsuffixlist import PublicSuffixList

from portal.dns.records import names, rdata
from portal.dns.records.content_checks import content_findings
from portal.dns.records.findings import Finding, error, warning
from portal.dns.records.neighbours import ALONE, Neighbours
from portal.dns.records.part_checks import part_findings
from portal.dns.records.text import has_invisible
from portal.dns.records.types import MAX_16, TYPES, RecordType
from portal.dns.records.values import AUTOMATIC, Value, key_of, value_of

TTL_MOST = 86_400
TAG = re.compile(r"[A-Za-z0-9_-]{1,32}(?::.{0,100})?", re.DOTALL)
_SAYS = ("content", "data", "priority")
_KEPT = ("ttl", "proxied", "comment", "tags", "settings", "private_routing")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a plan of Cloudflare's allows. comment: characters · ttl_least: seconds · tags: of one record."""

    comment: int
    ttl_least: int
    tags: int


PLANS = {
    "free": Limits(comment=100, ttl_least=60, tags=0),
    "pro": Limits(comment=500, ttl_least=60, tags=20),
    "business": Limits(comment=500, ttl_least=60, tags=20),
    "enterprise": Limits(comment=500, ttl_least=30, tags=20),
}


def limits_of(plan: str | None) -> Limits:
    """Given a zone's `plan.legacy_id`, return its limits; those of the free plan for one that isn't known."""
    return PLANS.get(plan or "free", PLANS["free"])


def check(
    zone: str,
    draft: Mapping[str, Any],
    *,
    before: Value | None = None,
    others: Sequence[Mapping[str, Any]] | Neighbours = ALONE,
    own: str | None = None,
    limits: Limits = PLANS["free"],
) -> tuple[Value | None, list[Finding]]:
    """Return a draft as Cloudflare would keep it, and what is to be said of it; None while an error stands.

    draft    members of schemas.Draft that are set, and `settings`; "" and [] take a comment and tags away
    before   the value that is edited
    others   the zone's records without this one, at least those at its name and at the name that it points to. With
             many drafts: Neighbours, made once of the zone as it will be, and `own` the key there of this one
    """
    draft = {name: given for name, given in draft.items() if given is not None}
    type_ = TYPES.get(str(draft.get("type") or (before or {}).get("type") or ""))
    if type_ is None:
        given = draft.get("type") or (before or {}).get("type")
        return None, [error("type", "type-unknown", type=str(given)) if given else error("type", "type-missing")]
    found: list[Finding] = []
    raw: dict[str, Any] = {"type": type_.name}
    raw["name"] = _name(zone, type_, draft, before, found)
    raw |= _says(type_, draft, before, found)
    raw |= _beside(type_, draft, before, limits, found)
    value = value_of(raw)
    is_other = before is not None and value.get("content") != before.get("content")
    if before is not None and is_other and type_.content == "text" and key_of(value) == key_of(before):
        value["content"] = before["content"]  # split otherwise, which means the same
    if not _has_error(found):
        found += _whole(zone, type_, value, before)
    if not _has_error(found):
        neighbours = others if isinstance(others, Neighbours) else Neighbours(others)
        found += neighbours.check(zone, value, own=own, before=before)
    return (None if _has_error(found) else value), found


def _has_error(found: Sequence[Finding]) -> bool:
    return any(each.severity == "error" for each in found)


def _name(zone: str, type_: RecordType, draft: Mapping[str, Any], before: Value | None, found: list[Finding]) -> str:
    if "name" not in draft:
        if before is None:
            found.append(error("name", "name-missing"))
            return zone
        return str(before["name"])
    given = str(draft["name"])
    try:
        full = names.full_name(given, zone)
    except ValueError as wrong:
        found.append(error("name", "name-idna", name=given, reason=str(wrong)))
        return zone
    if full != zone and not full.endswith(f".{zone}"):
        found.append(error("name", "name-outside", name=given, zone=zone))
        return zone
    if before is not None and before["name"] == full:
        return full
    for code, label in names.faults(full):
        found.append((warning if code == "name-idn" else error)("name", code, label=label))
    is_completed = full == f"{names.canonical(given)}.{zone}" and "." in given.strip(".")
    if is_completed and _suffixes().privatesuffix(names.canonical(given)):
        found.append(warning("name", "name-completed", name=given, full=full))
    labels = full.split(".")
    if type_.is_host and any("_" in label for label in labels):
        found.append(warning("name", "name-underscore"))
    if type_.name in ("SRV", "TLSA") and not all(label.startswith("_") for label in labels[:2]):
        found.append(warning("name", f"name-{type_.name.lower()}"))
    return full


def _says(type_: RecordType, draft: Mapping[str, Any], before: Value | None, found: list[Finding]) -> dict[str, Any]:
    """Content or data, and priority. What was so before is not judged again."""
    old = before if before is not None and before["type"] == type_.name else {}
    asked = [name for name in _SAYS if name in draft]
    if old and all(draft[name] == old.get(name) for name in asked):
        return {name: old[name] for name in _SAYS if name in old}
    said = (_parts if type_.parts else _content)(type_, draft, old, found)
    if type_.priority:
        said["priority"] = priority = draft.get("priority", old.get("priority"))
        if priority is None:
            found.append(error("priority", "priority-missing", type=type_.name))
        elif not isinstance(priority, int | float) or not 0 <= priority <= MAX_16 or priority != int(priority):
            found.append(error("priority", "part-range", part="priority", least=0, most=MAX_16, given=priority))
    elif "priority" in draft and not _has_priority(type_):
        found.append(warning("priority", "priority-unexpected", type=type_.name))
    return said


def _parts(type_: RecordType, draft: Mapping[str, Any], old: Mapping[str, Any], found: list[Finding]) -> dict[str, Any]:
    """The parts that are given, over those that were there; content is read as all of them."""
    given = dict(draft.get("data") or {})
    if "content" in draft and not given:
        content = str(draft["content"])
        read, why = rdata.read(type_, content, priority=draft.get("priority"))
        if read is None:
            found.append(error("content", "data-unreadable", content=content, type=type_.name, reason=str(why)))
            return {"content": content}
        given = read
    if "priority" in draft and _has_priority(type_):
        given.setdefault("priority", draft["priority"])
    data = dict(old.get("data") or {}) | given
    if data:
        found += part_findings(type_, data, old.get("data") or ())
    else:
        found.append(error("data", "data-missing", type=type_.name))
    return {"data": data}


def _content(
    type_: RecordType, draft: Mapping[str, Any], old: Mapping[str, Any], found: list[Finding]
) -> dict[str, Any]:
    if draft.get("data"):
        found.append(error("data", "data-unexpected", type=type_.name))
    content = str(draft.get("content", old.get("content", "")))
    found += content_findings(type_, content if type_.content == "text" else content.strip())
    return {"content": content if type_.content == "text" else content.strip()}


def _has_priority(type_: RecordType) -> bool:
    """Whether priority is one of the parts."""
    return bool(type_.parts) and type_.parts[0].name == "priority"


def _beside(
    type_: RecordType, draft: Mapping[str, Any], before: Value | None, limits: Limits, found: list[Finding]
) -> dict[str, Any]:
    """TTL, proxied, comment, tags and settings. What was so before is not judged again."""
    old = {name: (before or {}).get(name) for name in _KEPT}
    kept = {name: draft.get(name, old[name]) for name in _KEPT}
    is_proxied = bool(kept["proxied"])
    if is_proxied and not type_.proxiable:
        if "proxied" in draft:
            found.append(error("proxied", "proxied-type", type=type_.name))
        kept["proxied"] = is_proxied = False
    ttl = kept["ttl"] if kept["ttl"] is not None else AUTOMATIC
    if is_proxied and ttl != AUTOMATIC:
        if "ttl" in draft:
            found.append(warning("ttl", "ttl-proxied"))
        ttl = AUTOMATIC
    elif ttl != old["ttl"] and ttl != AUTOMATIC and not limits.ttl_least <= ttl <= TTL_MOST:
        found.append(error("ttl", "ttl-range", least=limits.ttl_least, most=TTL_MOST, given=ttl))
    kept["ttl"] = ttl
    if type_.name not in ("A", "AAAA"):
        kept["private_routing"] = None
    found += _attribute_findings(kept, old, limits)
    return {name: given for name, given in kept.items() if given is not None}


def _attribute_findings(kept: Mapping[str, Any], old: Mapping[str, Any], limits: Limits) -> Iterator[Finding]:
    comment, tags = str(kept["comment"] or ""), list(kept["tags"] or [])
    if comment != (old["comment"] or ""):
        if len(comment) > limits.comment:
            yield error("comment", "comment-too-long", length=len(comment), most=limits.comment)
        if has_invisible(comment):
            breaks = any(each in comment for each in "\r\n")
            yield (error if breaks else warning)("comment", "comment-invisible", text=comment)
    if sorted(tags) == sorted(old["tags"] or []):
        return
    for tag in tags:
        if not TAG.fullmatch(tag) or has_invisible(tag):
            yield error("tags", "tag-invalid", tag=tag)
    if tags and not limits.tags:
        yield warning("tags", "tags-plan")
    elif len(tags) > limits.tags:
        yield error("tags", "tags-too-many", most=limits.tags)


def _whole(zone: str, type_: RecordType, value: Value, before: Value | None) -> Iterator[Finding]:
    """What is to be said of name and content together. Last, what dnspython can't read is no record."""
    name, is_apex = value["name"], value["name"] == zone
    if type_.name == "CNAME":
        if value["content"] == name:
            yield error("content", "cname-self")
        elif is_apex:
            yield warning("name", "cname-apex")
    if type_.name == "NS" and is_apex:
        yield warning("name", "ns-apex")
    if type_.name == "DS" and is_apex:
        yield error("name", "ds-apex")
    if type_.name == "MX" and value["content"] == "." and value["priority"] != 0:
        yield warning("priority", "mx-null")
    if type_.name == "TXT" and not name.startswith("_dmarc.") and value["content"].lower().startswith('"v=dmarc1'):
        yield warning("name", "dmarc-name")
    if type_.parts and (before is None or before.get("data") != value["data"]):
        try:
            dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.from_text(type_.name), rdata.line_of(value))
        except (dns.exception.DNSException, ValueError, OverflowError) as wrong:
            yield error("data", "data-invalid", type=type_.name, reason=str(wrong) or type(wrong).__name__)


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList(accept_unknown=False)
