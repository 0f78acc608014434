"""A zone's records as plain data: what names one, and what of it can be written back. Pure.

A Value is what a plan holds: exactly the body with which the record is made or replaced. It has `type`, `name`, `ttl`
and `proxied`, and where they say something `content` or `data`, `priority`, `comment`, `tags`, `settings` and
`private_routing`. It is in one spelling, so that what Cloudflare respells is no change: hosts in lower case without the
final dot, TXT in quoted strings, whole numbers as integers, tags sorted, no setting that is off. Parts that we don't
know stay.

A key is made of what makes a record one of its kind, in any spelling; comment, TTL and the like don't enter into it.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from portal.dns.records import rdata
from portal.dns.records.names import canonical
from portal.dns.records.text import chunks, spelled
from portal.dns.records.types import TYPES, Part

Json = dict[str, Any]
Value = dict[str, Any]

DIGEST_CHARACTERS = 12
AUTOMATIC = 1  # a TTL that Cloudflare chooses

_SPACE = re.compile(r"\s+")


def key_of(record: Mapping[str, Any]) -> str:
    """Return "type name digest" of a record or a value, such as "A www.example.com 0a1b2c3d4e5f"."""
    type_, name = record["type"], canonical(record["name"])
    digest = hashlib.sha256(_meaning(record).encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST_CHARACTERS]
    return f"{type_} {name} {digest}"


def keyed(records: Iterable[Json]) -> dict[str, Json]:
    """Given records, return key -> record. A second one of a key, which Cloudflare forbids, has " #2" behind it."""
    found: dict[str, Json] = {}
    doubles: dict[str, list[Json]] = {}
    for record in records:
        key = key_of(record)
        if key in found:
            doubles.setdefault(key, [found[key]]).append(record)
        else:
            found[key] = record
    for key, same in doubles.items():
        for number, record in enumerate(sorted(same, key=lambda each: str(each.get("id") or "")), start=1):
            found[key if number == 1 else f"{key} #{number}"] = record
    return found


def value_of(record: Mapping[str, Any]) -> Value:
    """What of a record can be written back, in the one spelling of a Value; of a value, the same again."""
    type_ = TYPES.get(record["type"])
    value: Value = {"type": record["type"], "name": canonical(record["name"])}
    data = data_of(record)
    if data is not None:
        value["data"] = data
    else:
        value["content"] = content_of(record["type"], str(record.get("content") or ""))
    value["ttl"] = _number(record.get("ttl") or AUTOMATIC)
    value["proxied"] = bool(record.get("proxied"))
    priority = record.get("priority")
    if priority is not None and (type_ is None or type_.priority):
        value["priority"] = _number(priority)
    settings = {name: set_ for name, set_ in (record.get("settings") or {}).items() if set_}
    tags = sorted(record.get("tags") or [])
    for name, given in (("comment", record.get("comment")), ("tags", tags), ("settings", settings)):
        if given:
            value[name] = given
    if record.get("private_routing"):
        value["private_routing"] = True
    return value


def is_locked(record: Mapping[str, Any]) -> bool:
    """Whether Email Routing, or Cloudflare otherwise, keeps a record from being changed."""
    meta = record.get("meta") or {}
    return bool(meta.get("read_only") or meta.get("email_routing"))


def is_fixed(zone: str, record: Mapping[str, Any]) -> bool:
    """Whether a record belongs to the zone itself: SOA, and NS of the apex. No import or rollback touches these."""
    return record["type"] == "SOA" or (record["type"] == "NS" and canonical(record["name"]) == zone)


def content_of(type_: str, content: str) -> str:
    """The content of a type that has no parts, in the spelling of a Value; what isn't valid stays as it is."""
    known = TYPES.get(type_)
    return _SPELLED[known.content](content) if known is not None and known.content is not None else content


def data_of(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """The parts of a record in the spelling of a Value, defaults too, in the order of the table, then those unknown.

    None for types without, and for content that can't be read.
    """
    type_ = TYPES.get(record["type"])
    given = record.get("data")
    if type_ is None or not type_.parts:
        return dict(given) if given else None
    if not given:
        given, _ = rdata.read(type_, str(record.get("content") or ""), priority=record.get("priority"))
        if given is None:
            return None
    whole: dict[str, Any] = {}
    for part in type_.parts:
        each = given.get(part.name)
        if each is not None or part.default is not None:
            whole[part.name] = _part(part, part.default if each is None else each)
    return whole | {name: given[name] for name in sorted(given.keys() - whole.keys()) if given[name] is not None}


def _meaning(record: Mapping[str, Any]) -> str:
    type_ = TYPES.get(record["type"])
    data = data_of(record)
    if data is None:
        content = str(record.get("content") or "")
        text = repr(b"".join(chunks(content))) if record["type"] == "TXT" else content_of(record["type"], content)
    else:
        text = json.dumps(data | _unordered(data), sort_keys=True)
    priority = record.get("priority")
    return f"{priority:g} {text}" if type_ is not None and type_.priority and priority is not None else text


def _unordered(data: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of HTTPS and SVCB in an order of their own: it has no meaning (RFC 9460 2.1)."""
    value = data.get("value")
    return {"value": sorted(value.split(" "))} if isinstance(value, str) and "tag" not in data else {}


def _part(part: Part, given: Any) -> Any:
    return _choice(part, given) if part.kind == "choice" else _PARTS[part.kind](given)


def _choice(part: Part, given: Any) -> Any:
    """A choice as the table writes it, where it is one of them but for the case."""
    return next((each for each in part.choices if isinstance(given, str) and each.lower() == given.lower()), given)


def _number(given: Any) -> Any:
    return int(given) if isinstance(given, float) and given.is_integer() else given


def _host(given: Any) -> Any:
    return canonical(given) if isinstance(given, str) else given


def _packed(given: Any) -> Any:
    return _SPACE.sub("", given) if isinstance(given, str) else given


def _hex(given: Any) -> Any:
    return _packed(given).lower() if isinstance(given, str) else given


def _ipv6(content: str) -> str:
    try:
        return str(ipaddress.IPv6Address(content.strip()))
    except ValueError:
        return content


def _parameters(given: Any) -> Any:
    return rdata.spelled_parameters(given) if isinstance(given, str) else given


_SPELLED: dict[str, Callable[[str], str]] = {
    "ipv4": str.strip,
    "ipv6": _ipv6,
    "host": canonical,
    "text": spelled,
    "base64": _packed,
}

_PARTS: dict[str, Callable[[Any], Any]] = {
    "integer": _number,
    "number": _number,
    "host": _host,
    "text": lambda given: given,
    "hex": _hex,
    "base64": _packed,
    "parameters": _parameters,
}
