"""A write inside one transaction: the rows before it, the write, the rows after it; then rolled back, or kept.

    measured = measure(connection, work)                             # rolled back: says what would happen
    apply(connection, work, expected, save)                          # the same again; saved, then committed

`work` is a statement (`Statement`) or the way back from an image (`Restore`). Both leave an Image, and both are refused
when what happened is not what the image says: then nobody could take it back.

What guards the rows in between is InnoDB: they are read FOR UPDATE first. Blocks; called in worker threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import pymysql  # type: ignore[import-untyped]
from pymysql.cursors import SSCursor  # type: ignore[import-untyped]

from portal.databases.console.failures import RowsChanged, WriteNotPossible
from portal.databases.console.image import Image, RawRow, Rows, bound, digest
from portal.databases.console.run import Column, columns_of, is_unread
from portal.databases.console.tables import Table
from portal.databases.console.values import size
from portal.databases.console.write_guard import Wanted
from portal.databases.sql import Connection, execute, identifier

T = TypeVar("T")

MAX_ROWS = 10_000
MAX_BYTES = 32 * 1024**2
LOCK_WAIT_S = 5
KEYS_AT_ONCE = 500
MAX_WARNINGS = 20
# As the rows were, they were valid: zero in an automatic column, or a date that stricter settings refuse.
RESTORING = "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,NO_ENGINE_SUBSTITUTION'"


@dataclass(frozen=True, slots=True)
class Measured:
    """`affected`: rows that are added, changed or removed; `before`: digest of the touched rows as they were."""

    image: Image
    affected: int
    before: str
    warnings: tuple[str, ...]


class Moved(Exception):
    """What the write does now is not what was measured; `measured` is what it would do."""

    def __init__(self, measured: Measured) -> None:
        super().__init__("the rows are not as they were measured")
        self.measured = measured


class Work(Protocol):
    def do(self, connection: Connection) -> Measured:
        """Inside a transaction of the caller's. Raise WriteNotPossible, RowsChanged, and what the driver raises."""
        ...


def measure(connection: Connection, work: Work) -> Measured:
    """Say what the work does, and leave everything as it was."""
    _begin(connection)
    try:
        return work.do(connection)
    finally:
        _roll_back(connection)


def apply(connection: Connection, work: Work, *, before: str, affected: int, save: Callable[[Image], None]) -> Measured:
    """Do the work when it does what was measured. `save` keeps the rows; only then it is committed. Raise Moved."""
    _begin(connection)
    is_kept = False
    try:
        measured = work.do(connection)
        if (measured.before, measured.affected) != (before, affected):
            raise Moved(measured)
        save(measured.image)
        is_kept = True
        connection.commit()
        return measured
    finally:
        if not is_kept:
            _roll_back(connection)


def current(connection: Connection, table: Table, keys: Iterable[RawRow], columns: tuple[Column, ...]) -> Rows:
    """The rows of these keys as they are, once nobody is at work on them any more."""
    _begin(connection)
    try:
        return _by_keys(connection, table, table.key, list(keys), columns)
    finally:
        _roll_back(connection)


