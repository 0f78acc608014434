"""What may be said to the broker and what it says back: one closed schema per verb. Pure.

A verb that is not here does not exist: there is no create, no free exec, no copy, no archive, no pass-through. Targets
are full ids; a name, a prefix or a path is malformed. Times are seconds since the epoch; sizes are bytes. Names, log
lines and images' tags are other people's text: bounded, otherwise as they came. Rooms use the answers as they are.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator

from portal.broker.messages import Message
from portal.broker.messages import Request as Request
from portal.broker.site_schemas import FIRST_UID as FIRST_UID
from portal.broker.site_schemas import INSTALLED as INSTALLED
from portal.broker.site_schemas import LAST_UID as LAST_UID
from portal.broker.site_schemas import RESERVED as RESERVED
from portal.broker.site_schemas import SITE as SITE
from portal.broker.site_schemas import SITE_FILES_FIELDS as SITE_FILES_FIELDS
from portal.broker.site_schemas import DatabaseLogin as DatabaseLogin
from portal.broker.site_schemas import MailLogin as MailLogin
from portal.broker.site_schemas import RedisLogin as RedisLogin
from portal.broker.site_schemas import Secrets as Secrets
from portal.broker.site_schemas import SiteFiles as SiteFiles
from portal.broker.site_schemas import WebConfig as WebConfig
from portal.broker.site_schemas import WpCli as WpCli

MAX_TARGETS = 512  # of one request
MAX_REASON_CHARACTERS = 500
MAX_TAIL_LINES = 100_000

ContainerId = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="full id")]
# Outside the range of any calendar nothing is a time; NaN and infinity are not JSON.
Moment = Annotated[float, Field(ge=0, le=253_402_300_799)]


# -- requests ---------------------------------------------------------------------------------------------------------


class List(Request):
    """All known containers, running or not."""

    verb: Literal["list"] = "list"


class Inspect(Request):
    """One container with its details; the environment's values stay here."""

    verb: Literal["inspect"] = "inspect"
    container: ContainerId


class Override(Message):
    """Said with an act on a protected container: that one knows what goes dark, and why it must be."""

    reason: str = Field(min_length=3, max_length=MAX_REASON_CHARACTERS)

    @field_validator("reason")
    @classmethod
    def _says_something(cls, value: str) -> str:
        if len(value.strip()) < 3:
            raise ValueError("says nothing")
        return value


class Start(Request):
    verb: Literal["start"] = "start"
    container: ContainerId


class Stop(Request):
    verb: Literal["stop"] = "stop"
    container: ContainerId
    grace_s: int = Field(default=10, ge=0, le=120, description="between SIGTERM and SIGKILL")
    override: Override | None = None


class Restart(Request):
    verb: Literal["restart"] = "restart"
    container: ContainerId
    grace_s: int = Field(default=10, ge=0, le=120, description="between SIGTERM and SIGKILL")
    override: Override | None = None


class Logs(Request):
    """A stream of LogLines, oldest first."""

    verb: Literal["logs"] = "logs"
    container: ContainerId
    follow: bool = False
    since: Moment | None = Field(default=None, description="lines at or after this moment")
    until: Moment | None = Field(default=None, description="lines before this moment")
    tail: int | None = Field(default=1000, ge=0, le=MAX_TAIL_LINES, description="at most so many; null: all there are")
    stdout: bool = True
    stderr: bool = True


class Stats(Request):
    """One sample of each running container among those asked for; containers that do not run are left out."""

    verb: Literal["stats"] = "stats"
    containers: Annotated[tuple[ContainerId, ...], Field(min_length=1, max_length=MAX_TARGETS, strict=False)]


class WatchStats(Request):
    """A stream of Samples, one a second, until the container stops."""

    verb: Literal["watch_stats"] = "watch_stats"
    container: ContainerId


class Events(Request):
    """A stream of Events; those since a moment first, as far as the engine remembers them."""

    verb: Literal["events"] = "events"
    since: Moment | None = None


class Stacks(Request):
    """The known containers grouped by Compose project."""

    verb: Literal["stacks"] = "stacks"


class Images(Request):
    """The images that known containers were made of."""

    verb: Literal["images"] = "images"


class DiskUsage(Request):
    """What images, containers, volumes and build cache take in all."""

    verb: Literal["disk_usage"] = "disk_usage"


AnyRequest = Annotated[
    List
    | Inspect
    | Start
    | Stop
    | Restart
    | Logs
    | Stats
    | WatchStats
    | Events
    | Stacks
    | Images
    | DiskUsage
    | WpCli
    | SiteFiles
    | WebConfig,
    Field(discriminator="verb"),
]
REQUEST: TypeAdapter[AnyRequest] = TypeAdapter(AnyRequest)


# -- answers ----------------------------------------------------------------------------------------------------------

State = Literal["created", "running", "paused", "restarting", "removing", "exited", "dead"]
Health = Literal["none", "starting", "healthy", "unhealthy"]
Role = Literal["tunnel", "database", "mailboxes", "portal"]


