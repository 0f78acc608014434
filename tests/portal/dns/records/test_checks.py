from __future__ import annotations

import string
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.dns.records.checks import PLANS, check, limits_of
from portal.dns.records.findings import CODES, at_line, error
from portal.dns.records.neighbours import Neighbours
from portal.dns.records.types import TYPES
from portal.dns.records.values import Json, Value, key_of, value_of
from tests.portal.dns.zones import ZONE, as_records, records, value

PAID = PLANS["pro"]
DRAFT_ONLY = ("type", "name", "content", "data", "priority", "ttl", "proxied", "comment", "tags", "settings")


def codes(draft: dict[str, Any], **named: Any) -> list[tuple[str, str]]:
    return [(finding.field, finding.code) for finding in check(ZONE, draft, **named)[1]]


def a(**changes: Any) -> dict[str, Any]:
    return {"type": "A", "name": "www", "content": "1.1.1.1", **changes}


def txt(content: str, name: str = "www") -> dict[str, Any]:
    return {"type": "TXT", "name": name, "content": content}


def record(type_name: str, name: str, content: str, **changes: Any) -> Json:
    return {
        "id": f"{type_name}{name}{content}",
        "type": type_name,
        "name": name,
        "content": content,
        "ttl": 1,
        **changes,
    }


def srv(**changes: Any) -> dict[str, Any]:
    data = {"priority": 10, "weight": 5, "port": 5060, "target": "sip.example.net"}
    return {"type": "SRV", "name": "_sip._tcp", "data": data | changes}


class TestWhatIsRight:
    @hypothesis.settings(max_examples=50)
    @given(records())
    def test_valid_records_have_no_error_and_are_kept_as_they_are(self, zone: list[Value]) -> None:
        others = Neighbours(zone)
        for each in zone:
            draft = {name: each[name] for name in DRAFT_ONLY if name in each}
            found, findings = check(ZONE, draft, others=others, own=key_of(each), limits=PAID)
            assert [finding for finding in findings if finding.severity == "error"] == []
            assert found == each

    @given(value())
    def test_an_edit_keeps_what_it_does_not_name(self, one: Value) -> None:
        found, _ = check(ZONE, {"ttl": one["ttl"]}, before=one)
        assert found == one

    def test_what_is_left_out_takes_its_default(self) -> None:
        found, findings = check(ZONE, a())
        assert found == {"type": "A", "name": "www.example.com", "content": "1.1.1.1", "ttl": 1, "proxied": False}
        assert findings == []

    def test_parts_that_an_edit_does_not_name_stay_those_that_we_do_not_know_too(self) -> None:
        before = value_of({"type": "CAA", "name": ZONE, "data": {"flags": 0, "tag": "issue", "value": "x", "new": 1}})
        found, _ = check(ZONE, {"data": {"value": "y"}}, before=before)
        assert found is not None
        assert found["data"] == {"flags": 0, "tag": "issue", "value": "y", "new": 1}

    def test_empty_takes_comment_and_tags_away(self) -> None:
        before = value_of(record("A", "www.example.com", "1.1.1.1", comment="x", tags=["a"]))
        found, _ = check(ZONE, {"comment": "", "tags": []}, before=before)
        assert found is not None
        assert "comment" not in found
        assert "tags" not in found

    def test_a_text_that_is_only_split_otherwise_is_no_change(self) -> None:
        before = value_of(record("TXT", "www.example.com", '"ab" "cd"'))
        assert check(ZONE, {"content": "abcd"}, before=before)[0] == before

    def test_another_type_takes_no_content_along(self) -> None:
        before = value_of(record("MX", "www.example.com", "mx.example.net", priority=0, comment="kept"))
        found, _ = check(ZONE, {"type": "A", "content": "1.1.1.1"}, before=before)
        assert found is not None
        assert (found["content"], found.get("priority"), found["comment"]) == ("1.1.1.1", None, "kept")

    @pytest.mark.parametrize(
        ("draft", "expected"),
        [
            (txt("a" * 300), {"content": f'"{"a" * 255}" "{"a" * 45}"'}),
            (txt('say "hi" \\'), {"content": '"say \\"hi\\" \\\\"'}),
            ({"type": "SRV", "name": "_sip._tcp", "content": "10 5 5060 SIP.example.net."}, {"data": srv()["data"]}),
            ({**srv(), "priority": 0, "data": {"weight": 5, "port": 5060, "target": "sip.example.net"}},
             {"data": srv(priority=0)["data"]}),
            ({"type": "MX", "name": "@", "content": "MX.example.net.", "priority": 0}, {"content": "mx.example.net"}),
            ({"type": "AAAA", "name": "@", "content": "2606:4700:0:0::1111"}, {"content": "2606:4700::1111"}),
            ({"type": "CNAME", "name": "www", "content": "日本語.example"}, {"content": "xn--wgv71a119e.example"}),
            (a(proxied=True, ttl=300), {"ttl": 1, "proxied": True}),
        ],
    )  # fmt: skip
    def test_it_is_written_as_cloudflare_keeps_it(self, draft: dict[str, Any], expected: dict[str, Any]) -> None:
        found, _ = check(ZONE, draft)
        assert found is not None
        assert expected.items() <= found.items()


