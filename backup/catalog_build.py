"""Puts the catalog together: from the trees' states, the facts and the coverage. Reads, and writes one file."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol

from backup import catalog, recovery_sheet
from backup.exit_codes import VerificationFailed
from backup.facts import Facts, PointFacts, Thing
from backup.layout import INCOMPLETE, Layout
from backup.manifest import read_state
from backup.points import PointId, PointKind
from backup.schedule.timetable import TIMETABLE, next_at, row
from backup.settings import BackupSettings
from backup.state import PointState

NOTHING_MEASURED = "nothing was measured yet"
REPOSITORY, SYNC, ATTACK, COST = "repository", "sync", "attack", "cost"  # in the facts
VAULT_SYNC, VAULT_VERIFY = "vault-sync", "vault-verify"  # how the last one ended; SYNC is the last that succeeded


class Covered(Protocol):
    """One line of the coverage."""

    @property
    def kind(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def covered(self) -> catalog.Covered: ...
    @property
    def source(self) -> str: ...
    @property
    def reason(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Tree:
    """A point that lies in the local tree. `state` is None when its STATE.json cannot be read: `damage` says why."""

    point: PointId
    state: PointState | None
    damage: str = ""
    is_incomplete: bool = False


def trees(layout: Layout) -> list[Tree]:
    """Every sealed point, and every incomplete one that is kept; newest first."""
    found = [_tree(layout, point, is_incomplete=False) for point in layout.sealed()]
    found += [_tree(layout, point, is_incomplete=True) for point in incomplete(layout)]
    return sorted(found, key=lambda tree: (_began(tree), tree.point.name, tree.point.kind), reverse=True)


def incomplete(layout: Layout) -> list[PointId]:
    found = []
    for kind in PointKind:
        directory = layout.root / kind
        for entry in sorted(directory.iterdir()) if directory.is_dir() else []:
            if entry.name.startswith(INCOMPLETE):
                try:
                    found.append(PointId.parse(f"{kind}/{entry.name.removeprefix(INCOMPLETE)}"))
                except ValueError:
                    continue
    return found


def newest(layout: Layout) -> PointState | None:
    """The state of the newest sealed point, whatever it holds: no later one may be dated before it."""
    return next((tree.state for tree in trees(layout) if tree.state is not None and not tree.is_incomplete), None)


def newest_whole(layout: Layout) -> PointState | None:
    """The state of the newest verified point that holds all sources."""
    for tree in trees(layout):
        is_whole = tree.point.kind is not PointKind.MANUAL or tree.point.scope == "all"
        if tree.state is not None and tree.state.verified and not tree.is_incomplete and is_whole:
            return tree.state
    return None


def build(settings: BackupSettings, facts: Facts, coverage: Iterable[Covered], now: datetime) -> catalog.Catalog:
    layout = settings.layout
    known = facts.points()
    points = [_point(tree, known.get(str(tree.point), PointFacts())) for tree in trees(layout)]
    points += _in_vault_only(points, known, now)
    points.sort(key=lambda point: (point.started_at, point.id), reverse=True)
    states = {str(tree.point): tree.state for tree in trees(layout) if tree.state is not None}
    drills = facts.drills()
    floor = timedelta(days=settings.vault.floor_days) if settings.vault else timedelta()
    protected = [point for point in points if _is_protected(point, floor, now)]
    disk = shutil.disk_usage(layout.root)
    return catalog.Catalog(
        written_at=now,
        host=settings.host,
        zone=settings.zone,
        retention=catalog.RetentionRules(**settings.retention.model_dump()),
        local=catalog.LocalDisk(total_bytes=disk.total, free_bytes=disk.free),
        points=points,
        assets=[_asset(each, points, protected, states, drills) for each in coverage],
        meters=_meters(settings, points, protected, drills),
        drills=drills[: catalog.DRILLS_SHOWN],
        runs=facts.runs(),
        repository=_repository(settings, facts.get(REPOSITORY)),
        vault=_vault(settings, facts),
        schedule=_schedule(settings, now),
        recovery_sheet_confirmed_at=recovery_sheet.confirmed_at(settings, facts),
    )


def write(settings: BackupSettings, facts: Facts, coverage: Iterable[Covered], now: datetime) -> catalog.Catalog:
    """Build the catalog and write it.

    Each point is remembered as it is shown: its tree may be gone tomorrow, while the vault keeps it. Those whose last
    copy is gone are forgotten.
    """
    built = build(settings, facts, coverage, now)
    known = facts.points()
    shown = {point.id: point for point in built.points}
    for point in built.points:
        if point.is_local and (point.id not in known or known[point.id].shown != point):
            facts.set_point(point.id, shown=point)
    for gone in known.keys() - shown.keys():
        facts.forget_point(gone)
    catalog.write(settings.layout.catalog, built)
    return built


# -- points


def _tree(layout: Layout, point: PointId, *, is_incomplete: bool) -> Tree:
    directory = layout.staging(point, INCOMPLETE) if is_incomplete else layout.point(point)
    try:
        return Tree(point, read_state(directory), is_incomplete=is_incomplete)
    except VerificationFailed as error:
        return Tree(point, None, str(error), is_incomplete)


def _began(tree: Tree) -> datetime:
    if tree.state is not None:
        return tree.state.started_at
    return _by_name(tree.point)


def _by_name(point: PointId) -> datetime:
    return datetime.fromisoformat(f"{point.day.isoformat()}T00:00:00+00:00")


def _point(tree: Tree, facts: PointFacts) -> catalog.Point:
    state, point = tree.state, tree.point
    is_verified = state is not None and state.verified and not tree.is_incomplete
    damage = tree.damage or facts.damage
    vault = None
    if facts.vault_sealed_at is not None and facts.protected_until is not None:
        vault = catalog.InVault(sealed_at=facts.vault_sealed_at, protected_until=facts.protected_until)
    return catalog.Point(
        id=str(point),
        kind=point.kind.value,
        scope=point.scope,
        is_local=True,
        started_at=_began(tree),
        sealed_at=state.sealed_at if state is not None and not tree.is_incomplete else None,
        verified=is_verified,
        verified_at=(facts.verified_at or state.sealed_at) if state is not None and is_verified else None,
        damage=damage,
        is_incomplete=tree.is_incomplete,
        bytes=state.bytes if state else 0,
        files=state.files if state else 0,
        new_bytes=state.bytes - state.linked_bytes if state else 0,
        seconds=round((state.sealed_at - state.started_at).total_seconds(), 1) if state else 0.0,
        failures=[f"{source.source}: {source.error}" for source in state.sources if not source.ok] if state else [],
        repository=catalog.InRepository(snapshot=facts.snapshot) if facts.snapshot else None,
        vault=vault,
        kept_because="incomplete, kept until a run succeeds" if tree.is_incomplete else facts.kept_because,
        assets=sorted(f"{asset.kind}:{asset.name}" for asset in state.assets) if state else [],
    )


def _in_vault_only(local: Sequence[catalog.Point], known: dict[str, PointFacts], now: datetime) -> list[catalog.Point]:
    here = {point.id for point in local}
    found = []
    for name, facts in known.items():
        if name in here or facts.shown is None or facts.vault_sealed_at is None or facts.protected_until is None:
            continue
        if facts.protected_until > now:
            found.append(
                facts.shown.model_copy(
                    update={
                        "is_local": False,
                        "repository": None,
                        "vault": catalog.InVault(
                            sealed_at=facts.vault_sealed_at, protected_until=facts.protected_until
                        ),
                        "kept_because": "in the vault only",
                    }
                )
            )
    return found


# -- assets and meters


def _asset(
    covered: Covered,
    points: Sequence[catalog.Point],
    protected: Sequence[catalog.Point],
    states: dict[str, PointState],
    drills: Sequence[catalog.Drill],
) -> catalog.Asset:
    name = f"{covered.kind}:{covered.name}"
    local = next((point for point in points if _is_good(point) and point.is_local and name in point.assets), None)
    vault = next((point for point in protected if name in point.assets), None)
    state = states.get(local.id) if local else None
    asset = next((each for each in state.assets if f"{each.kind}:{each.name}" == name), None) if state else None
    drill = next((each for each in drills if (each.asset_kind, each.asset) == (covered.kind, covered.name)), None)
    return catalog.Asset(
        kind=covered.kind,
        name=covered.name,
        covered=covered.covered,
        reason=covered.reason,
        source=covered.source,
        point=local.id if local else None,
        bytes=asset.bytes if asset else 0,
        counts=asset.counts if asset else {},
        folders=asset.folders if asset else [],
        local_at=local.started_at if local else None,
        vault_at=vault.started_at if vault else None,
        drill=None
        if drill is None
        else catalog.AssetDrill(**drill.model_dump(include=set(catalog.AssetDrill.model_fields))),
    )


def _is_good(point: catalog.Point) -> bool:
    return point.verified and not point.damage


def _is_protected(point: catalog.Point, floor: timedelta, now: datetime) -> bool:
    """Whether it counts as being in the vault: locked still, and a scheduled one for as long as was promised."""
    if point.vault is None or not _is_good(point) or point.vault.protected_until <= now:
        return False
    return point.kind == "manual" or point.vault.protected_until >= point.started_at + floor


def _meters(
    settings: BackupSettings,
    points: Sequence[catalog.Point],
    protected: Sequence[catalog.Point],
    drills: Sequence[catalog.Drill],
) -> catalog.Meters:
    good = [point for point in points if point.kind != "manual" and _is_good(point)]
    local = next((point.started_at for point in good if point.is_local), None)
    vault = next((point.started_at for point in protected if point.kind != "manual"), None)
    first = min((point.started_at for point in good), default=None)
    drilled = next((drill.at for drill in drills if drill.ok and drill.origin == "local"), None)
    since = drilled or first
    return catalog.Meters(
        local_at=local,
        vault_at=vault,
        rto_local_s=_projected(drills, "local"),
        rto_vault_s=_projected(drills, "vault"),
        drill_due_at=None if since is None else next_at(row("drill"), since, settings.time_zone),
    )


def _projected(drills: Sequence[catalog.Drill], origin: str) -> float | None:
    """The longest projection among the newest successful drills of each kind of asset."""
    newest: dict[str, float] = {}
    for drill in drills:
        if drill.origin == origin and drill.ok and drill.projected_seconds is not None:
            newest.setdefault(drill.asset_kind, drill.projected_seconds)
    return max(newest.values(), default=None)


# -- repository, vault, schedule


def _health(thing: Thing | None) -> Literal["ok", "failed", "unknown"]:
    if thing is None:
        return "unknown"
    return "ok" if thing.document.get("ok") else "failed"


def _repository(settings: BackupSettings, thing: Thing | None) -> catalog.RepositoryState:
    if settings.repository is None or not settings.repository.enabled:
        text = "no repository is configured: local points only"
        return catalog.RepositoryState(state="off", snapshots=0, bytes=0, checked_at=None, detail=text)
    document = thing.document if thing else {}
    return catalog.RepositoryState(
        state=_health(thing),
        snapshots=document.get("snapshots", 0),
        bytes=document.get("bytes", 0),
        checked_at=thing.at if thing else None,
        detail=document.get("detail", "") if thing else NOTHING_MEASURED,
    )


def _vault(settings: BackupSettings, facts: Facts) -> catalog.VaultState:
    sync, attack, cost = (facts.get(name) for name in (SYNC, ATTACK, COST))
    document = sync.document if sync else {}
    ended = [thing for thing in (facts.get(VAULT_SYNC), facts.get(VAULT_VERIFY)) if thing is not None]
    failed = [str(thing.document.get("detail", "")) for thing in ended if _health(thing) == "failed"]
    if settings.vault is None:
        state: catalog.Health = "off"
        detail = "no vault is configured"
    elif not ended:
        state, detail = "unknown", NOTHING_MEASURED
    else:
        state, detail = "failed" if failed else "ok", "\n".join(failed)
    return catalog.VaultState(
        state=state,
        bucket=settings.vault.bucket if settings.vault else "",
        region=settings.vault.region if settings.vault else "",
        checked_at=max((thing.at for thing in ended), default=None),
        detail=detail,
        objects=document.get("objects", 0),
        locked_bytes=document.get("locked_bytes", 0),
        lowest_retain_until=document.get("lowest_retain_until"),
        last_sync_at=sync.at if sync else None,
        uploaded_bytes=sync.document.get("uploaded_bytes", 0) if sync else 0,
        extended=sync.document.get("extended", 0) if sync else 0,
        attack_at=attack.at if attack else None,
        attack_ok=bool(attack.document["ok"]) if attack else None,
        cost=catalog.Cost(at=cost.at, **cost.document) if cost else None,
    )


def _schedule(settings: BackupSettings, now: datetime) -> list[catalog.Scheduled]:
    rows = [each for each in TIMETABLE if settings.vault is not None or not each.needs_vault]
    return [catalog.Scheduled(verb=each.verb, next_at=next_at(each, now, settings.time_zone)) for each in rows]
