from __future__ import annotations

import time
from typing import Any

import dns.rdatatype
import dns.zonefile
import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.dns.files import imports, zone_file
from portal.dns.records.checks import PLANS
from portal.dns.records.text import chunks
from portal.dns.records.values import Value, key_of, keyed, value_of
from tests.portal.dns.zones import ZONE, as_records, records

PAID = PLANS["pro"]
RFC_1035 = """\
$ORIGIN example.com.
@   IN  SOA     venera      action\\.domains (
                                 20     ; SERIAL
                                 7200   ; REFRESH
                                 600    ; RETRY
                                 3600000; EXPIRE
                                 60)    ; MINIMUM

        NS      a.isi.edu.
        NS      venera
        MX      10      venera
        MX      20      vaxa

a       A       26.3.0.103
venera  3600 IN A       10.1.0.52
        A       128.9.0.32
vaxa IN 1h30m   A       10.2.0.27
"""


def drafts(text: str) -> list[dict[str, Any]]:
    lines, found = zone_file.parse(ZONE, text)
    assert found == []
    return [line.draft for line in lines]


def codes(text: str) -> list[tuple[str, int]]:
    return [(finding.code, finding.params["line"]) for finding in zone_file.parse(ZONE, text)[1]]


class TestRoundTrip:
    @hypothesis.settings(max_examples=60)
    @given(records())
    def test_other_name_servers_read_the_same_records(self, zone: list[Value]) -> None:
        """dnspython's own reader stands for them; line by line, as it refuses what Cloudflare flattens."""
        read = set()
        for line in zone_file.dump(ZONE, zone).splitlines()[3:]:
            (rrset,) = dns.zonefile.read_rrsets(line, rdclass=None, relativize=False)
            type_, name = dns.rdatatype.to_text(rrset.rdtype), rrset.name.to_text(omit_final_dot=True)
            read |= {(name, type_, getattr(each, "strings", None)) for each in rrset}
        assert read == {
            (each["name"], each["type"], tuple(chunks(each["content"])) if each["type"] == "TXT" else None)
            for each in zone
        }

    @hypothesis.settings(max_examples=40)
    @given(records(max_size=6))
    def test_importing_an_export_changes_nothing(self, zone: list[Value]) -> None:
        present = keyed(as_records(zone))
        for replace in (False, True):
            read = imports.read(ZONE, "bind", zone_file.dump(ZONE, present.values()), present, replace=replace)
            assert read.wish == {key: value_of(record) for key, record in present.items()}

    def test_two_records_with_one_key_are_two_lines(self) -> None:
        zone = [{"type": "TXT", "name": ZONE, "content": '"x"', "ttl": ttl, "proxied": False} for ttl in (1, 60)]
        assert zone_file.dump(ZONE, zone).count("TXT") == 2


class TestCloudflaresOwn:
    """The examples of its documentation, "Import and export records"."""

    @pytest.mark.parametrize(
        ("comment", "expected"),
        [
            ("; \tcf_tags=awesome", {"tags": ["awesome"]}),
            (
                '; cf_tags=tag1,tag2:value2,tag3:"value,with,commas",tag4:"value with \\"escaped\\" quotation marks"',
                {
                    "tags": [
                        "tag1",
                        "tag2:value2",
                        "tag3:value,with,commas",
                        'tag4:value with "escaped" quotation marks',
                    ]
                },
            ),
            ("; just a comment without tags", {"comment": "just a comment without tags"}),
            (
                "; this comment contains cf_tags= as text cf_tags=",
                {"comment": "this comment contains cf_tags= as text"},
            ),
            (
                "; simple example cf_tags=important,ticket:THIS-12345",
                {"comment": "simple example", "tags": ["important", "ticket:THIS-12345"]},
            ),
            ('; cf_tags=a:"",b:,c', {"tags": ["a", "b", "c"]}),
            ("", {}),
        ],
    )
    def test_comments_and_tags(self, comment: str, expected: dict[str, Any]) -> None:
        (draft,) = drafts(f"a.example.com.  60  IN  A   1.1.1.1 {comment}\n")
        assert draft == {"type": "A", "name": "a.example.com", "content": "1.1.1.1", "ttl": 60, **expected}

    def test_reserved_tags_are_settings(self) -> None:
        first, second, third = drafts(
            "a.example.com.\t1\tIN\tCNAME\texample.net. ; cf_tags=test:1,cf-flatten-cname\n"
            "b.example.com.\t1\tIN\tCNAME\texample.net. ; cf_tags=cf-proxied:false\n"
            "c.example.com.\t1\tIN\tCNAME\texample.net. ; cf_tags=tag-without-value,cf-proxied:true\n"
        )
        assert (first["settings"], first["tags"]) == ({"flatten_cname": True}, ["test:1"])
        assert "proxied" not in first
        assert (second["proxied"], second["tags"]) == (False, [])
        assert (third["proxied"], third["tags"]) == (True, ["tag-without-value"])

    def test_its_export_says_all_of_each_record_and_a_file_by_hand_does_not(self) -> None:
        present = keyed([
            {"id": "1", "type": "A", "name": "a.example.com", "content": "192.0.2.1", "ttl": 1, "proxied": True,
             "comment": "mine", "tags": ["x:y"]},
        ])  # fmt: skip
        by_hand = imports.read(ZONE, "bind", "a 1 A 192.0.2.1", present, replace=True).wish
        assert by_hand == {key: value_of(record) for key, record in present.items()}
        exported = imports.read(ZONE, "bind", "a 1 A 192.0.2.1 ; cf_tags=cf-proxied:true", present, replace=True).wish
        (value,) = exported.values()
        assert value == {"type": "A", "name": "a.example.com", "content": "192.0.2.1", "ttl": 1, "proxied": True}


