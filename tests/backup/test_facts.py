"""What is remembered beside the trees."""

from __future__ import annotations

import sqlite3
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backup.exit_codes import DestinationFailed
from backup.facts import Facts

AT = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)


def test_runs_are_listed_newest_first_also_those_at_work(tmp_path: Path) -> None:
    facts = Facts(tmp_path / "facts.sqlite3")
    facts.run_started("20261122T030000Z-run-00000000", "run daily", "timer", AT)
    facts.run_ended("20261122T030000Z-run-00000000", AT, 0, "done and verified", "good")
    facts.run_started("20261122T040000Z-vault-00000000", "vault sync", "timer", AT.replace(hour=4))
    newest, oldest = facts.runs()
    assert (newest.verb, newest.exit_code, newest.ended_at) == ("vault sync", None, None)
    assert (oldest.exit_code, oldest.summary, oldest.ended_at) == (0, "good", AT)


def test_facts_of_a_point_are_set_one_by_one(tmp_path: Path) -> None:
    facts = Facts(tmp_path / "facts.sqlite3")
    facts.set_point("daily/2026-11-22", snapshot="abc")
    facts.set_point("daily/2026-11-22", damage="a file", verified_at=AT)
    found = facts.points()["daily/2026-11-22"]
    assert (found.snapshot, found.damage, found.verified_at, found.protected_until) == ("abc", "a file", AT, None)
    with pytest.raises(ValueError, match="no facts"):
        facts.set_point("daily/2026-11-22", **{"id = 'x' --": "y"})


def test_last_word_on_a_thing_replaces_the_one_before(tmp_path: Path) -> None:
    facts = Facts(tmp_path / "facts.sqlite3")
    assert facts.get("repository") is None
    facts.put("repository", AT, ok=False, detail="wrong password")
    facts.put("repository", AT.replace(hour=4), ok=True)
    thing = facts.get("repository")
    assert thing is not None
    assert (thing.at, thing.document) == (AT.replace(hour=4), {"ok": True})


def test_several_runs_write_at_once(tmp_path: Path) -> None:
    facts = Facts(tmp_path / "facts.sqlite3")

    def work(number: int) -> None:
        for _ in range(10):
            facts.set_point(f"daily/2026-11-{number:02}", snapshot=str(number))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each.snapshot for each in facts.points().values()) == ["1", "2", "3", "4"]


def test_damaged_file_is_moved_aside_and_a_new_one_begun(tmp_path: Path) -> None:
    path = tmp_path / "facts.sqlite3"
    facts = Facts(path)
    for number in range(200):
        facts.run_started(f"run-{number:04}" * 50, "run daily", "timer", AT)
    data = bytearray(path.read_bytes())
    data[8192:40960] = b"x" * 32768  # pages within: the schema can still be read
    path.write_bytes(data)
    anew = Facts(path)
    assert anew.runs() == []
    assert [anew.moved_to] == list(tmp_path.glob("facts.damaged-*"))
    assert Facts(path).moved_to is None


def test_full_disk_is_the_destinations_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = Facts(tmp_path / "facts.sqlite3")
    connect = sqlite3.connect

    def small(path: Path, timeout: float) -> sqlite3.Connection:
        """A disk that has room for what is there, and no page more."""
        connection = connect(path, timeout=timeout)
        connection.execute("PRAGMA max_page_count = 1")
        return connection

    monkeypatch.setattr(sqlite3, "connect", small)
    with pytest.raises(DestinationFailed, match="database or disk is full"):
        facts.put("sheet", AT, text="x" * 100_000)
    monkeypatch.undo()
    assert Facts(tmp_path / "facts.sqlite3").moved_to is None


def test_rare_run_is_remembered_behind_any_number_of_frequent_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backup.facts.KEPT_ROWS", 20)
    facts = Facts(tmp_path / "facts.sqlite3")
    began = [("drill", AT - timedelta(days=90)), ("drill", AT - timedelta(days=60)), ("sync", AT - timedelta(days=59))]
    began += [("audit-head", AT - timedelta(hours=hour)) for hour in range(50, 0, -1)]
    for number, (verb, at) in enumerate(began):
        facts.run_started(str(number), verb, "timer", at)
        facts.run_ended(str(number), at, 143 if verb == "sync" else 0, "", "")
    assert facts.last_started("drill", without=143) == AT - timedelta(days=60)
    assert facts.last_started("audit-head", without=143) == AT - timedelta(hours=1)
    assert facts.last_started("sync", without=143) is None
    assert len(facts.runs(limit=1000)) == 22
