"""Some work for many items by a few threads; results come back to the caller's thread as they are done."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

THREADS = "vault"
Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def each(
    items: Iterable[Item], work: Callable[[Item], Result], threads: int
) -> Iterator[Iterator[tuple[Item, Result | Exception]]]:
    """Give each item with its result, or with the exception that its work has raised, in any order.

    At the end of the context, however it ends, nothing new is begun, and what is under way has been waited for: no
    thread writes any more once the caller goes on. Few items are taken ahead of the threads, so that a million of them
    take no memory.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix=THREADS)
    try:
        yield _results(pool, iter(items), work, 2 * threads)
    finally:
        pool.shutdown(cancel_futures=True)


def _results(
    pool: ThreadPoolExecutor, waiting: Iterator[Item], work: Callable[[Item], Result], ahead: int
) -> Iterator[tuple[Item, Result | Exception]]:
    running: dict[Future[Result], Item] = {}
    while True:
        for item in itertools.islice(waiting, ahead - len(running)):
            running[pool.submit(work, item)] = item
        if not running:
            return
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            item = running.pop(future)
            error = future.exception()
            if error is not None and not isinstance(error, Exception):
                raise error
            yield item, error if error is not None else future.result()
