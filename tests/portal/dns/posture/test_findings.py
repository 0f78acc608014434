"""The table of findings: every one is met by a real conversation, and says what it is about."""

from __future__ import annotations

import string

import pytest

from portal.dns.posture import fixes
from portal.dns.posture.findings import CHECKS, KINDS, Result, found, quotable, worst
from tests.portal.dns.posture import test_dkim, test_dmarc, test_mta_sts, test_mx, test_routing, test_spf, test_tls_rpt

TABLES = (test_dkim, test_dmarc, test_mta_sts, test_mx, test_routing, test_spf, test_tls_rpt)
ELSEWHERE = {"domain-missing", *(f"{check}-no-answer" for check in CHECKS[1:])}  # test_mx.py, test_checks.py


def test_every_finding_is_met() -> None:
    met = {code for table in TABLES for case in table.CASES.values() for code in case.codes}
    met |= {code for _, code in test_mta_sts.POLICIES.values()}
    assert met | ELSEWHERE == set(KINDS)


@pytest.mark.parametrize("code", KINDS)
def test_a_text_says_what_why_and_what_to_do(code: str) -> None:
    kind = KINDS[code]
    assert kind.text.endswith((".", "/."))
    if kind.verdict != "ok":
        assert kind.text.count(". ") >= 1 or ", so " in kind.text
    assert kind.is_fixable == fixes.is_fixable(code)
    assert not kind.is_fixable or "he fix" in kind.text


def test_a_finding_without_its_params_fails_where_it_is_made() -> None:
    with pytest.raises(KeyError):
        found("mx-ok")


def test_ids_tell_findings_of_one_code_apart() -> None:
    one, other = (found("dkim-missing", selector=name, name=f"{name}.example", subject=name) for name in ("a", "b"))
    assert (one.id, other.id) == ("dkim-missing:a", "dkim-missing:b")
    assert len(found("dkim-missing", selector="a", name="b", subject="x" * 500).id) == 200


def test_text_of_strangers_is_short_and_has_nothing_invisible() -> None:
    assert quotable("a\x1b[31m\u202eb\n") == "a\\x1b[31m\\u202eb\\n"
    assert len(quotable("x" * 4096)) == 300
    hostile = found("spf-syntax", "\u202e", detail="{domain} {0} \x00")
    view = Result("spf", (hostile,)).view(lambda _: True)
    assert view.summary.isprintable()
    assert "{domain} {0} \\x00" in view.summary


def test_the_worst_is_shown_first_and_what_one_can_do_without_raises_no_alarm() -> None:
    assert worst(["ok", "warning", "unknown", "error"]) == "error"
    assert worst(["ok", "warning", "unknown"]) == "unknown"
    assert worst([]) == "ok"
    result = Result("mta-sts", (found("mta-sts-missing", domain="example.com"),))
    assert (result.verdict, result.alarm) == ("warning", "ok")


def test_params_are_named_alike_in_all_texts() -> None:
    """The front end has a text for each code; a new name of a param would need its own."""
    named = {part for kind in KINDS.values() for _, part, _, _ in string.Formatter().parse(kind.text) if part}
    assert named == {
        *("domain", "name", "detail", "status", "host", "hosts", "target", "address", "addresses"),
        *("lookups", "count", "terms", "term", "selector", "algorithm", "bits", "there", "wanted"),
        *("policy", "percent", "uri", "mode"),
    }
