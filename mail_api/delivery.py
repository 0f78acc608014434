"""The other half of the promise: entries of the spool on their way to the mailbox, for as long as it takes.

One process, which holds the spool's lock. It claims due entries, delivers at most `concurrency` at once, and settles
each one: done, deferred with back-off (retry.py), or held for the operator after five days or a final refusal. It
never bounces and never gives up on its own.

Breakers keep a dead peer from being knocked at by every entry:
    transport, scanner  it cannot be reached at all: nothing is claimed until it answers; entries are not charged an
                        attempt
    mailbox             this one mailbox refuses for now: its other entries wait for the same time, uncharged

An entry that delivery held when it died is tried alone at the next start, before all others, so that a message that
kills the process is found out and set aside without taking its neighbours along (spool.MAX_UNSETTLED_CLAIMS).
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import heapq
import random
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field

from kit.clock import Clock
from kit.logging import get_logger, mask_address, mask_addresses
from mail_api import metrics, retry, settle, trace_headers
from mail_api.envelope import Envelope
from mail_api.history import Event, Step
from mail_api.ledger import Ledger, State
from mail_api.reply import Meaning, Reply
from mail_api.scan.verdict import Action, Scanner, Verdict
from mail_api.settings import DRAIN_DEADLINE_S
from mail_api.settle import Decision, Mode, Outcome, Policy
from mail_api.spool import Claimed, CorruptEntry, Entry, Place, Spool
from mail_api.trace_headers import HEAD_BYTES, Inspection
from mail_api.transport import Transport

log = get_logger()

POLL_S = 1.0  # how soon a newly queued entry is seen
SCAN_SHARE = 10.0  # reading the queue takes at most about a tenth of the time, however long it is
FULL_SCAN_S = 60.0  # the queue is read anew at least this often, whatever its modification time says
SETTLED_MTIME_NS = 50_000_000  # a directory changed less than this ago may change again under the same time stamp
HOUSEKEEPING_S = 3600.0
OUTAGE_WAITS_S = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0)  # between knocks at a transport or scanner that cannot be reached
STOP_S = 20.0  # deliveries under way get this long to end when the process is stopped
SCAN_S = 60.0  # nobody waits for the answer


@dataclass(slots=True)
class Breaker:
    """Open after a failure, for a time that grows with each further one; closed by the first success."""

    waits_s: Callable[[int], float]
    failures: int = 0
    open_until: float = 0.0

    def fail(self, now: float) -> float:
        """Open it; return how long for, in seconds."""
        self.failures += 1
        wait_s = self.waits_s(self.failures)
        self.open_until = now + wait_s
        return wait_s

    def close(self) -> None:
        self.failures, self.open_until = 0, 0.0


def _outage_wait_s(failures: int) -> float:
    return OUTAGE_WAITS_S[min(failures, len(OUTAGE_WAITS_S)) - 1]


@dataclass(slots=True)
class Schedule:
    """Which entries are queued and when each is due: a heap of (due, queue id), and what is known to be in it."""

    heap: list[tuple[float, str]] = field(default_factory=list)
    due: dict[str, float] = field(default_factory=dict)

    def put(self, queue_id: str, due: float) -> None:
        if self.due.get(queue_id) != due:
            self.due[queue_id] = due
            heapq.heappush(self.heap, (due, queue_id))

    def pop_due(self, now: float) -> str | None:
        """Take the entry that has been due longest, or None."""
        while self.heap and self.heap[0][0] <= now:
            due, queue_id = heapq.heappop(self.heap)
            if self.due.get(queue_id) == due:
                del self.due[queue_id]
                return queue_id
        return None

    def replace(self, queued: dict[str, float]) -> None:
        """Make it say exactly what the queue says."""
        self.due = queued
        self.heap = [(due, queue_id) for queue_id, due in queued.items()]
        heapq.heapify(self.heap)


class Delivery:
    def __init__(
        self,
        spool: Spool,
        ledger: Ledger,
        scanner: Scanner,
        transport: Transport,
        *,
        policy: Policy,
        hostname: str,
        concurrency: int,
        clock: Clock,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._spool = spool
        self._ledger = ledger
        self._scanner = scanner
        self._transport = transport
        self._policy = policy
        self._hostname = hostname
        self._concurrency = concurrency
        self._clock = clock
        self._jitter = jitter
        self._schedule = Schedule()
        self._seen_version = -1
        self._scanned_at = float("-inf")
        self._scan_cost_s = 0.0
        self._transport_breaker = Breaker(_outage_wait_s)
        self._scanner_breaker = Breaker(_outage_wait_s)
        self._mailbox_breakers: dict[str, Breaker] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stranded: set[str] = set()  # in active/, because they could not be moved back
        self._wake = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop` is set; then let what is under way end. The caller holds the spool's lock."""
        suspects = await asyncio.to_thread(self._spool.recover)
        if suspects:
            log.warning("queue_recovered", entries=len(suspects))
        keeper = asyncio.create_task(self._keep_house())
        stopping = asyncio.create_task(stop.wait())
        stopping.add_done_callback(lambda _: self._wake.set())
        try:
            for queue_id in suspects:
                if stop.is_set() or self._has_outage:
                    break
                with contextlib.suppress(OSError):  # it is still queued, and the loop comes to it
                    await self._attempt(queue_id)
            while not stop.is_set():
                try:
                    await self._requeue_stranded()
                    await self._look()
                    self._start_due()
                except OSError as error:  # the disk has a fault: what is claimed goes on, and we look again
                    log.error("queue_unreadable", error=str(error))
                self._wake.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL_S):
                        await self._wake.wait()
        finally:
            keeper.cancel()
            stopping.cancel()
            if self._tasks:
                _, late = await asyncio.wait(self._tasks, timeout=STOP_S)
                for task in late:
                    task.cancel()
                await asyncio.gather(*late, return_exceptions=True)

    @property
    def is_transport_reachable(self) -> bool:
        """False while the transport breaker is open or half open."""
        return self._transport_breaker.failures == 0

    @property
    def _has_outage(self) -> bool:
        return bool(self._transport_breaker.failures or self._scanner_breaker.failures)

    def wake(self) -> None:
        """Look at the queue now: an operator changed it."""
        self._scanned_at = float("-inf")
        self._wake.set()

    def retry_now(self) -> None:
        """Forget every back-off of transport, scanners and mailboxes."""
        self._transport_breaker.close()
        self._scanner_breaker.close()
        self._mailbox_breakers.clear()
        self.wake()

    async def _requeue_stranded(self) -> None:
        for queue_id in list(self._stranded):
            try:
                await asyncio.to_thread(self._spool.requeue, queue_id)
            except FileNotFoundError:
                pass
            except OSError:
                continue  # not yet; said when it began
            self._stranded.discard(queue_id)
            log.info("entry_moved_at_last", queue_id=queue_id)

    # -- what is due ----------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        """Read the queue when it changed. The version is taken first, so a change while we read is seen next time."""
        began = self._clock.monotonic()
        since_s = began - self._scanned_at
        if since_s < max(POLL_S, SCAN_SHARE * self._scan_cost_s):
            return
        version = self._spool.queue_version()
        fresh = self._clock.now() * 1e9 - version < SETTLED_MTIME_NS
        if version == self._seen_version and since_s < FULL_SCAN_S:
            return
        queued = await asyncio.to_thread(lambda: {name: due for due, name in self._spool.schedule(Place.QUEUE)})
        self._schedule.replace(queued)
        self._seen_version = -1 if fresh else version
        self._scanned_at = self._clock.monotonic()
        self._scan_cost_s = self._scanned_at - began

    def _start_due(self) -> None:
        now = self._clock.now()
        if now < max(self._transport_breaker.open_until, self._scanner_breaker.open_until):
            return
        # after a failure one entry knocks; the others follow when it got through
        limit = 1 if self._has_outage else self._concurrency
        while len(self._tasks) < limit:
            queue_id = self._schedule.pop_due(now)
            if queue_id is None:
                return
            task = asyncio.create_task(self._attempt(queue_id), name=f"deliver {queue_id}")
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._wake.set()
        if not task.cancelled() and task.exception() is not None:
            log.error("delivery_task_failed", task=task.get_name(), exc_info=task.exception())

    # -- one entry ------------------------------------------------------------------------------------------------

    async def _attempt(self, queue_id: str) -> None:
        """Claim the entry, try it once and settle it. Whatever goes wrong, the entry stays in the spool."""
        try:
            claimed = await asyncio.to_thread(self._spool.claim, queue_id)
        except CorruptEntry as error:
            metrics.CORRUPT.inc()
            log.error("entry_corrupt", queue_id=queue_id, why=error.why)
            await self._note(queue_id, State.HELD, Event(Step.CORRUPT, self._clock.now(), {"reason": error.why}))
            return
        if claimed is None:
            return
        entry = claimed.entry
        breaker = self._mailbox_breakers.get(entry.rcpt_to)
        if breaker is not None and breaker.open_until > self._clock.now():
            await self._put_back(claimed, breaker.open_until)
            return
        try:
            if await self._state_of(queue_id) is State.DELIVERED:
                # delivered before a crash, or directly by a repeat: only the removal was missing
                await asyncio.to_thread(self._spool.done, claimed)
                return
            verdict, reply, decision = await self._try(claimed)
            await self._settle(claimed, verdict, reply, decision)
        except asyncio.CancelledError:
            await asyncio.shield(self._put_back(claimed, self._clock.now()))
            raise
        except Exception:
            log.exception("attempt_failed", queue_id=queue_id)
            await self._put_back(claimed, self._clock.now() + retry.delay_s(1))

    async def _try(self, claimed: Claimed) -> tuple[Verdict, Reply | None, Decision]:
        entry, content = claimed.entry, claimed.content
        inspection = await asyncio.to_thread(lambda: trace_headers.inspect(content.read(0, HEAD_BYTES), self._hostname))
        verdict = await self._verdict(claimed, inspection)
        forced = settle.judge_verdict(verdict, Mode.QUEUE)
        if forced is not None:
            return verdict, None, forced
        outgoing = trace_headers.compose(
            content,
            inspection,
            message_id=entry.queue_id,
            rcpt_to=entry.rcpt_to,
            hostname=self._hostname,
            received_at=entry.received_at,
            verdict_headers=verdict.headers,
        )
        try:
            [reply] = await self._transport.deliver(
                entry.mail_from, [entry.rcpt_to], outgoing, message_id=entry.queue_id, timeout_s=DRAIN_DEADLINE_S
            )
        except ValueError as error:  # an address that no command can carry: held on a drain, then released
            return verdict, None, Decision(Outcome.HOLD, str(error))
        return verdict, reply, settle.judge_reply(reply, Mode.QUEUE, self._policy)

    async def _verdict(self, claimed: Claimed, inspection: Inspection) -> Verdict:
        """The verdict that came with the entry if it still stands, or a new one."""
        entry = claimed.entry
        stored = Verdict.stored(entry.verdict)
        if stored is not None and stored.is_settled:
            return stored
        envelope = Envelope(
            entry.queue_id, entry.mail_from, entry.rcpt_to, entry.size_bytes, entry.sha256, entry.retained_at
        )
        verdict = await self._scanner.scan(envelope, claimed.content, inspection.trace, timeout_s=SCAN_S)
        if self._scanner_breaker.failures and not verdict.is_outage:
            self._scanner_breaker.close()
            log.info("scanner_reachable")
        if verdict.report and verdict.action is not Action.DEFER:  # what is deferred says why in its attempt
            await self._note(entry.queue_id, None, verdict.event(self._clock.now()))
        return verdict

    async def _settle(self, claimed: Claimed, verdict: Verdict, reply: Reply | None, decision: Decision) -> None:
        entry, now = claimed.entry, self._clock.now()
        if reply is not None and reply.meaning is Meaning.UNREACHABLE:
            await self._wait_out("transport_unreachable", self._transport_breaker, claimed, str(reply))
            return
        if verdict.is_outage:
            await self._wait_out("scanner_unreachable", self._scanner_breaker, claimed, verdict.reason)
            return
        if reply is not None and self._transport_breaker.failures:
            self._transport_breaker.close()
            log.info("transport_reachable")
        match decision.outcome:
            case Outcome.DELIVERED:
                self._mailbox_breakers.pop(entry.rcpt_to, None)
                await self._note(
                    entry.queue_id, State.DELIVERED, Event(Step.DELIVERED, now, {"reply": decision.reason})
                )
                await asyncio.to_thread(self._spool.done, claimed)
                metrics.DELIVERED.inc()
                log.info("message_delivered", queue_id=entry.queue_id, rcpt=mask_address(entry.rcpt_to))
            case Outcome.HOLD | Outcome.REFUSE:
                await self._hold(claimed, entry, verdict, decision.reason)
            case Outcome.QUEUE:
                await self._defer(claimed, verdict, decision.reason)

    async def _wait_out(self, outage: str, breaker: Breaker, claimed: Claimed, reason: str) -> None:
        """Put the entry back uncharged: what is missing is missing for all of them."""
        now = self._clock.now()
        if breaker.open_until <= now:  # one failure, however many entries met it at once
            wait_s = breaker.fail(now)
            if breaker.failures == 1:
                log.error(outage, reply=mask_addresses(reason), delay_s=wait_s)
                await self._note(claimed.entry.queue_id, None, Event(Step.ATTEMPTED, now, {"reply": reason}))
        await self._put_back(claimed, now)

    async def _defer(self, claimed: Claimed, verdict: Verdict, reason: str) -> None:
        """Back into the queue with its next time, or into hold when it has been tried for five days."""
        now = self._clock.now()
        attempts = claimed.entry.attempts + 1
        entry = dataclasses.replace(claimed.entry, attempts=attempts, unsettled_claims=0, reason=reason)
        if now - (entry.released_at or entry.received_at) >= retry.HOLD_AFTER_S:
            await self._hold(
                claimed, entry, verdict, f"not delivered in {retry.HOLD_AFTER_S // 86400:.0f} days: {reason}"
            )
            return
        delay_s = retry.delay_s(attempts, jitter=self._jitter())
        if verdict.action is not Action.DEFER:  # the scanners speak of this message, not of its mailbox
            breaker = self._mailbox_breakers.setdefault(entry.rcpt_to, Breaker(retry.delay_s))
            if breaker.open_until <= now:  # one failure, however many entries met it at once
                breaker.fail(now)
        await self._note(
            entry.queue_id, None, Event(Step.ATTEMPTED, now, {"reply": reason, "attempt": attempts, "delay_s": delay_s})
        )
        metrics.DEFERRED.inc()
        log.warning(
            "message_deferred",
            queue_id=entry.queue_id,
            reason=mask_addresses(reason),
            attempt=attempts,
            delay_s=round(delay_s),
        )
        try:
            await asyncio.to_thread(lambda: self._spool.defer(claimed, entry, due=now + delay_s))
            self._schedule.put(entry.queue_id, now + delay_s)
        except OSError as error:  # disk full: what cannot be noted is not, the entry itself just moves
            log.error("defer_unrecorded", queue_id=entry.queue_id, error=str(error))
            await self._put_back(claimed, now + delay_s)

    async def _hold(self, claimed: Claimed, entry: Entry, verdict: Verdict, reason: str) -> None:
        report = dataclasses.asdict(verdict) if verdict.report else None
        entry = dataclasses.replace(entry, reason=reason, verdict=report, unsettled_claims=0)
        await asyncio.to_thread(self._spool.hold, claimed, entry)
        await self._note(entry.queue_id, State.HELD, Event(Step.HELD, self._clock.now(), {"reason": reason}))
        metrics.HELD.inc()
        log.error(
            "message_held", queue_id=entry.queue_id, rcpt=mask_address(entry.rcpt_to), reason=mask_addresses(reason)
        )

    async def _put_back(self, claimed: Claimed, due: float) -> None:
        """Nothing was tried, or it cannot be noted: the entry goes back as it was."""
        queue_id = claimed.entry.queue_id
        try:
            await asyncio.to_thread(self._spool.unclaim, claimed, due)
            self._schedule.put(queue_id, due)
        except OSError as error:  # it stays in active/ until the disk lets it move
            self._stranded.add(queue_id)
            log.error("entry_stranded", queue_id=queue_id, error=str(error))

    async def _state_of(self, queue_id: str) -> State | None:
        try:
            return await self._ledger.state_of(queue_id)
        except (sqlite3.Error, OSError) as error:
            log.error("ledger_failed", queue_id=queue_id, error=str(error))
            return None

    async def _note(self, message_id: str, state: State | None, event: Event) -> None:
        """Tell the ledger. A failure costs at worst a duplicate, so delivery goes on."""
        try:
            await self._ledger.advance(message_id, state, [event])
        except (sqlite3.Error, OSError) as error:
            log.error("ledger_mark_lost", message_id=message_id, error=str(error))

    # -- now and then ---------------------------------------------------------------------------------------------

    async def _keep_house(self) -> None:
        """Every hour: sweep the spool's tmp/, prune the ledger, forget breakers that closed long ago."""
        while True:
            try:
                await asyncio.to_thread(self._spool.sweep)
                while await self._ledger.prune() >= 5000:
                    pass
            except (sqlite3.Error, OSError) as error:
                log.error("housekeeping_failed", error=str(error))
            horizon = self._clock.now() - HOUSEKEEPING_S
            for rcpt_to in [rcpt for rcpt, breaker in self._mailbox_breakers.items() if breaker.open_until < horizon]:
                del self._mailbox_breakers[rcpt_to]
            await asyncio.sleep(HOUSEKEEPING_S)
