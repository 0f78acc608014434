"""DNS records as Cloudflare sends them: compared by meaning, what can be written back, an SPF record merged. Pure.

By meaning: names and host names without case and trailing dot, TXT without its quotes and the splits between them.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

Json = dict[str, Any]

SPF = "v=spf1"
CLOCKS_APART_S = 600
KEPT_FIELDS = (
    *("type", "name", "content", "ttl", "priority", "proxied", "comment", "tags", "data", "settings"),
    "private_routing",
)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(rb"\\(\d{3}|.)", re.DOTALL)
_ALL = re.compile(r"^(?:[-~?+]?all|redirect=.*)$", re.IGNORECASE)


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
    """The text of a TXT record, whether it is written with quotes or without.

    Inside quotes `\\DDD` is a byte (RFC 1035 5.1), of which several may be one character; bytes that are no UTF-8 stay
    as they are written.
    """
    content = content.strip()
    parts = _QUOTED.findall(content)
    if not content.startswith('"') or not parts:
        return content
    raw = b"".join(_ESCAPE.sub(_byte, part.encode("utf-8", "surrogatepass")) for part in parts)
    text = raw.decode("utf-8", "surrogateescape")
    return "".join(f"\\{ord(each) - 0xDC00:03d}" if "\udc80" <= each <= "\udcff" else each for each in text)


def _byte(escape: re.Match[bytes]) -> bytes:
    given = escape[1]
    return bytes([int(given)]) if len(given) == 3 and int(given) < 256 else given


def meaning(record: Json) -> tuple[str, str, str]:
    """What two records have in common if they say the same, the priority of an MX aside."""
    content = record.get("content") or ""
    return record["type"], host(record["name"]), text_of(content) if record["type"] == "TXT" else host(content)


def full_name(name: str, zone: str) -> str:
    name = host(name)
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


def host(name: str) -> str:
    """A host name in the one form in which it is compared."""
    return name.rstrip(".").lower()
