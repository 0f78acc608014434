"""`make` prints every target; the set-up makes, keeps and renews .venv."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_make_alone_prints_every_target() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    ended = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30)
    described = dict(re.findall(r"^  make ([a-z-]+) +(\S.*)$", ended.stdout, re.MULTILINE))
    assert set(described) == targets
    assert {"setup", "run", "check", "test", "soak"} <= targets


def test_make_names_the_scripts_that_exist() -> None:
    named = set(re.findall(r"scripts/[a-z_-]+(?:\.py)?", (ROOT / "Makefile").read_text()))
    assert {name for name in named if not (ROOT / name).exists()} == set()


PYPROJECT = """
[build-system]
requires = ["hatchling", "editables"]
build-backend = "hatchling.build"
[project]
name = "homeport"
version = "{version}"
[tool.hatch.build.targets.wheel]
packages = ["kit"]
"""


class Checkout:
    """A small checkout: the real scripts/setup, a lock with the build backend alone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "scripts").mkdir(parents=True)
        (path / "requirements").mkdir()
        (path / "kit").mkdir()
        shutil.copy(ROOT / "scripts" / "setup", path / "scripts")
        self.lock("hatchling", "editables", "packaging", "pathspec", "pluggy", "tomlkit", "trove-classifiers")
        self.project("1.0.0")

    def lock(self, *names: str) -> None:
        entries = re.findall(r"^\S+==(?:.*\\\n)+.*\n", (ROOT / "requirements" / "all.txt").read_text(), re.MULTILINE)
        chosen = [entry for entry in entries if entry.partition("==")[0] in names]
        assert len(chosen) == len(names)
        (self.path / "requirements" / "all.txt").write_text("".join(chosen))

    def project(self, version: str) -> None:
        (self.path / "pyproject.toml").write_text(PYPROJECT.format(version=version))

    def setup(self, **environ: str) -> tuple[int, str, float]:
        started = time.monotonic()
        ended = subprocess.run(
            [self.path / "scripts" / "setup"],
            env={**os.environ, "PYTHON": sys.executable, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=110,
        )
        return ended.returncode, ended.stdout, time.monotonic() - started

    def installed(self) -> dict[str, str]:
        source = "import importlib.metadata as m; [print(d.name, d.version) for d in m.distributions()]"
        ended = subprocess.run(
            [self.path / ".venv/bin/python", "-c", source], capture_output=True, text=True, check=True, timeout=30
        )
        return dict(line.split() for line in ended.stdout.splitlines())


@pytest.mark.slow
def test_setup_makes_keeps_and_renews_the_environment(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / "first")

    code, said, _ = checkout.setup()
    assert code == 0, said
    assert "setup: installing the locked requirements into .venv" in said
    assert checkout.installed()["homeport"] == "1.0.0"

    code, said, seconds = checkout.setup()  # nothing has changed
    assert (code, said) == (0, "")
    assert seconds < 0.3

    checkout.project("1.1.0")  # pyproject.toml alone has changed: only the project is installed again
    assert "installing" not in checkout.setup()[1]
    assert checkout.installed()["homeport"] == "1.1.0"

    (checkout.path / ".venv" / "project.stamp").unlink()
    (checkout.path / ".venv" / "environment.stamp").unlink()  # an earlier run was interrupted
    leftover = checkout.path / ".venv" / "leftover"
    leftover.touch()
    assert checkout.setup()[0] == 0
    assert not leftover.exists()

    moved = checkout.path.rename(tmp_path / "second")  # scripts in .venv/bin name the old place
    checkout.path = moved
    assert "installing" in checkout.setup()[1]
    assert checkout.installed()["homeport"] == "1.1.0"
    assert str(moved) in (moved / ".venv" / "bin" / "hatchling").read_text().partition("\n")[0]

    (moved / ".venv" / "bin" / "python").unlink()  # Python was removed or replaced by another one
    (moved / ".venv" / "bin" / "python").symlink_to("/nonexistent/python3")
    assert "installing" in checkout.setup()[1]
    assert checkout.installed()["homeport"] == "1.1.0"


@pytest.mark.slow
def test_setup_with_a_wrong_hash_installs_nothing_and_tries_again_next_time(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / "checkout")
    lock = checkout.path / "requirements" / "all.txt"
    lock.write_text(re.sub(r"(--hash=sha256:)[0-9a-f]{64}", rf"\g<1>{'0' * 64}", lock.read_text()))
    code, said, _ = checkout.setup()
    assert code != 0
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in said
    assert not (checkout.path / ".venv" / "environment.stamp").exists()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("exit 1", "Homeport needs Python 3.11 or newer"),
        ('case "$2" in *ensurepip*) exit 1 ;; esac', "on Debian: apt-get install python3-venv"),
    ],
)
def test_setup_without_a_usable_python_says_what_to_do(tmp_path: Path, source: str, expected: str) -> None:
    checkout = Checkout(tmp_path / "checkout")
    (tmp_path / "python3").write_text(f"#!/bin/sh\n{source}\n")
    (tmp_path / "python3").chmod(0o755)
    code, said, _ = checkout.setup(PYTHON=str(tmp_path / "python3"))
    assert code == 1
    assert expected in said
    assert not (checkout.path / ".venv").exists()
