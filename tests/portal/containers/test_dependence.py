"""Who needs whom, from the labels that Compose wrote: also from labels that somebody made up."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.broker.schemas import Container, Port, Protection
from portal.containers.dependence import dependents, in_order, is_up, uses_of


def container(name: str, *needs: str, **more: Any) -> Container:
    """One whose service is called as itself."""
    members: dict[str, Any] = {"id": name, "name": name, "service": name, "depends_on": needs}
    members |= {"stack": "mail", "project": "mail", "image": "", "image_id": "", "image_digest": None}
    members |= {"state": "running", "health": "none", "exit_code": None, "oom_killed": False, "error": None}
    members |= {"restart_count": 0, "restart_policy": "no", "created_at": 0, "started_at": None, "finished_at": None}
    return Container(**(members | {"ports": (), "networks": (), "protection": None} | more))


DATABASE, DOVECOT, POSTFIX, CLAMAV = (
    container("db"),
    container("dovecot", "db"),
    container("postfix", "dovecot", "db"),
    container("clamav"),
)
ALL = [POSTFIX, DOVECOT, CLAMAV, DATABASE]


def test_those_who_need_it_are_found_through_others_too() -> None:
    assert [each.name for each in dependents(DATABASE, ALL)] == ["dovecot", "postfix"]
    assert [each.name for each in dependents(DOVECOT, ALL)] == ["postfix"]
    assert dependents(CLAMAV, ALL) == []


def test_another_project_or_none_needs_nothing_of_this_one() -> None:
    others = [container("web", "db", project="blog"), container("shell", "db", project=None)]
    assert dependents(DATABASE, others) == []


def test_order_is_what_is_needed_first() -> None:
    assert in_order(ALL) == [["clamav", "db"], ["dovecot"], ["postfix"]]
    assert in_order([POSTFIX, DATABASE]) == [["db"], ["postfix"]], "what is not asked for is not waited for"
    assert in_order([]) == []


def test_a_circle_ends_and_is_one_group() -> None:
    circle = [container("a", "b"), container("b", "c"), container("c", "a"), container("self", "self")]
    assert in_order(circle) == [["a", "b", "c", "self"]]
    assert [each.name for each in dependents(circle[0], circle)] == ["b", "c"]


def test_uses_name_the_gravest_first_and_only_what_is_up() -> None:
    database = container(
        "db",
        protection=Protection(role="database", goes_dark=("mail-login",)),
        ports=(Port(container_port=3306, protocol="tcp"), Port(container_port=1, protocol="tcp", host_port=2)),
    )
    down = container("dovecot", "db", state="exited")
    assert [(use.why, use.name) for use in uses_of(database, [database, down, POSTFIX])] == [
        ("goes-dark", "mail-login"),
        ("depends-on", "postfix"),
        ("publishes", "0.0.0.0:2->1/tcp"),
    ]


def test_service_that_nothing_protects_says_what_stops_without_it() -> None:
    postfix = container("stack-postfix-1", service="mail-postfix")
    assert [(use.why, use.name) for use in uses_of(postfix, [postfix])] == [("goes-dark", "mail-sending")]


@pytest.mark.parametrize(
    ("state", "expected"),
    [("running", True), ("paused", True), ("restarting", True), ("created", False), ("exited", False), ("dead", False)],
)
def test_paused_counts_as_up(state: str, expected: bool) -> None:
    assert is_up(container("n", state=state)) is expected


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.lists(st.sampled_from("abcdefgh"), max_size=8)))
def test_whatever_the_labels_say_each_is_put_once(needs: dict[str, list[str]]) -> None:
    groups = in_order([container(name, *wanted) for name, wanted in needs.items()])
    assert sorted(name for group in groups for name in group) == sorted(needs)
