"""The journal of updates: functions of a session. What is written here before a step is what is known after a crash."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from portal.operations.plans import KEPT_DAYS, Change
from portal.recipes.fleet_update.models import FleetUpdatePlanRow, FleetUpdateRow, FleetUpdateSiteRow
from portal.recipes.fleet_update.wanted import Update, parsed

State = Literal["waiting", "at_work", "updated", "rolled_back", "not_begun", "failed", "unknown"]
Step = Literal["", "health", "point", "updating", "checking", "public", "rolling_back"]
LISTED = 50


@dataclass(frozen=True, slots=True)
class SitePart:
    """What is to be done with one site."""

    site: str
    ring: int
    changes: tuple[Change, ...]

    @property
    def updates(self) -> list[Update]:
        """In the order of the plan's wishes: plugins, themes, core."""
        order = {"plugin": 0, "theme": 1, "core": 2}
        found = [parsed(change.name, str(change.after))[1] for change in self.changes]
        return sorted(found, key=lambda each: (order[each.kind], each.slug))


def begin(
    session: Session, update_id: str, plan_id: str, by: str, soak_minutes: int, parts: Sequence[SitePart], now: datetime
) -> None:
    session.add(
        FleetUpdateRow(
            id=update_id,
            plan_id=plan_id,
            by=by[:255],
            soak_minutes=soak_minutes,
            began_at=now,
            ended_at=None,
            soaks_until=None,
            stopped="",
        )
    )
    for position, part in enumerate(parts):
        versions = [[*_kind_and_slug(change.name), change.before, change.after] for change in part.changes]
        session.add(
            FleetUpdateSiteRow(
                update_id=update_id,
                site=part.site,
                ring=part.ring,
                position=position,
                state="waiting",
                step="",
                updates=json.dumps(versions),
                point=None,
                checksum=None,
                before=None,
                after=None,
                reason="",
                operation_id=None,
                began_at=None,
                ended_at=None,
            )
        )


def end(session: Session, update_id: str, stopped: str, now: datetime) -> None:
    """Close an update; what still waits was not begun."""
    row = session.get_one(FleetUpdateRow, update_id)
    row.ended_at, row.stopped, row.soaks_until = now, stopped, None
    session.execute(
        update(FleetUpdateSiteRow)
        .where(FleetUpdateSiteRow.update_id == update_id, FleetUpdateSiteRow.state == "waiting")
        .values(state="not_begun", reason=stopped or "it was ended before this site's turn")
    )


def soak(session: Session, update_id: str, until: datetime | None) -> None:
    session.get_one(FleetUpdateRow, update_id).soaks_until = until


def change(session: Session, update_id: str, site: str, **columns: Any) -> None:
    """Set columns of a site's row; `before` and `after` are documents."""
    row = session.get_one(FleetUpdateSiteRow, (update_id, site))
    for name, value in columns.items():
        is_document = name in ("before", "after") and value is not None
        setattr(row, name, json.dumps(value) if is_document else value)


def get(session: Session, update_id: str) -> tuple[FleetUpdateRow, list[FleetUpdateSiteRow]] | None:
    row = session.get(FleetUpdateRow, update_id)
    return None if row is None else (row, _sites(session, [update_id]))


def newest(session: Session) -> list[tuple[FleetUpdateRow, list[FleetUpdateSiteRow]]]:
    rows = list(session.scalars(select(FleetUpdateRow).order_by(FleetUpdateRow.began_at.desc()).limit(LISTED)))
    sites = _sites(session, [row.id for row in rows])
    return [(row, [site for site in sites if site.update_id == row.id]) for row in rows]


def of_operation(session: Session, operation_id: str) -> FleetUpdateSiteRow | None:
    """The site whose own operation this is."""
    return session.scalar(select(FleetUpdateSiteRow).where(FleetUpdateSiteRow.operation_id == operation_id))


def left_over(session: Session) -> list[str]:
    """The ids of updates that a portal before this one has not ended."""
    return list(session.scalars(select(FleetUpdateRow.id).where(FleetUpdateRow.ended_at.is_(None))))


def updates_of(row: FleetUpdateSiteRow) -> list[tuple[str, str, str | None, str]]:
    """kind, slug, version before, version wanted of each."""
    return [tuple(each) for each in json.loads(row.updates)]


def keep_plan(
    session: Session, plan_id: str, asked: dict[str, Any], left_out: Sequence[tuple[str, str]], now: datetime
) -> None:
    """Beside it, forget what nobody looks at any more."""
    session.execute(delete(FleetUpdatePlanRow).where(FleetUpdatePlanRow.created_at < now - timedelta(days=KEPT_DAYS)))
    session.add(
        FleetUpdatePlanRow(plan_id=plan_id, asked=json.dumps(asked), left_out=json.dumps(left_out), created_at=now)
    )


def plan(session: Session, plan_id: str) -> tuple[dict[str, Any], list[tuple[str, str]]] | None:
    """What was asked, and what was left out."""
    row = session.get(FleetUpdatePlanRow, plan_id)
    return (json.loads(row.asked), [tuple(each) for each in json.loads(row.left_out)]) if row is not None else None


def _sites(session: Session, ids: Iterable[str]) -> list[FleetUpdateSiteRow]:
    found = session.scalars(select(FleetUpdateSiteRow).where(FleetUpdateSiteRow.update_id.in_(list(ids))))
    return sorted(found, key=lambda row: (row.update_id, row.position))


def _kind_and_slug(name: str) -> tuple[str, str]:
    kind, _, slug = name.partition(" ")[2].partition(":")
    return kind, slug
