"""A house whose point is in the repository and in a vault, over which somebody with more rights has gone since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backup.points import PointId
from backup.repository import Repository
from backup.settings import BackupSettings, VaultSettings
from backup.state import AssetState
from backup.vault.known import Known
from backup.vault.s3_object_lock import S3ObjectLock
from backup.vault.seal import SealedPoint
from backup.vault.sync import sync
from tests.backup.restore.house import AT, POINT, House
from tests.services.seaweedfs import SeaweedFS

PREFIX = "home/"


@dataclass(frozen=True)
class Vaulted:
    """What is in a vault, and whoever made it is gone but for keys and password.

    files    of the one point
    secrets  a file of the secret set, and what it holds
    """

    house: House
    seaweedfs: SeaweedFS
    bucket: str
    files: Mapping[str, bytes]
    secrets: tuple[Path, bytes]

    @property
    def vault(self) -> VaultSettings:
        assert self.house.settings.vault is not None
        return self.house.settings.vault

    def restorer(self) -> S3ObjectLock:
        return S3ObjectLock(self.vault, "restorer")

    def empty_machine(self, directory: Path) -> BackupSettings:
        """The same settings with a root of its own, in which nothing is."""
        root = directory / "new"
        root.mkdir()
        return self.house.settings.model_copy(update={"root": root})


def make(directory: Path, seaweedfs: SeaweedFS, files: Mapping[str, bytes], assets: Sequence[AssetState]) -> Vaulted:
    house = House(directory)
    house.point(files, assets)
    secret = directory / "wp-config.php"
    secret.write_bytes(b"password of the database\n")
    store(house, secrets=secret)
    bucket = seaweedfs.new_bucket()
    upload(house, seaweedfs, bucket)
    assert trample(seaweedfs, bucket) > 5
    return Vaulted(house, seaweedfs, bucket, files, (secret, secret.read_bytes()))


def store(house: House, *points: PointId, secrets: Path | None = None) -> Repository:
    """Put sealed points into the house's repository, and the secret set of the last."""
    settings = house.settings
    assert settings.repository is not None
    repository = Repository(settings.layout, settings.repository, settings.host)
    if not repository.exists():
        repository.create()
    for point in points or (POINT,):
        repository.backup(point)
    if secrets is not None:
        repository.backup_secrets((points or (POINT,))[-1], [secrets])
    return repository


def upload(house: House, seaweedfs: SeaweedFS, bucket: str, point: PointId = POINT) -> VaultSettings:
    """Sync the repository to a bucket; the house's settings have the vault from then on."""
    vault = seaweedfs.vault_settings(bucket, house.directory, prefix=PREFIX)
    house.settings = house.settings.model_copy(update={"vault": vault})
    assert house.settings.repository is not None
    repository = Repository(house.settings.layout, house.settings.repository, house.settings.host)
    held = [each for each in repository.snapshots() if each.point is not None and not each.is_secrets]
    with Known(house.settings.layout.state / "vault.sqlite3") as known:
        sync(
            S3ObjectLock(vault, "uploader"),
            house.settings.layout.repository,
            known,
            house.signer,
            points=[SealedPoint(each.point, AT, each.id) for each in held if each.point is not None],
            point=point,
            settings=vault,
            host="homeport",
            config_sha256=repository.config_sha256(),
        )
    return vault


def trample(seaweedfs: SeaweedFS, bucket: str) -> int:
    """Overwrite half of all objects and hide the others behind delete markers, as an administrator can."""
    client: Any = seaweedfs.client()
    keys = [each["Key"] for each in client.list_objects_v2(Bucket=bucket)["Contents"]]
    for number, key in enumerate(keys):
        if number % 2:
            client.put_object(Bucket=bucket, Key=key, Body=b"not what was here")
        else:
            client.delete_object(Bucket=bucket, Key=key)
    return len(keys)
