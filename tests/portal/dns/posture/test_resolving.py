"""What resolvers say, and what they don't: on a real name server, and on some that misbehave."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from portal.dns.posture import resolving
from portal.dns.posture.resolving import Outcome, Resolvers
from tests.portal.dns.posture.conftest import MailDomain
from tests.portal.dns.posture.watching import places_spoken_to

pytestmark = pytest.mark.services

ENDLESS_S = 600.0  # a limit that never ends anything here
SOON_S = 30.0  # many times what it takes beside other work, and far from ENDLESS_S
Reply = Callable[[dns.message.Message], dns.message.Message | None]


@contextmanager
def scripted(reply: Reply) -> Iterator[str]:
    """A resolver by UDP that answers what a function makes of the question; None: it says nothing.

    Whatever was asked within the context has gone through the function when the context has ended.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(0.05)
        is_over = threading.Event()

        def serve() -> None:
            while True:
                is_last = is_over.is_set()  # before it looks: what was asked until then lies in the socket
                try:
                    wire, peer = server.recvfrom(4096)
                except TimeoutError:
                    if is_last:
                        return
                    continue
                if (answer := reply(dns.message.from_wire(wire))) is not None:
                    server.sendto(answer.to_wire(), peer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            is_over.set()
            thread.join()


def silent(_: dns.message.Message) -> None:
    return None


def answering(*lines: str, rcode: dns.rcode.Rcode = dns.rcode.NOERROR, flags: int = 0) -> Reply:
    """Lines of a zone file as the answer, whatever is asked."""

    def reply(query: dns.message.Message) -> dns.message.Message:
        answer = dns.message.make_response(query)
        answer.set_rcode(rcode)
        answer.flags |= flags
        for line in lines:
            name, rdtype, data = line.split(maxsplit=2)
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", rdtype, data))
        return answer

    return reply


async def test_records_are_found_with_their_least_ttl(domain: MailDomain) -> None:
    domain.serve("@ 30 MX 0 mail\nmail A 192.0.2.1")
    answer = await domain.resolvers.ask(domain.name, "MX")
    assert (answer.outcome, answer.ttl, answer.resolver) == (Outcome.FOUND, 30, domain.nsd.resolver)
    assert [record.to_text() for record in answer.records] == [f"0 mail.{domain.name}."]


async def test_a_missing_name_a_missing_record_and_a_failure_are_three_things(domain: MailDomain) -> None:
    domain.serve("mail A 192.0.2.1")
    domain.nsd.spoil(f"broken-{domain.name}")
    ask = domain.resolvers.ask
    assert (await ask(f"nobody.{domain.name}", "A")).outcome is Outcome.NO_NAME
    assert (await ask(f"mail.{domain.name}", "TXT")).outcome is Outcome.NO_DATA
    failed = await ask(f"broken-{domain.name}", "A")
    assert (failed.outcome, failed.detail) == (Outcome.FAILED, "SERVFAIL")
    refused = await ask("somebody-else.example", "A")
    assert (refused.outcome, refused.detail, refused.is_known) == (Outcome.FAILED, "REFUSED", False)


async def test_what_is_too_long_for_udp_is_read_in_full(domain: MailDomain) -> None:
    domain.serve("\n".join(f'@ TXT "{number:03d}{"x" * 200}"' for number in range(20)))
    assert len((await domain.resolvers.ask(domain.name, "TXT")).records) == 20


async def test_an_alias_is_followed_into_another_zone_of_a_plain_name_server(domain: MailDomain) -> None:
    domain.nsd.serve(f"there-{domain.name}", '@ TXT "v=DKIM1; p=abc"')
    domain.serve(f"one CNAME two\ntwo CNAME there-{domain.name}.\nempty CNAME nothing")
    answer = await domain.resolvers.ask(f"one.{domain.name}", "TXT")
    assert answer.outcome is Outcome.FOUND
    assert answer.aliases == (f"two.{domain.name}", f"there-{domain.name}")
    lost = await domain.resolvers.ask(f"empty.{domain.name}", "TXT")
    assert (lost.outcome, lost.aliases) == (Outcome.NO_NAME, (f"nothing.{domain.name}",))


async def test_aliases_that_form_a_ring_come_to_an_end(domain: MailDomain) -> None:
    domain.serve("one CNAME two\ntwo CNAME one")
    answer = await domain.resolvers.ask(f"one.{domain.name}", "A")
    assert answer.outcome is Outcome.FAILED


async def test_a_referral_is_no_absence(domain: MailDomain) -> None:
    domain.serve("below NS ns.elsewhere.example.")
    answer = await domain.resolvers.ask(f"www.below.{domain.name}", "A")
    assert (answer.outcome, answer.detail) == (Outcome.FAILED, "it only names other servers for this name")


@pytest.mark.parametrize("name", [f"{'a' * 64}.example", "a..example", f"{'a.' * 130}example", "\udcff.example"])
async def test_what_is_no_name_does_not_exist(domain: MailDomain, name: str) -> None:
    assert (await domain.resolvers.ask(name, "A")).outcome is Outcome.NO_NAME


@pytest.mark.parametrize(("answer_s", "question_s"), [(0.1, ENDLESS_S), (ENDLESS_S, 0.3)])
async def test_a_resolver_that_says_nothing_is_silent_and_takes_no_longer_than_it_may(
    monkeypatch: pytest.MonkeyPatch, answer_s: float, question_s: float
) -> None:
    """Each of the two limits ends it alone."""
    monkeypatch.setattr(resolving, "TIMEOUT_S", answer_s)
    monkeypatch.setattr(resolving, "LIFETIME_S", question_s)
    with scripted(silent) as resolver:
        async with asyncio.timeout(SOON_S):
            answer = await Resolvers([resolver]).ask("example.com", "A")
    assert (answer.outcome, answer.is_known) == (Outcome.SILENT, False)


async def test_nobody_listening_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolving, "TIMEOUT_S", 0.1)
    answer = await Resolvers(["127.0.0.1:1"]).ask("example.com", "A")
    assert answer.outcome in (Outcome.SILENT, Outcome.FAILED)


