"""The NSD that other tests rely on does what `nsd.py` promises."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

from tests.services.nsd import Nsd

pytestmark = pytest.mark.services


def _ask(nsd: Nsd, name: str, rdtype: str) -> dns.message.Message:
    return dns.query.udp(dns.message.make_query(name, rdtype), "127.0.0.1", 2, nsd.port)


def _texts(answer: dns.message.Message) -> list[str]:
    return [record.to_text() for rrset in answer.answer for record in rrset]


def test_a_zone_is_served_as_soon_as_it_is_given_and_as_soon_as_it_is_changed(nsd: Nsd) -> None:
    nsd.serve("served.example", "mail A 192.0.2.1")
    assert _texts(_ask(nsd, "mail.served.example", "A")) == ["192.0.2.1"]
    nsd.serve("served.example", "mail A 192.0.2.2\n@ MX 0 mail")
    assert _texts(_ask(nsd, "mail.served.example", "A")) == ["192.0.2.2"]
    assert _texts(_ask(nsd, "served.example", "MX")) == ["0 mail.served.example."]


def test_it_tells_a_missing_name_from_a_missing_record_and_refuses_what_is_not_its_own(nsd: Nsd) -> None:
    nsd.serve("codes.example", "mail A 192.0.2.1")
    assert _ask(nsd, "nobody.codes.example", "A").rcode() == dns.rcode.NXDOMAIN
    assert _ask(nsd, "mail.codes.example", "TXT").rcode() == dns.rcode.NOERROR
    assert _ask(nsd, "other.example", "A").rcode() == dns.rcode.REFUSED


def test_a_spoilt_zone_is_a_server_failure_until_it_is_served(nsd: Nsd) -> None:
    nsd.spoil("spoilt.example")
    assert _ask(nsd, "spoilt.example", "A").rcode() == dns.rcode.SERVFAIL
    nsd.serve("spoilt.example", "@ A 192.0.2.1")
    assert _texts(_ask(nsd, "spoilt.example", "A")) == ["192.0.2.1"]


def test_what_is_too_long_for_udp_comes_by_tcp(nsd: Nsd) -> None:
    nsd.serve("long.example", "\n".join(f'@ TXT "{number:03d}{"x" * 200}"' for number in range(20)))
    query = dns.message.make_query("long.example", "TXT", use_edns=0, payload=1232)
    short = dns.query.udp(query, "127.0.0.1", 2, nsd.port)
    assert short.flags & dns.flags.TC
    assert len(_texts(dns.query.tcp(query, "127.0.0.1", 2, nsd.port))) == 20
