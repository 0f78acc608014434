"""What can be wrong with a record, each with a code that stays: the front end translates by it. Pure.

CODES is the whole list; its texts are English and have the finding's params in braces. What came from outside is in
quotes already.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from portal.dns.records.text import shown

Severity = Literal["error", "warning"]

CODES: dict[str, str] = {
    # the whole
    "type-missing": "a record needs a type",
    "type-unknown": "{type} is no record type that can be kept here",
    "locked": "Email Routing keeps this record; it can be changed only by switching Email Routing off",
    "duplicate": "there is a record with the same content already",
    # name
    "name-missing": "a record needs a name; @ is the zone itself",
    "name-outside": "{name} is not in the zone {zone}",
    "name-completed": "{name} looks like a name of its own; the record will be {full}",
    "name-too-long": "the name is longer than 253 characters",
    "name-label-too-long": "the part {label} is longer than 63 characters",
    "name-empty-label": "the name has two dots in a row, or begins with one",
    "name-wildcard": "a star can only be the whole first part of a name, not {label}",
    "name-characters": "the part {label} may have only letters, digits, _ and -, and no hyphen at its ends",
    "name-idn": "the part {label} begins with xn-- and is no valid international name",
    "name-idna": "{name} can't be written as an international name: {reason}",
    "name-underscore": "an underscore is unusual in the name of a host (RFC 1123 2.1)",
    "name-srv": "the name of an SRV record begins with _service._protocol (RFC 2782)",
    "name-tlsa": "the name of a TLSA record begins with _port._protocol (RFC 6698 3)",
    # content
    "content-missing": "{type} records need content",
    "address-v4": "{content} is no IPv4 address",
    "address-v6": "{content} is no IPv6 address",
    "address-private": "{content} can't be reached from the internet: it is {kind}",
    "base64": "{part} is no base64",
    "txt-quotes": 'a double quote is not closed; inside of quotes write it as \\"',
    "txt-long": "the text has {length} bytes; over 2,048 some resolvers and Cloudflare's plans refuse it",
    "txt-too-long": "the text has {length} bytes, and 4,096 is the most",
    "txt-split": "the text has {length} bytes and is sent in {chunks} strings of up to 255, which is read as one text",
    "txt-invisible": "the text has characters that can't be seen: {text}",
    "txt-not-ascii": "the text has characters beyond ASCII; who reads it may not expect UTF-8",
    "spf-second": "{name} has an SPF record already, and two are none (RFC 7208 3.2): change that one",
    "dmarc-second": "{name} has a DMARC record already, and two are none (RFC 7489 6.6.3): change that one",
    "dmarc-name": "a DMARC record is looked for at a name that begins with _dmarc",
    # what it points to
    "host-characters": "{label} can't be part of a host name",
    "host-too-long": "a host name has at most 253 characters, and its parts 63",
    "host-wildcard": "a record can't point to a name with a star",
    "host-idn": "the part {label} begins with xn-- and is no valid international name",
    "host-idna": "{host} can't be written as an international name: {reason}",
    "host-single": "{host} has one part only; a full name was probably meant",
    "host-underscore": "an underscore is unusual in the name of a host (RFC 1123 2.1)",
    "target-is-address": "{host} is an address; {type} records point to a name",
    "target-is-cname": "{host} is a CNAME, and {type} records must not point to one (RFC 2181 10.3)",
    "target-missing": "the zone has no record for {host}",
    "cname-self": "a CNAME can't point to itself",
    "cname-conflict": "{name} has {types} records, and a CNAME stands alone at its name (RFC 1034 3.6.2)",
    "cname-there": "{name} is a CNAME already, which stands alone at its name (RFC 1034 3.6.2)",
    "cname-beside": "{name} also has {types} records; a CNAME that isn't proxied hides them (RFC 1034 3.6.2)",
    "cname-apex": "Cloudflare answers with the addresses behind a CNAME of the zone itself (CNAME flattening)",
    "mx-null": "a record that says that there is no mail has priority 0 and stands alone (RFC 7505 3)",
    "mx-email-routing": "Email Routing keeps the MX records of {name}; switch it off to receive mail elsewhere",
    "ns-apex": "Cloudflare ignores NS records of the zone itself unless it has custom name servers",
    "ds-apex": "the DS record of a zone stands in the zone above it",
    "ds-without-ns": "a DS record needs NS records at the same name",
    # parts
    "data-missing": "{type} records need their parts",
    "data-unexpected": "{type} records have no parts, only content",
    "data-unreadable": "{content} is no {type} record: {reason}",
    "data-invalid": "this is no {type} record: {reason}",
    "part-unknown": "{type} records have no part {part}",
    "part-missing": "{part} is missing",
    "part-number": "{part} must be a number, not {given}",
    "part-whole": "{part} must be a whole number, not {given}",
    "part-range": "{part} must be from {least} to {most}, not {given}",
    "part-text": "{part} must be a text, not {given}",
    "part-invisible": "{part} has characters that can't be seen: {given}",
    "part-choice": "{part} must be one of {choices}, not {given}",
    "part-hex": "{part} must be written in pairs of hexadecimal digits",
    "part-length": "{part} has {length} hexadecimal digits, and this kind has {expected}",
    "caa-tag": "{given} is no tag that certificate authorities know",
    "caa-flags": "the flags of a CAA record are 0, or 128 for critical",
    "caa-iodef": "the value of iodef is a mailto: or https: address",
    # what stands beside
    "priority-missing": "{type} records need a priority",
    "priority-unexpected": "{type} records have no priority; it is left out",
    "ttl-range": "a TTL is 1 (automatic) or from {least} to {most} seconds, not {given}",
    "ttl-proxied": "the TTL of a proxied record is always automatic",
    "proxied-type": "{type} records can't be proxied; only A, AAAA and CNAME",
    "comment-too-long": "the comment has {length} characters, and this plan allows {most}",
    "comment-invisible": "the comment has characters that can't be seen or break the line: {text}",
    "tags-plan": "this plan has no tags; Cloudflare may refuse them",
    "tags-too-many": "a record has at most {most} tags",
    "tag-invalid": "{tag} is no tag: name or name:value, the name of letters, digits, - and _",
    # files
    "line-unreadable": "line {line}: {reason}",
    "line-duplicate": "line {line} says the same as line {first}",
    "line-class": "line {line}: only the class IN is kept, not {given}",
    "line-include": "line {line}: $INCLUDE is not followed",
    "line-generate": "line {line}: $GENERATE is not carried out; write the records themselves",
    "line-directive": "line {line}: {given} is not known",
    "line-too-many": "the file has more than {most} records; the rest was not read",
    "line-soa": "line {line}: the SOA record is Cloudflare's own and stays as it is",
    "line-apex-ns": "line {line}: the name servers of the zone itself stay as they are",
    "line-locked": "line {line}: Email Routing keeps this record; it stays as it is",
    "line-type-kept": "line {line}: {type} records can't be written here; those that are there stay as they are",
    "file-form": "the file can't be read: {reason}",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """field: the draft's member, such as "content" or "data.port"; "" for the whole. params: see CODES, and `line`."""

    field: str
    code: str
    params: Mapping[str, Any]
    text: str
    severity: Severity = "error"


def error(field: str, code: str, **params: Any) -> Finding:
    return _finding(field, code, "error", params)


def warning(field: str, code: str, **params: Any) -> Finding:
    return _finding(field, code, "warning", params)


def at_line(finding: Finding, line: int) -> Finding:
    """The same, of a line of a file."""
    if "line" in finding.params:
        return finding
    params = {**finding.params, "line": line}
    return Finding(finding.field, finding.code, params, f"line {line}: {finding.text}", finding.severity)


def _finding(field: str, code: str, severity: Severity, params: Mapping[str, Any]) -> Finding:
    """Text of strangers is quoted and cut here, so that no caller can forget it."""
    safe = {name: shown(each) if isinstance(each, str) else each for name, each in params.items()}
    return Finding(field, code, safe, CODES[code].format(**safe), severity)
