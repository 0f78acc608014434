"""What a server holds, by its information_schema: databases, tables, columns, indexes, keys, views, triggers, routines.

Every function takes a connection and blocks. Names come back as the server has them; `database_of` and `table_of` turn
a name that was asked for into one of those, or refuse.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from portal.databases.failures import NoSuchDatabase, NoSuchTable
from portal.databases.schemas import (
    ColumnView,
    DatabaseSummary,
    ForeignKeyView,
    IndexView,
    RoutineView,
    ServerSeen,
    TableSummary,
    TableView,
    TriggerView,
)
from portal.databases.sql import OF_A_RESTORE, OWN, Connection, fetch

MADE_BY = "homeport:"  # begins the comment of a database that the portal made; the operation's id follows
STATEMENT_CHARACTERS = 2000
UNSORTABLE = frozenset(
    {"geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon", "vector"}
    | {"geometrycollection", "json", "blob", "tinyblob", "mediumblob", "longblob"}
)
_KINDS: Mapping[str, Literal["table", "view", "sequence"]] = {
    "BASE TABLE": "table",
    "SYSTEM VERSIONED": "table",
    "VIEW": "view",
    "SEQUENCE": "sequence",
}


def is_shown(database: str) -> bool:
    """Whether it is an operator's: neither the server's own, nor one that a restore is using beside."""
    return database.lower() not in OWN and not database.startswith(OF_A_RESTORE)


def seen(connection: Connection) -> ServerSeen:
    """A server at one moment: two statements, whatever it holds."""
    variables: dict[str, str] = dict(
        fetch(
            connection,
            "SELECT variable_name, variable_value FROM information_schema.global_variables"
            " WHERE variable_name IN ('MAX_CONNECTIONS', 'VERSION') UNION ALL"
            " SELECT variable_name, variable_value FROM information_schema.global_status"
            " WHERE variable_name IN ('THREADS_CONNECTED', 'UPTIME')",
        )
    )
    return ServerSeen(
        version=variables["VERSION"],
        uptime_s=int(variables["UPTIME"]),
        connections=int(variables["THREADS_CONNECTED"]),
        max_connections=int(variables["MAX_CONNECTIONS"]),
        databases=databases(connection),
    )


def databases(connection: Connection) -> list[DatabaseSummary]:
    """Every operator's database, by name, with sums over its tables."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for schema, kind, engine, count, size in fetch(
        connection,
        "SELECT table_schema, table_type, engine, COUNT(*), COALESCE(SUM(data_length + index_length), 0)"
        " FROM information_schema.tables"
        " WHERE table_schema NOT IN ('information_schema', 'mysql', 'performance_schema', 'sys') GROUP BY 1, 2, 3",
    ):
        found = sums[schema]
        is_view = kind == "VIEW"
        found[1 if is_view else 0] += count
        found[2] += int(size)
        found[3] += 0 if is_view or kind == "SEQUENCE" or engine == "InnoDB" else count
    return [
        _database(row, sums.get(row[0], [0, 0, 0, 0])) for row in fetch(connection, _SCHEMATA + " ORDER BY schema_name")
        if is_shown(row[0])
    ]  # fmt: skip


_SCHEMATA = (
    "SELECT schema_name, default_character_set_name, default_collation_name, schema_comment"
    " FROM information_schema.schemata"
)


def _database(row: tuple[Any, ...], sums: list[int]) -> DatabaseSummary:
    name, charset, collation, comment = row
    tables, views, size, others = sums
    return DatabaseSummary(
        name=name,
        charset=charset,
        collation=collation,
        tables=tables,
        views=views,
        bytes=size,
        others=others,
        made_by=comment.removeprefix(MADE_BY) if comment.startswith(MADE_BY) else None,
    )


def database_of(connection: Connection, asked: str) -> str:
    """The server's own name of a database. Raise NoSuchDatabase, also for one that is the server's own."""
    rows = fetch(connection, "SELECT schema_name FROM information_schema.schemata WHERE schema_name = %s", [asked])
    found = next((name for (name,) in rows if name == asked), None)
    if found is None or not is_shown(found):
        raise NoSuchDatabase(f"the server shows no database {asked[:64]!r}")
    return str(found)


