"""Which part of a name somebody has registered: by the public suffix list (publicsuffix.org) of its package.

The list is read once, from the package; nothing is fetched.
"""

from __future__ import annotations

import functools
import re

from publicsuffixlist import PublicSuffixList

_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")


def registrable(domain: str) -> str | None:
    """Given a domain as A-labels, return what of it is registered, or None when it is a public suffix or no name.

    "mail.example.co.jp" -> "example.co.jp"; "co.jp" -> None; a top-level name that the list doesn't know is one suffix.
    """
    name = domain.rstrip(".").lower()
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        return None
    found = _suffixes().privatesuffix(name)
    return str(found) if found else None


@functools.cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()
