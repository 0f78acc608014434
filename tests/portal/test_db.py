"""The database: transactions, threads, time, schema, and what is said when it does not answer."""

from __future__ import annotations

import asyncio
import importlib
import resource
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import structlog
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import String, create_engine, func, inspect, select, text, update
from sqlalchemy.exc import IntegrityError, OperationalError, StatementError
from sqlalchemy.orm import Mapped, Session, mapped_column

from portal.db import Base, Database, DatabaseUnavailable, DatabaseUrlError, UtcDateTime
from tests.portal.database import opened
from tests.services.mariadb import MariaDB

PORTAL = Path(__file__).parents[2] / "portal"


class Note(Base):
    """A table of these tests' own. No migration knows it, so it is made by hand."""

    __tablename__ = "test_note"
    __table_args__ = {"info": {"is_test": True}}  # noqa: RUF012  # as SQLAlchemy wants it

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50), unique=True)
    at: Mapped[datetime | None] = mapped_column(UtcDateTime)


@pytest.fixture
def notes(any_database: Database) -> Database:
    any_database.run_sync(lambda session: Note.__table__.create(session.connection()))  # type: ignore[attr-defined]
    return any_database


def add(session: Session, name: str, at: datetime | None = None) -> Note:
    note = Note(name=name, at=at)
    session.add(note)
    session.flush()
    return note


def names(session: Session) -> list[str]:
    return list(session.scalars(select(Note.name).order_by(Note.id)))


async def test_run_that_returns_commits_and_that_raises_rolls_back(notes: Database) -> None:
    note = await notes.run(lambda session: add(session, "kept"))
    assert note.name == "kept"  # readable after the commit

    def fail(session: Session) -> None:
        add(session, "lost")
        raise LookupError("no")

    with pytest.raises(LookupError):
        await notes.run(fail)
    assert await notes.read(names) == ["kept"]


async def test_run_works_in_a_thread_and_keeps_the_log_context(notes: Database) -> None:
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        seen = await notes.run(
            lambda _session: (threading.current_thread().name, structlog.contextvars.get_contextvars()["request_id"])
        )
    assert seen[0].startswith("database")
    assert seen[1] == "r-1"


async def test_concurrent_increments_are_all_counted(notes: Database) -> None:
    await notes.run(lambda session: add(session, "0"))

    def increment(session: Session) -> None:
        note = session.scalars(select(Note).with_for_update()).one()
        note.name = str(int(note.name) + 1)

    await asyncio.gather(*(notes.run(increment) for _ in range(40)))
    assert await notes.read(names) == ["40"]


async def test_transactions_that_block_each_other_both_end_well(notes: Database) -> None:
    """On MariaDB this is a deadlock, whose victim is run again; on SQLite the second waits from its beginning."""
    await notes.run(lambda session: [add(session, name) for name in ("a", "b")])
    meet = threading.Barrier(2, timeout=5)
    tries: list[str] = []

    def change(session: Session, first: str, second: str) -> None:
        tries.append(first)
        session.execute(update(Note).where(Note.name == first).values(at=datetime.now(UTC)))
        if not notes.is_sqlite and len(tries) <= 2:
            meet.wait()
        session.execute(update(Note).where(Note.name == second).values(at=datetime.now(UTC)))

    await asyncio.gather(
        notes.run(lambda session: change(session, "a", "b")), notes.run(lambda session: change(session, "b", "a"))
    )
    assert len(tries) == (2 if notes.is_sqlite else 3)


async def test_read_sees_one_state_and_keeps_no_writer_waiting(notes: Database) -> None:
    await notes.run(lambda session: add(session, "before"))
    written = threading.Event()

    def look_twice(session: Session) -> tuple[int | None, int | None]:
        first = session.scalar(select(func.count()).select_from(Note))
        loop.call_soon_threadsafe(begun.set)
        assert written.wait(5)
        return first, session.scalar(select(func.count()).select_from(Note))

    loop, begun = asyncio.get_running_loop(), asyncio.Event()
    looking = asyncio.create_task(notes.read(look_twice))
    await begun.wait()
    await notes.run(lambda session: add(session, "meanwhile"))
    written.set()
    assert await looking == (1, 1)


