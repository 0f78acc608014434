"""A defect in one check or one domain: the others end first, and it is told."""

from __future__ import annotations

import asyncio
import time

import pytest
import structlog

from portal.dns.posture.checks.run import run
from portal.dns.posture.policy_file import PolicyFile
from portal.dns.posture.resolving import Answer, Resolvers
from portal.dns.posture.service import Posture
from portal.dns.posture.subject import Wanted
from tests.clock import FakeClock
from tests.portal.dns.conftest import HOME, TWO, Room
from tests.portal.dns.posture.conftest import MailDomain
from tests.services.nsd import Nsd

pytestmark = pytest.mark.services

BROKEN = "broken.example"


class _Defective(Resolvers):
    """Fails in a way that nobody expects, for names that end so."""

    end = BROKEN

    async def ask(self, name: str, rdtype: str) -> Answer:
        if name.endswith(self.end):
            raise LookupError("a defect")
        return await super().ask(name, rdtype)


async def test_defect_in_one_check_leaves_no_other_at_work(domain: MailDomain) -> None:
    domain.serve("@ A 192.0.2.1")
    domain.resolvers = defective = _Defective([domain.nsd.resolver])
    defective.end = f"_dmarc.{domain.name}"
    with pytest.raises(LookupError):
        await run(domain.subject())
    assert [task for task in asyncio.all_tasks() if getattr(task.get_coro(), "__name__", "") == "_known"] == []


async def test_defect_in_one_domain_keeps_the_daily_job_from_no_other_and_is_raised_after_them(
    room: Room, nsd: Nsd
) -> None:
    async def names() -> list[str]:
        return [BROKEN, TWO]

    for zone in (HOME, TWO):
        nsd.serve(zone, "@ A 192.0.2.1")
    posture = Posture(
        room.cloudflare,
        room.service,
        FakeClock(time.time()),
        domains=[HOME],
        wanted=Wanted((), (), None),
        resolvers=_Defective([nsd.resolver]),
        file=PolicyFile(),
    )
    posture.watch(names)
    [job] = posture.jobs
    with structlog.testing.capture_logs() as logs, pytest.raises(LookupError):
        await job.work()
    assert [each["domain"] for each in logs if each["event"] == "dns_posture_not_checked"] == [BROKEN]
    checked = {each.domain: each.checked_at is not None for each in (await posture.overview()).domains}
    assert checked == {BROKEN: False, HOME: True, TWO: True}
