"""An update of many sites: one after the other, ring after ring, stopped by the first that does not come through.

The plan's subject (operations.plans): a name is a site and a thing, its value the version. Each site is an operation of
its own, so that it holds its own target beside every other act of the WordPress room on it, and has its audit row.

Between two rings the first one is watched for as long as was asked. What goes wrong then stops the update; nobody goes
back by himself any more, since visitors have written since: the restore point is named.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from kit.clock import now_utc
from kit.problem import Problem
from portal.actor import Actor
from portal.operations.plans import Order, Value
from portal.operations.progress import Progress
from portal.operations.records import Operation, State
from portal.operations.runner import OperationNotFound
from portal.recipes.fleet_update import store
from portal.recipes.fleet_update.health import Health
from portal.recipes.fleet_update.one_site import Checks, OneSite, Tools
from portal.recipes.fleet_update.problems import BackupAtWork, UpdateStopped
from portal.recipes.fleet_update.store import SitePart
from portal.recipes.fleet_update.wanted import parsed, present
from portal.wordpress.inventory import TOPIC
from portal.wordpress.sites import NoSuchSite

ACT, SITE_ACT = "wordpress:update", "wordpress:update-site"
TARGET = "all sites"  # no site is called so: one update at a time, beside whatever else happens to single sites
SITE_S = 3 * 3600.0
FRESH = timedelta(minutes=1)  # how old a reading may be that a plan is held against
BACKUP_LOOK_S, BACKUP_WAIT_S = 10.0, 3600.0
SOAK_LOOK_S = 60.0


class FleetWork:
    """timeout: of the whole, with the longest soak, is the service's to say."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._one, self._checks = OneSite(tools), Checks(tools)

    async def look(self, target: str, names: Sequence[str]) -> Mapping[str, Value]:
        """The versions that are there now, of each site read within the last minute, or read now."""
        tools = self._tools
        wanted: dict[str, list[str]] = {}
        for name in names:
            site, update = parsed(name, "")
            wanted.setdefault(site, []).append(update.name)
        known = {site.name for site in await tools.sites.all() if site.state == "active"}
        oldest = now_utc(tools.clock) - FRESH
        readings = {site: tools.inventory.last(site) for site in wanted.keys() & known}
        old = [site for site, reading in readings.items() if reading is None or (reading.read_at or oldest) <= oldest]
        readings |= await tools.inventory.refresh(old) if old else {}
        found: dict[str, Value] = {}
        for site, reading in readings.items():
            if reading is None or reading.inventory is None or reading.trouble:
                continue  # not known: the plan is then held against nothing, and is stale
            for name in wanted[site]:
                found[f"{site} {name}"] = present(reading.inventory, name)
        return found

    async def put(self, order: Order, progress: Progress) -> Mapping[str, Any] | None:
        """Raise UpdateStopped."""
        tools, update_id = self._tools, progress.operation_id
        parts = await self._parts(order)
        soak_minutes = int(order.how["soak_minutes"])
        now = now_utc(tools.clock)
        by, plan_id = order.actor.name, str(order.how["plan"])
        await tools.db.run(lambda session: store.begin(session, update_id, plan_id, by, soak_minutes, parts, now))
        stopped = ""
        try:
            stopped = await self._rings(order.actor, update_id, parts, soak_minutes, progress)
        except asyncio.CancelledError:
            if await self._is_portal_stopping(progress):
                raise
            stopped = "it was cancelled, or its time was over"
            raise
        except Problem as problem:
            stopped = problem.detail or problem.title
            raise
        except Exception:
            stopped = "a defect of the portal"
            raise
        finally:
            if stopped or not progress.is_cancelled:
                ended_at = now_utc(tools.clock)
                await tools.db.run(lambda session: store.end(session, update_id, stopped, ended_at))
                tools.hub.publish(TOPIC, {"kind": "update", "update": update_id, "state": "ended"})
        states = await self._states(update_id)
        if stopped:
            raise UpdateStopped(stopped, sites=states)
        return {"sites": states}

    # -- rings --------------------------------------------------------------------------------------------------------

    async def _rings(
        self, actor: Actor, update_id: str, parts: Sequence[SitePart], soak_minutes: int, progress: Progress
    ) -> str:
        """Return why it stopped; "" when every site came through."""
        rings = [list(ring) for _, ring in groupby(parts, key=lambda part: part.ring)]
        done = 0
        for number, ring in enumerate(rings):
            for part in ring:
                progress.at(done, of=len(parts))
                await self._wait_for_backup(progress)
                if why := await self._site(actor, update_id, part, progress):
                    return why
                done += 1
            if number + 1 < len(rings) and (why := await self._soak(update_id, ring, soak_minutes, progress)):
                return why
        progress.at(done, of=len(parts))
        return ""

    async def _site(self, actor: Actor, update_id: str, part: SitePart, progress: Progress) -> str:
        """Update one site by an operation of its own, and be there when it has ended. Return why it did not go well."""
        tools = self._tools

        async def work(its: Progress) -> dict[str, Any]:
            now = now_utc(tools.clock)
            columns = {"operation_id": its.operation_id, "began_at": now, "state": "at_work"}
            await tools.db.run(lambda session: store.change(session, update_id, part.site, **columns))
            return await self._one.update(actor, update_id, part, its)

        detail = {"update": update_id, "updates": [[each.name, each.version] for each in part.updates]}
        try:
            begun = await tools.runner.start(actor, SITE_ACT, part.site, work, timeout_s=SITE_S, detail=detail)
        except Problem as problem:
            await self._not_updated(update_id, part.site, "not_begun", problem.detail or problem.title)
            return f"{part.site}: {problem.detail or problem.title}"
        progress.note(f"{part.site}: operation {begun.id}")
        ended = await self._to_its_end(begun)
        if ended.state is State.DONE:
            progress.note(f"{part.site}: updated")
            return ""
        why = _why(ended)
        (row,) = [row for row in await self._rows(update_id) if row.site == part.site]
        if row.state == "at_work":  # nothing has said how it ended: it never came to change anything, or was cut off
            is_untouched = row.step in ("", "health", "point")
            await self._not_updated(update_id, part.site, "not_begun" if is_untouched else "unknown", why)
        progress.note(f"{part.site}: {why}")
        return f"{part.site}: {why}"

    async def _to_its_end(self, begun: Operation) -> Operation:
        """Cancelled meanwhile, the site at work still ends what it does; those behind it are not begun."""
        waiting = asyncio.ensure_future(self._tools.runner.wait(begun.id))
        try:
            return await asyncio.shield(waiting)
        except asyncio.CancelledError:
            await asyncio.wait([waiting])
            raise

    async def _wait_for_backup(self, progress: Progress) -> None:
        """What a backup reads must not change under it. Raise BackupAtWork."""
        tools, waited_s = self._tools, 0.0
        while at_work := await tools.points.at_work():
            if not waited_s:
                progress.note(f"waiting for the backup: {at_work}")
            if waited_s >= BACKUP_WAIT_S:
                raise BackupAtWork(f"{at_work} has not ended within {BACKUP_WAIT_S / 60:g} minutes")
            await tools.wait(BACKUP_LOOK_S)
            waited_s += BACKUP_LOOK_S

    # -- between rings ------------------------------------------------------------------------------------------------

    async def _soak(self, update_id: str, ring: Sequence[SitePart], minutes: int, progress: Progress) -> str:
        """Watch the sites of a ring for a while. Return what went wrong with one."""
        tools = self._tools
        until = now_utc(tools.clock) + timedelta(minutes=minutes)
        await tools.db.run(lambda session: store.soak(session, update_id, until))
        progress.note(f"watching ring {ring[0].ring} for {minutes} minutes")
        before = {row.site: row for row in await self._rows(update_id)}
        while (left_s := (until - now_utc(tools.clock)).total_seconds()) > 0:
            await tools.wait(min(SOAK_LOOK_S, left_s))
            for part in ring:
                row = before[part.site]
                found = await self._worse(part.site, Health.parsed(row.before), row.ended_at or until)
                if found:
                    why = f"harmed after its update: {'; '.join(found)[:1000]}"
                    way = f"{why}. Its restore point is {before[part.site].point}; what was written since is not in it"
                    await self._say(update_id, part.site, way)
                    return f"{part.site}: {way}"
        await tools.db.run(lambda session: store.soak(session, update_id, None))
        return ""

    async def _say(self, update_id: str, site: str, reason: str) -> None:
        await self._tools.db.run(lambda session: store.change(session, update_id, site, reason=reason))

    async def _worse(self, name: str, before: Health, since: datetime) -> list[str]:
        try:
            site = await self._tools.sites.active(name)
        except NoSuchSite:
            return []  # somebody has removed it meanwhile
        return await self._checks.since_then(site, before, since)

    # -- what they share ----------------------------------------------------------------------------------------------

    async def _parts(self, order: Order) -> list[SitePart]:
        rings = {site.name: site.ring for site in await self._tools.sites.all()}
        by_site: dict[str, list[Any]] = {}
        for change in order.changes:
            by_site.setdefault(parsed(change.name, "")[0], []).append(change)
        parts = [SitePart(name, rings.get(name, 2), tuple(changes)) for name, changes in by_site.items()]
        return sorted(parts, key=lambda part: (part.ring, part.site))

    async def _rows(self, update_id: str) -> list[Any]:
        found = await self._tools.db.read(lambda session: store.get(session, update_id))
        return [] if found is None else found[1]

    async def _states(self, update_id: str) -> list[dict[str, Any]]:
        return [
            {"site": row.site, "state": row.state, "point": row.point, "reason": row.reason[:500]}
            for row in await self._rows(update_id)
        ]

    async def _not_updated(self, update_id: str, site: str, state: store.State, why: str) -> None:
        columns = {"state": state, "reason": why[:4000], "ended_at": now_utc(self._tools.clock)}
        await self._tools.db.run(lambda session: store.change(session, update_id, site, **columns))
        self._tools.hub.publish(TOPIC, {"kind": "update", "update": update_id, "site": site, "state": state})

    async def _is_portal_stopping(self, progress: Progress) -> bool:
        try:
            operation = await self._tools.runner.get(progress.operation_id)
        except OperationNotFound:
            return True
        return progress.is_cancelled and operation.cancelled_by is None


def _why(operation: Operation) -> str:
    error = operation.error if isinstance(operation.error, dict) else {}
    return str(error.get("detail") or error.get("title") or f"its operation is {operation.state}")[:1500]
