"""Sets of files: what is taken, what is left out, and SQLite under a writer."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from backup.exit_codes import SourceFailed
from backup.sources.files import FileSet, copy_sqlite
from backup.sources.secrets import SecretSet
from backup.stage import Stage
from tests.backup.sources.settings_for import settings_for
from tests.backup.sources.staging import Notes, files_below, unprivileged
from tests.crash.small_disk import MIB, SmallDisk


def file_set(directory: Path, secrets: list[Path] | None = None, **more: Any) -> FileSet:
    settings = settings_for(
        directory, sources={"files": [{"name": "etc", **more}], "secrets": {"paths": secrets or []}}
    )
    return FileSet(settings.sources.files[0], SecretSet(settings))


@pytest.fixture
def top(tmp_path: Path) -> Path:
    path = tmp_path / "srv"
    for name in ("compose.yaml", "conf/nginx.conf", "conf/.env.example", "conf/.env", "node_modules/x/index.js"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(name)
    return path


def test_our_own_secrets_are_left_out_of_a_set_that_has_them_below(tmp_path: Path, stage: Stage) -> None:
    keys = tmp_path / "homeport"
    keys.mkdir()
    for name in ("backup.toml", "signing.key", "repository.password"):
        (keys / name).write_text(f"of {name}\n")
    settings = settings_for(
        tmp_path,
        sources={"files": [{"name": "etc", "paths": [keys]}]},
        repository={"password_file": keys / "repository.password"},
    ).model_copy(update={"signing_key_file": keys / "signing.key"})
    FileSet(settings.sources.files[0], SecretSet(settings)).stage(stage, None, Notes())
    assert files_below(stage.root / f"stacks/etc{keys}") == {"backup.toml"}
    assert SecretSet(settings).holds(keys / "signing.key")
    assert not SecretSet(settings).holds(keys)


def test_files_lie_under_their_absolute_path(tmp_path: Path, top: Path, stage: Stage) -> None:
    single = tmp_path / "single.conf"
    single.write_text("one")
    source = file_set(tmp_path, paths=[top, single, top / "conf"], leave_out=["node_modules"])
    staged = source.stage(stage, None, Notes())
    (asset,) = staged.assets
    at = stage.root / f"stacks/etc{top}"
    assert files_below(at) == {"compose.yaml", "conf/nginx.conf", "conf/.env.example"}
    assert (stage.root / f"stacks/etc{single}").read_text() == "one"
    assert (asset.kind, asset.name, asset.paths, asset.counts) == ("files", "etc", ["stacks/etc"], {"files": 4})
    assert asset.bytes == sum(path.stat().st_size for path in (stage.root / "stacks").rglob("*") if path.is_file())
    assert source.estimate().bytes == asset.bytes
    assert set(source.paths) == {top, single, top / "conf"}


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("node_modules", {"compose.yaml", "conf/nginx.conf", "conf/.env.example"}),
        ("*.conf", {"compose.yaml", "conf/.env.example", "node_modules/x/index.js"}),
        ("conf/*.conf", {"compose.yaml", "conf/.env.example", "node_modules/x/index.js"}),
        ("nothing/*.conf", {"compose.yaml", "conf/nginx.conf", "conf/.env.example", "node_modules/x/index.js"}),
    ],
)
def test_patterns_leave_out(tmp_path: Path, top: Path, stage: Stage, pattern: str, left: set[str]) -> None:
    file_set(tmp_path, paths=[top], leave_out=[pattern]).stage(stage, None, Notes())
    assert files_below(stage.root / f"stacks/etc{top}") == left


def test_secrets_stay_out_of_the_plain_tree(tmp_path: Path, top: Path, stage: Stage) -> None:
    (top / "secrets").mkdir()
    (top / "secrets" / "token").write_text("hunter22-hunter22")
    (top / "conf" / "tunnel.json").write_text("{}")
    paths = [top, top / "secrets" / "token"]
    file_set(tmp_path, [top / "secrets", top / "conf" / "tunnel.json"], paths=paths).stage(stage, None, Notes())
    assert not {path for path in files_below(stage.root) if path.endswith(("token", "tunnel.json", "/.env"))}


def test_a_path_that_is_not_there_is_named(tmp_path: Path, stage: Stage) -> None:
    with pytest.raises(SourceFailed, match=f"{tmp_path}/gone of backup.toml is not there"):
        file_set(tmp_path, paths=[tmp_path / "gone"]).stage(stage, None, Notes())
    with pytest.raises(SourceFailed, match="gone: No such file"):
        file_set(tmp_path, paths=[tmp_path / "gone"]).estimate()


def test_hostile_names_links_and_special_files(tmp_path: Path, stage: Stage) -> None:
    top = tmp_path / "srv"
    top.mkdir()
    for name in (b"-rf\n", b"\xff", b"x" * 255):
        (top / os.fsdecode(name)).write_bytes(name)
    (top / "out").symlink_to("/etc")
    os.mkfifo(top / "pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(top / "socket"))
        (tmp_path / "named").symlink_to(top)
        staged = file_set(tmp_path, paths=[tmp_path / "named"]).stage(stage, None, Notes())
    at = stage.root / f"stacks/etc{tmp_path}/named"
    assert {os.fsencode(name) for name in files_below(at)} == {b"-rf\n", b"\xff", b"x" * 255, b"out"}
    assert (at / "out").readlink() == Path("/etc")
    assert staged.warnings == [f"{tmp_path}/named: 2 sockets, pipes or devices left out"]
    assert staged.assets[0].counts == {"files": 3}


# -- SQLite


def test_a_database_is_copied_at_one_moment_under_a_writer(tmp_path: Path, stage: Stage) -> None:
    """Each transaction adds a row to both tables; a copy that had part of one would differ, or be damaged."""
    path = tmp_path / "portal.sqlite3"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.executescript("CREATE TABLE a (t TEXT); CREATE TABLE b (t TEXT);")
        database.executemany("INSERT INTO a VALUES (?)", [("x" * 500,)] * 2000)
        database.executemany("INSERT INTO b VALUES (?)", [("x" * 500,)] * 2000)
        database.commit()
    ended = threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(path, timeout=30)) as writer:
            while not ended.is_set():
                with writer:
                    writer.execute("INSERT INTO a VALUES ('y')")
                    writer.execute("INSERT INTO b VALUES ('y')")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        staged = file_set(tmp_path, paths=[], sqlite=[path]).stage(stage, None, Notes())
    finally:
        ended.set()
        thread.join()
    copy = stage.root / f"stacks/etc{path}"
    assert files_below(stage.root / "stacks") == {f"etc{path}"}
    assert staged.assets[0].counts == {"files": 1}
    with closing(sqlite3.connect(copy)) as database:
        ((a, b),) = database.execute("SELECT (SELECT COUNT(*) FROM a), (SELECT COUNT(*) FROM b)").fetchall()
    assert a == b >= 2000


def test_a_database_inside_a_tree_is_copied_once_and_its_side_files_not(tmp_path: Path, stage: Stage) -> None:
    (tmp_path / "srv").mkdir()
    path = tmp_path / "srv" / "ledger.sqlite3"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE a (t TEXT)")
        database.execute("INSERT INTO a VALUES ('in the log alone')")
        database.commit()
        assert Path(f"{path}-wal").exists()
        file_set(tmp_path, paths=[tmp_path / "srv"], sqlite=[path]).stage(stage, None, Notes())
    assert files_below(stage.root / "stacks") == {f"etc{path}"}
    with closing(sqlite3.connect(stage.root / f"stacks/etc{path}")) as copy:
        assert copy.execute("SELECT t FROM a").fetchall() == [("in the log alone",)]


def test_an_unchanged_database_has_the_same_bytes_mode_and_time(tmp_path: Path, stage: Stage) -> None:
    path = tmp_path / "a b#?.sqlite3"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE a (t TEXT)")
    path.chmod(0o640)
    source = file_set(tmp_path, paths=[], sqlite=[path])
    source.stage(stage, None, Notes())
    with Stage(tmp_path / "again") as again:
        source.stage(again, None, Notes())
        first, second = stage.root / f"stacks/etc{path}", again.root / f"stacks/etc{path}"
        assert first.read_bytes() == second.read_bytes()
        assert first.stat().st_mtime_ns == second.stat().st_mtime_ns == path.stat().st_mtime_ns
        assert first.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("is_open", [False, True])
def test_a_database_in_a_directory_that_may_not_be_written_is_copied(is_open: bool) -> None:
    """The unit that runs backups sees data read-only. SQLite itself refuses one with a log that was closed in order."""
    with unprivileged() as top:
        path = top / "state" / "portal.sqlite3"
        path.parent.mkdir()
        with closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("CREATE TABLE a (t TEXT)")
            database.execute("INSERT INTO a VALUES ('x')")
            database.commit()
            if not is_open:
                database.close()
            assert Path(f"{path}-wal").exists() is is_open
            path.parent.chmod(0o500)
            try:
                with Stage(top / "stage") as stage:
                    copy_sqlite(stage, path, b"copy")
            finally:
                path.parent.chmod(0o700)
        with closing(sqlite3.connect(top / "stage" / "copy")) as copy:
            assert copy.execute("SELECT t FROM a").fetchall() == [("x",)]


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"no database at all" * 100, "SQLite says: file is not a database"), (None, "No such file")],
)
def test_a_database_that_is_none_is_named(tmp_path: Path, stage: Stage, content: bytes | None, said: str) -> None:
    path = tmp_path / "x.sqlite3"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceFailed, match=f"{path}.*{said}"):
        file_set(tmp_path, paths=[], sqlite=[path]).stage(stage, None, Notes())
    assert files_below(stage.root / "stacks") == set()


def test_a_damaged_database_is_not_taken_for_a_copy(tmp_path: Path, stage: Stage) -> None:
    path = tmp_path / "x.sqlite3"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE a (id INTEGER PRIMARY KEY, t TEXT)")
        database.executemany("INSERT INTO a (t) VALUES (?)", [("x" * 300,)] * 500)
        database.commit()
    data = bytearray(path.read_bytes())
    data[4096 * 3 : 4096 * 4] = b"\xff" * 4096
    path.write_bytes(data)
    with pytest.raises(SourceFailed, match=r"damaged; SQLite says|SQLite says: database disk image is malformed"):
        file_set(tmp_path, paths=[], sqlite=[path]).stage(stage, None, Notes())


def test_a_full_disk_is_the_destination_s_failure_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite3"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE a (t TEXT)")
        database.executemany("INSERT INTO a (t) VALUES (?)", [("x" * 1000,)] * 1000)
        database.commit()
    with SmallDisk(4 * MIB) as disk:
        for leave_bytes in (500_000, 1_500_000):  # the copy itself does not fit; its second copy does not
            disk.fill(leave_bytes=leave_bytes)
            stage = f"{disk.inside}/stage{leave_bytes}"  # by its real name: SQLite resolves links on its own
            copying = [sys.executable, "-c", COPYING, stage, str(path)]
            completed = subprocess.run([*disk.enter, *copying], capture_output=True, text=True, check=True)
            assert completed.stdout.splitlines()[0] == "DestinationFailed"
            assert "full" in completed.stdout or "No space left on device" in completed.stdout
            disk.empty()
            assert not {name for name in files_below(disk.path) if "copy" in name}


COPYING = """
import sys
from pathlib import Path
from backup.exit_codes import BackupError
from backup.sources.files import copy_sqlite
from backup.stage import Stage
with Stage(Path(sys.argv[1])) as stage:
    try:
        copy_sqlite(stage, Path(sys.argv[2]), b"copy")
    except BackupError as error:
        print(type(error).__name__, error, sep="\\n")
"""
