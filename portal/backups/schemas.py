"""What the backups room reads and sends.

The catalog's form is the backup's (version 1): this is the portal's own reading of it, which both processes are held to
by tests/contract/catalog/. Members that are not known here are left out, so a newer backup still shows. Times are UTC,
sizes bytes, durations seconds. Texts come from names of mailboxes, files and engines: a page shows them as text.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, StringConstraints

POINT = r"^(daily|weekly)/[0-9]{4}-[0-9]{2}-[0-9]{2}$|^manual/[0-9]{8}T[0-9]{6}Z-[a-z0-9][a-z0-9._-]{0,62}$"
FLAT_POINT = r"^(daily|weekly)-[0-9]{4}-[0-9]{2}-[0-9]{2}$|^manual-[0-9]{8}T[0-9]{6}Z-[a-z0-9][a-z0-9._-]{0,62}$"
RUN = r"^[0-9]{8}T[0-9]{6}Z-[a-z][a-z-]{0,30}-[0-9a-f]{8}$"
PREVIEW = r"^[0-9]{8}T[0-9]{6}Z-preview-[0-9a-f]{8}$"
MAX_NAME = 240  # of an asset; with its kind in front it is an operation's target
EVERYTHING = "everything"

AssetKind = Literal["database", "mailbox", "site", "files", "secret", "zone", "volume"]
RestorableKind = Literal["database", "mailbox", "site", "files", "zone"]  # secrets and volumes: by hand, on the host
Origin = Literal["local", "repository", "vault"]
Where = Literal["beside", "in-place"]
Health = Literal["ok", "failed", "off", "unknown"]
PointId = Annotated[str, StringConstraints(pattern=POINT)]
AssetName = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


# -- the catalog ------------------------------------------------------------------------------------------------------


class BackupRetention(Record):
    daily: int
    weekly: int
    manual_days: int


class BackupDisk(Record):
    total_bytes: int
    free_bytes: int


class PointInRepository(Record):
    snapshot: str


class PointInVault(Record):
    """protected_until: the smallest retain-until of all that the point needs there."""

    sealed_at: AwareDatetime
    protected_until: AwareDatetime


class BackupPoint(Record):
    """One restore point. `is_local` is false when only the vault still has it; `damage` is "" when none was found."""

    id: str
    kind: Literal["daily", "weekly", "manual"]
    scope: str
    is_local: bool
    started_at: AwareDatetime
    sealed_at: AwareDatetime | None
    verified: bool
    verified_at: AwareDatetime | None
    damage: str
    is_incomplete: bool
    bytes: int
    files: int
    new_bytes: int
    seconds: float
    failures: list[str]
    repository: PointInRepository | None
    vault: PointInVault | None
    kept_because: str
    assets: list[str] = Field(default=[], description='What lies in it, as "mailbox:anna@home.test"; [] when not known')


class AssetDrill(Record):
    """The newest restore drill of an asset."""

    at: AwareDatetime
    ok: bool
    origin: str
    seconds: float
    projected_seconds: float | None
    detail: str


class BackupAsset(Record):
    """Something that one may lose. `covered` says whether a point holds it; `point` is the newest verified one."""

    kind: AssetKind
    name: str
    covered: Literal["yes", "excluded", "missing", "same-device"]
    reason: str
    source: str
    point: str | None
    bytes: int
    counts: dict[str, int]
    folders: list[str]
    local_at: AwareDatetime | None
    vault_at: AwareDatetime | None
    drill: AssetDrill | None


class BackupMeters(Record):
    """RPO is the age of local_at and vault_at; RTO comes from drills, projected to the full size."""

    local_at: AwareDatetime | None
    vault_at: AwareDatetime | None
    rpo_limit_s: int
    rpo_alarm_s: int
    rto_local_s: float | None
    rto_vault_s: float | None
    rto_local_limit_s: int
    rto_vault_limit_s: int
    drill_due_at: AwareDatetime | None


class BackupDrill(Record):
    at: AwareDatetime
    asset_kind: str
    asset: str
    point: str
    origin: str
    ok: bool
    seconds: float
    projected_seconds: float | None
    detail: str


class BackupRun(Record):
    """A run that the catalog knows. by: a portal user's name, "timer" or "host"."""

    id: str
    verb: str
    by: str
    started_at: AwareDatetime
    ended_at: AwareDatetime | None
    exit_code: int | None
    meaning: str
    summary: str


class BackupRepository(Record):
    state: Health
    snapshots: int
    bytes: int
    checked_at: AwareDatetime | None
    detail: str


class BackupCost(Record):
    """The last estimate: this month's end, and what fetching everything once would cost."""

    month_usd: float
    budget_usd: float
    egress_usd: float
    at: AwareDatetime


class BackupVault(Record):
    state: Health
    bucket: str
    region: str
    checked_at: AwareDatetime | None
    detail: str
    objects: int
    locked_bytes: int
    lowest_retain_until: AwareDatetime | None
    last_sync_at: AwareDatetime | None
    uploaded_bytes: int
    extended: int
    attack_at: AwareDatetime | None
    attack_ok: bool | None
    cost: BackupCost | None


class BackupScheduled(Record):
    verb: str
    next_at: AwareDatetime


class Catalog(Record):
    """catalog.json, points, drills and runs newest first."""

    schema_version: Literal[1]
    written_at: AwareDatetime
    host: str
    zone: str
    retention: BackupRetention
    local: BackupDisk
    points: list[BackupPoint]
    assets: list[BackupAsset]
    meters: BackupMeters
    drills: list[BackupDrill]
    runs: list[BackupRun]
    repository: BackupRepository
    vault: BackupVault
    schedule: list[BackupScheduled]
    recovery_sheet_confirmed_at: AwareDatetime | None


