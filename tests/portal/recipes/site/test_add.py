"""A new site: everything is there at the end, or nothing."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
from typing import Any

import pytest
from sqlalchemy import select

from portal.operations.plans import PlanStale
from portal.operations.runner import TargetBusy
from portal.recipes.site.models import SiteRunRow
from portal.recipes.site.problems import NothingUnfinished, SiteConflict, SitesNotReady
from portal.recipes.site.schemas import ApplySiteRecipe
from portal.wordpress.names import SiteNameInvalid
from portal.wordpress.sites import NewSite
from tests.fakes.cloudflare.state import Record
from tests.portal.conftest import HOME
from tests.portal.recipes.site.conftest import ANNA, HOST, SITE, Desk, Killed, World, a_site, failing, gone

STEPS = ("row", "database", "tree", "install", "web", "backup", "probe", "route", "public", "activate")


async def test_new_site_answers_and_has_all_that_belongs_to_it(world: World) -> None:
    before = await world.seen()
    plan = await world.plan(a_site())
    assert (plan.conflicts, [step.name for step in plan.steps]) == ([], list(STEPS))
    assert {change.name for change in plan.changes} == {
        *(f"{kind} {SITE}" for kind in ("site", "tree", "vhost")),
        *(f"{kind} blog/wp_garden" for kind in ("database", "account")),
        *(f"{kind} {HOST}" for kind in ("route", "record")),
    }
    assert plan.needs_step_up
    operation = await world.apply(plan)
    assert operation.state == "done", (operation.error, operation.report.lines)

    after, site = await world.seen(), await world.wordpress.sites.get(SITE)
    assert (site.state, site.made_by) == ("active", operation.id)
    tree = world.fleet.sites_root / SITE
    assert {(tree / name).stat().st_uid for name in ("public", "private", "tmp")} == {site.uid}
    assert {each for each in after["grants"] if each not in before["grants"]} == {
        ("'wp_garden'@'%'", r"wp\_garden", privilege)
        for grantee, schema, privilege in after["grants"]
        if schema == r"wp\_garden"
    }
    assert set(after["web"]) - set(before["web"]) == {f"nginx/{SITE}.conf", f"php/{SITE}.conf"}
    assert f"user {SITE} " in after["web"]["redis/users.acl"]
    assert after["ingress"][0] == {"hostname": HOST, "service": "http://blog-nginx:8080"}
    assert len(after["records"]) == len(before["records"]) + 1
    assert after["listed"] == ["alder", SITE]
    users = await world.wordpress.wp.users(site)
    assert [(user["user_login"], user["roles"]) for user in users] == [("anna", "administrator")]
    shown = await world.recipes.read_plan(plan.id)
    assert ({step.state for step in shown.steps}, shown.run) == ({"done"}, operation.id)

    passwords = re.findall(r"'([A-Za-z0-9_-]{32})'", (tree / "private" / "wp-database.php").read_text())
    assert len(passwords) == 1
    (row,) = await world.database.read(lambda session: list(session.scalars(select(SiteRunRow))))
    assert (row.state, row.sealed) == ("done", None)
    assert passwords[0] not in repr((operation, row.asked))
    await world.done(gone())


async def test_private_site_gets_no_route(world: World) -> None:
    before = await world.seen()
    plan = await world.plan(a_site(is_public=False))
    assert not plan.needs_step_up
    assert "route" not in {step.name for step in plan.steps}
    assert (await world.apply(plan)).state == "done"
    after = await world.seen()
    assert (after["ingress"], after["records"]) == (before["ingress"], before["records"])
    await world.done(gone())
    assert await world.seen() == before


@pytest.mark.parametrize("step", STEPS)
async def test_step_that_fails_after_its_act_leaves_the_world_as_it_was(world: World, step: str) -> None:
    before, plan = await world.seen(), await world.plan(a_site())
    with failing(step, "done", OSError("the disk is gone")):
        operation = await world.apply(plan)
    assert (operation.state, operation.error["type"]) == ("failed", "/problems/site-step-failed")
    assert operation.result["step"] == step
    assert await world.seen() == before
    assert (await world.tunnels.overview()).orphans == []
    assert (await world.recipes.unfinished()).runs == []
    states = {each.name: each.state for each in (await world.recipes.read_plan(plan.id)).steps}
    at = STEPS.index(step) + 1
    assert states == {name: "undone" if name in STEPS[:at] else "todo" for name in STEPS}


@pytest.mark.parametrize(
    ("step", "way"), [("database", "revert"), ("install", "resume"), ("route", "resume"), ("activate", "revert")]
)
async def test_run_of_a_killed_portal_is_finished_or_taken_back(desk: Desk, step: str, way: Any) -> None:
    async with desk.stand() as world:
        before, plan = await world.seen(), await world.plan(a_site())
        with failing(step, "done", Killed()):
            await world.apply(plan)
        left = await world.seen()
    async with desk.stand() as world:
        assert await world.seen() == left  # nothing is done by itself
        (run,) = (await world.recipes.unfinished()).runs
        assert (run.site, run.trouble) == (SITE, "")
        assert "begun" in {each.state for each in run.steps}
        hindered = await world.plan(a_site())
        assert any(run.run in each.what for each in hindered.conflicts)
        operation = await world.go_on(way)
        assert operation.state == "done", operation.error
        assert (await world.recipes.unfinished()).runs == []
        with pytest.raises(NothingUnfinished):
            await world.recipes.go_on(ANNA, run.run, way, lambda: None)
        if way == "resume":
            assert (await world.wordpress.sites.get(SITE)).state == "active"
            assert world.fleet.page("alder")[0] == 200
            await world.done(gone())
        assert await world.seen() == before


@pytest.mark.slow
async def test_portal_that_is_killed_between_two_steps_leaves_what_can_be_taken_back(desk: Desk) -> None:
    async with desk.stand() as world:
        before, plan = await world.seen(), await world.plan(a_site())
        settings = world.settings
    asked = settings.model_dump(mode="json", exclude_unset=True) | {"cloudflare_token": desk.cf.token()}
    words = [sys.executable, "-m", "tests.portal.recipes.site.killed", json.dumps(asked), desk.database_url, plan.id]
    died = await asyncio.to_thread(subprocess.run, [*words, "web"], check=False, capture_output=True, timeout=120)
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()
    async with desk.stand() as world:
        (run,) = (await world.recipes.unfinished()).runs
        states = {step.name: step.state for step in run.steps}
        assert (states["install"], states["web"], states["backup"]) == ("done", "begun", "todo")
        await world.runner.recovered()
        operation = await world.runner.get(run.run)
        assert (operation.state, operation.outcome) == ("interrupted", "unknown")
        assert (await world.go_on("revert")).state == "done"
        assert await world.seen() == before


async def test_what_is_there_already_is_a_conflict_and_stays(world: World) -> None:
    tree = world.fleet.sites_root / SITE
    record, entry = Record("A", HOST, "192.0.2.7"), {"hostname": f"www.{HOST}", "service": "http://old:1"}
    world.fleet.mariadb.execute("CREATE DATABASE wp_garden", "CREATE USER wp_garden@localhost")
    tree.mkdir()
    (tree / "private").mkdir()
    world.cf.state.zones[HOME].records.append(record)
    try:
        first = await world.plan(a_site())
        assert [each.what for each in first.conflicts[:3]] == [
            "database blog/wp_garden is there already",
            "account blog/wp_garden is there already",
            f"tree {SITE} is there already",
        ]
        assert "192.0.2.7" in first.conflicts[3].what
        with pytest.raises(SiteConflict) as refused:
            await world.apply(first)
        assert len(refused.value.extensions["conflicts"]) == 4  # type: ignore[arg-type]
        world.cf.state.zones[HOME].records.remove(record)
        world.cf.state.tunnels[0].config["ingress"].insert(0, entry)
        second = await world.plan(a_site(hostnames=[f"www.{HOST}", "alder.example"]))
        assert any("alder.example belongs to alder" in each.what for each in second.conflicts)
        third = await world.plan(a_site(hostnames=[f"www.{HOST}"]))
        assert any(f"route www.{HOST} is there already" == each.what for each in third.conflicts)
        assert world.cf.writes == []
        assert world.root("SHOW DATABASES LIKE 'wp_garden'")
    finally:
        world.fleet.mariadb.execute("DROP DATABASE wp_garden", "DROP USER wp_garden@localhost")
        (tree / "private").rmdir()
        tree.rmdir()


async def test_virtual_host_of_nobody_is_a_conflict(world: World) -> None:
    sites = world.wordpress.sites
    await sites.add(NewSite(SITE, (HOST,), "blog", "0" * 64), operation_id=None)
    await world.wordpress.serving.serve(SITE)
    await sites.remove(SITE)
    plan = await world.plan(a_site(is_public=False))
    assert [each.what for each in plan.conflicts] == [f"vhost {SITE} is there already"]
    await world.wordpress.serving.render()
    assert (await world.plan(a_site(is_public=False))).conflicts == []


async def test_database_that_appears_after_the_plan_is_not_taken_over(world: World) -> None:
    plan = await world.plan(a_site())
    world.fleet.mariadb.execute("CREATE DATABASE wp_garden")
    try:
        before = await world.seen()
        with pytest.raises(PlanStale) as stale:
            await world.apply(plan)
        assert stale.value.extensions["plan"]["conflicts"]  # type: ignore[index]
        assert await world.seen() == before
    finally:
        world.fleet.mariadb.execute("DROP DATABASE wp_garden")


async def test_record_that_appears_on_the_way_stays_and_all_else_is_taken_back(world: World) -> None:
    plan = await world.plan(a_site())
    world.cf.state.zones[HOME].records.append(Record("A", HOST, "192.0.2.7"))
    before = await world.seen()
    operation = await world.apply(plan)
    assert (operation.state, operation.result["step"]) == ("failed", "route")
    assert "192.0.2.7" in operation.error["detail"]
    assert await world.seen() == before


async def test_same_site_twice_at_once_is_made_once(world: World) -> None:
    first, second = await world.plan(a_site()), await world.plan(a_site(title="Another"))
    begun = await world.recipes.apply(ANNA, first.id, ApplySiteRecipe(), lambda: None)
    with pytest.raises((TargetBusy, PlanStale)):
        await world.recipes.apply(ANNA, second.id, ApplySiteRecipe(), lambda: None)
    assert (await world.runner.wait(begun.id)).state == "done"
    assert "<title>Garden" in world.page(HOST)[1]
    await world.done(gone())


async def test_site_that_does_not_answer_is_taken_back(desk: Desk) -> None:
    async with desk.stand(sites_origin_url="http://127.0.0.1:9") as world:
        before = await world.seen()
        operation = await world.apply(await world.plan(a_site()))
        assert operation.error["type"] == "/problems/site-not-answering"
        assert await world.seen() == before


FAULTS = [("configurations", "reset"), ("batch", "applied-then-reset")]


@pytest.mark.parametrize(("path", "how"), FAULTS)
async def test_cloudflare_that_fails_on_the_way_leaves_nothing(world: World, path: str, how: Any) -> None:
    before, plan = await world.seen(), await world.plan(a_site())
    world.cf.fail("write", path, how, times=1 if how == "applied-then-reset" else 4)
    operation = await world.apply(plan)
    if operation.state == "done":  # it looked, and saw that it had been carried out
        assert how == "applied-then-reset"
        await world.done(gone())
    else:
        assert operation.result["step"] == "route", operation.error
    assert await world.seen() == before


async def test_cancelled_run_stays_as_it_is_until_somebody_decides(world: World) -> None:
    before, plan = await world.seen(), await world.plan(a_site())
    begun = await world.recipes.apply(ANNA, plan.id, ApplySiteRecipe(), lambda: None)
    while (await world.recipes.read_plan(plan.id)).steps[2].state == "todo":  # noqa: ASYNC110  # as a page does
        await asyncio.sleep(0.05)
    assert (await world.recipes.unfinished()).runs == []  # it is at work
    await world.runner.cancel(ANNA, begun.id)
    assert (await world.runner.wait(begun.id)).state == "cancelled"
    (run,) = (await world.recipes.unfinished()).runs
    assert {step.name: step.state for step in run.steps}["web"] == "todo"
    assert (await world.go_on("revert")).state == "done"
    assert await world.seen() == before


@pytest.mark.parametrize("way", ["revert", "resume"])
async def test_way_back_that_fails_is_left_open_and_goes_either_way(world: World, way: Any) -> None:
    before, plan = await world.seen(), await world.plan(a_site())
    with failing("public", "done", OSError("gone")), failing("web", "undone", OSError("gone too")):
        operation = await world.apply(plan)
    assert (operation.state, operation.error["type"]) == ("failed", "/problems/site-run-unfinished")
    (run,) = (await world.recipes.unfinished()).runs
    assert "taking back web" in run.trouble
    assert {step.name: step.state for step in run.steps}["web"] == "undoing"
    assert (await world.go_on(way)).state == "done"
    if way == "resume":
        assert world.page(HOST)[0] == 200
        await world.done(gone())
    assert await world.seen() == before


async def test_record_that_somebody_changed_since_is_not_removed(desk: Desk) -> None:
    async with desk.stand() as world:
        plan = await world.plan(a_site())
        with failing("public", "begun", Killed()):
            await world.apply(plan)
    zone = desk.cf.state.zones[HOME]
    async with desk.stand() as world:
        zone.record("CNAME", HOST).content = "elsewhere.example.net"
        refused = await world.go_on("revert")
        assert (refused.state, "somebody has changed" in refused.error["detail"]) == ("failed", True)
        assert zone.record("CNAME", HOST).content == "elsewhere.example.net"
        zone.records.remove(zone.record("CNAME", HOST))
        assert (await world.go_on("revert")).state == "done"
        assert [each["service"] for each in world.cf.state.tunnels[0].config["ingress"]] == ["http_status:404"]


@pytest.mark.parametrize(
    "asked",
    [
        {"site": "default"},
        {"site": "../etc"},
        {"site": "a b"},
        {"site": "-x"},
        {"hostnames": ["garden.home.example; rm -rf /"]},
        {"hostnames": ["localhost"]},
        {"hostnames": [HOST, HOST.upper()]},
        {"hostnames": ["192.0.2.1"]},
    ],
)
async def test_hostile_names_are_refused_before_anything_is_asked(world: World, asked: Any) -> None:
    with pytest.raises(SiteNameInvalid):
        await world.plan(a_site(**asked))
    assert world.cf.writes == []


async def test_what_is_not_set_up_is_named(desk: Desk) -> None:
    async with desk.stand(web_dir=None) as world:
        with pytest.raises(SitesNotReady) as refused:
            await world.plan(a_site())
        assert refused.value.extensions["missing"] == ["HOMEPORT_PORTAL_WEB_DIR is not set"]
