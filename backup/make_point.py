"""The local point of a run: its name, its preflight, its stage and seal, and what retention makes of the others."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from backup import catalog_build, preflight, removal, retention, snapshot
from backup.exit_codes import SourceFailed
from backup.facts import Facts
from backup.file_journal import size
from backup.house import POINTS, House
from backup.journal import Journal
from backup.layout import INCOMPLETE
from backup.points import PointId, PointKind
from backup.runs import Run
from backup.schedule.timetable import scheduled_day
from backup.sources.source import Source
from backup.state import AssetState, PointState
from kit.clock import now_utc


@dataclass(frozen=True, slots=True)
class Asked:
    """
    scope      of a manual point: "all" or "<asset kind>:<asset name>"
    label      a manual point's name says what it is for, such as "before-restore"
    real_copy  link nothing; once a month by itself, for a weekly point
    """

    kind: PointKind
    scope: str = "all"
    label: str | None = None
    real_copy: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do: for --dry-run."""

    point: PointId
    sources: list[str]
    is_real_copy: bool
    need: preflight.Need
    decisions: list[retention.Decision]


def name_of(house: House, asked: Asked, at: datetime) -> PointId:
    if asked.kind is not PointKind.MANUAL:
        return PointId.scheduled(asked.kind, scheduled_day(asked.kind, at, house.settings.time_zone))
    point = PointId.manual(at, asked.label or slug(asked.scope))
    while house.layout.point(point).exists():  # never in the place of another: it may be what is being restored
        at += timedelta(seconds=1)
        point = PointId.manual(at, asked.label or slug(asked.scope))
    return point


def slug(scope: str) -> str:
    """Given "mailbox:anna@home.test", return what may stand in a point's name: "mailbox-anna-home.test"."""
    return re.sub(r"[^a-z0-9._-]+", "-", scope.lower()).strip("-.")[:63] or "all"


def plan(house: House, asked: Asked, journal: Journal) -> Plan:
    """What `run` would do now, without writing anything. Raise what its preflight would."""
    house.layout.require()
    point = name_of(house, asked, now_utc(house.clock))
    sources = house.sources(asked.scope)
    previous = catalog_build.newest_whole(house.layout)
    real_copy = _is_real_copy(house, asked, point)
    need = _preflight(house, point, sources, previous, real_copy, journal)
    held = [each for each in _held(house) if each.point != point]
    decisions = retention.decide(
        [*held, retention.Held(point, is_verified=True)],
        house.settings.retention,
        today=_today(house),
        made=point,
    )
    return Plan(point, [source.name for source in sources], real_copy, need, decisions)


# -- stage and seal


def make(house: House, asked: Asked, point: PointId, work: Run) -> None:
    facts = house.facts()
    with house.hold(POINTS, str(point), work.journal):
        if house.layout.point(point).exists():  # made anew: the repository has only the old one, whenever we are killed
            facts.set_point(str(point), snapshot="")
        outcome = take(house, asked, point, work)
        state = outcome.state
        work.result = {
            "point": str(point),
            "verified": outcome.is_sealed and state.verified,
            "bytes": state.bytes,
            "new_bytes": state.bytes - state.linked_bytes,
        }
        work.summary = (
            f"{point}: {state.files} files, {size(state.bytes)}, {size(state.bytes - state.linked_bytes)} new"
        )
        if not outcome.is_sealed:
            failed = "; ".join(f"{each.source}: {each.error}" for each in state.sources if not each.ok)
            work.failed(
                SourceFailed(
                    f"{failed or 'the point was not sealed'}. {point} was not sealed: what could be read is kept"
                    " once as incomplete. Nothing was removed"
                )
            )
        else:  # the tree is another one, whatever was known of one that had its name
            facts.set_point(
                str(point), damage="", verified_at=None, snapshot="", vault_sealed_at=None, protected_until=None
            )
            if asked.scope != "all" and asked.scope not in scopes_of(state.assets):
                work.failed(SourceFailed(f"{point} was made, but {asked.scope} is not in it: there is no such thing"))
        keep(house, point if outcome.is_sealed and state.verified else None, facts, work.journal)


def scopes_of(assets: Iterable[AssetState]) -> set[str]:
    """By what names the things in a point may be asked for: a site's database lies in the site."""
    scopes = set()
    for each in assets:
        scopes.add(f"{each.kind}:{each.name}")
        if each.kind == "site" and "database" in each.facts:
            scopes.add(f"database:{each.facts['server']}/{each.facts['database']}")
    return scopes


