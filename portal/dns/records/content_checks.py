"""What is wrong with the content of the types that have one text. Pure."""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Callable, Iterator

from portal.dns.records import names
from portal.dns.records.findings import Finding, error, warning
from portal.dns.records.text import chunks, has_invisible, is_well_quoted, text_of
from portal.dns.records.types import RecordType

TEXT_LONG, TEXT_MOST, CHUNK = 2048, 4096, 255  # bytes

_CARRIER = ipaddress.ip_network("100.64.0.0/10")  # RFC 6598


def content_findings(type_: RecordType, content: str) -> Iterator[Finding]:
    """Say what is wrong with content as it was written."""
    if not content.strip():
        yield error("content", "content-missing", type=type_.name)
    elif type_.content is not None:
        yield from _KINDS[type_.content](type_.name, content)


def host_findings(field: str, type_name: str, host: str) -> Iterator[Finding]:
    """Of a name that a record points to, as it was written."""
    if host == ".":
        return
    if _is_address(host):
        yield error(field, "target-is-address", host=host, type=type_name)
        return
    try:
        full = names.a_labels(host)
    except ValueError as wrong:
        yield error(field, "host-idna", host=host, reason=str(wrong))
        return
    for code, label in names.host_faults(full):
        known = _HOST_CODES[code]
        yield (warning if known == "host-idn" else error)(field, known, label=label)
    if "." not in full:
        yield warning(field, "host-single", host=host)
    if "_" in full and type_name in ("MX", "NS", "SRV"):
        yield warning(field, "host-underscore")


_HOST_CODES = {
    "name-too-long": "host-too-long",
    "name-label-too-long": "host-too-long",
    "name-empty-label": "host-characters",
    "name-wildcard": "host-wildcard",
    "host-wildcard": "host-wildcard",
    "name-characters": "host-characters",
    "name-idn": "host-idn",
}


def _ipv4(_type: str, content: str) -> Iterator[Finding]:
    try:
        address = ipaddress.IPv4Address(content)
    except ValueError:
        yield error("content", "address-v4", content=content)
        return
    yield from _reach(address)


def _ipv6(_type: str, content: str) -> Iterator[Finding]:
    try:
        address = ipaddress.IPv6Address(content)
        if address.scope_id:
            raise ValueError("a zone index has a meaning on one machine only")
    except ValueError:
        yield error("content", "address-v6", content=content)
        return
    yield from _reach(address)


def _reach(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> Iterator[Finding]:
    if not address.is_global or address.is_multicast:
        yield warning("content", "address-private", content=str(address), kind=_kind(address))


def _kind(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    kinds = (
        (address.is_unspecified, "no host's"),
        (address.is_loopback, "loopback"),
        (address.is_link_local, "link-local"),
        (address.is_multicast, "multicast"),
        (address.version == 4 and address in _CARRIER, "a provider's own (CGNAT)"),
        (address.is_private, "private"),
    )
    return next((kind for is_so, kind in kinds if is_so), "reserved")


def _host(type_: str, content: str) -> Iterator[Finding]:
    if content == "." and type_ != "MX":
        yield error("content", "content-missing", type=type_)
    yield from host_findings("content", type_, content)


def _text(_type: str, content: str) -> Iterator[Finding]:
    if not is_well_quoted(content):
        yield error("content", "txt-quotes")
        return
    strings = chunks(content)
    length = sum(map(len, strings))
    if not length:
        yield error("content", "content-missing", type="TXT")
    if length > TEXT_MOST:
        yield error("content", "txt-too-long", length=length)
    elif length > TEXT_LONG:
        yield warning("content", "txt-long", length=length)
    elif length > CHUNK and not content.lstrip().startswith('"'):
        yield warning("content", "txt-split", length=length, chunks=len(strings))
    text = text_of(b"".join(strings))
    if has_invisible(text):
        yield warning("content", "txt-invisible", text=text)
    elif not text.isascii():
        yield warning("content", "txt-not-ascii")


def is_base64(text: str) -> bool:
    try:
        base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _base64(_type: str, content: str) -> Iterator[Finding]:
    if not is_base64(content):
        yield error("content", "base64", part="content")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return False
    return True


_KINDS: dict[str, Callable[[str, str], Iterator[Finding]]] = {
    "ipv4": _ipv4,
    "ipv6": _ipv6,
    "host": _host,
    "text": _text,
    "base64": _base64,
}
