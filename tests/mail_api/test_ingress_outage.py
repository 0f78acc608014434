"""A real Dovecot that stops, hangs, restarts or loses its reply: what was acknowledged arrives, under its id."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator

import pytest

from mail_api.settings import LIVE_DEADLINE_S
from tests.services.dovecot import Dovecot
from tests.services.homeport import Answer, Homeport, eventually, message, received
from tests.services.lmtp_proxy import LmtpProxy


@pytest.fixture(scope="module")
def fragile() -> Iterator[Dovecot]:
    """A Dovecot that the tests of this module stop and start; each leaves it running."""
    with Dovecot() as dovecot:
        yield dovecot


@pytest.fixture(scope="module")
def homeport(fragile: Dovecot, start_homeport: Callable[..., Homeport]) -> Homeport:
    return start_homeport(transport=fragile.lmtp_url)


@pytest.fixture
def message_id() -> str:
    return secrets.token_hex(16)


def assert_queued(answer: Answer, message_id: str) -> None:
    assert (answer.status, answer.document["status"], answer.document["queue_id"]) == (202, "queued", message_id)


def test_message_for_a_stopped_server_is_queued_and_arrives_when_it_is_back(
    homeport: Homeport, fragile: Dovecot, message_id: str
) -> None:
    mailbox, raw = fragile.add_user(), message()
    fragile.stop()
    try:
        answer = homeport.post(raw, rcpt_to=mailbox.address, message_id=message_id)
        assert_queued(answer, message_id)
        again = homeport.post(raw, rcpt_to=mailbox.address, message_id=message_id)
        assert (again.status, again.document) == (202, answer.document)
        same_content = homeport.post(raw, rcpt_to=mailbox.address)
        assert (same_content.status, same_content.document["queue_id"]) == (202, message_id)
        assert homeport.poster.get_health().document["queue"]["length"] == 1
    finally:
        fragile.start()
    (stored,) = eventually(mailbox.files, within_s=20).values()
    assert received(stored) == (message_id, raw.replace(b"\r\n", b"\n"))
    eventually(lambda: homeport.entries("queue") == homeport.entries("active") == [])
    late = homeport.post(raw, rcpt_to=mailbox.address, message_id=message_id)
    assert (late.status, late.document["status"], late.document["queue_id"]) == (200, "delivered", None)
    assert len(mailbox.files()) == 1


def test_message_for_an_unknown_mailbox_of_a_stopped_server_is_held_in_the_end(
    homeport: Homeport, fragile: Dovecot, message_id: str
) -> None:
    fragile.stop()
    try:
        assert_queued(homeport.post(message(), rcpt_to="nobody@home.test", message_id=message_id), message_id)
    finally:
        fragile.start()
    eventually(lambda: message_id in homeport.entries("hold"), within_s=20)


def test_restart_of_the_server_between_two_messages_is_not_noticed(homeport: Homeport, fragile: Dovecot) -> None:
    mailbox = fragile.add_user()
    for end in (fragile.stop, fragile.stop, fragile.kill):
        assert homeport.post(message(), rcpt_to=mailbox.address).status == 200
        end()
        fragile.start()
    assert homeport.post(message(), rcpt_to=mailbox.address).status == 200
    assert len(mailbox.files()) == 4


@pytest.mark.slow
def test_message_for_a_hung_server_is_queued_within_the_deadline(
    homeport: Homeport, fragile: Dovecot, message_id: str
) -> None:
    mailbox, raw = fragile.add_user(), message()
    fragile.pause()
    try:
        began = time.monotonic()
        assert_queued(homeport.post(raw, rcpt_to=mailbox.address, message_id=message_id), message_id)
        assert time.monotonic() - began < LIVE_DEADLINE_S
    finally:
        fragile.resume()
    (stored,) = eventually(mailbox.files, within_s=20).values()
    assert received(stored)[0] == message_id


def test_message_whose_reply_was_lost_is_delivered_again_under_the_same_id(
    fragile: Dovecot, start_homeport: Callable[..., Homeport], message_id: str
) -> None:
    mailbox, raw = fragile.add_user(), message()
    with LmtpProxy(fragile.lmtp_port) as proxy:
        homeport = start_homeport(transport=proxy.url)
        assert homeport.post(message(), rcpt_to=mailbox.address).status == 200
        proxy.lose_replies = 1
        assert_queued(homeport.post(raw, rcpt_to=mailbox.address, message_id=message_id), message_id)
        assert len(mailbox.files()) == 2  # it was delivered, only nobody knows
        eventually(lambda: len(mailbox.files()) == 3)
        eventually(lambda: homeport.entries("queue") == homeport.entries("active") == [])
    _, *copies = [received(stored) for stored in mailbox.files().values()]
    assert copies == [(message_id, raw.replace(b"\r\n", b"\n"))] * 2
