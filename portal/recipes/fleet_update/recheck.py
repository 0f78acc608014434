"""What became of a site's update that a portal's end has cut off: what the journal says, held against what is there.

not begun    nothing of the site had changed: the maintenance that the update began is ended, visitors are back
updated      every version is there, and its pages are as they were before: its maintenance is ended
unknown      anything else. Visitors see the notice of maintenance; the restore point is named. Nobody goes back by
             himself here: the backup may still be at it, or an operator
"""

from __future__ import annotations

from typing import Any

from kit.clock import now_utc
from kit.problem import Problem
from portal.operations.records import Operation, Outcome
from portal.operations.recovery import Finding
from portal.recipes.fleet_update import store
from portal.recipes.fleet_update.health import Health, harm
from portal.recipes.fleet_update.models import FleetUpdateSiteRow
from portal.recipes.fleet_update.one_site import Checks, Tools
from portal.recipes.fleet_update.wanted import present

UNTOUCHED = frozenset({"", "health", "point"})


class Recheck:
    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._checks = Checks(tools)

    async def site(self, operation: Operation) -> Finding:
        """Of the operation of a single site."""
        row = await self._tools.db.read(lambda session: store.of_operation(session, operation.id))
        if row is None:
            return Finding(Outcome.NOT_DONE, "it had not begun")
        if row.state != "at_work":
            outcome = Outcome.DONE if row.state == "updated" else Outcome.NOT_DONE
            return Finding(outcome, f"{row.site} is {row.state.replace('_', ' ')}")
        if row.step in UNTOUCHED:
            is_ours = row.step == "point"  # before that, a maintenance is somebody else's
            await self._settle(row, "not_begun", "the portal stopped before anything was changed", ends=is_ours)
            return Finding(Outcome.NOT_DONE, f"{row.site} was not touched")
        if row.step in ("checking", "public") and not (why := await self._why_not_well(row)):
            await self._settle(row, "updated", "", ends=True)
            return Finding(Outcome.DONE, f"{row.site} has its updates, and is well")
        why = f"the portal stopped in the step {row.step.replace('_', ' ')}; the restore point is {row.point}"
        await self._settle(row, "unknown", f"{why}. Look at the site; then end its maintenance, or restore", ends=False)
        return Finding(Outcome.UNKNOWN, f"{row.site}: {why}")

    async def _why_not_well(self, row: FleetUpdateSiteRow) -> str:
        """ "" when every update is there and no page is worse than before."""
        site = await self._tools.sites.active(row.site)
        reading = await self._tools.inventory.read(row.site)
        if reading.trouble or reading.inventory is None:
            return reading.error or reading.trouble
        for kind, slug, _, version in store.updates_of(row):
            name = f"{kind}:{slug}" if slug else kind
            if present(reading.inventory, name) != version:
                return f"{name} is not at {version}"
        before = Health.parsed(row.before)
        after = await self._checks.origin(site, before, row.began_at or now_utc(self._tools.clock))
        return "; ".join(harm(before, after))

    async def _settle(self, row: FleetUpdateSiteRow, state: store.State, reason: str, *, ends: bool) -> None:
        """Write down what was found. ends: let visitors in again."""
        if ends:
            try:
                await self._tools.serving.maintain(row.site, False)
            except Problem as problem:
                state, reason = "unknown", f"{reason}. It is still in maintenance: {problem.detail or problem.title}"
        columns: dict[str, Any] = {"state": state, "reason": reason, "ended_at": now_utc(self._tools.clock)}
        await self._tools.db.run(lambda session: store.change(session, row.update_id, row.site, **columns))

    async def left_over(self) -> None:
        """Close updates that a portal before this one has left open."""
        for update_id in await self._tools.db.read(store.left_over):
            try:
                is_running = (await self._tools.runner.get(update_id)).ended_at is None
            except Problem:
                is_running = False
            if not is_running:
                await self._close(update_id)

    async def _close(self, update_id: str) -> None:
        now = now_utc(self._tools.clock)
        await self._tools.db.run(lambda session: store.end(session, update_id, "the portal stopped", now))
