"""What becomes of the rest of a night when one of its parts cannot be carried into the repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from backup import catalog, pipeline
from backup.house import House
from backup.make_point import Asked
from backup.points import PointKind
from backup.settings import RepositorySettings
from tests.backup.houses import make_house


@pytest.mark.slow
def test_secrets_that_cannot_be_stored_fail_the_run_and_the_repository_is_looked_after(tmp_path: Path) -> None:
    program = tmp_path / "restic-fake"
    program.write_text(
        '#!/bin/sh\ncase "$*" in *--tag=secrets*) echo "a key: I/O error" >&2; exit 1;; esac\nexec restic "$@"\n'
    )
    program.chmod(0o755)
    settings = {"password_file": tmp_path / "keys" / "repository.password", "program": str(program)}
    house = make_house(tmp_path, repository=True)
    house = House(house.settings.model_copy(update={"repository": RepositorySettings.model_validate(settings)}))
    end = house.conductor.conduct("run daily", "timer", lambda work: pipeline.run(house, Asked(PointKind.DAILY), work))
    assert end.exit_code == 6
    assert "I/O error" in end.error
    assert "check the repository" in (house.layout.runs / f"{end.run}.jsonl").read_text()
    written = catalog.read(house.layout.catalog)
    assert written.points[0].repository is not None
    assert (written.repository.state, "I/O error" in written.repository.detail) == ("failed", True)
