"""One statement on the server: a fresh connection, read only, with a limit that does not depend on the statement.

    query = Running(server, "console", clock)                 # its `kill` may be called from any thread
    result = query.read(allowed.text, database, limits)       # blocks; raises the console's problems

Whatever the statement does to its own session, nothing of it outlives it: the connection is used once. The time limit
holds twice: `max_statement_time` at the server, which a statement could raise, and a timer here that kills the
connection by a second one. Nobody needs a right to kill connections of their own account.

Rows are fetched one by one and counted, in rows and in bytes, so a large result costs the portal only what it may. A
single row is bounded too: by REPEAT and the like a short statement makes one of any length out of nothing.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pymysql  # type: ignore[import-untyped]
from pymysql.connections import MAX_PACKET_LEN  # type: ignore[import-untyped]
from pymysql.constants import ER  # type: ignore[import-untyped]
from pymysql.cursors import Cursor, SSCursor  # type: ignore[import-untyped]

from kit.clock import Clock
from kit.logging import get_logger
from kit.problem import Problem
from portal.databases.console import grants
from portal.databases.console.failures import ConsoleOff, QueryKilled, StatementFailed
from portal.databases.console.schemas import Cell, Kind
from portal.databases.console.values import kind_of, shown, size
from portal.databases.failures import NoSuchDatabase, StatementTimedOut
from portal.databases.servers import Purpose, Server
from portal.databases.sql import Connection, execute, fetch, problem_of

log = get_logger()

GRACE_S = 1.0  # after the server's own limit
SILENT_S = 10.0  # for the server's answer beyond the statement's limit
KILL_S = 3.0
MAX_WARNINGS = 20
ROW_BYTES = 16 * 1024**2  # of one row; the driver holds it several times over

ALLOWED = {"console": grants.CONSOLE, "write": grants.WRITE}
_KILLED = frozenset({ER.QUERY_INTERRUPTED, 1927})  # 1927: ER_CONNECTION_KILLED
_UNREACHED = frozenset({2006, 2013, 0})
READ_ONLY = "SET SESSION TRANSACTION READ ONLY"
_NEAR = re.compile(r"near '(.*)' at line (\d+)$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Limits:
    """
    timeout_s        of the statement, until its last row is read
    rows, bytes      after which reading ends
    characters       of a cell that are shown
    """

    timeout_s: float
    rows: int
    bytes: int
    characters: int


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Result:
    """`stopped_by`: rows or bytes, the cap that ended the reading; `cut`: (row, column, whole length)."""

    columns: list[Column]
    rows: list[list[Cell]]
    cut: list[tuple[int, int, int]]
    stopped_by: str | None
    bytes: int
    took_ms: float
    warnings: list[str]


class RowTooLong(Exception):
    """A row has more than ROW_BYTES; no more of it is read."""


class Running:
    """One statement and its connection. Used once, in one thread; `kill` comes from another one."""

    def __init__(self, server: Server, purpose: Purpose, clock: Clock) -> None:
        self._server = server
        self._purpose = purpose
        self._clock = clock
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._is_over = False
        self._killed_by: str | None = None  # user | limit

    def read(self, statement: str, database: str | None, limits: Limits) -> Result:
        """Raise StatementFailed, StatementTimedOut, QueryKilled, ConsoleOff, NoSuchDatabase, ServerUnavailable."""
        began = self._clock.monotonic()
        with self.session(database, limits.timeout_s) as connection, self.speaking(statement, limits.timeout_s):
            execute(connection, READ_ONLY)
            execute(connection, "SET SESSION sql_select_limit = %s", [limits.rows + 1])
            cursor = connection.cursor(SSCursor)
            cursor.execute(statement)
            columns = columns_of(cursor)
            rows: list[list[Cell]] = []
            cut: list[tuple[int, int, int]] = []
            taken, stopped_by = 0, None
            while True:
                try:
                    row = cursor.fetchone()
                except RowTooLong:
                    stopped_by = "bytes"
                    break
                if row is None:
                    break
                if len(rows) == limits.rows:
                    stopped_by = "rows"
                    break
                taken += size(row)
                if taken > limits.bytes:
                    stopped_by = "bytes"
                    break
                cells = [
                    shown(value, column.kind, limits.characters) for value, column in zip(row, columns, strict=True)
                ]
                cut += [(len(rows), at, length) for at, (_, length) in enumerate(cells) if length is not None]
                rows.append([each for each, _ in cells])
            warnings = _warnings(connection) if stopped_by is None and cursor.warning_count else []
            took_ms = (self._clock.monotonic() - began) * 1000
            return Result(columns, rows, cut, stopped_by, taken, took_ms, warnings)

    @contextlib.contextmanager
    def session(self, database: str | None, timeout_s: float) -> Iterator[Connection]:
        """A fresh connection whose rights were looked at just now; ended with the block, whatever runs on it."""
        connection = self._server.connect(self._purpose, answer_s=timeout_s + SILENT_S)
        timer = threading.Timer(timeout_s + GRACE_S, self._end, ["limit"])
        timer.daemon = True
        try:
            if too_much := grants.excess_of(connection, ALLOWED[self._purpose]):
                raise ConsoleOff(
                    f"the account has more rights than it may: {'; '.join(too_much)}", server=self._server.name
                )
            execute(connection, "SET SESSION max_statement_time = %s, time_zone = '+00:00'", [timeout_s])
            choose(connection, database)
            _bound(connection)
            connection.decoders = {}  # values come as the server writes them; values.py gives them their type
            with self._lock:
                self._connection = connection
            if self._killed_by:
                raise QueryKilled("it was killed before it began")
            timer.start()
            yield connection
        finally:
            timer.cancel()
            with self._lock:
                self._connection, self._is_over = None, True
            # Not `close`: it would read the rest of an unread result. The server sees the end of the connection, and
            # `kill` has ended what still runs there.
            if is_unread(connection):
                # The driver would read the rest when the objects are collected.
                connection._result.unbuffered_active, connection._result = False, None
                with contextlib.suppress(Problem, pymysql.MySQLError, OSError):  # then the closed connection ends it
                    self._kill(connection.thread_id())
            with contextlib.suppress(OSError):
                connection._force_close()

    def kill(self) -> bool:
        """End it, from another thread; one that has not reached the server never will. Return False once it is over."""
        return self._end("user")

    @contextlib.contextmanager
    def speaking(self, statement: str, timeout_s: float) -> Iterator[None]:
        """Turn the driver's errors into problems; what was killed here says by whom."""
        try:
            yield
        except Problem as problem:
            if (ended := self._ended(problem.extensions.get("code"), timeout_s)) is not None:
                raise ended from problem
            raise
        except RowTooLong as error:
            why = f"a row has more than {ROW_BYTES // 1024**2} MiB"
            raise StatementFailed(why, code=None, position=None) from error
        except UnicodeDecodeError as error:
            raise StatementFailed("a text is not valid UTF-8; ask for HEX() of it", code=None, position=None) from error
        except (pymysql.MySQLError, OSError) as error:
            code = error.args[0] if error.args and isinstance(error.args[0], int) else None
            if (ended := self._ended(code, timeout_s)) is not None:
                raise ended from error
            if isinstance(error, OSError) or code is None or code in _UNREACHED:
                raise problem_of(error) from error
            said = str(error.args[1] if len(error.args) > 1 else error)[:1000]
            raise StatementFailed(said, code=code, position=_position(statement, said)) from error

    def _ended(self, code: object, timeout_s: float) -> Problem | None:
        if code == ER.STATEMENT_TIMEOUT or self._killed_by == "limit":
            return StatementTimedOut(f"the server ended it after {timeout_s:g} s", limit_s=timeout_s)
        if self._killed_by == "user" or code in _KILLED:
            return QueryKilled()
        return None

    def _end(self, by: str) -> bool:
        with self._lock:
            self._killed_by = self._killed_by or by
            connection_id = None if self._connection is None else self._connection.thread_id()
            is_over = self._is_over
        if connection_id is None:
            return not is_over
        try:
            self._kill(connection_id)  # a number that the server never gives again
        except (Problem, pymysql.MySQLError, OSError) as error:
            log.warning("console_kill_failed", server=self._server.name, error=type(error).__name__)
        return True

    def _kill(self, connection_id: int) -> None:
        killer = self._server.connect(self._purpose, connect_s=KILL_S, answer_s=KILL_S)
        try:
            with contextlib.suppress(pymysql.MySQLError), killer.cursor() as cursor:  # it has ended by itself meanwhile
                cursor.execute("KILL CONNECTION %s", [connection_id])
        finally:
            killer.close()


