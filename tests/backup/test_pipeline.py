"""Nights as they come: points, retention, repository, and what a failing one leaves."""

from __future__ import annotations

import json
import os
import shutil
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from backup import catalog, checks, make_point, pipeline, removal
from backup.exit_codes import DestinationFailed
from backup.house import NIGHT, REPOSITORY, House
from backup.journal import Silent
from backup.layout import INCOMPLETE, MANIFEST
from backup.make_point import Asked
from backup.points import PointId, PointKind
from backup.runs import End
from backup.settings import Secrets, Server, Site
from backup.state import AssetState
from tests.backup.houses import deliver, make_house
from tests.clock import FakeClock

DAILY, WEEKLY, MANUAL = Asked(PointKind.DAILY), Asked(PointKind.WEEKLY), Asked(PointKind.MANUAL)
NIGHT_AT = datetime(2026, 11, 20, 18, 0, tzinfo=UTC)  # 03:00 of the 21st in Tokyo, a Saturday
DAY_S = 86_400.0


def at_night() -> FakeClock:
    return FakeClock(NIGHT_AT.timestamp())


def night(house: House, asked: Asked = DAILY) -> End:
    return house.conductor.conduct(f"run {asked.kind}", "timer", lambda work: pipeline.run(house, asked, work))


def points(house: House) -> list[str]:
    return [str(point) for point in house.layout.sealed()]


def warnings(house: House, end: End) -> str:
    lines = map(json.loads, (house.layout.runs / f"{end.run}.jsonl").read_text().splitlines())
    return "\n".join(line.get("text", "") for line in lines)


def break_source(house: House) -> Path:
    """A file set whose path is gone fails; return where it was put."""
    config = house.settings.sources.files[0].paths[0]
    away = config.with_name("away")
    config.rename(away)
    return away


# -- good nights


@pytest.mark.slow
def test_nights_keep_days_and_weeks_by_the_rules(tmp_path: Path) -> None:
    clock = at_night()
    house = make_house(tmp_path, clock=clock, retention={"daily": 3, "weekly": 2})
    for number in range(16):
        if (NIGHT_AT + timedelta(days=number)).astimezone(house.settings.time_zone).weekday() == 6:
            assert night(house, WEEKLY).exit_code == 0
        deliver(tmp_path / "data/mail/home.test/anna", f"{number}.new", f"Subject: {number}\n\n".encode())
        assert night(house).exit_code == 0
        clock.advance(DAY_S)
    dailies = [name for name in points(house) if name.startswith("daily/")]
    weeklies = [name for name in points(house) if name.startswith("weekly/")]
    assert dailies == [f"daily/2026-12-{day:02}" for day in range(4, 7)]
    assert weeklies == ["weekly/2026-11-29", "weekly/2026-12-06"]
    assert all(point.kept_because for point in catalog.read(house.layout.catalog).points)


def test_second_run_of_a_date_takes_the_place_of_the_first(tmp_path: Path) -> None:
    clock = at_night()
    house = make_house(tmp_path, clock=clock)
    first = night(house)
    deliver(tmp_path / "data/mail/home.test/anna", "2.host", b"Subject: two\n\n")
    clock.advance(3600)
    second = night(house)
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert points(house) == ["daily/2026-11-21"]
    assert second.result["bytes"] > first.result["bytes"]


def test_first_weekly_of_a_month_links_nothing(tmp_path: Path) -> None:
    clock = at_night()
    house = make_house(tmp_path, clock=clock)
    found = []
    for _ in range(4):
        clock.advance(7 * DAY_S)
        night(house, WEEKLY)
        newest = max(house.layout.sealed(PointKind.WEEKLY), key=lambda point: point.day)
        state = json.loads((house.layout.point(newest) / "STATE.json").read_text())
        found.append((newest.name, state["is_real_copy"]))
    assert found == [("2026-11-22", True), ("2026-11-29", False), ("2026-12-06", True), ("2026-12-13", False)]


def test_manual_point_of_a_scope_holds_its_sources_only_and_turns_nothing_red(tmp_path: Path) -> None:
    clock = at_night()
    house = make_house(tmp_path, clock=clock)
    night(house)
    clock.advance(60)
    end = night(house, Asked(PointKind.MANUAL, "mailbox:anna@home.test"))
    assert end.result["point"] == "manual/20261120T180100Z-mailbox-anna-home.test"
    written = catalog.read(house.layout.catalog)
    assert written.points[0].scope == "mailbox-anna-home.test"
    assert not [name for name in written.points[0].assets if name.startswith("files:")]
    assert {asset.covered for asset in written.assets if asset.kind != "secret"} == {"same-device"}


