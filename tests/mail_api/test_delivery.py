"""The queue on its way to the mailbox: a scripted mailbox server, a real spool and ledger, a clock that is moved."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mail_api import retry
from mail_api.content import Content
from mail_api.delivery import OUTAGE_WAITS_S, STOP_S, Delivery
from mail_api.envelope import Envelope
from mail_api.history import Event, Step
from mail_api.ingress import Parts
from mail_api.ledger import Claim, LedgerReader, State
from mail_api.scan.verdict import Action, NoScanner, Scanner, Verdict
from mail_api.spool import MAX_UNSETTLED_CLAIMS, MESSAGE, Entry, Place
from mail_api.trace_headers import Trace
from tests.mail_api.in_process import SOON_S, MovableClock, mail_parts, until
from tests.services.homeport import message, received
from tests.services.lmtp_proxy import LmtpProxy
from tests.services.lmtp_scripted import HANG, HOLD_BACK_S, ScriptedLmtp, Slowly

OK = "250 2.1.5 OK"
LATER = "451 4.3.0 Later"
NO_MAILBOX = "550 5.1.1 User doesn't exist"
ANNA = "anna@home.test"


class Queue:
    """A spool with entries, and the delivery loop over it once it was started."""

    def __init__(self, parts: Parts, clock: MovableClock, concurrency: int, jitter: float) -> None:
        self.parts, self.spool, self.clock = parts, parts.spool, clock
        self.delivery = Delivery(
            parts.spool,
            parts.ledger,
            parts.scanner,
            parts.transport,
            policy=parts.policy,
            hostname=parts.settings.hostname,
            concurrency=concurrency,
            clock=clock,
            jitter=lambda: jitter,
        )
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def put(self, *, rcpt_to: str = ANNA, due: float = 0.0, place: Place = Place.QUEUE, **changes: Any) -> Entry:
        """Spool a message as ingress does, due at `due`; return its entry."""
        raw = message()
        content = Content(raw, len(raw), hashlib.sha256(raw).hexdigest())
        envelope = Envelope(secrets.token_hex(16), "a@example.org", rcpt_to, content.size_bytes, content.sha256)
        entry = Entry(
            envelope.message_id, envelope.mail_from, rcpt_to, content.size_bytes, content.sha256, self.clock.now()
        )
        entry = dataclasses.replace(entry, **changes)
        self.spool.accept(entry, content)
        self.spool.reschedule(entry.queue_id, due)
        claim = await self.parts.ledger.claim(envelope, None, lease_s=20, key_id="test")
        assert isinstance(claim, Claim)
        await self.parts.ledger.settle(claim, State.QUEUED, entry.queue_id, [])
        if place is Place.ACTIVE:  # as a delivery leaves it that dies
            claimed = self.spool.claim(entry.queue_id)
            assert claimed is not None
            claimed.close()
        return entry

    def start(self) -> None:
        self._task = asyncio.create_task(self.delivery.run(self._stop))

    def begin_stop(self) -> None:
        self._stop.set()

    async def stop(self) -> None:
        self.begin_stop()
        if self._task is not None:
            await until(self._task.done)
            self._task.result()

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.delivery.wake()

    def read(self, entry: Entry, place: Place = Place.QUEUE) -> Entry:
        return self.spool.read(place, entry.queue_id)

    def due(self, entry: Entry) -> float:
        return self.spool.path(Place.QUEUE, entry.queue_id).stat().st_mtime

    def body(self, entry: Entry) -> bytes:
        return (self.spool.path(Place.QUEUE, entry.queue_id) / MESSAGE).read_bytes()

    async def attempted(self, entry: Entry, times: int) -> Entry:
        """Wait until the entry is back in the queue after so many attempts."""
        await until(lambda: self.spool.find(entry.queue_id) is Place.QUEUE and self.read(entry).attempts == times)
        return self.read(entry)

    async def arrives(self, entry: Entry, place: Place | None) -> None:
        """Wait until the entry lies in `place`; None = it is gone, and the ledger knows that it was delivered."""
        await until(lambda: self.spool.find(entry.queue_id) is place)
        if place is None:
            assert await self.parts.ledger.state_of(entry.queue_id) is State.DELIVERED
        if place is Place.HOLD:  # first its file, then its row in the ledger
            async with asyncio.timeout(SOON_S):
                while await self.parts.ledger.state_of(entry.queue_id) is not State.HELD:  # noqa: ASYNC110 - no event says it
                    await asyncio.sleep(0.005)

    async def events(self, entry: Entry) -> list[Event]:
        await self.parts.ledger.state_of(entry.queue_id)  # what was noted before is written now
        reader = LedgerReader(self.parts.settings.ledger_file)
        try:
            return reader.events(entry.queue_id)
        finally:
            reader.close()


@asynccontextmanager
async def queue_before(
    directory: Path,
    clock: MovableClock,
    port: int,
    *,
    concurrency: int = 8,
    jitter: float = 0.0,
    scanner: Scanner | None = None,
) -> AsyncIterator[Queue]:
    """A queue before the mailbox server on `port`; its delivery is stopped at the end."""
    async with mail_parts(directory, port, clock, scanner=scanner) as parts:
        queue = Queue(parts, clock, concurrency, jitter)
        try:
            yield queue
        finally:
            await queue.stop()


class TestAttempt:
    async def test_queued_message_is_delivered_byte_for_byte_under_its_id(
        self, tmp_path: Path, clock: MovableClock
    ) -> None:
        with ScriptedLmtp() as peer:
            async with queue_before(tmp_path, clock, peer.port) as queue:
                entry = await queue.put(retained_at=1_700_000_000)
                raw = queue.body(entry)
                queue.start()
                await queue.arrives(entry, None)
                assert [event.step for event in await queue.events(entry)] == [Step.DELIVERED]
        [transaction] = peer.transactions
        assert (transaction.mail, transaction.rcpts) == (entry.mail_from, [ANNA])
        assert received(transaction.body) == (entry.queue_id, raw)

    async def test_message_that_arrives_while_it_runs_is_found(self, tmp_path: Path, clock: MovableClock) -> None:
        with ScriptedLmtp() as peer:
            async with queue_before(tmp_path, clock, peer.port) as queue:
                queue.start()
                await queue.arrives(await queue.put(), None)

    async def test_failed_attempts_follow_the_back_off_table(self, tmp_path: Path, clock: MovableClock) -> None:
        with ScriptedLmtp(body=[LATER] * 8) as peer:
            async with queue_before(tmp_path, clock, peer.port, jitter=0.5) as queue:
                entry = await queue.put()
                queue.start()
                for attempt in range(1, 9):
                    tried = await queue.attempted(entry, attempt)
                    assert tried == dataclasses.replace(entry, attempts=attempt, reason=f"{LATER} (data)")
                    delay_s = retry.delay_s(attempt, jitter=0.5)
                    assert queue.due(entry) == clock.now() + delay_s
                    queue.advance(delay_s - 1)
                    await asyncio.sleep(0.02)
                    assert queue.read(entry).attempts == attempt
                    queue.advance(1)
                await queue.arrives(entry, None)
                *failed, delivered = await queue.events(entry)
        assert [event.data["attempt"] for event in failed] == [1, 2, 3, 4, 5, 6, 7, 8]
        assert [event.data["delay_s"] for event in failed[:7]] == [60, 120, 300, 600, 900, 1800, 3780]
        assert delivered.step is Step.DELIVERED

    async def test_message_that_failed_for_five_days_is_held(self, tmp_path: Path, clock: MovableClock) -> None:
        with ScriptedLmtp(body=[LATER] * 3) as peer:
            async with queue_before(tmp_path, clock, peer.port) as queue:
                old = clock.now() - retry.HOLD_AFTER_S
                given_up, not_yet, released = (
                    await queue.put(received_at=old),
                    await queue.put(received_at=old + 1, rcpt_to="b@c.test"),
                    await queue.put(received_at=old, released_at=old + 1, rcpt_to="d@c.test"),
                )
                queue.start()
                await queue.arrives(given_up, Place.HOLD)
                await queue.attempted(not_yet, 1)
                await queue.attempted(released, 1)
                assert queue.read(given_up, Place.HOLD).reason == f"not delivered in 5 days: {LATER} (data)"
                assert await queue.parts.ledger.state_of(given_up.queue_id) is State.HELD
                assert [event.step for event in await queue.events(given_up)] == [Step.HELD]

    @pytest.mark.parametrize(("sentinel", "place"), [(OK, Place.HOLD), (NO_MAILBOX, Place.QUEUE), (LATER, Place.QUEUE)])
    async def test_unknown_mailbox_is_held_only_beside_a_known_sentinel(
        self, tmp_path: Path, clock: MovableClock, sentinel: str, place: Place
    ) -> None:
        with ScriptedLmtp(rcpt=[NO_MAILBOX, sentinel]) as peer:
            async with queue_before(tmp_path, clock, peer.port) as queue:
                entry = await queue.put()
                queue.start()
                if place is Place.QUEUE:
                    await queue.attempted(entry, 1)
                await queue.arrives(entry, place)
                assert NO_MAILBOX in queue.read(entry, place).reason

    async def test_message_that_is_delivered_already_is_only_removed(self, tmp_path: Path, clock: MovableClock) -> None:
        with ScriptedLmtp() as peer:
            async with queue_before(tmp_path, clock, peer.port) as queue:
                entry = await queue.put(place=Place.ACTIVE)
                await queue.parts.ledger.advance(entry.queue_id, State.DELIVERED, [])
                queue.start()
                await queue.arrives(entry, None)
        assert peer.transactions == []

    async def test_damaged_entry_is_set_aside_and_its_neighbours_are_delivered(
        self, tmp_path: Path, clock: MovableClock
    ) -> None:
        with ScriptedLmtp() as peer:
            async with queue_before(tmp_path, clock, peer.port) as queue:
                damaged, whole = await queue.put(), await queue.put()
                (queue.spool.path(Place.QUEUE, damaged.queue_id) / MESSAGE).write_bytes(b"cut")
                queue.start()
                await queue.arrives(whole, None)
                await queue.arrives(damaged, Place.CORRUPT)
                await until(lambda: queue.spool.find(damaged.queue_id) is Place.CORRUPT)
                [event] = await queue.events(damaged)
                assert event.step is Step.CORRUPT
                assert await queue.parts.ledger.state_of(damaged.queue_id) is State.HELD

    async def test_address_that_no_command_can_carry_is_held(self, tmp_path: Path, clock: MovableClock) -> None:
        with ScriptedLmtp() as peer:
            async with queue_before(tmp_path, clock, peer.port) as queue:
                entry = await queue.put(rcpt_to="anna\r\nDATA@home.test")
                queue.start()
                await queue.arrives(entry, Place.HOLD)
        assert peer.commands == []

    async def test_at_most_so_many_are_delivered_at_once(self, tmp_path: Path, clock: MovableClock) -> None:
        with ScriptedLmtp(body=[HANG] * 3) as peer:
            async with queue_before(tmp_path, clock, peer.port, concurrency=3) as queue:
                for number in range(9):
                    await queue.put(rcpt_to=f"u{number}@home.test")
                queue.start()
                await until(lambda: len(peer.transactions) == 3)
                await asyncio.sleep(3 * HOLD_BACK_S)
                assert len(peer.transactions) == len(queue.spool.names(Place.ACTIVE)) == 3
                queue.begin_stop()
                await asyncio.sleep(0.01)
                clock.advance(STOP_S)


class TestBreakers:
    async def test_mailbox_that_refuses_for_now_does_not_charge_its_other_messages(
        self, tmp_path: Path, clock: MovableClock
    ) -> None:
        with ScriptedLmtp(body=[LATER]) as peer:
            async with queue_before(tmp_path, clock, peer.port, concurrency=1) as queue:
                first, second = await queue.put(due=1), await queue.put(due=2)
                elsewhere = await queue.put(due=3, rcpt_to="bo@home.test")
                queue.start()
                await queue.arrives(elsewhere, None)
                assert queue.read(first).attempts == 1
                assert queue.read(second) == second
                assert queue.due(first) == queue.due(second) == clock.now() + retry.delay_s(1)
                queue.advance(retry.delay_s(1))
                await queue.arrives(first, None)
                await queue.arrives(second, None)
        assert len(peer.transactions) == 4

    async def test_server_that_cannot_be_reached_charges_nobody_and_is_knocked_at_by_one(
        self, tmp_path: Path, clock: MovableClock
    ) -> None:
        down = "421 4.3.2 Shutting down"
        with ScriptedLmtp(greeting=[down] * (8 + len(OUTAGE_WAITS_S) + 2)) as peer:
            async with queue_before(tmp_path, clock, peer.port) as queue:
                entries = [await queue.put(rcpt_to=f"u{number}@home.test") for number in range(20)]
                queue.start()
                await until(lambda: not queue.delivery.is_transport_reachable and not queue.spool.names(Place.ACTIVE))
                connections = peer.connections
                assert 1 <= connections <= 8
                for number, wait_s in enumerate([*OUTAGE_WAITS_S, OUTAGE_WAITS_S[-1]]):
                    queue.advance(wait_s - 0.5)
                    await asyncio.sleep(0.02)
                    assert peer.connections == connections + number
                    queue.advance(0.5)
                    await until(lambda: peer.connections > connections + number)  # noqa: B023 - called at once
                    await until(lambda: not queue.spool.names(Place.ACTIVE))
                assert [queue.read(entry) for entry in entries] == entries
                while not queue.delivery.is_transport_reachable:
                    queue.advance(OUTAGE_WAITS_S[-1])
                    await asyncio.sleep(0.02)
                for entry in entries:
                    await queue.arrives(entry, None)

    async def test_server_that_is_back_gets_all_that_waited(self, tmp_path: Path, clock: MovableClock) -> None:
        with ScriptedLmtp() as peer, LmtpProxy(peer.port) as proxy:
            proxy.refuse()
            async with queue_before(tmp_path, clock, proxy.port) as queue:
                entries = [await queue.put(rcpt_to=f"u{number}@home.test") for number in range(3)]
                queue.start()
                await until(lambda: not queue.delivery.is_transport_reachable and not queue.spool.names(Place.ACTIVE))
                proxy.listen()
                queue.delivery.retry_now()
                for entry in entries:
                    await queue.arrives(entry, None)
                assert queue.delivery.is_transport_reachable


class TestStartAndStop:
    async def test_suspect_of_the_last_death_is_tried_first_and_alone(
        self, tmp_path: Path, clock: MovableClock
    ) -> None:
        with ScriptedLmtp(body=[Slowly("250 2.0.0 Saved", 0.01)]) as peer:
            async with queue_before(tmp_path, clock, peer.port) as queue:
                neighbours = [await queue.put(rcpt_to=f"u{number}@home.test", due=1) for number in range(3)]
                suspect = await queue.put(place=Place.ACTIVE, rcpt_to="suspect@home.test")
                queue.start()
                await until(lambda: peer.transactions)
                assert queue.spool.names(Place.ACTIVE) == [suspect.queue_id]
                for entry in [suspect, *neighbours]:
                    await queue.arrives(entry, None)
        assert peer.transactions[0].rcpts == ["suspect@home.test"]

    async def test_message_that_delivery_died_of_too_often_is_set_aside(
        self, tmp_path: Path, clock: MovableClock
    ) -> None:
        with ScriptedLmtp() as peer:
            async with queue_before(tmp_path, clock, peer.port) as queue:
                poison = await queue.put(place=Place.ACTIVE, unsettled_claims=MAX_UNSETTLED_CLAIMS - 1)
                other = await queue.put()
                queue.start()
                await queue.arrives(other, None)
                await queue.arrives(poison, Place.CORRUPT)
        assert len(peer.transactions) == 1

    async def test_stop_lets_a_delivery_end(self, tmp_path: Path, clock: MovableClock) -> None:
        with ScriptedLmtp(body=[Slowly("250 2.0.0 Saved", 0.01)]) as peer:
            async with queue_before(tmp_path, clock, peer.port) as queue:
                entry = await queue.put()
                queue.start()
                await until(lambda: peer.transactions)
                await queue.stop()
                await queue.arrives(entry, None)

    async def test_stop_puts_back_what_does_not_end(self, tmp_path: Path, clock: MovableClock) -> None:
        with ScriptedLmtp(body=[HANG]) as peer:
            async with queue_before(tmp_path, clock, peer.port) as queue:
                entry = await queue.put()
                queue.start()
                await until(lambda: any(transaction.body for transaction in peer.transactions))
                await asyncio.sleep(2 * HOLD_BACK_S)
                queue.begin_stop()
                await asyncio.sleep(0.02)
                assert queue.spool.find(entry.queue_id) is Place.ACTIVE
                clock.advance(STOP_S)
                await queue.stop()
                assert queue.read(entry) == entry


class Says:
    """A scanner that has made up its mind, or has a defect; tests/mail_api/scan has the real ones."""

    def __init__(self, verdict: Verdict | None) -> None:
        self.verdict = verdict
        self.asked: list[str] = []

    async def scan(self, envelope: Envelope, content: Content, trace: Trace, *, timeout_s: float) -> Verdict:
        self.asked.append(envelope.message_id)
        if self.verdict is None:
            raise RuntimeError("a defect")
        return self.verdict

    async def close(self) -> None:
        return None


class TestVerdict:
    @pytest.mark.parametrize(
        ("action", "place"),
        [
            (Action.DELIVER, None),
            (Action.DEFER, Place.QUEUE),
            (Action.HOLD, Place.HOLD),
            (Action.REFUSE, Place.HOLD),
        ],
    )
    async def test_message_goes_where_the_verdict_says_and_is_not_scanned_again_once_clean(
        self, tmp_path: Path, clock: MovableClock, action: Action, place: Place | None
    ) -> None:
        verdict = Verdict(action, "why", is_scanned=True, headers="X-Spam-Flag: YES\r\n", report={"score": 9})
        scanner = Says(verdict)
        with ScriptedLmtp() as peer:
            async with queue_before(tmp_path, clock, peer.port, scanner=scanner) as queue:
                unseen = await queue.put()
                seen = await queue.put(rcpt_to="bo@home.test", verdict=dataclasses.asdict(verdict))
                queue.start()
                for entry in (unseen, seen):
                    if place is Place.QUEUE:
                        await queue.attempted(entry, 1)
                    await queue.arrives(entry, place)
                if place is Place.HOLD:
                    assert queue.read(unseen, place).verdict == dataclasses.asdict(verdict)
        again = [] if action is Action.DELIVER else [seen.queue_id]  # only what is clean stays what it was
        assert set(scanner.asked) == {unseen.queue_id, *again}
        assert len(peer.transactions) == (2 if action is Action.DELIVER else 0)
        assert all(b"\r\nX-Spam-Flag: YES\r\n" in transaction.body for transaction in peer.transactions)

    async def test_verdict_that_came_without_every_scanner_is_asked_for_again(
        self, tmp_path: Path, clock: MovableClock
    ) -> None:
        scanner = Says(Verdict(Action.DELIVER, "clean", is_scanned=True, report={"clamd": {}}))
        excused = Verdict(Action.DELIVER, "rspamd: down", is_scanned=False, report={"rspamd": {}})
        with ScriptedLmtp() as peer:
            async with queue_before(tmp_path, clock, peer.port, scanner=scanner) as queue:
                entry = await queue.put(verdict=dataclasses.asdict(excused))
                queue.start()
                await queue.arrives(entry, None)
        assert scanner.asked == [entry.queue_id]

    async def test_released_message_is_not_scanned_again(self, tmp_path: Path, clock: MovableClock) -> None:
        refused = Verdict(Action.REFUSE, "clamd: found A", is_scanned=True, report={"clamd": {}})
        scanner = Says(refused)
        with ScriptedLmtp() as peer:
            async with queue_before(tmp_path, clock, peer.port, scanner=scanner) as queue:
                entry = await queue.put(verdict=dataclasses.asdict(refused.released("uid:7")))
                queue.start()
                await queue.arrives(entry, None)
        assert scanner.asked == []

    async def test_scanner_outage_charges_no_entry_and_one_knocks_for_all(
        self, tmp_path: Path, clock: MovableClock
    ) -> None:
        gone = Verdict(Action.DEFER, "clamd: nobody there", is_scanned=False, report={"clamd": {}}, is_outage=True)
        scanner = Says(gone)
        with ScriptedLmtp() as peer:
            async with queue_before(tmp_path, clock, peer.port, scanner=scanner, concurrency=1) as queue:
                entries = [await queue.put(rcpt_to=f"u{number}@home.test") for number in range(3)]

                async def knocked(times: int) -> None:
                    await until(lambda: len(scanner.asked) == times and not queue.spool.names(Place.ACTIVE))

                queue.start()
                for knocks, wait_s in enumerate(OUTAGE_WAITS_S, 1):
                    await knocked(knocks)
                    queue.advance(wait_s)
                await knocked(len(OUTAGE_WAITS_S) + 1)
                assert {queue.read(entry).attempts for entry in entries} == {0}
                scanner.verdict = Verdict(Action.DELIVER, "clean", is_scanned=True, report={"clamd": {}})
                queue.advance(OUTAGE_WAITS_S[-1])
                for entry in entries:
                    await queue.arrives(entry, None)

    async def test_message_that_a_scanner_fails_over_waits_alone(self, tmp_path: Path, clock: MovableClock) -> None:
        """Its mailbox's other messages go on: the failure is about this message."""
        scanner = Says(Verdict(Action.DEFER, "clamd: no answer", is_scanned=False, report={"clamd": {}}))
        with ScriptedLmtp() as peer:
            async with queue_before(tmp_path, clock, peer.port, scanner=scanner) as queue:
                stuck = await queue.put()
                queue.start()
                assert (await queue.attempted(stuck, 1)).reason == "clamd: no answer"
                assert queue.due(stuck) == clock.now() + retry.delay_s(1)
                scanner.verdict = Verdict(Action.DELIVER, "clean", is_scanned=True, report={"clamd": {}})
                other = await queue.put()
                queue.delivery.wake()
                await queue.arrives(other, None)
                assert queue.spool.find(stuck.queue_id) is Place.QUEUE

    async def test_what_is_scanned_from_the_queue_stands_in_the_trace(
        self, tmp_path: Path, clock: MovableClock
    ) -> None:
        scanner = Says(Verdict(Action.HOLD, "clamd: too large", is_scanned=True, report={"clamd": {}}))
        with ScriptedLmtp() as peer:
            async with queue_before(tmp_path, clock, peer.port, scanner=scanner) as queue:
                entry = await queue.put()
                queue.start()
                await queue.arrives(entry, Place.HOLD)
                await queue.stop()
                events = await queue.events(entry)
        assert [event.step for event in events] == [Step.SCANNED, Step.HELD]
        assert events[0].data == {"action": "hold", "scanned": True, "reason": "clamd: too large"}

    async def test_defect_of_ours_leaves_the_message_in_the_queue(self, tmp_path: Path, clock: MovableClock) -> None:
        scanner = Says(None)
        with ScriptedLmtp() as peer:
            async with queue_before(tmp_path, clock, peer.port, scanner=scanner) as queue:
                entry = await queue.put()
                queue.start()
                await until(lambda: scanner.asked and queue.spool.find(entry.queue_id) is Place.QUEUE)
                assert queue.read(entry) == entry
                assert queue.due(entry) == clock.now() + retry.delay_s(1)

    async def test_without_a_scanner_the_message_is_delivered_unscanned(
        self, tmp_path: Path, clock: MovableClock
    ) -> None:
        with ScriptedLmtp() as peer:
            async with queue_before(tmp_path, clock, peer.port, scanner=NoScanner()) as queue:
                entry = await queue.put()
                queue.start()
                await queue.arrives(entry, None)
        assert b"X-Spam" not in peer.transactions[0].body
