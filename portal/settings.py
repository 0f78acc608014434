"""Settings of the portal: `HOMEPORT_PORTAL_*`, from the environment or, as `<NAME>_FILE`, from files.

Unknown names are refused, so a typing error stops the start instead of being ignored. Secrets are given as files
(`..._FILE`); that they can stand in the environment too is for tests and container secrets. docs/settings.md lists
every one. Names of zones are kept as lower-case A-labels.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import unquote, urlsplit

import idna
from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from kit import settings

CLOUDFLARE_URL = "https://api.cloudflare.com/client/v4"
FRONT_END = Path(__file__).parents[1] / "frontend" / "dist"

MAX_NAME = 52  # with "-retained" behind it it names a bucket, which has 63 at most

_ACCOUNT = re.compile(r"[0-9a-f]{32}")
_WORKER_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_DATABASES = ("sqlite:///", "mysql+pymysql://", "mariadb+pymysql://")
_LOCAL_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})

Names = Annotated[tuple[str, ...], NoDecode]


def domain_name(text: str) -> str:
    """Given a domain as people write it, return its lower-case A-labels. Raise ValueError."""
    try:
        name = text.lower() if text.isascii() else idna.encode(text, uts46=True).decode("ascii")
    except idna.IDNAError as error:
        raise ValueError(f"{text!r} is no domain: {error}") from None
    if not _DOMAIN.fullmatch(name) or len(name) > 253:
        raise ValueError(f"{text!r} is no domain")
    return name


class PortalSettings(settings.Settings):
    """Built once, by `PortalSettings.load()`, and passed in."""

    model_config = SettingsConfigDict(env_prefix="HOMEPORT_PORTAL_")

    state_dir: Path = Field(description="Directory of the portal's own state, one portal's alone")
    database_url: SecretStr | None = Field(
        default=None, description="mysql+pymysql://user:password@host/database; by default SQLite in STATE_DIR"
    )
    public_url: str = Field(
        default="http://localhost:8080", description="Where browsers find the portal; its host is the only one answered"
    )
    trusted_proxies: Names = Field(
        default=(), description="Addresses or networks whose X-Forwarded-For is believed, separated by commas"
    )
    broker_socket: Path | None = Field(
        default=None, description="The broker's socket; without it, the container rooms are not connected"
    )
    backup_dir: Path | None = Field(
        default=None, description="The backup's directory for the portal; without it, the backups room is not connected"
    )
    front_end_dir: Path = Field(
        default=FRONT_END, description="The built front end; by default frontend/dist of the checkout"
    )
    metrics_listen: str | None = Field(
        default=None, description="HOST:PORT of /metrics, /readyz and /livez; off if unset"
    )
    log_format: Literal["json", "text"] = Field(
        default="json", description="One JSON object a line, or text for people"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level that is logged"
    )
    cloudflare_token: SecretStr | None = Field(
        default=None, description="API token with the permissions that `homeport edge plan` lists"
    )
    cloudflare_account: str | None = Field(default=None, description="Id of the Cloudflare account, 32 hex digits")
    cloudflare_url: str = Field(default=CLOUDFLARE_URL, description="Cloudflare's API; another one only in tests")
    edge_zones: Names = Field(
        default=(), description="Domains whose mail comes in through the edge, separated by commas"
    )
    edge_addresses: Names = Field(
        default=(),
        description="Addresses that get a rule each, separated by commas; empty = one catch-all rule per zone",
    )
    edge_mail_api_url: str | None = Field(
        default=None, description="Where the Worker finds the mail API: the tunnel's public address"
    )
    edge_keys_file: Path | None = Field(
        default=None, description="The mail API's keys file; its first key becomes the Worker's"
    )
    edge_worker_file: Path | None = Field(
        default=None, description="The built Worker; by default dist/worker.js of the checkout"
    )
    edge_name: str = Field(
        default="homeport-mail", description="The Worker's name; bucket and KV namespace are named after it"
    )
    edge_worker_url: str | None = Field(
        default=None, description="Address of the Worker's own routes; by default its address under workers.dev"
    )
    edge_alert_webhook: SecretStr | None = Field(
        default=None, description="Address that the Worker posts its alerts to"
    )
    edge_alert_mail_from: str | None = Field(
        default=None, description="Sender of the alerts by mail, in one of the zones"
    )
    edge_alert_mail_to: str | None = Field(
        default=None, description="Recipient of the alerts by mail: a verified destination address, outside the zones"
    )
    edge_access_client_id: str | None = Field(
        default=None, description="Client id of the Cloudflare Access service token in front of the mail API"
    )
    edge_access_client_secret: SecretStr | None = Field(default=None, description="Client secret of that service token")
    edge_watchdog_minutes: int = Field(
        default=5, ge=1, le=1440, description="Minutes of a failing mail API after which the Worker alerts"
    )
    edge_recipients_max_age_s: int = Field(
        default=86_400, ge=300, le=2_592_000, description="Age at which a list of recipients stops refusing"
    )
    edge_recipient_delimiter: str = Field(
        default="+",
        max_length=1,
        description="What begins the detail of an address (user+detail@); empty = nothing does",
    )
    edge_poison_limit: int = Field(
        default=10, ge=1, le=1000, description="Refused attempts after which a retained message is held"
    )
    edge_subrequests: int = Field(
        default=50, ge=30, le=10_000, description="Subrequests one invocation may make: 50 on the free plan, else 10000"
    )

    @field_validator("cloudflare_account")
    @classmethod
    def _is_account(cls, value: str | None) -> str | None:
        if value is not None and not _ACCOUNT.fullmatch(value):
            raise ValueError("is not an account id of 32 hex digits")
        return value

    @field_validator("cloudflare_url", "edge_mail_api_url", "edge_worker_url")
    @classmethod
    def _is_url(cls, value: str | None) -> str | None:
        if not value:
            return None
        parts = urlsplit(value)
        if parts.username is not None or parts.query or parts.fragment or not parts.hostname:
            raise ValueError("is not an address such as https://mail-api.example.com")
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOCAL_HOSTS):
            raise ValueError("does not begin with https://")
        return value.rstrip("/")

    @field_validator("edge_mail_api_url", "edge_worker_url")
    @classmethod
    def _has_no_path(cls, value: str | None) -> str | None:
        if value and urlsplit(value).path:
            raise ValueError("has a path: the signature covers only paths of the wire contract")
        return value

    @field_validator("edge_recipient_delimiter")
    @classmethod
    def _is_delimiter(cls, value: str) -> str:
        if value and (not value.isascii() or not value.isprintable() or value.isalnum() or value in ' "<>@\\'):
            raise ValueError("is not a character such as +")
        return value

    @field_validator("database_url")
    @classmethod
    def _is_database(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(_DATABASES):
            raise ValueError("is neither mysql+pymysql://user:password@host/database nor sqlite:///path")
        password = unquote(urlsplit(value.get_secret_value()).password or "") if value is not None else ""
        if "".join(filter(str.isalnum, password.lower())) in settings.PLACEHOLDERS:
            raise ValueError("has a placeholder for a password")
        return value

    @field_validator("public_url")
    @classmethod
    def _is_origin(cls, value: str) -> str:
        if urlsplit(value).path not in ("", "/"):
            raise ValueError("has a path: the portal needs a name of its own")
        url = cls._is_url(value)
        if url is None:
            raise ValueError("is not an address such as https://portal.example.com")
        return url

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _split_proxies(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        for part in (parts := _parts(value)):
            try:
                ipaddress.ip_network(part)
            except ValueError:
                raise ValueError(f"{part!r} is neither an address nor a network") from None
        return tuple(parts)

    @field_validator("edge_zones", mode="before")
    @classmethod
    def _split_zones(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        zones = tuple(dict.fromkeys(domain_name(part) for part in _parts(value)))
        if not zones:
            raise ValueError("names no domain")
        return zones

    @field_validator("edge_addresses", mode="before")
    @classmethod
    def _split_addresses(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(dict.fromkeys(_address(part) for part in _parts(value)))

    @field_validator("edge_name")
    @classmethod
    def _is_name(cls, value: str) -> str:
        if not _WORKER_NAME.fullmatch(value) or not 3 <= len(value) <= MAX_NAME:
            raise ValueError("is not a name of 3 to 52 of a-z, 0-9 and -, with a letter or digit at both ends")
        return value

    @field_validator("edge_alert_mail_from", "edge_alert_mail_to")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        return _address(value) if value else None

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        foreign = [address for address in self.edge_addresses if address.rpartition("@")[2] not in self.edge_zones]
        if foreign:
            raise ValueError(f"{self.variable('edge_addresses')} has {foreign[0]}, which is in none of the zones")
        for one, other in (
            ("edge_alert_mail_from", "edge_alert_mail_to"),
            ("edge_access_client_id", "edge_access_client_secret"),
        ):
            if (getattr(self, one) is None) != (getattr(self, other) is None):
                raise ValueError(f"{self.variable(one)} and {self.variable(other)} belong together: set both or none")
        return self

    @property
    def database(self) -> str:
        """The database's URL. It may hold a password."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.state_dir.absolute() / 'portal.sqlite3'}"

    @property
    def edge_bucket(self) -> str:
        return f"{self.edge_name}-retained"

    @property
    def edge_namespace(self) -> str:
        return f"{self.edge_name}-recipients"


def _required(field: str) -> Any:
    return Field(description=PortalSettings.model_fields[field].description)


class EdgeSettings(PortalSettings):
    """The same settings, for the edge's commands: what the portal can be without is required."""

    cloudflare_token: SecretStr = _required("cloudflare_token")
    cloudflare_account: str = _required("cloudflare_account")
    edge_zones: Names = _required("edge_zones")
    edge_mail_api_url: str = _required("edge_mail_api_url")
    edge_keys_file: Path = _required("edge_keys_file")


def _parts(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


def _address(text: str) -> str:
    """An address as a routing rule has it: lower case, the domain as A-labels. Raise ValueError."""
    local, at, domain = text.rpartition("@")
    if not at or not local or not local.isascii() or any(char.isspace() or char in '<>"@\\' for char in local):
        raise ValueError(f"{text!r} is no address")
    return f"{local.lower()}@{domain_name(domain)}"
