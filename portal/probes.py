"""What rooms offer to the dashboard and the alerts: probes, which measure, and `UsedBy`, which says what hangs on what.

A room implements the protocols; app.py hands them over. Nobody but the room knows how it measures.

The rule (ux.md): nothing is green that was not measured. A reading has a value, a unit, a time, a probe and a limit.
When it is older than twice its interval, or the probe fails, value and time stay and the status is unknown. `Readings`
keeps the last one of each probe; a probe that hangs or fails costs its own line only.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from pydantic import BaseModel

from kit.clock import Clock, now_utc
from kit.logging import get_logger
from kit.problem import Problem

log = get_logger()

STALE_AFTER = 2  # intervals
USES_S = 3.0  # a dialog waits for it


class Status(enum.StrEnum):
    """What a reading means. The order is that of urgency."""

    OK = "ok"
    NOT_CONNECTED = "not_connected"  # a setting is missing, which is no fault
    UNKNOWN = "unknown"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Reading:
    """
    value        None when nothing could be measured; then `status` is not OK
    unit         "" for counts and words
    limit        what the value is held against, in words: "at most 26 h"; "" when there is none
    measured_at  when this was true; None: never
    detail       one line on what was found, or why nothing was
    """

    status: Status
    value: float | str | None
    unit: str
    limit: str
    measured_at: datetime | None
    detail: str = ""

    def __post_init__(self) -> None:
        if self.status is Status.OK and (self.value is None or self.measured_at is None):
            raise ValueError("nothing is ok that was not measured")


class Probe(Protocol):
    """
    name        "room:what", such as "containers:unhealthy"
    interval_s  how often it is measured
    timeout_s   after which a measurement has failed
    """

    @property
    def name(self) -> str: ...
    @property
    def interval_s(self) -> float: ...
    @property
    def timeout_s(self) -> float: ...

    async def measure(self) -> Reading:
        """Look once. Raise when that is not possible; the reading is then unknown."""
        ...


@dataclass(frozen=True, slots=True)
class Use:
    """Something that depends on something: `kind` and `name` say what, `why` in a word: "serves", "delivers to"."""

    room: str
    kind: str
    name: str
    why: str


class UseView(BaseModel):
    """Something that depends on something. why: depends-on, publishes, goes-dark ..."""

    room: str
    kind: str
    name: str
    why: str

    @classmethod
    def of(cls, use: Use) -> UseView:
        return cls(room=use.room, kind=use.kind, name=use.name, why=use.why)


class UsedBy(Protocol):
    """A room that knows what depends on things of its own or of other rooms."""

    async def used_by(self, kind: str, name: str) -> Sequence[Use]:
        """Return what would suffer if this were gone; empty when nothing does, or when the room does not know it."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """silent_rooms: those that failed or gave no answer in time; what hangs on the thing there is unknown."""

    uses: tuple[Use, ...]
    silent_rooms: tuple[str, ...]


class Uses:
    """All rooms, asked together what depends on a thing."""

    def __init__(self, rooms: Mapping[str, UsedBy], *, timeout_s: float = USES_S) -> None:
        self._rooms = rooms
        self._timeout_s = timeout_s

    async def of(self, kind: str, name: str) -> Found:
        """Raises nothing that a room does."""
        answers = await asyncio.gather(*(self._ask(room, kind, name) for room in self._rooms))
        silent = tuple(room for room, answer in zip(self._rooms, answers, strict=True) if answer is None)
        return Found(tuple(use for answer in answers for use in answer or ()), silent)

    async def _ask(self, room: str, kind: str, name: str) -> Sequence[Use] | None:
        limit = asyncio.timeout(self._timeout_s)
        try:
            async with limit:
                return await self._rooms[room].used_by(kind, name)
        except Exception as error:
            is_expected = limit.expired() or isinstance(error, Problem)
            log.warning(
                "used_by_failed", room=room, error=type(error).__name__, exc_info=None if is_expected else error
            )
            return None


class Readings:
    """The last reading of each probe."""

    def __init__(self, probes: Sequence[Probe], clock: Clock) -> None:
        self._probes = {probe.name: probe for probe in probes}
        if len(self._probes) != len(probes):
            raise ValueError("two probes of one name")
        self._clock = clock
        self._last: dict[str, Reading] = {}

    @property
    def probes(self) -> Sequence[Probe]:
        return tuple(self._probes.values())

    async def measure(self, name: str) -> Reading:
        """Ask one probe now, and keep what it says. Raises nothing that the probe does."""
        probe = self._probes[name]
        limit = asyncio.timeout(probe.timeout_s)
        try:
            async with limit:
                reading = await probe.measure()
        except Exception as error:
            detail = f"no answer within {probe.timeout_s:g} s" if limit.expired() else type(error).__name__
            is_expected = limit.expired() or isinstance(error, Problem)  # only a defect needs its trace
            log.warning("probe_failed", probe=name, error=detail, exc_info=None if is_expected else error)
            reading = replace(self._last.get(name, _UNKNOWN), status=Status.UNKNOWN, detail=detail)
        self._last[name] = reading
        return reading

    def shown(self) -> dict[str, Reading]:
        """Return every probe's reading as it may be shown now: what is too old keeps its value and is unknown."""
        return {name: self._shown(probe) for name, probe in self._probes.items()}

    def _shown(self, probe: Probe) -> Reading:
        reading = self._last.get(probe.name, _UNKNOWN)
        if reading.measured_at is None:
            return reading
        age = now_utc(self._clock) - reading.measured_at
        is_stale = age > timedelta(seconds=STALE_AFTER * probe.interval_s)
        return replace(reading, status=Status.UNKNOWN) if is_stale else reading


_UNKNOWN = Reading(Status.UNKNOWN, None, "", "", None)
