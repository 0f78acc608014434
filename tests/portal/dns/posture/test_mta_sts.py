"""MTA-STS: records and policies, good and bad, on a real name server and a real web server."""

from __future__ import annotations

import contextlib
import http.server
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from portal.dns.posture import policy_file
from portal.dns.posture.checks import mta_sts
from portal.dns.posture.policy_file import PolicyFile, is_public
from tests.portal.dns.posture.cases import Case
from tests.portal.dns.posture.conftest import MailDomain
from tests.portal.dns.posture.watching import places_spoken_to
from tests.portal.dns.posture.web import Answer, Web, sends, web
from tests.services.process import free_port

pytestmark = pytest.mark.services

RECORD = '_mta-sts TXT "v=STSv1; id=20261122"'
ZONE = f"{RECORD}\nmta-sts A 127.0.0.1\n@ MX 0 mx1\n@ MX 10 mx2"
CASES = {
    "none": Case("@ A 192.0.2.1", ("mta-sts-missing",)),
    "two records": Case(f'{RECORD}\n_mta-sts TXT "v=STSv1; id=2"', ("mta-sts-multiple",)),
    "a record without id": Case('_mta-sts TXT "v=STSv1;"', ("mta-sts-syntax",)),
    "a host that is not there": Case(RECORD, ("mta-sts-no-host",)),
    "a host on this machine": Case(f"{RECORD}\nmta-sts A 127.0.0.1", ("mta-sts-private",)),
    "a host in a private network": Case(f"{RECORD}\nmta-sts A 10.0.0.1", ("mta-sts-private",)),
    "the address of a cloud's secrets": Case(f"{RECORD}\nmta-sts A 169.254.169.254", ("mta-sts-private",)),
    "this machine by IPv6": Case(f"{RECORD}\nmta-sts AAAA ::1", ("mta-sts-private",)),
    "this machine hidden in IPv6": Case(f"{RECORD}\nmta-sts AAAA ::ffff:127.0.0.1", ("mta-sts-private",)),
    "this machine by an alias": Case(f"{RECORD}\nmta-sts CNAME l\nl A 127.0.0.1", ("mta-sts-private",)),
}


Maker = Callable[[str], Answer]


def _policy(mode: str = "enforce", mx: str = "mx1.{d} *.{d}", kind: str = "text/plain") -> Maker:
    """What makes of a domain an answer with its policy."""

    def made(domain: str) -> Answer:
        servers = [f"mx: {each}" for each in mx.replace("{d}", domain).split()]
        return sends("\r\n".join(["version: STSv1", f"mode: {mode}", *servers, "max_age: 86400", ""]), kind=kind)

    return made


def _always(answer: Answer) -> Maker:
    return lambda _: answer


def _slowly(request: http.server.BaseHTTPRequestHandler) -> None:
    """A drop now and then: each comes within any pause that is allowed, the whole never."""
    with contextlib.suppress(OSError):  # the client has gone
        request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
        for _ in range(200):
            request.wfile.write(b"x")
            request.wfile.flush()
            time.sleep(0.02)


def _endlessly(request: http.server.BaseHTTPRequestHandler) -> None:
    with contextlib.suppress(OSError):
        request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
        for _ in range(10_000):
            request.wfile.write(b"x" * 10_000)


POLICIES: dict[str, tuple[Maker, str]] = {
    "enforced": (_policy(), "mta-sts-ok"),
    "a test": (_policy("testing"), "mta-sts-testing"),
    "switched off": (_policy("none"), "mta-sts-testing"),
    "a server that is not covered": (_policy(mx="mx1.{d} *.mx2.{d}"), "mta-sts-uncovered"),
    "a mode that is none": (_policy("sometimes"), "mta-sts-policy"),
    "no policy": (_always(sends("<html>")), "mta-sts-policy"),
    "no such page": (_always(sends("", status=404)), "mta-sts-fetch"),
    "a page for people": (_policy(kind="text/html"), "mta-sts-fetch"),
    "a redirect": (_always(sends("", status=301, Location="https://127.0.0.1/")), "mta-sts-fetch"),
    "too long": (_always(sends("x" * 70_000)), "mta-sts-fetch"),
    "without end": (_always(_endlessly), "mta-sts-fetch"),
    "slow": (_always(_slowly), "mta-sts-fetch"),
}


@pytest.mark.parametrize("name", CASES)
async def test_the_record_of_mta_sts_is_judged_and_no_private_address_is_asked(domain: MailDomain, name: str) -> None:
    domain.serve(CASES[name].records)
    with places_spoken_to() as places:
        result = await mta_sts.check(domain.subject())
    assert [found.id for found in result.found] == list(CASES[name].found)
    assert places == {("127.0.0.1", domain.nsd.port)}


@pytest.mark.parametrize("name", POLICIES)
async def test_the_policy_of_mta_sts_is_judged(
    domain: MailDomain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    if name == "slow":
        monkeypatch.setattr(policy_file, "LIMIT_S", 1.0)
    make, code = POLICIES[name]
    host = f"mta-sts.{domain.name}"
    with web(make(domain.name), host, tmp_path) as server:
        assert await domain.codes(mta_sts.check, ZONE, file=_file(server)) == [code]
        assert server.hosts == [f"{host}/.well-known/mta-sts.txt"]


async def test_a_certificate_of_another_name_is_not_believed(domain: MailDomain, tmp_path: Path) -> None:
    with web(_policy()(domain.name), "somebody-else.example", tmp_path) as server:
        domain.serve(ZONE)
        result = await mta_sts.check(domain.subject(file=_file(server)))
    assert "its certificate is not valid" in str(result.found[0].params["detail"])
    assert server.hosts == []


async def test_a_certificate_that_nobody_vouches_for_is_not_believed(domain: MailDomain, tmp_path: Path) -> None:
    with web(_policy()(domain.name), f"mta-sts.{domain.name}", tmp_path) as server:
        file = PolicyFile(port=server.port, is_allowed=lambda _: True)
        assert await domain.codes(mta_sts.check, ZONE, file=file) == ["mta-sts-fetch"]


async def test_a_web_server_that_is_not_there_is_said_so(domain: MailDomain) -> None:
    file = PolicyFile(port=free_port(), is_allowed=lambda _: True)
    assert await domain.codes(mta_sts.check, ZONE, file=file) == ["mta-sts-fetch"]


async def test_no_proxy_of_the_environment_is_used(
    domain: MailDomain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    with web(_policy()(domain.name), f"mta-sts.{domain.name}", tmp_path) as server:
        assert await domain.codes(mta_sts.check, ZONE, file=_file(server)) == ["mta-sts-ok"]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("1.1.1.1", True),
        ("2606:4700:4700::1111", True),
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("100.64.0.1", False),  # Tailscale's, among others
        ("169.254.169.254", False),
        ("192.168.1.1", False),
        ("198.18.0.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("fe80::1", False),
        ("fd00::1", False),
        ("ff02::1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::1", False),
    ],
)
def test_public_addresses_are_told_from_all_others(address: str, expected: bool) -> None:
    assert is_public(address) is expected


def _file(server: Web) -> PolicyFile:
    return PolicyFile(trust=server.trust, port=server.port, is_allowed=lambda _: True)
