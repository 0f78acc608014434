"""What is remembered beside the trees."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

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
