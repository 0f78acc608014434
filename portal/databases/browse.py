"""Rows of one table, a page at a time: sorted, filtered, every value bound, every name from the server's own list.

    page = rows(connection, "wp_main", "wp_posts", Wanted(sort="post_date", filters=(...), limit=50, after=cursor))

A page is found by key where that is possible: sorted by a short column that is never NULL, and then by the key, so
that the thousandth page costs what the first does and nothing is shown twice when rows come in between. Without a
primary key, and for columns that may be NULL, are long or inexact, pages are counted, up to MAX_OFFSET rows.

Long values are cut by the server, so a table of films costs no more than one of names. The connection is the console's:
it can only SELECT, and the server ends a statement after LIMIT_S.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from kit.clock import Clock
from kit.problem import InvalidRequest
from portal.databases import structure
from portal.databases.failures import NoSuchColumn
from portal.databases.schemas import ColumnView, Filter, RowPage
from portal.databases.sql import Connection, bound, execute, fetch, like
from portal.databases.values import BYTES, TEXT_CHARACTERS, cell

LIMIT_S = 10
MAX_LIMIT = 500
MAX_OFFSET = 20_000
MAX_FILTERS = 10

_BINARY = ("binary", "varbinary", "blob", "tinyblob", "mediumblob", "longblob", "bit")
_TEXT = ("char", "varchar", "text", "tinytext", "mediumtext", "longtext", "enum", "set")
_LONG = (*_BINARY, *_TEXT, "json")
_SPATIAL = structure.UNSORTABLE - {"json"} - frozenset(_BINARY)
# What has no value that a page could go on from: inexact, sorted by another order than compared, or as long as a book.
_INEXACT = ("float", "double", "enum", "set", "bit", "text", "tinytext", "mediumtext", "longtext")
MAX_KEY = 255  # characters of a column that a page goes on from; MariaDB sorts by the first 1024 bytes
_LENGTH = re.compile(r"(?:char|binary)\((\d+)\)")
_COMPARISONS: Mapping[str, str] = {"=": "=", "<>": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_SEARCHES: Mapping[str, tuple[str, str]] = {"contains": ("%", "%"), "starts-with": ("", "%")}


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    sort     a column; None: the primary key, or the table's own order
    after    the page's beginning, as the page before named it
    """

    sort: str | None = None
    is_descending: bool = False
    filters: tuple[Filter, ...] = ()
    limit: int = 50
    after: str | None = None


def rows(connection: Connection, database: str, asked: str, wanted: Wanted, clock: Clock) -> RowPage:
    """Return one page. Raise NoSuchTable, NoSuchColumn, InvalidRequest for a cursor that is none of this order."""
    table = structure.table_of(connection, database, asked)
    columns = structure.columns(connection, database, table.name)
    sortable = {column.name: column for column in columns if column.can_sort}
    key = structure.primary_key(connection, database, table.name)
    order = _order(wanted, sortable, key)
    is_sought = bool(key) and all(_is_exact(sortable[name]) for name in order if name in sortable)
    conditions, values = _conditions(wanted.filters, sortable)
    offset = 0
    if wanted.after is not None and is_sought:
        beyond, more = _beyond(order, _cursor(wanted, order), is_descending=wanted.is_descending)
        conditions, values = [*conditions, beyond], [*values, *more]
    elif wanted.after is not None:
        offset = _offset(wanted.after)
    statement = _statement(database, table.name, columns, order if is_sought else (), conditions, order, wanted)
    began = clock.monotonic()
    execute(connection, f"SET SESSION max_statement_time = {LIMIT_S}")
    execute(connection, "SET SESSION TRANSACTION READ ONLY")
    found = fetch(connection, statement, [*values, wanted.limit + 1, offset])
    took_ms = round((clock.monotonic() - began) * 1000, 1)
    has_more, found = len(found) > wanted.limit, found[: wanted.limit]
    after = None
    if has_more and is_sought:
        after = _pack([_packed(value) for value in found[-1][2 * len(columns) :]], wanted, order)
    elif has_more and offset + wanted.limit < MAX_OFFSET:
        after = str(offset + wanted.limit)
    return RowPage(
        columns=[column.name for column in columns],
        rows=[[cell(row[2 * n], row[2 * n + 1]) for n in range(len(columns))] for row in found],
        after=after,
        is_sought=is_sought,
        sort=wanted.sort,
        is_descending=wanted.is_descending,
        estimated_rows=table.rows,
        took_ms=took_ms,
    )


def _statement(
    database: str,
    table: str,
    columns: Sequence[ColumnView],
    keys: Sequence[str],
    conditions: Sequence[str],
    order: Sequence[str],
    wanted: Wanted,
) -> str:
    """SELECT every column cut, its whole length beside it, and then the keys uncut."""
    shown = [part for column in columns for part in _shown(column)] + [bound(name) for name in keys]
    way = " DESC" if wanted.is_descending else ""
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    by = f" ORDER BY {', '.join(bound(name) + way for name in order)}" if order else ""
    return (
        f"SELECT {', '.join(shown)} FROM {bound(database)}.{bound(table)}"  # noqa: S608  # bound()
        f"{where}{by} LIMIT %s OFFSET %s"
    )