def test_point_that_lacks_what_was_asked_for_is_a_failed_run(tmp_path: Path) -> None:
    house = make_house(tmp_path)
    end = night(house, Asked(PointKind.MANUAL, "mailbox:nobody@home.test"))
    assert end.exit_code == 4
    assert "mailbox:nobody@home.test is not in it" in end.error
    assert night(house, Asked(PointKind.MANUAL, "mailbox:anna@home.test")).exit_code == 0


def test_a_sites_database_is_asked_for_by_its_own_name_and_lies_in_the_site(tmp_path: Path) -> None:
    house = make_house(tmp_path)
    site = Site(name="blog", path=tmp_path / "data", server="mail", database="wordpress")
    server = Server(name="mail", socket=tmp_path / "db.sock", user="backup", password_file=tmp_path / "password")
    sources = house.settings.sources.model_copy(update={"site": [site], "mariadb": [server]})
    house = House(house.settings.model_copy(update={"sources": sources}), clock=house.clock)
    assert [source.name for source in house.sources("database:mail/wordpress")] == ["site:blog"]
    facts = {"server": "mail", "database": "wordpress"}
    asset = AssetState(kind="site", name="blog", source="site:blog", paths=[], bytes=0, facts=facts)
    held = make_point.scopes_of([asset])
    assert set(held) == {"site:blog", "database:mail/wordpress"}


def test_scope_that_no_source_covers_is_wrong_usage(tmp_path: Path) -> None:
    end = night(make_house(tmp_path), Asked(PointKind.MANUAL, "site:nowhere"))
    assert end.exit_code == 2
    assert "homeport backup coverage" in end.error


def test_settings_without_a_source_make_no_empty_point(tmp_path: Path) -> None:
    house = make_house(tmp_path, sources={})
    assert night(house).exit_code == 2
    assert points(house) == []


# -- failing nights


def test_a_failed_night_rotates_nothing_out(tmp_path: Path) -> None:
    clock = at_night()
    house = make_house(tmp_path, clock=clock)
    for _ in range(7):
        night(house)
        clock.advance(DAY_S)
    before = points(house)
    away = break_source(house)
    end = night(house)
    assert end.exit_code == 4
    assert "files:config" in end.error
    assert points(house) == before
    written = catalog.read(house.layout.catalog)
    assert written.points[0].is_incomplete
    assert "files:config" in written.points[0].failures[0]
    assert (house.layout.root / "daily" / f"{INCOMPLETE}2026-11-28").is_dir()
    away.rename(away.with_name("config"))
    clock.advance(DAY_S)
    assert night(house).exit_code == 0
    assert len(points(house)) == 7


