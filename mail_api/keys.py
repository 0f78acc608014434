"""The keys that sign requests: the file they live in, and the ring that follows it.

File: lines `key-id:hex-secret` (32 bytes), blank lines and `#` comments. The first key is current, a second one may
be valid beside it while a change of keys is under way (wire.md, "Request"). More than two, a repeated id or secret,
or a placeholder for a secret is an error. Errors name a line, never what stands on it.

A ring never loses the keys it has: a file that vanishes or stops making sense is logged, and the last good keys stay.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from kit.clock import Clock
from kit.logging import get_logger

SECRET_BYTES = 32  # wire.md; as long as HMAC-SHA256's output (RFC 2104 section 3)
MAX_KEYS = 2  # wire.md: "two keys may be valid at once"
RESTAT_S = 1.0  # how long a changed file may go unnoticed
MIN_DISTINCT_BYTES = 16  # 32 random bytes have about 30; fewer than 16 has a chance below 1e-12

KEY_ID = re.compile(r"[a-z0-9-]{1,32}")
_LINE = re.compile(rf"({KEY_ID.pattern}):([0-9a-fA-F]{{{2 * SECRET_BYTES}}})")

log = get_logger()


class KeysFileError(Exception):
    """The keys file cannot be used. The text names file and line, never a key's secret."""


@dataclass(frozen=True, slots=True)
class Key:
    """A shared secret of 32 bytes and the name under which both sides know it."""

    key_id: str
    secret: bytes = field(repr=False)

    @classmethod
    def generate(cls, key_id: str) -> Key:
        """Make a new key. Raise KeysFileError if the id is not `[a-z0-9-]{1,32}`."""
        if not KEY_ID.fullmatch(key_id):
            raise KeysFileError("a key id is 1 to 32 of a-z, 0-9 and -")
        return cls(key_id, secrets.token_bytes(SECRET_BYTES))

    @property
    def line(self) -> str:
        return f"{self.key_id}:{self.secret.hex()}"


def parse_keys(text: str) -> tuple[Key, ...]:
    """Given a keys file's text, return its keys, current first. Raise KeysFileError, also when there is none."""
    keys: dict[str, Key] = {}
    for number, line in _key_lines(text):
        match = _LINE.fullmatch(line)
        if not match:
            raise KeysFileError(f"line {number}: not key-id:secret with {2 * SECRET_BYTES} hex digits")
        key = Key(match[1], bytes.fromhex(match[2]))
        if key.key_id in keys or key.secret in (other.secret for other in keys.values()):
            raise KeysFileError(f"line {number}: repeats the id or the secret of another key")
        if _is_placeholder(key.secret):
            raise KeysFileError(f"line {number}: the secret is not random")
        if len(keys) == MAX_KEYS:
            raise KeysFileError(f"line {number}: more than {MAX_KEYS} keys; retire one")
        keys[key.key_id] = key
    if not keys:
        raise KeysFileError("holds no key")
    return tuple(keys.values())


def add_key(text: str, key: Key) -> str:
    """Given a keys file's text ("" for a new file), return it with `key` as current. Raise KeysFileError."""
    lines = text.splitlines()
    first = next((number - 1 for number, _ in _key_lines(text)), len(lines))
    return _checked([*lines[:first], key.line, *lines[first:]])


def retire_key(text: str, key_id: str) -> str:
    """Given a keys file's text, return it without that key. Raise KeysFileError if it is not there, or the only one."""
    gone = {number for number, line in _key_lines(text) if line.split(":")[0] == key_id}
    if not gone:
        raise KeysFileError(f"no key {key_id!r}")
    return _checked([line for number, line in enumerate(text.splitlines(), 1) if number not in gone])


def _checked(lines: list[str]) -> str:
    text = "\n".join(lines) + "\n"
    parse_keys(text)
    return text


def _key_lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if (line := line.strip()) and not line.startswith("#"):
            yield number, line


def _is_placeholder(secret: bytes) -> bool:
    """Whether the bytes repeat themselves, as in 00..., deadbeef..., or count up, as in 00010203..."""
    steps = {(after - before) % 256 for before, after in pairwise(secret)}
    return min(len(set(secret)), len(steps)) < MIN_DISTINCT_BYTES


class KeyRing:
    """The keys of a file, read again when the file changes; looked at once a second at most.

    raises   KeysFileError at construction, when there are no last good keys to fall back on
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
            raise KeysFileError(f"{path}: {error.strerror}") from error
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
        except (OSError, KeysFileError) as error:
            if str(error) != self._complaint:  # said once, not every second
                log.error("keys_file_unusable", path=str(self._path), error=str(error))
            self._complaint = str(error)

    def _read(self) -> None:
        with self._path.open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise KeysFileError(f"{self._path}: others than its owner may write to it (chmod go-w)")
            if status.st_mode & stat.S_IROTH:  # allowed, since container secrets are mounted 0444
                log.warning("keys_file_readable_by_all", path=str(self._path))
            text = file.read().decode("utf-8-sig", "replace")
        try:
            self._keys = {key.key_id: key for key in parse_keys(text)}
        except KeysFileError as error:
            raise KeysFileError(f"{self._path}: {error}") from None
        self._stamp = _stamp(status)


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    return status.st_mtime_ns, status.st_size, status.st_ino
