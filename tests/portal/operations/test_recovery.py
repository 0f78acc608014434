"""What a killed portal leaves, and what the next one makes of it."""

from __future__ import annotations

import asyncio
import functools
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from kit.clock import SystemClock
from portal.audit import verify
from portal.db import Database
from portal.operations.hub import Hub
from portal.operations.progress import Progress
from portal.operations.recovery import Finding
from portal.operations.runner import Filter, Operation, Outcome, Runner, State, TargetBusy
from tests.portal.operations import killed
from tests.portal.operations.conftest import ANNA, RESTART, audited

ROOT = Path(__file__).parents[3]
KILLS = 300
Kill = Callable[..., None]


@pytest.fixture
def effect(tmp_path: Path) -> Path:
    return tmp_path / "effect"


@pytest.fixture
def kill(database_url: str, effect: Path) -> Kill:
    """Run a portal that begins an operation and is killed at that moment."""

    def kill(moment: str, url: str = database_url) -> None:
        argv = [sys.executable, "-m", killed.__name__, url, str(effect), moment]
        ended = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert ended.returncode == -signal.SIGKILL, ended.stderr

    return kill


def content(effect: Path) -> str:
    return effect.read_text() if effect.exists() else "nothing"


def look_at(effect: Path) -> Callable[[Operation], Awaitable[Finding]]:
    """The act's re-check: what stands in the file?"""

    async def check(_operation: Operation) -> Finding:
        text = content(effect)
        outcome = {"nothing": Outcome.NOT_DONE, "half": Outcome.UNKNOWN, "whole": Outcome.DONE}[text]
        return Finding(outcome, f"the file has {text}")

    return check


async def look_into(effect: Path, operation: Operation) -> Finding:
    """The re-check of operations that each add a line."""
    return Finding(Outcome.DONE if operation.id in content(effect).split() else Outcome.NOT_DONE)


async def nothing(_progress: Progress) -> None:
    return None


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (killed.BEFORE_THE_RECORD, None),
        (killed.AFTER_THE_RECORD, (State.INTERRUPTED, Outcome.NOT_DONE, "the file has nothing")),
        (killed.IN_THE_ACT, (State.INTERRUPTED, Outcome.UNKNOWN, "the file has half")),
        (killed.AFTER_THE_ACT, (State.INTERRUPTED, Outcome.DONE, "the file has whole")),
        (killed.AFTER_THE_END, (State.DONE, None, "")),
    ],
)
async def test_operation_of_a_killed_portal_is_found_and_checked(
    database: Database, runner: Runner, kill: Kill, effect: Path, moment: str, expected: Any
) -> None:
    kill(moment)
    runner.recheck(RESTART, look_at(effect))
    await runner.recover()
    await runner.recovered()

    found = await runner.find(Filter())
    assert [(each.state, each.outcome, each.outcome_detail) for each in found] == ([expected] if expected else [])
    assert (content(effect) == "nothing") == (moment in (killed.BEFORE_THE_RECORD, killed.AFTER_THE_RECORD))
    assert database.read_sync(verify) is None
    again = await runner.start(ANNA, RESTART, "blog-nginx", nothing, timeout_s=60)  # the target is free
    assert (await runner.wait(again.id)).state is State.DONE


async def test_operation_of_a_killed_portal_is_found_on_any_database(
    any_database_url: str, any_database: Database, hub: Hub, kill: Kill, effect: Path
) -> None:
    kill(killed.IN_THE_ACT, any_database_url)
    runner = Runner(any_database, hub, SystemClock())
    runner.recheck(RESTART, look_at(effect))
    [interrupted] = await runner.recover()
    await runner.recovered()
    assert (await runner.get(interrupted.id)).outcome is Outcome.UNKNOWN
    assert any_database.read_sync(verify) is None
    await runner.close()


async def test_audit_tells_the_interruption_and_what_was_found(
    database: Database, runner: Runner, kill: Kill, effect: Path
) -> None:
    kill(killed.AFTER_THE_ACT)
    runner.recheck(RESTART, look_at(effect))
    await runner.recover()
    await runner.recovered()
    assert audited(database) == [
        ("ui:containers:restart", "accepted", ""),
        ("ui:containers:restart", "failed", "interrupted: the portal stopped meanwhile"),
        ("system:containers:restart", "done", "re-checked, done: the file has whole"),
    ]


@pytest.fixture
async def interrupted(database: Database) -> Operation:
    """An operation that a portal, stopped in order, has left."""

    async def for_ever(_progress: Progress) -> None:
        await asyncio.Event().wait()

    earlier = Runner(database, Hub(), SystemClock())
    operation = await earlier.start(ANNA, RESTART, "blog-nginx", for_ever, timeout_s=60)
    await asyncio.sleep(0)
    await earlier.close()
    return operation


