"""Settings of the mail processes: `HOMEPORT_MAIL_*`, from the environment or, as `<NAME>_FILE`, from files.

Unknown names are refused, so a typing error stops the start instead of being ignored. There is no secret among them:
the keys lie in a file of their own that is re-read when it changes. docs/settings.md lists every one.
"""

from __future__ import annotations

import enum
import re
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import unquote, urlsplit

import idna
from pydantic import Field, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from kit import settings
from mail_api.envelope import parse_recipient
from mail_api.refusal import BadAddress

MAX_MESSAGE_BYTES = 25 * 1024**2  # Cloudflare Email Service docs, "Limits", checked 2026-11
IN_MEMORY_BYTES = 1024**2  # larger bodies go to a file while they stream in (mail.md 4.1)
MIN_FREE_FACTOR = 1.5  # free space below this many largest messages refuses early (Postfix queue_minfree)
LIVE_DEADLINE_S = 15.0  # from the first body byte, then the spool (wire.md, "Deadlines")
DRAIN_DEADLINE_S = 150.0  # the same when the message comes from the edge's store
MAX_SCAN_S = 10.0  # of the 15 s may go to the scanners; the rest is for the mailbox server
LIVE_UPLOAD_S = 25.0  # a live Worker gives up 20 s after it started
DRAIN_UPLOAD_S = 175.0  # a draining one after 180 s
LEASE_MARGIN_S = 5.0  # a claim outlives its deadline by this much

_HOSTNAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*", re.IGNORECASE)


