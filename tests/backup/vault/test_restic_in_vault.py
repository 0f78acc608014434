"""Real restic repositories in the vault: each stored point comes back by stock restic, long after it was pruned."""

from __future__ import annotations

import os
import random
from datetime import timedelta
from pathlib import Path

import pytest

from backup.layout import Layout
from backup.repository import Repository
from backup.settings import RepositorySettings
from backup.signing import Signer
from backup.vault import seal
from backup.vault.fetch import fetch
from backup.vault.known import Known
from backup.vault.s3_object_lock import S3ObjectLock
from backup.vault.seal import SealedPoint
from backup.vault.sync import SyncReport, sync
from backup.vault.vault import VaultStore
from backup.vault.verify import inspect
from tests.backup.vault.directory import DirectoryVault
from tests.backup.vault.night import NIGHT_S, Told, daily, midnight, settings
from tests.clock import FakeClock
from tests.services.seaweedfs import SeaweedFS

MAILS, NEW_MAILS, DUMP_BYTES = 60, 5, 300_000


class Real:
    """A backup root with points of some mail and a churning dump, and a real repository.

    trees   what each point held
    """

    def __init__(self, root: Path, signer: Signer) -> None:
        root.mkdir()
        (root / "password").write_text("password\n")
        self.layout, self.signer, self.told = Layout(root), signer, Told()
        self.layout.create()
        self.repository = Repository(
            self.layout, RepositorySettings(password_file=root / "password"), "host", self.told
        )
        self.repository.create()
        self.trees: dict[SealedPoint, dict[str, bytes]] = {}
        self._chance = random.Random(6)
        self._mails = {f"mail/{number}": os.urandom(2_000) for number in range(MAILS)}
        self._dump = bytearray(os.urandom(DUMP_BYTES))

    def add_point(self, day: int) -> SealedPoint:
        """A tree, some mails renamed, some new, some bytes of the dump others; and its snapshot."""
        for name in self._chance.sample(sorted(self._mails), NEW_MAILS):
            self._mails[f"mail/{day}-renamed-{name.rpartition('/')[2]}"] = self._mails.pop(name)
        self._mails |= {f"mail/{day}-{number}": os.urandom(2_000) for number in range(NEW_MAILS)}
        self._dump[self._chance.randrange(DUMP_BYTES)] ^= 1
        tree = self._mails | {"db.sql": bytes(self._dump)}
        directory = self.layout.point(daily(day))
        (directory / "mail").mkdir(parents=True)
        for name, data in tree.items():
            (directory / name).write_bytes(data)
        point = SealedPoint(daily(day), midnight(day), self.repository.backup(daily(day)))
        self.trees[point] = dict(tree)
        return point

    def keep(self, count: int, *, prune: bool) -> list[SealedPoint]:
        """Forget all but the newest; return the points that are still there."""
        kept = list(self.trees)[-count:]
        self.repository.forget([each.id for each in self.repository.snapshots()][:-count])
        if prune:
            self.repository.prune()
        return kept

    def sync(self, store: VaultStore, points: list[SealedPoint], **more: object) -> SyncReport:
        with Known(self.layout.state / "vault.sqlite3") as known:
            return sync(
                store,
                self.layout.repository,
                known,
                self.signer,
                points=points,
                point=points[-1].point,
                settings=settings(),
                host="host",
                journal=self.told,
                config_sha256=self.repository.config_sha256(),
            )

    def require_restorable(self, store: VaultStore, directory: Path) -> None:
        """Fetch all that the seals list, let stock restic check every byte, and restore each point that ever was."""
        here = directory / "back"
        for each in seal.valid(store, self.signer.verifier):
            fetch(store, each, here)
        reader = Repository.at(here, self.layout.root / "password")
        reader.check((1, 1))
        assert {each.id for each in reader.snapshots()} == {point.snapshot for point in self.trees}
        for point, tree in self.trees.items():
            target = directory / point.point.flat
            reader.restore(point.snapshot, target)
            found = {str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*") if path.is_file()}
            assert found == tree
        assert list((here / "locks").iterdir()) == []


@pytest.mark.services
@pytest.mark.slow
def test_points_that_were_pruned_at_home_come_back_from_the_vault(
    seaweedfs: SeaweedFS, tmp_path: Path, signer: Signer
) -> None:
    nights_in_the_vault(seaweedfs, tmp_path, signer, nights=4, kept=2)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_twelve_points_come_back_from_the_vault(seaweedfs: SeaweedFS, tmp_path: Path, signer: Signer) -> None:
    nights_in_the_vault(seaweedfs, tmp_path, signer, nights=12, kept=3)


def nights_in_the_vault(seaweedfs: SeaweedFS, directory: Path, signer: Signer, *, nights: int, kept: int) -> None:
    bucket = seaweedfs.new_bucket()
    on_s3 = seaweedfs.vault_settings(bucket, directory)
    real = Real(directory / "root", signer)
    uploader = S3ObjectLock(on_s3, "uploader")
    for day in range(nights):
        real.add_point(day)
        points = real.keep(kept, prune=day % 2 == 1)
        real.sync(uploader, points)
    admin = seaweedfs.client()
    for each in seal.newest(uploader, signer.verifier).objects:
        admin.delete_object(Bucket=bucket, Key=each.key)
        admin.put_object(Bucket=bucket, Key=each.key, Body=b"evil")
    real.require_restorable(S3ObjectLock(on_s3, "restorer"), directory)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_sixty_nights_of_a_real_repository(tmp_path: Path, signer: Signer) -> None:
    """Forget nightly, prune weekly: what restic repacks goes up once, and each point is protected for its 30 days."""
    clock = FakeClock(midnight(0).timestamp())
    (tmp_path / "objects").mkdir()
    vault = DirectoryVault(tmp_path / "objects", clock)
    real = Real(tmp_path / "root", signer)
    for day in range(60):
        real.add_point(day)
        report = real.sync(vault, real.keep(7, prune=day % 7 == 6))
        assert report.lowest_retain_until >= vault.now() + timedelta(days=31)
        clock.advance(NIGHT_S - 1)
        assert inspect(vault, signer.verifier, settings=settings()).problems == ()
        clock.advance(1)
    assert set(vault.sent.values()) == {1}
    assert vault.calls["delete"] == 0
    real.require_restorable(vault, tmp_path)
