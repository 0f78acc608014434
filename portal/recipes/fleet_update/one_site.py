"""The update of one site: looked at, kept, updated, looked at again, and brought back where it was harmed.

    health        pages at the origin and through the public name, as they are; an ill site is not touched
    point         maintenance on: what runs ends, nothing is written any more. Checksum of the database, restore point;
                  from here to the end of `public` no other backup reads the site (integrations/backup_locks.py)
    updating      wp, one update after the other: plugins, themes, core
    checking      pages at the origin again, past the notice of maintenance; PHP's log; versions
    public        maintenance off; pages through the public name
    rolling_back  maintenance on; database and files of the point; the same checksum; pages; maintenance off

Until `updating` nothing of the site has changed, and whatever goes wrong only ends the maintenance. From there on,
whatever goes wrong, and being cancelled too, goes back. Only a portal that stops leaves the site where it is: visitors
see the notice, the journal says the step, and the next portal looks (recheck.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from kit.clock import Clock, now_utc
from kit.logging import get_logger
from kit.problem import Problem
from portal.actor import Actor
from portal.db import Database
from portal.integrations.backup_locks import Lock
from portal.operations.hub import Hub
from portal.operations.progress import Progress
from portal.operations.runner import Runner
from portal.recipes.fleet_update import store
from portal.recipes.fleet_update.fatals import FatalLog
from portal.recipes.fleet_update.health import PATHS, Health, Seen, harm, unfit
from portal.recipes.fleet_update.points import BackupPoints
from portal.recipes.fleet_update.problems import RollBackFailed, SiteNotFit, UpdateHarmed
from portal.recipes.fleet_update.store import SitePart
from portal.recipes.fleet_update.wanted import Update, present
from portal.wordpress.inventory import TOPIC, InventoryReader
from portal.wordpress.look import Looks
from portal.wordpress.serving import Serving
from portal.wordpress.sites import Site, Sites
from portal.wordpress.whole import whole
from portal.wordpress.wp import SKIP, WpCommands

log = get_logger()

SETTLE_S = 3.0  # PHP looks every two seconds whether a file it has compiled is another one
KNOWN = timedelta(hours=1)
TRIES = 3  # of a page that is slow: the first request after an update compiles everything

Checksum = Callable[[str, str, Progress], Awaitable[str]]  # server, database
Wait = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Tools:
    """
    checksum   of a database; None where no databases room is connected
    """

    sites: Sites
    inventory: InventoryReader
    wp: WpCommands
    serving: Serving
    looks: Looks
    fatals: FatalLog
    points: BackupPoints
    checksum: Checksum | None
    db: Database
    hub: Hub
    runner: Runner
    clock: Clock
    wait: Wait = asyncio.sleep


class Checks:
    """What is looked at before and after."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def before(self, site: Site) -> Health:
        """Origin and public name, as they are, and PHP's errors of the last hour.

        A public name that does not answer now is held against nothing.
        """
        at_origin = await self.pages(site, "origin")
        fatals = await self._tools.fatals.since(site.name, now_utc(self._tools.clock) - KNOWN)
        public = await self.pages(site, "edge")
        well = {name: seen for name, seen in public.items() if seen.status is not None and seen.status < 500}
        return Health({**at_origin, **well}, fatals)

    async def origin(self, site: Site, before: Health, since: datetime) -> Health:
        return Health(await self.pages(site, "origin", before), await self._tools.fatals.since(site.name, since))

    async def since_then(self, site: Site, before: Health, since: datetime) -> list[str]:
        """What is worse in a site that visitors are in: pages, and PHP's errors that it did not have before either."""
        pages = {**await self.pages(site, "origin", before), **await self.pages(site, "edge", before)}
        fatals = await self._tools.fatals.since(site.name, since) or ()
        return harm(before, Health(pages, [line for line in fatals if line not in (before.fatals or ())]))

    async def public(self, site: Site, before: Health) -> Health:
        return Health(await self.pages(site, "edge", before))

    async def pages(self, site: Site, where: Any, before: Health | None = None) -> dict[str, Seen]:
        found = {}
        for path in PATHS:
            name = f"{where} {path}"
            if before is None or name in before.pages:
                found[name] = await self._page(site, where, path, None if before is None else before.pages[name])
        return found

    async def _page(self, site: Site, where: Any, path: str, before: Seen | None) -> Seen:
        reading = self._tools.inventory.last(site.name)
        marker = reading.inventory.title if reading is not None and reading.inventory is not None else ""
        asked = f"{path}?homeport={uuid4().hex}" if where == "edge" else path  # past what the edge has of it
        seen = Seen.of(await self._tools.looks.at(where, site.hostnames[0], asked), marker)
        for _ in range(TRIES - 1):
            if before is None or not harm(Health({"page": before}), Health({"page": seen})):
                break
            again = Seen.of(await self._tools.looks.at(where, site.hostnames[0], asked), marker)
            seen = again if again.status == seen.status else max(seen, again, key=lambda each: each.status or 999)
        return seen


