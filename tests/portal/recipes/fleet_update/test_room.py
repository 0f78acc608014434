"""Updates of many sites, on real ones: what is kept, what is checked, what goes back, and what stops."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from backup import restore
from backup.exit_codes import RestoreRefused, SourceFailed
from backup.sources.wordpress import WordPressSite
from portal.integrations.backup_locks import site_lock
from portal.operations.journal import TargetBusy
from portal.operations.plans import PlanStale
from portal.operations.records import Filter
from portal.recipes.fleet_update import one_site, store, work
from portal.recipes.fleet_update.one_site import Checks, OneSite
from portal.recipes.fleet_update.points import BackupPoints
from portal.recipes.fleet_update.problems import UpdateNotFound, UpdateNotReady
from portal.recipes.fleet_update.recheck import Recheck
from portal.recipes.fleet_update.schemas import UpdateReport
from portal.wordpress.serving import Serving
from portal.wordpress.wp import WpCommands
from tests.portal.recipes.fleet_update.conftest import Units, World, standing
from tests.portal.wordpress.conftest import ANNA
from tests.portal.wordpress.public_edge import PublicEdge
from tests.services.fleet import FORMS, Fleet
from tests.services.homeport import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # a site is a backup, three reloads and a second look

_VERSIONS = itertools.count(1)
PLUGINS: dict[str, Any] = {"core": False, "themes": False}


@pytest.fixture
def version(fleet: Fleet) -> str:
    """Newer than what any test before has offered."""
    return f"2.{next(_VERSIONS)}.0"


def tree(world: World, site: str) -> dict[str, bytes]:
    """A site's plugins and themes, by path."""
    top = world.fleet.site(site).public / "wp-content"
    found = (path for part in ("plugins", "themes") for path in sorted((top / part).rglob("*")))
    return {str(path.relative_to(top)): path.read_bytes() for path in found if path.is_file()}


def warm(world: World, *sites: str) -> None:
    """The first visit of a new site writes options of its own."""
    for site in sites:
        for path in ("/", "/wp-login.php"):
            world.fleet.page(site, path)


def shows(world: World, site: str, text: str) -> bool:
    return text in world.fleet.page(site)[1]


async def until(world: World, update_id: str, is_so: Callable[[UpdateReport], bool]) -> None:
    """Return when the report says so."""
    for _ in range(4000):
        if is_so(await world.updates.update(update_id)):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it did not come to that")


def is_first_checked(report: UpdateReport) -> bool:
    """Whether the first site has its updates, and is being looked at."""
    return [site.step for site in report.sites][:1] == ["checking"]


def state_of(world: World, *sites: str) -> dict[str, Any]:
    return {site: (world.fleet.checksum(site), tree(world, site)) for site in sites}


async def test_sites_are_updated_ring_after_ring(world: World, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_site, "SETTLE_S", 0.1)
    await world.ring("birch", 1)
    world.fleet.add_plugin_update(FORMS, version)
    plan = await world.plan(sites=["alder", "birch"], **PLUGINS)
    assert [(ring.ring, [site.site for site in ring.sites]) for ring in plan.rings] == [(1, ["birch"]), (2, ["alder"])]
    operation, report = await world.applied(plan)
    assert operation.state == "done", (operation.error, operation.report)
    assert [(site.site, site.state) for site in report.sites] == [("birch", "updated"), ("alder", "updated")]
    assert report.state == "done"
    for site in report.sites:
        assert site.point is not None
        assert site.point.startswith("manual/")
        assert site.before is not None
        assert site.before["pages"].keys() == {"origin /", "origin /wp-login.php", "edge /", "edge /wp-login.php"}
        assert eventually(partial(shows, world, site.site, f"{FORMS} {version}"))  # PHP looks every two seconds
        assert not await world.is_maintained(site.site)
    assert (await world.plan(sites=["alder", "birch"], **PLUGINS)).changes == []


