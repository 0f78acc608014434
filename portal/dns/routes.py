"""The DNS room's routes: parse, call, return. What is said of the tunnel and of mail domains lies beside."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request, Response

from portal.actor import Actor
from portal.auth.dependencies import GuardedRoute, allowed, require_step_up
from portal.dns.listing import RecordQuery
from portal.dns.schemas import (
    ID,
    MAX_KEY,
    PAGE_MAX,
    ZONE,
    AcceptDrift,
    ApplyDnsPlan,
    CheckedRecord,
    DnsOverview,
    DnsPlan,
    DriftList,
    Edit,
    FinishOrRevert,
    Format,
    ImportZone,
    NewDnsPlan,
    Propagation,
    RecordDetail,
    RecordPage,
    RevertDrift,
    Rollback,
    SnapshotList,
    SnapshotView,
    ZoneDifference,
    ZoneView,
)
from portal.dns.service import DnsRoom
from portal.idempotency import OnceDep
from portal.operations.records import ID as OPERATION_ID
from portal.operations.refused import recorded
from portal.operations.schemas import OperationView

MAX_PLAN_BYTES = 16 * 1024**2  # ten thousand edits, or a file of MAX_IMPORT_CHARACTERS

router = APIRouter(prefix="/api/dns", tags=["dns"], route_class=GuardedRoute)

ZoneName = Annotated[str, Path(pattern=ZONE, max_length=253, description="The zone as A-labels, lower case")]
PlanId = Annotated[str, Path(pattern=OPERATION_ID)]
SnapshotId = Annotated[str, Query(pattern=ID, description="A snapshot's id, or now")]
Sort = Literal["name", "type", "content", "ttl", "proxied", "comment", "modified_on"]


@router.get("")
async def read_dns(request: Request, actor: Annotated[Actor, allowed("dns:list")]) -> DnsOverview:
    """Every zone, how Cloudflare was found, what has drifted, what is half applied."""
    return await _room(request).overview()


@router.get("/zones/{zone}/records")
async def list_dns_records(
    request: Request,
    actor: Annotated[Actor, allowed("dns:read")],
    zone: ZoneName,
    find: Annotated[str | None, Query(max_length=255, description="In name, content or comment")] = None,
    type_: Annotated[str | None, Query(alias="type", pattern=r"^[A-Z0-9]{1,16}$")] = None,
    proxied: bool | None = None,
    tag: Annotated[str | None, Query(max_length=200)] = None,
    show: Annotated[Literal["all", "drifted", "ours", "locked"], Query()] = "all",
    sort: Sort = "name",
    direction: Literal["asc", "desc"] = "asc",
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 100,
) -> RecordPage:
    """A page of a zone's records. During an outage those last known, with their age."""
    query = RecordQuery(find, type_, proxied, tag, show, sort, is_descending=direction == "desc")
    return await _room(request).records(zone, query, offset=offset, limit=limit)


@router.get("/zones/{zone}/record")
async def read_dns_record(
    request: Request,
    actor: Annotated[Actor, allowed("dns:read")],
    zone: ZoneName,
    key: Annotated[str, Query(max_length=MAX_KEY)],
) -> RecordDetail:
    """One record, what depends on it, who changed it last."""
    return await _room(request).record(zone, key)


@router.get("/zones/{zone}/propagation")
async def read_dns_propagation(
    request: Request,
    actor: Annotated[Actor, allowed("dns:read")],
    zone: ZoneName,
    key: Annotated[str, Query(max_length=MAX_KEY)],
) -> Propagation:
    """What each configured resolver answers for a record, compared by meaning."""
    return await _room(request).propagation(zone, key)


@router.post("/zones/{zone}/read")
async def refresh_dns_zone(
    request: Request, actor: Annotated[Actor, allowed("dns:refresh")], zone: ZoneName, once: OnceDep
) -> ZoneView:
    """Read a zone now, instead of at the next poll."""
    return await once(actor, ZoneView, lambda: _room(request).refresh(zone))


@router.post("/zones/{zone}/check")
async def check_dns_record(
    request: Request, actor: Annotated[Actor, allowed("dns:read")], zone: ZoneName, edit: Edit, once: OnceDep
) -> CheckedRecord:
    """Say what is wrong with a record before Cloudflare does. Changes nothing."""
    return await once(actor, CheckedRecord, lambda: _room(request).check(zone, edit))


@router.get("/zones/{zone}/export", response_class=Response)
async def export_dns_zone(
    request: Request,
    actor: Annotated[Actor, allowed("dns:export")],
    zone: ZoneName,
    form: Annotated[Format, Query(alias="format")] = "bind",
) -> Response:
    """The zone as a file, read from Cloudflare now."""
    return await _room(request).export(zone, form)


# -- plans ------------------------------------------------------------------------------------------------------------


@router.post("/zones/{zone}/plans", status_code=201, max_body_size=MAX_PLAN_BYTES)
async def plan_dns(
    request: Request, actor: Annotated[Actor, allowed("dns:plan")], zone: ZoneName, wanted: NewDnsPlan, once: OnceDep
) -> DnsPlan:
    """What these edits change. Changes nothing."""
    return await once(actor, DnsPlan, lambda: _room(request).plan_edits(actor, zone, wanted))


