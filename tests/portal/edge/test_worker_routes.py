"""`homeport edge status` and `drain`: what the Worker says, what Cloudflare shows, and what nobody can tell."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes.cloudflare import CloudflareFake
from tests.portal.conftest import HOME, Edge
from tests.portal.worker_stub import STATUS, WorkerStub


@pytest.fixture
def worker(edge: Edge) -> Iterator[WorkerStub]:
    with WorkerStub(edge.keys_file.read_text()) as stub:
        edge.settings["edge_worker_url"] = stub.url
        yield stub


def status(edge: Edge) -> Any:
    ended = edge.run("status", "--json")
    assert ended.code == 0, ended.err
    return ended.document


class TestStatus:
    def test_tells_all_there_is(self, edge: Edge, worker: WorkerStub) -> None:
        edge.deploy()
        edge.sync(f"bob@{HOME}", f"alice@{HOME}")
        document = status(edge)
        assert document["edge"] == STATUS
        assert document["installation"] == edge.record["installation"]
        assert document["worker"]["is_current"] is True
        assert document["worker"]["is_cron_set"] is True
        assert document["bucket"] == {"name": "homeport-mail-retained", "exists": True, "is_ours": True}
        zone = document["zones"][HOME]
        assert zone["routing"] == {"enabled": True, "status": "ready"}
        assert zone["catch_all"]["is_to_worker"] is True
        assert zone["records"]["in_order"] is True
        pushed = document["recipients"][HOME]
        assert (pushed["count"], pushed["generation"], pushed["refuses"]) == (2, 1, True)
        text = edge.run("status").out
        for line in (
            "version",
            "as built here",
            "* * * * *",
            "Email Routing on, ready",
            "MX and SPF in order",
            "2 addresses, generation 1",
            "the mail API answers",
            "retained 1, drained 2",
        ):
            assert line in text
        assert worker.requests == [("GET", "/status")] * 2

    def test_before_the_first_deploy_nothing_is_there(self, edge: Edge) -> None:
        document = status(edge)
        assert document["installation"] is None
        assert document["worker"]["is_deployed"] is False
        assert document["bucket"]["exists"] is False
        assert document["recipients"] == {HOME: None}
        assert "unknown" in document["edge"]
        assert "homeport-mail is not deployed" in edge.run("status").out

    def test_old_worker_and_old_list_are_told(self, edge: Edge, cf: CloudflareFake, worker: WorkerStub) -> None:
        edge.deploy()
        edge.sync(f"bob@{HOME}")
        namespace = cf.state.namespace("homeport-mail-recipients")
        value = namespace.values[f"recipients/{HOME}"]
        value.data = json.dumps(json.loads(value.data) | {"at": 1_700_000_000}).encode()
        edge.worker_file.write_bytes(b"export default {} // newer")
        document = status(edge)
        assert document["worker"]["is_current"] is False
        assert document["recipients"][HOME]["refuses"] is False
        text = edge.run("status").out
        assert "`homeport edge deploy` uploads it" in text
        assert "refuses nobody" in text

    def test_failing_mail_api_and_held_mail_are_told(self, edge: Edge, worker: WorkerStub) -> None:
        edge.deploy()
        origin = {"failing_since": 1_799_999_000, "alerted_at": 1_799_999_300}
        held = {"count": 2, "oldest_at": 1_799_000_000, "complete": False}
        worker.answers["/status"] = deque([STATUS | {"origin": origin, "held": held}])
        text = edge.run("status").out
        assert "the mail API fails since" in text
        assert "alerted" in text
        assert "2 or more, the oldest of" in text

    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            ((500, "text/plain", b"no"), "the Worker answers HTTP 500"),
            ((302, "text/html", b""), "the Worker answers HTTP 302"),
            ((200, "text/html", b"<html>login</html>"), "is not our Worker"),
            ((200, "application/json", b"[]"), "is not our Worker"),
            ((200, "application/json", b" " * (1024**2 + 1)), "the Worker answers HTTP 200"),
        ],
    )
    def test_what_the_worker_does_not_say_is_unknown(
        self, edge: Edge, worker: WorkerStub, answer: Any, reason: str
    ) -> None:
        worker.answers["/status"] = deque([answer])
        assert reason in status(edge)["edge"]["unknown"]
        text = edge.run("status").out
        assert text.count("unknown: ") >= 2
        assert ("GET", "/elsewhere") not in worker.requests

    def test_worker_with_another_key_says_what_to_do(self, edge: Edge, worker: WorkerStub) -> None:
        edge.new_key()
        assert "`homeport edge deploy` gives it the current key" in status(edge)["edge"]["unknown"]

    def test_worker_that_cannot_be_reached_is_unknown(self, edge: Edge) -> None:
        edge.settings["edge_worker_url"] = "http://127.0.0.1:9"
        assert "cannot be reached" in status(edge)["edge"]["unknown"]

    def test_what_the_token_may_not_read_is_unknown_with_its_reason(
        self, edge: Edge, cf: CloudflareFake, worker: WorkerStub
    ) -> None:
        edge.deploy()
        lacking = ["Workers R2 Storage Read", "Email Routing Rules Read"]
        edge.settings["cloudflare_token"] = cf.token(without=lacking)
        document = status(edge)
        assert document["bucket"]["unknown"].startswith("the token lacks the permission Workers R2 Storage Read")
        assert f"Email Routing Rules Read for zone {HOME}" in document["zones"][HOME]["catch_all"]["unknown"]
        assert document["zones"][HOME]["routing"]["enabled"] is True
        assert document["edge"] == STATUS
        assert "unknown: the token lacks" in edge.run("status").out

    def test_unbuilt_worker_is_unknown_not_different(self, edge: Edge, worker: WorkerStub) -> None:
        edge.deploy()
        edge.worker_file.unlink()
        assert status(edge)["worker"]["is_current"] is None
        assert "`make worker` builds it" in edge.run("status").out


def drained(count: int, *, failed: int = 0, held: int = 0, stopped: str | None = None, more: bool = False) -> Any:
    return {"drained": count, "failed": failed, "held": held, "stopped": stopped, "more": more}


class TestDrain:
    def test_goes_on_until_nothing_is_left(self, edge: Edge, worker: WorkerStub) -> None:
        worker.answers["/drain"] = deque([drained(16, more=True), drained(16, held=1, more=True), drained(3)])
        ended = edge.run("drain")
        assert (ended.code, ended.out) == (0, "35 drained, 0 failed, 1 held.\n")
        assert "drained 32, failed 0, held 1" in ended.err
        assert worker.requests == [("POST", "/drain")] * 3

    def test_once_is_one_round(self, edge: Edge, worker: WorkerStub) -> None:
        worker.answers["/drain"] = deque([drained(16, more=True)])
        ended = edge.run("drain", "--once", "--json")
        assert ended.code == 0
        assert ended.document == {"drained": 16, "failed": 0, "held": 0, "stopped": None, "more": True}
        assert len(worker.requests) == 1

    def test_stops_with_the_worker(self, edge: Edge, worker: WorkerStub) -> None:
        worker.answers["/drain"] = deque([drained(2, more=True), drained(0, stopped="network", more=True)])
        ended = edge.run("drain")
        assert (ended.code, ended.out) == (1, "2 drained, 0 failed, 0 held.\n")
        assert "the drain stopped: network" in ended.error

    def test_busy_once_is_said(self, edge: Edge, worker: WorkerStub) -> None:
        worker.answers["/drain"] = deque([drained(0, stopped="busy", more=True)])
        ended = edge.run("drain", "--once")
        assert ended.code == 1
        assert "busy" in ended.error

    def test_round_that_moves_nothing_is_the_last(self, edge: Edge, worker: WorkerStub) -> None:
        worker.answers["/drain"] = deque([drained(0, more=True)])
        ended = edge.run("drain")
        assert ended.code == 1
        assert "mail is left that cannot be delivered now" in ended.error
        assert len(worker.requests) == 1

    @pytest.mark.parametrize("failed", [1, 16])
    def test_round_that_only_fails_is_the_last(self, edge: Edge, worker: WorkerStub, failed: int) -> None:
        worker.answers["/drain"] = deque([drained(2, failed=1, more=True), drained(0, failed=failed, more=True)])
        ended = edge.run("drain")
        assert (ended.code, ended.out) == (1, f"2 drained, {failed + 1} failed, 0 held.\n")
        assert "mail is left that cannot be delivered now" in ended.error
        assert len(worker.requests) == 2

    def test_worker_without_an_address_is_said(self, edge: Edge, cf: CloudflareFake) -> None:
        cf.state.subdomain = None
        ended = edge.run("drain")
        assert ended.code == 1
        assert "not deployed yet" in ended.error