class TestByItself:
    @pytest.mark.parametrize(
        ("draft", "expected"),
        [
            ({}, [("type", "type-missing")]),
            ({"type": "HINFO"}, [("type", "type-unknown")]),
            ({"type": "A", "content": "1.1.1.1"}, [("name", "name-missing")]),
            (a(name="www.example.net."), [("name", "name-outside")]),
            (a(name="www.example.net"), [("name", "name-completed")]),
            (a(name="-x"), [("name", "name-characters")]),
            (a(name="a\u202eb"), [("name", "name-idna")]),
            (a(name="x_y"), [("name", "name-underscore")]),
            (a(name="xn--a"), [("name", "name-idn")]),
            (a(content=""), [("content", "content-missing")]),
            (a(content="1.1.1"), [("content", "address-v4")]),
            (a(content="01.1.1.1"), [("content", "address-v4")]),
            (a(content="10.0.0.1"), [("content", "address-private")]),
            (a(content="100.64.1.1"), [("content", "address-private")]),
            (a(content="127.0.0.1"), [("content", "address-private")]),
            (a(data={"x": 1}), [("data", "data-unexpected")]),
            ({"type": "AAAA", "name": "x", "content": "1.1.1.1"}, [("content", "address-v6")]),
            ({"type": "AAAA", "name": "x", "content": "fe80::1%eth0"}, [("content", "address-v6")]),
            ({"type": "AAAA", "name": "x", "content": "::1"}, [("content", "address-private")]),
            ({"type": "CNAME", "name": "x", "content": "192.0.2.1"}, [("content", "target-is-address")]),
            ({"type": "CNAME", "name": "x", "content": "x.example.com"}, [("content", "cname-self")]),
            ({"type": "CNAME", "name": "@", "content": "a.example.net"}, [("name", "cname-apex")]),
            ({"type": "CNAME", "name": "x", "content": "a b"},
             [("content", "host-characters"), ("content", "host-single")]),
            ({"type": "CNAME", "name": "x", "content": "*.example.net"}, [("content", "host-wildcard")]),
            ({"type": "NS", "name": "@", "content": "ns.example.net"}, [("name", "ns-apex")]),
            ({"type": "MX", "name": "@", "content": "mx.example.net"}, [("priority", "priority-missing")]),
            ({"type": "MX", "name": "@", "content": "m_x.example.net", "priority": 1},
             [("content", "host-underscore")]),
            ({"type": "MX", "name": "@", "content": ".", "priority": 5}, [("priority", "mx-null")]),
            ({"type": "MX", "name": "@", "content": ".", "priority": 0}, []),
            ({"type": "MX", "name": "@", "content": "mail", "priority": 0}, [("content", "host-single")]),
            (a(priority=1), [("priority", "priority-unexpected")]),
            (txt(""), [("content", "content-missing")]),
            (txt('""'), [("content", "content-missing")]),
            (txt('"open'), [("content", "txt-quotes")]),
            (txt('"a" b'), [("content", "txt-quotes")]),
            (txt("a" * 256), [("content", "txt-split")]),
            (txt("a" * 2049), [("content", "txt-long")]),
            (txt("a" * 4097), [("content", "txt-too-long")]),
            (txt("é" * 2049), [("content", "txt-too-long"), ("content", "txt-not-ascii")]),
            (txt("a\u202eb"), [("content", "txt-invisible")]),
            (txt("a\nb"), [("content", "txt-invisible")]),
            (txt("café"), [("content", "txt-not-ascii")]),
            (txt("v=DMARC1; p=none"), [("name", "dmarc-name")]),
            (a(ttl=59), [("ttl", "ttl-range")]),
            (a(ttl=86_401), [("ttl", "ttl-range")]),
            (a(ttl=60), []),
            (a(ttl=300, proxied=True), [("ttl", "ttl-proxied")]),
            (txt("x") | {"proxied": True}, [("proxied", "proxied-type")]),
            (a(comment="x" * 101), [("comment", "comment-too-long")]),
            (a(comment="x" * 100), []),
            (a(comment="a\nb"), [("comment", "comment-invisible")]),
            (a(tags=["a:b"]), [("tags", "tags-plan")]),
            (a(tags=["a b"]), [("tags", "tag-invalid"), ("tags", "tags-plan")]),
            ({"type": "OPENPGPKEY", "name": "x", "content": "no!"}, [("content", "base64")]),
            ({"type": "DS", "name": "@", "data": {"key_tag": 1, "algorithm": 8, "digest_type": 9, "digest": "ab"}},
             [("name", "ds-apex")]),
        ],
    )  # fmt: skip
    def test_plain_types(self, draft: dict[str, Any], expected: list[tuple[str, str]]) -> None:
        assert codes(draft) == expected

    @pytest.mark.parametrize(
        ("draft", "expected"),
        [
            (srv(), []),
            (srv(port=65_536), [("data.port", "part-range")]),
            (srv(port=-1), [("data.port", "part-range")]),
            (srv(port=1.5), [("data.port", "part-whole")]),
            (srv(port="5060"), [("data.port", "part-number")]),
            (srv(port=True), [("data.port", "part-number")]),
            (srv(port=float("nan")), [("data.port", "part-number")]),
            (srv(port=None), [("data.port", "part-missing")]),
            (srv(target=5), [("data.target", "part-text")]),
            (srv(target="."), []),
            (srv(target="192.0.2.1"), [("data.target", "target-is-address")]),
            (srv(extra=1), [("data.extra", "part-unknown")]),
            ({**srv(), "name": "sip"}, [("name", "name-srv")]),
            ({"type": "SRV", "name": "_a._tcp"}, [("data", "data-missing")]),
            ({"type": "SRV", "name": "_a._tcp", "content": "1 2"}, [("content", "data-unreadable")]),
            ({"type": "CAA", "name": "@", "data": {"tag": "issue", "value": "ca.example"}},
             []),
            ({"type": "CAA", "name": "@", "data": {"flags": 1, "tag": "issue", "value": ";"}},
             [("data.flags", "caa-flags")]),
            ({"type": "CAA", "name": "@", "data": {"tag": "else", "value": "x"}},
             [("data.tag", "caa-tag")]),
            ({"type": "CAA", "name": "@", "data": {"tag": "a b", "value": "x"}},
             [("data.tag", "part-choice")]),
            ({"type": "CAA", "name": "@", "data": {"tag": "iodef", "value": "me"}},
             [("data.value", "caa-iodef")]),
            ({"type": "CAA", "name": "@", "data": {"tag": "issue", "value": "a\nb"}},
             [("data.value", "part-invisible")]),
            ({"type": "HTTPS", "name": "@", "data": {"priority": 1, "target": ".", "value": "alpn=h2"}},
             []),
            ({"type": "HTTPS", "name": "@", "data": {"priority": 1, "target": ".", "value": "port=x"}},
             [("data", "data-invalid")]),
            ({"type": "HTTPS", "name": "@", "data": {"priority": 0, "target": "x.example", "value": "port=1"}},
             [("data", "data-invalid")]),
            ({"type": "TLSA", "name": "_443._tcp",
              "data": {"usage": 3, "selector": 1, "matching_type": 1, "certificate": "ab"}},
             [("data.certificate", "part-length")]),
            ({"type": "TLSA", "name": "x",
              "data": {"usage": 3, "selector": 1, "matching_type": 0, "certificate": "abc"}},
             [("name", "name-tlsa"), ("data.certificate", "part-hex")]),
            ({"type": "SSHFP", "name": "x", "data": {"algorithm": 4, "type": {}, "fingerprint": "ab"}},
             [("data.type", "part-number")]),
            ({"type": "CERT", "name": "x", "data": {"type": 1, "key_tag": 1, "algorithm": 1, "certificate": "?"}},
             [("data.certificate", "base64")]),
        ],
    )  # fmt: skip
    def test_types_with_parts(self, draft: dict[str, Any], expected: list[tuple[str, str]]) -> None:
        assert codes(draft) == expected

    def test_what_was_so_before_is_not_judged_again(self) -> None:
        before = value_of(record("A", "www.example.com", "1.1.1.1", ttl=30, comment="x" * 300, tags=["not a tag"]))
        found, findings = check(ZONE, {"content": "1.0.0.1"}, before=before)
        assert findings == []
        assert found == before | {"content": "1.0.0.1"}

    @pytest.mark.parametrize(
        "odd",
        [
            record("TXT", "-odd.example.com", "x" * 5000),
            record("A", "www.example.com", "10.0.0.1"),
            record("SVCB", "x_.example.com", "", data={"priority": 1, "target": "a.example.net", "value": "new"}),
            record("MX", ZONE, "mail", priority=0),
        ],
    )
    def test_what_cloudflare_has_taken_can_be_given_another_comment(self, odd: Json) -> None:
        before = value_of(odd)
        for draft in ({"comment": "x"}, before | {"comment": "x"}):
            assert check(ZONE, draft, before=before)[0] == before | {"comment": "x"}

    def test_plans_allow_different_things(self) -> None:
        assert codes(a(ttl=30), limits=limits_of("enterprise")) == []
        assert codes(a(comment="x" * 500, tags=["a:b"]), limits=limits_of("pro")) == []
        assert limits_of(None) == limits_of("something new") == PLANS["free"]


