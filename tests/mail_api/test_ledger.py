"""The ledger on a real file: who may deliver, what a repeat hears, what is forgotten and when."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import secrets
import sqlite3
import struct
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from mail_api.envelope import Envelope
from mail_api.history import KEEP_S, Event, Step
from mail_api.ledger import (
    BUSY_TIMEOUT_S,
    CHECKPOINT_CALLS,
    FINGERPRINT_KEEP_S,
    KEY_USE_EVERY_S,
    SETTLED,
    Busy,
    Claim,
    Conflict,
    Ledger,
    LedgerReader,
    Seen,
    State,
)
from tests.clock import FakeClock
from tests.mail_api.in_process import MovableClock

LEASE_S = 20.0
CONTENT = "f" * 64  # a fingerprint


def envelope(content: str = "hello", *, mail_from: str = "a@example.org", rcpt_to: str = "anna@home.test") -> Envelope:
    sha256 = hashlib.sha256(content.encode()).hexdigest()
    return Envelope(secrets.token_hex(16), mail_from, rcpt_to, len(content), sha256)


async def claim(
    ledger: Ledger, message: Envelope, fingerprint: str | None = None, *events: Event
) -> Claim | Seen | Busy | Conflict:
    return await ledger.claim(message, fingerprint, lease_s=LEASE_S, key_id="test", events=events)


async def claimed(ledger: Ledger, message: Envelope, fingerprint: str | None = None) -> Claim:
    answer = await claim(ledger, message, fingerprint)
    assert isinstance(answer, Claim)
    return answer


async def settled(ledger: Ledger, message: Envelope, state: State, fingerprint: str | None = None) -> None:
    """Bring a message into a state by the way it takes."""
    queue_id = message.message_id if state in (State.QUEUED, State.HELD, State.DROPPED) else None
    first = State.HELD if state is State.DROPPED else state
    await ledger.settle(await claimed(ledger, message, fingerprint), first, queue_id, [])
    if state is not first:
        await ledger.advance(message.message_id, state, [])


@pytest.fixture
async def ledger(tmp_path: Path, clock: MovableClock) -> AsyncIterator[Ledger]:
    ledger = Ledger.open(tmp_path / "ledger.sqlite3", clock=clock)
    yield ledger
    ledger.close()


@pytest.fixture
async def second(tmp_path: Path, clock: MovableClock, ledger: Ledger) -> AsyncIterator[Ledger]:
    """Another process's ledger on the same file."""
    second = Ledger.open(tmp_path / "ledger.sqlite3", clock=clock)
    yield second
    second.close()


class TestClaim:
    @pytest.mark.parametrize("state", sorted(SETTLED))
    async def test_settled_message_is_seen_in_its_state(self, ledger: Ledger, second: Ledger, state: State) -> None:
        message = envelope()
        await settled(ledger, message, state)
        queue_id = None if state is State.DELIVERED else message.message_id
        for either in (ledger, second):
            assert await claim(either, message) == Seen(state, queue_id, message.message_id)
            assert await either.state_of(message.message_id) is state

    async def test_released_message_begins_anew(self, ledger: Ledger) -> None:
        message = envelope()
        await settled(ledger, message, State.RELEASED)
        assert not (await claimed(ledger, message)).is_repeat

    async def test_message_in_flight_is_busy_for_the_rest_of_its_lease(
        self, ledger: Ledger, second: Ledger, clock: MovableClock
    ) -> None:
        message = envelope()
        await claimed(ledger, message)
        clock.advance(5)
        for either in (ledger, second):
            assert await claim(either, message) == Busy(LEASE_S - 5)

    async def test_expired_lease_is_taken_over_and_its_holder_cannot_settle_any_more(
        self, ledger: Ledger, second: Ledger, clock: MovableClock
    ) -> None:
        message = envelope()
        first = await claimed(ledger, message)
        clock.advance(LEASE_S)
        heir = await claimed(second, message)
        assert heir.is_repeat
        await ledger.settle(first, State.DELIVERED, None, [Event(Step.DELIVERED, clock.now())])
        assert await ledger.state_of(message.message_id) is State.IN_FLIGHT
        await second.settle(heir, State.QUEUED, message.message_id, [])
        assert await ledger.state_of(message.message_id) is State.QUEUED

    @pytest.mark.parametrize(
        "changed",
        [{"sha256": "0" * 64}, {"rcpt_to": "b@home.test"}, {"mail_from": ""}],
        ids=lambda changed: str(next(iter(changed))),
    )
    @pytest.mark.parametrize("state", [State.IN_FLIGHT, State.DELIVERED, State.RELEASED])
    async def test_id_of_another_message_is_a_conflict(
        self, ledger: Ledger, changed: dict[str, Any], state: State
    ) -> None:
        message = envelope()
        if state is State.IN_FLIGHT:
            await claimed(ledger, message)
        else:
            await settled(ledger, message, state)
        assert await claim(ledger, dataclasses.replace(message, **changed)) == Conflict()

    async def test_many_at_once_through_two_processes_are_claimed_once(self, ledger: Ledger, second: Ledger) -> None:
        message = envelope()
        answers = await asyncio.gather(*(claim(either, message) for either in [ledger, second] * 50))
        assert sum(isinstance(answer, Claim) for answer in answers) == 1
        assert sum(isinstance(answer, Busy) for answer in answers) == 99


