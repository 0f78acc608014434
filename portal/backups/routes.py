"""The backups room's routes: parse, call, return."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request

from kit.problem import Problem
from portal.actor import Actor
from portal.audit import Result, record_now
from portal.auth.dependencies import GuardedRoute, allowed, require_step_up, require_typed_name
from portal.backups.schemas import (
    FLAT_POINT,
    RUN,
    BackupAssetList,
    BackupOverview,
    BackupPointList,
    BackupPointView,
    PreviewRestore,
    RestorePreviewed,
    RunBackup,
    RunDrill,
    RunLog,
    VerifyPoint,
)
from portal.backups.service import Backups
from portal.idempotency import OnceDep
from portal.operations.schemas import OperationView

router = APIRouter(prefix="/api/backups", tags=["backups"], route_class=GuardedRoute)

MAX_OFFSET = 2**40

FlatPoint = Annotated[str, Path(pattern=FLAT_POINT, description="A point's id with a hyphen for its slash")]
RunId = Annotated[str, Path(pattern=RUN)]
After = Annotated[int | None, Query(ge=0, le=MAX_OFFSET, description="As the last answer gave it")]


# -- looking ----------------------------------------------------------------------------------------------------------


@router.get("")
async def read_backups(request: Request, actor: Annotated[Actor, allowed("backups:read")]) -> BackupOverview:
    """Everything that is known of backups, and since when; what is asked for and what runs just now."""
    return await _room(request).overview()


@router.get("/points")
async def list_backup_points(request: Request, actor: Annotated[Actor, allowed("backups:read")]) -> BackupPointList:
    """Every restore point, newest first, also those that only the vault still has."""
    return BackupPointList(points=(await _room(request).catalog()).points)


@router.get("/points/{point}")
async def read_backup_point(
    request: Request, actor: Annotated[Actor, allowed("backups:read")], point: FlatPoint
) -> BackupPointView:
    """One restore point, and the assets that lie in it."""
    return await _room(request).point(point.replace("-", "/", 1))


@router.get("/assets")
async def list_backup_assets(request: Request, actor: Annotated[Actor, allowed("backups:read")]) -> BackupAssetList:
    """The coverage: every known database, mailbox, site, file set, volume, zone and secret."""
    return BackupAssetList(assets=(await _room(request).catalog()).assets)


@router.get("/runs/{run_id}")
async def read_backup_run(
    request: Request, actor: Annotated[Actor, allowed("backups:read")], run_id: RunId, after: After = None
) -> RunLog:
    """The newest lines of a run's record, whoever began it; or its next lines behind `after`."""
    return await _room(request).run_log(run_id, after=after)


# -- acting -----------------------------------------------------------------------------------------------------------


@router.post("/run", status_code=202)
async def run_backup(
    request: Request, actor: Annotated[Actor, allowed("backups:run")], wanted: RunBackup, once: OnceDep
) -> OperationView:
    """Make an on-demand point, of everything or of one asset."""

    async def run() -> OperationView:
        return OperationView.of(await _room(request).run(actor, wanted))

    return await once(actor, OperationView, run)


@router.post("/verify", status_code=202)
async def verify_backup_point(
    request: Request, actor: Annotated[Actor, allowed("backups:verify")], wanted: VerifyPoint, once: OnceDep
) -> OperationView:
    """Read a local point back and compare it with its manifest."""

    async def verify() -> OperationView:
        return OperationView.of(await _room(request).verify(actor, wanted))

    return await once(actor, OperationView, verify)


@router.post("/drill", status_code=202)
async def run_restore_drill(
    request: Request, actor: Annotated[Actor, allowed("backups:drill")], wanted: RunDrill, once: OnceDep
) -> OperationView:
    """Restore into scratch, compare with what was counted at backup time, measure, throw away."""

    async def drill() -> OperationView:
        return OperationView.of(await _room(request).drill(actor, wanted))

    return await once(actor, OperationView, drill)


@router.post("/previews", status_code=202)
async def preview_restore(
    request: Request, actor: Annotated[Actor, allowed("backups:preview")], wanted: PreviewRestore, once: OnceDep
) -> OperationView:
    """Say what a restore would add, overwrite and delete. Changes nothing; the operation's result is the plan."""

    async def preview() -> OperationView:
        return OperationView.of(await _room(request).preview(actor, wanted))

    return await once(actor, OperationView, preview)


@router.post("/restores", status_code=202)
async def restore_previewed(
    request: Request, actor: Annotated[Actor, allowed("backups:restore")], wanted: RestorePreviewed, once: OnceDep
) -> OperationView:
    """Bring about what a preview showed. In place it needs the point's id typed and a fresh factor."""

    def confirm(point: str) -> None:
        require_typed_name(point, wanted.confirm_point)
        require_step_up(request)

    async def restore() -> OperationView:
        return OperationView.of(await _room(request).restore(actor, wanted, confirm))

    return await _recorded(request, actor, wanted.preview, once(actor, OperationView, restore))


# -- parts ------------------------------------------------------------------------------------------------------------


async def _recorded(request: Request, actor: Actor, preview: str, answer: Awaitable[OperationView]) -> OperationView:
    """An attempt that lacks its confirmation leaves a row in the audit."""
    try:
        return await answer
    except Problem as problem:
        if problem.status == 403:
            database = request.app.state.portal.db
            await record_now(database, actor, actor.tag("backups:restore"), preview, Result.DENIED, detail=problem.type)
        raise


def _room(request: Request) -> Backups:
    room: Backups = request.app.state.portal.backups
    return room