async def test_read_that_writes_is_refused(notes: Database) -> None:
    with pytest.raises(AssertionError):
        await notes.read(lambda session: session.add(Note(name="x")))
    assert await notes.read(names) == []


async def test_names_are_compared_byte_by_byte(notes: Database) -> None:
    different = ["anna", "Anna", "anna ", "änna", "あ", "ア", "\U0001f600"]
    await notes.run(lambda session: [add(session, name) for name in different])
    assert await notes.read(names) == different
    with pytest.raises(IntegrityError):
        await notes.run(lambda session: add(session, "anna"))


async def test_times_keep_their_microseconds_and_come_back_in_utc(notes: Database) -> None:
    at = datetime(2026, 11, 22, 15, 4, 5, 678901, timezone(timedelta(hours=9)))
    await notes.run(lambda session: add(session, "x", at))
    seen = await notes.read(lambda session: session.scalar(select(Note.at)))
    assert seen == at
    assert seen is not None
    assert seen.tzinfo is UTC


async def test_time_without_zone_is_refused(notes: Database) -> None:
    with pytest.raises(StatementError, match="naive"):
        await notes.run(lambda session: add(session, "x", datetime(2026, 11, 22)))  # noqa: DTZ001


def test_text_that_is_too_long_is_refused_not_cut_on_a_server(mariadb: MariaDB) -> None:
    with opened(mariadb.new_database()) as database:
        database.run_sync(lambda session: Note.__table__.create(session.connection()))  # type: ignore[attr-defined]
        with pytest.raises(Exception, match="Data too long"):
            database.run_sync(lambda session: add(session, "x" * 51))


# -- schema -----------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.services)])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/empty.sqlite3"
    else:
        yield request.getfixturevalue("mariadb").new_database()


def test_migrations_lead_to_what_the_code_declares_and_back(empty: str) -> None:
    for models in PORTAL.rglob("*models.py"):  # they declare every table there is
        importlib.import_module(".".join(models.relative_to(PORTAL.parent).with_suffix("").parts))
    with opened(empty) as database:
        assert not database.is_current()
        database.migrate()
        assert database.is_current()
        assert differences(empty) == []
        database.migrate()
        database.migrate("base")
        assert not database.is_current()
    engine = create_engine(empty)
    assert inspect(engine).get_table_names() == ["alembic_version"]
    engine.dispose()


def differences(url: str) -> list[object]:
    """What Alembic would change to make the database what the code declares."""
    engine = create_engine(url)
    options = {"compare_type": True, "include_object": lambda thing, *_: not getattr(thing, "info", {}).get("is_test")}
    try:
        with engine.connect() as connection:
            return list(compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata))
    finally:
        engine.dispose()


async def test_two_migrations_at_once_wait_for_each_other(empty: str) -> None:
    with opened(empty) as one, opened(empty) as two:
        await asyncio.gather(asyncio.to_thread(one.migrate), asyncio.to_thread(two.migrate))
        assert one.is_current()