class TestFingerprint:
    @pytest.mark.parametrize("state", [State.DELIVERED, State.QUEUED])
    async def test_same_content_within_a_day_is_seen(self, ledger: Ledger, clock: MovableClock, state: State) -> None:
        first, again, late = envelope(), envelope(), envelope()
        await settled(ledger, first, state, CONTENT)
        queue_id = first.message_id if state is State.QUEUED else None
        clock.advance(FINGERPRINT_KEEP_S - 1)
        seen = Seen(state, queue_id, first.message_id)
        assert await claim(ledger, again, CONTENT) == seen
        assert await claim(ledger, again, CONTENT) == seen  # and as the same id again
        clock.advance(1)
        await claimed(ledger, late, CONTENT)

    @pytest.mark.parametrize("state", [State.HELD, State.DROPPED, State.RELEASED])
    async def test_same_content_of_a_message_that_was_not_taken_is_claimed(self, ledger: Ledger, state: State) -> None:
        await settled(ledger, envelope(), state, CONTENT)
        await claimed(ledger, envelope(), CONTENT)

    async def test_same_content_in_flight_is_busy_until_its_lease_ends(
        self, ledger: Ledger, clock: MovableClock
    ) -> None:
        first, again = envelope(), envelope()
        await claimed(ledger, first, CONTENT)
        assert await claim(ledger, again, CONTENT) == Busy(LEASE_S)
        clock.advance(LEASE_S)
        await claimed(ledger, again, CONTENT)
        assert isinstance(await claim(ledger, first, CONTENT), Busy)  # now it is the first that waits

    async def test_repeat_under_its_own_id_follows_the_original(self, ledger: Ledger) -> None:
        first, again = envelope(), envelope()
        await settled(ledger, first, State.QUEUED, CONTENT)
        await claim(ledger, again, CONTENT)
        await ledger.advance(first.message_id, State.DELIVERED, [])
        assert await claim(ledger, again, CONTENT) == Seen(State.DELIVERED, None, first.message_id)
        other = dataclasses.replace(again, sha256="0" * 64)
        assert await claim(ledger, other, CONTENT) == Conflict()

    async def test_message_without_fingerprint_is_never_the_same(self, ledger: Ledger) -> None:
        await settled(ledger, envelope(), State.DELIVERED)
        await claimed(ledger, envelope())

    async def test_many_contents_at_once_under_ids_of_their_own_are_claimed_once(
        self, ledger: Ledger, second: Ledger
    ) -> None:
        answers = await asyncio.gather(*(claim(either, envelope(), CONTENT) for either in [ledger, second] * 50))
        assert sum(isinstance(answer, Claim) for answer in answers) == 1


