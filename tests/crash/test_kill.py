"""`kill -9` of the real processes behind every step of every life; then restart, repeat, and count.

What a crash leaves before a step is what it leaves behind the step before. So `make test` kills behind every step, and
before a step only where somebody else acts in between: before the first one, and around the mailbox server's work.
`make soak` kills before every step too.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.crash.harness import (
    FULL_BYTES,
    PATIENCE_S,
    ROOMY_BYTES,
    FaultyHomeport,
    delivered,
    message,
    unanswered,
)
from tests.crash.lives import (
    DELIVERY,
    DELIVERY_ROWS,
    INGRESS,
    INGRESS_ROWS,
    LARGE_BYTES,
    OPERATOR,
    OPERATOR_ROWS,
    Life,
    Row,
)
from tests.services.dovecot import Dovecot, Mailbox
from tests.services.homeport import eventually

pytestmark = pytest.mark.slow


def crashes(lives: dict[str, Life], rows: dict[str, Row]) -> pytest.MarkDecorator:
    """Parametrize a test with `life`, `number` and `act` of each kill, and the `row` that it must leave."""

    def cases() -> Iterator[object]:
        for life, steps in lives.items():
            for number, step, act, row in steps.crashes():
                is_new = act == "kill-after" or number == 0 or step.startswith("lmtp")
                yield pytest.param(
                    life,
                    number,
                    act,
                    rows[row],
                    id=f"{life}-{number}-{act}-{step}".replace(" ", "_"),
                    marks=() if is_new else pytest.mark.soak,
                )

    return pytest.mark.parametrize(("life", "number", "act", "row"), list(cases()))


def message_of(life: str) -> bytes:
    return message(LARGE_BYTES if life.endswith("large") else 0)


@pytest.mark.parametrize("life", INGRESS)
def test_steps_of_ingress_are_those_of_the_table(
    life: str, delivering: FaultyHomeport, spooling: FaultyHomeport, mailbox: Mailbox
) -> None:
    homeport = spooling if life.startswith("spool") else delivering
    is_drain = life == "hold"
    rcpt_to = "nobody@home.test" if is_drain else mailbox.address
    homeport.arm("ingress")
    answer = homeport.post(message_of(life), rcpt_to=rcpt_to, retained_at=int(time.time()) if is_drain else None)
    assert answer.status in (200, 202)
    assert homeport.steps("ingress") == INGRESS[life].names


@crashes(INGRESS, INGRESS_ROWS)
def test_ingress_killed_loses_nothing(
    life: str, number: int, act: str, row: Row, delivering: FaultyHomeport, spooling: FaultyHomeport, dovecot: Dovecot
) -> None:
    homeport = spooling if life.startswith("spool") else delivering
    raw, message_id = message_of(life), secrets.token_hex(16)
    is_drain = life == "hold"
    mailbox = Mailbox(dovecot, f"{message_id}@home.test")
    if not is_drain:
        dovecot.add_user(mailbox.address)
    retained_at = int(time.time()) if is_drain else None
    options: dict[str, Any] = {"rcpt_to": mailbox.address, "message_id": message_id, "retained_at": retained_at}

    homeport.delivery.pause()  # so that what the crash left can be looked at
    try:
        homeport.arm("ingress", act, number)
        assert unanswered(homeport.post, raw, **options)
        homeport.wait_for_death("ingress")
        assert homeport.steps("ingress") == INGRESS[life].names[: number + 1]
        assert homeport.state_of(message_id) == row.state
        assert homeport.places(message_id) == ([row.place] if row.place else [])
    finally:
        homeport.delivery.resume()
    homeport.revive("ingress")

    repeat = homeport.post(raw, **options)
    assert repeat.status in (200, 202)
    if is_drain:
        assert repeat.document["status"] == "held"
        dovecot.add_user(mailbox.address)
        assert homeport.operate(message_id, "release").status == 202
    homeport.drain(message_id)
    assert delivered(mailbox, message_id, raw) in row.copies
    assert homeport.state_of(message_id) == "delivered"
    assert homeport.entries("corrupt") == []


@crashes(DELIVERY, DELIVERY_ROWS)
def test_delivery_killed_loses_nothing(
    life: str, number: int, act: str, row: Row, spooling: FaultyHomeport, dovecot: Dovecot
) -> None:
    raw, message_id = message(), secrets.token_hex(16)
    mailbox = Mailbox(dovecot, f"{message_id}@home.test")
    if life != "refuse":
        dovecot.add_user(mailbox.address, quota_bytes=FULL_BYTES if life == "defer" else None)

    spooling.arm("delivery", act, number)
    assert spooling.post(raw, rcpt_to=mailbox.address, message_id=message_id).status == 202
    spooling.wait_for_death("delivery")
    assert spooling.steps("delivery") == DELIVERY[life].names[: number + 1]
    assert spooling.state_of(message_id) == row.state
    assert spooling.places(message_id) == ([row.place] if row.place else [])
    spooling.revive("delivery")

    if life == "defer":
        dovecot.add_user(mailbox.address, quota_bytes=ROOMY_BYTES)
    if life == "refuse":
        state = "queued" if row == DELIVERY_ROWS["D8"] else "held"
        eventually(lambda: spooling.places(message_id) == ["hold"] and spooling.state_of(message_id) == state)
        assert spooling.post(raw, rcpt_to=mailbox.address, message_id=message_id).document["status"] == state
        dovecot.add_user(mailbox.address)
        assert spooling.operate(message_id, "release").status == 202
    spooling.drain(message_id)
    assert delivered(mailbox, message_id, raw) in row.copies
    assert spooling.post(raw, rcpt_to=mailbox.address, message_id=message_id).status == 200
    assert delivered(mailbox, message_id, raw) in row.copies
    assert spooling.entries("corrupt") == []


@crashes(OPERATOR, OPERATOR_ROWS)
def test_delivery_killed_at_an_operators_act_loses_nothing(
    life: str, number: int, act: str, row: Row, spooling: FaultyHomeport, dovecot: Dovecot
) -> None:
    raw, message_id = message(), secrets.token_hex(16)
    mailbox = dovecot.add_user(quota_bytes=FULL_BYTES)
    assert spooling.post(raw, rcpt_to=mailbox.address, message_id=message_id).status == 202
    eventually(lambda: spooling.is_deferred(message_id), within_s=PATIENCE_S)
    if life == "release":
        assert spooling.operate(message_id, "hold").status == 200

    spooling.arm("delivery", act, number)
    assert unanswered(spooling.operate, message_id, life)
    spooling.wait_for_death("delivery")
    assert spooling.steps("delivery") == OPERATOR[life].names[: number + 1]
    assert spooling.state_of(message_id) == row.state
    assert spooling.places(message_id) == ([row.place] if row.place else [])
    spooling.revive("delivery")

    dovecot.add_user(mailbox.address, quota_bytes=ROOMY_BYTES)
    match life:
        case "drop":
            if spooling.places(message_id) == ["queue"]:  # the operator heard nothing and says it again
                assert spooling.operate(message_id, "drop").status == 200
            repeat = spooling.post(raw, rcpt_to=mailbox.address, message_id=message_id)
            assert (repeat.status, repeat.document["status"]) == (202, "held")
        case "hold" | "release" if spooling.places(message_id) == ["hold"]:
            assert spooling.operate(message_id, "release").status == 202
    spooling.drain(message_id)
    assert delivered(mailbox, message_id, raw) == (0 if life == "drop" else 1)
    assert spooling.entries("corrupt") == []
