"""Which records a mail domain wants, given those that are there. Tables; nothing is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from portal.dns.records.text import chunks
from portal.edge.dns import Extra, compare
from portal.integrations.records import Json, text_of
from portal.recipes.mail_domain.records import extra_of, raised_dmarc
from portal.settings import PortalSettings

ZONE = "home.example"
CF_SPF = {"type": "TXT", "name": ZONE, "content": '"v=spf1 include:_spf.mx.cloudflare.net ~all"', "ttl": 1}


def settings(**given: Any) -> PortalSettings:
    return PortalSettings(state_dir=Path("/nowhere"), **given)


def record(type_: str, name: str, content: str, **more: Any) -> Json:
    return {"id": f"id {name}", "type": type_, "name": name, "content": content, "ttl": 1, **more}


@pytest.mark.parametrize(
    ("present", "after"),
    [
        ("v=DMARC1; p=none", "v=DMARC1; p=quarantine"),
        (
            "v=DMARC1; p=none; sp=reject; rua=mailto:a@b.example; pct=50",
            "v=DMARC1; p=quarantine; sp=reject; rua=mailto:a@b.example",
        ),
        ("v=DMARC1;p=NONE;rua=mailto:p=none@b.example", "v=DMARC1; p=quarantine; rua=mailto:p=none@b.example"),
        ("v=DMARC1;p=none;sp=none;pct=10", "v=DMARC1; p=quarantine"),
        ("v=DMARC1; p=none; t=y; adkim=s", "v=DMARC1; p=quarantine; adkim=s"),
        ("v=DMARC1; sp=none", "v=DMARC1; p=quarantine"),
        ("v=DMARC1", "v=DMARC1; p=quarantine"),
        ("v=DMARC1; p=", "v=DMARC1; p=quarantine"),
        ("v=DMARC1; p = none ; adkim=s", "v=DMARC1; p=quarantine; adkim=s"),
        ("v=DMARC1; p=quarantine", None),
        ("v=DMARC1; p=Reject; sp=none", None),
    ],
)
def test_weaker_dmarc_is_raised_for_all_mail_and_keeps_its_other_tags(present: str, after: str | None) -> None:
    assert raised_dmarc(present) == after
    if after is not None:
        assert raised_dmarc(after) is None


def test_empty_zone_gets_key_policy_and_reports() -> None:
    given = settings(mail_dkim=("s1=S1.Relay.example.", "s2=v=DKIM1; p=" + "A" * 300), mail_dmarc_rua="r@home.example")
    extra = extra_of(ZONE, [], given)
    assert [(each["type"], each["name"], each["content"]) for each in extra.needed] == [
        ("CNAME", f"s1._domainkey.{ZONE}", "s1.relay.example"),
        ("TXT", f"s2._domainkey.{ZONE}", f'"v=DKIM1; p={"A" * 244}" "{"A" * 56}"'),
        ("TXT", f"_dmarc.{ZONE}", '"v=DMARC1; p=quarantine; rua=mailto:r@home.example"'),
        ("TXT", f"_smtp._tls.{ZONE}", '"v=TLSRPTv1; rua=mailto:r@home.example"'),
    ]
    assert extra.spf == ("include:sendgrid.net",)
    assert (extra.changes, extra.problems) == ((), ())
    assert extra_of(ZONE, list(extra.needed), given).needed == ()


def test_without_an_address_no_reports_are_asked_for() -> None:
    extra = extra_of(ZONE, [], settings(mail_spf=""))
    assert [each["content"] for each in extra.needed] == ['"v=DMARC1; p=quarantine"']
    assert extra.spf == ()


@pytest.mark.parametrize(
    ("present", "said"),
    [
        ([record("CNAME", f"s1._domainkey.{ZONE}", "s1.other.example")], "holds another key"),
        (
            [
                record("TXT", f"_dmarc.{ZONE}", "v=DMARC1; p=none"),
                record("TXT", f"_dmarc.{ZONE}", '"v=DMARC1; p=reject"'),
            ],
            "2 DMARC records",
        ),
    ],
)
def test_what_only_a_person_can_decide_is_left(present: list[Json], said: str) -> None:
    extra = extra_of(ZONE, present, settings(mail_dkim=("s1=s1.relay.example",)))
    (problem,) = extra.problems
    assert said in problem
    assert not extra.changes


def test_record_of_another_version_is_no_policy() -> None:
    present = [record("TXT", f"_dmarc.{ZONE}", "v=DMARC10; p=none"), record("TXT", f"_smtp._tls.{ZONE}", "v=TLSRPT")]
    extra = extra_of(ZONE, present, settings(mail_dmarc_rua="r@home.example"))
    assert [each["name"] for each in extra.needed] == [f"_dmarc.{ZONE}", f"_smtp._tls.{ZONE}"]
    assert (extra.changes, extra.problems) == ((), ())


def test_key_is_split_by_octets_and_what_ends_a_string_is_escaped() -> None:
    text = 'v=DKIM1; n="\u3042\\"; p=' + "\u3042" * 100
    (dkim, _) = extra_of(ZONE, [], settings(mail_dkim=(f"s1={text}",))).needed
    assert text_of(dkim["content"]) == text
    assert [len(each) for each in chunks(dkim["content"])] == [255, 66]


def test_policy_that_somebody_else_keeps_by_cname_is_left() -> None:
    present = [record("CNAME", f"_dmarc.{ZONE}", "policy.provider.example")]
    assert extra_of(ZONE, present, settings()).needed == ()


@pytest.mark.parametrize(
    ("present", "is_ready", "missing", "merged", "unseen"),
    [
        ([], False, '"v=spf1 include:_spf.mx.cloudflare.net include:sendgrid.net ~all"', None, False),
        ([], True, None, None, True),
        (
            ["v=spf1 mx -all"],
            False,
            None,
            "v=spf1 mx include:_spf.mx.cloudflare.net include:sendgrid.net -all",
            False,
        ),
        (
            ['"v=spf1 include:_spf.mx.cloudflare.net ~all"'],
            True,
            None,
            "v=spf1 include:_spf.mx.cloudflare.net include:sendgrid.net ~all",
            False,
        ),
        (["v=spf1 include:sendgrid.net include:_spf.mx.cloudflare.net -all"], False, None, None, False),
    ],
)
def test_senders_are_one_spf_record(
    present: list[str], is_ready: bool, missing: str | None, merged: str | None, unseen: bool
) -> None:
    records = [record("TXT", ZONE, each) for each in present]
    found = compare(ZONE, records, [CF_SPF], is_ready=is_ready, extra=Extra(spf=("include:sendgrid.net",)))
    assert [each["content"] for each in found.missing] == ([missing] if missing else [])
    assert [content for _, content in found.merges] == ([merged] if merged else [])
    assert found.unseen_spf is unseen


def test_two_spf_records_are_a_persons_decision() -> None:
    records = [record("TXT", ZONE, "v=spf1 -all"), record("TXT", ZONE, "v=spf1 mx -all")]
    assert compare(ZONE, records, [CF_SPF], is_ready=False, extra=Extra(spf=("mx",))).problems
