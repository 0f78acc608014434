"""What has to be known of a table before a write to it can be measured and taken back: from the server's own lists.

Asked by the admin account: nobody else sees triggers and foreign keys of other tables. What a trigger or a cascade
changes elsewhere is in no image of this table's rows, so such a table is refused (`rule`), with the way out in words.
"""

from __future__ import annotations

from dataclasses import dataclass

from portal.databases.console.failures import WriteNotPossible
from portal.databases.failures import NoSuchTable
from portal.databases.sql import Connection, fetch, identifier

TRANSACTIONAL = frozenset({"InnoDB"})


@dataclass(frozen=True, slots=True)
class Table:
    """
    columns   those that are stored, in their order, without generated ones
    floats    columns of single precision: the server shows fewer digits of them than it keeps
    key       the primary key's columns
    uniques   every other unique key's columns
    """

    database: str
    name: str
    columns: tuple[str, ...]
    floats: frozenset[str]
    key: tuple[str, ...]
    uniques: tuple[tuple[str, ...], ...]

    @property
    def path(self) -> str:
        return f"{identifier(self.database)}.{identifier(self.name)}"

    @property
    def query(self) -> str:
        """Selects every stored column, without a condition."""
        return f"SELECT {self.selected(self.columns)} FROM {self.path}"  # noqa: S608 - names quoted by `identifier`

    def selected(self, columns: tuple[str, ...]) -> str:
        """A select list that loses nothing of the values."""
        quoted = [(name, identifier(name)) for name in columns]
        return ", ".join(f"CAST({each} AS DOUBLE)" if name in self.floats else each for name, each in quoted)


def read(connection: Connection, database: str, name: str, kind: str) -> Table:
    """
    connection   of the admin account
    name         as it was typed; it is looked for in the server's list
    kind         insert | replace | update | delete | undo
    raises       NoSuchTable, WriteNotPossible
    """
    found = fetch(
        connection,
        "SELECT table_name, table_type, engine FROM information_schema.tables"
        " WHERE table_schema = %s AND table_name = %s",
        [database, name],
    )
    found = [row for row in found if row[0] == name]
    if not found:
        raise NoSuchTable("the database has no table of this name")
    (_, table_type, engine) = found[0]
    if table_type != "BASE TABLE":
        raise WriteNotPossible(f"it is a {str(table_type).lower()}, not a plain table", rule="not-a-table")
    if engine not in TRANSACTIONAL:
        raise WriteNotPossible(f"a table of {engine} can't take a change back", rule="engine")
    columns, floats, generated = _columns(connection, database, name)
    keys, is_cut = _keys(connection, database, name)
    key = keys.pop("PRIMARY", ())
    if not key:
        raise WriteNotPossible("the table has no primary key, so its rows have no name", rule="no-primary-key")
    if generated.intersection(key):
        raise WriteNotPossible("the primary key is a generated column", rule="no-primary-key")
    if kind == "replace" and is_cut:
        raise WriteNotPossible("a unique key covers only the beginning of a column: use UPDATE", rule="prefix-key")
    _check_effects(connection, database, name, kind)
    return Table(database, name, columns, floats, key, tuple(keys.values()))


def _columns(
    connection: Connection, database: str, name: str
) -> tuple[tuple[str, ...], frozenset[str], frozenset[str]]:
    rows = fetch(
        connection,
        "SELECT column_name, data_type, is_generated FROM information_schema.columns"
        " WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position",
        [database, name],
    )
    stored = tuple(str(row[0]) for row in rows if row[2] != "ALWAYS")
    floats = frozenset(str(row[0]) for row in rows if row[1] == "float")
    return stored, floats, frozenset(str(row[0]) for row in rows if row[2] == "ALWAYS")


def _keys(connection: Connection, database: str, name: str) -> tuple[dict[str, tuple[str, ...]], bool]:
    """The unique keys' columns by name, and whether one covers a column in part."""
    rows = fetch(
        connection,
        "SELECT index_name, column_name, sub_part FROM information_schema.statistics"
        " WHERE table_schema = %s AND table_name = %s AND non_unique = 0 ORDER BY index_name, seq_in_index",
        [database, name],
    )
    keys: dict[str, tuple[str, ...]] = {}
    for index, column, _ in rows:
        keys[str(index)] = (*keys.get(str(index), ()), str(column))
    return keys, any(row[2] is not None for row in rows)


def _check_effects(connection: Connection, database: str, name: str, kind: str) -> None:
    triggers = fetch(
        connection,
        "SELECT trigger_name FROM information_schema.triggers"
        " WHERE event_object_schema = %s AND event_object_table = %s",
        [database, name],
    )
    if triggers:
        names = ", ".join(str(row[0]) for row in triggers)
        raise WriteNotPossible(f"what its triggers change can't be taken back: {names}", rule="trigger")
    if kind == "insert":
        return
    cascades = fetch(
        connection,
        "SELECT constraint_schema, table_name FROM information_schema.referential_constraints"
        " WHERE unique_constraint_schema = %s AND referenced_table_name = %s"
        " AND (delete_rule IN ('CASCADE', 'SET NULL') OR update_rule IN ('CASCADE', 'SET NULL'))",
        [database, name],
    )
    if cascades:
        others = ", ".join(sorted({str(row[1]) for row in cascades}))
        raise WriteNotPossible(f"it would change rows of other tables too: {others}", rule="cascade")
