"""Mail domains on Cloudflare's fake, and a real name server that serves what the fake holds."""

from __future__ import annotations

import asyncio
import math
import time

import pytest

from portal.dns.posture import resolving
from portal.dns.posture.policy_file import PolicyFile
from portal.dns.posture.problems import FindingNotFixable, UnknownMailDomain
from portal.dns.posture.propagation import written
from portal.dns.posture.resolving import Resolvers
from portal.dns.posture.schemas import DomainPosture, FindingView
from portal.dns.posture.service import STALE_AFTER, Posture
from portal.dns.posture.subject import DkimKey, Wanted
from portal.dns.schemas import DnsPlan
from portal.probes import Reading, Status
from tests.clock import FakeClock
from tests.fakes.cloudflare.email_routing import required_records
from tests.portal.dns.conftest import ANNA, HOME, TWO, Room, create, records_at, remove
from tests.portal.dns.posture.test_resolving import scripted, silent
from tests.services.nsd import Nsd

pytestmark = pytest.mark.services

KEY = f"v=DKIM1; k=ed25519; p={'A' * 43}="
SENDER = f'@ TXT "v=spf1 ip4:192.0.2.0/24 -all"\ns1 TXT "{KEY}"'
WANTED = Wanted(("include:sender.example",), (DkimKey("s1", "s1.sender.example"),), f"reports@{HOME}")


class MailHome:
    """HOME as a mail domain: the room, its posture, and a name server that is told what Cloudflare holds."""

    def __init__(self, room: Room, nsd: Nsd) -> None:
        self.room, self.nsd = room, nsd
        self.clock = FakeClock(time.time())
        self.posture = Posture(
            room.cloudflare,
            room.service,
            self.clock,
            domains=[HOME],
            wanted=WANTED,
            resolvers=Resolvers([nsd.resolver]),
            file=PolicyFile(),
        )

    def publish(self) -> None:
        """Let the world see what Cloudflare holds."""
        types = ("A", "MX", "TXT", "CNAME")
        held = [record for record in records_at(self.room.cf, HOME) if record["type"] in types]
        self.nsd.serve(HOME, "\n".join(f"{each['name']}. {each['type']} {written(each)}" for each in held))

    async def check(self) -> dict[str, FindingView]:
        """Check it as the world sees it now; return what is found, by id."""
        self.publish()
        await self.room.service.zones.read(HOME)
        return findings(await self.posture.check(HOME))

    async def fix(self, *ids: str) -> DnsPlan:
        plan = await self.posture.plan_fix(ANNA, HOME, ids)
        if plan.changes:
            await self.room.done(plan)
        return plan

    async def probe(self) -> Reading:
        return await self.posture.probes[0].measure()


def findings(view: DomainPosture) -> dict[str, FindingView]:
    return {finding.id: finding for check in view.checks for finding in check.findings}


def bad(found: dict[str, FindingView]) -> set[str]:
    return {name for name, finding in found.items() if finding.verdict != "ok"}


@pytest.fixture
def home(room: Room, nsd: Nsd) -> MailHome:
    nsd.serve("sender.example", SENDER)
    nsd.serve("mx.cloudflare.net", '_spf TXT "v=spf1 ip4:192.0.2.0/24 -all"')
    return MailHome(room, nsd)


async def test_an_empty_domain_is_mended_by_plans_until_only_email_routing_is_missing(home: MailHome) -> None:
    found = await home.check()
    assert bad(found) == {
        *("routing-off", "mx-missing", "spf-missing", "dkim-missing:s1", "dmarc-missing"),
        *("mta-sts-missing", "tls-rpt-missing"),
    }
    fixable = {name for name, finding in found.items() if finding.is_fixable}
    assert fixable == {"spf-missing", "dkim-missing:s1", "dmarc-missing", "tls-rpt-missing"}
    plan = await home.fix(*fixable)
    assert {change.act for change in plan.changes} == {"create"}
    assert bad(await home.check()) == {"routing-off", "mx-missing", "mta-sts-missing"}
    assert (await home.fix(*fixable)).changes == []


async def test_what_email_routing_needs_is_added_once_it_is_on(home: MailHome) -> None:
    routing = home.room.cf.state.zones[HOME].routing
    routing.enabled = True
    assert not (await home.check())["mx-missing"].is_fixable  # locked, Cloudflare refuses to have them changed
    routing.records_locked = False
    assert (await home.check())["mx-missing"].is_fixable
    await home.fix("mx-missing", "spf-missing")
    found = await home.check()
    assert {"mx-ok", "spf-ok"} <= set(found)
    await home.room.done(await home.room.plan(remove((await home.room.keys())[f"MX {HOME}"])))
    assert (await home.check())["mx-incomplete"].is_fixable


