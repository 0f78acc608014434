"""What an operator sees from outside: readiness, each check failing for its own reason, and numbers that add up."""

from __future__ import annotations

import os
import secrets
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kit.health import run_checks
from mail_api import observe
from mail_api.ingress import Parts
from mail_api.observe import CENSUS_S, OLDEST_READY_S, Observer
from mail_api.spool import MESSAGE, Place, Spool
from tests.mail_api.in_process import MovableClock, Request, ingress, mail_parts
from tests.services.dovecot import Dovecot, Mailbox
from tests.services.homeport import Homeport, Poster, eventually, message
from tests.services.lmtp_scripted import ScriptedLmtp
from tests.services.process import free_port

CHECKS = {"transport", "sentinel", "spool", "disk", "queue"}


class FullDisk(Spool):
    """A spool on a disk with less room than one message needs; tests/crash has a real one."""

    def free_bytes(self) -> int:
        return 1024**2


async def failing(parts: Parts, spool: Spool | None = None) -> dict[str, str]:
    """Run the checks of /readyz; return those that fail, and why."""
    checks = observe.checks(
        spool or parts.spool, parts.transport, {}, parts.observer, parts.settings.sentinel, parts.clock
    )
    assert checks.keys() == CHECKS
    report = await run_checks(checks, timeout_s=5)
    return {name: result.detail for name, result in report.results.items() if not result.ok}


class TestChecks:
    async def test_all_is_well(self, tmp_path: Path, clock: MovableClock) -> None:
        with ScriptedLmtp() as peer:
            async with mail_parts(tmp_path, peer.port, clock) as parts:
                assert await failing(parts) == {}

    async def test_transport_that_cannot_be_reached_takes_the_sentinel_along(
        self, tmp_path: Path, clock: MovableClock
    ) -> None:
        async with mail_parts(tmp_path, free_port(), clock) as parts:
            found = await failing(parts)
            assert found.keys() == {"transport", "sentinel"}
            assert "Connect call failed" in found["transport"]

    @pytest.mark.parametrize("said", ["550 5.1.1 User doesn't exist", "451 4.3.0 Later"])
    async def test_sentinel_that_is_not_accepted_is_named(self, tmp_path: Path, clock: MovableClock, said: str) -> None:
        with ScriptedLmtp(rcpt=[said, said]) as peer:
            async with mail_parts(tmp_path, peer.port, clock) as parts:
                found = await failing(parts)
        assert found.keys() == {"sentinel"}
        assert said in found["sentinel"]

    async def test_without_a_sentinel_nothing_is_asked(self, tmp_path: Path, clock: MovableClock) -> None:
        with ScriptedLmtp(rcpt=["550 5.1.1 User doesn't exist"]) as peer:
            async with mail_parts(tmp_path, peer.port, clock, sentinel=None) as parts:
                assert await failing(parts) == {}

    async def test_spool_that_cannot_be_written_is_named(self, tmp_path: Path, clock: MovableClock) -> None:
        with ScriptedLmtp() as peer:
            async with mail_parts(tmp_path, peer.port, clock) as parts:
                parts.spool.tmp.rmdir()
                found = await failing(parts)
        assert found.keys() == {"spool"}
        assert str(parts.spool.tmp) in found["spool"]

    async def test_disk_without_room_is_named(self, tmp_path: Path, clock: MovableClock) -> None:
        with ScriptedLmtp() as peer:
            async with mail_parts(tmp_path, peer.port, clock) as parts:
                found = await failing(parts, FullDisk(parts.spool.root, clock=clock))
        assert found.keys() == {"disk"}
        assert "1 MiB are free" in found["disk"]

    async def test_message_that_waits_for_more_than_an_hour_is_counted(
        self, tmp_path: Path, clock: MovableClock
    ) -> None:
        later = "451 4.3.0 Later"
        async with ingress(tmp_path, ScriptedLmtp(rcpt=[later]), clock) as pipe:
            answer = await pipe.post(message())
            body = pipe.parts.spool.path(Place.QUEUE, answer.document["queue_id"]) / MESSAGE
            os.utime(body, (clock.now(), clock.now() - OLDEST_READY_S))
            assert await failing(pipe.parts) == {}
            clock.advance(CENSUS_S)
            found = await failing(pipe.parts)
        assert found == {"queue": "1 waiting, the oldest for 3610 s"}


