"""The engine's containers as this portal knows them: a list that the event stream keeps true.

    picture.begin() ... picture.close()
    picture.containers()        # now, without asking anybody

One task holds the broker's event stream. Whenever the stream begins, everything is listed anew, *after* the stream was
opened, so that nothing falls between the two; then each event renews the one container it is about. A full look every
RELIST_S corrects what an event could not say. While broker or engine are silent the last picture stays, with its time,
and the stream is tried again, at first after 1 s, later every 15 s. It goes on from the last event that was heard, also
when it was cut off; what is heard a second time is no second death.

Another task measures all running containers every SAMPLE_S and keeps KEPT_SAMPLES of each.

Everything runs on the event loop that called `begin`. Whoever wants to hear of changes gives `on_event`, `on_change`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from kit.clock import Clock
from kit.logging import get_logger
from portal.broker import schemas
from portal.broker.client import Broker, Flow
from portal.broker.failures import BrokerProblem, NoSuchContainer
from portal.containers.trouble import Trouble, Troubles

log = get_logger()

RELIST_S = 60.0
RETRY_S = (1.0, 2.0, 5.0, 15.0)
SAMPLE_S = 10.0
KEPT_SAMPLES = 180  # half an hour
REPEATED = 1024  # what a new stream may repeat: the engine remembers 256 events (moby, daemon/events)
EARLIER_S = 1e-6  # a float does not hold the engine's nanoseconds: rather heard twice than missed

# What makes a container look different from before.
CHANGING = frozenset(
    {"create", "start", "restart", "stop", "die", "oom", "pause", "unpause", "rename", "update", "health_status"}
)


@dataclass(frozen=True, slots=True)
class EngineState:
    """since: when it became so, seconds since the epoch."""

    state: Literal["connected", "not-configured", "silent"]
    since: float | None
    detail: str


class Picture:
    def __init__(
        self,
        broker: Broker,
        clock: Clock,
        *,
        on_event: Callable[[schemas.Event], Awaitable[bool]],
        on_change: Callable[[str | None], None],
    ) -> None:
        """
        on_event    is awaited for every event, in order, before the next is read; returns whether it has told of it,
                    so that nobody is woken a second time by `on_change`
        on_change   is called with the name of a container that looks different now, or None for all
        """
        self._broker, self._clock = broker, clock
        self._on_event, self._on_change = on_event, on_change
        self._containers: dict[str, schemas.Container] = {}
        self._samples: dict[str, deque[schemas.Sample]] = {}
        self._troubles = Troubles()
        self._since: float | None = None  # from where a new stream goes on
        self._noted: deque[tuple[str, str, int]] = deque(maxlen=REPEATED)
        self._tasks: list[asyncio.Task[None]] = []
        self._first_look = asyncio.Event()
        self.measured_at: float | None = None
        self.engine = EngineState("not-configured", None, "")

    def begin(self) -> None:
        if self._broker.is_configured:
            self.engine = EngineState("silent", self._clock.now(), "not asked yet")
            self._tasks = [asyncio.create_task(self._watch()), asyncio.create_task(self._measure())]
        else:
            self._first_look.set()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def ready(self) -> None:
        """Return when there was a first answer, or a first refusal."""
        await self._first_look.wait()

    # -- what it shows ------------------------------------------------------------------------------------------------

    def containers(self) -> list[schemas.Container]:
        return sorted(self._containers.values(), key=lambda each: (each.stack, each.service, each.name, each.id))

    def named(self, name: str) -> schemas.Container | None:
        return next((each for each in self._containers.values() if each.name == name), None)

    def has(self, container_id: str) -> bool:
        return container_id in self._containers

    def trouble(self, container: schemas.Container) -> tuple[Trouble, ...]:
        return self._troubles.of(container, self._clock.now())

    def samples(self, container_id: str) -> list[schemas.Sample]:
        return list(self._samples.get(container_id, ()))

    def last_two(self, container_id: str) -> tuple[schemas.Sample | None, schemas.Sample | None]:
        """The newest sample, and the one before it."""
        kept = self._samples.get(container_id)
        return (kept[-1] if kept else None, kept[-2] if kept and len(kept) > 1 else None)

    # -- keeping it true ----------------------------------------------------------------------------------------------

    async def look(self, container_id: str) -> schemas.Details | None:
        """Ask how one container is; None when it is gone. Raise a BrokerProblem."""
        details, changed = await self._look(container_id)
        if changed is not None:
            self._on_change(changed)
        return details

    async def _look(self, container_id: str) -> tuple[schemas.Details | None, str | None]:
        """How it is, and the name of what looks different now."""
        try:
            details = await self._broker.ask(schemas.Inspect(container=container_id))
        except NoSuchContainer:
            return None, self._drop(container_id)
        return details, self._take(details)

    async def _watch(self) -> None:
        failures = 0
        while True:
            try:
                async with self._broker.follow(schemas.Events(since=self._since)) as events:
                    await self._list()
                    self._since = self._since or self.measured_at
                    failures = 0
                    self._say("connected", "")
                    await self._follow(events)
                    self._say("silent", f"the engine has ended its event stream ({events.why})")
            except BrokerProblem as problem:
                self._say("silent", problem.detail or problem.title)
            except Exception:  # the edge of a loop that must not end: what it did not expect is tried again too
                log.exception("containers_watch_failed")
            self._first_look.set()
            await asyncio.sleep(RETRY_S[min(failures, len(RETRY_S) - 1)])
            failures += 1

    async def _follow(self, events: Flow[schemas.Event]) -> None:
        """Hear every event until the stream ends. Look at everything at times."""
        loop = asyncio.get_running_loop()
        relist_at = loop.time() + RELIST_S  # a deadline: an engine that is never quiet is looked at too
        heard: asyncio.Task[schemas.Event] | None = None
        try:
            while True:
                heard = heard or asyncio.ensure_future(anext(events))
                await asyncio.wait([heard], timeout=max(0.0, relist_at - loop.time()))
                if heard.done():
                    event, heard = heard.result(), None
                    self._since = event.at - EARLIER_S
                    await self._hear(event)
                if loop.time() >= relist_at:
                    await self._list()
                    relist_at = loop.time() + RELIST_S
        except StopAsyncIteration:
            return
        finally:
            if heard is not None:
                heard.cancel()
                with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration, BrokerProblem):
                    await heard

    async def _list(self) -> None:
        listed = await self._broker.ask(schemas.List())
        ids = {container.id for container in listed.containers}
        self._containers = {container.id: container for container in listed.containers}
        self._troubles.forget_others(ids)
        self._samples = {container: samples for container, samples in self._samples.items() if container in ids}
        for container in listed.containers:
            self._troubles.look(container, self._clock.now())
        self.measured_at = listed.measured_at
        self._first_look.set()
        self._on_change(None)

    async def _hear(self, event: schemas.Event) -> None:
        noted = (event.container, event.action, event.at_ns)
        if noted not in self._noted:
            self._noted.append(noted)
            self._troubles.hear(event)
        changed = None
        if event.action == "destroy":
            changed = self._drop(event.container)
        elif event.action in CHANGING:
            _, changed = await self._look(event.container)
        self.measured_at = self._clock.now()
        if not await self._on_event(event) and changed is not None:
            self._on_change(changed)

    def _take(self, details: schemas.Details) -> str | None:
        """Remember how it is; return its name when it looks different now."""
        container = schemas.Container.model_validate(details.model_dump(include=set(schemas.Container.model_fields)))
        changed = self._containers.get(container.id) != container
        self._containers[container.id] = container
        self._troubles.look(container, self._clock.now())
        return container.name if changed else None

    def _drop(self, container_id: str) -> str | None:
        """Forget it; return its name if it was known."""
        self._samples.pop(container_id, None)
        gone = self._containers.pop(container_id, None)
        return None if gone is None else gone.name

    def _say(self, state: Literal["connected", "silent"], detail: str) -> None:
        if self.engine.state != state:
            log.info("containers_engine", state=state, detail=detail)
            self.engine = EngineState(state, self._clock.now(), detail)
            self._on_change(None)

    async def _measure(self) -> None:
        while True:
            running = [each.id for each in self._containers.values() if each.state == "running"]
            try:
                for start in range(0, len(running), schemas.MAX_TARGETS):
                    ids = tuple(running[start : start + schemas.MAX_TARGETS])
                    self._keep((await self._broker.ask(schemas.Stats(containers=ids))).samples)
            except BrokerProblem as problem:
                log.debug("containers_not_measured", problem=problem.type)
            except Exception:  # the edge of a loop that must not end
                log.exception("containers_measure_failed")
            await asyncio.sleep(SAMPLE_S if running else RETRY_S[0])

    def _keep(self, samples: tuple[schemas.Sample, ...]) -> None:
        for sample in samples:
            if sample.container in self._containers:
                self._samples.setdefault(sample.container, deque(maxlen=KEPT_SAMPLES)).append(sample)
