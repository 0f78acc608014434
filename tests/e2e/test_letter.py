"""A letter arrives at the edge while everything runs: it lies in the mailbox, or its sender hears why not."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kit.signing import Key
from tests.e2e.way import Letter, corpus, delivered, send, url_of
from tests.mail_api.corpus import messages
from tests.services.dovecot import SENTINEL, Dovecot, Mailbox
from tests.services.edge import TAKEN, Edge
from tests.services.homeport import Homeport, eventually, message
from tests.services.process import free_port
from tests.services.tcp import TcpServer

DEADLINE_S = 28.0  # wire.md, "Deadlines"
POST_S = 20.0


def test_every_odd_message_arrives_byte_for_byte(edge: Edge, mailbox: Mailbox) -> None:
    known = corpus()
    assert len(known) >= 100
    for raw in known.values():
        send(edge, Letter("a@example.org", mailbox.address, raw))
    found = [letter.raw for _, letter in delivered([mailbox])]
    changed = [name for name, raw in known.items() if Letter("", "", raw).kept.raw not in found]
    assert changed == []
    assert len(found) == len(known)
    assert edge.retained() == []


def test_25_mib_arrive_byte_for_byte(edge: Edge, mailbox: Mailbox) -> None:
    letter = Letter("a@example.org", mailbox.address, messages.largest())
    send(edge, letter)
    [(_, found)] = delivered([mailbox])
    assert found == letter.kept


@pytest.mark.parametrize("null_sender", ["", "<>"])
def test_null_sender_stays_one(edge: Edge, mailbox: Mailbox, null_sender: str) -> None:
    send(edge, Letter(null_sender, mailbox.address, message()))
    [(_, found)] = delivered([mailbox])
    assert found.mail_from == ""


@pytest.mark.parametrize(
    ("raw", "rcpt_to", "reject"),
    [
        (message(), "nobody@home.test", "5.1.1 Mailbox does not exist"),
        (message(), "anna", "5.1.3 Address is not valid"),
        (b"Received: x\r\n" * 101 + b"\r\n", SENTINEL, "5.4.6 Too many hops, mail loop suspected"),
        (messages.largest() + b".", SENTINEL, "5.3.4 Message is larger than 25 MiB"),
    ],
    ids=["no mailbox", "no address", "loop", "too large"],
)
def test_refusal_of_the_mail_api_is_told_to_the_sender(edge: Edge, raw: bytes, rcpt_to: str, reject: str) -> None:
    outcome = edge.receive(raw, rcpt_to=rcpt_to)
    assert (outcome.outcome, outcome.reject) == ("ok", reject)
    assert edge.retained() == []


class TestNothingElseRejects:
    """Mail for a mailbox that does not exist, so that whatever lets it be refused would show."""

    NOBODY = "nobody@home.test"

    @contextmanager
    def _killed(self, homeport: Homeport) -> Iterator[None]:
        homeport.ingress.kill()
        try:
            yield
        finally:
            homeport.ingress.start()

    def test_killed_mail_api(self, edge: Edge, homeport: Homeport) -> None:
        with self._killed(homeport):
            assert edge.receive(message(), rcpt_to=self.NOBODY) == TAKEN
        assert len(edge.retained()) == 1

    def test_mailbox_server_that_is_away(
        self, own_dovecot: Dovecot, tmp_path: Path, start_edge: Callable[..., Edge]
    ) -> None:
        with Homeport(tmp_path, transport=own_dovecot.lmtp_url, sentinel=SENTINEL) as homeport:
            edge = start_edge(mail_api=url_of(homeport), key=homeport.key)
            own_dovecot.kill()
            assert edge.receive(message(), rcpt_to=self.NOBODY) == TAKEN
            eventually(lambda: len(homeport.entries()) == 1)  # the spool has it
        assert edge.retained() == []

    def test_sentinel_unknown_too(self, dovecot: Dovecot, tmp_path: Path, start_edge: Callable[..., Edge]) -> None:
        with Homeport(tmp_path, transport=dovecot.lmtp_url, sentinel="gone@home.test") as homeport:
            edge = start_edge(mail_api=url_of(homeport), key=homeport.key)
            assert edge.receive(message(), rcpt_to=self.NOBODY) == TAKEN

    def test_domain_that_the_mail_api_was_not_told_of(
        self, dovecot: Dovecot, tmp_path: Path, start_edge: Callable[..., Edge]
    ) -> None:
        settings = {"DOMAINS": "other.test"}
        with Homeport(tmp_path, transport=dovecot.lmtp_url, sentinel=SENTINEL, settings=settings) as homeport:
            edge = start_edge(mail_api=url_of(homeport), key=homeport.key)
            assert edge.receive(message(), rcpt_to=self.NOBODY) == TAKEN
        assert len(edge.retained()) == 1

    def test_full_mailbox(self, dovecot: Dovecot, edge: Edge) -> None:
        full = dovecot.add_user(quota_bytes=1)
        assert edge.receive(message(), rcpt_to=full.address) == TAKEN
        assert edge.retained() == []

    @pytest.mark.parametrize(
        "changes",
        [
            {"key": Key.generate("other")},
            {"key": Key.generate("test")},
            {"mail_api": "not a URL"},
            {"mail_api": "http://mx.example.org"},
            {"bindings": {"MAIL_API_KEY": "abc"}},
            {"bindings": {"ACCESS_CLIENT_ID": "half a token"}},
        ],
        ids=["unknown key", "wrong secret", "no URL", "no https", "no secret", "half of Access"],
    )
    def test_edge_set_up_wrongly(self, start_edge: Callable[..., Edge], changes: dict[str, object]) -> None:
        edge = start_edge(**changes)
        assert edge.receive(message(), rcpt_to=self.NOBODY) == TAKEN
        assert len(edge.retained()) == 1

    def test_another_service_in_the_place_of_the_mail_api(
        self, dovecot: Dovecot, start_edge: Callable[..., Edge]
    ) -> None:
        edge = start_edge(mail_api=f"http://127.0.0.1:{dovecot.imap_port}")
        assert edge.receive(message(), rcpt_to=self.NOBODY) == TAKEN
        assert len(edge.retained()) == 1

    def test_no_bucket_either(self, start_edge: Callable[..., Edge]) -> None:
        edge = start_edge(mail_api=f"http://127.0.0.1:{free_port()}", without=["RETAINED"])
        outcome = edge.receive(message(), rcpt_to=self.NOBODY)
        assert (outcome.outcome, outcome.reject) == ("exception", None)  # the sender comes again
        edge.tick()


@pytest.mark.slow
def test_mail_api_that_never_answers_is_given_up_in_time(
    start_edge: Callable[..., Edge],
) -> None:
    def read(connection: socket.socket) -> None:
        while connection.recv(65536):
            pass

    raw = message()
    with TcpServer(read) as silent:
        edge = start_edge(mail_api=f"http://127.0.0.1:{silent.port}")
        began = time.monotonic()
        assert edge.receive(raw, rcpt_to="anna@home.test") == TAKEN
        took_s = time.monotonic() - began
        [stored] = edge.retained()
    assert edge.get(stored.key) == raw
    assert POST_S <= took_s < DEADLINE_S
