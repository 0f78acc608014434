"""Text that people type into the portal: what is refused in it, and what is made visible.

A line break in a name has turned into a forged session elsewhere (CVE-2026-41940), a bidi mark into a name that reads
as another one. So names, labels and passwords with such characters are refused where they come in.
"""

from __future__ import annotations

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

# control, format (bidi, zero-width), surrogate, private use, unassigned, line and paragraph separator
_REFUSED = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def has_control_characters(text: str) -> bool:
    """Whether any character is invisible, breaks a line or turns the direction of writing."""
    return any(unicodedata.category(character) in _REFUSED for character in text)


def visible(text: str, *, characters: int) -> str:
    """Given text of a stranger, such as a User-Agent, return it without such characters and cut to a length."""
    return "".join(each for each in text[: 4 * characters] if unicodedata.category(each) not in _REFUSED)[:characters]


def _plain(text: str) -> str:
    if has_control_characters(text):
        raise ValueError("has control characters")
    if not text.strip() or text != text.strip():
        raise ValueError("is empty, or begins or ends with a space")
    return text


Label = Annotated[str, StringConstraints(max_length=64), AfterValidator(_plain)]
UserName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9._-]{0,31}\z")]