@dataclass(frozen=True, slots=True)
class Statement:
    """What was typed, once the guard has allowed it and the table is known."""

    table: Table
    wanted: Wanted

    def do(self, connection: Connection) -> Measured:
        columns = _described(connection, self.table)
        if self.wanted.kind == "insert":
            before, after, warnings = self._insert(connection, columns)
        elif self.wanted.kind == "replace":
            before, after, warnings = self._replace(connection, columns)
        else:
            before, after, warnings = self._change(connection, columns)
        image = Image(columns, self.table.key, before, after)
        return Measured(image, len(image.touched), digest(before), warnings)

    def _change(self, connection: Connection, columns: tuple[Column, ...]) -> tuple[Rows, Rows, tuple[str, ...]]:
        """UPDATE, DELETE: its own condition selects the rows before."""
        if self.wanted.assigned & {name.lower() for name in self.table.key}:
            raise _changes_key()
        alias = f" AS {identifier(self.wanted.alias)}" if self.wanted.alias else ""
        before = _keyed(
            _read(connection, f"{self.table.query}{alias} {self.wanted.condition} FOR UPDATE", ()), self.table, columns
        )
        if _by_keys(connection, self.table, self.table.key, list(before), columns) != before:
            raise WriteNotPossible("its rows are not found by their primary key: a BIT, maybe", rule="no-primary-key")
        changed, warnings = _run(connection, self.wanted.text)
        after = _by_keys(connection, self.table, self.table.key, list(before), columns)
        if self.wanted.kind == "update" and len(after) < len(before):  # by a name that no parser was shown
            raise _changes_key()
        if changed != len(Image(columns, self.table.key, before, after).touched):
            raise _not_reproducible()
        return before, after, warnings

    def _insert(self, connection: Connection, columns: tuple[Column, ...]) -> tuple[Rows, Rows, tuple[str, ...]]:
        keys, warnings = self._run_returning(connection, self.table.key)
        return {}, _all_of(connection, self.table, keys, columns), warnings

    def _replace(self, connection: Connection, columns: tuple[Column, ...]) -> tuple[Rows, Rows, tuple[str, ...]]:
        """REPLACE removes every row that shares a unique key with a new one: it is tried twice to find them."""
        before: dict[RawRow, RawRow] = {}
        uniques = (self.table.key, *self.table.uniques)
        wanted = tuple(dict.fromkeys(name for unique in uniques for name in unique))
        new, _ = self._tried(connection, lambda: self._run_returning(connection, wanted))
        for unique in uniques:
            values = [tuple(row[wanted.index(name)] for name in unique) for row in new]
            clashing = [row for row in values if None not in row]
            before |= _by_keys(connection, self.table, unique, clashing, columns)
        done, _ = self._tried(connection, lambda: _run(connection, self.wanted.text))
        keys, warnings = self._run_returning(connection, self.table.key)
        after = _all_of(connection, self.table, keys, columns)
        # A row that is replaced by itself counts once, every other one that is removed counts once more.
        if done != len(after) + sum(row != after.get(key) for key, row in before.items()):
            raise _not_reproducible()
        return before, after, warnings

    def _run_returning(self, connection: Connection, columns: tuple[str, ...]) -> tuple[list[RawRow], tuple[str, ...]]:
        rows = _read(connection, f"{self.wanted.text} RETURNING {self.table.selected(columns)}", ())
        return rows, _warnings(connection)

    @staticmethod
    def _tried(connection: Connection, work: Callable[[], T]) -> T:
        execute(connection, "SAVEPOINT homeport_try")
        result = work()
        execute(connection, "ROLLBACK TO SAVEPOINT homeport_try")
        return result


@dataclass(frozen=True, slots=True)
class Restore:
    """The way from an image's `before` to its `after`, row by row: undoing gives it the image turned round."""

    table: Table
    image: Image

    def do(self, connection: Connection) -> Measured:
        execute(connection, RESTORING)
        keys = list(dict.fromkeys((*self.image.before, *self.image.after)))
        columns = _described(connection, self.table)
        if columns != self.image.columns or self.table.key != self.image.key:
            raise WriteNotPossible("the table has other columns now", rule="other-columns")
        present = _by_keys(connection, self.table, self.table.key, keys, columns)
        changed = [key for key in keys if present.get(key) != self.image.before.get(key)]
        if changed:
            raise RowsChanged(f"{len(changed)} of {len(keys)} rows were changed since", changed=len(changed))
        touched = self.image.touched
        for key in touched:
            if key not in self.image.after:
                _delete(connection, self.table, columns, key)
        self._update(
            connection, columns, [key for key in touched if key in self.image.before and key in self.image.after]
        )
        for key in touched:
            if key not in self.image.before:
                _insert(connection, self.table, columns, self.image.after[key])
        if _by_keys(connection, self.table, self.table.key, keys, columns) != self.image.after:
            raise WriteNotPossible("the server does not take the rows as they were", rule="not-restorable")
        return Measured(self.image, len(touched), digest(self.image.before), ())

    def _update(self, connection: Connection, columns: tuple[Column, ...], keys: list[RawRow]) -> None:
        """Rows that take over each other's unique values wait for their turn, as long as any of them moves."""
        while keys:
            waiting = []
            for key in keys:
                try:
                    _update(connection, self.table, columns, key, self.image.after[key])
                except pymysql.IntegrityError as error:
                    waiting.append(key)
                    last = error
            if len(waiting) == len(keys):
                raise WriteNotPossible(
                    f"the server refuses the rows as they were: {last.args[1]}", rule="not-restorable"
                )
            keys = waiting


def _begin(connection: Connection) -> None:
    execute(connection, "SET SESSION innodb_lock_wait_timeout = %s", [LOCK_WAIT_S])
    connection.begin()


def _roll_back(connection: Connection) -> None:
    """Whatever happened: when the connection is gone, or in the middle of an answer, the server rolls back itself."""
    try:
        if not is_unread(connection):  # else the caller ends the connection
            connection.rollback()
    except (pymysql.MySQLError, OSError):
        return


def _described(connection: Connection, table: Table) -> tuple[Column, ...]:
    """The stored columns and the kinds of their values. Floats are read in double precision."""
    with connection.cursor() as cursor:
        cursor.execute(f"{table.query} LIMIT 0")
        found = columns_of(cursor)
    return tuple(Column(name, each.kind) for name, each in zip(table.columns, found, strict=True))


