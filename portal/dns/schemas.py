"""What the DNS room sends and takes. Names, contents, comments and tags are other people's text."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from portal.probes import UseView

MAX_EDITS = 10_000  # of one plan
MAX_IMPORT_CHARACTERS = 5_000_000
MAX_KEY = 400  # a type, a name of 253 and a digest
PAGE_MAX = 500

ZONE = r"^(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$"
ID = r"^[0-9A-Za-z_-]{1,64}$"
RecordKey = Annotated[str, Field(min_length=3, max_length=MAX_KEY)]

ConnectionState = Literal["connected", "not-configured", "refused", "limited", "silent"]
ChangeAct = Literal["create", "change", "delete"]
Format = Literal["bind", "csv", "json"]


class Connection(BaseModel):
    """How Cloudflare was found when it was last asked.

    connected · not-configured: no token or account is set; `settings` names what is missing · refused: the token is
    refused, or lacks `permission` (also for part of what was asked) · limited: Cloudflare limits the rate, until
    `retry_at` · silent: no answer since `since`. `detail` is one line.
    """

    state: ConnectionState
    since: AwareDatetime | None
    detail: str
    permission: str | None
    settings: list[str]
    retry_at: AwareDatetime | None


class ZoneView(BaseModel):
    """A zone as it was last read. `unicode_name` as people write it. `error`: why it could not be read since then.

    read_at: null when it never was; then `records` is null too. is_stale: too old to be called the present.
    """

    name: str
    unicode_name: str
    status: str
    name_servers: list[str]
    records: int | None
    read_at: AwareDatetime | None
    is_stale: bool
    error: str | None
    drift: int
    is_mail_domain: bool


class Unfinished(BaseModel):
    """A plan of which some batches are at Cloudflare and others are not: it can be finished, or reverted."""

    operation_id: str
    plan_id: str
    zone: str
    batches_done: int
    batches: int
    changes: int
    since: AwareDatetime
    detail: str


class DnsOverview(BaseModel):
    connection: Connection
    zones: list[ZoneView]
    drift: int
    unfinished: list[Unfinished]


class LastChange(BaseModel):
    """Who or what changed it last, as far as Homeport knows. by: a user's name, "edge", or "outside Homeport"."""

    at: AwareDatetime
    by: str
    operation_id: str | None


class RecordView(BaseModel):
    """One record.

    key        names it in plans and addresses: type, name and a digest of what makes it one of its kind
    content    as Cloudflare writes it
    data       the structured parts of SRV, CAA, HTTPS and their like, null for the others
    ttl        seconds; 1 is automatic
    is_locked  kept by Email Routing; it can't be changed here
    is_ours    made by Homeport
    """

    key: str
    id: str | None
    type: str
    name: str
    unicode_name: str
    content: str
    data: dict[str, Any] | None
    priority: int | None
    ttl: int
    proxied: bool
    proxiable: bool
    comment: str | None
    tags: list[str]
    settings: dict[str, Any]
    is_locked: bool
    is_ours: bool
    modified_on: AwareDatetime | None


class RecordPage(BaseModel):
    """A page of a zone's records, and how many there are: in the zone, and that match."""

    zone: ZoneView
    connection: Connection
    records: list[RecordView]
    matching: int
    total: int
    types: list[str]
    tags: list[str]
    drifted: list[str]  # keys, on this page


class RecordDetail(BaseModel):
    record: RecordView
    used_by: list[UseView]
    silent_rooms: list[str]
    last_change: LastChange | None
    drift: list[DriftView]


class Draft(BaseModel):
    """A record as it is to be; what is left out stays as it is, or takes its default: ttl 1, not proxied, no comment.

    name     full, or below the zone, or "@"; in Unicode or as A-labels
    content  for types whose content is one text; for the others `data`. One of the two is enough
    """

    model_config = ConfigDict(extra="forbid")

    type: str | None = Field(default=None, pattern=r"^[A-Z0-9]{1,16}$")
    name: str | None = Field(default=None, max_length=255)
    content: str | None = Field(default=None, max_length=16_384)
    data: dict[str, Any] | None = None
    priority: int | None = Field(default=None, ge=0, le=65_535)
    ttl: int | None = Field(default=None, ge=1, le=2_147_483_647)
    proxied: bool | None = None
    comment: str | None = Field(default=None, max_length=500)
    tags: list[Annotated[str, Field(max_length=200)]] | None = Field(default=None, max_length=20)


class Edit(BaseModel):
    """create: `record` · change: of `key`, the fields that `record` names · delete: of `key`."""

    model_config = ConfigDict(extra="forbid")

    act: ChangeAct
    key: RecordKey | None = None
    record: Draft | None = None


class RecordProblem(BaseModel):
    """What is wrong with a record. field: "content", "data.port", "" for the whole. code, params: the front end's text.

    severity error: it isn't planned · warning: it is, and this is said beside it.
    """

    field: str
    code: str
    params: dict[str, Any]
    text: str
    severity: Literal["error", "warning"]


class CheckedRecord(BaseModel):
    """A draft as Cloudflare would keep it (null while an error stands), and what is to be said of it."""

    record: RecordView | None
    problems: list[RecordProblem]


