"""The mail API is away, or dies again and again: what the edge took comes out of its bucket and into the mailboxes.

Exactly once while nothing dies; and whatever dies, nothing is lost, and a second copy bears the id of the first, for
which docs/design/spool.md says when that happens (I3, I4, D2, D3).
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import secrets
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.crash.harness import is_empty
from tests.e2e.way import (
    Letter,
    SlowAnswers,
    delivered,
    down,
    end_claims,
    end_lease,
    mixed_letters,
    send,
    url_of,
)
from tests.mail_api.corpus import messages
from tests.services.dovecot import SENTINEL, Dovecot, Mailbox
from tests.services.edge import Edge, Stored
from tests.services.homeport import HOMEPORT, Homeport, eventually, message
from tests.services.lmtp_proxy import LmtpProxy
from tests.services.process import ServiceFailed

LETTERS = 200
SENDERS = 4
PER_TICK = 8  # docs/design/edge.md: what 50 subrequests are good for
ROUNDS = 5
TRACED = 10
# How many second copies one death may leave: what it had in flight (docs/design/spool.md, I3, I4, D2, D3). A drain
# posts one message after the other; two drains may be at it after an edge was killed. Delivery has eight at work.
COPIES_OF_A_DEATH = {"ingress": 2, "delivery": 8, "network": 10, "edge": 0}
REPLY_DELAY_S = 0.02  # three replies a message: there is always something in flight
PATIENCE_S = 240.0  # other work may share the machine


def send_all(edge: Edge, letters: list[Letter]) -> list[Stored]:
    """Let all arrive while the mail API is away. Return what is retained then: each of them, none refused."""
    with ThreadPoolExecutor(SENDERS) as threads:
        list(threads.map(lambda letter: send(edge, letter), letters))
    retained = edge.retained()
    assert len(retained) == len(letters)
    return retained


def left_in(edge: Edge) -> list[str]:
    """The keys of what is in the bucket, but for state and statistics."""
    return [stored.key for stored in edge.objects() if not stored.key.startswith(("state/", "stats/"))]


def trace(homeport: Homeport, message_id: str, *options: str) -> str:
    command = [*HOMEPORT, "mail", "trace", message_id, "--state-dir", str(homeport.state_dir), *options]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


class TestOutage:
    @pytest.mark.timeout(300)
    def test_200_letters_of_an_outage_arrive_once_each(self, homeport: Homeport, edge: Edge, dovecot: Dovecot) -> None:
        seed = secrets.randbits(32)
        print(f"seed {seed}")
        mailboxes = [dovecot.add_user(), dovecot.add_user()]
        letters = mixed_letters(LETTERS, mailboxes, random.Random(seed))
        with down(homeport.ingress):
            retained = send_all(edge, letters)
            edge.tick()
            assert edge.retained() == retained
        ticks = 0
        while edge.retained():
            edge.tick()
            ticks += 1
            assert ticks <= LETTERS / PER_TICK + 1
        found = delivered(mailboxes)
        assert Counter(message_id for message_id, _ in found) == Counter(each.message_id for each in retained)
        assert Counter(letter for _, letter in found) == Counter(letter.kept for letter in letters)
        assert left_in(edge) == []
        for stored in random.Random(seed).sample(retained, TRACED):
            self._check_trace(homeport, stored)

    def _check_trace(self, homeport: Homeport, stored: Stored) -> None:
        [traced] = json.loads(trace(homeport, stored.message_id, "--json"))
        events = [(event["step"], datetime.fromisoformat(event["at"]).timestamp()) for event in traced["events"]]
        steps = [step for step, _ in events]
        assert steps == ["retained", "drained", "scanned", "delivered"]
        assert events[0][1] == stored.received_at
        assert events == sorted(events, key=lambda event: event[1])
        _, *lines = trace(homeport, stored.message_id).splitlines()
        assert [line.split()[2] for line in lines] == steps

    def test_25_mib_of_an_outage_arrive(self, homeport: Homeport, edge: Edge, mailbox: Mailbox) -> None:
        letter = Letter("a@example.org", mailbox.address, messages.largest())
        with down(homeport.ingress):
            send_all(edge, [letter])
        edge.tick()
        [(_, found)] = delivered([mailbox])
        assert found == letter.kept
        assert left_in(edge) == []

    def test_letter_to_nobody_is_held_once_its_sender_is_gone(self, homeport: Homeport, edge: Edge) -> None:
        with down(homeport.ingress):
            [stored] = send_all(edge, [Letter("a@example.org", "nobody@home.test", message())])
        edge.tick()
        assert left_in(edge) == []
        assert stored.message_id in homeport.entries("hold")
        [traced] = json.loads(trace(homeport, stored.message_id, "--json"))
        assert [event["step"] for event in traced["events"]] == ["retained", "drained", "recipient", "held"]

    def test_two_ticks_at_once_deliver_once(self, way: Way) -> None:
        with way.tick_that_hears_nothing():
            way.edge.tick()
            assert len(way.edge.retained()) == 1  # the other one is at it
        assert way.edge.retained() == []
        assert way.copies() == 1

    def test_two_ticks_that_both_post_deliver_once(self, way: Way) -> None:
        with way.tick_that_hears_nothing():
            end_lease(way.edge)
            with way.tick_that_hears_nothing():
                pass
        assert way.edge.retained() == []
        assert way.copies() == 1

    def test_tick_killed_between_post_and_delete_delivers_once(self, way: Way) -> None:
        with pytest.raises((ConnectionError, ServiceFailed)), way.tick_that_hears_nothing():
            way.edge.kill()
        way.edge.start()
        assert len(way.edge.retained()) == 1
        way.edge.tick()  # the lease of the dead one holds it up
        assert len(way.edge.retained()) == 1
        end_lease(way.edge)
        way.edge.tick()
        assert way.edge.retained() == []
        assert way.copies() == 1


class Way:
    """A letter that is retained at an edge, and a hop before the mail API that can keep its answers back."""

    def __init__(self, edge: Edge, hop: SlowAnswers, mailbox: Mailbox) -> None:
        self.edge, self._hop, self._mailbox = edge, hop, mailbox

    def copies(self) -> int:
        return len(delivered([self._mailbox]))

    @contextlib.contextmanager
    def tick_that_hears_nothing(self) -> Iterator[None]:
        """Run a tick that has posted and waits for its answer, until this is left. Raise what the tick raises."""
        self._hop.keep_back()
        with ThreadPoolExecutor(1) as threads:
            ticking = threads.submit(self.edge.tick)
            try:
                assert self._hop.kept.wait(PATIENCE_S)
                assert self.copies() == 1
                yield
            finally:
                self._hop.let_pass()
            ticking.result()


@pytest.fixture
def way(homeport: Homeport, mailbox: Mailbox, start_edge: Callable[..., Edge]) -> Iterator[Way]:
    with SlowAnswers(homeport.port) as hop:
        edge = start_edge(mail_api=hop.url)
        with down(homeport.ingress):
            send_all(edge, [Letter("a@example.org", mailbox.address, message())])
        yield Way(edge, hop, mailbox)


class Killer:
    """Kills one process after the other at random times, each once in every round, and brings it back."""

    def __init__(self, chance: random.Random, victims: dict[str, Callable[[], None]]) -> None:
        self._chance = chance
        self._victims = victims
        self.kills: Counter[str] = Counter()

    def run(self, stop: threading.Event) -> None:
        for _ in range(ROUNDS):
            for name in self._chance.sample(list(self._victims), len(self._victims)):
                if stop.wait(self._chance.uniform(0.05, 0.8)):
                    return
                self._victims[name]()
                self.kills[name] += 1


@contextlib.contextmanager
def killing(killer: Killer) -> Iterator[None]:
    """Let it kill; when this is left, everything runs."""
    stop = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        end = threads.submit(killer.run, stop)
        try:
            yield
        finally:
            stop.set()
        end.result()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("dying", [["edge"], list(COPIES_OF_A_DEATH)], ids=["edge", "everything"])
def test_200_letters_arrive_whatever_dies_during_the_drain(
    own_dovecot: Dovecot, tmp_path: Path, capsys: pytest.CaptureFixture[str], dying: list[str]
) -> None:
    seed = int(os.environ.get("SEED") or secrets.randbits(32))
    chance = random.Random(seed)
    mailboxes = [own_dovecot.add_user(), own_dovecot.add_user()]
    letters = mixed_letters(LETTERS, mailboxes, chance)
    with (
        LmtpProxy(own_dovecot.lmtp_port) as network,
        Homeport(tmp_path / "homeport", transport=network.url, sentinel=SENTINEL) as homeport,
        Edge(tmp_path / "edge", mail_api=url_of(homeport), key=homeport.key) as edge,
    ):
        network.delay_s = REPLY_DELAY_S
        with down(homeport.ingress):
            retained = send_all(edge, letters)

        def kill_ingress() -> None:
            homeport.ingress.kill()
            end_claims(homeport)
            homeport.ingress.start()

        def kill_delivery() -> None:
            homeport.delivery.kill()
            homeport.delivery.start()

        def kill_edge() -> None:
            edge.kill()
            edge.start()
            end_lease(edge)

        def cut_network() -> None:  # what ingress cannot deliver then, delivery has to
            network.refuse()
            threading.Event().wait(chance.uniform(0.1, 0.5))
            network.listen()

        def is_drained() -> bool:
            with contextlib.suppress(OSError, ServiceFailed):
                edge.tick()
                return edge.retained() == []
            return False  # the edge died over it

        def is_all_delivered() -> bool:
            homeport.control("POST", "/v1/queue/retry")
            return is_empty(homeport)

        victims = {"ingress": kill_ingress, "delivery": kill_delivery, "edge": kill_edge, "network": cut_network}
        killer = Killer(random.Random(chance.random()), {name: victims[name] for name in dying})
        with killing(killer):
            eventually(is_drained, within_s=PATIENCE_S)
        eventually(is_all_delivered, within_s=PATIENCE_S)
        assert left_in(edge) == []
        set_aside = homeport.entries("hold") + homeport.entries("corrupt")

    found = delivered(mailboxes)
    by_id: dict[str, set[Letter]] = {}
    for message_id, letter in found:
        by_id.setdefault(message_id, set()).add(letter)
    statistics: dict[str, Any] = {"seed": seed, "kills": dict(killer.kills), "copies": len(found) - len(by_id)}
    with capsys.disabled():
        print(f"\nkills_during_drain {json.dumps(statistics)}")
    assert set_aside == []
    assert by_id.keys() == {each.message_id for each in retained}
    assert all(len(contents) == 1 for contents in by_id.values())
    assert Counter(letter for [letter] in by_id.values()) == Counter(letter.kept for letter in letters)
    assert min(killer.kills[name] for name in dying) > 0
    # exactly once where only the edge dies: the ledger knows every id
    assert statistics["copies"] <= sum(COPIES_OF_A_DEATH[name] * kills for name, kills in killer.kills.items())
