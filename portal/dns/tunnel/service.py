"""The tunnel's public hostnames: what there is, what is wrong with it, and changing it by plan, apply and undo.

A route and its record come and go together; so do the rules in front of the mail API. How they are changed stands in
subject.py, what a wish becomes in planning.py, what is shown in overview.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kit.clock import Clock
from kit.problem import Problem
from portal.actor import Actor
from portal.broker import schemas as broker_schemas
from portal.broker.client import Broker
from portal.broker.failures import BrokerProblem
from portal.dns.schemas import ApplyDnsPlan, Connection
from portal.dns.tunnel import ingress, overview, planning, rulesets, targets
from portal.dns.tunnel.overview import World
from portal.dns.tunnel.picture import Picture, TunnelState
from portal.dns.tunnel.planning import KINDS, Named, Rules
from portal.dns.tunnel.probes import OrphansProbe, StatusProbe
from portal.dns.tunnel.problems import TunnelIsLocal, TunnelNotChosen
from portal.dns.tunnel.protection import Protection
from portal.dns.tunnel.rules import Kind
from portal.dns.tunnel.schemas import (
    NewRoutePlan,
    OrphanView,
    RouteChange,
    RoutePlan,
    RouteWarning,
    TunnelOverview,
)
from portal.dns.tunnel.subject import ACT, TIMEOUT_S, RouteChanges, target_of
from portal.dns.views import head_of
from portal.dns.zones import Zones, ZoneState
from portal.integrations.cloudflare import Cloudflare, CloudflareError, MissingPermission
from portal.integrations.cloudflare_problems import as_problem
from portal.operations.plans import Change, Plan, Plans, PlanStale
from portal.operations.schemas import OperationView
from portal.probes import Found, Probe, Use, Uses, UseView
from portal.scheduler import Job
from portal.settings import PortalSettings

if TYPE_CHECKING:
    from portal.dns.service import DnsRoom

ROOM = "tunnel"
BROKER_S = 3.0  # for a page; it then says that nobody knows
MAX_USES = 50  # hostnames of a plan that are asked for what depends on them
FILE = "tunnel.json"  # in the portal's state directory


class Tunnels:
    """Implements UsedBy. Made with `of`."""

    def __init__(
        self,
        cf: Cloudflare | None,
        zones: Zones,
        picture: Picture,
        broker: Broker,
        plans: Plans,
        uses: Uses,
        clock: Clock,
        *,
        mail_api_url: str | None,
    ) -> None:
        self._cf, self._zones, self._picture, self._broker = cf, zones, picture, broker
        self._plans, self._uses, self._clock, self._mail_api_url = plans, uses, clock, mail_api_url
        self._changes = RouteChanges(cf, zones, picture, on_change=self._forget_age)
        self._protection = Protection(cf, clock)

    @classmethod
    def of(
        cls,
        cf: Cloudflare | None,
        room: DnsRoom,
        broker: Broker,
        plans: Plans,
        uses: Uses,
        clock: Clock,
        settings: PortalSettings,
    ) -> Tunnels:
        zones = room.zones
        picture = Picture(cf, zones.connection, settings.tunnel_id, settings.state_dir / FILE, clock)
        return cls(cf, zones, picture, broker, plans, uses, clock, mail_api_url=settings.edge_mail_api_url)

    def begin(self) -> None:
        """Let routes be planned. Before `runner.recover`."""
        self._plans.register(ACT, self._changes, timeout_s=TIMEOUT_S)

    async def close(self) -> None:
        await self._picture.close()
        await self._protection.close()

    def _forget_age(self) -> None:
        """Something was changed here: what is known is read anew when somebody looks."""
        self._picture.forget_age()
        self._protection.forget_age()

    @property
    def probes(self) -> Sequence[Probe]:
        return (StatusProbe(self.overview, self._clock), OrphansProbe(self.overview, self._clock))

    @property
    def jobs(self) -> Sequence[Job]:
        """The probes read the tunnel often enough."""
        return ()

    # -- what is shown ------------------------------------------------------------------------------------------------

    async def overview(self) -> TunnelOverview:
        """As last known, with its age. Raises nothing of Cloudflare's nor of the broker's."""
        state, (world, silent) = await asyncio.gather(self._picture.state(), self._world())
        shown = overview.tunnel_view(state, world)
        protected = [route.hostname for route in shown.routes if route.role == "mail-api"] if shown else []
        protection = await self._protection.views(protected, world)
        if state.tunnel is not None and state.problem is not None:
            silent.append("tunnel")
        if any(each.state == "unknown" for each in protection):
            silent.append("rules")
        orphans: list[OrphanView] = overview.orphans(state, world)
        return TunnelOverview(
            connection=self._connection(state),
            tunnel=shown,
            orphans=orphans,
            protection=protection,
            silent=sorted(silent),
            read_at=state.read_at,
        )

    async def services(self) -> dict[str, str]:
        """Where each route leads, by its name, as it is now. Raise NoTunnel, TunnelNotChosen, a Cloudflare problem."""
        state = await self._picture.read()
        assert state.configuration is not None
        routes = ingress.routes_of(state.configuration.config)
        return {name: str(entry.get("service") or "") for name, entry in routes.items()}

    def _connection(self, state: TunnelState) -> Connection:
        """Cloudflare's; for a tunnel that has to be chosen, the setting that says which."""
        view = self._zones.connection.view()
        if isinstance(state.problem, TunnelNotChosen):
            setting = str(state.problem.extensions["setting"])
            view |= {"state": "not-configured", "detail": state.problem.detail, "settings": [setting]}
        return Connection(**view)

    async def _world(self) -> tuple[World, list[str]]:
        """What is known beside the tunnel, and what is not."""
        zones, containers = await asyncio.gather(self._zones.all(), self._containers())
        world = World.of(zones, containers, self._mail_api_url)
        unread = sorted(world.all_zones - world.zones.keys())
        return world, [*(f"zone {name}" for name in unread), *(["broker"] if containers is None else [])]

    async def _containers(self) -> Sequence[broker_schemas.Container] | None:
        try:
            async with asyncio.timeout(BROKER_S):
                return (await self._broker.ask(broker_schemas.List())).containers
        except (BrokerProblem, TimeoutError):
            return None

    async def used_by(self, kind: str, name: str) -> Sequence[Use]:
        """Of a container: the public hostnames that lead to it. Of a record, by its hostname or as "TYPE hostname": the
        route behind it, and the route's container. Raise a problem when the tunnel was never read."""
        if kind not in ("container", "record") or self._cf is None:
            return []
        state = await self._picture.state()
        if state.configuration is None:
            if state.problem is not None and state.read_at is None:
                raise state.problem
            return []
        containers = await self._containers()
        routes = ingress.routes_of(state.configuration.config)
        if kind == "container":
            return [Use(ROOM, "hostname", route, "reached-by") for route in _leading_to(name, routes, containers or ())]
        hostname = [*name.split(" "), ""][1] or name
        found = []
        for route, entry in routes.items():
            if ingress.hostname_of(entry) == hostname:
                found.append(Use(ROOM, "route", route, "leads-to"))
                target = targets.resolve(str(entry.get("service") or ""), containers or ())
                if target.container is not None:
                    found.append(Use(ROOM, "container", target.container.name, "leads-to"))
        return list(dict.fromkeys(found))

    # -- plans --------------------------------------------------------------------------------------------------------

    async def plan(self, actor: Actor, wanted: NewRoutePlan) -> RoutePlan:
        """What has to change, in the tunnel, in DNS and in front of the mail API.

        raises  RouteInvalid, NoSuchRoute, HostnameTaken, TunnelIsLocal, NoTunnel, TunnelNotChosen, a Cloudflare problem
        """
        state = await self._picture.read()
        assert state.tunnel is not None
        assert state.configuration is not None
        all_zones = [each.zone.name for each in await self._zones.all()]
        adding = planning.cleaned(wanted, all_zones)
        if state.configuration.is_local and (wanted.add or wanted.remove):
            raise TunnelIsLocal(f"the configuration of {state.tunnel['name']!r} is kept on its host")
        config = state.configuration.config
        removing = planning.going(wanted, adding, config)
        zones = await self._zones_of(
            [*(each.hostname for each in adding), *removing, *wanted.remove_records], all_zones
        )
        found, warnings = await self._rules_for(adding, removing, zones)
        wish = (
            planning.wish_for_routes(wanted, adding, config)
            | planning.wish_for_records(adding, removing, wanted.remove_records, state, planning.values_at(zones))
            | planning.wish_for_rules(adding, removing, zones, found)
        )
        plan = await self._plans.plan(actor, ACT, target_of(state.tunnel["id"]), wish)
        shown = await self._view(plan)
        return shown.model_copy(update={"warnings": [*shown.warnings, *warnings]})

    async def _zones_of(self, hostnames: Iterable[str], all_zones: Sequence[str]) -> dict[str, ZoneState]:
        """The zone of each hostname that is in one, as it is now. Raise a Cloudflare problem."""
        names = {name: targets.zone_of(name.removeprefix("*."), all_zones) for name in hostnames}
        wanted = sorted({zone for zone in names.values() if zone is not None})
        states = dict(zip(wanted, await asyncio.gather(*map(self._zones.read, wanted)), strict=True))
        return {name: states[zone] for name, zone in names.items() if zone is not None}

    async def _rules_for(
        self, adding: Sequence[planning.WantedRoute], removing: Iterable[str], zones: Mapping[str, ZoneState]
    ) -> tuple[Rules, list[RouteWarning]]:
        """The rules of the zones concerned. Those of hostnames that go may be unknown; those to bring about may not."""
        assert self._cf is not None
        needed = {zones[each.hostname].zone for each in adding if each.is_protected}
        optional = {zones[name].zone for name in removing if name in zones} - needed
        found: dict[tuple[str, Kind], Sequence[dict[str, Any]] | None] = {}
        warnings: list[RouteWarning] = []
        for zone in sorted(needed | optional, key=lambda each: each.name):
            for kind in KINDS:
                try:
                    found[zone.name, kind] = await rulesets.rules_of(self._cf, zone, kind)
                except CloudflareError as error:
                    if zone in needed or not isinstance(error, MissingPermission):
                        raise as_problem(error) from error
                    found[zone.name, kind] = None
                    warnings.append(RouteWarning(code="rules-unknown", name=f"zone {zone.name}", text=str(error)))
        return found, warnings

    async def read_plan(self, plan_id: str) -> RoutePlan:
        """Raise PlanNotFound."""
        return await self._view(await self._plans.get(ACT, plan_id))

    async def apply(
        self, actor: Actor, plan_id: str, wanted: ApplyDnsPlan, confirm: Callable[[], None]
    ) -> OperationView:
        """Begin to do what was planned.

        confirm  raises unless whoever asks may do what is protected now
        raises   what `confirm` raises, HostnameTaken, what Plans.apply raises, a Cloudflare problem
        """
        plan = await self._plans.get(ACT, plan_id)
        self._check(plan)
        if planning.needs_step_up(plan.changes):
            confirm()
        how = {} if wanted.reason is None else {"reason": wanted.reason}
        try:
            operation = await self._plans.apply(actor, ACT, plan_id, how=how)
        except PlanStale as stale:
            raise await self._stale(stale) from stale
        return OperationView.of(operation)

    async def undo(self, actor: Actor, plan_id: str) -> RoutePlan:
        """Plan the way back. Raise what Plans.undo raises."""
        try:
            return await self._view(await self._plans.undo(actor, ACT, plan_id))
        except PlanStale as stale:
            raise await self._stale(stale) from stale

    def _check(self, plan: Plan) -> None:
        """A plan that took a stale one's place may begin with somebody else's record. Raise HostnameTaken."""
        state = self._picture.last
        for change in plan.changes:
            named = Named.of(change.name)
            if named.what == "record" and state.tunnel is not None and not planning.may_change(change.before, state):
                raise planning.taken(named.hostname, change.before)

    async def _stale(self, stale: PlanStale) -> Problem:
        """The same problem, with the new plan as these routes show it."""
        stale.extensions["plan"] = (await self._view(stale.plan)).model_dump(mode="json")
        return stale

    async def _view(self, plan: Plan) -> RoutePlan:
        world, _ = await self._world()
        uses = await self._uses_of(plan.changes)
        changes = [
            RouteChange(
                name=change.name,
                before=change.before,
                after=change.after,
                is_protected=change.before is not None,
                used_by=[UseView.of(use) for use in uses[hostname].uses]
                if change.before is not None and (hostname := Named.of(change.name).hostname) in uses
                else [],
            )
            for change in plan.changes
        ]
        return RoutePlan(
            **head_of(plan),
            changes=changes,
            unchanged=sorted(plan.wish.keys() - {change.name for change in plan.changes}),
            silent_rooms=sorted({room for each in uses.values() for room in each.silent_rooms}),
            warnings=planning.warnings(plan, world),
            needs_step_up=planning.needs_step_up(plan.changes),
        )

    async def _uses_of(self, changes: Sequence[Change]) -> dict[str, Found]:
        """What depends on the hostnames of which something goes or changes."""
        hostnames = [Named.of(change.name).hostname for change in changes if change.before is not None]
        asked = list(dict.fromkeys(hostnames))[:MAX_USES]
        return dict(
            zip(asked, await asyncio.gather(*(self._uses.of("record", f"CNAME {name}") for name in asked)), strict=True)
        )


def _leading_to(
    name: str, routes: Mapping[str, Mapping[str, Any]], containers: Sequence[broker_schemas.Container]
) -> list[str]:
    """Hostnames, with their paths, that lead to a container; by its name alone while the broker is silent."""
    found = []
    for route, entry in routes.items():
        service = str(entry.get("service") or "")
        target = targets.resolve(service, containers).container
        if (target.name if target else targets.host_of(service)) == name:
            found.append(route)
    return found
