"""The recipes for sites as something that is planned and applied, finished after a crash, or taken back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter

from portal.actor import Actor
from portal.operations.plans import Order
from portal.operations.progress import Progress
from portal.recipes.site import making, removing
from portal.recipes.site.engine import Json, Step, Task, carry_out, take_back
from portal.recipes.site.parts import Parts
from portal.recipes.site.problems import SiteConflict
from portal.recipes.site.runs import Run
from portal.recipes.site.schemas import AddSite, ImportSite, NewSiteRecipe, RemoveSite
from portal.recipes.site.survey import Surveyor

Asked = AddSite | ImportSite | RemoveSite
_ASKED: TypeAdapter[Asked] = TypeAdapter(NewSiteRecipe)


class SiteSubject:
    """Implements plans.Subject."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._surveyor = Surveyor(parts)

    async def look(self, target: str, names: Sequence[str]) -> Mapping[str, Any]:
        return await self._surveyor.look(target, names)

    async def put(self, order: Order, progress: Progress) -> Mapping[str, Any]:
        """Raise what kept a step from it, after all was taken back; SiteRunUnfinished."""
        operation = await self._parts.runner.get(progress.operation_id)
        plan_id = operation.inverse.plan_id if operation.inverse else None
        kept = await self._parts.runs.plan(plan_id or "")
        if kept is None:
            raise SiteConflict("what was asked for is not known any more: plan again")
        asked = kept[0]
        run = await self._parts.runs.begin(
            progress.operation_id, str(asked["act"]), order.target, asked, making.drawn_passwords()
        )
        return await self.finish(run, order.actor, progress)

    async def finish(self, run: Run, actor: Actor, progress: Progress) -> Json:
        """Do what is left of a run; return what it made, step by step. Raise as `put`."""
        task = await Task.of(run, actor, progress, self._parts.runs)
        await carry_out(task, self.steps_of(run.asked))
        return {"run": run.id, "steps": {name: done.made for name, done in task.done.items() if done.made}}

    async def revert(self, run: Run, actor: Actor, progress: Progress) -> Json:
        """Take back what a run has made. Raise SiteRunUnfinished."""
        task = await Task.of(run, actor, progress, self._parts.runs)
        await take_back(task, self.steps_of(run.asked))
        return {"run": run.id}

    def steps_of(self, asked: Json) -> Sequence[Step]:
        return steps_of(self._parts, asked_of(asked))


def asked_of(document: Json) -> Asked:
    """What was asked for, as it was kept."""
    return _ASKED.validate_python(document)


def steps_of(parts: Parts, asked: Asked) -> Sequence[Step]:
    return removing.steps_of(parts, asked) if isinstance(asked, RemoveSite) else making.steps_of(parts, asked)
