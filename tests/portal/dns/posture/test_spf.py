"""SPF records, good and bad, with everything they include, on a real name server."""

from __future__ import annotations

import pytest

from portal.dns.posture.checks import spf
from portal.dns.posture.look import NoAnswer
from portal.dns.posture.subject import Wanted
from tests.portal.dns.posture.cases import Case
from tests.portal.dns.posture.conftest import MailDomain
from tests.portal.dns.posture.watching import places_spoken_to

pytestmark = pytest.mark.services

SENDER = {"wanted": Wanted(spf=("include:sender.{d}",), dkim=(), rua=None)}
LOCKED = SENDER | {"locked": True}
CHUNKS = " ".join(['"' + "x" * 250 + '"'] * 16)


def _spf(terms: str, at: str = "@") -> str:
    """A line with an SPF record; each term in a string of its own, since one holds 255 bytes."""
    return f"{at} TXT " + " ".join(f'"{term} "' for term in f"v=spf1 {terms}".split())


HERE = _spf("ip4:192.0.2.0/24 -all", "sender")
THROUGH = "include:sender.{d}"
MANY = "\n".join(_spf(f"ip4:192.0.2.{number} -all", f"i{number}") for number in range(1, 13))
HOSTS = "@ A 192.0.2.1\n@ MX 0 mail\nmail A 192.0.2.2"


def _includes(count: int) -> str:
    return " ".join(f"include:i{number}.{{d}}" for number in range(1, count + 1))


def _zone(*lines: str) -> str:
    return "\n".join(lines)


CASES = {
    "good": Case(_zone(_spf(f"{THROUGH} ~all"), HERE), ("spf-ok",), SENDER),
    "the sender is deeper down": Case(
        _zone(_spf("include:mine.{d} ~all"), _spf(f"{THROUGH} -all", "mine"), HERE), ("spf-ok",), SENDER
    ),
    "by redirect": Case(_zone(_spf("redirect=r.{d}"), _spf(f"{THROUGH} -all", "r"), HERE), ("spf-ok",), SENDER),
    "in capitals and in pieces": Case(_zone('@ TXT "V=SPF1 INCLUDE:sen" "der.{d} ~ALL"', HERE), ("spf-ok",), SENDER),
    "among other texts": Case(
        _zone('@ TXT "v=spf10 x"', '@ TXT "a=b"', _spf(f"{THROUGH} -all"), HERE), ("spf-ok",), SENDER
    ),
    "none": Case('@ TXT "google-site-verification=1"', ("spf-missing",), SENDER),
    "two": Case(_zone(_spf(f"{THROUGH} ~all"), _spf("-all"), HERE), ("spf-multiple",), SENDER),
    "a word that is none": Case(_zone(_spf(f"{THROUGH} oops:x -all"), HERE), ("spf-syntax",), SENDER),
    "an address that is none": Case(_spf("ip4:300.1.1.1 -all"), ("spf-syntax",)),
    "ten lookups": Case(_zone(_spf(f"{_includes(10)} -all"), MANY), ("spf-lookups-near",)),
    "eleven lookups": Case(_zone(_spf(f"{_includes(11)} -all"), MANY), ("spf-lookups",)),
    "eleven lookups, nested": Case(
        _zone(_spf("include:n.{d} a mx -all"), _spf(f"{_includes(8)} -all", "n"), HOSTS, MANY), ("spf-lookups",)
    ),
    "two lead nowhere": Case(_spf("a:x1.{d} a:x2.{d} -all"), ("spf-ok",)),
    "three lead nowhere": Case(_spf("a:x1.{d} a:x2.{d} a:x3.{d} -all"), ("spf-void",)),
    "an include without SPF": Case(_spf("include:nothing.{d} -all"), ("spf-include-missing",)),
    "an include with two": Case(
        _zone(_spf("include:two.{d} -all"), _spf("a -all", "two"), _spf("-all", "two")), ("spf-include-missing",)
    ),
    "a ring": Case(_zone(_spf("include:one.{d} -all"), _spf("include:{d} -all", "one")), ("spf-loop",)),
    "the sender is missing": Case(_spf("ip4:192.0.2.1 -all"), ("spf-lacks",), SENDER),
    "the sender is refused": Case(_zone(_spf("-include:sender.{d} ~all"), HERE), ("spf-lacks",), SENDER),
    "it is missing and locked": Case(_spf("ip4:192.0.2.1 -all"), ("spf-lacks-locked",), LOCKED),
    "everybody": Case(_spf("+all"), ("spf-all-pass",)),
    "everybody, without a sign": Case(_spf("ip4:192.0.2.1 all"), ("spf-all-pass",)),
    "says nothing": Case(_spf("ip4:192.0.2.1 ?all"), ("spf-all-neutral",)),
    "has no end": Case(_spf("ip4:192.0.2.1"), ("spf-all-missing",)),
    "ptr": Case(_zone(_spf("ptr -all"), HOSTS), ("spf-ptr",)),
}


