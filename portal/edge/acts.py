"""What every act of a plan has in common: whom it asks, where it writes down what it means, does and undoes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from kit.clock import Clock
from portal.edge.ownership import Kind, Ownership, Thing
from portal.edge.steps import Act, Step
from portal.integrations.cloudflare import Cloudflare, NotFound

Table = dict[tuple[Kind, Act], Callable[[Step], Awaitable[None]]]


@dataclass(frozen=True, slots=True)
class Acts:
    """say   told what takes long, in one line each time"""

    cf: Cloudflare
    owned: Ownership
    clock: Clock
    say: Callable[[str], None]

    def intend(self, step: Step, ours: Any = None) -> None:
        at = int(self.clock.now())
        self.owned.intend(Thing(step.kind, step.zone, step.name, at=at, id=step.id, ours=ours, former=step.former))

    def made(self, step: Step, **changes: Any) -> None:
        self.owned.made(step.kind, step.zone, step.name, **changes)

    def forget(self, step: Step) -> None:
        self.owned.forget(Thing(step.kind, step.zone, step.name, at=0))

    async def gone(self, removal: Awaitable[Any]) -> None:
        """What is not there any more needs no removing."""
        try:
            await removal
        except NotFound:
            return
