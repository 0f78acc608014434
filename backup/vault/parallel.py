"""Some work for many items by a few threads; results come back to the caller's thread as they are done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

THREADS = "vault"
Item = TypeVar("Item")
Result = TypeVar("Result")


def each(
    items: Iterable[Item], work: Callable[[Item], Result], threads: int
) -> Generator[tuple[Item, Result | Exception], None, None]:
    """Yield each item with its result, or with the exception that its work has raised, in any order.

    When the caller stops listening nothing new is begun, and what is under way is waited for. Few items are taken ahead
    of the threads, so that a million of them take no memory.
    """
    waiting = iter(items)
    pool = ThreadPoolExecutor(threads, thread_name_prefix=THREADS)
    try:
        running: dict[Future[Result], Item] = {}
        while True:
            for item in waiting:
                running[pool.submit(work, item)] = item
                if len(running) >= 2 * threads:
                    break
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                item = running.pop(future)
                error = future.exception()
                if error is not None and not isinstance(error, Exception):
                    raise error
                yield item, error if error is not None else future.result()
    finally:
        # An iteration that was left half-way is ended by whichever thread collects it; none can wait for itself.
        pool.shutdown(wait=not threading.current_thread().name.startswith(THREADS))
