from __future__ import annotations

import base64
from collections.abc import Callable

import httpx
import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.dns.records.names import a_labels, faults, full_name, unicode_name
from portal.dns.records.types import TYPES, type_table
from portal.dns.records.values import Json, Value, is_fixed, is_locked, key_of, keyed, value_of
from portal.dns.records.view import view
from tests.fakes.cloudflare import CloudflareFake
from tests.portal.dns.zones import ZONE, as_records, records, value

HOME = "home.example"


def a_record(**changes: object) -> Json:
    return {"id": "1", "type": "A", "name": "www.example.com", "content": "192.0.2.7", "ttl": 300, **changes}


class TestKey:
    def test_it_names_type_and_name_and_what_makes_the_record_one_of_its_kind(self) -> None:
        assert key_of(a_record()).startswith("A www.example.com ")
        assert key_of(a_record()) != key_of(a_record(content="192.0.2.8"))

    @pytest.mark.parametrize(
        "changes", [{"ttl": 1}, {"proxied": True}, {"comment": "x"}, {"tags": ["a:b"]}, {"id": "2"}]
    )
    def test_what_stands_beside_does_not_enter_into_it(self, changes: Json) -> None:
        assert key_of(a_record(**changes)) == key_of(a_record())

    @pytest.mark.parametrize(
        ("type_name", "one", "other"),
        [
            ("TXT", "v=spf1 -all", '"v=spf1 " "-all"'),
            ("TXT", 'say "hi"', r'"say \"hi\""'),
            ("TXT", '"caf\\195\\169"', "café"),
            ("CNAME", "Mail.Example.NET.", "mail.example.net"),
            ("CNAME", "日本語.example", "xn--wgv71a119e.example"),
            ("AAAA", "2001:DB8:0:0::1", "2001:db8::1"),
            ("OPENPGPKEY", "bWFp bA==", "bWFpbA=="),
        ],
    )
    def test_content_is_taken_by_meaning(self, type_name: str, one: str, other: str) -> None:
        first, second = (a_record(type=type_name, content=content) for content in (one, other))
        assert key_of(first) == key_of(second)

    @pytest.mark.parametrize(
        ("type_name", "one", "other"),
        [
            ("SRV", {"priority": 1.0, "weight": 0, "port": 5060.0, "target": "SIP.example.net."},
             {"priority": 1, "weight": 0, "port": 5060, "target": "sip.example.net"}),
            ("HTTPS", {"priority": 1, "target": ".", "value": "alpn=h2,h3 port=443"},
             {"priority": 1, "target": ".", "value": 'port="443" alpn="h2,h3"'}),
            ("HTTPS", {"priority": 0, "target": "x.example"}, {"priority": 0, "target": "x.example", "value": ""}),
            ("SSHFP", {"algorithm": 4, "type": 1, "fingerprint": "ABCDEF"},
             {"algorithm": 4, "type": 1, "fingerprint": "abc def"}),
            ("CAA", {"tag": "Issue", "value": "ca.example"}, {"flags": 0, "tag": "issue", "value": "ca.example"}),
        ],
    )  # fmt: skip
    def test_parts_are_taken_by_meaning(self, type_name: str, one: Json, other: Json) -> None:
        first, second = (a_record(type=type_name, data=data) for data in (one, other))
        assert key_of(first) == key_of(second)

    def test_content_without_parts_is_read(self) -> None:
        data = {"priority": 10, "weight": 5, "port": 5060, "target": "sip.example.net"}
        parts = a_record(type="SRV", data=data)
        assert key_of(a_record(type="SRV", content="5 5060 sip.example.net", priority=10)) == key_of(parts)
        assert key_of(a_record(type="SRV", content="10 5 5060 sip.example.net.")) == key_of(parts)

    def test_one_host_with_two_priorities_is_two_records(self) -> None:
        mx = [a_record(type="MX", content="mx.example.net", priority=priority) for priority in (0, 10)]
        assert len(keyed(mx)) == 2

    def test_a_second_record_of_a_key_has_a_number_behind_it_by_id(self) -> None:
        same = [a_record(id=id_) for id_ in ("b", "c", "a")]
        for order in (same, same[::-1]):
            found = keyed(order)
            assert [record["id"] for _, record in sorted(found.items())] == ["a", "b", "c"]
            assert [key.partition("#")[2] for key in sorted(found)] == ["", "2", "3"]

    @given(value(), st.data())
    def test_any_respelling_has_the_same_key(self, one: Value, data: st.DataObject) -> None:
        other = respelled(one, data.draw)
        assert key_of(other) == key_of(one)
        assert value_of(other) == one or one["type"] in ("HTTPS", "SVCB", "TXT")


