"""Secrets that must be read again, such as a TOTP secret: AES-256-GCM, with a key outside the database.

The key is 32 random bytes in `<state directory>/secret.key`, mode 0600, made at the first start. A sealed text is bound
to its place (`context`), so that a row copied to another user opens nothing. Without the key file nobody can log in by
TOTP any more: it belongs into the backup, apart from the database.
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import secrets
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kit import atomic

KEY_BYTES = 32
_NONCE_BYTES = 12  # NIST SP 800-38D 8.2: 96 random bits


class SealBroken(Exception):
    """The text was not sealed with this key for this place."""


class SealKeyRefused(Exception):
    """The key file cannot be used. The text names the file, never what is in it."""


class Seal:
    def __init__(self, key: bytes) -> None:
        self._key = key
        self._cipher = AESGCM(key)

    @classmethod
    def at(cls, path: Path) -> Self:
        """Read the key file, or make it first. Two processes at once end up with the same key. Raise SealKeyRefused."""
        if not path.exists():
            _write_new(path, secrets.token_bytes(KEY_BYTES))
        key = path.read_bytes()
        if len(key) != KEY_BYTES:
            raise SealKeyRefused(f"{path.name} is not a key of {KEY_BYTES} bytes")
        if path.stat().st_mode & 0o077:
            raise SealKeyRefused(f"{path.name} can be read by others: chmod 600 {path.name}")
        return cls(key)

    def key_for(self, purpose: str) -> bytes:
        """Return a key of KEY_BYTES for something else, the same at every start."""
        return hmac.digest(self._key, purpose.encode(), "sha256")

    def seal(self, plain: str, context: str) -> str:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return base64.b64encode(nonce + self._cipher.encrypt(nonce, plain.encode(), context.encode())).decode()

    def open(self, sealed: str, context: str) -> str:
        """Return what was sealed. Raise SealBroken."""
        raw = base64.b64decode(sealed)
        try:
            return self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], context.encode()).decode()
        except InvalidTag:
            raise SealBroken(context) from None


def _write_new(path: Path, key: bytes) -> None:
    """Make the file, durably, unless another process is quicker: a link never replaces what is there."""
    own = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    atomic.write_durably(own, key)
    with contextlib.suppress(FileExistsError):
        path.hardlink_to(own)
    own.unlink()
    atomic.fsync_dir(path.parent)