class TestHistory:
    async def test_events_come_with_what_settles_a_message(
        self, ledger: Ledger, tmp_path: Path, clock: MovableClock
    ) -> None:
        message, again = envelope(), envelope()
        arrived = Event(Step.RECEIVED, clock.now(), {"client_ip": "192.0.2.1"})
        queued = Event(Step.QUEUED, clock.now(), {"reason": "451 4.3.0 später"})
        delivered = Event(Step.DELIVERED, clock.now() + 60)
        first = await claimed(ledger, message, CONTENT)
        await ledger.settle(first, State.QUEUED, message.message_id, [arrived, queued])
        await claim(ledger, again, CONTENT, arrived)
        await ledger.advance(message.message_id, State.DELIVERED, [delivered])
        reader = LedgerReader(tmp_path / "ledger.sqlite3")
        assert reader.events(message.message_id) == [arrived, queued, delivered]
        duplicate = Event(Step.DUPLICATE, clock.now(), {"of": message.message_id, "state": "queued"})
        assert reader.events(again.message_id) == [arrived, duplicate]
        reader.close()

    async def test_reader_finds_the_newest_of_an_address(
        self, ledger: Ledger, tmp_path: Path, clock: MovableClock
    ) -> None:
        messages = [
            envelope("1", rcpt_to="anna@home.test", mail_from="bo@example.org"),
            envelope("2", rcpt_to="bo@home.test", mail_from="anna@home.test"),
            envelope("3", rcpt_to="carl@home.test", mail_from="bo@example.org"),
        ]
        for message in messages:
            clock.advance(1)
            await settled(ledger, message, State.DELIVERED)
        reader = LedgerReader(tmp_path / "ledger.sqlite3")
        found = reader.rows_of("anna@home.test", limit=10)
        assert [row.message_id for row in found] == [messages[1].message_id, messages[0].message_id]
        assert [row.message_id for row in reader.rows_of("bo@example.org", limit=1)] == [messages[2].message_id]
        row = reader.row(messages[0].message_id)
        assert row == found[1]
        assert row is not None
        assert (row.state, row.size_bytes, row.received_at) == (State.DELIVERED, 1, clock.now() - 2)
        assert reader.row("0" * 32) is None
        reader.close()

    async def test_key_use_is_known_to_the_minute(self, ledger: Ledger, tmp_path: Path, clock: MovableClock) -> None:
        reader = LedgerReader(tmp_path / "ledger.sqlite3")
        used = []
        for wait_s in (0, KEY_USE_EVERY_S / 2, KEY_USE_EVERY_S / 2):
            clock.advance(wait_s)
            await claimed(ledger, envelope())
            used.append(reader.key_use()["test"])
        assert used == [clock.now() - KEY_USE_EVERY_S, clock.now() - KEY_USE_EVERY_S, clock.now()]
        reader.close()

    def test_reader_without_a_ledger_says_so(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="nothing has been received yet"):
            LedgerReader(tmp_path / "ledger.sqlite3")


class TestPrune:
    async def test_rows_are_kept_as_long_as_they_are_of_use(
        self, ledger: Ledger, tmp_path: Path, clock: MovableClock
    ) -> None:
        kept = {state: envelope() for state in State}
        for state, message in kept.items():
            arrived = Event(Step.RECEIVED, clock.now())
            if state is State.IN_FLIGHT:
                await claimed(ledger, message)
            else:
                await settled(ledger, message, state)
            await ledger.advance(message.message_id, None, [arrived])
        clock.advance(KEEP_S)
        assert await ledger.prune() == 0
        clock.advance(1)
        assert await ledger.prune() > 0
        assert await ledger.prune() == 0
        left = {state for state, message in kept.items() if await ledger.state_of(message.message_id)}
        assert left == {State.QUEUED, State.HELD}
        reader = LedgerReader(tmp_path / "ledger.sqlite3")
        assert [reader.events(message.message_id) for message in kept.values()] == [[]] * len(kept)
        reader.close()

    async def test_much_is_forgotten_in_pieces(self, ledger: Ledger, clock: MovableClock) -> None:
        for _ in range(25):
            await settled(ledger, envelope(), State.DELIVERED, secrets.token_hex(32))
        clock.advance(FINGERPRINT_KEEP_S + 1)
        assert [await ledger.prune(limit=10) for _ in range(4)] == [10, 10, 5, 0]
        clock.advance(KEEP_S)
        assert [await ledger.prune(limit=10) for _ in range(4)] == [10, 10, 5, 0]


