"""All checks together: each ends on its own, also when nobody answers."""

from __future__ import annotations

import asyncio

import dns.message
import dns.rdatatype
import pytest

from portal.dns.posture import resolving
from portal.dns.posture.checks import run as running
from portal.dns.posture.checks.run import run
from portal.dns.posture.findings import CHECKS
from portal.dns.posture.resolving import Resolvers
from tests.portal.dns.posture.conftest import MailDomain, key, routed
from tests.portal.dns.posture.test_resolving import ENDLESS_S, SOON_S, scripted, silent

pytestmark = pytest.mark.services

UNKNOWN = {check: f"{check}-no-answer" for check in CHECKS[1:]}


async def test_a_good_domain_is_ok_everywhere(domain: MailDomain) -> None:
    domain.serve(
        f"""
        @ MX 0 mx1.route.example.
        @ MX 1 mx2.route.example.
        @ TXT "v=spf1 ip4:192.0.2.1 -all"
        _dmarc TXT "v=DMARC1; p=reject; rua=mailto:a@{domain.name}"
        _smtp._tls TXT "v=TLSRPTv1; rua=mailto:a@{domain.name}"
        """
    )
    results = await run(domain.subject(routing=routed()))
    assert [result.check for result in results] == list(CHECKS)
    verdicts = {result.check: result.verdict for result in results}
    assert verdicts == dict.fromkeys(CHECKS, "ok") | {"dkim": "unknown", "mta-sts": "warning"}


async def test_a_domain_in_japanese_is_checked_by_its_a_labels(domain: MailDomain) -> None:
    domain.name = "xn--eckwd4c7c.example"
    domain.serve(
        """
        @ MX 0 mail
        mail A 192.0.2.1
        @ TXT "v=spf1 include:spf.xn--eckwd4c7c.example -all"
        spf TXT "v=spf1 mx:xn--eckwd4c7c.example -all"
        _dmarc TXT "v=DMARC1; p=reject; rua=mailto:a@mail.xn--eckwd4c7c.example"
        """
    )
    results = {result.check: result for result in await run(domain.subject())}
    assert [results[check].verdict for check in ("mx", "spf", "dmarc")] == ["ok", "ok", "ok"]
    assert results["spf"].lookups == 2


async def test_when_nobody_answers_nothing_is_known(domain: MailDomain, monkeypatch: pytest.MonkeyPatch) -> None:
    """And each check stops asking at the first question that nobody answers."""
    monkeypatch.setattr(resolving, "TIMEOUT_S", 0.1)
    monkeypatch.setattr(resolving, "LIFETIME_S", ENDLESS_S)
    monkeypatch.setattr(running, "LIMIT_S", ENDLESS_S)
    asked: list[tuple[str, str]] = []

    def unheard(query: dns.message.Message) -> None:
        (question,) = query.question
        asked.append((question.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(question.rdtype)))

    with scripted(unheard) as dead:
        domain.resolvers = Resolvers([dead])
        async with asyncio.timeout(SOON_S):
            results = await run(domain.subject(key("v=DKIM1; p=x")))
    texts = ("", "s1._domainkey.", "_dmarc.", "_mta-sts.", "_smtp._tls.")
    assert set(asked) == {(domain.name, "MX"), *((f"{label}{domain.name}", "TXT") for label in texts)}
    assert {result.check: result.found[0].code for result in results if result.check in UNKNOWN} == UNKNOWN
    assert all(result.verdict == "unknown" for result in results)


@pytest.mark.slow
async def test_a_check_that_takes_too_long_is_not_known_and_holds_up_no_other(
    domain: MailDomain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its include is asked of a server that says nothing; the others have the whole limit for what they ask."""
    monkeypatch.setattr(running, "LIMIT_S", 8.0)
    monkeypatch.setattr(resolving, "TIMEOUT_S", ENDLESS_S)
    monkeypatch.setattr(resolving, "LIFETIME_S", ENDLESS_S)
    domain.serve('@ TXT "v=spf1 include:slow.example -all"')
    with scripted(silent) as dead:
        domain.resolvers = _Divided([domain.nsd.resolver], dead)
        async with asyncio.timeout(SOON_S):
            results = await run(domain.subject())
    found = {result.check: result.found[0] for result in results}
    assert found["spf"].code == "spf-no-answer"
    assert found["spf"].params["detail"] == "no answer within 8 s"
    assert found["dmarc"].code == "dmarc-missing"


async def test_a_server_failure_is_named(domain: MailDomain) -> None:
    domain.nsd.spoil(domain.name)
    results = await run(domain.subject())
    assert {str(result.found[0].params["detail"]) for result in results if result.check in ("mx", "spf")} == {
        "SERVFAIL"
    }


class _Divided(Resolvers):
    """Resolvers of which another one is asked for slow.example."""

    def __init__(self, names: list[str], slow: str) -> None:
        super().__init__(names)
        self._slow = Resolvers([slow])

    async def ask(self, name: str, rdtype: str) -> resolving.Answer:
        return await (self._slow.ask(name, rdtype) if name == "slow.example" else super().ask(name, rdtype))
