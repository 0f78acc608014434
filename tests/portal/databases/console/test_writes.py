"""Write mode on a real server: measured, applied, taken back exactly; refused where that could not be."""

from __future__ import annotations

import asyncio
import errno
import os
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from kit.clock import SystemClock
from portal.audit.models import AuditRow
from portal.databases.console import image, write, write_records, writes
from portal.databases.console.failures import (
    NoSuchWrite,
    RowsChanged,
    StatementFailed,
    StatementRefused,
    WriteApplied,
    WriteNotApplied,
    WriteNotPossible,
    WriteStale,
)
from portal.databases.console.schemas import WriteView
from portal.databases.failures import NoSuchTable
from portal.databases.models import ConsoleWriteRow
from portal.operations.records import Outcome
from tests.clock import FakeClock
from tests.portal.databases.console.conftest import ANNA, Desk, Rows, Stand

POSTS = (
    "CREATE TABLE posts (id BIGINT PRIMARY KEY AUTO_INCREMENT, slug VARCHAR(40) UNIQUE, title TEXT, hits INT DEFAULT 0,"
    " changed TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6)) ENGINE=InnoDB",
    "INSERT INTO posts (id, slug, title) SELECT seq, CONCAT('s', seq), CONCAT('title ', seq) FROM mysql.seq_1_to_20",
)
ODD = (
    "CREATE TABLE odd (a INT, b VARBINARY(8), f FLOAT, d DOUBLE, de DECIMAL(20,6), bi BIT(9), dt DATETIME(3), da DATE,"
    " ti TIME, e ENUM('x','y'), s SET('p','q'), t TEXT CHARACTER SET latin1, j JSON, n INT, bl BLOB,"
    " `per%cent` INT, g INT AS (a * 2) STORED, PRIMARY KEY (a, b)) ENGINE=InnoDB",
    "SET sql_mode = ''",
    "INSERT INTO odd (a, b, f, d, de, bi, dt, da, ti, e, s, t, j, n, bl, `per%cent`) VALUES (0, X'00FF', 0.1, 0.1,"
    " 1.000001, b'100000001', '0000-00-00', '2026-02-30', '-10:00:00', '', 'p,q', 'caf\u00e9 \\\\ '' %s', '{}', NULL,"
    " X'00FF8027', 5), (-7, 'a', 3.4e38, 2.2250738585072014e-308, -9, 0, '2026-01-02 03:04:05.678', '2026-01-01',"
    " '838:59:59', 'x', '', '', NULL, 0, '', NULL)",
)


@pytest.fixture
def posts(new_database: Callable[..., str]) -> str:
    return new_database(*POSTS)


@pytest.fixture
def table(rows: Rows, posts: str) -> Callable[[], list[tuple[Any, ...]]]:
    return lambda: rows(f"SELECT * FROM `{posts}`.posts ORDER BY id")


