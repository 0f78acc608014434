"""The keys file on disk: changing it, and the ring that follows it. Its text form is `kit.signing`.

A ring never loses the keys it has: a file that vanishes or stops making sense is logged, and the last good keys stay.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from kit.clock import Clock
from kit.logging import get_logger
from kit.signing import Key, KeysError, key_lines, parse_keys

RESTAT_S = 1.0  # how long a changed file may go unnoticed

log = get_logger()


def add_key(text: str, key: Key) -> str:
    """Given a keys file's text ("" for a new file), return it with `key` as current. Raise KeysError."""
    lines = text.splitlines()
    first = next((number - 1 for number, _ in key_lines(text)), len(lines))
    return _checked([*lines[:first], key.line, *lines[first:]])


def retire_key(text: str, key_id: str) -> str:
    """Given a keys file's text, return it without that key. Raise KeysError if it is not there, or the only one."""
    gone = {number for number, line in key_lines(text) if line.split(":")[0] == key_id}
    if not gone:
        raise KeysError(f"no key {key_id!r}")
    return _checked([line for number, line in enumerate(text.splitlines(), 1) if number not in gone])


def _checked(lines: list[str]) -> str:
    text = "\n".join(lines) + "\n"
    parse_keys(text)
    return text


class KeyRing:
    """The keys of a file, read again when the file changes; looked at once a second at most.

    raises   KeysError at construction, when there are no last good keys to fall back on
    """

    def __init__(self, path: Path, *, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._keys: dict[str, Key] = {}
        self._stamp: tuple[int, ...] = ()
        self._complaint = ""
        try:
            self._read()
        except OSError as error:
            raise KeysError(f"{path}: {error.strerror}") from error
        self._next_look = clock.monotonic() + RESTAT_S

    @property
    def current(self) -> Key:
        self._follow()
        return next(iter(self._keys.values()))

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Current first."""
        self._follow()
        return tuple(self._keys)

    def find(self, key_id: str) -> Key | None:
        self._follow()
        return self._keys.get(key_id)

    def _follow(self) -> None:
        if (now := self._clock.monotonic()) < self._next_look:
            return
        self._next_look = now + RESTAT_S
        try:
            if _stamp(self._path.stat()) != self._stamp:
                self._read()
                log.info("keys_file_read", path=str(self._path), key_ids=list(self._keys))
            self._complaint = ""
        except (OSError, KeysError) as error:
            if str(error) != self._complaint:  # said once, not every second
                log.error("keys_file_unusable", path=str(self._path), error=str(error))
            self._complaint = str(error)

    def _read(self) -> None:
        with self._path.open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise KeysError(f"{self._path}: others than its owner may write to it (chmod go-w)")
            if status.st_mode & stat.S_IROTH:  # allowed, since container secrets are mounted 0444
                log.warning("keys_file_readable_by_all", path=str(self._path))
            text = file.read().decode("utf-8-sig", "replace")
        try:
            self._keys = {key.key_id: key for key in parse_keys(text)}
        except KeysError as error:
            raise KeysError(f"{self._path}: {error}") from None
        self._stamp = _stamp(status)


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    return status.st_mtime_ns, status.st_size, status.st_ino
