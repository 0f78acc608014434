"""The only back-off: when a spooled message is tried again, and when it is held instead (mail.md 4.3). Pure."""

from __future__ import annotations

FIRST_WAITS_S = (60.0, 120.0, 300.0, 600.0, 900.0, 1800.0)  # mail.md 4.3; then hourly
HOURLY_S = 3600.0
HOLD_AFTER_S = 5 * 86400  # RFC 5321 4.5.4.1: give up after 4-5 days; we hold for the operator and never bounce


def delay_s(attempt: int, *, jitter: float = 0.0) -> float:
    """Given how many attempts have failed, return the wait before the next, in seconds.

    attempt   1 after the first failure
    jitter    0 to 1, drawn by the caller; lengthens the hourly waits by up to 10 %
    returns   1, 2, 5, 10, 15, 30 min, then 60 min; without jitter it never decreases
    raises    ValueError if attempt < 1
    source    RFC 5321 4.5.4.1 advises 30 min between hosts; this hop is a local socket, hence shorter
    """
    if attempt < 1:
        raise ValueError(f"attempt {attempt} has not been made")
    if attempt <= len(FIRST_WAITS_S):
        return FIRST_WAITS_S[attempt - 1]
    return HOURLY_S * (1 + 0.1 * jitter)
