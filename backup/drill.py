"""Drill: restore into scratch, hold what came of it against the counts of the point, measure, destroy.

A drill uses the code of a restore. Its files go below `<root>/state/scratch/<run>/`, its database into a server of its
own; no socket, port or directory of live data is named to it. A valid dump without a single row fails.

The projection: what was measured per byte, for all bytes of the point; what has to be fetched from the vault as a whole
counts once. Below SMALLEST bytes nothing is projected, as a start of a server would be multiplied.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from backup import drill_server, lock, manifest
from backup.exit_codes import (
    BackupError,
    LockBusy,
    OverBudget,
    RestoreRefused,
    VaultUnreachable,
    VerificationFailed,
    WrongUsage,
)
from backup.facts import Facts
from backup.layout import MANIFEST
from backup.points import PointId, PointKind
from backup.restore import scratch
from backup.restore.database import DatabaseRestore
from backup.restore.files import Placement
from backup.restore.mail import is_message
from backup.restore.model import Context, Origin, RestoreRequest, Tally, chosen
from backup.restore.origin import newest_point, opened
from backup.restore.places import beside, dump_of, selected
from backup.restore.tree import Below, Copier
from backup.state import AssetState, PointState

SMALLEST = 1 << 20  # bytes of an asset, from which on a rate means something
GROUPS: tuple[frozenset[str], ...] = (frozenset({"mailbox"}), frozenset({"site", "database"}))
NEVER = datetime.min.replace(tzinfo=UTC)
Asset = tuple[str, str]  # kind, name


@dataclass(frozen=True, slots=True)
class DrillResult:
    """
    ok                 what was restored is what was backed up, by its counts and hashes
    seconds            from the first byte to the last check
    projected_seconds  for the whole point; None when the asset is too small, or failed
    detail             what was counted or, in words, what was not as it should be
    """

    asset_kind: str
    asset: str
    point: PointId
    origin: Origin
    ok: bool
    seconds: float
    projected_seconds: float | None
    detail: str
    bytes: int = 0


def due(assets: Sequence[AssetState], drilled: Mapping[Asset, datetime]) -> list[Asset]:
    """Which assets are next: of each group the one drilled least lately, the larger of two, then by name. Pure.

    drilled  when each asset was last drilled
    """
    found: list[Asset] = []
    for group in GROUPS:
        candidates = [each for each in assets if each.kind in group]
        if candidates:
            first = min(
                candidates, key=lambda each: (drilled.get((each.kind, each.name), NEVER), -each.bytes, each.name)
            )
            found.append((first.kind, first.name))
    return found


def due_now(context: Context, origin: Origin = "local") -> list[Asset]:
    """The same, of the newest point and by what the facts remember. From the vault: a sample of one."""
    state = manifest.read_state(context.settings.layout.point(_newest_local(context)))
    drilled: dict[Asset, datetime] = {}
    for each in Facts(context.settings.layout.state / "facts.sqlite3").drills():
        if each.origin == origin:
            key = (each.asset_kind, each.asset)
            drilled[key] = max(drilled.get(key, NEVER), each.at)
    found = due(state.assets, drilled)
    return found[:1] if origin == "vault" else found


def run(asset: Asset | None, origin: Origin, context: Context, *, point: PointId | None = None) -> list[DrillResult]:
    """Drill one asset, else those that are due.

    point    default: the newest that `origin` holds
    returns  one result each, also for what failed
    raises   what says nothing about the backup: LockBusy, WrongUsage, VaultUnreachable, OverBudget
    """
    locks = context.settings.layout.locks
    note = context.journal.note
    with lock.hold(locks, "drill", who=context.run_id, wait_s=context.lock_wait_s, waiting=note):
        assets = [asset] if asset is not None else due_now(context, origin)
        if not assets:
            raise WrongUsage("there is nothing to drill: the newest point holds no mailbox, site or database")
        wanted = point or (_newest_local(context) if origin == "local" else newest_point(origin, context))
        return [_drill(each, wanted, origin, context) for each in assets]


def _drill(asset: Asset, point: PointId, origin: Origin, context: Context) -> DrillResult:
    kind, name = asset
    context.journal.step("drill", asset=f"{kind}:{name}", point=str(point), origin=origin)
    started = context.clock.monotonic()
    request = RestoreRequest(point, kind, name, origin=origin)  # type: ignore[arg-type]  # `chosen` refuses any other
    try:
        with opened(request, context) as place:
            manifest.check_signature(place.directory, context.verifier)
            state = manifest.read_state(place.directory)
            (found,) = chosen(state, request)
            place.bring(found.paths)
            fetched = context.clock.monotonic()
            detail = _Drill(found, request, place.directory, context).run()
    except (LockBusy, WrongUsage, VaultUnreachable, OverBudget):
        raise
    except BackupError as error:
        seconds = context.clock.monotonic() - started
        return DrillResult(kind, name, point, origin, False, seconds, None, str(error))
    ended = context.clock.monotonic()
    projected = _projected(fetched - started, ended - fetched, found, state, origin)
    return DrillResult(kind, name, point, origin, True, ended - started, projected, detail, found.bytes)


def _projected(fetch_s: float, restore_s: float, asset: AssetState, state: PointState, origin: Origin) -> float | None:
    if asset.bytes < SMALLEST:
        return None
    share = state.bytes / asset.bytes
    return fetch_s + restore_s * share if origin == "vault" else (fetch_s + restore_s) * share


@dataclass(frozen=True, slots=True)
class _Drill:
    asset: AssetState
    request: RestoreRequest
    source: Path
    context: Context

    def run(self) -> str:
        """Restore and count. Return what was counted; raise VerificationFailed."""
        layout = self.context.settings.layout
        with scratch.held(layout, f"{self.context.run_id}-drill") as directory, Below(self.source) as source:
            copier = Copier(source)
            dumps = self._restore_files(copier, directory)
            found = counted(directory, self.asset)
            dump = dump_of(self.asset)
            if dump is not None:
                found |= self._load(copier, dumps[os.fsencode(dump)], directory)
        _require(self.asset, found)
        return ", ".join(f"{n} {what}" for what, n in sorted(found.items()) if not what.startswith("rows."))

    def _restore_files(self, copier: Copier, directory: Path) -> dict[bytes, manifest.Entry]:
        """Copy all but the dump, which is loaded from where it lies; return the dump's entry."""
        only, dump = selected([self.asset], self.request), os.fsencode(dump_of(self.asset) or "")
        target = directory / "files"
        target.mkdir(mode=0o700)
        dumps = {}
        wanted = []
        for entry in manifest.entries(self.source / MANIFEST):
            if entry.path == dump:
                dumps[dump] = entry
            elif only(entry.path):
                wanted.append(entry)
        with Placement([beside(target, only)], run_id=self.context.run_id) as placement:
            placement.stage(wanted, Tally(), copier, self.context.journal, self.asset.bytes)
        return dumps

    def _load(self, copier: Copier, entry: manifest.Entry, directory: Path) -> dict[str, int]:
        with drill_server.server(directory / "mariadb") as server:
            path = os.fsdecode(entry.path)
            database = DatabaseRestore(server, self.asset, path, None, self.context, is_live=False)
            database.load(copier, entry)  # counts tables and rows, and compares
        found = {name: n for name, n in self.asset.counts.items() if name == "tables" or name.startswith("rows.")}
        if not sum(n for name, n in found.items() if name.startswith("rows.")):
            raise VerificationFailed(f"{path} is a valid dump that holds not one row: nothing would come back")
        return found


