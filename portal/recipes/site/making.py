"""The steps of a new site, and of one that comes from elsewhere.

Everything bears the run: the row says which operation made it, the database's comment too, the tree belongs to a user
id that was given to this site alone. So taking a step back needs no memory of whether it came about.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from urllib.parse import urlsplit

from portal.integrations.site_files import SiteFilesRefused
from portal.integrations.web_config import quoted
from portal.recipes.site import routing
from portal.recipes.site.engine import Json, Step, Task
from portal.recipes.site.parts import Parts
from portal.recipes.site.problems import SiteConflict, SiteNotAnswering, SiteStepFailed
from portal.recipes.site.schemas import AddSite, ImportSite
from portal.wordpress.names import database_of
from portal.wordpress.sites import NewSite, Site

PASSWORD_BYTES = 24
SKIP_COLUMNS = ("guid",)  # a post's name for feed readers, which stays for ever


def drawn_passwords() -> dict[str, str]:
    """Of the site's accounts at the database and at Redis."""
    return {name: secrets.token_urlsafe(PASSWORD_BYTES) for name in ("database", "redis")}


def steps_of(parts: Parts, asked: AddSite | ImportSite) -> Sequence[Step]:
    """Those that are done, in their order; `left_out` says which are not."""
    own = _Making(parts, asked)
    is_import = isinstance(asked, ImportSite)
    steps = [
        Step("row", own.row, own.forget_row),
        Step("database", own.database, own.drop_database),
        Step("load", own.load) if is_import else None,
        Step("tree", own.unpack if is_import else own.tree, own.put_tree_aside),
        None if is_import else Step("install", own.install),
        Step("address", own.address) if is_import else None,
        Step("web", own.serve, own.stop_serving),
        Step("backup", own.list_for_backup, own.unlist),
        Step("probe", own.probe) if parts.prober.has_origin else None,
        Step(routing.STEP, own.route, own.unroute) if asked.is_public else None,
        Step("public", own.probe_public) if asked.is_public else None,
        Step("activate", own.activate, own.deactivate),
    ]
    return [step for step in steps if step is not None]