class TestMeasuring:
    async def test_an_update_shows_its_rows_and_changes_nothing(
        self, desk: Desk, posts: str, table: Callable[[], object]
    ) -> None:
        before = table()
        found = await desk.measure(posts, "UPDATE posts SET hits = 7, title = 'new' WHERE id <= 3")
        assert (found.kind, found.table, found.affected_rows, found.key) == ("update", "posts", 3, ["id"])
        (first, *_) = found.changes
        assert first.before is not None
        assert first.after is not None
        assert (first.before[:4], first.after[:4]) == ([1, "s1", "title 1", 0], [1, "s1", "new", 7])
        assert table() == before
        assert (await desk.console.writes.get(found.id)).state == "measured"

    async def test_an_update_without_a_condition_waits_with_its_count(self, desk: Desk, posts: str) -> None:
        assert (await desk.measure(posts, "UPDATE posts SET hits = id + 1")).affected_rows == 20
        assert (await desk.measure(posts, "UPDATE posts SET hits = 0")).affected_rows == 0

    async def test_rows_that_come_and_go_are_shown_as_such(self, desk: Desk, posts: str) -> None:
        gone = await desk.measure(posts, "DELETE FROM posts ORDER BY id DESC LIMIT 2")
        assert [each.after for each in gone.changes] == [None, None]
        new = await desk.measure(posts, "INSERT INTO posts (slug, title) VALUES ('a', 'A'), ('b', 'B')")
        assert (new.affected_rows, [each.before for each in new.changes]) == (2, [None, None])
        # one row clashes by its key, another one by its slug: three come to stand for two
        swap = await desk.measure(posts, "REPLACE INTO posts (id, slug) VALUES (1, 's2'), (30, 's30')")
        assert swap.affected_rows == 3
        assert sorted((each.before is not None, each.after is not None) for each in swap.changes) == [
            *((False, True), (True, False), (True, True))
        ]

    @pytest.mark.parametrize(
        ("statement", "rule"),
        [
            ("UPDATE no_key SET a = 2", "no-primary-key"),
            ("UPDATE my_isam SET b = 2", "engine"),
            ("UPDATE watched SET b = 2", "trigger"),
            ("DELETE FROM parent", "cascade"),
            ("UPDATE a_view SET hits = 2", "not-a-table"),
            ("UPDATE posts SET id = id + 100", "changes-key"),
            ("DELETE FROM bit_key", "no-primary-key"),
            ("UPDATE bit_key SET a = 2", "no-primary-key"),
            ("UPDATE odd_key SET `schl\u00fcssel` = `schl\u00fcssel` + 100", "changes-key"),
            ("INSERT INTO posts (title) SELECT seq FROM mysql.seq_1_to_10001", None),
            ("UPDATE big SET b = 1", "too-much"),
            ("INSERT INTO big (a) SELECT a + 20000 FROM big", "too-much"),
            ("REPLACE INTO prefixed (a, b) VALUES (1, 'x')", "prefix-key"),
        ],
    )
    async def test_what_could_not_be_taken_back_is_refused(
        self, desk: Desk, new_database: Callable[..., str], statement: str, rule: str | None
    ) -> None:
        name = new_database(
            *POSTS,
            "CREATE TABLE no_key (a INT) ENGINE=InnoDB",
            "CREATE TABLE bit_key (f BIT(9) PRIMARY KEY, a INT) ENGINE=InnoDB",
            "INSERT INTO bit_key VALUES (b'100000001', 1), (b'1', 1)",
            "CREATE TABLE odd_key (`schl\u00fcssel` INT PRIMARY KEY) ENGINE=InnoDB",
            "INSERT INTO odd_key VALUES (1), (2)",
            "CREATE TABLE my_isam (a INT PRIMARY KEY, b INT) ENGINE=MyISAM",
            "CREATE TABLE watched (a INT PRIMARY KEY, b INT) ENGINE=InnoDB",
            "CREATE TRIGGER t AFTER UPDATE ON watched FOR EACH ROW DELETE FROM no_key",
            "CREATE TABLE parent (a INT PRIMARY KEY) ENGINE=InnoDB",
            "CREATE TABLE child (a INT PRIMARY KEY REFERENCES parent (a) ON DELETE CASCADE) ENGINE=InnoDB",
            "CREATE VIEW a_view AS SELECT * FROM posts",
            "CREATE TABLE big (a INT PRIMARY KEY, b INT) ENGINE=InnoDB",
            "INSERT INTO big (a) SELECT seq FROM mysql.seq_1_to_10001",
            "CREATE TABLE prefixed (a INT PRIMARY KEY, b VARCHAR(99), UNIQUE (b(5))) ENGINE=InnoDB",
        )
        with pytest.raises(StatementFailed if rule is None else WriteNotPossible) as refused:
            await desk.measure(name, statement)
        assert rule is None or refused.value.extensions["rule"] == rule

    async def test_rows_that_are_added_are_counted_while_they_come(self, desk: Desk, posts: str) -> None:
        tracemalloc.start()
        try:
            with pytest.raises(WriteNotPossible):
                await desk.measure(
                    posts, "INSERT INTO posts (title) SELECT 'x' FROM posts a, posts b, posts c, posts d"
                )
            assert tracemalloc.get_traced_memory()[1] < 15 * 1024**2, "not all 160 000 of them"
        finally:
            tracemalloc.stop()

    async def test_rows_as_the_write_leaves_them_have_the_same_cap_as_before(
        self, desk: Desk, new_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        name = new_database(
            "CREATE TABLE growing (a INT PRIMARY KEY, t TEXT) ENGINE=InnoDB",
            "INSERT INTO growing SELECT seq, '' FROM mysql.seq_1_to_1400",
        )
        monkeypatch.setattr(write, "MAX_BYTES", 100_000)
        statement = "UPDATE growing SET t = REPEAT('x', {})"
        assert (await desk.measure(name, statement.format(40))).affected_rows == 1400
        with pytest.raises(WriteNotPossible, match="MiB"):
            await desk.measure(name, statement.format(100))

    async def test_the_guard_and_the_server_refuse_as_themselves(self, desk: Desk, posts: str) -> None:
        for statement, error in (
            ("DROP TABLE posts", StatementRefused),
            ("UPDATE mysql.user SET a = 1", StatementRefused),
            ("UPDATE none SET a = 1", NoSuchTable),
            ("UPDATE POSTS SET hits = 1", NoSuchTable),
            ("UPDATE posts SET none = 1", StatementFailed),
            ("INSERT INTO posts (slug) VALUES ('s1')", StatementFailed),
        ):
            with pytest.raises(error):
                await desk.measure(posts, statement)
        with pytest.raises(NoSuchWrite):
            await desk.console.writes.get("0" * 26)


class TestApplying:
    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE posts SET title = CONCAT(title, ' %'), hits = hits + 1 WHERE id IN (2, 4)",
            "UPDATE posts AS p SET p.slug = CONCAT('t', p.id) WHERE p.id > 5 ORDER BY p.id LIMIT 3",
            "DELETE FROM posts WHERE slug LIKE 's1%'",
            "INSERT INTO posts (slug, title) VALUES ('a', NULL), ('b', '')",
            "INSERT INTO posts (slug) SELECT CONCAT('x', id) FROM posts",
            "REPLACE INTO posts (id, slug) VALUES (1, 's2'), (30, 's30'), (5, NULL)",
        ],
    )
    async def test_it_is_done_and_undoing_restores_every_row(
        self, desk: Desk, posts: str, table: Callable[[], object], statement: str
    ) -> None:
        before = table()
        found = await desk.measure(posts, statement)
        operation = await desk.done(found)
        after = table()
        assert after != before
        assert operation.result == {"write": found.id, "rows": found.affected_rows}
        applied = await desk.console.writes.get(found.id)
        assert (applied.state, applied.operation_id) == ("applied", operation.id)
        assert applied.undo_until is not None
        back = await desk.console.writes.undo(found.id)
        assert (back.kind, back.undoes, back.affected_rows) == ("undo", found.id, found.affected_rows)
        assert table() == after
        await desk.done(back)
        assert table() == before
        assert (await desk.console.writes.get(found.id)).undone_by == back.id
        with pytest.raises(WriteNotApplied):
            await desk.console.writes.undo(found.id)
        again = await desk.console.writes.undo(back.id)  # an undo is a write like any other
        await desk.done(again)
        assert table() == after

    async def test_odd_values_come_back_to_the_last_bit(
        self, desk: Desk, new_database: Callable[..., str], rows: Rows
    ) -> None:
        name = new_database(*ODD)
        columns = (
            "HEX(b), a, f + 0e0, d, de, HEX(bi), dt, da + 0, ti, e + 0, s + 0, HEX(t), j, n, HEX(bl), `per%cent`, g"
        )
        query = f"SELECT {columns} FROM `{name}`.odd ORDER BY a"
        before = rows(query)
        for statement in (
            "DELETE FROM odd",
            "UPDATE odd SET f = 1, d = 1, t = 'x', bl = NULL, e = 'y', dt = NULL, bi = 1",
        ):
            found = await desk.measure(name, statement)
            await desk.done(found)
            assert rows(query) != before
            await desk.done(await desk.console.writes.undo(found.id))
            assert rows(query) == before

    async def test_values_that_change_places_find_back(
        self, desk: Desk, posts: str, table: Callable[[], list[Any]]
    ) -> None:
        before = table()
        await desk.done(await desk.measure(posts, "DELETE FROM posts WHERE id = 1"))
        moved = await desk.measure(posts, "UPDATE posts SET slug = CONCAT('s', id - 1) ORDER BY id")
        await desk.done(moved)
        await desk.done(await desk.console.writes.undo(moved.id))
        assert table() == before[1:]

    async def test_changed_rows_make_it_stale_and_nothing_is_done(
        self, desk: Desk, posts: str, rows: Rows, table: Callable[[], object]
    ) -> None:
        found = await desk.measure(posts, "UPDATE posts SET hits = 7 WHERE id <= 3")
        rows(f"UPDATE `{posts}`.posts SET title = 'else' WHERE id = 2")
        changed = table()
        with pytest.raises(WriteStale) as stale:
            await desk.apply(found)
        new = WriteView.model_validate(stale.value.extensions["write"])
        assert table() == changed
        assert new.id != found.id
        await desk.done(new)
        with pytest.raises(WriteApplied):
            await desk.apply(new)

    async def test_an_old_measure_is_stale(self, stand: Stand, posts: str) -> None:
        clock = FakeClock()
        async with stand(clock) as desk:
            found = await desk.measure(posts, "UPDATE posts SET hits = 7 WHERE id = 1")
            clock.advance(write_records.VALID_MIN * 60)
            with pytest.raises(WriteStale, match="older"):
                await desk.apply(found)

    async def test_rows_changed_since_are_not_undone(self, desk: Desk, posts: str, rows: Rows) -> None:
        found = await desk.measure(posts, "UPDATE posts SET hits = 7 WHERE id <= 3")
        await desk.done(found)
        rows(f"UPDATE `{posts}`.posts SET hits = 8 WHERE id = 2")
        with pytest.raises(RowsChanged) as changed:
            await desk.console.writes.undo(found.id)
        assert changed.value.extensions["changed"] == 1

    async def test_twice_at_once_is_done_once(self, desk: Desk, posts: str, rows: Rows) -> None:
        found = await desk.measure(posts, "UPDATE posts SET hits = hits + 1 WHERE id = 1")
        begun = await asyncio.gather(*(desk.apply(found) for _ in range(3)), return_exceptions=True)
        assert sum(getattr(each, "state", "") == "done" for each in begun) == 1
        assert rows(f"SELECT hits FROM `{posts}`.posts WHERE id = 1") == [(1,)]