async def test_target_is_held_until_the_outcome_is_known(runner: Runner, interrupted: Operation) -> None:
    may_say = asyncio.Event()

    async def check(_operation: Operation) -> Finding:
        await may_say.wait()
        return Finding(Outcome.DONE)

    runner.recheck(RESTART, check)
    assert [each.id for each in await runner.recover()] == [interrupted.id]
    with pytest.raises(TargetBusy):
        await runner.start(ANNA, RESTART, "blog-nginx", nothing, timeout_s=60)
    may_say.set()
    await runner.recovered()
    await runner.start(ANNA, RESTART, "blog-nginx", nothing, timeout_s=60)


@pytest.mark.parametrize("error", [OSError(), SystemExit(1), asyncio.CancelledError(), TimeoutError(), StopIteration()])
async def test_check_that_raises_is_asked_again(runner: Runner, interrupted: Operation, error: BaseException) -> None:
    asked = []

    async def check(operation: Operation) -> Finding:
        asked.append(operation.target)
        if len(asked) < 3:
            raise error
        return Finding(Outcome.NOT_DONE, "it runs since yesterday")

    runner.recheck(RESTART, check)
    await runner.recover()
    await runner.recovered()
    found = await runner.get(interrupted.id)
    assert (found.outcome, found.outcome_detail) == (Outcome.NOT_DONE, "it runs since yesterday")
    assert asked == ["blog-nginx"] * 3


async def test_check_that_never_answers_leaves_the_outcome_unknown(runner: Runner, interrupted: Operation) -> None:
    async def check(_operation: Operation) -> Finding:
        raise OSError("no broker")

    runner.recheck(RESTART, check)
    await runner.recover()
    await runner.recovered()
    found = await runner.get(interrupted.id)
    assert (found.state, found.outcome) == (State.INTERRUPTED, Outcome.UNKNOWN)


async def test_act_without_a_check_has_an_unknown_outcome(runner: Runner, interrupted: Operation) -> None:
    await runner.recover()
    await runner.recovered()
    assert (await runner.get(interrupted.id)).outcome is Outcome.UNKNOWN


async def test_portal_that_stops_while_it_checks_leaves_it_to_the_next(
    database: Database, runner: Runner, interrupted: Operation
) -> None:
    async def for_ever(_operation: Operation) -> Finding:
        await asyncio.Event().wait()
        raise AssertionError

    between = Runner(database, Hub(), SystemClock())
    between.recheck(RESTART, for_ever)
    await between.recover()
    await asyncio.sleep(0)
    await between.close()

    assert [each.id for each in await runner.recover()] == [interrupted.id]
    await runner.recovered()
    interruptions = [detail for _, _, detail in audited(database) if "interrupted" in detail]
    assert len(interruptions) == 1  # when the first portal stopped


async def test_recovering_twice_finds_nothing_more(runner: Runner, interrupted: Operation) -> None:
    assert len(await runner.recover()) == 1
    await runner.recovered()
    assert await runner.recover() == []


async def test_what_runs_here_is_not_ownerless(runner: Runner) -> None:
    may_end = asyncio.Event()

    async def work(_progress: Progress) -> None:
        await may_end.wait()

    operation = await runner.start(ANNA, RESTART, "blog-nginx", work, timeout_s=60)
    assert await runner.recover() == []
    may_end.set()
    assert (await runner.wait(operation.id)).state is State.DONE


def test_act_has_one_check(runner: Runner, effect: Path) -> None:
    runner.recheck(RESTART, look_at(effect))
    with pytest.raises(ValueError, match="already"):
        runner.recheck(RESTART, look_at(effect))


@pytest.mark.soak
def test_portal_killed_at_any_time_again_and_again_tells_the_truth(
    database: Database, database_url: str, effect: Path
) -> None:
    """Whatever was done is recorded as done, what is recorded as done was done once, and nothing stays running."""

    async def recover() -> list[Operation]:
        runner = Runner(database, Hub(), SystemClock())
        runner.recheck(RESTART, functools.partial(look_into, effect))
        await runner.recover()
        await runner.recovered()
        await runner.close()
        return await runner.find(Filter(), limit=1_000_000)

    argv = [sys.executable, "-m", killed.__name__, database_url, str(effect), killed.ANY_TIME]
    operations: list[Operation] = []
    for _ in range(KILLS):
        with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(random.uniform(0.0, 0.3))
            process.kill()
        operations = asyncio.run(recover())
        assert {each.state for each in operations} <= {State.DONE, State.INTERRUPTED}
        done = [each.id for each in operations if "done" in (each.state, each.outcome)]
        assert sorted(done) == sorted(content(effect).split())
        assert database.read_sync(verify) is None
    outcomes = Counter(each.outcome for each in operations)
    assert min(outcomes[Outcome.DONE], outcomes[Outcome.NOT_DONE]) > 0, outcomes  # it was hit on both sides of the act
