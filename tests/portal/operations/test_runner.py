"""The runner: what stands in the table and in the audit, whatever the work does and whenever it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy.orm import Session

from kit.clock import SystemClock
from kit.problem import Problem
from portal import db
from portal.actor import Actor
from portal.audit import verify
from portal.db import Database, DatabaseUnavailable
from portal.operations import records
from portal.operations.hub import Hub
from portal.operations.progress import MAX_COUNT, MAX_LINE_CHARACTERS, MAX_LINES, Progress
from portal.operations.runner import (
    Filter,
    Inverse,
    Operation,
    OperationEnded,
    OperationNotFound,
    Outcome,
    PortalStopping,
    Runner,
    State,
    TargetBusy,
)
from tests.portal.operations.conftest import ANNA, RESTART, audited, eventually


class EngineSaidNo(Problem):
    """The engine refused."""

    status, type, title = 502, "engine-said-no", "Engine said no"


class Unexpected(BaseException):
    """Of no kind that anybody catches."""


async def nothing(_progress: Progress) -> None:
    return None


async def for_ever(_progress: Progress) -> None:
    await asyncio.Event().wait()


def stored(database: Database, operation: Operation) -> Operation:
    """The operation as its row has it, whatever the runner says."""
    found = database.read_sync(lambda session: records.get(session, operation.id))
    assert found is not None
    return found


async def run(runner: Runner, work: Any, *, timeout_s: float = 60.0, target: str = "blog-nginx") -> Operation:
    operation = await runner.start(ANNA, RESTART, target, work, timeout_s=timeout_s)
    return await runner.wait(operation.id)


@contextlib.contextmanager
def locked(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """Another process holds the database; give a Database that does not wait long for it."""
    monkeypatch.setattr(db, "BUSY_S", 0.05)
    database = Database(url)
    other = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield database
    other.execute("ROLLBACK")
    other.close()
    database.close()


# -- record before act --


async def test_operation_and_audit_are_written_before_the_work_begins(runner: Runner, database: Database) -> None:
    seen: list[Any] = []

    async def work(_progress: Progress) -> dict[str, Any]:
        seen.append((await runner.find(Filter()), audited(database)))
        return {"exit": 0}

    operation = await run(runner, work)

    [(found, rows)] = seen
    assert [(each.id, each.state) for each in found] == [(operation.id, State.RUNNING)]
    assert rows == [("ui:containers:restart", "accepted", "")]
    assert (operation.state, operation.result) == (State.DONE, {"exit": 0})
    assert audited(database)[1:] == [("ui:containers:restart", "done", "")]
    assert database.read_sync(verify) is None


async def test_what_was_asked_for_is_kept_without_its_secrets(runner: Runner, database: Database) -> None:
    detail = {"reason": "stuck", "password": "hunter2", "when": object()}
    inverse = Inverse("containers:start", "blog-nginx")
    operation = await runner.start(
        ANNA, "containers:stop", "blog-nginx", nothing, timeout_s=60, detail=detail, inverse=inverse
    )
    await runner.wait(operation.id)

    kept = stored(database, operation)
    assert kept.detail["reason"] == "stuck"
    assert kept.detail["password"] == "[redacted]"
    assert kept.inverse == inverse
    assert kept.actor == ANNA


class SlowRecord:
    """Holds the transaction that records an operation until it may go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self._go_on = asyncio.Event(), threading.Event()
        self._insert, self._loop = records.insert, asyncio.get_running_loop()
        monkeypatch.setattr(records, "insert", self._slow)

    def _slow(self, *args: Any, **kwargs: Any) -> str | None:
        self._loop.call_soon_threadsafe(self.begun.set)
        assert self._go_on.wait(30)
        return self._insert(*args, **kwargs)

    def go_on(self) -> None:
        self._go_on.set()


