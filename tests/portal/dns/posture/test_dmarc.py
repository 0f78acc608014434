"""DMARC records, good and bad, on a real name server."""

from __future__ import annotations

import pytest

from portal.dns.posture.checks import dmarc
from portal.dns.posture.subject import Wanted
from tests.portal.dns.posture.cases import Case
from tests.portal.dns.posture.conftest import MailDomain
from tests.portal.dns.posture.watching import places_spoken_to

pytestmark = pytest.mark.services

RUA = {"wanted": Wanted((), (), "reports@example.net")}
OURS = "rua=mailto:reports@{d}"


def _record(tags: str) -> str:
    return f'_dmarc TXT "v=DMARC1; {tags}"'


CASES = {
    "quarantine": Case(_record(f"p=quarantine; {OURS}"), ("dmarc-ok",)),
    "reject, with more": Case(_record(f"p=reject; sp=quarantine; adkim=s; fo=1; pct=100; {OURS}"), ("dmarc-ok",)),
    "by an alias": Case(f'_dmarc CNAME policy\npolicy TXT "v=DMARC1; p=reject; {OURS}"', ("dmarc-ok",)),
    "reports to a subdomain": Case(_record("p=reject; rua=mailto:a@reports.{d}"), ("dmarc-ok",)),
    "none at all": Case('_dmarc TXT "something else"', ("dmarc-missing",)),
    "two": Case(f"{_record('p=reject')}\n{_record('p=none')}", ("dmarc-multiple",)),
    "a policy that is none": Case(_record(f"p=perhaps; {OURS}"), ("dmarc-syntax",)),
    "the same tag twice": Case(_record(f"p=reject; p=none; {OURS}"), ("dmarc-syntax",)),
    "p=none": Case(_record(f"p=none; {OURS}"), ("dmarc-none",)),
    "no policy": Case(_record(OURS), ("dmarc-none",)),
    "sp=none": Case(_record(f"p=reject; sp=none; {OURS}"), ("dmarc-subdomains-none",)),
    "a part": Case(_record(f"p=reject; pct=20; {OURS}"), ("dmarc-partial",)),
    "a test": Case(_record(f"p=reject; t=y; {OURS}"), ("dmarc-testing",)),
    "no reports": Case(_record("p=reject"), ("dmarc-no-reports",), RUA),
    "no reports and no address for them": Case(_record("p=reject"), ("dmarc-no-address",)),
    "an address that is none": Case(_record("p=reject; rua=reports@{d}"), ("dmarc-reports-syntax:reports@{d}",)),
    "reports to a stranger": Case(_record("p=reject; rua=mailto:a@there-{d}"), ("dmarc-reports-refused:there-{d}",)),
    "reports to a friend": Case(_record("p=reject; rua=mailto:a@friend-{d}!10m"), ("dmarc-ok",)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
async def test_dmarc_is_judged(domain: MailDomain, name: str) -> None:
    case = CASES[name]
    if "there-{d}" in case.records:
        domain.nsd.serve(f"there-{domain.name}", "@ A 192.0.2.1")
    if "friend-{d}" in case.records:
        domain.nsd.serve(f"friend-{domain.name}", '*._report._dmarc TXT "v=DMARC1"')
    found = await domain.codes(dmarc.check, case.records.replace("{d}", domain.name), **case.given)
    assert found == [each.replace("{d}", domain.name) for each in case.found]


async def test_a_subdomain_has_the_policy_of_its_organisation(domain: MailDomain) -> None:
    domain.serve(f'_dmarc TXT "v=DMARC1; p=reject; sp=none; rua=mailto:a@{domain.name}"\nmail A 192.0.2.1')
    domain.name = f"mail.{domain.name}"
    assert [found.code for found in (await dmarc.check(domain.subject())).found] == ["dmarc-none"]


async def test_a_public_suffix_is_nobodys_organisation(domain: MailDomain) -> None:
    domain.nsd.serve("co.jp", '_dmarc TXT "v=DMARC1; p=reject; rua=mailto:a@co.jp"\nexample A 192.0.2.1')
    domain.name = "example.co.jp"
    assert [found.code for found in (await dmarc.check(domain.subject())).found] == ["dmarc-missing"]


async def test_addresses_of_reports_are_looked_up_with_the_configured_resolvers_alone(domain: MailDomain) -> None:
    domain.serve(f'_dmarc TXT "v=DMARC1; p=reject; rua=mailto:a@{domain.name}; ruf=mailto:b@{domain.name}"')
    with places_spoken_to() as places:
        await dmarc.check(domain.subject())
    assert places == {("127.0.0.1", domain.nsd.port)}
