"""Signed requests: the keys' text form, the canonical string and its HMAC (wire.md, "Request").

Both deployables that speak this contract stand on it: mail_api verifies the Worker's messages with it, the portal asks
the Worker's own routes with it. A key file has lines `key-id:hex-secret` (32 bytes), blank lines and `#` comments; the
first key is current, a second one may be valid beside it while a change of keys is under way. More than two, a
repeated id or secret, or a placeholder for a secret is an error. Errors name a line, never what stands on it.

Pure.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

VERSION = "v1"
KEY_ID_HEADER = "homeport-key-id"
TIMESTAMP_HEADER = "homeport-timestamp"
SIGNATURE_HEADER = "homeport-signature"

SECRET_BYTES = 32  # wire.md; as long as HMAC-SHA256's output (RFC 2104 section 3)
MAX_KEYS = 2  # wire.md: "two keys may be valid at once"
MIN_DISTINCT_BYTES = 16  # 32 random bytes have about 30; fewer than 16 has a chance below 1e-12

KEY_ID = re.compile(r"[a-z0-9-]{1,32}")
_LINE = re.compile(rf"({KEY_ID.pattern}):([0-9a-fA-F]{{{2 * SECRET_BYTES}}})")
_FIELDS = 11  # of the canonical string


class KeysError(Exception):
    """The keys cannot be used. The text names the line, never a key's secret."""


@dataclass(frozen=True, slots=True)
class Key:
    """A shared secret of 32 bytes and the name under which both sides know it."""

    key_id: str
    secret: bytes = field(repr=False)

    @classmethod
    def generate(cls, key_id: str) -> Key:
        """Make a new key. Raise KeysError if the id is not `[a-z0-9-]{1,32}`."""
        if not KEY_ID.fullmatch(key_id):
            raise KeysError("a key id is 1 to 32 of a-z, 0-9 and -")
        return cls(key_id, secrets.token_bytes(SECRET_BYTES))

    @property
    def line(self) -> str:
        return f"{self.key_id}:{self.secret.hex()}"


def parse_keys(text: str) -> tuple[Key, ...]:
    """Given a keys file's text, return its keys, current first. Raise KeysError, also when there is none."""
    keys: dict[str, Key] = {}
    for number, line in key_lines(text):
        match = _LINE.fullmatch(line)
        if not match:
            raise KeysError(f"line {number}: not key-id:secret with {2 * SECRET_BYTES} hex digits")
        key = Key(match[1], bytes.fromhex(match[2]))
        if key.key_id in keys or key.secret in (other.secret for other in keys.values()):
            raise KeysError(f"line {number}: repeats the id or the secret of another key")
        if _is_placeholder(key.secret):
            raise KeysError(f"line {number}: the secret is not random")
        if len(keys) == MAX_KEYS:
            raise KeysError(f"line {number}: more than {MAX_KEYS} keys; retire one")
        keys[key.key_id] = key
    if not keys:
        raise KeysError("holds no key")
    return tuple(keys.values())


def key_lines(text: str) -> Iterator[tuple[int, str]]:
    """Given a keys file's text, yield (line number from 1, the line) for those that stand for a key."""
    for number, line in enumerate(text.splitlines(), 1):
        if (line := line.strip()) and not line.startswith("#"):
            yield number, line


def _is_placeholder(secret: bytes) -> bool:
    """Whether the bytes repeat themselves, as in 00..., deadbeef..., or count up, as in 00010203..."""
    steps = {(after - before) % 256 for before, after in pairwise(secret)}
    return min(len(set(secret)), len(steps)) < MIN_DISTINCT_BYTES


def canonical_string(
    *,
    key_id: str,
    timestamp: str,
    message_id: str,
    method: str,
    path: str,
    mail_from: str,
    rcpt_to: str,
    content_length: str,
    content_sha256: str,
    retained_at: str,
) -> bytes:
    """Return what is signed, all values as sent, `path` as in the request line and without a query.

    raises   ValueError if a value is not ASCII or contains a line feed, which would let one value pose as two
    """
    head = f"{VERSION}\n{key_id}\n{timestamp}\n{message_id}\n{method}\n{path}\n"
    canonical = f"{head}{mail_from}\n{rcpt_to}\n{content_length}\n{content_sha256}\n{retained_at}".encode("ascii")
    if canonical.count(b"\n") != _FIELDS - 1:
        raise ValueError("line feed in a signed value")
    return canonical


def sign(secret: bytes, canonical: bytes) -> str:
    return f"{VERSION}={hmac.digest(secret, canonical, 'sha256').hex()}"


def signed_headers_without_body(key: Key, *, now: int, method: str, path: str) -> dict[str, str]:
    """Return the header fields of a request that carries no message, names in lower case. `now`: epoch seconds."""
    canonical = canonical_string(
        key_id=key.key_id,
        timestamp=str(now),
        message_id="",
        method=method,
        path=path,
        mail_from="",
        rcpt_to="",
        content_length="",
        content_sha256="",
        retained_at="",
    )
    return {KEY_ID_HEADER: key.key_id, TIMESTAMP_HEADER: str(now), SIGNATURE_HEADER: sign(key.secret, canonical)}
