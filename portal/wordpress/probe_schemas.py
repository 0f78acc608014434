"""What is measured of a site, over HTTP."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from portal.probes import Status


class SiteProbe(BaseModel):
    """One measurement. name: origin, edge, certificate, uptime or cache. value: null when nothing could be measured."""

    name: str
    status: Status
    value: float | str | None
    unit: str
    limit: str
    measured_at: datetime | None
    detail: str


class SiteProbePoint(BaseModel):
    """One round of looks; is_*_up is null when nobody asked, is_cached when the edge does not say."""

    at: datetime
    origin_ms: int | None
    is_origin_up: bool | None
    edge_ms: int | None
    is_edge_up: bool | None
    is_cached: bool | None


class SiteProbesView(BaseModel):
    site: str
    probes: list[SiteProbe]
    history: list[SiteProbePoint] = Field(description="Of at most 30 days, oldest first; every so many rounds")


class SiteReach(BaseModel):
    """How one site answered in the last round: origin, edge, certificate."""

    site: str
    probes: list[SiteProbe]


class SiteReachList(BaseModel):
    """Of every site that is served; uptime and curves are the single site's."""

    sites: list[SiteReach]
