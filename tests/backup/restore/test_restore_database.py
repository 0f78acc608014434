"""A database out of its dump, on a real server: beside, in place, one table, and what must not go wrong."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pymysql  # type: ignore[import-untyped]
import pytest

from backup.exit_codes import RestoreRefused, SourceFailed, VerificationFailed
from backup.journal import Silent
from backup.restore import WorldChanged, apply, plan
from backup.restore.schema import counts
from backup.settings import Server
from tests.backup.restore.house import House, asset, request
from tests.services.mariadb import MariaDB

pytestmark = pytest.mark.services

DUMP = ("--single-transaction", "--routines", "--triggers", "--events", "--hex-blob", "--order-by-primary")

SCHEMA = """
CREATE TABLE parent (id INT PRIMARY KEY, name VARCHAR(50));
CREATE TABLE child (id INT PRIMARY KEY, parent INT, FOREIGN KEY (parent) REFERENCES parent(id) ON DELETE CASCADE);
CREATE TABLE log (id INT AUTO_INCREMENT PRIMARY KEY, text VARCHAR(100), data BLOB);
CREATE SEQUENCE numbers;
INSERT INTO parent VALUES (1, 'one'), (2, 'two\\nlines; -- no comment');
INSERT INTO child VALUES (10, 1), (20, 2), (21, 2);
INSERT INTO log (text, data) VALUES ('first', x'00ff0a');
CREATE VIEW names AS SELECT name FROM parent;
CREATE VIEW of_names AS SELECT name FROM names WHERE name LIKE 'o%';
CREATE TRIGGER noted AFTER INSERT ON parent FOR EACH ROW INSERT INTO log (text) VALUES (NEW.name);
CREATE PROCEDURE add_parent(n INT) INSERT INTO parent VALUES (n, 'added');
CREATE FUNCTION twice(n INT) RETURNS INT DETERMINISTIC RETURN n * 2;
CREATE EVENT cleaning ON SCHEDULE EVERY 1 YEAR DO DELETE FROM log WHERE id < 0;
"""


@dataclass
class Live:
    """A house with one database on a real server, dumped into its point."""

    house: House
    mariadb: MariaDB
    server: Server
    name: str

    def sql(self, statements: str, database: str | None = None) -> list[tuple[Any, ...]]:
        with pymysql.connect(
            unix_socket=str(self.mariadb.unix_socket), user="root", database=database or self.name, autocommit=True
        ) as connection:
            rows: list[tuple[Any, ...]] = []
            for statement in statements.split(";\n"):
                if statement.strip():
                    with connection.cursor() as cursor:
                        cursor.execute(statement)
                        rows = list(cursor.fetchall())
            return rows

    def databases(self) -> set[str]:
        return {name for (name,) in self.sql("SHOW DATABASES", "mysql")}

    def whole(self, database: str | None = None) -> bytes:
        """All that can be said of a database."""
        name = database or self.name
        argv = ["mariadb-dump", "--no-defaults", f"--socket={self.mariadb.unix_socket}", "-uroot", *DUMP]
        return subprocess.run(
            [*argv, "--skip-dump-date", "--skip-comments", name], check=True, capture_output=True
        ).stdout

    def point(self, *, spoil: bytes | None = None) -> None:
        argv = ["mariadb-dump", "--no-defaults", f"--socket={self.mariadb.unix_socket}", "-uroot", *DUMP, self.name]
        dump = subprocess.run(argv, check=True, capture_output=True).stdout if spoil is None else spoil
        found = counts(self.server, self.name)
        facts = {"server": "main", "database": self.name, "charset": "utf8mb4", "collation": "utf8mb4_general_ci"}
        path = f"databases/main/{self.name}.sql"
        self.house.point(
            {path: dump}, [asset("database", f"main/{self.name}", "mariadb:main", [path], counts=found, facts=facts)]
        )

    def request(self, **fields: Any) -> Any:
        return request("database", f"main/{self.name}", **fields)


@pytest.fixture
def live(tmp_path: Path, mariadb: MariaDB) -> Iterator[Live]:
    name, user = f"shop-{secrets.token_hex(3)}", f"r{secrets.token_hex(3)}"  # a hyphen: names must be quoted
    (tmp_path / "restore").write_text("geheim' \\ \"\n")
    (tmp_path / "read").write_text("unused\n")
    mariadb.execute(
        f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4",
        f"CREATE USER {user}@localhost IDENTIFIED BY 'geheim\\' \\\\ \"'",
        f"GRANT ALL ON *.* TO {user}@localhost WITH GRANT OPTION",
    )
    document = {
        "name": "main",
        "socket": str(mariadb.unix_socket),
        "user": "reader",
        "password_file": str(tmp_path / "read"),
        "restore_user": user,
        "restore_password_file": str(tmp_path / "restore"),
        "services": ["shop"],
    }
    house = House(tmp_path, sources={"mariadb": [document]})
    live = Live(house, mariadb, house.settings.sources.mariadb[0], name)
    live.sql(SCHEMA)
    yield live
    for database in live.databases():
        if database.startswith(("shop-", "homeport_", "restored_")):
            mariadb.execute(f"DROP DATABASE `{database}`")
    mariadb.execute(f"DROP USER {user}@localhost")


def test_beside_is_a_new_database_and_the_live_one_is_untouched(live: Live) -> None:
    live.point()
    live.sql("DELETE FROM parent")
    before, there = live.whole(), live.databases()
    planned, report = live.house.restore(live.request())
    (new,) = live.databases() - there
    assert new.startswith(f"restored_{live.name}_2027")
    assert new in report.target
    assert live.sql("SELECT COUNT(*) FROM child", new) == [(3,)]
    assert live.whole() == before
    assert (planned.adds, planned.overwrites) == (3, 0)
    assert live.house.safety_copies == []


def test_in_place_is_exactly_what_was_dumped_with_triggers_views_routines_and_events(live: Live) -> None:
    live.point()
    before, there = live.whole(), live.databases()
    live.sql(
        "DELETE FROM parent;\n DROP VIEW of_names;\n DROP TRIGGER noted;\n DROP EVENT cleaning;\n"
        "CREATE TABLE later (id INT);\n CREATE VIEW newer AS SELECT 1 AS a;\n DROP FUNCTION twice;\n"
        "CREATE FUNCTION thrice(n INT) RETURNS INT DETERMINISTIC RETURN n * 3;\n"
        "CREATE TRIGGER other BEFORE DELETE ON log FOR EACH ROW SET @x = 1"
    )
    planned, report = live.house.restore(live.request(where="in-place"))
    assert live.whole() == before
    assert live.databases() == there
    assert {(each.what, each.path) for each in planned.changes} == {
        ("overwrite", "table child"),
        ("overwrite", "table log"),
        ("overwrite", "table parent"),
        ("delete", "table later"),
    }
    assert planned.services == ("shop",)
    assert live.house.safety_copies == [("database", f"main/{live.name}")]
    assert report.undo is not None
    live.sql("CALL add_parent(3)")  # the trigger works, and writes into the live log
    assert live.sql("SELECT text FROM log ORDER BY id") == [("first",), ("added",)]
    live.sql("DELETE FROM parent WHERE id = 2")  # and so does the foreign key
    assert live.sql("SELECT id FROM child") == [(10,)]


def test_a_database_that_is_gone_comes_back(live: Live) -> None:
    live.point()
    before = live.whole()
    live.mariadb.execute(f"DROP DATABASE `{live.name}`")
    live.house.restore(live.request(where="in-place"))
    assert live.whole() == before


def test_one_table_in_place_leaves_the_others(live: Live) -> None:
    live.sql("CREATE TRIGGER stamped BEFORE INSERT ON log FOR EACH ROW SET NEW.data = 'x'")
    live.point()
    live.sql("UPDATE log SET text = 'changed';\n UPDATE parent SET name = 'changed'")
    planned, _ = live.house.restore(live.request(where="in-place", path="log"))
    assert live.sql("SELECT name FROM parent WHERE id = 1") == [("changed",)]
    assert live.sql("SELECT text FROM log") == [("first",)]
    assert [each.path for each in planned.changes] == ["table log"]
    live.sql("INSERT INTO parent VALUES (7, 'seven')")  # whose trigger writes into the table that is there now
    assert live.sql("SELECT text, data FROM log ORDER BY id") == [("first", b"\x00\xff\n"), ("seven", b"x")]


@pytest.mark.parametrize("table", ["parent", "child"])
def test_a_table_with_foreign_keys_is_not_put_in_place_alone(live: Live, table: str) -> None:
    live.point()
    with pytest.raises(RestoreRefused, match="foreign keys"):
        plan(live.request(where="in-place", path=table), live.house.context())
    plan(live.request(path=table), live.house.context())


def test_one_table_beside_is_alone_in_its_database(live: Live) -> None:
    live.point()
    there = live.databases()
    live.house.restore(live.request(path="log"))
    (new,) = live.databases() - there
    assert live.sql("SHOW TABLES", new) == [("log",)]


def test_a_table_that_the_dump_does_not_hold_is_refused(live: Live) -> None:
    live.point()
    with pytest.raises(RestoreRefused, match="no table 'nothing'"):
        plan(live.request(path="nothing"), live.house.context())


def test_a_damaged_dump_never_reaches_the_server(live: Live) -> None:
    live.point()
    path = live.house.settings.layout.point(request("everything").point) / f"databases/main/{live.name}.sql"
    path.write_bytes(path.read_bytes().replace(b"'one'", b"'eno'"))
    before, there = live.whole(), live.databases()
    with pytest.raises(VerificationFailed, match="damaged"):
        live.house.restore(live.request(where="in-place"))
    assert (live.whole(), live.databases()) == (before, there)


@pytest.mark.parametrize("spoil", [b"-- Dump completed\n", b"CREATE TABLE parent (id INT);\nNONSENSE;\n"])
def test_a_dump_that_does_not_give_its_counts_touches_nothing_live(live: Live, spoil: bytes) -> None:
    live.point(spoil=spoil)
    before, there = live.whole(), live.databases()
    with pytest.raises((VerificationFailed, SourceFailed)):
        live.house.restore(live.request(where="in-place"))
    assert (live.whole(), live.databases()) == (before, there)


def test_a_dump_cannot_run_a_program_on_the_host(live: Live, tmp_path: Path) -> None:
    live.point(spoil=f"\\! touch {tmp_path}/owned\nsystem touch {tmp_path}/owned\n".encode())
    with pytest.raises((VerificationFailed, SourceFailed)):
        live.house.restore(live.request())
    assert not (tmp_path / "owned").exists()


def test_a_trigger_that_names_its_database_never_reaches_the_live_one(live: Live) -> None:
    """mariadb-dump writes a trigger's body as it was typed: loaded anywhere, this one would be made here."""
    live.sql(f"CREATE TRIGGER `{live.name}`.stamp BEFORE INSERT ON `{live.name}`.log FOR EACH ROW SET NEW.data = 'x'")
    live.point()
    live.sql("DROP TRIGGER stamp")
    before, there = live.whole(), live.databases()
    with pytest.raises(SourceFailed, match="denied"):
        live.house.restore(live.request())
    assert (live.whole(), live.databases()) == (before, there)
    assert live.sql("SELECT user FROM user WHERE user LIKE 'homeport%'", "mysql") == []


