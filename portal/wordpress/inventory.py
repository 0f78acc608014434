"""What is known of every site, and since when: read with bounded concurrency, kept over a restart.

    reading = await inventory.read("garden")         # now; a site that fails is a reading with its trouble
    await inventory.refresh()                        # all sites, AT_ONCE at the same time
    inventory.last("garden")                         # what is known, without asking

A look that fails costs its own row only: what was last known stays, with its age, beside the error. When PHP fails
because of a plugin or theme, the site is read once more without loading any: whoever has to put it right sees what
there is. On the hub's topic "wordpress" each site is told as it is done.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from kit.clock import Clock, now_utc
from kit.logging import get_logger
from kit.problem import Problem
from portal.broker.failures import BrokerProblem
from portal.db import Database
from portal.integrations.web_config import quoted
from portal.operations.hub import Hub
from portal.wordpress.models import ReadingRow, SiteRow
from portal.wordpress.reading import Checksums, FileProblem, Inventory, SiteReading, Trouble, clipped, inventory_of
from portal.wordpress.sites import Site, Sites
from portal.wordpress.wp import WpAnswerUnexpected, WpCommands, WpFailed, WpTimedOut

log = get_logger()

TOPIC = "wordpress"
AT_ONCE = 4
TIMEOUT_S = 60
MAX_PROBLEMS = 200  # of one site's files


class InventoryReader:
    def __init__(
        self,
        sites: Sites,
        wp: WpCommands,
        database: Database,
        hub: Hub,
        clock: Clock,
        *,
        at_once: int = AT_ONCE,
        timeout_s: int = TIMEOUT_S,
    ) -> None:
        self._sites, self._wp, self._database, self._hub, self._clock = sites, wp, database, hub, clock
        self._timeout_s = timeout_s
        self._turns = asyncio.Semaphore(at_once)
        self._last: dict[int, SiteReading] = {}
        self._uids: dict[str, int] = {}
        self._under_way: dict[str, asyncio.Task[SiteReading]] = {}
        sites.on_remove = self._forget

    def begin(self) -> None:
        """Remember what was known when the portal last ran."""
        self._last, self._uids = self._database.read_sync(_load)

    async def close(self) -> None:
        """End the looks that are under way."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def last(self, name: str) -> SiteReading | None:
        """What is known of a site; None: it was never looked at."""
        uid = self._uids.get(name)
        return None if uid is None else self._last.get(uid)

    def _forget(self, name: str) -> None:
        """A site is gone; the next one of its name is another one."""
        self._last.pop(self._uids.pop(name, 0), None)

    @property
    def under_way(self) -> frozenset[str]:
        """The sites that are being looked at now."""
        return frozenset(self._under_way)

    async def read(self, name: str) -> SiteReading:
        """Look at a site now, past those that wait for their turn. What the site does wrong is in the reading.

        raises   NoSuchSite
        """
        return await self._read(await self._sites.active(name))

    async def refresh(self, names: Iterable[str] | None = None) -> dict[str, SiteReading]:
        """Look at these sites, or at all that are active; a look that is under way already is waited for.

        raises   NoSuchSite, before any is looked at
        """
        sites = [await self._sites.active(name) for name in dict.fromkeys(names)] if names is not None else None
        if sites is None:
            sites = [site for site in await self._sites.all() if site.state == "active"]
        tasks = {site.name: self._begun(site) for site in sites}
        return {name: await asyncio.shield(task) for name, task in tasks.items()}

    def begin_refresh(self, sites: Iterable[Site]) -> None:
        """Begin to look at these sites, and do not wait."""
        for site in sites:
            self._begun(site)

    async def verify(self, name: str) -> SiteReading:
        """Compare core's and all plugins' files with wordpress.org's sums. Raise NoSuchSite, a BrokerProblem."""
        site = await self._sites.active(name)
        async with self._turns:
            core = await self._wp.verify_core(site)
            plugins = await self._wp.verify_plugins(site)
        sums = Checksums(
            checked_at=now_utc(self._clock),
            is_core_verified=core.exit_code == 0,
            core_detail=quoted(core.stderr or core.stdout),
            are_plugins_verified=plugins.exit_code == 0,
            plugins_detail=quoted(plugins.stderr),
            problems=_problems(plugins.stdout),
        )
        before = self.last(name)
        reading = (
            replace(before, checksums=sums)
            if before is not None
            else SiteReading(None, None, sums.checked_at, 0.0, "", "", sums)
        )
        await self._keep(site, reading)
        return reading

    def _begun(self, site: Site) -> asyncio.Task[SiteReading]:
        task = self._under_way.get(site.name)
        if task is None:
            task = self._under_way[site.name] = asyncio.create_task(self._read_in_turn(site))
            task.add_done_callback(lambda done: self._ended(site.name, done))
        return task

    def _ended(self, name: str, task: asyncio.Task[SiteReading]) -> None:
        del self._under_way[name]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("inventory_failed", site=name, exc_info=error)

    async def _read_in_turn(self, site: Site) -> SiteReading:
        async with self._turns:
            return await self._read(site)

    async def _read(self, site: Site) -> SiteReading:
        began = self._clock.monotonic()
        inventory, trouble, error = await self._look(site)
        took_s = round(self._clock.monotonic() - began, 3)
        now, before = now_utc(self._clock), self.last(site.name)
        if inventory is None and before is not None:
            reading = replace(before, tried_at=now, took_s=took_s, trouble=trouble, error=error)
        else:
            sums = before.checksums if before is not None else None
            read_at = None if inventory is None else now
            reading = SiteReading(inventory, read_at, now, took_s, trouble, error, sums)
        await self._keep(site, reading)
        return reading

    async def _look(self, site: Site) -> tuple[Inventory | None, Trouble, str]:
        try:
            return inventory_of(await self._wp.inventory(site, timeout_s=self._timeout_s)), "", ""
        except WpTimedOut:
            return None, "timed-out", f"no answer within {self._timeout_s} s"
        except (WpFailed, WpAnswerUnexpected) as problem:
            said = problem.detail
        except BrokerProblem as problem:
            return None, "unreachable", problem.detail or problem.title
        try:
            document = await self._wp.inventory(site, is_without_code=True, timeout_s=self._timeout_s)
            return inventory_of(document), "fatal", said
        except BrokerProblem as problem:
            return None, "unreachable", problem.detail or problem.title
        except (WpFailed, WpTimedOut, WpAnswerUnexpected):
            return None, "failed", said

    async def _keep(self, site: Site, reading: SiteReading) -> None:
        self._last[site.uid], self._uids[site.name] = reading, site.uid
        try:
            await self._database.run(lambda session: session.merge(_row(site.uid, reading)))
        except Problem as problem:  # it is known here all the same
            log.warning("reading_not_kept", site=site.name, problem=problem.type)
        self._hub.publish(
            TOPIC, {"site": site.name, "trouble": reading.trouble, "read_at": _iso(reading.read_at), "kind": "read"}
        )


