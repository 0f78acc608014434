"""The record types that Cloudflare keeps, as one table: their parts, ranges, and how the whole is written as text.

Sources: the official SDK's parameter types for the names of the parts, and for ranges and the order in a zone file the
RFC that is named beside each type. A record has either one text (`content`) or parts (`data`), never both: what
Cloudflare answers as content of the latter is made of the parts.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Kind = Literal["integer", "number", "host", "text", "hex", "base64", "choice", "parameters"]
ContentKind = Literal["ipv4", "ipv6", "host", "text", "base64"]

MAX_8, MAX_16, MAX_32 = 255, 65_535, 2**32 - 1


@dataclass(frozen=True, slots=True)
class Part:
    """One member of `data`.

    default   what Cloudflare takes it for when it is left out; None: it is required
    quoted    a character string in a zone file, in double quotes
    """

    name: str
    kind: Kind
    least: float = 0
    most: float = MAX_8
    default: int | float | str | None = None
    choices: tuple[str, ...] = ()
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class RecordType:
    """
    content    the kind of its one text; None: it has `parts`
    parts      in the order of a zone file; the last takes the rest of the line where it is hex, base64 or parameters
    priority   it stands beside the content, in front of it in a zone file
    is_host    its name is a host's, so underscores are odd there
    source     where its form is defined
    """

    name: str
    source: str
    content: ContentKind | None = None
    parts: tuple[Part, ...] = ()
    priority: bool = False
    proxiable: bool = False
    is_host: bool = False


def _int(name: str, most: int = MAX_8, default: int | None = None) -> Part:
    return Part(name, "integer", 0, most, default)


def _degrees(name: str, least: float, most: float, default: float | None = None) -> Part:
    return Part(name, "number", least, most, default)


_SVCB = (_int("priority", MAX_16), Part("target", "host"), Part("value", "parameters", default=""))
_TLSA = (_int("usage"), _int("selector"), _int("matching_type"), Part("certificate", "hex"))
_LOC = (
    _degrees("lat_degrees", 0, 90),
    _degrees("lat_minutes", 0, 59, 0),
    _degrees("lat_seconds", 0, 59.999, 0),
    Part("lat_direction", "choice", choices=("N", "S")),
    _degrees("long_degrees", 0, 180),
    _degrees("long_minutes", 0, 59, 0),
    _degrees("long_seconds", 0, 59.999, 0),
    Part("long_direction", "choice", choices=("E", "W")),
    _degrees("altitude", -100_000, 42_849_672.95),
    _degrees("size", 0, 90_000_000, 1),
    _degrees("precision_horz", 0, 90_000_000, 10_000),
    _degrees("precision_vert", 0, 90_000_000, 10),
)

TYPES: dict[str, RecordType] = {
    each.name: each
    for each in (
        RecordType("A", "RFC 1035 3.4.1", content="ipv4", proxiable=True, is_host=True),
        RecordType("AAAA", "RFC 3596 2.1", content="ipv6", proxiable=True, is_host=True),
        RecordType(
            "CAA",
            "RFC 8659 4.1",
            parts=(
                _int("flags", default=0),
                Part("tag", "choice", choices=("issue", "issuewild", "iodef", "issuemail", "issuevmc", "contactemail")),
                Part("value", "text", quoted=True),
            ),
        ),
        RecordType(
            "CERT",
            "RFC 4398 2",
            parts=(_int("type", MAX_16), _int("key_tag", MAX_16), _int("algorithm"), Part("certificate", "base64")),
        ),
        RecordType("CNAME", "RFC 1035 3.3.1", content="host", proxiable=True),
        RecordType(
            "DNSKEY",
            "RFC 4034 2.1",
            parts=(_int("flags", MAX_16), _int("protocol", default=3), _int("algorithm"), Part("public_key", "base64")),
        ),
        RecordType(
            "DS",
            "RFC 4034 5.1",
            parts=(_int("key_tag", MAX_16), _int("algorithm"), _int("digest_type"), Part("digest", "hex")),
        ),
        RecordType("HTTPS", "RFC 9460 9", parts=_SVCB),
        RecordType("LOC", "RFC 1876 3", parts=_LOC),
        RecordType("MX", "RFC 1035 3.3.9", content="host", priority=True, is_host=True),
        RecordType(
            "NAPTR",
            "RFC 3403 4.1",
            parts=(
                _int("order", MAX_16),
                _int("preference", MAX_16),
                Part("flags", "text", default="", quoted=True),
                Part("service", "text", default="", quoted=True),
                Part("regex", "text", default="", quoted=True),
                Part("replacement", "host", default="."),
            ),
        ),
        RecordType("NS", "RFC 1035 3.3.11", content="host"),
        RecordType("OPENPGPKEY", "RFC 7929 2", content="base64"),
        RecordType("PTR", "RFC 1035 3.3.12", content="host"),
        RecordType("SMIMEA", "RFC 8162 2", parts=_TLSA),
        RecordType(
            "SRV",
            "RFC 2782",
            parts=(_int("priority", MAX_16), _int("weight", MAX_16), _int("port", MAX_16), Part("target", "host")),
        ),
        RecordType("SSHFP", "RFC 4255 3.1", parts=(_int("algorithm"), _int("type"), Part("fingerprint", "hex"))),
        RecordType("SVCB", "RFC 9460 2", parts=_SVCB),
        RecordType("TLSA", "RFC 6698 2.1", parts=_TLSA),
        RecordType("TXT", "RFC 1035 3.3.14", content="text"),
        RecordType(
            "URI",
            "RFC 7553 4",
            parts=(_int("weight", MAX_16), Part("target", "text", quoted=True)),
            priority=True,
        ),
    )
}


def type_table() -> list[dict[str, Any]]:
    """TYPES as JSON, for forms: a list of {name, source, content, parts, priority, proxiable, is_host}."""
    return [asdict(each) for each in TYPES.values()]
