"""What the dashboard, the alerts and Prometheus read of the backups room: five measurements of the catalog.

An age is measured now, also of an old catalog: that nobody has written one for a day is the very news. What only a run
finds out (coverage) is as old as the catalog, and unknown when that is stale.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from datetime import datetime, timedelta

from kit.clock import Clock, now_utc
from portal import metrics
from portal.backups.catalog import CatalogFile
from portal.backups.schemas import BackupDrill, Catalog
from portal.probes import Probe, Reading, Status

MARGIN_ALARM_D = 29.5  # backup.md 6.2: below it a renewal was missed
DRILL_GRACE = timedelta(days=8)  # backup.md 8: past its due date, an alert of its own
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class _CatalogProbe:
    name = ""
    interval_s = 60.0
    timeout_s = 10.0

    def __init__(self, file: CatalogFile, clock: Clock) -> None:
        self._file, self._clock = file, clock

    async def measure(self) -> Reading:
        seen = await asyncio.to_thread(self._file.read)
        now = now_utc(self._clock)
        metrics.show_backups(*_numbers(seen.catalog, now))
        if seen.catalog is None:
            status = Status.NOT_CONNECTED if seen.why_not == "not_connected" else Status.UNKNOWN
            return Reading(status, None, "", "", None, seen.detail)
        return self._look(seen.catalog, now)

    def _look(self, catalog: Catalog, now: datetime) -> Reading:
        raise NotImplementedError


class LocalProbe(_CatalogProbe):
    """How old the newest verified local point is."""

    name = "backups:local"

    def _look(self, catalog: Catalog, now: datetime) -> Reading:
        return _age(catalog.meters.local_at, now, catalog.meters.rpo_alarm_s, "")


class VaultProbe(_CatalogProbe):
    """How old the newest point is that lies in the vault."""

    name = "backups:vault"

    def _look(self, catalog: Catalog, now: datetime) -> Reading:
        vault = catalog.vault
        if vault.state == "off":
            return Reading(Status.NOT_CONNECTED, None, "", "", None, vault.detail)
        reading = _age(catalog.meters.vault_at, now, catalog.meters.rpo_alarm_s, vault.detail)
        if vault.state == "failed":
            return Reading(Status.CRITICAL, reading.value, reading.unit, reading.limit, now, vault.detail)
        return reading


class MarginProbe(_CatalogProbe):
    """How long everything that is needed in the vault is still locked."""

    name = "backups:margin"

    def _look(self, catalog: Catalog, now: datetime) -> Reading:
        limit = f"at least {MARGIN_ALARM_D:g} d"
        if catalog.vault.state == "off":
            return Reading(Status.NOT_CONNECTED, None, "", "", None, catalog.vault.detail)
        if (lowest := catalog.vault.lowest_retain_until) is None:
            return Reading(Status.UNKNOWN, None, "d", limit, None, "no sync has ended yet")
        left_d = (lowest - now) / DAY
        status = Status.OK if left_d >= MARGIN_ALARM_D else Status.CRITICAL
        return Reading(status, math.floor(left_d * 10) / 10, "d", limit, now)  # never shown as more than it is


class DrillProbe(_CatalogProbe):
    """How long ago a restore was tried, and whether it went well."""

    name = "backups:drill"

    def _look(self, catalog: Catalog, now: datetime) -> Reading:
        due = catalog.meters.drill_due_at
        limit = "" if due is None else f"due {due:%Y-%m-%d}"
        if not catalog.drills:
            is_late = due is not None and now > due + DRILL_GRACE
            status = Status.CRITICAL if is_late else Status.WARNING
            return Reading(status, None, "d", limit, now, "no restore was tried yet")
        newest = max(catalog.drills, key=lambda drill: drill.at)
        failed = [each for each in _newest_of_each(catalog, "asset_kind", "asset") if not each.ok]
        age_d = round((now - newest.at) / DAY, 1)
        if failed:
            detail = "; ".join(f"{each.asset}: {each.detail}" for each in failed)[:500]
            return Reading(Status.CRITICAL, age_d, "d", limit, now, detail)
        if due is not None and now > due:
            status = Status.CRITICAL if now > due + DRILL_GRACE else Status.WARNING
            return Reading(status, age_d, "d", limit, now, "a drill is due")
        return Reading(Status.OK, age_d, "d", limit, now, f"{newest.asset}: {newest.detail}"[:500])


class CoverageProbe(_CatalogProbe):
    """How many things are in no point, or on the same disk as their backup."""

    name = "backups:coverage"

    def _look(self, catalog: Catalog, now: datetime) -> Reading:
        uncovered = [each for each in catalog.assets if each.covered in ("missing", "same-device")]
        detail = ", ".join(f"{each.kind} {each.name}" for each in uncovered)[:500]
        at = catalog.written_at
        seen = self._file.read()
        if seen.state(now) == "stale":
            return Reading(Status.UNKNOWN, len(uncovered), "", "none", at, detail)
        # as old as the catalog, but what a day's runs say is not stale after two of this probe's intervals
        return Reading(Status.CRITICAL if uncovered else Status.OK, len(uncovered), "", "none", now, detail)


def of(file: CatalogFile, clock: Clock) -> Sequence[Probe]:
    kinds = (LocalProbe, VaultProbe, MarginProbe, DrillProbe, CoverageProbe)
    return [kind(file, clock) for kind in kinds]


def _age(at: datetime | None, now: datetime, alarm_s: int, detail: str) -> Reading:
    limit = f"at most {alarm_s / 3600:g} h"
    if at is None:
        return Reading(Status.CRITICAL, None, "h", limit, now, detail or "there is no verified point yet")
    age = now - at
    status = Status.OK if age.total_seconds() <= alarm_s else Status.CRITICAL
    return Reading(status, math.ceil(age / HOUR * 10) / 10, "h", limit, now, detail)


def _newest_of_each(catalog: Catalog, *members: str) -> list[BackupDrill]:
    """Of the drills that are equal in these members, the newest."""
    newest: dict[tuple[str, ...], BackupDrill] = {}
    for drill in sorted(catalog.drills, key=lambda drill: drill.at):
        newest[tuple(getattr(drill, member) for member in members)] = drill
    return list(newest.values())


def _numbers(catalog: Catalog | None, now: datetime) -> tuple[dict[str, float], float, dict[tuple[str, str], float]]:
    """As metrics.show_backups takes them. Not a number: not known."""
    if catalog is None:
        return {"local": math.nan, "vault": math.nan}, math.nan, {}
    ages = {"local": catalog.meters.local_at, "vault": catalog.meters.vault_at}
    lowest = catalog.vault.lowest_retain_until
    return (
        {copy: math.nan if at is None else (now - at).total_seconds() for copy, at in ages.items()},
        math.nan if lowest is None else (lowest - now).total_seconds(),
        {(drill.asset_kind, drill.origin): drill.seconds for drill in _newest_of_each(catalog, "asset_kind", "origin")},
    )
