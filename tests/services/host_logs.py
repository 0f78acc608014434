"""Log files of daemons, told as Docker tells the logs of containers (host_engine.py).

A file has no times, so a thread looks at each every LOOK_S and notes when a line was first there; whoever asks looks
once more himself, so that nothing that was written before is missing. Lines that are JSON are taken for standard output
(nginx's requests), all others for standard error.
"""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

LOOK_S = 0.05
_FRAME = struct.Struct(">BxxxL")  # Engine API, "Attach to a container"


class Log:
    """The lines of one file, with the time at which each was found; of no file: none ever."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._offset = 0
        self._rest = b""
        self._lines: list[tuple[float, bytes]] = []

    def look(self) -> None:
        """Read what is new."""
        if self._path is None:
            return
        with self._lock:
            try:
                with self._path.open("rb") as file:
                    file.seek(self._offset)
                    data = file.read()
            except OSError:  # the daemon was never started
                return
            self._offset += len(data)
            *lines, self._rest = (self._rest + data).split(b"\n")
            now = time.time()
            self._lines += [(now, line) for line in lines]

    def after(self, index: int) -> list[tuple[float, bytes]]:
        with self._lock:
            return self._lines[index:]


class Logs:
    """All log files of a directory, by the names of the services."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._logs: dict[str, Log] = {}
        self._over = threading.Event()
        threading.Thread(target=self._watch, name="host-logs", daemon=True).start()

    def of(self, service: str) -> Log:
        return self._logs.setdefault(service, Log(self._directory / f"{service}.log"))

    def close(self) -> None:
        self._over.set()

    def _watch(self) -> None:
        while not self._over.wait(LOOK_S):
            for path in self._directory.glob("blog-*.log"):
                self.of(path.stem).look()


class LogStream:
    """As portal.broker.engine.Stream: frames with time stamps.

    parameters   since, until, tail and follow, as the engine's own API has them
    """

    def __init__(self, log: Log, parameters: Mapping[str, str | int]) -> None:
        self._log = log
        self._since = float(parameters.get("since", 0))
        self._until = float(parameters.get("until", "inf"))
        self._follows = bool(parameters.get("follow"))
        self._closing = threading.Event()
        self.is_lost = False
        log.look()
        known = len(log.after(0))
        tail = parameters.get("tail", "all")
        self._index = 0 if tail == "all" else max(0, known - int(tail))

    def read(self) -> bytes:
        """Return what is there, waiting for the first of it; b"" at the end."""
        while not self._closing.is_set():
            lines = self._log.after(self._index)
            self._index += len(lines)
            if found := b"".join(_framed(at, line) for at, line in lines if self._since <= at <= self._until):
                return found
            if not self._follows:
                return b""
            self._closing.wait(LOOK_S)
        return b""

    def close(self) -> None:
        self._closing.set()

    def release(self) -> None:
        self._closing.set()


def _framed(at: float, line: bytes) -> bytes:
    stamp = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
    entry = b"%s %s\n" % (stamp.encode(), line)
    return _FRAME.pack(1 if line.startswith(b"{") else 2, len(entry)) + entry
