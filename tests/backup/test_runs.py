"""A run from its first line to its last word: whatever happens to the work is told, and the exit code tells it too."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from backup import catalog
from backup.exit_codes import RepositoryFailed, SourceFailed, VaultUnreachable
from backup.file_journal import FileJournal
from backup.house import House
from backup.runs import Conductor, End, Run, end_dead_runs, is_alive
from backup.settings import Monitor
from tests.backup.houses import make_house
from tests.backup.test_monitor import Heard, web
from tests.clock import FakeClock


def lines(house: House, end: End) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (house.layout.runs / f"{end.run}.jsonl").read_text().splitlines()]


def good(run: Run) -> None:
    run.journal.step("stage")
    run.result = {"point": "daily/2026-11-22"}
    run.summary = "all is well"


def test_good_run_is_begun_and_ended_everywhere(tmp_path: Path) -> None:
    house = make_house(tmp_path)
    end = house.conductor.conduct("run daily", "anna", good)
    assert (end.exit_code, end.error) == (0, "")
    assert [line["type"] for line in lines(house, end)] == ["started", "step", "result", "ended"]
    assert lines(house, end)[0]["by"] == "anna"
    [run] = catalog.read(house.layout.catalog).runs
    assert (run.id, run.exit_code, run.summary) == (end.run, 0, "all is well")


def test_journals_go_after_three_months_and_none_that_is_being_written(tmp_path: Path) -> None:
    clock = FakeClock(now=datetime(2026, 11, 22, tzinfo=UTC).timestamp())
    house = make_house(tmp_path, clock=clock)
    first = house.conductor.conduct("run daily", "anna", good)
    alive = FileJournal(house.layout.runs / "20260101T000000Z-run-00000000.jsonl", clock)
    clock.advance(91 * 86400)
    second = house.conductor.conduct("run daily", "anna", good)
    alive.close()
    left = {path.stem for path in house.layout.runs.glob("*.jsonl")}
    assert left == {second.run, "20260101T000000Z-run-00000000"}
    assert first.run not in left


def test_several_failures_end_with_the_code_of_the_first_and_the_words_of_all(tmp_path: Path) -> None:
    def work(run: Run) -> None:
        run.failed(RepositoryFailed("wrong password"))
        run.failed(VaultUnreachable("no route"))
        raise SourceFailed("no such database")

    house = make_house(tmp_path)
    end = house.conductor.conduct("run daily", "host", work)
    assert (end.exit_code, end.error) == (6, "wrong password\nno route\nno such database")
    assert lines(house, end)[-1]["exit_code"] == 6


def test_bug_is_told_like_a_failure_and_raised_again(tmp_path: Path) -> None:
    heard = Heard()
    with web(heard) as url:
        house = make_house(tmp_path, monitor={"webhook_url_file": written(tmp_path, url)})
        with pytest.raises(ZeroDivisionError):
            house.conductor.conduct("run daily", "host", lambda run: print(1 // 0))
    [run] = catalog.read(house.layout.catalog).runs
    assert (run.exit_code, run.summary) == (1, "ZeroDivisionError: integer division or modulo by zero")
    assert json.loads(heard.requests[0][3])["exit_code"] == 1


def test_failing_catalog_silences_no_notification_and_changes_no_exit_code(tmp_path: Path) -> None:
    heard = Heard()
    with web(heard) as url:
        house = make_house(tmp_path, monitor={"webhook_url_file": written(tmp_path, url)})

        def broken(_: object) -> None:
            raise RuntimeError("no catalog today")

        conductor: Conductor = replace(house.conductor, write_catalog=broken)
        end = conductor.conduct("run daily", "host", good)
    assert end.exit_code == 0
    assert len(heard.requests) == 1
    warned = [line["text"] for line in lines(house, end) if line["type"] == "warning"]
    assert warned == ["the catalog could not be written: RuntimeError: no catalog today"]
    assert lines(house, end)[-1]["type"] == "ended"


def test_dead_monitor_changes_no_exit_code_and_is_noted(tmp_path: Path) -> None:
    house = make_house(tmp_path, monitor={"webhook_url_file": written(tmp_path, "http://127.0.0.1:1")})
    end = house.conductor.conduct("run daily", "host", good)
    assert end.exit_code == 0
    assert any("the webhook was not sent" in line.get("text", "") for line in lines(house, end))


def test_unmounted_root_is_told_though_nothing_can_be_written(tmp_path: Path) -> None:
    heard = Heard()
    with web(heard) as url:
        house = make_house(tmp_path, monitor={"webhook_url_file": written(tmp_path, url)})
        house.layout.marker.unlink()
        before = sorted(house.layout.root.rglob("*"))
        end = house.conductor.conduct("run daily", "host", lambda run: house.layout.require())
    assert end.exit_code == 5
    assert "not mounted" in json.loads(heard.requests[0][3])["summary"]
    assert sorted(house.layout.root.rglob("*")) == before


def test_root_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """The journal's directory is gone: the work meets that by itself, the monitor hears it."""
    heard = Heard()
    with web(heard) as url:
        house = make_house(tmp_path, monitor={"webhook_url_file": written(tmp_path, url)})
        house.layout.runs.rmdir()
        house.conductor.conduct("run daily", "host", good)
    assert len(heard.requests) == 1


# -- ended from outside