def is_unread(connection: Connection) -> bool:
    """Whether the server is in the middle of an answer, so that nothing else can be said on this connection."""
    return bool(connection._result is not None and connection._result.unbuffered_active)


def _bound(connection: Connection) -> None:
    """Have the driver read no row beyond ROW_BYTES, which comes in pieces of MAX_PACKET_LEN, each with a head."""
    read, taken, is_head = connection._read_bytes, 0, True

    def bounded(count: int) -> bytes:
        nonlocal taken, is_head
        if not is_head:
            if taken + count > ROW_BYTES:
                raise RowTooLong
            taken = taken + count if count == MAX_PACKET_LEN else 0
        is_head = not is_head
        data: bytes = read(count)
        return data

    connection._read_bytes = bounded


def choose(connection: Connection, database: str | None) -> None:
    """Make this the session's database, by its name in the server's own list. Raise NoSuchDatabase."""
    if database is None:
        return
    query = "SELECT schema_name FROM information_schema.schemata WHERE schema_name = %s"
    found = fetch(connection, query, [database])
    if not found:
        raise NoSuchDatabase("the server lists no database of this name for this account")
    try:
        connection.select_db(found[0][0])
    except pymysql.MySQLError as error:
        raise problem_of(error) from error


def columns_of(cursor: Cursor) -> list[Column]:
    """What the cursor's rows consist of; empty for a statement that gives none."""
    fields: list[Any] = getattr(cursor._result, "fields", None) or []
    return [Column(str(each.name), kind_of(each.type_code, each.charsetnr)) for each in fields]


def _warnings(connection: Connection) -> list[str]:
    return [f"{row[0]} {row[1]}: {row[2]}"[:500] for row in fetch(connection, f"SHOW WARNINGS LIMIT {MAX_WARNINGS}")]


def _position(statement: str, said: str) -> int | None:
    """Where the server stumbled: it quotes what it could not read from there on, and the line."""
    if not (near := _NEAR.search(said)):
        return None
    lines = statement.split("\n")
    line = min(int(near[2]), len(lines)) - 1
    begin = sum(len(each) + 1 for each in lines[:line])
    if not near[1]:
        return len(statement)
    found = statement.find(near[1].split("\n")[0], begin)
    return begin if found < 0 else found
