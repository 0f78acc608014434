"""The body of a post on its way in: counted, hashed, bounded, and given up without a trace when it does not come."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from mail_api.settings import IN_MEMORY_BYTES, MAX_MESSAGE_BYTES
from tests.services.dovecot import Mailbox
from tests.services.homeport import Answer, Homeport, answer_on, eventually, message, received

LARGE = message(b"0123456789abcdef" * (IN_MEMORY_BYTES // 8))  # 2 MiB: goes to a file while it streams in
TRANSFERS = pytest.mark.parametrize("chunked", [False, True], ids=["content-length", "chunked"])


def assert_undecided(answer: Answer, status: int, kind: str, message_id: str) -> None:
    assert (answer.status, answer.type, answer.smtp) == (status, kind, None)
    assert answer.document["message_id"] == message_id


@pytest.fixture
def message_id() -> str:
    return secrets.token_hex(16)


@TRANSFERS
@pytest.mark.parametrize("announced", [message(), LARGE], ids=["small", "large"])
@pytest.mark.parametrize("difference", ["longer", "shorter", "empty", "other"])
def test_body_that_is_not_what_was_announced_is_undecided_and_can_be_repeated(
    homeport: Homeport, mailbox: Mailbox, message_id: str, announced: bytes, difference: str, chunked: bool
) -> None:
    sent = {
        "longer": announced + b"x",
        "shorter": announced[:-1],
        "empty": b"",
        "other": announced[:-1] + b"x",
    }[difference]
    who: dict[str, Any] = {"rcpt_to": mailbox.address, "message_id": message_id}
    answer = homeport.post(sent, announced=announced, chunked=chunked, **who)
    assert_undecided(answer, 400, "body-mismatch", message_id)
    assert mailbox.files() == {}
    assert homeport.post(announced, chunked=chunked, **who).status == 200
    assert len(mailbox.files()) == 1


@TRANSFERS
def test_empty_body_is_a_message(homeport: Homeport, mailbox: Mailbox, chunked: bool) -> None:
    assert homeport.post(b"", rcpt_to=mailbox.address, chunked=chunked).status == 200
    (stored,) = mailbox.files().values()
    assert received(stored)[1] == b""


@TRANSFERS
def test_body_over_the_limit_is_refused_and_the_answer_can_be_read(
    homeport: Homeport, message_id: str, chunked: bool
) -> None:
    raw = bytes(MAX_MESSAGE_BYTES + 1)
    answer = homeport.post(raw, message_id=message_id, chunked=chunked)
    assert (answer.status, answer.type) == (413, "too-large")
    assert answer.smtp is not None
    assert (answer.smtp["code"], answer.smtp["enhanced"]) == (552, "5.3.4")
    assert answer.document["message_id"] == message_id
    drained = homeport.post(raw, message_id=message_id, chunked=chunked, retained_at=1_700_000_000)
    assert_undecided(drained, 413, "content-too-large", message_id)


def test_body_that_passes_the_limit_unannounced_is_refused_while_it_streams(
    homeport: Homeport, mailbox: Mailbox, message_id: str
) -> None:
    raw = bytes(MAX_MESSAGE_BYTES + 1)
    answer = homeport.post(raw, announced=raw[:-1], chunked=True, rcpt_to=mailbox.address, message_id=message_id)
    assert_undecided(answer, 400, "body-mismatch", message_id)
    assert mailbox.files() == {}


@pytest.mark.parametrize("raw", [message(b"x" * 1000), LARGE], ids=["small", "large"])
def test_client_that_leaves_in_the_middle_of_the_body_leaves_nothing_and_can_repeat(
    homeport: Homeport, mailbox: Mailbox, message_id: str, raw: bytes
) -> None:
    fields = homeport.poster.headers(raw, rcpt_to=mailbox.address, message_id=message_id).items()
    with homeport.poster.begin([*fields, ("content-length", len(raw))]) as connection:
        connection.sendall(raw[:-1])
    eventually(lambda: message_id in homeport.ingress.log.read_text())
    assert homeport.entries("tmp") == []
    assert homeport.post(raw, rcpt_to=mailbox.address, message_id=message_id).status == 200
    assert len(mailbox.files()) == 1


def test_client_that_waits_for_permission_to_send_gets_it(homeport: Homeport, mailbox: Mailbox) -> None:
    raw = message()
    fields = homeport.poster.headers(raw, rcpt_to=mailbox.address).items()
    with homeport.poster.begin([*fields, ("content-length", len(raw)), ("expect", "100-continue")]) as connection:
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(raw)
        assert answer_on(connection).status == 200


def test_unsigned_body_is_not_waited_for(homeport: Homeport) -> None:
    with homeport.poster.begin([("content-length", MAX_MESSAGE_BYTES)]) as connection:
        assert answer_on(connection).status == 401