CHILD = """
import sys, time
from pathlib import Path
from backup.command_line import house
from backup.runs import terminable

def work(run):
    run.journal.step("stage")
    print(run.id, flush=True)
    time.sleep(60)

with terminable():
    end = house(Path(sys.argv[1])).conductor.conduct("run daily", "timer", work)
sys.exit(end.exit_code)
"""


def child(house: House, directory: Path) -> tuple[subprocess.Popen[str], str]:
    """A run at work in a process of its own, and its id."""
    config = directory / "backup.toml"
    config.write_text(
        f'root = "{house.layout.root}"\nsigning_key_file = "{house.settings.signing_key_file}"\n'
        f'public_key_file = "{house.settings.public_key_file}"\n'
    )
    argv = [sys.executable, "-c", CHILD, str(config)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    with process.stdout as said:  # type: ignore[union-attr]
        return process, said.readline().strip()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_run_that_is_told_to_end_ends_clean(number: signal.Signals, tmp_path: Path) -> None:
    house = make_house(tmp_path)
    process, run = child(house, tmp_path)
    process.send_signal(number)
    assert process.wait(30) == 143
    last = json.loads((house.layout.runs / f"{run}.jsonl").read_text().splitlines()[-1])
    assert (last["type"], last["exit_code"], last["meaning"]) == ("ended", 143, "interrupted")
    [listed] = catalog.read(house.layout.catalog).runs
    assert (listed.id, listed.exit_code) == (run, 143)


def test_run_that_was_killed_is_ended_by_the_next(tmp_path: Path) -> None:
    house = make_house(tmp_path)
    process, run = child(house, tmp_path)
    journal = house.layout.runs / f"{run}.jsonl"
    assert is_alive(journal)
    end_dead_runs(house.layout, house.facts(), house.clock)
    assert house.facts().runs()[0].ended_at is None  # it is at work: nobody ends it
    process.kill()
    process.wait(30)
    assert not is_alive(journal)
    house.conductor.conduct("run daily", "host", good)
    last = json.loads(journal.read_text().splitlines()[-1])
    assert (last["type"], last["exit_code"]) == ("ended", 143)
    assert {each.id: each.exit_code for each in catalog.read(house.layout.catalog).runs}[run] == 143


def test_journal_of_another_run_is_never_written_twice(tmp_path: Path) -> None:
    house = make_house(tmp_path)
    end = house.conductor.conduct("run daily", "host", good)
    before = lines(house, end)
    second = house.conductor.conduct("run daily", "host", lambda run: pytest.fail("it works"), run=end.run)
    assert (second.exit_code, second.error) == (2, f"there was a run {end.run} already. Nothing was done")
    assert lines(house, end) == before


def test_damaged_history_is_moved_aside_and_the_run_is_made_and_told(tmp_path: Path) -> None:
    house = make_house(tmp_path)
    house.conductor.conduct("run daily", "host", good)
    file = house.layout.state / "facts.sqlite3"
    file.write_bytes(b"no database" * 1000)
    heard = Heard()
    with web(heard) as url:
        house = replace(house, settings=house.settings.model_copy(update={"monitor": hook(tmp_path, url)}))
        end = house.conductor.conduct("run daily", "host", good)
    assert (end.exit_code, len(heard.requests)) == (0, 1)
    assert [run.id for run in house.facts().runs()] == [end.run]
    [moved] = house.layout.state.glob("facts.damaged-*")
    assert moved.read_bytes() == b"no database" * 1000
    [warned] = [line["text"] for line in lines(house, end) if line["type"] == "warning"]
    assert str(moved) in warned


def test_history_that_cannot_be_written_stops_no_run_and_is_told(tmp_path: Path) -> None:
    heard = Heard()
    with web(heard) as url:
        house = make_house(tmp_path, monitor={"webhook_url_file": written(tmp_path, url)})
        (house.layout.state / "facts.sqlite3").mkdir()  # as root no mode keeps SQLite out
        end = house.conductor.conduct("run daily", "host", good)
        assert end.exit_code == 0
        assert any("not in the list of runs" in line.get("text", "") for line in lines(house, end))
        end = house.conductor.conduct("run daily", "host", lambda run: house.facts().put("x", run_at(house)))
    assert end.exit_code == 5
    assert "SQLite says: unable to open" in json.loads(heard.requests[1][3])["summary"]


def test_words_with_bytes_that_are_no_text_can_be_kept_and_sent(tmp_path: Path) -> None:
    def work(run: Run) -> None:
        run.journal.note("/srv/\udcff")
        raise SourceFailed("/srv/\udcff: no")

    heard = Heard()
    with web(heard) as url:
        house = make_house(tmp_path, monitor={"webhook_url_file": written(tmp_path, url)})
        end = house.conductor.conduct("run daily", "host", work)
    assert json.loads(heard.requests[0][3])["summary"] == r"/srv/\xff: no"
    assert catalog.read(house.layout.catalog).runs[0].summary == r"/srv/\xff: no"
    for line in lines(house, end):
        json.dumps(line, ensure_ascii=False).encode()


def run_at(house: House) -> datetime:
    return datetime.fromtimestamp(house.clock.now(), UTC)


def hook(directory: Path, url: str) -> Monitor:
    return Monitor(webhook_url_file=written(directory, url))


def written(directory: Path, text: str) -> Path:
    path = directory / "webhook_url"
    path.write_text(text + "\n")
    return path