class TestReading:
    def test_the_example_of_rfc_1035(self) -> None:
        found = drafts(RFC_1035)
        assert [(each["type"], each["name"], each.get("content"), each.get("ttl")) for each in found] == [
            ("SOA", "example.com", None, None),
            ("NS", "example.com", "a.isi.edu", None),
            ("NS", "example.com", "venera.example.com", None),
            ("MX", "example.com", "venera.example.com", None),
            ("MX", "example.com", "vaxa.example.com", None),
            ("A", "a.example.com", "26.3.0.103", None),
            ("A", "venera.example.com", "10.1.0.52", 3600),
            ("A", "venera.example.com", "128.9.0.32", 3600),
            ("A", "vaxa.example.com", "10.2.0.27", 5400),
        ]

    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ("$TTL 2h\nwww A 192.0.2.1", {"ttl": 7200}),
            ("$ORIGIN sub\nwww A 192.0.2.1", {"name": "www.sub.example.com"}),
            ("$ORIGIN .\nwww.example.com A 192.0.2.1", {"name": "www.example.com"}),
            ("@ A 192.0.2.1", {"name": "example.com"}),
            (r"\119ww A 192.0.2.1", {"name": "www.example.com"}),
            ("日本語 A 192.0.2.1", {"name": "xn--wgv71a119e.example.com"}),
            ("in 60 IN A 192.0.2.1", {"name": "in.example.com", "ttl": 60}),
            ("x TXT unquoted", {"content": '"unquoted"'}),
            ('x TXT "a;b" "c" ; d', {"content": '"a;b" "c"', "comment": "d"}),
            (r'x TXT "caf\195\169 \"q\" \\"', {"content": r'"café \"q\" \\"'}),
            ('x TXT ( "a"\n  "b" ; inside\n )', {"content": '"a" "b"', "comment": "inside"}),
            ("x SRV 10 5 5060 sip", {"data": {"priority": 10, "weight": 5, "port": 5060, "target": "sip.example.com"}}),
            ('x CAA 0 issue "ca.example; a=b"', {"data": {"flags": 0, "tag": "issue", "value": "ca.example; a=b"}}),
            (
                "x HTTPS 1 . alpn=h3,h2 port=443",
                {"data": {"priority": 1, "target": ".", "value": "alpn=h3,h2 port=443"}},
            ),
            ("x DS 1 8 1 (ab\n cd)", {"data": {"key_tag": 1, "algorithm": 8, "digest_type": 1, "digest": "abcd"}}),
            (
                'x URI 10 1 "https://a.example/?b"',
                {"priority": 10, "data": {"weight": 1, "target": "https://a.example/?b"}},
            ),
        ],
    )
    def test_one_record(self, line: str, expected: dict[str, Any]) -> None:
        (draft,) = drafts(line)
        assert expected.items() <= draft.items()

    def test_a_location_may_leave_out_what_has_a_default(self) -> None:
        (draft,) = drafts("x LOC 52 N 4 30.5 E -2.5m\n")
        assert draft["data"] == {
            "lat_degrees": 52, "lat_minutes": 0, "lat_seconds": 0, "lat_direction": "N",
            "long_degrees": 4, "long_minutes": 30.5, "long_seconds": 0, "long_direction": "E",
            "altitude": -2.5, "size": 1, "precision_horz": 10_000, "precision_vert": 10,
        }  # fmt: skip

    def test_a_byte_order_mark_and_windows_line_ends_are_no_matter(self) -> None:
        assert [each["name"] for each in drafts("\ufeffa A 192.0.2.1\r\nb A 192.0.2.1\r\n")] == [
            "a.example.com",
            "b.example.com",
        ]