def test_a_view_of_another_database_loads(live: Live) -> None:
    live.sql("CREATE VIEW foreigner AS SELECT user FROM mysql.global_priv")
    live.point()
    before = live.whole()
    live.sql("DROP VIEW foreigner")
    live.house.restore(live.request(where="in-place"))
    assert live.whole() == before


def test_a_first_line_that_the_client_does_not_know_is_left_out_and_noted(live: Live) -> None:
    """An older client takes the sandbox line for a command (frappe#26929 and others). Here it is a newer mark."""
    argv = ["mariadb-dump", "--no-defaults", f"--socket={live.mariadb.unix_socket}", "-uroot", *DUMP, live.name]
    dump = subprocess.run(argv, check=True, capture_output=True).stdout
    _, _, rest = dump.partition(b"\n")
    live.point(spoil=b"\\- enable the sandbox mode of a later day;\n" + rest)
    live.sql("DELETE FROM parent")
    live.house.restore(live.request(where="in-place"))
    assert live.sql("SELECT COUNT(*) FROM parent") == [(2,)]


def test_when_code_cannot_be_made_what_was_live_is_back(live: Live) -> None:
    live.point()
    live.sql("DROP PROCEDURE add_parent;\n DROP FUNCTION twice;\n INSERT INTO parent VALUES (5, 'five')")
    before, there = live.whole(), live.databases()
    user = live.server.restore_user

    class Revoking(Silent):
        def step(self, name: str, **detail: Any) -> None:
            if name == "swap":  # the copy beside has loaded; now routines cannot be made any more
                live.mariadb.execute(f"REVOKE CREATE ROUTINE ON *.* FROM {user}@localhost")

    context = replace(live.house.context(), journal=Revoking())
    with pytest.raises(SourceFailed, match=r"denied.*What was live is back"):
        apply(plan(live.request(where="in-place"), context), context)
    assert (live.whole(), live.databases()) == (before, there)
    live.sql("INSERT INTO parent VALUES (6, 'six')")
    assert live.sql("SELECT text FROM log ORDER BY id DESC LIMIT 1") == [("six",)]


