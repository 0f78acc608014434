"""Judging what was measured of a site. Pure: rows in, readings out.

A reading has value, unit, time and limit; nothing is green that was not measured, and what is older than two rounds is
unknown (portal/probes.py).

    origin       does its own web server answer, and how fast
    edge         does its public name, through DNS, edge and tunnel
    certificate  days that the public name's certificate still holds
    uptime       rounds of the last 30 days in which the public name answered
    cache        whether the edge serves the page while the origin is down: seen, or expected from what it has; unknown
                 when the edge does not say
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from portal.probes import STALE_AFTER, Reading, Status
from portal.wordpress.probe_models import SiteReadingRow

EVERY_S = 300.0
KEPT = timedelta(days=30)
SLOW_MS = 3000
CERTIFICATE_WARNING_D, CERTIFICATE_CRITICAL_D = 14.0, 3.0
UPTIME_PERCENT = 99.0
DOWN = 500  # a status from here on is no answer that a visitor wants

_UNKNOWN = Reading(Status.UNKNOWN, None, "", "", None, "not measured yet")


def readings(rows: Sequence[SiteReadingRow], now: datetime) -> dict[str, Reading]:
    """rows: of one site, oldest first."""
    if not rows:
        return dict.fromkeys(("origin", "edge", "certificate", "uptime", "cache"), _UNKNOWN)
    last = rows[-1]
    found = {
        "origin": _answer(last, last.origin_status, last.origin_ms, last.origin_error),
        "edge": _answer(last, last.edge_status, last.edge_ms, last.edge_error),
        "certificate": _certificate(last, now),
        "uptime": _uptime(rows),
        "cache": _cache(rows),
    }
    return {name: _as_old_as_it_is(reading, now) for name, reading in found.items()}


def is_up(status: int | None) -> bool:
    return status is not None and status < DOWN


def _answer(row: SiteReadingRow, status: int | None, ms: int | None, error: str) -> Reading:
    limit = f"below {DOWN}, at most {SLOW_MS} ms"
    if status is None and not error:
        return Reading(Status.NOT_CONNECTED, None, "", limit, None, "nobody asked: a setting is missing")
    if status is None:
        return Reading(Status.CRITICAL, None, "ms", limit, row.at, error)
    if status >= DOWN:
        return Reading(Status.CRITICAL, ms, "ms", limit, row.at, f"it answers {status}")
    is_slow = ms is not None and ms > SLOW_MS
    return Reading(Status.WARNING if is_slow else Status.OK, ms, "ms", limit, row.at, f"it answers {status}")


def _certificate(row: SiteReadingRow, now: datetime) -> Reading:
    limit = f"at least {CERTIFICATE_WARNING_D:g} d"
    if row.certificate_until is None:
        return Reading(Status.UNKNOWN, None, "d", limit, None, row.edge_error or "no certificate was seen")
    left_d = (row.certificate_until - now) / timedelta(days=1)
    status = Status.OK if left_d >= CERTIFICATE_WARNING_D else Status.WARNING
    if left_d < CERTIFICATE_CRITICAL_D:
        status = Status.CRITICAL
    return Reading(
        status, int(left_d * 10) / 10, "d", limit, row.at, f"until {row.certificate_until:%Y-%m-%d %H:%M} UTC"
    )


def _uptime(rows: Sequence[SiteReadingRow]) -> Reading:
    """Of the rounds in which somebody asked: what was not measured counts for nothing."""
    limit = f"at least {UPTIME_PERCENT:g} %"
    asked = [row for row in rows if row.edge_status is not None or row.edge_error]
    if not asked:
        return Reading(Status.UNKNOWN, None, "%", limit, None, "the public name was never asked")
    up = sum(is_up(row.edge_status) for row in asked)
    percent = int(up / len(asked) * 1000) / 10  # never shown as more than it was
    days = (asked[-1].at - asked[0].at) / timedelta(days=1)
    status = Status.OK if percent >= UPTIME_PERCENT else Status.WARNING
    return Reading(status, percent, "%", limit, asked[-1].at, f"{len(asked)} looks in {days:.1f} days")


def _cache(rows: Sequence[SiteReadingRow]) -> Reading:
    """The newest time the origin was down says it; without one, what the edge had of the page at the last look."""
    limit = "serves while the origin is down"
    down = [row for row in rows if (row.origin_status is not None or row.origin_error) and not is_up(row.origin_status)]
    told = [row for row in down if row.edge_status is not None or row.edge_error]
    if told:
        row = told[-1]
        has_served = is_up(row.edge_status) and row.is_cached is not False
        detail = f"the origin was down at {row.at:%Y-%m-%d %H:%M} UTC"
        status = Status.OK if has_served else Status.WARNING
        return Reading(status, "served" if has_served else "did not serve", "", limit, rows[-1].at, detail)
    row = rows[-1]
    if row.is_cached is None:
        return Reading(Status.UNKNOWN, None, "", limit, None, "the edge does not say whether it has the page")
    if row.is_cached:
        return Reading(Status.OK, "cached", "", limit, row.at, "the edge has the page; the origin was not down yet")
    return Reading(Status.WARNING, "not cached", "", limit, row.at, "the edge asks the origin each time")


def _as_old_as_it_is(reading: Reading, now: datetime) -> Reading:
    if reading.measured_at is None or now - reading.measured_at <= timedelta(seconds=STALE_AFTER * EVERY_S):
        return reading
    return Reading(
        Status.UNKNOWN, reading.value, reading.unit, reading.limit, reading.measured_at, f"old: {reading.detail}"
    )
