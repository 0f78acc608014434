"""The portal's requests, done: from a file in requests/ to the last line of a journal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from backup import catalog, checks, pipeline, work
from backup.house import House
from backup.journal import Silent
from backup.make_point import Asked
from backup.points import PointKind
from backup.requests import Unit
from backup.runs import Interrupted
from tests.backup.houses import deliver, make_house
from tests.backup.test_requests import ANNA, document, run_id


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A house with one daily point."""
    house = make_house(tmp_path)
    end = house.conductor.conduct("run daily", "timer", lambda run: pipeline.run(house, Asked(PointKind.DAILY), run))
    assert end.exit_code == 0
    return house


def ask(house: House, act: str, number: int = 0, **more: Any) -> str:
    point = catalog.read(house.layout.catalog).points[-1].id
    asked = document(act, number)
    asked |= {"point": point} if "point" in asked else {}
    asked |= more
    (house.layout.requests / f"{asked['id']}.json").write_text(json.dumps(asked))
    return str(asked["id"])


def journal(house: House, run: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (house.layout.runs / f"{run}.jsonl").read_text().splitlines()]


def result(house: House, run: str) -> dict[str, Any]:
    found: dict[str, Any] = next(line["result"] for line in journal(house, run) if line["type"] == "result")
    return found


def serve(house: House, unit: Unit) -> list[int]:
    return [end.exit_code for end in work.serve(house, unit)]


def test_run_verify_and_drill_are_done_by_the_unit_run(house: House) -> None:
    made = ask(house, "run", 1, scope="files:config")
    held = ask(house, "verify", 2)
    assert serve(house, "restore") == []
    assert serve(house, "run") == [0, 0]
    point = catalog.read(house.layout.catalog).points[0]
    assert (point.kind, point.scope) == ("manual", "files-config")
    assert result(house, made)["point"] == point.id
    assert result(house, held) == {"point": catalog.read(house.layout.catalog).points[1].id, "damage": [], "damaged": 0}
    assert journal(house, made)[0]["type"] == "started"
    assert journal(house, made)[0]["by"] == "anna"
    assert journal(house, made)[-1]["exit_code"] == 0
    runs = {run.id: run.by for run in catalog.read(house.layout.catalog).runs}
    assert runs[made] == "anna"


def test_drill_of_a_mailbox_is_in_the_catalog(house: House) -> None:
    run = ask(house, "drill", asset=ANNA)
    assert serve(house, "run") == [0]
    [drilled] = catalog.read(house.layout.catalog).drills
    assert (drilled.asset, drilled.ok) == ("anna@home.test", True)
    assert len(result(house, run)["drills"]) == 1


