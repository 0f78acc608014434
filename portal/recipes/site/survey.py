"""What stands where a site is to be made, or removed: the present of a plan, and everything that is in the way.

The names of a plan, S a site: "site S" (its state), "database SERVER/NAME", "account SERVER/NAME", "tree S", "vhost S"
(each "there", or absent). Routes and records are planned by the DNS room, which looks once more when it applies them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kit.problem import Problem
from portal.actor import Actor
from portal.broker.schemas import FIRST_UID
from portal.dns.tunnel.schemas import RoutePlan
from portal.integrations.site_files import SiteFilesRefused
from portal.recipes.site import routing
from portal.recipes.site.parts import Parts
from portal.recipes.site.schemas import AddSite, ImportSite, RemoveSite
from portal.wordpress.names import database_of
from portal.wordpress.sites import Site

THERE = "there"
OTHERS = "it is not touched: choose another name, or remove it yourself"


@dataclass(frozen=True, slots=True)
class Conflict:
    what: str
    way_out: str


@dataclass(slots=True)
class Survey:
    """
    wish    name -> what it is to become; None: gone
    routes  what the DNS room would do; None: nothing
    """

    wish: dict[str, Any]
    routes: RoutePlan | None = None
    conflicts: list[Conflict] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def hinder(self, what: str, way_out: str) -> None:
        self.conflicts.append(Conflict(what, way_out))


class Surveyor:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    # -- as plans look ------------------------------------------------------------------------------------------------

    async def look(self, site: str, names: Sequence[str]) -> Mapping[str, Any]:
        """Return the present of these names; what is not there is left out."""
        row = await self._parts.sites.find(site)
        found: dict[str, Any] = {}
        for name in names:
            kind, _, rest = name.partition(" ")
            value = await self._value(kind, rest, row)
            if value is not None:
                found[name] = value
        return found

    async def _value(self, kind: str, rest: str, row: Site | None) -> str | None:
        parts = self._parts
        if kind == "site":
            return row.state if row is not None else None
        if kind in ("database", "account"):
            server, _, name = rest.partition("/")
            has_database, has_account = await parts.databases.exists(server, name)
            return THERE if (has_database if kind == "database" else has_account) else None
        if kind == "tree":
            return THERE if await self._has_tree(rest, row.uid if row is not None else FIRST_UID) else None
        return THERE if rest in await parts.serving.names() else None

    async def _has_tree(self, name: str, uid: int) -> bool:
        try:
            await self._parts.files.measure(name, uid)
        except SiteFilesRefused as refused:
            if refused.extensions.get("code") == "missing":
                return False
            if refused.extensions.get("code") != "unsafe":  # a tree of another user id is a tree
                raise
        return True

    # -- what would be done -------------------------------------------------------------------------------------------

    async def add(self, actor: Actor, asked: AddSite | ImportSite) -> Survey:
        """What making it stands on. asked: names cleaned, the server chosen."""
        name, server = asked.site, asked.server or ""
        database = database_of(name)
        survey = Survey(
            {
                f"site {name}": "active",
                f"database {server}/{database}": THERE,
                f"account {server}/{database}": THERE,
                f"tree {name}": THERE,
                f"vhost {name}": THERE,
            }
        )
        for present in await self.look(name, list(survey.wish)):
            survey.hinder(f"{present} is there already", OTHERS)
        taken = {each: site.name for site in await self._parts.sites.all() for each in site.hostnames}
        for hostname in asked.hostnames:
            if hostname in taken:
                survey.hinder(f"{hostname} belongs to {taken[hostname]}", "take it from that site, or choose another")
        if isinstance(asked, ImportSite):
            await self._import_files(survey, asked)
        if asked.is_public:
            await self._routes(survey, actor, tuple(asked.hostnames))
        else:
            survey.notes.append("nothing leads to it from outside: no route, no record")
        if not self._parts.backup.is_connected:
            survey.notes.append("no backup is connected: its first restore point is yours to see to")
        if not self._parts.prober.has_origin:
            survey.notes.append("it is not looked at when it is made: HOMEPORT_PORTAL_SITES_ORIGIN_URL is not set")
        await self._unfinished(survey, name)
        return survey

    async def remove(self, actor: Actor, asked: RemoveSite, site: Site) -> Survey:
        named = f"{site.server}/{site.database}"
        survey = Survey(dict.fromkeys((f"site {site.name}", f"database {named}", f"account {named}"), None))
        survey.wish |= {f"tree {site.name}": None, f"vhost {site.name}": None}
        has_points = await self._parts.points.is_connected(site.name)
        if not has_points and not asked.without_restore_point:
            survey.hinder(
                "no final restore point can be made: no backup is connected, or it does not know the site yet",
                "run a backup first, or say that it is to go without one (--without-restore-point)",
            )
        survey.notes.append("the tree is put aside and a dump of the database is kept: nothing is deleted at once")
        if site.state != "active":
            survey.hinder(f"{site.name} is {site.state}", "`homeport site unfinished` shows what is at work on it")
        try:
            wish = await routing.wish_to_remove(self._parts, site.hostnames)
            if wish is not None:
                survey.routes = await self._parts.tunnels.plan(actor, wish)
        except Problem as problem:
            survey.hinder(f"what leads to it cannot be planned: {problem}", "mend that first")
        await self._unfinished(survey, site.name)
        return survey

    async def _routes(self, survey: Survey, actor: Actor, hostnames: tuple[str, ...]) -> None:
        try:
            plan = await self._parts.tunnels.plan(actor, routing.wish_to_add(hostnames))
        except Problem as problem:
            survey.hinder(
                f"its host names cannot be led there: {problem}",
                "mend that, or make it without a route and a record (--private)",
            )
            return
        survey.routes = plan
        for name in routing.present(plan):
            survey.hinder(f"{name} is there already", OTHERS)
        survey.notes += [f"{warning.name}: {warning.text}" for warning in plan.warnings]

    async def _import_files(self, survey: Survey, asked: ImportSite) -> None:
        for file in (asked.archive, asked.dump):
            if await asyncio.to_thread(self._parts.imports.path, file) is None:
                survey.hinder(f"{file} does not lie in the import directory", "lay it there; `homeport site imports`")
        if asked.old_url is None:
            survey.notes.append("nothing in its content is replaced: links to another address stay as they are")

    async def _unfinished(self, survey: Survey, name: str) -> None:
        for run in await self._parts.runs.open():
            if run.site == name:
                survey.hinder(f"run {run.id} on {name} is not finished", "`homeport site unfinished` shows it")
