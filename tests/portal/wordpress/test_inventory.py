"""What is known of the sites: real ones, all at once, one whose PHP fails, one that hangs, over a restart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kit.clock import now_utc
from portal.operations.hub import Hub
from portal.probes import Status
from portal.wordpress.inventory import InventoryReader
from portal.wordpress.sites import NoSuchSite
from tests.portal.wordpress.conftest import Room
from tests.services.fleet import Fleet


@contextmanager
def replaced(fleet: Fleet, site: str, code: str) -> Iterator[None]:
    """A site's active plugin runs this code when it is loaded, for as long as the block lasts."""
    file = fleet.site(site).public / "wp-content/plugins/quay-forms/quay-forms.php"
    before = file.read_text()
    file.write_text(f"{before}\n{code}\n")
    try:
        yield
    finally:
        file.write_text(before)


async def test_every_site_is_read_and_told_of(room: Room, fleet: Fleet) -> None:
    before = room.hub.number
    readings = await room.service.inventory.refresh()
    assert set(readings) == {"alder", "birch", "cedar"}
    for name, reading in readings.items():
        assert (reading.trouble, reading.error) == ("", ""), name
        assert reading.inventory is not None
        assert reading.inventory.core.version.startswith("6.8")
        assert reading.inventory.url == f"https://{name}.example"
        forms = reading.inventory.plugin("quay-forms")
        assert forms is not None
        assert (forms.state, forms.version, forms.is_named) == ("active", "1.0.0", True)
        assert [user.login for user in reading.inventory.users] == ["warden"]
        assert (reading.inventory.database_bytes or 0) > 100_000
        assert room.service.inventory.last(name) == reading
    assert room.hub.number >= before + 3
    everything = "".join(str(each.inventory) for each in readings.values())
    for site in fleet.sites.values():
        for secret in (site.password, site.admin_password, site.redis_password):
            assert secret not in everything


async def test_a_site_whose_php_fails_is_read_without_its_plugins(room: Room, fleet: Fleet) -> None:
    with replaced(fleet, "birch", "nobody_has_defined_this();"):
        reading = await room.service.inventory.read("birch")
    assert reading.trouble == "fatal"
    assert "nobody_has_defined_this" in reading.error
    assert reading.inventory is not None
    forms = reading.inventory.plugin("quay-forms")
    assert forms is not None
    assert forms.state == "active"
    probe = await room.service.probes[0].measure()
    assert (probe.status, "birch (fatal)" in probe.detail) == (Status.CRITICAL, True)
    assert (await room.service.inventory.read("birch")).trouble == ""


async def test_a_site_that_hangs_is_a_row_and_keeps_what_was_known(room: Room, fleet: Fleet) -> None:
    service = room.service
    impatient = InventoryReader(service.sites, service.wp, room.database, Hub(), room.clock, timeout_s=4)
    known = (await impatient.read("cedar")).inventory
    with replaced(fleet, "cedar", "if ( defined( 'WP_CLI' ) ) { sleep( 60 ); }"):
        readings = await impatient.refresh(["alder", "cedar"])
    assert readings["alder"].trouble == ""
    hung = readings["cedar"]
    assert (hung.trouble, hung.inventory) == ("timed-out", known)
    assert hung.read_at is not None
    assert hung.read_at < hung.tried_at


async def test_a_plugin_that_prints_into_the_answer_is_read_past(room: Room, fleet: Fleet) -> None:
    with replaced(fleet, "alder", 'echo "Notice: <b>hello</b>\\n";'):
        reading = await room.service.inventory.read("alder")
    assert reading.inventory is not None
    assert reading.inventory.plugin("quay-forms") is not None


async def test_what_is_known_survives_a_restart_and_the_broker(new_room: Callable[..., Any], fleet: Fleet) -> None:
    async with new_room(fleet=fleet) as first:
        known = await first.service.inventory.read("alder")
    async with new_room(fleet=fleet, socket=Path("/nobody/listens.sock")) as second:
        assert second.service.inventory.last("alder") == known
        tried = await second.service.inventory.read("alder")
        assert (tried.trouble, tried.inventory, tried.read_at) == ("unreachable", known.inventory, known.read_at)
        unknown = (await second.service.inventory.refresh(["birch"]))["birch"]
        assert (unknown.trouble, unknown.inventory, unknown.read_at) == ("unreachable", None, None)


async def test_the_next_site_of_a_name_is_not_the_one_before(room: Room) -> None:
    await room.service.inventory.read("cedar")
    await room.service.sites.remove("cedar")
    assert room.service.inventory.last("cedar") is None


async def test_a_look_that_is_under_way_is_not_made_twice(room: Room) -> None:
    inventory = room.service.inventory
    inventory.begin_refresh(await room.service.sites.all())
    assert inventory.under_way == {"alder", "birch", "cedar"}
    readings = await inventory.refresh()
    assert inventory.under_way == frozenset()
    assert all(reading.tried_at <= now_utc(room.clock) for reading in readings.values())


async def test_no_more_sites_are_read_at_once_than_have_a_turn(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    service, at_once = room.service, [0, 0]
    reader = InventoryReader(service.sites, service.wp, room.database, room.hub, room.clock, at_once=2)
    inventory = service.wp.inventory

    async def counted(*asked: Any, **more: Any) -> Any:
        at_once[0] += 1
        at_once[1] = max(at_once)
        try:
            return await inventory(*asked, **more)
        finally:
            at_once[0] -= 1

    monkeypatch.setattr(service.wp, "inventory", counted)
    assert {each.trouble for each in (await reader.refresh()).values()} == {""}
    assert at_once == [0, 2]


async def test_who_is_no_site_is_not_read(room: Room) -> None:
    with pytest.raises(NoSuchSite):
        await room.service.inventory.read("nobody")
    with pytest.raises(NoSuchSite):
        await room.service.inventory.refresh(["alder", "nobody"])


async def test_files_are_compared_with_their_sums(room: Room) -> None:
    reading = await room.service.inventory.verify("alder")
    assert reading.checksums is not None
    assert reading.checksums.is_core_verified, reading.checksums.core_detail
    again = await room.service.inventory.read("alder")
    assert again.checksums == reading.checksums, "a look keeps what was compared"


async def test_a_site_in_maintenance_is_not_read_by_itself(room: Room) -> None:
    (job,) = [job for job in room.service.jobs if job.name == "wordpress inventory"]
    await room.service.serving.maintain("birch", True)
    await job.work()
    assert [name for name in ("alder", "birch", "cedar") if room.service.inventory.last(name)] == ["alder", "cedar"]
    assert (await room.service.inventory.read("birch")).trouble == ""  # whoever asks for it is answered
    await room.service.serving.maintain("birch", False)
