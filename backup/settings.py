"""`backup.toml`: sources, destinations, retention, time zone. Checked whole at start, every mistake named at once.

HOMEPORT_BACKUP_CONFIG names the file, /etc/homeport/backup.toml when it is not set. Secrets do not stand in it, only
the names of files that hold them. docs/settings.md lists every key; `homeport backup init` writes a commented one.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, HttpUrl, ValidationError, model_validator
from pydantic_settings import SettingsConfigDict

from backup.exit_codes import WrongUsage
from backup.layout import Layout
from kit.settings import Settings


class Environment(Settings):
    model_config = SettingsConfigDict(env_prefix="HOMEPORT_BACKUP_")
    config: Path = Path("/etc/homeport/backup.toml")


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:  # a name that is unknown, a directory, a path
        raise ValueError(f"{name!r} is no time zone of this machine") from error
    return name


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("must be an absolute path")
    return path


Place = Annotated[Path, AfterValidator(_absolute)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
Days = Annotated[int, Field(ge=1, le=3650)]


class Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Retention(Table):
    """How many verified points stay, and for how long on-demand ones do."""

    daily: Annotated[int, Field(ge=1, le=366)] = 7
    weekly: Annotated[int, Field(ge=1, le=520)] = 4
    manual_days: Days = 14


class Server(Table):
    """A MariaDB server. `user` reads for dumps; `restore_user` writes, and is used by restores alone."""

    name: Name
    socket: Place | None = None
    host: str | None = None
    port: Annotated[int, Field(ge=1, le=65535)] = 3306
    user: str
    password_file: Place
    restore_user: str | None = None
    restore_password_file: Place | None = None
    ca_file: Place | None = None
    services: list[str] = []  # containers that the portal stops while one of its databases is restored in place
    databases: list[str] | None = None  # None: all but the server's own

    @model_validator(mode="after")
    def _one_way(self) -> Server:
        if (self.socket is None) == (self.host is None):
            raise ValueError("give either socket or host")
        return self


class Maildir(Table):
    """A tree of mailboxes, `<path>/<domain>/<local part>/`."""

    name: Name = "mail"
    path: Place


class Site(Table):
    """A WordPress site: its database first, then its files, as one unit."""

    name: Name
    path: Place
    server: Name | None = None
    database: str | None = None
    services: list[str] = []  # likewise
    extra: list[Place] = []  # its vhost and pool configuration

    @model_validator(mode="after")
    def _both(self) -> Site:
        if (self.server is None) != (self.database is None):
            raise ValueError("server and database belong together")
        return self

    @property
    def secrets(self) -> tuple[Path, ...]:
        """Directories below `path` that belong to the secret set, beside what is found by its name."""
        return ()

    @property
    def left_out(self) -> tuple[Path, ...]:
        """Directories below `path` that no point holds and no restore touches."""
        return ()

    @property
    def update_lock(self) -> Path | None:
        """What is held while somebody updates it (backup/sources/updating.py)."""
        return None


class ListedSite(Site):
    """A site of the portal's list (backup/sources/listed.py), laid out as stacks/blog does it. told: see layout.py."""

    told: Path

    @property
    def update_lock(self) -> Path:
        return self.told / f"{self.name}.lock"

    @property
    def secrets(self) -> tuple[Path, ...]:
        return (self.path / "private",)

    @property
    def left_out(self) -> tuple[Path, ...]:
        return (self.path / "tmp", self.path / "kept")


class Sites(Table):
    """Sites that the portal makes and lists: those of its list, each a directory directly below `root`.

    server  whose databases they have; the list names no other
    """

    root: Place
    server: Name


class Files(Table):
    """Configuration, compose files, state. SQLite databases are copied by their online backup."""

    name: Name
    paths: list[Place]
    sqlite: list[Place] = []
    leave_out: list[str] = []  # glob patterns, matched against the path below each of `paths`


class Secrets(Table):
    """What goes only into the encrypted repository."""

    paths: list[Place] = []


class Sources(Table):
    mariadb: list[Server] = []
    maildir: list[Maildir] = []
    site: list[Site] = []
    sites: Sites | None = None
    files: list[Files] = []
    secrets: Secrets = Secrets()
    allow_same_device: bool = False  # shown red in the coverage


class Excluded(Table):
    """Something known that is left out on purpose; shown in the coverage with its reason."""

    kind: Literal["database", "mailbox", "site", "volume", "zone", "secret"]
    name: str
    reason: Annotated[str, Field(min_length=8)]


class Coverage(Table):
    """Where what exists is found, beside the sources themselves."""

    volumes: list[Place] = []  # each directory directly below is a volume that must be covered
    sites: list[Place] = []  # each directory directly below is a site
    zones: list[str] = []  # zones whose export the files sources must hold as <zone>.zone
    exclude: list[Excluded] = []


class RepositorySettings(Table):
    """The local restic repository, `<root>/repository`."""

    password_file: Place
    enabled: bool = True
    program: str = "restic"


