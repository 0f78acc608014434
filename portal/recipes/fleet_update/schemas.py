"""Updates of many sites over HTTP. Titles, errors and lines of PHP are strangers' texts; a page shows them as text."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from portal.recipes.fleet_update.store import State, Step
from portal.wordpress.names import SITE

SiteName = Annotated[str, StringConstraints(pattern=SITE)]


class NewUpdatePlan(BaseModel):
    """What is to be updated.

    sites         null: all that are active
    rings         only sites of these
    soak_minutes  between ring 1 and the rest
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sites: Annotated[list[SiteName], Field(min_length=1, max_length=500)] | None = None
    rings: Annotated[list[Literal[1, 2]], Field(min_length=1, max_length=2)] = [1, 2]
    plugins: bool = True
    themes: bool = True
    core: bool = True
    soak_minutes: int = Field(default=30, ge=0, le=1440)


class ApplyUpdatePlan(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: Annotated[str, StringConstraints(max_length=500)] | None = None


class UpdateItem(BaseModel):
    """name: plugin:<slug>, theme:<slug> or core. before: the version that is there; null when it is not known."""

    name: str
    before: str | None
    after: str


class UpdateSite(BaseModel):
    site: str
    updates: list[UpdateItem]


class UpdateRing(BaseModel):
    ring: int
    sites: list[UpdateSite]


class LeftOut(BaseModel):
    """A site that was asked for and cannot be updated safely."""

    site: str
    why: str


class UpdateChange(BaseModel):
    """name: the site, a space, and the thing, as "garden plugin:cache-it"."""

    name: str
    before: str | None
    after: str | None


class UpdatePlan(BaseModel):
    """What would be updated, ring by ring, in the order in which it would be."""

    id: str
    act: str
    target: str
    changes: list[UpdateChange]
    rings: list[UpdateRing]
    left_out: list[LeftOut]
    soak_minutes: int
    created_at: datetime
    expires_at: datetime
    undoes: str | None
    operation_id: str | None


class UpdateSiteReport(BaseModel):
    """How one site came through.

    state         waiting, at_work, updated, rolled_back, not_begun, failed (it is in maintenance), unknown (likewise)
    step          of one at work, or what was the last
    point         the restore point that was made for it
    before, after pages by name, with status, seconds and what was looked for; PHP's fatal errors
    """

    site: str
    ring: int
    state: State
    step: Step
    updates: list[UpdateItem]
    point: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    reason: str
    operation_id: str | None
    began_at: datetime | None
    ended_at: datetime | None


class UpdateReport(BaseModel):
    """
    id           of the operation
    state        at_work, soaking, done, stopped
    stopped      why the rings behind were not begun
    soaks_until  while ring 1 is watched
    """

    id: str
    plan_id: str
    by: str
    state: Literal["at_work", "soaking", "done", "stopped"]
    soak_minutes: int
    began_at: datetime
    ended_at: datetime | None
    soaks_until: datetime | None
    stopped: str
    sites: list[UpdateSiteReport]


class UpdateReports(BaseModel):
    """not_ready: what is missing before sites can be updated safely."""

    updates: list[UpdateReport]
    not_ready: list[str]