class TestFile:
    async def test_calls_at_once_share_a_transaction(self, ledger: Ledger, tmp_path: Path) -> None:
        before = _commits(tmp_path)
        await asyncio.gather(*(claimed(ledger, envelope()) for _ in range(100)))
        assert _commits(tmp_path) - before <= 10

    async def test_reader_that_takes_its_time_does_not_hold_up_claims(self, ledger: Ledger, tmp_path: Path) -> None:
        with contextlib.closing(sqlite3.connect(tmp_path / "ledger.sqlite3", isolation_level=None)) as operator:
            operator.execute("BEGIN")
            operator.execute("SELECT count(*) FROM messages").fetchone()
            for _ in range(3):
                began = time.monotonic()
                await asyncio.gather(*(claimed(ledger, envelope()) for _ in range(CHECKPOINT_CALLS // 2)))
                await asyncio.sleep(0.1)  # a checkpoint may have begun
                await claimed(ledger, envelope())
                assert time.monotonic() - began < BUSY_TIMEOUT_S / 2

    async def test_log_begins_anew_after_a_checkpoint(self, ledger: Ledger, tmp_path: Path) -> None:
        log, event = tmp_path / "ledger.sqlite3-wal", Event(Step.ATTEMPTED, 1.8e9, {"reply": "451 4.3.0 Later"})
        sizes = []
        for _ in range(6):
            await asyncio.gather(*(ledger.advance("0" * 32, None, [event]) for _ in range(CHECKPOINT_CALLS)))
            await asyncio.sleep(0.2)
            sizes.append(log.stat().st_size)
        assert sizes[-1] < 2 * sizes[0]

    @pytest.mark.parametrize("rubbish", [b"no database at all", b"SQLite format 3\0" + b"\xff" * 5000])
    async def test_file_that_is_no_database_is_set_aside_loudly(
        self, tmp_path: Path, clock: MovableClock, rubbish: bytes
    ) -> None:
        path = tmp_path / "ledger.sqlite3"
        path.write_bytes(rubbish)
        with capture_logs() as logs:
            ledger = Ledger.open(path, clock=clock)
        await settled(ledger, envelope(), State.DELIVERED)
        ledger.close()
        [event] = [entry for entry in logs if entry["event"] == "ledger_corrupt"]
        assert (tmp_path / event["moved_to"]).read_bytes() == rubbish

    async def test_reopened_ledger_knows_what_it_knew(self, tmp_path: Path, clock: MovableClock) -> None:
        path, message = tmp_path / "ledger.sqlite3", envelope()
        first = Ledger.open(path, clock=clock)
        await settled(first, message, State.QUEUED)
        first.close()
        assert path.stat().st_mode & 0o777 == 0o600
        second = Ledger.open(path, clock=clock)
        assert await second.state_of(message.message_id) is State.QUEUED
        second.close()

    def test_ledger_of_a_newer_homeport_is_refused_and_left_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "ledger.sqlite3"
        with sqlite3.connect(path) as db:
            db.execute("PRAGMA user_version = 99")
        db.close()
        with pytest.raises(sqlite3.OperationalError, match="newer Homeport"):
            Ledger.open(path, clock=FakeClock())
        assert [found.name for found in tmp_path.iterdir()] == ["ledger.sqlite3"]

    def test_directory_that_is_not_there_is_said_at_once(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            Ledger.open(tmp_path / "missing" / "ledger.sqlite3", clock=FakeClock())

    async def test_error_of_one_call_reaches_its_caller_and_the_next_goes_on(
        self, ledger: Ledger, tmp_path: Path
    ) -> None:
        with sqlite3.connect(tmp_path / "ledger.sqlite3") as db:
            db.execute("ALTER TABLE messages RENAME TO gone")
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            await claim(ledger, envelope())
        with db:
            db.execute("ALTER TABLE gone RENAME TO messages")
        db.close()
        await claimed(ledger, envelope())


STEPS = st.sampled_from(["claim", "deliver", "queue", "hold", "release", "wait"])


@settings(max_examples=40)
@given(steps=st.lists(st.tuples(STEPS, st.integers(0, 3)), max_size=40))
def test_message_is_never_claimed_while_it_is_claimed_or_taken(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    """Four ids, two and two of the same content, in any order of claims, outcomes, deaths and time passing."""
    messages = [envelope(f"content {number % 2}") for number in range(4)]
    clock, outcomes = FakeClock(), {"deliver": State.DELIVERED, "queue": State.QUEUED, "hold": State.HELD}
    held: dict[int, tuple[Claim, float]] = {}  # who has a claim, and until when
    state: dict[int, State] = {}

    def claim_is_right(number: int) -> bool:
        same = [other for other in range(4) if other % 2 == number % 2]
        is_busy = any(other in held and held[other][1] > clock.now() for other in same)
        is_taken = any(state.get(other) in (State.DELIVERED, State.QUEUED) for other in same)
        return not (is_busy or is_taken or state.get(number) is State.HELD)

    async def run() -> None:
        ledger = Ledger.open(tmp_path_factory.mktemp("ledger") / "ledger.sqlite3", clock=clock)
        for step, number in steps:
            match step:
                case "claim":
                    is_right = claim_is_right(number)
                    answer = await claim(ledger, messages[number], CONTENT[:-1] + str(number % 2))
                    assert isinstance(answer, Claim) == is_right
                    if isinstance(answer, Claim):
                        assert answer.is_repeat == (number in held)
                        held[number] = answer, clock.now() + LEASE_S
                case "wait":
                    clock.advance(LEASE_S / 2)
                case _ if number in held:
                    outcome = outcomes.get(step, State.RELEASED)
                    await ledger.settle(held.pop(number)[0], outcome, None, [])
                    state[number] = outcome
        ledger.close()

    asyncio.run(run())


def _commits(directory: Path) -> int:
    """Count the transactions in the write-ahead log: frames that say how large the database is behind them."""
    wal = (directory / "ledger.sqlite3-wal").read_bytes()
    page_size: int = struct.unpack_from(">I", wal, 8)[0]
    frames = range(32, len(wal), 24 + page_size)
    return sum(struct.unpack_from(">II", wal, at)[1] > 0 for at in frames)
