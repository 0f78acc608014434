"""Lines of containers that are gone: kept, bounded, whole after a crash."""

from __future__ import annotations

from pathlib import Path

import pytest

from portal.broker.schemas import LogLine
from portal.containers.log_store import Kept, LogStore


def _kept(number: int, last_at: float = 1.0) -> Kept:
    identity = f"{number:064x}"
    return Kept(identity, f"n{number}", "mail", "s", "i", "sha256:1", 0.0, last_at, None, 0)


def _lines(start: int, count: int, text: str = "x") -> list[LogLine]:
    return [LogLine(at=f"2026-11-22T06:13:17.{n:09}Z", stream="stderr", text=text) for n in range(start, start + count)]


@pytest.fixture
def store(tmp_path: Path) -> LogStore:
    return LogStore(tmp_path / "logs", max_bytes=100_000, file_bytes=10_000)


def test_lines_come_back_as_they_were_said(store: LogStore) -> None:
    hostile = "\x1b[31m<img onerror=x>\u202e\r\n{}\x00\ud7ff"
    store.add(_kept(1), _lines(0, 2, hostile))
    store.add(_kept(1), _lines(2, 1))
    lines = store.lines(_kept(1).id)
    assert lines is not None
    assert [line.text for line in lines] == [hostile, hostile, "x"]
    assert {line.stream for line in lines} == {"stderr"}
    assert store.last_line_at(_kept(1).id) == lines[-1].at


def test_unknown_container_has_none(store: LogStore) -> None:
    assert store.lines("0" * 64) is None
    assert store.last_line_at("0" * 64) == ""
    assert store.all() == []
    store.mark_removed("0" * 64, 1.0)


def test_one_container_takes_two_files_at_most_and_keeps_the_newest(store: LogStore, tmp_path: Path) -> None:
    for start in range(0, 5000, 50):
        store.add(_kept(1), _lines(start, 50))
    size = sum(path.stat().st_size for path in (tmp_path / "logs").glob("*.jsonl"))
    assert size < 2 * 10_000 + 5_000
    lines = store.lines(_kept(1).id)
    assert lines is not None
    assert lines[-1].at.endswith("000004999Z")
    assert [line.at for line in lines] == sorted({line.at for line in lines})
    assert len(lines) > 100


def test_one_large_addition_is_bounded_too(store: LogStore, tmp_path: Path) -> None:
    store.add(_kept(1), _lines(0, 20_000))
    assert sum(path.stat().st_size for path in (tmp_path / "logs").glob("*.jsonl")) < 2 * 10_000 + 5_000


def test_all_together_are_bounded_and_the_oldest_go_first(store: LogStore) -> None:
    for number in range(1, 31):
        store.add(_kept(number, last_at=float(number)), _lines(0, 100))
    kept = store.all()
    assert sum(each.size_bytes for each in kept) <= 100_000
    assert [each.name for each in kept] == [f"n{number}" for number in range(30, 30 - len(kept), -1)]
    assert store.lines(_kept(1).id) is None


def test_removal_is_noted_once(store: LogStore) -> None:
    store.add(_kept(1), _lines(0, 1))
    store.mark_removed(_kept(1).id, 5.0)
    store.mark_removed(_kept(1).id, 6.0)
    assert store.all()[0].removed_at == 5.0


def test_half_a_line_of_a_crash_is_passed_over(store: LogStore, tmp_path: Path) -> None:
    store.add(_kept(1), _lines(0, 2))
    path = tmp_path / "logs" / f"{_kept(1).id}.jsonl"
    path.write_bytes(path.read_bytes() + b'["2026-11-22T06')
    lines = store.lines(_kept(1).id)
    assert lines is not None
    assert len(lines) == 2
    assert store.last_line_at(_kept(1).id) == lines[-1].at
    store.add(_kept(1), _lines(2, 1))
    assert store.last_line_at(_kept(1).id) == _lines(2, 1)[0].at
    (tmp_path / "logs" / f"{'1' * 64}.json").write_text("{not json")
    assert len(store.all()) == 1
