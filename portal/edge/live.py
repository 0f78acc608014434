"""What is at Cloudflare now, as far as the token may see it.

Reading never stops at the first refusal: what cannot be read is `Unknown` with its reason, so that one run of
`homeport edge plan` names every missing permission, and `status` says "unknown" instead of guessing. Whatever
Cloudflare sent about a thing is kept, so that writing it back loses nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from portal.integrations.cloudflare import Cloudflare, CloudflareError, MissingPermission, NotFound, TokenRefused, Zone

T = TypeVar("T")
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Unknown:
    """What stands in the place of a thing that could not be read."""

    error: CloudflareError

    @property
    def reason(self) -> str:
        return str(self.error)


@dataclass(frozen=True, slots=True)
class LiveWorker:
    """settings   Cloudflare's script-and-version settings: bindings without secret values, compatibility date"""

    script: Json
    settings: Json
    crons: tuple[str, ...]
    is_routed: bool

    @property
    def tags(self) -> list[str]:
        return self.script.get("tags") or []

    @property
    def bindings(self) -> dict[str, Json]:
        return {each["name"]: each for each in self.settings.get("bindings") or []}


@dataclass(frozen=True, slots=True)
class LiveZone:
    """needed   the records that Email Routing says the zone needs"""

    zone: Zone
    records: list[Json] | Unknown
    routing: Json | Unknown
    needed: list[Json] | Unknown
    rules: list[Json] | Unknown
    catch_all: Json | Unknown

    @property
    def is_ready(self) -> bool:
        return isinstance(self.routing, dict) and self.routing.get("status") == "ready"


@dataclass(frozen=True, slots=True)
class Live:
    """None: read, and not there."""

    bucket: Json | Unknown | None
    namespace: Json | Unknown | None
    worker: LiveWorker | Unknown | None
    subdomain: str | Unknown | None  # of the account, under workers.dev
    zones: dict[str, LiveZone | Unknown]

    def unknowns(self) -> list[Unknown]:
        return [each for each in _leaves(self) if isinstance(each, Unknown)]


def _leaves(thing: object) -> Iterator[object]:
    if isinstance(thing, Live | LiveZone):
        for each in dataclasses.fields(thing):
            yield from _leaves(getattr(thing, each.name))
    elif isinstance(thing, dict) and any(isinstance(each, LiveZone | Unknown) for each in thing.values()):
        for each in thing.values():
            yield from _leaves(each)
    else:
        yield thing


async def read(cf: Cloudflare, *, script: str, bucket: str, namespace: str, zones: tuple[str, ...]) -> Live:
    """Raise TokenRefused; everything else that cannot be read is Unknown."""
    return Live(
        bucket=await _known(bucket_named(cf, bucket)),
        namespace=await _known(namespace_titled(cf, namespace)),
        worker=await _known(worker_named(cf, script)),
        subdomain=await _known(account_subdomain(cf)),
        zones={name: await _zone(cf, name) for name in zones},
    )


async def _zone(cf: Cloudflare, name: str) -> LiveZone | Unknown:
    try:
        zone = await cf.zone(name)
    except TokenRefused:
        raise
    except CloudflareError as error:
        return Unknown(error)
    return LiveZone(
        zone,
        records=await _known(records_of(cf, zone)),
        routing=await _known(cf.read("email_routing.get", zone=zone)),
        needed=await _known(needed_by(cf, zone)),
        rules=await _known(cf.read_pages("email_routing.rules.list", zone=zone)),
        catch_all=await _known(cf.read("email_routing.rules.catch_alls.get", zone=zone)),
    )


async def _known(reading: Awaitable[T]) -> T | Unknown:
    try:
        return await reading
    except TokenRefused:
        raise  # nothing more can be learnt with it
    except CloudflareError as error:
        return Unknown(error)


async def bucket_named(cf: Cloudflare, name: str) -> Json | None:
    try:
        found: Json = await cf.read("r2.buckets.get", name)
    except NotFound:
        return None
    return found


async def namespace_titled(cf: Cloudflare, title: str) -> Json | None:
    for namespace in await cf.read_pages("kv.namespaces.list"):
        if namespace["title"] == title:
            found: Json = namespace
            return found
    return None


async def worker_named(cf: Cloudflare, name: str) -> LiveWorker | None:
    script = await script_named(cf, name)
    if script is None:
        return None
    settings = await cf.read("workers.scripts.script_and_version_settings.get", name)
    route = await cf.read("workers.scripts.subdomain.get", name)
    return LiveWorker(script, settings, await crons_of(cf, name), route.get("enabled") is True)


async def script_named(cf: Cloudflare, name: str) -> Json | None:
    for script in await cf.read_pages("workers.scripts.list"):
        if script["id"] == name:
            found: Json = script
            return found
    return None


async def crons_of(cf: Cloudflare, script: str) -> tuple[str, ...]:
    found = await cf.read("workers.scripts.schedules.get", script)
    return tuple(each["cron"] for each in found.get("schedules") or [])


async def account_subdomain(cf: Cloudflare) -> str | None:
    try:
        found = await cf.read("workers.subdomains.get")
    except NotFound:
        return None
    return found.get("subdomain") or None


async def records_of(cf: Cloudflare, zone: Zone) -> list[Json]:
    return await cf.read_pages("dns.records.list", zone=zone)


async def needed_by(cf: Cloudflare, zone: Zone) -> list[Json]:
    """The records that Email Routing needs. Cloudflare answers a list, or apart what is there and what is missing."""
    found = await cf.read("email_routing.dns.get", zone=zone)
    if isinstance(found, list):
        return found
    lacking = [each["missing"] for each in found.get("errors") or [] if each.get("missing")]
    return [*(found.get("record") or []), *lacking]


def missing_permissions(live: Live) -> list[MissingPermission]:
    return [each.error for each in live.unknowns() if isinstance(each.error, MissingPermission)]
