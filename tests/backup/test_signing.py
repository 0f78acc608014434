"""backup/signing.py: a signature belongs to one purpose, one digest and one key."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from backup import signing
from backup.exit_codes import VerificationFailed, WrongUsage
from backup.signing import Signer, Verifier

DIGEST = hashlib.sha256(b"what is signed").digest()


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    private, public = tmp_path / "signing.key", tmp_path / "signing.pub"
    signing.generate(private, public)
    return private, public


def test_what_was_signed_verifies_by_the_file_and_by_the_printed_text(keys: tuple[Path, Path]) -> None:
    signer, verifier = Signer.read(keys[0]), Verifier.read(keys[1])
    line = signer.sign("manifest", DIGEST)
    assert line.split(" ")[:2] == ["ed25519", verifier.key_id]
    verifier.verify("manifest", DIGEST, line + "\n")
    Verifier.parse(verifier.text).verify("manifest", DIGEST, line)


def test_anything_else_than_what_was_signed_is_refused(keys: tuple[Path, Path], tmp_path: Path) -> None:
    signer, verifier = Signer.read(keys[0]), Verifier.read(keys[1])
    line = signer.sign("manifest", DIGEST)
    with pytest.raises(VerificationFailed, match="does not belong"):
        verifier.verify("vault-seal", DIGEST, line)
    with pytest.raises(VerificationFailed, match="does not belong"):
        verifier.verify("manifest", hashlib.sha256(b"other").digest(), line)
    for broken in ("", "x", line[:-4], line.replace("ed25519", "rsa"), line + " x", line[:-1] + "é"):
        with pytest.raises(VerificationFailed):
            verifier.verify("manifest", DIGEST, broken)
    other = signing.generate(tmp_path / "other.key", tmp_path / "other.pub")
    with pytest.raises(VerificationFailed, match=f"signed by the key {verifier.key_id}, not by {other.key_id}"):
        other.verify("manifest", DIGEST, line)


def test_a_key_is_never_overwritten_and_the_private_half_is_private(keys: tuple[Path, Path]) -> None:
    assert keys[0].stat().st_mode & 0o777 == 0o600
    before = keys[0].read_bytes()
    with pytest.raises(WrongUsage, match="is there already"):
        signing.generate(*keys)
    assert keys[0].read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"not a key", b"\xff\xfe"])
def test_a_file_that_holds_no_key_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(WrongUsage, match=str(path)):
        Signer.read(path)
    with pytest.raises(WrongUsage, match=str(path)):
        Verifier.read(path)
    with pytest.raises(WrongUsage, match="No such file"):
        Signer.read(tmp_path / "none")
