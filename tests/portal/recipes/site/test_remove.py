"""A site goes: a restore point first, nothing lost, all of it taken back where a step fails."""

from __future__ import annotations

import asyncio
import shutil
from typing import Any

import pytest
from sqlalchemy import select

from portal.operations.progress import Progress
from portal.recipes.fleet_update.problems import NoRestorePoint
from portal.recipes.site.problems import SiteConflict
from portal.wordpress.models import SiteRow
from portal.wordpress.sites import NewSite, NoSuchSite
from tests.portal.conftest import HOME
from tests.portal.recipes.site.conftest import ANNA, HOST, SITE, Desk, Killed, World, a_site, failing, gone

STEPS = ("mark", "point", "mail", "backup", "route", "web", "database", "tree", "row")


async def test_removed_site_leaves_nothing_but_what_is_kept(world: World) -> None:
    before = await world.seen()
    await world.done(a_site())
    uid = (await world.wordpress.sites.get(SITE)).uid
    world.points.mail.of[uid] = {"wp-garden@home.example": True}
    plan = await world.plan(gone())
    assert (plan.conflicts, plan.needs_typed_name, plan.needs_step_up) == ([], True, True)
    assert {change.name for change in plan.changes} >= {f"site {SITE}", f"route {HOST}", "database blog/wp_garden"}
    operation = await world.apply(plan)
    assert operation.state == "done", operation.error
    assert await world.seen() == before
    assert world.points.made == [SITE]
    assert world.points.mail.of == {uid: {"wp-garden@home.example": False}}

    made = operation.result["steps"]
    assert (world.fleet.sites_root / ".removed" / made["tree"]["removed_as"] / "public").is_dir()
    dump = await world.room.store.get(made["database"]["dump"])
    assert (dump.database, dump.tables) == ("wp_garden", 12)
    rows = await world.database.read(lambda session: list(session.scalars(select(SiteRow).where(SiteRow.uid == uid))))
    assert [(row.name, row.live_name, row.state) for row in rows] == [(SITE, None, "removed")]
    with pytest.raises(NoSuchSite):
        await world.plan(gone())


@pytest.mark.slow
async def test_every_step_that_fails_after_its_act_brings_the_site_back_as_it_was(world: World) -> None:
    await world.done(a_site())
    uid = (await world.wordpress.sites.get(SITE)).uid
    world.points.mail.of[uid] = {"wp-garden@home.example": True, "wp-garden@former.example": False}
    before, page = await world.seen(), world.page(HOST)
    for step in STEPS:
        plan = await world.plan(gone())
        with failing(step, "done", OSError("the disk is gone")):
            operation = await world.apply(plan)
        assert (operation.state, operation.result["step"]) == ("failed", step), operation.error
        assert await world.seen() == before, step
        assert (await world.wordpress.sites.get(SITE)).uid == uid
        assert world.page(HOST) == page, step
    assert (await world.recipes.unfinished()).runs == []

    await world.done(gone())
    removed = [site for site in await world.wordpress.sites.removed() if site.name == SITE]
    assert [site.uid for site in removed] == [uid]
    await world.done(a_site())  # the name is free again, the user id is not
    assert (await world.wordpress.sites.get(SITE)).uid > uid
    assert "<title>Garden" in world.page(HOST)[1]
    await world.done(gone())


@pytest.mark.slow
async def test_site_whose_name_was_given_away_meanwhile_cannot_come_back_and_says_so(desk: Desk) -> None:
    """The portal dies behind the last step, and before the removal is taken back there is another site of this name."""
    async with desk.stand() as world:
        await world.done(a_site())
        plan = await world.plan(gone())
        with failing("row", "done", Killed()):
            await world.apply(plan)
        other = NewSite(name=SITE, hostnames=(HOST,), server="blog", redis_password_sha256="0" * 64)
        await world.wordpress.sites.add(other, operation_id=None)
    async with desk.stand() as world:
        refused = await world.go_on("revert")
        assert (refused.state, refused.error["type"]) == ("failed", "/problems/site-run-unfinished")
        assert "there is a site called garden" in refused.error["detail"]
        await world.wordpress.sites.remove(SITE)
        assert (await world.go_on("revert")).state == "done"
        assert world.page(HOST)[0] == 200
        await world.done(gone())


@pytest.mark.slow
async def test_mail_server_that_is_away_keeps_a_site_from_going_and_a_maintained_one_stays_so(world: World) -> None:
    await world.done(a_site())
    await world.wordpress.serving.maintain(SITE, True)
    before, plan = await world.seen(), await world.plan(gone())
    world.points.mail.trouble = OSError("no connection")
    operation = await world.apply(plan)
    assert (operation.state, operation.result["step"]) == ("failed", "mark")
    assert await world.seen() == before
    world.points.mail.trouble = None
    with failing("database", "done", OSError("the disk is gone")):
        assert (await world.apply(await world.plan(gone()))).state == "failed"
    assert await world.seen() == before
    assert world.page(HOST, visitor="192.0.2.1")[0] == 503
    await world.done(gone())