def respelled(one: Value, draw: Callable[..., bool]) -> Json:
    """A value as others may write it: case, final dots, floats, quotes."""
    other: Json = {**one, "name": f"{one['name'].upper()}."}
    kind = TYPES[one["type"]].content
    if kind in ("host", "ipv6") and "content" in one:
        other["content"] = one["content"].upper() + ("." if kind == "host" and one["content"] != "." else "")
    if "priority" in one:
        other["priority"] = float(one["priority"])
    if "data" in one:
        kinds = {part.name: part.kind for part in TYPES[one["type"]].parts}
        other["data"] = {
            name: float(each) if kinds[name] == "integer" and draw(st.booleans())
            else each.upper() if kinds[name] in ("hex", "host")
            else each
            for name, each in one["data"].items()
        }  # fmt: skip
    return other


class TestValue:
    def test_what_says_nothing_is_left_out_and_zero_and_false_stay(self) -> None:
        mx = a_record(type="MX", priority=0, proxied=False, comment=None, tags=[], settings={"flatten_cname": False})
        assert value_of(mx) == {
            "type": "MX", "name": "www.example.com", "content": "192.0.2.7", "ttl": 300,
            "proxied": False, "priority": 0,
        }  # fmt: skip

    def test_it_is_the_body_that_the_sdk_takes(self) -> None:
        """A body of a type with parts has no content, and priority only MX and URI have beside it."""
        srv = a_record(
            type="SRV", content="5 5060 x.example", priority=10, data={"priority": 10, "weight": 5, "port": 5060,
            "target": "x.example"}
        )  # fmt: skip
        assert value_of(srv).keys() == {"type", "name", "data", "ttl", "proxied"}

    def test_parts_and_members_that_we_do_not_know_stay(self) -> None:
        odd = a_record(type="CAA", data={"flags": 0, "tag": "issue", "value": "x", "new": [1]}, private_routing=True)
        assert value_of(odd)["data"]["new"] == [1]
        assert value_of(odd)["private_routing"] is True
        assert value_of(a_record(type="NEW", content="what ever"))["content"] == "what ever"

    @given(value())
    def test_the_value_of_a_value_is_the_same(self, one: Value) -> None:
        assert value_of(one) == one
        assert value_of(as_records([one])[0]) == one

    def test_content_with_a_quote_that_is_not_closed_stays_as_it_is(self) -> None:
        assert value_of(a_record(type="TXT", content='"v=spf1 -all'))["content"] == '"v=spf1 -all'

    def test_long_text_is_split_where_cloudflare_splits_it(self) -> None:
        content = value_of(a_record(type="TXT", content="a" * 600))["content"]
        assert [len(part) for part in content.split(" ")] == [257, 257, 92]

    @hypothesis.settings(max_examples=25, suppress_health_check=list(hypothesis.HealthCheck))
    @given(records(max_size=25))
    def test_every_type_comes_back_from_cloudflare_as_it_was_sent(self, cf: CloudflareFake, zone: list[Value]) -> None:
        home = next(each for each in cf.state.zones.values() if each.name == HOME)
        home.records.clear()
        sent = [each | {"name": each["name"].replace(ZONE, HOME)} for each in zone]
        path = f"{cf.url}/zones/{home.id}/dns_records"
        with httpx.Client(headers={"Authorization": f"Bearer {cf.token()}"}) as client:
            answer = client.post(f"{path}/batch", json={"posts": sent})
            assert answer.status_code == 200, answer.text
            found = client.get(path, params={"per_page": 100}).json()["result"]
        assert {key: value_of(record) for key, record in keyed(found).items()} == {key_of(each): each for each in sent}


