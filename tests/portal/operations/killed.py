"""A portal in small that is killed: `python -m ... DATABASE_URL EFFECT MOMENT`. By SIGKILL, so nothing of ours runs on.

At a named moment it kills itself, in an operation whose act is to write the file EFFECT. At ANY_TIME it begins one
operation after another, whose act is to add a line with the operation's id to EFFECT, until somebody kills it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from kit.clock import SystemClock
from portal.actor import Actor, Role
from portal.db import Database
from portal.operations import records
from portal.operations.hub import Hub
from portal.operations.progress import Progress
from portal.operations.runner import Runner

BEFORE_THE_RECORD, AFTER_THE_RECORD = "before the record", "after the record"
IN_THE_ACT, AFTER_THE_ACT, AFTER_THE_END = "in the act", "after the act", "after the end"
ANY_TIME = "any time"
TARGETS = 5

ANNA = Actor("user", "7", "anna", Role.OPERATOR, "127.0.0.1", "req-1")


def die(*_: object, **__: object) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


async def begin_one_after_another(runner: Runner, effect: Path, target: str) -> None:
    def act(progress: Progress) -> None:
        progress.note("begun")
        with effect.open("a") as file:
            file.write(f"{progress.operation_id}\n")  # one write(2)

    async def work(progress: Progress) -> None:
        await progress.in_thread(act, progress)

    print("ready", flush=True)
    while True:
        operation = await runner.start(ANNA, "containers:restart", target, work, timeout_s=60)
        await runner.wait(operation.id)


async def main(url: str, effect: Path, moment: str) -> None:
    database, hub = Database(url), Hub()
    runner = Runner(database, hub, SystemClock())
    if moment == ANY_TIME:
        await asyncio.gather(*(begin_one_after_another(runner, effect, f"box-{number}") for number in range(TARGETS)))

    def act() -> None:
        effect.write_text("half")
        if moment == IN_THE_ACT:
            die()
        effect.write_text("whole")

    async def work(progress: Progress) -> None:
        progress.note("begun")
        await progress.in_thread(act)

    if moment == BEFORE_THE_RECORD:
        insert = records.insert

        def insert_and_die(*args: Any, **kwargs: Any) -> None:
            insert(*args, **kwargs)
            die()  # written, not committed

        records.insert = insert_and_die
    elif moment == AFTER_THE_RECORD:
        hub.publish = die  # type: ignore[method-assign]  # the first thing after the record, before the work
    elif moment == AFTER_THE_ACT:
        records.close = die
    operation = await runner.start(ANNA, "containers:restart", "blog-nginx", work, timeout_s=60)
    await runner.wait(operation.id)
    die()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
