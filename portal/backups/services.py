"""Containers that must not run while data is restored in place: stopped before, started afterwards whatever happens.

A plan names them as backup.toml does: by the service's name in Compose (mail-dovecot), or by the container's own
(homeport-mail-dovecot-1). `running` turns those into containers' names; stopping and starting goes by them.

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


class ServiceUnknown(Problem):
    """A service of the plan is no container that the broker knows, or several projects have one of its name. `services`
    names those: correct backup.toml, or stop them and say so with `services_stopped`. Nothing was stopped.
    """

    status, type, title = 409, "service-unknown", "A service is not known"


class ServicesNotStopped(Problem):
    """Services must not run during this restore, and the portal has no broker to stop them. `services` names those:
    stop them and say so with `services_stopped`, or connect a broker.
    """

    status, type, title = 409, "services-not-stopped", "Services must be stopped first"


class ServiceNotStarted(Problem):
    """A container that was stopped for the restore does not run again. `services` names those; start them by hand."""

    status, type, title = 502, "service-not-started", "A service does not run again"


class Services:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def running(self, services: Sequence[str], *, are_stopped: bool = False) -> list[str]:
        """Given services of a plan, return the names of those of their containers that run now.

        are_stopped  somebody says that they have stopped what we cannot stop: what is not known is passed over
        raises       ServicesNotStopped where the portal has no broker, ServiceUnknown, a BrokerProblem
        """
        if not self._broker.is_configured:
            if services and not are_stopped:
                raise ServicesNotStopped(f"this portal has no broker to stop {', '.join(services)}", services=services)
            return []
        listed = (await self._broker.ask(List())).containers
        found = {service: _containers(service, listed) for service in dict.fromkeys(services)}
        unknown = {service: why for service, each in found.items() if (why := _why_unknown(each))}
        if unknown and not are_stopped:
            said = "; ".join(f"{service}: {why}" for service, why in unknown.items())
            raise ServiceUnknown(f"{said}. Nothing was stopped", services=list(unknown))
        known = [each for service, each in found.items() if service not in unknown]
        return list(dict.fromkeys(one.name for each in known for one in each if one.state in UP))

    async def stop(self, names: Sequence[str], reason: str, actor: Actor, progress: Progress) -> None:
        """Stop each container. Raise ServiceUnknown when one is not there, a BrokerProblem at the first that does not
        stop; those before it are stopped then.
        """
        found = await self._named(names)
        if gone := [name for name in names if name not in found]:
            raise ServiceUnknown(f"not there any more: {', '.join(gone)}. Nothing was stopped", services=gone)
        for name in names:
            if found[name].state not in UP:
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
        found: dict[str, Container] = {}
        try:
            found = await self._named(names)
            failed = {name: "there is no such container any more" for name in names if name not in found}
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


def _containers(service: str, listed: Sequence[Container]) -> list[Container]:
    """The container of this very name, of which the engine has one at most; else those of the service of this name."""
    named = [container for container in listed if container.name == service]
    return named or [container for container in listed if container.service == service]


def _why_unknown(found: Sequence[Container]) -> str:
    """ "" when it is clear which containers are meant: one, or the several of one project's service."""
    if not found:
        return "no container has this name or this service's name"
    if len({container.project for container in found}) > 1:
        return f"several projects have it ({', '.join(container.name for container in found)}); name the container"
    return ""
