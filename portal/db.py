"""The portal's own database: SQLite by default, MariaDB by URL, the same to whoever uses it.

    row_id = await database.run(lambda session: create(session, name))    # one transaction, in a worker thread
    rows = await database.read(lambda session: list_all(session))         # a consistent view; nothing is written

Returning commits, raising rolls back. Routes never see a Session; services hand in a function of one. The function
touches nothing but the session and what it is given: after a deadlock (MariaDB) it is run again. What it returns stays
readable, since objects are not expired by the commit.

A caller that is cancelled while it waits does not undo its transaction: it goes on in its thread, and commits.

SQLite: WAL, foreign keys enforced, `BEGIN IMMEDIATE`, so that a transaction waits for its turn at its beginning and
then cannot fail by another; readers wait for nobody. MariaDB: READ COMMITTED, strict mode, UTC. What two transactions
must not both do is guarded by a unique constraint or `with_for_update()`, never by reading first.

The schema is made by portal/migrations alone, in tests too. Tables are compared byte by byte (utf8mb4_nopad_bin), so
that a name means the same thing on both.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import (
    BigInteger,
    Connection,
    DateTime,
    Engine,
    Integer,
    MetaData,
    Text,
    create_engine,
    event,
    make_url,
    text,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker
from sqlalchemy.types import TypeDecorator

from kit.logging import get_logger
from kit.problem import Problem

log = get_logger()
T = TypeVar("T")

THREADS = 8  # and as many connections: a portal has ten operators, not ten thousand
BUSY_S = 5.0  # how long a transaction waits for another one's lock
CONNECT_S = 5
ANSWER_S = 30  # for one statement on MariaDB
TURN_TRY_S, TURN_TRIES = 10, 12  # a migration waits for another one: each try well within ANSWER_S
RECYCLE_S = 1800  # well below MariaDB's wait_timeout of 8 h and what a firewall forgets
DEADLOCK_ATTEMPTS = 3
MIGRATIONS = Path(__file__).parent / "migrations"

_DEADLOCKS = frozenset({1213, 1020})  # ER_LOCK_DEADLOCK, ER_CHECKREAD; the server has rolled back
# Too many connections, lock wait, connection lost; disk full, table (or its tablespace) full.
_UNAVAILABLE = frozenset({1040, 1205, 2002, 2003, 2006, 2013, 1021, 1114})
_SQLITE_UNAVAILABLE = frozenset(
    {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY}
)
_IS_READ = "homeport_is_read"
_SESSION = (
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,"
    f"NO_ENGINE_SUBSTITUTION', time_zone = '+00:00', innodb_lock_wait_timeout = {BUSY_S:.0f}"
)


class DatabaseUnavailable(Problem):
    """The database gave no answer in time, cannot be reached, or cannot write: its disk is full, fails or is read-only.
    Nothing was changed by this request."""

    status, type, title = 503, "database-unavailable", "Database is unavailable"


class DatabaseUrlError(ValueError):
    """The database's URL is not one that the portal can use. The text never holds the URL: it has a password."""


