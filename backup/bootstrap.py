"""Rebuild the local side on an empty machine, from the vault and the recovery sheet.

    newest valid seal (public key of the sheet) -> what it costs, asked first -> repository, file by file by version ->
    newest point of each kind, checked whole against its signed manifest, under its final name -> the secret set

What is needed: settings with root, [repository] with the password of the sheet in its file, and [vault] with the
restorer's credentials. Killed anywhere, it goes on where it was: repository files are kept as they are, a point has its
final name only when it is whole.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from backup import lock, manifest
from backup.exit_codes import DestinationFailed, RestoreRefused, VerificationFailed, WrongUsage
from backup.journal import Journal
from backup.linux import syncfs
from backup.points import PointId, PointKind
from backup.removal import clear
from backup.repository import Reader, Repository, Snapshot
from backup.settings import BackupSettings
from backup.signing import Verifier
from backup.vault import cost
from backup.vault.fetch import fetch, size_bytes
from backup.vault.seal import newest
from backup.vault.vault import NotThere, VaultStore
from backup.verify import verify_point
from kit.atomic import publish_dir

SECRETS = "secrets-from-vault"  # <root>/secrets-from-vault/: whole paths below, to be put in their places by hand


@dataclass(frozen=True, slots=True)
class Offer:
    """What a bootstrap would do. `usd` is an upper bound: what is here already is not fetched again."""

    point: PointId
    sealed_at: str
    objects: int
    bytes: int
    usd: float

    @property
    def text(self) -> str:
        return (
            f"The newest seal is of {self.point}, from {self.sealed_at}. Fetching its {self.objects} objects,"
            f" {self.bytes / 1e9:.2f} GB, costs about ${self.usd:.2f}. Go on?"
        )


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """
    points   that are here now, under their final names
    secrets  the directory with the secret set; None when the repository holds none
    """

    repository: Path
    points: tuple[PointId, ...]
    secrets: Path | None


def offer(store: VaultStore, verifier: Verifier, settings: BackupSettings) -> Offer:
    """Look only. Raise RestoreRefused when the vault holds no valid seal of this key."""
    assert settings.vault is not None
    try:
        seal = newest(store, verifier)
    except NotThere as error:
        raise RestoreRefused(f"{error}. Is the public key the one of the recovery sheet?") from None
    size = size_bytes(seal)
    usd = cost.egress_usd(size, settings.vault)
    return Offer(seal.point, seal.sealed_at.isoformat(timespec="minutes"), len(seal.objects), size, usd)


def from_vault(
    store: VaultStore,
    verifier: Verifier,
    settings: BackupSettings,
    *,
    confirm: Callable[[Offer], bool],
    journal: Journal,
    kinds: Sequence[PointKind] = (PointKind.DAILY, PointKind.WEEKLY),
    lock_wait_s: float = 60.0,
) -> Rebuilt:
    """Rebuild repository, points and secrets below the root, which exists and may hold an earlier attempt.

    confirm  is shown what it costs before the first byte; False ends with RestoreRefused
    kinds    of which the newest point is unpacked; the others stay in the repository
    raises   WrongUsage, RestoreRefused; VaultUnsafe, VaultUnreachable; VerificationFailed; RepositoryFailed;
             DestinationFailed
    """
    if settings.repository is None or settings.vault is None:
        raise WrongUsage("a bootstrap needs [repository] and [vault] in backup.toml")
    layout = settings.layout
    if not settings.root.is_dir():
        raise DestinationFailed(f"{settings.root} is no directory: mount the disk first")
    begun = layout.state / "bootstrap-begun"
    if layout.sealed() and not begun.exists():
        raise RestoreRefused(f"{settings.root} holds points already: a bootstrap is for an empty disk")
    offered = offer(store, verifier, settings)
    if not confirm(offered):
        raise RestoreRefused("not confirmed: nothing was fetched")
    layout.create()
    begun.touch(mode=0o600)
    with (
        lock.hold(layout.locks, "points", who="bootstrap", wait_s=lock_wait_s, waiting=journal.note),
        lock.hold(layout.locks, "repository", who="bootstrap", wait_s=lock_wait_s, waiting=journal.note),
    ):
        seal = newest(store, verifier, point=offered.point)
        fetch(store, seal, layout.repository, journal)
        repository = Repository(layout, settings.repository, settings.host, journal)
        repository.record_config(next(each.sha256 for each in seal.objects if each.key == store.keys.file("config")))
        snapshots = repository.snapshots()
        clear(layout, journal)
        wanted = _newest(snapshots, kinds)
        points = tuple(_unpack(point, repository, snapshots, verifier, settings, journal) for point in wanted)
        if not points:
            raise VerificationFailed("the repository of the vault holds no point")
        rebuilt = Rebuilt(layout.repository, points, _secrets(repository, snapshots, settings.root, journal))
        begun.unlink()
        return rebuilt


def _newest(snapshots: Sequence[Snapshot], kinds: Sequence[PointKind]) -> list[PointId]:
    """The newest point of each kind; when there is none of them, the newest of all."""
    held = [each.point for each in snapshots if each.point is not None and not each.is_secrets]
    of_kinds = [[point for point in held if point.kind is kind] for kind in kinds]
    return [max(points, key=lambda point: point.name) for points in of_kinds if points] or held[-1:]


def _unpack(
    point: PointId,
    repository: Reader,
    snapshots: Sequence[Snapshot],
    verifier: Verifier,
    settings: BackupSettings,
    journal: Journal,
) -> PointId:
    layout = settings.layout
    final, partial = layout.point(point), layout.staging(point)
    if final.is_dir():
        return point
    snapshot = [each for each in snapshots if each.point == point and not each.is_secrets][-1]
    journal.step("unpack", point=str(point))
    repository.restore(snapshot.id, partial)
    manifest.check_signature(partial, verifier)
    if damaged := verify_point(partial, verifier, journal=journal):
        raise VerificationFailed(f"{point} came back damaged: {damaged[0]}")
    descriptor = os.open(partial, os.O_RDONLY | os.O_DIRECTORY)
    try:
        syncfs(descriptor)
    finally:
        os.close(descriptor)
    publish_dir(partial, final)
    return point


def _secrets(repository: Reader, snapshots: Sequence[Snapshot], root: Path, journal: Journal) -> Path | None:
    held = [each for each in snapshots if each.is_secrets]
    if not held:
        journal.warn("the repository holds no secret set")
        return None
    target, partial = root / SECRETS, root / f".partial-{SECRETS}"
    if target.is_dir():
        return target
    journal.step("unpack the secrets")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o700)
    repository.restore(held[-1].id, partial)
    partial.chmod(0o700)  # what was stored may have given it another mode
    partial.rename(target)
    return target
