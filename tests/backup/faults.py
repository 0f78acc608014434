"""A process, or a moment of this one, in which the n-th call that changes the backup root dies or fails.

The product has no hooks for this (docs/adr/0004): it calls the attributes of `os` and of `backup.linux`, which are
replaced here. Steps are counted from 0. A child is made by fork, so that a death costs milliseconds.
"""

from __future__ import annotations

import contextlib
import os
import signal
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from backup import linux

CHANGING = ("mkdir", "write", "link", "symlink", "rename", "unlink", "rmdir", "fsync", "fchmod", "chmod", "utime")
GROWING = frozenset({"mkdir", "create", "write", "link", "symlink", "rename", "fsync", "syncfs"})


@contextlib.contextmanager
def every_step(hit: Callable[[int, str], None]) -> Iterator[list[str]]:
    """Call `hit` with number and name before each step; yield the names so far."""
    steps: list[str] = []
    real = {name: getattr(os, name) for name in (*CHANGING, "open")}
    real_linux = {name: getattr(linux, name) for name in ("syncfs", "exchange")}

    def wrap(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if name != "open" or args[1] & os.O_CREAT:
                steps.append("create" if name == "open" else name)
                hit(len(steps) - 1, steps[-1])
            return call(*args, **kwargs)

        return wrapped

    for name, call in real.items():
        setattr(os, name, wrap(name, call))
    for name, call in real_linux.items():
        setattr(linux, name, wrap(name, call))
    try:
        yield steps
    finally:
        for name, call in real.items():
            setattr(os, name, call)
        for name, call in real_linux.items():
            setattr(linux, name, call)


def dies_at(step: int, act: Callable[[], object]) -> bool:
    """Run `act` in a child that gets SIGKILL before its n-th step; return whether it came to that."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with every_step(lambda number, _: os.kill(os.getpid(), signal.SIGKILL) if number == step else None):
                act()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return ended(child)


def ended(child: int) -> bool:
    """Wait for a child; return whether SIGKILL ended it. It fails the test when it ended by an error of its own."""
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


@contextlib.contextmanager
def failing_from(step: int, code: int) -> Iterator[list[str]]:
    """The n-th step and every later one that would grow something fail with this error."""

    def hit(number: int, name: str) -> None:
        if number >= step and name in GROWING:
            raise OSError(code, os.strerror(code))

    with every_step(hit) as steps:
        yield steps
