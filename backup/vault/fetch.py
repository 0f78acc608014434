"""Bring a repository back from the vault, as a seal lists it: each file by its version, checked by its SHA-256.

Files appear under their names only when they are whole, so that a fetch that was ended goes on from there; whatever a
stronger identity has put over our versions is not seen. Afterwards stock restic reads the directory, with `--no-lock`.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from backup.exit_codes import DestinationFailed, VaultUnsafe, VerificationFailed
from backup.journal import Journal, Silent
from backup.vault import parallel
from backup.vault.seal import Seal, SealedObject
from backup.vault.vault import NotThere, VaultStore
from kit.atomic import fsync_dir

THREADS = 4
SHOWN = 5
_EMPTY = ("locks",)  # a directory that restic expects, and that the vault never holds
_PARTS = ".parts"  # what is under way; restic does not look there


def size_bytes(seal: Seal) -> int:
    """Of all that a fetch into an empty directory transfers."""
    return sum(each.size for each in seal.objects)


def fetch(
    store: VaultStore, seal: Seal, target: Path, journal: Journal | None = None, *, threads: int = THREADS
) -> None:
    """Fill `target`, which need not exist, with the repository. What is there already and whole is kept.

    raises  VaultUnsafe         an object is gone; the text names key and version
            VerificationFailed  one does not have the SHA-256 that was sealed; everything else was fetched
            DestinationFailed, VaultUnreachable
    """
    journal = journal or Silent()
    journal.step("fetch", vault=store.name, point=str(seal.point), objects=len(seal.objects), bytes=size_bytes(seal))
    paths = {each: target / seal.keys.name(each.key) for each in seal.objects}
    parts = target / _PARTS
    directories = {path.parent for path in paths.values()} | {target / name for name in _EMPTY} | {parts}
    try:
        for directory in sorted(directories):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise DestinationFailed(f"{target} cannot be made: {error.strerror}") from error
    damaged: list[str] = []
    done_bytes = 0
    with parallel.each(paths, lambda each: _fetch(store, each, paths[each], parts), threads) as results:
        for each, found in results:
            if isinstance(found, VerificationFailed):
                damaged.append(str(found))
                continue
            if isinstance(found, NotThere):
                raise VaultUnsafe(
                    f"{each.key} (version {each.version_id}) is gone: the seal of {seal.point} is not whole"
                )
            if isinstance(found, Exception):
                raise found
            done_bytes += each.size
            journal.progress(done_bytes, size_bytes(seal))
    shutil.rmtree(parts)
    for directory in directories - {parts} | {target}:
        fsync_dir(directory)
    if damaged:
        more = f"\nand {len(damaged) - SHOWN} more" if len(damaged) > SHOWN else ""
        raise VerificationFailed("\n".join(damaged[:SHOWN]) + more)


def _fetch(store: VaultStore, wanted: SealedObject, path: Path, parts: Path) -> None:
    if _has(path, wanted.sha256):
        return
    part = parts / path.name
    store.fetch(wanted.key, wanted.version_id, part, sha256=wanted.sha256)
    try:
        part.rename(path)
        path.chmod(0o400)  # not before: a part that was left could not be opened for writing again
    except OSError as error:
        raise DestinationFailed(f"{path} cannot be written: {error.strerror}") from error


def _has(path: Path, sha256: str) -> bool:
    if path.is_symlink():
        raise DestinationFailed(f"{path} is a symbolic link: fetch into a directory of its own")
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == sha256
    except FileNotFoundError:
        return False
    except OSError as error:
        raise DestinationFailed(f"{path} cannot be read: {error.strerror}") from error
