"""Restore: plan, then apply what was planned. The same code looks both times.

    plan   open the point -> signature, state -> which assets -> what would change -> digest
    apply  the same, and compare -> safety copy -> stage files, load databases beside, both checked -> look once more ->
           swap databases, put files in place -> report

Until the last line nothing live has changed. One restore runs at a time (lock "restore"); stopping and starting
containers is the portal's, which asks this plan which ones.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from backup import lock, manifest
from backup.exit_codes import RestoreRefused, VerificationFailed
from backup.layout import MANIFEST
from backup.points import PointId
from backup.restore.database import DatabaseRestore
from backup.restore.files import Place, Placement
from backup.restore.model import (
    Context,
    Origin,
    RestorePlan,
    RestoreReport,
    RestoreRequest,
    Tally,
    Where,
    WorldChanged,
    chosen,
)
from backup.restore.origin import OpenedPoint, opened
from backup.restore.places import beside, dump_of, in_place, selected, server_of, services
from backup.restore.tree import Below, Copier

__all__ = [
    "Context",
    "Origin",
    "RestorePlan",
    "RestoreReport",
    "RestoreRequest",
    "Where",
    "WorldChanged",
    "apply",
    "plan",
]


def plan(request: RestoreRequest, context: Context) -> RestorePlan:
    """Say what a restore would do; change nothing.

    raises  RestoreRefused, VerificationFailed when signature or state are not what they should be, and what reading
            from the origin raises
    """
    with opened(request, context) as point:
        return _Work(request, context, point).plan()


def apply(plan: RestorePlan, context: Context) -> RestoreReport:
    """Do what a plan says.

    raises  RestoreRefused when point or world are not what was planned from; `plan` of the error is the new one.
            VerificationFailed for a file that is damaged, DestinationFailed for a full disk: live data is as it was
    """
    with (
        lock.hold(
            context.settings.layout.locks,
            "restore",
            who=context.run_id,
            wait_s=context.lock_wait_s,
            waiting=context.journal.note,
        ),
        opened(plan.request, context) as point,
    ):
        return _Work(plan.request, context, point).apply(plan)


class _Work:
    """One request over one opened point."""

    def __init__(self, request: RestoreRequest, context: Context, point: OpenedPoint) -> None:
        self.request, self.context, self.point = request, context, point
        self.state = manifest.read_state(point.directory)
        self.is_verified = self._is_verified()
        self.assets = chosen(self.state, request)
        self.only = selected(self.assets, request)
        self.databases = self._databases()
        self.dumps: dict[bytes, manifest.Entry] = {}

    def plan(self) -> RestorePlan:
        settings, request = self.context.settings, self.request
        tally = self._look()
        is_live = request.where == "in-place"
        found = [name for asset in self.assets for name in services(asset, settings)] if is_live else []
        rate = self.context.bytes_per_s
        return RestorePlan(
            sha256=tally.sha256,
            request=request,
            target=self._target(),
            adds=tally.adds,
            overwrites=tally.overwrites,
            deletes=tally.deletes,
            bytes=tally.bytes,
            services=tuple(dict.fromkeys(found)),
            verified=self.is_verified,
            changes=tuple(tally.changes),
            egress_usd=self.point.egress_usd,
            seconds=tally.bytes / rate if rate else None,
        )

    def apply(self, plan: RestorePlan) -> RestoreReport:
        started = self.context.clock.monotonic()
        self._require_same(plan)
        self.point.bring(self._paths())
        is_live = self.request.where == "in-place"
        safety = self._safety_copy(plan) if is_live else None
        with contextlib.ExitStack() as stack:
            for name in sorted(asset.name for asset in self.assets if is_live and asset.kind == "site"):
                stack.enter_context(self._locked(f"site-{name}"))
            copier = self._in_place(plan, safety) if is_live else self._beside(plan)
        files = copier.files
        return RestoreReport(
            target=self._target() if is_live else self._beside_target(files),
            files=files,
            bytes=copier.bytes,
            seconds=self.context.clock.monotonic() - started,
            safety_copy=safety,
            undo=self._undo(safety) if safety is not None and plan.overwrites + plan.deletes else None,
            not_scanned=files,
            damaged=tuple(copier.damaged),
        )

    # -- looking

    def _is_verified(self) -> bool:
        if self.state.point != str(self.request.point):
            raise RestoreRefused(f"the state in {self.point.directory} is that of {self.state.point}")
        try:
            manifest.check_signature(self.point.directory, self.context.verifier)
        except VerificationFailed as error:
            if not self.request.allow_unverified:
                raise
            self.context.journal.warn(f"taken all the same, as allowed: {error}")
            return False
        if not self.state.verified and not self.request.allow_unverified:
            raise RestoreRefused(f"{self.request.point} was never verified. Allow unverified data to restore it")
        return self.state.verified and self.point.is_sealed

    def _databases(self) -> list[DatabaseRestore]:
        """Those that are loaded into a server: not of a directory that is restored beside as it is."""
        request, settings = self.request, self.context.settings
        is_live = request.where == "in-place"
        wanted = []
        for asset in self.assets:
            dump = dump_of(asset)
            if dump is None or (asset.kind == "site" and (request.is_partial or not is_live)):
                continue
            server = server_of(asset, settings)
            can_load = server is not None and server.restore_user is not None
            if is_live and not can_load:
                raise RestoreRefused(
                    f"{asset.kind} {asset.name}: backup.toml has no server {asset.facts.get('server')!r} with a"
                    " restore_user. Restore it beside: the dump is a file of plain SQL"
                )
            if server is not None and can_load and (is_live or request.asset_kind == "database"):
                table = request.path if asset.kind == "database" else None
                wanted.append(DatabaseRestore(server, asset, dump, table, self.context, is_live))
        return wanted

    def _places(self, beside_root: Path) -> list[Place]:
        if self.request.where == "in-place":
            settings = self.context.settings
            return [place for each in self.assets for place in in_place(each, self.request, settings, self.only)]
        return [] if self.databases else [beside(beside_root, self.only)]

    def _look(self) -> Tally:
        tally = self._tally()
        with Placement(self._places(self.context.root), run_id=self.context.run_id) as placement:
            placement.look(self._entries(), tally)
            if not placement.matched and not self.databases:
                raise RestoreRefused(
                    f"{self.request.point} holds nothing of what was asked for in {self.request.asset}"
                )
        return tally

    def _tally(self) -> Tally:
        """A new one, with all that is not files."""
        request, tally = self.request, Tally()
        asked = (request.asset, repr(request.path), repr(request.folder), request.origin, request.where)
        tally.digest(str(request.point), *asked, str(request.allow_unverified), self.state.manifest_sha256)
        for database in self.databases:
            for change in database.changes():
                tally.add(change)
            tally.bytes += database.bytes
        return tally

    def _entries(self) -> Iterator[manifest.Entry]:
        """Of the whole point; on the way, those of the dumps that will be loaded are remembered."""
        dumps = {os.fsencode(database.dump) for database in self.databases}
        for entry in manifest.entries(self.point.directory / MANIFEST):
            if entry.path in dumps:
                self.dumps[entry.path] = entry
            yield entry

    def _require_same(self, plan: RestorePlan) -> None:
        if self._look().sha256 != plan.sha256:
            raise WorldChanged(self.plan())

    # -- doing

    def _beside(self, plan: RestorePlan) -> Copier:
        context = self.context
        with Below(self.point.directory) as source:
            copier = Copier(source, take_damaged=self.request.allow_unverified)
            if self.databases:
                self._load(copier)
                for database in self.databases:
                    database.keep()
                return copier
            final, partial = self._beside_directories()
            try:
                with Placement(self._places(partial), run_id=context.run_id) as placement:
                    context.journal.step("restore", target=str(final))
                    tally = self._tally()
                    placement.stage(self._entries(), tally, copier, context.journal, plan.bytes)
                    if tally.sha256 != plan.sha256:
                        raise WorldChanged(self.plan())
                partial.rename(final)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise
        return copier

    def _in_place(self, plan: RestorePlan, safety: PointId | None) -> Copier:
        context = self.context
        with (
            Below(self.point.directory) as source,
            Placement(self._places(context.root), run_id=context.run_id) as placement,
            contextlib.ExitStack() as stack,
        ):
            copier = Copier(source, take_damaged=self.request.allow_unverified)
            for database in self.databases:
                stack.callback(database.drop_scratch)
            self._load(copier)
            context.journal.step("stage")
            tally = self._tally()
            placement.stage(self._entries(), tally, copier, context.journal, plan.bytes)
            if tally.sha256 != plan.sha256:
                raise WorldChanged(self.plan())
            context.journal.step("swap")
            try:
                for database in self.databases:
                    database.swap()
                placement.commit(copier)
            except BaseException:
                there = f"what was there is in {safety}" if safety else "nothing had been there"
                context.journal.warn(f"the restore stopped while it replaced live data; {there}")
                raise
        return copier

    def _load(self, copier: Copier) -> None:
        for database in self.databases:
            self.context.journal.step("load", database=database.database)
            database.load(copier, self.dumps[os.fsencode(database.dump)])

    def _safety_copy(self, plan: RestorePlan) -> PointId | None:
        self.context.journal.step("safety copy")
        name = "" if self.request.asset_kind == "everything" else self.request.asset_name
        safety = self.context.safety_copy(self.request.asset_kind, name)
        self._require_same(plan)  # it took its time
        return safety

    def _locked(self, name: str) -> contextlib.AbstractContextManager[None]:
        context = self.context
        locks, note = context.settings.layout.locks, context.journal.note
        return lock.hold(locks, name, who=f"restore {context.run_id}", wait_s=context.lock_wait_s, waiting=note)

    def _beside_directories(self) -> tuple[Path, Path]:
        """The directory that is to be, and the one that it is made under."""
        restored = self.context.restored
        final, partial = restored / self.context.run_id, restored / f".partial-{self.context.run_id}"
        if final.exists():
            raise RestoreRefused(f"{final} is there already")
        restored.mkdir(mode=0o700, exist_ok=True)
        for left in restored.glob(".partial-*"):  # of a restore that was killed; one at a time holds the lock
            shutil.rmtree(left)
        partial.mkdir(mode=0o700)
        return final, partial

    # -- saying

    def _paths(self) -> list[str]:
        """Of the point, what has to be brought from its origin."""
        if self.request.asset_kind == "everything":
            return [asset_path for asset in self.state.assets for asset_path in asset.paths]
        return [path for asset in self.assets for path in asset.paths]

    def _target(self) -> str:
        if self.request.where == "beside" and not self.databases:
            return str(self.context.restored)
        places = [str(place.root / os.fsdecode(place.into)) for place in self._places(self.context.root)]
        return ", ".join([*places, *(database.target for database in self.databases)])

    def _beside_target(self, files: int) -> str:
        return self._target() if self.databases and not files else str(self.context.restored / self.context.run_id)

    def _undo(self, safety: PointId) -> str:
        return f"homeport backup restore {safety} {self.request.asset} --in-place --confirm {safety}"
