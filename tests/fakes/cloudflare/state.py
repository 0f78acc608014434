"""What the fake holds: one account with its zones, Workers, buckets, namespaces and tunnels. Tests read and prepare it.

Attributes are what Cloudflare would know, not what it would answer: secrets are in `Script.secrets` and in no answer.
Ids look like Cloudflare's (32 hex digits; tunnels have UUIDs). Times are real ones; nothing here depends on them.
"""

from __future__ import annotations

import datetime as dt
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


def new_id() -> str:
    return secrets.token_hex(16)


def now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


@dataclass(slots=True)
class Record:
    """A DNS record.

    data        the fields of SRV, CAA and the like; None for types that have only `content`
    is_locked   belongs to Email Routing and can't be changed through the DNS API
    """

    type: str
    name: str
    content: str
    ttl: int = 1
    priority: int | None = None
    proxied: bool = False
    comment: str | None = None
    tags: list[str] = field(default_factory=list)
    data: Json | None = None
    settings: Json = field(default_factory=dict)
    private_routing: bool | None = None
    id: str = field(default_factory=new_id)
    created_on: str = field(default_factory=now)
    modified_on: str = field(default_factory=now)
    is_locked: bool = False


@dataclass(slots=True)
class Rule:
    """An Email Routing rule; the catch-all is one too, with the matcher `all`."""

    matchers: list[Json]
    actions: list[Json]
    name: str = ""
    enabled: bool = True
    priority: int = 0
    source: str = "api"
    id: str = field(default_factory=new_id)


def default_catch_all() -> Rule:
    """What a zone has until somebody sets it: there from the start, off, dropping."""
    return Rule([{"type": "all"}], [{"type": "drop"}], enabled=False)


@dataclass(slots=True)
class Routing:
    """Email Routing of one zone.

    records_locked   whether the records that it needs are protected from the DNS API
    records_hidden   True: the DNS API shows none of those that enabling added, as on some zones
    tells_missing    True: GET dns answers what is there and what is missing, instead of what is needed
    dkim             content of the DKIM record that it needs too; None: it needs none
    """

    enabled: bool = False
    skip_wizard: bool = False
    support_subaddress: bool = False
    records_locked: bool = True
    records_hidden: bool = False
    tells_missing: bool = False
    dkim: str | None = None
    rules: list[Rule] = field(default_factory=list)
    catch_all: Rule = field(default_factory=default_catch_all)
    id: str = field(default_factory=new_id)
    created: str = field(default_factory=now)
    modified: str = field(default_factory=now)


@dataclass(slots=True)
class Ruleset:
    """The entry point of one phase of a zone; rules as answers show them."""

    name: str
    phase: str
    rules: list[Json] = field(default_factory=list)
    version: int = 1
    id: str = field(default_factory=new_id)
    last_updated: str = field(default_factory=now)


@dataclass(slots=True)
class Zone:
    """plan          free, pro, business or enterprise
    record_limit   how many records it may have; of the free plan's zones since September 2024
    """

    name: str
    records: list[Record] = field(default_factory=list)
    routing: Routing = field(default_factory=Routing)
    rulesets: list[Ruleset] = field(default_factory=list)
    status: str = "active"
    plan: str = "free"
    record_limit: int = 200
    id: str = field(default_factory=new_id)
    created_on: str = field(default_factory=now)

    def record(self, type_: str, name: str | None = None) -> Record:
        """Return the one record of this type and name (default: the zone's own). Raise LookupError if it isn't one."""
        found = [r for r in self.records if r.type == type_ and r.name == (name or self.name)]
        if len(found) != 1:
            raise LookupError(f"{len(found)} records {type_} {name or self.name}")
        return found[0]


@dataclass(slots=True)
class Address:
    """A destination address of Email Routing; unverified until a test sets `verified` to a time."""

    email: str
    verified: str | None = None
    id: str = field(default_factory=new_id)
    created: str = field(default_factory=now)
    modified: str = field(default_factory=now)


@dataclass(slots=True)
class Module:
    content_type: str
    data: bytes


@dataclass(slots=True)
class Version:
    """One upload of a script. `bindings` are without secret values."""

    number: int
    bindings: list[Json]
    source: str = "api"
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    created_on: str = field(default_factory=now)


