"""A database whose disk is full: what is read is shown all the same, and what was carried out stays done."""

from __future__ import annotations

import structlog

from tests.fakes.cloudflare import CloudflareFake
from tests.portal.dns.conftest import HOME, TWO, Room
from tests.portal.dns.full_disk import fill_disk, long_text

MANY = 150


async def test_zone_is_shown_on_a_full_disk_and_the_poll_goes_on_to_the_next(room: Room, cf: CloudflareFake) -> None:
    fill_disk(room.database)
    for number in range(MANY):
        cf.edit(HOME, type="TXT", name=f"t{number}", content=long_text())
    cf.edit(TWO, type="A", name="www", content="192.0.2.1")
    zones = room.service.zones
    with structlog.testing.capture_logs() as logs:
        await zones.poll()
    assert HOME in [each["zone"] for each in logs if each["event"] == "dns_zone_not_compared"]
    assert HOME in [each["zone"] for each in logs if each["event"] == "dns_zone_not_kept"]
    for name, count in ((HOME, MANY), (TWO, 1)):
        state = await zones.state(name)
        assert (len(state.records), state.error) == (count, None)
    assert len((await zones.read(HOME)).records) == MANY


async def test_what_is_done_in_a_change_is_not_undone_by_a_disk_that_has_no_room_for_what_is_seen_after(
    room: Room, cf: CloudflareFake
) -> None:
    zones = room.service.zones
    async with zones.changing(HOME, "01K00000000000000000000000"):
        for number in range(MANY):
            cf.edit(HOME, type="TXT", name=f"t{number}", content=long_text())
        fill_disk(room.database)
    assert len((await zones.state(HOME)).records) == MANY
    assert [each.reason for each in (await room.service.snapshots(HOME, before=None, limit=9)).snapshots] == ["before"]
