"""What the tests of a letter's way share: letters, what of them must lie in a mailbox, and an API that is away."""

from __future__ import annotations

import contextlib
import random
import re
import socket
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tests.crash.harness import message
from tests.mail_api.corpus import messages
from tests.mail_api.corpus.messages import shown, stored, with_crlf, without_spam_fields
from tests.services.dovecot import Mailbox
from tests.services.edge import TAKEN, Edge
from tests.services.homeport import Homeport, received
from tests.services.process import Daemon
from tests.services.tcp import TcpServer, shut

VERB = "BDAT"  # how Homeport hands messages to this Dovecot (tests/mail_api/corpus)
CONNECT_S, HOLD_S = 5.0, 60.0
CURSOR = "state/cursor.json"

_RETURN_PATH = re.compile(rb"Return-Path: <([^>\n]*)>\n")


class Letter(NamedTuple):
    """A message with its envelope."""

    mail_from: str
    rcpt_to: str
    raw: bytes

    @property
    def kept(self) -> Letter:
        """As it lies in the Maildir. Dovecot has no SMTPUTF8: a sender that needs it becomes the null sender."""
        sender = self.mail_from if self.mail_from.isascii() else ""
        return Letter(sender, self.rcpt_to, stored(without_spam_fields(self.raw), VERB))


def corpus() -> dict[str, bytes]:
    """Every odd message we know, by its name."""
    found = messages.hostile() | messages.cpython() | messages.mail_parser()
    found |= {f"{name}, CRLF": with_crlf(raw) for name, raw in found.items()}
    return {name: raw for raw, name in {raw: name for name, raw in found.items()}.items()}


def mixed_letters(count: int, mailboxes: list[Mailbox], chance: random.Random) -> list[Letter]:
    """So many letters of all kinds, in random order: hostile ones, null senders, large ones, the same content again.

    Each must be delivered once. The same content in the same envelope is among them only without Message-ID and Date:
    with one of these it would be a sender's repeat, which is delivered once altogether.
    """
    addresses = [mailbox.address for mailbox in mailboxes]
    nameless, named = b"Subject: one of many\r\n\r\nsame\r\n", message()
    letters = [Letter("a@example.org", addresses[0], nameless) for _ in range(5)]
    letters += [
        Letter(sender, address, named) for sender in ("a@example.org", "b@example.org") for address in addresses
    ]
    raws = list(messages.hostile().values()) + [message(size) for size in (2_000_000, 500_000, 100_000)]
    others = [raw for raw in corpus().values() if raw not in raws]
    raws += chance.sample(others, min(len(others), count - len(raws) - len(letters)))
    raws += [message(chance.randrange(20_000)) for _ in range(count - len(raws) - len(letters))]
    senders = ("", "a@example.org", "Anna.Ä+tag@example.org")
    letters += [Letter(chance.choice(senders), chance.choice(addresses), raw) for raw in raws]
    chance.shuffle(letters)
    return letters


def send(edge: Edge, letter: Letter) -> None:
    """Let a letter arrive. The edge must take it."""
    assert edge.receive(letter.raw, mail_from=letter.mail_from, rcpt_to=letter.rcpt_to) == TAKEN, letter.raw[:200]


def delivered(mailboxes: Iterable[Mailbox]) -> list[tuple[str, Letter]]:
    """The messages in these mailboxes with their Homeport ids. By IMAP they must read just as they lie there."""
    found = []
    for mailbox in mailboxes:
        files = list(mailbox.files().values())
        assert Counter(shown(file) for file in files) == Counter(mailbox.messages())
        for file in files:
            message_id, below = received(file)
            sender = _RETURN_PATH.match(file)
            assert sender, file[:500]
            found.append((message_id, Letter(sender[1].decode(), mailbox.address, below)))
    return found


@contextlib.contextmanager
def down(daemon: Daemon) -> Iterator[None]:
    """Stop a process; it runs again when this is left, unless somebody has started it meanwhile."""
    daemon.stop()
    try:
        yield
    finally:
        if not daemon.is_running:
            daemon.start()


def end_lease(edge: Edge) -> None:
    """Let the lease of a tick that was killed end now: it lasts four minutes (docs/design/edge.md)."""
    for cursor in edge.objects(CURSOR):
        edge.put(CURSOR, re.sub(rb'"busy_until":[0-9]+', b'"busy_until":0', edge.get(cursor.key)))


def end_claims(homeport: Homeport) -> None:
    """Let the claims of an ingress that was killed end now: those of a drain last three minutes."""
    with contextlib.closing(sqlite3.connect(homeport.state_dir / "ledger.sqlite3")) as ledger, ledger:
        ledger.execute("UPDATE messages SET lease_until = 0 WHERE state = 'in-flight'")


def url_of(homeport: Homeport) -> str:
    return f"http://127.0.0.1:{homeport.port}"


@dataclass(slots=True)
class _Connection:
    is_message: bool = False


class SlowAnswers(TcpServer):
    """A hop between edge and mail API that hands on everything, and can keep back the answers to messages.

    With `keep_back`, `kept` is set as soon as there is one; the API has done its part then, and the edge does not know.
    """

    def __init__(self, upstream_port: int) -> None:
        super().__init__(self._pass)
        self.kept = threading.Event()
        self._upstream_port = upstream_port
        self._may_pass = threading.Event()
        self._may_pass.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def keep_back(self) -> None:
        self.kept.clear()
        self._may_pass.clear()

    def let_pass(self) -> None:
        self._may_pass.set()

    def _pass(self, edge: socket.socket) -> None:
        state = _Connection()
        with socket.create_connection(("127.0.0.1", self._upstream_port), timeout=CONNECT_S) as upstream:
            upstream.settimeout(None)
            answers = threading.Thread(target=self._pass_answers, args=(upstream, edge, state))
            answers.start()
            try:
                while piece := edge.recv(65536):
                    if piece.startswith((b"GET ", b"POST ")):
                        state.is_message = piece.startswith(b"POST /v1/messages ")
                    upstream.sendall(piece)
            finally:
                shut(upstream)
                answers.join()

    def _pass_answers(self, upstream: socket.socket, edge: socket.socket, state: _Connection) -> None:
        with contextlib.suppress(OSError):  # one of them went away
            while piece := upstream.recv(65536):
                if state.is_message and not self._may_pass.is_set():
                    self.kept.set()
                    self._may_pass.wait(HOLD_S)
                edge.sendall(piece)
        shut(edge)
