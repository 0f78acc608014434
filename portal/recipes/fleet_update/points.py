"""Restore points of a site, database and files together, by way of the backups room; and the way back to one.

    points = BackupPoints(backups, runner)
    point = await points.make(actor, "garden", progress)             # verified, or NoRestorePoint
    await points.restore(actor, "garden", point, progress)           # in place: exactly this site

The backup's own units make and restore; each request is an operation of its own in the backups room. Whoever comes here
has asked for an update that goes back by itself, so restoring is part of what was confirmed: it names a point that this
very update has made, and a site that it alone has changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import Any

from kit.problem import Problem
from portal.actor import Actor
from portal.backups.schemas import PreviewRestore, RestoreAsset, RestorePreviewed, RunBackup
from portal.backups.service import Backups
from portal.integrations.backup_locks import Lock, site_lock
from portal.operations.progress import Progress
from portal.operations.records import Operation, State
from portal.operations.runner import Runner
from portal.recipes.fleet_update.problems import BackupAtWork, NoRestorePoint, RollBackFailed

READ_S = 3600.0  # how long a backup may read one site
AT_WORK = ("run", "restore")  # verbs of runs that read sites, or write them


class BackupPoints:
    def __init__(self, backups: Backups, runner: Runner) -> None:
        self._backups, self._runner = backups, runner

    async def is_connected(self, site: str) -> bool:
        """Whether a source of the backup has this site, which it says from the first run after the site was made."""
        try:
            catalog = await self._backups.catalog()
        except Problem:
            return False
        return any((asset.kind, asset.name) == ("site", site) and asset.source for asset in catalog.assets)

    async def at_work(self) -> str:
        """What the backup is doing that an update must not disturb; "" when nothing."""
        for job in await self._backups.pending():
            if job.state != "requested" and job.verb.split()[0] in AT_WORK:
                return f"{job.verb} ({job.id})"
        return ""

    async def kept_off(
        self, site: str, progress: Progress, wait: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> closing[Lock]:
        """Keep a backup that begins now from reading this site; close it before anything is restored.

        raises   BackupAtWork, NoRestorePoint
        """
        directory = self._backups.directory
        if directory is None:
            raise NoRestorePoint(f"{site}: no backup is connected")
        progress.note(f"{site}: keeping backups off")
        try:
            lock = await site_lock(directory, site, within_s=READ_S, wait=wait)
        except OSError as error:
            raise NoRestorePoint(f"{site}: backups cannot be kept off it: {error.strerror}") from error
        if lock is None:
            raise BackupAtWork(f"a backup has read {site} for {READ_S / 60:g} minutes")
        return lock

    async def make(self, actor: Actor, site: str, progress: Progress) -> str:
        """Make a point of this site and return its id. Raise NoRestorePoint."""
        progress.note(f"{site}: making a restore point")
        try:
            operation = await self._ended(await self._backups.run(actor, RunBackup(scope=f"site:{site}")))
        except Problem as problem:
            raise NoRestorePoint(f"{site}: {problem.detail or problem.title}") from problem
        result = _result(operation)
        point = result.get("point")
        if operation.state is not State.DONE or not isinstance(point, str):
            raise NoRestorePoint(f"{site}: {_why(operation)}", operation=operation.id)
        if result.get("verified") is not True:
            raise NoRestorePoint(f"{site}: {point} was made and not verified", operation=operation.id)
        progress.note(f"{site}: restore point {point}")
        return point

    async def restore(self, actor: Actor, site: str, point: str, progress: Progress) -> None:
        """Put database and files of this site back as the point has them. Raise RollBackFailed."""
        progress.note(f"{site}: back to {point}")
        wanted = PreviewRestore(point=point, asset=RestoreAsset(kind="site", name=site), where="in-place")
        try:
            shown = await self._ended(await self._backups.preview(actor, wanted))
            self._require(shown, site, point)
            asked = RestorePreviewed(preview=str(_result(shown).get("run")), confirm_point=point)
            restored = await self._ended(await self._backups.restore(actor, asked, lambda _: None))
            self._require(restored, site, point)
        except RollBackFailed:
            raise
        except Problem as problem:
            raise RollBackFailed(f"{site}: {problem.detail or problem.title}", point=point) from problem

    async def _ended(self, operation: Any) -> Operation:
        return await self._runner.wait(operation.id)

    @staticmethod
    def _require(operation: Operation, site: str, point: str) -> None:
        if operation.state is not State.DONE:
            raise RollBackFailed(f"{site}: {_why(operation)}", point=point, operation=operation.id)


def _result(operation: Operation) -> dict[str, Any]:
    return operation.result if isinstance(operation.result, dict) else {}


def _why(operation: Operation) -> str:
    error = operation.error if isinstance(operation.error, dict) else {}
    return str(error.get("detail") or error.get("title") or f"its operation is {operation.state}")[:500]