@pytest.mark.parametrize(
    ("how", "said"),
    [("fatal", "nobody_defined() in /srv/sites/birch/"), ("migrates-then-500", "origin / answered 200 before")],
)
async def test_exactly_the_harmed_site_goes_back_and_the_rest_is_not_begun(
    world: World, version: str, how: Any, said: str
) -> None:
    await world.ring("birch", 1)
    world.fleet.add_plugin_update(FORMS, version, how)
    plan = await world.plan(**PLUGINS)
    warm(world, "alder", "birch", "cedar")
    before = state_of(world, "alder", "birch", "cedar")
    operation, report = await world.applied(plan)
    assert operation.state == "failed"
    assert operation.error["type"] == "/problems/update-stopped"
    harmed, *others = report.sites
    assert (harmed.site, harmed.state) == ("birch", "rolled_back")
    assert "origin / answered 200 before and answers 500 now" in harmed.reason
    assert said in harmed.reason
    assert [(site.state, site.operation_id) for site in others] == [("not_begun", None)] * 2
    assert report.stopped.startswith("birch: ")
    assert state_of(world, "alder", "birch", "cedar") == before
    for site in ("alder", "birch", "cedar"):
        assert not await world.is_maintained(site)
        assert world.fleet.page(site)[0] == 200


async def test_site_without_a_restore_point_is_not_touched(
    world: World, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.fleet.add_plugin_update(FORMS, version)
    plan = await world.plan(sites=["cedar"], **PLUGINS)
    warm(world, "cedar")
    before = state_of(world, "cedar")

    def refuse(*_: object) -> None:
        raise SourceFailed("the disk of the sites cannot be read")

    monkeypatch.setattr(WordPressSite, "stage", refuse)
    _, report = await world.applied(plan)
    assert [(site.state, site.point) for site in report.sites] == [("not_begun", None)]
    assert "the disk of the sites cannot be read" in report.sites[0].reason
    assert state_of(world, "cedar") == before
    assert not await world.is_maintained("cedar")


async def test_ill_site_is_not_updated(world: World, version: str) -> None:
    world.fleet.add_plugin_update(FORMS, version)
    plan = await world.plan(sites=["cedar"], **PLUGINS)
    page = world.fleet.site("cedar").public / "wp-content" / "mu-plugins" / "ill.php"
    page.write_text("<?php if (!defined('WP_CLI')) { http_response_code(500); exit; }")
    page.chmod(0o644)
    try:
        await asyncio.sleep(2.1)  # PHP looks every two seconds
        _, report = await world.applied(plan)
    finally:
        page.unlink()
        await asyncio.sleep(2.1)
    assert [(site.state, site.step) for site in report.sites] == [("not_begun", "health")]
    assert "origin / answers 500" in report.sites[0].reason
    assert not await world.is_maintained("cedar")


def fails(monkeypatch: pytest.MonkeyPatch, owner: type, step: str, when: str, *, nth: int = 1) -> None:
    """Let the nth call of a step break, before its act or after it, with what nobody has foreseen."""
    real, calls = getattr(owner, step), itertools.count(1)

    async def broken(self: Any, *given: Any, **named: Any) -> Any:
        is_meant = next(calls) == nth
        if is_meant and when == "before":
            raise OSError("the disk is gone")
        done = await real(self, *given, **named)
        if is_meant:
            raise OSError("the disk is gone")
        return done

    monkeypatch.setattr(owner, step, broken)


# Step after step; what breaks after one breaks before the next.
UNTOUCHED = [  # nothing of the site has changed yet
    (BackupPoints, "at_work", 1, "before"),
    (Checks, "before", 1, "before"),
    (Checks, "before", 1, "after"),
    (Serving, "maintain", 1, "after"),
    (OneSite, "_checksum", 1, "after"),
    (BackupPoints, "make", 1, "after"),
]
TOUCHED = [
    (WpCommands, "update", 1, "before"),
    (WpCommands, "update", 1, "after"),
    (WpCommands, "flush_cache", 1, "after"),
    (Checks, "origin", 1, "after"),
    (OneSite, "_behind", 1, "after"),
    (Serving, "maintain", 2, "after"),
    (Checks, "public", 1, "after"),
]


@pytest.mark.parametrize(
    ("owner", "step", "nth", "when", "state"),
    [*((*fault, "not_begun") for fault in UNTOUCHED), *((*fault, "rolled_back") for fault in TOUCHED)],
)
async def test_fault_at_any_step_leaves_the_site_as_it_was(
    world: World, version: str, monkeypatch: pytest.MonkeyPatch, owner: type, step: str, nth: int, when: str, state: str
) -> None:
    monkeypatch.setattr(one_site, "SETTLE_S", 0.1)  # neither version is seen on a page
    world.fleet.add_plugin_update(FORMS, version)
    plan = await world.plan(sites=["cedar", "birch"], **PLUGINS)
    warm(world, "birch", "cedar")
    before = state_of(world, "birch", "cedar")
    fails(monkeypatch, owner, step, when, nth=nth)
    operation, report = await world.applied(plan)
    assert operation.state == "failed"
    assert [(site.site, site.state) for site in report.sites] == [("birch", state), ("cedar", "not_begun")]
    assert report.state == "stopped"
    assert state == "not_begun" or "an error of the portal's own" in report.sites[0].reason
    assert state_of(world, "birch", "cedar") == before
    for site in ("birch", "cedar"):
        assert not await world.is_maintained(site)
        with (await site_lock(world.units.directory, site, within_s=0)) or pytest.fail("nobody lets go of it"):
            pass
    assert world.fleet.page("birch")[0] == 200


@pytest.mark.parametrize("when", ["before", "after"])
async def test_what_cannot_be_written_down_at_the_end_leaves_a_whole_site(
    world: World, version: str, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Its update is through and visitors are back in: it is not taken from them for a line in a table."""
    monkeypatch.setattr(one_site, "SETTLE_S", 0.1)
    world.fleet.add_plugin_update(FORMS, version)
    plan = await world.plan(sites=["cedar"], **PLUGINS)
    fails(monkeypatch, OneSite, "_ended", when)
    _, report = await world.applied(plan)
    assert [site.state for site in report.sites] == ["unknown" if when == "before" else "updated"]
    assert report.state == "stopped"
    assert not await world.is_maintained("cedar")
    assert eventually(partial(shows, world, "cedar", f"{FORMS} {version}"))


async def test_cancelled_update_brings_its_site_back(
    world: World, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.fleet.add_plugin_update(FORMS, version)
    plan = await world.plan(sites=["cedar"], **PLUGINS)
    warm(world, "cedar")
    before = state_of(world, "cedar")
    monkeypatch.setattr(one_site, "SETTLE_S", 30.0)
    update_id = await world.begun(plan)
    await until(world, update_id, is_first_checked)
    monkeypatch.setattr(one_site, "SETTLE_S", 0.1)  # no page has run the new version yet
    assert await site_lock(world.units.directory, "cedar", within_s=0) is None  # no backup copies it meanwhile
    with pytest.raises(TargetBusy):  # one at a time, whatever it is about
        await world.begun(await world.plan(sites=["birch"], **PLUGINS))
    (child,) = await world.runner.find(Filter(act="wordpress:update-site"), limit=1)
    await world.runner.cancel(ANNA, child.id)
    await world.runner.wait(update_id)
    report = await world.updates.update(update_id)
    assert [(site.state, site.reason) for site in report.sites] == [("rolled_back", "it was cancelled")]
    with (await site_lock(world.units.directory, "cedar", within_s=0)) or pytest.fail("nobody lets go of it"):
        pass
    assert state_of(world, "cedar") == before
    assert not await world.is_maintained("cedar")


async def test_site_that_is_harmed_only_through_its_public_name_goes_back(
    world: World, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.fleet.add_plugin_update(FORMS, version)
    plan = await world.plan(sites=["cedar"], **PLUGINS)
    warm(world, "cedar")
    before, origin = state_of(world, "cedar"), world.edge._origin

    def at_the_edge(host: str, path: str) -> tuple[int, bytes]:
        status, body = origin(host, path)
        return (403, b"<html>blocked</html>") if version.encode() in body else (status, body)

    monkeypatch.setattr(world.edge, "_origin", at_the_edge)
    _, report = await world.applied(plan)
    (site,) = report.sites
    assert (site.state, site.reason) == ("rolled_back", "edge / answered 200 before and answers 403 now")
    assert state_of(world, "cedar") == before
    assert not await world.is_maintained("cedar")


async def test_fatal_error_that_no_page_shows_is_harm_when_it_is_new(world: World) -> None:
    site = await world.wordpress.sites.get("cedar")
    boom = world.fleet.site("cedar").public / "wp-content" / "mu-plugins" / "boom.php"
    boom.write_text("<?php if (isset($_GET['boom'])) { ('nobody_defined_' . (int) $_GET['boom'])(); }")
    boom.chmod(0o644)
    try:
        checks = Checks(world.tools)
        world.fleet.page("cedar", "/?boom=1")
        before = await checks.before(site)
        assert [("nobody_defined_1" in line) for line in before.fatals or ()][-1:] == [True]
        since = datetime.now(UTC)
        world.fleet.page("cedar", "/?boom=1")
        assert await checks.since_then(site, before, since) == []  # it was like this before
        world.fleet.page("cedar", "/?boom=2")
        (said,) = await checks.since_then(site, before, since)
        assert "nobody_defined_2" in said
    finally:
        boom.unlink()


async def test_site_that_cannot_go_back_stays_in_maintenance_with_its_point_named(
    world: World, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.fleet.add_plugin_update(FORMS, version, "fatal")
    plan = await world.plan(sites=["cedar"], **PLUGINS)

    def refuse(*_: object) -> None:
        raise RestoreRefused("the disk of the points is away")

    apply = restore.apply
    monkeypatch.setattr(restore, "apply", refuse)
    _, report = await world.applied(plan)
    (site,) = report.sites
    assert (site.state, "the disk of the points is away" in site.reason) == ("failed", True)
    assert site.point is not None
    assert await world.is_maintained("cedar")
    monkeypatch.setattr(restore, "apply", apply)
    (operation,) = await world.runner.find(Filter(act="wordpress:update-site"), limit=1)
    assert operation.error["type"] == "/problems/roll-back-failed"
    world.fleet.add_plugin("cedar", FORMS)  # mended by hand, for the tests behind
    await world.wordpress.serving.maintain("cedar", False)


async def test_harm_between_the_rings_stops_the_rest_and_names_the_point(
    world: World, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "SOAK_LOOK_S", 0.3)
    monkeypatch.setattr(one_site, "SETTLE_S", 0.1)
    await world.ring("birch", 1)
    world.fleet.add_plugin_update(FORMS, version)
    update_id = await world.begun(await world.plan(sites=["birch", "alder"], soak_minutes=5, **PLUGINS))
    await until(world, update_id, lambda report: report.state != "at_work")
    assert (await world.updates.update(update_id)).state == "soaking"
    world.fleet.break_plugin("birch")
    await world.runner.wait(update_id)
    report = await world.updates.update(update_id)
    birch, alder = report.sites
    assert (birch.state, alder.state) == ("updated", "not_begun")
    assert str(birch.point) in birch.reason
    assert "harmed after its update: origin / answered 200 before" in birch.reason
    world.fleet.add_plugin("birch", FORMS, version)


async def test_portal_stopped_between_two_rings_begins_no_further_one(
    fleet: Fleet, units: Units, edge: PublicEdge, database_url: str, tmp_path: Path, version: str, monkeypatch: Any
) -> None:
    """Whatever happened to the first ring meanwhile, nobody has watched it."""
    monkeypatch.setattr(one_site, "SETTLE_S", 0.1)
    fleet.add_plugin_update(FORMS, version)
    async with standing(database_url, tmp_path, fleet, units, edge) as world:
        await world.ring("birch", 1)
        update_id = await world.begun(await world.plan(sites=["birch", "cedar"], soak_minutes=5, **PLUGINS))
        await until(world, update_id, lambda report: report.state == "soaking")
        before = state_of(world, "cedar")
    async with standing(database_url, tmp_path, fleet, units, edge, is_first=False) as world:
        await world.runner.recovered()
        await world.updates.jobs[0].work()
        report = await world.updates.update(update_id)
        assert (report.state, report.stopped) == ("stopped", "the portal stopped")
        assert [(site.site, site.state) for site in report.sites] == [("birch", "updated"), ("cedar", "not_begun")]
        assert state_of(world, "cedar") == before
        for site in ("birch", "cedar"):
            assert not await world.is_maintained(site)


async def test_stopped_portal_leaves_what_it_was_at_and_the_next_one_looks(
    fleet: Fleet, units: Units, edge: PublicEdge, database_url: str, tmp_path: Path, version: str, monkeypatch: Any
) -> None:
    fleet.add_plugin_update(FORMS, version)
    monkeypatch.setattr(one_site, "SETTLE_S", 30.0)
    async with standing(database_url, tmp_path, fleet, units, edge) as world:
        update_id = await world.begun(await world.plan(sites=["alder", "cedar"], **PLUGINS))
        await until(world, update_id, is_first_checked)
    monkeypatch.setattr(one_site, "SETTLE_S", 3.0)
    async with standing(database_url, tmp_path, fleet, units, edge, is_first=False) as world:
        await world.runner.recovered()
        await world.updates.jobs[0].work()
        report = await world.updates.update(update_id)
        assert (report.state, report.stopped) == ("stopped", "the portal stopped")
        assert [(site.site, site.state) for site in report.sites] == [("alder", "updated"), ("cedar", "not_begun")]
        assert not await world.is_maintained("alder")
        assert f"{FORMS} {version}" in fleet.page("alder")[1]


async def test_plan_is_stale_when_a_site_has_changed(world: World, version: str) -> None:
    world.fleet.add_plugin_update(FORMS, version)
    plan = await world.plan(sites=["birch"], **PLUGINS)
    assert (await world.updates.read_plan(plan.id)) == plan
    world.fleet.wp("birch", "plugin", "update", FORMS)
    await world.wordpress.inventory.read("birch")
    with pytest.raises(PlanStale) as stale:
        await world.begun(plan)
    new: Any = stale.value.extensions["plan"]
    assert new["changes"] == []
    with pytest.raises(UpdateNotFound):
        await world.updates.update("01JD0000000000000000000000")


async def test_site_that_the_backup_does_not_know_is_left_out(world: World, version: str) -> None:
    world.fleet.add_plugin_update(FORMS, version)
    list_file = world.units.directory / "told" / "sites.json"
    list_file.write_text('{"version": 1, "sites": []}')
    world.units.know()
    plan = await world.plan(sites=["cedar"], **PLUGINS)
    assert plan.changes == []
    assert [(each.site, "no restore point" in each.why) for each in plan.left_out] == [("cedar", True)]


async def test_update_waits_for_a_backup_that_is_at_work_and_not_for_ever(
    world: World, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await world.points.at_work() == ""
    record = world.units.directory / "runs" / "20991122T030000Z-run-0a1b2c3d.jsonl"
    record.write_text('{"at": "2099-11-22T03:00:00Z", "type": "started", "verb": "run daily", "by": "timer"}\n')
    assert (await world.points.at_work()).startswith("run daily")
    monkeypatch.setattr(work, "BACKUP_LOOK_S", 0.01)
    monkeypatch.setattr(work, "BACKUP_WAIT_S", 0.03)
    world.fleet.add_plugin_update(FORMS, version)
    operation, report = await world.applied(await world.plan(sites=["cedar"], **PLUGINS))
    assert operation.error["type"] == "/problems/backup-at-work"
    assert [(site.state, site.step) for site in report.sites] == [("not_begun", "")]
    assert report.stopped.startswith("run daily")


async def test_without_a_backup_nothing_is_planned_and_what_is_missing_is_said(world: World) -> None:
    without = world.updates._settings.model_copy(update={"backup_dir": None})
    world.updates._settings = without
    with pytest.raises(UpdateNotReady) as refused:
        await world.plan()
    assert refused.value.extensions["missing"] == ["HOMEPORT_PORTAL_BACKUP_DIR is not set"]
    assert (await world.updates.updates()).not_ready == refused.value.extensions["missing"]


async def test_site_that_somebody_has_put_into_maintenance_stays_so(world: World, version: str) -> None:
    world.fleet.add_plugin_update(FORMS, version)
    plan = await world.plan(sites=["cedar"], **PLUGINS)
    await world.wordpress.serving.maintain("cedar", True)
    _, report = await world.applied(plan)
    assert [(site.state, "somebody else's to end" in site.reason) for site in report.sites] == [("not_begun", True)]
    assert await world.is_maintained("cedar")
    # nor does a portal end it that finds the update cut off before it had begun with the site
    operation = await world.runner.get(str(report.sites[0].operation_id))
    again = {"state": "at_work", "step": "health", "reason": "", "ended_at": None}
    await world.database.run(lambda session: store.change(session, report.id, "cedar", **again))
    assert (await Recheck(world.tools).site(operation)).outcome == "not_done"
    assert await world.is_maintained("cedar")
    await world.wordpress.serving.maintain("cedar", False)
