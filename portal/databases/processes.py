"""What a server is doing: its processes, and how one is ended. Blocks."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from portal.databases.failures import NoSuchProcess, ProcessProtected, ServerRefused
from portal.databases.schemas import KillProcess, ProcessList, ProcessView
from portal.databases.sql import Connection, execute, fetch

STATEMENT_CHARACTERS = 2000
SYSTEM_USERS = frozenset({"system user", "event_scheduler"})
REPLICATION = frozenset({"Binlog Dump", "Binlog Dump GTID", "Slave_IO", "Slave_SQL", "Slave_worker", "Daemon"})
_GONE = 1094  # ER_NO_SUCH_THREAD

_PROCESSES = (
    "SELECT id, user, host, db, command, COALESCE(state, ''), time_ms / 1000, LEFT(info, %s), memory_used"
    " FROM information_schema.processlist"
)


def processes(connection: Connection, server: str, ours: Collection[str], now: datetime) -> ProcessList:
    """
    ours   the accounts of the portal on this server that are not shown
    """
    rows = fetch(connection, _PROCESSES + " ORDER BY time_ms DESC", [STATEMENT_CHARACTERS])
    shown = [_view(row) for row in rows if row[1] not in ours]
    return ProcessList(server=server, measured_at=now, processes=shown, hidden=len(rows) - len(shown))


def kill(connection: Connection, process: int, wanted: KillProcess, ours: Collection[str]) -> ProcessView:
    """End a statement or a connection; return what it was. Raise NoSuchProcess, ProcessProtected."""
    rows = fetch(connection, _PROCESSES + " WHERE id = %s", [STATEMENT_CHARACTERS, process])
    if not rows:
        raise NoSuchProcess(f"process {process} has ended")
    found = _view(rows[0])
    if not found.can_kill or found.user in ours:
        raise ProcessProtected(f"process {process} is {found.user}'s, {found.command}")
    try:
        execute(
            connection, "KILL HARD QUERY %s" if wanted.what == "statement" else "KILL HARD CONNECTION %s", [process]
        )
    except ServerRefused as error:
        if error.extensions.get("code") == _GONE:
            raise NoSuchProcess(f"process {process} has ended") from error
        raise
    return found


def _view(row: tuple[object, ...]) -> ProcessView:
    id_, user, host, database, command, state, seconds, statement, memory = row
    return ProcessView.model_validate(
        {
            "id": id_,
            "user": user,
            "host": host,
            "database": database,
            "command": command,
            "state": state,
            "seconds": float(str(seconds)),
            "statement": statement,
            "memory_bytes": memory,
            "can_kill": user not in SYSTEM_USERS and command not in REPLICATION,
        }
    )
