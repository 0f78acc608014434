"""Rows of one table before and after a write, and the file that keeps them for undoing.

A row is known by its primary key. Cells are what the server writes of them (run.py): text, bytes, or None, so nothing
is lost. On disk: one zstd frame of one JSON document, mode 0600, written before the write is committed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import zstandard

from kit.atomic import write_durably
from portal.databases.console.run import Column
from portal.databases.console.schemas import Kind
from portal.databases.failures import NotEnoughRoom

LEVEL = 6
VERSION = 1

RawCell = str | bytes | None
RawRow = tuple[RawCell, ...]
Rows = Mapping[RawRow, RawRow]  # by primary key


@dataclass(frozen=True, slots=True)
class Image:
    """`before` and `after`: every touched row; one that is in only one of them was added or removed."""

    columns: tuple[Column, ...]
    key: tuple[str, ...]
    before: Rows
    after: Rows

    @property
    def touched(self) -> list[RawRow]:
        """Keys of the rows that differ, in the order of the server's answer."""
        keys = dict.fromkeys((*self.before, *self.after))
        return [key for key in keys if self.before.get(key) != self.after.get(key)]

    @property
    def bytes(self) -> int:
        return sum(len(cell or b"") for rows in (self.before, self.after) for row in rows.values() for cell in row)

    def turned(self) -> Image:
        """The way back."""
        return Image(self.columns, self.key, self.after, self.before)


def digest(rows: Rows) -> str:
    """SHA-256 over the rows, in whatever order they came; lower-case hex."""
    lines = sorted(json.dumps([_encoded(cell) for cell in row], ensure_ascii=True) for row in rows.values())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def save(path: Path, image: Image) -> None:
    """Raise NotEnoughRoom when the disk does not take it; then nothing is there."""
    document = {
        "version": VERSION,
        "columns": [[each.name, each.kind] for each in image.columns],
        "key": list(image.key),
        "before": _listed(image.before),
        "after": _listed(image.after),
    }
    data = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compress(json.dumps(document).encode())
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        write_durably(path, data)
    except OSError as error:
        raise NotEnoughRoom(f"the rows could not be saved: {os.strerror(error.errno or 0)}") from error


def load(path: Path) -> Image | None:
    """None when it is not there any more. Raise ValueError for a file that is not what was saved."""
    try:
        packed = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        document = json.loads(zstandard.ZstdDecompressor().decompress(packed))
        columns = tuple(Column(name, kind) for name, kind in document["columns"])
        key = tuple(document["key"])
        places = [[each.name for each in columns].index(name) for name in key]
        return Image(columns, key, _keyed(document["before"], places), _keyed(document["after"], places))
    except (zstandard.ZstdError, KeyError, TypeError) as error:
        raise ValueError("the saved rows can't be read") from error


def bound(cell: RawCell, kind: Kind) -> Any:
    """A cell as the driver binds it, so that the server compares and stores exactly this value."""
    if isinstance(cell, str) and kind == "integer":
        return int(cell)
    if isinstance(cell, str) and kind == "decimal":
        return Decimal(cell)
    return cell


def _listed(rows: Rows) -> list[list[Any]]:
    return [[_encoded(cell) for cell in row] for row in rows.values()]


def _encoded(cell: RawCell) -> Any:
    return {"hex": cell.hex()} if isinstance(cell, bytes) else cell


def _keyed(listed: list[list[Any]], places: list[int]) -> dict[RawRow, RawRow]:
    rows = [tuple(bytes.fromhex(cell["hex"]) if isinstance(cell, dict) else cell for cell in row) for row in listed]
    return {tuple(row[place] for place in places): row for row in rows}