class _Making:
    def __init__(self, parts: Parts, asked: AddSite | ImportSite) -> None:
        self._parts, self._asked = parts, asked
        self._server, self._name = asked.server or "", asked.site

    async def _site(self) -> Site:
        return await self._parts.sites.get(self._name)

    async def _own(self, task: Task) -> Site | None:
        """The site, if it is the one that this run has made."""
        site = await self._parts.sites.find(self._name)
        return site if site is not None and site.made_by == task.run.id else None

    # -- its row ------------------------------------------------------------------------------------------------------

    async def row(self, task: Task) -> None:
        """Raise SiteExists, HostnameTaken, SiteNameInvalid, NoMoreUids."""
        new = NewSite(
            name=self._name,
            hostnames=tuple(self._asked.hostnames),
            server=self._server,
            redis_password_sha256=hashlib.sha256(task.passwords["redis"].encode()).hexdigest(),
            ring=self._asked.ring,
            php=self._asked.php,
            adopted=isinstance(self._asked, ImportSite),
        )
        site = await self._parts.sites.add(new, operation_id=task.run.id)
        await task.note("row", uid=site.uid)

    async def forget_row(self, task: Task) -> None:
        if await self._own(task) is not None:
            await self._parts.sites.remove(self._name)

    # -- its database -------------------------------------------------------------------------------------------------

    async def database(self, task: Task) -> None:
        """Raise DatabaseExists, AccountExists, and what the databases room raises."""
        await self._parts.databases.create(
            self._server, database_of(self._name), task.passwords["database"], task.run.id, task.progress
        )

    async def drop_database(self, task: Task) -> None:
        await self._parts.databases.drop_own(self._server, database_of(self._name), task.run.id, task.progress)

    async def load(self, task: Task) -> None:
        assert isinstance(self._asked, ImportSite)
        path = self._parts.imports.path(self._asked.dump)
        if path is None:
            raise SiteConflict(f"{self._asked.dump} does not lie in the import directory any more")
        tables = await self._parts.databases.load(self._server, database_of(self._name), path, task.progress)
        await task.note("load", tables=tables)

    # -- its files ----------------------------------------------------------------------------------------------------

    async def tree(self, task: Task) -> None:
        """Raise SiteFilesRefused."""
        site = await self._site()
        secrets_ = self._parts.secrets_of(site, task.passwords["database"], task.passwords["redis"])
        await self._parts.files.create(site.name, site.uid, secrets_, hostnames=site.hostnames[1:])

    async def unpack(self, task: Task) -> None:
        """As `tree`, out of the archive."""
        assert isinstance(self._asked, ImportSite)
        site = await self._site()
        secrets_ = self._parts.secrets_of(site, task.passwords["database"], task.passwords["redis"])
        found = await self._parts.files.import_archive(site.name, site.uid, self._asked.archive, secrets_)
        await task.note(
            "tree",
            files=found.files,
            bytes=found.size_bytes,
            table_prefix=found.table_prefix,
            skipped=[quoted(name) for name in found.skipped[:20]],
        )

    async def put_tree_aside(self, task: Task) -> None:
        """It goes where removed trees go: nothing is deleted, not even what was just made."""
        site = await self._own(task)
        if site is None:
            return
        try:
            await self._parts.files.remove(site.name, site.uid, task.run.id.lower())
        except SiteFilesRefused as refused:
            if refused.extensions.get("code") not in ("missing", "unsafe"):  # none, or another one's under its name
                raise

    # -- what is in it ------------------------------------------------------------------------------------------------

    async def install(self, task: Task) -> None:
        """The administrator's password is known to nobody: it can be set, and is shown then."""
        assert isinstance(self._asked, AddSite)
        await self._parts.wp.core_install(
            await self._site(),
            title=self._asked.title,
            login=self._asked.admin_login,
            email=self._asked.admin_email,
            password=secrets.token_urlsafe(PASSWORD_BYTES),
            locale=self._asked.locale,
        )

    async def address(self, task: Task) -> None:
        """Bring what was loaded to this address, and to this WordPress's tables; compare its files with the sums."""
        assert isinstance(self._asked, ImportSite)
        site, wp = await self._site(), self._parts.wp
        if not await wp.is_installed(site):
            prefix = task.made("tree").get("table_prefix")
            raise SiteStepFailed(f"the dump holds no WordPress whose tables begin with {prefix!r}")
        replaced: Json = {}
        for old in old_addresses(self._asked.old_url, site.url):
            counts = await wp.replace(site, old, site.url, is_dry=False, skip_columns=SKIP_COLUMNS)
            replaced[old] = sum(counts.values())
        for option in ("home", "siteurl"):
            await wp.set_option(site, option, site.url)
        await wp.core_update_db(site)
        sums = await wp.verify_core(site)
        checksum = await self._parts.databases.checksum(site.server, site.database, task.progress)
        is_pure = sums.exit_code == 0
        if not is_pure:
            task.progress.note(f"its files are not all WordPress's own: {quoted(sums.stderr)[:1000]}")
        await task.note("address", replaced=replaced, is_core_pure=is_pure, database_checksum=checksum)

    # -- that it is seen ----------------------------------------------------------------------------------------------

    async def serve(self, task: Task) -> None:
        """Raise WebConfigRefused. What a former site of this name has left in the object cache is not this one's."""
        generation = await self._parts.serving.serve(self._name)
        await task.note("web", generation=generation.number)
        await self._parts.wp.flush_cache(await self._site())

    async def stop_serving(self, task: Task) -> None:
        site = await self._own(task)
        if site is not None and (site.is_served or self._name in await self._parts.serving.names()):
            await self._parts.serving.drop(self._name)

    async def list_for_backup(self, task: Task) -> None:
        await task.note("backup", is_listed=await self._parts.list_for_backup(with_=self._name))

    async def unlist(self, task: Task) -> None:
        await self._parts.list_for_backup(without=self._name)

    async def probe(self, task: Task) -> None:
        if trouble := await self._parts.prober.origin(await self._site()):
            raise SiteNotAnswering(f"at its own web server: {trouble}")

    async def route(self, task: Task) -> None:
        await routing.add(self._parts, task, tuple(self._asked.hostnames))

    async def unroute(self, task: Task) -> None:
        await routing.put_back(self._parts, task)

    async def probe_public(self, task: Task) -> None:
        if trouble := await self._parts.prober.public(await self._site()):
            raise SiteNotAnswering(f"by its public name: {trouble}")

    async def activate(self, task: Task) -> None:
        await self._parts.sites.change(self._name, state="active")

    async def deactivate(self, task: Task) -> None:
        if await self._own(task) is not None:
            await self._parts.sites.change(self._name, state="creating")


def old_addresses(old_url: str | None, url: str) -> list[str]:
    """What is replaced by the new address: the old one, by either scheme. None of it is part of another one of them."""
    if old_url is None:
        return []
    bare = old_url.partition("://")[2].rstrip("/")
    found = [f"{scheme}://{bare}" for scheme in ("https", "http")]
    return [each for each in found if each != url and urlsplit(each).hostname]
