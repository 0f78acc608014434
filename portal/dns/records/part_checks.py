"""What is wrong with the parts of the types that have some: by the table, and by what a type asks for besides. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Container, Iterator, Mapping
from typing import Any

from portal.dns.records.content_checks import host_findings, is_base64
from portal.dns.records.findings import Finding, error, warning
from portal.dns.records.text import has_invisible
from portal.dns.records.types import Part, RecordType

_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})+")
_CAA_TAG = re.compile(r"[A-Za-z0-9]{1,15}")
_URL = re.compile(r"(?:mailto:[^@\s]+@|https?://)\S+", re.IGNORECASE)

# type -> part that says the kind of a digest, part that holds it, kind -> hexadecimal digits.
# RFC 4255 3.1.2 and RFC 6594 for SSHFP, the IANA registry of DS digests, RFC 6698 2.1.3 for TLSA and SMIMEA.
_DIGESTS: dict[str, tuple[str, str, Mapping[Any, int]]] = {
    "SSHFP": ("type", "fingerprint", {1: 40, 2: 64}),
    "DS": ("digest_type", "digest", {1: 40, 2: 64, 4: 96}),
    "TLSA": ("matching_type", "certificate", {1: 64, 2: 128}),
    "SMIMEA": ("matching_type", "certificate", {1: 64, 2: 128}),
}


def part_findings(type_: RecordType, data: Mapping[str, Any], kept: Container[str] = ()) -> Iterator[Finding]:
    """Say what is wrong with parts as they were given. kept: names that the record has already, known to us or not."""
    for name in data.keys() - {part.name for part in type_.parts}:
        if name not in kept:
            yield error(f"data.{name[:64]}", "part-unknown", part=name, type=type_.name)
    for part in type_.parts:
        given = data.get(part.name)
        if given is None or (given == "" and part.kind not in ("text", "parameters")):
            if part.default is None:
                yield error(f"data.{part.name}", "part-missing", part=part.name)
        else:
            yield from _judge(type_, part, given)
    if type_.name in _DIGESTS:
        yield from _digest(type_, data)
    if type_.name == "CAA":
        yield from _caa(data)


def _judge(type_: RecordType, part: Part, given: Any) -> Iterator[Finding]:
    field = f"data.{part.name}"
    if part.kind in ("integer", "number"):
        if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
            yield error(field, "part-number", part=part.name, given=str(given))
        elif part.kind == "integer" and given != int(given):
            yield error(field, "part-whole", part=part.name, given=given)
        elif not part.least <= given <= part.most:
            yield error(field, "part-range", part=part.name, least=part.least, most=part.most, given=given)
    elif not isinstance(given, str):
        yield error(field, "part-text", part=part.name, given=str(given))
    elif part.kind in _TEXTS:
        yield from _TEXTS[part.kind](field, type_, part, given)


def _host(field: str, type_: RecordType, _part: Part, given: str) -> Iterator[Finding]:
    yield from host_findings(field, type_.name, given.strip())


def _text(field: str, _type: RecordType, part: Part, given: str) -> Iterator[Finding]:
    if has_invisible(given):
        yield error(field, "part-invisible", part=part.name, given=given)


def _hex(field: str, _type: RecordType, part: Part, given: str) -> Iterator[Finding]:
    if not _HEX.fullmatch("".join(given.split())):
        yield error(field, "part-hex", part=part.name)


def _base64(field: str, _type: RecordType, part: Part, given: str) -> Iterator[Finding]:
    if not is_base64(given):
        yield error(field, "base64", part=part.name)


def _choice(field: str, type_: RecordType, part: Part, given: str) -> Iterator[Finding]:
    if given.lower() in (each.lower() for each in part.choices):
        return
    if type_.name == "CAA" and _CAA_TAG.fullmatch(given):
        yield warning(field, "caa-tag", given=given)
    else:
        yield error(field, "part-choice", part=part.name, choices=", ".join(part.choices), given=given)


_TEXTS: dict[str, Callable[[str, RecordType, Part, str], Iterator[Finding]]] = {
    "host": _host,
    "text": _text,
    "parameters": _text,
    "hex": _hex,
    "base64": _base64,
    "choice": _choice,
}


def _digest(type_: RecordType, data: Mapping[str, Any]) -> Iterator[Finding]:
    kind, name, lengths = _DIGESTS[type_.name]
    digest, which = data.get(name), data.get(kind)
    expected = lengths.get(which) if isinstance(which, int | float) else None
    if isinstance(digest, str) and expected is not None and _HEX.fullmatch("".join(digest.split())):
        length = len("".join(digest.split()))
        if length != expected:
            yield error(f"data.{name}", "part-length", part=name, length=length, expected=expected)


def _caa(data: Mapping[str, Any]) -> Iterator[Finding]:
    if data.get("flags") not in (None, 0, 128):
        yield warning("data.flags", "caa-flags")
    if str(data.get("tag")).lower() == "iodef" and not _URL.fullmatch(str(data.get("value"))):
        yield warning("data.value", "caa-iodef")
