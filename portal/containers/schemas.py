"""What the containers room sends and takes. Names, images and log lines are other people's text."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from portal.broker import schemas as broker
from portal.containers.trouble import Trouble
from portal.operations.schemas import OperationView
from portal.probes import UseView

MAX_NAMES = 200  # of one bulk act

# As Docker names containers (github.com/moby/moby, daemon/names).
NAME = r"^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}$"
ContainerName = Annotated[str, Field(pattern=NAME)]


class EngineView(BaseModel):
    """connected · not-configured: this portal has no broker · silent: broker or engine do not answer since `since`."""

    state: Literal["connected", "not-configured", "silent"]
    since: AwareDatetime | None
    detail: str


class StatsView(BaseModel):
    """One measurement. cpu_percent: 100 is one processor; null in the first one. Bytes since the container's start."""

    measured_at: AwareDatetime
    cpu_percent: float | None
    memory_bytes: int
    memory_limit_bytes: int | None
    network_in_bytes: int
    network_out_bytes: int
    block_read_bytes: int
    block_written_bytes: int
    processes: int | None

    @classmethod
    def of(cls, sample: broker.Sample, before: broker.Sample | None = None) -> StatsView:
        return cls(
            measured_at=_time(sample.at),
            cpu_percent=sample.cpu_percent if before is None else _cpu_percent(sample, before),
            memory_bytes=sample.memory_bytes,
            memory_limit_bytes=sample.memory_limit_bytes,
            network_in_bytes=sample.network_received_bytes,
            network_out_bytes=sample.network_sent_bytes,
            block_read_bytes=sample.block_read_bytes,
            block_written_bytes=sample.block_written_bytes,
            processes=sample.processes,
        )


class StatsHistory(BaseModel):
    samples: list[StatsView]


class ContainerView(BaseModel):
    """One container in a list. What stops while it is down: GET /api/used-by/container/{name}."""

    id: str
    name: str
    stack: str
    service: str
    project: str | None
    image: str
    image_id: str
    digest: str | None
    state: broker.State
    health: Literal["starting", "healthy", "unhealthy"] | None
    exit_code: int | None
    is_oom_killed: bool
    error: str | None
    restarts: int
    restart_policy: str
    created_at: AwareDatetime
    started_at: AwareDatetime | None
    finished_at: AwareDatetime | None
    ports: list[str]
    is_protected: bool
    role: broker.Role | None
    trouble: list[Trouble]
    stats: StatsView | None
    running_operation: str | None


class ContainerList(BaseModel):
    """measured_at: when the engine last said so; old while it is silent, null before its first word."""

    measured_at: AwareDatetime | None
    engine: EngineView
    containers: list[ContainerView]


class HealthCheckView(BaseModel):
    at: AwareDatetime | None
    exit_code: int
    output: str


class ContainerDetail(ContainerView):
    """One container. The environment's values and the command line are never sent."""

    networks: list[broker.Network]
    mounts: list[broker.Mount]
    environment: list[str]
    user: str
    memory_limit_bytes: int | None
    cpu_limit: float | None
    pids_limit: int | None
    is_read_only: bool
    is_privileged: bool
    capabilities_added: list[str]
    capabilities_dropped: list[str]
    security_options: list[str]
    health_checks: list[HealthCheckView]
    failing_streak: int


class EventView(BaseModel):
    """Something that happened. action as the engine calls it: start, die, oom, health_status ..."""

    id: int
    at: AwareDatetime
    action: str
    container: str
    name: str
    stack: str
    service: str
    exit_code: int | None
    signal: str | None
    health: str | None


class EventList(BaseModel):
    """Newest first."""

    events: list[EventView]


class LineView(BaseModel):
    """at: to the nanosecond, as the engine says it. is_partial: the next line goes on with this one."""

    at: str
    stream: Literal["stdout", "stderr"]
    text: str
    is_partial: bool = False


class LogView(BaseModel):
    """Oldest first. is_truncated: there are more lines before the first than were asked for, or than are sent."""

    lines: list[LineView]
    is_truncated: bool


class KeptLog(BaseModel):
    """A container whose last lines are kept. removed_at: null when it is gone without our having heard of it."""

    id: str
    name: str
    stack: str
    service: str
    image: str
    image_id: str
    first_at: AwareDatetime
    last_at: AwareDatetime
    removed_at: AwareDatetime | None
    size_bytes: int


class KeptLogs(BaseModel):
    """Of removed containers, newest first."""

    logs: list[KeptLog]


