"""Entries that kill delivery, and entries that are damaged: they are set aside, and all others are delivered."""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mail_api.spool import MAX_UNSETTLED_CLAIMS, TMP_MAX_AGE_S, Spool
from tests.clock import FakeClock
from tests.crash.harness import PATIENCE_S, FaultyHomeport, copies, is_empty, message, unanswered
from tests.services.dovecot import Dovecot, Mailbox
from tests.services.homeport import eventually
from tests.services.process import ServiceFailed

pytestmark = pytest.mark.slow


@pytest.fixture
def homeport(dovecot: Dovecot, tmp_path: Path) -> Iterator[FaultyHomeport]:
    """One whose ingress spools everything, for this test alone."""
    with FaultyHomeport(tmp_path, transport=dovecot.lmtp_url, spools=True) as running:
        yield running


def spooled(homeport: FaultyHomeport, mailbox: Mailbox, count: int) -> dict[str, bytes]:
    """Post messages, which stay in the queue; return them by their ids. Delivery has ended then."""
    homeport.delivery.stop()
    raws = {secrets.token_hex(16): message() for _ in range(count)}
    for message_id, raw in raws.items():
        assert homeport.post(raw, rcpt_to=mailbox.address, message_id=message_id).status == 202
    return raws


def test_entry_that_kills_delivery_is_set_aside_after_five_deaths(homeport: FaultyHomeport, mailbox: Mailbox) -> None:
    raws = spooled(homeport, mailbox, 6)
    poison = list(raws)[2]
    corrupt = homeport.state_dir / "spool" / "corrupt"
    homeport.arm("delivery", "kill-before", f"read active/{poison}/message.eml")
    for _ in range(MAX_UNSETTLED_CLAIMS):
        assert homeport.entries("corrupt") == []
        with contextlib.suppress(ServiceFailed):  # it may die before it says that it is ready
            homeport.delivery.start()
        homeport.wait_for_death("delivery")
    homeport.delivery.start()
    eventually(lambda: homeport.entries("corrupt") == [poison])
    assert (corrupt / poison / "why.txt").read_text() == "delivery died 5 times while it held this entry\n"
    assert (corrupt / poison / "message.eml").read_bytes() == raws[poison]
    eventually(lambda: is_empty(homeport))
    assert copies(mailbox) == {message_id: [raw] for message_id, raw in raws.items() if message_id != poison}
    repeat = homeport.post(raws[poison], rcpt_to=mailbox.address, message_id=poison)
    assert repeat.status == 202


# -- damage -----------------------------------------------------------------------------------------------------------


def replace_message(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda entry: (entry / "message.eml").write_bytes(change((entry / "message.eml").read_bytes()))


def replace_envelope(data: bytes) -> Callable[[Path], object]:
    return lambda entry: (entry / "envelope.json").write_bytes(data)


def set_field(name: str, value: Any) -> Callable[[Path], object]:
    def damage(entry: Path) -> None:
        envelope = json.loads((entry / "envelope.json").read_bytes())
        (entry / "envelope.json").write_text(json.dumps(envelope | {name: value}))

    return damage


def turn_into_directory(name: str) -> Callable[[Path], object]:
    def damage(entry: Path) -> None:
        (entry / name).unlink()
        (entry / name).mkdir()

    return damage


def remove_both(entry: Path) -> None:
    (entry / "message.eml").unlink()
    (entry / "envelope.json").unlink()


def turn_into_link(entry: Path) -> None:
    (entry / "message.eml").rename(entry / "elsewhere.eml")
    (entry / "message.eml").symlink_to("elsewhere.eml")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "message truncated": replace_message(lambda data: data[:-1]),
    "message longer": replace_message(lambda data: data + b"\n"),
    "message with a flipped bit": replace_message(lambda data: bytes([data[0] ^ 1]) + data[1:]),
    "message missing": lambda entry: (entry / "message.eml").unlink(),
    "message a symbolic link": turn_into_link,
    "message a directory": turn_into_directory("message.eml"),
    "envelope missing": lambda entry: (entry / "envelope.json").unlink(),
    "envelope empty": replace_envelope(b""),
    "envelope garbage": replace_envelope(b"\xff\x00garbage"),
    "envelope a list": replace_envelope(b"[]"),
    "envelope nested without end": replace_envelope(b"[" * 200_000),
    "envelope a directory": turn_into_directory("envelope.json"),
    "envelope of a later version": set_field("version", 2),
    "envelope of another entry": set_field("queue_id", "0" * 32),
    "envelope without a recipient": set_field("rcpt_to", None),
    "envelope with a size that is no number": set_field("size_bytes", "147"),
    "both missing": remove_both,
}
HARMLESS: dict[str, Callable[[Path], object]] = {
    "another file": lambda entry: (entry / "note.txt").write_text("left by somebody"),
    "another directory": lambda entry: (entry / "notes").mkdir(),
    "half a new envelope": lambda entry: (entry / ".envelope.json.new").write_bytes(b'{"queue_id":"'),
    "a verdict of another time": set_field("verdict", {"grade": "B"}),
}


