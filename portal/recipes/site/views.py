"""Plans and runs of sites as they are shown. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from portal.operations.plans import Plan
from portal.recipes.site.engine import Json, Step
from portal.recipes.site.runs import Run
from portal.recipes.site.schemas import SiteRecipeStep
from portal.recipes.site.subject import Asked
from portal.recipes.site.survey import Survey

_DETAIL: Mapping[str, str] = {
    "row": "a user id of its own, which no other site gets",
    "database": "a database and an account that may use it alone",
    "load": "the dump, into that database",
    "tree": "its files, which only its own user writes",
    "install": "WordPress's tables and the first user",
    "address": "its address, its tables brought to this WordPress, its files compared with the sums",
    "web": "a PHP pool, a virtual host and a Redis user",
    "backup": "on the backup's list",
    "probe": "it answers at its own web server",
    "route": "a route of the tunnel and a record for each host name",
    "public": "it answers by its public name",
    "activate": "ready",
}
_DETAIL_OF_REMOVAL: Mapping[str, str] = {
    "mark": "no other act touches it any more",
    "point": "a last restore point of database and files, verified",
    "mail": "the accounts that it sends as are disabled",
    "route": "the tunnel's route and the record of each host name go",
    "web": "virtual host, PHP pool and Redis user go",
    "database": "dumped, then dropped with its account",
    "tree": "put aside, nothing of it is deleted",
    "backup": "off the backup's list",
    "row": "its name is free again, its user id never is",
}


def shown_plan(survey: Survey, asked: Asked, steps: Sequence[Step]) -> Json:
    """What is kept of a plan for its readers."""
    details = _DETAIL_OF_REMOVAL if asked.act == "remove" else _DETAIL
    routes = survey.routes.changes if survey.routes is not None else []
    return {
        "steps": [{"name": step.name, "state": "todo", "detail": details[step.name]} for step in steps],
        "routes": [change.model_dump(include={"name", "before", "after"}) for change in routes],
        "conflicts": [{"what": each.what, "way_out": each.way_out} for each in survey.conflicts],
        "notes": survey.notes,
        "silent_rooms": survey.routes.silent_rooms if survey.routes is not None else [],
        "needs_step_up": asked.act == "remove" or bool(survey.routes and survey.routes.needs_step_up),
        "needs_typed_name": asked.act == "remove",
    }


def changes_of(plan: Plan, shown: Json) -> list[Json]:
    """The plan's changes, and those that the DNS room would make, each with its step."""
    steps = {"site": "row", "account": "database", "vhost": "web"}
    own = [
        {**change.document(), "step": steps.get(kind, kind)}
        for change in plan.changes
        for kind in [change.name.partition(" ")[0]]
    ]
    return own + [{**change, "step": "route"} for change in shown["routes"]]


def steps_shown(planned: Sequence[Json], run: Run | None) -> list[SiteRecipeStep]:
    """The steps of a plan, as far as its run has come."""
    shown = [SiteRecipeStep(**step) for step in planned]
    if run is None:
        return shown
    return [
        step.model_copy(update={"state": run.steps[step.name].state}) if step.name in run.steps else step
        for step in shown
    ]


def steps_of_run(run: Run, steps: Sequence[Step]) -> list[SiteRecipeStep]:
    details = _DETAIL_OF_REMOVAL if run.act == "remove" else _DETAIL
    planned = [{"name": step.name, "state": "todo", "detail": details[step.name]} for step in steps]
    return steps_shown(planned, run)
