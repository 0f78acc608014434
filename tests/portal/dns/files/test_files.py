"""CSV and JSON, and what an import makes of any file."""

from __future__ import annotations

import csv
import io
import json
import random
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.dns.files import csv_file, imports, json_file
from portal.dns.records.checks import PLANS, check
from portal.dns.records.tags import read_tags, written_tags
from portal.dns.records.values import Json, Value, is_fixed, key_of, keyed, value_of
from portal.dns.schemas import Format
from tests.portal.dns.zones import ZONE, as_records, records

PAID = PLANS["pro"]
FORMATS: tuple[Format, ...] = ("bind", "csv", "json")


def record(type_name: str, name: str, content: str, **changes: Any) -> Json:
    given_id = f"{type_name}{name}{content}"
    return {"id": given_id, "type": type_name, "name": name, "content": content, "ttl": 1, "proxied": False, **changes}


def imported(kind: Format, text: str, present: list[Json], *, replace: bool = False) -> imports.Import:
    return imports.read(ZONE, kind, text, keyed(present), replace=replace, limits=PAID)


def codes(result: imports.Import) -> list[tuple[str, int]]:
    return [(finding.code, finding.params["line"]) for finding in result.findings]


@pytest.mark.parametrize("kind", FORMATS)
class TestEveryFormat:
    @hypothesis.settings(max_examples=40)
    @given(zone=records(), order=st.randoms(use_true_random=False))
    def test_equal_zones_give_equal_bytes_and_come_back(
        self, kind: Format, zone: list[Value], order: random.Random
    ) -> None:
        written = imports.WRITERS[kind](ZONE, zone)
        shuffled = as_records(zone)
        order.shuffle(shuffled)
        assert imports.WRITERS[kind](ZONE, shuffled) == written
        lines, found = imports.READERS[kind](ZONE, written)
        assert found == []
        values = [check(ZONE, line.draft, limits=PAID)[0] for line in lines]
        assert keyed(filter(None, values)) == keyed(zone)

    @hypothesis.settings(max_examples=60)
    @given(zone=records(max_size=6), other=records(max_size=6))
    def test_replacing_makes_a_zone_equal_to_the_file(
        self, kind: Format, zone: list[Value], other: list[Value]
    ) -> None:
        present = keyed(as_records(zone))
        written = imports.WRITERS[kind](ZONE, other)
        result = imports.read(ZONE, kind, written, present, replace=True, limits=PAID)
        assert [finding for finding in result.findings if finding.severity == "error"] == []
        after = {key: value_of(record) for key, record in present.items()} | result.wish
        assert imports.WRITERS[kind](ZONE, filter(None, after.values())) == written

    @hypothesis.settings(max_examples=50)
    @given(text=st.text(max_size=100))
    def test_any_text_is_read_or_refused(self, kind: Format, text: str) -> None:
        assert all(value is not None for value in imported(kind, text, []).wish.values())

    def test_record_of_a_type_that_can_not_be_written_outlives_an_export_and_sync(self, kind: Format) -> None:
        present = [record("SPF", ZONE, "v=spf1 -all"), record("A", "www.example.com", "192.0.2.1")]
        written = imports.WRITERS[kind](ZONE, present)
        assert kind != "bind" or f"; not exported: SPF {ZONE}" in written.splitlines()
        result = imported(kind, written, present, replace=True)
        assert None not in result.wish.values()
        assert [(found.code, found.severity) for found in result.findings] == (
            [] if kind == "bind" else [("line-type-kept", "warning")]
        )
        assert None not in imported(kind, imports.WRITERS[kind](ZONE, []), present[:1], replace=True).wish.values()


