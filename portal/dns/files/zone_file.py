"""A zone as a zone file (RFC 1035 5, RFC 2308 4), as Cloudflare and other name servers read and write it.

    www.example.com.<TAB>1<TAB>IN<TAB>A<TAB>192.0.2.7 ; the web cf_tags=team:web,cf-proxied:true

What DNS has no place for stands in the comment behind a record, as Cloudflare's own export has it ("Import and export
records" in its documentation, checked 2026-11): the record's comment, then ` cf_tags=` and its tags, among them
`cf-proxied:true` or `false` where it can be proxied, and `cf-flatten-cname`. `cf-ipv4-only` and `cf-ipv6-only` are
ours, for settings that Cloudflare's export leaves out. In a file of ours, or with `cf-proxied` anywhere, every record
says all of this; in others, what a record has besides stays as it is.

Read are $ORIGIN, $TTL, parentheses, relative names, owners that are left out, escapes and units of time. Other readers
stop at the first line that is wrong, lose comments, or give every record of a name the same TTL; here each entry is
read by itself, and a wrong one is a finding. $INCLUDE and $GENERATE are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from portal.dns.files.lines import RECORDS_MAX, Line
from portal.dns.records import rdata
from portal.dns.records.findings import Finding, error
from portal.dns.records.names import canonical
from portal.dns.records.rdata import Unreadable
from portal.dns.records.sorting import in_order
from portal.dns.records.tags import read_tags, written_tags
from portal.dns.records.types import TYPES
from portal.dns.records.values import Value, value_of

COMPLETE = ";; Exported by Homeport: a record without a comment, tags or settings has none"
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

_WORD = re.compile(r'(;[^\n]*)|(\n)|([()])|((?:"[^"\\\n]*(?:\\.[^"\\\n]*)*"|\\.|[^\s;()"\\])+)|(["\\])')
_TTL = re.compile(r"(?:\d{1,10}[smhdw]?)+", re.IGNORECASE)
_TTL_PART = re.compile(r"(\d+)([smhdw]?)", re.IGNORECASE)
_CLASSES = ("IN", "CH", "HS", "CS", "ANY")
_SAYS_ALL = re.compile(rf"^{COMPLETE}$|cf_tags=[^\n]*\bcf-proxied:(?:true|false)", re.IGNORECASE | re.MULTILINE)
_MARK = "cf_tags="
_ESCAPED = re.compile(r"\\(\d{3})")

# our name of a setting -> its tag in the comment
_SETTINGS = {"flatten_cname": "cf-flatten-cname", "ipv4_only": "cf-ipv4-only", "ipv6_only": "cf-ipv6-only"}


def dump(zone: str, records: Iterable[Mapping[str, Any]]) -> str:
    """Write records or values; equal zones give equal bytes. What is of a type that isn't in TYPES is named only."""
    values = in_order(zone, map(value_of, records))
    lines = [_written(value) for value in values if value["type"] in TYPES]
    left_out = [f"{value['type']} {value['name']}" for value in values if value["type"] not in (*TYPES, "SOA")]
    notes = [f"; not exported: {' '.join(each.split())}" for each in left_out]
    return "\n".join([f";; Domain:     {zone}.", COMPLETE, f"$ORIGIN {zone}.", *lines, *notes, ""])


def parse(zone: str, text: str) -> tuple[list[Line], list[Finding]]:
    """Read records as drafts with full names, in the order of the file, and what could not be read."""
    reader = _Reader(zone, is_complete=_SAYS_ALL.search(text) is not None)
    for entry in _entries(text):
        if len(reader.lines) == RECORDS_MAX:
            reader.found.append(error("", "line-too-many", most=RECORDS_MAX))
            break
        try:
            reader.take(entry)
        except Unreadable as wrong:
            reader.found.append(error("", "line-unreadable", line=entry.number, reason=str(wrong)))
    return reader.lines, reader.found


@dataclass
class _Entry:
    """What belongs together: a line, or several in parentheses. fault: it never became whole."""

    number: int
    has_owner: bool
    words: list[str] = field(default_factory=list)
    comment: str | None = None
    fault: str | None = None


def _entries(text: str) -> Iterator[_Entry]:
    """Cut a file into entries. A line with an open quote ends one all the same, and the end one in parentheses."""
    number, depth = 1, 0
    entry = _Entry(1, has_owner=not text[:1].isspace())
    for match in _WORD.finditer(text):
        comment, newline, parenthesis, word, stray = match.groups()
        if newline:
            number += 1
            if not depth or entry.fault:
                yield entry
                depth = 0
                entry = _Entry(number, has_owner=not text[match.end() : match.end() + 1].isspace())
        elif comment:
            entry.comment = comment[1:]
        elif parenthesis:
            depth += 1 if parenthesis == "(" else -1
            if depth < 0:
                entry.fault, depth = "a parenthesis is closed that was not opened", 0
        elif word:
            entry.words.append(word)
        else:
            entry.fault = "a quote is not closed" if stray == '"' else "a backslash stands at the end"
    if depth:
        entry.fault = "a parenthesis is not closed"
    yield entry


