"""What runs in a site, as something that is planned, applied and taken back (portal/operations/plans.py).

Both ends of a plan are values of names (changes.py). The present is what the site's own PHP says at that moment. A
plugin or theme that changes its version or goes is copied aside first, so that the way back does not depend on what
wordpress.org still has; a version is brought from such a copy, else from a package of the operator's, else from there.

Each step of a change goes on to its end also when the operation is cancelled; nothing more is begun then. What one
change refuses keeps no other from it. At the end the site is read again: what came about is what it says, and a site
whose PHP fails since then makes the operation fail, with the way back named.
"""

from __future__ import annotations

import asyncio
import html
from collections.abc import Mapping, Sequence
from typing import Any

from kit.problem import Problem
from portal.broker.failures import BrokerUnavailable
from portal.operations.plans import Change, Order, PlanIncomplete, Value
from portal.operations.progress import Progress
from portal.wordpress.changes import Name, Replacement, counted, is_of_the_site, needs_restore_point, value_of
from portal.wordpress.inventory import InventoryReader
from portal.wordpress.kept import KeptTrees
from portal.wordpress.packages import Packages
from portal.wordpress.points import RestorePoints
from portal.wordpress.reading import Inventory, SiteReading
from portal.wordpress.serving import Serving
from portal.wordpress.sites import Site, Sites
from portal.wordpress.whole import whole
from portal.wordpress.wp import Kind, WpCommands

APPLY = "wordpress:apply"
TIMEOUT_S = 2 * 3600.0  # fifty changes of a slow site, and a restore point of a large one
LOOK_S = 50  # counting replacements while somebody waits for the answer
WITHOUT_POINT = "without_restore_point"

# What goes first: nobody sees a half changed site, and what is to go does not run while others change.
_TURNS = ("maintenance-on", "off", "core", "version", "on", "option", "search-replace", "maintenance-off")


class SiteUnreadable(Problem):
    """The site could not be read, not even without its plugins; `detail` quotes why. Look at its log, its database and
    its files; then refresh it."""

    status, type, title = 502, "site-unreadable", "The site cannot be read"


class SiteBroken(Problem):
    """The changes came about, and since then the site's PHP fails; `detail` quotes it. Undo the plan: what was there
    before is kept."""

    status, type, title = 409, "site-broken", "The site fails since then"