class TestCsv:
    @pytest.mark.parametrize("evil", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "'", "'=1", "=cmd|' /C calc'!A0", "\r=1"])
    def test_no_cell_is_run_as_a_formula_and_each_is_read_back(self, evil: str) -> None:
        zone = [record("TXT", ZONE, '"x"', comment=evil, tags=["note:=1"])]
        written = csv_file.dump(ZONE, zone)
        for row in csv.reader(io.StringIO(written, newline="")):
            assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) for cell in row)
        (line,) = csv_file.parse(ZONE, written)[0]
        assert line.draft["comment"] == evil

    def test_columns_may_stand_in_any_order_and_be_missing(self) -> None:
        lines, found = csv_file.parse(ZONE, '\ufeffName,TYPE,content\r\nwww,A,192.0.2.1\r\n\r\n@,TXT,"a, ""b"""\r\n')
        assert found == []
        assert [(line.number, line.draft) for line in lines] == [
            (2, {"name": "www", "type": "A", "content": "192.0.2.1"}),
            (4, {"name": "@", "type": "TXT", "content": 'a, "b"'}),
        ]

    def test_what_the_file_has_no_column_for_stays(self) -> None:
        present = [record("A", "www.example.com", "192.0.2.1", comment="mine", proxied=True)]
        (value,) = imported("csv", "type,name,content\nA,www,192.0.2.1\n", present).wish.values()
        assert value == value_of(present[0])
        (value,) = imported("csv", "type,name,content,comment,proxied\nA,www,192.0.2.1,,\n", present).wish.values()
        assert value is not None
        assert "comment" not in value
        assert value["proxied"] is False

    @pytest.mark.parametrize(
        ("text", "code"),
        [
            ("", "file-form"),
            ("type,content\nA,x\n", "file-form"),
            ("type,name,nonsense\nA,x,y\n", "file-form"),
            ("type,type,name\nA,A,x\n", "file-form"),
            ("type,name,ttl\nA,x,soon\n", "line-unreadable"),
            ("type,name,proxied\nA,x,perhaps\n", "line-unreadable"),
            ("type,name,data\nSRV,x,[1]\n", "line-unreadable"),
            ("type,name,data\nSRV,x,{\n", "line-unreadable"),
            ("type,name,content,settings\nA,x,192.0.2.1," + '"{""x"": 1e999}"' + "\n", "line-unreadable"),
            ("type,name,data\nSRV,x," + '"{""a"":""\\ud800""}"' + "\n", "line-unreadable"),
            ("type,name,tags\nA,x,a b\n", "line-unreadable"),
            ("type,name\nA\n", "line-unreadable"),
            ('type,name\nA,"open\n', "line-unreadable"),
            (f"type,name\nA,{'x' * 200_000}\n", "line-unreadable"),
        ],
    )
    def test_what_is_wrong_is_said(self, text: str, code: str) -> None:
        lines, found = csv_file.parse(ZONE, text)
        assert lines == []
        assert [finding.code for finding in found] == [code]


class TestJson:
    def test_cloudflares_own_answer_is_read(self) -> None:
        zone = [record("MX", ZONE, "mx.example.net", priority=0, comment=None, tags=[], meta={}, settings={})]
        (value,) = imported("json", json.dumps({"result": zone, "success": True}), []).wish.values()
        assert value == value_of(zone[0])

    @pytest.mark.parametrize(
        "text",
        [
            *("", "nonsense", "{}", '"x"', "[" * 100_000, '[{"ttl": NaN}]', '[{"type": "A", "comment": "\\ud800"}]'),
            '[{"type": "A", "name": "x", "content": "192.0.2.1", "settings": {"x": -1e999}}]',
        ],
    )
    def test_what_is_no_list_of_records_is_refused(self, text: str) -> None:
        lines, found = json_file.parse(ZONE, text)
        assert lines == []
        assert [finding.code for finding in found] == ["file-form"]

    @pytest.mark.parametrize("wrong", [5, {"type": 5}, {"ttl": True}, {"proxied": 1}, {"tags": [1]}, {"data": []}])
    def test_a_record_of_the_wrong_form_is_a_finding(self, wrong: object) -> None:
        lines, found = json_file.parse(ZONE, json.dumps([{"type": "A", "name": "x"}, wrong]))
        assert [line.number for line in lines] == [1]
        assert [(finding.code, finding.params["line"]) for finding in found] == [("line-unreadable", 2)]


