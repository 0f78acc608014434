"""runs/<id>.jsonl: what a backup unit says while it works, one JSON object a line, read as it grows.

    run = RunRecord(path)
    for line in run.advance(): ...       # blocks; in a thread
    run.ended                            # its last line, once it is there

The writer holds a lock on it while it is open, so a run that was killed can be told from one that is only quiet.

A line counts when its newline is there. A line that is none of the documented ones is passed over: the record is for
readers, and a newer backup may say more. The names are `<utc>-<verb>-<8 hex>`, so they sort by the time of the start.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from portal.backups.files import open_plain, read_part
from portal.backups.schemas import RunLine

CHUNK = 4 * 1024**2  # a preview's two hundred changes with the longest of paths are one line of 1.6 MB
MOST_TO_CATCH_UP = 4 * CHUNK  # of a longer record only the end is read
LAST = 64 * 1024  # its last line lies in there


@dataclass(frozen=True, slots=True)
class Part:
    """Lines of a record. after: where the next one begins. is_truncated: there is more before the first of them."""

    lines: list[RunLine]
    after: int
    is_truncated: bool


def read_lines(path: Path, after: int | None) -> Part:
    """Return the lines behind an offset, or, for None, the newest. Raise OSError, as for a record that is not there."""
    descriptor = open_plain(path)
    try:
        size = os.fstat(descriptor).st_size
        start = max(0, size - CHUNK) if after is None or after > size else after
        data = read_part(descriptor, start, CHUNK)
    finally:
        os.close(descriptor)
    begin = data.find(b"\n") + 1 if start and after is None else 0  # the first line may be half of one
    end = data.rfind(b"\n") + 1
    if not end and len(data) == CHUNK:
        end = CHUNK  # a line that is longer than anything a run says
    lines = [line for text in data[begin:end].split(b"\n") if (line := _line(text)) is not None]
    return Part(_thinned(lines), start + end, start + begin > 0)


def has_ended(path: Path) -> bool:
    """Whether the newest line is the last one. Raise OSError."""
    descriptor = open_plain(path)
    try:
        data = read_part(descriptor, max(0, os.fstat(descriptor).st_size - LAST), LAST)
    finally:
        os.close(descriptor)
    *_, last = [None, *map(_line, data[: data.rfind(b"\n") + 1].splitlines())]
    return last is not None and last.type == "ended"


def is_held(path: Path) -> bool:
    """Whether its writer still has it open, or it cannot be told. Ask seldom, and only of a record that is silent: for
    this moment the lock is ours, and who wants it meanwhile is refused.
    """
    try:
        descriptor = open_plain(path)
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:  # BlockingIOError, or a file system without locks
        return True
    else:
        return False
    finally:
        os.close(descriptor)


@dataclass(slots=True)
class RunRecord:
    """A record as far as it was read."""

    path: Path
    started: RunLine | None = None
    step: RunLine | None = None
    progress: RunLine | None = None
    text: RunLine | None = None
    result: RunLine | None = None
    ended: RunLine | None = None
    last: RunLine | None = None
    _after: int | None = field(default=0)

    def advance(self) -> list[RunLine]:
        """Return the lines that are new; none while there is no record."""
        found: list[RunLine] = []
        with contextlib.suppress(FileNotFoundError):
            if self._after == 0 and self.path.stat(follow_symlinks=False).st_size > MOST_TO_CATCH_UP:
                self._after = None
            while True:
                part = read_lines(self.path, self._after)
                if part.after == self._after:
                    break
                self._after = part.after
                found += part.lines
        for line in found:
            self._hear(line)
        return found

    def _hear(self, line: RunLine) -> None:
        self.last = line
        match line.type:
            case "started":
                self.started = line
            case "step":
                self.step, self.progress, self.text = line, None, None
            case "progress":
                self.progress = line
            case "note" | "warning":
                self.text = line
            case "result":
                self.result = line
            case "ended":
                self.ended = line


def _line(text: bytes) -> RunLine | None:
    if not text.strip():
        return None
    try:
        return RunLine.model_validate_json(text)
    except ValidationError:
        return None


def _thinned(lines: list[RunLine]) -> list[RunLine]:
    """Of progress lines that follow each other, the last."""
    pairs = itertools.zip_longest(lines, lines[1:])
    return [line for line, behind in pairs if not (behind and line.type == behind.type == "progress")]
