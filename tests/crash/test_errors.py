"""A full disk, one over quota, a read-only one, a failing one, at every step of every life.

What was acknowledged is kept; what was not leaves nothing that is delivered twice; a repeat after the fault is
delivered. An error is said without `smtp`: 507 for a lack of space, 503 for everything else. Once a message is
delivered or spooled, that is answered, whatever the ledger says.
"""

from __future__ import annotations

import secrets
import time
from typing import Any

import pytest

from tests.crash.fault import REACH
from tests.crash.harness import FULL_BYTES, ROOMY_BYTES, FaultyHomeport, copies, delivered, message
from tests.crash.lives import DELIVERY, INGRESS, LARGE_BYTES, Life
from tests.services.dovecot import Dovecot, Mailbox

pytestmark = pytest.mark.slow
NO_SPACE = {"ENOSPC", "EDQUOT"}


def steps_in_reach(life: Life, act: str) -> list[int]:
    return [number for number, name in enumerate(life.names) if name.split()[0] in REACH[act]]


def status_after(act: str, step: str) -> int:
    """The status of a refusal. SQLite knows no quota: to it, EDQUOT is an I/O error."""
    return 507 if act in NO_SPACE - ({"EDQUOT"} if step.startswith("ledger") else set()) else 503


def left_behind(act: str, life: Life, number: int) -> list[str]:
    """The directories of the spool that hold something of the message when the step has failed."""
    step = life.names[number]
    is_made = any(name.startswith("mkdir") for name in life.names[:number])
    if step.startswith("fsync ") and "/" not in step and act != "EIO":  # published, and the way back fails as well
        return [step.split()[1]]
    return ["tmp"] if act == "EROFS" and is_made else []


@pytest.mark.parametrize("act", REACH)
@pytest.mark.parametrize("life", INGRESS)
def test_ingress_meets_an_error_keeps_what_it_acknowledges(
    life: str,
    act: str,
    delivering: FaultyHomeport,
    spooling: FaultyHomeport,
    dovecot: Dovecot,
    subtests: pytest.Subtests,
) -> None:
    homeport = spooling if life.startswith("spool") else delivering
    steps = INGRESS[life]
    mailbox = Mailbox(dovecot, f"{secrets.token_hex(8)}@home.test")
    is_drain = life == "hold"  # of mail for a mailbox that does not exist
    if not is_drain:
        dovecot.add_user(mailbox.address)
    options: dict[str, Any] = {"rcpt_to": mailbox.address, "retained_at": int(time.time()) if is_drain else None}
    raws: dict[str, bytes] = {}

    homeport.delivery.pause()  # so that what the error left can be looked at
    try:
        for number in steps_in_reach(steps, act):
            message_id, raw = secrets.token_hex(16), message(LARGE_BYTES if life.endswith("large") else 0)
            raws[message_id] = raw
            with subtests.test(steps.names[number], number=number):
                homeport.arm("ingress", act, number)
                answer = homeport.post(raw, message_id=message_id, **options)
                homeport.disarm("ingress")
                if number >= len(steps.names) - 2:  # only the ledger could not be told
                    assert answer.status in (200, 202)
                    continue
                assert answer.status == status_after(act, steps.names[number])
                assert answer.document["message_id"] == message_id
                assert answer.smtp is None
                assert homeport.places(message_id) == left_behind(act, steps, number)
                homeport.expire_leases()
                assert homeport.post(raw, message_id=message_id, **options).status in (200, 202)
    finally:
        homeport.delivery.resume()

    if is_drain:
        dovecot.add_user(mailbox.address)
        for message_id in raws:
            assert homeport.operate(message_id, "release").status == 202
    for message_id in raws:
        homeport.drain(message_id)
    assert copies(mailbox) == {message_id: [raw] for message_id, raw in raws.items()}
    assert homeport.entries("corrupt") == []
    assert homeport.open_files("ingress") == []


@pytest.mark.parametrize("act", sorted(REACH.keys() - {"EDQUOT"}))
@pytest.mark.parametrize("life", DELIVERY)
def test_delivery_meets_an_error_keeps_the_entry(
    life: str, act: str, spooling: FaultyHomeport, dovecot: Dovecot, subtests: pytest.Subtests
) -> None:
    steps = DELIVERY[life]
    for number in steps_in_reach(steps, act):
        with subtests.test(steps.names[number], number=number):
            message_id, raw = secrets.token_hex(16), message()
            mailbox = Mailbox(dovecot, f"{message_id}@home.test")
            if life != "refuse":
                dovecot.add_user(mailbox.address, quota_bytes=FULL_BYTES if life == "defer" else None)
            spooling.arm("delivery", act, number)
            assert spooling.post(raw, rcpt_to=mailbox.address, message_id=message_id).status == 202
            spooling.wait_until_calm("delivery", number)
            assert spooling.delivery.is_running
            spooling.disarm("delivery")

            dovecot.add_user(mailbox.address, quota_bytes=ROOMY_BYTES)
            if spooling.places(message_id) == ["hold"]:
                assert spooling.operate(message_id, "release").status == 202
            spooling.drain(message_id)
            # twice: it was delivered, and neither the ledger nor the removal of the entry could say so
            is_forgetful = life == "deliver" and act != "EIO"
            assert delivered(mailbox, message_id, raw) in ({1, 2} if is_forgetful else {1})
            assert spooling.entries("corrupt") == []
    assert spooling.open_files("delivery") == []