def test_damaged_file_is_found_by_the_daily_rehash_and_nothing_is_linked_to_it(tmp_path: Path) -> None:
    clock = at_night()
    house = make_house(tmp_path, clock=clock)
    night(house)
    message = next((house.layout.root / "daily/2026-11-21/mail").rglob("1.host*"))
    stat = message.stat()
    message.write_bytes(b"X" * stat.st_size)
    os.utime(message, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    ends = []
    for _ in range(28):  # in as many days every file is read once
        ends.append(house.conductor.conduct("verify", "timer", lambda work: checks.rehash(house, work)))
        clock.advance(DAY_S)
    [found] = [end for end in ends if end.exit_code]
    assert (found.exit_code, message.name in found.error) == (8, True)
    assert catalog.read(house.layout.catalog).points[0].damage
    night(house)
    newest = max(house.layout.sealed(PointKind.DAILY), key=lambda point: point.day)
    copy = next((house.layout.point(newest) / "mail").rglob(message.name))
    assert copy.read_bytes().startswith(b"Subject: one")


def test_clock_that_jumped_back_makes_no_point(tmp_path: Path) -> None:
    clock = at_night()
    house = make_house(tmp_path, clock=clock)
    night(house)
    clock.advance(-400 * DAY_S)
    end = night(house)
    assert end.exit_code == 5
    assert "clock" in end.error
    assert points(house) == ["daily/2026-11-21"]


def test_data_on_the_disk_of_the_backup_are_refused(tmp_path: Path) -> None:
    house = make_house(tmp_path)
    sources = house.settings.sources.model_copy(update={"allow_same_device": False})
    house = House(house.settings.model_copy(update={"sources": sources}), clock=house.clock)
    end = night(house)
    assert end.exit_code == 5
    assert "same disk" in end.error
    assert points(house) == []


# -- locks


def test_later_run_waits_and_then_says_who_held_it_back(tmp_path: Path) -> None:
    house = make_house(tmp_path, lock_wait_hours=0.0001)
    with house.hold(NIGHT, "daily/2026-11-21", Silent()):
        end = night(house)
    assert end.exit_code == 3
    assert "daily/2026-11-21" in end.error


@pytest.mark.slow
def test_sync_of_thirty_hours_delays_neither_point_nor_repository(tmp_path: Path) -> None:
    """It holds the repository's lock shared all the time; only what must be alone waits for it."""
    house = make_house(tmp_path, repository=True, lock_wait_hours=0.00001)
    with house.hold(REPOSITORY, "vault sync", Silent(), shared=True):
        end = night(house)
    assert (end.exit_code, end.error) == (0, "")
    assert catalog.read(house.layout.catalog).points[0].repository is not None


def test_two_runs_at_once_make_two_points_one_after_the_other(tmp_path: Path) -> None:
    house = make_house(tmp_path)
    ends: list[End] = []
    asked = [DAILY, Asked(PointKind.MANUAL, "files:config")]
    threads = [threading.Thread(target=lambda each=each: ends.append(night(house, each))) for each in asked]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [end.exit_code for end in ends] == [0, 0]
    assert len(points(house)) == 2


# -- the repository


@pytest.mark.slow
def test_repository_holds_what_the_local_tree_keeps_and_forgets_what_it_lets_go(tmp_path: Path) -> None:
    clock = at_night()
    house = make_house(tmp_path, clock=clock, repository=True, retention={"daily": 1})
    for _ in range(2):
        assert night(house).exit_code == 0
        clock.advance(DAY_S)
    snapshots = house.repository().snapshots()
    assert {str(each.point) for each in snapshots} == set(points(house)) == {"daily/2026-11-22"}
    assert sum(each.is_secrets for each in snapshots) == 1
    assert catalog.read(house.layout.catalog).repository.snapshots == 2


@pytest.mark.slow
def test_points_that_only_the_repository_has_are_kept_by_the_same_rules(tmp_path: Path) -> None:
    """As after a bootstrap, which unpacks the newest alone: the next night forgets none of the others."""
    clock = at_night()
    house = make_house(tmp_path, clock=clock, repository=True, retention={"daily": 3})
    for _ in range(3):
        assert night(house).exit_code == 0
        clock.advance(DAY_S)
    for name in ("2026-11-21", "2026-11-22"):
        removal.remove(PointId.parse(f"daily/{name}"), house.layout, Silent())
    assert night(house).exit_code == 0
    stored = {str(each.point) for each in house.repository().snapshots() if not each.is_secrets}
    assert stored == {"daily/2026-11-22", "daily/2026-11-23", "daily/2026-11-24"}


@pytest.mark.slow
def test_failing_repository_leaves_the_local_point_and_the_next_run_catches_up(tmp_path: Path) -> None:
    clock = at_night()
    house = make_house(tmp_path, clock=clock, repository=True)
    password = tmp_path / "keys" / "repository.password"
    right = password.read_text()
    password.write_text("another password\n")
    end = night(house)
    assert end.exit_code == 6
    written = catalog.read(house.layout.catalog)
    assert written.points[0].verified
    assert (written.repository.state, written.points[0].repository) == ("failed", None)
    password.write_text(right)
    clock.advance(DAY_S)
    assert night(house).exit_code == 0
    assert all(point.repository for point in catalog.read(house.layout.catalog).points)


def test_repository_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    house = make_house(tmp_path, repository=True)
    shutil.rmtree(house.layout.repository)
    end = night(house)
    assert end.exit_code == 6
    assert points(house)


# -- looking before


def test_dry_run_shows_sources_need_and_decisions_and_writes_nothing(tmp_path: Path) -> None:
    clock = at_night()
    house = make_house(tmp_path, clock=clock, retention={"daily": 1})
    night(house)
    clock.advance(DAY_S)
    before = everything(house)
    plan = make_point.plan(house, DAILY, Silent())
    assert str(plan.point) == "daily/2026-11-22"
    assert plan.sources[:2] == ["maildir:mail", "files:config"]
    assert {str(each.point): each.keep for each in plan.decisions} == {
        "daily/2026-11-21": False,
        "daily/2026-11-22": True,
    }
    assert everything(house) == before


def test_dry_run_refuses_what_the_run_would(tmp_path: Path) -> None:
    house = make_house(tmp_path)
    house.layout.marker.unlink()
    with pytest.raises(DestinationFailed):
        make_point.plan(house, DAILY, Silent())


def test_prune_removes_by_the_rules_that_its_dry_run_shows(tmp_path: Path) -> None:
    clock = at_night()
    house = make_house(tmp_path, clock=clock)
    for _ in range(3):
        night(house)
        clock.advance(DAY_S)
    rules = house.settings.retention.model_copy(update={"daily": 1})
    house = House(house.settings.model_copy(update={"retention": rules}), clock=clock)
    shown = {str(each.point) for each in make_point.decisions(house) if not each.keep}
    end = house.conductor.conduct("prune", "host", lambda work: pipeline.prune(house, work))
    assert set(end.result["removed"]) == shown == {"daily/2026-11-21", "daily/2026-11-22"}
    assert points(house) == ["daily/2026-11-23"]


def test_safety_copy_is_a_point_of_its_own_and_fails_when_its_source_does(tmp_path: Path) -> None:
    house = make_house(tmp_path, clock=at_night())
    point = make_point.safety_copy(house, Silent(), "files", "config")
    assert point is not None
    assert str(point) == "manual/20261120T180000Z-before-restore-files-config"
    assert (house.layout.point(point) / MANIFEST).is_file()
    secrets = Secrets(paths=[tmp_path / "no-such-secret"])
    sources = house.settings.sources.model_copy(update={"secrets": secrets})
    house = House(house.settings.model_copy(update={"sources": sources}), clock=house.clock)
    with pytest.raises(Exception, match="safety copy") as caught:
        make_point.safety_copy(house, Silent(), "files", "config")
    assert caught.value.code == 4  # type: ignore[attr-defined]


def test_what_was_lost_altogether_needs_no_safety_copy_and_hinders_none(tmp_path: Path) -> None:
    """A restore of everything that was lost may not fail because there is nothing to copy before it."""
    house = make_house(tmp_path, clock=at_night())
    night(house)
    for path in house.settings.sources.files[0].paths:
        shutil.rmtree(path)
        path.mkdir()
    assert make_point.safety_copy(house, Silent(), "files", "config") is None
    assert [path.name for path in (house.layout.root / "manual").iterdir()] == []
    assert make_point.safety_copy(house, Silent(), "everything", "") is not None, "what is left of the others"
    break_source(house)
    assert make_point.safety_copy(house, Silent(), "files", "config") is None
    assert make_point.safety_copy(house, Silent(), "everything", "") is not None


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("all", "all"),
        ("mailbox:Anna.B@home.test", "mailbox-anna.b-home.test"),
        ("database:mail/mailserver", "database-mail-mailserver"),
        ("site:" + "x" * 100, "site-" + "x" * 58),
        ("files:../..", "files"),
    ],
)
def test_scope_becomes_a_name_that_a_point_may_have(scope: str, expected: str) -> None:
    assert make_point.slug(scope) == expected
    PointId.manual(NIGHT_AT, expected)


def everything(house: House) -> dict[str, Any]:
    return {
        str(path): path.stat().st_mtime_ns
        for path in house.layout.root.rglob("*")
        if path.name != "facts.sqlite3" and "facts.sqlite3" not in path.name
    }


def test_damaged_point_does_not_count_for_retention(tmp_path: Path) -> None:
    clock = at_night()
    house = make_house(tmp_path, clock=clock, retention={"daily": 2})
    for _ in range(2):
        night(house)
        clock.advance(DAY_S)
    house.facts().set_point("daily/2026-11-22", damage="a file")
    night(house)
    assert points(house) == ["daily/2026-11-21", "daily/2026-11-22", "daily/2026-11-23"]
