"""A failed test is tried once more; one that guards mail or backups is not, and many are a failure (ADR 0029)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import conftest

ONCE = """
seen = set()
def fails_once(name):
    if name not in seen:
        seen.add(name)
        raise AssertionError(name)
"""
TEST = "def test_{0}(): fails_once('{0}')\n"
PROPERTY = """
from hypothesis import given, strategies
@given(strategies.just(1))
def test_drawn(number): fails_once("drawn")
"""


def _run(directory: Path, file: str, tests: str) -> tuple[int, str]:
    path = directory / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(ONCE + tests)
    (directory / "conftest.py").write_text(
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        "from tests.conftest import pytest_collection_modifyitems, pytest_sessionfinish\n"
        'pytest_plugins = ["tests.services.fixtures"]\n'
    )
    command = [sys.executable, "-m", "pytest", "-q", "--reruns", "1", "-raR", "--rootdir", str(directory), file]
    ended = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=100)
    return ended.returncode, ended.stdout


def test_one_that_passes_at_the_second_try_is_named(tmp_path: Path) -> None:
    code, said = _run(tmp_path, "test_some.py", TEST.format("a"))
    assert code == 0, said
    assert "RERUN test_some.py::test_a" in said
    assert "1 passed, 1 rerun" in said


def test_more_than_a_few_are_a_failure(tmp_path: Path) -> None:
    some = [TEST.format(number) for number in range(conftest.MAX_RERUNS + 1)]
    assert _run(tmp_path, "test_some.py", "".join(some[1:]))[0] == 0
    assert _run(tmp_path, "test_some.py", "".join(some))[0] == 1


@pytest.mark.parametrize(
    "file", ["tests/crash/test_kill.py", "tests/mail_api/test_spool.py", "tests/backup/test_lock.py"]
)
def test_what_guards_mail_and_backups_is_not_tried_again(tmp_path: Path, file: str) -> None:
    code, said = _run(tmp_path, file, TEST.format("a"))
    assert code == 1, said
    assert "rerun" not in said


def test_what_is_drawn_is_not_tried_again(tmp_path: Path) -> None:
    code, said = _run(tmp_path, "test_some.py", PROPERTY)
    assert code == 1, said
    assert "rerun" not in said
