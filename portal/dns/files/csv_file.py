"""A zone as CSV (RFC 4180), for spreadsheets.

    type,name,content,data,priority,ttl,proxied,comment,tags,settings

`data` and `settings` are JSON; tags are separated by commas, those with a comma or a quote written as JSON strings. A
spreadsheet runs a cell that begins with = + - or @ as a formula, so such cells, and those that begin with a tab, a line
break or an apostrophe, have an apostrophe in front of them, which is taken away again when read (OWASP, "CSV
Injection"). A record says all of itself where the file has the column: an empty comment is none.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from portal.dns.files.lines import RECORDS_MAX, Line, read_json
from portal.dns.records.findings import Finding, error
from portal.dns.records.sorting import in_order
from portal.dns.records.tags import read_tags, written_tags
from portal.dns.records.values import value_of

COLUMNS = ("type", "name", "content", "data", "priority", "ttl", "proxied", "comment", "tags", "settings")
CELL_MAX = 100_000  # characters

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "'")


def dump(zone: str, records: Iterable[Mapping[str, Any]]) -> str:
    """Write records or values; equal zones give equal bytes."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for value in in_order(zone, map(value_of, records)):
        writer.writerow([_safe(_cell(name, value.get(name))) for name in COLUMNS])
    return out.getvalue()


def parse(zone: str, text: str) -> tuple[list[Line], list[Finding]]:
    """Read records. The columns may stand in any order, and all but type and name may be missing."""
    lines: list[Line] = []
    found: list[Finding] = []
    csv.field_size_limit(CELL_MAX)
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        if unknown := [name for name in header if name not in COLUMNS]:
            return [], [error("", "file-form", reason=f"the column {unknown[0]} is not known")]
        if not {"type", "name"} <= set(header) or len(set(header)) != len(header):
            return [], [error("", "file-form", reason="the first line must name each column once, type and name too")]
        for row in reader:
            if not any(row):
                continue
            if len(lines) == RECORDS_MAX:
                found.append(error("", "line-too-many", most=RECORDS_MAX))
                break
            try:
                lines.append(Line(reader.line_num, _draft(header, row)))
            except ValueError as wrong:
                found.append(error("", "line-unreadable", line=reader.line_num, reason=str(wrong)))
    except csv.Error as wrong:
        found.append(error("", "line-unreadable", line=reader.line_num, reason=str(wrong)))
    return lines, found


def _draft(header: list[str], row: list[str]) -> dict[str, Any]:
    if len(row) != len(header):
        raise ValueError(f"it has {len(row)} cells, and the first line names {len(header)} columns")
    return dict(_members(header, row))


def _members(header: list[str], row: list[str]) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(header, row, strict=True):
        text = _unsafe(cell)
        if name in ("type", "name"):
            yield name, text.strip()
        elif text or name in _EMPTY:
            yield name, _READ[name](text) if text else _EMPTY[name]


def _cell(name: str, given: Any) -> str:
    if given is None:
        return ""
    if name == "tags":
        return written_tags(given)
    if isinstance(given, dict):
        return json.dumps(given, ensure_ascii=False, sort_keys=True)
    return str(given).lower() if isinstance(given, bool) else str(given)


def _safe(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def _unsafe(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell


def _object(text: str) -> dict[str, Any]:
    given = read_json(text)
    if not isinstance(given, dict):
        raise ValueError("data and settings are JSON objects")
    return given


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("priority and ttl are whole numbers") from None


def _truth(text: str) -> bool:
    if text.strip().lower() not in _TRUTHS:
        raise ValueError("proxied is true or false")
    return _TRUTHS[text.strip().lower()]


_TRUTHS = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}
_EMPTY: dict[str, Any] = {"ttl": 1, "proxied": False, "comment": "", "tags": [], "settings": {}}
_READ: dict[str, Callable[[str], Any]] = {
    "content": str,
    "data": _object,
    "priority": _whole,
    "ttl": _whole,
    "proxied": _truth,
    "comment": str,
    "tags": read_tags,
    "settings": _object,
}
