"""The steps of a site's removal: a final restore point first, then from the outside inwards, what is lost last.

All of it can be taken back, to the last step: the route by its plan's undo, the database out of the dump that its
removal made, the tree from where it was put aside. The tree, the dump and the restore point are kept in any case.
"""

from __future__ import annotations

from collections.abc import Sequence

from portal.integrations.site_files import SiteFilesRefused
from portal.operations.runner import Filter, State
from portal.recipes.site import routing
from portal.recipes.site.engine import Step, Task
from portal.recipes.site.parts import Parts
from portal.recipes.site.problems import SiteConflict
from portal.recipes.site.schemas import RemoveSite
from portal.recipes.site_mail import work as site_mail
from portal.wordpress.sites import Site


def steps_of(parts: Parts, asked: RemoveSite) -> Sequence[Step]:
    own = _Removing(parts, asked)
    steps = [
        Step("mark", own.mark, own.unmark),
        None if asked.without_restore_point else Step("point", own.point),
        Step("mail", own.disable_mail, own.enable_mail),
        Step("backup", own.unlist, own.list_for_backup),  # no run of the backup finds half a site
        Step(routing.STEP, own.unroute, own.route),
        Step("web", own.stop_serving, own.serve),
        Step("database", own.drop_database, own.bring_database_back),
        Step("tree", own.put_tree_aside, own.bring_tree_back),
        Step("row", own.forget, own.remember),
    ]
    return [step for step in steps if step is not None]


class _Removing:
    def __init__(self, parts: Parts, asked: RemoveSite) -> None:
        self._parts, self._name = parts, asked.site

    async def _site(self) -> Site:
        return await self._parts.sites.get(self._name)

    async def mark(self, task: Task) -> None:
        """From now on no other act touches it. Raise SiteConflict while one is at work.

        Marked first and looked at then: whoever begins meanwhile sees the mark, or is seen here. What the way back
        needs to know is read here, too, so that a server that is away keeps the site from going at all.
        """
        site = await self._site()
        has_database, _ = await self._parts.databases.exists(site.server, site.database)
        await task.note(
            "mark",
            uid=site.uid,
            hostnames=list(site.hostnames),
            was_served=site.is_served,
            was_maintained=site.is_maintained,
            had_database=has_database,
            accounts=await self._parts.mail.enabled(site),
        )
        await self._parts.sites.change(self._name, state="removing")
        own, database = (self._name, "wordpress:"), (f"{site.server}/{site.database}", "databases:")
        for target, room in (own, database, (site_mail.TARGET, site_mail.APPLY)):
            running = await self._parts.runner.find(Filter(target=target, state=State.RUNNING), limit=20)
            if at_work := [operation.id for operation in running if operation.act.startswith(room)]:
                raise SiteConflict(f"operation {at_work[0]} is at work on {target}")

    async def unmark(self, task: Task) -> None:
        await self._parts.sites.change(self._name, state="active")

    async def point(self, task: Task) -> None:
        """Raise what kept the restore point from being made, or from being verified."""
        await task.note("point", id=await self._parts.points.make(task.actor, self._name, task.progress))

    async def disable_mail(self, task: Task) -> None:
        await self._parts.mail.disable(await self._site())

    async def enable_mail(self, task: Task) -> None:
        await self._parts.mail.enable(await self._site(), task.made("mark")["accounts"])

    # -- what leads to it ---------------------------------------------------------------------------------------------

    async def unroute(self, task: Task) -> None:
        await routing.remove(self._parts, task, (await self._site()).hostnames)

    async def route(self, task: Task) -> None:
        await routing.put_back(self._parts, task)

    async def stop_serving(self, task: Task) -> None:
        await self._parts.serving.drop(self._name)

    async def serve(self, task: Task) -> None:
        mark = task.made("mark")
        if mark.get("was_served"):
            await self._parts.sites.change(self._name, is_maintained=mark["was_maintained"])
            await self._parts.serving.serve(self._name)

    # -- what it holds ------------------------------------------------------------------------------------------------

    async def drop_database(self, task: Task) -> None:
        """With a dump that is verified before anything goes."""
        site = await self._site()
        dump = await self._parts.databases.drop(site.server, site.database, site.account, task.progress, dump=True)
        await task.note("database", dump=dump)

    async def bring_database_back(self, task: Task) -> None:
        """As it was, with another password, which the tree is told. Nothing goes before its dump is whole.

        Raise SiteConflict when the dump is not there any more; the restore point has the database then.
        """
        site, databases, run = await self._site(), self._parts.databases, task.run
        dump = await databases.dump_since(site.server, site.database, run.began_at)
        if dump is None:
            if task.made("mark").get("had_database") and not (await databases.exists(site.server, site.database))[0]:
                raise SiteConflict(f"the dump of {site.database} is gone; load it from the restore point first")
            return
        await databases.drop_own(site.server, site.database, run.id, task.progress)  # of a way back that was cut off
        has_database, has_account = await databases.exists(site.server, site.database)
        if has_database:
            return  # it never went
        if has_account:  # its removal ended between the two
            await databases.drop(site.server, site.database, site.account, task.progress, dump=False)
        password = task.passwords["database"]
        await databases.create(site.server, site.database, password, run.id, task.progress)
        await databases.load(site.server, site.database, dump, task.progress)
        try:
            await self._parts.files.secrets(site.name, site.uid, self._parts.secrets_of(site, password, None))
        except SiteFilesRefused as refused:
            if not _is_missing(refused) or task.made("tree").get("removed_as"):
                raise

    async def put_tree_aside(self, task: Task) -> None:
        site = await self._site()
        try:
            removed_as = await self._parts.files.remove(site.name, site.uid, _removal_id(task))
            await task.note("tree", removed_as=removed_as)
        except SiteFilesRefused as refused:
            if not _is_missing(refused):
                raise

    async def bring_tree_back(self, task: Task) -> None:
        """A site that had none, as one that was mended by hand may be, has none to get back."""
        site = await self._site()
        try:
            await self._parts.files.bring_back(site.name, site.uid, _removal_id(task))
        except SiteFilesRefused as refused:
            if not _is_missing(refused) or task.made("tree").get("removed_as"):
                raise

    # -- what is known of it ------------------------------------------------------------------------------------------

    async def unlist(self, task: Task) -> None:
        await self._parts.list_for_backup(without=self._name)

    async def list_for_backup(self, task: Task) -> None:
        await self._parts.list_for_backup(with_=self._name)

    async def forget(self, task: Task) -> None:
        """The row stays, with its user id; the name is free again."""
        site = await self._parts.sites.find(self._name)
        if site is not None and site.uid == task.made("mark").get("uid"):
            await self._parts.sites.remove(self._name)

    async def remember(self, task: Task) -> None:
        mark = task.made("mark")
        await self._parts.sites.bring_back(mark["uid"], mark["hostnames"], "removing")


def _removal_id(task: Task) -> str:
    return task.run.id.lower()


def _is_missing(refused: SiteFilesRefused) -> bool:
    return refused.extensions.get("code") == "missing"
