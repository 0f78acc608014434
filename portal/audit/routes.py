"""The audit's routes: search, export, verify. Nothing here changes a row; no route anywhere does."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import StreamingResponse

from portal.actor import Actor
from portal.audit import service
from portal.audit.chain import Result
from portal.audit.schemas import AuditPage, AuditVerification
from portal.auth.dependencies import GuardedRoute, allowed
from portal.db import Database
from portal.web.times import Instant

router = APIRouter(prefix="/api/audit", tags=["audit"], route_class=GuardedRoute)

MEDIA_TYPES: dict[service.Format, str] = {"jsonl": "application/jsonl", "csv": "text/csv"}
MAX_PAGE = 500
Text = Annotated[str | None, Field(max_length=200)]


class AuditFilter(BaseModel):
    """All that is given must fit. Texts are looked for anywhere in their column, whatever their case."""

    model_config = ConfigDict(extra="forbid")

    actor: Text = None
    action: Text = None
    target: Text = None
    text: Text = None
    result: Result | None = None
    since: Instant | None = None
    until: Instant | None = None
    operation_id: Text = None
    request_id: Text = None

    def wanted(self) -> service.Filter:
        return service.Filter(**{name: getattr(self, name) for name in service.Filter.__slots__})


class AuditSearch(AuditFilter):
    limit: int = Field(default=100, ge=1, le=MAX_PAGE)
    below: int | None = Field(default=None, ge=1, le=2**62, description="Only rows of a smaller number: the next page")


class AuditExport(AuditFilter):
    form: service.Format = "jsonl"


@router.get("")
async def list_audit(
    request: Request, actor: Annotated[Actor, allowed("audit:read")], search: Annotated[AuditSearch, Query()]
) -> AuditPage:
    """Newest first."""
    database: Database = request.app.state.portal.db
    return await service.search(database, search.wanted(), limit=search.limit, below=search.below)


@router.get(
    "/export",
    response_class=StreamingResponse,
    responses={200: {"content": {media_type: {"schema": {"type": "string"}} for media_type in MEDIA_TYPES.values()}}},
)
async def export_audit(
    request: Request, actor: Annotated[Actor, allowed("audit:export")], search: Annotated[AuditExport, Query()]
) -> StreamingResponse:
    """All that fits, oldest first, as a download. The export itself is its last row."""
    parts = await service.export(request.app.state.portal.db, actor, search.wanted(), search.form)
    headers = {"Content-Disposition": f'attachment; filename="homeport-audit.{search.form}"'}
    return StreamingResponse(parts, headers=headers, media_type=MEDIA_TYPES[search.form])


@router.get("/verification")
async def verify_audit(request: Request, actor: Annotated[Actor, allowed("audit:read")]) -> AuditVerification:
    """Read the whole chain, and say whether every row is as it was written."""
    return await service.verify(request.app.state.portal.db)