class NewDnsPlan(BaseModel):
    model_config = ConfigDict(extra="forbid")

    edits: list[Edit] = Field(min_length=1, max_length=MAX_EDITS)


class ImportZone(BaseModel):
    """merge: what the text lacks stays · replace: the zone becomes equal to the text (apex NS and SOA, and locked
    records, always stay)."""

    model_config = ConfigDict(extra="forbid")

    format: Format
    text: str = Field(min_length=1, max_length=MAX_IMPORT_CHARACTERS)
    mode: Literal["merge", "replace"] = "merge"


class Rollback(BaseModel):
    """To a snapshot: the whole zone, or some of its records."""

    model_config = ConfigDict(extra="forbid")

    snapshot_id: str = Field(pattern=ID)
    keys: list[RecordKey] | None = Field(default=None, min_length=1, max_length=MAX_EDITS)


class RevertDrift(BaseModel):
    model_config = ConfigDict(extra="forbid")

    drift_ids: list[Annotated[int, Field(ge=1, le=2**53)]] = Field(min_length=1, max_length=MAX_EDITS)


class RecordChange(BaseModel):
    """One record that changes. `name` is what people read: "A www.example.com". fields: those that differ.

    keys: of the plan's own changes behind it. is_protected: it needs a fresh factor, as the whole plan then does.
    used_by: what depends on the record as it was; null when nobody was asked, since the plan has too many changes.
    """

    name: str
    act: ChangeAct
    keys: list[str]
    before: RecordView | None
    after: RecordView | None
    fields: list[str]
    is_protected: bool
    used_by: list[UseView] | None
    warnings: list[RecordProblem]


class DnsPlan(BaseModel):
    """What applying does to a zone.

    changes       at most MAX_SHOWN of them; `counts` has them all: create, change, delete
    unchanged     names that were asked for, and are so already; how many in `counts`
    needs_step_up a deletion, or more than one change: applying needs a fresh factor
    batches       transactions at Cloudflare; with more than one the whole is not one transaction
    skipped       lines of an import that were left alone, and why
    """

    id: str
    act: str
    target: str
    changes: list[RecordChange]
    counts: dict[str, int]
    unchanged: list[str]
    silent_rooms: list[str]
    needs_step_up: bool
    batches: int
    skipped: list[RecordProblem]
    created_at: AwareDatetime
    expires_at: AwareDatetime
    undoes: str | None
    operation_id: str | None


class ApplyDnsPlan(BaseModel):
    """typed_names is taken for the dialog's sake and not asked for here."""

    model_config = ConfigDict(extra="forbid")

    typed_names: list[Annotated[str, Field(max_length=MAX_KEY)]] = Field(default=[], max_length=200)
    reason: str | None = Field(default=None, max_length=200)


class SnapshotView(BaseModel):
    """reason: hourly · before, after (an operation) · asked. seen_until: the last time the zone was found like this."""

    id: str
    zone: str
    taken_at: AwareDatetime
    seen_until: AwareDatetime
    reason: Literal["hourly", "before", "after", "asked"]
    operation_id: str | None
    records: int
    digest: str


class SnapshotList(BaseModel):
    snapshots: list[SnapshotView]
    next_before: str | None  # id to ask on with


class RecordDifference(BaseModel):
    name: str
    act: ChangeAct
    keys: list[str]
    before: RecordView | None
    after: RecordView | None
    fields: list[str]


class ZoneDifference(BaseModel):
    """From one point to another; "now" is the zone as it was last read."""

    zone: str
    from_id: str
    to_id: str
    from_at: AwareDatetime
    to_at: AwareDatetime
    differences: list[RecordDifference]
    counts: dict[str, int]


class DriftView(BaseModel):
    """A change that was not made by Homeport. state: open, accepted by somebody, reverted (or gone by itself)."""

    id: int
    zone: str
    name: str
    act: ChangeAct
    keys: list[str]
    before: RecordView | None
    after: RecordView | None
    fields: list[str]
    seen_at: AwareDatetime
    state: Literal["open", "accepted", "reverted"]
    settled_by: str | None
    settled_at: AwareDatetime | None


class DriftList(BaseModel):
    drift: list[DriftView]


class AcceptDrift(BaseModel):
    model_config = ConfigDict(extra="forbid")

    drift_ids: list[Annotated[int, Field(ge=1, le=2**53)]] = Field(min_length=1, max_length=MAX_EDITS)


class FinishOrRevert(BaseModel):
    model_config = ConfigDict(extra="forbid")

    way: Literal["finish", "revert"]


class ResolverAnswer(BaseModel):
    """What one resolver says. agrees: by meaning with what Cloudflare holds; null when it could not be asked."""

    resolver: str
    agrees: bool | None
    answers: list[str]
    ttl: int | None
    detail: str
    asked_at: AwareDatetime


class Propagation(BaseModel):
    """is_comparable: false for proxied records, which answer with Cloudflare's addresses."""

    key: str
    expected: list[str]
    is_comparable: bool
    resolvers: list[ResolverAnswer]


RecordDetail.model_rebuild()
