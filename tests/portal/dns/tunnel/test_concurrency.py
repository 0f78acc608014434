"""Somebody else writes at the same moment; Cloudflare fails in the middle: nothing is lost unsaid, or half done."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest

from portal.dns.schemas import ApplyDnsPlan
from portal.dns.tunnel import configuration
from portal.dns.tunnel.schemas import RoutePlan
from portal.operations.plans import PlanStale
from portal.operations.runner import TargetBusy
from tests.fakes.cloudflare import CloudflareFake
from tests.fakes.cloudflare.state import Record, Tunnel
from tests.portal.dns.conftest import ANNA
from tests.portal.dns.tunnel.conftest import FALLBACK, Desk, Sit, a_tunnel, route

APP = "app.home.example"
THEIRS = {"hostname": "theirs.home.example", "service": "http://theirs:1", "originRequest": {"http2Origin": True}}
CONFIGURATIONS, BATCH = r"/configurations$", r"/dns_records/batch$"


def _somebody_adds(tunnel: Tunnel) -> None:
    tunnel.config = {**tunnel.config, "ingress": [THEIRS, *tunnel.config["ingress"]]}
    tunnel.version += 1


def _clean(desk: Desk) -> bool:
    return desk.records_at(APP) == [] and APP not in str(desk.tunnel.config)


async def test_what_others_wrote_between_plan_and_apply_is_kept(desk: Desk) -> None:
    plan = await desk.plan(route(APP))
    _somebody_adds(desk.tunnel)
    await desk.done(plan)
    assert desk.ingress == [THEIRS, {"hostname": APP, "service": "http://blog-nginx:80"}, FALLBACK]


async def test_what_others_wrote_while_we_wrote_is_lost_and_said(desk: Desk) -> None:
    """Cloudflare takes no condition on a write and shows no older version: nobody here ever saw what they wrote."""
    before = copy.deepcopy(desk.tunnel.config)
    plan = await desk.plan(route(APP))
    desk.cf.state.before_config_put.append(_somebody_adds)
    said = await _collided(desk, plan)
    assert "somebody else wrote the configuration once between version 3 and ours, and that is lost" in said
    assert desk.tunnel.config == before
    assert _clean(desk)


async def test_what_others_wrote_while_that_was_put_back_is_said_too(desk: Desk) -> None:
    plan = await desk.plan(route(APP))

    def write_twice(tunnel: Tunnel) -> None:
        _somebody_adds(tunnel)
        tunnel.version += 1

    desk.cf.state.before_config_put += [write_twice, _somebody_adds]
    said = await _collided(desk, plan)
    assert "2 times between version 3 and ours, and once more while that was put back, and that is lost" in said
    assert _clean(desk)


async def test_what_others_write_after_the_collision_is_left_as_it_is(desk: Desk) -> None:
    plan = await desk.plan(route(APP))
    desk.cf.state.before_config_put.append(_somebody_adds)
    desk.cf.state.after_config_put.append(_somebody_adds)
    said = await _collided(desk, plan)
    assert "once between version 3 and ours, and again since; nothing was put back, version 6 stands" in said
    assert desk.ingress == [THEIRS, FALLBACK]  # our route is taken out of what they wrote
    assert _clean(desk)


async def test_collision_that_can_not_be_put_back_is_said(desk: Desk) -> None:
    plan = await desk.plan(route(APP))
    desk.cf.state.before_config_put.append(_somebody_adds)
    desk.cf.fail("PUT", CONFIGURATIONS, 403, skip=1, message="no more today")
    said = await _collided(desk, plan)
    assert "once between version 3 and ours, and putting back what was there failed: " in said


async def _collided(desk: Desk, plan: RoutePlan) -> str:
    """Apply a plan whose write meets another's; what is said of it."""
    operation = await desk.apply(plan)
    assert operation.state == "failed"
    assert operation.error is not None
    assert operation.error["type"] == "/problems/tunnel-changed"
    detail: str = operation.error["detail"]
    return detail


async def test_same_route_changed_by_others_makes_the_plan_stale(desk: Desk) -> None:
    await desk.add(route(APP))
    plan = await desk.plan(remove=[APP])
    desk.tunnel.config["ingress"][0]["originRequest"] = {"noTLSVerify": True}
    with pytest.raises(PlanStale) as stale:
        await desk.apply(plan)
    new = stale.value.extensions["plan"]
    assert new["changes"][1]["before"]["originRequest"] == {"noTLSVerify": True}  # type: ignore[index]
    assert len(desk.ingress) == 2


async def test_two_of_ours_at_once_are_one_after_the_other(desk: Desk) -> None:
    plans = [await desk.plan(route(name)) for name in (APP, "b.home.example")]
    results = await asyncio.gather(*(desk.apply(plan) for plan in plans), return_exceptions=True)
    done = [each for each in results if not isinstance(each, BaseException)]
    assert [each.state for each in done] == ["done"] * len(done)
    for result, plan in zip(results, plans, strict=True):
        if isinstance(result, BaseException):
            assert isinstance(result, TargetBusy)
            await desk.done(plan)
    assert {entry.get("hostname") for entry in desk.ingress} == {APP, "b.home.example", None}


async def test_edits_at_once_below_the_operations_lose_nothing_or_say_so(desk: Desk) -> None:
    """The door itself, without the runner in front that would let them in one by one."""
    tunnel = {"id": desk.tunnel.id, "name": "home"}

    async def add(number: int) -> None:
        entry = {"hostname": f"n{number}.home.example", "service": "http://x:1"}
        await configuration.change(
            desk.room.cloudflare, tunnel, lambda config: {**config, "ingress": [entry, *config["ingress"]]}
        )

    results = await asyncio.gather(*(add(number) for number in range(4)), return_exceptions=True)
    failed = [result for result in results if isinstance(result, BaseException)]
    assert failed
    assert {type(each).__name__ for each in failed} == {"TunnelChanged"}


