"""A value of the driver as JSON shows it: decimals, dates, big integers as text, bytes as hex digits, long ones cut."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from portal.databases.schemas import Cell, CutCell

TEXT_CHARACTERS = 500
BYTES = 128
MAX_INTEGER = 2**53  # what a browser's number holds exactly


def cell(value: Any, length: int | None = None) -> Cell:
    """
    value    as the driver gave it; already cut by the server when `length` is given
    length   of the whole value, in characters or bytes
    """
    make = _MAKERS.get(type(value))
    if make is not None:
        return make(value)
    if isinstance(value, bytes | bytearray):
        return CutCell(kind="bytes", shown=bytes(value[:BYTES]).hex(), length=len(value) if length is None else length)
    text = str(value)
    whole = len(text) if length is None else length
    return text if whole <= TEXT_CHARACTERS else CutCell(kind="text", shown=text[:TEXT_CHARACTERS], length=whole)


def _integer(value: int) -> Cell:
    return value if abs(value) <= MAX_INTEGER else str(value)


def _duration(value: timedelta) -> str:
    """TIME, which goes beyond a day and below zero: "-12:34:56.5"."""
    sign = "-" if value < timedelta(0) else ""
    value = abs(value)
    minutes, seconds = divmod(value.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{value.microseconds:06d}".rstrip("0").rstrip(".") if value.microseconds else ""
    return f"{sign}{value.days * 24 + hours:02d}:{minutes:02d}:{seconds:02d}{fraction}"


def _float(value: float) -> Cell:
    return value if math.isfinite(value) else str(value)


_MAKERS: Mapping[type, Callable[[Any], Cell]] = {
    type(None): lambda value: None,
    bool: lambda value: value,
    int: _integer,
    float: _float,
    Decimal: str,
    datetime: lambda value: value.isoformat(sep=" "),
    date: lambda value: value.isoformat(),
    time: lambda value: value.isoformat(),
    timedelta: _duration,
}
