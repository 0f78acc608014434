"""The hub: what a reader gets, whatever it sends as its last id and however slow it is; what a thousand cost."""

from __future__ import annotations

import asyncio
import json
import tracemalloc

import pytest

from portal.actor import Role
from portal.operations import hub as hub_module
from portal.operations.hub import READY, Hub, Received, Subscription, TooManyStreams

HOSTILE_IDS = [
    "null",
    "undefined",
    "",
    " ",
    "-1",
    "0",
    "1",
    "00000000-1",
    "zzzzzzzz-1",
    "x" * 5000,
    "\0",
    "1\n2",
    "\u0661-\u0662",
]
GAP, RESUMED = {"resumed": False}, {"resumed": True}


async def take(subscription: Subscription, count: int) -> list[Received]:
    taken = []
    for _ in range(count):
        received = await subscription.next(timeout_s=10)
        assert received is not None
        taken.append(received)
    return taken


async def numbers(subscription: Subscription, count: int) -> list[int]:
    return [json.loads(each.data)["n"] for each in await take(subscription, count)]


async def ready(subscription: Subscription) -> object:
    [first] = await take(subscription, 1)
    assert first.topic == READY
    return json.loads(first.data)


async def nothing_more(subscription: Subscription) -> None:
    with pytest.raises(TimeoutError):
        await subscription.next(timeout_s=0.001)


async def test_reader_gets_each_event_once_and_in_order(hub: Hub) -> None:
    hub.publish("numbers", {"n": 0})  # before it came
    subscription = hub.subscribe()
    assert await ready(subscription) == GAP
    for number in range(1, 4):
        hub.publish("numbers", {"n": number})
    assert await numbers(subscription, 3) == [1, 2, 3]
    await nothing_more(subscription)


@pytest.mark.parametrize("seen", range(6))
async def test_reader_that_comes_back_loses_nothing_and_gets_nothing_twice(hub: Hub, seen: int) -> None:
    first = hub.subscribe()
    for number in range(5):
        hub.publish("numbers", {"n": number})
    last = (await take(first, seen + 1))[-1]  # the greeting has an id too
    first.close()
    hub.publish("numbers", {"n": 5})

    second = hub.subscribe(last_event_id=last.id)
    assert await ready(second) == RESUMED
    assert await numbers(second, 6 - seen) == list(range(seen, 6))
    await nothing_more(second)


@pytest.mark.parametrize("last_event_id", [None, *HOSTILE_IDS], ids=repr)
async def test_id_that_is_none_of_ours_means_from_now_on(hub: Hub, last_event_id: str | None) -> None:
    hub.publish("numbers", {"n": 0})
    subscription = hub.subscribe(last_event_id=last_event_id)
    assert await ready(subscription) == GAP
    await nothing_more(subscription)
    hub.publish("numbers", {"n": 1})
    assert await numbers(subscription, 1) == [1]


@pytest.mark.parametrize("number", [2, 999_999_999_999_999, 10**15])
async def test_id_from_the_future_means_from_now_on(hub: Hub, number: int) -> None:
    hub.publish("numbers", {"n": 0})
    assert await ready(hub.subscribe(last_event_id=hub.id_of(number))) == GAP


async def test_id_of_an_earlier_start_means_from_now_on(hub: Hub) -> None:
    earlier = Hub()
    for each in (earlier, hub):
        each.publish("numbers", {"n": 0})
    assert await ready(hub.subscribe(last_event_id=earlier.id_of(1))) == GAP


async def test_id_whose_followers_are_dropped_means_from_now_on() -> None:
    hub = Hub(max_events=3)
    for number in range(1, 6):
        hub.publish("numbers", {"n": number})
    assert await ready(hub.subscribe(last_event_id=hub.id_of(1))) == GAP
    subscription = hub.subscribe(last_event_id=hub.id_of(2))  # the oldest that can be continued after
    assert await ready(subscription) == RESUMED
    assert await numbers(subscription, 3) == [3, 4, 5]