class VaultSettings(Table):
    """
    window_days      W: how long each object is locked from its upload or renewal
    threshold_days   T: renewed when less is left
    floor_days       the promise: no point is protected for less from its own time
    mbit_per_s       limit of the upload; None: none
    """

    bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
    region: str = "ap-northeast-1"
    endpoint: HttpUrl | None = None
    prefix: Annotated[str, Field(pattern=r"^([A-Za-z0-9._-]+/)*$")] = ""
    uploader_file: Place | None = None  # lines access-key-id, secret-access-key; None: boto3's own chain
    restorer_file: Place | None = None
    verifier_file: Place | None = None
    collector_file: Place | None = None
    window_days: Annotated[int, Field(ge=30, le=45)] = 37
    threshold_days: Annotated[int, Field(ge=30, le=44)] = 31
    floor_days: Annotated[int, Field(ge=30, le=44)] = 30
    parallel: Annotated[int, Field(ge=1, le=32)] = 4
    mbit_per_s: Annotated[float, Field(gt=0)] | None = None
    budget_usd: Annotated[float, Field(gt=0)] = 10.0
    usd_per_gb_month: Annotated[float, Field(ge=0)] = 0.025
    usd_per_1000_put: Annotated[float, Field(ge=0)] = 0.0055
    usd_per_gb_egress: Annotated[float, Field(ge=0)] = 0.114
    alarm_region: str = "us-east-1"

    @model_validator(mode="after")
    def _order(self) -> VaultSettings:
        if not self.floor_days <= self.threshold_days < self.window_days:
            raise ValueError("floor_days <= threshold_days < window_days must hold")
        return self


class Smtp(Table):
    host: str
    port: Annotated[int, Field(ge=1, le=65535)] = 587
    starttls: bool = True
    user: str | None = None
    password_file: Place | None = None
    sender: str
    recipients: Annotated[list[str], Field(min_length=1)]


class Monitor(Table):
    """Who is told how a run ended. Addresses with a token in them are read from files."""

    mail: Smtp | None = None
    webhook_url_file: Place | None = None
    webhook_secret_file: Place | None = None
    ping_url_file: Place | None = None  # /start, "" and /fail are appended


class BackupSettings(Table):
    """All of backup.toml."""

    root: Place
    host: Name = "homeport"
    zone: Annotated[str, AfterValidator(_zone)] = "Asia/Tokyo"
    lock_wait_hours: Annotated[float, Field(gt=0, le=72)] = 8.0
    signing_key_file: Place  # Ed25519, PEM; `run` alone needs it
    public_key_file: Place  # its public half: whoever verifies or restores
    retention: Retention = Retention()
    sources: Sources = Sources()
    coverage: Coverage = Coverage()
    repository: RepositorySettings | None = None
    vault: VaultSettings | None = None
    monitor: Monitor = Monitor()

    @model_validator(mode="after")
    def _names(self) -> BackupSettings:
        servers = {server.name for server in self.sources.mariadb}
        for kind in ("mariadb", "maildir", "site", "files"):
            names = [each.name for each in getattr(self.sources, kind)]
            if len(set(names)) != len(names):
                raise ValueError(f"two sources.{kind} have one name")
        for site in self.sources.site:
            if site.server is not None and site.server not in servers:
                raise ValueError(f"sources.site {site.name}: there is no sources.mariadb named {site.server}")
        if self.sources.sites is not None and self.sources.sites.server not in servers:
            raise ValueError(f"sources.sites: there is no sources.mariadb named {self.sources.sites.server}")
        if self.vault is not None and self.repository is None:
            raise ValueError("the vault mirrors the repository: it needs [repository]")
        return self

    @property
    def layout(self) -> Layout:
        return Layout(self.root)

    @property
    def time_zone(self) -> ZoneInfo:
        return ZoneInfo(self.zone)


def load(path: Path | None = None) -> BackupSettings:
    """Read backup.toml. Raise WrongUsage with one mistake a line; it names keys, never values."""
    path = path or Environment.load().config
    try:
        document = tomllib.loads(path.read_text("utf-8"))
        return BackupSettings.model_validate(document)
    except OSError as error:
        raise WrongUsage(f"{path}: {error.strerror}. `homeport backup init` writes one to start from") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WrongUsage(f"{path} is not TOML: {error}") from error
    except ValidationError as error:
        raise WrongUsage("\n".join(_mistakes(path, error))) from None


def read_secret(path: Path) -> str:
    """The first line of a secret file, without its line end. Raise WrongUsage; the text names the file only."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise WrongUsage(f"the secret file {path} cannot be read: {reason}") from error
    lines = text.splitlines()
    if not lines or not lines[0]:
        raise WrongUsage(f"the secret file {path} is empty")
    return lines[0]


def _mistakes(path: Path, error: ValidationError) -> list[str]:
    found = []
    for each in error.errors(include_input=False, include_url=False, include_context=False):
        where = ".".join(str(part) for part in each["loc"]) or "the file"
        found.append(f"{path}: {where}: {each['msg'].removeprefix('Value error, ')}")
    return found
