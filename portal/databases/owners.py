"""Who needs a database: what other rooms know of sites, handed in by app.py, since rooms never import each other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class SiteDatabase:
    """A site that is not removed, and the database and the account that it works with."""

    site: str
    server: str
    database: str
    account: str


Owners = Callable[[], Awaitable[Sequence[SiteDatabase]]]
HandOver = Callable[[SiteDatabase, str], Awaitable[None]]  # puts an account's new password where the site reads it
BackedUp = Callable[[], Awaitable[Mapping[tuple[str, str], datetime]]]  # (kind, name) of an asset -> its newest point


async def nobody() -> Sequence[SiteDatabase]:
    return ()


async def never() -> Mapping[tuple[str, str], datetime]:
    return {}