async def test_reader_that_falls_behind_is_told_and_goes_on_at_the_present() -> None:
    hub = Hub(max_events=10)
    subscription = hub.subscribe()
    await ready(subscription)
    for number in range(100):
        hub.publish("numbers", {"n": number})
    assert await ready(subscription) == GAP
    hub.publish("numbers", {"n": 100})
    assert await numbers(subscription, 1) == [100]


async def test_backlog_is_bounded_by_bytes_too() -> None:
    hub = Hub(max_bytes=100_000)
    subscription = hub.subscribe()
    for _ in range(1000):
        hub.publish("numbers", {"text": "x" * 10_000})
    assert hub.backlog_bytes <= 100_000
    hub.publish("numbers", {"text": "x" * 200_000})  # one that is larger than all is kept alone
    assert hub.backlog_bytes > 200_000
    hub.publish("numbers", {"n": 1})
    assert hub.backlog_bytes < 100
    subscription.close()


async def test_event_is_shown_to_its_roles_only(hub: Hub) -> None:
    readers = {role: hub.subscribe(role=role) for role in (Role.ADMIN, Role.VIEWER, None)}
    for reader in readers.values():
        await ready(reader)
    hub.publish("users", {"n": 1}, role=Role.ADMIN)
    hub.publish("operations", {"n": 2})
    assert await numbers(readers[Role.ADMIN], 2) == [1, 2]
    assert await numbers(readers[Role.VIEWER], 1) == [2]
    await nothing_more(readers[None])


async def test_reader_who_may_see_nothing_does_not_hold_the_loop(hub: Hub) -> None:
    subscription = hub.subscribe(role=Role.VIEWER)
    await ready(subscription)
    for number in range(1000):
        hub.publish("users", {"n": number}, role=Role.ADMIN)
    reading = asyncio.create_task(subscription.next())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert subscription._at < 1000  # it has let us in meanwhile
    hub.close()
    assert await reading is None


async def test_hub_that_is_closed_ends_every_stream(hub: Hub) -> None:
    waiting = hub.subscribe()
    await ready(waiting)
    reading = asyncio.create_task(waiting.next())
    await asyncio.sleep(0)
    hub.close()
    assert await reading is None
    assert [each async for each in hub.subscribe()] == []


async def test_streams_are_counted_and_limited(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "MAX_SUBSCRIPTIONS", 2)
    first, _second = hub.subscribe(), hub.subscribe()
    with pytest.raises(TooManyStreams):
        hub.subscribe()
    first.close()
    first.close()
    assert hub.subscriptions == 1
    hub.subscribe()


@pytest.mark.parametrize("data", [{"t": "\ud800\0\r\n\u2028</script>"}, {"o": object()}, "text", None, {"n": 2**70}])
async def test_strange_data_stays_one_line_of_json(hub: Hub, data: object) -> None:
    subscription = hub.subscribe()
    await ready(subscription)
    hub.publish("numbers", data)
    [received] = await take(subscription, 1)
    json.loads(received.data)
    assert received.data.isascii()
    assert received.data.isprintable()


@pytest.mark.parametrize("topic", ["", READY, "a b", "a\nb", "A", "x" * 41])
def test_topic_is_a_constant_of_ours(hub: Hub, topic: str) -> None:
    with pytest.raises(ValueError, match="topic"):
        hub.publish(topic, {})


async def test_a_thousand_readers_cost_little_and_get_everything(hub: Hub) -> None:
    async def read(subscription: Subscription) -> int:
        await ready(subscription)
        return sum(await numbers(subscription, 200))

    tracemalloc.start()
    subscriptions = [hub.subscribe() for _ in range(1000)]
    before, _ = tracemalloc.get_traced_memory()
    silent = [hub.subscribe() for _ in range(900)]  # who never read
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (after - before) / len(silent) < 1024

    readers = [asyncio.create_task(read(each)) for each in subscriptions]
    for number in range(200):
        hub.publish("numbers", {"n": number})
        if number % 20 == 0:
            await asyncio.sleep(0)
    assert set(await asyncio.gather(*readers)) == {sum(range(200))}
