"""A whole night, and a restore of it, over names that are no text."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from backup import catalog, pipeline, work
from backup.make_point import Asked
from backup.points import PointKind
from backup.restore.model import RestoreRequest
from tests.backup.houses import make_house

BROKEN = os.fsdecode(b"caf\xe9")  # Latin-1


@pytest.mark.slow
def test_secret_below_a_directory_that_is_not_utf_8_stops_no_night(tmp_path: Path) -> None:
    house = make_house(tmp_path, repository=True, coverage={"volumes": [tmp_path / "data" / "config"]})
    directory = tmp_path / "data" / "config" / BROKEN
    directory.mkdir()
    (directory / ".env").write_text("DB_PASSWORD=correct-horse-battery\n")
    (directory / "compose.yaml").write_text("services: {}\n")
    end = house.conductor.conduct("run", "host", lambda run: pipeline.run(house, Asked(PointKind.DAILY), run))
    assert (end.exit_code, end.error) == (0, "")
    [point] = house.layout.sealed()
    assert (house.layout.point(point) / f"stacks/config{directory}/compose.yaml").is_file()
    named = {(each.kind, each.name): each.covered for each in catalog.read(house.layout.catalog).assets}
    assert named["secret", rf"{directory.parent}/caf\xe9/.env"] == "yes"
    assert rf"{directory.parent}/caf\xe9" in {name for kind, name in named if kind == "volume"}

    (directory / "compose.yaml").unlink()
    wanted = RestoreRequest(point, "files", "config", where="in-place")
    previewed = house.conductor.conduct("preview", "host", lambda run: work.preview(house, wanted, run))
    assert any(r"caf\xe9" in change["path"] for change in previewed.result["changes"])
    restored = house.conductor.conduct("restore", "host", lambda run: work.apply(house, wanted, run))
    assert (restored.exit_code, (directory / "compose.yaml").is_file()) == (0, True)
    for run in (end, previewed, restored):  # as whoever reads it must be able to
        for line in (house.layout.runs / f"{run.run}.jsonl").read_text().splitlines():
            json.dumps(json.loads(line), ensure_ascii=False).encode()
