"""A result of any length as a stream: CSV or one JSON object a line. Memory does not grow with its rows.

    export = Export(running, allowed.text, database, form)
    head = export.open()                  # runs the statement; refusals come here, before the first byte is sent
    while part := export.next(): ...      # 64 KiB at a time; raises when there is no reading on
    export.close()

Blocks; each call may come from another thread, one after the other. CSV is for spreadsheets: UTF-8, a header, CRLF
(RFC 4180), NULL is an empty cell and an empty text a quoted one; a text that a spreadsheet would run as a formula
begins with an apostrophe. JSON keeps the values as they are, without one.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from typing import Any

import pymysql  # type: ignore[import-untyped]
from pymysql.cursors import SSCursor  # type: ignore[import-untyped]

from portal.databases.console.failures import StatementFailed
from portal.databases.console.run import READ_ONLY, Column, Running, columns_of
from portal.databases.console.schemas import Cell, Form
from portal.databases.console.values import cell
from portal.databases.sql import execute

PART_BYTES = 64 * 1024
FIRST_BYTES = 2 * 1024  # so that a reader sees soon that there is something
MAX_ROWS = 5_000_000
MAX_BYTES = 4 * 1024**3
TIMEOUT_S = 900.0

MEDIA_TYPES: dict[Form, str] = {"csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson"}
# "=", "+", "-", "@" and their wide forms begin a formula; a tab or a line end is skipped before one.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_NUMBERS = frozenset({"integer", "decimal", "float"})


class Export:
    """`rows` and `bytes` count what was handed out."""

    def __init__(self, running: Running, statement: str, database: str | None, form: Form) -> None:
        self._running = running
        self._statement = statement
        self._database = database
        self._line = _csv_line if form == "csv" else _json_line
        self._form = form
        self._open = contextlib.ExitStack()
        self._cursor: Any = None
        self._columns: list[Column] = []
        self._names: list[str] = []
        self.rows = 0
        self.bytes = 0

    def open(self) -> None:
        """Run the statement. Raise what `Running.read` raises."""
        with self._running.speaking(self._statement, TIMEOUT_S), contextlib.ExitStack() as stack:
            connection = stack.enter_context(self._running.session(self._database, TIMEOUT_S))
            execute(connection, READ_ONLY)
            self._cursor = connection.cursor(SSCursor)
            self._cursor.execute(self._statement)
            self._columns = columns_of(self._cursor)
            self._names = different([each.name for each in self._columns])
            self._open = stack.pop_all()

    def next(self) -> bytes:
        """The next part; b"" at the end. Raise when there is an end that is none: an error, or a cap."""
        parts: list[bytes] = []
        if self.rows == 0 and self.bytes == 0 and self._form == "csv":
            parts.append(_csv_header(self._names))
        taken = sum(map(len, parts))
        enough = PART_BYTES if self.bytes else FIRST_BYTES
        with self._running.speaking(self._statement, TIMEOUT_S):
            while taken < enough and (row := self._cursor.fetchone()) is not None:
                if self.rows == MAX_ROWS or self.bytes + taken > MAX_BYTES:
                    raise StatementFailed(
                        f"an export ends at {MAX_ROWS} rows or {MAX_BYTES // 1024**3} GiB", code=None, position=None
                    )
                parts.append(self._line(self._names, self._columns, row))
                taken += len(parts[-1])
                self.rows += 1
        self.bytes += taken
        return b"".join(parts)

    def close(self) -> None:
        """End it, wherever it is. May be called twice."""
        with contextlib.suppress(pymysql.MySQLError, OSError):
            self._open.close()

    def kill(self) -> bool:
        return self._running.kill()


def different(names: Sequence[str]) -> list[str]:
    """Names as keys of one object: the second `id` becomes `id_2`."""
    found: list[str] = []
    for name in names:
        number, key = 1, name
        while key in found:
            number += 1
            key = f"{name}_{number}"
        found.append(key)
    return found


def defused(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _csv_header(names: Sequence[str]) -> bytes:
    return (",".join(_quoted(defused(name)) for name in names) + "\r\n").encode()


def _csv_line(_names: Sequence[str], columns: Sequence[Column], row: Sequence[Any]) -> bytes:
    return (",".join(map(_csv_cell, row, columns)) + "\r\n").encode("utf-8", "backslashreplace")


def _csv_cell(value: str | bytes | None, column: Column) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):
        return f"0x{value.hex()}"
    return value if column.kind in _NUMBERS else _quoted(defused(value))


def _quoted(text: str) -> str:
    is_plain = text and not any(character in text for character in ',"\r\n') and text.strip() == text
    return text if is_plain else '"' + text.replace('"', '""') + '"'


def _json_line(names: Sequence[str], columns: Sequence[Column], row: Sequence[Any]) -> bytes:
    cells: list[Cell] = [cell(value, column.kind) for value, column in zip(row, columns, strict=True)]
    return json.dumps(dict(zip(names, cells, strict=True)), separators=(",", ":")).encode() + b"\n"
