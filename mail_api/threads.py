"""Blocking work beside the event loop. A leaf."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

INLINE_BYTES = 64 * 1024  # what may be hashed or searched on the event loop itself: about 0.1 ms


async def to_the_end(function: Callable[..., T], *args: object) -> T:
    """Run `function` in a thread; when cancelled, wait until it has ended.

    For work on a descriptor that the caller closes afterwards: a thread that went on alone would write into whatever
    file gets the descriptor's number next.
    """
    work = asyncio.ensure_future(asyncio.to_thread(function, *args))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise


async def if_large(size_bytes: int, function: Callable[..., T], *args: object) -> T:
    """Run `function`, which takes time by the size of its data: here when that is small, else in a thread."""
    return function(*args) if size_bytes <= INLINE_BYTES else await asyncio.to_thread(function, *args)
