"""The rules of the containers room: what is shown, who may end what, what is remembered.

    room = Containers.of(broker, db, hub, runner, clock, state_dir)
    room.begin() ... await room.close()

Every act is an operation: recorded before it begins, one per container at a time. A stop or restart of a protected
container is confirmed first (name typed, reason given, fresh factor); the broker asks for the reason again by itself.
Each event of the engine becomes a row of the timeline and, on the hub's topic "containers", news for whoever watches.
When a container is being ended its newest log lines are put aside (log_store.py).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from kit.clock import Clock, now_utc
from kit.logging import get_logger
from kit.problem import Problem
from portal.actor import Actor
from portal.broker import schemas as broker_schemas
from portal.broker.client import Broker
from portal.broker.failures import BrokerProblem, ContainerProtected, EngineUnavailable, NoSuchContainer
from portal.broker.schemas import Container, Details, Event, LogLine, Logs, Override, Restart, Start, Stop
from portal.containers.dependence import uses_of
from portal.containers.log_store import Kept, LogStore
from portal.containers.models import ContainerEventRow
from portal.containers.picture import Picture
from portal.containers.probes import StoppedProbe, TroubleProbe
from portal.containers.schemas import ActOn, BulkResult
from portal.containers.shared import Shared
from portal.db import Database
from portal.operations.hub import Hub
from portal.operations.progress import Progress
from portal.operations.records import Filter, Inverse, Operation, Outcome, State
from portal.operations.recovery import Finding
from portal.operations.runner import Runner
from portal.operations.schemas import OperationView
from portal.probes import Probe, Use

log = get_logger()

TOPIC = "containers"
EVENT_DAYS = 90
ACT_S = 60.0  # beyond the grace: for the engine to do it
FIRST_LINES = 5000  # put aside of a container that was not known before
MOST_LINES = 20_000  # put aside at once
SWEEP_S = 300.0
ENDING = frozenset({"kill", "die"})

_COLUMNS = {"name": 255, "stack": 64, "service": 255, "image": 255, "signal": 16}


class ReasonRequired(Problem):
    """The container is protected: say why it must go down. `used_by` says what goes with it."""

    status, type, title = 403, "reason-required", "Reason required"


class ContainerNotRunning(Problem):
    """It was started, and has ended again at once. Its log says why."""

    status, type, title = 409, "container-not-running", "Container does not run"


Confirm = Callable[[Container], None]  # raises unless whoever asks has confirmed an act on this protected container


@dataclass(frozen=True, slots=True)
class Log:
    """Lines, oldest first, and whether there are older ones."""

    lines: list[LogLine]
    is_truncated: bool


class Containers:
    def __init__(
        self, broker: Broker, database: Database, hub: Hub, runner: Runner, clock: Clock, log_store: LogStore
    ) -> None:
        self._broker, self._database, self._hub, self._runner = broker, database, hub, runner
        self._clock = clock
        self._log_store = log_store
        self.shared_list = Shared(hub, clock)
        self.picture = Picture(broker, clock, on_event=self._heard, on_change=self._changed)
        self.probes: tuple[Probe, ...] = (TroubleProbe(self.picture), StoppedProbe(self.picture))
        self._to_keep: asyncio.Queue[tuple[str, float | None]] = asyncio.Queue()  # id, and when it was removed
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    def of(
        cls, broker: Broker, database: Database, hub: Hub, runner: Runner, clock: Clock, state_dir: Path
    ) -> Containers:
        return cls(broker, database, hub, runner, clock, LogStore(state_dir / "container-logs"))

    def begin(self) -> None:
        """Register the re-checks and start watching. Before `runner.recover`."""
        self._runner.recheck("containers:start", self._was_started)
        self._runner.recheck("containers:stop", self._was_stopped)
        self._runner.recheck("containers:restart", self._was_restarted)
        self.picture.begin()
        self._tasks = [asyncio.create_task(self._keep_logs()), asyncio.create_task(self._sweep())]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self.picture.close()

    # -- looking ------------------------------------------------------------------------------------------------------

    async def find(self, name: str) -> Details:
        """Return how a container of this name is now. Raise NoSuchContainer, or what the broker says."""
        await self.picture.ready()
        container = self.picture.named(name)
        if container is None:
            if self.picture.engine.state != "connected":
                await self._broker.ask(broker_schemas.List())  # says why nothing is known
            raise NoSuchContainer(f"no container is called {name}")
        details = await self.picture.look(container.id)
        if details is None:
            raise NoSuchContainer(f"{name} has just been removed")
        return details

    async def running_operations(self) -> Mapping[str, str]:
        """Container's name -> id of the operation that holds it."""
        running = await self._runner.find(Filter(state=State.RUNNING), limit=200)
        return {each.target: each.id for each in running if each.act.startswith("containers:")}

    async def events(self, name: str | None, *, limit: int) -> list[ContainerEventRow]:
        """The newest events, of one container's name or of all, newest first."""

        def read(session: Session) -> list[ContainerEventRow]:
            rows = select(ContainerEventRow).order_by(ContainerEventRow.at.desc(), ContainerEventRow.id.desc())
            return list(session.scalars((rows.where(ContainerEventRow.name == name) if name else rows).limit(limit)))

        return await self._database.read(read)

    async def used_by(self, kind: str, name: str) -> Sequence[Use]:
        """Implements probes.UsedBy. Raise EngineUnavailable while nothing is known of any container."""
        await self.picture.ready()
        if kind != "container" or self.picture.engine.state == "not-configured":
            return ()
        if self.picture.measured_at is None:
            raise EngineUnavailable(self.picture.engine.detail)
        container = self.picture.named(name)
        return uses_of(container, self.picture.containers()) if container else ()

    # -- logs ---------------------------------------------------------------------------------------------------------

    async def log(self, name: str, *, tail: int, since: float | None, until: float | None) -> Log:
        """Return at most `tail` of the newest lines in the given time."""
        container = await self.find(name)
        # the engine counts its tail from the log's end, also when the time ends earlier: then we count ourselves
        request = Logs(container=container.id, tail=tail + 1 if until is None else None, since=since, until=until)
        newest: deque[LogLine] = deque(maxlen=tail + 1)
        async with self._broker.follow(request) as flow:
            async for item in flow:
                newest.extend(item.lines)
        lines = list(newest)
        return Log(lines[-tail:] if tail else [], len(lines) > tail)

    async def kept_logs(self) -> list[Kept]:
        """The containers that are gone and whose lines are kept, newest first.

        Before the engine's first word only those whose removal was heard: of the others nobody knows yet.
        """
        await self.picture.ready()
        found = await asyncio.to_thread(self._log_store.all)
        is_known = self.picture.measured_at is not None
        return [each for each in found if (is_known or each.removed_at) and not self.picture.has(each.id)]

    async def kept_log(self, container_id: str) -> list[LogLine]:
        """The kept lines of a container. Raise NoSuchContainer."""
        lines = await asyncio.to_thread(self._log_store.lines, container_id)
        if lines is None:
            raise NoSuchContainer("nothing is kept of a container of this id")
        return lines

    # -- acting -------------------------------------------------------------------------------------------------------

    async def start(self, actor: Actor, name: str) -> Operation:
        container = await self.find(name)
        request = Start(container=container.id, caller=actor.name[:200], request_id=actor.request_id[:64])

        async def work(progress: Progress) -> dict[str, Any]:
            progress.note("starting")
            return self._runs(await self._broker.ask(request), progress)

        inverse = Inverse("containers:stop", name)
        return await self._runner.start(actor, "containers:start", name, work, timeout_s=ACT_S, inverse=inverse)

    async def stop(self, actor: Actor, name: str, wanted: ActOn, confirm: Confirm | None) -> Operation:
        """Stop a container. confirm: see `override`."""
        container = await self.find(name)
        override = self.override(container, wanted, confirm)
        request = Stop(
            container=container.id,
            grace_s=wanted.grace_s,
            override=override,
            caller=actor.name[:200],
            request_id=actor.request_id[:64],
        )

        async def work(progress: Progress) -> dict[str, Any]:
            progress.note(f"stopping; what has not ended after {wanted.grace_s} s is killed")
            stopped = await self._broker.ask(request)
            progress.note(f"{stopped.state}, exit code {stopped.exit_code}")
            return {"state": stopped.state, "ended_with": stopped.exit_code}

        return await self._runner.start(
            actor,
            "containers:stop",
            name,
            work,
            timeout_s=ACT_S + wanted.grace_s,
            detail=_asked(wanted),
            inverse=Inverse("containers:start", name),
        )

    async def restart(self, actor: Actor, name: str, wanted: ActOn, confirm: Confirm | None) -> Operation:
        """Restart a container. confirm: see `override`."""
        container = await self.find(name)
        override = self.override(container, wanted, confirm)
        request = Restart(
            container=container.id,
            grace_s=wanted.grace_s,
            override=override,
            caller=actor.name[:200],
            request_id=actor.request_id[:64],
        )

        async def work(progress: Progress) -> dict[str, Any]:
            progress.note(f"restarting; what has not ended after {wanted.grace_s} s is killed")
            return self._runs(await self._broker.ask(request), progress)

        return await self._runner.start(
            actor, "containers:restart", name, work, timeout_s=ACT_S + wanted.grace_s, detail=_asked(wanted)
        )

    async def each(self, names: list[str], act: Callable[[str], Any]) -> list[BulkResult]:
        """Do an act on each of the names; what one refuses keeps no other from it."""
        results = []
        for name in dict.fromkeys(names):
            try:
                operation = OperationView.of(await act(name))
                results.append(BulkResult(name=name, operation=operation, problem=None))
            except Problem as problem:
                results.append(BulkResult(name=name, operation=None, problem=problem.document()))
        return results

    def override(self, container: Container, wanted: ActOn, confirm: Confirm | None) -> Override | None:
        """None for an ordinary container; of a protected one, once it is confirmed, what the broker asks for.

        confirm   raises unless whoever asks may do this now; None where nobody can be asked, as in a bulk act
        raises    ContainerProtected, ReasonRequired, and what `confirm` raises
        """
        if container.protection is None:
            return None
        if confirm is None:
            raise ContainerProtected(f"{container.name} is protected: do it for itself", used_by=self._uses(container))
        reason = (wanted.reason or "").strip()
        if len(reason) < 3:
            raise ReasonRequired(f"{container.name} is protected", used_by=self._uses(container))
        confirm(container)
        return Override(reason=reason)

    def _uses(self, container: Container) -> list[dict[str, str]]:
        return [asdict(use) for use in uses_of(container, self.picture.containers())]

    def _runs(self, container: Container, progress: Progress) -> dict[str, Any]:
        progress.note(container.state)
        if container.state not in ("running", "restarting"):
            raise ContainerNotRunning(f"{container.name} is {container.state}, exit code {container.exit_code}")
        return {"state": container.state, "started_at": container.started_at}

    # -- what became of an act that a crash cut off -------------------------------------------------------------------

    async def _was_started(self, operation: Operation) -> Finding:
        container = await self._named_now(operation.target)
        return _finding(container, container is not None and container.state == "running")

    async def _was_stopped(self, operation: Operation) -> Finding:
        container = await self._named_now(operation.target)
        return _finding(container, container is not None and container.state not in ("running", "restarting", "paused"))

    async def _was_restarted(self, operation: Operation) -> Finding:
        container = await self._named_now(operation.target)
        begun = operation.started_at.timestamp()
        return _finding(container, container is not None and (container.started_at or 0) >= begun)

    async def _named_now(self, name: str) -> Container | None:
        listed = await self._broker.ask(broker_schemas.List())
        return next((container for container in listed.containers if container.name == name), None)

    # -- hearing ------------------------------------------------------------------------------------------------------

    async def _heard(self, event: Event) -> bool:
        """Keep an event, tell of it, and put a container's lines aside while they can still be had.

        returns   False for one that was told before the stream was lost
        """
        if event.action in ENDING:
            self._to_keep.put_nowait((event.container, None))
        elif event.action == "destroy":
            self._to_keep.put_nowait((event.container, event.at))  # behind its last lines, whose keeping takes longer
        try:
            await self._database.run(lambda session: session.add(_row(event)))
        except IntegrityError:
            return False
        except Problem as problem:  # the database is away: the picture must not be
            log.warning("container_event_not_kept", action=event.action, name=event.name, problem=problem.type)
        self._hub.publish(TOPIC, {"name": event.name, "action": event.action, "id": event.container})
        return True

    def _changed(self, name: str | None) -> None:
        self._hub.publish(TOPIC, {"name": name, "action": None, "id": None})

    async def _keep_logs(self) -> None:
        while True:
            container_id, removed_at = await self._to_keep.get()
            try:
                if removed_at is None:
                    await self._keep_log(container_id)
                else:
                    await asyncio.to_thread(self._log_store.mark_removed, container_id, removed_at)
                    self._changed(None)
            except NoSuchContainer:
                log.info("container_log_gone", container=container_id)
            except (BrokerProblem, OSError) as error:
                log.warning("container_log_not_kept", container=container_id, error=str(error))
            except Exception:  # the edge of a loop that must not end
                log.exception("container_log_not_kept", container=container_id)

    async def _keep_log(self, container_id: str) -> None:
        container = next((each for each in self.picture.containers() if each.id == container_id), None)
        if container is None:
            raise NoSuchContainer
        last = await asyncio.to_thread(self._log_store.last_line_at, container_id)
        since = _moment(last) - 0.001 if last else None
        lines: list[LogLine] = []
        request = Logs(container=container_id, since=since, tail=MOST_LINES if last else FIRST_LINES)
        async with self._broker.follow(request) as flow:
            async for item in flow:
                lines += [line for line in item.lines if line.at > last]
        if lines:
            await asyncio.to_thread(self._log_store.add, _kept(container, lines), lines)

    async def _sweep(self) -> None:
        """Every few minutes: put new lines aside, in case a container is removed by force; forget old events."""
        while True:
            await asyncio.sleep(SWEEP_S)
            for container in self.picture.containers():
                if container.state == "running":
                    self._to_keep.put_nowait((container.id, None))
            try:
                await self._database.run(self._forget_old_events)
            except Problem as problem:
                log.warning("container_events_not_purged", problem=problem.type)

    def _forget_old_events(self, session: Session) -> None:
        too_old = now_utc(self._clock) - timedelta(days=EVENT_DAYS)
        session.execute(delete(ContainerEventRow).where(ContainerEventRow.at < too_old))