class SiteState:
    """Implements plans.Subject."""

    def __init__(
        self,
        sites: Sites,
        wp: WpCommands,
        inventory: InventoryReader,
        kept: KeptTrees,
        packages: Packages,
        serving: Serving,
        points: RestorePoints,
    ) -> None:
        self._sites, self._wp, self._inventory = sites, wp, inventory
        self._kept, self._packages, self._serving, self._points = kept, packages, serving, points

    # -- looking ------------------------------------------------------------------------------------------------------

    async def look(self, target: str, names: Sequence[str]) -> Mapping[str, Value]:
        is_read = any(is_of_the_site(Name.parse(name)) for name in names)
        inventory = (await self.read(target))[0] if is_read else Inventory()
        return await self._values(target, names, inventory)

    async def read(self, site: str) -> tuple[Inventory, SiteReading]:
        """Read the site now. Raise NoSuchSite, SiteUnreadable, BrokerUnavailable."""
        reading = await self._inventory.read(site)
        if reading.trouble == "unreachable":
            raise BrokerUnavailable(reading.error)
        if reading.inventory is None or reading.trouble not in ("", "fatal"):
            raise SiteUnreadable(reading.error, trouble=reading.trouble)
        return reading.inventory, reading

    async def _values(self, target: str, names: Sequence[str], inventory: Inventory) -> Mapping[str, Value]:
        site = await self._sites.active(target)
        return {name: await self._present(site, Name.parse(name), inventory) for name in names}

    async def _present(self, site: Site, name: Name, inventory: Inventory) -> Value:
        match name.kind:
            case "maintenance":
                return site.is_maintained
            case "option":
                return _as_written(name.subject, await self._wp.option(site, name.subject))
            case "search-replace":
                return counted(await self._replace(site, Replacement.parse(name), is_dry=True, timeout_s=LOOK_S))
            case _:
                return value_of(name, inventory)

    async def source(self, site: Site, change: Change) -> str | None:
        """Where the version that a change wishes for comes from: kept, package:<file>, wordpress.org."""
        name, version = Name.parse(change.name), (change.after or {}).get("version") if _is_extension(change) else None
        if name.kind == "core":
            return "wordpress.org"
        if not _is_extension(change) or not _is_fetched(change):
            return None
        if version is not None and await self._kept.find(site, _kind(name), name.subject, version):
            return "kept"
        package = version and await asyncio.to_thread(self._packages.find, name.kind, name.subject, version)
        return f"package:{package.file}" if package else "wordpress.org"

    # -- bringing it about --------------------------------------------------------------------------------------------

    async def put(self, order: Order, progress: Progress) -> Mapping[str, Any]:
        site = await self._sites.active(order.target)
        point = None
        if needs_restore_point(order.changes) and not order.how.get(WITHOUT_POINT):
            progress.note("making a restore point")
            point = await self._points.make(order.actor, site.name, progress)
            progress.note(f"restore point {point}")
        results = []
        for number, change in enumerate(sorted(order.changes, key=_turn)):
            progress.note(f"{change.name}: {_said(change.before)} -> {_said(change.after)}")
            problem = await self._put_one(site, change, progress)
            results.append({"name": change.name, "state": "failed" if problem else "done", "problem": problem})
            progress.at(number + 1, len(order.changes))
        return await self._judged(site, order.changes, results, point)

    async def _put_one(self, site: Site, change: Change, progress: Progress) -> dict[str, Any] | None:
        """Bring one change about, whole, and return the problem that kept it."""
        try:
            await whole(self._put(site, change, progress.operation_id))
        except Problem as problem:
            progress.note(f"{change.name}: {problem.title}. {problem.detail}")
            return problem.document()
        return None

    async def _put(self, site: Site, change: Change, operation_id: str) -> None:
        name = Name.parse(change.name)
        match name.kind:
            case "maintenance":
                await self._serving.maintain(site.name, bool(change.after))
            case "option":
                await self._wp.set_option(site, name.subject, str(change.after))
            case "search-replace":
                await self._replace(site, Replacement.parse(name), is_dry=False)
                await self._wp.flush_cache(site)
            case "core":
                await self._wp.core_update(site, change.after["version"])
            case _:
                await self._put_extension(site, change, operation_id)

    async def _put_extension(self, site: Site, change: Change, operation_id: str) -> None:
        name, before, after = Name.parse(change.name), change.before, change.after
        kind, slug = _kind(name), name.subject
        is_there, is_active = before["state"] != "absent", before["state"] == "active"
        if is_there and (after["state"] == "absent" or _is_fetched(change)):
            await self._keep(site, kind, slug, before["version"], operation_id)
        if kind == "plugin" and is_active and after["state"] != "active":
            await self._wp.deactivate(site, slug)
        if after["state"] == "absent":
            await self._wp.delete(site, kind, slug)
            return
        if _is_fetched(change):
            await self._bring(site, kind, slug, after["version"])
        if after["state"] == "active" and not is_active:
            await self._wp.activate(site, kind, slug)

    async def _keep(self, site: Site, kind: Kind, slug: str, version: str | None, operation_id: str) -> None:
        if version is not None and await self._kept.find(site, kind, slug, version) is None:
            await self._kept.keep(site, kind, slug, version, operation_id)

    async def _bring(self, site: Site, kind: Kind, slug: str, version: str | None) -> None:
        """Put a version in place, or the newest."""
        if version is None:
            await self._wp.install(site, kind, slug)
            return
        kept = await self._kept.find(site, kind, slug, version)
        if kept is not None:
            await self._kept.put_back(site, kept)
            return
        package = await asyncio.to_thread(self._packages.find, kind, slug, version)
        if package is not None:
            await self._wp.install(site, kind, package.file)
        elif self._is_offered(site, kind, slug, version):
            await self._wp.update(site, kind, slug)  # from wherever the site's own update comes, also a vendor's
        else:
            await self._wp.install(site, kind, slug, version=version)

    def _is_offered(self, site: Site, kind: Kind, slug: str, version: str) -> bool:
        """Whether this is the version that the site is offered as its update."""
        reading = self._inventory.last(site.name)
        if reading is None or reading.inventory is None:
            return False
        found = reading.inventory.plugin(slug) if kind == "plugin" else reading.inventory.theme(slug)
        return found is not None and found.update_version == version

    async def _replace(
        self, site: Site, wanted: Replacement, *, is_dry: bool, timeout_s: int | None = None
    ) -> dict[str, int]:
        limit = {} if timeout_s is None else {"timeout_s": timeout_s}
        return await self._wp.replace(
            site, wanted.old, wanted.new, is_dry=is_dry, skip_columns=wanted.skip_columns, **limit
        )

    async def _judged(
        self, site: Site, changes: Sequence[Change], results: list[dict[str, Any]], point: str | None
    ) -> Mapping[str, Any]:
        """What the site says afterwards: raise unless everything came about and its PHP still runs.

        A site that cannot be read at all can be put into maintenance all the same.
        """
        is_read = any(Name.parse(change.name).kind != "maintenance" for change in changes)
        inventory, reading = await self.read(site.name) if is_read else (Inventory(), None)
        present = await self._values(site.name, [change.name for change in changes], inventory)
        after = {change.name: change.after for change in changes}
        for result in results:
            if result["state"] == "done" and present.get(result["name"]) != after[result["name"]]:
                result["state"] = "failed"
                detail = f"it is {_said(present.get(result['name']))} now"
                result["problem"] = PlanIncomplete(detail).document()
        told: dict[str, Any] = {"results": results, "restore_point": point}
        if reading is not None and reading.trouble:
            raise SiteBroken(reading.error, **told)
        failed = sum(1 for result in results if result["state"] != "done")
        if failed:
            raise PlanIncomplete(f"{failed} of {len(results)} did not come about", **told)
        return told


