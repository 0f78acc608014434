"""Dumps of a real server: what is in them, what spoils them, and that nothing of a spoilt one stays."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pymysql  # type: ignore[import-untyped]
import pytest

from backup.exit_codes import DestinationFailed, SourceFailed
from backup.settings import Server
from backup.sources.client import execute, identifier, query
from backup.sources.mariadb import MariaDB as Source
from backup.sources.mariadb import _like, file_name
from backup.stage import Stage
from backup.state import AssetState
from tests.backup.sources.conftest import account
from tests.backup.sources.staging import Notes, files_below, point_with
from tests.crash.small_disk import MIB, SmallDisk
from tests.services.mariadb import MariaDB

Servers = Callable[..., Server]
NewName = Callable[[], str]


@pytest.fixture
def database(mariadb: MariaDB, new_name: NewName) -> str:
    """With a table of three rows, an empty one, a view, a trigger, a procedure and an event."""
    name = new_name()
    mariadb.execute(
        f"CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        f"CREATE TABLE {name}.people (id INT PRIMARY KEY AUTO_INCREMENT, name TEXT, photo BLOB)",
        f"INSERT INTO {name}.people (name, photo) VALUES ('a\\n(1', x'00ff'), ('UNLOCK TABLES;', NULL), ('日本', '')",
        f"CREATE TABLE {name}.nothing (id INT)",
        f"CREATE VIEW {name}.names AS SELECT name FROM {name}.people",
        f"USE {name}",
        "CREATE TRIGGER stamp BEFORE INSERT ON nothing FOR EACH ROW SET NEW.id = 1",
        "CREATE PROCEDURE clean() DELETE FROM nothing",
        "CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY DO CALL clean()",
    )
    return name


def dumps_in(stage: Stage) -> set[str]:
    return {path for path in files_below(stage.root) if path.endswith(".sql")}


def load(mariadb: MariaDB, server: Server, dump: Path, into: str) -> dict[str, int]:
    """Load a dump as the database's administrator; return its counts as a drill takes them."""
    mariadb.execute(f"CREATE DATABASE {into}")
    root = server.model_copy(update={"user": "root", "password_file": dump.parent / "root"})
    (dump.parent / "root").write_text("any")
    mariadb.execute("SET PASSWORD FOR root@localhost = PASSWORD('any')")
    try:
        with dump.open("rb", buffering=0) as file:
            execute(root, file.fileno(), into)
    finally:
        with pymysql.connect(unix_socket=str(mariadb.unix_socket), user="root", password="any") as connection:
            connection.cursor().execute("SET PASSWORD FOR root@localhost = ''")
    tables = query(
        server,
        "SELECT table_name FROM information_schema.tables WHERE table_type IN ('BASE TABLE', 'SYSTEM VERSIONED')"
        f" AND table_schema = '{into}'",
    )
    counts = {
        f"rows.{table}": int(query(server, f"SELECT COUNT(*) FROM {into}.{identifier(table)}")[0][0])
        for (table,) in tables
    }
    return {"tables": len(tables)} | counts


def test_a_dump_holds_all_and_its_counts_are_those_of_a_load(
    mariadb: MariaDB, server_of: Servers, new_name: NewName, database: str, stage: Stage, journal: Notes
) -> None:
    server = server_of(database)
    staged = Source(server).stage(stage, None, journal)
    (asset,) = staged.assets
    dump = stage.root / "databases" / "main" / f"{database}.sql"
    assert (asset.kind, asset.name, asset.source) == ("database", f"main/{database}", "mariadb:main")
    assert asset.paths == [f"databases/main/{database}.sql"]
    assert asset.bytes == dump.stat().st_size
    assert asset.counts == {"tables": 2, "rows.people": 3, "rows.nothing": 0}
    assert asset.facts.items() >= {
        ("server", "main"),
        ("database", database),
        ("charset", "utf8mb4"),
        ("collation", "utf8mb4_bin"),
    }
    assert staged.versions.keys() == {"client", "server"}
    assert not staged.warnings
    assert dump.read_bytes().startswith(b"/*M!999999\\- enable the sandbox mode */")
    for part in (b"0x00FF", b"VIEW `names`", b"TRIGGER stamp", b"PROCEDURE `clean`", b"EVENT `nightly`"):
        assert part in dump.read_bytes()
    assert load(mariadb, server, dump, new_name()) == asset.counts


