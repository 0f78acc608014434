"""Queries as somebody runs them: values, caps, limits, kills, what is written down."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from kit.clock import SystemClock
from kit.problem import Problem
from portal.audit.models import AuditRow
from portal.databases.console import run, service
from portal.databases.console.failures import (
    ConsoleOff,
    NoSuchQuery,
    QueryIdInUse,
    QueryKilled,
    StatementFailed,
    StatementRefused,
    TooManyQueries,
)
from portal.databases.console.run import Limits, Running
from portal.databases.console.schemas import RunQuery
from portal.databases.failures import NoSuchDatabase, NoSuchServer, StatementTimedOut
from portal.databases.servers import Server
from tests.portal.databases.console.conftest import ANNA, BEN, Desk, Rows, still_there
from tests.services.mariadb import MariaDB

LONG = "SELECT COUNT(*) FROM things a, things b, things c WHERE a.id + b.id + c.id = 0"
THINGS = (
    "CREATE TABLE things (id BIGINT PRIMARY KEY, name VARCHAR(40)) ENGINE=InnoDB",
    "INSERT INTO things SELECT seq, CONCAT('n', seq) FROM mysql.seq_1_to_5000",
)


@pytest.fixture
def database(new_database: Callable[..., str]) -> str:
    return new_database(*THINGS)


async def test_values_are_typed_and_nothing_is_rounded(desk: Desk, new_database: Callable[..., str]) -> None:
    name = new_database(
        "CREATE TABLE kinds (i INT, b BIGINT UNSIGNED, d DECIMAL(30,10), f DOUBLE, t TEXT, r VARBINARY(9), bi BIT(9),"
        " da DATE, ti TIME(3), dt DATETIME(6), y YEAR, e ENUM('a','b'), j JSON, n INT)",
        "SET sql_mode = ''",
        "INSERT INTO kinds VALUES (-5, 18446744073709551615, 12345678901234567890.0123456789, 0.1, 'é😀', X'00FF27',"
        " b'100000001', '2026-02-03', '-12:30:00.5', '2026-02-03 04:05:06.7', 2026, 'b', '{\"a\": 1}', NULL),"
        " (9007199254740992, 9007199254740993, 0, -1e300, '', '', 0, '0000-00-00', '838:59:59', 0, 0, '', '[]', NULL)",
    )
    found = await desk.query(name, "SELECT * FROM kinds")
    kinds = [column.kind for column in found.columns]
    assert kinds == [
        *("integer", "integer", "decimal", "float", "text", "bytes", "bytes", "date", "time", "datetime", "integer"),
        *("text", "text", "integer"),
    ]
    assert found.rows[0] == [
        *(-5, "18446744073709551615", "12345678901234567890.0123456789", 0.1, "é😀", "00ff27", "0101", "2026-02-03"),
        *("-12:30:00.500", "2026-02-03T04:05:06.700000", 2026, "b", '{"a": 1}', None),
    ]
    assert found.rows[1][1] == "9007199254740993"
    assert found.rows[1][7] == "0000-00-00"
    assert found.stopped_by is None


async def test_rows_bytes_and_cells_have_caps(database: str, server: Server) -> None:
    def read(statement: str, **caps: int) -> run.Result:
        limits = Limits(timeout_s=10, **({"rows": 100, "bytes": 10_000, "characters": 50} | caps))
        return Running(server, "console", SystemClock()).read(statement, database, limits)

    by_rows = read("SELECT id FROM things ORDER BY id LIMIT 4000")
    assert (len(by_rows.rows), by_rows.stopped_by) == (100, "rows")
    assert read("SELECT id FROM things ORDER BY id LIMIT 100").stopped_by is None
    by_bytes = read("SELECT REPEAT('x', 3000) FROM things")
    assert (len(by_bytes.rows), by_bytes.stopped_by) == (3, "bytes")
    cut = read("SELECT 1, REPEAT('x', 60), REPEAT(X'FF', 26)")
    assert cut.cut == [(0, 1, 60), (0, 2, 26)]
    assert cut.rows == [[1, "x" * 50, "ff" * 25]]


async def test_reading_ends_at_a_cap_without_reading_the_rest(database: str, server: Server, rows: Rows) -> None:
    statement = "SELECT REPEAT('x', 100000) FROM things a, things b LIMIT 1000000"
    limits = Limits(timeout_s=60, rows=100, bytes=10_000, characters=50)
    assert Running(server, "console", SystemClock()).read(statement, database, limits).stopped_by == "bytes"
    await _until(lambda: not _at_work(rows))


async def test_a_row_that_a_statement_makes_out_of_nothing_is_not_read_to_its_end(
    database: str, server: Server, rows: Rows
) -> None:
    limits = Limits(timeout_s=60, rows=100, bytes=8 * 1024**2, characters=50)
    long = Running(server, "console", SystemClock()).read("SELECT REPEAT('x', 5000000)", database, limits)
    assert (len(long.rows), long.stopped_by) == (1, None)
    huge = ", ".join(["REPEAT('x', 15000000)"] * 8)
    tracemalloc.start()
    try:
        found = Running(server, "console", SystemClock()).read(f"SELECT {huge}", database, limits)
        assert tracemalloc.get_traced_memory()[1] < 40 * 1024**2
    finally:
        tracemalloc.stop()
    assert (found.rows, found.stopped_by) == ([], "bytes")
    await _until(lambda: not _at_work(rows))


async def test_what_was_read_is_shown_also_when_the_rest_cannot_be_killed(
    database: str, server: Server, mariadb: MariaDB, rows: Rows
) -> None:
    limits = Limits(timeout_s=60, rows=100, bytes=10_000, characters=50)
    mariadb.execute("ALTER USER homeport_console@'%' WITH MAX_USER_CONNECTIONS 1")
    try:
        found = Running(server, "console", SystemClock()).read("SELECT a.id FROM things a, things b", database, limits)
        assert found.stopped_by == "rows"
        await _until(lambda: not _at_work(rows))
    finally:
        mariadb.execute("ALTER USER homeport_console@'%' WITH MAX_USER_CONNECTIONS 0")


async def test_server_says_what_is_wrong_and_where(desk: Desk, database: str) -> None:
    with pytest.raises(StatementFailed) as failed:
        await desk.query(database, "SELECT id,\n nothing FROM things")
    assert failed.value.extensions["code"] == 1054
    with pytest.raises(StatementFailed) as failed:
        await desk.query(database, "SELECT id\nAS rows FROM things")
    assert failed.value.extensions["code"] == 1064
    assert failed.value.extensions["position"] == 13
    with pytest.raises(StatementRefused) as refused:
        await desk.query(database, "SELECT 1; SELECT 2")
    assert refused.value.extensions == {"rule": "several-statements", "position": 8}
    for database_name, server, error in (("wp_none", "blog", NoSuchDatabase), ("mysql", "blog", Problem)):
        with pytest.raises(error):
            await desk.query(database_name, "SELECT * FROM user")
        assert server
    with pytest.raises(NoSuchServer):
        await desk.console.query(ANNA, RunQuery(id="q" * 20, server="other", statement="SELECT 1"), still_there)


async def test_time_limit_is_the_server_s_and_says_so(database: str, server: Server, rows: Rows) -> None:
    limits = Limits(timeout_s=0.3, rows=10, bytes=10_000, characters=50)
    with pytest.raises(StatementTimedOut) as timed_out:
        Running(server, "console", SystemClock()).read(LONG, database, limits)
    assert timed_out.value.extensions["limit_s"] == 0.3
    # A statement that lifts its own limit, past the guard: the timer here ends it.
    lifted = "SET STATEMENT max_statement_time = 0 FOR SELECT SLEEP(60)"
    with pytest.raises(StatementTimedOut):
        Running(server, "console", SystemClock()).read(lifted, database, limits)
    assert not _at_work(rows)


async def test_kill_ends_it_and_only_its_user_may(desk: Desk, database: str, rows: Rows) -> None:
    wanted = RunQuery(id="killed0123456789abcd", server="blog", database=database, statement=LONG)
    running = asyncio.create_task(desk.console.query(ANNA, wanted, still_there))
    await _until(lambda: _at_work(rows))
    with pytest.raises(QueryIdInUse):
        await desk.console.query(ANNA, wanted, still_there)
    with pytest.raises(NoSuchQuery):
        await desk.console.kill(BEN, wanted.id)
    assert await desk.console.kill(ANNA, wanted.id)
    with pytest.raises(QueryKilled):
        await running
    assert not _at_work(rows)
    with pytest.raises(NoSuchQuery):
        await desk.console.kill(ANNA, wanted.id)


async def test_what_is_killed_on_its_way_to_the_server_never_gets_there(database: str, server: Server) -> None:
    running = Running(server, "console", SystemClock())
    assert running.kill()
    with pytest.raises(QueryKilled):
        running.read(LONG, database, Limits(timeout_s=60, rows=100, bytes=10_000, characters=50))
    assert not running.kill()


async def test_a_client_that_goes_away_takes_its_query_along(desk: Desk, database: str, rows: Rows) -> None:
    is_gone = False

    async def gone() -> bool:
        return is_gone

    wanted = RunQuery(id=desk.new_id(), server="blog", database=database, statement=LONG)
    running = asyncio.create_task(desk.console.query(ANNA, wanted, gone))
    await _until(lambda: _at_work(rows))
    is_gone = True
    with pytest.raises(QueryKilled):
        await running
    assert not _at_work(rows)
    (entry,) = (await desk.console.past(ANNA, before=None, limit=10)).entries
    assert entry.state == "killed"


async def test_two_at_once_and_no_more(desk: Desk, database: str, rows: Rows) -> None:
    wanted = [RunQuery(id=desk.new_id(), server="blog", database=database, statement=LONG) for _ in range(2)]
    running = [asyncio.create_task(desk.console.query(ANNA, each, still_there)) for each in wanted]
    await _until(lambda: len(_at_work(rows)) == service.AT_ONCE)
    with pytest.raises(TooManyQueries) as refused:
        await desk.query(database, "SELECT 1")
    assert refused.value.headers["Retry-After"]
    assert (await desk.query(database, "SELECT 1", BEN)).rows == [[1]]
    for each in wanted:
        await desk.console.kill(ANNA, each.id)
    assert all(isinstance(each, QueryKilled) for each in await asyncio.gather(*running, return_exceptions=True))
    assert (await desk.query(database, "SELECT 1")).rows == [[1]]


async def test_console_is_off_while_its_account_may_more(desk: Desk, database: str, mariadb: MariaDB) -> None:
    (server,) = (await desk.console.view()).servers
    assert (server.console.is_on, server.write.is_on) == (True, True)
    assert database in server.databases
    mariadb.execute("GRANT FILE ON *.* TO homeport_console@'%'")
    try:
        with pytest.raises(ConsoleOff, match=r"FILE on \*\.\*"):
            await desk.query(database, "SELECT 1")
        (server,) = (await desk.console.view()).servers
        assert (server.console.is_on, server.write.is_on) == (False, True)
        assert "FILE" in server.console.why
    finally:
        mariadb.execute("REVOKE FILE ON *.* FROM homeport_console@'%'")
    assert (await desk.query(database, "SELECT 1")).rows == [[1]]


async def test_history_is_one_s_own_and_the_audit_has_no_values(desk: Desk, database: str) -> None:
    await desk.query(database, "SELECT id FROM things WHERE name = 'n7'")
    await desk.query(database, "SELECT 1", BEN)
    with pytest.raises(StatementRefused):
        await desk.query(database, "DROP TABLE things")
    with pytest.raises(StatementFailed):
        await desk.query(database, "SELECT none")
    mine = (await desk.console.past(ANNA, before=None, limit=10)).entries
    assert [(each.state, each.rows) for each in mine] == [("failed", 0), ("refused", 0), ("done", 1)]
    assert mine[2].statement == "SELECT id FROM things WHERE name = 'n7'"
    page = await desk.console.past(ANNA, before=None, limit=2)
    assert [each.id for each in page.entries] == [each.id for each in mine[:2]]
    assert [each.id for each in (await desk.console.past(ANNA, before=page.before, limit=2)).entries] == [mine[2].id]
    audited = await desk.db.read(lambda session: list(session.scalars(select(AuditRow))))
    rows = [(each.action, each.actor_name, each.target, each.result) for each in audited]
    assert rows[:2] == [
        ("ui:console:query", "anna", f"blog/{database}", "accepted"),
        ("ui:console:query", "anna", f"blog/{database}", "done"),
    ]
    assert [each[3] for each in rows[4:]] == ["denied", "accepted", "failed"]
    assert all("n7" not in str(each.after) and "name = ?" in str(each.after) for each in audited[:2])


async def test_completion_offers_tables_and_columns(desk: Desk, database: str) -> None:
    words = await desk.console.words("blog", database)
    assert [(each.name, each.columns) for each in words.tables] == [("things", ["id", "name"])]
    assert "SELECT" in words.keywords
    assert "SLEEP" not in words.functions
    assert words.is_complete


def _at_work(rows: Rows) -> list[tuple[Any, ...]]:
    return rows("SELECT id FROM information_schema.processlist WHERE user = 'homeport_console' AND command = 'Query'")


async def _until(is_true: Callable[[], Any]) -> None:
    clock = SystemClock()
    give_up = clock.monotonic() + 20
    while not is_true():
        assert clock.monotonic() < give_up
        await asyncio.sleep(0.02)
