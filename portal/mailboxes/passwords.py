"""Passwords of mailboxes, as Dovecot verifies them: Argon2id in the PHC form behind `{ARGON2ID}`. Pure.

Only printable ASCII: a mail program sends a password as bytes, and which ones stand for an umlaut or a kanji differs
from program to program, so such a password works on the laptop and fails on the phone. Otherwise the rules are those
of the portal's users.
"""

from __future__ import annotations

from argon2 import PasswordHasher

from portal.auth import passwords

SCHEME = "{ARGON2ID}"

# As portal.auth.passwords; one lane, since libsodium, with which Dovecot verifies, knows no other.
_HASHER = PasswordHasher(time_cost=3, memory_cost=32 * 1024, parallelism=1)


class PasswordUnfit(ValueError):
    """The password is refused. The text says why, never what it was."""


def hashed(password: str, local: str) -> str:
    """Given a new password and the mailbox's local part, return what is stored. Raise PasswordUnfit."""
    if not (password.isascii() and password.isprintable()):
        raise PasswordUnfit("the password has characters that mail programs send in different ways; use ASCII")
    if reason := passwords.weakness(password, local):
        raise PasswordUnfit(f"the password is refused: {reason.replace('-', ' ')}")
    return SCHEME + _HASHER.hash(password)
