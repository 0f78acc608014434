"""How this room speaks SQL: identifiers quoted by one function, values always bound, errors as problems.

    name = identifier(tables[asked])                 # a name from the server's own list, never as it was sent
    rows = fetch(connection, f"SELECT ... FROM {name} WHERE id = %s", [id])

`fetch` and `execute` raise ServerRefused with the server's words, StatementTimedOut at a time limit, ServerUnavailable
when the connection is lost; nothing of the driver leaves this module.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import pymysql  # type: ignore[import-untyped]
from pymysql.constants import CR, ER  # type: ignore[import-untyped]

from portal.databases.failures import ServerRefused, ServerUnavailable, StatementTimedOut

Connection = Any  # pymysql has no types
Row = tuple[Any, ...]

OWN = frozenset({"information_schema", "mysql", "performance_schema", "sys"})  # the server's, not an operator's
OF_A_RESTORE = ("homeport_restore_", "homeport_before_")  # of the backup's, while it restores

_TIMED_OUT = frozenset({ER.STATEMENT_TIMEOUT})
_DENIED = frozenset({ER.ACCESS_DENIED_ERROR, ER.DBACCESS_DENIED_ERROR, 1142, 1143, 1227, 1370})
_LOST = frozenset({CR.CR_SERVER_GONE_ERROR, CR.CR_SERVER_LOST, CR.CR_CONN_HOST_ERROR, 1053, 1927, 0})
SHOWN_CHARACTERS = 500


def identifier(name: str) -> str:
    """A name as SQL takes it. A grave accent inside is doubled, so nothing in it can end it."""
    if "\0" in name or not name:
        raise ValueError("no identifier holds NUL or is empty")
    return "`" + name.replace("`", "``") + "`"


def bound(name: str) -> str:
    """An identifier for a statement that has bound values: there the driver reads "%" as the beginning of one."""
    return identifier(name).replace("%", "%%")


def pattern(database: str) -> str:
    """A database's name as GRANT reads it, for a statement that has bound values.

    In a grant "_" and "%" stand for others unless a backslash is before them.
    """
    return bound(database.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%"))


def like(text: str) -> str:
    """A text as LIKE reads it, so that it stands for itself; the escape is a backslash."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def fetch(connection: Connection, statement: str, values: Sequence[Any] = ()) -> list[Row]:
    """Run a statement with bound values and return its rows. Raise as the module says."""
    with speaking(), connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        return list(cursor.fetchall())


def execute(connection: Connection, statement: str, values: Sequence[Any] = ()) -> int:
    """Run a statement that gives no rows; return how many it touched. Raise as the module says."""
    with speaking(), connection.cursor() as cursor:
        return int(cursor.execute(statement, values or None))


@contextlib.contextmanager
def speaking() -> Iterator[None]:
    """Turn the driver's errors inside the block into this room's problems."""
    try:
        yield
    except (pymysql.MySQLError, OSError) as error:
        if isinstance(error, pymysql.ProgrammingError) and _said(error)[0] is None:
            raise  # a mistake of ours in binding values
        raise problem_of(error) from error


def problem_of(error: Exception) -> ServerRefused | ServerUnavailable | StatementTimedOut:
    """What an error of the driver means. Its text is the server's own and holds no password."""
    code, text = _said(error)
    if code in _TIMED_OUT:
        return StatementTimedOut(text, code=code)
    if code in _DENIED:
        return ServerRefused(text, code=code, layer="permission")
    if code is None or code in _LOST or isinstance(error, OSError):
        return ServerUnavailable(text, headers={"Retry-After": "5"}, layer="answer")
    return ServerRefused(text, code=code)


def _said(error: Exception) -> tuple[int | None, str]:
    arguments = error.args
    code = arguments[0] if arguments and isinstance(arguments[0], int) else None
    text = str(arguments[1] if len(arguments) > 1 else error)
    return code, text[:SHOWN_CHARACTERS]
