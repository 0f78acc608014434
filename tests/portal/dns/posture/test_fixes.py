"""What mending a finding changes: the records that are to be, and nothing that the finding is not about."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.dns.posture import fixes
from portal.dns.posture.findings import KINDS
from portal.dns.posture.fixes import Mending, mended
from portal.dns.posture.subject import DkimKey, Routing, Wanted
from portal.dns.records.text import chunks
from portal.dns.records.values import key_of, keyed, value_of
from tests.portal.dns.posture.conftest import routed

D = "home.example"
Json = dict[str, Any]
WANTED = Wanted(("include:sender.example",), (DkimKey("s1", "s1.sender.example"),), "reports@example.net")
ALL = [(code, "s1") for code, kind in KINDS.items() if kind.is_fixable]


def txt(text: str, name: str = D, **more: Any) -> Json:
    return {"type": "TXT", "name": name, "content": f'"{text}"', "ttl": 1, "proxied": False, **more}


def fix(
    records: list[Json], *codes: str, wanted: Wanted = WANTED, routing: Routing | None = None, subject: str = ""
) -> tuple[list[str], list[str]]:
    """Mend, and return the texts of the records that go and of those that come."""
    before = keyed(records)
    wish = mended(Mending(D, wanted, routing or routed(), before), [(code, subject) for code in codes])
    gone = [_text(before[key]) for key, value in wish.items() if value is None]
    return gone, [_text(value) for value in wish.values() if value is not None]


def _text(value: Json) -> str:
    content = b"".join(chunks(value["content"])).decode() if value["type"] == "TXT" else value["content"]
    return f"{value['type']} {value['name']} {content}"


SPF = "TXT home.example v=spf1"
DMARC = "TXT _dmarc.home.example v=DMARC1;"
TABLE: list[tuple[str, list[str], str]] = [  # finding, SPF or DMARC records that are there, what becomes of them
    ("spf-missing", [], "v=spf1 include:sender.example ~all"),
    ("spf-lacks", ["v=spf1 ip4:192.0.2.1 -all"], "v=spf1 ip4:192.0.2.1 include:sender.example -all"),
    ("spf-lacks", ["v=spf1 a redirect=x.example"], "v=spf1 a include:sender.example redirect=x.example"),
    ("spf-multiple", ["v=spf1 a -all", "v=spf1 mx ~all"], "v=spf1 a mx -all"),
    ("spf-multiple", ["v=spf1 a ?all", "v=spf1 mx a +all", "v=spf1 ip4:192.0.2.1"], "v=spf1 a ip4:192.0.2.1 mx ?all"),
    ("spf-multiple", ["v=spf1 a", "v=spf1 mx"], "v=spf1 a mx"),
    ("spf-all-pass", ["v=spf1 a +all"], "v=spf1 a ~all"),
    ("spf-all-pass", ["v=spf1 a all"], "v=spf1 a ~all"),
    ("spf-all-neutral", ["v=spf1 a ?all exp=e.example"], "v=spf1 a exp=e.example ~all"),
    ("spf-all-missing", ["v=spf1 a"], "v=spf1 a ~all"),
    ("dmarc-missing", [], "v=DMARC1; p=quarantine; rua=mailto:reports@example.net"),
    ("dmarc-none", ["v=DMARC1;p=none;sp=reject; fo=1"], "v=DMARC1; p=quarantine; sp=reject; fo=1"),
    ("dmarc-none", ["v=DMARC1; rua=mailto:x@y.example; p=none"], "v=DMARC1; p=quarantine; rua=mailto:x@y.example"),
    ("dmarc-none", ["v=DMARC1; rua=mailto:x@y.example"], "v=DMARC1; p=quarantine; rua=mailto:x@y.example"),
    ("dmarc-subdomains-none", ["v=DMARC1; p=reject; sp=none"], "v=DMARC1; p=reject; sp=quarantine"),
    ("dmarc-partial", ["v=DMARC1; p=reject; pct=5"], "v=DMARC1; p=reject"),
    ("dmarc-testing", ["v=DMARC1; p=reject; t=y; pct=5"], "v=DMARC1; p=reject; pct=5"),
    ("dmarc-no-reports", ["v=DMARC1; p=reject"], "v=DMARC1; p=reject; rua=mailto:reports@example.net"),
    ("tls-rpt-missing", [], "v=TLSRPTv1; rua=mailto:reports@example.net"),
]  # fmt: skip
NAMES = {"spf": D, "dmarc": f"_dmarc.{D}", "tls": f"_smtp._tls.{D}"}


@pytest.mark.parametrize(("code", "before", "after"), TABLE)
def test_a_record_is_mended(code: str, before: list[str], after: str) -> None:
    name = NAMES[code.partition("-")[0]]
    others = [txt("google-site-verification=1"), txt("v=spf1 -all", f"www.{D}")]
    records = [txt(each, name) for each in before] + others
    wish = mended(Mending(D, WANTED, routed(), keyed(records)), [(code, "")])
    left = [*(record for key, record in keyed(records).items() if key not in wish), *(v for v in wish.values() if v)]
    assert [_text(each) for each in left if each not in others] == [f"TXT {name} {after}"]
    assert all(each in left for each in others)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("spf-missing", "v=spf1 include:sender.example -all"),
        ("spf-lacks", "v=spf1 +include:sender.example -all"),
        ("spf-multiple", "v=spf1 a -all"),
        ("spf-all-pass", "v=spf1 a -all"),
        ("spf-all-missing", "v=spf1 redirect=x.example"),
        ("spf-all-neutral", "v=spf1 a ~all"),
        ("dmarc-missing", "v=DMARC1; p=none"),
        ("dmarc-none", "v=DMARC1;p=reject"),
        ("dmarc-subdomains-none", "v=DMARC1;p=reject"),
        ("dmarc-partial", "v=DMARC1;p=reject"),
        ("dmarc-testing", "v=DMARC1;p=reject"),
        ("dmarc-no-reports", "v=DMARC1;p=reject;rua=mailto:x@y.example"),
        ("tls-rpt-missing", "v=TLSRPTv1; rua=mailto:x@y.example"),
    ],
)
def test_mending_what_is_good_already_changes_nothing(code: str, text: str) -> None:
    assert fix([txt(text, NAMES[code.partition("-")[0]])], code) == ([], [])


def test_what_the_fix_is_not_about_stays() -> None:
    record = txt("v=spf1 -all", ttl=3600, comment="made by hand", tags=["a:b"])
    wish = mended(Mending(D, WANTED, routed(), keyed([record])), [("spf-lacks", "")])
    [value] = [each for each in wish.values() if each]
    assert value == value_of(record | {"content": '"v=spf1 include:sender.example -all"'})


def test_missing_mail_servers_are_added_and_others_stay() -> None:
    other = {"type": "MX", "name": D, "content": "mail.home.example", "priority": 5, "ttl": 1, "proxied": False}
    one = {"type": "MX", "name": D, "content": "MX1.route.example", "priority": 50, "ttl": 1, "proxied": False}
    unlocked = routed(status="misconfigured")
    assert fix([other, one], "mx-incomplete", routing=unlocked) == ([], [f"MX {D} mx2.route.example"])
    assert fix([], "mx-missing", routing=unlocked) == ([], [f"MX {D} mx1.route.example", f"MX {D} mx2.route.example"])
    assert fix([], "mx-missing", routing=routed(status="misconfigured/locked")) == ([], [])
    assert fix([], "mx-missing", routing=Routing("unknown")) == ([], [])


def test_a_dkim_key_replaces_what_stands_at_its_name() -> None:
    name = f"s1._domainkey.{D}"
    target = f"CNAME {name} s1.sender.example"
    assert fix([], "dkim-missing", subject="s1") == ([], [target])
    wrong = txt("v=DKIM1; p=", name)
    assert fix([wrong, txt("other", D)], "dkim-other", subject="s1") == ([f"TXT {name} v=DKIM1; p="], [target])
    right = {"type": "CNAME", "name": name, "content": "s1.sender.example", "ttl": 1, "proxied": False}
    assert fix([right], "dkim-other", subject="s1") == ([], [])
    assert fix([], "dkim-missing", subject="unknown") == ([], [])


def test_a_long_dkim_key_is_written_in_strings() -> None:
    wanted = Wanted((), (DkimKey("s1", f"v=DKIM1; p={'A' * 400}"),), None)
    wish = mended(Mending(D, wanted, routed(), {}), [("dkim-missing", "s1")])
    [(key, value)] = wish.items()
    assert value is not None
    assert [len(part) for part in chunks(value["content"])] == [255, 156]
    assert key == key_of(value)


def test_without_an_address_for_reports_none_is_made_up() -> None:
    silent = Wanted((), (), None)
    assert fix([], "dmarc-missing", wanted=silent)[1] == [f"{DMARC} p=quarantine"]
    assert fix([], "tls-rpt-missing", wanted=silent) == ([], [])
    assert fix([txt("v=DMARC1; p=reject", f"_dmarc.{D}")], "dmarc-no-reports", wanted=silent) == ([], [])


def test_several_findings_are_mended_in_one_plan() -> None:
    records = [txt("v=spf1 a +all"), txt("v=spf1 mx +all"), txt("v=DMARC1; p=none; sp=none; pct=1", f"_dmarc.{D}")]
    codes = ("dmarc-partial", "dmarc-none", "dmarc-subdomains-none", "spf-all-pass", "spf-lacks", "spf-multiple")
    gone, come = fix(records, *codes)
    assert come == [
        f"{DMARC} p=quarantine; sp=quarantine",
        f"{SPF} a mx include:sender.example ~all",
    ] or come == [f"{SPF} a mx include:sender.example ~all", f"{DMARC} p=quarantine; sp=quarantine"]
    assert len(gone) == 3


TERMS = ["a", "mx", "ip4:192.0.2.1", "include:x.example", "-all", "?all", "all", "redirect=y.example"]
TAGS = ["p=none", "p=reject", "sp=none", "pct=5", "t=y", "rua=mailto:a@b.example", "fo=1"]


@given(
    st.lists(st.lists(st.sampled_from(TERMS), max_size=4), max_size=3),
    st.lists(st.lists(st.sampled_from(TAGS), max_size=4), max_size=2),
    st.permutations(ALL),
)
def test_mended_twice_is_mended_once(
    spf: list[list[str]], dmarc: list[list[str]], findings: list[tuple[str, str]]
) -> None:
    records = [txt(" ".join(["v=spf1", *terms])) for terms in spf]
    before = keyed([*records, *(txt("; ".join(["v=DMARC1", *tags]), f"_dmarc.{D}") for tags in dmarc)])
    wish = mended(Mending(D, WANTED, routed(), before), findings)
    after = {key: record for key, record in before.items() if key not in wish}
    after |= {key: value for key, value in wish.items() if value is not None}
    assert list(after) == [*dict.fromkeys(after)]
    assert mended(Mending(D, WANTED, routed(), keyed(after.values())), findings) == {}
    assert len([each for each in after.values() if fixes.is_spf_of(each, D)]) == 1


@pytest.mark.parametrize("text", ["v=spf1 \\226\\128\\174 -all", "v=spf1 \\255 -all", 'v=spf1 \\"x\\\\ -all'])
def test_bytes_of_strangers_survive_a_fix(text: str) -> None:
    wish = mended(Mending(D, WANTED, routed(), keyed([txt(text)])), [("spf-lacks", "")])
    [value] = [each for each in wish.values() if each]
    [before] = chunks(f'"{text}"')
    assert b"".join(chunks(value["content"])) == before.replace(b" -all", b" include:sender.example -all")
