"""The time machine as the room uses it: on Cloudflare's fake, through plans, polls and restarts."""

from __future__ import annotations

from typing import Any

import pytest

from portal.dns.records.values import value_of
from portal.dns.schemas import AcceptDrift, DriftView, RevertDrift, Rollback
from portal.probes import Status
from tests.fakes.cloudflare import CloudflareFake
from tests.portal.dns.conftest import ANNA, HOME, TWO, Room, Stand, change, create, records_at, remove

Json = dict[str, Any]


def at_cloudflare(cf: CloudflareFake) -> list[Json]:
    """The values there, whatever their ids."""
    return sorted((value_of(record) for record in records_at(cf)), key=str)


def fill(cf: CloudflareFake) -> None:
    """350 records of the kinds that are easily damaged, in a zone from the time when free ones could have 1,000."""
    cf.state.zones[HOME].record_limit = 1000
    cf.edit(HOME, type="MX", name="@", content="mx.example.net", priority=0, ttl=300, comment="zero is a priority")
    cf.edit(HOME, type="CAA", name="@", data={"flags": 128, "tag": "issue", "value": "ca.example; account=1"})
    cf.edit(HOME, type="TXT", name="hostile", content='"\\"><script>\\\\ \\000\\226\\128\\174"', tags=["quote:\"a'b"])
    for number in range(100):
        cf.edit(HOME, type="A", name=f"a{number}", content="192.0.2.7", proxied=number % 2 == 0, tags=[f"row:{number}"])
        cf.edit(HOME, type="TXT", name=f"t{number}", content=f'"{"x" * 255}" "{number}"', comment=f"comment {number}")
        data = {"priority": 0, "weight": number, "port": 993, "target": f"imap{number}.example.net"}
        cf.edit(HOME, type="SRV", name=f"_imaps._tcp.s{number}", data=data, ttl=60)
    for number in range(47):
        cf.edit(HOME, type="CNAME", name=f"c{number}", content="target.example.net", comment="=1+1", ttl=120)
    assert len(records_at(cf)) >= 350


async def drift(room: Room) -> list[DriftView]:
    """What is open after one poll."""
    await room.service.zones.poll()
    return (await room.service.drift(HOME, "open")).drift


async def test_350_records_are_edited_and_rolled_back_and_nothing_is_lost(room: Room, cf: CloudflareFake) -> None:
    fill(cf)
    text, before = await room.export(), at_cloudflare(cf)
    point = await room.service.take_snapshot(HOME)
    keys = await room.keys()
    plan = await room.plan(
        *(change(keys[f"A a{number}.{HOME}"], content="192.0.2.8") for number in range(60)),
        *(remove(keys[f"SRV _imaps._tcp.s{number}.{HOME}"]) for number in range(30)),
        change(keys[f"MX {HOME}"], priority=10),
        change(keys[f"TXT hostile.{HOME}"], comment="touched"),
        remove(keys[f"CAA {HOME}"]),
        create("A", "new", "192.0.2.9"),
    )
    await room.done(plan)
    assert at_cloudflare(cf) != before
    back = await room.service.plan_rollback(ANNA, HOME, Rollback(snapshot_id=point.id))
    assert back.counts == {"create": 31, "change": 62, "delete": 1, "unchanged": 0}
    await room.done(back)
    assert at_cloudflare(cf) == before
    assert await room.export() == text
    assert await drift(room) == []
    listed = (await room.service.snapshots(HOME, before=None, limit=9)).snapshots
    assert [each.reason for each in listed] == ["after", "before", "before"]  # the last "asked" is where it began


async def test_direct_change_is_drift_after_one_poll_with_record_before_and_after(
    room: Room, cf: CloudflareFake
) -> None:
    fill(cf)
    assert await drift(room) == []
    cf.edit(HOME, type="A", name="a7", content="203.0.113.66")
    cf.remove(HOME, type="CAA", name="@")
    found = {each.name: each for each in await drift(room)}
    assert found.keys() == {f"A a7.{HOME}", f"CAA {HOME}"}
    changed, removed = found[f"A a7.{HOME}"], found[f"CAA {HOME}"]
    assert changed.before is not None
    assert changed.after is not None
    assert (changed.before.content, changed.after.content) == ("192.0.2.7", "203.0.113.66")
    assert removed.before is not None
    assert removed.before.data == {"flags": 128, "tag": "issue", "value": "ca.example; account=1"}
    assert removed.after is None
    overview = await room.service.overview()
    assert {each.name: each.drift for each in overview.zones}[HOME] == 2


@pytest.mark.parametrize("way", ["revert", "accept"])
async def test_drift_is_taken_back_by_a_plan_or_accepted(room: Room, cf: CloudflareFake, way: str) -> None:
    cf.edit(HOME, type="A", name="www", content="192.0.2.7", comment="the site", tags=["team:web"])
    await drift(room)
    before = at_cloudflare(cf)
    cf.edit(HOME, type="A", name="www", content="203.0.113.66", comment="", proxied=True)
    found = await drift(room)
    numbers = [each.id for each in found]
    if way == "revert":
        await room.done(await room.service.plan_drift(ANNA, HOME, RevertDrift(drift_ids=numbers)))
        assert at_cloudflare(cf) == before
    else:
        await room.service.accept_drift(ANNA, HOME, AcceptDrift(drift_ids=numbers))
    assert await drift(room) == []
    (settled,) = (await room.service.drift(HOME, "all")).drift
    assert (settled.state, settled.settled_by) == ("reverted" if way == "revert" else "accepted", "anna")


async def test_our_own_change_is_no_drift_even_when_something_else_has_drifted(room: Room, cf: CloudflareFake) -> None:
    cf.edit(HOME, type="A", name="www", content="192.0.2.7")
    await drift(room)
    cf.edit(HOME, type="A", name="www", content="203.0.113.66")
    await room.done(await room.plan(create("A", "api", "192.0.2.9")))
    assert [each.name for each in await drift(room)] == [f"A www.{HOME}"]
    detail = await room.service.record(HOME, (await room.keys())[f"A api.{HOME}"])
    assert detail.last_change is not None
    assert detail.last_change.by == "anna"


async def test_what_was_changed_while_the_portal_was_down_is_drift_when_it_is_up(
    stand: Stand, cf: CloudflareFake
) -> None:
    cf.edit(HOME, type="A", name="www", content="192.0.2.7")
    async with stand() as room:
        await drift(room)
    cf.edit(HOME, type="A", name="www", content="203.0.113.66")
    async with stand() as room:
        assert [each.name for each in await drift(room)] == [f"A www.{HOME}"]


async def test_zone_that_was_never_read_is_not_called_free_of_drift(room: Room, cf: CloudflareFake) -> None:
    _, probe = room.service.probes
    await room.service.zones.read(HOME)
    found = await probe.measure()
    assert (found.status, found.detail) == (Status.UNKNOWN, f"never read: {TWO}")
    await drift(room)
    assert (await probe.measure()).status is Status.OK
