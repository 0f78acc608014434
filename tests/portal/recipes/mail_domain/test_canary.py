"""A canary looked for in a mailbox whose server refuses: only what a server has taken says anything."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from portal.recipes.mail_domain.canary import Inbox, NotLooked, Server
from tests.portal.recipes.conftest import ANNA, Desk, Relay
from tests.portal.worker_stub import WorkerStub
from tests.services.tcp import TcpServer

LOGIN, PASSWORD = "homeport-canary@example.co.jp", "canary-password"
SINCE = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
REFUSAL = b"7 8 mails cannot be looked at now"  # of a search: with numbers, as if it had found them


class ImapServer(TcpServer):
    """One mail in each mailbox. refuses: the commands that it answers with NO."""

    def __init__(self) -> None:
        super().__init__(self._serve_one)
        self.refuses: set[str] = set()
        self.commands: list[str] = []

    def _serve_one(self, connection: socket.socket) -> None:
        answers = {
            "CAPABILITY": b"* CAPABILITY IMAP4rev1\r\n",
            "SELECT": b"* 1 EXISTS\r\n",
            "EXAMINE": b"* 1 EXISTS\r\n",
            "SEARCH": b"* SEARCH 1\r\n",
            "FETCH": b'* 1 FETCH (INTERNALDATE "22-Nov-2026 12:00:01 +0000")\r\n',
            "LOGOUT": b"* BYE\r\n",
        }
        with connection.makefile("rb") as lines:
            connection.sendall(b"* OK ready\r\n")
            for line in lines:
                tag, verb = line.split()[:2]
                command = verb.decode()
                self.commands.append(command)
                if command in self.refuses:
                    connection.sendall(tag + b" NO " + REFUSAL + b"\r\n")
                else:
                    connection.sendall(answers.get(command, b"") + tag + b" OK done\r\n")


@pytest.fixture
def imap() -> Iterator[ImapServer]:
    with ImapServer() as running:
        yield running


def has(inbox: Inbox) -> bool:
    return inbox.has(LOGIN, PASSWORD, "0123456789abcdef")


def has_mail_since(inbox: Inbox) -> bool:
    return inbox.has_mail_since(LOGIN, PASSWORD, SINCE)


Look = Callable[[Inbox], bool]


@pytest.mark.parametrize("look", [has, has_mail_since])
def test_mail_that_is_there_is_found(imap: ImapServer, look: Look) -> None:
    assert look(Inbox(Server("127.0.0.1", imap.port, is_tls=False)))
    assert ("EXPUNGE" in imap.commands) is (look is has)


@pytest.mark.parametrize(
    ("look", "command"),
    [
        (has, "SELECT"),
        (has, "SEARCH"),
        (has_mail_since, "EXAMINE"),
        (has_mail_since, "SEARCH"),
        (has_mail_since, "FETCH"),
    ],
)
def test_refusal_is_no_answer(imap: ImapServer, look: Look, command: str) -> None:
    imap.refuses = {command}
    with pytest.raises(NotLooked, match=f"{LOGIN}: NO {REFUSAL.decode()}"):
        look(Inbox(Server("127.0.0.1", imap.port, is_tls=False)))
    assert imap.commands[-1] == "LOGOUT"


@pytest.mark.services
async def test_story_of_a_lost_canary_quotes_no_error_that_nobody_foresaw(
    desk: Desk, mail_way: dict[str, Any], relay: Relay
) -> None:
    relay.deliver = lambda _to, _message: None
    with WorkerStub(desk.edge.keys_file.read_text()) as worker:
        async with desk.stand(**mail_way, canary_s=1, edge_worker_url=worker.url) as world:
            operation = await world.apply(await world.plan())
            assert operation.error["type"] == "/problems/canary-not-seen"
            assert "the Worker says: retained 3, held 0" in operation.error["detail"]
            worker.answers["/status"].append((503, "text/plain", b""))
            worker.answers["/status"].popleft()
            begun = await world.service.canary(ANNA, "example.co.jp")
            operation = await world.runner.wait(begun.id)
            assert "the Worker could not be asked: the Worker answers HTTP 503" in operation.error["detail"]
            worker.answers["/status"].append((200, "application/json", b"[" * 200_000))  # more than Python follows
            worker.answers["/status"].popleft()
            begun = await world.service.canary(ANNA, "example.co.jp")
            operation = await world.runner.wait(begun.id)
            assert (operation.state, "recursion" in str(operation.error)) == ("failed", False)
