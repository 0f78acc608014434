"""While the mail API is away, a list that `homeport edge sync` has written says who exists: only a good one says no."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any

import pytest

from kit.signing import Key
from portal.edge.recipients import parse, value_of
from tests.services.edge import TAKEN, Edge
from tests.services.homeport import message
from tests.services.process import free_port

KEY = secrets.token_bytes(32)
KNOWN = ["anna@home.test", "Anna@HOME.test", "anna+shop@home.test", "gruesse@xn--bcher-kva.test", "gruesse@bücher.test"]
UNKNOWN = ["nobody@home.test", "ann@home.test", "nobody+anna@home.test", "nobody@bücher.test"]
REJECTED = "5.1.1 Mailbox does not exist"
DAY_S = 86_400


@pytest.fixture
def away(start_edge: Callable[..., Edge]) -> Edge:
    """An edge whose mail API is away."""
    url = f"http://127.0.0.1:{free_port()}"
    return start_edge(mail_api=url, key=Key.generate("test"), bindings={"RECIPIENTS_KEY": KEY.hex()})


def push(edge: Edge, text: str, *, age_s: int = 0, **changes: Any) -> None:
    """Write the lists that this file of addresses makes, as `homeport edge sync` does."""
    for domain, each in parse(text, {"home.test", "xn--bcher-kva.test"}).items():
        document, _ = value_of(each, None, key=KEY, now=int(time.time()) - age_s, last_generation=0)
        edge.put_recipients(domain, document | changes)


def test_address_that_a_fresh_list_lacks_is_refused_and_others_are_retained(away: Edge) -> None:
    push(away, "anna@home.test\nGRUESSE@bücher.test\n")
    for address in UNKNOWN:
        outcome = away.receive(message(), rcpt_to=address)
        assert (outcome.outcome, outcome.reject) == ("ok", REJECTED), address
    assert away.retained() == []
    for address in [*KNOWN, "anybody@other.test"]:  # of other.test there is no list
        assert away.receive(message(), rcpt_to=address) == TAKEN, address
    assert len(away.retained()) == len(KNOWN) + 1


@pytest.mark.parametrize(
    "changes",
    [
        {"age_s": DAY_S + 60},
        {"age_s": -600},
        {"complete": False},
        {"catch_all": True},
        {"v": 2},
        {"hashes": None},
        {"at": "today"},
    ],
    ids=["stale", "from the future", "incomplete", "catch-all", "other version", "no hashes", "no time"],
)
def test_list_that_is_not_fresh_and_whole_refuses_nobody(away: Edge, changes: dict[str, Any]) -> None:
    push(away, "anna@home.test\n", **changes)
    assert away.receive(message(), rcpt_to="nobody@home.test") == TAKEN
    assert len(away.retained()) == 1


def test_list_refuses_nobody_while_the_mail_api_answers(start_edge: Callable[..., Edge]) -> None:
    listed = start_edge(bindings={"RECIPIENTS_KEY": KEY.hex()})
    push(listed, "anna@home.test\n")
    assert (
        listed.receive(message(), rcpt_to="sentinel@home.test") == TAKEN
    )  # the mailbox exists, whatever the list says
    assert listed.retained() == []
