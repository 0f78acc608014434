"""What is known of zones: read once for many who ask, compared, kept over outages, and changed by one at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from kit.problem import Problem
from portal.dns.listing import RecordQuery
from portal.dns.problems import NoSuchZone
from portal.dns.records.values import key_of
from portal.dns.zones import FRESH_S, HOURLY_S, LIST_S, RETRY_S
from portal.integrations.cloudflare import READ_TRIES, TIMEOUT_S
from portal.integrations.cloudflare_problems import CloudflareSilent
from tests.clock import FakeClock
from tests.fakes.cloudflare import CloudflareFake
from tests.fakes.cloudflare.state import Record, Zone
from tests.portal.dns.conftest import HOME, TWO, Room, Stand


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(time.time())


def _reads(cf: CloudflareFake, zone: str = HOME) -> int:
    path = f"/zones/{cf.zone_id(zone)}/dns_records"
    return sum(request.method == "GET" and request.path == path for request in cf.requests)


def _lists(cf: CloudflareFake) -> int:
    return sum(request.path == "/zones" for request in cf.requests)


async def _until(is_true: Callable[[], object]) -> None:
    give_up = time.monotonic() + 20
    while not is_true():
        assert time.monotonic() < give_up
        await asyncio.sleep(0.01)


async def test_many_who_ask_while_a_zone_is_read_share_the_next_reading(room: Room, cf: CloudflareFake) -> None:
    zones = room.service.zones
    await zones.all()
    await asyncio.gather(*(zones.read(HOME) for _ in range(20)))
    assert _reads(cf) == 2  # the first one's, and one for all others: theirs began after they asked
    assert _lists(cf) == 1
    await zones.read(HOME)
    assert _reads(cf) == 3


async def test_what_is_worked_out_of_records_is_kept_only_while_they_are_the_same(
    room: Room, cf: CloudflareFake
) -> None:
    zones, records = room.service.zones, cf.state.zones[HOME].records
    records += [Record("A", f"www.{HOME}", "192.0.2.1"), Record("A", f"www.{HOME}", "192.0.2.2")]
    first = await zones.read(HOME)
    same = await zones.read(HOME)
    assert same.reading is first.reading
    assert same.read_at is not None
    assert first.read_at is not None
    assert same.read_at > first.read_at
    records[-1].comment = "the web"
    other = await zones.read(HOME)
    (key,) = (key for key, value in other.values.items() if value["content"] == "192.0.2.2")
    assert (other.values[key]["comment"], other.records[key]["comment"]) == ("the web", "the web")
    assert other.listing.find(RecordQuery(find="the web")) == [key]
    assert "comment" not in first.values[key]


async def test_page_reads_again_only_when_what_is_known_is_old(
    stand: Stand, clock: FakeClock, cf: CloudflareFake
) -> None:
    async with stand(clock=clock) as room:
        zones = room.service.zones
        for _ in range(3):
            await zones.state(HOME)
        assert _reads(cf) == 1
        clock.advance(FRESH_S + 1)
        cf.edit(HOME, type="A", name="www", content="192.0.2.1")
        assert len((await zones.state(HOME)).records) == 1
        assert _reads(cf) == 2
        await zones.all()
        assert _lists(cf) == 1
        clock.advance(LIST_S + 1)
        cf.state.zones["new.example"] = Zone("new.example")
        assert "new.example" in [state.zone.name for state in await zones.all()]


async def test_page_does_not_wait_for_a_cloudflare_that_hangs_nor_ask_it_again_at_once(
    stand: Stand, clock: FakeClock, cf: CloudflareFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portal.dns.zones.WAIT_S", 0.1)
    async with stand(clock=clock) as room:
        zones = room.service.zones
        before = await zones.state(HOME)
        clock.advance(FRESH_S + 1)
        reads = _reads(cf)
        cf.fail("GET", "/dns_records", "hang", times=1_000)
        async with asyncio.timeout(TIMEOUT_S - 5):  # one request alone hangs for longer
            assert (await zones.state(HOME)).records == before.records
        await _until(lambda: _reads(cf) == reads + 1)
        for _ in range(3):
            assert (await zones.state(HOME)).records == before.records
        assert _reads(cf) == reads + 1
        cf.heal()


async def test_failure_is_noted_with_the_age_of_what_is_known_and_not_repeated_by_each_page(
    stand: Stand, clock: FakeClock, cf: CloudflareFake
) -> None:
    async with stand(clock=clock) as room:
        zones = room.service.zones
        read_at = (await zones.state(HOME)).read_at
        clock.advance(FRESH_S + 1)
        cf.fail("GET", "/dns_records", "reset", times=1_000)
        with pytest.raises(CloudflareSilent):
            await zones.read(HOME)
        tried = _reads(cf)
        state = await zones.state(HOME)
        assert (state.read_at, state.error is not None) == (read_at, True)
        assert _reads(cf) == tried
        cf.heal()
        clock.advance(RETRY_S + 1)
        state = await zones.state(HOME)
        assert (state.error, state.read_at != read_at) == (None, True)


async def test_many_who_wait_for_a_reading_that_fails_hear_of_it_together(room: Room, cf: CloudflareFake) -> None:
    zones = room.service.zones
    await zones.all()
    cf.fail("GET", "/dns_records", "reset", times=1_000)
    heard = await asyncio.gather(*(zones.read(HOME) for _ in range(20)), return_exceptions=True)
    assert {type(each) for each in heard} == {CloudflareSilent}
    assert _reads(cf) == 2 * READ_TRIES  # the first one's, and one for all others


async def test_pages_share_one_reading_of_a_cloudflare_that_hangs(
    stand: Stand, clock: FakeClock, cf: CloudflareFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portal.dns.zones.WAIT_S", 0.05)
    async with stand(clock=clock) as room:
        zones = room.service.zones
        await zones.state(HOME)
        clock.advance(LIST_S + 1)
        cf.fail("GET", ".", "hang", times=1_000)
        before = len(asyncio.all_tasks())
        for _ in range(5):
            await zones.state(HOME)
            await zones.all()
        await _until(lambda: len(asyncio.all_tasks()) <= before + 2)  # the zone's, and the list's
        cf.heal()


async def test_zone_that_has_left_the_account_while_no_portal_ran_is_said_to_be_gone(
    stand: Stand, clock: FakeClock, cf: CloudflareFake
) -> None:
    async with stand(clock=clock) as room:
        await room.service.zones.poll()
    del cf.state.zones[TWO]
    clock.advance(FRESH_S + 1)
    async with stand(clock=clock) as room:
        state = await room.service.zones.state(TWO)
        assert "has no zone two.example" in (state.error or "")
        with pytest.raises(NoSuchZone):
            await room.service.zones.state(TWO)


async def test_zone_that_leaves_the_account_is_gone_and_one_that_comes_is_found_by_its_name(
    stand: Stand, clock: FakeClock, cf: CloudflareFake
) -> None:
    async with stand(clock=clock) as room:
        zones = room.service.zones
        assert [state.zone.name for state in await zones.all()] == [HOME, TWO]
        del cf.state.zones[TWO]
        cf.state.zones["new.example"] = Zone("new.example")
        clock.advance(11)
        assert (await zones.state("new.example")).records == {}
        assert [state.zone.name for state in await zones.all()] == [HOME, "new.example"]
        with pytest.raises(NoSuchZone):
            await zones.state(TWO)


async def test_nothing_known_and_nobody_answering_is_a_problem_and_never_an_empty_list(
    room: Room, cf: CloudflareFake
) -> None:
    cf.fail("*", ".", "reset", times=1_000)
    with pytest.raises(CloudflareSilent):
        await room.service.zones.state(HOME)
    overview = await room.service.overview()
    assert (overview.zones, overview.connection.state) == ([], "silent")


# -- changes of ours, and of others -----------------------------------------------------------------------------------


async def test_what_changes_while_we_change_a_zone_is_ours_and_what_changes_later_is_not(
    room: Room, cf: CloudflareFake
) -> None:
    zones = room.service.zones
    await zones.read(HOME)
    async with zones.changing(HOME, "01K00000000000000000000000") as before:
        assert before.records == {}
        cf.edit(HOME, type="A", name="ours", content="192.0.2.1")
        await zones.read(HOME)  # a page that is looked at meanwhile
    assert (await room.service.drift(HOME, "open")).drift == []
    cf.edit(HOME, type="A", name="theirs", content="192.0.2.2")
    await zones.read(HOME)
    (drift,) = (await room.service.drift(HOME, "open")).drift
    assert drift.name == "A theirs.home.example"


async def test_what_others_change_while_we_change_known_records_is_not_ours(room: Room, cf: CloudflareFake) -> None:
    zones = room.service.zones
    await zones.read(HOME)
    key = key_of({"type": "A", "name": "ours.home.example", "content": "192.0.2.1"})
    async with zones.changing(HOME, "01K00000000000000000000000", keys=[key]):
        cf.edit(HOME, type="A", name="ours", content="192.0.2.1")
        cf.edit(HOME, type="A", name="theirs", content="192.0.2.2")
    assert [each.name for each in (await room.service.drift(HOME, "open")).drift] == ["A theirs.home.example"]


async def test_change_that_came_before_ours_is_still_drift(room: Room, cf: CloudflareFake) -> None:
    zones = room.service.zones
    await zones.read(HOME)
    cf.edit(HOME, type="A", name="theirs", content="192.0.2.2")
    async with zones.changing(HOME, "01K00000000000000000000000"):
        cf.edit(HOME, type="A", name="ours", content="192.0.2.1")
    assert [each.name for each in (await room.service.drift(HOME, "open")).drift] == ["A theirs.home.example"]


async def test_outage_right_after_our_change_makes_it_nobody_elses(room: Room, cf: CloudflareFake) -> None:
    zones = room.service.zones
    await zones.read(HOME)
    async with zones.changing(HOME, "01K00000000000000000000000"):
        cf.edit(HOME, type="A", name="ours", content="192.0.2.1")
        cf.fail("GET", "/dns_records", "reset", times=1_000)
    cf.heal()
    await zones.read(HOME)
    assert (await room.service.drift(HOME, "open")).drift == []


async def test_one_at_a_time_changes_a_zone_and_others_are_free(room: Room) -> None:
    zones = room.service.zones
    order: list[str] = []
    is_inside, may_end = asyncio.Event(), asyncio.Event()

    async def first() -> None:
        async with zones.changing(HOME, "01K00000000000000000000001"):
            is_inside.set()
            await may_end.wait()
            order.append("first")

    async def second() -> None:
        async with zones.changing(HOME, "01K00000000000000000000002"):
            order.append("second")

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(first())
        await is_inside.wait()
        tasks.create_task(second())
        async with zones.changing(TWO, "01K00000000000000000000003"):
            order.append("other zone")
        may_end.set()
    assert order == ["other zone", "first", "second"]


async def test_exception_in_a_change_frees_the_zone_and_keeps_both_points_in_time(
    room: Room, cf: CloudflareFake
) -> None:
    zones, operation_id = room.service.zones, "01K00000000000000000000001"

    async def half() -> None:
        async with zones.changing(HOME, operation_id):
            cf.edit(HOME, type="A", name="half", content="192.0.2.1")
            raise LookupError

    with pytest.raises(LookupError):
        await half()
    kept = (await room.service.snapshots(HOME, before=None, limit=10)).snapshots
    assert [(each.reason, each.operation_id, each.records) for each in kept] == [
        ("after", operation_id, 1),
        ("before", operation_id, 0),
    ]
    async with asyncio.timeout(20), zones.changing(HOME, "01K00000000000000000000002") as before:
        assert len(before.records) == 1


async def test_zone_that_can_not_be_read_is_not_changed(room: Room, cf: CloudflareFake) -> None:
    await room.service.zones.all()
    cf.fail("GET", "/dns_records", "reset", times=1_000)
    with pytest.raises(Problem):
        async with room.service.zones.changing(HOME, "01K00000000000000000000001"):
            raise AssertionError


# -- polling ----------------------------------------------------------------------------------------------------------


async def test_poll_reads_every_zone_finds_drift_and_keeps_each_hour(
    stand: Stand, clock: FakeClock, cf: CloudflareFake
) -> None:
    async with stand(clock=clock) as room:
        await room.service.zones.poll()
        assert (_reads(cf, HOME), _reads(cf, TWO)) == (1, 1)
        clock.advance(300)
        cf.edit(TWO, type="A", name="www", content="192.0.2.1")
        await room.service.zones.poll()
        overview = await room.service.overview()
        assert (overview.drift, [zone.drift for zone in overview.zones]) == (1, [0, 1])
        assert len((await room.service.snapshots(TWO, before=None, limit=9)).snapshots) == 1
        clock.advance(HOURLY_S)
        await room.service.zones.poll()
        assert len((await room.service.snapshots(TWO, before=None, limit=9)).snapshots) == 2


async def test_poll_goes_on_after_a_zone_that_can_not_be_read_and_ends_when_nothing_can(
    room: Room, cf: CloudflareFake
) -> None:
    cf.fail("GET", cf.zone_id(HOME), 400, times=1_000)
    await room.service.zones.poll()
    assert (await room.service.zones.state(TWO)).read_at is not None
    cf.heal()
    cf.fail("GET", "/dns_records", 429, times=1_000, retry_after=600)
    before = len(cf.requests)
    await room.service.zones.poll()
    assert len(cf.requests) - before == 2  # the list, and the first zone


async def test_poll_goes_on_after_a_silent_zone(room: Room, cf: CloudflareFake) -> None:
    cf.fail("GET", cf.zone_id(HOME), "reset", times=1_000)
    await room.service.zones.poll()
    assert _reads(cf, TWO) == 1


async def test_poll_ends_after_two_silent_zones_and_the_next_begins_with_those_behind_them(
    stand: Stand, clock: FakeClock, cf: CloudflareFake
) -> None:
    cf.state.zones["zzz.example"] = Zone("zzz.example")
    async with stand(clock=clock) as room:
        for name in (HOME, TWO):
            cf.fail("GET", cf.zone_id(name), "reset", times=1_000)
        await room.service.zones.poll()
        assert _reads(cf, "zzz.example") == 0
        clock.advance(300)
        await room.service.zones.poll()
        assert _reads(cf, "zzz.example") == 1


async def test_hub_is_told_when_a_zone_looks_different_and_only_then(room: Room, cf: CloudflareFake) -> None:
    told: list[Any] = []
    room.hub.publish = lambda topic, data, **_: told.append((topic, data))  # type: ignore[method-assign]
    await room.service.zones.read(HOME)
    told.clear()
    await room.service.zones.read(HOME)
    assert told == []
    cf.edit(HOME, type="A", name="www", content="192.0.2.1")
    await room.service.zones.read(HOME)
    assert ("dns", {"zone": HOME}) in told
