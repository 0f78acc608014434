"""The limit of the upload, and the few threads that work through many items."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator

import pytest

from backup.vault import parallel
from backup.vault.throttle import BURST_S, Throttle, Throttled
from tests.clock import FakeClock


def throttle(clock: FakeClock, bytes_per_s: float | None) -> Throttle:
    return Throttle(bytes_per_s, monotonic=clock.monotonic, sleep=clock.advance)


def test_bytes_pass_at_the_rate_and_a_pause_is_made_up_for_only_so_far() -> None:
    clock = FakeClock()
    limit = throttle(clock, 1000)
    for _ in range(100):
        limit.take(100)
    assert clock.monotonic() == pytest.approx(10.0)
    clock.advance(3600)
    begun = clock.monotonic()
    limit.take(1000)
    assert clock.monotonic() - begun == pytest.approx(1.0 - BURST_S)


def test_without_a_limit_nothing_waits() -> None:
    clock = FakeClock()
    throttle(clock, None).take(10**12)
    assert clock.monotonic() == 0


def test_a_throttled_file_can_be_rewound_and_pays_again() -> None:
    clock = FakeClock()
    stream = Throttled(io.BytesIO(b"x" * 1000), throttle(clock, 1000))
    assert stream.seek(0, 2) == stream.tell() == 1000
    for _ in range(2):
        stream.seek(0)
        assert len(b"".join(iter(lambda: stream.read(64), b""))) == 1000
    assert clock.monotonic() == pytest.approx(2.0)


def test_every_item_comes_back_with_its_result_or_its_error() -> None:
    def work(item: int) -> int:
        if item % 7 == 0:
            raise ValueError(str(item))
        return item * 2

    with parallel.each(range(100), work, 4) as results:
        found = dict(results)
    assert set(found) == set(range(100))
    for item, result in found.items():
        assert str(result) == (str(item) if item % 7 == 0 else str(item * 2))
        assert isinstance(result, ValueError) == (item % 7 == 0)


def test_few_items_are_taken_ahead_and_none_when_nobody_listens() -> None:
    taken = 0
    lock = threading.Lock()

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(10_000):
            with lock:
                taken += 1
            yield number

    with parallel.each(items(), int, 2) as results:
        next(results)
        assert taken <= 2 * 2 + 1
    assert taken <= 2 * 2 + 1
    with parallel.each(list[int](), int, 2) as results:
        assert list(results) == []


def test_nothing_is_at_work_any_more_once_the_caller_goes_on() -> None:
    at_work, begun = set[int](), threading.Event()
    lock = threading.Lock()

    def work(item: int) -> None:
        with lock:
            at_work.add(item)
        begun.wait()
        with lock:
            at_work.discard(item)
        if item == 0:
            raise OSError("gone")

    kept = []  # as a traceback keeps what is local to its frames

    def use() -> None:
        with parallel.each(range(8), work, 4) as results:
            kept.append(results)
            threading.Timer(0.05, begun.set).start()
            for _, found in results:
                if isinstance(found, OSError):
                    raise found

    with pytest.raises(OSError, match="gone"):
        use()
    assert at_work == set()
