"""Files out of a local point: beside, in place, in part, refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backup.exit_codes import RestoreRefused, VerificationFailed
from backup.points import PointId
from backup.restore import RestoreRequest, WorldChanged, apply, plan
from tests.backup.restore.house import ANNA, MAILBOX, SAFETY, House, files, mailbox, request, site, tree

BLOG = {
    "sites/blog/files/index.php": b"<?php",
    "sites/blog/files/wp-content/a.png": b"a" * 3000,
    "sites/blog/files/wp-content/b.png": b"b" * 3000,
}
MAIL = {
    f"{MAILBOX}/cur/1.M1.h:2,S": b"one",
    f"{MAILBOX}/cur/2.M2.h:2,": b"two",
    f"{MAILBOX}/new/3.M3.h": b"three",
    f"{MAILBOX}/.Sent/cur/4.M4.h:2,RS": b"four",
    f"{MAILBOX}/subscriptions": b"Sent\n",
}


@pytest.fixture
def house(tmp_path: Path) -> House:
    house = House(tmp_path)
    (house.live / "mail").chmod(0o751)
    etc = f"stacks/etc{house.live}/etc"
    everything = {**BLOG, **MAIL, f"{etc}/app.conf": b"new", f"{etc}/deep/er.conf": b"deep"}
    house.point(everything, [mailbox(), site(), files()])
    return house


def write(directory: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(content)


# -- beside


def test_beside_is_a_directory_of_its_own_that_holds_what_the_point_holds(house: House) -> None:
    plan, report = house.restore(request("mailbox", ANNA))
    target = house.root / "restored" / "run-1"
    assert report.target == str(target)
    assert tree(target) == MAIL
    assert (plan.adds, plan.overwrites, plan.deletes, report.files) == (5, 0, 0, 5)
    assert report.bytes == plan.bytes == sum(map(len, MAIL.values()))
    assert house.safety_copies == []
    assert list(tree(house.live)) == []


def test_mode_and_mtime_come_back_and_the_directory_is_nobody_elses(house: House) -> None:
    house.restore(request("mailbox", ANNA))
    target = house.root / "restored" / "run-1"
    found = (target / MAILBOX / "subscriptions").stat()
    assert (found.st_mode & 0o7777, found.st_mtime_ns) == (0o640, 1_700_000_000_123_456_789)
    assert target.stat().st_mode & 0o077 == 0


def test_everything_beside_is_the_whole_tree(house: House) -> None:
    house.restore(request("everything"))
    restored = tree(house.root / "restored" / "run-1")
    assert {name for name in tree(house.settings.layout.point(request("everything").point)) if "/" in name} == set(
        restored
    )


def test_a_folder_beside_brings_its_messages_and_no_others(house: House) -> None:
    house.restore(request("mailbox", ANNA, folder=".Sent"))
    assert list(tree(house.root / "restored" / "run-1")) == [f"{MAILBOX}/.Sent/cur/4.M4.h:2,RS"]


def test_the_inbox_is_the_folder_without_a_name(house: House) -> None:
    house.restore(request("mailbox", ANNA, folder=""))
    assert [name.rpartition("/")[2] for name in tree(house.root / "restored" / "run-1")] == [
        "1.M1.h:2,S",
        "2.M2.h:2,",
        "3.M3.h",
    ]


def test_one_message_or_one_directory_is_named_by_its_path(house: House) -> None:
    house.restore(request("mailbox", ANNA, path="cur/1.M1.h:2,S"), "message")
    house.restore(request("site", "blog", path="wp-content"), "directory")
    house.restore(request("files", "etc", path=f"{house.live}/etc/app.conf"), "file")
    assert list(tree(house.root / "restored" / "message")) == [f"{MAILBOX}/cur/1.M1.h:2,S"]
    assert [Path(name).name for name in tree(house.root / "restored" / "directory")] == ["a.png", "b.png"]
    assert [Path(name).name for name in tree(house.root / "restored" / "file")] == ["app.conf"]


def test_what_the_point_does_not_hold_is_refused(house: House) -> None:
    for wrong in (
        request("mailbox", "berta@home.test"),
        request("mailbox", ANNA, path="cur/9.M9.h:2,S"),
        request("mailbox", ANNA, folder=".Nothing"),
        request("site", "blog", folder="wp-content"),
        request("everything", path="mail"),
        request("mailbox", ANNA, point=PointId.parse("daily/2026-11-21")),
    ):
        with pytest.raises(RestoreRefused):
            plan(wrong, house.context())


def test_a_target_that_is_there_is_refused(house: House) -> None:
    house.restore(request("mailbox", ANNA))
    with pytest.raises(RestoreRefused, match="there already"):
        house.restore(request("mailbox", ANNA))


# -- in place


def test_a_mailbox_in_place_gets_what_is_missing_and_keeps_what_arrived(house: House) -> None:
    live = house.live / MAILBOX
    here = {
        "cur/1.M1.h:2,RS": b"one",  # answered since
        ".Archive/cur/2.M2.h:2,S": b"two",  # moved since
        "cur/5.M5.h:2,": b"five",  # arrived since
        "subscriptions": b"Sent\nArchive\n",
    }
    write(live, here)
    plan, report = house.restore(request("mailbox", ANNA, where="in-place"))
    assert [change.path.rpartition("/")[2] for change in plan.changes] == ["4.M4.h:2,RS", "3.M3.h"]
    assert (plan.adds, plan.overwrites, plan.deletes, report.files) == (2, 0, 0, 2)
    assert tree(live) == here | {"new/3.M3.h": b"three", ".Sent/cur/4.M4.h:2,RS": b"four"}
    assert house.safety_copies == [("mailbox", ANNA)]
    assert report.undo is None  # nothing was replaced


def test_a_mailbox_that_is_gone_comes_back_whole_with_the_owner_of_the_tree(house: House) -> None:
    if os.geteuid() == 0:
        os.chown(house.live / "mail", 1234, 1235)
    house.restore(request("mailbox", ANNA, where="in-place"))
    assert tree(house.live / "mail") == {name.removeprefix("mail/"): content for name, content in MAIL.items()}
    domain = (house.live / "mail" / "home.test").stat()
    assert domain.st_mode & 0o777 == 0o751
    assert (domain.st_uid, domain.st_gid) == ((1234, 1235) if os.geteuid() == 0 else (os.getuid(), os.getgid()))


def test_restoring_a_mailbox_twice_adds_nothing(house: House) -> None:
    house.restore(request("mailbox", ANNA, where="in-place"), "first")
    plan, report = house.restore(request("mailbox", ANNA, where="in-place"), "second")
    assert (plan.adds, report.files) == (0, 0)


def test_a_site_in_place_becomes_what_it_was(house: House) -> None:
    live = house.live / "blog"
    write(live, {
        "index.php": b"<?php evil",
        "wp-content/a.png": b"a" * 3000,
        "wp-content/evil.php": b"evil",
        "planted/deep/evil.php": b"evil",
        "wp-config.php": b"password",
        "keys.php": b"salt",
        "plugin/.env": b"token",
    })  # fmt: skip
    (live / "wp-content" / "a.png").chmod(0o640)
    plan, report = house.restore(request("site", "blog", where="in-place"))
    assert tree(live) == {
        "index.php": b"<?php",
        "keys.php": b"salt",
        "plugin/.env": b"token",
        "wp-config.php": b"password",
        "wp-content/a.png": b"a" * 3000,
        "wp-content/b.png": b"b" * 3000,
    }
    assert not (live / "planted").exists()
    assert {(change.what, change.path) for change in plan.changes} == {
        ("add", "wp-content/b.png"),
        ("overwrite", "index.php"),
        ("delete", "wp-content/evil.php"),
        ("delete", "planted/deep/evil.php"),
    }
    assert plan.services == ("blog-php",)
    assert report.safety_copy == SAFETY
    assert str(SAFETY) in (report.undo or "")


def test_part_of_a_site_in_place_deletes_nothing(house: House) -> None:
    live = house.live / "blog"
    write(live, {"wp-content/mine.png": b"mine"})
    plan, _ = house.restore(request("site", "blog", path="wp-content/a.png", where="in-place"))
    assert sorted(tree(live)) == ["wp-content/a.png", "wp-content/mine.png"]
    assert plan.deletes == 0


def test_files_in_place_overwrite_and_leave_the_rest(house: House) -> None:
    write(house.live / "etc", {"app.conf": b"old", "other.conf": b"other"})
    house.restore(request("files", "etc", where="in-place"))
    assert tree(house.live / "etc") == {"app.conf": b"new", "deep/er.conf": b"deep", "other.conf": b"other"}


def test_a_live_hard_link_is_not_written_through(house: House) -> None:
    write(house.live, {"etc/app.conf": b"old"})
    (house.live / "elsewhere").hardlink_to(house.live / "etc" / "app.conf")
    house.restore(request("files", "etc", where="in-place"))
    assert (house.live / "elsewhere").read_bytes() == b"old"
    assert (house.live / "etc" / "app.conf").read_bytes() == b"new"


def test_a_restored_file_is_no_hard_link_of_the_point(house: House) -> None:
    house.restore(request("mailbox", ANNA))
    assert (house.root / "restored" / "run-1" / MAILBOX / "subscriptions").stat().st_nlink == 1


def test_the_companions_of_a_sqlite_database_go(tmp_path: Path) -> None:
    live = tmp_path / "live"
    database = live / "etc" / "portal.sqlite3"
    house = House(
        tmp_path,
        sources={"files": [{"name": "etc", "paths": [str(live / "etc")], "sqlite": [str(database)]}]},
    )
    house.point({f"stacks/etc{database}": b"SQLite"}, [files()])
    write(live / "etc", {"portal.sqlite3": b"broken", "portal.sqlite3-wal": b"of the broken one", "x-wal": b"not"})
    house.restore(request("files", "etc", where="in-place"))
    assert tree(live / "etc") == {"portal.sqlite3": b"SQLite", "x-wal": b"not"}


def test_nothing_is_left_of_the_staging(house: House) -> None:
    left = house.live / "blog" / ".homeport-restore-dead"
    left.mkdir()
    (left / "0").write_bytes(b"of a restore that was killed")
    house.restore(request("site", "blog", where="in-place"))
    assert [path for path in house.live.rglob("*") if path.name.startswith(".homeport")] == []


# -- the plan and the world


def test_a_world_that_changed_after_the_preview_is_refused_with_the_new_plan(house: House) -> None:
    write(house.live / "etc", {"app.conf": b"old"})
    planned = plan(request("files", "etc", where="in-place"), house.context())
    write(house.live / "etc", {"app.conf": b"older", "deep/er.conf": b"somebody's"})
    with pytest.raises(WorldChanged) as refused:
        apply(planned, house.context())
    assert (refused.value.plan.adds, refused.value.plan.overwrites) == (0, 2)
    assert tree(house.live / "etc") == {"app.conf": b"older", "deep/er.conf": b"somebody's"}
    assert house.safety_copies == []


def test_a_change_during_the_safety_copy_is_seen_too(house: House) -> None:
    write(house.live / "etc", {"app.conf": b"old"})
    house.on_safety_copy = lambda: write(house.live / "etc", {"app.conf": b"older"})
    with pytest.raises(WorldChanged):
        house.restore(request("files", "etc", where="in-place"))
    assert tree(house.live / "etc") == {"app.conf": b"older"}


def test_mail_that_arrives_between_preview_and_restore_changes_no_plan(house: House) -> None:
    wanted = request("mailbox", ANNA, where="in-place")
    planned = plan(wanted, house.context())
    write(house.live / MAILBOX, {"new/9.M9.h": b"nine"})
    assert plan(wanted, house.context("another-run")).sha256 == planned.sha256
    apply(planned, house.context())
    assert "new/9.M9.h" in tree(house.live / MAILBOX)


def test_another_request_is_another_plan(house: House) -> None:
    found = {
        plan(wanted, house.context()).sha256
        for wanted in (
            request("mailbox", ANNA),
            request("mailbox", ANNA, folder=""),
            request("mailbox", ANNA, where="in-place"),
            request("mailbox", ANNA, allow_unverified=True),
            request("everything"),
        )
    }
    assert len(found) == 5


def test_a_preview_changes_nothing(house: House) -> None:
    before = sorted(map(str, house.directory.rglob("*")))
    for where in ("beside", "in-place"):
        plan(request("everything", where=where), house.context())
    assert sorted(map(str, house.directory.rglob("*"))) == before


# -- damage


@pytest.mark.parametrize("where", ["beside", "in-place"])
def test_one_flipped_bit_stops_the_restore_and_names_the_file(house: House, where: str) -> None:
    wanted = request("site", "blog", where=where)
    planned = plan(wanted, house.context())
    victim = house.settings.layout.point(wanted.point) / "sites/blog/files/wp-content/b.png"
    victim.write_bytes(b"b" * 2999 + b"c")
    with pytest.raises(VerificationFailed, match=r"wp-content/b\.png.*damaged.*found [0-9a-f]{64}"):
        apply(planned, house.context())
    assert tree(house.live) == {}
    assert [path.name for path in (house.root / "restored").glob("*")] == [] or where == "in-place"


def test_damage_is_taken_when_that_was_said_and_named(house: House) -> None:
    wanted = request("site", "blog", allow_unverified=True)
    (house.settings.layout.point(wanted.point) / "sites/blog/files/index.php").write_bytes(b"<?ph?")
    _, report = house.restore(wanted)
    assert report.damaged == ("sites/blog/files/index.php",)
    assert (Path(report.target) / "sites/blog/files/index.php").read_bytes() == b"<?ph?"


@pytest.mark.parametrize("name", ["MANIFEST.jsonl", "MANIFEST.sig", "STATE.json"])
def test_a_changed_manifest_signature_or_state_is_refused(house: House, name: str) -> None:
    path = house.settings.layout.point(request("everything").point) / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(VerificationFailed, match=name):
        plan(request("site", "blog"), house.context())


def test_a_point_that_was_never_sealed_is_taken_only_when_that_was_said(house: House) -> None:
    layout = house.settings.layout
    point = request("everything").point
    layout.point(point).rename(layout.staging(point, ".incomplete-"))
    with pytest.raises(RestoreRefused, match="never sealed"):
        plan(request("site", "blog"), house.context())
    planned, _ = house.restore(request("site", "blog", allow_unverified=True))
    assert not planned.verified


def test_a_state_of_another_point_is_refused(house: House) -> None:
    layout = house.settings.layout
    other = PointId.parse("daily/2026-11-20")
    layout.point(request("everything").point).rename(layout.point(other))
    with pytest.raises(RestoreRefused, match="daily/2026-11-22"):
        plan(RestoreRequest(other, "site", "blog"), house.context())
