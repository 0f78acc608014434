"""The tunnel's routes, their records and the rules in front of them, as something that is planned and applied.

The order keeps what is public working, and closed where it must be: a rule is there before what it protects, a record
leads to a route that is there already, and goes before its route does:

    rules that come · records that go · all routes, in one write · records that come or change · rules that go

A rate limiting rule that goes is the first of all when another comes: a zone may have room for one only.

Each step looks first, and leaves alone what is so already; what is neither as planned from nor as wished for was
changed by somebody else, and ends it. When a step fails, what was done before is taken back in the same way, so that
the whole has happened or has not; when that fails too, `RoutesIncomplete` says what stands. Nothing is taken back when
the operation is cancelled, runs out of time or its process dies: the steps before that stand, and a new plan shows what
is left of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kit.logging import get_logger
from kit.problem import Problem
from portal.dns.batches import limit_of
from portal.dns.records.names import canonical
from portal.dns.records.values import value_of
from portal.dns.tunnel import configuration, ingress, rules, rulesets
from portal.dns.tunnel.overview import Names, at_names, tunnel_of
from portal.dns.tunnel.picture import Picture, TunnelState
from portal.dns.tunnel.planning import KINDS, Named, may_change, record_at, taken
from portal.dns.tunnel.problems import NoSuchRoute, RoutesIncomplete, TunnelChanged
from portal.dns.tunnel.targets import zone_of
from portal.dns.zones import Zones, ZoneState
from portal.integrations.cloudflare import Cloudflare, CloudflareError, telling
from portal.integrations.cloudflare_problems import CloudflareNotConfigured, as_problem, translated
from portal.integrations.records import Json
from portal.operations.plans import Change, Order
from portal.operations.progress import Progress

log = get_logger()

ACT = "dns:route"
TIMEOUT_S = 900.0  # Cloudflare may ask to wait a minute, at several steps
_PREFIX = "tunnel "


def target_of(tunnel_id: str) -> str:
    return f"{_PREFIX}{tunnel_id}"


class RouteChanges:
    """Implements plans.Subject."""

    def __init__(self, cf: Cloudflare | None, zones: Zones, picture: Picture, *, on_change: Callable[[], None]) -> None:
        """on_change: is told whenever something may look different."""
        self._cf, self._zones, self._picture, self._on_change = cf, zones, picture, on_change

    # -- looking ------------------------------------------------------------------------------------------------------

    async def look(self, target: str, names: Sequence[str]) -> Mapping[str, Any]:
        """Raise a Cloudflare problem, NoTunnel, TunnelNotChosen, NoSuchZone."""
        async with translated():
            return await self._look(target, names)

    async def _look(self, target: str, names: Sequence[str]) -> dict[str, Any]:
        cf = self._connected()
        wanted = [Named.of(name) for name in names]
        found: dict[str, Any] = {}
        if any(named.what == "route" for named in wanted):
            state = await self._tunnel(target)
            assert state.configuration is not None
            values = ingress.values_of(state.configuration.config)
            found |= {f"route {name}": value for name, value in values.items()}
        names_of: dict[str, Names] = {}
        for named in wanted:
            if named.what == "route":
                continue
            zone = await self._zone_name(named.hostname)
            if named.what == "record":
                if zone not in names_of:
                    names_of[zone] = at_names(await self._zones.read(zone))
                found[f"record {named.hostname}"] = record_at(names_of[zone], named.hostname)
            else:
                present = await rulesets.rules_of(cf, (await self._zones.state(zone)).zone, named.what)
                ours = rules.ours(present, named.what, named.hostname)
                found[f"rule {named.what} {named.hostname}"] = None if ours is None else rules.value_of(ours)
        return {name: found[name] for name in names if found.get(name) is not None}

    async def _tunnel(self, target: str) -> TunnelState:
        """As it is now. Raise NoSuchRoute when another tunnel was chosen since the plan was made."""
        state = await self._picture.read()
        if state.tunnel is None or target != target_of(state.tunnel["id"]):
            raise NoSuchRoute("the plan is about another tunnel than the one that is set now")
        return state

    async def _zone_name(self, hostname: str) -> str:
        """Raise NoSuchRoute."""
        zone = zone_of(hostname.removeprefix("*."), [each.zone.name for each in await self._zones.all()])
        if zone is None:
            raise NoSuchRoute(f"{hostname} is in none of the account's zones any more")
        return zone

    def _connected(self) -> Cloudflare:
        if self._cf is None:
            raise CloudflareNotConfigured(settings=self._zones.connection.view()["settings"])
        return self._cf

    # -- changing -----------------------------------------------------------------------------------------------------

    async def put(self, order: Order, progress: Progress) -> Mapping[str, Any]:
        """
        raises  what kept it: a Cloudflare problem, HostnameTaken, TunnelChanged, TunnelIsLocal; then nothing is
                changed. RoutesIncomplete: part of it is
        """
        attempted: list[Change] = []
        try:
            with telling(progress.note):
                try:
                    return await self._bring_about(order.target, order.changes, attempted, progress)
                except (CloudflareError, Problem) as error:
                    cause = as_problem(error) if isinstance(error, CloudflareError) else error
                    await self._take_back(order.target, attempted, cause, progress)
                    raise cause from error
        finally:
            self._on_change()

    async def _take_back(self, target: str, attempted: Sequence[Change], cause: Problem, progress: Progress) -> None:
        """What somebody else has made of it meanwhile stays theirs. Raise RoutesIncomplete when it fails."""
        if not attempted:
            return
        progress.note(f"{cause}; taking back what was done")
        try:
            present = await self._look(target, [change.name for change in attempted])
            done = [change for change in attempted if _is_there(present.get(change.name), change.after)]
            back = [Change(change.name, present.get(change.name), change.before) for change in done]
            await self._bring_about(target, back, [], progress)
            present = await self._look(target, [change.name for change in attempted])
        except (CloudflareError, Problem) as error:
            log.warning("tunnel_routes_incomplete", target=target, cause=str(cause), error=str(error))
            results = await self._results(target, attempted)
            raise RoutesIncomplete(f"{cause}; taking it back failed too: {error}", results=results) from error
        stayed = [change.name for change in attempted if not _is_there(present.get(change.name), change.before)]
        if stayed:
            progress.note(f"taken back, but for what somebody else has changed meanwhile: {', '.join(stayed)}")
        else:
            progress.note("what was done has been taken back")

    async def _results(self, target: str, changes: Sequence[Change]) -> list[Json]:
        """Where each of them stands; unknown when nobody can say."""
        try:
            present = await self._look(target, [change.name for change in changes])
        except (CloudflareError, Problem):
            return [{"name": change.name, "state": "unknown"} for change in changes]
        return [
            {
                "name": change.name,
                "state": "done" if _is_there(present.get(change.name), change.after) else "not-done",
            }
            for change in changes
        ]

    async def _bring_about(
        self, target: str, changes: Sequence[Change], attempted: list[Change], progress: Progress
    ) -> dict[str, Any]:
        """Do all, step by step; `attempted` gets those whose step has begun. Raise CloudflareError, Problem."""
        version: int | None = None
        by_kind: dict[str, list[Change]] = {}
        for change in changes:
            by_kind.setdefault(Named.of(change.name).what, []).append(change)
        records, all_rules = by_kind.get("record", []), [change for kind in KINDS for change in by_kind.get(kind, [])]
        coming = [change for change in all_rules if change.after is not None]
        is_moving = any(Named.of(change.name).what == "rate" and change.before is None for change in coming)
        first = [change for change in by_kind.get("rate", []) if is_moving and change.after is None]
        steps = [
            ("rules", [*first, *coming]),
            ("records", [change for change in records if change.after is None]),
            ("routes", by_kind.get("route", [])),
            ("records", [change for change in records if change.after is not None]),
            ("rules", [change for change in all_rules if change.after is None and change not in first]),
        ]
        done = 0
        for what, step in steps:
            if not step:
                continue
            progress.note(f"{what}: {', '.join(change.name for change in step)}")
            attempted += step
            if what == "rules":
                await self._put_rules(step)
            elif what == "records":
                await self._put_records(target, step, progress.operation_id)
            else:
                version = await self._put_routes(target, step)
            done += len(step)
            progress.at(done, len(changes))
        return {"changes": done} | ({} if version is None else {"version": version})

    async def _put_rules(self, changes: Sequence[Change]) -> None:
        cf = self._connected()
        for change in changes:
            named = Named.of(change.name)
            zone = (await self._zones.state(await self._zone_name(named.hostname))).zone
            kind: rules.Kind = "waf" if named.what == "waf" else "rate"
            present = rules.ours(await rulesets.rules_of(cf, zone, kind), kind, named.hostname)
            _expect(change, None if present is None else rules.value_of(present))
            await rulesets.put_rule(cf, zone, kind, named.hostname, change.after)

    async def _put_routes(self, target: str, changes: Sequence[Change]) -> int:
        """All of them in one write. Return the configuration's version then."""
        tunnel = (await self._tunnel(target)).tunnel
        assert tunnel is not None

        def edit(config: Json) -> Json:
            present = ingress.values_of(config)
            for change in changes:
                _expect(change, present.get(Named.of(change.name).rest))
            return ingress.put_routes(config, [(Named.of(change.name).rest, change.after) for change in changes])

        return (await configuration.change(self._connected(), tunnel, edit)).version

    async def _put_records(self, target: str, changes: Sequence[Change], operation_id: str) -> None:
        """One transaction for each zone, or as many as its plan's limit makes of it."""
        state = await self._tunnel(target)
        by_zone: dict[str, list[Change]] = {}
        for change in changes:
            by_zone.setdefault(await self._zone_name(Named.of(change.name).hostname), []).append(change)
        for zone, in_zone in by_zone.items():
            async with self._zones.changing(zone, operation_id) as before:
                limit = limit_of(before.plan)
                for start in range(0, len(in_zone), limit):
                    await self._put_records_of(before, in_zone[start : start + limit], state)

    async def _put_records_of(self, zone: ZoneState, changes: Sequence[Change], state: TunnelState) -> None:
        cf, batch, names = self._connected(), _Batch(), at_names(zone)
        for change in changes:
            hostname = Named.of(change.name).hostname
            present = record_at(names, hostname)
            if present is not None and not may_change(present, state):
                raise taken(hostname, present)
            _expect(change, present)
            batch.add(names.get(hostname, ()), present, change.after)

        async def settled() -> bool | None:
            now = {
                canonical(record["name"]): value_of(record)
                for record in await cf.records(zone.zone)
                if tunnel_of(record) is not None
            }
            return True if all(now.get(Named.of(each.name).hostname) == each.after for each in changes) else None

        if body := batch.body():
            await cf.change("dns.records.batch", zone=zone.zone, settled=settled, **body)


