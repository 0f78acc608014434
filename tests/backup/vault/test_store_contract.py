"""What every vault store keeps to: S3 with Object Lock, as SeaweedFS has it, and the one with a clock for tests."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from backup.exit_codes import VaultUnsafe, VerificationFailed
from backup.vault.s3_object_lock import S3ObjectLock
from backup.vault.vault import Exists, NotThere, VaultStore
from tests.backup.vault.directory import DirectoryVault
from tests.clock import FakeClock

WINDOW = timedelta(days=37)


@dataclass
class Case:
    """A store, and what a stronger identity does to it."""

    store: VaultStore
    intruder: Any
    bucket: str

    def hide(self, key: str) -> None:
        if isinstance(self.store, DirectoryVault):
            self.store.hide(key)
        else:
            self.intruder.delete_object(Bucket=self.bucket, Key=key)

    def overwrite(self, key: str, body: bytes) -> str:
        if isinstance(self.store, DirectoryVault):
            return self.store.overwrite(key, body)
        version: str = self.intruder.put_object(Bucket=self.bucket, Key=key, Body=body)["VersionId"]
        return version

    def let_pass(self, seconds: int) -> None:
        if isinstance(self.store, DirectoryVault):
            clock = self.store._clock
            assert isinstance(clock, FakeClock)
            clock.advance(seconds)
        else:
            give_up = time.monotonic() + seconds + 5
            end = datetime.now(UTC) + timedelta(seconds=seconds)
            while datetime.now(UTC) < end:
                assert time.monotonic() < give_up
                time.sleep(0.05)


@pytest.fixture
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    if request.param == "directory":
        (tmp_path / "objects").mkdir()
        yield Case(DirectoryVault(tmp_path / "objects", FakeClock(), prefix="a/b/"), None, "")
        return
    seaweedfs = request.getfixturevalue("seaweedfs")
    bucket = seaweedfs.new_bucket()
    settings = seaweedfs.vault_settings(bucket, tmp_path, prefix="a/b/")
    yield Case(S3ObjectLock(settings, "uploader"), seaweedfs.client(), bucket)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The half that asks for a daemon is a `services` test; a fixture asked for at run time does not tell."""
    if "case" in metafunc.fixturenames:
        params = ["directory", pytest.param("s3", marks=pytest.mark.services)]
        metafunc.parametrize("case", params, indirect=True)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def put(store: VaultStore, key: str, data: bytes, *, locked_for: timedelta = WINDOW) -> Any:
    until = (store.now() + locked_for).replace(microsecond=0)
    return store.put(key, data, sha256=sha256(data), retain_until=until)


def test_what_was_put_is_reported_by_version_with_its_checksum_and_lock(case: Case) -> None:
    stored = put(case.store, "a/b/one", b"content")
    read = case.store.head("a/b/one", stored.version_id)
    assert read == stored == case.store.head("a/b/one")
    assert (read.sha256, read.size, read.mode) == (sha256(b"content"), 7, "COMPLIANCE")
    assert read.retain_until is not None
    assert abs(read.retain_until - (case.store.now() + WINDOW)) < timedelta(seconds=30)