async def test_a_weak_domain_is_mended_and_what_it_said_stays(home: MailHome) -> None:
    cf = home.room.cf
    cf.edit(HOME, type="TXT", name=HOME, content='"v=spf1 ip4:192.0.2.1 ?all"', comment="by hand")
    cf.edit(HOME, type="TXT", name=f"_dmarc.{HOME}", content=f'"v=DMARC1; p=none; fo=1; rua=mailto:reports@{HOME}"')
    found = await home.check()
    assert {"spf-lacks", "spf-all-neutral", "dmarc-none"} <= bad(found)
    plan = await home.fix("spf-lacks", "spf-all-neutral", "dmarc-none")
    assert sorted((change.name, change.act) for change in plan.changes) == [
        (f"TXT _dmarc.{HOME}", "change"),
        (f"TXT {HOME}", "change"),
    ]
    held = {record["name"]: record for record in records_at(cf, HOME)}
    assert held[HOME]["content"] == '"v=spf1 ip4:192.0.2.1 include:sender.example ~all"'
    assert held[HOME]["comment"] == "by hand"
    assert held[f"_dmarc.{HOME}"]["content"] == f'"v=DMARC1; p=quarantine; fo=1; rua=mailto:reports@{HOME}"'


async def test_a_fix_is_made_of_what_cloudflare_holds_now(home: MailHome) -> None:
    """Two SPF records appeared since the check: they are joined with what was missing, not added to."""
    await home.check()
    await home.room.done(await home.room.plan(create("TXT", HOME, '"v=spf1 a -all"')))
    await home.fix("spf-missing")
    assert [each["content"] for each in records_at(home.room.cf, HOME)] == ['"v=spf1 a include:sender.example -all"']


async def test_what_email_routing_keeps_locked_is_not_offered(home: MailHome) -> None:
    zone = home.room.cf.state.zones[HOME]
    zone.records.extend(required_records(zone))
    zone.routing.enabled = zone.routing.records_locked = True
    found = await home.check()
    assert "spf-lacks-locked" in found
    assert not found["spf-lacks-locked"].is_fixable
    assert found["routing-ok"].verdict == found["mx-ok"].verdict == "ok"


async def test_what_no_plan_can_mend_is_said_so(home: MailHome) -> None:
    await home.check()
    for ids in (["mta-sts-missing"], ["routing-off", "spf-missing"], ["no-such-thing"]):
        with pytest.raises(FindingNotFixable):
            await home.posture.plan_fix(ANNA, HOME, ids)


async def test_only_mail_domains_and_zones_of_the_account_are_checked(home: MailHome) -> None:
    for call in (home.posture.check, home.posture.domain):
        with pytest.raises(UnknownMailDomain):
            await call("somebody-else.example")
        with pytest.raises(UnknownMailDomain):
            await call(f"sub.{TWO}")
    assert (await home.posture.domain(TWO)).zone == TWO


async def test_domains_that_were_added_are_shown_beside_those_of_the_settings(home: MailHome) -> None:
    async def names() -> list[str]:
        return ["xn--eckwd4c7c.example", HOME]

    home.posture.watch(names)
    overview = await home.posture.overview()
    assert [each.domain for each in overview.domains] == [HOME, "xn--eckwd4c7c.example"]
    assert [each.unicode_domain for each in overview.domains] == [HOME, "ドメイン.example"]
    assert all(each.checked_at is None and each.is_stale and each.verdict == "unknown" for each in overview.domains)
    assert overview.resolvers == [home.nsd.resolver]


async def test_a_domain_of_another_account_is_checked_as_the_world_sees_it(home: MailHome) -> None:
    async def names() -> list[str]:
        return ["elsewhere.example"]

    home.posture.watch(names)
    home.nsd.serve("elsewhere.example", '@ MX 0 mail\nmail A 192.0.2.1\n@ TXT "v=spf1 +all"')
    view = await home.posture.check("elsewhere.example")
    found = findings(view)
    assert view.zone is None
    assert {"routing-no-zone", "spf-all-pass"} <= set(found)
    assert not any(finding.is_fixable for finding in found.values())
    with pytest.raises(FindingNotFixable):
        await home.posture.plan_fix(ANNA, "elsewhere.example", ["spf-all-pass"])