def parse_listen(value: str) -> tuple[str, int]:
    """Given `HOST:PORT` (`[::1]:8025` for IPv6), return both. Raise ValueError."""
    parts = urlsplit(f"//{value}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"{value!r} is not HOST:PORT: {error}") from error
    if not host or port is None or parts.path or parts.username is not None:
        raise ValueError(f"{value!r} is not HOST:PORT, such as 127.0.0.1:8025")
    return host, port


def parse_clamd(value: str) -> tuple[str, int] | str:
    """Given `HOST:PORT` or `unix:///path`, return (host, port) or the path. Raise ValueError."""
    if not value.startswith("unix:"):
        return parse_listen(value)
    parts = urlsplit(value)
    if parts.netloc or not parts.path.startswith("/"):
        raise ValueError("needs an absolute path, such as unix:///run/clamav/clamd.ctl")
    return unquote(parts.path)


class SpamScannerDown(enum.StrEnum):
    """What becomes of a message while the spam scanner fails and nothing else speaks against it."""

    DEFER = "defer"
    DELIVER = "deliver"


class MailSettings(settings.Settings):
    """Built once, by `MailSettings.load()`, and passed in."""

    model_config = SettingsConfigDict(env_prefix="HOMEPORT_MAIL_")

    transport: str = Field(
        description="Where mail goes: lmtp://HOST:PORT, lmtp+unix:///path/of/socket or maildir:///path/of/root"
    )
    state_dir: Path = Field(description="Directory of spool/, ledger.sqlite3 and control.sock; one file system")
    keys_file: Path = Field(description="Request-signing keys, lines `key-id:hex-secret`, the first one is current")
    hostname: str = Field(description="Our own name, in Received fields, in LHLO and as authserv-id")
    domains: Annotated[frozenset[str], NoDecode] = Field(
        default=frozenset(),
        description="Accepted recipient domains, separated by commas; empty = whatever the transport accepts",
    )
    sentinel: str | None = Field(
        default=None,
        description="A mailbox that always exists: an unknown mailbox is refused for good only while this one is known",
    )
    rspamd: str | None = Field(
        default=None, description="http://HOST:PORT of an Rspamd worker that scans for spam; off if unset"
    )
    rspamd_timeout_s: float = Field(
        default=5.0, gt=0, le=MAX_SCAN_S, description="Seconds that Rspamd may take while the sender waits"
    )
    clamd: str | None = Field(
        default=None, description="HOST:PORT or unix:///path of a clamd that scans for viruses; off if unset"
    )
    clamd_timeout_s: float = Field(
        default=8.0, gt=0, le=MAX_SCAN_S, description="Seconds that clamd may take while the sender waits"
    )
    spam_scanner_down: SpamScannerDown = Field(
        default=SpamScannerDown.DEFER,
        description="While Rspamd fails: defer mail, or deliver what clamd, if there is one, finds clean",
    )
    metrics_listen: str | None = Field(
        default=None, description="HOST:PORT of /metrics, /readyz and /livez; off if unset"
    )
    mailbox_full_is_final: bool = Field(
        default=False, description="Refuse mail for a full mailbox for good (552 5.2.2) instead of queueing it"
    )
    max_concurrent: int = Field(
        default=64,
        ge=1,
        le=1024,
        description="Messages one ingress worker handles at once; more get 503 and Retry-After",
    )
    lmtp_connections: int = Field(
        default=8, ge=1, le=64, description="Connections each process keeps to the LMTP server"
    )
    delivery_concurrency: int = Field(default=8, ge=1, le=64, description="Queued messages delivered at once")
    log_format: str = Field(default="json", pattern="^(json|text)$", description="json, or text for people")
    log_level: str = Field(
        default="info", pattern="^(debug|info|warning|error)$", description="Least level that is logged"
    )

    @field_validator("hostname")
    @classmethod
    def _is_hostname(cls, value: str) -> str:
        if not _HOSTNAME.fullmatch(value) or len(value) > 253:
            raise ValueError("is not a host name")
        return value.lower()

    @field_validator("domains", mode="before")
    @classmethod
    def _split_domains(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return frozenset(
                idna.encode(part.strip(), uts46=True).decode("ascii") for part in value.split(",") if part.strip()
            )
        except idna.IDNAError as error:
            raise ValueError(f"has a name that is no domain: {error}") from error

    @field_validator("sentinel")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        try:
            return parse_recipient(value) if value else None
        except BadAddress as error:
            raise ValueError(f"is not an address: {error}") from error

    @field_validator("metrics_listen")
    @classmethod
    def _is_listen(cls, value: str | None) -> str | None:
        if value:
            parse_listen(value)
        return value or None

    @field_validator("rspamd")
    @classmethod
    def _is_http(cls, value: str | None) -> str | None:
        if not value:
            return None
        parts = urlsplit(value)
        if parts.scheme != "http" or parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError("is not http://HOST:PORT")
        parse_listen(parts.netloc)
        return value

    @field_validator("clamd")
    @classmethod
    def _is_clamd(cls, value: str | None) -> str | None:
        if value:
            parse_clamd(value)
        return value or None

    @field_validator("transport")
    @classmethod
    def _is_transport(cls, value: str) -> str:
        parts = urlsplit(value)
        match parts.scheme:
            case "lmtp":
                parse_listen(parts.netloc)
            case "lmtp+unix" | "maildir" if parts.netloc or not parts.path.startswith("/"):
                raise ValueError(f"needs an absolute path, such as {parts.scheme}:///srv/mail")
            case "lmtp+unix" | "maildir":
                pass
            case _:
                raise ValueError("must begin with lmtp://, lmtp+unix:// or maildir://")
        return value

    @model_validator(mode="after")
    def _maildir_needs_domains(self) -> Self:
        if self.transport.startswith("maildir:") and not self.domains:
            raise ValueError("HOMEPORT_MAIL_DOMAINS is not set: a maildir:// transport makes mailboxes only for these")
        return self

    @property
    def transport_path(self) -> Path:
        """The path in a lmtp+unix:// or maildir:// transport."""
        return Path(unquote(urlsplit(self.transport).path))

    @property
    def spool_dir(self) -> Path:
        return self.state_dir / "spool"

    @property
    def ledger_file(self) -> Path:
        return self.state_dir / "ledger.sqlite3"

    @property
    def control_socket(self) -> Path:
        return self.state_dir / "control.sock"
