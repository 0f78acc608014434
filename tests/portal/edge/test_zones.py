"""Domains added beside the settings' own: they are remembered in edge.json, and every run takes them along."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from portal.edge.dns import Extra
from portal.edge.ownership import EdgeBusy, Ownership, locked
from tests.fakes.cloudflare import CloudflareFake
from tests.portal.conftest import HOME, TWO, Edge, seen


@pytest.fixture(autouse=True)
def state_dir(edge: Edge) -> None:
    edge.state_dir.mkdir()


async def test_added_zone_is_deployed_alone_and_taken_along_ever_after(edge: Edge, cf: CloudflareFake) -> None:
    async with edge.service() as service:
        planned = service.plan(await service.look(zones=(TWO,)), may_adopt=False, may_replace_mail=False)
        planned.owned.add_zone(TWO)
        await service.deploy(planned)
        assert cf.state.zones[HOME].records == []
        assert service.zones == (HOME, TWO)
        again = service.plan(await service.look(zones=(TWO,)), may_adopt=False, may_replace_mail=False)
        assert again.plan.steps == ()
        whole = service.plan(await service.look(), may_adopt=False, may_replace_mail=False)
        assert {step.zone for step in whole.plan.steps} == {HOME}


async def test_single_addresses_of_the_settings_leave_an_added_zone_its_catch_all(
    edge: Edge, cf: CloudflareFake
) -> None:
    edge.settings["edge_addresses"] = f"bob@{HOME}"
    Ownership.load(edge.state_dir).add_zone(TWO)
    async with edge.service() as service:
        await service.deploy(service.plan(await service.look(), may_adopt=False, may_replace_mail=False))
        assert cf.state.zones[TWO].routing.catch_all.enabled
        assert not cf.state.zones[HOME].routing.catch_all.enabled
        assert not service.plan(await service.look(), may_adopt=False, may_replace_mail=False).plan.steps


async def test_removal_of_one_zone_leaves_the_others_and_the_worker(edge: Edge, cf: CloudflareFake) -> None:
    edge.settings["edge_zones"] = f"{HOME},{TWO}"
    before = seen(cf)["zones"][TWO]
    async with edge.service() as service:
        extra = {TWO: Extra(spf=("include:relay.example",))}
        live = await service.look()
        await service.deploy(service.plan(live, may_adopt=False, may_replace_mail=False, extra=extra))
        home = seen(cf)["zones"][HOME]
        await service.remove(await service.plan_removal_of(TWO))
        assert (seen(cf)["zones"][HOME], seen(cf)["zones"][TWO]) == (home, before)
        assert "homeport-mail" in cf.state.scripts
        assert not (await service.plan_removal_of(TWO)).plan.steps
        assert not [thing for thing in Ownership.load(edge.state_dir) if thing.zone == TWO]


def test_zones_are_kept_and_files_of_before_have_none(tmp_path: Path) -> None:
    owned = Ownership.load(tmp_path)
    for zone in (TWO, HOME, TWO):
        owned.add_zone(zone)
    assert Ownership.load(tmp_path).zones == (HOME, TWO)
    owned.forget_zone(TWO)
    owned.forget_zone("nobodys.example")
    document = json.loads((tmp_path / "edge.json").read_bytes())
    assert document.pop("zones") == [HOME]
    (tmp_path / "edge.json").write_text(json.dumps(document))
    assert Ownership.load(tmp_path).zones == ()


def test_lock_is_one_for_commands_and_portal(edge: Edge) -> None:
    with locked(edge.state_dir):
        with pytest.raises(EdgeBusy), locked(edge.state_dir):
            pass
        assert "or the portal" in edge.run("deploy", "--yes").error


def test_without_any_zone_the_commands_say_what_adds_one(edge: Edge) -> None:
    del edge.settings["edge_zones"]
    assert "`homeport domain add` adds one" in edge.run("plan").error
    assert edge.run("status").code == 0
