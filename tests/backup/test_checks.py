"""What drills tell for later: how quick a restore is."""

from __future__ import annotations

from pathlib import Path

import pytest

from backup import checks, pipeline, work
from backup.house import House
from backup.journal import Silent
from backup.make_point import Asked
from backup.points import PointKind
from backup.restore.model import RestoreRequest
from backup.runs import End, Run
from backup.settings import Server
from backup.vault.finding import Level
from tests.backup.houses import deliver, make_house
from tests.services.mariadb import MariaDB


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


@pytest.mark.services
def test_doctor_says_whether_each_server_can_be_dumped(tmp_path: Path, mariadb: MariaDB) -> None:
    house = make_house(tmp_path)
    password = tmp_path / "keys" / "database.password"
    password.write_text("of the backup account\n")
    mariadb.execute("CREATE USER doctor@localhost IDENTIFIED BY 'of the backup account'")
    there = Server(name="mail", socket=mariadb.unix_socket, user="doctor", password_file=password)
    gone = there.model_copy(update={"name": "blog", "socket": tmp_path / "no.sock"})
    sources = house.settings.sources.model_copy(update={"mariadb": [there, gone]})
    house = House(house.settings.model_copy(update={"sources": sources}), clock=house.clock)
    good, bad, *_ = checks.doctor(house, Silent())
    assert (good.level, "server mail is 1" in good.text) == (Level.OK, True)
    assert (bad.level, "Can't connect" in bad.text, bool(bad.fix)) == (Level.FAILED, True, True), bad


def test_history_that_cannot_be_read_keeps_no_restore_from_its_work(tmp_path: Path) -> None:
    house = make_house(tmp_path)
    house.conductor.conduct("run daily", "host", lambda run: pipeline.run(house, Asked(PointKind.DAILY), run))
    (house.layout.state / "facts.sqlite3").unlink()
    (house.layout.state / "facts.sqlite3").mkdir()
    looked = preview(house)
    assert (looked.exit_code, looked.result["seconds"]) == (0, None)
