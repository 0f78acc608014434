"""When what runs, in the configured zone: one table for the systemd units, the cron file, the catalog and `--if-due`.

Pure. A wall-clock time that a change of the clocks skips counts as the instant an hour later, one that it repeats as
the first of the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from backup.points import PointKind

SUNDAY = 6  # date.weekday()


@dataclass(frozen=True, slots=True)
class Row:
    """
    name       of its units: homeport-backup-<name>
    arguments  of `homeport backup`
    at         wall-clock time; None: every hour, at minute 5
    weekday    0 Monday to 6 Sunday, None: any
    day        of the month, None: any
    months     None: all
    """

    name: str
    arguments: tuple[str, ...]
    text: str
    at: time | None
    weekday: int | None = None
    day: int | None = None
    months: tuple[int, ...] | None = None

    @property
    def verb(self) -> str:
        return " ".join(self.arguments)

    @property
    def needs_vault(self) -> bool:
        return "vault" in self.arguments

    def is_on(self, day: date) -> bool:
        return (
            (self.weekday is None or day.weekday() == self.weekday)
            and (self.day is None or day.day == self.day)
            and (self.months is None or day.month in self.months)
        )


TIMETABLE = (
    Row("weekly", ("run", "weekly"), "the weekly point", time(2), weekday=SUNDAY),
    Row("daily", ("run", "daily"), "the daily point", time(3)),
    Row("vault", ("vault", "sync"), "the vault: upload, extend, read back, seal", time(4)),
    Row("drill", ("drill",), "restore a mailbox and a site into scratch", time(5), day=1),
    Row(
        "vault-drill",
        ("drill", "--origin", "vault"),
        "the same from the vault",
        time(6),
        day=1,
        months=(1, 4, 7, 10),
    ),
    Row(
        "vault-verify",
        ("vault", "verify", "--attack"),
        "read the vault back, and try to destroy it",
        time(7),
        weekday=SUNDAY,
    ),
    Row("audit-head", ("vault", "audit-head"), "the head of the portal's audit chain into the vault", None),
)
HOURLY_MINUTE = 5


def row(name: str) -> Row:
    return next(each for each in TIMETABLE if each.name == name)


def next_at(row: Row, now: datetime, zone: ZoneInfo) -> datetime:
    """Given an aware time, return the first occurrence after it, in UTC."""
    if row.at is None:
        this_hour = now.astimezone(UTC).replace(minute=HOURLY_MINUTE, second=0, microsecond=0)
        return this_hour if this_hour > now else this_hour + timedelta(hours=1)
    day = now.astimezone(zone).date()
    while True:
        at = datetime.combine(day, row.at, zone).astimezone(UTC)
        if row.is_on(day) and at > now:
            return at
        day += timedelta(days=1)


def last_at(row: Row, now: datetime, zone: ZoneInfo) -> datetime:
    """Given an aware time, return the last occurrence not after it, in UTC."""
    if row.at is None:
        this_hour = now.astimezone(UTC).replace(minute=HOURLY_MINUTE, second=0, microsecond=0)
        return this_hour if this_hour <= now else this_hour - timedelta(hours=1)
    day = now.astimezone(zone).date()
    while True:
        at = datetime.combine(day, row.at, zone).astimezone(UTC)
        if row.is_on(day) and at <= now:
            return at
        day -= timedelta(days=1)


def scheduled_day(kind: PointKind, now: datetime, zone: ZoneInfo) -> date:
    """Given when a run was started, return the local date it was scheduled for: of a run caught up at 01:00 it is
    yesterday's, of a weekly one last Sunday's. That date names the point, however long it waits for a lock.
    """
    return last_at(row(kind.value), now, zone).astimezone(zone).date()