def test_an_unchanged_database_gives_the_same_bytes(
    server_of: Servers, database: str, stage: Stage, tmp_path: Path, journal: Notes
) -> None:
    Source(server_of(database)).stage(stage, None, journal)
    with Stage(tmp_path / "again") as again:
        Source(server_of(database)).stage(again, None, journal)
        path = f"databases/main/{database}.sql"
        assert (again.root / path).read_bytes() == (stage.root / path).read_bytes()


def test_counts_are_of_the_dump_whatever_is_written_meanwhile(
    mariadb: MariaDB, server_of: Servers, new_name: NewName, stage: Stage, journal: Notes
) -> None:
    """Each transaction takes a row from one table and puts two into the other: a consistent view keeps 2a + b."""
    name = new_name()
    mariadb.execute(
        f"CREATE DATABASE {name}",
        *(f"CREATE TABLE {name}.{table} (id INT PRIMARY KEY AUTO_INCREMENT, t CHAR(200))" for table in ("a", "z")),
        f"USE {name}",
        f"INSERT INTO {name}.a (t) SELECT REPEAT('x', 200) FROM seq_1_to_3000",
    )
    begun, ended = threading.Event(), threading.Event()

    def write() -> None:
        with pymysql.connect(unix_socket=str(mariadb.unix_socket), user="root", database=name) as connection:
            cursor = connection.cursor()
            while not ended.is_set():
                if cursor.execute("DELETE FROM a LIMIT 1"):
                    cursor.execute("INSERT INTO z (t) VALUES ('y'), ('y')")
                connection.commit()
                begun.set()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert begun.wait(60)
        (asset,) = Source(server_of(name)).stage(stage, None, journal).assets
    finally:
        ended.set()
        thread.join()
    assert 2 * asset.counts["rows.a"] + asset.counts["rows.z"] == 6000
    assert asset.counts["rows.a"] < 3000
    assert load(mariadb, server_of(name), stage.root / asset.paths[0], new_name()) == asset.counts


@pytest.mark.parametrize("name", ["-p", "a/b", "..", ".hidden", "we`ird 日本", "back\\slash\\", "100%", "--help"])
def test_a_database_may_have_any_name(
    mariadb: MariaDB, server_of: Servers, stage: Stage, journal: Notes, name: str
) -> None:
    mariadb.execute(
        f"CREATE DATABASE IF NOT EXISTS {identifier(name)}",
        f"CREATE OR REPLACE TABLE {identifier(name)}.`t``a\\\\` (id INT PRIMARY KEY)",
        f"INSERT INTO {identifier(name)}.`t``a\\\\` VALUES (1), (2)",
    )
    (asset,) = Source(server_of(name)).stage(stage, None, journal).assets
    assert asset.counts == {"tables": 1, "rows.t`a\\\\": 2}
    assert dumps_in(stage) == {asset.paths[0]}
    assert asset.paths == [f"databases/main/{file_name(name)}.sql"]


def test_tables_of_another_engine_are_locked_and_named(
    mariadb: MariaDB, server_of: Servers, database: str, stage: Stage, journal: Notes
) -> None:
    mariadb.execute(
        f"CREATE TABLE {database}.old (id INT) ENGINE=MyISAM",
        f"INSERT INTO {database}.old VALUES (1), (2)",
        f"CREATE TABLE {database}.aria (id INT) ENGINE=Aria",
    )
    staged = Source(server_of(database)).stage(stage, None, journal)
    assert staged.assets[0].counts["rows.old"] == 2
    (warning,) = staged.warnings
    assert "not InnoDB: aria, old" in warning


def test_the_history_of_a_versioned_table_is_said_to_be_missing(
    mariadb: MariaDB, server_of: Servers, database: str, stage: Stage, journal: Notes
) -> None:
    mariadb.execute(
        f"CREATE TABLE {database}.v (id INT PRIMARY KEY) WITH SYSTEM VERSIONING",
        f"CREATE SEQUENCE {database}.s",
        f"INSERT INTO {database}.v VALUES (1)",
        f"UPDATE {database}.v SET id = 2",
    )
    staged = Source(server_of(database)).stage(stage, None, journal)
    assert staged.assets[0].counts == {"tables": 3, "rows.people": 3, "rows.nothing": 0, "rows.v": 1}
    assert "only the present rows of v" in staged.warnings[0]


