"""Whether a scheduled run still has to be made: for cron, which knows no zones and catches nothing up.

A run that has begun since its hour counts as made, whatever its end: a failed night is told, not repeated. One that was
cut off does not count.
"""

from __future__ import annotations

from backup.file_journal import INTERRUPTED
from backup.house import House
from backup.runs import end_dead_runs
from backup.schedule.timetable import TIMETABLE, last_at
from kit.clock import now_utc


def is_due(house: House, verb: str) -> bool:
    row = next(each for each in TIMETABLE if each.verb == verb)
    since = last_at(row, now_utc(house.clock), house.settings.time_zone)
    facts = house.facts()
    end_dead_runs(house.layout, facts, house.clock)
    began = [each for each in facts.runs(limit=1000) if each.verb == verb and each.exit_code != INTERRUPTED]
    return not any(each.started_at >= since for each in began)
