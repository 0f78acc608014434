"""runs/<id>.jsonl: what the portal follows."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from backup.file_journal import FileJournal, LineJournal, TerminalJournal, amount, pace, size
from tests.clock import FakeClock

EXAMPLES = Path(__file__).parents[1] / "contract" / "catalog"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_journal_has_the_form_of_the_contracts_example(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path / "run.jsonl", FakeClock())
    journal.started("run", "anna")
    journal.step("stage", source="site:blog")
    journal.progress(1, 4)
    journal.note("kept")
    journal.warn("odd")
    journal.result({"point": "daily/2026-11-22"})
    journal.ended(0, "done and verified", "")
    journal.close()
    example = {line["type"]: line.keys() for line in lines(EXAMPLES / "run.jsonl")}
    written = {line["type"]: line.keys() for line in lines(tmp_path / "run.jsonl")}
    assert written == example
    assert stat.S_IMODE((tmp_path / "run.jsonl").stat().st_mode) == 0o640


def test_progress_is_thinned_to_two_a_second_and_the_end_is_never_lost(tmp_path: Path) -> None:
    clock = FakeClock()
    journal = FileJournal(tmp_path / "run.jsonl", clock)
    journal.step("upload")
    for done in range(101):
        journal.progress(done, 100)
        clock.advance(0.05)
    found = [line for line in lines(tmp_path / "run.jsonl") if line["type"] == "progress"]
    assert len(found) <= 12
    assert found[-1]["done"] == 100
    assert found[5]["rate"] == pytest.approx(20, rel=0.1)
    assert found[5]["eta_s"] == pytest.approx((100 - found[5]["done"]) / 20, rel=0.1)


def test_pace_is_unknown_before_anything_moved() -> None:
    assert pace((0.0, 0.0), 0.0, 0.0, 100.0) == (None, None)
    assert pace((0.0, 0.0), 5.0, 0.0, 100.0) == (None, None)
    assert pace((0.0, 0.0), 5.0, 50.0, None) == (10.0, None)


def test_names_of_strangers_break_no_line(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path / "run.jsonl", FakeClock())
    journal.note("two\nlines \udcff \x1b[31m")
    assert (
        lines(tmp_path / "run.jsonl")[0]["text"] == "two\nlines \\xff \x1b[31m"
    )  # no half character: many cannot read it
    assert len((tmp_path / "run.jsonl").read_bytes().splitlines()) == 1


def test_id_is_used_once(tmp_path: Path) -> None:
    FileJournal(tmp_path / "run.jsonl", FakeClock()).close()
    with pytest.raises(FileExistsError):
        FileJournal(tmp_path / "run.jsonl", FakeClock())


def test_link_in_place_of_a_journal_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "run.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=r"File exists|symbolic links"):
        FileJournal(tmp_path / "run.jsonl", FakeClock())
    assert not (tmp_path / "elsewhere").exists()


def test_full_disk_under_the_journal_does_not_end_the_run(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path / "run.jsonl", FakeClock())
    journal._descriptor, kept = _full(), journal._descriptor
    journal.note("nobody can keep this")
    journal._descriptor = kept
    journal.close()


def test_lines_for_a_pipe_show_what_a_terminal_would_obey(capsys: pytest.CaptureFixture[str]) -> None:
    journal = LineJournal()
    journal.step("stage", source="maildir:mail")
    journal.warn("bad \x1b[31m name")
    assert capsys.readouterr().err == "stage: source maildir:mail\nwarning: bad \\x1b[31m name\n"


def test_terminal_shows_steps_and_keeps_notes(capsys: pytest.CaptureFixture[str]) -> None:
    journal = TerminalJournal()
    journal.started("run daily", "host")
    journal.step("stage", source="maildir:mail")
    journal.progress(1, 2)
    journal.note("one [red]line[/red]")
    journal.ended(0, "done and verified", "")
    assert "one [red]line[/red]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (3 * 1024**3, "3.0 GiB"), (1024**5, "1024.0 TiB")],
)
def test_sizes_for_the_eye(count: float, text: str) -> None:
    assert size(count) == text


def test_amounts_name_their_unit() -> None:
    assert amount(1024, 2048, "bytes") == "1.0 KiB of 2.0 KiB"
    assert amount(1200, None, "files") == "1,200 files"


def _full() -> int:
    import os

    return os.open("/dev/full", os.O_WRONLY)
