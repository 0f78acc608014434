"""Zones made up by Hypothesis: every type, with the attributes and the texts that get lost or break things elsewhere.

    @given(records(), st.randoms())
    def test_...(zone: list[Value], ...): ...

`records()` gives values as `records.value_of` would, that may stand together in ZONE; `as_records` makes them look as
Cloudflare answers. `value(type)` gives one.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from functools import cache
from typing import Any

from hypothesis import strategies as st

from portal.dns.records import rdata
from portal.dns.records.neighbours import Neighbours
from portal.dns.records.text import CHUNK_BYTES, quoted
from portal.dns.records.types import TYPES, Part
from portal.dns.records.values import Json, Value, key_of, value_of

ZONE = "example.com"
COMMENT_MAX = 100

_LABELS = ("www", "mail", "a-b", "_dmarc", "sel._domainkey", "xn--r8jz45g", "xn--mgbh0fb", "*", "*.deep", "x" * 63, "0")
_HOSTS = (
    "mail.example.net",
    "xn--r8jz45g.example.net",
    "a.b.c.example.org",
    f"{'y' * 63}.example.net",
    "_x.example.net",
)
_SEEN = st.characters(exclude_categories=["Cs", "Cc", "Cf", "Co", "Cn", "Zl", "Zp"])
_ANY = st.characters(exclude_categories=["Cs"])
_HOSTILE = st.sampled_from(
    (
        *('"', "\\", '\\"', "\\092", ";", "; cf_tags=a", " ", "\t", "'", "@", "( open", "v=spf2", "日本語"),
        *("=cmd|' /C calc'!A0", "<script>alert(1)</script>", "$INCLUDE /etc/passwd", "a\nb", "\x00\x1b[31m"),
        *("\u202egnp.exe", "é" * 127 + "a", "a" * 4000),
    )
)
_TAGS = st.lists(
    st.sampled_from(
        ("awesome", "team:web", "note:with, a comma", 'quote:a "b" c', "eq:a=b", "back:a\\b", "UPPER:Case")
    ),
    unique=True,
    max_size=3,
).map(sorted)


@cache  # making a strategy costs more than drawing from it
def names() -> st.SearchStrategy[str]:
    return st.one_of(
        st.just(ZONE),
        st.sampled_from(_LABELS).map(lambda label: f"{label}.{ZONE}"),
        st.from_regex(r"[a-z0-9](?:[a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
        .filter(lambda label: not label.startswith("xn--"))
        .map(lambda label: f"{label}.{ZONE}"),
    )


def texts() -> st.SearchStrategy[str]:
    """Content of TXT as text: short, long, hostile."""
    return st.one_of(_HOSTILE, st.text(_ANY, min_size=1, max_size=40)).filter(lambda text: text.strip() != "")


@cache
def contents(type_name: str) -> st.SearchStrategy[dict[str, Any]]:
    """What a record of a type says: content or data, and priority."""
    type_ = TYPES[type_name]
    said: dict[str, st.SearchStrategy[Any]] = {}
    if type_.parts:
        said["data"] = st.fixed_dictionaries({part.name: _part(type_name, part) for part in type_.parts})
    else:
        assert type_.content is not None
        said["content"] = {
            "ipv4": st.ip_addresses(v=4).map(str),
            "ipv6": st.ip_addresses(v=6).map(str),
            "host": st.sampled_from(_HOSTS),
            "text": texts().map(_quoted),
            "base64": st.binary(min_size=1, max_size=40).map(lambda raw: base64.b64encode(raw).decode()),
        }[type_.content]
    if type_.priority:
        said["priority"] = st.sampled_from((0, 0, 1, 10, 65_535))
    return st.fixed_dictionaries(said)


@cache
def value(type_name: str | None = None) -> st.SearchStrategy[Value]:
    """One value that is valid by itself."""
    if type_name is None:
        return st.sampled_from(sorted(TYPES)).flatmap(value)
    attributes = {
        "type": st.just(type_name),
        "name": names().filter(ZONE.__ne__) if type_name in ("DS", "NS") else names(),
        "ttl": st.sampled_from((1, 60, 300, 86_400)),
        "proxied": st.booleans() if TYPES[type_name].proxiable else st.just(False),
        "comment": st.one_of(st.just(""), _comments()),
        "tags": _TAGS,
        "settings": st.sampled_from(({}, {"flatten_cname": True})) if type_name == "CNAME" else st.just({}),
    }
    return st.builds(_value, st.fixed_dictionaries(attributes), contents(type_name))


def _value(attributes: dict[str, Any], said: dict[str, Any]) -> Value:
    return value_of(attributes | said | ({"ttl": 1} if attributes["proxied"] else {}))


@st.composite
def records(draw: st.DrawFn, *, max_size: int = 12) -> list[Value]:
    """A zone's values: each valid, and none that Cloudflare or DNS refuses beside the others."""
    found: dict[str, Value] = {}
    for each in draw(st.lists(value(), max_size=max_size)):
        judged = Neighbours(found.values()).check(ZONE, each, own=None, before=None)
        if not any(finding.severity == "error" for finding in judged):
            found[key_of(each)] = each
    return list(found.values())


