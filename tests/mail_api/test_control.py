"""The control socket of a running delivery process: what an operator sees of the queue, and can do about it."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mail_api.history import Event, Step
from mail_api.ledger import LedgerReader
from tests.mail_api.queued import RETAINED_AT, Queued
from tests.services.dovecot import Dovecot
from tests.services.homeport import Answer, Homeport, UnixHTTPConnection, eventually, message, received
from tests.services.lmtp_proxy import LmtpProxy

ACTOR = f"uid:{os.getuid()}"
REASON = {"reason": "asked by the owner"}
ABSENT = "0" * 32


@pytest.fixture(scope="module")
def queued(dovecot: Dovecot, start_homeport: Callable[..., Homeport]) -> Iterator[Queued]:
    with LmtpProxy(dovecot.lmtp_port) as network:
        yield Queued(start_homeport(transport=network.url), dovecot, network)


@pytest.fixture
def homeport(queued: Queued) -> Homeport:
    return queued.homeport


def events_of(homeport: Homeport, queue_id: str) -> list[Event]:
    with contextlib.closing(LedgerReader(homeport.state_dir / "ledger.sqlite3")) as ledger:
        return ledger.events(queue_id)


def assert_problem(answer: Answer, status: int, kind: str) -> None:
    assert (answer.status, answer.type) == (status, kind)
    assert answer.headers["content-type"] == "application/problem+json"


class TestLook:
    def test_entry_is_shown_with_what_is_known_of_it(self, homeport: Homeport, queued: Queued) -> None:
        raw = message()
        queue_id, mailbox = queued.full(raw)
        answer = homeport.control("GET", f"/v1/queue/{queue_id}")
        assert answer.status == 200
        entry = answer.document
        assert entry["next_attempt_at"] - entry["received_at"] == pytest.approx(60, abs=30)
        assert "5.2.2" in entry["reason"]
        told = {"place", "queue_id", "mail_from", "rcpt_to", "size_bytes", "attempts", "retained_at", "verdict"}
        assert {name: entry[name] for name in told} == {
            "place": "queue",
            "queue_id": queue_id,
            "mail_from": "a@example.org",
            "rcpt_to": mailbox.address,
            "size_bytes": len(raw),
            "attempts": 1,
            "retained_at": None,
            "verdict": None,
        }

    def test_list_has_the_entries_of_one_place(self, homeport: Homeport, queued: Queued) -> None:
        in_queue, (in_hold, address), in_corrupt = queued.full()[0], queued.held(), queued.corrupt()
        for place, queue_id in {"queue": in_queue, "hold": in_hold, "corrupt": in_corrupt, "active": None}.items():
            page = homeport.control("GET", f"/v1/queue?place={place}").document
            assert (page["place"], page["total"]) == (place, len(page["entries"]))
            assert {entry["place"] for entry in page["entries"]} <= {place}
            listed = {entry["queue_id"] for entry in page["entries"]}
            assert listed & {in_queue, in_hold, in_corrupt} == {queue_id} - {None}
        held = queued.entry(in_hold)
        assert (held["rcpt_to"], held["retained_at"]) == (address, RETAINED_AT)
        assert "5.1.1" in held["reason"]

    def test_list_is_in_order_of_the_next_attempt_and_as_long_as_asked(
        self, homeport: Homeport, queued: Queued
    ) -> None:
        for _ in range(3):
            queued.full()
            queued.held()
        due = [entry["next_attempt_at"] for entry in homeport.control("GET", "/v1/queue").document["entries"]]
        assert len(due) >= 3
        assert due == sorted(due)
        whole = homeport.control("GET", "/v1/queue?place=hold&limit=1000").document
        short = homeport.control("GET", "/v1/queue?place=hold&limit=2").document
        assert short["entries"] == whole["entries"][:2]
        assert short["total"] == whole["total"] >= 3

    def test_message_is_given_as_it_was_received(self, homeport: Homeport, queued: Queued) -> None:
        raw = message(b"\0\xff.\r\n.\n" * 100_000)
        queue_id, _ = queued.full(raw)
        with contextlib.closing(UnixHTTPConnection(homeport.state_dir / "control.sock")) as connection:
            connection.request("GET", f"/v1/queue/{queue_id}/message")
            response = connection.getresponse()
            assert response.read() == raw
        assert response.headers["content-type"] == "message/rfc822"
        assert response.headers["x-content-type-options"] == "nosniff"

    def test_status_counts_what_lies_where(self, homeport: Homeport, queued: Queued) -> None:
        before = homeport.control("GET", "/v1/status").document
        queued.full()
        queued.held()
        after = homeport.control("GET", "/v1/status").document
        assert after["is_transport_reachable"] is True
        assert after["oldest_s"] >= before["oldest_s"]
        more = {place: count - before["counts"][place] for place, count in after["counts"].items()}
        assert more["queue"] + more["active"] == 1  # an older entry may just have become due
        assert (more["hold"], more["corrupt"]) == (1, 0)

    def test_damaged_envelope_is_said(self, homeport: Homeport, queued: Queued) -> None:
        queue_id, _ = queued.held()
        envelope = homeport.state_dir / "spool/hold" / queue_id / "envelope.json"
        intact = envelope.read_bytes()
        envelope.write_bytes(b"{}")
        try:
            page = homeport.control("GET", "/v1/queue?place=hold").document
            [entry] = [entry for entry in page["entries"] if entry["queue_id"] == queue_id]
            assert entry["reason"].startswith("envelope.json is malformed")
            assert_problem(homeport.control("GET", f"/v1/queue/{queue_id}"), 409, "queue-entry-damaged")
        finally:
            envelope.write_bytes(intact)


class TestActs:
    def test_retry_delivers_what_can_be_delivered_now(self, homeport: Homeport, queued: Queued) -> None:
        raw = message()
        queue_id, mailbox = queued.full(raw)
        queued.dovecot.add_user(mailbox.address, quota_bytes=1_000_000)  # known within a second
        answer = homeport.control("POST", f"/v1/queue/{queue_id}/retry")
        assert (answer.status, answer.document["queue_id"]) == (202, queue_id)
        eventually(lambda: homeport.control("POST", f"/v1/queue/{queue_id}/retry").status == 404)
        [stored] = mailbox.files().values()
        assert received(stored) == (queue_id, raw.replace(b"\r\n", b"\n"))
        retried = next(event for event in events_of(homeport, queue_id) if event.step is Step.RETRIED)
        assert retried.data["actor"] == ACTOR

    def test_retry_of_everything_counts_it(self, homeport: Homeport, queued: Queued) -> None:
        queue_ids = [queued.full()[0] for _ in range(2)]
        answer = homeport.control("POST", "/v1/queue/retry")
        assert answer.status == 202
        assert answer.document["count"] >= 2
        eventually(lambda: all(queued.is_in("queue", queue_id, attempts=2) for queue_id in queue_ids))

    def test_held_entry_waits_until_it_is_released(self, homeport: Homeport, queued: Queued) -> None:
        queue_id, mailbox = queued.full()
        answer = homeport.control("POST", f"/v1/queue/{queue_id}/hold", REASON)
        assert answer.status == 200
        assert {name: answer.document[name] for name in ("place", "reason", "next_attempt_at")} == {
            "place": "hold",
            "reason": REASON["reason"],
            "next_attempt_at": None,
        }
        assert homeport.control("POST", "/v1/queue/retry").status == 202
        assert queued.entry(queue_id)["place"] == "hold"
        repeated = homeport.control("POST", f"/v1/queue/{queue_id}/hold", REASON)
        assert_problem(repeated, 409, "queue-entry-busy")
        assert_problem(homeport.control("POST", f"/v1/queue/{queue_id}/retry"), 409, "queue-entry-busy")
        assert mailbox.files() == {}
        held = events_of(homeport, queue_id)[-1]
        assert (held.step, held.data) == (Step.HELD, {"actor": ACTOR, "reason": REASON["reason"]})

    def test_released_entry_is_delivered(self, homeport: Homeport, queued: Queued) -> None:
        queue_id, address = queued.held()
        mailbox = queued.dovecot.add_user(address)
        answer = homeport.control("POST", f"/v1/queue/{queue_id}/release")
        assert (answer.status, answer.document["place"]) == (202, "queue")
        [stored] = eventually(mailbox.files).values()
        assert received(stored)[0] == queue_id
        eventually(lambda: homeport.control("GET", f"/v1/queue/{queue_id}").status == 404)
        steps = [event.step for event in events_of(homeport, queue_id)]
        assert steps[-3:] == [Step.HELD, Step.RELEASED, Step.DELIVERED]

    def test_released_entry_that_is_refused_again_is_held_again(self, homeport: Homeport, queued: Queued) -> None:
        queue_id, _ = queued.held()
        assert homeport.control("POST", f"/v1/queue/{queue_id}/release").status == 202
        eventually(lambda: [event.step for event in events_of(homeport, queue_id)][-1] is Step.HELD)
        entry = queued.entry(queue_id)
        assert entry["place"] == "hold"
        assert "5.1.1" in entry["reason"]

    @pytest.mark.parametrize("place", ["queue", "hold"])
    def test_dropped_entry_is_gone_and_its_end_is_known(self, homeport: Homeport, queued: Queued, place: str) -> None:
        queue_id = queued.full()[0] if place == "queue" else queued.held()[0]
        answer = homeport.control("POST", f"/v1/queue/{queue_id}/drop", REASON)
        assert (answer.status, answer.document["queue_id"]) == (200, queue_id)
        assert_problem(homeport.control("GET", f"/v1/queue/{queue_id}"), 404, "queue-entry-not-found")
        assert queue_id not in homeport.entries(place)
        dropped = events_of(homeport, queue_id)[-1]
        assert (dropped.step, dropped.data) == (Step.DROPPED, {"actor": ACTOR, "reason": REASON["reason"]})

    def test_entry_under_delivery_is_busy(self, homeport: Homeport, queued: Queued) -> None:
        with queued.active() as queue_id:
            for act, body in {"retry": None, "hold": REASON, "release": None, "drop": REASON}.items():
                assert_problem(homeport.control("POST", f"/v1/queue/{queue_id}/{act}", body), 409, "queue-entry-busy")
            assert queued.is_in("active", queue_id)
        eventually(lambda: queued.is_in("queue", queue_id))
        assert homeport.control("POST", f"/v1/queue/{queue_id}/drop", REASON).status == 200

    def test_corrupt_entry_stays_where_it_is(self, homeport: Homeport, queued: Queued) -> None:
        queue_id = queued.corrupt()
        for act, body in {"retry": None, "hold": REASON, "release": None, "drop": REASON}.items():
            assert_problem(homeport.control("POST", f"/v1/queue/{queue_id}/{act}", body), 409, "queue-entry-busy")
        assert queued.entry(queue_id)["place"] == "corrupt"
        assert events_of(homeport, queue_id)[-1].step is Step.CORRUPT


class TestRefusals:
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", ""),
            ("GET", "/message"),
            ("POST", "/retry"),
            ("POST", "/hold"),
            ("POST", "/release"),
            ("POST", "/drop"),
        ],
    )
    def test_absent_and_impossible_ids_are_told_apart(self, homeport: Homeport, method: str, path: str) -> None:
        body = REASON if path in ("/hold", "/drop") else None
        answer = homeport.control(method, f"/v1/queue/{ABSENT}{path}", body)
        assert_problem(answer, 404, "queue-entry-not-found")
        for impossible in ["0", ABSENT + "0", ABSENT[:-1] + "G", ".." + "0" * 30, "%2e%2e%2f" + "0" * 29]:
            assert homeport.control(method, f"/v1/queue/{impossible}{path}", body).status in (404, 422)

    @pytest.mark.parametrize(
        "body", [None, {}, {"reason": ""}, {"reason": "x" * 501}, {"reason": 1}, {**REASON, "a": 1}]
    )
    @pytest.mark.parametrize("act", ["hold", "drop"])
    def test_act_without_a_reason_is_refused(self, homeport: Homeport, queued: Queued, act: str, body: Any) -> None:
        queue_id, _ = queued.held()
        answer = homeport.control("POST", f"/v1/queue/{queue_id}/{act}", body)
        assert_problem(answer, 422, "invalid-request")
        assert answer.document["errors"]
        assert queued.entry(queue_id)["place"] == "hold"

    @pytest.mark.parametrize("query", ["place=tmp", "place=..", "limit=0", "limit=1001", "limit=x"])
    def test_list_of_something_else_is_refused(self, homeport: Homeport, query: str) -> None:
        assert_problem(homeport.control("GET", f"/v1/queue?{query}"), 422, "invalid-request")

    def test_there_is_nothing_else(self, homeport: Homeport) -> None:
        for path in ["/", "/docs", "/openapi.json", "/v1/messages", "/v1/queue/", "/metrics"]:
            assert_problem(homeport.control("GET", path), 404, "not-found")
        assert_problem(homeport.control("DELETE", "/v1/queue"), 405, "method-not-allowed")


def test_socket_is_for_owner_and_group_and_goes_with_the_process(homeport: Homeport) -> None:
    path = homeport.state_dir / "control.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    homeport.delivery.stop()
    assert not path.exists()
    homeport.delivery.start()
    assert homeport.control("GET", "/livez").document == {"status": "ok"}