class _Reader:
    """What a zone file remembers from line to line: origin, default TTL, last owner."""

    def __init__(self, zone: str, *, is_complete: bool) -> None:
        self.lines: list[Line] = []
        self.found: list[Finding] = []
        self._zone = zone
        self._origin = zone
        self._ttl: int | None = None
        self._last_ttl: int | None = None
        self._owner = zone
        self._is_complete = is_complete

    def take(self, entry: _Entry) -> None:
        """Add what an entry says. Raise Unreadable."""
        if entry.fault:
            raise Unreadable(entry.fault)
        if not entry.words:
            return
        words = list(entry.words)
        if words[0].startswith("$") and entry.has_owner:
            self._direct(words, entry.number)
            return
        if entry.has_owner:
            self._owner = self._name(words.pop(0))
        ttl, class_, words = self._ttl_and_class(words)
        if class_ != "IN":
            self.found.append(error("", "line-class", line=entry.number, given=class_))
            return
        if not words:
            raise Unreadable("there is no type")
        type_ = TYPES.get(words[0].upper())
        if words[0].upper() == "SOA":
            self.lines.append(Line(entry.number, {"type": "SOA", "name": self._owner}))
            return
        if type_ is None:
            raise Unreadable(f"{words[0][:20]} is no record type that can be kept here")
        draft: dict[str, Any] = {"type": type_.name, "name": self._owner}
        draft |= rdata.read_line(type_, words[1:], self._name)
        if ttl is not None:
            draft["ttl"] = ttl
        draft |= _attributes(entry.comment, is_complete=self._is_complete, is_proxiable=type_.proxiable)
        self.lines.append(Line(entry.number, draft))

    def _direct(self, words: list[str], number: int) -> None:
        match words:
            case ["$ORIGIN" | "$origin", name]:
                self._origin = self._name(name)
            case ["$TTL" | "$ttl", ttl] if _TTL.fullmatch(ttl):
                self._ttl = _seconds(ttl)
            case ["$INCLUDE" | "$include", *_]:
                self.found.append(error("", "line-include", line=number))
            case ["$GENERATE" | "$generate", *_]:
                self.found.append(error("", "line-generate", line=number))
            case _:
                self.found.append(error("", "line-directive", line=number, given=" ".join(words)))

    def _ttl_and_class(self, words: list[str]) -> tuple[int | None, str, list[str]]:
        """TTL and class may stand in either order, and both may be left out (RFC 1035 5.1)."""
        ttl, class_ = self._ttl if self._ttl is not None else self._last_ttl, "IN"
        for _ in range(2):
            if words and _TTL.fullmatch(words[0]) and words[0].upper() not in TYPES:
                ttl = self._last_ttl = _seconds(words[0])
                words = words[1:]
            elif words and words[0].upper() in _CLASSES:
                class_, words = words[0].upper(), words[1:]
        return ttl, class_, words

    def _name(self, written: str) -> str:
        """A name in full, without its final dot: below the origin unless it ends with one."""
        if written == "@":
            return self._origin
        name = _ESCAPED.sub(lambda escape: chr(int(escape[1])) if int(escape[1]) < 128 else escape[0], written)
        name = name.replace("\\", "")
        if name == ".":
            return name
        if name.endswith("."):
            return canonical(name)
        return canonical(name) if self._origin == "." else f"{canonical(name)}.{self._origin}"


def _written(value: Value) -> str:
    line = f"{value['name']}.\t{value['ttl']}\tIN\t{value['type']}\t{rdata.line_of(value)}"
    tags = list(value.get("tags", ()))
    if TYPES[value["type"]].proxiable:
        tags.append(f"cf-proxied:{str(value['proxied']).lower()}")
    tags += [tag for name, tag in _SETTINGS.items() if value.get("settings", {}).get(name)]
    comment = " ".join(value.get("comment", "").splitlines())
    if not comment and not tags:
        return line
    mark = f"{_MARK}{written_tags(tags)}" if tags or _MARK in comment else ""
    return f"{line} ; {comment}{' ' if comment and mark else ''}{mark}"


def _attributes(comment: str | None, *, is_complete: bool, is_proxiable: bool) -> dict[str, Any]:
    """What the comment behind a record says of it; what it doesn't say is left out, or empty in a complete file."""
    found: dict[str, Any] = {"comment": "", "tags": [], "settings": {}} if is_complete else {}
    if comment is None:
        return found
    text, mark, listed = comment.rpartition(_MARK)
    if not mark:
        text, listed = comment, ""
    try:
        tags = read_tags(listed.strip())
    except ValueError as wrong:
        raise Unreadable(str(wrong)) from wrong
    own = [tag for tag in tags if tag.partition(":")[0] != "cf-proxied" and tag not in _SETTINGS.values()]
    settings = {name: True for name, tag in _SETTINGS.items() if tag in tags}
    said = {"comment": text.strip(), "tags": own, "settings": settings}
    found |= {name: given for name, given in said.items() if given}
    for tag in tags:
        if is_proxiable and tag.lower() in ("cf-proxied:true", "cf-proxied:false"):
            found["proxied"] = tag.lower().endswith(":true")
    return found


def _seconds(written: str) -> int:
    if written.isdecimal():
        return int(written)
    return sum(int(number) * SECONDS[(unit or "s").lower()] for number, unit in _TTL_PART.findall(written))