def _shown(column: ColumnView) -> tuple[str, str]:
    name, type_ = bound(column.name), _data_type(column)
    if type_ in _SPATIAL:
        return f"LEFT(ST_AsText({name}), {TEXT_CHARACTERS})", f"CHAR_LENGTH(ST_AsText({name}))"
    if type_ in _BINARY:
        return (f"CAST({name} AS BINARY)" if type_ == "bit" else f"LEFT({name}, {BYTES})"), f"LENGTH({name})"
    if type_ in _LONG:
        return f"LEFT({name}, {TEXT_CHARACTERS})", f"CHAR_LENGTH({name})"
    return name, "NULL"


def _order(wanted: Wanted, sortable: Mapping[str, ColumnView], key: Sequence[str]) -> list[str]:
    if wanted.sort is not None:
        _require(wanted.sort, sortable)
    first = [] if wanted.sort is None else [wanted.sort]
    return [*first, *(name for name in key if name not in first)]


def _is_exact(column: ColumnView) -> bool:
    length = _LENGTH.search(column.type)
    is_short = length is None or int(length[1]) <= MAX_KEY
    return not column.is_nullable and is_short and _data_type(column) not in _INEXACT


def _data_type(column: ColumnView) -> str:
    return column.type.partition("(")[0].partition(" ")[0].lower()


def _require(name: str, sortable: Mapping[str, ColumnView]) -> ColumnView:
    if (column := sortable.get(name)) is None:
        raise NoSuchColumn(f"no column {name[:64]!r} to sort or filter by", columns=sorted(sortable))
    return column


def _conditions(filters: Sequence[Filter], sortable: Mapping[str, ColumnView]) -> tuple[list[str], list[Any]]:
    conditions: list[str] = []
    values: list[Any] = []
    for each in filters:
        name = bound(_require(each.column, sortable).name)
        if each.is_ in ("null", "not-null"):
            conditions.append(f"{name} IS {'NOT ' if each.is_ == 'not-null' else ''}NULL")
        elif each.is_ in _SEARCHES:
            before, behind = _SEARCHES[each.is_]
            conditions.append(f"{name} LIKE %s")
            values.append(f"{before}{like(each.value)}{behind}")
        else:
            conditions.append(f"{name} {_COMPARISONS[each.is_]} %s")
            values.append(_typed(each, sortable[each.column]))
    return conditions, values


def _typed(condition: Filter, column: ColumnView) -> Any:
    """The value as a number for a number's column: text would be compared as an inexact one."""
    if _data_type(column) in ("tinyint", "smallint", "mediumint", "int", "bigint", "year", "decimal"):
        try:
            number = Decimal(condition.value.strip())
        except ArithmeticError:
            raise NoSuchColumn(f"{column.name} is a number, which {condition.value[:40]!r} is not") from None
        return number if number.is_finite() else str(number)
    return condition.value


def _beyond(order: Sequence[str], at: Sequence[Any], *, is_descending: bool) -> tuple[str, list[Any]]:
    """The rows that come after the given one: a > x OR (a = x AND b > y) ..."""
    sign = "<" if is_descending else ">"
    parts, values = [], []
    for n, name in enumerate(order):
        equal = "".join(f"{bound(before)} = %s AND " for before in order[:n])
        parts.append(f"({equal}{bound(name)} {sign} %s)")
        values += [*at[:n], at[n]]
    return f"({' OR '.join(parts)})", values


# -- where a page begins ----------------------------------------------------------------------------------------------


def _pack(values: list[Any], wanted: Wanted, order: Sequence[str]) -> str:
    document = json.dumps([list(order), wanted.is_descending, values], separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(document.encode()).decode().rstrip("=")


def _packed(value: Any) -> Any:
    """A key's value as JSON keeps it whole: {"x": hex} for bytes, text for what is neither number nor text."""
    if isinstance(value, bytes | bytearray):
        return {"x": bytes(value).hex()}
    if isinstance(value, Decimal | date | datetime | timedelta):
        return _sql_text(value)
    return value


def _sql_text(value: Decimal | date | datetime | timedelta) -> str:
    shown = cell(value)
    return str(shown)


def _cursor(wanted: Wanted, order: Sequence[str]) -> list[Any]:
    """The values that a page begins after. It comes from outside: it may be anything."""
    text = wanted.after or ""
    try:
        document = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        names, is_descending, packed = document
        values = [bytes.fromhex(each["x"]) if isinstance(each, dict) else each for each in packed]
    except (ValueError, TypeError, KeyError, binascii.Error, RecursionError):
        raise _no_cursor() from None
    is_plain = all(isinstance(each, str | int | float | bytes) for each in values)
    if names != list(order) or is_descending != wanted.is_descending or len(values) != len(order) or not is_plain:
        raise _no_cursor()
    return values


def _offset(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 6 or int(text) > MAX_OFFSET:
        raise _no_cursor()
    return int(text)


def _no_cursor() -> InvalidRequest:
    return InvalidRequest("`after` is not what a page of this order has named")
