"""What the portal has asked and waits to be answered: half a login, a passkey's challenge, a TOTP secret to confirm.

In memory, for a few minutes, each answered at most once: `take` removes it. Whoever asks holds a random 256-bit id. The
portal is one process; after a restart one begins again. Bounded: the oldest are forgotten.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from typing import Generic, TypeVar

from kit.clock import Clock

T = TypeVar("T")

MAX_PENDING = 2_000


class Challenges(Generic[T]):
    """One kind of question. Used on the event loop only."""

    def __init__(self, clock: Clock, *, lifetime_s: float) -> None:
        self._clock, self._lifetime_s = clock, lifetime_s
        self._pending: OrderedDict[str, tuple[float, T]] = OrderedDict()

    def put(self, value: T) -> str:
        """Return the id under which it is asked for again."""
        challenge_id = secrets.token_urlsafe(32)
        self._pending[challenge_id] = (self._clock.monotonic() + self._lifetime_s, value)
        while len(self._pending) > MAX_PENDING:
            self._pending.popitem(last=False)
        return challenge_id

    def take(self, challenge_id: str) -> T | None:
        """Return the value and forget it; None if there is none or its time is over."""
        ends_at, value = self._pending.pop(challenge_id, (0.0, None))
        return value if self._clock.monotonic() < ends_at else None

    def look(self, challenge_id: str) -> T | None:
        """As `take`, without forgetting it."""
        ends_at, value = self._pending.get(challenge_id, (0.0, None))
        return value if self._clock.monotonic() < ends_at else None