@dataclass(slots=True)
class Script:
    """A Worker.

    bindings     as uploaded, secret_text left out
    secrets      name -> value: secret_text bindings and those set by the secrets endpoints
    settings     what metadata may also hold: observability, logpush, usage_model, placement, tail_consumers ...
    """

    name: str
    main_module: str
    modules: dict[str, Module]
    bindings: list[Json] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict)
    compatibility_date: str = ""
    compatibility_flags: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    settings: Json = field(default_factory=dict)
    annotations: Json = field(default_factory=dict)
    crons: list[str] = field(default_factory=list)
    subdomain_enabled: bool = False
    previews_enabled: bool = False
    versions: list[Version] = field(default_factory=list)
    tag: str = field(default_factory=new_id)
    created_on: str = field(default_factory=now)
    modified_on: str = field(default_factory=now)

    def binding(self, name: str) -> Json:
        """Return the binding of this name. Raise LookupError."""
        for binding in self.bindings:
            if binding["name"] == name:
                return binding
        raise LookupError(f"{self.name} has no binding {name}")


@dataclass(slots=True)
class Object:
    data: bytes
    content_type: str = "application/octet-stream"
    custom_metadata: dict[str, str] = field(default_factory=dict)
    storage_class: str = "Standard"
    last_modified: str = field(default_factory=now)


@dataclass(slots=True)
class Bucket:
    name: str
    location: str = "apac"
    storage_class: str = "Standard"
    objects: dict[str, Object] = field(default_factory=dict)
    lifecycle: list[Json] = field(default_factory=list)
    creation_date: str = field(default_factory=now)


@dataclass(slots=True)
class Value:
    """expiration   epoch seconds; an expired value is gone from every answer"""

    data: bytes
    metadata: Any = None
    expiration: int | None = None


@dataclass(slots=True)
class Namespace:
    title: str
    values: dict[str, Value] = field(default_factory=dict)
    id: str = field(default_factory=new_id)


@dataclass(slots=True)
class Connection:
    """One of the (usually four) connections of a running cloudflared."""

    colo: str = "nrt01"
    client_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    client_version: str = "2026.10.0"
    origin_ip: str = "192.0.2.1"
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    opened_at: str = field(default_factory=now)


@dataclass(slots=True)
class Tunnel:
    """A cloudflared tunnel; a deleted one stays, with `deleted_at`, and is listed only on request.

    connections   put some here and the tunnel is healthy
    version       of the configuration; 0 until the first one was put
    """

    name: str
    secret: str
    config_src: str = "local"
    config: Json = field(default_factory=dict)
    version: int = 0
    connections: list[Connection] = field(default_factory=list)
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    created_at: str = field(default_factory=now)
    deleted_at: str | None = None


@dataclass(slots=True)
class State:
    """The whole account.

    r2_enabled            False: as an account that never opened R2 in the dashboard
    subdomain             the account's workers.dev subdomain; None: never chosen
    routing_blind_to      script name -> how many more rule writes refuse a Worker of that name as unknown: Email
                          Routing hears of a fresh Worker late (README, "Email Routing")
    before_config_put     each is called once, just before a tunnel's configuration is put: another writer
    after_config_put      likewise, just after
    """

    account_id: str = field(default_factory=new_id)
    account_name: str = "Homeport Test"
    zones: dict[str, Zone] = field(default_factory=dict)  # by name
    addresses: list[Address] = field(default_factory=list)
    scripts: dict[str, Script] = field(default_factory=dict)
    buckets: dict[str, Bucket] = field(default_factory=dict)
    namespaces: list[Namespace] = field(default_factory=list)
    tunnels: list[Tunnel] = field(default_factory=list)
    r2_enabled: bool = True
    subdomain: str | None = "homeport-test"
    routing_blind_to: dict[str, int] = field(default_factory=dict)
    before_config_put: list[Callable[[Tunnel], None]] = field(default_factory=list)
    after_config_put: list[Callable[[Tunnel], None]] = field(default_factory=list)

    def zone(self, zone_id: str) -> Zone | None:
        return next((zone for zone in self.zones.values() if zone.id == zone_id), None)

    def namespace(self, title: str) -> Namespace:
        """Return the KV namespace of this title. Raise LookupError."""
        for namespace in self.namespaces:
            if namespace.title == title:
                return namespace
        raise LookupError(f"no namespace {title}")
