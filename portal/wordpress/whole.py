"""Steps that are not left in the middle: what has been asked of a site's programs goes on without whoever asked."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def whole(work: Coroutine[Any, Any, T]) -> T:
    """Await `work`. Cancelled meanwhile, wait for its end before raising: as long as it lasts, its site is not free."""
    task = asyncio.ensure_future(work)
    was_cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            was_cancelled = True
    if was_cancelled:
        if not task.cancelled():
            task.exception()  # looked at: being cancelled is the news now
        raise asyncio.CancelledError
    return task.result()
