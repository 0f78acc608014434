"""Passwords: Argon2id, a length, no common ones, no rules on what they consist of (security.md 3.3).

Work is the same for a user who does not exist as for one who does: `verify(None, ...)` hashes too. Both block and use
memory, so callers use the `async` forms, which run in threads of a named limiter.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from itertools import pairwise
from typing import Literal, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from kit.problem import Problem
from portal.auth.common_passwords import COMMON
from portal.auth.plain_text import has_control_characters

T = TypeVar("T")

MIN_CHARACTERS = 12  # ASVS 5.0 6.2.1 asks for at least 8 and advises 15; there is always a throttle in front
MAX_CHARACTERS = 256  # ASVS 5.0 6.2.9 asks for at least 64; a bound keeps the work bounded
HASHES_AT_ONCE = 2  # each takes 32 MiB for its time

Reason = Literal["too-short", "too-long", "common", "contains-name", "control-characters"]
_TEXTS: dict[Reason, str] = {
    "too-short": f"shorter than {MIN_CHARACTERS} characters",
    "too-long": f"longer than {MAX_CHARACTERS} characters",
    "common": "one of those that are tried first",
    "contains-name": "little more than the name",
    "control-characters": "with characters that cannot be typed",
}


class PasswordRefused(Problem):
    """The new password is too easy to guess, or cannot be typed; `reason` says which."""

    status, type, title = 422, "password-refused", "Password refused"

    def __init__(self, reason: Reason) -> None:
        super().__init__(f"The password is {_TEXTS[reason]}.", reason=reason)


def normalised(password: str) -> str:
    """The form that is hashed: what keyboards of different make send for the same characters is one password."""
    return unicodedata.normalize("NFKC", password)


def weakness(password: str, name: str) -> Reason | None:
    """Given a new password and its user's name, return why it is refused, or None. Pure."""
    password = normalised(password)
    if has_control_characters(password):
        return "control-characters"
    if len(password) < MIN_CHARACTERS:
        return "too-short"
    if len(password) > MAX_CHARACTERS:
        return "too-long"
    folded = password.casefold()
    if len(folded.replace(name.casefold(), "")) < MIN_CHARACTERS // 2:
        return "contains-name"
    return "common" if _is_common(folded) else None


def _is_common(folded: str) -> bool:
    """Whether it is made of words that are tried first, of one piece again and again, or of a row of neighbours."""
    is_repeated = re.fullmatch(r"(.{1,6}?)\1+.{0,5}", folded, re.DOTALL) is not None
    is_row = _neighbours(folded) * 3 >= len(folded) * 2
    return is_repeated or is_row or _is_words(folded) or _is_words(_WITHOUT_END.sub("", folded).translate(_LEET))


def _is_words(folded: str) -> bool:
    """Whether one to three of the words, and hardly a letter more."""
    letters = _NO_LETTER.sub("", folded)
    return 1 <= len(_WORDS.findall(letters)) <= 3 and len(_WORDS.sub("", letters)) < 4


def _neighbours(text: str) -> int:
    """How many characters follow the one before as on a keyboard, in the alphabet or in counting."""
    return sum(any(pair in row for row in _ROWS) for pair in map("".join, pairwise(text)))


_KEYBOARD = ("1234567890-=", "qwertyuiop[]", "asdfghjkl;'", "zxcvbnm,./", "abcdefghijklmnopqrstuvwxyz", "01234567890")
_ROWS = (*_KEYBOARD, *(row[::-1] for row in _KEYBOARD))
_LEET = str.maketrans({"0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t", "@": "a", "$": "s", "!": "i"})
_NO_LETTER = re.compile(r"[\W\d_]")
_WITHOUT_END = re.compile(r"[\W\d_]+\Z")
_WORDS = re.compile("|".join(sorted(COMMON, key=len, reverse=True)))


class Passwords:
    """Argon2id at the cost of OWASP's advice and above (19 MiB and 2 rounds are its least; this is 32 MiB and 3)."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher(time_cost=3, memory_cost=32 * 1024, parallelism=1)
        self._nobody = self._hasher.hash("the password of nobody")
        self._limiter: CapacityLimiter | None = None

    async def hash(self, password: str) -> str:
        return await self._in_thread(lambda: self._hasher.hash(normalised(password)))

    async def verify(self, stored: str | None, password: str) -> bool:
        """Given what is stored, or None for a user that does not exist or has no password, return whether it fits."""
        return await self._in_thread(lambda: self._fits(stored, password))

    def needs_rehash(self, stored: str) -> bool:
        """Whether it was hashed at another cost than today's."""
        return self._hasher.check_needs_rehash(stored)

    def _fits(self, stored: str | None, password: str) -> bool:
        if len(password) > MAX_CHARACTERS:  # never one of ours; not worth more work than the others
            stored, password = None, ""
        try:
            self._hasher.verify(stored or self._nobody, normalised(password))
        except (VerificationError, InvalidHashError):
            return False
        return stored is not None

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._limiter is None:  # it belongs to a running loop
            self._limiter = CapacityLimiter(HASHES_AT_ONCE)
        return await anyio.to_thread.run_sync(work, limiter=self._limiter)
