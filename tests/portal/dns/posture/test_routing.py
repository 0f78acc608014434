"""Email Routing as Cloudflare tells it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from portal.dns.posture.checks import email_routing
from portal.dns.posture.subject import Routing, Wanted
from portal.integrations.cloudflare import Cloudflare
from tests.fakes.cloudflare import CloudflareFake
from tests.portal.dns.posture.cases import Case
from tests.portal.dns.posture.conftest import MailDomain, routed

HOME = "home.example"
CASES = {
    "ready": Case("", ("routing-ok",), {"routing": routed()}),
    "unlocked": Case("", ("routing-ok",), {"routing": routed(status="unlocked")}),
    "misconfigured": Case("", ("routing-not-ready",), {"routing": routed(status="misconfigured/locked")}),
    "off": Case("", ("routing-off",), {"routing": Routing("off")}),
    "no zone": Case("", ("routing-no-zone",), {"routing": Routing("no-zone")}),
    "not connected": Case("", ("routing-not-connected",), {"routing": Routing("not-connected")}),
    "not known": Case("", ("routing-unknown",), {"routing": Routing("unknown", detail="it is silent")}),
}


@pytest.mark.services
@pytest.mark.parametrize("name", CASES)
async def test_email_routing_is_judged(domain: MailDomain, name: str) -> None:
    case = CASES[name]
    assert [found.id for found in email_routing.check(domain.subject(**case.given)).found] == list(case.found)


@pytest.fixture
async def cloudflare(cf: CloudflareFake) -> AsyncIterator[Cloudflare]:
    async with Cloudflare(SecretStr(cf.token()), account=cf.account_id, url=cf.url, say=lambda _: None) as adapter:
        yield adapter


@pytest.mark.parametrize("tells_missing", [False, True])
async def test_what_email_routing_needs_is_read_in_both_of_cloudflares_forms(
    cf: CloudflareFake, cloudflare: Cloudflare, tells_missing: bool
) -> None:
    held = cf.state.zones[HOME].routing
    held.tells_missing, held.enabled = tells_missing, True
    routing = await email_routing.fetch(cloudflare, await cloudflare.zone(HOME))
    assert routing.state == "on"
    assert routing.mx_hosts == {f"route{number}.mx.cloudflare.net" for number in (1, 2, 3)}
    assert Wanted((), (), None).with_needed(routing.needed).spf == ("include:_spf.mx.cloudflare.net",)


async def test_while_it_is_off_nothing_is_needed_for_it(cloudflare: Cloudflare) -> None:
    assert await email_routing.fetch(cloudflare, await cloudflare.zone(HOME)) == Routing("off")


async def test_an_outage_of_cloudflare_is_told_and_not_raised(cf: CloudflareFake, cloudflare: Cloudflare) -> None:
    zone = await cloudflare.zone(HOME)
    cf.fail("GET", ".*", times=20)
    routing = await email_routing.read(cloudflare, zone)
    assert routing.state == "unknown"
    assert routing.detail