def test_tables_that_came_after_the_preview_are_not_deleted_unseen(live: Live) -> None:
    live.point()
    planned = plan(live.request(where="in-place"), live.house.context())
    live.sql("CREATE TABLE later (id INT)")
    with pytest.raises(WorldChanged) as refused:
        apply(planned, live.house.context())
    assert refused.value.plan.deletes == 1
    assert live.sql("SELECT COUNT(*) FROM later") == [(0,)]


def test_scratch_of_a_restore_that_was_killed_goes_and_former_tables_stay(live: Live) -> None:
    live.point()
    live.mariadb.execute("CREATE DATABASE homeport_restore_dead", "CREATE DATABASE homeport_before_dead")
    live.house.restore(live.request(where="in-place"))
    found = live.databases()
    assert "homeport_restore_dead" not in found
    assert "homeport_before_dead" in found


def test_no_password_is_in_an_argument(live: Live, caplog: pytest.LogCaptureFixture, capfd: Any) -> None:
    live.point()
    live.house.restore(live.request(where="in-place"))
    out, err = capfd.readouterr()
    assert "geheim" not in out + err + caplog.text


def test_a_server_without_an_account_for_restores_gives_the_dump_as_a_file(live: Live) -> None:
    live.point()
    server = live.server.model_copy(update={"restore_user": None})
    sources = live.house.settings.sources.model_copy(update={"mariadb": [server]})
    live.house.settings = live.house.settings.model_copy(update={"sources": sources})
    _, report = live.house.restore(live.request())
    assert (Path(report.target) / f"databases/main/{live.name}.sql").is_file()
    with pytest.raises(RestoreRefused, match="restore_user"):
        plan(live.request(where="in-place"), live.house.context())