def made_by(connection: Connection, database: str) -> str | None:
    """The operation that made a database, by the comment that it left."""
    rows = fetch(connection, _SCHEMATA + " WHERE schema_name = %s", [database])
    comment = next((str(row[3]) for row in rows if row[0] == database), "")
    return comment.removeprefix(MADE_BY) if comment.startswith(MADE_BY) else None


def summary(connection: Connection, database: str, listed: Sequence[TableSummary] | None = None) -> DatabaseSummary:
    """One database with the sums over its tables, or over those that were listed already. Raise NoSuchDatabase."""
    rows = fetch(connection, _SCHEMATA + " WHERE schema_name = %s", [database])
    row = next((each for each in rows if each[0] == database), None)
    if row is None:
        raise NoSuchDatabase(f"the server shows no database {database[:64]!r}")
    listed = tables(connection, database) if listed is None else listed
    bases = [each for each in listed if each.kind in ("table", "other")]
    return _database(
        row,
        [
            sum(each.kind != "view" for each in listed),
            sum(each.kind == "view" for each in listed),
            sum(each.data_bytes + each.index_bytes for each in listed),
            sum(each.engine != "InnoDB" for each in bases),
        ],
    )


def tables(connection: Connection, database: str, table: str | None = None) -> list[TableSummary]:
    """The tables and views of a database, by name; or the one of this name."""
    only, values = (" AND table_name = %s", [database, table]) if table is not None else ("", [database])
    rows = fetch(
        connection,
        "SELECT table_name, table_type, engine, table_rows, data_length, index_length, table_collation,"  # noqa: S608
        " auto_increment, create_time, update_time, table_comment FROM information_schema.tables"
        f" WHERE table_schema = %s{only} ORDER BY table_name",
        values,
    )
    return [_table(row) for row in rows if table in (None, row[0])]


def _table(row: tuple[Any, ...]) -> TableSummary:
    name, kind, engine, rows, data, index, collation, increment, created, updated, comment = row
    is_view = kind == "VIEW"
    return TableSummary(
        name=name,
        kind=_KINDS.get(kind, "other"),
        engine=engine,
        rows=None if is_view or rows is None else int(rows),
        data_bytes=int(data or 0),
        index_bytes=int(index or 0),
        collation=collation,
        auto_increment=None if increment is None else int(increment),
        created_at=_utc(created),
        updated_at=_utc(updated),
        comment="" if is_view else comment or "",
    )


def table_of(connection: Connection, database: str, asked: str) -> TableSummary:
    """Raise NoSuchTable."""
    found = tables(connection, database, asked)
    if not found:
        raise NoSuchTable(f"{database} has no table {asked[:64]!r}")
    return found[0]


def columns(connection: Connection, database: str, table: str) -> list[ColumnView]:
    """In the order of the table."""
    rows = fetch(
        connection,
        "SELECT column_name, column_type, data_type, is_nullable, column_default, extra, column_key, collation_name,"
        " column_comment FROM information_schema.columns WHERE table_schema = %s AND table_name = %s"
        " ORDER BY ordinal_position",
        [database, table],
    )
    return [
        ColumnView(
            name=name,
            type=type_,
            is_nullable=nullable == "YES",
            default=default,
            extra=extra,
            key=key,
            collation=collation,
            comment=comment,
            can_sort=data_type not in UNSORTABLE,
        )
        for name, type_, data_type, nullable, default, extra, key, collation, comment in rows
    ]


