"""Email Routing as Cloudflare tells it: on, and with the records it needs."""

from __future__ import annotations

import asyncio

from portal.dns.posture.findings import Found, Result, found
from portal.dns.posture.subject import Routing, Subject
from portal.integrations.cloudflare import Cloudflare, CloudflareError, NotFound, Zone
from portal.integrations.records import Json

LIMIT_S = 15.0  # it waits longer than that when Cloudflare limits the rate, and somebody waits here
READY = frozenset({"ready", "unlocked"})  # unlocked: complete, and its records may be edited


async def read(cf: Cloudflare | None, zone: Zone | None) -> Routing:
    """As `fetch`, within LIMIT_S. Raises nothing that Cloudflare does: a posture is checked during its outage too."""
    if cf is None:
        return Routing("not-connected")
    if zone is None:
        return Routing("no-zone")
    try:
        async with asyncio.timeout(LIMIT_S):
            return await fetch(cf, zone)
    except CloudflareError as error:
        return Routing("unknown", detail=str(error))
    except TimeoutError:
        return Routing("unknown", detail=f"no answer within {LIMIT_S:g} s")


async def fetch(cf: Cloudflare, zone: Zone) -> Routing:
    """Ask Cloudflare. Raise CloudflareError."""
    try:
        settings, needed = await asyncio.gather(cf.read("email_routing.get", zone=zone), _needed(cf, zone))
    except NotFound:
        return Routing("off")
    if not settings.get("enabled"):
        return Routing("off")
    return Routing("on", str(settings.get("status") or ""), tuple(needed))


def check(subject: Subject) -> Result:
    return Result("email-routing", (_found(subject),))


def _found(subject: Subject) -> Found:
    routing = subject.routing
    if routing.state == "on":
        is_ready = routing.status in READY
        return (
            found("routing-ok")
            if is_ready
            else found("routing-not-ready", domain=subject.domain, status=routing.status)
        )
    if routing.state == "unknown":
        return found("routing-unknown", detail=routing.detail)
    return found(f"routing-{routing.state}", domain=subject.domain)


async def _needed(cf: Cloudflare, zone: Zone) -> list[Json]:
    """Cloudflare answers a list, or apart what is there and what is missing."""
    answer = await cf.read("email_routing.dns.get", zone=zone)
    if isinstance(answer, list):
        return answer
    lacking = [each["missing"] for each in answer.get("errors") or [] if each.get("missing")]
    return [*(answer.get("record") or []), *lacking]
