"""What the audit may keep of a value: JSON without secrets, bounded, and whatever its shape.

An audit row must never fail for what it describes, so nothing here raises: what JSON cannot hold becomes text, what is
too long is replaced by its size and hash, what looks like a secret by its key is replaced outright.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, SecretBytes, SecretStr

REDACTED = "[redacted]"
MAX_JSON_BYTES = 64 * 1024
MAX_DEPTH = 20

# Words of a key, not parts of words: `author` is not `auth`. Wider than the log's list: values here are kept for ever.
SECRET_WORDS = frozenset(
    {"password", "passwd", "passphrase", "secret", "secrets", "token", "tokens", "signature", "authorization"}
    | {"cookie", "cookies", "credential", "credentials", "apikey", "otp", "totp", "seed", "csrf", "hash", "code"}
    | {"codes", "key", "keys"}
)
# `token_id` and `password_changed_at` tell about a secret, not the secret itself.
ABOUT = frozenset({"id", "ids", "name", "names", "at", "count", "kind", "type", "expires", "prefix", "length"})
# A code that says how something ended, not one that opens something.
ENDINGS = frozenset({"exit", "status", "reply", "error", "problem"})


def to_json(value: object) -> str | None:
    """Given anything, return canonical JSON (sorted keys, no spaces) without its secrets; None for None."""
    if value is None:
        return None
    text = canonical(_clean("", value, 0))
    size = len(text.encode())
    if size > MAX_JSON_BYTES:
        return canonical({"omitted_bytes": size, "sha256": hashlib.sha256(text.encode()).hexdigest()})
    return text


def canonical(value: object) -> str:
    """The one form that is hashed."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def clip(text: str, characters: int) -> str:
    """Text as both databases can store it: no lone surrogates, no NUL, at most so many characters."""
    text = text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
    return text if len(text) <= characters else text[: characters - 1] + "…"


def _clean(key: str, value: object, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, SecretStr | SecretBytes) or is_secret(key):
        return REDACTED
    if depth > MAX_DEPTH:
        return "[too deep]"
    if isinstance(value, BaseModel):
        value = {name: getattr(value, name) for name in type(value).model_fields}
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {_text(name): _clean(str(name), inner, depth + 1) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_clean("", inner, depth + 1) for inner in value]
    if isinstance(value, set | frozenset):
        return sorted((_clean("", inner, depth + 1) for inner in value), key=canonical)
    if isinstance(value, enum.Enum):
        return _clean("", value.value, depth + 1)
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(bytes(value))} bytes]"
    return _text(value.isoformat() if isinstance(value, datetime) else value)


def _text(value: object) -> str:
    return clip(str(value), MAX_JSON_BYTES)


def is_secret(key: str) -> bool:
    """Whether what stands under this key is not to be written down."""
    words = re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key).lower())
    if words[-1] in ABOUT or (words[-1] == "code" and words[-2:-1] and words[-2] in ENDINGS):
        return False
    return bool(SECRET_WORDS & set(words))
