"""Times in queries: aware, and inside the calendar also in UTC, so that nothing behind them overflows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime


def _in_utc(at: datetime) -> datetime:
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ValueError("is outside the calendar") from None


Instant = Annotated[AwareDatetime, AfterValidator(_in_utc)]
