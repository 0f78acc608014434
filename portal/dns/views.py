"""What the DNS room knows, as it goes over HTTP. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from portal.dns.batches import limit_of, packed
from portal.dns.listing import OURS
from portal.dns.models import ApplyRow
from portal.dns.records.checks import check, limits_of
from portal.dns.records.findings import Finding
from portal.dns.records.names import unicode_name
from portal.dns.records.neighbours import Neighbours
from portal.dns.records.pairing import Paired, pair
from portal.dns.records.view import view
from portal.dns.schemas import DnsPlan, RecordChange, RecordProblem, RecordView, Unfinished, ZoneView
from portal.dns.zones import ZoneState
from portal.integrations.records import Json
from portal.operations.plans import Change, Plan
from portal.probes import Found, UseView

MAX_SHOWN = 500  # changes of a plan that are shown; its counts have all
MAX_ASKED = 50  # names that are asked for what depends on them
ASKED_FIRST = ("MX", "TXT", "CNAME")  # more than one thing tends to depend on them


def zone_view(state: ZoneState, *, now: datetime, stale_s: float, drift: int, is_mail_domain: bool) -> ZoneView:
    """stale_s: from which age on it is not called the present."""
    is_old = state.read_at is None or now - state.read_at > timedelta(seconds=stale_s)
    return ZoneView(
        name=state.zone.name,
        unicode_name=unicode_name(state.zone.name),
        status=state.status,
        name_servers=list(state.name_servers),
        records=None if state.read_at is None else len(state.records),
        read_at=state.read_at,
        is_stale=is_old or state.error is not None,
        error=state.error,
        drift=drift,
        is_mail_domain=is_mail_domain,
    )


def record_view(record: Json, key: str) -> RecordView:
    """Of a record as Cloudflare sent it, or of a plan's value."""
    return view(record, key=key, marker=OURS)


def problem_view(finding: Finding) -> RecordProblem:
    return RecordProblem(**(asdict(finding) | {"params": dict(finding.params)}))


def unfinished_view(row: ApplyRow) -> Unfinished:
    return Unfinished(
        operation_id=row.operation_id,
        plan_id=row.plan_id,
        zone=row.zone,
        batches_done=row.batches_done,
        batches=row.batches,
        changes=row.changes,
        since=row.since,
        detail=row.detail or f"ended after transaction {row.batches_done} of {row.batches}",
    )


def counted(pairs: Sequence[Paired]) -> dict[str, int]:
    counts = dict.fromkeys(("create", "change", "delete"), 0)
    for paired in pairs:
        counts[paired.act] += 1
    return counts


def needs_step_up(changes: Sequence[Change]) -> bool:
    """Whether a plan takes a record away, or changes more than one."""
    return is_protected(counted(paired(changes)))


def is_protected(counts: Mapping[str, int]) -> bool:
    """Whether so many changes of each kind ask for a fresh factor. What is shown and what is asked for are the same."""
    return counts["delete"] > 0 or sum(counts.values()) > 1


def paired(changes: Sequence[Change]) -> list[Paired]:
    return pair((change.name, change.before, change.after) for change in changes)


def suffering(pairs: Sequence[Paired]) -> list[str]:
    """The records that go or change, as "TYPE name", each once: what depends on them is asked for.

    At most MAX_ASKED of those that are shown: what goes before what changes, and ASKED_FIRST before other types.
    """
    going = [each for each in pairs[:MAX_SHOWN] if each.before is not None]
    going.sort(key=lambda each: (each.act != "delete", each.name.partition(" ")[0] not in ASKED_FIRST))
    return list(dict.fromkeys(each.name for each in going))[:MAX_ASKED]


def warnings(
    zone: str, changes: Sequence[Change], pairs: Sequence[Paired], records: Mapping[str, Json], plan: str
) -> dict[str, list[Finding]]:
    """What is to be said of the records that are shown, as they will be, by the key that they will have."""
    later: dict[str, Json] = dict(records)
    for change in changes:
        later.pop(change.name, None)
        if change.after is not None:
            later[change.name] = change.after
    neighbours, limits = Neighbours(later.values()), limits_of(plan)
    found: dict[str, list[Finding]] = {}
    for each in pairs[:MAX_SHOWN]:
        if each.after is not None:
            key = each.keys[-1]
            _, findings = check(zone, each.after, before=each.before, others=neighbours, own=key, limits=limits)
            found[key] = [finding for finding in findings if finding.severity == "warning"]
    return found


def plan_view(
    plan: Plan,
    pairs: Sequence[Paired],
    *,
    uses: Mapping[str, Found],
    warned: Mapping[str, Sequence[Finding]],
    zone_plan: str,
    skipped: Sequence[Finding] = (),
) -> DnsPlan:
    """
    uses       by "TYPE name"; what is not in it was not asked for
    warned     by the key a record will have
    zone_plan  Cloudflare's plan of the zone, which says how much goes into one transaction
    """
    counts = counted(pairs)
    protected = is_protected(counts)
    changing = {change.name for change in plan.changes}
    unchanged = sorted(plan.wish.keys() - changing)
    return DnsPlan(
        **head_of(plan),
        changes=[_change(each, uses, warned, is_protected=protected) for each in pairs[:MAX_SHOWN]],
        counts=counts | {"unchanged": len(unchanged)},
        unchanged=unchanged[:MAX_SHOWN],
        silent_rooms=sorted({room for each in uses.values() for room in each.silent_rooms}),
        needs_step_up=protected,
        batches=len(packed(pairs, limit=limit_of(zone_plan))),
        skipped=[problem_view(finding) for finding in skipped],
    )


def _change(
    paired: Paired,
    uses: Mapping[str, Found],
    warned: Mapping[str, Sequence[Finding]],
    *,
    is_protected: bool,
) -> RecordChange:
    before, after = paired.before, paired.after
    return RecordChange(
        name=paired.name,
        act=paired.act,
        keys=paired.keys,
        before=None if before is None else record_view(before, paired.keys[0]),
        after=None if after is None else record_view(after, paired.keys[-1]),
        fields=paired.fields,
        is_protected=is_protected,
        used_by=_used_by(paired, uses),
        warnings=[problem_view(finding) for finding in warned.get(paired.keys[-1], ())],
    )


def head_of(plan: Plan) -> dict[str, Any]:
    """What is shown of a plan whatever it is about."""
    return {name: getattr(plan, name) for name in _HEAD}


_HEAD = ("id", "act", "target", "created_at", "expires_at", "undoes", "operation_id")


def _used_by(paired: Paired, uses: Mapping[str, Found]) -> list[UseView] | None:
    """What depends on the record that was there; None when nobody was asked."""
    if paired.before is None:
        return []
    found = uses.get(paired.name)
    return None if found is None else [UseView.of(use) for use in found.uses]
