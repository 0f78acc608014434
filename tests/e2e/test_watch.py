"""The edge watches the workstation and counts what happened: alerts by webhook and mail, `/status`."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.e2e.way import Letter, down, send
from tests.services.dovecot import Mailbox
from tests.services.edge import Edge
from tests.services.homeport import Homeport, eventually, message

STATE = "state/watchdog.json"


class Receiver(ThreadingHTTPServer):
    """What an operator's webhook leads to. It answers `status`, and has `heard` what it answered 200."""

    def __init__(self) -> None:
        self.status = 200
        self.heard: list[dict[str, Any]] = []
        super().__init__(("127.0.0.1", 0), _Hearing)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook"


class _Hearing(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        document = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.status == 200:
            self.server.heard.append(document)
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_request(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        thread = threading.Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield receiver
        receiver.shutdown()
        thread.join()


def failing_for(edge: Edge, seconds: int) -> None:
    """Let the outage that the edge has noticed have begun so long ago: workerd's clock cannot be moved."""
    state = json.loads(edge.get(STATE))
    assert state["alerted_at"] is None
    edge.put(STATE, json.dumps(state | {"failing_since": int(time.time()) - seconds}).encode())


def test_outage_and_recovery_are_announced_once_each(
    homeport: Homeport, start_edge: Callable[..., Edge], receiver: Receiver
) -> None:
    bindings = {"ALERT_WEBHOOK": receiver.url, "WATCHDOG_MINUTES": "1"}
    mail = {"ALERT_MAIL_FROM": "edge@home.test", "ALERT_MAIL_TO": "operator@example.org"}
    edge = start_edge(bindings=bindings | mail, alert_mail=True)
    edge.tick()
    assert edge.objects("state/") == []  # all is well, and nothing needs to be remembered
    with down(homeport.ingress):
        edge.tick()
        assert receiver.heard == []  # not for long enough
        assert edge.status()["origin"]["failing_since"] is not None
        failing_for(edge, 120)
        receiver.status = 500
        edge.kill()  # an edge that forgets what is only in memory
        edge.start()
        edge.tick()
        receiver.status = 200
        for _ in range(3):
            edge.tick()
        told = [each["event"] for each in receiver.heard]
        assert edge.status()["origin"]["alerted_at"] is not None
    for _ in range(3):
        edge.tick()
    assert told == []  # mail had told the operator already when the webhook failed
    assert [each["event"] for each in receiver.heard] == ["origin_recovered"]
    subjects = [re.search(r"^Subject: .*$", sent, re.MULTILINE) for sent in dict.fromkeys(edge.sent_mail())]
    assert len(subjects) == 2
    assert edge.status()["origin"] == {"failing_since": None, "alerted_at": None}


def test_alert_that_nobody_heard_is_sent_again(
    homeport: Homeport, start_edge: Callable[..., Edge], receiver: Receiver
) -> None:
    edge = start_edge(bindings={"ALERT_WEBHOOK": receiver.url, "WATCHDOG_MINUTES": "1"})
    with down(homeport.ingress):
        edge.tick()
        failing_for(edge, 120)
        receiver.status = 500
        edge.tick()
        receiver.status = 200
        for _ in range(3):
            edge.tick()
        assert [each["event"] for each in receiver.heard] == ["origin_failing"]
    edge.tick()
    edge.tick()
    [failing, recovered] = receiver.heard
    assert recovered["event"] == "origin_recovered"
    assert failing["source"] == "homeport-edge"
    assert str(receiver.server_port) not in failing["text"]


def test_status_tells_what_is_retained_and_what_happened(
    homeport: Homeport, start_edge: Callable[..., Edge], mailbox: Mailbox
) -> None:
    edge = start_edge(bindings={"WORKER_VERSION": "1.2.3"})
    with down(homeport.ingress):
        for _ in range(3):
            send(edge, Letter("", mailbox.address, message()))
        retained = edge.retained()
        status = edge.status()
    assert status["version"] == "1.2.3"
    assert status["retained"] == {"count": 3, "oldest_at": retained[0].received_at, "complete": True}
    assert status["held"] == {"count": 0, "oldest_at": None, "complete": True}
    assert abs(status["at"] - time.time()) < 60
    assert status["bindings"] == {
        "retained": True,
        "recipients": False,
        "alert_webhook": False,
        "alert_mail": False,
        "access": False,
    }
    assert edge.drain() == {"drained": 3, "failed": 0, "held": 0, "stopped": None, "more": False}
    edge.receive(message(), rcpt_to="nobody@home.test")
    # a live message's statistics are written behind its end
    eventually(lambda: counted(edge) == {"retained": 3, "drained": 3, "refused": 1})
    assert edge.status()["retained"] == {"count": 0, "oldest_at": None, "complete": True}


def counted(edge: Edge) -> Counter[str]:
    """All days together: a test may run at midnight."""
    return sum((Counter(day) for day in edge.status()["days"].values()), Counter())