def test_a_change_of_the_tables_during_the_dump_makes_it_anew(
    mariadb: MariaDB, server_of: Servers, database: str, stage: Stage
) -> None:
    changes = [f"CREATE TABLE {database}.late (id INT)"]
    journal = Notes(lambda _step: mariadb.execute(changes.pop()) if changes else None)
    (asset,) = Source(server_of(database)).stage(stage, None, journal).assets
    assert asset.counts["tables"] == 3
    assert "once more" in journal.notes[0]


def test_tables_that_change_each_time_fail_the_source_and_leave_nothing(
    mariadb: MariaDB, server_of: Servers, database: str, stage: Stage
) -> None:
    numbers = iter(range(10))
    journal = Notes(lambda _step: mariadb.execute(f"CREATE TABLE {database}.late{next(numbers)} (id INT)"))
    with pytest.raises(SourceFailed, match=f"database main/{database}: its tables were changed during the dump"):
        Source(server_of(database)).stage(stage, None, journal)
    assert next(numbers) == 2
    assert dumps_in(stage) == set()


def test_a_dump_of_half_the_size_needs_an_operator_s_word(
    server_of: Servers, database: str, stage: Stage, journal: Notes
) -> None:
    name = f"main/{database}"
    large = AssetState(kind="database", name=name, source="mariadb:main", paths=["x"], bytes=100_000)
    with pytest.raises(SourceFailed, match=f"less than half of the previous one.*--accept-smaller {name}"):
        Source(server_of(database)).stage(stage, point_with(large), journal)
    assert dumps_in(stage) == set()
    accepting = Source(server_of(database), accept_smaller=frozenset({name}))
    (asset,) = accepting.stage(stage, point_with(large), journal).assets
    assert Source(server_of(database)).server.databases == [database]
    assert asset.bytes < 50_000


def test_one_database_that_fails_does_not_keep_the_others(
    mariadb: MariaDB, server_of: Servers, database: str, new_name: NewName, stage: Stage, journal: Notes
) -> None:
    broken = new_name()
    mariadb.execute(
        f"CREATE DATABASE {broken}",
        f"CREATE TABLE {broken}.t (id INT)",
        f"CREATE VIEW {broken}.v AS SELECT id FROM {broken}.t",
        f"DROP TABLE {broken}.t",
    )
    with pytest.raises(SourceFailed, match=f"database main/{broken}: .*references invalid table"):
        Source(server_of(broken, database)).stage(stage, None, journal)
    assert dumps_in(stage) == {f"databases/main/{database}.sql"}


def test_a_database_of_the_settings_that_is_not_there_fails(server_of: Servers, stage: Stage, journal: Notes) -> None:
    with pytest.raises(SourceFailed, match="server main has no database gone"):
        Source(server_of("gone")).stage(stage, None, journal)


def test_the_server_s_own_databases_and_those_of_sites_are_left_out(
    mariadb: MariaDB, dump_account: Server, database: str, new_name: NewName
) -> None:
    other = new_name()
    mariadb.execute(f"CREATE DATABASE {other}")
    found = Source(dump_account, frozenset({other})).databases()
    assert database in found
    assert not {other, "mysql", "sys", "information_schema", "performance_schema"} & set(found)


@pytest.mark.parametrize(
    ("rights", "lacking"),
    [("SELECT, SHOW VIEW", "TRIGGER, EVENT"), ("SELECT, TRIGGER, EVENT, LOCK TABLES", "SHOW VIEW")],
)
def test_an_account_that_cannot_see_all_is_refused(
    mariadb: MariaDB, database: str, stage: Stage, journal: Notes, tmp_path: Path, rights: str, lacking: str
) -> None:
    blind = account(mariadb, tmp_path, rights, f"{database}.*").model_copy(update={"databases": [database]})
    with pytest.raises(SourceFailed, match=f"lacks {lacking}: what it cannot see"):
        Source(blind).stage(stage, None, journal)