class Answer(BaseModel):
    """Not strict and not closed: client and broker are of one release, but are restarted one after the other."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Protection(Answer):
    """Why an act on this container needs an override. goes_dark: codes, which the reader's language names."""

    role: Role
    goes_dark: tuple[str, ...]


class Port(Answer):
    container_port: int
    protocol: str
    host_address: str | None = None
    host_port: int | None = None

    def __str__(self) -> str:
        """As `docker ps` shows it."""
        inside = f"{self.container_port}/{self.protocol}"
        if self.host_port is None:
            return inside
        address = f"[{self.host_address}]" if ":" in (self.host_address or "") else self.host_address or "0.0.0.0"  # noqa: S104  # shown, not bound
        return f"{address}:{self.host_port}->{inside}"


class Network(Answer):
    name: str
    address: str | None = None


class Container(Answer):
    """What a list shows of a container.

    state           as the engine says it; `restarting` is the pause between two tries of a crash loop
    exit_code       of the last run; None while there was none, or while it runs
    oom_killed      the last run was ended by the kernel for want of memory
    restart_count   how often the engine's restart policy has started it again
    image_digest    as a registry knows the image, if it came from one; image_id is what the engine runs
    depends_on      services of its Compose project that it needs
    """

    id: str
    name: str
    stack: str
    service: str
    project: str | None
    image: str
    image_id: str
    image_digest: str | None
    state: State
    health: Health
    exit_code: int | None
    oom_killed: bool
    error: str | None
    restart_count: int
    restart_policy: str
    created_at: float
    started_at: float | None
    finished_at: float | None
    ports: tuple[Port, ...]
    networks: tuple[Network, ...]
    protection: Protection | None
    depends_on: tuple[str, ...] = ()


class Mount(Answer):
    kind: str
    source: str
    target: str
    is_writable: bool


class HealthCheck(Answer):
    at: float | None
    exit_code: int
    output: str


class Details(Container):
    """What a page about one container shows. Values of the environment and the command line never leave the broker."""

    environment: tuple[str, ...] = Field(description="names only")
    user: str
    mounts: tuple[Mount, ...]
    memory_limit_bytes: int | None
    cpu_limit: float | None
    pids_limit: int | None
    is_read_only: bool
    is_privileged: bool
    capabilities_added: tuple[str, ...]
    capabilities_dropped: tuple[str, ...]
    security_options: tuple[str, ...]
    health_checks: tuple[HealthCheck, ...]
    failing_streak: int


class LogLine(Answer):
    """at is the engine's text, to the nanosecond: two lines differ by it. is_partial: the next one goes on with it."""

    at: str
    stream: Literal["stdout", "stderr"]
    text: str
    is_partial: bool = False


class LogLines(Answer):
    lines: tuple[LogLine, ...]


class Sample(Answer):
    """Counters as they are, so that two samples of any distance give a rate; cpu_percent over the second before.

    cpu_percent   100 is one processor; None in a first sample
    """

    container: str
    at: float
    cpu_ns: int
    system_cpu_ns: int | None
    processors: int
    cpu_percent: float | None
    memory_bytes: int
    memory_limit_bytes: int | None
    network_received_bytes: int
    network_sent_bytes: int
    block_read_bytes: int
    block_written_bytes: int
    processes: int | None


class Event(Answer):
    """Something happened to a container. action: start, die, oom, health_status ... as the engine calls it."""

    at: float
    at_ns: int
    action: str
    container: str
    name: str
    stack: str
    service: str
    image: str
    exit_code: int | None = None
    signal: str | None = None
    health: Health | None = None


class Stack(Answer):
    project: str | None
    stacks: tuple[str, ...]
    config_files: tuple[str, ...]
    containers: tuple[str, ...] = Field(description="ids")
    running: int


class Image(Answer):
    id: str
    tags: tuple[str, ...]
    digests: tuple[str, ...]
    size_bytes: int
    created_at: float
    containers: tuple[str, ...] = Field(description="ids")


class Usage(Answer):
    count: int
    size_bytes: int
    reclaimable_bytes: int


class DiskUse(Answer):
    images: Usage
    containers: Usage
    volumes: Usage
    build_cache: Usage


class Ended(Answer):
    """How a program in a container ended. Output beyond the limit is cut, and said to be."""

    exit_code: int
    stdout: str
    stderr: str
    is_cut: bool


class Containers(Answer):
    containers: tuple[Container, ...]
    measured_at: float


class Samples(Answer):
    samples: tuple[Sample, ...]


class StackList(Answer):
    stacks: tuple[Stack, ...]


class ImageList(Answer):
    images: tuple[Image, ...]


class End(Answer):
    """A stream has come to its end: the container stopped or went (`ended`), or the engine did (`engine-lost`)."""

    why: Literal["ended", "engine-lost"]


class Failure(Answer):
    """A verb was not done. type: see failures.py."""

    type: str
    detail: str = ""
    protection: Protection | None = None