class _Batch:
    """One transaction on a zone's records (DNS Records, "Batch"): deletions come first, additions last."""

    def __init__(self) -> None:
        self._parts: dict[str, list[Json]] = {"deletes": [], "puts": [], "posts": []}

    def add(self, at_name: Sequence[tuple[str, Json]], present: Json | None, after: Json | None) -> None:
        """at_name: what stands there, with its key; the first of it is `present`."""
        if after == present:
            return
        if present is None:
            assert after is not None
            self._parts["posts"].append(after)
            return
        id_ = at_name[0][1]["id"]
        if after is None:
            self._parts["deletes"].append({"id": id_})
        else:
            self._parts["puts"].append({"id": id_, **after})

    def body(self) -> dict[str, list[Json]]:
        return {name: part for name, part in self._parts.items() if part}


def _is_there(present: Any, value: Json | None) -> bool:
    """Whether it is as given. What Cloudflare adds by itself, and what stands below a route, makes no difference."""
    if present is None or value is None:
        return present is value
    return rules.includes(present, {name: each for name, each in value.items() if name != ingress.AHEAD_OF})


def _expect(change: Change, present: Any) -> None:
    """Raise TunnelChanged unless it is as planned from, or as wished for."""
    if present not in (change.before, change.after):
        raise TunnelChanged(f"{change.name} was changed at this very moment")