def take(
    house: House,
    asked: Asked,
    point: PointId,
    work: Run,
    *,
    sources: Sequence[Source] | None = None,
    compares: bool = True,
) -> snapshot.Outcome:
    """Preflight and snapshot (`compares` is its). The caller holds the points lock."""
    house.layout.require()
    sources = sources if sources is not None else house.sources(asked.scope)
    work.journal.step("preflight", point=str(point))
    real_copy = _is_real_copy(house, asked, point)
    previous = catalog_build.newest_whole(house.layout)
    _preflight(house, point, sources, previous, real_copy, work.journal)
    secrets = house.secrets()
    return snapshot.take(
        point,
        sources,
        layout=house.layout,
        host=house.settings.host,
        signer=house.signer(),
        clock=house.clock,
        journal=work.journal,
        known_secrets=secrets.known_values,
        real_copy=real_copy,
        compares=compares,
        distrusted=[PointId.parse(name) for name, known in house.facts().points().items() if known.damage],
    )


# -- retention


def keep(house: House, made: PointId | None, facts: Facts, journal: Journal) -> list[retention.Decision]:
    """Apply retention. The caller holds the points lock. Without a verified point of this run nothing is removed."""
    decisions = retention.decide(_held(house), house.settings.retention, today=_today(house), made=made)
    journal.step("retention", kept=sum(each.keep for each in decisions), of=len(decisions))
    for decision in decisions:
        if decision.keep:
            facts.set_point(str(decision.point), kept_because=decision.reason)
        else:
            journal.note(f"{decision.point} is removed: {decision.reason}")
            removal.remove(decision.point, house.layout, journal)
    return decisions


def _preflight(
    house: House,
    point: PointId,
    sources: Sequence[Source],
    previous: PointState | None,
    real_copy: bool,
    journal: Journal,
) -> preflight.Need:
    preflight.check_clock(now_utc(house.clock), point, catalog_build.newest(house.layout))
    allow = house.settings.sources.allow_same_device
    preflight.check_devices(house.layout, sources, allow=allow, journal=journal)
    need = preflight.expected(preflight.estimate(sources, journal), previous, real_copy=real_copy)
    preflight.check_room(house.layout.root, need)
    return need


def _is_real_copy(house: House, asked: Asked, point: PointId) -> bool:
    """Once a month a weekly point links nothing, so that one bad write cannot damage all points."""
    if asked.real_copy:
        return True
    if asked.kind is not PointKind.WEEKLY:
        return False
    copies = [
        tree.point.day
        for tree in catalog_build.trees(house.layout)
        if tree.point.kind is PointKind.WEEKLY and tree.state is not None and tree.state.is_real_copy
    ]
    return not any((day.year, day.month) == (point.day.year, point.day.month) for day in copies)


def _held(house: House) -> list[retention.Held]:
    """Every sealed point. One that was damaged since does not count as a good one."""
    known = house.facts().points()
    damaged = {name for name, facts in known.items() if facts.damage}
    return [
        retention.Held(
            tree.point,
            is_verified=tree.state is not None and tree.state.verified and str(tree.point) not in damaged,
        )
        for tree in catalog_build.trees(house.layout)
        if not tree.is_incomplete
    ]


def _today(house: House) -> date:
    return now_utc(house.clock).astimezone(house.settings.time_zone).date()


def newest_scheduled(house: House) -> PointId | None:
    """The newest verified point that is not a manual one: in its name `prune` removes others."""
    verified = [each.point for each in _held(house) if each.is_verified and each.point.kind is not PointKind.MANUAL]
    return max(verified, key=lambda point: point.day, default=None)


def decisions(house: House) -> list[retention.Decision]:
    """What `prune` would keep and remove, with reasons."""
    made = newest_scheduled(house)
    return retention.decide(_held(house), house.settings.retention, today=_today(house), made=made)


def safety_copy(house: House, journal: Journal, kind: str, name: str) -> PointId | None:
    """Make a point of what a restore is about to replace; None when nothing is there any more.

    name    "" with the kind "everything"
    raises  SourceFailed when the point is not verified. Takes the points lock itself
    """
    scope = "all" if kind == "everything" else f"{kind}:{name}"
    asked = Asked(PointKind.MANUAL, scope, label=f"before-restore-{slug(scope)}"[:63].rstrip("-."))
    point = name_of(house, asked, now_utc(house.clock))
    sources = [source for source in house.sources(scope) if not _is_gone(source)]
    if not sources:
        journal.note("there is nothing to copy before the restore: what it replaces is gone")
        return None
    with house.hold(POINTS, str(point), journal):
        outcome = take(house, asked, point, Run("", journal), sources=sources, compares=False)
        if outcome.is_sealed and outcome.state.verified:
            return point
        failed = [each for each in outcome.state.sources if not each.ok]
        if [each.source for each in failed] == [snapshot.NO_FILE]:
            removal.delete(house.layout.staging(point, INCOMPLETE))
            journal.note("there is nothing to copy before the restore: what it replaces is empty")
            return None
    reasons = "; ".join(f"{each.source}: {each.error}" for each in failed)
    raise SourceFailed(f"the safety copy before the restore failed: {reasons}. Nothing was restored")


def _is_gone(source: Source) -> bool:
    """Of what lies on a disk: none of it is there any more, as on a new machine."""
    return bool(source.paths) and not any(path.exists() for path in source.paths)