# -- runs -------------------------------------------------------------------------------------------------------------


class RunLine(Record):
    """One line of a run's record; which members are there depends on `type`.

    started: verb, by · step: name, detail · progress: done, total, unit, rate, eta_s · note, warning: text ·
    result: result · ended: exit_code, meaning, error
    """

    at: AwareDatetime
    type: Literal["started", "step", "progress", "note", "warning", "result", "ended"]
    verb: str | None = None
    by: str | None = None
    name: str | None = None
    detail: dict[str, JsonValue] | None = None
    done: float | None = None
    total: float | None = None
    unit: str | None = None
    rate: float | None = None
    eta_s: float | None = None
    text: str | None = None
    result: dict[str, JsonValue] | None = None
    exit_code: int | None = None
    meaning: str | None = None
    error: str | None = None


class RunLog(BaseModel):
    """A run's record, or its news since `after`. Of progress lines that follow each other only the last is sent."""

    id: str
    state: Literal["requested", "accepted", "running", "ended"]
    lines: list[RunLine]
    after: int = Field(description="Give this as `after` to get what comes next")
    is_truncated: bool = Field(description="There is more before the first of these lines")


class PendingJob(BaseModel):
    """A request that nobody has taken yet, or a run that has not ended. `heard_at`: of its newest line."""

    id: str
    verb: str
    by: str
    at: AwareDatetime
    state: Literal["requested", "accepted", "running"]
    step: str | None
    text: str | None
    done: float | None
    total: float | None
    unit: str | None
    rate: float | None
    eta_s: float | None
    heard_at: AwareDatetime | None
    operation: str | None = Field(description="Id of the operation that follows it, if this portal began it")


# -- answers ----------------------------------------------------------------------------------------------------------


class BackupOverview(BaseModel):
    """The catalog as it is, and what the portal knows beside it.

    state   fresh; stale: written_at is older than 26 h; absent: there is no catalog yet; damaged: it cannot be read,
            `detail` says why; not_connected: the portal has no HOMEPORT_PORTAL_BACKUP_DIR. In the last three the
            catalog's members are null or empty
    """

    state: Literal["fresh", "stale", "absent", "damaged", "not_connected"]
    detail: str
    pending: list[PendingJob]
    written_at: AwareDatetime | None
    host: str
    zone: str
    retention: BackupRetention | None
    local: BackupDisk | None
    points: list[BackupPoint]
    assets: list[BackupAsset]
    meters: BackupMeters | None
    drills: list[BackupDrill]
    runs: list[BackupRun]
    repository: BackupRepository | None
    vault: BackupVault | None
    schedule: list[BackupScheduled]
    recovery_sheet_confirmed_at: AwareDatetime | None


class BackupPointList(BaseModel):
    points: list[BackupPoint]


class BackupPointView(BaseModel):
    """A point, and how the catalog knows the assets that lie in it; those that are gone since are only names."""

    point: BackupPoint
    assets: list[BackupAsset]


class BackupAssetList(BaseModel):
    assets: list[BackupAsset]


# -- what is asked for ------------------------------------------------------------------------------------------------


class Wish(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AssetRef(Wish):
    kind: RestorableKind
    name: AssetName


class RestoreAsset(Wish):
    """An asset, or `everything` with the name ""."""

    kind: RestorableKind | Literal["everything"]
    name: Annotated[str, StringConstraints(max_length=MAX_NAME, pattern=r"^[^\x00-\x1f\x7f]*$")]


class RunBackup(Wish):
    """scope: "all", or an asset as "mailbox:anna@home.test"."""

    scope: Annotated[str, StringConstraints(min_length=3, max_length=MAX_NAME + 9, pattern=r"^[^\x00-\x1f\x7f]+$")] = (
        "all"
    )


class VerifyPoint(Wish):
    point: PointId


class RunDrill(Wish):
    """asset: null for what is due next."""

    asset: AssetRef | None = None
    origin: Literal["local", "vault"] = "local"


class PreviewRestore(Wish):
    """folder: of a mailbox, as its asset lists them; null for all of it."""

    point: PointId
    asset: RestoreAsset
    folder: Annotated[str, StringConstraints(max_length=255, pattern=r"^[^\x00-\x1f\x7f]*$")] | None = None
    origin: Origin = "local"
    where: Where = "beside"


class RestorePreviewed(Wish):
    """preview: the run whose result is to come about. confirm_point: of a restore in place, its point's id, typed.
    services_stopped: "I have stopped them", of the services that the portal cannot stop itself.
    """

    preview: Annotated[str, StringConstraints(pattern=PREVIEW)]
    confirm_point: Annotated[str, StringConstraints(max_length=100)] | None = None
    services_stopped: bool = False


class PlannedChange(Record):
    path: str
    what: Literal["add", "overwrite", "delete"]


class RestorePreview(Record):
    """The result of a preview, as its run records it, and as the operation's `result` (with `run`, its changes cut)."""

    plan: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    point: PointId
    asset: RestoreAsset
    folder: str | None
    origin: Origin
    where: Where
    target: str
    adds: int
    overwrites: int
    deletes: int
    bytes: int
    seconds: float | None
    services: list[str]
    verified: bool
    egress_usd: float | None
    changes: list[PlannedChange]
