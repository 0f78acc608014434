"""What is in a database of a live server, and how its code comes out of one database and into another.

Tables move by RENAME TABLE; triggers, views, routines and events do not. They are written out by the dump program, as
they are in any dump, dropped, and read in by the client.
"""

from __future__ import annotations

from dataclasses import dataclass

from backup.settings import Server
from backup.sources import client
from backup.sources.client import identifier, literal

TABLES = ("BASE TABLE", "SYSTEM VERSIONED")
MOVABLE = (*TABLES, "SEQUENCE")
INSTALL_S = 3600.0


@dataclass(frozen=True, slots=True)
class Code:
    """What of a database is no table: as the dump program writes it, and by name."""

    triggers: list[str]
    views: list[str]
    routines: list[tuple[str, str]]  # PROCEDURE or FUNCTION, name
    events: list[str]
    statements: bytes

    @classmethod
    def of(cls, server: Server, database: str, table: str | None) -> Code:
        """Given a table, its triggers alone. Raise SourceFailed."""
        where = f"= {literal(database)} ORDER BY 1"
        found = triggers(server, database, table)
        no_tables = ("--no-data", "--no-create-info", "--no-create-db", "--triggers", "--default-character-set=utf8mb4")
        if table is not None:
            statements = _dumped(server, *no_tables, "--", database, table) if found else b""
            return cls(found, [], [], [], statements)
        views = objects(server, database, ("VIEW",))
        routines = client.query(
            server,
            f"SELECT routine_type, routine_name FROM information_schema.routines WHERE routine_schema {where}",
            restore=True,
        )
        events = client.query(
            server, f"SELECT event_name FROM information_schema.events WHERE event_schema {where}", restore=True
        )
        statements = _dumped(server, *no_tables, "--routines", "--events", "--", database)
        if views:
            statements += _dumped(
                server, "--no-data", "--skip-triggers", "--default-character-set=utf8mb4", "--", database, *views
            )
        return cls(found, views, [(kind, name) for kind, name in routines], [name for (name,) in events], statements)

    def drops(self, database: str) -> list[str]:
        inside = identifier(database)
        kinds = [
            *(("TRIGGER", name) for name in self.triggers),
            *(("EVENT", name) for name in self.events),
            *self.routines,
            *(("VIEW", name) for name in self.views),
        ]
        return [f"DROP {kind} {inside}.{identifier(name)}" for kind, name in kinds]

    def install(self, server: Server, database: str) -> None:
        if self.statements:
            client.execute(server, self.statements, "--binary-mode", database, restore=True, timeout_s=INSTALL_S)


def counts(server: Server, database: str) -> dict[str, int]:
    """What a database holds, in the form of AssetState.counts. Raise SourceFailed."""
    tables = objects(server, database, TABLES)
    found = {"tables": len(tables)}
    for table in tables:
        sql = "SELECT COUNT(*)" + f" FROM {identifier(database)}.{identifier(table)}"
        ((rows,),) = client.query(server, sql, restore=True, timeout_s=INSTALL_S)
        found[f"rows.{table}"] = int(rows)
    return found


def objects(server: Server, database: str, kinds: tuple[str, ...]) -> list[str]:
    listed = ", ".join(f"'{kind}'" for kind in kinds)
    sql = (
        "SELECT table_name FROM information_schema.tables"
        f" WHERE table_schema = {literal(database)} AND table_type IN ({listed}) ORDER BY table_name"
    )
    return [name for (name,) in client.query(server, sql, restore=True)]


def triggers(server: Server, database: str, table: str | None = None) -> list[str]:
    sql = "SELECT trigger_name FROM information_schema.triggers" + f" WHERE trigger_schema = {literal(database)}"
    if table is not None:
        sql += f" AND event_object_table = {literal(table)}"
    return [name for (name,) in client.query(server, sql, restore=True)]


def _dumped(server: Server, *arguments: str) -> bytes:
    pieces: list[bytes] = []
    client.dump(server, arguments, pieces.append, timeout_s=client.QUERY_S, restore=True)
    return b"".join(pieces)
