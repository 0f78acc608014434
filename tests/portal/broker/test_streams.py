"""Streams on a real engine: both log streams tagged, ends that come when they should, an engine that comes and goes."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from portal.broker import schemas
from portal.broker.client import Broker
from portal.broker.failures import BrokerUnavailable, EngineUnavailable
from portal.broker.reading import moment
from tests.portal.brokers import RunningBroker
from tests.services.docker_engine import DockerEngine, TestContainer
from tests.services.process import Daemon

# The SDK leaves a socket open when it cannot connect (docker-py 7.2, UnixHTTPConnection.connect); garbage then.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def _garbage_is_this_modules() -> Iterator[None]:
    yield
    gc.collect()


async def _lines(broker: RunningBroker, container: TestContainer, **more: object) -> list[schemas.LogLine]:
    request = schemas.Logs(container=container.id, **more)  # type: ignore[arg-type]
    async with broker.client.follow(request) as flow:
        lines = [line async for item in flow for line in item.lines]
        assert flow.why == "ended"
    return lines


def _stream_threads() -> int:
    return sum(thread.name == "broker-watch" for thread in threading.enumerate())


async def _until(is_true: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 20
    while not is_true():
        assert time.monotonic() < give_up
        await asyncio.sleep(0.02)


# -- logs -------------------------------------------------------------------------------------------------------------


async def test_logs_tag_both_streams(broker: RunningBroker, docker_engine: DockerEngine) -> None:
    container = docker_engine.run("echo out; echo err >&2; printf 'no end'; exit 0")
    container.wait_for(Status="exited")
    lines = await _lines(broker, container)
    assert {(line.stream, line.text) for line in lines} == {("stdout", "out"), ("stderr", "err"), ("stdout", "no end")}
    assert [line.text for line in lines if line.is_partial] in ([], ["no end"])
    assert [line.text for line in await _lines(broker, container, stdout=False)] == ["err"]
    assert len(await _lines(broker, container, stderr=False)) == 2
    assert all(line.at.endswith("Z") for line in lines)


async def test_logs_tail_since_and_until_choose(broker: RunningBroker, docker_engine: DockerEngine) -> None:
    container = docker_engine.run("for i in $(seq 5); do echo $i; sleep 0.02; done")
    container.wait_for(Status="exited")
    lines = await _lines(broker, container)
    assert [line.text for line in lines] == ["1", "2", "3", "4", "5"]
    assert [line.text for line in await _lines(broker, container, tail=2)] == ["4", "5"]
    assert await _lines(broker, container, tail=0) == []
    third = moment(lines[2].at)
    assert third is not None
    assert [line.text for line in await _lines(broker, container, since=third - 0.005)] == ["3", "4", "5"]
    assert [line.text for line in await _lines(broker, container, until=third - 0.005)] == ["1", "2"]


async def test_logs_hold_hostile_text_as_it_came(broker: RunningBroker, docker_engine: DockerEngine) -> None:
    container = docker_engine.run(r"printf '\033[31m<img src=x onerror=alert(1)>\342\200\256\000\377\r\n'")
    container.wait_for(Status="exited")
    (line,) = await _lines(broker, container)
    assert line.text == "\x1b[31m<img src=x onerror=alert(1)>\u202e\x00\ufffd"


async def test_hundred_thousand_lines_come_whole_and_in_order(
    broker: RunningBroker, docker_engine: DockerEngine
) -> None:
    container = docker_engine.run("seq 100000")
    container.wait_for(Status="exited")
    lines = await _lines(broker, container, tail=None)
    assert [line.text for line in lines] == [str(number) for number in range(1, 100_001)]


async def test_followed_log_goes_on_and_ends_with_its_container(
    broker: RunningBroker, docker_engine: DockerEngine
) -> None:
    container = docker_engine.run("echo first; while ! test -e /tmp/go; do sleep 0.02; done; echo last >&2")
    seen = []
    async with broker.client.follow(schemas.Logs(container=container.id, follow=True)) as flow:
        async for item in flow:
            seen += [(line.stream, line.text) for line in item.lines]
            if len(seen) == 1:
                api = docker_engine.client.api
                api.exec_start(api.exec_create(container.id, ["touch", "/tmp/go"])["Id"])
        assert flow.why == "ended"
    assert seen == [("stdout", "first"), ("stderr", "last")]


async def test_stream_whose_client_leaves_ends_in_the_broker_too(
    broker: RunningBroker, docker_engine: DockerEngine
) -> None:
    silent, chatty = docker_engine.run(), docker_engine.run("while :; do echo x; done")
    for request in (
        schemas.Logs(container=silent.id, follow=True),
        schemas.Logs(container=chatty.id, follow=True),
        schemas.WatchStats(container=silent.id),
        schemas.Events(),
    ):
        async with broker.client.follow(request):
            await _until(lambda: _stream_threads() == 1)
        await _until(lambda: _stream_threads() == 0)


async def test_reader_that_stands_still_holds_nobody_else_up(
    broker: RunningBroker, docker_engine: DockerEngine
) -> None:
    chatty = docker_engine.run("while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done")
    async with broker.client.follow(schemas.Logs(container=chatty.id, follow=True)):
        for _ in range(5):
            assert (await broker.client.ask(schemas.List())).containers


# -- events and stats -------------------------------------------------------------------------------------------------


async def test_events_tell_a_known_containers_life_and_no_other(
    broker: RunningBroker, docker_engine: DockerEngine
) -> None:
    begun = time.time()
    async with broker.client.follow(schemas.Events(since=begun)) as flow:
        docker_engine.run(stack="foreign", service="mail-nginx")
        container = docker_engine.run("exit 3", service="mail-worker", name="w1")
        container.wait_for(Status="exited")
        container.remove()
        seen = []
        async for event in flow:
            seen.append(event)
            if event.action == "destroy":
                break
    assert [event.action for event in seen] == ["create", "start", "die", "destroy"]
    assert {event.container for event in seen} == {container.id}
    assert {(event.name, event.stack, event.service) for event in seen} == {("w1", "mail", "mail-worker")}
    assert [event.exit_code for event in seen if event.action == "die"] == [3]
    assert all(begun - 1 <= event.at <= time.time() for event in seen)


async def test_events_since_a_moment_are_told_again(broker: RunningBroker, docker_engine: DockerEngine) -> None:
    begun = time.time()
    container = docker_engine.run()
    seen = []
    async with broker.client.follow(schemas.Events(since=begun - 0.5)) as flow:
        async for event in flow:
            seen += [event.action] if event.container == container.id else []
            if len(seen) == 2:
                break
    assert seen == ["create", "start"]


async def test_events_say_unhealthy_and_never_a_command_line(
    broker: RunningBroker, docker_engine: DockerEngine
) -> None:
    check = {"test": ["CMD-SHELL", "echo canary-in-check; exit 1"], "interval": 10**8, "retries": 1}
    async with broker.client.follow(schemas.Events(since=time.time())) as flow:
        docker_engine.run(healthcheck=check)
        seen = []
        async for event in flow:
            seen.append(event)
            if event.action == "health_status":
                break
    assert seen[-1].health == "unhealthy"
    assert "canary" not in "".join(event.model_dump_json() for event in seen)


async def test_stats_are_watched_until_the_container_stops(broker: RunningBroker, docker_engine: DockerEngine) -> None:
    container = docker_engine.run("while :; do :; done")
    samples = []
    async with broker.client.follow(schemas.WatchStats(container=container.id)) as flow:
        async for sample in flow:
            samples.append(sample)
            if len(samples) == 2:
                await broker.client.ask(schemas.Stop(container=container.id, grace_s=0))
        assert flow.why == "ended"
    assert samples[1].cpu_percent is not None
    assert samples[1].cpu_percent > 0


# -- an engine that comes and goes ------------------------------------------------------------------------------------


async def test_broker_outlives_its_engine(
    start_broker: Callable[..., RunningBroker], own_docker_engine: DockerEngine
) -> None:
    broker = start_broker(own_docker_engine.url)
    container = own_docker_engine.run(restart_policy={"Name": "always"})
    async with (
        broker.client.follow(schemas.Events()) as events,
        broker.client.follow(schemas.Logs(container=container.id, follow=True)) as logs,
        broker.client.follow(schemas.WatchStats(container=container.id)) as stats,
    ):
        assert (await anext(stats)).container == container.id
        own_docker_engine.kill()
        assert [event async for event in events] == []
        assert events.why == "engine-lost"
        assert [item async for item in logs] == []
        assert logs.why == "engine-lost"
        assert [sample.container async for sample in stats] in ([], [container.id])
        assert stats.why == "engine-lost"
    with pytest.raises(EngineUnavailable):
        await broker.client.ask(schemas.List())
    with pytest.raises(EngineUnavailable):
        await broker.client.ask(schemas.Stop(container=container.id))
    with pytest.raises(EngineUnavailable):
        async with broker.client.follow(schemas.Events()) as events:
            await anext(events)
    own_docker_engine.start()
    (found,) = (await broker.client.ask(schemas.List())).containers
    assert found.id == container.id
    container.wait_for(Running=True)


async def test_engine_that_hangs_keeps_nobody_waiting_for_ever(
    start_broker: Callable[..., RunningBroker], own_docker_engine: DockerEngine
) -> None:
    broker = start_broker(own_docker_engine.url)
    assert (await broker.client.ask(schemas.List())).containers == ()
    own_docker_engine.pause()
    with pytest.raises(BrokerUnavailable, match="no answer within"):
        await Broker(broker.path, answer_s=0.5).ask(schemas.List())
    own_docker_engine.resume()
    assert (await broker.client.ask(schemas.List())).containers == ()


async def test_broker_started_before_its_engine_finds_it(
    start_broker: Callable[..., RunningBroker], own_docker_engine: DockerEngine
) -> None:
    own_docker_engine.kill()
    broker = start_broker(own_docker_engine.url)
    with pytest.raises(EngineUnavailable):
        await broker.client.ask(schemas.List())
    own_docker_engine.start()
    assert (await broker.client.ask(schemas.List())).containers == ()


async def test_stream_breaks_when_the_broker_dies(
    tmp_path: Path, broker_process: Callable[..., Daemon], docker_engine: DockerEngine
) -> None:
    path = tmp_path / "b.sock"
    process = broker_process(path, docker_host=docker_engine.url)
    container = docker_engine.run("echo hello; sleep 1000")
    async with Broker(path).follow(schemas.Logs(container=container.id, follow=True)) as flow:
        assert (await anext(flow)).lines[0].text == "hello"
        process.kill()
        with pytest.raises(BrokerUnavailable):
            await anext(flow)
    process.start()
    assert (await Broker(path).ask(schemas.List())).containers[0].id == container.id
