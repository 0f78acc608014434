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
from urllib.parse import SplitResult, unquote, urlsplit

import idna
from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from kit import settings

CLOUDFLARE_URL = "https://api.cloudflare.com/client/v4"
FRONT_END = Path(__file__).parents[1] / "frontend" / "dist"

MAX_NAME = 52  # with "-retained" behind it it names a bucket, which has 63 at most

_ACCOUNT = re.compile(r"[0-9a-f]{32}")
_WORKER_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_RESOLVER = re.compile(
    r"\[(?P<v6>[^]]+)\](?::(?P<v6_port>\d{1,5}))?|(?P<v4>[^:]+)(?::(?P<v4_port>\d{1,5}))?|(?P<bare>.+)"
)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SPF_TERM = re.compile(
    r"(?:include|exists):[^\s:/]+|(?:a|mx)(?::[^\s:/]+)?(?:/\d{1,3})?|ip[46]:[0-9a-fA-F.:]+(?:/\d{1,3})?"
)
_SELECTOR = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_DATABASES = ("sqlite:///", "mysql+pymysql://", "mariadb+pymysql://")
_MAIL_SCHEMES = {
    "mail_relay_url": ({"smtp", "smtps"}, "smtp://user@host:587"),
    "mail_imap_url": ({"imap", "imaps"}, "imaps://host:993"),
}
_LOCAL_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})

Names = Annotated[tuple[str, ...], NoDecode]


