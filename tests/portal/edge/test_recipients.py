"""Recipients' lists: the shared vectors, the file's form, what counts as shrinking, the value that is pushed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from portal.edge.recipients import (
    DomainList,
    Pushed,
    RecipientsError,
    encoded,
    hash_of,
    normal_form,
    parse,
    shrinks,
    value_of,
)

VECTORS = json.loads((Path(__file__).parents[2] / "contract" / "wire_vectors" / "recipients.json").read_bytes())
KEY = bytes.fromhex(VECTORS["key"])
ZONES = ("home.example", "xn--bcher-kva.example")


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_address_has_this_normal_form_and_hash(case: dict[str, Any]) -> None:
    normal = normal_form(case["address"], case["delimiter"])
    assert normal == case["normal"]
    assert (hash_of(KEY, normal) if normal is not None else None) == case["hash"]


class TestFile:
    def test_comments_blanks_case_detail_and_catch_all(self) -> None:
        text = (
            "\ufeff# people\n\nBob@HOME.example\r\n  alice+news@home.example  \nalice@home.example\n@bücher.example\n"
        )
        assert parse(text, ZONES) == {
            "home.example": DomainList("home.example", frozenset({"bob@home.example", "alice@home.example"})),
            "xn--bcher-kva.example": DomainList("xn--bcher-kva.example", frozenset(), is_catch_all=True),
        }

    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            ("bob", "line 2: bob is no address"),
            ("bob@", "line 2: bob@ is no address"),
            ("@", "line 2: @ is no address"),
            ("bob smith@home.example", "line 2: bob smith@home.example is no address"),
            ("bob@home.example # work", "is no address"),
            ("<bob@home.example>", "is no address"),
            ("bob@home..example", "is no address"),
            ('"bob"@home.example', "a quoted local part is never refused by a list"),
            ("bob\x1b[2J@home.example", r"line 2: bob\x1b[2J@home.example is no address"),
            ("bob@elsewhere.example", "line 2: bob@elsewhere.example is in none of the configured zones"),
            ("bob@mail.home.example", "is in none of the configured zones"),
            ("@elsewhere.example", "is in none of the configured zones"),
        ],
    )
    def test_bad_line_is_refused_by_its_number(self, line: str, reason: str) -> None:
        with pytest.raises(RecipientsError) as refused:
            parse(f"ok@home.example\n{line}\n", ZONES)
        assert len(refused.value.reasons) == 1
        assert reason in refused.value.reasons[0]

    def test_every_bad_line_is_named(self) -> None:
        with pytest.raises(RecipientsError) as refused:
            parse("one\nok@home.example\ntwo\n", ZONES)
        assert [reason.partition(":")[0] for reason in refused.value.reasons] == ["line 1", "line 3"]


def new_list(*names: str, is_catch_all: bool = False) -> DomainList:
    return DomainList("home.example", frozenset(f"{name}@home.example" for name in names), is_catch_all)


def pushed(*names: str, is_catch_all: bool = False, generation: int = 1) -> Pushed:
    hashes = frozenset(hash_of(KEY, f"{name}@home.example") for name in names)
    return Pushed(generation, 1, is_catch_all, True, hashes)


@pytest.mark.parametrize(
    ("before", "after", "lost"),
    [
        (None, new_list(), None),
        (None, new_list("a"), None),
        (pushed("a"), new_list("b"), None),
        (pushed("a", "b", "c"), new_list("c"), None),
        (pushed("a", "b", "c", "d"), new_list("c", "d"), None),
        (pushed("a", "b", "c", "d"), new_list("d"), "would lose 3 of 4 addresses"),
        (pushed("a", "b", "c", "d"), new_list("d", "e", "f", "g"), "would lose 3 of 4 addresses"),
        (pushed("a"), new_list(), "would lose all of its 1 addresses"),
        (pushed(is_catch_all=True), new_list(), "would lose all of its 0 addresses and its catch-all"),
        (pushed(is_catch_all=True), new_list("a"), None),
        (pushed("a", "b", "c", "d"), new_list(is_catch_all=True), None),
        (pushed(), new_list(), None),
    ],
)
def test_list_that_shrinks_is_noticed(before: Pushed | None, after: DomainList, lost: str | None) -> None:
    said = shrinks(before, after, KEY)
    assert said == (f"home.example: {lost}" if lost else None)


class TestValue:
    def test_is_what_the_wire_says(self) -> None:
        document, is_changed = value_of(new_list("b", "a"), None, key=KEY, now=1_800_000_000, last_generation=0)
        hashes = sorted(hash_of(KEY, f"{name}@home.example") for name in "ab")
        assert document == {
            "v": 1,
            "generation": 1,
            "at": 1_800_000_000,
            "complete": True,
            "catch_all": False,
            "delimiter": "+",
            "hashes": hashes,
        }
        assert is_changed
        assert Pushed.read(encoded(document)) == Pushed(1, 1_800_000_000, False, True, frozenset(hashes))

    def test_same_content_keeps_its_generation_and_gets_a_new_time(self) -> None:
        document, is_changed = value_of(
            new_list("a"), pushed("a", generation=7), key=KEY, now=1_800_000_000, last_generation=7
        )
        assert (document["generation"], document["at"], is_changed) == (7, 1_800_000_000, False)

    @pytest.mark.parametrize("after", [new_list("a", "b"), new_list(), new_list("a", is_catch_all=True)])
    def test_other_content_has_the_next_generation(self, after: DomainList) -> None:
        document, is_changed = value_of(after, pushed("a", generation=7), key=KEY, now=1, last_generation=7)
        assert (document["generation"], is_changed) == (8, True)

    def test_generation_never_falls_where_kv_shows_an_old_list(self) -> None:
        document, _ = value_of(new_list("b"), pushed("a", generation=3), key=KEY, now=1, last_generation=9)
        assert document["generation"] == 10

    @pytest.mark.parametrize("value", [b"", b"null", b"[]", b"{}", b'{"v":2}', b"\xff", b'{"v":1,"hashes":[1]}'])
    def test_what_is_no_list_is_none(self, value: bytes) -> None:
        assert Pushed.read(value) is None