def _problems(stdout: str) -> tuple[FileProblem, ...]:
    """What `plugin verify-checksums --format=json` says; lines of plugins may stand before it."""
    try:
        found = json.loads(stdout[stdout.find("[") :].splitlines()[0]) if "[" in stdout else []
    except (ValueError, IndexError):
        return ()
    rows = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    texts = [[str(clipped(str(row.get(name, "")))) for name in ("plugin_name", "file", "message")] for row in rows]
    return tuple(FileProblem(plugin=each[0], file=each[1], message=each[2]) for each in texts[:MAX_PROBLEMS])


def _load(session: Session) -> tuple[dict[int, SiteReading], dict[str, int]]:
    wanted = select(ReadingRow, SiteRow.name).join(SiteRow, SiteRow.uid == ReadingRow.uid)
    rows = session.execute(wanted.where(SiteRow.live_name.is_not(None)))
    readings: dict[int, SiteReading] = {}
    uids: dict[str, int] = {}
    for row, name in rows:
        try:
            readings[row.uid] = _reading(row)
            uids[name] = row.uid
        except ValidationError:  # of an older release: it will be read again
            log.warning("reading_of_another_release", site=name)
    return readings, uids


def _reading(row: ReadingRow) -> SiteReading:
    trouble: Trouble = row.trouble  # type: ignore[assignment]  # as it was written
    return SiteReading(
        inventory=None if row.document is None else Inventory.model_validate_json(row.document),
        read_at=row.read_at,
        tried_at=row.tried_at,
        took_s=row.took_s,
        trouble=trouble,
        error=row.error,
        checksums=None if row.checksums is None else Checksums.model_validate_json(row.checksums),
    )


def _row(uid: int, reading: SiteReading) -> ReadingRow:
    return ReadingRow(
        uid=uid,
        document=None if reading.inventory is None else reading.inventory.model_dump_json(),
        read_at=reading.read_at,
        tried_at=reading.tried_at,
        took_s=reading.took_s,
        trouble=reading.trouble,
        error=reading.error,
        checksums=None if reading.checksums is None else reading.checksums.model_dump_json(),
    )


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