class OneSite:
    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._checks = Checks(tools)

    async def update(self, actor: Actor, update_id: str, part: SitePart, progress: Progress) -> dict[str, Any]:
        """Bring one site's updates about, or leave it as it was.

        raises   SiteNotFit, NoRestorePoint and what serving raises: it was not touched. UpdateHarmed: it is back.
                 RollBackFailed: it is in maintenance
        """
        tools = self._tools
        site = await tools.sites.active(part.site)
        await self._step(update_id, site, "health", progress)
        if site.is_maintained:
            raise SiteNotFit(f"{site.name}: it is in maintenance, which is somebody else's to end")
        before = await self._checks.before(site)
        await self._note(update_id, site, before=before.document())
        if ill := unfit(before):
            raise SiteNotFit(f"{site.name}: {'; '.join(ill)}")
        checksum, point, lock = await self._kept(actor, update_id, site, progress)
        began, was_cancelled = now_utc(tools.clock), False
        try:
            with lock:  # the backup may read it again before it is brought back: what restores it is the backup
                found = await self._updated(update_id, site, part.updates, before, began, progress)
        except asyncio.CancelledError:
            if await self._is_portal_stopping(progress):
                raise
            was_cancelled, found = True, ["it was cancelled"]
        except Exception as error:
            found = [_said(error), *await self._seen_after(site, before, began)]
        if not found:
            await self._ended(update_id, site, "updated", "")
            return {"site": site.name, "state": "updated", "point": point}
        await whole(self._back(actor, update_id, site, point, checksum, before, found, progress))
        if was_cancelled:
            raise asyncio.CancelledError
        raise UpdateHarmed(f"{site.name}: {'; '.join(found)[:1500]}", harm=found, point=point, site=site.name)

    # -- the steps ----------------------------------------------------------------------------------------------------

    async def _kept(
        self, actor: Actor, update_id: str, site: Site, progress: Progress
    ) -> tuple[str | None, str, closing[Lock]]:
        """Checksum and restore point of a site that nobody writes to, and what keeps other backups off it.

        It stays in maintenance, unless this raises.
        """
        tools = self._tools
        await self._step(update_id, site, "point", progress)
        try:
            await tools.serving.maintain(site.name, True)
            checksum = await self._checksum(site, progress)
            point = await whole(tools.points.make(actor, site.name, progress))
            await self._note(update_id, site, point=point, checksum=checksum)
            lock = await tools.points.kept_off(site.name, progress, tools.wait)
        except BaseException as error:
            if not (isinstance(error, asyncio.CancelledError) and await self._is_portal_stopping(progress)):
                await self._let_in(site, error)
            raise
        return checksum, point, lock

    async def _let_in(self, site: Site, error: BaseException) -> None:
        """End the maintenance of a site that was not touched. Raise RollBackFailed, with what has led here."""
        try:
            await whole(self._tools.serving.maintain(site.name, False))
        except Exception as failure:
            why = f"{error}. Nothing was changed, but it is still in maintenance: {_said(failure)}"
            raise RollBackFailed(f"{site.name}: {why}", point=None) from error

    async def _updated(
        self, update_id: str, site: Site, updates: list[Update], before: Health, began: datetime, progress: Progress
    ) -> list[str]:
        """Update, look, and let visitors in again. Return what is worse than before."""
        tools = self._tools
        await self._step(update_id, site, "updating", progress)
        for update in updates:
            progress.note(f"{site.name}: {update.name} to {update.version}")
            await whole(self._run(site, update))
        await tools.wp.flush_cache(site)
        await self._step(update_id, site, "checking", progress)
        await tools.wait(SETTLE_S)
        after = await self._checks.origin(site, before, began)
        await self._note(update_id, site, after=after.document())
        if found := [*harm(before, after), *await self._behind(site, updates)]:
            return found
        await self._step(update_id, site, "public", progress)
        await tools.serving.maintain(site.name, False)
        public = await self._checks.public(site, before)
        after = replace(after, pages={**after.pages, **public.pages})
        await self._note(update_id, site, after=after.document())
        return harm(before, after)

    async def _run(self, site: Site, update: Update) -> None:
        wp = self._tools.wp
        if update.kind == "core":
            await wp.core_update(site, update.version)
        else:
            await wp.update(site, update.kind, update.slug, version=update.version)

    async def _behind(self, site: Site, updates: list[Update]) -> list[str]:
        """Updates that wp took for done, and that are not there; a site that cannot be read."""
        reading = await self._tools.inventory.read(site.name)
        if reading.trouble or reading.inventory is None:
            return [f"wp cannot read the site: {reading.error[:300] or reading.trouble}"]
        found = [(update, present(reading.inventory, update.name)) for update in updates]
        return [f"{each.name} is at {at or 'nothing'}, not {each.version}" for each, at in found if at != each.version]

    async def _seen_after(self, site: Site, before: Health, began: datetime) -> list[str]:
        """What is worse than before, beside what has failed already."""
        try:
            return harm(before, await self._checks.origin(site, before, began))
        except Exception as error:
            return [_said(error)]

    async def _back(
        self,
        actor: Actor,
        update_id: str,
        site: Site,
        point: str,
        checksum: str | None,
        before: Health,
        found: list[str],
        progress: Progress,
    ) -> None:
        """Put database and files back, and see that they are. Raise RollBackFailed."""
        tools = self._tools
        progress.note(f"{site.name}: harmed: {'; '.join(found)[:400]}")
        await self._note(update_id, site, reason="; ".join(found)[:4000])
        await self._step(update_id, site, "rolling_back", progress)
        try:
            await tools.serving.maintain(site.name, True)
            await tools.points.restore(actor, site.name, point, progress)
            is_equal = checksum is None or checksum == await self._checksum(site, progress)
            if not is_equal:
                raise RollBackFailed(f"{site.name}: the database is not what it was before", point=point)
            began = now_utc(tools.clock)
            await tools.wp.done(site, ("cache", "flush"), options=SKIP)
            await tools.wait(SETTLE_S)
            after = await self._checks.origin(site, before, began)
            if worse := harm(before, after):
                raise RollBackFailed(f"{site.name}: brought back, and still {'; '.join(worse)[:1000]}", point=point)
            await tools.serving.maintain(site.name, False)
        except Exception as error:
            said = _said(error)
            await self._ended(update_id, site, "failed", f"{'; '.join(found)[:2000]}. {said}")
            if isinstance(error, RollBackFailed):
                raise
            raise RollBackFailed(f"{site.name}: {said}", point=point) from error
        await tools.inventory.read(site.name)
        await self._ended(update_id, site, "rolled_back", "; ".join(found)[:4000])
        progress.note(f"{site.name}: is as it was")

    # -- what they share ----------------------------------------------------------------------------------------------

    async def _checksum(self, site: Site, progress: Progress) -> str | None:
        tools = self._tools
        return None if tools.checksum is None else await tools.checksum(site.server, site.database, progress)

    async def _is_portal_stopping(self, progress: Progress) -> bool:
        """Whether the work is cancelled because the portal stops, not because somebody wants it or time is up."""
        return progress.is_cancelled and (await self._tools.runner.get(progress.operation_id)).cancelled_by is None

    async def _step(self, update_id: str, site: Site, step: store.Step, progress: Progress) -> None:
        progress.note(f"{site.name}: {step.replace('_', ' ')}")
        await self._note(update_id, site, state="at_work", step=step)

    async def _ended(self, update_id: str, site: Site, state: store.State, reason: str) -> None:
        await self._note(update_id, site, state=state, reason=reason, ended_at=now_utc(self._tools.clock))

    async def _note(self, update_id: str, site: Site, **columns: Any) -> None:
        await self._tools.db.run(lambda session: store.change(session, update_id, site.name, **columns))
        if "state" in columns:
            said = {"kind": "update", "update": update_id, "site": site.name, "state": columns["state"]}
            self._tools.hub.publish(TOPIC, said | {"step": columns.get("step", "")})


def _said(error: BaseException) -> str:
    """In one line; what no Problem is, is a defect of ours, whose cause the log has."""
    if isinstance(error, Problem):
        return error.detail or error.title
    log.error("site_update_failed", error=type(error).__name__, exc_info=error)
    return "an error of the portal's own; its log says which"
