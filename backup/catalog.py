"""catalog.json: what the portal and `homeport backup list` show. Derived, never a source: a lost one is written anew.

Written whole, by one rename, at the end of every run; its group may read it. `catalog_build` makes it from the points'
states, the facts and the coverage. The form is version 1; the portal reads it with a model of its own, and the examples
of tests/contract/catalog/ hold both to it. Times are UTC, ISO 8601 with a Z; sizes are bytes, durations seconds.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, PlainSerializer

from kit.atomic import write_durably

MODE = 0o640  # the portal is in the directory's group
RUNS_SHOWN = 100
DRILLS_SHOWN = 100

RPO_LIMIT_S = 24 * 3600  # backup.md 2, targets
RPO_ALARM_S = 26 * 3600
RTO_LOCAL_LIMIT_S = 4 * 3600
RTO_VAULT_LIMIT_S = 24 * 3600


def iso(at: datetime) -> str:
    """Given an aware time, return it in UTC as 2026-11-22T03:00:07Z."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


Time = Annotated[AwareDatetime, PlainSerializer(iso)]
Health = Literal["ok", "failed", "off", "unknown"]
Covered = Literal["yes", "excluded", "missing", "same-device"]


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RetentionRules(Record):
    daily: int
    weekly: int
    manual_days: int


class LocalDisk(Record):
    total_bytes: int
    free_bytes: int


class InRepository(Record):
    snapshot: str


class InVault(Record):
    """`protected_until` is the smallest retain-until in the point's vault seal."""

    sealed_at: Time
    protected_until: Time


class Point(Record):
    """
    is_local        False: its tree is gone, the vault still has it
    damage          what a later verification found, "" when nothing
    is_incomplete   kept although a source failed: `failures` says which; never sealed, restored only when told
    new_bytes       of the files that are not links to an earlier point
    kept_because    retention's reason
    assets          what lies in it, "<kind>:<name>", sorted
    """

    id: str
    kind: Literal["daily", "weekly", "manual"]
    scope: str
    is_local: bool
    started_at: Time
    sealed_at: Time | None
    verified: bool
    verified_at: Time | None
    damage: str
    is_incomplete: bool
    bytes: int
    files: int
    new_bytes: int
    seconds: float
    failures: list[str]
    repository: InRepository | None
    vault: InVault | None
    kept_because: str
    assets: list[str]


class AssetDrill(Record):
    at: Time
    ok: bool
    origin: str
    seconds: float
    projected_seconds: float | None
    detail: str


class Asset(Record):
    """
    point              the newest verified one that holds it
    local_at, vault_at its age in either place: when the point was started that holds it newest
    drill              the newest of this asset
    """

    kind: str
    name: str
    covered: Covered
    reason: str
    source: str
    point: str | None
    bytes: int
    counts: dict[str, int]
    folders: list[str]
    local_at: Time | None
    vault_at: Time | None
    drill: AssetDrill | None


class Meters(Record):
    """RPO: the age of `local_at` and `vault_at`, the newest verified scheduled points. RTO: drills, projected."""

    local_at: Time | None
    vault_at: Time | None
    rpo_limit_s: int = RPO_LIMIT_S
    rpo_alarm_s: int = RPO_ALARM_S
    rto_local_s: float | None
    rto_vault_s: float | None
    rto_local_limit_s: int = RTO_LOCAL_LIMIT_S
    rto_vault_limit_s: int = RTO_VAULT_LIMIT_S
    drill_due_at: Time | None


class Drill(Record):
    at: Time
    asset_kind: str
    asset: str
    point: str
    origin: str
    ok: bool
    seconds: float
    projected_seconds: float | None
    detail: str


class Run(Record):
    """`ended_at` and `exit_code` are None while it runs; `by` is a portal user's name, "timer" or "host"."""

    id: str
    verb: str
    by: str
    started_at: Time
    ended_at: Time | None
    exit_code: int | None
    meaning: str
    summary: str


class RepositoryState(Record):
    state: Health
    snapshots: int
    bytes: int
    checked_at: Time | None
    detail: str


class Cost(Record):
    """The estimate of the last sync: this month's end, and what fetching everything once would cost."""

    month_usd: float
    budget_usd: float
    egress_usd: float
    at: Time


class VaultState(Record):
    state: Health
    bucket: str
    region: str
    checked_at: Time | None
    detail: str
    objects: int
    locked_bytes: int
    lowest_retain_until: Time | None
    last_sync_at: Time | None
    uploaded_bytes: int
    extended: int
    attack_at: Time | None
    attack_ok: bool | None
    cost: Cost | None


class Scheduled(Record):
    verb: str
    next_at: Time


class Catalog(Record):
    """Points newest first, also those that only the vault still has."""

    schema_version: Literal[1] = 1
    written_at: Time
    host: str
    zone: str
    retention: RetentionRules
    local: LocalDisk
    points: list[Point]
    assets: list[Asset]
    meters: Meters
    drills: list[Drill]
    runs: list[Run]
    repository: RepositoryState
    vault: VaultState
    schedule: list[Scheduled]
    recovery_sheet_confirmed_at: Time | None


def read(path: Path) -> Catalog:
    """Raise OSError, or ValueError when it is no catalog of this version."""
    return Catalog.model_validate_json(path.read_bytes())


def write(path: Path, catalog: Catalog) -> None:
    write_durably(path, catalog.model_dump_json(indent=1).encode() + b"\n", mode=MODE)