def _of(domain: str, wanted: Wanted) -> Wanted:
    return Wanted(tuple(term.replace("{d}", domain) for term in wanted.spf), wanted.dkim, wanted.rua)


@pytest.mark.parametrize("name", CASES)
async def test_spf_is_judged(domain: MailDomain, name: str) -> None:
    case = CASES[name]
    given = {key: _of(domain.name, value) if key == "wanted" else value for key, value in case.given.items()}
    found = await domain.codes(spf.check, case.records.replace("{d}", domain.name), **given)
    assert found == list(case.found)


async def test_lookups_are_counted_through_all_includes(domain: MailDomain) -> None:
    domain.serve(
        f'@ TXT "v=spf1 include:a.{domain.name} mx -all"\na TXT "v=spf1 a include:b.{domain.name} -all"\n'
        'a A 192.0.2.1\nb TXT "v=spf1 -all"\n@ MX 0 mail\nmail A 192.0.2.1'
    )
    assert (await spf.check(domain.subject())).lookups == 4


async def test_an_include_that_nobody_answers_for_is_not_called_missing(domain: MailDomain) -> None:
    domain.serve('@ TXT "v=spf1 include:refused.somewhere.example -all"')
    with pytest.raises(NoAnswer) as error:
        await spf.check(domain.subject())
    assert error.value.answer.name == "refused.somewhere.example"


async def test_what_has_changed_is_seen_at_the_next_check(domain: MailDomain) -> None:
    """checkdmarc keeps answers of its own for half an hour."""
    records = f'@ TXT "v=spf1 include:other.{domain.name} -all"\n'
    assert await domain.codes(spf.check, f'{records}other TXT "nothing"') == ["spf-include-missing"]
    assert await domain.codes(spf.check, f'{records}other TXT "v=spf1 -all"') == ["spf-ok"]


async def test_only_the_configured_resolvers_are_asked_whatever_the_record_says(domain: MailDomain) -> None:
    records = _zone(
        _spf("a mx ptr exists:e.{d} include:i.{d} exp=why.{d} -all"),
        _spf("ip4:192.0.2.1 redirect=r.{d} exp=why.{d}", "i"),
        _spf("a:mail.{d} -all", "r"),
        'why TXT "because"\ne A 127.0.0.2',
        HOSTS,
    )
    domain.serve(records.replace("{d}", domain.name))
    with places_spoken_to() as places:
        await spf.check(domain.subject())
    assert places == {("127.0.0.1", domain.nsd.port)}


@pytest.mark.parametrize(
    "text",
    [
        "v=spf1 \\009\\027[31m<script>alert(1)</script> -all",
        "v=spf1 \\226\\128\\174 include:%{i}. -all",
        "v=spf1 \\255\\254 -all",
    ],
)
async def test_hostile_text_is_judged_and_shown_with_nothing_invisible(domain: MailDomain, text: str) -> None:
    domain.serve(f'@ TXT "{text}"')
    result = await spf.check(domain.subject())
    view = result.view(lambda _: True)
    assert view.verdict == "error"
    assert all(part.isprintable() for part in (*view.quoted, view.summary, *(each.text for each in view.findings)))


async def test_four_kilobytes_of_text_are_cut(domain: MailDomain) -> None:
    domain.serve(f'@ TXT "v=spf1 " {CHUNKS}')
    view = (await spf.check(domain.subject())).view(lambda _: True)
    assert view.verdict == "error"
    assert (
        max(map(len, [*view.quoted, *(str(value) for each in view.findings for value in each.params.values())])) <= 300
    )