@router.post("/zones/{zone}/plans/import", status_code=201, max_body_size=MAX_PLAN_BYTES)
async def plan_dns_import(
    request: Request, actor: Annotated[Actor, allowed("dns:plan")], zone: ZoneName, wanted: ImportZone, once: OnceDep
) -> DnsPlan:
    """What importing a file changes. Changes nothing."""
    return await once(actor, DnsPlan, lambda: _room(request).plan_import(actor, zone, wanted))


@router.post("/zones/{zone}/plans/rollback", status_code=201, max_body_size=MAX_PLAN_BYTES)
async def plan_dns_rollback(
    request: Request, actor: Annotated[Actor, allowed("dns:plan")], zone: ZoneName, wanted: Rollback, once: OnceDep
) -> DnsPlan:
    """What going back to a snapshot changes. Changes nothing."""
    return await once(actor, DnsPlan, lambda: _room(request).plan_rollback(actor, zone, wanted))


@router.post("/zones/{zone}/plans/drift", status_code=201)
async def plan_dns_drift(
    request: Request, actor: Annotated[Actor, allowed("dns:plan")], zone: ZoneName, wanted: RevertDrift, once: OnceDep
) -> DnsPlan:
    """What taking changes from outside back changes. Changes nothing."""
    return await once(actor, DnsPlan, lambda: _room(request).plan_drift(actor, zone, wanted))


@router.get("/zones/{zone}/plans/{plan_id}")
async def read_dns_plan(
    request: Request, actor: Annotated[Actor, allowed("dns:read")], zone: ZoneName, plan_id: PlanId
) -> DnsPlan:
    """A plan as it was made; what suffers is said as of now."""
    return await _room(request).read_plan(zone, plan_id)


@router.post("/zones/{zone}/plans/{plan_id}/apply", status_code=202)
async def apply_dns_plan(
    request: Request,
    actor: Annotated[Actor, allowed("dns:apply")],
    zone: ZoneName,
    plan_id: PlanId,
    wanted: ApplyDnsPlan,
    once: OnceDep,
) -> OperationView:
    """Do what was planned, as one operation. A stale plan is 409, with the new one. A deletion, or more than one
    change, needs a fresh factor."""

    async def apply() -> OperationView:
        return await _room(request).apply(actor, zone, plan_id, wanted, lambda: require_step_up(request))

    return await recorded(request, actor, "dns:apply", zone, once(actor, OperationView, apply))


@router.post("/zones/{zone}/plans/{plan_id}/undo", status_code=201)
async def undo_dns_plan(
    request: Request, actor: Annotated[Actor, allowed("dns:plan")], zone: ZoneName, plan_id: PlanId, once: OnceDep
) -> DnsPlan:
    """The way back from a plan that was applied, as a plan to be looked at and applied. Changes nothing."""
    return await once(actor, DnsPlan, lambda: _room(request).undo(actor, zone, plan_id))


@router.post("/zones/{zone}/unfinished/{operation_id}/plan", status_code=201)
async def plan_dns_unfinished(
    request: Request,
    actor: Annotated[Actor, allowed("dns:plan")],
    zone: ZoneName,
    operation_id: Annotated[str, Path(pattern=OPERATION_ID)],
    wanted: FinishOrRevert,
    once: OnceDep,
) -> DnsPlan:
    """Finish, or revert, what was applied in part: as a plan. Changes nothing."""
    return await once(actor, DnsPlan, lambda: _room(request).plan_unfinished(actor, zone, operation_id, wanted.way))


# -- time machine -----------------------------------------------------------------------------------------------------


@router.get("/zones/{zone}/snapshots")
async def list_dns_snapshots(
    request: Request,
    actor: Annotated[Actor, allowed("dns:read")],
    zone: ZoneName,
    before: Annotated[str | None, Query(pattern=ID)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> SnapshotList:
    """The zone's points in time, newest first."""
    return await _room(request).snapshots(zone, before=before, limit=limit)


@router.post("/zones/{zone}/snapshots", status_code=201)
async def take_dns_snapshot(
    request: Request, actor: Annotated[Actor, allowed("dns:refresh")], zone: ZoneName, once: OnceDep
) -> SnapshotView:
    """Read the zone and keep it as a point in time; one that is equal is not kept twice."""
    return await once(actor, SnapshotView, lambda: _room(request).take_snapshot(zone))


@router.get("/zones/{zone}/diff")
async def diff_dns_zone(
    request: Request,
    actor: Annotated[Actor, allowed("dns:read")],
    zone: ZoneName,
    from_id: SnapshotId,
    to_id: SnapshotId = "now",
) -> ZoneDifference:
    """What differs between two points in time."""
    return await _room(request).difference(zone, from_id, to_id)


@router.get("/zones/{zone}/drift")
async def list_dns_drift(
    request: Request,
    actor: Annotated[Actor, allowed("dns:read")],
    zone: ZoneName,
    state: Literal["open", "all"] = "open",
) -> DriftList:
    """Changes that were not made by Homeport: record, before, after, when they were seen."""
    return await _room(request).drift(zone, state)


@router.post("/zones/{zone}/drift/accept")
async def accept_dns_drift(
    request: Request, actor: Annotated[Actor, allowed("dns:accept")], zone: ZoneName, wanted: AcceptDrift, once: OnceDep
) -> DriftList:
    """Take changes from outside as they are: they are no drift any more."""
    return await once(actor, DriftList, lambda: _room(request).accept_drift(actor, zone, wanted))


def _room(request: Request) -> DnsRoom:
    room: DnsRoom = request.app.state.portal.dns
    return room