class TestCensus:
    async def test_figures_are_counted_once_in_ten_seconds_unless_asked_for_anew(
        self, tmp_path: Path, clock: MovableClock
    ) -> None:
        async with ingress(tmp_path, ScriptedLmtp(rcpt=["451 4.3.0 Later"] * 3), clock) as pipe:
            observer = Observer(pipe.parts.spool, clock=clock)
            seen = []
            for wait_s in (0.0, CENSUS_S - 1, 1.0):
                clock.advance(wait_s)
                seen.append((await observer.census()).waiting)
                await pipe.post(message())
            assert seen == [0, 0, 2]
            assert (await observer.census(fresh=True)).waiting == 3


class TestMetricsListener:
    async def test_unready_is_503_with_every_check_by_name(self, tmp_path: Path, clock: MovableClock) -> None:
        async with mail_parts(tmp_path, free_port(), clock) as parts:
            checks = observe.checks(
                parts.spool, parts.transport, {}, parts.observer, parts.settings.sentinel, parts.clock
            )
            app = observe.create_metrics_app(checks, parts.observer)
            answer = await Request(app, {}, method="GET", path="/readyz").answer_to(b"")
        assert (answer.status, answer.document["status"]) == (503, "failing")
        assert answer.document["checks"].keys() == CHECKS

    def test_both_processes_are_ready_beside_a_running_dovecot(self, homeport: Homeport) -> None:
        for port in (homeport.metrics_port, homeport.delivery_metrics_port):
            request = Poster(port, homeport.key).request
            answer = request("GET", "/readyz")
            assert (answer.status, answer.document["status"]) == (200, "ok")
            assert answer.document["checks"].keys() == CHECKS
            assert answer.document["checks"]["transport"]["detail"].startswith("LMTP 127.0.0.1:")
            assert request("GET", "/livez").document == {"status": "ok"}
            for method, path in [("POST", "/v1/messages"), ("GET", "/v1/health"), ("GET", "/v1/queue")]:
                assert request(method, path).type == "not-found"

    @pytest.mark.parametrize("workers", [1, 2])
    def test_numbers_add_up_over_all_workers(
        self, start_homeport: Callable[..., Homeport], dovecot: Dovecot, mailbox: Mailbox, workers: int
    ) -> None:
        homeport = start_homeport(workers=workers)
        full = dovecot.add_user(quota_bytes=10).address
        raw, message_id = message(), secrets.token_hex(16)
        statuses = [
            *(homeport.post(message(), rcpt_to=mailbox.address).status for _ in range(3)),
            *(homeport.post(raw, rcpt_to=mailbox.address, message_id=message_id).status for _ in range(2)),
            homeport.post(message(), rcpt_to="nobody@home.test").status,
            homeport.post(message(), rcpt_to="nobody@home.test", retained_at=1_700_000_000).status,
            homeport.post(message(), rcpt_to=full).status,
            homeport.post(message(), change={"homeport-signature": None}).status,
        ]
        assert statuses == [200, 200, 200, 200, 200, 404, 202, 202, 401]
        expected = {
            "received_total": 8,
            "delivered_total": 4,
            "duplicates_total": 1,
            "queued_total": 1,
            "held_total": 1,
            "refused_total unknown-mailbox": 1,
            "refused_total signature-refused": 1,
            "stage_seconds_count upload": 8,
            "stage_seconds_count transport": 5,
            "stage_seconds_count spool": 2,
            "stage_seconds_count total": 7,
            "queue_length hold": 1,
        }
        numbers = scrape(homeport.metrics_port)
        assert {name: numbers[f"homeport_mail_{name}"] for name in expected} == expected
        eventually(lambda: scrape(homeport.delivery_metrics_port)["homeport_mail_deferred_total"] == 1)


def scrape(port: int) -> dict[str, float]:
    """Return what /metrics says, by name and label value."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {" ".join([sample.name, *sample.labels.values()]): sample.value for sample in samples}