def _as_written(option: str, value: Value) -> Value:
    """WordPress keeps title and tagline as HTML; whoever writes one writes text."""
    return html.unescape(value) if option in ("blogname", "blogdescription") and isinstance(value, str) else value


def _is_extension(change: Change) -> bool:
    return Name.parse(change.name).kind in ("plugin", "theme")


def _is_fetched(change: Change) -> bool:
    """Whether a plugin's or theme's files are replaced, or come."""
    if change.after["state"] == "absent":
        return False
    return bool(change.before["state"] == "absent" or change.before["version"] != change.after["version"])


def _kind(name: Name) -> Kind:
    return "theme" if name.kind == "theme" else "plugin"


def _turn(change: Change) -> tuple[int, str]:
    name = Name.parse(change.name)
    if name.kind == "maintenance":
        turn = "maintenance-on" if change.after else "maintenance-off"
    elif name.kind not in ("plugin", "theme"):
        turn = name.kind
    elif name.kind == "plugin" and change.after["state"] != "active":
        turn = "off" if change.before["state"] == "active" else "version"
    else:  # the theme that becomes active is put before the one that it takes the place of: that one needs nothing
        turn = "on" if change.before["state"] != "active" else "version"
    return _TURNS.index(turn), change.name


def _said(value: Value) -> str:
    """A value in a line of the log."""
    if isinstance(value, dict):
        return " ".join(str(each) for each in value.values() if isinstance(each, str | int))
    return str(value)[:200]
