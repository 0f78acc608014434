""".env as Compose reads it; what Compose would read otherwise is said, and never with its value."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from portal.stacks import dotenv

SAME = """\
# a comment
PLAIN=value
export EXPORTED=yes
SPACED = spaced out
EMPTY=
COMMENTED=value # not a part
HASH=a#b
SINGLE='a $b # "c"'
DOUBLE="a b # c"   # behind
URL=http://mail.example.org:80/?a=b
"""
VALUES = {
    "PLAIN": "value",
    "EXPORTED": "yes",
    "SPACED": "spaced out",
    "EMPTY": "",
    "COMMENTED": "value",
    "HASH": "a#b",
    "SINGLE": 'a $b # "c"',
    "DOUBLE": "a b # c",
    "URL": "http://mail.example.org:80/?a=b",
}


def test_settings_are_read() -> None:
    assert dotenv.read("\ufeff" + SAME) == dotenv.Read(VALUES)
    assert dotenv.read(SAME.replace("\n", "\r\n")) == dotenv.Read(VALUES)


@pytest.mark.stacks
def test_settings_are_read_as_compose_reads_them(tmp_path: Path) -> None:
    assert shutil.which("docker")
    (tmp_path / ".env").write_text(SAME)
    lines = "".join(f'      {name}: "${{{name}?}}"\n' for name in VALUES)
    (tmp_path / "compose.yaml").write_text(f"name: dotenv\nservices:\n  a:\n    image: none\n    environment:\n{lines}")
    ended = subprocess.run(
        ["docker", "compose", "config", "--format", "json"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    # What Compose prints can be read by it again, so it doubles each $.
    environment = json.loads(ended.stdout)["services"]["a"]["environment"]
    assert {name: value.replace("$$", "$") for name, value in environment.items()} == VALUES


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("canary", "line 1 is not NAME=value"),
        ("1NAME=canary", "line 1 is not NAME=value"),
        ("NAME: canary", "line 1 is not NAME=value"),
        ("NAME='canary", "line 1: the value of NAME has quotes that do not close, or something behind them"),
        ('NAME="canary" more', "line 1: the value of NAME has quotes that do not close, or something behind them"),
        ("NAME=canary$x", "line 1: the value of NAME has a $, which Compose replaces; put it into '...'"),
        ('NAME="${canary}"', "line 1: the value of NAME has a $, which Compose replaces; put it into '...'"),
        ("NAME=a\nNAME=canary", "line 2 sets NAME a second time"),
    ],
)
def test_what_compose_reads_otherwise_is_said_without_its_value(line: str, said: str) -> None:
    assert dotenv.read(line).mistakes == (said,)