def resolver_address(text: str) -> tuple[str, int]:
    """Given ADDRESS, ADDRESS:PORT or [IPv6]:PORT, return address and port (53 by default). Raise ValueError."""
    match = _RESOLVER.fullmatch(text)
    try:
        address = ipaddress.ip_address((match["v6"] or match["v4"] or match["bare"]) if match else "")
        port = int((match["v6_port"] or match["v4_port"] or 53) if match else 53)
    except ValueError:
        raise ValueError(f"{text!r} is not an address such as 1.1.1.1, 127.0.0.1:5353 or [::1]:5353") from None
    if not 1 <= port <= 65_535:
        raise ValueError(f"{text!r} has a port that there is not")
    return str(address), port


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
    cloudflare_url: str = Field(
        default=CLOUDFLARE_URL, description="Cloudflare's API; another one only in tests and in the demo"
    )
    demo: bool = Field(
        default=False, description="Every page says that this is a demonstration: what it shows is made up"
    )
    dns_resolvers: Names = Field(
        default=("1.1.1.1", "9.9.9.9"),
        description="Resolvers that are asked what the world sees: ADDRESS, ADDRESS:PORT or [IPv6]:PORT",
    )
    dns_poll_s: int = Field(
        default=300, ge=30, le=86_400, description="Seconds between two readings of all zones: how soon drift is seen"
    )
    tunnel_id: str | None = Field(
        default=None, description="UUID of the Cloudflare Tunnel; by default the only one of the account"
    )
    mail_spf: str = Field(
        default="include:sendgrid.net",
        description="Mechanisms that the SPF record of a mail domain needs: who sends its mail",
    )
    mail_dkim: Names = Field(
        default=(), description="DKIM keys of a mail domain: SELECTOR=HOST (a CNAME) or SELECTOR=v=DKIM1;... (a TXT)"
    )
    mail_dmarc_rua: str | None = Field(
        default=None, description="Address that receives the DMARC and TLS reports of the mail domains"
    )
    mail_relay_url: str | None = Field(
        default=None, description="Where the canary of a new mail domain is sent from: smtp(s)://user@host:port"
    )
    mail_relay_password: SecretStr | None = Field(default=None, description="The relay's password")
    mail_canary_from: str | None = Field(
        default=None, description="Sender of the canary: an address that the relay takes, outside the mail domains"
    )
    mail_imap_url: str | None = Field(
        default=None, description="Where the canary is looked for: imap(s)://host:port of the mail server"
    )
    mail_canary_s: int = Field(default=600, ge=10, le=3_600, description="Seconds that a canary is waited for")
    databases_file: Path | None = Field(
        default=None,
        description="The database servers and their accounts (TOML); without it, that room is not connected",
    )
    web_dir: Path | None = Field(
        default=None, description="Where virtual hosts and PHP pools are rendered; without it, sites are only looked at"
    )
    import_dir: Path | None = Field(default=None, description="Where archives and dumps of sites to be imported lie")
    sites_origin_url: str | None = Field(
        default=None, description="Where the sites' own web server answers, such as http://blog-nginx:8080"
    )
    sites_edge_url: str | None = Field(
        default=None, description="Where the sites' public names are asked; by default where DNS says; only in tests"
    )
    site_mail_host: str | None = Field(
        default=None, description="Submission server as the sites see it; without it, sites send no mail through it"
    )
    site_mail_port: int = Field(default=587, ge=1, le=65_535, description="Its port, with STARTTLS")
    site_mail_user: str | None = Field(
        default=None,
        description="Account of that server for all sites; by default each site gets one in the mailboxes database",
    )
    site_mail_password: SecretStr | None = Field(default=None, description="That account's password")
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
        if value and not _ACCOUNT.fullmatch(value):
            raise ValueError("is not an account id of 32 hex digits")
        return value or None  # as compose.yaml hands on what is not set

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

    @field_validator("tunnel_id")
    @classmethod
    def _is_tunnel(cls, value: str | None) -> str | None:
        if not value:
            return None  # as compose.yaml hands on what is not set
        if not _UUID.fullmatch(value.lower()):
            raise ValueError("is not the UUID of a tunnel")
        return value.lower()

    @field_validator("dns_resolvers", mode="before")
    @classmethod
    def _split_resolvers(cls, value: object) -> object:
        parts = tuple(dict.fromkeys(_parts(value))) if isinstance(value, str) else value
        if not parts:
            raise ValueError("names no resolver")
        for part in parts if isinstance(parts, tuple) else ():
            resolver_address(part)
        return parts

    @field_validator("mail_spf")
    @classmethod
    def _is_spf(cls, value: str) -> str:
        terms = value.split()
        for term in terms:
            if not _SPF_TERM.fullmatch(term):
                raise ValueError(f"{term!r} is no mechanism such as include:sendgrid.net or ip4:192.0.2.1")
        return " ".join(terms)

    @field_validator("mail_dkim", mode="before")
    @classmethod
    def _split_dkim(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        for part in (parts := _parts(value)):
            selector, _, target = part.partition("=")
            if not _SELECTOR.fullmatch(selector) or not target:
                raise ValueError(f"{part!r} is not SELECTOR=HOST or SELECTOR=v=DKIM1;...")
            if not target.lower().startswith("v=dkim1"):
                domain_name(target.replace("_domainkey.", "").rstrip("."))  # the underscore is no host name's
        return tuple(parts)

    @field_validator("mail_dmarc_rua")
    @classmethod
    def _is_rua(cls, value: str | None) -> str | None:
        return _address(value.removeprefix("mailto:")) if value else None

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

    @field_validator("mail_relay_url", "mail_imap_url")
    @classmethod
    def _is_mail_server(cls, value: str | None, info: ValidationInfo) -> str | None:
        if not value:
            return None
        schemes, example = _MAIL_SCHEMES[str(info.field_name)]
        parts = urlsplit(value)
        is_bare = not (parts.path or parts.query or parts.fragment or parts.password)
        if not is_bare or not parts.hostname or not _port_of(parts) or parts.scheme not in schemes:
            raise ValueError(f"is not an address such as {example}, without a password")
        return value

    @field_validator("edge_alert_mail_from", "edge_alert_mail_to", "mail_canary_from")
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
            ("mail_relay_url", "mail_canary_from"),
        ):
            if (getattr(self, one) is None) != (getattr(self, other) is None):
                raise ValueError(f"{self.variable(one)} and {self.variable(other)} belong together: set both or none")
        if urlsplit(self.mail_relay_url or "").username and self.mail_relay_password is None:
            names = self.variable("mail_relay_url"), self.variable("mail_relay_password")
            raise ValueError(f"{names[0]} names a user, whose {names[1]} is not set")
        return self

    @property
    def database(self) -> str:
        """The database's URL. It may hold a password."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.state_dir.absolute() / 'portal.sqlite3'}"

    @property
    def cloudflare_missing(self) -> list[str]:
        """The names of the variables that are not set, and without which there is no Cloudflare; empty when all are."""
        needed = ("cloudflare_token", "cloudflare_account")
        return [self.variable(name) for name in needed if getattr(self, name) is None]

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
    edge_mail_api_url: str = _required("edge_mail_api_url")
    edge_keys_file: Path = _required("edge_keys_file")


def _port_of(parts: SplitResult) -> int | None:
    try:
        return parts.port
    except ValueError:
        return None


def _parts(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


def _address(text: str) -> str:
    """An address as a routing rule has it: lower case, the domain as A-labels. Raise ValueError."""
    local, at, domain = text.rpartition("@")
    if not at or not local or not local.isascii() or any(char.isspace() or char in '<>"@\\' for char in local):
        raise ValueError(f"{text!r} is no address")
    return f"{local.lower()}@{domain_name(domain)}"
