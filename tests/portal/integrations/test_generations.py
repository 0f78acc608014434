"""Generations on disk: whole or not there, also when the disk is full or the process dies at any step."""

from __future__ import annotations

import errno
import functools
import itertools
import os
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest

from portal.integrations.generations import KEPT, Generations
from tests.backup.faults import dies_at, failing_from


def _render(number: int) -> Mapping[str, str]:
    return {"nginx/generation.conf": "", "nginx/one.conf": f"# generation {number}\n"}


def _taken(generations: Generations) -> int:
    number = generations.write(_render)
    generations.point("candidate", number)
    generations.point("current", number)
    generations.point("candidate", None)
    generations.mark_served(number)
    return number


def _is_whole(directory: Path, number: int) -> bool:
    return all(
        (directory / "generations" / str(number) / name).read_text() == text for name, text in _render(number).items()
    )


def test_generation_is_written_whole_and_readable_to_the_daemons(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        number = _taken(Generations(tmp_path / "web"))
    finally:
        os.umask(before)
    assert _is_whole(tmp_path / "web", number)
    for path in (tmp_path / "web").rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o755 if path.is_dir() else 0o644), path
    assert (tmp_path / "web" / "current").readlink() == Path("generations", str(number)), (
        "also where containers mount it"
    )


def test_pointers_and_numbers_tell_what_is_where(tmp_path: Path) -> None:
    generations = Generations(tmp_path)
    assert (generations.pointed("current"), generations.numbers(), generations.served()) == (None, [], [])
    assert [_taken(generations), generations.write(_render)] == [1, 2]
    assert (generations.pointed("current"), generations.numbers(), generations.served()) == (1, [1, 2], [1])
    assert generations.sites(1) == {"one"}
    generations.point("current", None)
    assert generations.pointed("current") is None


def test_old_generations_go_and_the_current_and_the_last_that_served_stay(tmp_path: Path) -> None:
    generations = Generations(tmp_path)
    first = _taken(generations)
    refused = [generations.write(_render) for _ in range(KEPT + 2)]
    generations.prune()
    assert generations.numbers() == [first, *refused[-KEPT:]]
    assert generations.write(_render) == refused[-1] + 1, "a number is given once"
    for _ in range(KEPT + 1):
        _taken(generations)
        generations.prune()
    assert len(generations.numbers()) == KEPT
    assert len(list((tmp_path / "generations").iterdir())) == 2 * KEPT, "and their marks"


def test_rendering_that_fails_writes_nothing(tmp_path: Path) -> None:
    generations = Generations(tmp_path)
    with pytest.raises(ZeroDivisionError):
        generations.write(lambda number: {"nginx/a.conf": str(number // 0)})
    assert generations.numbers() == []


def test_process_that_dies_at_any_step_leaves_a_whole_current_generation(tmp_path: Path) -> None:
    for step in itertools.count():
        directory = tmp_path / str(step)
        _taken(Generations(directory))
        died = dies_at(step, functools.partial(_taken, Generations(directory)))
        current = Generations(directory).pointed("current")
        assert current in (1, 2)
        assert _is_whole(directory, current)
        generations = Generations(directory)
        generations.sweep()
        assert generations.pointed("candidate") is None
        assert all(_is_whole(directory, number) for number in generations.numbers())
        assert not [path for path in directory.rglob(".*") if path.suffix != ".tmp"]
        assert _taken(generations) > current
        if not died:
            return


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_disk_that_fails_from_any_step_on_leaves_what_was(tmp_path: Path, code: int) -> None:
    for step in itertools.count():
        directory = tmp_path / str(step)
        generations = Generations(directory)
        _taken(generations)
        failed = None
        with failing_from(step, code) as steps:
            try:
                _taken(generations)
            except OSError as error:
                failed = error.errno
        assert _is_whole(directory, generations.pointed("current") or 0)
        generations.sweep()
        left = {path.name for path in directory.rglob("*") if path.name.startswith(".")}
        assert not left
        if failed is None:
            assert step >= len(steps)
            return
        assert failed == code
