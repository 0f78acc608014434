"""From rows and plans to what goes over HTTP. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Literal, cast

from portal.operations.plans import Plan
from portal.operations.records import Operation
from portal.recipes.fleet_update import store
from portal.recipes.fleet_update.models import FleetUpdateRow, FleetUpdateSiteRow
from portal.recipes.fleet_update.schemas import (
    LeftOut,
    UpdateChange,
    UpdateItem,
    UpdatePlan,
    UpdateReport,
    UpdateRing,
    UpdateSite,
    UpdateSiteReport,
)
from portal.recipes.fleet_update.wanted import parsed


def shown_plan(
    plan: Plan, rings: Mapping[str, int], left_out: Sequence[tuple[str, str]], soak_minutes: int
) -> UpdatePlan:
    """rings: of the sites; one that is gone since is shown in the last."""
    items: dict[str, list[UpdateItem]] = {}
    for change in plan.changes:
        site, update = parsed(change.name, str(change.after))
        items.setdefault(site, []).append(UpdateItem(name=update.name, before=change.before, after=update.version))
    order = sorted(items, key=lambda site: (rings.get(site, 2), site))
    return UpdatePlan(
        id=plan.id,
        act=plan.act,
        target=plan.target,
        changes=[UpdateChange(name=each.name, before=each.before, after=each.after) for each in plan.changes],
        rings=[
            UpdateRing(ring=ring, sites=[UpdateSite(site=site, updates=items[site]) for site in sites])
            for ring, sites in groupby(order, key=lambda site: rings.get(site, 2))
        ],
        left_out=[LeftOut(site=site, why=why) for site, why in left_out],
        soak_minutes=soak_minutes,
        created_at=plan.created_at,
        expires_at=plan.expires_at,
        undoes=plan.undoes,
        operation_id=plan.operation_id,
    )


def report(row: FleetUpdateRow, sites: Sequence[FleetUpdateSiteRow]) -> UpdateReport:
    state: Literal["at_work", "soaking", "done", "stopped"] = "at_work"
    if row.ended_at is not None:
        state = "stopped" if row.stopped else "done"
    elif row.soaks_until is not None:
        state = "soaking"
    return UpdateReport(
        id=row.id,
        plan_id=row.plan_id,
        by=row.by,
        state=state,
        soak_minutes=row.soak_minutes,
        began_at=row.began_at,
        ended_at=row.ended_at,
        soaks_until=row.soaks_until,
        stopped=row.stopped,
        sites=[_site(site) for site in sites],
    )


def not_journalled(operation: Operation) -> UpdateReport:
    """Of one that looks at its sites once more before it begins, or has ended there, since they had changed."""
    detail = operation.detail if isinstance(operation.detail, dict) else {}
    error = operation.error if isinstance(operation.error, dict) else {}
    is_over = operation.ended_at is not None
    return UpdateReport(
        id=operation.id,
        plan_id=str(detail.get("plan_id", "")),
        by=operation.actor.name,
        state="stopped" if is_over else "at_work",
        soak_minutes=int(detail.get("soak_minutes", 0)),
        began_at=operation.started_at,
        ended_at=operation.ended_at,
        soaks_until=None,
        stopped=str(error.get("detail") or error.get("title") or "it ended before it began") if is_over else "",
        sites=[],
    )


def _site(row: FleetUpdateSiteRow) -> UpdateSiteReport:
    return UpdateSiteReport(
        site=row.site,
        ring=row.ring,
        state=cast(store.State, row.state),
        step=cast(store.Step, row.step),
        updates=[
            UpdateItem(name=f"{kind}:{slug}" if slug else kind, before=before, after=after)
            for kind, slug, before, after in store.updates_of(row)
        ],
        point=row.point,
        before=None if row.before is None else json.loads(row.before),
        after=None if row.after is None else json.loads(row.after),
        reason=row.reason,
        operation_id=row.operation_id,
        began_at=row.began_at,
        ended_at=row.ended_at,
    )