@pytest.mark.parametrize("how", ["reset", 500, "unsuccessful", 403])
@pytest.mark.parametrize("path", [CONFIGURATIONS, BATCH])
async def test_failure_at_either_step_leaves_what_was_there(desk: Desk, how: Any, path: str) -> None:
    before = copy.deepcopy(desk.tunnel.config)
    plan = await desk.plan(route(APP))
    desk.cf.fail("write", path, how)
    operation = await desk.apply(plan)
    assert operation.state == "failed"
    assert operation.error is not None
    assert operation.error["type"].startswith("/problems/cloudflare-")
    assert desk.tunnel.config == before
    assert _clean(desk)


@pytest.mark.parametrize("path", [CONFIGURATIONS, BATCH])
async def test_answer_that_is_lost_is_looked_up(desk: Desk, path: str) -> None:
    plan = await desk.plan(route(APP))
    desk.cf.fail("write", path, "applied-then-reset")
    await desk.done(plan)
    assert len(desk.ingress) == 2
    assert desk.records_at(APP) == [("CNAME", desk.host)]
    assert [each.path.rsplit("/", 1)[-1] for each in desk.cf.writes] == ["configurations", "batch"]


async def test_lost_answer_and_a_later_writer_lose_nothing(desk: Desk) -> None:
    """Our write came about without an answer, and before we could look somebody else wrote on top of it."""
    tunnel = {"id": desk.tunnel.id, "name": "home"}
    entry = {"hostname": APP, "service": "http://x:1"}

    def edit(config: dict[str, Any]) -> dict[str, Any]:
        return config if entry in config["ingress"] else {**config, "ingress": [entry, *config["ingress"]]}

    async def later() -> None:
        while desk.tunnel.version == 3:  # noqa: ASYNC110  # the fake runs in a thread of its own
            await asyncio.sleep(0.01)
        _somebody_adds(desk.tunnel)

    desk.cf.fail("write", CONFIGURATIONS, "applied-then-reset")
    desk.cf.fail("GET", CONFIGURATIONS, 500, skip=1)  # the look is repeated half a second later
    now, _ = await asyncio.gather(configuration.change(desk.room.cloudflare, tunnel, edit), later())
    assert now.version == desk.tunnel.version == 5
    assert desk.ingress == [THEIRS, entry, FALLBACK]


async def test_rate_limit_is_waited_out_with_progress(desk: Desk) -> None:
    plan = await desk.plan(route(APP))
    desk.cf.fail("write", CONFIGURATIONS, 429, retry_after=0)
    operation = await desk.done(plan)
    assert any("waiting 0 s" in line.text for line in operation.report.lines)


async def test_failure_of_the_way_back_too_says_what_stands(desk: Desk) -> None:
    plan = await desk.plan(route(APP))
    desk.cf.fail("write", BATCH, 500, times=9)
    desk.cf.fail("write", CONFIGURATIONS, 500, times=9, skip=1)
    operation = await desk.apply(plan)
    assert operation.error is not None
    assert operation.error["type"] == "/problems/routes-incomplete"
    assert operation.result is not None
    assert {each["name"]: each["state"] for each in operation.result["results"]} == {
        f"route {APP}": "done",
        f"record {APP}": "not-done",
    }
    desk.cf.heal()
    back = await desk.tunnels.undo(ANNA, plan.id)
    await desk.done(back)
    assert _clean(desk)


async def test_changes_of_the_room_itself_are_no_drift(desk: Desk) -> None:
    zones, machine = desk.room.service.zones, desk.room.service.machine
    await zones.read("home.example")
    await desk.add(route(APP))
    await desk.done(await desk.plan(remove=[APP]))
    await desk.add(route(APP))
    await zones.read("home.example")
    assert not any((await machine.open_drift()).values())
    snapshots = (await desk.room.service.snapshots("home.example", before=None, limit=10)).snapshots
    assert {"before", "after"} <= {each.reason for each in snapshots}


async def test_second_record_that_appears_during_the_apply_is_refused_and_all_taken_back(desk: Desk) -> None:
    plan = await desk.plan(route(APP))
    foreign = Record("A", APP, "192.0.2.7")
    desk.cf.state.before_config_put.append(lambda _: desk.cf.state.zones["home.example"].records.append(foreign))
    operation = await desk.apply(plan)
    assert operation.error is not None
    assert operation.error["type"] == "/problems/hostname-taken"
    assert desk.records_at(APP) == [("A", "192.0.2.7")]
    assert desk.ingress == [FALLBACK]


async def test_portal_that_dies_between_route_and_record_finds_the_half_and_can_take_it_back(
    cf: CloudflareFake, sit: Sit
) -> None:
    cf.state.tunnels.append(a_tunnel())
    async with sit() as desk:
        plan = await desk.plan(route(APP))
        cf.fail("write", BATCH, "hang")
        begun = await desk.tunnels.apply(ANNA, plan.id, ApplyDnsPlan(), lambda: None)
        while not any(each.path.endswith("/batch") for each in cf.requests):  # noqa: ASYNC110  # the fake's thread
            await asyncio.sleep(0.01)
    async with sit() as desk:
        await desk.room.runner.recovered()
        operation = await desk.room.runner.get(begun.id)
        assert (operation.state, operation.outcome) == ("interrupted", "unknown")
        assert operation.outcome_detail == "1 of 2 changes are there"
        back = await desk.tunnels.undo(ANNA, plan.id)
        assert [each.name for each in back.changes] == [f"route {APP}"]
        await desk.done(back)
        assert _clean(desk)
