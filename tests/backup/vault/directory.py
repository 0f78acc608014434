"""A vault in a directory, with a clock that is told the time: it enforces locks as S3 does, and counts all calls.

    vault = DirectoryVault(directory, FakeClock())
    vault.calls["put"]                  # how often; vault.sent_bytes
    vault.hide(key); vault.overwrite(key, b"...")     # what a stronger identity may do: versions stay below

tests/backup/vault/test_store_contract.py holds it against the same suite as S3. Used by one process; threads may share.
"""

from __future__ import annotations

import hashlib
import itertools
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from backup.exit_codes import VaultUnsafe, VerificationFailed
from backup.vault.keys import Keys
from backup.vault.vault import BucketState, Exists, Mode, NotThere, Stored, Version
from kit.clock import Clock

LOCKED = BucketState(
    lock_enabled=True,
    default_mode="COMPLIANCE",
    default_days=30,
    versioning=True,
    encryption="AES256",
    public_access_blocked=True,
)


@dataclass(frozen=True, slots=True)
class _Held:
    """A version, or a delete marker when it has no file."""

    number: int
    version_id: str
    file: Path | None
    size: int
    sha256: str
    retain_until: datetime | None
    mode: Mode
    modified: datetime


class DirectoryVault:
    """A `VaultStore`.

    state    of its bucket: replace it to make an unsafe one
    calls    how often each act was done, refused ones included
    before   called before each act with its name and key: may raise, to be out of order
    """

    def __init__(self, directory: Path, clock: Clock, *, prefix: str = "") -> None:
        self.keys, self.name = Keys(prefix), f"directory:{directory}/{prefix}"
        self.state = LOCKED
        self.calls: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()  # puts by key
        self.sent_bytes = 0
        self.extended: Counter[str] = Counter()  # renewals by key
        self.before: Callable[[str, str], None] = lambda act, key: None
        self._directory, self._clock = directory, clock
        self._versions: dict[str, list[_Held]] = {}  # by key, oldest first
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    def now(self) -> datetime:
        return datetime.fromtimestamp(int(self._clock.now()), UTC)

    def bucket(self) -> BucketState:
        self._called("bucket", "")
        return self.state

    def put(self, key: str, body: Path | bytes, *, sha256: str, retain_until: datetime) -> Stored:
        self._called("put", key)
        data = body if isinstance(body, bytes) else body.read_bytes()
        with self._lock:
            if self._latest(key) is not None:
                raise Exists(key)
            if hashlib.sha256(data).hexdigest() != sha256:
                raise VerificationFailed(f"{body if isinstance(body, Path) else key} has rotted: it is not {sha256}")
            if retain_until <= self.now():
                raise VaultUnsafe("the lock would end in the past")
            self.sent[key] += 1
            self.sent_bytes += len(data)
            return self._stored(key, self._add(key, data, retain_until))

    def head(self, key: str, version_id: str | None = None) -> Stored:
        self._called("head", key)
        with self._lock:
            return self._stored(key, self._find(key, version_id))

    def extend(self, key: str, version_id: str, retain_until: datetime) -> None:
        self._called("extend", key)
        with self._lock:
            held = self._find(key, version_id)
            if held.mode == "COMPLIANCE" and held.retain_until and held.retain_until >= retain_until:
                return
            self.extended[key] += 1
            self._replace(key, held, replace(held, retain_until=retain_until, mode="COMPLIANCE"))

    def versions(self, prefix: str) -> Iterator[Version]:
        self._called("versions", prefix)
        with self._lock:
            found = [
                Version(key, each.version_id, each.size, each is held[-1], each.file is None, each.modified)
                for key, held in sorted(self._versions.items())
                if key.startswith(prefix)
                for each in reversed(held)
            ]
        yield from found

    def read(self, key: str, version_id: str | None = None) -> bytes:
        self._called("read", key)
        with self._lock:
            file = self._find(key, version_id).file
        assert file is not None
        return file.read_bytes()

    def fetch(self, key: str, version_id: str, target: Path, *, sha256: str) -> int:
        data = self.read(key, version_id)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise VerificationFailed(f"{key} (version {version_id}) is not {sha256}")
        return target.write_bytes(data)

    def delete(self, key: str, version_id: str) -> None:
        self._called("delete", key)
        with self._lock:
            held = self._find(key, version_id)
            if held.retain_until is not None and held.retain_until > self.now():
                raise VaultUnsafe(f"{key} (version {version_id}) is locked until {held.retain_until}")
            self._versions[key].remove(held)
            if held.file is not None:
                held.file.unlink()

    # -- what others may do to it --------------------------------------------------------------------------------------

    def hide(self, key: str) -> None:
        """Put a delete marker over it."""
        with self._lock:
            self._versions.setdefault(key, []).append(self._new(None, b"", None))

    def overwrite(self, key: str, data: bytes) -> str:
        """Put another version over it, without a condition and without a lock; return its id."""
        with self._lock:
            return self._add(key, data, None).version_id

    def lose(self, key: str) -> None:
        """Let all its versions vanish, locked or not: what must never happen."""
        with self._lock:
            del self._versions[key]

    def rot(self, key: str) -> None:
        """Let the store report another content than it was given."""
        with self._lock:
            held = self._versions[key][0]
            self._replace(key, held, replace(held, sha256="0" * 64))

    def damage(self, key: str) -> None:
        """Let it hand out another content than it was given."""
        with self._lock:
            file = self._versions[key][0].file
        assert file is not None
        file.write_bytes(b"damaged")

    def shorten(self, key: str, retain_until: datetime | None, mode: Mode) -> None:
        """Let a lock be what it cannot become."""
        with self._lock:
            held = self._versions[key][0]
            self._replace(key, held, replace(held, retain_until=retain_until, mode=mode))

    # -- within --------------------------------------------------------------------------------------------------------

    def _called(self, act: str, key: str) -> None:
        self.calls[act] += 1
        self.before(act, key)

    def _add(self, key: str, data: bytes, retain_until: datetime | None) -> _Held:
        file = self._directory / secrets.token_hex(8)
        file.write_bytes(data)
        held = self._new(file, data, retain_until)
        self._versions.setdefault(key, []).append(held)
        return held

    def _new(self, file: Path | None, data: bytes, retain_until: datetime | None) -> _Held:
        number = next(self._numbers)
        sha256 = hashlib.sha256(data).hexdigest()
        mode: Mode = "COMPLIANCE" if retain_until else ""
        return _Held(number, f"v{number}", file, len(data), sha256, retain_until, mode, self.now())

    def _latest(self, key: str) -> _Held | None:
        held = self._versions.get(key)
        return held[-1] if held and held[-1].file is not None else None

    def _find(self, key: str, version_id: str | None) -> _Held:
        if version_id is None:
            found = self._latest(key)
        else:
            held = self._versions.get(key, [])
            found = next((each for each in held if each.version_id == version_id and each.file is not None), None)
        if found is None:
            raise NotThere(f"{key} (version {version_id})")
        return found

    def _replace(self, key: str, old: _Held, new: _Held) -> None:
        self._versions[key] = [new if each is old else each for each in self._versions[key]]

    def _stored(self, key: str, held: _Held) -> Stored:
        return Stored(key, held.version_id, held.size, held.sha256, held.retain_until, held.mode)