class TestImport:
    PRESENT = (
        record("SOA", ZONE, "ns.example.net. x. 1 2 3 4 5"),
        record("NS", ZONE, "ns1.example.net"),
        record("MX", ZONE, "route1.mx.cloudflare.net", priority=5, meta={"email_routing": True, "read_only": True}),
        record("A", "www.example.com", "192.0.2.1", comment="mine", tags=["a:b"], proxied=True),
        record("TXT", "www.example.com", "old"),
    )

    def present(self) -> list[Json]:
        return list(self.PRESENT)

    def test_merging_leaves_what_the_file_lacks(self) -> None:
        wish = imported("bind", "new A 192.0.2.9", self.present()).wish
        assert [key.rpartition(" ")[0] for key in wish] == ["A new.example.com"]

    def test_replacing_leaves_the_zones_own_and_what_email_routing_keeps(self) -> None:
        wish = imported("bind", "new A 192.0.2.9", self.present(), replace=True).wish
        gone = {key for key, value in wish.items() if value is None}
        assert gone == {key_of(each) for each in self.PRESENT[3:]}
        assert not any(is_fixed(ZONE, value) for value in wish.values() if value is not None)

    def test_replacing_changes_the_one_record_of_a_name_and_keeps_what_a_file_by_hand_can_not_say(self) -> None:
        wish = imported("bind", "www 300 A 192.0.2.2", self.present(), replace=True).wish
        new = next(value for value in wish.values() if value is not None)
        assert new["content"] == "192.0.2.2"
        assert (new["comment"], new["tags"], new["proxied"]) == ("mine", ["a:b"], True)

    def test_what_can_not_be_taken_is_said_with_its_line(self) -> None:
        text = "\n".join((
            "@ SOA a b 1 2 3 4 5",
            "@ NS other.example.net.",
            "@ NS ns1.example.net.",
            "@ 300 MX 5 route1.mx.cloudflare.net.",
            "@ MX 10 mx.example.net.",
            "x A 192.0.2.999",
            "x A 8.8.8.8",
            "x 600 A 8.8.8.8",
            "www CNAME x.example.net.",
            "y A 10.0.0.1",
        ))  # fmt: skip
        result = imported("bind", text, self.present())
        assert codes(result) == [
            ("line-soa", 1),
            ("line-apex-ns", 2),
            ("line-locked", 4),
            ("mx-email-routing", 5),
            ("address-v4", 6),
            ("line-duplicate", 8),
            ("cname-conflict", 9),
            ("address-private", 10),
        ]
        assert [key.rpartition(" ")[0] for key in result.wish] == ["A x.example.com", "A y.example.com"]

    def test_what_conflicts_only_until_the_file_has_replaced_it_is_taken(self) -> None:
        result = imported("bind", "www CNAME x.example.net.", self.present(), replace=True)
        assert codes(result) == []
        assert "CNAME www.example.com" in {key.rpartition(" ")[0] for key in result.wish}

    def test_a_line_that_is_left_alone_takes_nothing_away_at_its_name(self) -> None:
        text = f"www 300 A 999.1.1.1\nwww TXT {'x' * 5000}"
        result = imported("bind", text, self.present(), replace=True)
        assert codes(result) == [("address-v4", 1), ("txt-too-long", 2)]
        assert result.wish == {}

    def test_a_second_spf_record_is_left_alone_and_the_first_stays(self) -> None:
        present = [record("TXT", ZONE, "v=spf1 -all")]
        text = '@ TXT "v=spf1 -all"\n@ TXT "v=spf1 mx -all"\n'
        result = imported("bind", text, present, replace=True)
        assert codes(result) == [("spf-second", 2)]
        assert list(result.wish.values()) == [value_of(present[0])]


class TestTags:
    @given(st.lists(st.tuples(st.from_regex(r"[A-Za-z0-9_-]{1,9}", fullmatch=True), st.text(max_size=20)), max_size=5))
    def test_a_list_is_read_as_it_was_written(self, pairs: list[tuple[str, str]]) -> None:
        tags = [f"{name}:{text}" if text else name for name, text in pairs]
        assert read_tags(written_tags(tags)) == tags

    @pytest.mark.parametrize("wrong", ["a b", ",", 'a:"open', "é:a", 'a:"x"y'])
    def test_what_is_no_list_is_refused(self, wrong: str) -> None:
        with pytest.raises(ValueError, match=r"."):
            read_tags(wrong)
