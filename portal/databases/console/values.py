"""Values of the server as JSON can hold them: pure.

A connection whose decoders are off (`run.py`) gives text as str, bytes as bytes and everything else as the server
writes it. Nothing is rounded: what a JSON number cannot hold exactly stays text.
"""

from __future__ import annotations

from typing import Any

from pymysql.constants import FIELD_TYPE  # type: ignore[import-untyped]

from portal.databases.console.schemas import Cell, Kind

MAX_EXACT = 2**53
BINARY = 63  # the character set of bytes

_KINDS: dict[int, Kind] = {
    **dict.fromkeys(
        (FIELD_TYPE.TINY, FIELD_TYPE.SHORT, FIELD_TYPE.LONG, FIELD_TYPE.INT24, FIELD_TYPE.LONGLONG, FIELD_TYPE.YEAR),
        "integer",
    ),
    **dict.fromkeys((FIELD_TYPE.DECIMAL, FIELD_TYPE.NEWDECIMAL), "decimal"),
    **dict.fromkeys((FIELD_TYPE.FLOAT, FIELD_TYPE.DOUBLE), "float"),
    **dict.fromkeys((FIELD_TYPE.DATE, FIELD_TYPE.NEWDATE), "date"),
    **dict.fromkeys((FIELD_TYPE.DATETIME, FIELD_TYPE.TIMESTAMP), "datetime"),
    FIELD_TYPE.TIME: "time",
    FIELD_TYPE.NULL: "null",
    FIELD_TYPE.BIT: "bytes",
    FIELD_TYPE.GEOMETRY: "bytes",
}


def kind_of(type_code: int, character_set: int) -> Kind:
    """Given a column as the protocol describes it, how its cells are to be read."""
    return _KINDS.get(type_code) or ("bytes" if character_set == BINARY else "text")


def cell(value: str | bytes | None, kind: Kind) -> Cell:
    """A value whole."""
    if value is None:
        return None
    if isinstance(value, bytes):
        return value.hex()
    if kind == "integer":
        number = int(value)
        return number if -MAX_EXACT <= number <= MAX_EXACT else value
    if kind == "float":
        return float(value)
    if kind == "datetime":
        return value.replace(" ", "T", 1)
    return value


def shown(value: str | bytes | None, kind: Kind, characters: int) -> tuple[Cell, int | None]:
    """A value for a page, and its whole length when it was cut: at so many characters, or half as many bytes."""
    if isinstance(value, bytes) and len(value) * 2 > characters:
        return value[: characters // 2].hex(), len(value)
    if isinstance(value, str) and len(value) > characters:
        return value[:characters], len(value)
    return cell(value, kind), None


def size(row: tuple[Any, ...]) -> int:
    """Bytes that a row takes here, roughly."""
    return sum(8 if value is None else len(value) + 8 for value in row)
