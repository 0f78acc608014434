"""Random ids: those that open something (256 bits, stored as their digest) and those that only name something.

Pure.
"""

from __future__ import annotations

import hashlib
import secrets


def new_secret() -> str:
    """256 random bits, fit for a cookie, a header and a URL's fragment."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """What is stored of a secret. One round is enough: nobody tries 2^256 values."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def new_id() -> str:
    return secrets.token_hex(8)
