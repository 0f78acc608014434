"""A limit of bytes per second that several threads share: a bucket of tokens that fills up at that rate."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import BinaryIO

BURST_S = 0.5  # so long a pause may be made up for


class Throttle:
    """
    bytes_per_s   None: no limit
    """

    def __init__(
        self,
        bytes_per_s: float | None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate, self._monotonic, self._sleep = bytes_per_s, monotonic, sleep
        self._lock = threading.Lock()
        self._free_at = monotonic()  # when all that was taken so far has been paid for

    def take(self, size_bytes: int) -> None:
        """Return when so many bytes may pass."""
        if self._rate is None:
            return
        with self._lock:
            now = self._monotonic()
            self._free_at = max(self._free_at, now - BURST_S) + size_bytes / self._rate
            wait_s = self._free_at - now
        if wait_s > 0:
            self._sleep(wait_s)


class Throttled:
    """A file opened for reading whose bytes pass through a throttle. It can be rewound: an upload may begin again."""

    def __init__(self, stream: BinaryIO, throttle: Throttle) -> None:
        self._stream, self._throttle = stream, throttle

    def read(self, size: int = -1) -> bytes:
        found = self._stream.read(size)
        self._throttle.take(len(found))
        return found

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()
