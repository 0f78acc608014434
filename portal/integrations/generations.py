"""Generations of a rendered configuration on disk. Blocks; one writer at a time is the caller's business.

    <web_dir>/generations/7/{nginx,php,redis}/...    complete before it has its name, and never changed afterwards
    <web_dir>/generations/7.served                   it has been seen to be served
    <web_dir>/current -> generations/7               what the daemons read when they start or are told to
    <web_dir>/candidate -> generations/8             what is being tested; between two renderings there is none

A pointer is replaced by one rename. A crash leaves a directory `.new-*`, or a candidate that was never made current:
`sweep` forgets both. Numbers are given once, also to what was refused, so that an answer with a number means one text.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from kit import atomic

KEPT = 5  # newest generations; the current one and the last that was served stay as well
READABLE, PASSABLE = 0o644, 0o755  # the daemons are other users, and no secret is in it

Pointer = Literal["current", "candidate"]


class Generations:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._generations = directory / "generations"

    def pointed(self, pointer: Pointer) -> int | None:
        """Return the number of the generation that `current` or `candidate` points at."""
        try:
            name = (self._directory / pointer).readlink().name
        except FileNotFoundError:
            return None
        return int(name) if name.isdecimal() else None

    def numbers(self) -> list[int]:
        """Return the numbers of all generations that are there, in order."""
        if not self._generations.is_dir():
            return []
        return sorted(int(each.name) for each in self._generations.iterdir() if each.name.isdecimal())

    def served(self) -> list[int]:
        """Return those that have been seen to be served."""
        return [number for number in self.numbers() if self._mark(number).exists()]

    def sites(self, number: int) -> frozenset[str]:
        """Return the names of the sites that a generation has."""
        files = (self._generations / str(number) / "nginx").glob("*.conf")
        return frozenset(each.stem for each in files) - {"generation"}

    def holds(self, number: int, files: Mapping[str, str]) -> bool:
        """Whether a generation consists of exactly these files, path below the generation -> text."""
        root = self._generations / str(number)
        found = {str(path.relative_to(root)): path for path in root.rglob("*") if path.is_file()}
        return found.keys() == files.keys() and all(path.read_text() == files[name] for name, path in found.items())

    def write(self, render: Callable[[int], Mapping[str, str]]) -> int:
        """Write the next generation durably and return its number.

        render   number -> path below the generation -> text
        raises   OSError, with nothing left behind; whatever `render` raises
        """
        for each in (self._directory, self._generations):
            each.mkdir(exist_ok=True)
            each.chmod(PASSABLE)
        number = max([0, *self.numbers()]) + 1
        files = render(number)
        new = self._generations / f".new-{number}-{secrets.token_hex(4)}"
        try:
            _make(new)
            for name, text in sorted(files.items()):
                if not (new / name).parent.is_dir():
                    _make((new / name).parent)
                atomic.write_durably(new / name, text.encode(), mode=READABLE)
            atomic.publish_dir(new, self._generations / str(number))
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
        return number

    def point(self, pointer: Pointer, number: int | None) -> None:
        """Let a pointer point at a generation, or take it away. Raise OSError; it then points where it did before."""
        path = self._directory / pointer
        if number is None:
            path.unlink(missing_ok=True)
        else:
            new = self._directory / f".{pointer}-{secrets.token_hex(4)}"
            try:
                new.symlink_to(Path("generations", str(number)))
                new.rename(path)
            except BaseException:
                with contextlib.suppress(OSError):
                    new.unlink(missing_ok=True)
                raise
        atomic.fsync_dir(self._directory)

    def mark_served(self, number: int) -> None:
        atomic.write_durably(self._mark(number), b"", mode=READABLE)

    def sweep(self) -> None:
        """Forget what a crash has left: half a generation, half a pointer, a candidate."""
        if self._directory.is_dir():
            self.point("candidate", None)
            for each in self._directory.glob(".c*-????????"):
                each.unlink(missing_ok=True)
            for each in self._generations.glob(".new-*"):
                shutil.rmtree(each, ignore_errors=True)

    def prune(self) -> None:
        """Remove all generations but the newest, the current one, and the last that was served."""
        kept = {*self.numbers()[-KEPT:], *self.served()[-1:], self.pointed("current")}
        for number in set(self.numbers()) - kept:
            self._mark(number).unlink(missing_ok=True)
            shutil.rmtree(self._generations / str(number), ignore_errors=True)

    def _mark(self, number: int) -> Path:
        return self._generations / f"{number}.served"


def _make(directory: Path) -> None:
    directory.mkdir()
    directory.chmod(PASSABLE)  # whatever the umask
