"""Probes of every site: a round of looks each five minutes, a month of them kept, and what they say in sum.

    probes = SiteProbes(sites, Looks.of(settings, clock), db, hub, clock)
    probes.probes, probes.jobs                    # for the dashboard and the scheduler
    await probes.of_site("garden")                # what the page of a site shows

A site in maintenance is not asked for its page: a visit runs PHP, and what an update compares must not change under it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from kit.clock import Clock, now_utc
from portal.db import Database
from portal.operations.hub import Hub
from portal.probes import Probe, Reading, Status
from portal.scheduler import Job
from portal.wordpress.inventory import TOPIC
from portal.wordpress.look import Look, Looks, NotSet, Where
from portal.wordpress.probe_models import MAX_ERROR, SiteReadingRow
from portal.wordpress.probe_schemas import SiteProbe, SiteProbePoint, SiteProbesView, SiteReach, SiteReachList
from portal.wordpress.site_probes import EVERY_S, KEPT, is_up, readings
from portal.wordpress.sites import Site, Sites

AT_ONCE = 8
ROUND_S = 280.0  # a round ends before the next one begins; what it has by then is kept
OF_ONE_ROUND = ("origin", "edge", "certificate")  # what the last round alone can tell
HISTORY = 300  # points of a curve: of a month, every 29th round or so


class SiteProbes:
    def __init__(self, sites: Sites, looks: Looks, database: Database, hub: Hub, clock: Clock) -> None:
        self._sites, self._looks, self._database, self._hub, self._clock = sites, looks, database, hub, clock
        self.jobs = [Job("probes of sites", EVERY_S, self.round, timeout_s=ROUND_S, is_at_start=True)]
        self.probes: Sequence[Probe] = [
            _SumProbe("wordpress:origin", "origin", self),
            _SumProbe("wordpress:edge", "edge", self),
            _SumProbe("wordpress:certificates", "certificate", self),
        ]

    async def round(self) -> None:
        """Look at every site that is served, and keep what was seen, site by site."""
        turns = asyncio.Semaphore(AT_ONCE)
        served = [site for site in await self._sites.all() if site.is_served and site.state == "active"]

        async def measure(site: Site) -> None:
            async with turns:
                row = await self._measured(site)
            await self._database.run(lambda session: session.merge(row))
            self._hub.publish(TOPIC, {"kind": "probe", "site": site.name})

        await asyncio.gather(*(measure(site) for site in served))
        oldest = now_utc(self._clock) - KEPT
        await self._database.run(lambda session: _forget(session, oldest))

    async def of_site(self, name: str) -> SiteProbesView:
        """Raise NoSuchSite."""
        site = await self._sites.get(name)
        rows = await self._database.read(lambda session: _rows(session, site.uid))
        found = readings(rows, now_utc(self._clock))
        step = max(1, len(rows) // HISTORY)
        return SiteProbesView(
            site=site.name,
            probes=[_view(name, reading) for name, reading in found.items()],
            history=[_point(row) for row in rows[::-1][::step][::-1]],
        )

    async def of_all(self) -> SiteReachList:
        """What the list of sites shows: the last round only, however many there were."""
        found = await self.latest()
        return SiteReachList(
            sites=[
                SiteReach(site=site, probes=[_view(name, each[name]) for name in OF_ONE_ROUND])
                for site, each in sorted(found.items())
            ]
        )

    async def latest(self) -> dict[str, dict[str, Reading]]:
        """site -> readings, of all that are served."""
        served = [site for site in await self._sites.all() if site.is_served and site.state == "active"]
        now = now_utc(self._clock)
        rows = await self._database.read(lambda session: {site.name: _rows(session, site.uid, 1) for site in served})
        return {name: readings(each, now) for name, each in rows.items()}

    @property
    def clock(self) -> Clock:
        return self._clock

    async def _measured(self, site: Site) -> SiteReadingRow:
        at = now_utc(self._clock)
        origin, edge = None, None
        if not site.is_maintained:
            origin, edge = await asyncio.gather(self._look("origin", site), self._look("edge", site))
        return SiteReadingRow(
            uid=site.uid,
            at=at,
            origin_status=origin and origin.status,
            origin_ms=_ms(origin),
            edge_status=edge and edge.status,
            edge_ms=_ms(edge),
            is_cached=edge.is_cached if edge else None,
            certificate_until=edge.certificate_until if edge else None,
            origin_error=_error(origin),
            edge_error=_error(edge),
        )

    async def _look(self, where: Where, site: Site) -> Look | None:
        try:
            return await self._looks.at(where, site.hostnames[0])
        except NotSet:
            return None


class _SumProbe:
    """How many sites have one kind of trouble; of the certificates, how long the first one still holds."""

    interval_s = EVERY_S
    timeout_s = 30.0

    def __init__(self, name: str, kind: str, of: SiteProbes) -> None:
        self.name, self._kind, self._of = name, kind, of

    async def measure(self) -> Reading:
        found = {site: each[self._kind] for site, each in (await self._of.latest()).items()}
        now = now_utc(self._of.clock)
        if not found:
            return Reading(Status.NOT_CONNECTED, None, "", "", None, "no site is served")
        measured = {site: each for site, each in found.items() if each.status in _MEASURED}
        if not measured:
            return Reading(Status.UNKNOWN, None, "", "", None, "no site was measured")
        bad = {site: each for site, each in measured.items() if each.status is not Status.OK}
        worst = max((each.status for each in measured.values()), key=_MEASURED.index)
        detail = "; ".join(f"{site}: {each.detail}" for site, each in sorted(bad.items()))[:500]
        if self._kind == "certificate":
            site, least = min(measured.items(), key=lambda each: float(each[1].value or 0))
            return Reading(worst, least.value, "d", least.limit, now, detail or site)
        return Reading(worst, len(bad), "", "none", now, detail)


_MEASURED = [Status.OK, Status.WARNING, Status.CRITICAL]


def _forget(session: Session, oldest: datetime) -> None:
    session.execute(delete(SiteReadingRow).where(SiteReadingRow.at < oldest))


def _rows(session: Session, uid: int, newest: int | None = None) -> list[SiteReadingRow]:
    statement = select(SiteReadingRow).where(SiteReadingRow.uid == uid).order_by(SiteReadingRow.at.desc())
    return list(session.scalars(statement if newest is None else statement.limit(newest)))[::-1]


def _ms(look: Look | None) -> int | None:
    return None if look is None or look.status is None else round(look.seconds * 1000)


def _error(look: Look | None) -> str:
    return "" if look is None else look.error[:MAX_ERROR]


def _view(name: str, reading: Reading) -> SiteProbe:
    return SiteProbe(
        name=name,
        status=reading.status,
        value=reading.value,
        unit=reading.unit,
        limit=reading.limit,
        measured_at=reading.measured_at,
        detail=reading.detail,
    )


def _point(row: SiteReadingRow) -> SiteProbePoint:
    return SiteProbePoint(
        at=row.at,
        origin_ms=row.origin_ms,
        is_origin_up=None if row.origin_status is None and not row.origin_error else is_up(row.origin_status),
        edge_ms=row.edge_ms,
        is_edge_up=None if row.edge_status is None and not row.edge_error else is_up(row.edge_status),
        is_cached=row.is_cached,
    )
