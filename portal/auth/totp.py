"""Time-based one-time codes (RFC 6238): SHA-1, 6 digits, 30 s, which is what every authenticator app can do.

A code is good once: `verify` returns the step it belongs to, the caller stores it, and no step up to it is accepted
again (ASVS 5.0 6.5.1). One step before and after the present is accepted, for clocks that are off by half a minute.

Pure.
"""

from __future__ import annotations

import hmac
import re

import pyotp
import segno

STEP_S = 30
TOLERATED_STEPS = 1
SECRET_CHARACTERS = 32  # base32: 160 bits, as long as the key of HMAC-SHA-1 should be (RFC 4226 section 4)
ISSUER = "Homeport"

_CODE = re.compile(r"[0-9]{6}", re.ASCII)


def new_secret() -> str:
    return pyotp.random_base32(SECRET_CHARACTERS)


def verify(secret: str, code: str, *, now: float, last_step: int | None) -> int | None:
    """Given a code as typed (spaces allowed), return the step it belongs to, or None if it is wrong or was used.

    now        seconds since the epoch
    last_step  the newest step that was ever accepted for this secret
    """
    code = code.replace(" ", "")
    if not _CODE.fullmatch(code):
        return None
    present, generator = int(now // STEP_S), pyotp.TOTP(secret)
    found = None
    for step in range(present - TOLERATED_STEPS, present + TOLERATED_STEPS + 1):
        is_right = hmac.compare_digest(generator.generate_otp(step), code)
        if is_right and (last_step is None or step > last_step):
            found = step
    return found


def uri(secret: str, name: str, host: str) -> str:
    """Return the otpauth:// address that an app reads from the QR code. `host` tells two portals apart."""
    return pyotp.TOTP(secret).provisioning_uri(name=f"{name}@{host}", issuer_name=ISSUER)


def qr_svg(text: str) -> str:
    """Return a QR code as an SVG document, without anything a content security policy would refuse."""
    return segno.make(text, error="m").svg_inline(scale=4, border=2, omitsize=True)
