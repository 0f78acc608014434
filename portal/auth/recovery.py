"""Recovery codes: ten, each good for one login, for the day the telephone is gone.

120 bits each, so a plain SHA-256 is enough to keep them by (ASVS 5.0 6.5.2 asks for a slow hash below 112 bits).

Pure.
"""

from __future__ import annotations

import hashlib
import secrets

CODES = 10
_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"  # 32, without l, o, 0 and 1
_CHARACTERS, _GROUP = 24, 6


def new_codes() -> list[str]:
    return [_new_code() for _ in range(CODES)]


def _new_code() -> str:
    text = "".join(secrets.choice(_ALPHABET) for _ in range(_CHARACTERS))
    return "-".join(text[start : start + _GROUP] for start in range(0, _CHARACTERS, _GROUP))


def digest(code: str) -> str:
    """Given a code as typed, return what is stored of it. Case, spaces and dashes do not matter."""
    typed = "".join(character for character in code.lower() if character.isalnum())
    return hashlib.sha256(typed.encode()).hexdigest()
