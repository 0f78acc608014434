"""The local edge that other tests rely on does what `edge.py` promises."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.signing import Key
from tests.services.edge import Edge
from tests.services.homeport import eventually
from tests.services.process import free_port

pytestmark = pytest.mark.services

MESSAGE = b"Subject: \xff\r\n\r\n.\n\0\r"


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    """An edge whose mail API is not there."""
    with Edge(tmp_path, mail_api=f"http://127.0.0.1:{free_port()}", key=Key.generate("test")) as edge:
        yield edge


def test_edge_hands_over_bytes_and_envelope_as_they_are(edge: Edge) -> None:
    assert edge.receive(MESSAGE, mail_from="", rcpt_to="Grüße+x@home.test").outcome == "ok"
    [stored] = edge.retained()
    assert edge.get(stored.key) == MESSAGE
    assert stored.size_bytes == len(MESSAGE)
    assert stored.metadata["rcpt-to"] == "R3LDvMOfZSt4QGhvbWUudGVzdA"
    assert stored.metadata.get("mail-from", "") == ""


def test_killed_edge_comes_back_with_its_mail(edge: Edge) -> None:
    edge.receive(MESSAGE, rcpt_to="anna@home.test")
    before = edge.retained()
    edge.put("held/x", b"x", {"a": "b"})
    edge.kill()
    with pytest.raises(OSError, match="refused"):
        edge.retained()
    edge.start()
    assert edge.retained() == before
    assert [(stored.key, stored.metadata) for stored in edge.held()] == [("held/x", {"a": "b"})]
    edge.delete("held/x")
    assert edge.held() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_workerd_ends_with_the_process_that_started_it(edge: Edge, number: signal.Signals) -> None:
    assert len(edge.daemon.members()) >= 2
    os.kill(edge.daemon.pid, number)
    eventually(lambda: not edge.daemon.members())


def test_own_routes_are_asked_with_a_signature(edge: Edge) -> None:
    assert edge.ask("GET", "/status").status == 401
    assert edge.status()["retained"] == {"count": 0, "oldest_at": None, "complete": True}
    assert edge.drain()["drained"] == 0
