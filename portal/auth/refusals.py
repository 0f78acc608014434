"""Refused attempts in the audit, without letting whoever is refused fill the disk."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from kit.clock import Clock
from kit.logging import get_logger
from portal.actor import Actor, Kind
from portal.audit import Result, record_now
from portal.db import Database

log = get_logger()

WINDOW_S = 60.0
MAX_KEYS = 1_000
ROWS_PER_WINDOW: Mapping[Kind, int] = {"anonymous": 1, "user": 30, "token": 30, "local": 30, "system": 30}


class Refusals:
    """Records refused attempts: of a stranger the first of each minute and address, of others up to 30 a minute."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db, self._clock = db, clock
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()

    async def record(self, actor: Actor, act: str, target: str, reason: str) -> None:
        log.info("attempt_refused", act=act, target=target, reason=reason, actor=actor.name, source=actor.source)
        if self._is_within_bounds(actor):
            await record_now(self._db, actor, actor.tag(act), target, Result.DENIED, detail=reason)

    def _is_within_bounds(self, actor: Actor) -> bool:
        key = f"{actor.kind} {actor.id or actor.source}"
        now = self._clock.monotonic()
        began, rows = self._windows.get(key, (now, 0))
        if now - began >= WINDOW_S:
            began, rows = now, 0
        self._windows[key] = (began, rows + 1)
        self._windows.move_to_end(key)
        if len(self._windows) > MAX_KEYS:
            self._windows.popitem(last=False)
        return rows < ROWS_PER_WINDOW[actor.kind]
