"""Events for whoever watches: one multiplexed stream per browser tab, resumable, in bounded memory.

    hub.publish("operations", {"id": operation.id, "state": "done"})
    async for event in hub.subscribe(last_event_id=header, role=actor.role): ...

There is one backlog: the newest MAX_EVENTS events, or MAX_BYTES of them. A subscription is only a position in it, so a
reader that does not read costs nothing, and a thousand of them cost as much as the backlog. A reader who falls behind
the backlog is told so and goes on at the present.

An event id is `<hub>-<number>`, where `<hub>` is new with every start of the portal. Whatever a client sends as
`Last-Event-ID` either names an event of this hub that can be continued after, without a gap and without a repetition,
or means "from now on". Each stream begins, and after a gap goes on, with an event on the topic READY whose
data is `{"resumed": true | false}`: false says that what is shown has to be fetched again.

Belongs to one event loop. `publish` and `close` are called on it, never from a thread.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections import deque
from collections.abc import AsyncIterator
from typing import NamedTuple

from kit.problem import Problem
from portal.actor import Role

READY = "ready"
MAX_EVENTS = 4096
MAX_BYTES = 4 * 1024**2  # of data: what a busy minute may produce
MAX_SUBSCRIPTIONS = 2000
PASSED_OVER = 64  # events that a reader may not see, after which it lets others have the loop

_ID = re.compile(r"([0-9a-f]{8})-([0-9]{1,15})", re.ASCII)
_TOPIC = re.compile(r"[a-z][a-z0-9_]{0,39}")


class TooManyStreams(Problem):
    """As many event streams are open as the portal serves."""

    status, type, title = 503, "too-many-streams", "Too many event streams"


class Event(NamedTuple):
    """
    number   counts up by one; 0 is before the first
    topic    the name of the event on the stream, such as "operations"
    data     one JSON document
    role     the least that a reader has to be
    """

    number: int
    topic: str
    data: str
    role: Role


class Hub:
    def __init__(self, *, max_events: int = MAX_EVENTS, max_bytes: int = MAX_BYTES) -> None:
        self._name = secrets.token_hex(4)
        self._max_events, self._max_bytes = max_events, max_bytes
        self._backlog: deque[Event] = deque()
        self._bytes = 0
        self._number = 0
        self._news = asyncio.Event()
        self._subscriptions = 0
        self._closed = asyncio.Event()

    def publish(self, topic: str, data: object, *, role: Role = Role.VIEWER) -> None:
        """Tell all who watch.

        topic   [a-z][a-z0-9_]*, a constant of the caller
        data    anything JSON can hold; what it cannot becomes text. Raise ValueError for NaN, which no browser reads
        role    who may see it
        """
        if not _TOPIC.fullmatch(topic) or topic == READY:
            raise ValueError(f"{topic!r} is no topic")
        # ASCII: one byte a character, and no lone surrogate that could break the stream
        document = json.dumps(data, separators=(",", ":"), default=str, allow_nan=False)
        self._number += 1
        self._backlog.append(Event(self._number, topic, document, role))
        self._bytes += len(document)
        while len(self._backlog) > self._max_events or (self._bytes > self._max_bytes and len(self._backlog) > 1):
            self._bytes -= len(self._backlog.popleft().data)
        self._wake()

    def subscribe(self, *, last_event_id: str | None = None, role: Role | None = Role.VIEWER) -> Subscription:
        """
        last_event_id   as a client sent it; anything but an id of this hub means "from now on"
        role            of whoever reads; events that need more are passed over
        raises          TooManyStreams
        """
        if self._subscriptions >= MAX_SUBSCRIPTIONS:
            raise TooManyStreams(headers={"Retry-After": "5"})
        return Subscription(self, self._position(last_event_id), role)

    def close(self) -> None:
        """End every stream, and each that begins from now on. When the server begins to stop: it waits for them."""
        self._closed.set()
        self._wake()

    @property
    def is_closed(self) -> bool:
        return self._closed.is_set()

    async def closed(self) -> None:
        """Return when the hub is closed: for streams that wait for something else meanwhile."""
        await self._closed.wait()

    @property
    def number(self) -> int:
        """Of the last event; 0 before the first."""
        return self._number

    @property
    def subscriptions(self) -> int:
        return self._subscriptions

    @property
    def backlog_bytes(self) -> int:
        return self._bytes

    def id_of(self, number: int) -> str:
        return f"{self._name}-{number}"

    def _position(self, last_event_id: str | None) -> int | None:
        """The number after which to go on, or None for "from now on"."""
        match = _ID.fullmatch(last_event_id or "")
        if not match or match[1] != self._name:
            return None
        number = int(match[2])
        return number if self._oldest() - 1 <= number <= self._number else None

    def _oldest(self) -> int:
        """The number of the oldest event that is still there; of the next one when there is none."""
        return self._number - len(self._backlog) + 1

    def _event(self, number: int) -> Event:
        return self._backlog[number - self._oldest()]

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


class Received(NamedTuple):
    """An event as a reader gets it."""

    id: str
    topic: str
    data: str


class Subscription:
    """One reader's position. An asynchronous iterator that ends when the hub is closed; `close` it at the end."""

    def __init__(self, hub: Hub, position: int | None, role: Role | None) -> None:
        self._hub = hub
        self._role = role
        self._is_open = True
        self._is_resumed = position is not None
        self._is_greeted = False
        self._at = hub._number if position is None else position
        hub._subscriptions += 1

    def close(self) -> None:
        """Leave. May be called twice."""
        if self._is_open:
            self._is_open = False
            self._hub._subscriptions -= 1

    async def __aiter__(self) -> AsyncIterator[Received]:
        while (received := await self.next()) is not None:
            yield received

    async def next(self, *, timeout_s: float | None = None) -> Received | None:
        """Return the next event, or None when the hub is closed. Raise TimeoutError when there was none in time."""
        passed_over = 0
        async with asyncio.timeout(timeout_s):
            while self._is_open and not self._hub.is_closed:
                if not self._is_greeted:
                    self._is_greeted = True
                    return self._ready_event(is_resumed=self._is_resumed)
                if self._at < self._hub._oldest() - 1:  # what came next has been dropped
                    self._at = self._hub._number
                    return self._ready_event(is_resumed=False)
                if self._at == self._hub._number:
                    await self._hub._news.wait()
                    continue
                self._at += 1
                event = self._hub._event(self._at)
                if self._role is not None and self._role.includes(event.role):
                    return Received(self._hub.id_of(event.number), event.topic, event.data)
                passed_over += 1
                if passed_over % PASSED_OVER == 0:
                    await asyncio.sleep(0)
        return None

    def _ready_event(self, *, is_resumed: bool) -> Received:
        return Received(self._hub.id_of(self._at), READY, json.dumps({"resumed": is_resumed}))
