"""Whether a scheduled run still has to be made: for cron, which knows no zones and catches nothing up.

A run that has begun since its hour counts as made, whatever its end: a failed night is told, not repeated. One that was
cut off does not count.

Where the record of runs cannot be read the run is made at its hour, so that it meets that and tells it; the later asks
of cron end with the error, and tell nobody again.
"""

from __future__ import annotations

from datetime import timedelta

from backup.exit_codes import DestinationFailed
from backup.file_journal import INTERRUPTED
from backup.house import House
from backup.runs import end_dead_runs
from backup.schedule.timetable import TIMETABLE, last_at
from kit.clock import now_utc

BETWEEN_ASKS = timedelta(minutes=30)  # of cron


def is_due(house: House, verb: str) -> bool:
    """Raise DestinationFailed."""
    row = next(each for each in TIMETABLE if each.verb == verb)
    now = now_utc(house.clock)
    since = last_at(row, now, house.settings.time_zone)
    try:
        facts = house.facts()
        end_dead_runs(house.layout, facts, house.clock)
        began = facts.last_started(verb, without=INTERRUPTED)
    except DestinationFailed:
        if now - since < BETWEEN_ASKS:
            return True
        raise
    return began is None or began < since
