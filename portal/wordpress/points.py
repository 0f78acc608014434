"""What a restore point is to this room: something that another room makes before what has no other way back."""

from __future__ import annotations

from typing import Protocol

from portal.actor import Actor
from portal.operations.progress import Progress


class RestorePoints(Protocol):
    """Points of one site: its database and its files together."""

    async def is_connected(self, site: str) -> bool:
        """Whether a point of this site can be made now."""
        ...

    async def make(self, actor: Actor, site: str, progress: Progress) -> str:
        """Make one, see that it holds, and return its id. Raise a Problem."""
        ...


class NoRestorePoints:
    """Where no backup is connected."""

    async def is_connected(self, site: str) -> bool:
        return False

    async def make(self, actor: Actor, site: str, progress: Progress) -> str:
        raise NotImplementedError("nobody asks for what is not connected")
