"""Every container is restarted, some are killed, while mail comes in and goes out: nothing is lost."""

from __future__ import annotations

import re
import secrets
import smtplib
import threading
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Self

import pytest

from tests.services.edge import TAKEN, Edge
from tests.services.homeport import eventually
from tests.stacks.deployment import SUBMISSION_RATE, Deployment
from tests.stacks.mailbox import StackMailbox
from tests.stacks.test_reading import learned, words
from tests.stacks.test_way_in import letter

KILLED = ("mail-ingress", "mail-delivery", "mail-dovecot", "mail-db", "mail-postfix")
INCOMING_EVERY_S, OUTGOING_EVERY_S = 0.25, 2.0
SETTLE_S = 300.0  # a claim of an ingress that was killed ends after three minutes


class Sender:
    """A thread that sends one letter after another until it is told to stop, and remembers which were acknowledged."""

    def __init__(self, send: Callable[[str], bool], every_s: float, most: int) -> None:
        self.acknowledged: list[str] = []
        self.tried = 0
        self.errors: list[BaseException] = []
        self._send, self._every_s, self._most = send, every_s, most
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        while self.tried < self._most and not self._ending.wait(self._every_s):
            name = f"load{secrets.token_hex(8)}"
            self.tried += 1
            try:
                if self._send(name):
                    self.acknowledged.append(name)
            except BaseException as error:  # shown by the test, not lost in a thread
                self.errors.append(error)
                return


def subjects(messages: list[bytes]) -> Counter[str]:
    return Counter(found.decode() for found in re.findall(rb"^Subject: (load\w+)\r$", b"".join(messages), re.MULTILINE))


@pytest.mark.timeout(900)
def test_restart_of_each_container_under_load_loses_nothing(stack: Deployment, edge: Edge, anna: StackMailbox) -> None:
    """What the sender was told is taken lies in the mailbox once; what Postfix has taken the smarthost has got."""

    def comes_in(name: str) -> bool:
        return edge.receive(letter(anna, name), rcpt_to=anna.address) == TAKEN

    def goes_out(name: str) -> bool:
        try:
            with anna.submission() as session:
                session.send_message(anna.letter(name))
        except (smtplib.SMTPException, OSError):  # the client keeps it and says so
            return False
        return True

    services = [service for service in stack.services if not service.startswith(("test-", "blog-"))]
    with (
        Sender(comes_in, INCOMING_EVERY_S, 10_000) as incoming,
        Sender(goes_out, OUTGOING_EVERY_S, SUBMISSION_RATE - 5) as outgoing,
    ):
        for service in services:
            stack.compose("restart", service)
            stack.wait_until_healthy(service)
        for service in KILLED:
            stack.compose("kill", service)
            stack.wait_until_healthy(service)
    assert (incoming.errors, outgoing.errors) == ([], [])
    assert len(incoming.acknowledged) > len(services)
    assert len(outgoing.acknowledged) > 0

    def settled() -> bool:
        edge.tick()
        stack.retry()
        return not edge.retained() and stack.is_idle()

    eventually(settled, within_s=SETTLE_S)
    expected = Counter(incoming.acknowledged)
    kept = eventually(
        lambda: both if len(both := anna.messages() + anna.messages("Junk")) >= len(expected) else None, within_s=60.0
    )
    assert subjects(kept) == expected
    assert stack.spooled("hold") == stack.spooled("corrupt") == []

    def relayed() -> set[str]:
        return {str(each.message["Subject"]) for each in stack.smarthost.relayed()}

    stack.execute("mail-postfix", "postqueue", "-f")
    eventually(lambda: set(outgoing.acknowledged) <= relayed(), within_s=60.0)
    stack.figures["restarts under load"] = (
        f"{len(services)} restarted, {len(KILLED)} killed; {len(expected)} of {incoming.tried} letters in, "
        f"{len(outgoing.acknowledged)} of {outgoing.tried} out acknowledged, none lost"
    )


def test_recreated_stack_has_everything_it_had(stack: Deployment, edge: Edge, anna: StackMailbox) -> None:
    """Containers are cattle: all state is in the bind mounts."""
    assert edge.receive(letter(anna, "before"), rcpt_to=anna.address) == TAKEN
    before = anna.wait_for(1)
    stack.recreate()
    assert anna.messages() == before
    assert edge.receive(letter(anna, "after"), rcpt_to=anna.address) == TAKEN
    anna.wait_for(2)


def test_rspamd_that_starts_before_its_database_waits_for_it(stack: Deployment, edge: Edge, anna: StackMailbox) -> None:
    """As after a reboot, where nobody keeps an order: without it there would be no limit and no learning, silently."""
    with stack.stopped("mail-valkey"):
        stack.compose("restart", "mail-rspamd")
        eventually(lambda: "waiting for mail-valkey" in stack.log("mail-rspamd"), within_s=30.0)
    stack.wait_until_healthy("mail-rspamd")
    before = learned(stack)["BAYES_SPAM"]
    assert edge.receive(letter(anna, "teach", words()), rcpt_to=anna.address) == TAKEN
    anna.wait_for(1)
    anna.move("INBOX", "Junk")
    eventually(lambda: learned(stack)["BAYES_SPAM"] == before + 1, within_s=30.0)
