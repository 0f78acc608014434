"""What drills tell for later: how quick a restore is."""

from __future__ import annotations

from pathlib import Path

from backup import checks, pipeline, work
from backup.house import House
from backup.make_point import Asked
from backup.points import PointKind
from backup.restore.model import RestoreRequest
from backup.runs import End, Run
from tests.backup.houses import deliver, make_house


def preview(house: House) -> End:
    [point] = house.layout.sealed()
    wanted = RestoreRequest(point, "mailbox", "anna@home.test")
    return house.conductor.conduct("preview", "host", lambda run: work.preview(house, wanted, run))


def test_preview_says_how_long_a_restore_takes_once_a_drill_has_shown_it(tmp_path: Path) -> None:
    house = make_house(tmp_path)
    deliver(tmp_path / "data/mail/home.test/anna", "2.host", b"Subject: large\n\n" + b"x" * 2_000_000)
    house.conductor.conduct("run daily", "host", lambda run: pipeline.run(house, Asked(PointKind.DAILY), run))

    def drill(name: str) -> None:
        def do(run: Run) -> None:
            checks.run_drills(house, run, work.context(house, run), ("mailbox", name), "local")

        assert house.conductor.conduct("drill", "host", do).exit_code == 0

    drill("bo@home.test")  # a few bytes: what it took tells nothing
    assert preview(house).result["seconds"] is None
    drill("anna@home.test")
    [newest, _] = house.facts().drills()
    looked = preview(house).result
    assert looked["bytes"] > 2_000_000
    assert 0 < looked["seconds"] < 2 * newest.seconds


def test_history_that_cannot_be_read_keeps_no_restore_from_its_work(tmp_path: Path) -> None:
    house = make_house(tmp_path)
    house.conductor.conduct("run daily", "host", lambda run: pipeline.run(house, Asked(PointKind.DAILY), run))
    (house.layout.state / "facts.sqlite3").unlink()
    (house.layout.state / "facts.sqlite3").mkdir()
    looked = preview(house)
    assert (looked.exit_code, looked.result["seconds"]) == (0, None)
