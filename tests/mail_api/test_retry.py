"""mail.md 4.3, as a table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mail_api.retry import HOLD_AFTER_S, delay_s

MINUTES = [1, 2, 5, 10, 15, 30, 60, 60, 60]


@pytest.mark.parametrize(("attempt", "minutes"), list(enumerate(MINUTES, 1)))
def test_delay_follows_the_table(attempt: int, minutes: int) -> None:
    assert delay_s(attempt) == minutes * 60


@pytest.mark.parametrize("attempt", [0, -1])
def test_delay_before_the_first_failure_is_an_error(attempt: int) -> None:
    with pytest.raises(ValueError, match="has not been made"):
        delay_s(attempt)


@given(attempt=st.integers(1, 10_000), jitter=st.floats(0, 1))
def test_delay_jitter_lengthens_only_the_hourly_waits_and_by_a_tenth_at_most(attempt: int, jitter: float) -> None:
    plain, jittered = delay_s(attempt), delay_s(attempt, jitter=jitter)
    assert plain <= delay_s(attempt + 1)
    assert plain <= jittered <= plain * 1.1 + 1e-9
    assert attempt > 6 or jittered == plain


def test_hold_comes_after_five_days_and_some_hundred_attempts() -> None:
    attempts, waited_s = 0, 0.0
    while waited_s < HOLD_AFTER_S:
        attempts += 1
        waited_s += delay_s(attempts)
    assert HOLD_AFTER_S == 5 * 24 * 3600
    assert attempts == 125
