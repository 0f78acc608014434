"""The locked requirements: all pinned with hashes, no index address, and the images' subsets agree with all.txt."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ["all", "mail-api", "portal", "backup", "corpora", "node"]


def pins(lock: str) -> dict[str, str]:
    """Given a lock's name, return name -> version and hashes."""
    text = (ROOT / "requirements" / f"{lock}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9-]+)==((?:.*\\\n)*.*)$", text, re.MULTILINE))


def named(requirements: list[str]) -> set[str]:
    return {re.split(r"[^A-Za-z0-9-]", requirement)[0] for requirement in requirements}


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_names_no_address_and_no_option(lock: str) -> None:
    lines = (ROOT / "requirements" / f"{lock}.txt").read_text().splitlines()
    required = [line for line in lines if line and not line.lstrip().startswith("#")]
    assert [
        line for line in required if not re.fullmatch(r"[a-z0-9-]+==\S+ \\|    --hash=sha256:[0-9a-f]{64}( \\)?", line)
    ] == []
    assert "://" not in "\n".join(lines)


@pytest.mark.parametrize("lock", ["mail-api", "portal", "backup"])
def test_lock_of_a_deployable_is_a_subset(lock: str) -> None:
    assert pins(lock).items() <= pins("all").items()


@pytest.mark.parametrize("extra", ["mail-api", "portal", "backup"])
def test_lock_of_a_deployable_holds_what_it_asks_for_and_no_tools(extra: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    assert named(project["dependencies"]) | named(optional[extra]) <= pins(extra).keys()
    assert not named(optional["dev"]) & pins(extra).keys()


def test_lock_of_all_holds_every_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for requirements in (project["dependencies"], *project["optional-dependencies"].values()):
        assert named(requirements) <= pins("all").keys()
