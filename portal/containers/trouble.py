"""Crash loops, deaths for want of memory, failing health checks: from what the engine says, not from looking often.

A crash loop is MAX_DEATHS ends within WINDOW_S that nobody asked for. Each end is an event; ends that happened while
nobody listened (the portal or the broker was away) show in the engine's RestartCount, which is compared at every look.
An end that follows the engine's own `kill` event within GRACE_S was asked for: a stop, a restart, a removal.

Pure: time is what the engine's events and the caller say.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from portal.broker.schemas import Container, Event

Trouble = Literal["crash-loop", "oom", "unhealthy"]

WINDOW_S = 600.0  # the engine's own pause between tries grows to 60 s: a loop has ten of them in here
MAX_DEATHS = 3
OOM_SHOWN_S = 3600.0
GRACE_S = 150.0  # between the signal and the end: the longest grace an act may give, and a little


@dataclass(slots=True)
class _Seen:
    """deaths, ooms: when. killed_at: the last signal. restarts: the engine's count at the last look."""

    deaths: deque[float] = field(default_factory=lambda: deque(maxlen=32))
    oom_at: float | None = None
    killed_at: float | None = None
    restarts: int | None = None
    heard: int = 0  # ends that were events and have not shown in the count yet


class Troubles:
    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def hear(self, event: Event) -> None:
        """Take note of one event; in the engine's order."""
        seen = self._seen.setdefault(event.container, _Seen())
        match event.action:
            case "kill":
                seen.killed_at = event.at
            case "oom":
                seen.oom_at = event.at
            case "die":
                was_asked_for = seen.killed_at is not None and 0 <= event.at - seen.killed_at <= GRACE_S
                seen.killed_at = None
                seen.heard += not was_asked_for
                if not was_asked_for:
                    seen.deaths.append(event.at)
            case "destroy":
                self._seen.pop(event.container, None)

    def look(self, container: Container, now: float) -> None:
        """Take note of how a container is: its RestartCount tells of deaths that nobody heard."""
        seen = self._seen.setdefault(container.id, _Seen())
        more = container.restart_count - (seen.restarts or 0)
        if seen.restarts is not None and more > 0:
            seen.deaths.extend([now] * max(0, min(more - seen.heard, MAX_DEATHS)))
        # The count follows the event by a moment: what was heard is kept until it shows. A start by hand sets it to 0.
        seen.restarts, seen.heard = container.restart_count, 0 if more < 0 else max(0, seen.heard - more)
        if container.oom_killed and seen.oom_at is None:
            seen.oom_at = container.finished_at or now

    def forget_others(self, ids: set[str]) -> None:
        """Only these containers are there."""
        self._seen = {container: seen for container, seen in self._seen.items() if container in ids}

    def of(self, container: Container, now: float) -> tuple[Trouble, ...]:
        """What is wrong with a container, the worst first."""
        seen = self._seen.get(container.id, _Seen())
        found: list[Trouble] = []
        recent = sum(now - at <= WINDOW_S for at in seen.deaths)
        if recent >= MAX_DEATHS or (container.state == "restarting" and container.restart_count >= MAX_DEATHS):
            found.append("crash-loop")
        if seen.oom_at is not None and now - seen.oom_at <= OOM_SHOWN_S:
            found.append("oom")
        if container.health == "unhealthy" and container.state == "running":
            found.append("unhealthy")
        return tuple(found)
