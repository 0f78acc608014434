"""What the tunnel's part of the DNS room sends and takes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from portal.dns.schemas import Connection, RecordView
from portal.probes import UseView

MAX_ROUTES = 200
Hostname = Annotated[str, Field(min_length=1, max_length=255)]
Role = Literal["site", "webmail", "mail-api", "other"]


class RouteView(BaseModel):
    """A public hostname of the tunnel.

    name       hostname, with its path behind it where it has one: what a plan calls it
    service    where cloudflared leads it: http://blog-nginx:80
    target     the container that the service names, as the broker knows it; null when none, or no broker
    record     the record that leads here; null when there is none
    settings   originRequest and whatever else stands there, as Cloudflare keeps it
    trouble    no-record · record-elsewhere · not-proxied · target-unknown · target-stopped · zone-unknown
    is_ours    its record was made here
    """

    name: str
    hostname: str
    path: str | None
    service: str
    role: Role
    target: str | None
    target_state: str | None
    record: RecordView | None
    zone: str | None
    is_ours: bool
    settings: dict[str, Any]
    trouble: list[str]


class OrphanView(BaseModel):
    """record: leads to a route or a tunnel that is not there · route: leads to nothing that runs.

    name   of a record, for `remove_records`; of a route, for `remove`
    why    no-route, tunnel-gone · target-stopped, target-unknown
    """

    kind: Literal["record", "route"]
    name: str
    zone: str | None
    why: str
    record: RecordView | None


class TunnelView(BaseModel):
    """status as Cloudflare says it: healthy, degraded, down, inactive.

    version    of the configuration; null for one that is kept on the tunnel's host
    is_ours    it can be changed here, which one on the host can't
    fallback   where requests for every other hostname go
    """

    id: str
    name: str
    status: str
    version: int | None
    is_ours: bool
    connections: int
    routes: list[RouteView]
    fallback: str | None


class TunnelOverview(BaseModel):
    """silent: what could not be asked, such as the broker; what hangs on it is unknown, never "fine"."""

    connection: Connection
    tunnel: TunnelView | None
    orphans: list[OrphanView]
    protection: list[ProtectionView]
    silent: list[str]
    read_at: AwareDatetime | None


class ProtectionView(BaseModel):
    """A rule in front of the mail API. state: in-place · missing · different · unknown (not readable: `detail`)."""

    kind: Literal["waf", "rate-limit"]
    hostname: str
    state: Literal["in-place", "missing", "different", "unknown"]
    detail: str
    expression: str


class NewRoute(BaseModel):
    """service: http(s)://CONTAINER:PORT or http_status:NNN. path: a regular expression over the request's path."""

    model_config = ConfigDict(extra="forbid")

    hostname: Hostname
    path: str | None = Field(default=None, max_length=255)
    service: str = Field(min_length=1, max_length=255)
    role: Role = "other"


class NewRoutePlan(BaseModel):
    """protect: also bring the rules in front of the mail API about, for each of `add` whose role is mail-api."""

    model_config = ConfigDict(extra="forbid")

    add: list[NewRoute] = Field(default=[], max_length=MAX_ROUTES)
    remove: list[Annotated[str, Field(max_length=600)]] = Field(default=[], max_length=MAX_ROUTES)
    remove_records: list[Annotated[str, Field(max_length=600)]] = Field(
        default=[], max_length=MAX_ROUTES, description="Names of orphaned records"
    )
    protect: bool = False


class RouteChange(BaseModel):
    """name: "route app.example.com", "record app.example.com", "rule waf app.example.com"; before, after: as kept.

    is_protected: something that was there changes or goes; applying then needs a fresh factor.
    """

    name: str
    before: Any
    after: Any
    is_protected: bool
    used_by: list[UseView]


class RouteWarning(BaseModel):
    """What is to be known before applying, and keeps nothing from it. name: of the change it is about.

    code: target-unknown · target-stopped · target-not-on-edge · rate-rule-taken · rules-unknown
    """

    code: str
    name: str
    text: str


class RoutePlan(BaseModel):
    """What applying does, in the tunnel, in DNS and to the rules in front of the mail API."""

    id: str
    act: str
    target: str
    changes: list[RouteChange]
    unchanged: list[str]
    silent_rooms: list[str]
    warnings: list[RouteWarning]
    needs_step_up: bool
    created_at: AwareDatetime
    expires_at: AwareDatetime
    undoes: str | None
    operation_id: str | None


TunnelOverview.model_rebuild()
