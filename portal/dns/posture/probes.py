"""What the dashboard and the alerts read of the posture: how many mail domains are in trouble, and which."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from kit.clock import Clock, now_utc
from portal.dns.posture.findings import listed
from portal.dns.posture.schemas import Verdict
from portal.probes import Reading, Status

_STATUS: dict[Verdict, Status] = {"error": Status.CRITICAL, "unknown": Status.UNKNOWN, "warning": Status.WARNING}
_WORDS: dict[Verdict, str] = {"error": "broken", "unknown": "not known", "warning": "to be improved"}

LIMIT = "none in trouble"


class PostureProbe:
    """Reads what was last checked; it asks nobody itself. What a domain can do without raises no alarm."""

    name = "dns:posture"
    interval_s = 300.0
    timeout_s = 10.0

    def __init__(self, alarms: Callable[[], Awaitable[Mapping[str, Verdict]]], clock: Clock) -> None:
        self._alarms, self._clock = alarms, clock

    async def measure(self) -> Reading:
        alarms = await self._alarms()
        if not alarms:
            return Reading(Status.NOT_CONNECTED, None, "", "", None, "there is no mail domain yet")
        by_verdict = {verdict: sorted(name for name, each in alarms.items() if each == verdict) for verdict in _STATUS}
        status = next((_STATUS[verdict] for verdict in by_verdict if by_verdict[verdict]), Status.OK)
        detail = "; ".join(f"{_WORDS[verdict]}: {listed(names)}" for verdict, names in by_verdict.items() if names)
        in_trouble = len(by_verdict["error"]) + len(by_verdict["warning"])
        if len(by_verdict["unknown"]) == len(alarms):
            return Reading(Status.UNKNOWN, None, "", LIMIT, None, detail)
        return Reading(status, in_trouble, "", LIMIT, now_utc(self._clock), detail)
