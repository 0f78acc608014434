"""Drills: what they prove, what they notice, and that they leave nothing and touch nothing."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup import drill, drill_server, lock
from backup.exit_codes import LockBusy, SourceFailed, WrongUsage
from backup.sources import client
from backup.state import AssetState
from kit.clock import SystemClock
from tests.backup.restore.house import ANNA, MAILBOX, POINT, House, asset, mailbox, site, tree

MAIL = {
    f"{MAILBOX}/cur/1.M1.h:2,S": b"one",
    f"{MAILBOX}/new/3.M3.h": b"three",
    f"{MAILBOX}/.Sent/cur/4.M4.h:2,RS": b"four",
    f"{MAILBOX}/subscriptions": b"Sent\n",
}
DUMP = b"""/*M!999999\\- enable the sandbox mode */
CREATE TABLE posts (id INT PRIMARY KEY, text TEXT);
INSERT INTO posts VALUES (1,'one'),(2,'two');
CREATE TABLE empty (id INT);
-- Dump completed
"""
ROWS = {"tables": 2, "rows.posts": 2, "rows.empty": 0}
FACTS = {"server": "main", "database": "blog", "charset": "utf8mb4", "collation": "utf8mb4_general_ci"}


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def left(house: House) -> list[Path]:
    """What a drill may not leave behind."""
    scratch = house.settings.layout.state / "scratch"
    return [*scratch.glob("*"), *(house.root / "restored").glob("*")]


def database(counts: dict[str, int] = ROWS, size: int = 1) -> AssetState:
    path = "databases/main/blog.sql"
    return asset("database", "main/blog", "mariadb:main", [path], counts=counts, facts=FACTS, bytes=size)


def test_a_mailbox_comes_back_with_its_messages_and_folders(house: House) -> None:
    house.point(MAIL, [mailbox(counts={"messages": 3, "folders": 2})])
    before = tree(house.root)
    (result,) = drill.run(("mailbox", ANNA), "local", house.context())
    assert (result.ok, result.detail, result.point) == (True, "2 folders, 3 messages", POINT)
    assert result.projected_seconds is None  # of a few bytes nothing can be said
    assert left(house) == []
    assert {name: data for name, data in tree(house.root).items() if "lock" not in name} == before
    assert tree(house.live) == {}


@pytest.mark.parametrize("counts", [{"messages": 4, "folders": 2}, {"messages": 3, "folders": 3}])
def test_a_mailbox_that_lacks_what_was_counted_fails(house: House, counts: dict[str, int]) -> None:
    house.point(MAIL, [mailbox(counts=counts)])
    (result,) = drill.run(("mailbox", ANNA), "local", house.context())
    assert not result.ok
    assert "restored" in result.detail
    assert left(house) == []


def test_a_damaged_file_fails_and_is_named(house: House) -> None:
    directory = house.point(MAIL, [mailbox(counts={"messages": 3, "folders": 2})])
    (directory / MAILBOX / "new" / "3.M3.h").write_bytes(b"threE")
    (result,) = drill.run(("mailbox", ANNA), "local", house.context())
    assert not result.ok
    assert "3.M3.h" in result.detail


def test_a_site_without_a_database_is_counted(house: House) -> None:
    house.point({"sites/blog/files/index.php": b"<?php"}, [site(counts={"files": 1})])
    (result,) = drill.run(("site", "blog"), "local", house.context())
    assert (result.ok, result.detail) == (True, "1 files")


@pytest.mark.services
@pytest.mark.slow
def test_a_site_is_its_files_and_its_database_in_a_server_of_its_own(house: House) -> None:
    files = {"sites/blog/files/index.php": b"<?php", "sites/blog/db.sql": DUMP}
    paths = ["sites/blog/files", "sites/blog/db.sql"]
    whole = site(paths=paths, facts=FACTS, counts={"files": 1, **ROWS}, bytes=2 << 20)
    house.point(files, [whole])
    context = replace(house.context(), clock=SystemClock())
    (result,) = drill.run(("site", "blog"), "local", context)
    assert (result.ok, result.detail) == (True, "1 files, 2 tables")
    assert result.seconds > 0
    assert result.projected_seconds is not None
    assert left(house) == []


@pytest.mark.services
@pytest.mark.slow
@pytest.mark.parametrize(
    ("dump", "counts", "says"),
    [
        (b"-- Dump completed\n", {"tables": 0}, "not one row"),
        (DUMP.replace(b",(2,'two')", b""), ROWS, "rows.posts 2, found 1"),
        (DUMP.replace(b"INSERT", b"INSRT"), ROWS, "SQL syntax"),
    ],
    ids=["empty", "a row is missing", "no SQL"],
)
def test_a_dump_that_does_not_bring_back_what_was_there_fails(
    house: House, dump: bytes, counts: dict[str, int], says: str
) -> None:
    house.point({"databases/main/blog.sql": dump}, [database(counts)])
    (result,) = drill.run(("database", "main/blog"), "local", house.context())
    assert not result.ok
    assert says in result.detail
    assert left(house) == []


@pytest.mark.services
@pytest.mark.slow
def test_the_server_of_a_drill_is_apart_and_ends_with_it(tmp_path: Path) -> None:
    with drill_server.server(tmp_path / "scratch") as server:
        assert client.query(server, "SELECT @@skip_networking, @@event_scheduler") == [["1", "OFF"]]
        ((data,),) = client.query(server, "SELECT @@datadir")
        assert data.startswith(str(tmp_path))
        assert server.socket is not None
        assert server.socket.parent.stat().st_mode & 0o077 == 0
        ((pid,),) = [Path(server.socket.parent / "pid").read_text().split()]
        assert Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"/usr/sbin/mariadbd")
        assert b"geheim" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert not Path(f"/proc/{pid}").exists()
    assert list(tmp_path.iterdir()) == []
    assert not server.socket.parent.exists()


def test_without_a_server_program_a_database_cannot_be_drilled(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drill_server, "_PROGRAMS", ("no-such-mariadbd",))
    monkeypatch.setattr(drill_server, "_INSTALLERS", ("no-such-installer",))
    house.point({"databases/main/blog.sql": DUMP}, [database()])
    with pytest.raises(WrongUsage, match="not installed"):
        drill.run(("database", "main/blog"), "local", house.context())
    assert left(house) == []


def test_an_asset_that_no_point_holds_fails(house: House) -> None:
    house.point(MAIL, [mailbox()])
    (result,) = drill.run(("mailbox", "berta@home.test"), "local", house.context())
    assert not result.ok


def test_two_drills_at_once_wait_for_each_other(house: House) -> None:
    house.point(MAIL, [mailbox()])
    with (
        lock.hold(house.settings.layout.locks, "drill", who="another", wait_s=0),
        pytest.raises(LockBusy, match="another"),
    ):
        drill.run(("mailbox", ANNA), "local", house.context())


def test_scratch_of_a_drill_that_was_killed_is_removed(house: House) -> None:
    house.point(MAIL, [mailbox(counts={"messages": 3, "folders": 2})])
    dead = house.settings.layout.state / "scratch" / "dead"
    dead.mkdir(parents=True)
    (dead / "mail").write_bytes(b"in clear")
    drill.run(None, "local", house.context())
    assert left(house) == []


def test_what_is_due_is_a_mailbox_and_a_site_or_database(house: House) -> None:
    assets = [mailbox(), mailbox("berta@home.test", bytes=9), site(), database()]
    day = datetime(2026, 11, 1, tzinfo=UTC)
    assert drill.due(assets, {}) == [("mailbox", "berta@home.test"), ("site", "blog")]
    seen = {("mailbox", "berta@home.test"): day, ("site", "blog"): day}
    assert drill.due(assets, seen) == [("mailbox", ANNA), ("database", "main/blog")]
    seen |= {("mailbox", ANNA): day.replace(day=2), ("database", "main/blog"): day.replace(day=2)}
    assert drill.due(assets, seen) == [("mailbox", "berta@home.test"), ("site", "blog")]
    assert drill.due([], {}) == []


@given(st.integers(1, 12), st.integers(1, 40))
def test_in_as_many_months_as_there_are_mailboxes_each_is_drilled_once(mailboxes: int, start: int) -> None:
    assets = [mailbox(f"m{number}@home.test", bytes=number) for number in range(mailboxes)]
    drilled: dict[tuple[str, str], datetime] = {}
    for month in range(mailboxes):
        ((kind, name),) = drill.due(assets, drilled)
        drilled[(kind, name)] = datetime.fromtimestamp((start + month) * 86400, UTC)
    assert len(drilled) == mailboxes


@pytest.mark.skipif(os.geteuid() != 0, reason="needs mariadbd as root")
def test_a_server_that_does_not_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drill_server, "_OPTIONS", ("--no-such-option",))
    with pytest.raises(SourceFailed, match="no-such-option"), drill_server.server(tmp_path / "scratch"):
        pass
    assert list(tmp_path.iterdir()) == []
