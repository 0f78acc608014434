"""Trees of plugins and themes that are put aside before they change, so that there is a way back.

    await kept.keep(site, "plugin", "cache-it", "1.2.3", operation_id)
    row = await kept.find(site, "plugin", "cache-it", "1.2.3")
    await kept.put_back(site, row)

The copy comes first, then its row: killed between the two, a copy lies there that nobody knows of, which is dropped
with the site's tree. What is older than plans can be undone is forgotten, and so are copies beyond MOST of one thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from kit.clock import Clock, now_utc
from kit.logging import get_logger
from kit.problem import Problem
from portal.db import Database
from portal.integrations.site_files import Kind, SiteFiles
from portal.operations.plans import KEPT_DAYS
from portal.operations.records import new_id
from portal.wordpress.models import KeptRow, SiteRow
from portal.wordpress.sites import Site

log = get_logger()

MOST = 5  # versions of one plugin or theme of one site


@dataclass(frozen=True, slots=True)
class Kept:
    id: str
    kind: Kind
    slug: str
    version: str
    operation_id: str
    kept_at: datetime


class KeptTrees:
    def __init__(self, database: Database, files: SiteFiles, clock: Clock) -> None:
        self._database, self._files, self._clock = database, files, clock

    async def keep(self, site: Site, kind: Kind, slug: str, version: str, operation_id: str) -> None:
        """Copy what is installed aside. Raise SiteFilesRefused, a BrokerProblem."""
        now = now_utc(self._clock)
        row = KeptRow(
            id=new_id(now),
            uid=site.uid,
            kind=kind,
            slug=slug,
            version=version,
            operation_id=operation_id,
            kept_at=now,
        )
        await self._files.keep(site.name, site.uid, kind, slug, row.id.lower())
        await self._database.run(lambda session: session.add(row))

    async def put_back(self, site: Site, kept: Kept) -> None:
        """Put a copy in the place of what is installed. Raise SiteFilesRefused, a BrokerProblem."""
        await self._files.put_back(site.name, site.uid, kept.kind, kept.slug, kept.id.lower())

    async def find(self, site: Site, kind: Kind, slug: str, version: str) -> Kept | None:
        """The newest copy of this version."""
        return next((each for each in await self.of(site, kind, slug) if each.version == version), None)

    async def of(self, site: Site, kind: Kind | None = None, slug: str | None = None) -> list[Kept]:
        """What is kept of a site, newest first."""

        def read(session: Session) -> Sequence[KeptRow]:
            wanted = select(KeptRow).where(KeptRow.uid == site.uid).order_by(KeptRow.id.desc())
            wanted = wanted if kind is None else wanted.where(KeptRow.kind == kind)
            return session.scalars(wanted if slug is None else wanted.where(KeptRow.slug == slug)).all()

        return [_kept(row) for row in await self._database.read(read)]

    async def sweep(self) -> None:
        """Forget what nobody goes back to. Raises nothing: what could not be forgotten is tried again next time."""
        before = now_utc(self._clock) - timedelta(days=KEPT_DAYS)
        for site, uid, kept_id in await self._database.read(lambda session: _superfluous(session, before)):
            try:
                await self._files.forget(site, uid, kept_id.lower())
            except Problem as problem:
                log.warning("kept_tree_not_forgotten", site=site, problem=problem.type)
                continue
            await self._database.run(partial(_delete, kept_id=kept_id))


def _delete(session: Session, *, kept_id: str) -> None:
    session.execute(delete(KeptRow).where(KeptRow.id == kept_id))


def _superfluous(session: Session, before: datetime) -> list[tuple[str, int, str]]:
    """Site, uid and id of copies that are old, or of which there are newer ones enough."""
    rows = session.execute(
        select(KeptRow, SiteRow.name)
        .join(SiteRow, SiteRow.uid == KeptRow.uid)
        .where(SiteRow.live_name.is_not(None))
        .order_by(KeptRow.id.desc())
    )
    counts: dict[tuple[int, str, str], int] = {}
    found = []
    for row, name in rows:
        key = (row.uid, row.kind, row.slug)
        counts[key] = counts.get(key, 0) + 1
        if row.kept_at < before or counts[key] > MOST:
            found.append((name, row.uid, row.id))
    return found


def _kept(row: KeptRow) -> Kept:
    kind: Kind = "theme" if row.kind == "theme" else "plugin"
    return Kept(row.id, kind, row.slug, row.version, row.operation_id, row.kept_at)