class TestHostile:
    @pytest.mark.parametrize(
        ("line", "code"),
        [
            ("$INCLUDE /etc/passwd", "line-include"),
            ("$GENERATE 1-99999999 a$ A 192.0.2.1", "line-generate"),
            ("$WHAT ever", "line-directive"),
            ("$TTL never", "line-directive"),
            ('x TXT "open', "line-unreadable"),
            ("x TXT a\\", "line-unreadable"),
            ("x A )", "line-unreadable"),
            ("x CH A 192.0.2.1", "line-class"),
            ("x 60", "line-unreadable"),
            ("x A", "line-unreadable"),
            ("x A 192.0.2.1 192.0.2.2", "line-unreadable"),
            ("x MX mail", "line-unreadable"),
            ("x SRV 1 2 3", "line-unreadable"),
            ("x SRV a b c d", "line-unreadable"),
            ("x LOC here", "line-unreadable"),
            ("x LOC 1 N 2 E 99e999m", "line-unreadable"),
            ("x HINFO a b", "line-unreadable"),
            ("x A 192.0.2.1 ; cf_tags=a b c", "line-unreadable"),
        ],
    )
    def test_a_wrong_line_is_a_finding_and_the_others_are_taken(self, line: str, code: str) -> None:
        text = f"a A 192.0.2.1\n{line}\nb A 192.0.2.2\n"
        lines, _ = zone_file.parse(ZONE, text)
        assert [each.draft["name"] for each in lines] == ["a.example.com", "b.example.com"]
        assert codes(text) == [(code, 2)]

    def test_a_parenthesis_that_is_not_closed_takes_the_rest_of_the_file(self) -> None:
        assert codes("a A 192.0.2.1\nb TXT ( x\nc A 192.0.2.1\n") == [("line-unreadable", 2)]

    def test_a_comment_from_outside_can_not_end_its_line(self) -> None:
        zone = [
            {"type": "A", "name": "a.example.com", "content": "192.0.2.1", "ttl": 1, "proxied": False,
             "comment": "x\r\n@ NS evil.example.\u2028y"},
        ]  # fmt: skip
        assert len(zone_file.dump(ZONE, zone).splitlines()) == 4

    @given(st.text(max_size=200))
    def test_any_text_is_read_without_an_exception(self, text: str) -> None:
        zone_file.parse(ZONE, text)

    @hypothesis.settings(max_examples=50)
    @given(st.lists(st.sampled_from([*' \n()";\\aA@1', "TXT", "$TTL", "IN", "cf_tags="]), max_size=30).map("".join))
    def test_any_heap_of_what_is_special_is_read_or_said(self, text: str) -> None:
        result = imports.read(ZONE, "bind", text, {}, replace=False)
        assert all(key == key_of(value) for key, value in result.wish.items() if value is not None)

    def test_five_megabytes_of_ten_thousand_records_are_read_in_seconds(self) -> None:
        text = "".join(f'h{number} 300 IN TXT "{"x" * 240}" "{"y;z" * 78}" ; c\n' for number in range(10_000))
        assert len(text) > 5_000_000
        started = time.process_time()
        result = imports.read(ZONE, "bind", text, {}, replace=False)
        took_s = time.process_time() - started
        assert len(result.wish) == 10_000
        assert took_s < 6  # measured 1.2 s of CPU; the bound only keeps out what grows with the square

    def test_more_records_than_any_zone_has_are_not_read(self) -> None:
        text = "a A 192.0.2.1\n" * 20_001
        lines, found = zone_file.parse(ZONE, text)
        assert len(lines) == 20_000
        assert [finding.code for finding in found] == ["line-too-many"]
