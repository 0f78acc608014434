"""`homeport operations ...` over the admin socket: what it prints, and its exit code."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from portal.db import Database
from portal.operations.commands import app
from portal.operations.hub import Hub
from portal.operations.progress import Progress
from portal.operations.runner import Inverse, Operation, Runner, State
from tests.clock import FakeClock
from tests.portal.operations.conftest import ANNA, RESTART, eventually
from tests.portal.operations.served import Served, serve

Command = Callable[..., Coroutine[Any, Any, Result]]
HOSTILE = "\x1b]0;owned\x07\u202e\x9b31m"


@pytest.fixture
async def served(database: Database, hub: Hub, runner: Runner, tmp_path: Path) -> AsyncIterator[Served]:
    async with serve(database, hub, runner, FakeClock(), tmp_path) as served:
        yield served


@pytest.fixture
def command(served: Served) -> Command:
    """Run `homeport operations` in a thread of this process."""

    async def command(*arguments: str) -> Result:
        environment = {"HOMEPORT_PORTAL_STATE_DIR": str(served.state_dir), "HOMEPORT_URL": None}
        return await asyncio.to_thread(lambda: CliRunner().invoke(app, arguments, env=environment))

    return command


async def work(progress: Progress) -> dict[str, int]:
    progress.note(f"hello {HOSTILE}")
    progress.at(2, 2)
    return {"exit": 0}


async def ended(runner: Runner, target: str = "blog-nginx") -> Operation:
    operation = await runner.start(
        ANNA, RESTART, target, work, timeout_s=60, detail={"reason": "stuck"}, inverse=Inverse(RESTART, target)
    )
    return await runner.wait(operation.id)


async def test_list_shows_the_newest_first(command: Command, runner: Runner) -> None:
    assert (await command("list")).stdout == "Nothing fits.\n"
    operations = [await ended(runner, f"box-{number}") for number in range(3)]
    listed = await command("list", "--limit", "2")
    heading, first, second, more = listed.stdout.splitlines()
    assert heading.split() == ["ID", "STARTED", "ACT", "TARGET", "BY", "STATE"]
    newest, middle, _oldest = sorted((each.id for each in operations), reverse=True)
    assert (first.split()[0], second.split()[0]) == (newest, middle)
    assert more == f"There are older ones: --before {middle}"
    one = await command("list", "--target", "box-1", "--json")
    assert [each["id"] for each in json.loads(one.stdout)["operations"]] == [operations[1].id]


async def test_show_shows_everything_and_obeys_nothing(command: Command, runner: Runner) -> None:
    operation = await ended(runner)
    shown = (await command("show", operation.id.lower())).stdout
    for text in ("containers:restart blog-nginx", "anna", "done", "2 of 2", '{"reason": "stuck"}', '{"exit": 0}'):
        assert text in shown
    assert r"hello \x1b]0;owned\x07\u202e\x9b31m" in shown
    assert json.loads((await command("show", operation.id, "--json")).stdout)["lines"][0]["text"] == f"hello {HOSTILE}"


async def test_cancel_tells_it_to_end(command: Command, runner: Runner) -> None:
    operation = await runner.start(ANNA, RESTART, "blog-nginx", for_ever, timeout_s=60)
    assert "was told to end" in (await command("cancel", operation.id)).stdout
    assert (await runner.wait(operation.id)).state is State.CANCELLED
    again = await command("cancel", operation.id)
    assert again.exit_code == 0  # it is what was asked for
    assert "it is cancelled" in again.stdout


@pytest.mark.parametrize(("error", "code"), [(None, 0), (OSError(), 1)])
async def test_follow_tells_every_line_once_until_the_end(
    command: Command, runner: Runner, hub: Hub, error: Exception | None, code: int
) -> None:
    steps = [asyncio.Event() for _ in range(3)]

    async def stepwise(progress: Progress) -> None:
        for number, step in enumerate(steps):
            progress.note(f"step {number}")
            await step.wait()
        if error is not None:
            raise error

    operation = await runner.start(ANNA, RESTART, "blog-nginx", stepwise, timeout_s=60)
    following = asyncio.create_task(command("follow", operation.id))
    await eventually(lambda: asyncio.sleep(0, hub.subscriptions))
    for step in steps:
        step.set()
    followed = await following
    assert followed.stderr.splitlines() == ["step 0", "step 1", "step 2"]
    assert "state" in followed.stdout
    assert followed.exit_code == code


async def test_follow_of_what_has_ended_says_so_at_once(command: Command, runner: Runner) -> None:
    operation = await ended(runner)
    followed = await command("follow", operation.id, "--json")
    assert (followed.exit_code, json.loads(followed.stdout)["state"]) == (0, "done")


@pytest.mark.parametrize("operation_id", ["../../etc", "", "a b", "\u0661"])
async def test_id_that_is_none_is_wrong_usage(command: Command, operation_id: str) -> None:
    assert (await command("show", operation_id)).exit_code == 2


async def test_unknown_operation_is_said_in_one_line(command: Command) -> None:
    shown = await command("show", "0" * 26)
    assert shown.exit_code == 1
    assert str(shown.exception) == "No such operation: there is no operation of this id"


async def for_ever(_progress: Progress) -> None:
    await asyncio.Event().wait()
