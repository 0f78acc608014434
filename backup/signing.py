"""Ed25519 signatures of what the backup process writes: manifests, vault seals, audit heads.

A signature is over a purpose and the SHA-256 of the data, so that one made for a manifest is none for a seal. Its text
form is one line, `ed25519 <key id> <base64>`; the key id is the beginning of the public key's SHA-256. The private key
lies in a PEM file of mode 0600 on the host, the public one beside it and on the printed recovery sheet.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from backup.exit_codes import VerificationFailed, WrongUsage
from kit.atomic import write_durably

Purpose = Literal["manifest", "state", "vault-seal", "audit-head"]

ALGORITHM = "ed25519"


@dataclass(frozen=True, slots=True)
class Verifier:
    """The public half."""

    public: Ed25519PublicKey

    @classmethod
    def read(cls, path: Path) -> Verifier:
        """Given a file with the 32 bytes in base64, one line. Raise WrongUsage."""
        try:
            return cls.parse(path.read_text("ascii"))
        except (OSError, UnicodeDecodeError, ValueError) as error:
            raise WrongUsage(f"{path} holds no public key of the backup: {error}") from error

    @classmethod
    def parse(cls, text: str) -> Verifier:
        """Given the 32 bytes in base64. Raise ValueError."""
        return cls(Ed25519PublicKey.from_public_bytes(base64.b64decode(text.strip(), validate=True)))

    @property
    def text(self) -> str:
        return base64.b64encode(self._raw).decode()

    @property
    def key_id(self) -> str:
        """16 hex digits."""
        return hashlib.sha256(self._raw).hexdigest()[:16]

    @property
    def _raw(self) -> bytes:
        return self.public.public_bytes(Encoding.Raw, PublicFormat.Raw)

    def verify(self, purpose: Purpose, sha256: bytes, signature: str) -> None:
        """Raise VerificationFailed unless `signature` is this key's, over this purpose and this digest."""
        match signature.strip().split(" "):
            case [algorithm, key_id, text] if algorithm == ALGORITHM:
                pass
            case _:
                raise VerificationFailed(f"not a signature of a {purpose}")
        if key_id != self.key_id:
            raise VerificationFailed(f"the {purpose} is signed by the key {key_id}, not by {self.key_id}")
        try:
            raw = base64.b64decode(text, validate=True)
            if base64.b64encode(raw).decode() != text:  # spare bits of the last letter: flipped, they decode the same
                raise InvalidSignature
            self.public.verify(raw, _message(purpose, sha256))
        except (InvalidSignature, ValueError):  # binascii.Error is one
            raise VerificationFailed(f"the signature of the {purpose} does not belong to it") from None


@dataclass(frozen=True, slots=True)
class Signer:
    private: Ed25519PrivateKey

    @classmethod
    def read(cls, path: Path) -> Signer:
        """Given a PEM file. Raise WrongUsage."""
        try:
            key = load_pem_private_key(path.read_bytes(), password=None)
        except (OSError, ValueError, TypeError) as error:
            raise WrongUsage(f"{path} holds no private key: {getattr(error, 'strerror', None) or 'not PEM'}") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise WrongUsage(f"{path} holds a key of another kind than Ed25519")
        return cls(key)

    @property
    def verifier(self) -> Verifier:
        return Verifier(self.private.public_key())

    def sign(self, purpose: Purpose, sha256: bytes) -> str:
        """Given the digest of the data, return the signature's line, without a line end."""
        signature = self.private.sign(_message(purpose, sha256))
        return f"{ALGORITHM} {self.verifier.key_id} {base64.b64encode(signature).decode()}"


def generate(private_file: Path, public_file: Path) -> Verifier:
    """Make a pair of keys, in files that must not exist yet. Raise WrongUsage."""
    for path in (private_file, public_file):
        if path.exists():
            raise WrongUsage(f"{path} is there already; a new key would orphan what the old one has signed")
    signer = Signer(Ed25519PrivateKey.generate())
    pem = signer.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_durably(private_file, pem, mode=0o600)
    write_durably(public_file, f"{signer.verifier.text}\n".encode(), mode=0o644)
    return signer.verifier


def _message(purpose: Purpose, sha256: bytes) -> bytes:
    if len(sha256) != hashlib.sha256().digest_size:
        raise ValueError("not a SHA-256")
    return f"homeport {purpose} v1\n".encode() + sha256
