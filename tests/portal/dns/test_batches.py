"""How a plan's changes become transactions: order, limits, what is one operation, and what takes them back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.dns.batches import FREE_LIMIT, PAID_LIMIT, Batch, are_there, is_as, limit_of, plan_batches
from portal.dns.records.values import key_of, keyed, value_of
from portal.operations.plans import Change
from tests.portal.dns import zones


def _value(type_: str, name: str, content: str, **more: object) -> dict[str, object]:
    return value_of({"type": type_, "name": f"{name}.home.example", "content": content, **more})


def _add(value: dict[str, object]) -> Change:
    return Change(key_of(value), None, value)


def _remove(value: dict[str, object]) -> Change:
    return Change(key_of(value), value, None)


def _present(*values: dict[str, object]) -> dict[str, dict[str, object]]:
    return {key_of(value): {**value, "id": f"id{number}"} for number, value in enumerate(values)}


@pytest.mark.parametrize(
    ("plan", "limit"),
    [("free", FREE_LIMIT), ("", FREE_LIMIT), ("pro", PAID_LIMIT), ("business", PAID_LIMIT), ("enterprise", PAID_LIMIT)],
)
def test_limit_is_that_of_the_plan(plan: str, limit: int) -> None:
    assert limit_of(plan) == limit


def test_removal_and_addition_of_one_name_and_type_are_one_put_that_keeps_the_id() -> None:
    old, new = _value("A", "www", "192.0.2.1"), _value("A", "www", "192.0.2.2", comment="new")
    (batch,) = plan_batches([_remove(old), _add(new)], _present(old))
    assert batch.body() == {"puts": [{"id": "id0", **new}]}
    assert len(batch) == 1


def test_change_of_type_is_a_removal_and_an_addition_in_one_transaction() -> None:
    old, new = _value("A", "www", "192.0.2.1"), _value("CNAME", "www", "web.home.example")
    (batch,) = plan_batches([_add(new), _remove(old)], _present(old))
    assert batch.body() == {"deletes": [{"id": "id0"}], "posts": [new]}


def test_removals_come_first_so_that_a_full_zone_has_room() -> None:
    old = [_value("TXT", f"z{number}", '"x"') for number in range(3)]
    new = [_value("TXT", f"a{number}", '"x"') for number in range(3)]
    batches = plan_batches([*map(_add, new), *map(_remove, old)], _present(*old), limit=3)
    assert [sorted(batch.body()) for batch in batches] == [["deletes"], ["posts"]]


def test_what_belongs_to_one_name_stays_in_one_transaction() -> None:
    changes = [_add(_value("A", f"n{number // 2}", f"192.0.2.{number}")) for number in range(10)]
    batches = plan_batches(changes, {}, limit=3)
    assert [len(batch) for batch in batches] == [2] * 5
    for batch in batches:
        assert len({post["name"] for post in batch.posts}) == 1


def test_name_with_more_than_a_transaction_holds_is_split() -> None:
    changes = [_add(_value("TXT", "many", f'"{number}"')) for number in range(7)]
    assert [len(batch) for batch in plan_batches(changes, {}, limit=3)] == [3, 3, 1]


def test_nothing_to_do_is_no_transaction() -> None:
    assert plan_batches([], {}) == []


def test_record_that_is_not_there_can_not_be_removed() -> None:
    with pytest.raises(KeyError):
        plan_batches([_remove(_value("A", "www", "192.0.2.1"))], {})


@given(zones.records(max_size=10), zones.records(max_size=10), st.integers(1, 5))
def test_every_change_is_in_exactly_one_batch_and_none_is_over_the_limit(
    before: list[dict[str, object]], after: list[dict[str, object]], limit: int
) -> None:
    was, will = keyed(before), keyed(after)
    changes = [
        Change(key, was.get(key), will.get(key)) for key in was.keys() | will.keys() if was.get(key) != will.get(key)
    ]
    present = {key: {**value, "id": key} for key, value in was.items()}
    batches = plan_batches(changes, present, limit=limit)
    done = [change.name for batch in batches for change in batch.changes]
    assert sorted(done) == sorted(change.name for change in changes)
    assert all(0 < len(batch) <= limit for batch in batches)
    zone = dict(present)
    for batch in batches:
        zone = _carried_out(batch, zone)
    assert {key: value_of(record) for key, record in zone.items()} == {
        key: value_of(each) for key, each in will.items()
    }
    assert are_there(changes, zone)
    back = [change for batch in reversed(batches) for change in batch.inverse()]
    assert {change.name: change.after for change in back} == {change.name: change.before for change in changes}


def _carried_out(batch: Batch, zone: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
    """The zone after a batch, as Cloudflare carries it out."""
    by_id = {record["id"]: record for record in zone.values()}
    for each in batch.deletes:
        del by_id[each["id"]]
    for each in batch.puts:
        assert each["id"] in by_id
        by_id[each["id"]] = each
    for number, each in enumerate(batch.posts):
        by_id[f"new{number}{key_of(each)}"] = {**each, "id": f"new{number}{key_of(each)}"}
    return keyed(by_id.values())


def test_record_is_as_wished_whatever_the_spelling_of_its_content() -> None:
    wished = _value("TXT", "x", '"one text"', ttl=300)
    found = {"id": "1", "type": "TXT", "name": "x.home.example", "content": '"one" " text"', "ttl": 300}
    assert is_as(wished, found)
    assert not is_as(wished, found | {"ttl": 60})
    assert not is_as(wished, None)
    assert is_as(None, None)
    assert not is_as(None, found)