def indexes(connection: Connection, database: str, table: str) -> list[IndexView]:
    found: dict[str, IndexView] = {}
    for name, column, non_unique, type_, cardinality in fetch(
        connection,
        "SELECT index_name, column_name, non_unique, index_type, cardinality FROM information_schema.statistics"
        " WHERE table_schema = %s AND table_name = %s ORDER BY index_name <> 'PRIMARY', index_name, seq_in_index",
        [database, table],
    ):
        index = found.setdefault(
            name, IndexView(name=name, columns=[], is_unique=not non_unique, type=type_, cardinality=None)
        )
        index.columns.append(column)
        index.cardinality = None if cardinality is None else int(cardinality)  # of the whole index: its last column's
    return list(found.values())


def primary_key(connection: Connection, database: str, table: str) -> list[str]:
    """The columns of the primary key, in its order; empty when there is none."""
    found = (index.columns for index in indexes(connection, database, table) if index.name == "PRIMARY")
    return next(found, [])


def foreign_keys(connection: Connection, database: str, table: str) -> list[ForeignKeyView]:
    rules = {
        name: (on_update, on_delete)
        for name, on_update, on_delete in fetch(
            connection,
            "SELECT constraint_name, update_rule, delete_rule FROM information_schema.referential_constraints"
            " WHERE constraint_schema = %s AND table_name = %s",
            [database, table],
        )
    }
    found: dict[str, ForeignKeyView] = {}
    for name, column, to_database, to_table, to_column in fetch(
        connection,
        "SELECT constraint_name, column_name, referenced_table_schema, referenced_table_name, referenced_column_name"
        " FROM information_schema.key_column_usage WHERE table_schema = %s AND table_name = %s"
        " AND referenced_table_name IS NOT NULL ORDER BY constraint_name, ordinal_position",
        [database, table],
    ):
        on_update, on_delete = rules.get(name, ("", ""))
        key = found.setdefault(
            name,
            ForeignKeyView(
                name=name,
                columns=[],
                to_database=to_database,
                to_table=to_table,
                to_columns=[],
                on_update=on_update,
                on_delete=on_delete,
            ),
        )
        key.columns.append(column)
        key.to_columns.append(to_column)
    return list(found.values())


def triggers(connection: Connection, database: str, table: str | None = None) -> list[TriggerView]:
    rows = fetch(
        connection,
        "SELECT trigger_name, event_object_table, action_timing, event_manipulation, definer, action_statement"
        " FROM information_schema.triggers WHERE trigger_schema = %s ORDER BY event_object_table, trigger_name",
        [database],
    )
    return [
        TriggerView(
            name=name, table=on, timing=timing, event=event, definer=definer, statement=text[:STATEMENT_CHARACTERS]
        )
        for name, on, timing, event, definer, text in rows
        if table in (None, on)
    ]


def routines(connection: Connection, database: str) -> list[RoutineView]:
    rows = fetch(
        connection,
        "SELECT routine_name, routine_type, definer, security_type, dtd_identifier FROM information_schema.routines"
        " WHERE routine_schema = %s AND routine_type IN ('FUNCTION', 'PROCEDURE') ORDER BY routine_name",
        [database],
    )
    return [
        RoutineView(name=name, kind=kind.lower(), definer=definer, security=security, returns=returns)
        for name, kind, definer, security, returns in rows
    ]


def table_view(connection: Connection, server: str, database: str, asked: str) -> TableView:
    """All that is known of one table. Raise NoSuchTable."""
    table = table_of(connection, database, asked)
    found = indexes(connection, database, table.name)
    definition = None
    if table.kind == "view":
        rows = fetch(
            connection,
            "SELECT view_definition FROM information_schema.views WHERE table_schema = %s AND table_name = %s",
            [database, table.name],
        )
        definition = str(rows[0][0]) if rows else None
    return TableView(
        server=server,
        database=database,
        table=table,
        columns=columns(connection, database, table.name),
        primary_key=next((index.columns for index in found if index.name == "PRIMARY"), []),
        indexes=found,
        foreign_keys=foreign_keys(connection, database, table.name),
        triggers=triggers(connection, database, table.name),
        definition=definition,
    )


def _utc(at: datetime | None) -> datetime | None:
    """information_schema tells times in the connection's zone, which is UTC (servers.py)."""
    return None if at is None else at.replace(tzinfo=UTC)