def test_an_account_of_one_database_is_enough_but_for_the_routines_of_others(
    mariadb: MariaDB, database: str, stage: Stage, journal: Notes, tmp_path: Path
) -> None:
    owner = account(mariadb, tmp_path, "ALL", f"{database}.*").model_copy(update={"databases": [database]})
    with pytest.raises(SourceFailed, match="insufficient privileges to SHOW CREATE PROCEDURE `clean`"):
        Source(owner).stage(stage, None, journal)
    mariadb.execute(f"DROP PROCEDURE {database}.clean")
    assert Source(owner).stage(stage, None, journal).assets[0].counts["rows.people"] == 3


@pytest.mark.parametrize(
    ("pattern", "name", "is_in"),
    [("blog", "blog", True), ("blog", "blog2", False), ("b_og", "blog", True), (r"b\_og", "blog", False),
     (r"b\_og", "b_og", True), ("b%", "blog", True), (r"b\%", "blog", False), ("b.og", "blog", False)],
)  # fmt: skip
def test_patterns_of_grants(pattern: str, name: str, is_in: bool) -> None:
    assert _like(pattern, name) is is_in


def test_a_full_disk_is_the_destination_s_failure_and_leaves_nothing(
    mariadb: MariaDB, server_of: Servers, database: str, journal: Notes
) -> None:
    mariadb.execute(f"USE {database}", "INSERT INTO people (name) SELECT REPEAT('x', 5000) FROM seq_1_to_400")
    with SmallDisk(2 * MIB) as disk, Stage(disk.path / "stage") as stage:
        disk.fill(leave_bytes=500_000)
        with pytest.raises(DestinationFailed, match="No space left on device"):
            Source(server_of(database)).stage(stage, None, journal)
        assert dumps_in(stage) == set()


# -- what a client may do, played by a script in its place


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a script before the real mariadb-dump; `real` is the latter, `--version` goes to it."""

    def write(body: str) -> None:
        directory = tmp_path / "bin"
        directory.mkdir()
        script = directory / "mariadb-dump"
        script.write_text(f'#!/bin/sh\nreal() {{ /usr/bin/mariadb-dump "$@"; }}\n{body}\n')
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")

    return write


VERSION = '[ "$1" = --version ] && { real --version; exit; }\n'


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (VERSION + 'real "$@" | head -c 1500', "cut off after 1500 bytes"),
        (VERSION + "exit 0", "cut off after 0 bytes"),
        (VERSION + 'real "$@" | head -c 1500; kill -9 $$', "ended with -9"),
        (VERSION + 'real "$@"; echo "Lost connection to server" >&2; exit 3', "ended with 3: Lost connection"),
        (VERSION + 'first=$1; shift; real "$first" --no-data "$@"', "no row of people, which has some in the server"),
        (VERSION + 'real "$@" nothing', "they differ in people"),
    ],
    ids=["truncated", "empty", "killed", "failed", "without data", "without a table"],
)
def test_a_dump_that_is_not_whole_fails_and_nothing_of_it_stays(
    server_of: Servers,
    database: str,
    stage: Stage,
    journal: Notes,
    stand_in: Callable[[str], None],
    body: str,
    said: str,
) -> None:
    stand_in(body)
    with pytest.raises(SourceFailed, match=said):
        Source(server_of(database)).stage(stage, None, journal)
    assert dumps_in(stage) == set()


def test_an_older_client_fails_and_a_newer_one_does_not(
    server_of: Servers, database: str, stage: Stage, journal: Notes, stand_in: Callable[[str], None], tmp_path: Path
) -> None:
    stand_in('[ "$1" = --version ] && { cat "${0%/bin/*}/version"; exit; }; real "$@"')
    (tmp_path / "version").write_text("mariadb-dump  Ver 10.19 Distrib 10.5.28-MariaDB, for debian-linux-gnu (x86_64)")
    with pytest.raises(SourceFailed, match=r"the dump client is 10\.5\.28, older than server main with"):
        Source(server_of(database)).stage(stage, None, journal)
    (tmp_path / "version").write_text("mariadb-dump from 11.8.3-MariaDB, client 10.19 for debian-linux-gnu (x86_64)")
    staged = Source(server_of(database)).stage(stage, None, journal)
    assert staged.versions["client"] == "11.8.3"
    assert staged.assets[0].facts["dump_version"] == "11.8.3"
