"""How often somebody may try: by account and by address, with a growing delay, without a lock-out (security.md 3.11).

    attempt = throttle.begin(account="mika", address="100.64.0.7")     # raises TooManyAttempts
    ...
    throttle.succeeded(attempt)                                        # takes the attempt back

An attempt counts as failed from its beginning, so that two hundred at once are not all let in before the first fails.
Five in a minute are free; from there on each failure makes the next wait twice as long, up to a minute, and a quarter
of an hour without a failure forgets them. A minute is the most that anybody can make somebody else wait, and not even
that from an address where the account has logged in before: such an address is judged by itself alone.

Kept in memory: the portal is one process, and nobody who guesses can restart it. Bounded: when there are too many keys,
the ones whose last failure is oldest are forgotten.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from dataclasses import dataclass, field

from kit.clock import Clock
from kit.problem import Problem

FREE_ATTEMPTS, WINDOW_S = 5, 60.0  # security.md 3.11
DELAYS_S = (2.0, 4.0, 8.0, 16.0, 32.0, 60.0)  # after the fifth failure in a row, the sixth, ...; then the last
FORGET_S = 900.0
MAX_KEYS = 10_000
MAX_KNOWN = 1_000


class TooManyAttempts(Problem):
    """Too many attempts by this account or from this address. `Retry-After` says when the next one is heard."""

    status, type, title = 429, "too-many-attempts", "Too many attempts"

    def __init__(self, wait_s: float) -> None:
        seconds = max(1, math.ceil(wait_s))
        super().__init__(f"Try again in {seconds} s.", headers={"Retry-After": str(seconds)}, retry_after_s=seconds)


@dataclass(frozen=True, slots=True)
class Attempt:
    account: str
    address: str
    at: float
    keys: tuple[str, ...]


@dataclass(slots=True)
class _Failures:
    """Of one key: the times within the window, how many in a row, and when the last one was."""

    times: deque[float] = field(default_factory=deque)
    in_a_row: int = 0

    def wait_s(self, now: float) -> float:
        """How long until the next attempt is heard; 0 for now."""
        if not self.times:
            return 0.0
        last = self.times[-1]
        if now - last >= FORGET_S:
            self.times.clear()
            self.in_a_row = 0
            return 0.0
        while self.times[0] <= now - WINDOW_S and len(self.times) > 1:
            self.times.popleft()
        is_full = len(self.times) >= FREE_ATTEMPTS
        until_window = self.times[-FREE_ATTEMPTS] + WINDOW_S if is_full else now
        until_delay = last + DELAYS_S[min(self.in_a_row - FREE_ATTEMPTS, len(DELAYS_S) - 1)] if self._is_slowed else now
        return max(0.0, until_window - now, until_delay - now)

    @property
    def _is_slowed(self) -> bool:
        return self.in_a_row >= FREE_ATTEMPTS


class Throttle:
    """One for each kind of attempt. Used on the event loop only."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, _Failures] = OrderedDict()
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def begin(self, *, account: str, address: str) -> Attempt:
        """Count an attempt, or raise TooManyAttempts. `account` as typed: an unknown one is counted like any other."""
        now = self._clock.monotonic()
        keys = [f"address {address}"]
        if account and (account, address) not in self._known:
            keys.append(f"account {account}")
        waits = [self._failures[key].wait_s(now) for key in keys if key in self._failures]
        if any(waits):
            raise TooManyAttempts(max(waits))
        for key in keys:
            failures = self._failures.setdefault(key, _Failures())
            failures.times.append(now)
            failures.in_a_row += 1
            self._failures.move_to_end(key)
        while len(self._failures) > MAX_KEYS:
            self._failures.popitem(last=False)
        return Attempt(account, address, now, tuple(keys))

    def withdraw(self, attempt: Attempt) -> None:
        """It was neither right nor wrong, such as a right password that still needs a second factor."""
        for key in attempt.keys:
            failures = self._failures.get(key)
            if failures and attempt.at in failures.times:
                failures.times.remove(attempt.at)
                failures.in_a_row -= 1
                if not failures.times:
                    del self._failures[key]

    def succeeded(self, attempt: Attempt) -> None:
        """The account's failures are forgotten, the address's are not: it may be trying others' accounts too."""
        self.withdraw(attempt)
        if not attempt.account:
            return
        self._failures.pop(f"account {attempt.account}", None)
        self._known[attempt.account, attempt.address] = None
        self._known.move_to_end((attempt.account, attempt.address))
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
