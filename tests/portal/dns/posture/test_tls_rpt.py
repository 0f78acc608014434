"""TLS-RPT records, good and bad, on a real name server."""

from __future__ import annotations

import pytest

from portal.dns.posture.checks import tls_rpt
from portal.dns.posture.subject import Wanted
from tests.portal.dns.posture.cases import Case
from tests.portal.dns.posture.conftest import MailDomain

pytestmark = pytest.mark.services

AT = "_smtp._tls TXT"
GOOD = f'{AT} "v=TLSRPTv1; rua=mailto:tls@example.net"'
CASES = {
    "good": Case(GOOD, ("tls-rpt-ok",)),
    "to a web address": Case(f'{AT} "v=TLSRPTv1; rua=https://example.net/tls"', ("tls-rpt-ok",)),
    "none": Case("@ A 192.0.2.1", ("tls-rpt-missing",), {"wanted": Wanted((), (), "tls@example.net")}),
    "none, and no address for it": Case("@ A 192.0.2.1", ("tls-rpt-no-address",)),
    "two": Case(f'{GOOD}\n{AT} "v=TLSRPTv1; rua=mailto:b@example.net"', ("tls-rpt-multiple",)),
    "without address": Case(f'{AT} "v=TLSRPTv1;"', ("tls-rpt-syntax",)),
}


@pytest.mark.parametrize("name", CASES)
async def test_tls_rpt_is_judged(domain: MailDomain, name: str) -> None:
    case = CASES[name]
    assert await domain.codes(tls_rpt.check, case.records, **case.given) == list(case.found)
