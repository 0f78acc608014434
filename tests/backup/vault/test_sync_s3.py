"""The sync against real S3: killed at every step, twice at once, through a network in trouble, and by real roles."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from backup.exit_codes import VaultUnreachable, VaultUnsafe
from backup.settings import VaultSettings
from backup.signing import Signer, generate
from backup.vault import seal
from backup.vault.fetch import fetch
from backup.vault.known import Known
from backup.vault.s3_object_lock import S3ObjectLock
from backup.vault.sync import SyncReport, sync
from backup.vault.verify import verify
from tests.backup.vault.night import Told, daily
from tests.backup.vault.synthetic import SyntheticRepository
from tests.services import s3_trouble
from tests.services.s3_trouble import TroubledS3
from tests.services.seaweedfs import SeaweedFS

pytestmark = pytest.mark.services

FIRST: dict[str, Any] = {
    "window_days": 33,
    "threshold_days": 31,
}  # what the first sync locks, the next one finds too short
NEXT: dict[str, Any] = {"window_days": 37, "threshold_days": 36}


@pytest.fixture(scope="module")
def bucket(seaweedfs: SeaweedFS) -> str:
    return seaweedfs.new_bucket()


class OnS3:
    """A synthetic repository and its place in a bucket, below a prefix of its own."""

    def __init__(self, seaweedfs: SeaweedFS, bucket: str, directory: Path) -> None:
        self.seaweedfs, self.bucket, self.directory = seaweedfs, bucket, directory
        self.prefix = f"{directory.name}/"
        self.repository = SyntheticRepository(directory / "repository")
        generate(directory / "key.pem", directory / "key.pub")
        self.signer = Signer.read(directory / "key.pem")
        self.told = Told()

    def settings(self, **more: Any) -> VaultSettings:
        return self.seaweedfs.vault_settings(self.bucket, self.directory, prefix=self.prefix, **{**NEXT, **more})

    def store(self, role: Any = "uploader", **more: Any) -> S3ObjectLock:
        return S3ObjectLock(self.settings(**more), role)

    def add_point(self, day: int, **more: Any) -> None:
        self.repository.add_point(daily(day), datetime.now(UTC).replace(microsecond=0), **more)

    def sync(self, known: str = "vault.sqlite3", *, attempts: int = 5, **more: Any) -> SyncReport:
        settings = self.settings(**more)
        points = list(self.repository.points.values())
        with Known(self.directory / known) as memory:
            return sync(
                S3ObjectLock(settings, "uploader", attempts=attempts),
                self.repository.directory,
                memory,
                self.signer,
                points=points,
                point=points[-1].point,
                settings=settings,
                host="host",
                journal=self.told,
            )

    def sync_that_dies(self, act: str, at: int, when: str, part: str = "") -> int:
        """Return how it ended: -9, or 0 when it never came there."""
        told = {
            "settings": json.loads(self.settings().model_dump_json()),
            "points": [
                (str(each.point), each.started_at.isoformat(), each.snapshot)
                for each in self.repository.points.values()
            ],
            "known": str(self.directory / "vault.sqlite3"),
            "repository": str(self.repository.directory),
            "key": str(self.directory / "key.pem"),
            "death": {"act": act, "at": at, "when": when, "part": part},
        }
        argv = [sys.executable, "-m", "tests.backup.vault.syncing", json.dumps(told)]
        return subprocess.run(argv, capture_output=True, timeout=100, check=False).returncode

    def require_sound(self) -> None:
        """Everything is there once, protected, and comes back byte for byte."""
        store = self.store("verifier")
        verify(store, self.signer.verifier, settings=self.settings())
        versions = Counter(each.key for each in store.versions(store.keys.repository))
        assert set(versions.values()) == {1}
        restorer = self.store("restorer")
        newest = seal.newest(restorer, self.signer.verifier)
        fetch(restorer, newest, self.directory / "back")
        for name in self.repository.names():
            assert (self.directory / "back" / name).read_bytes() == (self.repository.directory / name).read_bytes()


@pytest.fixture
def on_s3(seaweedfs: SeaweedFS, bucket: str, tmp_path: Path) -> OnS3:
    return OnS3(seaweedfs, bucket, tmp_path)


def test_a_night_on_s3_by_the_roles_it_is_made_for(on_s3: OnS3) -> None:
    on_s3.add_point(0, packs=8)
    first = on_s3.sync(**FIRST)
    assert first.uploaded == len(on_s3.repository.names())
    on_s3.add_point(1, packs=2)
    second = on_s3.sync()
    assert (second.uploaded, second.extended) == (4, first.objects)
    assert second.lowest_retain_until - datetime.now(UTC) > timedelta(days=36, hours=23)
    third = on_s3.sync()
    assert (third.uploaded, third.extended, third.adopted) == (0, 0, 0)
    on_s3.require_sound()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("act", "at", "when", "part"),
    [
        ("extend", 0, "before", ""),
        ("extend", 3, "after", ""),
        ("put", 0, "before", "/data/"),
        ("put", 2, "after", "/data/"),
        ("put", 0, "after", "/snapshots/"),
        ("head", 4, "after", "/data/"),
        ("put", 0, "after", ".txt"),
        ("put", 0, "after", ".json"),
    ],
)
def test_a_sync_killed_anywhere_is_ended_by_the_next(on_s3: OnS3, act: str, at: int, when: str, part: str) -> None:
    on_s3.add_point(0, packs=5)
    first = on_s3.sync(**FIRST)
    on_s3.add_point(1, packs=5)
    assert on_s3.sync_that_dies(act, at, when, part) == -9
    newest = seal.newest(on_s3.store("verifier"), on_s3.signer.verifier)
    assert newest == first.sealed or (act, part) == ("put", ".json")
    report = on_s3.sync()
    assert report.sealed.point == daily(1)
    on_s3.require_sound()


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_random_kills(on_s3: OnS3) -> None:
    chance = random.Random(6)
    for day in range(25):
        on_s3.add_point(day, packs=chance.randrange(1, 8))
        ended = -9
        while ended == -9:
            act, when = chance.choice(["put", "head", "extend"]), chance.choice(["before", "after"])
            ended = on_s3.sync_that_dies(act, chance.randrange(12), when)
        assert ended == 0
        on_s3.require_sound()


def test_two_syncs_at_once_end_the_same(on_s3: OnS3) -> None:
    """The vault lock forbids it; two hosts or a lost lock must do no harm all the same."""
    on_s3.add_point(0, packs=12)
    failed: list[Exception] = []

    def one(name: str) -> None:
        try:
            on_s3.sync(known=name)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=one, args=(f"{number}.sqlite3",)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    on_s3.require_sound()


def test_two_syncs_with_one_memory_end_the_same(on_s3: OnS3) -> None:
    on_s3.add_point(0, packs=12)
    failed: list[Exception] = []

    def one() -> None:
        try:
            on_s3.sync()
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    on_s3.require_sound()


@pytest.mark.parametrize(
    "trouble",
    [
        s3_trouble.answers(503, "SlowDown", times=3),
        s3_trouble.answers(500, "InternalError", times=2, method="PUT"),
        s3_trouble.loses_answers(times=3, method="PUT"),
        s3_trouble.flips(times=2, method="PUT"),
        s3_trouble.answers(403, "AccessDenied", times=1, method="PUT", part="retention"),
    ],
    ids=["throttled", "failing", "losing answers", "flipping bits", "denying a renewal"],
)
def test_trouble_that_passes_is_not_noticed(on_s3: OnS3, trouble: s3_trouble.Trouble) -> None:
    on_s3.add_point(0)
    on_s3.sync(**FIRST)
    on_s3.add_point(1, packs=4)
    with TroubledS3(on_s3.seaweedfs.port) as proxy:
        proxy.trouble = trouble
        on_s3.sync(url=proxy.url)
        assert proxy.requests["PUT"] >= 6
    on_s3.require_sound()


def test_trouble_that_stays_leaves_the_last_seal_and_the_next_night_goes_on(on_s3: OnS3) -> None:
    on_s3.add_point(0)
    first = on_s3.sync()
    on_s3.add_point(1, packs=6)
    with TroubledS3(on_s3.seaweedfs.port) as proxy:
        proxy.trouble = s3_trouble.answers(503, "SlowDown", times=10_000, method="PUT", part="/index/")
        with pytest.raises(VaultUnreachable, match="SlowDown"):
            on_s3.sync(url=proxy.url, attempts=2)
    assert seal.newest(on_s3.store(), on_s3.signer.verifier) == first.sealed
    uploaded = on_s3.sync()
    assert uploaded.uploaded + uploaded.adopted == 2  # index and snapshot: the packs were there already
    on_s3.require_sound()


def test_a_vault_whose_clock_says_another_time_is_believed_and_told(on_s3: OnS3) -> None:
    on_s3.add_point(0)
    ahead = datetime.now(UTC) + timedelta(hours=2)
    with TroubledS3(on_s3.seaweedfs.port) as proxy:
        proxy.trouble = s3_trouble.is_dated(ahead.strftime("%a, %d %b %Y %H:%M:%S GMT"))
        report = on_s3.sync(url=proxy.url)
    assert any("120 min off" in text for text in on_s3.told.warnings)
    assert report.lowest_retain_until - ahead >= timedelta(days=36, hours=23)


def test_a_bucket_without_a_lock_makes_the_run_fail(seaweedfs: SeaweedFS, tmp_path: Path) -> None:
    on_s3 = OnS3(seaweedfs, seaweedfs.new_bucket(locked=False), tmp_path)
    on_s3.add_point(0)
    with pytest.raises(VaultUnsafe, match="no Object Lock"):
        on_s3.sync()
    assert list(on_s3.store().versions("")) == []


def test_the_upload_keeps_to_its_bandwidth(on_s3: OnS3) -> None:
    on_s3.add_point(0, packs=8, pack_bytes=50_000)
    begun = time.monotonic()
    on_s3.sync(mbit_per_s=4.0)
    assert time.monotonic() - begun >= 8 * 50_000 / 500_000 - 0.5  # half a second may be made up for
