"""Containers that must not run while data is restored in place: stopped before, started afterwards whatever happens.

What makes them fit to be stopped was confirmed for the whole restore: the point's id typed, a fresh factor. So a
protected one is stopped with the restore as its reason, which the broker writes into its own audit.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from kit.logging import get_logger
from kit.problem import Problem
from portal.actor import Actor
from portal.broker.client import Broker
from portal.broker.failures import BrokerProblem
from portal.broker.schemas import Container, List, Override, Start, Stop
from portal.operations.progress import Progress

log = get_logger()

GRACE_S = 60  # a database writes what it holds in memory
UP = frozenset({"running", "restarting", "paused"})


class ServiceNotStarted(Problem):
    """A container that was stopped for the restore does not run again. `services` names those; start them by hand."""

    status, type, title = 502, "service-not-started", "A service does not run again"


class Services:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def running(self, names: Sequence[str]) -> list[str]:
        """Those of the named containers that run now; none where the portal has no broker. Raise a BrokerProblem."""
        if not self._broker.is_configured:
            return []
        found = await self._named(names)
        return [name for name in dict.fromkeys(names) if name in found and found[name].state in UP]

    async def stop(self, names: Sequence[str], reason: str, actor: Actor, progress: Progress) -> None:
        """Stop each. Raise a BrokerProblem at the first that does not; those before it are stopped then."""
        found = await self._named(names)
        for name in names:
            if name not in found or found[name].state not in UP:
                continue
            progress.note(f"stopping {name}")
            request = Stop(
                container=found[name].id,
                grace_s=GRACE_S,
                override=Override(reason=reason[:200]),
                caller=actor.name[:200],
                request_id=actor.request_id[:64],
            )
            await self._to_its_end(request)

    async def start(self, names: Sequence[str], actor: Actor, progress: Progress | None) -> None:
        """Start each that does not run, those that were stopped last first. Raise ServiceNotStarted."""
        failed: dict[str, str] = {}
        found: dict[str, Container] = {}
        try:
            found = await self._named(names)
        except BrokerProblem as problem:
            failed = dict.fromkeys(names, problem.detail or problem.title)
        for name in reversed(names):
            if name not in found or found[name].state == "running":
                continue
            if progress is not None:
                progress.note(f"starting {name}")
            request = Start(container=found[name].id, caller=actor.name[:200], request_id=actor.request_id[:64])
            try:
                await self._broker.ask(request)
            except BrokerProblem as problem:
                log.warning("service_not_started", name=name, problem=problem.type)
                failed[name] = problem.detail or problem.title
        if failed:
            said = "; ".join(f"{name}: {why}" for name, why in failed.items())
            raise ServiceNotStarted(said, services=sorted(failed))

    async def _to_its_end(self, request: Stop) -> None:
        """Ask, and be there when it has happened, also when cancelled: a start that overtook the stop would be lost."""
        asking = asyncio.ensure_future(self._broker.ask(request))
        try:
            await asyncio.shield(asking)
        except asyncio.CancelledError:
            with contextlib.suppress(BrokerProblem):
                await asking
            raise

    async def _named(self, names: Sequence[str]) -> dict[str, Container]:
        listed = await self._broker.ask(List())
        return {container.name: container for container in listed.containers if container.name in names}
