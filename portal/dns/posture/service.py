"""The posture of mail domains: checked daily and when asked, explained, and mended by a plan.

    posture = Posture.of(cloudflare, room, clock, settings)
    posture.watch(mail_domains.names)          # beside the setting's own domains
    view = await posture.check("example.com")

What was found is kept in memory with its time, and is stale after two days. A check asks the configured resolvers and
Cloudflare, and nobody else but the domain's own MTA-STS host.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from kit.clock import Clock, now_utc
from kit.logging import get_logger
from kit.problem import Problem
from portal.actor import Actor
from portal.dns.posture import fixes, propagation
from portal.dns.posture.checks import email_routing
from portal.dns.posture.checks.run import run
from portal.dns.posture.findings import Found, Result, worst
from portal.dns.posture.look import Look
from portal.dns.posture.policy_file import PolicyFile
from portal.dns.posture.probes import PostureProbe
from portal.dns.posture.problems import FindingNotFixable, UnknownMailDomain
from portal.dns.posture.resolving import Resolvers
from portal.dns.posture.schemas import DomainPosture, PostureOverview, Verdict
from portal.dns.posture.subject import Routing, Subject, Wanted
from portal.dns.records.names import unicode_name
from portal.dns.records.values import is_locked
from portal.dns.schemas import Connection, DnsPlan, Propagation
from portal.dns.service import DnsRoom
from portal.dns.zones import ZoneState
from portal.integrations.cloudflare import Cloudflare
from portal.integrations.cloudflare_problems import translated
from portal.integrations.records import Json
from portal.probes import Probe
from portal.scheduler import Job
from portal.settings import PortalSettings

log = get_logger()

EVERY_S = 86_400.0
STALE_AFTER = timedelta(hours=48)
AT_ONCE = 4  # domains that the daily job checks together

Names = Callable[[], Awaitable[Sequence[str]]]


@dataclass(frozen=True, slots=True)
class _Kept:
    checked_at: datetime
    view: DomainPosture
    alarm: Verdict


class Posture:
    def __init__(
        self,
        cf: Cloudflare | None,
        room: DnsRoom,
        clock: Clock,
        *,
        domains: Sequence[str],
        wanted: Wanted,
        resolvers: Resolvers,
        file: PolicyFile,
    ) -> None:
        self._cf, self._room, self._clock = cf, room, clock
        self._domains = tuple(domains)
        self._wanted, self._resolvers, self._file = wanted, resolvers, file
        self._names: Names | None = None
        self._kept: dict[str, _Kept] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    @classmethod
    def of(cls, cf: Cloudflare | None, room: DnsRoom, clock: Clock, settings: PortalSettings) -> Posture:
        return cls(
            cf,
            room,
            clock,
            domains=settings.edge_zones,
            wanted=Wanted.of(settings),
            resolvers=Resolvers(settings.dns_resolvers),
            file=PolicyFile(),
        )

    def watch(self, names: Names) -> None:
        """Check these domains too: those that were added."""
        self._names = names

    def begin(self) -> None:
        """Nothing to take up again: nothing is remembered over a restart."""

    async def close(self) -> None:
        """Nothing is left open: a check ends with whoever asked for it."""

    @property
    def probes(self) -> list[Probe]:
        return [PostureProbe(self._alarms, self._clock)]

    @property
    def jobs(self) -> list[Job]:
        return [Job("dns-posture", every_s=EVERY_S, work=self._check_all, timeout_s=3600, is_at_start=True)]

    async def overview(self) -> PostureOverview:
        return PostureOverview(
            connection=Connection.model_validate(self._room.zones.connection.view()),
            resolvers=list(self._resolvers.names),
            domains=[await self._shown(domain) for domain in await self._mail_domains()],
        )

    async def domain(self, domain: str) -> DomainPosture:
        """Raise UnknownMailDomain."""
        await self._zone_of_known(domain)
        return await self._shown(domain)

    async def check(self, domain: str) -> DomainPosture:
        """Check a domain now; who asks for the same meanwhile gets the same. Raise UnknownMailDomain."""
        await self._zone_of_known(domain)
        asked_at = now_utc(self._clock)
        async with self._locks.setdefault(domain, asyncio.Lock()):
            kept = self._kept.get(domain)
            if kept is None or kept.checked_at <= asked_at:
                self._kept[domain] = await self._checked(domain)
        return await self._shown(domain)

    async def plan_fix(self, actor: Actor, domain: str, findings: Sequence[str]) -> DnsPlan:
        """Plan what mends findings, by their ids. Raise UnknownMailDomain, FindingNotFixable, Cloudflare's problems."""
        zone = await self._zone_of_known(domain)
        asked = [(code, subject) for code, _, subject in (each.partition(":") for each in findings)]
        hopeless = [each for each in findings if not fixes.is_fixable(each.partition(":")[0])]
        if hopeless or zone is None or self._cf is None:
            raise FindingNotFixable(findings=hopeless or list(findings))
        async with translated():
            routing = await email_routing.fetch(self._cf, zone.zone)
        state = await self._room.zones.read(zone.zone.name)
        mending = self._mending(domain, routing, state)
        return await self._room.plan_wish(actor, zone.zone.name, fixes.mended(mending, asked))

    async def propagation(self, zone: str, record: Json, same: Sequence[Json]) -> Propagation:
        """What each resolver says of a record. same: the zone's records of its name and type, itself included."""
        return await propagation.ask(self._resolvers, self._clock, zone, record, same)

    # -- checking ------------------------------------------------------------------------------------------------------

    async def _checked(self, domain: str) -> _Kept:
        zone = await self._zone_of(domain)
        routing = await email_routing.read(self._cf, zone.zone if zone else None)
        wanted = self._wanted.with_needed(routing.needed)
        look = Look(self._resolvers)
        try:
            results = await run(Subject(domain, look, wanted, routing, self._file, _has_locked_spf(domain, zone)))
        finally:
            await look.close()
        return self._kept_of(domain, zone, routing, results)

    def _kept_of(self, domain: str, zone: ZoneState | None, routing: Routing, results: list[Result]) -> _Kept:
        def can_fix(found: Found) -> bool:
            """Whether the plan of a fix would change something, and may."""
            if zone is None:
                return False
            wish = fixes.mended(self._mending(domain, routing, zone), [(found.code, found.subject)])
            return bool(wish) and not any(is_locked(zone.records[key]) for key in wish if key in zone.records)

        now = now_utc(self._clock)
        view = DomainPosture(
            domain=domain,
            unicode_domain=unicode_name(domain),
            zone=zone.zone.name if zone else None,
            verdict=worst(result.verdict for result in results),
            checked_at=now,
            is_stale=False,
            spf_lookups=next((result.lookups for result in results if result.check == "spf"), None),
            checks=[result.view(can_fix) for result in results],
        )
        return _Kept(now, view, worst(result.alarm for result in results))

    def _mending(self, domain: str, routing: Routing, zone: ZoneState) -> fixes.Mending:
        wanted = self._wanted.with_needed(routing.needed)
        return fixes.Mending(domain, wanted, routing, zone.records)

    async def _check_all(self) -> None:
        at_once = asyncio.Semaphore(AT_ONCE)

        async def check(domain: str) -> None:
            async with at_once:
                try:
                    await self.check(domain)
                except UnknownMailDomain:  # removed since the list was made; the others are checked all the same
                    return

        domains = await self._mail_domains()
        for name in self._kept.keys() - set(domains):
            del self._kept[name]
        failures = await asyncio.gather(*(check(domain) for domain in domains), return_exceptions=True)
        for domain, failure in zip(domains, failures, strict=True):
            if failure is not None:  # told for each, since a job can raise only one
                log.error("dns_posture_not_checked", domain=domain, exc_info=failure)
        defect = next((each for each in failures if each is not None and not isinstance(each, Problem)), None)
        if defect is not None:
            raise defect

    # -- what is known -------------------------------------------------------------------------------------------------

    async def _mail_domains(self) -> list[str]:
        added = await self._names() if self._names is not None else ()
        return sorted({*self._domains, *added})

    async def _zone_of_known(self, domain: str) -> ZoneState | None:
        """The zone of a domain that may be checked: a mail domain, or a zone. Raise UnknownMailDomain."""
        zone = await self._zone_of(domain)
        if domain not in await self._mail_domains() and (zone is None or zone.zone.name != domain):
            raise UnknownMailDomain(f"{domain} is no mail domain, and no zone of the account")
        return zone

    async def _zone_of(self, domain: str) -> ZoneState | None:
        """The zone that holds a domain's records, as last known; None when the account has none."""
        if self._cf is None:
            return None
        zones = [each for each in await self._room.zones.all() if f".{domain}".endswith(f".{each.zone.name}")]
        return max(zones, key=lambda each: len(each.zone.name), default=None)

    async def _shown(self, domain: str) -> DomainPosture:
        kept = self._kept.get(domain)
        if kept is not None:
            return kept.view.model_copy(update={"is_stale": self._is_stale(kept)})
        zone = await self._zone_of(domain)
        return DomainPosture(
            domain=domain,
            unicode_domain=unicode_name(domain),
            zone=zone.zone.name if zone else None,
            verdict="unknown",
            checked_at=None,
            is_stale=True,
            spf_lookups=None,
            checks=[],
        )

    def _is_stale(self, kept: _Kept) -> bool:
        return now_utc(self._clock) - kept.checked_at > STALE_AFTER

    async def _alarms(self) -> Mapping[str, Verdict]:
        """Mail domain -> what to raise an alarm for; unknown when it was not checked, or too long ago."""
        kept = {domain: self._kept.get(domain) for domain in await self._mail_domains()}
        return {
            domain: "unknown" if each is None or self._is_stale(each) else each.alarm for domain, each in kept.items()
        }


def _has_locked_spf(domain: str, zone: ZoneState | None) -> bool:
    return zone is not None and any(
        is_locked(record) and fixes.is_spf_of(record, domain) for record in zone.records.values()
    )