def test_damaged_entries_are_set_aside_and_the_others_delivered(homeport: FaultyHomeport, mailbox: Mailbox) -> None:
    raws = spooled(homeport, mailbox, len(DAMAGES) + len(HARMLESS))
    queue, corrupt = (homeport.state_dir / "spool" / place for place in ("queue", "corrupt"))
    kinds = dict(zip(raws, DAMAGES | HARMLESS, strict=True))
    damaged = {message_id for message_id, kind in kinds.items() if kind in DAMAGES}
    for message_id, kind in kinds.items():
        (DAMAGES | HARMLESS)[kind](queue / message_id)
    (queue / "a-file").write_text("no entry")
    (queue / "a-link").symlink_to("a-file")

    homeport.delivery.start()
    eventually(lambda: not set(homeport.entries("queue")) - {"a-file", "a-link"}, within_s=PATIENCE_S)
    eventually(lambda: not homeport.entries("active"), within_s=PATIENCE_S)
    assert {kinds[message_id] for message_id in homeport.entries("corrupt")} == set(DAMAGES)
    whys = {kinds[message_id]: (corrupt / message_id / "why.txt").read_text() for message_id in damaged}
    assert all(why.strip() for why in whys.values())
    assert copies(mailbox) == {message_id: [raw] for message_id, raw in raws.items() if message_id not in damaged}
    assert {homeport.state_of(message_id) for message_id in damaged} == {"held"}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_entry_of_a_dead_delivery_does_not_keep_the_next_from_starting(
    kind: str, homeport: FaultyHomeport, mailbox: Mailbox
) -> None:
    raws = spooled(homeport, mailbox, 2)
    spool = homeport.state_dir / "spool"
    damaged, whole = raws
    (spool / "queue" / damaged).rename(spool / "active" / damaged)
    DAMAGES[kind](spool / "active" / damaged)
    homeport.delivery.start()
    eventually(lambda: homeport.entries("corrupt") == [damaged])
    eventually(lambda: copies(mailbox) == {whole: [raws[whole]]})


def test_entry_both_held_by_a_dead_delivery_and_queued_again_is_delivered(
    homeport: FaultyHomeport, mailbox: Mailbox
) -> None:
    """A ledger was lost, or a claim given up, while delivery held the entry; the edge's repeat was spooled anew."""
    raws = spooled(homeport, mailbox, 2)
    spool = homeport.state_dir / "spool"
    for message_id in raws:
        shutil.copytree(spool / "queue" / message_id, spool / "active" / message_id)
    homeport.delivery.start()
    eventually(lambda: is_empty(homeport))
    assert copies(mailbox).keys() == raws.keys()


def test_entry_damaged_twice_is_set_aside_twice(homeport: FaultyHomeport, mailbox: Mailbox) -> None:
    raws = spooled(homeport, mailbox, 2)
    spool = homeport.state_dir / "spool"
    damaged, whole = raws
    (spool / "queue" / damaged / "envelope.json").unlink()
    shutil.copytree(spool / "queue" / damaged, spool / "corrupt" / damaged)
    homeport.delivery.start()
    eventually(lambda: is_empty(homeport))
    assert copies(mailbox) == {whole: [raws[whole]]}
    assert len(homeport.entries("corrupt")) == 2


# -- rubbish ----------------------------------------------------------------------------------------------------------


def test_rubbish_of_crashes_is_swept_after_an_hour_and_not_before(homeport: FaultyHomeport, mailbox: Mailbox) -> None:
    """What is younger may be an ingress at work."""
    homeport.arm("ingress", "kill-before", 8)  # in the middle of a new entry
    assert unanswered(homeport.post, message(), rcpt_to=mailbox.address)
    homeport.revive("ingress")
    homeport.arm("delivery", "kill-after", 8)  # in the middle of a removal
    assert homeport.post(message(), rcpt_to=mailbox.address).status == 202
    homeport.revive("delivery")
    assert len(homeport.entries("tmp")) == 2

    clock = FakeClock(now=(homeport.state_dir / "spool" / "tmp").stat().st_mtime)
    spool = Spool(homeport.state_dir / "spool", clock=clock)
    clock.advance(TMP_MAX_AGE_S - 60.0)
    assert spool.sweep() == 0
    clock.advance(120.0)
    assert spool.sweep() == 2
    assert homeport.entries("tmp") == []
