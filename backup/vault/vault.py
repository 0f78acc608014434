"""What a vault is: a store of versions under lock. S3 with Object Lock is one (s3_object_lock.py).

Every object is named by its content or is written once; nothing is ever overwritten or deleted by who fills it.

    VaultUnreachable   network, credentials, clock, throttling past all retries: try again later
    VaultUnsafe        not locked, other content under a known name, an answer that contradicts what was written
    Exists             there is an object under this key already (412); not an error by itself
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from backup.exit_codes import VaultUnreachable
from backup.vault.keys import Keys

Mode = Literal["COMPLIANCE", "GOVERNANCE", ""]


class Exists(Exception):
    """A conditional put found an object under this key."""


class NotThere(Exception):
    """No such object, or no such version of it."""


class Denied(VaultUnreachable):
    """The store answers, and does not do it: a policy, a renewal a moment too early (kopia#5590), an object under
    somebody else's key or in an archive.
    """


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of one object, as the store itself reports it.

    sha256        hex; "" when the store has no checksum of it
    retain_until  UTC; None when it is not locked
    mode          "" when it is not locked
    """

    key: str
    version_id: str
    size: int
    sha256: str
    retain_until: datetime | None
    mode: Mode


@dataclass(frozen=True, slots=True)
class Version:
    """One line of the list of versions. A delete marker has no content, and hides what is below it."""

    key: str
    version_id: str
    size: int
    is_latest: bool
    is_delete_marker: bool
    modified: datetime


@dataclass(frozen=True, slots=True)
class BucketState:
    """
    default_days           of the bucket's default retention; 0 when there is none
    public_access_blocked  None when the store cannot say
    """

    lock_enabled: bool
    default_mode: Mode
    default_days: int
    versioning: bool
    encryption: str
    public_access_blocked: bool | None


class VaultStore(Protocol):
    """
    keys   where things lie in it
    name   bucket and prefix, for people and as the identity of what is remembered about it
    """

    @property
    def keys(self) -> Keys: ...
    @property
    def name(self) -> str: ...

    def now(self) -> datetime:
        """The store's own time, from its answers."""
        ...

    def bucket(self) -> BucketState: ...

    def put(self, key: str, body: Path | bytes, *, sha256: str, retain_until: datetime) -> Stored:
        """Write a new object, locked in COMPLIANCE mode. The store checks the SHA-256 (hex).

        raises  Exists, when there is one under this key
                VerificationFailed, when the body does not have this SHA-256: a local file has rotted
        """
        ...

    def head(self, key: str, version_id: str | None = None) -> Stored:
        """Raise NotThere; without a version the newest counts, and a delete marker is NotThere."""
        ...

    def extend(self, key: str, version_id: str, retain_until: datetime) -> None:
        """Move the end of the lock forward, in COMPLIANCE mode; one that ends later already is left as it is.

        raises  NotThere; VaultUnreachable, when the store denies it past all retries
        """
        ...

    def versions(self, prefix: str) -> Iterator[Version]:
        """Every version and delete marker below a prefix, all pages."""
        ...

    def read(self, key: str, version_id: str | None = None) -> bytes:
        """A small object whole. Raise NotThere; VaultUnsafe or Denied for one that cannot be read as ours can."""
        ...

    def fetch(self, key: str, version_id: str, target: Path, *, sha256: str) -> int:
        """Write an object to a file; return its size. Raise VerificationFailed when its SHA-256 is another."""
        ...

    def delete(self, key: str, version_id: str) -> None:
        """For the collector. Raise VaultUnsafe when the store refuses."""
        ...
