"""The account to look at: what is in it, and that the DNS tells the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import dns.message
import dns.query
import dns.rcode
import pytest

from portal.settings import PortalSettings
from tests.fakes.cloudflare import CloudflareFake, nameserver
from tests.fakes.cloudflare.demo import ELSEWHERE, JAPANESE, SAMPLE, furnish
from tests.fakes.cloudflare.dns import PRIORITIZED, answer_of

Ask = Callable[[str, str], dns.message.Message]  # of name and type


@pytest.fixture
def cf() -> CloudflareFake:
    """Not started: only its state is looked at."""
    return CloudflareFake(zones=[SAMPLE, JAPANESE])


def test_settings_lead_a_portal_there(cf: CloudflareFake) -> None:
    settings = PortalSettings.load({"HOMEPORT_PORTAL_STATE_DIR": "/nowhere", **furnish(cf)})
    assert settings.demo
    assert settings.cloudflare_missing == []
    assert settings.cloudflare_account == cf.account_id
    assert settings.tunnel_id == cf.state.tunnels[0].id


def test_zone_has_every_type_and_what_goes_wrong_with_them(cf: CloudflareFake) -> None:
    furnish(cf)
    records = [answer_of(record) for record in cf.state.zones[SAMPLE].records]
    types = {record["type"] for record in records}
    assert len(records) >= 30
    assert len(types) >= 16
    assert {*PRIORITIZED} <= types
    assert any("<img" in record["content"] and "\u202e" in record["content"] for record in records)
    assert any(record.get("meta", {}).get("read_only") for record in records)
    routed = {rule.get("hostname") for rule in cf.state.tunnels[0].config["ingress"]}
    leading = {record["name"] for record in records if record["content"].endswith(".cfargotunnel.com")}
    assert leading - routed == {f"old-wiki.{SAMPLE}"}
    assert routed - leading == {f"unnamed.{SAMPLE}", None}


class TestNameserver:
    @pytest.fixture
    def ask(self, cf: CloudflareFake) -> Iterator[Ask]:
        furnish(cf)
        with nameserver.serving(cf.state, ELSEWHERE) as port:
            yield lambda name, type_: dns.query.udp(dns.message.make_query(name, type_), "127.0.0.1", 10, port)

    def test_answers_are_the_zones_as_they_are_now(self, cf: CloudflareFake, ask: Ask) -> None:
        assert "p=none" in str(ask(f"_dmarc.{SAMPLE}", "TXT").answer[0])
        cf.edit(SAMPLE, type="TXT", name="_dmarc", content='"v=DMARC1; p=quarantine"')
        assert "p=quarantine" in str(ask(f"_dmarc.{SAMPLE}", "TXT").answer[0])

    def test_every_record_can_be_told(self, cf: CloudflareFake, ask: Ask) -> None:
        for zone in cf.state.zones.values():
            for record in zone.records:
                type_ = "A" if record.proxied else record.type
                answer = ask(record.name, type_)
                assert answer.rcode() == dns.rcode.NOERROR
                assert answer.answer, record

    def test_what_is_not_there_is_told_apart(self, ask: Ask) -> None:
        assert ask(f"nothing.{SAMPLE}", "A").rcode() == dns.rcode.NXDOMAIN
        assert ask(f"printer.{SAMPLE}", "TXT").rcode() == dns.rcode.NOERROR
        assert ask(f"_tcp.{SAMPLE}", "TXT").rcode() == dns.rcode.NOERROR  # names lie below it
        assert "198.51.100.0/25" in str(ask("_spf.mx.cloudflare.net", "TXT").answer[0])