class TestBesideOthers:
    @pytest.mark.parametrize(
        ("draft", "others", "expected"),
        [
            (a(), [record("A", "www.example.com", "1.1.1.1", ttl=300)], [("content", "duplicate")]),
            (a(), [record("A", "www.example.com", "1.0.0.1")], []),
            (a(), [record("CNAME", "www.example.com", "x.example.net")], [("name", "cname-there")]),
            ({"type": "CNAME", "name": "www", "content": "x.example.net"},
             [record("A", "www.example.com", "1.1.1.1"), record("AAAA", "www.example.com", "::2")],
             [("name", "cname-conflict")]),
            ({"type": "CNAME", "name": "www", "content": "x.example.net"}, [record("TXT", "www.example.com", "x")],
             [("name", "cname-beside")]),
            ({"type": "CNAME", "name": "www", "content": "x.example.net", "proxied": True},
             [record("TXT", "www.example.com", "x")], []),
            ({"type": "CNAME", "name": "@", "content": "x.example.net"},
             [record("TXT", ZONE, "x"), record("NS", ZONE, "ns.example.net")], [("name", "cname-apex")]),
            (txt("x"), [record("CNAME", "www.example.com", "x.example.net")], [("name", "cname-beside")]),
            (txt("v=spf1 -all", "@"), [record("TXT", ZONE, '"V=SPF1 " "mx ~all"')], [("content", "spf-second")]),
            (txt("v=spf1 -all", "@"), [record("TXT", ZONE, "v=spf10 -all")], []),
            (txt("v=DMARC1; p=none", "_dmarc"), [record("TXT", "_dmarc.example.com", "v=DMARC1;p=reject")],
             [("content", "dmarc-second")]),
            ({"type": "MX", "name": "@", "content": "mail.example.com", "priority": 1},
             [record("CNAME", "mail.example.com", "x.example.net")], [("content", "target-is-cname")]),
            ({"type": "MX", "name": "@", "content": "mail.example.com", "priority": 1},
             [record("A", "other.example.com", "1.1.1.1")], [("content", "target-missing")]),
            ({"type": "MX", "name": "@", "content": "mail.example.com", "priority": 1},
             [record("A", "*.example.com", "1.1.1.1")], []),
            ({"type": "MX", "name": "@", "content": "mx.example.net", "priority": 1},
             [record("MX", ZONE, "route1.mx.cloudflare.net", priority=5, meta={"read_only": True})],
             [("", "mx-email-routing")]),
            ({"type": "DS", "name": "sub",
              "data": {"key_tag": 1, "algorithm": 8, "digest_type": 1, "digest": "ab" * 20}},
             [], [("", "ds-without-ns")]),
        ],
    )  # fmt: skip
    def test_what_can_not_stand_there(
        self, draft: dict[str, Any], others: list[Json], expected: list[tuple[str, str]]
    ) -> None:
        assert codes(draft, others=others) == expected

    def test_two_spf_records_that_are_there_can_be_edited_down_to_one(self) -> None:
        before = value_of(record("TXT", ZONE, "v=spf1 -all"))
        found, findings = check(
            ZONE, {"content": "v=spf1 mx -all"}, before=before, others=[record("TXT", ZONE, "v=spf1 a -all")]
        )
        assert found is not None
        assert [(finding.code, finding.severity) for finding in findings] == [("spf-second", "warning")]