@pytest.mark.slow
async def test_site_without_a_tree_and_without_its_dump_is_said_so_and_goes(world: World) -> None:
    await world.done(a_site())
    shutil.rmtree(world.fleet.sites_root / SITE)
    with failing("tree", "done", OSError("the disk is gone")):
        operation = await world.apply(await world.plan(gone()))
    assert (operation.state, operation.error["type"]) == ("failed", "/problems/site-step-failed")
    assert [site[0] for site in (await world.seen())["sites"]] == ["alder", SITE]
    with failing("database", "done", Killed()):
        await world.apply(await world.plan(gone()))
    for dump in await world.room.store.all():
        world.room.store.path(dump.id).unlink()
    refused = await world.go_on("revert")
    assert "the dump of wp_garden is gone" in refused.error["detail"]
    world.root("CREATE DATABASE wp_garden")  # restored by hand, as it says
    assert (await world.go_on("resume")).state == "done"


@pytest.mark.slow
async def test_removal_of_a_killed_portal_goes_either_way(desk: Desk) -> None:
    async with desk.stand() as world:
        await world.done(a_site())
        before = await world.seen()
        plan = await world.plan(gone())
        with failing("database", "done", Killed()):
            await world.apply(plan)
    async with desk.stand() as world:
        (run,) = (await world.recipes.unfinished()).runs
        assert run.wanted == "remove"
        assert (await world.go_on("revert")).state == "done"
        assert (await world.seen(), world.page(HOST)[0]) == (before, 200)
        plan = await world.plan(gone())
        with failing("row", "begun", Killed()):
            await world.apply(plan)
    async with desk.stand() as world:
        assert (await world.go_on("revert")).state == "done"
        assert (await world.seen(), world.page(HOST)[0]) == (before, 200)
        plan = await world.plan(gone())
        with failing("backup", "begun", Killed()):
            await world.apply(plan)
    async with desk.stand() as world:
        assert (await world.go_on("resume")).state == "done"
        after = await world.seen()
        assert (after["listed"], [site[0] for site in after["sites"]]) == (["alder"], ["alder"])


async def test_without_a_restore_point_nothing_goes_unless_it_is_said(world: World) -> None:
    await world.done(a_site(is_public=False))
    before = await world.seen()
    world.points.trouble = NoRestorePoint("the backup's disk is full")
    operation = await world.apply(await world.plan(gone()))
    assert (operation.error["type"], operation.result["step"]) == ("/problems/no-restore-point", "point")
    assert await world.seen() == before

    world.points.is_known = False
    plan = await world.plan(gone())
    assert ["no final restore point" in each.what for each in plan.conflicts] == [True]
    with pytest.raises(SiteConflict):
        await world.apply(plan)
    await world.done(gone(without_restore_point=True))
    assert world.points.made == []
    assert [site.name for site in await world.wordpress.sites.all()] == ["alder"]


async def test_cloudflare_that_cannot_be_read_keeps_a_site_from_going(world: World) -> None:
    await world.done(a_site())
    before = await world.seen()
    plan = await world.plan(gone())
    world.cf.fail("GET", "configurations", "unsuccessful", times=20)
    hindered = await world.plan(gone())
    assert any("cannot be planned" in each.what for each in hindered.conflicts)
    operation = await world.apply(plan)
    assert (operation.state, operation.result["step"]) == ("failed", "route")
    assert await world.seen() == before
    world.cf.heal()
    await world.done(gone())


async def test_route_that_leads_elsewhere_by_now_stays(world: World) -> None:
    await world.done(a_site())
    ingress = world.cf.state.tunnels[0].config["ingress"]
    ingress[0]["service"] = "http://another:80"
    plan = await world.plan(gone())
    assert not {f"route {HOST}", f"record {HOST}"} & {change.name for change in plan.changes}
    assert (await world.apply(plan)).state == "done"
    assert world.cf.state.tunnels[0].config["ingress"][0]["hostname"] == HOST
    assert world.cf.state.zones[HOME].record("CNAME", HOST).proxied


@pytest.mark.parametrize(
    ("act", "target"),
    [("wordpress:cache", SITE), ("databases:load", "blog/wp_garden"), ("wordpress:mail", "mail of sites")],
)
async def test_site_at_which_somebody_is_at_work_stays(
    world: World, act: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.done(a_site(is_public=False))
    before, plan, is_over = await world.seen(), await world.plan(gone()), asyncio.Event()

    async def work(_: Progress) -> None:
        await is_over.wait()

    at_work = await world.runner.start(ANNA, act, target, work, timeout_s=60)
    looked: list[str] = []
    find = world.runner.find

    async def look(*asked: Any, **more: Any) -> Any:
        looked.append((await world.wordpress.sites.get(SITE)).state)
        return await find(*asked, **more)

    monkeypatch.setattr(world.runner, "find", look)
    operation = await world.apply(plan)
    assert (operation.state, operation.result["step"]) == ("failed", "mark")
    assert at_work.id in operation.error["detail"]
    assert set(looked) == {"removing"}  # marked before the look: who begins in between is refused
    assert await world.seen() == before
    is_over.set()
    await world.runner.wait(at_work.id)
    monkeypatch.undo()
    await world.done(gone())
