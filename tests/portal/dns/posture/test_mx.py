"""MX records, good and bad, on a real name server."""

from __future__ import annotations

import pytest

from portal.dns.posture.checks import mx
from portal.dns.posture.look import NoAnswer
from tests.portal.dns.posture.cases import Case
from tests.portal.dns.posture.conftest import MailDomain, routed

pytestmark = pytest.mark.services

ROUTED = {"routing": routed()}
BOTH = "@ MX 0 mx1.route.example.\n@ MX 10 mx2.route.example."
CASES = {
    "all of Email Routing": Case(BOTH, ("mx-ok",), ROUTED),
    "in capitals": Case(BOTH.upper(), ("mx-ok",), ROUTED),
    "one is missing": Case("@ MX 0 mx1.route.example.", ("mx-incomplete",), ROUTED),
    "one more": Case(f"{BOTH}\n@ MX 5 mail\nmail A 192.0.2.1", ("mx-foreign",), ROUTED),
    "elsewhere": Case("@ MX 5 mail\nmail A 192.0.2.1", ("mx-foreign", "mx-incomplete"), ROUTED),
    "none": Case("@ A 192.0.2.1", ("mx-missing",), ROUTED),
    "null MX": Case("@ MX 0 .", ("mx-null",), ROUTED),
    "a server of its own": Case("@ MX 0 mail\nmail A 192.0.2.1", ("mx-ok",)),
    "a server with IPv6 alone": Case("@ MX 0 mail\nmail AAAA 2001:db8::1", ("mx-ok",)),
    "an address for a name": Case("@ MX 0 192.0.2.1.", ("mx-address:192.0.2.1",)),
    "an alias": Case("@ MX 0 mail\nmail CNAME real\nreal A 192.0.2.1", ("mx-alias:mail.{d}",)),
    "a server without address": Case('@ MX 0 mail\nmail TXT "nothing"', ("mx-dead-host:mail.{d}",)),
    "a server that is no name": Case("@ MX 0 mail", ("mx-dead-host:mail.{d}",)),
}


@pytest.mark.parametrize("name", CASES)
async def test_mx_is_judged(domain: MailDomain, name: str) -> None:
    case = CASES[name]
    found = await domain.codes(mx.check, case.records, **case.given)
    assert found == [each.replace("{d}", domain.name) for each in case.found]


async def test_a_domain_that_does_not_exist_is_said_so(domain: MailDomain) -> None:
    domain.serve("@ A 192.0.2.1")
    domain.name = f"nobody.{domain.name}"
    result = await mx.check(domain.subject())
    assert [found.id for found in result.found] == ["domain-missing"]


async def test_a_mail_server_of_which_nothing_is_known_is_not_called_dead(domain: MailDomain) -> None:
    domain.serve("@ MX 0 mail.refused.example.")
    with pytest.raises(NoAnswer):
        await mx.check(domain.subject())
