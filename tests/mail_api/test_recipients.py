"""Whether a mailbox exists is asked of the mailbox server; only "yes" is remembered, and only briefly."""

from __future__ import annotations

from pathlib import Path

import pytest

from mail_api.recipients import MAX_REMEMBERED, POSITIVE_TTL_S, REMEMBERED, Recipients
from mail_api.reply import Meaning, Reply
from mail_api.transport.maildir import MaildirTransport
from tests.mail_api.in_process import MovableClock, mail_parts
from tests.services.lmtp_scripted import ScriptedLmtp, Step

ANNA = "anna@home.test"
OK = "250 2.1.5 OK"
NO_MAILBOX = "550 5.1.1 User doesn't exist"


async def ask(directory: Path, clock: MovableClock, steps: list[Step], waits_s: list[float]) -> list[Reply]:
    """Ask for ANNA, once at the beginning and once after each wait, of a server that says `steps` to RCPT."""
    with ScriptedLmtp(rcpt=steps) as peer:
        async with mail_parts(directory, peer.port, clock) as parts:
            recipients = Recipients(parts.transport, clock=clock)
            replies = [await recipients.ask(ANNA, timeout_s=5)]
            for wait_s in waits_s:
                clock.advance(wait_s)
                replies.append(await recipients.ask(ANNA, timeout_s=5))
    return replies


async def test_known_mailbox_is_remembered_for_a_minute(tmp_path: Path, clock: MovableClock) -> None:
    replies = await ask(tmp_path, clock, [OK, OK], [POSITIVE_TTL_S - 1, 1, POSITIVE_TTL_S - 1])
    assert [reply is REMEMBERED for reply in replies] == [False, True, False, True]
    assert {reply.meaning for reply in replies} == {Meaning.ACCEPTED}


@pytest.mark.parametrize(
    ("refused", "meaning"),
    [
        ([NO_MAILBOX, OK], Meaning.NO_MAILBOX),
        (["451 4.3.0 Later"], Meaning.TEMPORARY),
        (["552 5.2.2 Full"], Meaning.MAILBOX_FULL),
    ],
)
async def test_refusal_is_never_remembered(
    tmp_path: Path, clock: MovableClock, refused: list[Step], meaning: Meaning
) -> None:
    replies = await ask(tmp_path, clock, [*refused, *refused, OK], [0, 0])
    assert [reply.meaning for reply in replies] == [meaning, meaning, Meaning.ACCEPTED]


async def test_mailbox_that_is_gone_is_forgotten(tmp_path: Path, clock: MovableClock) -> None:
    replies = await ask(tmp_path, clock, [OK, NO_MAILBOX, OK, OK], [POSITIVE_TTL_S, 0, 0])
    assert [reply.meaning for reply in replies] == [
        Meaning.ACCEPTED,
        Meaning.NO_MAILBOX,
        Meaning.ACCEPTED,
        Meaning.ACCEPTED,
    ]
    assert [reply is REMEMBERED for reply in replies] == [False, False, False, True]


async def test_reply_says_whether_the_sentinel_was_accepted(tmp_path: Path, clock: MovableClock) -> None:
    steps: list[Step] = [NO_MAILBOX, OK, NO_MAILBOX, NO_MAILBOX, NO_MAILBOX, "451 4.3.0 Later"]
    replies = await ask(tmp_path, clock, steps, [0, 0])
    assert [reply.sentinel_accepted for reply in replies] == [True, False, False]


async def test_only_so_many_are_remembered_and_the_oldest_goes_first(tmp_path: Path, clock: MovableClock) -> None:
    transport = MaildirTransport(tmp_path, domains=frozenset({"home.test"}), hostname="mx.test")
    recipients = Recipients(transport, clock=clock)
    addresses = [f"u{number}@home.test" for number in range(MAX_REMEMBERED + 1)]
    for address in addresses:
        assert (await recipients.ask(address, timeout_s=5)).is_positive
    assert await recipients.ask(addresses[-1], timeout_s=5) is REMEMBERED
    assert await recipients.ask(addresses[1], timeout_s=5) is REMEMBERED
    assert await recipients.ask(addresses[0], timeout_s=5) is not REMEMBERED
    await transport.close()


async def test_forgotten_mailbox_is_asked_for_again(tmp_path: Path, clock: MovableClock) -> None:
    with ScriptedLmtp(rcpt=[OK, NO_MAILBOX, OK]) as peer:
        async with mail_parts(tmp_path, peer.port, clock) as parts:
            recipients = Recipients(parts.transport, clock=clock)
            await recipients.ask(ANNA, timeout_s=5)
            recipients.forget(ANNA)
            recipients.forget("unheard-of@home.test")
            assert (await recipients.ask(ANNA, timeout_s=5)).meaning is Meaning.NO_MAILBOX
