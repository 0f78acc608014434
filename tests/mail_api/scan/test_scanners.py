"""Both scanners behind one question: at the same time, each within its own budget, and never an exception."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from kit.clock import SystemClock
from mail_api.content import Content
from mail_api.envelope import Envelope
from mail_api.scan.clamd import Clamd
from mail_api.scan.rspamd import Rspamd
from mail_api.scan.scanners import Scanners
from mail_api.scan.verdict import Action, Opinion, Verdict
from mail_api.settings import SpamScannerDown
from mail_api.trace_headers import Trace
from tests.mail_api.in_process import until
from tests.mail_api.scan.peers import ScriptedClamd, ScriptedRspamd, http, opinion
from tests.mail_api.scan.samples import TRACE, envelope, in_memory
from tests.services.process import free_port

CLEAN = b"stream: OK\0"


@asynccontextmanager
async def scanners(
    rspamd_url: str | None,
    clamd_address: str | None,
    *,
    rspamd_s: float = 5.0,
    clamd_s: float = 5.0,
    spam_scanner_down: SpamScannerDown = SpamScannerDown.DEFER,
) -> AsyncIterator[Scanners]:
    both = Scanners(
        Rspamd(rspamd_url, hostname="mx.test") if rspamd_url else None,
        Clamd(clamd_address) if clamd_address else None,
        rspamd_s=rspamd_s,
        clamd_s=clamd_s,
        spam_scanner_down=spam_scanner_down,
        clock=SystemClock(),
    )
    try:
        yield both
    finally:
        await both.close()


async def scan(both: Scanners, *, timeout_s: float = 5.0) -> Verdict:
    return await both.scan(envelope(), in_memory(), TRACE, timeout_s=timeout_s)


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_both_are_asked_at_the_same_time() -> None:
    with ScriptedRspamd(silent=True) as rspamd, ScriptedClamd(silent=True) as clamd:
        async with scanners(rspamd.url, clamd.address) as both:
            asked = asyncio.create_task(scan(both))
            await until(lambda: rspamd.requests and clamd.requests)
            assert not asked.done()
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked


@pytest.mark.parametrize(
    ("rspamd_s", "clamd_s", "timeout_s", "waits"), [(0.2, 0.3, 5.0, (0.2, 0.3)), (5.0, 8.0, 0.4, (0.4, 0.4))]
)
async def test_each_has_its_budget_within_the_time_given(
    rspamd_s: float, clamd_s: float, timeout_s: float, waits: tuple[float, float]
) -> None:
    with ScriptedRspamd(silent=True) as rspamd, ScriptedClamd(silent=True) as clamd:
        async with scanners(rspamd.url, clamd.address, rspamd_s=rspamd_s, clamd_s=clamd_s) as both:
            verdict = await scan(both, timeout_s=timeout_s)
    assert verdict.reason == "rspamd: no answer within {:.1f} s; clamd: no answer within {:.1f} s".format(*waits)
    assert (verdict.action, verdict.is_scanned, verdict.is_outage) == (Action.DEFER, False, False)


async def test_without_time_nobody_is_asked() -> None:
    with ScriptedRspamd(opinion()) as rspamd, ScriptedClamd(CLEAN) as clamd:
        async with scanners(rspamd.url, clamd.address) as both:
            assert (await scan(both, timeout_s=0.0)).action is Action.DEFER


async def test_one_alone_is_asked_alone() -> None:
    with ScriptedRspamd(opinion("reject", 20.0)) as rspamd:
        async with scanners(rspamd.url, None) as both:
            verdict = await scan(both)
            assert list(both.checks) == ["rspamd"]
    assert (verdict.action, list(verdict.report)) == (Action.REFUSE, ["rspamd"])
    with ScriptedClamd(CLEAN) as clamd:
        async with scanners(None, clamd.address) as both:
            verdict = await scan(both)
            assert list(both.checks) == ["clamd"]
    assert (verdict.action, verdict.is_scanned, list(verdict.report)) == (Action.DELIVER, True, ["clamd"])


async def test_defect_of_ours_defers() -> None:
    class Defective(Rspamd):
        async def scan(self, envelope: Envelope, content: Content, trace: Trace, *, timeout_s: float) -> Opinion:
            raise RuntimeError("a defect")

    both = Scanners(
        Defective("http://127.0.0.1:1", hostname="mx.test"),
        None,
        rspamd_s=1,
        clamd_s=1,
        spam_scanner_down=SpamScannerDown.DEFER,
        clock=SystemClock(),
    )
    verdict = await scan(both)
    await both.close()
    assert (verdict.action, verdict.is_outage) == (Action.DEFER, False)
    assert "a defect" not in verdict.reason


async def test_outage_is_logged_when_it_begins_and_when_it_ends() -> None:
    failures = counted("homeport_mail_scanner_findings_total", scanner="rspamd", finding="failed")
    with ScriptedRspamd(http(b"", "500 No")) as rspamd, capture_logs() as logs:
        async with scanners(rspamd.url, None) as both:
            for _ in range(3):
                await scan(both)
            rspamd.pieces = [opinion()]
            for _ in range(3):
                await scan(both)
    assert [line["event"] for line in logs] == ["scanner_failed", "scanner_recovered"]
    assert counted("homeport_mail_scanner_findings_total", scanner="rspamd", finding="failed") == failures + 3


async def test_over_limit_is_an_alarm_for_each_message() -> None:
    answer = b"stream: Heuristics.Limits.Exceeded.MaxScanSize FOUND\0"
    with ScriptedClamd(answer) as clamd, capture_logs() as logs:
        async with scanners(None, clamd.address) as both:
            verdicts = [await scan(both) for _ in range(2)]
    assert {verdict.action for verdict in verdicts} == {Action.HOLD}
    assert [(line["event"], line["log_level"]) for line in logs] == [("scanner_over_limit", "error")] * 2


async def test_excused_outage_delivers_and_says_so() -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    async with scanners(nobody, None, spam_scanner_down=SpamScannerDown.DELIVER) as both:
        with capture_logs() as logs:
            verdict = await scan(both)
    assert (verdict.action, verdict.is_scanned, verdict.is_settled) == (Action.DELIVER, False, False)
    assert [line["event"] for line in logs] == ["scanner_failed", "message_not_scanned"]


async def test_virus_is_refused_whatever_rspamd_does() -> None:
    with ScriptedClamd(b"stream: A FOUND\0") as clamd, ScriptedRspamd(silent=True) as rspamd:
        async with scanners(rspamd.url, clamd.address, rspamd_s=0.3) as both:
            assert (await scan(both)).action is Action.REFUSE