class ActOn(BaseModel):
    """What an act on a protected container needs beside the step-up: its name, typed, and why."""

    model_config = ConfigDict(extra="forbid")

    typed_name: str | None = Field(default=None, max_length=255)
    reason: str | None = Field(default=None, max_length=broker.MAX_REASON_CHARACTERS)
    grace_s: int = Field(default=10, ge=0, le=120, description="Between SIGTERM and SIGKILL")


class BulkAct(BaseModel):
    model_config = ConfigDict(extra="forbid")

    names: list[str] = Field(min_length=1, max_length=MAX_NAMES)


RunState = Literal["running", "stopped"]


class NewPlan(BaseModel):
    """Which containers are to be how."""

    model_config = ConfigDict(extra="forbid")

    names: list[ContainerName] = Field(min_length=1, max_length=MAX_NAMES)
    want: RunState


class PlannedChange(BaseModel):
    """One container that has to change. before: null when it is gone. used_by: what suffers when it goes down."""

    name: str
    before: RunState | None
    after: RunState
    is_protected: bool
    used_by: list[UseView]


class ContainerPlan(BaseModel):
    """
    unchanged: asked for, and so already. undoes: the plan that this one takes back. operation_id: what applied it.
    silent_rooms: rooms that could not say in time what hangs on these containers.
    """

    id: str
    act: str
    target: str
    changes: list[PlannedChange]
    unchanged: list[str]
    silent_rooms: list[str]
    created_at: AwareDatetime
    expires_at: AwareDatetime
    undoes: str | None
    operation_id: str | None


class ApplyPlan(BaseModel):
    """typed_names and reason: of the protected containers among those that go down."""

    model_config = ConfigDict(extra="forbid")

    typed_names: list[ContainerName] = Field(default=[], max_length=MAX_NAMES)
    reason: str | None = Field(default=None, max_length=broker.MAX_REASON_CHARACTERS)
    grace_s: int = Field(default=10, ge=0, le=120, description="Between SIGTERM and SIGKILL")


class BulkResult(BaseModel):
    """Of one container: the operation that was started, or the problem why none was."""

    name: str
    operation: OperationView | None
    problem: dict[str, Any] | None


class BulkResults(BaseModel):
    """In the order of the names asked for."""

    results: list[BulkResult]


def container_view(
    container: broker.Container, *, trouble: tuple[Trouble, ...], stats: StatsView | None, operation: str | None
) -> dict[str, Any]:
    """The members of a ContainerView."""
    protection = container.protection
    return {
        "id": container.id,
        "name": container.name,
        "stack": container.stack,
        "service": container.service,
        "project": container.project,
        "image": container.image,
        "image_id": container.image_id,
        "digest": container.image_digest,
        "state": container.state,
        "health": None if container.health == "none" else container.health,
        "exit_code": container.exit_code,
        "is_oom_killed": container.oom_killed,
        "error": container.error,
        "restarts": container.restart_count,
        "restart_policy": container.restart_policy,
        "created_at": _time(container.created_at),
        "started_at": _time_or_none(container.started_at),
        "finished_at": _time_or_none(container.finished_at),
        "ports": [str(port) for port in container.ports],
        "is_protected": protection is not None,
        "role": protection.role if protection else None,
        "trouble": list(trouble),
        "stats": stats,
        "running_operation": operation,
    }


def container_detail(details: broker.Details, members: dict[str, Any]) -> ContainerDetail:
    """Given the broker's details and the members of a view, return what the page about a container shows."""
    checks = [
        HealthCheckView(at=_time_or_none(check.at), exit_code=check.exit_code, output=check.output)
        for check in details.health_checks
    ]
    return ContainerDetail(
        **members,
        networks=list(details.networks),
        mounts=list(details.mounts),
        environment=list(details.environment),
        user=details.user,
        memory_limit_bytes=details.memory_limit_bytes,
        cpu_limit=details.cpu_limit,
        pids_limit=details.pids_limit,
        is_read_only=details.is_read_only,
        is_privileged=details.is_privileged,
        capabilities_added=list(details.capabilities_added),
        capabilities_dropped=list(details.capabilities_dropped),
        security_options=list(details.security_options),
        health_checks=checks,
        failing_streak=details.failing_streak,
    )


def line_view(line: broker.LogLine) -> LineView:
    return LineView(at=line.at, stream=line.stream, text=line.text, is_partial=line.is_partial)


def _cpu_percent(sample: broker.Sample, before: broker.Sample) -> float | None:
    """From two samples of any distance; None when the container was started anew in between."""
    used = sample.cpu_ns - before.cpu_ns
    passed = (sample.system_cpu_ns or 0) - (before.system_cpu_ns or 0)
    return None if used < 0 or passed <= 0 else used / passed * sample.processors * 100


def _time(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _time_or_none(at: float | None) -> datetime | None:
    return None if at is None else _time(at)
