"""The scanners, asked at the same time, each within its own budget; what they say becomes one verdict.

An outage is logged when it begins and when it ends; every failure is counted. Whatever goes wrong here is FAILED, and
so never a delivery: verdict.py knows the one exception.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial

from kit.clock import Clock
from kit.health import Check
from kit.logging import get_logger
from mail_api import metrics
from mail_api.content import Content
from mail_api.envelope import Envelope
from mail_api.scan.clamd import Clamd
from mail_api.scan.rspamd import Rspamd
from mail_api.scan.verdict import Action, Finding, Opinion, Verdict, judge
from mail_api.settings import SpamScannerDown
from mail_api.trace_headers import Trace

log = get_logger()

CHECK_S = 2.0
_Ask = Callable[..., Awaitable[Opinion]]


class Scanners:
    """At least one of the two.

    rspamd_s, clamd_s   budgets in seconds, within the time that each scan is given
    """

    def __init__(
        self,
        rspamd: Rspamd | None,
        clamd: Clamd | None,
        *,
        rspamd_s: float,
        clamd_s: float,
        spam_scanner_down: SpamScannerDown,
        clock: Clock,
    ) -> None:
        self._rspamd, self._clamd = rspamd, clamd
        self._rspamd_s, self._clamd_s = rspamd_s, clamd_s
        self._spam_scanner_down = spam_scanner_down
        self._clock = clock
        self._failing: set[str] = set()  # as logged

    @property
    def checks(self) -> Mapping[str, Check]:
        """For /readyz, by scanner."""
        both = {"rspamd": self._rspamd, "clamd": self._clamd}
        return {name: partial(scanner.check, timeout_s=CHECK_S) for name, scanner in both.items() if scanner}

    async def scan(self, envelope: Envelope, content: Content, trace: Trace, *, timeout_s: float) -> Verdict:
        """See Scanner."""
        async with asyncio.TaskGroup() as both:
            asked = {
                name: both.create_task(self._ask(name, ask, min(budget_s, timeout_s), envelope))
                for name, ask, budget_s in self._questions(envelope, content, trace)
            }
        spam, virus = (asked[name].result() if name in asked else None for name in ("rspamd", "clamd"))
        verdict = judge(spam, virus, spam_scanner_down=self._spam_scanner_down)
        metrics.VERDICTS.labels(verdict.action.value).inc()
        if verdict.action is Action.DELIVER and not verdict.is_scanned:
            log.warning("message_not_scanned", message_id=envelope.message_id, reason=verdict.reason)
        return verdict

    async def close(self) -> None:
        if self._rspamd is not None:
            await self._rspamd.close()

    def _questions(self, envelope: Envelope, content: Content, trace: Trace) -> Iterator[tuple[str, _Ask, float]]:
        if self._rspamd is not None:
            yield "rspamd", partial(self._rspamd.scan, envelope, content, trace), self._rspamd_s
        if self._clamd is not None:
            yield "clamd", partial(self._clamd.scan, content), self._clamd_s

    async def _ask(self, scanner: str, ask: _Ask, timeout_s: float, envelope: Envelope) -> Opinion:
        began = self._clock.monotonic()
        try:
            opinion = await ask(timeout_s=timeout_s)
        except Exception:
            log.exception("scanner_defect", scanner=scanner, message_id=envelope.message_id)
            opinion = Opinion(Finding.FAILED, "an unexpected error; the log has it")
        metrics.SCANNER_SECONDS.labels(scanner).observe(self._clock.monotonic() - began)
        metrics.SCANNER_FINDINGS.labels(scanner, opinion.finding.value).inc()
        self._follow(scanner, opinion, envelope)
        return opinion

    def _follow(self, scanner: str, opinion: Opinion, envelope: Envelope) -> None:
        """Log what an operator must hear: an outage once, and each message that a scanner cannot take."""
        if opinion.finding is Finding.OVER_LIMIT:
            log.error("scanner_over_limit", scanner=scanner, message_id=envelope.message_id, said=opinion.said)
        if opinion.finding is not Finding.FAILED:
            if scanner in self._failing:
                self._failing.discard(scanner)
                log.info("scanner_recovered", scanner=scanner)
        elif scanner not in self._failing:
            self._failing.add(scanner)
            log.error("scanner_failed", scanner=scanner, message_id=envelope.message_id, said=opinion.said)
