"""Sites made, removed and brought in: what is shown, what is refused, who may do what.

    recipes = SiteRecipes.of(settings, db, runner, plans, clock, seal, wordpress, databases, tunnels)
    plan = await recipes.plan(actor, AddSite(site="garden", hostnames=["garden.example"], ...))
    operation = await recipes.apply(actor, plan.id, wanted, confirm)
    for run in (await recipes.unfinished()).runs: await recipes.revert(actor, run.run, confirm)

What is done, and in which order, is in making.py and removing.py; how it is taken back, in engine.py; what is in the
way, in survey.py. A new site has no undo: the plan that removes it is its way back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Literal

from kit.clock import Clock
from kit.problem import Problem
from portal.actor import Actor
from portal.auth.dependencies import require_typed_name
from portal.auth.sealing import Seal
from portal.databases.service import DatabasesRoom
from portal.db import Database
from portal.dns.tunnel.service import Tunnels
from portal.dns.tunnel.targets import clean_hostname
from portal.integrations.backup_sites import BackupSites
from portal.operations.plans import Plan, PlanNotFound, Plans, PlanStale
from portal.operations.progress import Progress
from portal.operations.runner import Filter, Runner, State
from portal.operations.schemas import OperationView
from portal.probes import Probe
from portal.recipes.site import views
from portal.recipes.site.database import SiteDatabases
from portal.recipes.site.engine import Json
from portal.recipes.site.imports import ImportDirectory
from portal.recipes.site.parts import MailOfSites, NoMail, Parts
from portal.recipes.site.probe import Prober
from portal.recipes.site.problems import NothingUnfinished, SiteConflict, SitesNotReady
from portal.recipes.site.runs import Run, Runs
from portal.recipes.site.schemas import (
    AddSite,
    ApplySiteRecipe,
    ImportFiles,
    ImportSite,
    RemoveSite,
    SiteConflictView,
    SiteRecipeChange,
    SiteRecipePlan,
    UnfinishedRun,
    UnfinishedRuns,
)
from portal.recipes.site.subject import Asked, SiteSubject, asked_of, steps_of
from portal.recipes.site.survey import Surveyor
from portal.scheduler import Job
from portal.settings import PortalSettings
from portal.wordpress.names import SiteNameInvalid, check_hostnames, check_name
from portal.wordpress.service import WordPress

APPLY = "sites:apply"
TIMEOUT_S = 6 * 3600.0  # a restore point, a dump and an archive, each of many GiB
AT_ONCE = 200  # operations that are looked through for those at work


class SiteRecipes:
    """Made with `of`. probes, jobs: none; how sites are is the WordPress room's to say."""

    def __init__(self, parts: Parts, plans: Plans, settings: PortalSettings) -> None:
        self._parts, self._plans, self._settings = parts, plans, settings
        self._subject, self._surveyor = SiteSubject(parts), Surveyor(parts)
        self.probes: Sequence[Probe] = ()
        self.jobs: Sequence[Job] = ()

    @classmethod
    def of(
        cls,
        settings: PortalSettings,
        db: Database,
        runner: Runner,
        plans: Plans,
        clock: Clock,
        seal: Seal,
        wordpress: WordPress,
        databases: DatabasesRoom,
        tunnels: Tunnels,
        *,
        mail: MailOfSites | None = None,
    ) -> SiteRecipes:
        """mail: of sites, by whoever configures it"""
        parts = Parts(
            sites=wordpress.sites,
            serving=wordpress.serving,
            wp=wordpress.wp,
            files=wordpress.site_files,
            databases=SiteDatabases(databases),
            tunnels=tunnels,
            backup=BackupSites(settings.backup_dir),
            points=wordpress.points,
            imports=ImportDirectory(settings.import_dir),
            prober=Prober(settings.sites_origin_url, settings.sites_edge_url, clock),
            runner=runner,
            runs=Runs(db, clock, seal),
            mail=mail or NoMail(),
        )
        return cls(parts, plans, settings)

    def begin(self) -> None:
        """Let sites be planned. Before `runner.recover`."""
        self._plans.register(APPLY, self._subject, timeout_s=TIMEOUT_S)

    # -- planning -----------------------------------------------------------------------------------------------------

    async def plan(self, actor: Actor, wanted: Asked) -> SiteRecipePlan:
        """Raise SitesNotReady, SiteNameInvalid, NoSuchSite, NoSuchServer, and what the rooms below raise."""
        self._require_ready()
        if isinstance(wanted, RemoveSite):
            asked: Asked = wanted
            site = await self._parts.sites.get(check_name(wanted.site))
            survey = await self._surveyor.remove(actor, wanted, site)
        else:
            made = asked = self._cleaned(wanted)
            survey = await self._surveyor.add(actor, made)
        plan = await self._plans.plan(actor, APPLY, asked.site, survey.wish)
        shown = views.shown_plan(survey, asked, steps_of(self._parts, asked))
        await self._parts.runs.keep_plan(plan.id, asked.model_dump(mode="json"), shown)
        return await self._document(plan, asked.model_dump(mode="json"), shown)

    def _cleaned(self, wanted: AddSite | ImportSite) -> AddSite | ImportSite:
        """Names as they are kept; a server."""
        check_name(wanted.site)
        hostnames = check_hostnames(tuple(_a_label(name, number) for number, name in enumerate(wanted.hostnames, 1)))
        return wanted.model_copy(update={"hostnames": list(hostnames), "server": self._server(wanted.server)})

    def _server(self, asked: str | None) -> str:
        """Raise NoSuchServer, SiteConflict."""
        server = self._parts.databases.server(asked)
        if server is None:
            raise SiteConflict("which database server? There is none that is the blog stack's; name one")
        return server.name

    async def read_plan(self, plan_id: str) -> SiteRecipePlan:
        """Raise PlanNotFound."""
        return await self._document(*await self._kept(plan_id))

    async def apply(
        self, actor: Actor, plan_id: str, wanted: ApplySiteRecipe, confirm: Callable[[], None]
    ) -> OperationView:
        """Begin to do what was planned.

        confirm  raises unless whoever asks has just proven who they are
        raises   SiteConflict, TypedNameRequired, what `confirm` and Plans.apply raise
        """
        self._require_ready()
        plan, asked, shown = await self._kept(plan_id)
        if shown["conflicts"]:
            said = "; ".join(f"{each['what']} ({each['way_out']})" for each in shown["conflicts"])
            raise SiteConflict(said, conflicts=shown["conflicts"])
        if shown["needs_typed_name"]:
            require_typed_name(plan.target, plan.target if plan.target in wanted.typed_names else None)
        if shown["needs_step_up"]:
            confirm()
        how = {"wanted": asked["act"]} | ({"reason": wanted.reason} if wanted.reason else {})
        try:
            return OperationView.of(await self._plans.apply(actor, APPLY, plan_id, how=how))
        except PlanStale as stale:
            new = await self.plan(actor, asked_of(asked))
            stale.extensions["plan"] = new.model_dump(mode="json")
            raise

    # -- what was left half done --------------------------------------------------------------------------------------

    async def unfinished(self) -> UnfinishedRuns:
        runs = [run for run in await self._parts.runs.open() if run.operation not in await self._at_work()]
        return UnfinishedRuns(runs=[self._unfinished(run) for run in runs])

    async def go_on(
        self, actor: Actor, run_id: str, way: Literal["resume", "revert"], confirm: Callable[[], None]
    ) -> OperationView:
        """Finish a run, or take it back, as another operation on its site.

        raises   NothingUnfinished, what `confirm` raises, TargetBusy
        """
        self._require_ready()
        run = await self._open(run_id)
        confirm()

        async def work(progress: Progress) -> Json:
            await self._open(run_id)  # now the site is ours: another one may have been quicker
            taken = await self._parts.runs.take(run_id, progress.operation_id)
            do = self._subject.finish if way == "resume" else self._subject.revert
            return await do(taken, actor, progress)

        detail = {"wanted": run.act, "run": run.id, "way": way}
        begun = await self._parts.runner.start(actor, APPLY, run.site, work, timeout_s=TIMEOUT_S, detail=detail)
        return OperationView.of(begun)

    async def _open(self, run_id: str) -> Run:
        """Raise NothingUnfinished."""
        run = await self._parts.runs.get(run_id)
        if run is None or run.state != "open" or run.operation in await self._at_work():
            raise NothingUnfinished(f"run {run_id} has ended, is at work, or never was")
        return run

    async def _at_work(self) -> set[str]:
        running = await self._parts.runner.find(Filter(act=APPLY, state=State.RUNNING), limit=AT_ONCE)
        return {operation.id for operation in running}

    def _unfinished(self, run: Run) -> UnfinishedRun:
        steps = self._subject.steps_of(run.asked)
        return UnfinishedRun(
            run=run.id,
            site=run.site,
            wanted=asked_of(run.asked).act,
            steps=views.steps_of_run(run, steps),
            trouble=run.trouble,
            began_at=run.began_at,
        )

    async def imports(self) -> ImportFiles:
        return await asyncio.to_thread(self._parts.imports.files)

    async def hand_over(self, site: str, password: str) -> None:
        """Let a site know its database account's new password. Raise NoSuchSite, SiteFilesRefused, a BrokerProblem."""
        found = await self._parts.sites.get(site)
        await self._parts.files.secrets(found.name, found.uid, self._parts.secrets_of(found, password, None))

    # -- what they share ----------------------------------------------------------------------------------------------

    def _require_ready(self) -> None:
        """Raise SitesNotReady."""
        needed = ("broker_socket", "web_dir", "databases_file")
        lacking = [
            f"{self._settings.variable(name)} is not set" for name in needed if getattr(self._settings, name) is None
        ]
        if lacking:
            raise SitesNotReady("; ".join(lacking), missing=lacking)

    async def _kept(self, plan_id: str) -> tuple[Plan, Json, Json]:
        plan = await self._plans.get(APPLY, plan_id)
        kept = await self._parts.runs.plan(plan_id)
        if kept is None:
            raise PlanNotFound("there is no plan of this id")
        return plan, *kept

    async def _document(self, plan: Plan, asked: Json, shown: Json) -> SiteRecipePlan:
        run = await self._parts.runs.get(plan.operation_id) if plan.operation_id is not None else None
        changed = {change.name for change in plan.changes}
        return SiteRecipePlan(
            id=plan.id,
            act=plan.act,
            target=plan.target,
            site=plan.target,
            wanted=asked["act"],
            steps=views.steps_shown(shown["steps"], run),
            changes=[SiteRecipeChange(**change) for change in views.changes_of(plan, shown)],
            unchanged=sorted(plan.wish.keys() - changed),
            conflicts=[SiteConflictView(**each) for each in shown["conflicts"]],
            notes=shown["notes"],
            silent_rooms=shown["silent_rooms"],
            needs_step_up=shown["needs_step_up"],
            needs_typed_name=shown["needs_typed_name"],
            created_at=plan.created_at,
            expires_at=plan.expires_at,
            undoes=plan.undoes,
            operation_id=plan.operation_id,
            run=run.id if run is not None else None,
        )


def _a_label(text: str, number: int) -> str:
    """A host name as DNS has it. Raise SiteNameInvalid, which repeats nothing of it."""
    try:
        name = clean_hostname(text)
    except (ValueError, Problem) as error:
        raise SiteNameInvalid(f"host name {number} is no name") from error
    return name
