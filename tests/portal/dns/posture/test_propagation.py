"""What resolvers answer, compared with what Cloudflare holds: by meaning, and on real name servers."""

from __future__ import annotations

from typing import Any

import dns.rdata
import dns.rdataclass
import pytest
from hypothesis import given

from kit.clock import SystemClock
from portal.dns.posture import propagation, resolving
from portal.dns.posture.propagation import compare
from portal.dns.posture.resolving import Resolvers
from portal.dns.records.values import key_of
from tests.portal.dns import zones
from tests.portal.dns.posture.conftest import MailDomain
from tests.portal.dns.posture.test_resolving import scripted, silent

Json = dict[str, Any]
SRV = {"priority": 10, "weight": 5, "port": 5060, "target": "sip.example.com"}
SVCB = {"priority": 1, "target": ".", "value": 'alpn="h3,h2" ipv4hint="192.0.2.1"'}
CAA = {"flags": 0, "tag": "issue", "value": "letsencrypt.org"}

# (type, Cloudflare's content or data with further members, what a resolver says, whether they mean the same)
TABLE: list[tuple[str, str | Json, str, bool]] = [
    ("A", "192.0.2.1", "192.0.2.1", True),
    ("A", "192.0.2.1", "192.0.2.2", False),
    ("AAAA", "2001:DB8:0:0::1", "2001:db8::1", True),
    ("CNAME", "Target.Example.com", "target.example.com.", True),
    ("CNAME", "target.example.com", "target.example.net.", False),
    ("NS", "ns.example.com.", "NS.EXAMPLE.COM.", True),
    ("MX", {"content": "mail.example.com", "priority": 0}, "0 mail.example.com.", True),
    ("MX", {"content": "mail.example.com", "priority": 0}, "10 mail.example.com.", False),
    ("TXT", "v=spf1 -all", '"v=spf1 -all"', True),
    ("TXT", '"v=spf1 " "-all"', '"v=spf1 -all"', True),
    ("TXT", '"v=spf1 -all"', '"v=spf1 " "-all"', True),
    ("TXT", '"v=spf1 -all"', '"V=SPF1 -all"', False),
    ("TXT", '"say \\"hello\\" \\\\"', '"say \\"hello\\" \\\\"', True),
    ("TXT", '"日本"', '"\\230\\151\\165\\230\\156\\172"', True),
    ("TXT", "x" * 300, f'"{"x" * 255}" "{"x" * 45}"', True),
    ("SRV", {"data": SRV}, "10 5 5060 SIP.example.com.", True),
    ("SRV", {"data": SRV}, "10 5 5061 sip.example.com.", False),
    ("CAA", {"data": CAA}, '0 issue "letsencrypt.org"', True),
    ("CAA", {"data": CAA}, '128 issue "letsencrypt.org"', False),
    ("HTTPS", {"data": SVCB}, "1 . ipv4hint=192.0.2.1 alpn=h3,h2", True),
    ("HTTPS", {"data": SVCB}, "1 . ipv4hint=192.0.2.1 alpn=h2,h3", False),
]


def _record(type_: str, given: str | Json, name: str = "www.example.com") -> Json:
    return {"type": type_, "name": name, "ttl": 1, **({"content": given} if isinstance(given, str) else given)}


def _rdata(type_: str, text: str) -> dns.rdata.Rdata:
    return dns.rdata.from_text(dns.rdataclass.IN, type_, text)


@pytest.mark.parametrize(("type_", "held", "said", "expected"), TABLE)
def test_data_is_compared_by_meaning(type_: str, held: str | Json, said: str, expected: bool) -> None:
    assert compare([_record(type_, held)], [_rdata(type_, said)]) is expected


def test_the_order_and_number_of_records_are_compared_as_a_set() -> None:
    held = [_record("A", "192.0.2.1"), _record("A", "192.0.2.2")]
    said = [_rdata("A", "192.0.2.2"), _rdata("A", "192.0.2.1")]
    assert compare(held, said)
    assert not compare(held, said[:1])
    assert not compare(held[:1], said)
    assert compare([], [])


@given(zones.value())
def test_a_record_of_any_type_means_what_it_says_itself(held: Json) -> None:
    assert compare([held], [_rdata(held["type"], propagation.written(held))])


@pytest.mark.services
async def test_each_resolver_is_told_apart(domain: MailDomain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolving, "TIMEOUT_S", 0.5)
    domain.serve("www 60 A 192.0.2.1\nwww A 192.0.2.2")
    held = [_record("A", address, f"www.{domain.name}") for address in ("192.0.2.2", "192.0.2.1")]
    with scripted(silent) as dead:
        resolvers = Resolvers([domain.nsd.resolver, dead])
        found = await propagation.ask(resolvers, SystemClock(), domain.name, held[0], held)
    good, bad = found.resolvers
    assert (good.agrees, good.answers, good.ttl, good.detail) == (True, ["192.0.2.1", "192.0.2.2"], 60, "")
    assert (bad.agrees, bad.answers, bad.ttl) == (None, [], None)
    assert "no answer" in bad.detail
    assert (found.key, found.is_comparable) == (key_of(held[0]), True)


@pytest.mark.services
async def test_a_record_that_is_not_out_yet_does_not_agree(domain: MailDomain) -> None:
    domain.serve("@ A 192.0.2.1")
    held = _record("TXT", "new", f"new.{domain.name}")
    found = await propagation.ask(domain.resolvers, SystemClock(), domain.name, held, [held])
    assert [(each.agrees, each.detail) for each in found.resolvers] == [(False, "there is no such name")]


@pytest.mark.services
@pytest.mark.parametrize("type_", ["A", "CNAME"])
async def test_a_proxied_record_shows_addresses_and_is_not_compared(domain: MailDomain, type_: str) -> None:
    domain.serve("www A 192.0.2.99")
    held = _record(type_, "192.0.2.1" if type_ == "A" else "x.example.com", f"www.{domain.name}") | {"proxied": True}
    found = await propagation.ask(domain.resolvers, SystemClock(), domain.name, held, [held])
    assert not found.is_comparable
    assert [(each.agrees, each.answers) for each in found.resolvers] == [(None, ["192.0.2.99"])]


@pytest.mark.services
async def test_a_name_in_japanese_and_hostile_text_are_compared_and_shown(domain: MailDomain) -> None:
    domain.serve('xn--wgv71a TXT "\\027[31m\\226\\128\\174<b>"')
    held = _record("TXT", '"\\027[31m\\226\\128\\174<b>"', f"日本.{domain.name}")
    found = await propagation.ask(domain.resolvers, SystemClock(), domain.name, held, [held])
    assert [each.agrees for each in found.resolvers] == [True]
    assert all(text.isprintable() for text in (*found.expected, *found.resolvers[0].answers))
