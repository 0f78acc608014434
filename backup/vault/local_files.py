"""The files of the local repository that belong into the vault, listed so that a backup beside us breaks nothing.

A backup only adds: packs first, then an index, then its snapshot. So snapshots are listed first and data last, and
every snapshot in the list finds its packs in it. Locks, temporary files and whatever restic does not name are left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from backup.exit_codes import RepositoryFailed, VerificationFailed
from backup.vault.keys import KINDS, is_repository_file, sha256_in

_LISTED = ("snapshots", "keys", "config", "index", "data")


@dataclass(frozen=True, slots=True)
class LocalFile:
    """
    name    below the repository
    sha256  hex: what its name says, or for `config` what it was when it was made
    """

    name: str
    path: Path
    size: int
    sha256: str

    @property
    def kind(self) -> str:
        return self.name.partition("/")[0]


def listed(repository: Path, *, config_sha256: str | None) -> list[LocalFile]:
    """Every file, in the order in which it may appear in the vault.

    config_sha256  what `config` must be; None: whatever it is
    raises         RepositoryFailed, VerificationFailed when `config` is another one
    """
    found = [_local_file(repository, path, config_sha256) for path in _paths(repository)]
    if not any(file.name == "config" for file in found):
        raise RepositoryFailed(f"{repository} is no repository: it has no config. Nothing was sent")
    return sorted(found, key=lambda file: (KINDS.index(file.kind), file.name))


def names(repository: Path) -> list[str]:
    """Of every file, without a look at it."""
    return [path.relative_to(repository).as_posix() for path in _paths(repository)]


def unreadable(path: Path, error: OSError) -> RepositoryFailed:
    return RepositoryFailed(
        f"{path} cannot be read: {error.strerror}. If it is gone, something removed it without the repository lock"
    )


def _paths(repository: Path) -> Iterator[Path]:
    for kind in _LISTED:
        found = (repository / kind).rglob("*") if kind != "config" else (repository / kind,)
        for path in found:
            if is_repository_file(path.relative_to(repository).as_posix()) and path.is_file():
                yield path


def _local_file(repository: Path, path: Path, config_sha256: str | None) -> LocalFile:
    name = path.relative_to(repository).as_posix()
    try:
        size = path.stat().st_size
        sha256 = sha256_in(name) or hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error
    if name == "config" and config_sha256 not in (None, sha256):
        raise VerificationFailed(
            f"{path} has the SHA-256 {sha256}, not {config_sha256} as when it was made: it has rotted, or this is"
            " another repository. Nothing was sent"
        )
    return LocalFile(name, path, size, sha256)