def test_drill_from_the_vault_is_done_by_the_unit_restore(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(checks, "run_drills", lambda _house, _run, _within, *rest: asked.append(rest))
    ask(house, "vaultdrill", 1)
    ask(house, "vaultdrill", 2, asset=ANNA)
    assert serve(house, "run") == []
    assert serve(house, "restore") == [0, 0]
    assert asked == [(None, "vault"), (("mailbox", "anna@home.test"), "vault")]


@pytest.mark.parametrize("unit", ["run", "restore"])
def test_name_that_only_resembles_a_request_does_not_start_a_unit_again(house: House, unit: Unit) -> None:
    """Each of these is seen by a path unit, which starts its service as long as it is there."""
    for act in ("run", "restore", "vaultdrill"):
        (house.layout.requests / f"1-{act}-x.json").write_text("{}")
    assert serve(house, unit) == []
    assert not list(house.layout.requests.glob("*.json"))


def test_preview_then_restore_beside_brings_the_mailbox_back(house: House) -> None:
    looked = ask(house, "preview", 1)
    assert serve(house, "restore") == [0]
    plan = result(house, looked)
    assert (plan["adds"] > 0, plan["verified"], plan["where"]) == (True, True, "beside")
    done = ask(house, "restore", 2, plan=plan["plan"])
    assert serve(house, "restore") == [0]
    report = result(house, done)
    restored = [path for path in Path(report["target"]).rglob("1.host*") if path.is_file()]
    assert [path.read_bytes() for path in restored] == [b"Subject: one\n\nfor anna"]


def test_restore_in_place_wants_the_points_id_and_the_world_of_the_preview(house: House, tmp_path: Path) -> None:
    mailbox = tmp_path / "data" / "mail" / "home.test" / "anna"
    lost = mailbox / "Maildir" / "cur" / "1.host:2,S"
    lost.unlink()
    looked = ask(house, "preview", 1, where="in-place")
    assert serve(house, "restore") == [0]
    plan, point = result(house, looked)["plan"], catalog.read(house.layout.catalog).points[0].id
    ask(house, "restore", 2, where="in-place", plan=plan)
    ask(house, "restore", 3, where="in-place", plan=plan, confirm="daily/1999-01-01")
    ask(house, "restore", 4, where="in-place", plan="f" * 64, confirm=point)
    assert serve(house, "restore") == [9, 9, 9]
    assert not lost.exists()
    deliver(mailbox, "2.host", b"Subject: since\n\n")
    done = ask(house, "restore", 5, where="in-place", plan=plan, confirm=point)
    assert serve(house, "restore") == [0]
    assert lost.read_bytes() == b"Subject: one\n\nfor anna"
    assert (mailbox / "Maildir" / "cur" / "2.host:2,S").exists()  # what arrived since is kept
    copy = result(house, done)["safety_copy"]
    assert copy.startswith("manual/")
    assert copy in {each.id for each in catalog.read(house.layout.catalog).points}


def test_refused_request_ends_at_once_and_says_why(house: House) -> None:
    unknown = ask(house, "verify", 1, point="daily/1999-01-01")
    foreign = ask(house, "preview", 2, asset={"kind": "mailbox", "name": "nobody@home.test"})
    broken = run_id("run", 3)
    (house.layout.requests / f"{broken}.json").write_text("{")
    assert serve(house, "run") == [2, 2]
    assert serve(house, "restore") == [9]
    assert [line["type"] for line in journal(house, unknown)] == ["started", "warning", "ended"]
    assert "no such point" in journal(house, unknown)[-1]["error"]
    assert "mailbox:nobody@home.test" in journal(house, foreign)[-1]["error"]
    assert journal(house, broken)[-1]["exit_code"] == 2
    assert not list((house.layout.requests / "taken").iterdir())


def test_request_whose_id_was_used_before_is_not_done_again(house: House) -> None:
    ask(house, "run", 1, scope="files:config")
    assert serve(house, "run") == [0]
    before = (house.layout.runs / f"{run_id('run', 1)}.jsonl").read_bytes()
    ask(house, "run", 1, scope="files:config")
    assert serve(house, "run") == [2]
    assert (house.layout.runs / f"{run_id('run', 1)}.jsonl").read_bytes() == before
    assert len(house.layout.sealed(PointKind.MANUAL)) == 1


def test_what_a_crash_left_is_ended_and_not_done_again(house: House) -> None:
    taken = house.layout.requests / "taken"
    taken.mkdir(0o700)
    run = ask(house, "run", 7)
    (house.layout.requests / f"{run}.json").rename(taken / f"{run}.json")
    assert serve(house, "restore") == []
    assert (taken / f"{run}.json").exists()  # of the other unit, which may be at work on it
    assert serve(house, "run") == []
    assert journal(house, run)[-1]["meaning"] == "interrupted"
    assert not list(taken.iterdir())
    assert house.layout.sealed(PointKind.MANUAL) == []


def test_second_server_of_a_unit_leaves_at_once(house: House) -> None:
    ask(house, "verify", 1)
    with house.hold("requests-run", "requests --unit run", Silent()):
        assert serve(house, "run") == []
    assert serve(house, "run") == [0]


def test_server_that_polls_sees_what_comes_later(house: House) -> None:
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 1:
            ask(house, "verify", 1)
        house_clock.advance(seconds)

    from dataclasses import replace

    from tests.clock import FakeClock

    house_clock = FakeClock(now=house.clock.now())
    ends = work.serve(replace(house, clock=house_clock), "run", poll_for_s=35, sleep=sleep)
    assert [end.exit_code for end in ends] == [0]
    assert waits == [10.0, 10.0, 10.0]


def test_bug_in_one_request_leaves_the_next_alone(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ask(house, "run", 1, scope="files:config")
    ask(house, "verify", 2)

    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(pipeline, "run", broken)
    assert serve(house, "run") == [1, 0]
    assert journal(house, first)[-1]["exit_code"] == 1


def test_catalog_that_is_not_there_refuses_everything(house: House) -> None:
    ask(house, "verify", 1)
    house.layout.catalog.unlink()
    assert serve(house, "run") == [2]


def test_server_that_is_told_to_end_leaves_what_it_has_not_taken(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = ask(house, "run", 1, scope="files:config"), ask(house, "verify", 2)

    def ended(*_: object) -> None:
        raise Interrupted

    monkeypatch.setattr(pipeline, "run", ended)
    assert serve(house, "run") == [143]
    assert journal(house, first)[-1]["meaning"] == "interrupted"
    assert (house.layout.requests / f"{second}.json").exists()
    assert serve(house, "run") == [0]