class TestFailing:
    async def test_a_full_disk_keeps_the_rows_as_they_are(
        self, desk: Desk, posts: str, table: Callable[[], object], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = await desk.measure(posts, "DELETE FROM posts")
        before = table()

        def full(*_args: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            operation = await desk.apply(found)
        assert operation.error is not None
        assert operation.error["type"].endswith("not-enough-room")
        assert table() == before
        assert (await desk.console.writes.get(found.id)).state == "not-applied"
        assert not list((desk.state_dir / "console").glob("*"))

    @pytest.mark.parametrize("is_committed", [True, False])
    async def test_a_portal_that_was_killed_finds_out_what_is_true(
        self, stand: Stand, posts: str, table: Callable[[], object], is_committed: bool
    ) -> None:
        """Killed after the rows were saved: the commit has reached the server, or it has not."""
        async with stand() as desk:
            found = await desk.measure(posts, "UPDATE posts SET hits = 7 WHERE id <= 3")
            before = table()
            operation = await desk.done(found)
            if not is_committed:
                await desk.done(await desk.console.writes.undo(found.id))
                assert table() == before
            await desk.db.run(lambda session: _cut_off(session, found.id, operation.id))
        async with stand() as desk:
            await desk.runner.recovered()
            ended = await desk.runner.get(operation.id)
            assert ended.outcome is (Outcome.DONE if is_committed else Outcome.NOT_DONE)
            now = await desk.console.writes.get(found.id)
            assert now.state == ("applied" if is_committed else "not-applied")
            if is_committed:
                await desk.done(await desk.console.writes.undo(found.id))
                assert table() == before

    async def test_a_lost_answer_to_the_commit_is_no_failure(
        self, desk: Desk, posts: str, rows: Rows, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = await desk.measure(posts, "UPDATE posts SET hits = 7 WHERE id = 1")
        real = write.apply

        def lost(*args: Any, **more: Any) -> Any:
            real(*args, **more)
            raise OSError("the connection is gone")

        monkeypatch.setattr(writes, "apply", lost)
        await desk.done(found)
        assert rows(f"SELECT hits FROM `{posts}`.posts WHERE id = 1") == [(7,)]
        assert (await desk.console.writes.get(found.id)).state == "applied"

    async def test_saved_rows_are_one_s_own_and_go_after_their_time(self, stand: Stand, posts: str) -> None:
        clock = FakeClock(now=SystemClock().now())
        async with stand(clock) as desk:
            found = await desk.measure(posts, "DELETE FROM posts WHERE id = 1")
            await desk.done(found)
            path = desk.state_dir / "console" / f"{found.id}.zst"
            assert path.stat().st_mode & 0o777 == 0o600
            saved = image.load(path)
            assert saved is not None
            assert len(saved.before) == 1
            await desk.console.writes.forget(found.measured_at)
            assert path.exists()
            clock.advance((write_records.KEPT_DAYS + 1) * 86_400)
            for job in desk.console.jobs:
                if job.name == "console forget":
                    await job.work()
            assert not path.exists()
            with pytest.raises(NoSuchWrite):
                await desk.console.writes.get(found.id)

    async def test_audit_tells_who_wrote_what_without_values(self, desk: Desk, posts: str) -> None:
        found = await desk.measure(posts, "UPDATE posts SET title = 'canary-5d' WHERE id = 1")
        await desk.console.writes.apply(ANNA, found.id, "asked for by the editor")
        await desk.runner.close()
        audited = await desk.db.read(lambda session: list(session.scalars(select(AuditRow))))
        told = [(each.action, each.target, each.result) for each in audited]
        assert ("ui:console:write", f"blog/{posts}/posts", "accepted") in told
        assert all("canary-5d" not in f"{each.before}{each.after}{each.detail}" for each in audited)
        assert any("asked for by the editor" in str(each.after) for each in audited)


def _cut_off(session: Any, write_id: str, operation_id: str) -> None:
    """As it was between the commit and the record of it."""
    from portal.operations.models import OperationRow

    row = session.get(ConsoleWriteRow, write_id)
    row.state, row.applied_at = "applying", None
    operation = session.get(OperationRow, operation_id)
    operation.state, operation.ended_at, operation.owner = "running", None, "gone"
    operation.guard = "console:write it was"
