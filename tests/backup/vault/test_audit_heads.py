"""Heads of the audit chain, in a vault that holds everything until its time."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from backup.exit_codes import SourceFailed, VaultUnreachable, VaultUnsafe
from backup.journal import Silent
from backup.settings import VaultSettings
from backup.signing import Signer
from backup.vault import audit_heads
from backup.vault.audit_heads import Head
from backup.vault.s3_object_lock import S3ObjectLock
from backup.vault.vault import Denied
from tests.backup.vault.directory import DirectoryVault
from tests.clock import FakeClock
from tests.services.seaweedfs import SeaweedFS

SETTINGS = VaultSettings(bucket="vault", prefix="home/")
NOW = datetime(2026, 11, 22, 5, 0, 7, tzinfo=UTC)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW.timestamp())


@pytest.fixture
def vault(tmp_path: Path, clock: FakeClock) -> DirectoryVault:
    directory = tmp_path / "vault"
    directory.mkdir()
    return DirectoryVault(directory, clock, prefix=SETTINGS.prefix)


def head(sequence: int = 1234, at: datetime = NOW) -> Head:
    return Head(sequence=sequence, hash=hashlib.sha256(str(sequence).encode()).hexdigest(), at=at)


def put(vault: DirectoryVault, of: Head, signer: Signer) -> str:
    return audit_heads.put(vault, of, signer, SETTINGS, Silent())


def fetch(vault: DirectoryVault, signer: Signer, target: Path) -> list[str]:
    target.mkdir()
    count = audit_heads.fetch(vault, signer.verifier, target, Silent())
    names = sorted(path.name for path in target.iterdir())
    assert len(names) == count
    return names


def test_a_head_is_put_signed_and_under_the_whole_window(vault: DirectoryVault, signer: Signer) -> None:
    key = put(vault, head(), signer)
    assert key == "home/audit/20261122T050007Z.json"
    stored = vault.head(key)
    assert stored.mode == "COMPLIANCE"
    assert stored.retain_until == NOW + timedelta(days=37)


def test_the_format_is_what_the_portal_verifies(vault: DirectoryVault, signer: Signer) -> None:
    """By hand, without a line of ours: the portal does not import backup."""
    document = json.loads(vault.read(put(vault, head(), signer)))
    algorithm, key_id, signature = document.pop("signature").split(" ")
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    message = b"homeport audit-head v1\n" + hashlib.sha256(canonical).digest()
    assert (algorithm, key_id) == ("ed25519", signer.verifier.key_id)
    signer.verifier.public.verify(base64.b64decode(signature), message)
    assert document == {"schema_version": 1, "sequence": 1234, "hash": head().hash, "at": "2026-11-22T05:00:07Z"}


def test_the_same_head_twice_is_one_object(vault: DirectoryVault, signer: Signer) -> None:
    first, second = put(vault, head(), signer), put(vault, head(), signer)
    assert first == second
    assert len(list(vault.versions(""))) == 1


def test_another_head_of_the_same_second_is_unsafe_and_changes_nothing(vault: DirectoryVault, signer: Signer) -> None:
    key = put(vault, head(1234), signer)
    with pytest.raises(VaultUnsafe, match="holds the head of row 1234, not that of row 1233"):
        put(vault, head(1233), signer)
    assert json.loads(vault.read(key))["sequence"] == 1234


def test_a_file_of_the_portal_becomes_a_head(tmp_path: Path) -> None:
    path = tmp_path / "head.json"
    document = {"schema_version": 1, "sequence": 0, "hash": "0" * 64, "at": "2026-11-22T14:00:07.123456+09:00"}
    path.write_text(json.dumps(document))
    found = audit_heads.read(path)
    assert (found.sequence, found.at) == (0, NOW)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"schema_version":1,"sequence":-1,"hash":"%s","at":"2026-11-22T05:00:07Z"}' % ("0" * 64),
        '{"schema_version":1,"sequence":1,"hash":"%s","at":"2026-11-22T05:00:07Z"}' % ("0" * 63),
        '{"schema_version":1,"sequence":1,"hash":"%s","at":"2026-11-22T05:00:07"}' % ("0" * 64),
        '{"schema_version":2,"sequence":1,"hash":"%s","at":"2026-11-22T05:00:07Z"}' % ("0" * 64),
        '{"schema_version":1,"sequence":1,"hash":"%s","at":"2026-11-22T05:00:07Z","more":1}' % ("0" * 64),
    ],
)
def test_what_is_no_head_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "head.json"
    path.write_text(text)
    with pytest.raises(SourceFailed, match="is no audit head"):
        audit_heads.read(path)


def test_a_missing_file_is_a_failed_source(tmp_path: Path) -> None:
    with pytest.raises(SourceFailed, match="homeport audit head"):
        audit_heads.read(tmp_path / "head.json")


def test_all_heads_come_back_in_order(vault: DirectoryVault, clock: FakeClock, signer: Signer, tmp_path: Path) -> None:
    for hour in range(3):
        put(vault, head(1000 + hour, NOW + timedelta(hours=hour)), signer)
        clock.advance(3600)
    names = fetch(vault, signer, tmp_path / "heads")
    assert names == ["20261122T050007Z.json", "20261122T060007Z.json", "20261122T070007Z.json"]
    sequences = [json.loads((tmp_path / "heads" / name).read_text())["sequence"] for name in names]
    assert sequences == [1000, 1001, 1002]


def test_delete_markers_and_newer_versions_hide_no_head(vault: DirectoryVault, signer: Signer, tmp_path: Path) -> None:
    hidden = put(vault, head(1), signer)
    covered = put(vault, head(2, NOW + timedelta(hours=1)), signer)
    vault.hide(hidden)
    vault.overwrite(covered, vault.read(covered).replace(b'"sequence":2', b'"sequence":1'))
    names = fetch(vault, signer, tmp_path / "heads")
    assert [json.loads((tmp_path / "heads" / name).read_text())["sequence"] for name in names] == [1, 2]


def test_a_head_of_another_key_is_unsafe(vault: DirectoryVault, signer: Signer, tmp_path: Path) -> None:
    key = put(vault, head(), Signer(Ed25519PrivateKey.generate()))
    with pytest.raises(VaultUnsafe, match=f"{key}, version v0: the audit-head is signed by the key"):
        fetch(vault, signer, tmp_path / "heads")


def test_a_changed_head_is_unsafe(vault: DirectoryVault, signer: Signer, tmp_path: Path) -> None:
    key = put(vault, head(), signer)
    document = vault.read(key).replace(b'"sequence":1234', b'"sequence":1233')
    other = "home/audit/20261122T060007Z.json"
    sha256 = hashlib.sha256(document).hexdigest()
    vault.put(other, document, sha256=sha256, retain_until=NOW + timedelta(days=31))
    with pytest.raises(VaultUnsafe, match="does not belong to it"):
        fetch(vault, signer, tmp_path / "heads")


def test_an_old_head_under_a_new_name_is_unsafe(vault: DirectoryVault, signer: Signer, tmp_path: Path) -> None:
    """Signed by us, but put where the newest one would be looked for."""
    document = vault.read(put(vault, head(), signer))
    sha256 = hashlib.sha256(document).hexdigest()
    until = NOW + timedelta(days=31)
    vault.put("home/audit/20261122T060007Z.json", document, sha256=sha256, retain_until=until)
    with pytest.raises(VaultUnsafe, match="holds the head of another time"):
        fetch(vault, signer, tmp_path / "heads")


@pytest.mark.parametrize("junk", ["text", "large", "denied"])
def test_junk_keeps_no_true_head_back(vault: DirectoryVault, signer: Signer, tmp_path: Path, junk: str) -> None:
    """Whoever may write may put it before, and between: all of ours come first, then the alarm."""
    bad = "home/audit/20260101T000000Z.json"
    vault.overwrite(bad, b"x" * (audit_heads.MAX_BYTES + 1) if junk == "large" else b"junk")
    for hour in range(2):
        put(vault, head(1 + hour, NOW + timedelta(hours=hour)), signer)

    def refuse(act: str, key: str) -> None:
        if act == "read" and key == bad and junk != "text":
            assert junk == "denied", "what is too large is not even read"
            raise Denied("AccessDenied")

    vault.before = refuse
    target = tmp_path / "heads"
    with pytest.raises(VaultUnsafe, match=r"20260101T000000Z.*(?s:.*)All others were fetched"):
        fetch(vault, signer, target)
    assert sorted(path.name for path in target.iterdir()) == ["20261122T050007Z.json", "20261122T060007Z.json"]


def test_a_vault_out_of_order_is_unreachable_and_the_next_try_succeeds(vault: DirectoryVault, signer: Signer) -> None:
    def refuse(act: str, key: str) -> None:
        raise VaultUnreachable(f"{act}: throttled")

    vault.before = refuse
    with pytest.raises(VaultUnreachable):
        put(vault, head(), signer)
    vault.before = lambda act, key: None
    put(vault, head(), signer)


def test_on_s3_the_uploader_puts_and_the_verifier_fetches(seaweedfs: SeaweedFS, signer: Signer, tmp_path: Path) -> None:
    settings = seaweedfs.vault_settings(seaweedfs.new_bucket(), tmp_path)
    uploader, verifier = S3ObjectLock(settings, "uploader"), S3ObjectLock(settings, "verifier")
    for _ in range(2):
        key = audit_heads.put(uploader, head(), signer, settings, Silent())
    target = tmp_path / "heads"
    target.mkdir()
    assert audit_heads.fetch(verifier, signer.verifier, target, Silent()) == 1
    assert (target / key.rpartition("/")[2]).read_bytes() == verifier.read(key)