def _asked(wanted: ActOn) -> dict[str, object]:
    return {"grace_s": wanted.grace_s} | ({"reason": wanted.reason.strip()} if wanted.reason else {})


def _finding(container: Container | None, is_so: bool) -> Finding:
    if container is None:
        return Finding(Outcome.UNKNOWN, "the container is gone")
    detail = f"the container is {container.state}"
    return Finding(Outcome.DONE if is_so else Outcome.NOT_DONE, detail)


def _row(event: Event) -> ContainerEventRow:
    texts = {name: getattr(event, name) for name in _COLUMNS}
    cut = {name: text if text is None else text[: _COLUMNS[name]] for name, text in texts.items()}
    return ContainerEventRow(
        at=datetime.fromtimestamp(event.at, UTC),
        at_ns=event.at_ns,
        action=event.action,
        container=event.container,
        exit_code=event.exit_code,
        health=event.health,
        **cut,
    )


def _kept(container: Container, lines: list[LogLine]) -> Kept:
    first_at, last_at = _moment(lines[0].at), _moment(lines[-1].at)
    return Kept(
        id=container.id,
        name=container.name,
        stack=container.stack,
        service=container.service,
        image=container.image,
        image_id=container.image_id,
        first_at=first_at,
        last_at=last_at,
        removed_at=None,
        size_bytes=0,
    )


def _moment(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()
