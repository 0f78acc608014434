"""A message that comes again, under its id or under a new one, is delivered once and gets the receipt of its state."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.services.dovecot import Dovecot, Mailbox
from tests.services.homeport import Homeport, message, received

AT_ONCE = 50


def traced(raw: bytes, ip: str) -> bytes:
    """Return the message behind a trace block as Cloudflare writes it, of a session with `ip`."""
    received = (
        f"Received: from mail.example.org ({ip})\r\n by cloudflare-email.net (cloudflare) id {secrets.token_hex(6)}"
    )
    return f"{received}\r\n for <x@home.test>; Mon, 2 Nov 2026 10:00:00 +0000\r\nX-CF-SpamH-Score: 0\r\n".encode() + raw


@pytest.fixture
def message_id() -> str:
    return secrets.token_hex(16)


class TestSameId:
    def test_repeat_gets_the_same_receipt_and_is_not_delivered(
        self, homeport: Homeport, mailbox: Mailbox, message_id: str
    ) -> None:
        raw = message()
        first = homeport.post(raw, rcpt_to=mailbox.address, message_id=message_id)
        assert first.status == 200
        for chunked in (False, True):
            again = homeport.post(raw, rcpt_to=mailbox.address, message_id=message_id, chunked=chunked)
            assert (again.status, again.document) == (200, first.document)
        drained = homeport.post(raw, rcpt_to=mailbox.address, message_id=message_id, retained_at=1_700_000_000)
        assert (drained.status, drained.document) == (200, first.document)
        assert len(mailbox.files()) == 1

    @pytest.mark.parametrize("what", ["body", "sender", "recipient"])
    def test_id_of_another_message_is_a_conflict(
        self, homeport: Homeport, dovecot: Dovecot, mailbox: Mailbox, message_id: str, what: str
    ) -> None:
        raw, other = message(), dovecot.add_user()
        assert homeport.post(raw, rcpt_to=mailbox.address, message_id=message_id).status == 200
        answer = homeport.post(
            raw + b"x" if what == "body" else raw,
            mail_from="b@example.org" if what == "sender" else "a@example.org",
            rcpt_to=other.address if what == "recipient" else mailbox.address,
            message_id=message_id,
        )
        assert (answer.status, answer.type, answer.smtp) == (409, "message-id-conflict", None)
        assert answer.document["message_id"] == message_id
        assert (len(mailbox.files()), len(other.files())) == (1, 0)

    def test_many_at_once_are_delivered_once(self, homeport: Homeport, mailbox: Mailbox, message_id: str) -> None:
        raw = message()
        with ThreadPoolExecutor(AT_ONCE) as threads:
            posts = [
                threads.submit(homeport.post, raw, rcpt_to=mailbox.address, message_id=message_id)
                for _ in range(AT_ONCE)
            ]
        answers = [post.result() for post in posts]
        assert {answer.status for answer in answers} == {200}
        assert all(answer.document == answers[0].document for answer in answers)
        assert len(mailbox.files()) == 1

    def test_repeat_after_a_restart_is_not_delivered(
        self, start_homeport: Callable[..., Homeport], mailbox: Mailbox, message_id: str
    ) -> None:
        homeport, raw = start_homeport(), message()
        first = homeport.post(raw, rcpt_to=mailbox.address, message_id=message_id)
        homeport.kill()
        homeport.start()
        again = homeport.post(raw, rcpt_to=mailbox.address, message_id=message_id)
        assert (again.status, again.document) == (200, first.document)
        assert len(mailbox.files()) == 1

    def test_held_message_is_still_held_when_it_comes_again(self, homeport: Homeport, message_id: str) -> None:
        raw = message()
        for _ in range(2):
            answer = homeport.post(raw, rcpt_to="gone@home.test", message_id=message_id, retained_at=1_700_000_000)
            assert (answer.status, answer.document["status"]) == (202, "held")
            assert answer.document["queue_id"] == message_id
        live = homeport.post(raw, rcpt_to="gone@home.test", message_id=message_id)
        assert (live.status, live.document) == (202, answer.document)


class TestSameContent:
    def test_senders_repeat_behind_another_trace_block_is_delivered_once(
        self, homeport: Homeport, mailbox: Mailbox
    ) -> None:
        raw = message()
        assert homeport.post(traced(raw, "192.0.2.1"), rcpt_to=mailbox.address).status == 200
        again = traced(raw, "192.0.2.2")
        message_id = secrets.token_hex(16)
        headers = homeport.poster.headers(again)
        answer = homeport.post(again, rcpt_to=mailbox.address, message_id=message_id)
        assert answer.status == 200
        assert (answer.document["message_id"], answer.document["sha256"]) == (
            message_id,
            headers["homeport-content-sha256"],
        )
        (stored,) = mailbox.files().values()
        assert b"192.0.2.1" in received(stored)[1]

    def test_many_at_once_under_ids_of_their_own_are_delivered_once(self, homeport: Homeport, mailbox: Mailbox) -> None:
        raw = message()
        with ThreadPoolExecutor(AT_ONCE) as threads:
            posts = [
                threads.submit(homeport.post, traced(raw, f"192.0.2.{number}"), rcpt_to=mailbox.address)
                for number in range(AT_ONCE)
            ]
        assert {post.result().status for post in posts} == {200}
        assert len(mailbox.files()) == 1

    def test_message_without_message_id_and_date_is_delivered_each_time(
        self, homeport: Homeport, mailbox: Mailbox
    ) -> None:
        for _ in range(2):
            assert homeport.post(b"Subject: alarm\r\n\r\nagain\r\n", rcpt_to=mailbox.address).status == 200
        assert len(mailbox.files()) == 2

    def test_same_content_to_another_recipient_or_from_another_sender_is_another_message(
        self, homeport: Homeport, dovecot: Dovecot, mailbox: Mailbox
    ) -> None:
        raw, other = message(), dovecot.add_user()
        assert homeport.post(raw, rcpt_to=mailbox.address).status == 200
        assert homeport.post(raw, rcpt_to=other.address).status == 200
        assert homeport.post(raw, rcpt_to=mailbox.address, mail_from="b@example.org").status == 200
        assert (len(mailbox.files()), len(other.files())) == (2, 1)

    def test_refused_message_does_not_suppress_its_repeat(self, homeport: Homeport, dovecot: Dovecot) -> None:
        raw, address = message(), f"u{secrets.token_hex(4)}@home.test"
        assert homeport.post(raw, rcpt_to=address).status == 404
        mailbox = dovecot.add_user(address)
        assert homeport.post(raw, rcpt_to=address).status == 200
        assert len(mailbox.files()) == 1
