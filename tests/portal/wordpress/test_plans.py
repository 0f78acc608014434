"""What runs in a site: planned, applied, taken back; on real sites, with real updates and real failures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kit.problem import Problem
from portal.actor import Actor
from portal.operations.plans import Plan, PlanStale
from portal.operations.progress import Progress
from portal.wordpress.changes import ChangeRefused, NoSuchExtension, suffers
from portal.wordpress.packages import PackageUnusable
from portal.wordpress.schemas import ApplySitePlan, NewReplacement
from portal.wordpress.service import RestorePointRequired
from portal.wordpress.state import SiteUnreadable
from tests.portal.wordpress.conftest import ANNA, Json, Room
from tests.services.extensions import marker
from tests.services.fleet import Fleet

FORMS = "quay-forms"
GALLERY = "quay-gallery"


def plugin(slug: str, **more: Any) -> Json:
    return {"kind": "plugin", "slug": slug} | more


def value(state: str, version: str | None) -> Json:
    return {"state": state, "version": version}


def changed(plan: Plan) -> Json:
    return {each.name: (each.before, each.after) for each in plan.changes}


async def undone(room: Room, plan: Plan) -> None:
    back = await room.service.undo(ANNA, plan.id)
    await room.done(back)


async def test_a_plugin_is_switched_on_and_back(room: Room, fleet: Fleet) -> None:
    plan = await room.plan("alder", plugin(GALLERY, state="active"))
    assert changed(plan) == {f"plugin:{GALLERY}@any": (value("inactive", None), value("active", None))}
    await room.done(plan)
    assert marker(GALLERY, "1.0.0") in fleet.page("alder")[1]
    await undone(room, plan)
    assert marker(GALLERY, "1.0.0") not in fleet.page("alder")[1]
    assert not (await room.plan("alder", plugin(GALLERY, state="inactive"))).changes


async def test_an_update_goes_back_to_the_files_that_were_there(room: Room, fleet: Fleet) -> None:
    fleet.add_plugin_update(FORMS, "1.1.0")
    file = fleet.site("alder").public / f"wp-content/plugins/{FORMS}/{FORMS}.php"
    file.write_text(file.read_text() + "// changed by hand\n")
    before = file.read_bytes()
    plan = await room.plan("alder", plugin(FORMS, version="latest"))
    assert changed(plan) == {f"plugin:{FORMS}": (value("active", "1.0.0"), value("active", "1.1.0"))}
    assert await room.service.state.source(await room.service.sites.get("alder"), plan.changes[0]) == "wordpress.org"
    await room.done(plan)
    assert marker(FORMS, "1.1.0") in fleet.page("alder")[1]
    (kept,) = await room.service.kept.of(await room.service.sites.get("alder"))
    assert (kept.slug, kept.version, kept.operation_id) == (FORMS, "1.0.0", (await plan_of(room, plan)).operation_id)
    await undone(room, plan)
    assert file.read_bytes() == before, "not what wordpress.org has, but what was there"
    assert file.stat().st_uid == fleet.site("alder").uid
    assert marker(FORMS, "1.0.0") in fleet.page("alder")[1]


async def plan_of(room: Room, plan: Plan) -> Plan:
    return await room.service.get_plan(plan.id)


async def test_a_deleted_plugin_comes_back_active(room: Room, fleet: Fleet) -> None:
    plan = await room.plan("birch", plugin(FORMS, state="absent"))
    assert "stops-working" in suffers(plan.changes[0])
    await room.done(plan)
    assert not (fleet.site("birch").public / f"wp-content/plugins/{FORMS}").exists()
    assert marker(FORMS, "1.0.0") not in fleet.page("birch")[1]
    await undone(room, plan)
    assert marker(FORMS, "1.0.0") in fleet.page("birch")[1]
    assert await room.present("birch", f"plugin:{FORMS}") == {f"plugin:{FORMS}": value("active", "1.0.0")}


async def test_a_plugin_is_installed_from_the_operators_package(room: Room, fleet: Fleet) -> None:
    file = fleet.put_package("harbour-map", "2.1.0")
    plan = await room.plan("alder", {"kind": "plugin", "package": file, "state": "active"})
    assert changed(plan) == {"plugin:harbour-map": (value("absent", None), value("active", "2.1.0"))}
    await room.done(plan)
    assert marker("harbour-map", "2.1.0") in fleet.page("alder")[1]
    await undone(room, plan)
    assert not (fleet.site("alder").public / "wp-content/plugins/harbour-map").exists()


async def test_a_plugin_that_fatals_can_be_taken_back(room: Room, fleet: Fleet) -> None:
    fleet.add_plugin_update(GALLERY, "2.0.0", "fatal")
    await room.done(await room.plan("cedar", plugin(GALLERY, state="active")))
    plan = await room.plan("cedar", plugin(GALLERY, version="latest"))
    operation = await room.apply(plan)
    assert (operation.state, (operation.error or {})["type"]) == ("failed", "/problems/site-broken")
    assert fleet.page("cedar")[0] == 500
    assert room.service.inventory.last("cedar").trouble == "fatal"  # type: ignore[union-attr]
    back = await room.service.undo(ANNA, plan.id)
    assert changed(back) == {f"plugin:{GALLERY}": (value("active", "2.0.0"), value("active", "1.0.0"))}
    await room.done(back)
    assert fleet.page("cedar")[0] == 200
    await room.done(await room.plan("cedar", plugin(GALLERY, state="inactive")))


async def test_a_plugin_that_fatals_can_be_switched_off(room: Room, fleet: Fleet) -> None:
    fleet.break_plugin("cedar", FORMS, "fatal")
    try:
        assert fleet.page("cedar")[0] == 500
        await room.done(await room.plan("cedar", plugin(FORMS, state="inactive")))
        assert fleet.page("cedar")[0] == 200
    finally:
        fleet.break_plugin("cedar", FORMS, "good")
        await room.done(await room.plan("cedar", plugin(FORMS, state="active")))


async def test_a_theme_that_goes_active_gives_way_again(room: Room, fleet: Fleet) -> None:
    fleet.add_theme("birch", "pebble", "1.0.0")
    plan = await room.plan("birch", {"kind": "theme", "slug": "pebble", "state": "active"})
    assert changed(plan) == {
        "theme:pebble@any": (value("inactive", None), value("active", None)),
        "theme:twentytwentyfive@any": (value("active", None), value("inactive", None)),
    }
    await room.done(plan)  # pebble is a child of twentytwentyfive, which is its parent from now on
    with pytest.raises(ChangeRefused, match="builds on it"):
        await room.plan("birch", {"kind": "theme", "slug": "twentytwentyfive", "state": "absent"})
    with pytest.raises(ChangeRefused, match="active theme"):
        await room.plan("birch", {"kind": "theme", "slug": "pebble", "state": "inactive"})
    await undone(room, plan)
    assert await room.present("birch", "theme:twentytwentyfive@any") == {
        "theme:twentytwentyfive@any": value("active", None)
    }


async def test_maintenance_and_a_setting_go_there_and_back(room: Room, fleet: Fleet) -> None:
    wanted = ({"kind": "maintenance", "is_on": True}, {"kind": "option", "name": "blogname", "value": "A <b> & 'c'"})
    plan = await room.plan("alder", *wanted)
    await room.done(plan)
    assert fleet.page("alder", headers={"CF-Connecting-IP": "192.0.2.1"})[0] == 503
    assert (await room.service.inventory.read("alder")).inventory.title == "A <b> & 'c'"  # type: ignore[union-attr]
    await undone(room, plan)
    assert fleet.page("alder")[0] == 200
    assert "Site alder" in fleet.page("alder")[1]


async def test_a_site_that_cannot_be_read_can_be_put_into_maintenance(room: Room, fleet: Fleet) -> None:
    config = fleet.site("birch").public / "wp-config.php"
    before = config.read_text()
    config.write_text("<?php exit( 3 );")
    try:
        with pytest.raises(SiteUnreadable):
            await room.plan("birch", plugin(GALLERY, state="active"))
        plan = await room.plan("birch", {"kind": "maintenance", "is_on": True})
        await room.done(plan)
        assert fleet.page("birch", headers={"CF-Connecting-IP": "192.0.2.1"})[0] == 503
        await undone(room, plan)
    finally:
        config.write_text(before)


async def test_what_has_changed_since_is_not_done(room: Room, fleet: Fleet) -> None:
    plan = await room.plan("alder", plugin(GALLERY, state="active"))
    fleet.wp("alder", "plugin", "activate", GALLERY)
    with pytest.raises(PlanStale) as stale:
        await room.apply(plan)
    assert not stale.value.plan.changes
    fleet.wp("alder", "plugin", "deactivate", GALLERY)


async def test_what_cannot_be_is_refused_at_once(room: Room) -> None:
    for change, refusal in (
        (plugin("nobody", state="active"), NoSuchExtension),
        (plugin("nobody", state="absent"), NoSuchExtension),
        (plugin("homeport", state="inactive"), ChangeRefused),
        ({"kind": "plugin", "package": "nothing.zip"}, PackageUnusable),
    ):
        with pytest.raises(refusal):
            await room.plan("alder", change)
    with pytest.raises(ChangeRefused, match="twice"):
        await room.plan("alder", plugin(GALLERY, state="active"), plugin(GALLERY, version="1.0.0"))


async def test_one_failed_change_keeps_no_other_from_it(room: Room, fleet: Fleet) -> None:
    plan = await room.plan("birch", plugin("there-is-none", version="9.9.9"), plugin(GALLERY, state="active"))
    operation = await room.apply(plan)
    assert (operation.error or {})["type"] == "/problems/plan-incomplete"
    results = {each["name"]: each["state"] for each in (operation.result or {})["results"]}
    assert results == {"plugin:there-is-none": "failed", f"plugin:{GALLERY}@any": "done"}
    await room.done(await room.service.undo(ANNA, plan.id))
    assert marker(GALLERY, "1.0.0") not in fleet.page("birch")[1]


# -- what has no way back ---------------------------------------------------------------------------------------------


class Points:
    """A backup that makes points, or does not. Implements RestorePoints."""

    def __init__(self, problem: Problem | None = None) -> None:
        self.made: list[str] = []
        self.problem = problem

    async def is_connected(self, site: str) -> bool:
        return True

    async def make(self, actor: Actor, site: str, progress: Progress) -> str:
        if self.problem is not None:
            raise self.problem
        self.made.append(site)
        return f"point-of-{site}"


async def test_replacing_text_counts_first_and_makes_a_point(new_room: Callable[..., Any], fleet: Fleet) -> None:
    points = Points()
    async with new_room(fleet=fleet, points=points) as room:
        fleet.query(
            "cedar", "UPDATE wp_options SET option_value = %s WHERE option_name = 'blogdescription'", "old port"
        )
        fleet.query("cedar", "UPDATE wp_posts SET post_content = 'the old port', guid = 'old port' WHERE ID = 1")
        wanted = NewReplacement(old="old port", new="new harbour")
        plan = await room.service.plan_replacement(ANNA, "cedar", wanted)
        (change,) = plan.changes
        assert change.before["tables"]["wp_posts.post_content"] == 1
        assert change.before["tables"]["wp_options.option_value"] == 1
        assert "wp_posts.guid" not in change.before["tables"]
        assert await room.service.restore_point(plan) == "first"
        operation = await room.done(plan)
        assert (points.made, (operation.result or {})["restore_point"]) == (["cedar"], "point-of-cedar")
        rows = fleet.query("cedar", "SELECT post_content, guid FROM wp_posts WHERE ID = 1")
        assert rows == [("the new harbour", "old port")]
        assert not (await room.service.undo(ANNA, plan.id)).changes, "there is no way back but the point"


async def test_without_a_backup_it_has_to_be_asked_for(room: Room, fleet: Fleet) -> None:
    fleet.query("birch", "UPDATE wp_options SET option_value = 'a grey quay' WHERE option_name = 'blogdescription'")
    fleet.flush_cache("birch")
    plan = await room.service.plan_replacement(ANNA, "birch", NewReplacement(old="grey quay", new="green pier"))
    assert await room.service.restore_point(plan) == "none"
    with pytest.raises(RestorePointRequired):
        await room.apply(plan)
    await room.done(plan, without_restore_point=True)
    rows = fleet.query("birch", "SELECT option_value FROM wp_options WHERE option_name = 'blogdescription'")
    assert rows == [("a green pier",)]


async def test_without_its_point_nothing_is_changed(new_room: Callable[..., Any], fleet: Fleet) -> None:
    refusal = SiteUnreadable("the disk is full")
    async with new_room(fleet=fleet, points=Points(refusal)) as room:
        before = fleet.checksum("alder")
        plan = await room.service.plan_replacement(ANNA, "alder", NewReplacement(old="Hello world", new="Good day"))
        operation = await room.apply(plan)
        assert (operation.error or {})["type"] == f"/problems/{refusal.type}"
        assert fleet.checksum("alder") == before


async def test_a_replacement_that_would_replace_itself_is_refused(room: Room) -> None:
    for old, new in (("alder.example", "www.alder.example"), ("same", "same")):
        with pytest.raises(ChangeRefused):
            await room.service.plan_replacement(ANNA, "alder", NewReplacement(old=old, new=new))


@pytest.mark.slow
async def test_core_is_updated_behind_a_point_and_never_back(new_room: Callable[..., Any]) -> None:
    points = Points()
    with Fleet(1) as fleet:
        fleet.add_core_update("6.8.99")
        async with new_room(fleet=fleet, points=points) as room:
            plan = await room.plan("alder", {"kind": "core", "version": "latest"})
            assert [each.after for each in plan.changes] == [{"version": "6.8.99"}]
            await room.done(plan)
            assert points.made == ["alder"]
            assert await room.present("alder", "core") == {"core": {"version": "6.8.99"}}
            assert fleet.page("alder")[0] == 200
            assert not (await room.service.undo(ANNA, plan.id)).changes
            with pytest.raises(ChangeRefused, match="cannot read"):
                await room.plan("alder", {"kind": "core", "version": "6.8.1"})


# -- cut off ----------------------------------------------------------------------------------------------------------


async def test_a_cancelled_plan_ends_its_step_and_begins_no_other(room: Room, fleet: Fleet) -> None:
    fleet.add_plugin("alder", "anchor")
    plan = await room.plan("alder", plugin(GALLERY, state="active"), plugin("anchor", state="active"))
    operation = await room.service.apply(ANNA, plan.id, ApplySitePlan())
    while not any("anchor" in line.text for line in (await room.runner.get(operation.id)).report.lines):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    await room.runner.cancel(ANNA, operation.id)
    ended = await room.runner.wait(operation.id)
    assert ended.state == "cancelled"
    present = await room.present("alder", "plugin:anchor@any", f"plugin:{GALLERY}@any")
    assert present["plugin:anchor@any"]["state"] == "active", "what had begun has ended"
    assert present[f"plugin:{GALLERY}@any"]["state"] == "inactive"
    await room.done(await room.service.undo(ANNA, plan.id))


async def test_after_a_crash_the_site_itself_says_what_came_about(new_room: Callable[..., Any], fleet: Fleet) -> None:
    async with new_room(fleet=fleet) as first:
        plan = await first.plan("birch", plugin(GALLERY, state="active"))
        operation = await first.service.apply(ANNA, plan.id, ApplySitePlan())
        await first.runner.close(within_s=0)
    async with new_room(fleet=fleet) as second:
        await second.runner.recovered()
        found = await second.runner.get(operation.id)
        present = await second.present("birch", f"plugin:{GALLERY}@any")
        expected = "done" if present[f"plugin:{GALLERY}@any"]["state"] == "active" else "not_done"
        assert (found.state, found.outcome) == ("interrupted", expected)
        await second.done(await second.plan("birch", plugin(GALLERY, state="inactive")))


@pytest.fixture(autouse=True)
def sites_are_sound(fleet: Fleet) -> Iterator[None]:
    """Every test leaves the sites as they were: one that does not fails here, not in the next one."""
    yield
    for name in fleet.sites:
        status, body = fleet.page(name)
        assert (status, marker(FORMS, "1.0.0") in body) == (200, True), name