async def test_caller_that_goes_away_while_it_is_recorded_leaves_a_working_operation(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = SlowRecord(monkeypatch)
    request = asyncio.create_task(runner.start(ANNA, RESTART, "blog-nginx", nothing, timeout_s=60))
    await record.begun.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    record.go_on()

    assert await eventually(lambda: runner.find(Filter(state=State.DONE)))


# -- one per target --


async def test_two_starts_of_one_target_at_once_begin_one(runner: Runner, database: Database) -> None:
    begun: list[int] = []

    async def work(progress: Progress) -> None:
        begun.append(1)
        await for_ever(progress)

    starts = [runner.start(ANNA, RESTART, "blog-nginx", work, timeout_s=60) for _ in range(8)]
    ended = await asyncio.gather(*starts, return_exceptions=True)

    [operation] = [each for each in ended if isinstance(each, Operation)]
    refused = [each for each in ended if isinstance(each, TargetBusy)]
    assert len(refused) == 7
    assert {each.extensions["operation"] for each in refused} == {operation.id}
    assert begun == [1]
    assert [result for _, result, _ in audited(database)].count("denied") == 7
    await runner.cancel(ANNA, operation.id)


async def test_target_is_free_again_when_its_operation_has_ended(runner: Runner) -> None:
    first, second = await run(runner, nothing), await run(runner, nothing)
    assert (first.state, second.state) == (State.DONE, State.DONE)


async def test_targets_of_one_name_in_two_rooms_do_not_hold_each_other(runner: Runner) -> None:
    one = await runner.start(ANNA, RESTART, "blog", for_ever, timeout_s=60)
    two = await runner.start(ANNA, "databases:dump", "blog", nothing, timeout_s=60)
    assert (await runner.wait(two.id)).state is State.DONE
    await runner.cancel(ANNA, one.id)


async def test_starts_at_once_on_any_database_begin_one(any_database: Database, hub: Hub) -> None:
    """Two runners, so that the database alone decides."""
    runners = [Runner(any_database, hub, SystemClock()) for _ in range(2)]
    starts = [runner.start(ANNA, RESTART, "blog-nginx", for_ever, timeout_s=60) for runner in runners * 4]
    ended = await asyncio.gather(*starts, return_exceptions=True)
    assert [type(each).__name__ for each in ended if not isinstance(each, TargetBusy)] == ["Operation"]
    for runner in runners:
        await runner.close()
    assert any_database.read_sync(verify) is None


# -- however it ends --


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        KeyboardInterrupt(),
        SystemExit(3),
        GeneratorExit(),
        Unexpected(),
        StopIteration(),
        StopAsyncIteration(),
        TimeoutError(),
        asyncio.CancelledError(),
        BaseExceptionGroup("two", [SystemExit(1), ValueError()]),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("place", ["in the loop", "in a thread"])
async def test_work_that_raises_anything_is_closed_as_failed(
    runner: Runner, database: Database, error: BaseException, place: str
) -> None:
    def throw() -> None:
        raise error

    async def work(progress: Progress) -> None:
        await asyncio.sleep(0)
        if place == "in a thread":
            await progress.in_thread(throw)
        throw()

    operation = await run(runner, work)

    assert operation.state is State.FAILED
    assert operation.error == {"type": "/problems/internal-error", "title": "Internal error", "detail": ""}
    assert audited(database)[-1] == ("ui:containers:restart", "failed", "failed: internal-error")
    assert (await run(runner, nothing)).state is State.DONE


async def test_work_that_refuses_is_closed_with_its_problem(runner: Runner) -> None:
    async def work(_progress: Progress) -> None:
        raise EngineSaidNo("it is paused\ud800")

    operation = await run(runner, work)
    assert operation.state is State.FAILED
    assert operation.error == {
        "type": "/problems/engine-said-no",
        "title": "Engine said no",
        "detail": r"it is paused\ud800",
    }


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize("result", [{"x": float("nan")}, {"x": "\ud800\0"}, {1: {2}}, {"x": Unprintable()}])
async def test_work_whose_result_is_strange_is_done_all_the_same(runner: Runner, result: Any) -> None:
    async def work(_progress: Progress) -> Any:
        return result

    assert (await run(runner, work)).state is State.DONE


async def test_work_out_of_time_is_ended_and_closed(runner: Runner, database: Database) -> None:
    operation = await run(runner, for_ever, timeout_s=0.01)
    assert operation.state is State.TIMED_OUT
    assert audited(database)[-1] == ("ui:containers:restart", "failed", "timed_out: it had 0.01 s")


async def test_work_that_ends_by_itself_at_the_deadline_is_what_it_says(runner: Runner) -> None:
    async def work(progress: Progress) -> dict[str, Any]:
        with contextlib.suppress(asyncio.CancelledError):
            await for_ever(progress)
        return {"in_time": False}

    operation = await run(runner, work, timeout_s=0.01)
    assert (operation.state, operation.result) == (State.DONE, {"in_time": False})


# -- cancelling --


async def test_cancelled_work_is_ended_and_names_who_cancelled(runner: Runner, database: Database) -> None:
    operation = await runner.start(ANNA, RESTART, "blog-nginx", for_ever, timeout_s=60)
    asked = await runner.cancel(ANNA, operation.id)
    assert (asked.state, asked.cancelled_by) == (State.RUNNING, "anna")
    assert (await runner.wait(operation.id)).state is State.CANCELLED
    assert audited(database)[1:] == [
        ("ui:operations:cancel", "done", ""),
        ("ui:containers:restart", "failed", "cancelled"),
    ]


async def test_cancelled_work_in_a_thread_holds_its_target_until_the_thread_ends(
    runner: Runner, database: Database
) -> None:
    begun, may_end, told = asyncio.Event(), threading.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    async def work(progress: Progress) -> None:
        def block() -> None:
            loop.call_soon_threadsafe(begun.set)
            assert may_end.wait(30)
            if progress.is_cancelled:
                told.set()

        await progress.in_thread(block)

    operation = await runner.start(ANNA, RESTART, "blog-nginx", work, timeout_s=60)
    await begun.wait()
    await asyncio.gather(*(runner.cancel(ANNA, operation.id) for _ in range(3)))  # again and again changes nothing
    await asyncio.sleep(0)
    assert (await runner.get(operation.id)).state is State.RUNNING
    with pytest.raises(TargetBusy):
        await runner.start(ANNA, RESTART, "blog-nginx", nothing, timeout_s=60)

    may_end.set()
    assert (await runner.wait(operation.id)).state is State.CANCELLED
    assert told.is_set()
    assert [action for action, _, _ in audited(database)].count("ui:operations:cancel") == 1


async def test_work_in_a_thread_out_of_time_is_closed_when_the_thread_ends(runner: Runner) -> None:
    may_end = threading.Event()

    async def work(progress: Progress) -> None:
        asyncio.get_running_loop().call_later(0.05, may_end.set)  # well after the deadline
        await progress.in_thread(may_end.wait, 30)

    assert (await run(runner, work, timeout_s=0.001)).state is State.TIMED_OUT
    assert may_end.is_set()


async def test_cancelling_what_ends_at_this_moment_leaves_the_end_as_the_last_word(
    runner: Runner, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end = asyncio.Event()

    async def work(_progress: Progress) -> None:
        await may_end.wait()

    operation = await runner.start(ANNA, RESTART, "blog-nginx", work, timeout_s=60)

    async def too_late(_operation_id: str, _actor: Actor) -> bool:
        may_end.set()
        await runner.wait(operation.id)
        return True

    monkeypatch.setattr(runner._journal, "cancel", too_late)
    subscription = hub.subscribe(last_event_id=hub.id_of(0))
    with pytest.raises(OperationEnded):
        await runner.cancel(ANNA, operation.id)
    states = []
    with contextlib.suppress(TimeoutError):
        while (received := await subscription.next(timeout_s=0.01)) is not None:
            states.append(json.loads(received.data).get("state"))
    assert states == [None, "running", "done"]


async def test_what_has_ended_or_never_was_cannot_be_cancelled(runner: Runner) -> None:
    operation = await run(runner, nothing)
    with pytest.raises(OperationEnded):
        await runner.cancel(ANNA, operation.id)
    with pytest.raises(OperationNotFound):
        await runner.cancel(ANNA, "0" * 26)


# -- the database --


async def test_database_that_is_locked_begins_nothing(
    runner: Runner, database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []

    async def work(_progress: Progress) -> None:
        begun.append(1)

    with locked(database_url, monkeypatch) as impatient, pytest.raises(DatabaseUnavailable):
        await Runner(impatient, Hub(), SystemClock()).start(ANNA, RESTART, "blog-nginx", work, timeout_s=60)
    assert begun == []
    assert await runner.find(Filter()) == []


async def test_end_is_written_as_soon_as_the_database_is_there_again(
    database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "BUSY_S", 0.05)
    impatient = Database(database_url)
    runner = Runner(impatient, Hub(), SystemClock())
    may_end = asyncio.Event()

    async def work(_progress: Progress) -> dict[str, int]:
        await may_end.wait()
        return {"exit": 0}

    operation = await runner.start(ANNA, RESTART, "blog-nginx", work, timeout_s=60)
    other = sqlite3.connect(database_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    may_end.set()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(runner.wait(operation.id), 0.3)
    assert stored(database, operation).state is State.RUNNING
    other.execute("ROLLBACK")
    other.close()

    ended = await runner.wait(operation.id)
    assert (ended.state, ended.result) == (State.DONE, {"exit": 0})
    await runner.close()
    impatient.close()


async def test_end_that_the_database_refuses_is_written_bare(
    runner: Runner, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = records.close

    def refuse(session: Session, operation_id: str, **columns: Any) -> bool:
        if columns["result"] is not None:
            raise ValueError("too much")
        return close(session, operation_id, **columns)

    monkeypatch.setattr(records, "close", refuse)

    async def work(_progress: Progress) -> dict[str, int]:
        return {"exit": 0}

    ended = await run(runner, work)
    assert (ended.state, ended.result) == (State.DONE, None)


# -- stopping --


async def test_portal_that_stops_leaves_its_operations_to_be_checked(database: Database, hub: Hub) -> None:
    runner = Runner(database, hub, SystemClock())
    operation = await runner.start(ANNA, RESTART, "blog-nginx", for_ever, timeout_s=60)
    await asyncio.sleep(0)
    await runner.close()

    left = stored(database, operation)
    assert (left.state, left.outcome) == (State.INTERRUPTED, Outcome.CHECKING)
    with pytest.raises(PortalStopping):
        await runner.start(ANNA, RESTART, "other", nothing, timeout_s=60)


async def test_portal_that_stops_while_it_records_begins_nothing(
    database: Database, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []

    async def work(_progress: Progress) -> None:
        begun.append(1)

    runner, record = Runner(database, hub, SystemClock()), SlowRecord(monkeypatch)
    request = asyncio.create_task(runner.start(ANNA, RESTART, "blog-nginx", work, timeout_s=60))
    await record.begun.wait()
    stopping = asyncio.create_task(runner.close())
    await asyncio.sleep(0)
    record.go_on()
    operation = await request
    await stopping

    left = stored(database, operation)
    assert (left.state, left.outcome) == (State.INTERRUPTED, Outcome.NOT_DONE)
    assert begun == []


async def test_portal_that_stops_does_not_wait_for_a_thread_for_ever(database: Database, hub: Hub) -> None:
    begun, may_end = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def block() -> None:
        loop.call_soon_threadsafe(begun.set)
        may_end.wait(30)

    runner = Runner(database, hub, SystemClock())
    operation = await runner.start(
        ANNA, RESTART, "blog-nginx", lambda progress: progress.in_thread(block), timeout_s=60
    )
    await begun.wait()
    await runner.close(within_s=0.01)
    left = stored(database, operation)
    assert (left.state, left.outcome) == (State.INTERRUPTED, Outcome.CHECKING)
    may_end.set()


def test_event_loop_that_ends_leaves_operations_to_be_checked(database: Database) -> None:
    async def main() -> Operation:
        runner = Runner(database, Hub(), SystemClock())
        operation = await runner.start(ANNA, RESTART, "blog-nginx", for_ever, timeout_s=60)
        await asyncio.sleep(0)
        return operation  # nobody closes the runner

    left = stored(database, asyncio.run(main()))
    assert (left.state, left.outcome) == (State.INTERRUPTED, Outcome.CHECKING)


# -- progress --


async def test_progress_is_seen_while_it_runs_and_kept_after(runner: Runner, database: Database) -> None:
    said, may_end = asyncio.Event(), asyncio.Event()

    async def work(progress: Progress) -> None:
        progress.note("one\ntwo\r\nthree \x1b[31m<img onerror>\u202e\0\ud800")
        await progress.in_thread(progress.at, 3, 10)
        said.set()
        await may_end.wait()

    operation = await runner.start(ANNA, RESTART, "blog-nginx", work, timeout_s=60)
    await said.wait()
    present = await runner.get(operation.id)
    assert [line.text for line in present.report.lines] == [
        "one",
        "two",
        "three \x1b[31m<img onerror>\u202e\\x00\\ud800",
    ]
    may_end.set()
    ended = await runner.wait(operation.id)
    assert ended.report == present.report
    assert (ended.report.done, ended.report.of) == (3, 10)


@pytest.mark.parametrize(
    ("said", "kept"),
    [((-1, -5), (0, 0)), ((2**80, 2**70), (MAX_COUNT, MAX_COUNT)), ((5, 3), (5, 3)), ((0, None), (0, None))],
)
async def test_progress_that_makes_no_sense_does_no_harm(runner: Runner, said: Any, kept: Any) -> None:
    async def work(progress: Progress) -> None:
        progress.at(*said)

    operation = await run(runner, work)
    assert (operation.state, operation.report.done, operation.report.of) == (State.DONE, *kept)


async def test_lines_are_bounded(runner: Runner) -> None:
    async def work(progress: Progress) -> None:
        for number in range(MAX_LINES * 3):
            progress.note(f"{number} " + "x" * MAX_LINE_CHARACTERS)

    lines = (await run(runner, work)).report.lines
    assert len(lines) == MAX_LINES
    assert lines[-1].number == MAX_LINES * 3
    assert max(len(line.text) for line in lines) == MAX_LINE_CHARACTERS


async def test_work_that_speaks_all_the_time_does_not_flood_those_who_watch(runner: Runner, hub: Hub) -> None:
    before = hub.id_of(0)

    async def work(progress: Progress) -> None:
        for number in range(20_000):
            progress.at(number, 20_000)
            if number % 1000 == 0:
                await asyncio.sleep(0)

    await run(runner, work)
    subscription = hub.subscribe(last_event_id=before)
    hub.close()
    assert hub._number < 20
    subscription.close()


# -- asking --


async def test_list_is_newest_first_in_pages_and_by_filter(runner: Runner) -> None:
    operations = [await run(runner, nothing, target=f"box-{number}") for number in range(5)]
    ids = sorted((operation.id for operation in operations), reverse=True)

    first = await runner.find(Filter(), limit=3)
    rest = await runner.find(Filter(), before=first[-1].id, limit=3)
    assert [each.id for each in (*first, *rest)] == ids
    assert [each.target for each in await runner.find(Filter(target="box-2"))] == ["box-2"]
    assert await runner.find(Filter(state=State.FAILED)) == []
    assert len(await runner.find(Filter(act=RESTART, actor_id="7"))) == 5


async def test_typical_duration_is_the_median_of_what_went_well(runner: Runner) -> None:
    operation = await runner.start(ANNA, RESTART, "blog-nginx", nothing, timeout_s=60)
    assert await runner.typical_s(operation) is None
    await runner.wait(operation.id)
    typical = await runner.typical_s(operation)
    assert typical is not None
    assert typical >= 0


@pytest.mark.parametrize("target", ["", "x" * 256, "a\0b", "a\ud800"])
async def test_target_that_cannot_be_recorded_is_a_mistake_of_the_caller(runner: Runner, target: str) -> None:
    with pytest.raises(ValueError, match="a target has"):
        await runner.start(ANNA, RESTART, target, nothing, timeout_s=60)