async def test_one_lost_question_is_asked_again(domain: MailDomain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolving, "TIMEOUT_S", 0.5)
    monkeypatch.setattr(resolving, "LIFETIME_S", ENDLESS_S)
    seen: list[dns.message.Message] = []

    def second(query: dns.message.Message) -> dns.message.Message | None:
        seen.append(query)
        if len(seen) == 1:
            monkeypatch.setattr(resolving, "TIMEOUT_S", ENDLESS_S)  # of the second try, which is answered
            return None
        return answering("example.com. A 192.0.2.7")(query)

    with scripted(second) as resolver:
        assert (await Resolvers([resolver]).ask("example.com", "A")).outcome is Outcome.FOUND


async def test_an_answer_to_another_question_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolving, "TIMEOUT_S", 0.1)

    def forged(query: dns.message.Message) -> dns.message.Message:
        answer = answering("example.com. A 192.0.2.66")(query)
        assert answer is not None
        answer.id ^= 1
        return answer

    with scripted(forged) as resolver:
        assert (await Resolvers([resolver]).ask("example.com", "A")).outcome is Outcome.SILENT


async def test_an_empty_answer_of_a_resolver_that_recurses_is_final() -> None:
    with scripted(answering("a.example. CNAME b.example.", flags=dns.flags.RA)) as resolver:
        answer = await Resolvers([resolver]).ask("a.example", "A")
    assert (answer.outcome, answer.aliases) == (Outcome.NO_DATA, ("b.example",))


async def test_all_resolvers_are_asked_at_once_and_the_first_that_has_records_wins(
    domain: MailDomain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolving, "TIMEOUT_S", ENDLESS_S)
    monkeypatch.setattr(resolving, "LIFETIME_S", ENDLESS_S)
    domain.serve("@ A 192.0.2.1")
    with scripted(silent) as dead, scripted(answering(rcode=dns.rcode.SERVFAIL)) as broken:
        async with asyncio.timeout(SOON_S):
            answer = await Resolvers([dead, broken, domain.nsd.resolver]).ask(domain.name, "A")
    assert answer.outcome is Outcome.FOUND


async def test_a_name_is_not_called_missing_while_another_resolver_has_it(domain: MailDomain) -> None:
    domain.serve("@ A 192.0.2.1")
    with scripted(answering(rcode=dns.rcode.NXDOMAIN)) as behind:
        resolvers = Resolvers([behind, domain.nsd.resolver])
        assert (await resolvers.ask(domain.name, "A")).outcome is Outcome.FOUND
        each = await resolvers.ask_each(domain.name, "A")
    assert [answer.outcome for answer in each] == [Outcome.NO_NAME, Outcome.FOUND]


async def test_a_silent_resolver_does_not_hold_up_what_another_one_knows_is_missing(
    domain: MailDomain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolving, "GRACE_S", 0.1)
    monkeypatch.setattr(resolving, "TIMEOUT_S", ENDLESS_S)
    monkeypatch.setattr(resolving, "LIFETIME_S", ENDLESS_S)
    domain.serve("@ A 192.0.2.1")
    with scripted(silent) as dead:
        async with asyncio.timeout(SOON_S):
            answer = await Resolvers([dead, domain.nsd.resolver]).ask(f"nobody.{domain.name}", "A")
    assert answer.outcome is Outcome.NO_NAME


async def test_nothing_but_the_configured_resolvers_is_ever_spoken_to(domain: MailDomain) -> None:
    domain.serve("@ A 192.0.2.1")
    with places_spoken_to() as places:
        await domain.resolvers.ask(domain.name, "A")
        await asyncio.gather(*(domain.resolvers.ask(f"nobody{number}.{domain.name}", "TXT") for number in range(5)))
    assert places == {("127.0.0.1", domain.nsd.port)}


def test_a_resolver_has_to_be_named() -> None:
    with pytest.raises(ValueError, match="no resolver"):
        Resolvers([])
