"""The room on a real engine and a real database: the picture follows events, acts are operations, logs outlive."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from kit.clock import SystemClock
from portal.actor import Actor
from portal.audit.models import AuditRow
from portal.broker.client import Broker
from portal.broker.failures import BrokerProblem, ContainerProtected, NoSuchContainer
from portal.broker.schemas import LogLine
from portal.containers.log_store import Kept
from portal.containers.run_state import RunState
from portal.containers.schemas import ActOn, ApplyPlan
from portal.containers.service import Containers, ReasonRequired
from portal.db import Database
from portal.operations.hub import Hub
from portal.operations.plans import Plans, PlanStale
from portal.operations.records import Filter, Outcome, State
from portal.operations.runner import Runner
from portal.probes import Status
from tests.portal.brokers import RunningBroker
from tests.services.docker_engine import DockerEngine
from tests.services.process import Daemon

# The SDK leaves a socket open when it cannot connect (docker-py 7.2, UnixHTTPConnection.connect); garbage then.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"),
]

ANNA = Actor.system("anna")


@dataclass
class Room:
    """A room with what app.py wires to it."""

    service: Containers
    run_state: RunState
    runner: Runner
    hub: Hub
    database: Database

    async def until(self, is_true: Callable[[], object]) -> None:
        give_up = time.monotonic() + 20
        while not is_true():
            assert time.monotonic() < give_up
            await asyncio.sleep(0.02)

    async def done(self, started: Awaitable[Any]) -> Any:
        """The operation when it has ended."""
        return await self.runner.wait((await started).id)

    def states(self) -> dict[str, str]:
        return {each.name: each.state for each in self.service.picture.containers()}

    async def held(self, name: str) -> str:
        """The id of the operation that holds a container, once there is one."""
        while True:
            if operation_id := (await self.service.running_operations()).get(name):
                return operation_id
            await asyncio.sleep(0.02)

    async def kept_after_removal(self) -> list[Kept]:
        """The kept logs, once the newest says when its container was removed."""
        while True:
            kept = await self.service.kept_logs()
            if kept and kept[0].removed_at is not None:
                return kept
            await asyncio.sleep(0.02)

    async def kept_line(self, container_id: str, text: str) -> None:
        """Wait until the line is put aside."""
        while True:
            with contextlib.suppress(NoSuchContainer):
                if any(line.text == text for line in await self.service.kept_log(container_id)):
                    return
            await asyncio.sleep(0.02)

    async def heard(self, name: str, *wanted: str) -> list[str]:
        """The actions of the timeline, once each of the wanted ones is among them, as often as it is wanted."""
        while True:
            actions = [row.action for row in reversed(await self.service.events(name, limit=100))]
            if all(actions.count(action) >= wanted.count(action) for action in wanted):
                return actions
            await asyncio.sleep(0.02)


@pytest.fixture(autouse=True)
def _garbage_is_this_modules() -> Iterator[None]:
    yield
    gc.collect()


@pytest.fixture
async def open_room(database: Database, tmp_path: Path) -> AsyncIterator[Callable[[Broker], Awaitable[Room]]]:
    opened: list[Room] = []

    async def open_(broker: Broker) -> Room:
        hub, clock = Hub(), SystemClock()
        runner = Runner(database, hub, clock)
        service = Containers.of(broker, database, hub, runner, clock, tmp_path)
        run_state = RunState(service, broker, runner, Plans(database, runner, clock))
        service.begin()
        run_state.begin()
        await runner.recover()
        await service.picture.ready()
        room = Room(service, run_state, runner, hub, database)
        opened.append(room)
        return room

    yield open_
    for room in opened:
        await room.service.close()
        await room.runner.close()
        room.hub.close()


@pytest.fixture
async def room(broker: RunningBroker, open_room: Callable[[Broker], Awaitable[Room]]) -> Room:
    return await open_room(broker.client)


# -- the picture ------------------------------------------------------------------------------------------------------


async def test_picture_follows_what_happens(room: Room, docker_engine: DockerEngine) -> None:
    assert room.states() == {}
    assert room.service.picture.engine.state == "connected"
    container = docker_engine.run(name="n1")
    await room.until(lambda: room.states() == {"n1": "running"})
    docker_engine.client.api.pause(container.id)
    await room.until(lambda: room.states() == {"n1": "paused"})
    docker_engine.client.api.unpause(container.id)
    docker_engine.client.api.rename(container.id, "n2")
    await room.until(lambda: room.states() == {"n2": "running"})
    docker_engine.client.api.kill(container.id)
    await room.until(lambda: room.states() == {"n2": "exited"})
    container.remove()
    await room.until(lambda: room.states() == {})
    assert await room.heard("n2", "destroy") == ["rename", "kill", "die", "destroy"]


async def test_news_of_each_change_goes_to_the_hub(room: Room, docker_engine: DockerEngine) -> None:
    subscription = room.hub.subscribe()
    docker_engine.run(name="n1")
    seen = ""
    while "start" not in seen:
        received = await subscription.next(timeout_s=10)
        assert received is not None
        seen += received.data if received.topic == "containers" else ""
    subscription.close()
    assert '"name":"n1"' in seen


async def test_one_event_wakes_whoever_watches_once(room: Room, docker_engine: DockerEngine) -> None:
    subscription = room.hub.subscribe()
    docker_engine.run(name="n1")
    actions: list[str | None] = []
    while "start" not in actions:
        received = await subscription.next(timeout_s=10)
        assert received is not None
        told = json.loads(received.data) if received.topic == "containers" else {}
        actions += [told["action"]] if told.get("name") == "n1" else []
    subscription.close()
    assert None not in actions
    assert actions.count("start") == 1


async def test_crash_loop_is_seen_from_events(room: Room, docker_engine: DockerEngine) -> None:
    docker_engine.run("exit 1", name="loop", restart_policy={"Name": "always"})

    def trouble() -> tuple[str, ...]:
        found = room.service.picture.named("loop")
        return room.service.picture.trouble(found) if found else ()

    await room.until(lambda: "crash-loop" in trouble())
    readings = {probe.name: await probe.measure() for probe in room.service.probes}
    assert (readings["containers:trouble"].status, readings["containers:trouble"].value) == (Status.CRITICAL, 1)
    await room.heard("loop", "die", "die", "die")


async def test_unhealthy_and_out_of_memory_are_seen(room: Room, docker_engine: DockerEngine) -> None:
    check = {"test": ["CMD-SHELL", "exit 1"], "interval": 10**8, "retries": 1}
    docker_engine.run(name="ill", healthcheck=check)
    docker_engine.run("x=$(yes | head -c 200000000); sleep 1", name="greedy", mem_limit="16m", memswap_limit="16m")

    def trouble(name: str) -> tuple[str, ...]:
        found = room.service.picture.named(name)
        return room.service.picture.trouble(found) if found else ()

    await room.until(lambda: trouble("ill") == ("unhealthy",))
    await room.until(lambda: trouble("greedy") == ("oom",))


async def test_stop_by_hand_is_no_crash(room: Room, docker_engine: DockerEngine) -> None:
    docker_engine.run(name="n1")
    await room.until(lambda: room.states() == {"n1": "running"})
    for _ in range(3):
        await room.done(room.service.stop(ANNA, "n1", ActOn(grace_s=0), None))
        await room.done(room.service.start(ANNA, "n1"))
    found = room.service.picture.named("n1")
    assert found is not None
    assert room.service.picture.trouble(found) == ()
    await room.until(lambda: room.service.picture.samples(found.id))


async def test_picture_outlives_broker_and_engine(
    tmp_path: Path,
    broker_process: Callable[..., Daemon],
    own_docker_engine: DockerEngine,
    open_room: Callable[[Broker], Awaitable[Room]],
) -> None:
    path = tmp_path / "b.sock"
    process = broker_process(path, docker_host=own_docker_engine.url)
    own_docker_engine.run(name="n1", restart_policy={"Name": "always"})
    own_docker_engine.run(name="n2")
    room = await open_room(Broker(path))
    assert room.states() == {"n1": "running", "n2": "running"}

    own_docker_engine.kill()
    await room.until(lambda: room.service.picture.engine.state == "silent")
    assert set(room.states()) == {"n1", "n2"}, "the last picture stays"
    own_docker_engine.start()
    await room.until(lambda: room.states() == {"n1": "running", "n2": "exited"})
    assert room.service.picture.engine.state == "connected"

    process.kill()
    await room.until(lambda: room.service.picture.engine.state == "silent")
    with pytest.raises(BrokerProblem):
        await room.service.find("n1")
    own_docker_engine.run(name="n3")
    process.start()
    await room.until(lambda: room.service.picture.engine.state == "connected")
    assert await room.heard("n3", "start") == ["create", "start"], "what happened meanwhile is heard, and once"
    assert room.states()["n3"] == "running"


async def test_room_without_a_broker_says_so(open_room: Callable[[Broker], Awaitable[Room]]) -> None:
    room = await open_room(Broker(None))
    assert room.service.picture.engine.state == "not-configured"
    assert {(await probe.measure()).status for probe in room.service.probes} == {Status.NOT_CONNECTED}
    with pytest.raises(BrokerProblem, match="no broker is configured"):
        await room.service.find("anything")


# -- acts -------------------------------------------------------------------------------------------------------------


async def test_act_is_an_operation_with_two_audit_rows(room: Room, docker_engine: DockerEngine) -> None:
    container = docker_engine.run("trap 'exit 7' TERM; while :; do sleep 0.02; done", name="n1")
    await room.until(lambda: room.states() == {"n1": "running"})
    stopped = await room.done(room.service.stop(ANNA, "n1", ActOn(), None))
    assert (stopped.state, stopped.result) == (State.DONE, {"state": "exited", "ended_with": 7})
    assert stopped.inverse.act == "containers:start"
    started = await room.done(room.service.start(ANNA, "n1"))
    assert started.state is State.DONE
    before = container.state()["StartedAt"]
    restarted = await room.done(room.service.restart(ANNA, "n1", ActOn(), None))
    assert restarted.state is State.DONE
    assert container.state()["StartedAt"] > before
    rows = await room.database.read(
        lambda session: [(r.action, r.target, r.result) for r in session.query(AuditRow).order_by(AuditRow.sequence)]
    )
    assert [row for row in rows if row[0].endswith("containers:stop")] == [
        ("system:containers:stop", "n1", "accepted"),
        ("system:containers:stop", "n1", "done"),
    ]


async def test_act_on_what_is_not_there_records_nothing(room: Room, docker_engine: DockerEngine) -> None:
    docker_engine.run(name="foreign", stack="other")
    for name in ("foreign", "nothing"):
        with pytest.raises(NoSuchContainer):
            await room.service.stop(ANNA, name, ActOn(), None)
    assert await room.runner.find(_everything()) == []


def _everything() -> Filter:

    return Filter()


async def test_start_of_what_ends_at_once_fails_and_says_so(room: Room, docker_engine: DockerEngine) -> None:
    docker_engine.run("exit 3", name="brief", start=False)
    docker_engine.run(name="broken", start=False, entrypoint=["/no/such"])
    await room.until(lambda: set(room.states()) == {"brief", "broken"})
    broken = await room.done(room.service.start(ANNA, "broken"))
    assert broken.state is State.FAILED
    assert broken.error["type"] == "/problems/engine-refused"
    assert "no such file" in broken.error["detail"]


async def test_protected_container_is_confirmed_before_it_goes_down(room: Room, docker_engine: DockerEngine) -> None:
    docker_engine.run(name="mail-dovecot-1", service="mail-dovecot")
    await room.until(lambda: room.states() == {"mail-dovecot-1": "running"})
    asked = []

    def refuse(container: Any) -> None:
        asked.append(container.name)
        raise PermissionError

    with pytest.raises(ReasonRequired):
        await room.service.stop(ANNA, "mail-dovecot-1", ActOn(reason="  "), refuse)
    assert asked == []
    with pytest.raises(PermissionError):
        await room.service.stop(ANNA, "mail-dovecot-1", ActOn(reason="new certificate"), refuse)
    with pytest.raises(ContainerProtected):
        await room.service.stop(ANNA, "mail-dovecot-1", ActOn(reason="new certificate"), None)
    assert asked == ["mail-dovecot-1"]
    assert room.states() == {"mail-dovecot-1": "running"}
    wanted = ActOn(reason="new certificate", grace_s=0)
    stopped = await room.done(room.service.stop(ANNA, "mail-dovecot-1", wanted, lambda _: None))
    assert (stopped.state, stopped.detail["reason"]) == (State.DONE, "new certificate")


async def test_bulk_act_has_a_result_for_each(room: Room, docker_engine: DockerEngine) -> None:
    for name in ("n1", "n2"):
        docker_engine.run(name=name)
    docker_engine.run(name="db", service="blog-db")
    await room.until(lambda: len(room.states()) == 3)

    async def stop(name: str) -> Any:
        return await room.service.stop(ANNA, name, ActOn(grace_s=0), None)

    results = await room.service.each(["n1", "db", "gone", "n2", "n1"], stop)
    problems = {each.name: each.problem and each.problem["type"] for each in results}
    assert problems == {
        "n1": None,
        "db": "/problems/container-protected",
        "gone": "/problems/no-such-container",
        "n2": None,
    }
    await room.until(lambda: room.states() == {"n1": "exited", "n2": "exited", "db": "running"})


async def test_interrupted_act_is_looked_at_afterwards(
    broker: RunningBroker, docker_engine: DockerEngine, open_room: Callable[[Broker], Awaitable[Room]]
) -> None:
    docker_engine.run("trap '' TERM; while :; do sleep 0.02; done", name="slow")
    first = await open_room(broker.client)
    operation = await first.service.stop(ANNA, "slow", ActOn(grace_s=2), None)
    await first.service.close()
    await first.runner.close(within_s=0.1)
    second = await open_room(broker.client)
    await second.runner.recovered()
    found = await second.runner.get(operation.id)
    assert found.state is State.INTERRUPTED
    assert found.outcome in (Outcome.DONE, Outcome.NOT_DONE)
    assert "the container is" in found.outcome_detail


# -- planned acts -----------------------------------------------------------------------------------------------------


def nobody(container: Any) -> None:
    raise AssertionError(f"{container.name} is not protected")


def needs(*services: str) -> dict[str, str]:
    return {"com.docker.compose.depends_on": ",".join(f"{service}:service_started:false" for service in services)}


async def stopping(room: Room, *names: str) -> Any:
    plan = await room.run_state.plan(ANNA, list(names), "stopped")
    return plan, await room.done(room.run_state.apply(ANNA, plan.id, ApplyPlan(grace_s=0), nobody))


async def test_plan_stops_what_needs_another_before_it_and_starts_it_after(
    room: Room, docker_engine: DockerEngine
) -> None:
    docker_engine.run(name="n1", service="base")
    docker_engine.run(name="n2", service="middle", labels=needs("base"))
    docker_engine.run(name="n3", service="top", labels=needs("middle", "elsewhere"))
    await room.until(lambda: len(room.states()) == 3)
    assert [use.name for use in await room.service.used_by("container", "n1")] == ["n2", "n3"]
    plan, operation = await stopping(room, "n2", "n1", "n3")
    assert operation.state is State.DONE
    assert [each["name"] for each in operation.result["results"]] == ["n3", "n2", "n1"]
    back = await room.run_state.undo(ANNA, plan.id)
    started = await room.done(room.run_state.apply(ANNA, back.id, ApplyPlan(), nobody))
    assert [each["name"] for each in started.result["results"]] == ["n1", "n2", "n3"]
    await room.until(lambda: set(room.states().values()) == {"running"})
    children = await room.runner.find(Filter(act="containers:stop"), limit=10)
    assert {each.target for each in children} == {"n1", "n2", "n3"}


async def test_what_one_container_refuses_keeps_no_other_from_it(room: Room, docker_engine: DockerEngine) -> None:
    docker_engine.run("trap '' TERM; while :; do sleep 0.02; done", name="slow")
    docker_engine.run(name="n1")
    await room.until(lambda: len(room.states()) == 2)
    plan = await room.run_state.plan(ANNA, ["slow", "n1"], "stopped")
    held = await room.service.restart(ANNA, "slow", ActOn(grace_s=2), None)
    operation = await room.done(room.run_state.apply(ANNA, plan.id, ApplyPlan(grace_s=0), nobody))
    assert (operation.state, operation.error["type"]) == (State.FAILED, "/problems/plan-incomplete")
    results = {each["name"]: each for each in operation.result["results"]}
    assert (results["n1"]["state"], results["slow"]["state"]) == ("done", "refused")
    assert results["slow"]["problem"]["operation"] == held.id
    await room.runner.wait(held.id)
    back = await room.run_state.undo(ANNA, plan.id)
    assert [change.name for change in back.changes] == ["n1"], "what did not come about is not taken back"


async def test_planned_container_that_is_gone_is_said_and_not_stopped(room: Room, docker_engine: DockerEngine) -> None:
    gone = docker_engine.run(name="n1")
    docker_engine.run(name="n2")
    await room.until(lambda: len(room.states()) == 2)
    plan = await room.run_state.plan(ANNA, ["n1", "n2"], "stopped")
    gone.remove()
    with pytest.raises(PlanStale) as stale:
        await room.run_state.apply(ANNA, plan.id, ApplyPlan(), nobody)
    assert [(change.name, change.before) for change in stale.value.plan.changes] == [("n1", None), ("n2", "running")]
    operation = await room.done(room.run_state.apply(ANNA, stale.value.plan.id, ApplyPlan(grace_s=0), nobody))
    results = {each["name"]: each for each in operation.result["results"]}
    assert (results["n1"]["state"], results["n2"]["state"]) == ("refused", "done")
    assert results["n1"]["problem"]["type"] == "/problems/no-such-container"
    docker_engine.run(name="n1")
    back = await room.run_state.undo(ANNA, stale.value.plan.id)
    assert [change.name for change in back.changes] == ["n2"], "to be gone is nothing that a plan brings about"


async def test_cancelled_plan_begins_nothing_more(room: Room, docker_engine: DockerEngine) -> None:
    docker_engine.run("trap '' TERM; while :; do sleep 0.02; done", name="slow", service="top", labels=needs("base"))
    docker_engine.run(name="n1", service="base")
    await room.until(lambda: len(room.states()) == 2)
    plan = await room.run_state.plan(ANNA, ["slow", "n1"], "stopped")
    operation = await room.run_state.apply(ANNA, plan.id, ApplyPlan(grace_s=1), nobody)
    await room.held("slow")
    await room.runner.cancel(ANNA, operation.id)
    assert (await room.runner.wait(operation.id)).state is State.CANCELLED
    await room.until(lambda: room.states() == {"slow": "exited", "n1": "running"})


async def test_plan_that_a_crash_cut_off_is_looked_at(
    broker: RunningBroker, docker_engine: DockerEngine, open_room: Callable[[Broker], Awaitable[Room]]
) -> None:
    docker_engine.run("trap '' TERM; while :; do sleep 0.02; done", name="slow")
    docker_engine.run(name="n1")
    first = await open_room(broker.client)
    plan = await first.run_state.plan(ANNA, ["slow", "n1"], "stopped")
    operation = await first.run_state.apply(ANNA, plan.id, ApplyPlan(grace_s=2), nobody)
    await first.until(lambda: first.states()["n1"] == "exited")
    await first.service.close()
    await first.runner.close(within_s=0.1)
    second = await open_room(broker.client)
    await second.runner.recovered()
    found = await second.runner.get(operation.id)
    assert found.state is State.INTERRUPTED
    assert found.outcome in (Outcome.DONE, Outcome.UNKNOWN)
    assert "of 2 changes are there" in found.outcome_detail


async def test_plan_without_a_broker_says_so(open_room: Callable[[Broker], Awaitable[Room]]) -> None:
    room = await open_room(Broker(None))
    with pytest.raises(BrokerProblem, match="no broker is configured"):
        await room.run_state.plan(ANNA, ["n1"], "stopped")
    assert await room.service.used_by("container", "n1") == ()


# -- logs -------------------------------------------------------------------------------------------------------------


async def test_log_is_bounded_and_says_when_there_is_more(room: Room, docker_engine: DockerEngine) -> None:
    docker_engine.run("seq 10; sleep 1000", name="n1")
    await room.until(lambda: room.states() == {"n1": "running"})
    log = await room.service.log("n1", tail=3, since=None, until=None)
    assert ([line.text for line in log.lines], log.is_truncated) == (["8", "9", "10"], True)
    log = await room.service.log("n1", tail=10, since=None, until=None)
    assert (len(log.lines), log.is_truncated) == (10, False)


async def test_log_before_a_moment_is_the_newest_lines_before_it(room: Room, docker_engine: DockerEngine) -> None:
    docker_engine.run("for i in 1 2 3 4 5 6; do echo $i; sleep 0.05; done; sleep 1000", name="n1")
    await room.until(lambda: room.states() == {"n1": "running"})
    lines: list[LogLine] = []
    while len(lines) < 6:
        lines = (await room.service.log("n1", tail=10, since=None, until=None)).lines
    fourth, fifth = (datetime.fromisoformat(lines[at].at).timestamp() for at in (3, 4))
    between = (fourth + fifth) / 2  # a float does not hold the engine's nanoseconds, so not the moment of a line
    log = await room.service.log("n1", tail=2, since=None, until=between)
    assert ([line.text for line in log.lines], log.is_truncated) == (["3", "4"], True)


async def test_lines_of_a_removed_container_are_still_there(room: Room, docker_engine: DockerEngine) -> None:
    container = docker_engine.run(
        "echo last words; echo 'and why' >&2; trap 'echo bye; exit' TERM; while :; do sleep 0.02; done", name="n1"
    )
    await room.until(lambda: room.states() == {"n1": "running"})
    assert await room.service.kept_logs() == []
    await room.done(room.service.stop(ANNA, "n1", ActOn(), None))
    await room.kept_line(container.id, "bye")  # what is removed at once takes with it what was not read by then
    container.remove()
    await room.until(lambda: room.states() == {})
    kept = await room.kept_after_removal()
    assert (kept[0].id, kept[0].name, kept[0].stack) == (container.id, "n1", "mail")
    lines = [(line.stream, line.text) for line in await room.service.kept_log(container.id)]
    assert sorted(lines[:2]) == [("stderr", "and why"), ("stdout", "last words")]
    assert ("stdout", "bye") in lines
    assert len(lines) == len(set(lines)), "none twice"
    with pytest.raises(NoSuchContainer):
        await room.service.kept_log("0" * 64)