class Base(DeclarativeBase):
    """Base of every table of the portal. Constraints have names, so that a migration can name them on any server."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC with microseconds. A naive one is refused: nobody knows what it means."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        return dialect.type_descriptor(mysql.DATETIME(fsp=6) if _is_mariadb(dialect) else DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime cannot be stored")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


BigId = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself only in an INTEGER primary key
LongText = Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")  # 16 MiB; MariaDB's TEXT ends at 64 KiB


class Database:
    """One database, its connections and its worker threads. Belongs to one process; `close` it at the end."""

    def __init__(self, url: str) -> None:
        """
        url     sqlite:///relative or sqlite:////absolute path, or mysql+pymysql://user:password@host/database
        raises  DatabaseUrlError
        """
        logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells of its own set-up as soon as it is imported
        self._engine = _engine(url)
        self._sessions = sessionmaker(self._engine, expire_on_commit=False)
        self._threads = ThreadPoolExecutor(THREADS, "database")

    @property
    def is_sqlite(self) -> bool:
        return self._engine.dialect.name == "sqlite"

    async def run(self, work: Callable[[Session], T]) -> T:
        """Run `work` in a transaction of its own, in a worker thread. Raise what it raises, or DatabaseUnavailable."""
        return await self._in_thread(self.run_sync, work)

    async def read(self, work: Callable[[Session], T]) -> T:
        """As `run`, for work that writes nothing: it sees one consistent state and keeps nobody waiting."""
        return await self._in_thread(self.read_sync, work)

    def run_sync(self, work: Callable[[Session], T]) -> T:
        """As `run`, in this thread: for commands and worker threads."""
        for attempts_left in reversed(range(DEADLOCK_ATTEMPTS)):
            try:
                with self._sessions.begin() as session:
                    return work(session)
            except DBAPIError as error:
                if _code(error) in _DEADLOCKS and attempts_left:
                    log.info("database_deadlock", attempts_left=attempts_left)
                    continue
                _raise_if_unavailable(error)
                raise
        raise AssertionError("the last attempt returns or raises")

    def read_sync(self, work: Callable[[Session], T]) -> T:
        options: dict[str, Any] = {_IS_READ: True} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        try:
            with self._sessions() as session:
                session.connection(execution_options=options)
                result = work(session)
                if session.new or session.dirty or session.deleted:
                    raise AssertionError("read was given work that writes")
                return result
        except DBAPIError as error:
            _raise_if_unavailable(error)
            raise

    async def _in_thread(self, run: Callable[[Callable[[Session], T]], T], work: Callable[[Session], T]) -> T:
        context = contextvars.copy_context()  # the log's request_id goes along
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: context.run(run, work))

    def is_current(self) -> bool:
        """Whether the schema is the one this version was written for."""
        from alembic.runtime.migration import MigrationContext
        from alembic.script import ScriptDirectory

        heads = set(ScriptDirectory.from_config(_alembic_config()).get_heads())
        try:
            with self._engine.connect() as connection:
                return set(MigrationContext.configure(connection).get_current_heads()) == heads
        except DBAPIError as error:
            _raise_if_unavailable(error)
            raise

    def migrate(self, revision: str = "head") -> None:
        """Bring the schema to `revision`. Two at once wait for each other. SQLite: all of it or nothing."""
        from alembic import command
        from alembic.script import ScriptDirectory

        config = _alembic_config()
        known = [each.revision for each in ScriptDirectory.from_config(config).walk_revisions()]
        with self._engine.begin() as connection:
            if not self.is_sqlite:
                _take_turn(connection)
            config.attributes["connection"] = connection
            current = _current_revision(connection)
            is_back = revision == "base" or (
                current in known and revision in known and known.index(revision) > known.index(current)
            )
            (command.downgrade if is_back else command.upgrade)(config, revision)
            log.info("schema_migrated", before=current, after=_current_revision(connection))
        self._engine.dispose()  # ends the session, and with it MariaDB's lock

    def close(self) -> None:
        """Wait for the work under way and close the connections."""
        self._threads.shutdown()
        self._engine.dispose()


def _take_turn(connection: Connection) -> None:
    """Wait for another migration to end. Raise DatabaseUnavailable when it takes too long."""
    for _ in range(TURN_TRIES):
        if connection.scalar(text("SELECT GET_LOCK('homeport.migrate', :wait)"), {"wait": TURN_TRY_S}):
            return
    raise DatabaseUnavailable("another migration is at work")


def _current_revision(connection: Connection) -> str | None:
    from alembic.runtime.migration import MigrationContext

    return MigrationContext.configure(connection).get_current_revision()


def _alembic_config() -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def _is_mariadb(dialect: Dialect) -> bool:
    return dialect.name in ("mysql", "mariadb")


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the latter for a port that is no number
        raise DatabaseUrlError("is not a database URL") from None  # the error itself quotes the URL
    if parsed.drivername == "sqlite" and parsed.database not in (None, "", ":memory:"):
        return _sqlite(str(parsed.database))
    if parsed.drivername in ("mysql+pymysql", "mariadb+pymysql") and parsed.database:
        return create_engine(
            parsed,
            isolation_level="READ COMMITTED",
            pool_size=THREADS,
            pool_pre_ping=True,
            pool_recycle=RECYCLE_S,
            connect_args={
                "charset": "utf8mb4",
                "connect_timeout": CONNECT_S,
                "read_timeout": ANSWER_S,
                "write_timeout": ANSWER_S,
                "local_infile": False,
                "init_command": _SESSION,
            },
        )
    raise DatabaseUrlError("is neither sqlite:///path nor mysql+pymysql://user:password@host/database")


def _sqlite(path: str) -> Engine:
    engine = create_engine(f"sqlite:///{path}", pool_size=THREADS, connect_args={"timeout": BUSY_S})

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # the driver's implicit transactions would begin too late
        for pragma in ("journal_mode = WAL", "foreign_keys = ON", "recursive_triggers = ON"):
            connection.execute(f"PRAGMA {pragma}")  # recursive: REPLACE then fires the triggers that forbid a DELETE

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        is_read = connection.get_execution_options().get(_IS_READ)
        connection.exec_driver_sql("BEGIN" if is_read else "BEGIN IMMEDIATE")

    return engine


def _code(error: DBAPIError) -> int | None:
    """The server's number for an error."""
    arguments = getattr(error.orig, "args", ())
    return arguments[0] if arguments and isinstance(arguments[0], int) else None


def _raise_if_unavailable(error: DBAPIError) -> None:
    is_sqlite = isinstance(error.orig, sqlite3.OperationalError)
    sqlite_code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF if is_sqlite else None  # without what extends it
    if sqlite_code in _SQLITE_UNAVAILABLE or error.connection_invalidated or _code(error) in _UNAVAILABLE:
        log.warning("database_unavailable", error=str(error.orig))
        raise DatabaseUnavailable(headers={"Retry-After": "5"}) from error
