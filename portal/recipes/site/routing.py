"""A site's public host names: routes of the tunnel and their records, changed by the DNS room's own plans.

Which plan a run has applied is noted before it is applied; the way back is that plan's undo. What somebody else has
changed since stays theirs.
"""

from __future__ import annotations

from portal.dns.schemas import ApplyDnsPlan
from portal.dns.tunnel.planning import Named
from portal.dns.tunnel.problems import NoTunnel
from portal.dns.tunnel.schemas import NewRoute, NewRoutePlan, RoutePlan
from portal.dns.tunnel.targets import host_of
from portal.integrations.cloudflare_problems import CloudflareNotConfigured
from portal.operations.plans import PlanStale
from portal.operations.runner import State
from portal.recipes.site.engine import Task
from portal.recipes.site.parts import ORIGIN, Parts
from portal.recipes.site.problems import SiteConflict, SiteStepFailed

STEP = "route"


def wish_to_add(hostnames: tuple[str, ...]) -> NewRoutePlan:
    return NewRoutePlan(add=[NewRoute(hostname=name, service=ORIGIN, role="site") for name in hostnames])


async def wish_to_remove(parts: Parts, hostnames: tuple[str, ...]) -> NewRoutePlan | None:
    """The routes of these names that lead to the sites' web server; None when there are none, or no tunnel.

    raises   a Cloudflare problem, TunnelNotChosen: then nobody knows
    """
    try:
        services = await parts.tunnels.services()
    except (CloudflareNotConfigured, NoTunnel):
        return None
    ours = [name for name, service in services.items() if host_of(service) == host_of(ORIGIN)]
    names = [name for name in ours if Named.of(f"route {name}").hostname in hostnames]
    return NewRoutePlan(remove=names) if names else None


def present(plan: RoutePlan) -> list[str]:
    """Of a plan that adds: what is there already, and would not be this run's own."""
    return sorted([change.name for change in plan.changes if change.before is not None] + plan.unchanged)


async def add(parts: Parts, task: Task, hostnames: tuple[str, ...]) -> None:
    """Raise SiteConflict, HostnameTaken and the other problems of the DNS room, SiteStepFailed."""
    plan = await parts.tunnels.plan(task.actor, wish_to_add(hostnames))
    if there := present(plan):
        raise SiteConflict(f"there is already: {', '.join(there)}")
    await _apply(parts, task, plan)


async def remove(parts: Parts, task: Task, hostnames: tuple[str, ...]) -> None:
    """As `add`; nothing where there is no route."""
    wish = await wish_to_remove(parts, hostnames)
    if wish is not None:
        await _apply(parts, task, await parts.tunnels.plan(task.actor, wish))


async def put_back(parts: Parts, task: Task) -> None:
    """Undo the plan that this run has applied, if it has."""
    plan_id = task.made(STEP).get("plan")
    if plan_id is None:
        return
    plan = await parts.tunnels.read_plan(plan_id)
    if plan.operation_id is None:
        return
    await parts.runner.wait(plan.operation_id)
    try:
        back_id = (await parts.tunnels.undo(task.actor, plan_id)).id
    except PlanStale as stale:
        left = {change.name: change.after for change in plan.changes}
        if any(change.before != left[change.name] for change in stale.plan.changes):
            names = ", ".join(sorted(left))
            raise SiteConflict(
                f"somebody has changed what leads to the site ({names}): remove it or put it back, then try again"
            ) from stale
        back_id = stale.plan.id  # some of it is gone already, the rest is as this run has left it
    if (await parts.tunnels.read_plan(back_id)).changes:
        await _run(parts, task, back_id, f"taking back run {task.run.id}")


async def _apply(parts: Parts, task: Task, plan: RoutePlan) -> None:
    await task.note(STEP, plan=plan.id)
    if plan.changes:
        await _run(parts, task, plan.id, f"{task.run.act} {task.run.site}")


async def _run(parts: Parts, task: Task, plan_id: str, reason: str) -> None:
    """Apply a plan and wait for its end. The factor that it may need was given for the recipe as a whole."""
    begun = await parts.tunnels.apply(task.actor, plan_id, ApplyDnsPlan(reason=reason), lambda: None)
    ended = await parts.runner.wait(begun.id)
    if ended.state is not State.DONE:
        error = ended.error or {}
        said = ": ".join(filter(None, (error.get("title"), error.get("detail"))))
        raise SiteStepFailed(said or f"operation {ended.id} is {ended.state}", operation=ended.id)
