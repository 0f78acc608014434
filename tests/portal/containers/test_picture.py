"""What no engine does on demand: one that is never quiet, and events that were told before the stream was lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from kit.clock import SystemClock
from portal.broker import schemas
from portal.broker.client import Broker
from portal.broker.failures import NoSuchContainer
from portal.containers import picture as module
from portal.containers.picture import Picture

NOW = 1_800_000_000.0
ID = "ab" * 32
OF = {"container": ID, "name": "n1", "stack": "mail", "service": "s", "image": "i"}


class Script:
    """A broker that lists one container, and whose events the test gives."""

    is_configured = True

    def __init__(self) -> None:
        self.events: asyncio.Queue[schemas.Event] = asyncio.Queue()
        self.lists = 0
        self.listed = asyncio.Condition()

    async def ask(self, request: schemas.Request) -> Any:
        if isinstance(request, schemas.Stats):
            return schemas.Samples(samples=())
        if isinstance(request, schemas.Inspect):
            raise NoSuchContainer  # it has gone meanwhile
        assert isinstance(request, schemas.List)
        async with self.listed:
            self.lists += 1
            self.listed.notify_all()
        return schemas.Containers(containers=(_container(),), measured_at=NOW)

    @asynccontextmanager
    async def follow(self, request: schemas.Events) -> AsyncIterator[AsyncIterator[schemas.Event]]:
        async def events() -> AsyncIterator[schemas.Event]:
            while True:
                yield await self.events.get()

        yield events()

    def say(self, action: str) -> None:
        self.events.put_nowait(schemas.Event(at=NOW, at_ns=int(NOW * 1e9), action=action, **cast(Any, OF)))


def _container() -> schemas.Container:
    base: dict[str, Any] = {
        "id": ID,
        "name": "n1",
        "stack": "mail",
        "service": "s",
        "project": None,
        "image": "i",
        "image_id": "sha256:1",
        "image_digest": None,
        "state": "running",
        "health": "none",
        "exit_code": None,
        "oom_killed": False,
        "error": None,
        "restart_count": 0,
        "restart_policy": "always",
        "created_at": NOW,
        "started_at": NOW,
        "finished_at": None,
        "ports": (),
        "networks": (),
        "protection": None,
    }
    return schemas.Container(**base)


async def test_engine_that_is_never_quiet_is_looked_at_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RELIST_S", 0.1)
    script = Script()

    async def heard(event: schemas.Event) -> bool:
        await asyncio.sleep(0)
        script.say("exec_start")  # the next is there before anybody waits for it
        return True

    picture = Picture(cast(Broker, script), SystemClock(), on_event=heard, on_change=lambda name: None)
    script.say("exec_start")
    picture.begin()
    try:
        async with script.listed:
            await asyncio.wait_for(script.listed.wait_for(lambda: script.lists >= 3), 20)
    finally:
        await picture.close()


@pytest.mark.parametrize(("is_told", "changes"), [(True, []), (False, ["n1"])])
async def test_change_is_told_when_its_event_is_not(is_told: bool, changes: list[str]) -> None:
    script = Script()
    told: list[str] = []
    ended = asyncio.Event()

    async def heard(event: schemas.Event) -> bool:
        if event.action == "exec_die":
            ended.set()
        return is_told

    def changed(name: str | None) -> None:
        if name is not None:  # None: everything was listed
            told.append(name)

    picture = Picture(cast(Broker, script), SystemClock(), on_event=heard, on_change=changed)
    picture.begin()
    try:
        await picture.ready()
        script.say("destroy")
        script.say("exec_die")
        await asyncio.wait_for(ended.wait(), 20)
        assert (told, picture.has(ID)) == (changes, False)
    finally:
        await picture.close()


async def test_death_that_a_new_stream_repeats_is_no_second_one() -> None:
    script = Script()
    ended = asyncio.Event()

    async def heard(event: schemas.Event) -> bool:
        if event.action == "exec_die":
            ended.set()
        return True

    picture = Picture(cast(Broker, script), SystemClock(), on_event=heard, on_change=lambda name: None)
    for action in ("die", "die", "die", "exec_die"):
        script.say(action)
    picture.begin()
    try:
        await asyncio.wait_for(ended.wait(), 20)
        assert picture.trouble(_container()) == ()
    finally:
        await picture.close()