def counted(directory: Path, asset: AssetState) -> dict[str, int]:
    """Count what was restored below `<directory>/files`, in the form of AssetState.counts."""
    with Below(directory / "files") as restored:
        if asset.kind == "mailbox":
            top = os.fsencode("/".join(part for part in (asset.paths[0], asset.facts.get("maildir", "")) if part))
            every = list(restored.walk(top))
            messages = [
                path
                for path, found in every
                if is_message(path) and stat.S_ISREG(found.st_mode) and not path.rpartition(b"/")[2].startswith(b".")
            ]
            folders = [path for path, found in every if path.endswith(b"/cur") and stat.S_ISDIR(found.st_mode)]
            return {"messages": len(messages), "folders": len(folders)}
        if asset.kind in ("site", "files"):
            below = f"sites/{asset.name}/files" if asset.kind == "site" else asset.paths[0]
            return {"files": sum(stat.S_ISREG(found.st_mode) for _, found in restored.walk(os.fsencode(below)))}
    return {}


def _require(asset: AssetState, found: Mapping[str, int]) -> None:
    wrong = sorted(name for name, n in asset.counts.items() if found.get(name) != n)
    if wrong:
        says = ", ".join(f"{name} {asset.counts[name]}, restored {found.get(name, 0)}" for name in wrong[:5])
        raise VerificationFailed(f"{asset.kind} {asset.name} is not what its point says: {says}")


def _newest_local(context: Context) -> PointId:
    """The newest scheduled point, which holds all sources; else the newest of any kind."""
    layout = context.settings.layout
    scheduled = layout.sealed(PointKind.DAILY, PointKind.WEEKLY)
    for points in (scheduled, layout.sealed(PointKind.MANUAL)):
        if points:
            return max(points, key=lambda point: (point.day, point.kind is PointKind.DAILY, point.name))
    raise RestoreRefused("there is no sealed point to drill")