class TestKinds:
    def test_locked_is_what_email_routing_keeps(self) -> None:
        assert is_locked(a_record(meta={"email_routing": True, "read_only": True}))
        assert is_locked(a_record(meta={"read_only": True}))
        assert not is_locked(a_record(meta={}))
        assert not is_locked(value_of(a_record()))

    def test_fixed_are_soa_and_the_name_servers_of_the_zone_itself(self) -> None:
        assert is_fixed(ZONE, a_record(type="SOA"))
        assert is_fixed(ZONE, a_record(type="NS", name="Example.com."))
        assert not is_fixed(ZONE, a_record(type="NS", name="sub.example.com"))

    def test_the_table_of_types_is_json(self) -> None:
        table = {each["name"]: each for each in type_table()}
        assert len(table) == 21
        assert [part["name"] for part in table["SRV"]["parts"]] == ["priority", "weight", "port", "target"]


class TestNames:
    @pytest.mark.parametrize(
        ("given_name", "full"),
        [
            ("@", ZONE), ("", ZONE), ("example.com", ZONE), ("Example.COM.", ZONE), ("www", "www.example.com"),
            ("www.example.com", "www.example.com"), ("日本語", "xn--wgv71a119e.example.com"),
            ("\uff37\uff37\uff37", "www.example.com"), ("*", "*.example.com"),
            ("notexample.com", "notexample.com.example.com"),
            ("www.example.net.", "www.example.net"),
        ],
    )  # fmt: skip
    def test_a_name_is_completed_below_the_zone(self, given_name: str, full: str) -> None:
        assert full_name(given_name, ZONE) == full

    def test_idn_is_shown_as_people_write_it_and_only_where_it_is_valid(self) -> None:
        assert unicode_name("xn--wgv71a119e.example.com") == "日本語.example.com"
        assert unicode_name("xn--mgbh0fb.example") == "مثال.example"
        for invalid in ("xn--a.example", "xn--.example", f"xn--{base64.b16encode(b'x' * 20).decode().lower()}.example"):
            assert unicode_name(invalid) == invalid

    def test_what_is_no_letter_of_a_name_is_refused(self) -> None:
        for wrong in ("a\u202eb", "ex ample\u0000é", "💥"):
            with pytest.raises(ValueError, match=r"."):
                a_labels(wrong)

    @pytest.mark.parametrize(
        ("name", "code"),
        [
            ("a..b", "name-empty-label"), ("-a.b", "name-characters"), ("a_.b", None), ("_a.b", None),
            ("a b.c", "name-characters"),
            ("x.*.b", "name-wildcard"), ("x*.b", "name-wildcard"), ("*.b", None), ("x" * 64, "name-label-too-long"),
            (".".join(["x" * 60] * 5), "name-too-long"), ("xn--a.b", "name-idn"),
        ],
    )  # fmt: skip
    def test_faults_of_a_name(self, name: str, code: str | None) -> None:
        assert [found for found, _ in faults(name)] == ([code] if code else [])


class TestView:
    def test_a_record_is_shown_with_the_content_that_cloudflare_wrote(self) -> None:
        shown = view(
            a_record(
                name="xn--r8jz45g.example.com", meta={"read_only": True}, modified_on="2026-01-01T00:00:00.123456Z",
                comment="homeport: a site", proxiable=True,
            ),
            key="k",
            marker="homeport:",
        )  # fmt: skip
        assert (shown.unicode_name, shown.content) == ("例え.example.com", "192.0.2.7")
        assert shown.is_locked
        assert shown.is_ours
        assert shown.modified_on is not None
        assert shown.modified_on.year == 2026

    @hypothesis.settings(max_examples=40)
    @given(records())
    def test_a_value_is_shown_as_its_record_would_be(self, zone: list[Value]) -> None:
        for record, each in zip(as_records(zone), zone, strict=True):
            of_record = view(record, key="k").model_dump(exclude={"id", "modified_on"})
            assert of_record == view(each, key="k").model_dump(exclude={"id", "modified_on"})