def test_a_file_is_put_and_fetched(case: Case, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(bytes(range(256)) * 10_000)
    digest = sha256(source.read_bytes())
    stored = case.store.put("a/b/file", source, sha256=digest, retain_until=case.store.now() + WINDOW)
    assert case.store.fetch("a/b/file", stored.version_id, target, sha256=digest) == 2_560_000
    assert target.read_bytes() == source.read_bytes()


def test_an_empty_object_is_one(case: Case) -> None:
    stored = put(case.store, "a/b/empty", b"")
    assert case.store.read("a/b/empty", stored.version_id) == b""


def test_a_second_put_finds_the_first(case: Case) -> None:
    put(case.store, "a/b/one", b"content")
    for data in (b"content", b"other"):
        with pytest.raises(Exists):
            put(case.store, "a/b/one", data)
    assert case.store.read("a/b/one") == b"content"
    assert len(list(case.store.versions("a/b/one"))) == 1


def test_a_rotten_file_is_refused_and_named(case: Case, tmp_path: Path) -> None:
    source = tmp_path / "pack"
    source.write_bytes(b"rotten")
    with pytest.raises(VerificationFailed, match=str(source)):
        case.store.put("a/b/pack", source, sha256=sha256(b"sound"), retain_until=case.store.now() + WINDOW)
    with pytest.raises(NotThere):
        case.store.head("a/b/pack")


def test_what_is_not_there_is_not_there(case: Case, tmp_path: Path) -> None:
    stored = put(case.store, "a/b/one", b"content")
    for attempt in (
        lambda: case.store.head("a/b/none"),
        lambda: case.store.head("a/b/none", stored.version_id),
        lambda: case.store.read("a/b/none"),
        lambda: case.store.fetch("a/b/none", stored.version_id, tmp_path / "x", sha256="0" * 64),
    ):
        with pytest.raises(NotThere):
            attempt()


def test_a_lock_moves_forward_and_never_back(case: Case) -> None:
    stored = put(case.store, "a/b/one", b"content")
    later = stored.retain_until + timedelta(days=6)
    case.store.extend("a/b/one", stored.version_id, later)
    assert case.store.head("a/b/one", stored.version_id).retain_until == later
    case.store.extend("a/b/one", stored.version_id, later - timedelta(days=1))
    case.store.extend("a/b/one", stored.version_id, later)
    assert case.store.head("a/b/one", stored.version_id).retain_until == later


def test_extending_what_is_not_there_says_so(case: Case) -> None:
    stored = put(case.store, "a/b/one", b"content")
    with pytest.raises(NotThere):
        case.store.extend("a/b/none", stored.version_id, case.store.now() + WINDOW)


def test_a_version_without_a_lock_gets_one(case: Case) -> None:
    version = case.overwrite("a/b/one", b"content")
    case.store.extend("a/b/one", version, (case.store.now() + WINDOW).replace(microsecond=0))
    assert case.store.head("a/b/one", version).mode == "COMPLIANCE"


def test_a_delete_marker_hides_the_newest_and_nothing_else(case: Case, tmp_path: Path) -> None:
    stored = put(case.store, "a/b/one", b"content")
    case.hide("a/b/one")
    with pytest.raises(NotThere):
        case.store.head("a/b/one")
    with pytest.raises(NotThere):
        case.store.read("a/b/one")
    assert case.store.head("a/b/one", stored.version_id) == stored
    assert case.store.read("a/b/one", stored.version_id) == b"content"
    case.store.fetch("a/b/one", stored.version_id, tmp_path / "one", sha256=stored.sha256)
    version, marker = sorted(case.store.versions("a/b/one"), key=lambda each: each.is_delete_marker)
    assert (marker.is_delete_marker, marker.is_latest) == (True, True)
    assert (version.is_delete_marker, version.is_latest, version.version_id) == (False, False, stored.version_id)


def test_a_put_over_a_delete_marker_is_a_new_version(case: Case) -> None:
    first = put(case.store, "a/b/one", b"content")
    case.hide("a/b/one")
    second = put(case.store, "a/b/one", b"content")
    assert second.version_id != first.version_id
    assert case.store.head("a/b/one").version_id == second.version_id


def test_an_overwritten_version_can_still_be_read(case: Case) -> None:
    stored = put(case.store, "a/b/one", b"content")
    case.overwrite("a/b/one", b"evil")
    assert case.store.read("a/b/one") == b"evil"
    assert case.store.read("a/b/one", stored.version_id) == b"content"


def test_a_fetch_of_other_content_is_refused(case: Case, tmp_path: Path) -> None:
    stored = put(case.store, "a/b/one", b"content")
    with pytest.raises(VerificationFailed):
        case.store.fetch("a/b/one", stored.version_id, tmp_path / "one", sha256=sha256(b"other"))


def test_a_locked_version_cannot_be_deleted(case: Case) -> None:
    stored = put(case.store, "a/b/one", b"content")
    with pytest.raises(VaultUnsafe):
        case.store.delete("a/b/one", stored.version_id)
    assert case.store.read("a/b/one", stored.version_id) == b"content"


def test_every_version_below_a_prefix_is_listed_and_no_other(case: Case) -> None:
    for key in ("a/b/x/1", "a/b/x/2", "a/b/y/1"):
        put(case.store, key, key.encode())
    listed = list(case.store.versions("a/b/x/"))
    assert sorted(each.key for each in listed) == ["a/b/x/1", "a/b/x/2"]
    assert {(each.size, each.is_latest, each.is_delete_marker) for each in listed} == {(7, True, False)}


def test_the_bucket_is_as_it_should_be(case: Case) -> None:
    state = case.store.bucket()
    assert (state.lock_enabled, state.default_mode, state.default_days) == (True, "COMPLIANCE", 30)
    assert (state.versioning, state.encryption) == (True, "AES256")
    assert state.public_access_blocked in (True, None)


def test_the_store_says_what_time_it_is(case: Case) -> None:
    before = case.store.now()
    case.let_pass(2)
    assert timedelta(seconds=1) <= case.store.now() - before <= timedelta(seconds=30)


def test_a_version_can_be_deleted_when_its_lock_has_ended(
    case: Case, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    stored = put(case.store, "a/b/one", b"content", locked_for=timedelta(seconds=3))
    store = case.store
    if isinstance(store, S3ObjectLock):
        settings = request.getfixturevalue("seaweedfs").vault_settings(case.bucket, tmp_path, prefix="a/b/")
        store = S3ObjectLock(settings, "collector")
    with pytest.raises(VaultUnsafe):
        store.delete("a/b/one", stored.version_id)
    case.let_pass(4)
    store.delete("a/b/one", stored.version_id)
    assert list(case.store.versions("a/b/")) == []