class TestTexts:
    def test_what_came_from_outside_is_quoted_cut_and_visible(self) -> None:
        _, (finding,) = check(ZONE, a(content="\u202e<b>\x1b" + "x" * 5000))
        assert finding.text == f'"\\u202e<b>\\u001b{"x" * 95}…" is no IPv4 address'

    @given(st.fixed_dictionaries({}, optional={
        "type": st.sampled_from((*TYPES, "X")), "name": st.text(max_size=80), "content": st.text(max_size=300),
        "data": st.dictionaries(
            st.sampled_from(("priority", "target", "value", "tag", "flags", "certificate", "type", "x")),
            st.one_of(st.none(), st.floats(), st.integers(), st.text(max_size=9), st.lists(st.none())),
        ),
        "priority": st.integers(0, 70_000), "ttl": st.integers(0, 2**31), "proxied": st.booleans(),
        "comment": st.text(max_size=200), "tags": st.lists(st.text(max_size=20), max_size=3),
    }))  # fmt: skip
    def test_any_draft_is_judged_without_an_exception_and_on_one_line(self, draft: dict[str, Any]) -> None:
        found, findings = check(ZONE, draft)
        assert (found is None) == any(finding.severity == "error" for finding in findings)
        for finding in findings:
            assert finding.code in CODES
            assert finding.text.isprintable()
        if found is not None:
            assert value_of(as_records([found])[0]) == found

    def test_every_code_is_a_sentence_whose_params_have_names(self) -> None:
        for code, text in CODES.items():
            names = [name for _, name, _, _ in string.Formatter().parse(text) if name is not None]
            assert all(name.isidentifier() for name in names), code

    def test_a_finding_of_a_file_says_its_line_once(self) -> None:
        once = at_line(error("content", "address-v4", content="x"), 7)
        assert once.text == 'line 7: "x" is no IPv4 address'
        assert at_line(once, 8) == once