def as_records(values: Iterable[Value]) -> list[Json]:
    """Values as Cloudflare answers them: with an id and content everywhere, null and empty where nothing is."""
    return [
        {
            "id": f"{number:032x}",
            "content": rdata.content_of(each),
            "comment": None,
            "tags": [],
            "settings": {},
            "meta": {},
            "proxiable": TYPES[each["type"]].proxiable,
            "created_on": "2026-01-01T00:00:00Z",
            "modified_on": "2026-01-01T00:00:00Z",
            **each,
        }
        for number, each in enumerate(values, start=1)
    ]


@cache
def _comments() -> st.SearchStrategy[str]:
    hostile = ("; not a comment", "x cf_tags= y", "=1+1", 'a "b" \\ c', "'", "日本語のコメント", "x" * COMMENT_MAX)
    return st.one_of(st.sampled_from(hostile), st.text(_SEEN, min_size=1, max_size=30)).map(str.strip).filter(bool)


def _quoted(text: str) -> str:
    raw = text.encode()[:4000].decode("utf-8", "ignore").encode()
    return " ".join(quoted(raw[start : start + CHUNK_BYTES]) for start in range(0, len(raw), CHUNK_BYTES))


def _part(type_name: str, part: Part) -> st.SearchStrategy[Any]:
    if (type_name, part.name) in _SPECIAL:
        return _SPECIAL[type_name, part.name]
    match part.kind:
        case "integer":
            return st.integers(int(part.least), int(part.most))
        case "number":
            return st.integers(int(part.least), min(int(part.most), 1000))
        case "host":
            return st.sampled_from((*_HOSTS, "."))
        case "text":
            return st.sampled_from(
                ("letsencrypt.org", "https://example.net/a?b=c;d", 'a "quoted" \\ one', "日本語", "'", "=1")
            )
        case "hex":
            return st.binary(min_size=20, max_size=20).map(bytes.hex)
        case "base64":
            return st.binary(min_size=1, max_size=70).map(lambda raw: base64.b64encode(raw).decode())
        case "choice":
            return st.sampled_from(part.choices)
        case _:
            return st.sampled_from(("", 'alpn="h3,h2"', 'alpn="h2" ipv4hint="192.0.2.1,192.0.2.2"', 'port="8443"'))


_SECONDS = st.integers(0, 59_999).map(lambda thousandths: thousandths / 1000)
_SPECIAL: dict[tuple[str, str], st.SearchStrategy[Any]] = {
    ("CAA", "flags"): st.sampled_from((0, 128)),
    ("DS", "digest_type"): st.just(1),
    ("SSHFP", "type"): st.just(1),
    ("TLSA", "matching_type"): st.just(0),
    ("SMIMEA", "matching_type"): st.just(0),
    ("SVCB", "priority"): st.integers(1, 65_535),
    ("HTTPS", "priority"): st.integers(1, 65_535),
    ("NAPTR", "flags"): st.sampled_from(("", "S", "u")),
    ("NAPTR", "service"): st.sampled_from(("", "SIP+D2U", "E2U+sip")),
    ("NAPTR", "regex"): st.sampled_from(("", "!^.*$!sip:info@example.com!", r"!^(.*)$!\1!")),
    ("LOC", "lat_seconds"): _SECONDS,
    ("LOC", "long_seconds"): _SECONDS,
    ("LOC", "lat_degrees"): st.integers(0, 89),
    ("LOC", "long_degrees"): st.integers(0, 179),
    ("LOC", "altitude"): st.sampled_from((-100, 0, 12.5, 4000)),
    ("LOC", "size"): st.sampled_from((0, 1, 50, 2000)),
    ("LOC", "precision_horz"): st.sampled_from((0, 10, 10_000)),
    ("LOC", "precision_vert"): st.sampled_from((0, 2, 10)),
}