async def test_an_outage_of_cloudflare_leaves_what_the_dns_says(home: MailHome) -> None:
    await home.check()
    home.room.cf.fail("*", ".*", 500, times=math.inf)
    view = await home.posture.check(HOME)
    by_check = {check.check: check.verdict for check in view.checks}
    assert by_check["email-routing"] == "unknown"
    assert by_check["spf"] == by_check["dmarc"] == "error"
    assert view.zone == HOME


async def test_a_permission_that_is_missing_is_named(home: MailHome) -> None:
    await home.check()
    home.room.cf.fail("*", "email/routing", 403, times=math.inf, code=10000, message="Authentication error")
    found = findings(await home.posture.check(HOME))
    assert "lacks the permission Zone Settings Read for zone home.example" in found["routing-unknown"].text


async def test_what_was_found_grows_old(home: MailHome) -> None:
    await home.check()
    assert not (await home.posture.domain(HOME)).is_stale
    home.clock.advance(STALE_AFTER.total_seconds() + 1)
    shown = await home.posture.domain(HOME)
    assert shown.is_stale
    assert shown.checks
    assert (await home.probe()).status is Status.UNKNOWN


async def test_who_asks_at_the_same_time_gets_the_same_check(home: MailHome, monkeypatch: pytest.MonkeyPatch) -> None:
    home.publish()
    asked: list[str] = []
    ask = Resolvers.ask

    async def counted(self: Resolvers, name: str, rdtype: str) -> resolving.Answer:
        asked.append(f"{name} {rdtype}")
        home.clock.advance(0.001)
        return await ask(self, name, rdtype)

    monkeypatch.setattr(Resolvers, "ask", counted)
    await asyncio.gather(*(home.posture.check(HOME) for _ in range(5)))
    assert asked.count(f"_dmarc.{HOME} TXT") == 1


async def test_the_daily_job_checks_every_domain_and_forgets_those_that_are_gone(home: MailHome) -> None:
    async def names() -> list[str]:
        return [TWO] if not home.room.cf.state.zones[HOME].records else []

    home.posture.watch(names)
    home.publish()
    home.nsd.serve(TWO, "@ A 192.0.2.1")
    [job] = home.posture.jobs
    await job.work()
    assert all(each.checked_at for each in (await home.posture.overview()).domains)
    home.room.cf.edit(HOME, type="A", name=HOME, content="192.0.2.1")
    await job.work()
    assert (await home.posture.domain(TWO)).checked_at is None


async def test_domain_that_was_removed_meanwhile_does_not_end_the_daily_job(home: MailHome) -> None:
    lists = [["gone.example"]]

    async def names() -> list[str]:
        return lists.pop() if lists else []

    home.posture.watch(names)
    home.publish()
    [job] = home.posture.jobs
    await job.work()
    assert (await home.posture.domain(HOME)).checked_at is not None


async def test_the_dashboard_hears_of_trouble_and_not_of_what_one_can_do_without(home: MailHome) -> None:
    assert (await home.probe()).status is Status.UNKNOWN
    await home.check()
    reading = await home.probe()
    assert (reading.status, reading.value, reading.detail) == (Status.CRITICAL, 1, f"broken: {HOME}")
    home.room.cf.state.zones[HOME].routing.enabled = True
    home.room.cf.state.zones[HOME].routing.records_locked = False
    await home.fix("mx-missing", "spf-missing", "dkim-missing:s1", "dmarc-missing")
    found = await home.check()
    assert bad(found) == {"mta-sts-missing", "tls-rpt-missing"}
    assert (await home.probe()).status is Status.OK


async def test_when_no_resolver_answers_nothing_is_called_good_or_bad(
    home: MailHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolving, "TIMEOUT_S", 0.1)
    with scripted(silent) as dead:
        home.posture._resolvers = Resolvers([dead])
        view = await home.posture.check(HOME)
    assert {check.verdict for check in view.checks if check.check != "email-routing"} == {"unknown"}
    assert not any(finding.is_fixable for finding in findings(view).values())


async def test_without_an_account_the_dns_is_checked_all_the_same(home: MailHome) -> None:
    home.publish()
    home.posture._cf = None
    found = findings(await home.posture.check(HOME))
    assert {"routing-not-connected", "spf-missing"} <= set(found)
    assert not any(finding.is_fixable for finding in found.values())
