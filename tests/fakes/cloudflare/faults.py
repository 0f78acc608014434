"""What a test can make go wrong: answers, silences and ends of connections at chosen requests, and a rate limit."""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tests.fakes.cloudflare.envelope import Answer, failure

How = Literal["hang", "unsuccessful", "reset", "applied-then-reset"]

# These come from the proxy before the API, not from the API: no envelope.
_HTML = frozenset({502, 504, *range(520, 531)})
_SAYS = {
    429: (971, "Please wait and consider throttling your request speed"),
    500: (10001, "We encountered an internal error. Please try again."),
    503: (10001, "Service temporarily unavailable"),
}


@dataclass(slots=True)
class Fault:
    """status   a status, or a way to fail: see CloudflareFake.fail"""

    method: str
    path: re.Pattern[str]
    status: int | How
    left: float  # how many requests it still hits
    skip: int  # how many matching requests it lets pass first
    retry_after: int | None
    code: int | None
    message: str | None

    def hits(self, method: str, path: str, *, is_write: bool) -> bool:
        """Say whether it strikes this request, and count it."""
        if self.left <= 0 or not (self.method in ("*", method) or (self.method == "write" and is_write)):
            return False
        if not self.path.search(path):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.left -= 1
        return True

    def answer(self) -> Answer:
        """The answer of a fault that is one; the others are acts of the server."""
        if self.status == "unsuccessful":
            return failure(200, self.code or 10001, self.message or "We could not do this.")
        assert isinstance(self.status, int)
        headers = {"retry-after": str(self.retry_after)} if self.retry_after is not None else {}
        if self.status in _HTML and self.message is None:
            return Answer(self.status, f"<html><h1>{self.status}</h1></html>".encode(), "text/html", headers)
        code, message = _SAYS.get(self.status, (10001, "Refused by the test"))
        return failure(self.status, self.code or code, self.message or message, headers=headers)


class Faults:
    """Those that wait; the first that fits strikes a request. Added by the test's thread, used by the server's."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._waiting.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()

    def strike(self, method: str, path: str, *, is_write: bool) -> Fault | None:
        with self._lock:
            return next((fault for fault in self._waiting if fault.hits(method, path, is_write=is_write)), None)


class RateLimit:
    """Off until set. A fixed window per token; who exceeds it is refused until the window ends."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._per_window: int | None = None
        self._window_s = 0.0
        self._windows: dict[str, tuple[float, int]] = {}  # token -> its window's start, requests in it

    def set(self, per_window: int | None, window_s: float) -> None:
        self._per_window, self._window_s = per_window, window_s
        self._windows = {}

    def take(self, token: str) -> tuple[dict[str, str], Answer | None]:
        """Count a request; return the headers that every answer gets, and the 429 if it is one too many."""
        if self._per_window is None:
            return {}, None
        now = self._clock()
        start, used = self._windows.get(token, (now, 0))
        if now >= start + self._window_s:
            start, used = now, 0
        self._windows[token] = (start, used + 1)
        rest_s = math.ceil(start + self._window_s - now)
        headers = {
            "Ratelimit": f'"default";r={max(0, self._per_window - used - 1)};t={rest_s}',
            "Ratelimit-Policy": f'"burst";q={self._per_window};w={math.ceil(self._window_s)}',
        }
        if used < self._per_window:
            return headers, None
        code, message = _SAYS[429]
        return headers, failure(429, code, message, headers={"retry-after": str(max(1, rest_s))})
