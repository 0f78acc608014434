"""What completion offers for one database: its tables and columns, and SQL's words."""

from __future__ import annotations

from portal.databases.console.run import Running
from portal.databases.console.schemas import CompletionWords, TableWords
from portal.databases.console.words import FUNCTIONS, KEYWORDS
from portal.databases.sql import fetch

MAX_COLUMNS = 20_000
TIMEOUT_S = 5.0
_COLUMNS = (
    "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = %s"
    " ORDER BY table_name, ordinal_position LIMIT %s"
)


def read(running: Running, database: str) -> CompletionWords:
    """Blocks. Raise NoSuchDatabase, ConsoleOff, ServerUnavailable."""
    with running.session(database, TIMEOUT_S) as connection:
        rows = fetch(connection, _COLUMNS, [database, MAX_COLUMNS + 1])
    tables: dict[str, list[str]] = {}
    for table, column in rows[:MAX_COLUMNS]:
        tables.setdefault(table, []).append(column)
    return CompletionWords(
        tables=[TableWords(name=name, columns=columns) for name, columns in tables.items()],
        keywords=list(KEYWORDS),
        functions=sorted(FUNCTIONS),
        is_complete=len(rows) <= MAX_COLUMNS,
    )
