"""Dumps that are whole, loads that reach one database and nothing else, on a real server with the real clients."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from portal.databases import client, dumps, structure
from portal.databases.dumps import Cancelled, checksum, compressed, dump, load, loader_of
from portal.databases.failures import DumpFailed, DumpUnreadable, LoadFailed
from portal.databases.schemas import Compression
from portal.databases.servers import Server
from portal.databases.sql import Connection, fetch
from tests.services.mariadb import MariaDB

RICH = (
    "CREATE TABLE posts (id INT PRIMARY KEY AUTO_INCREMENT, body LONGTEXT, bin BLOB, at TIMESTAMP NULL)",
    "CREATE TABLE `odd ``name` (`a b` INT, f DOUBLE) ENGINE=InnoDB",
    "CREATE TABLE bytes (k VARBINARY(10) PRIMARY KEY)",
    "INSERT INTO posts (body, bin, at)"
    " VALUES ('a\\nb''c\\\\', x'00ff0a27', '2026-01-02 03:04:05'), ('ü(1),\\n(2)', '', NULL)",
    "INSERT INTO `odd ``name` SELECT seq, seq / 7 FROM seq_1_to_500",
    "INSERT INTO bytes VALUES (x'00'), (x'0d0a')",
    "CREATE DEFINER=`root`@`localhost` VIEW titles AS SELECT id, body FROM posts",
    "CREATE DEFINER=`root`@`localhost` TRIGGER tr BEFORE INSERT ON posts FOR EACH ROW"
    " SET NEW.body = CONCAT(NEW.body, '!')",
    "CREATE DEFINER=`root`@`localhost` FUNCTION one() RETURNS INT DETERMINISTIC RETURN 1",
)


def _never() -> bool:
    return False


def _nothing(_: int) -> None:
    return None


def _dump(server: Server, name: str, path: Path, kind: Compression = "none") -> Path:
    with path.open("wb") as file, compressed(file.write, kind) as sink:
        dump(server, name, sink, is_cancelled=_never, tell=_nothing)
    return path


def _load(server: Server, name: str, path: Path) -> dumps.Loaded:
    return load(server, name, path, is_cancelled=_never, tell=_nothing)


def _accounts(mariadb: MariaDB, server: Server) -> set[str]:
    with server.connect("admin") as connection:
        return {user for (user,) in fetch(connection, "SELECT user FROM mysql.global_priv")}


@pytest.mark.parametrize("kind", ["none", "gz", "zst"])
def test_a_dump_gives_the_same_database_again(
    server: Server,
    admin: Connection,
    mariadb: MariaDB,
    new_database: Callable[..., str],
    tmp_path: Path,
    kind: Compression,
) -> None:
    name, copy = new_database(*RICH), new_database()
    path = _dump(server, name, tmp_path / "dump", kind)
    loaded = _load(server, copy, path)
    assert (loaded.tables, loaded.keeps_code) == (3, True)
    assert checksum(admin, copy) == checksum(admin, name)
    # what was made belongs to the loader, which nobody can log in as any more
    with server.connect("console") as console:
        assert len(fetch(console, f"SELECT * FROM `{copy}`.titles")) == 2
    account = loader_of(copy)
    ((priv,),) = fetch(
        admin, "SELECT JSON_VALUE(priv, '$.account_locked') FROM mysql.global_priv WHERE user = %s", [account.user]
    )
    assert priv in ("1", "true")
    mariadb.execute(f"DROP USER {account.user}@'%'")


def test_a_checksum_tells_a_changed_row(admin: Connection, mariadb: MariaDB, new_database: Callable[..., str]) -> None:
    name = new_database("CREATE TABLE t (a INT PRIMARY KEY, b TEXT)", "INSERT INTO t VALUES (1, 'x')")
    before = checksum(admin, name)
    assert checksum(admin, name) == before
    for statement in (
        f"UPDATE `{name}`.t SET b = 'y'",
        f"ALTER TABLE `{name}`.t ADD c INT",
        f"CREATE VIEW `{name}`.v AS SELECT 1",
    ):
        mariadb.execute(statement)
        assert checksum(admin, name) != before
        before = checksum(admin, name)


HOSTILE = {
    "another database": "CREATE TABLE `{other}`.planted (a INT);",
    "another database by USE": "USE `{other}`; DROP TABLE kept;",
    "an account": "CREATE USER 'planted'@'%' IDENTIFIED BY 'x';",
    "rights": "GRANT ALL ON *.* TO CURRENT_USER();",
    "a variable of the server": "SET GLOBAL general_log = 1;",
    "the binary log": "SET SESSION sql_log_bin = 0;",
    "a file written": "SELECT 1 INTO OUTFILE '{directory}/planted';",
    "a file read by the server": "LOAD DATA INFILE '/etc/passwd' INTO TABLE t;",
    "a file read by the client": "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE t;",
    "code in another one's name": "CREATE VIEW x AS SELECT 1; ALTER DEFINER=root@localhost VIEW x AS SELECT 1;",
    "a trigger elsewhere": "CREATE TRIGGER `{other}`.tr BEFORE INSERT ON `{other}`.kept FOR EACH ROW SET @a = 1;",
    "a plugin": "INSTALL SONAME 'auth_ed25519';",
    "the server's end": "SHUTDOWN;",
    "another one's connection": "KILL 1;",
    "the client's shell": "\\! touch {directory}/planted\n",
    "the client's shell, spelt out": "system touch {directory}/planted\n",
    "the client's files": "source /etc/passwd\n",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_dump_reaches_nothing_else(
    server: Server, admin: Connection, mariadb: MariaDB, new_database: Callable[..., str], tmp_path: Path, what: str
) -> None:
    other = new_database("CREATE TABLE kept (a INT)", "INSERT INTO kept VALUES (1)")
    name = new_database("CREATE TABLE t (a TEXT)")
    before = checksum(admin, other)
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    path = tmp_path / "dump.sql"
    path.write_text(HOSTILE[what].format(other=other, directory=shared))
    with pytest.raises(LoadFailed):
        _load(server, name, path)
    assert checksum(admin, other) == before
    assert not list(shared.iterdir())
    assert fetch(admin, f"SELECT * FROM `{name}`.t") == []
    assert "planted" not in _accounts(mariadb, server)
    ((log,),) = fetch(admin, "SELECT @@GLOBAL.general_log")
    assert log == 0
    assert not [
        user
        for user in _accounts(mariadb, server)
        if user == loader_of(name).user and what != "code in another one's name"
    ]


def test_a_dump_that_lacks_its_end_loads_nothing(
    server: Server, admin: Connection, new_database: Callable[..., str], tmp_path: Path
) -> None:
    name, copy = new_database(*RICH), new_database()
    path = _dump(server, name, tmp_path / "dump")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DumpUnreadable):
        _load(server, copy, path)
    assert structure.tables(admin, copy) == []
    (tmp_path / "gz").write_bytes(gzip.compress(path.read_bytes())[:-30])
    with pytest.raises(DumpUnreadable):
        _load(server, copy, tmp_path / "gz")


def test_a_wrong_statement_is_told_in_the_servers_words_without_the_row(
    server: Server, new_database: Callable[..., str], tmp_path: Path
) -> None:
    name = new_database()
    path = tmp_path / "x.sql"
    path.write_text("CREATE TABLE t (a INT);\nINSERT INTO nowhere VALUES ('canary-of-a-row');\n")
    with pytest.raises(LoadFailed) as raised:
        _load(server, name, path)
    assert "nowhere" in raised.value.detail
    assert "canary-of-a-row" not in raised.value.detail


def test_a_load_is_cancelled_also_inside_a_long_statement(
    server: Server, mariadb: MariaDB, new_database: Callable[..., str], tmp_path: Path
) -> None:
    name = new_database("CREATE TABLE t (a INT)")
    path = tmp_path / "x.sql"
    path.write_text("INSERT INTO t SELECT SLEEP(300);\n")
    wanted = threading.Event()
    threading.Timer(0.5, wanted.set).start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        load(server, name, path, is_cancelled=wanted.is_set, tell=_nothing)
    assert time.monotonic() - began < 60
    assert loader_of(name).user not in _accounts(mariadb, server)


def test_a_dump_is_cancelled_while_it_streams(server: Server, new_database: Callable[..., str]) -> None:
    name = new_database("CREATE TABLE t (a TEXT)", "INSERT INTO t SELECT REPEAT('x', 1000) FROM seq_1_to_5000")
    seen: list[int] = []
    with pytest.raises(Cancelled):
        dump(server, name, lambda chunk: seen.append(len(chunk)), is_cancelled=lambda: bool(seen), tell=_nothing)
    assert len(seen) == 1


def test_a_dump_of_broken_code_fails_and_says_so(
    server: Server, mariadb: MariaDB, new_database: Callable[..., str]
) -> None:
    name = new_database("CREATE TABLE t (a INT)", "CREATE VIEW v AS SELECT a FROM t", "DROP TABLE t")
    with pytest.raises(DumpFailed, match="v"):
        dump(server, name, _nothing_at_all, is_cancelled=_never, tell=_nothing)


def _nothing_at_all(_: bytes) -> None:
    return None


def test_a_client_that_is_older_than_its_server_dumps_nothing() -> None:
    client.require_series(client.dump_version())
    client.require_series("5.5.68-MariaDB")
    with pytest.raises(DumpFailed, match=r"older than the server's 99\.1"):
        client.require_series("99.1.2-MariaDB-log")


def test_no_password_is_seen_by_who_looks_at_processes(
    server: Server, mariadb: MariaDB, new_database: Callable[..., str], tmp_path: Path
) -> None:
    name = new_database("CREATE TABLE t (a TEXT)", "INSERT INTO t SELECT REPEAT('x', 1000) FROM seq_1_to_3000")
    seen: list[bytes] = []

    def look(_: bytes) -> None:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if b"mariadb-dump" in (argv := (process / "cmdline").read_bytes()):
                    seen.extend([argv, (process / "environ").read_bytes()])
            except OSError:
                continue

    dump(server, name, look, is_cancelled=_never, tell=_nothing)
    assert seen
    assert not [each for each in seen if mariadb.portal_passwords["admin"].encode() in each]


def test_what_a_killed_portal_has_left_is_locked(server: Server, admin: Connection, mariadb: MariaDB) -> None:
    mariadb.execute("CREATE USER homeport_load_0123@'%' IDENTIFIED BY 'x'")
    try:
        dumps.retire_all(admin)
        rows = fetch(
            admin,
            "SELECT JSON_VALUE(priv, '$.account_locked') FROM mysql.global_priv WHERE user = 'homeport_load_0123'",
        )
        assert rows[0][0] in ("1", "true")
    finally:
        mariadb.execute("DROP USER homeport_load_0123@'%'")
