from __future__ import annotations

import time
from typing import Any

import hypothesis
from hypothesis import given

from portal.dns.records.pairing import differing, pair
from portal.dns.records.values import Value, key_of, value_of
from tests.portal.dns.zones import records


def a(content: str, name: str = "www.example.com", **changes: Any) -> Value:
    return value_of({"type": "A", "name": name, "content": content, "ttl": 1, **changes})


def changes(before: list[Value], after: list[Value]) -> list[tuple[str, Value | None, Value | None]]:
    old, new = ({key_of(each): each for each in side} for side in (before, after))
    return [(key, old.get(key), new.get(key)) for key in old.keys() | new.keys()]


class TestPair:
    def test_an_edit_of_the_content_is_one_change(self) -> None:
        before, after = a("192.0.2.1", comment="x"), a("192.0.2.2", comment="x", ttl=60)
        (only,) = pair(changes([before], [after]))
        assert (only.name, only.act, only.fields) == ("A www.example.com", "change", ["content", "ttl"])
        assert only.keys == [key_of(before), key_of(after)]
        assert (only.before, only.after) == (before, after)

    def test_an_edit_of_something_else_has_one_key(self) -> None:
        (only,) = pair(changes([a("192.0.2.1")], [a("192.0.2.1", proxied=True)]))
        assert (only.keys, only.fields) == ([key_of(a("192.0.2.1"))], ["proxied"])

    def test_the_most_alike_are_paired(self) -> None:
        before = [a("192.0.2.1", comment="one"), a("192.0.2.2", comment="two")]
        after = [a("192.0.2.4", comment="two"), a("192.0.2.3", comment="one")]
        found = pair(changes(before, after))
        assert {each.before["comment"]: each.after["comment"] for each in found if each.before and each.after} == {
            "one": "one", "two": "two",
        }  # fmt: skip

    def test_what_is_left_over_really_goes_or_comes(self) -> None:
        found = pair(changes([a("192.0.2.1")], [a("192.0.2.2"), a("192.0.2.3")]))
        assert sorted(each.act for each in found) == ["change", "create"]
        assert [each.act for each in pair(changes([a("192.0.2.1"), a("192.0.2.2")], []))] == ["delete", "delete"]

    def test_another_type_or_name_is_another_record(self) -> None:
        found = pair(changes([a("192.0.2.1")], [a("192.0.2.1", name="new.example.com")]))
        assert [(each.name, each.act) for each in found] == [
            ("A new.example.com", "create"),
            ("A www.example.com", "delete"),
        ]

    def test_parts_that_differ_are_named(self) -> None:
        before = {"data": {"port": 1, "weight": 0}, "ttl": 1}
        after = {"data": {"port": 2, "weight": 0}, "comment": "x"}
        assert differing(before, after) == ["data.port", "ttl", "comment"]

    @hypothesis.settings(max_examples=50)
    @given(records(), records())
    def test_nothing_is_lost(self, before: list[Value], after: list[Value]) -> None:
        """What the pairs say, done one after the other, is the wish."""
        given_changes = changes(before, after)
        world = {key_of(each): each for each in before}
        paired = pair(given_changes)
        for each in paired:
            if each.before is not None:
                assert world.pop(each.keys[0]) == each.before
            if each.after is not None:
                world[each.keys[-1]] = each.after
        assert world == {key_of(each): each for each in after}
        changed = [key for key, old, new in given_changes if old != new]
        assert sorted(key for each in paired for key in each.keys) == sorted(changed)
        assert pair(reversed(given_changes)) == paired

    def test_thousands_of_records_of_one_name_are_paired_in_time(self) -> None:
        before = [a(f"10.0.{number // 250}.{number % 250}") for number in range(3000)]
        after = [a(f"10.1.{number // 250}.{number % 250}") for number in range(3000)]
        started = time.process_time()
        assert len(pair(changes(before, after))) == 3000
        assert time.process_time() - started < 5