def _read(connection: Connection, query: str, values: tuple[object, ...], *, taken: int = 0) -> list[RawRow]:
    """Rows, counted while they come; `taken`: bytes of those before them. Raise WriteNotPossible beyond the caps."""
    rows: list[RawRow] = []
    cursor = connection.cursor(SSCursor)
    cursor.execute(query, values or None)
    while (row := cursor.fetchone()) is not None:
        taken += size(row)
        if len(rows) == MAX_ROWS or taken > MAX_BYTES:
            raise _too_much(f"it touches more than {MAX_ROWS} rows, or more than {MAX_BYTES // 1024**2} MiB of them")
        rows.append(row)
    cursor.close()
    return rows


def _keyed(rows: Iterable[RawRow], table: Table, columns: tuple[Column, ...]) -> dict[RawRow, RawRow]:
    places = [[each.name for each in columns].index(name) for name in table.key]
    return {tuple(row[place] for place in places): row for row in rows}


def _by_keys(
    connection: Connection,
    table: Table,
    key: tuple[str, ...],
    wanted: list[RawRow],
    columns: tuple[Column, ...],
) -> dict[RawRow, RawRow]:
    """Rows by the values of a key's columns, locked."""
    kinds = {each.name: each.kind for each in columns}
    found: dict[RawRow, RawRow] = {}
    taken = 0
    names = ", ".join(_name(name) for name in key)
    one = f"({', '.join(['%s'] * len(key))})"
    for at in range(0, len(wanted), KEYS_AT_ONCE):
        part = wanted[at : at + KEYS_AT_ONCE]
        values = tuple(bound(cell, kinds[name]) for row in part for name, cell in zip(key, row, strict=True))
        rows = ", ".join([one] * len(part))
        query = f"{_bindable(table.query)} WHERE ({names}) IN ({rows})"
        part_of_them = _read(connection, f"{query} FOR UPDATE", values, taken=taken)
        taken += sum(map(size, part_of_them))
        found |= _keyed(part_of_them, table, columns)
    return found


def _all_of(
    connection: Connection, table: Table, keys: list[RawRow], columns: tuple[Column, ...]
) -> dict[RawRow, RawRow]:
    """The rows that were just written, each of which must be there once."""
    after = _by_keys(connection, table, table.key, keys, columns)
    if len(after) != len(keys):
        raise _not_reproducible()
    return after


def _run(connection: Connection, statement: str) -> tuple[int, tuple[str, ...]]:
    """How many rows it changed, and the server's warnings."""
    with connection.cursor() as cursor:
        changed = int(cursor.execute(statement))
    return changed, _warnings(connection)


def _warnings(connection: Connection) -> tuple[str, ...]:
    with connection.cursor() as cursor:
        cursor.execute(f"SHOW WARNINGS LIMIT {MAX_WARNINGS}")
        return tuple(f"{row[0]} {row[1]}: {row[2]}"[:500] for row in cursor.fetchall())


def _where(table: Table, columns: tuple[Column, ...], key: RawRow) -> tuple[str, list[object]]:
    kinds = {each.name: each.kind for each in columns}
    values = [bound(cell, kinds[name]) for name, cell in zip(table.key, key, strict=True)]
    return " AND ".join(f"{_name(name)} = %s" for name in table.key), values


def _delete(connection: Connection, table: Table, columns: tuple[Column, ...], key: RawRow) -> None:
    where, values = _where(table, columns, key)
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {_bindable(table.path)} WHERE {where}", values)  # noqa: S608 - quoted names


def _update(connection: Connection, table: Table, columns: tuple[Column, ...], key: RawRow, row: RawRow) -> None:
    where, values = _where(table, columns, key)
    sets = ", ".join(f"{_name(each.name)} = %s" for each in columns)
    cells = [bound(cell, each.kind) for cell, each in zip(row, columns, strict=True)]
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {_bindable(table.path)} SET {sets} WHERE {where}", [*cells, *values])  # noqa: S608


def _insert(connection: Connection, table: Table, columns: tuple[Column, ...], row: RawRow) -> None:
    names, marks = ", ".join(_name(each.name) for each in columns), ", ".join(["%s"] * len(columns))
    cells = [bound(cell, each.kind) for cell, each in zip(row, columns, strict=True)]
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {_bindable(table.path)} ({names}) VALUES ({marks})", cells)  # noqa: S608


def _name(name: str) -> str:
    return _bindable(identifier(name))


def _bindable(sql: str) -> str:
    """SQL beside bound values: the driver takes a percent sign for the place of one."""
    return sql.replace("%", "%%")


def _too_much(why: str) -> WriteNotPossible:
    return WriteNotPossible(f"{why}: more than is kept for undoing", rule="too-much")


def _changes_key() -> WriteNotPossible:
    return WriteNotPossible("it changes the primary key, by which a row is known", rule="changes-key")


def _not_reproducible() -> WriteNotPossible:
    return WriteNotPossible("other rows would change than those it names", rule="not-reproducible")
