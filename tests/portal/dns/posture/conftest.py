"""A mail domain on a real name server, and what is found of it."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import pytest

from portal.dns.posture.findings import Result
from portal.dns.posture.look import Look
from portal.dns.posture.policy_file import PolicyFile
from portal.dns.posture.resolving import Resolvers
from portal.dns.posture.subject import DkimKey, Routing, Subject, Wanted
from portal.integrations.records import Json
from tests.services.nsd import Nsd

NOTHING = Wanted(spf=(), dkim=(), rua=None)
UNROUTED = Routing("not-connected")
_numbers = itertools.count(1)


@dataclass
class MailDomain:
    """A zone of its own, named anew for each test; `serve` takes lines of a zone file."""

    nsd: Nsd
    resolvers: Resolvers
    name: str = field(default_factory=lambda: f"d{next(_numbers)}.example")
    looks: list[Look] = field(default_factory=list)

    def serve(self, records: str) -> None:
        self.nsd.serve(self.name, records)

    def subject(
        self,
        wanted: Wanted = NOTHING,
        routing: Routing = UNROUTED,
        file: PolicyFile | None = None,
        *,
        locked: bool = False,
    ) -> Subject:
        look = Look(self.resolvers)
        self.looks.append(look)
        return Subject(self.name, look, wanted, routing, file or PolicyFile(), locked)

    async def codes(self, check: Callable[[Subject], Awaitable[Result]], records: str, **subject: object) -> list[str]:
        """Serve these records and return the ids of what a check finds."""
        self.serve(records)
        result = await check(self.subject(**subject))  # type: ignore[arg-type]
        return [found.id for found in result.found]


@pytest.fixture
async def domain(nsd: Nsd) -> AsyncIterator[MailDomain]:
    made = MailDomain(nsd, Resolvers([nsd.resolver]))
    yield made
    for look in made.looks:
        await look.close()


def routed(hosts: Sequence[str] = ("mx1.route.example", "mx2.route.example"), *, status: str = "ready") -> Routing:
    """Email Routing that needs these mail servers, and an SPF include."""
    needed: list[Json] = [
        {"type": "MX", "name": "@", "content": name, "priority": number} for number, name in enumerate(hosts)
    ]
    needed.append({"type": "TXT", "name": "@", "content": '"v=spf1 include:spf.route.example ~all"'})
    return Routing("on", status, tuple(needed))


def key(target: str, selector: str = "s1") -> Wanted:
    return Wanted(spf=(), dkim=(DkimKey(selector, target),), rua=None)