def test_migration_that_fails_leaves_nothing_behind_on_sqlite(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/db.sqlite3"
    with closing(sqlite3.connect(tmp_path / "db.sqlite3")) as connection:
        connection.execute("CREATE TABLE audit_head (x)")  # in the way of the first migration's second table
    with opened(url) as database:
        with pytest.raises(Exception, match="already exists"):
            database.migrate()
        tables = database.read_sync(lambda session: inspect(session.connection()).get_table_names())
    assert tables == ["audit_head"]


@pytest.mark.services
def test_migration_that_lacks_a_privilege_can_be_repeated_on_a_server() -> None:
    """With binary logging on, triggers need a setting of the server's administrator."""
    with MariaDB("--log-bin") as server, opened(server.new_database()) as database:
        with pytest.raises(Exception, match="log_bin_trust_function_creators"):
            database.migrate()
        assert not database.is_current()
        server.execute("SET GLOBAL log_bin_trust_function_creators = 1")
        database.migrate()
        assert database.is_current()


# -- when it does not answer ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        *("", "nonsense", "sqlite://", "sqlite:///:memory:", "postgresql://u:canary-secret@h/d", "mysql+pymysql://h"),
        *("mysql://u:canary-secret@h/d", "mysql+pymysql://u:canary-secret@h:port/d"),
    ],
)
def test_url_that_cannot_be_used_is_refused_without_saying_it(url: str) -> None:
    with pytest.raises(DatabaseUrlError) as caught:
        Database(url)
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_sqlite_that_is_held_by_another_process_is_unavailable(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        monkeypatch.setattr("portal.db.BUSY_S", 0.05)
        with opened(database_url) as impatient:
            with pytest.raises(DatabaseUnavailable) as caught:
                await impatient.run(lambda session: session.execute(text("DELETE FROM audit_head")))
            assert caught.value.headers["Retry-After"]
            assert await impatient.read(lambda session: session.scalar(text("SELECT 1"))) == 1


async def test_sqlite_on_a_full_disk_is_unavailable_for_writing_and_readable(database_url: str) -> None:
    with opened(database_url) as database:
        with pytest.raises(DatabaseUnavailable):
            await database.run(lambda session: _write_much(session, "PRAGMA max_page_count = 1"))
        await _is_readable_and_empty(database)


async def test_sqlite_that_is_read_only_is_unavailable_for_writing_and_readable(database_url: str) -> None:
    with opened(database_url) as database:
        with pytest.raises(DatabaseUnavailable):
            await database.run(lambda session: _write_much(session, "PRAGMA query_only = 1"))
        await _is_readable_and_empty(database)


async def test_sqlite_on_a_disk_that_fails_is_unavailable_for_writing_and_readable(database_url: str) -> None:
    """The file may grow no further: the kernel refuses the write, as a failing disk does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with opened(database_url) as database:
        await _is_readable_and_empty(database)
        size = max(path.stat().st_size for path in Path(database_url.removeprefix("sqlite:///")).parent.iterdir())
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 4096, limits[1]))
        try:
            with pytest.raises(DatabaseUnavailable) as caught:
                await database.run(_write_much)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert isinstance(caught.value.__cause__, OperationalError)
        assert getattr(caught.value.__cause__.orig, "sqlite_errorname", "").startswith("SQLITE_IOERR")
        await _is_readable_and_empty(database)


def _write_much(session: Session, *first: str) -> None:
    for statement in (*first, "CREATE TABLE much (x BLOB)", "INSERT INTO much VALUES (randomblob(4000000))"):
        session.execute(text(statement))


async def _is_readable_and_empty(database: Database) -> None:
    assert await database.read(lambda session: session.scalar(text("SELECT count(*) FROM operations"))) == 0


async def test_table_that_is_full_on_a_server_is_unavailable(mariadb: MariaDB) -> None:
    """A disk that is full is the same to whoever writes; only a table in memory can be full on demand."""

    def fill(session: Session) -> None:
        session.execute(text("SET SESSION max_heap_table_size = 16384"))
        session.execute(text("CREATE TABLE small (x VARCHAR(1000)) ENGINE = MEMORY"))
        for _ in range(100):
            session.execute(text("INSERT INTO small VALUES (REPEAT('x', 1000))"))

    with opened(mariadb.new_database()) as database, pytest.raises(DatabaseUnavailable) as caught:
        await database.run(fill)
    assert isinstance(caught.value.__cause__, OperationalError)
    assert caught.value.__cause__.orig is not None
    assert caught.value.__cause__.orig.args[0] == 1114


@pytest.mark.services
async def test_server_that_is_gone_is_unavailable_and_found_again() -> None:
    with MariaDB() as server, opened(server.new_database()) as database:
        assert await database.read(lambda session: session.scalar(text("SELECT 1"))) == 1
        server.stop()
        with pytest.raises(DatabaseUnavailable):
            await database.read(lambda session: session.scalar(text("SELECT 1")))
        with pytest.raises(DatabaseUnavailable):
            database.is_current()
        server.start()
        assert await database.read(lambda session: session.scalar(text("SELECT 1"))) == 1
