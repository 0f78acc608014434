"""The last lines of every container, so that they can be read when it is gone. Bounded, on disk.

`<root>/<id>.jsonl` has a container's newest lines, one JSON array [at, stream, text] a line; when it passes
FILE_BYTES it becomes `<id>.old.jsonl` and a new one begins, so one container takes 2 x FILE_BYTES at most.
`<id>.json` says which container it was. When all together pass `max_bytes`, whole containers are dropped, those first
whose lines are oldest.

Lines are added as the engine tells that a container is being ended, has ended, and every few minutes: what a container
wrote between the last of these and a forced removal is not here. A crash loses at most the last addition.

Synchronous: the caller runs it in a thread, one call at a time.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from kit.atomic import write_durably
from kit.logging import get_logger
from portal.broker.schemas import LogLine

log = get_logger()

FILE_BYTES = 1024**2
MAX_BYTES = 256 * 1024**2


@dataclass(frozen=True, slots=True)
class Kept:
    """Whose lines these are. removed_at: None while the container is there; seconds since the epoch."""

    id: str
    name: str
    stack: str
    service: str
    image: str
    image_id: str
    first_at: float
    last_at: float
    removed_at: float | None
    size_bytes: int


class LogStore:
    def __init__(self, root: Path, *, max_bytes: int = MAX_BYTES, file_bytes: int = FILE_BYTES) -> None:
        self._root = root
        self._max_bytes, self._file_bytes = max_bytes, file_bytes
        self._lock = threading.Lock()

    def last_line_at(self, container_id: str) -> str:
        """When the newest kept line was written, as the engine says it; "" when there is none."""
        with self._lock:
            for path in self._paths(container_id):
                if lines := list(_read(path)):
                    return lines[-1].at
        return ""

    def add(self, kept: Kept, lines: Iterable[LogLine]) -> None:
        """Append lines that are newer than those kept. `kept` replaces what was said of the container before."""
        with self._lock:
            self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
            path, old = self._paths(kept.id)
            is_torn = _is_torn(path)
            for part in _parts(lines, self._file_bytes):
                with path.open("ab") as file:
                    file.write(b"\n" if is_torn and part else b"")
                    file.write(part)
                    is_full = file.tell() > self._file_bytes
                is_torn = False
                if is_full:
                    path.replace(old)
            self._write_about(kept)
            self._make_room()

    def mark_removed(self, container_id: str, at: float) -> None:
        with self._lock:
            kept = self._about(container_id)
            if kept is not None and kept.removed_at is None:
                self._write_about(replace(kept, removed_at=at))

    def all(self) -> list[Kept]:
        """Every container whose lines are kept, newest first."""
        with self._lock:
            found = [self._about(path.stem) for path in self._root.glob("*.json")]
        return sorted((kept for kept in found if kept is not None), key=lambda kept: -kept.last_at)

    def lines(self, container_id: str) -> list[LogLine] | None:
        """The kept lines of a container, oldest first; None when it is unknown."""
        with self._lock:
            if self._about(container_id) is None:
                return None
            path, old = self._paths(container_id)
            return [*_read(old), *_read(path)]

    def _paths(self, container_id: str) -> tuple[Path, Path]:
        return self._root / f"{container_id}.jsonl", self._root / f"{container_id}.old.jsonl"

    def _about(self, container_id: str) -> Kept | None:
        try:
            document = json.loads((self._root / f"{container_id}.json").read_bytes())
            size = sum(path.stat().st_size for path in self._paths(container_id) if path.exists())
            return Kept(**(document | {"size_bytes": size}))
        except (OSError, ValueError, TypeError):
            return None

    def _write_about(self, kept: Kept) -> None:
        write_durably(self._root / f"{kept.id}.json", json.dumps(asdict(kept)).encode())

    def _make_room(self) -> None:
        kept = [self._about(path.stem) for path in self._root.glob("*.json")]
        by_age = sorted((each for each in kept if each is not None), key=lambda each: each.last_at)
        total = sum(each.size_bytes for each in by_age)
        while total > self._max_bytes and by_age:
            dropped = by_age.pop(0)
            total -= dropped.size_bytes
            for path in (*self._paths(dropped.id), self._root / f"{dropped.id}.json"):
                path.unlink(missing_ok=True)
            log.info("container_logs_dropped", name=dropped.name, size_bytes=dropped.size_bytes)


def _parts(lines: Iterable[LogLine], part_bytes: int) -> Iterator[bytes]:
    """The lines as they are written, in pieces that let a file be changed for a new one in between."""
    part = bytearray()
    for line in lines:
        part += json.dumps([line.at, line.stream, line.text]).encode() + b"\n"
        if len(part) >= part_bytes // 4:
            yield bytes(part)
            part.clear()
    yield bytes(part)


def _is_torn(path: Path) -> bool:
    """Whether a crash has left half a line at the end."""
    try:
        return not path.read_bytes().endswith(b"\n") and path.stat().st_size > 0
    except FileNotFoundError:
        return False


def _read(path: Path) -> Iterator[LogLine]:
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        for text in file:
            if line := _parsed(text):
                yield line


def _parsed(text: bytes | str) -> LogLine | None:
    """A line as it was written, or None for half of one, which a crash has left."""
    try:
        at, stream, said = json.loads(text)
        return LogLine(at=at, stream=stream, text=said)
    except ValueError:
        return None
