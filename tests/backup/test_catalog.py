"""catalog.json: the form that the portal reads, and how it is put together."""

from __future__ import annotations

import json
import shutil
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backup import catalog, catalog_build
from backup.house import House
from backup.layout import STATE
from backup.make_point import Asked
from backup.pipeline import run
from backup.points import PointKind
from backup.settings import VaultSettings
from kit.clock import now_utc
from tests.backup.houses import make_house
from tests.clock import FakeClock

EXAMPLES = Path(__file__).parents[1] / "contract" / "catalog"
NAMES = ("full", "empty", "failed")


@pytest.mark.parametrize("name", NAMES)
def test_example_of_the_contract_is_read_and_written_as_it_is(name: str) -> None:
    path = EXAMPLES / f"{name}.json"
    assert json.loads(catalog.read(path).model_dump_json()) == json.loads(path.read_text())


@pytest.mark.parametrize("name", NAMES)
def test_points_of_the_examples_are_newest_first(name: str) -> None:
    started = [point.started_at for point in catalog.read(EXAMPLES / f"{name}.json").points]
    assert started == sorted(started, reverse=True)


def test_unknown_key_is_refused(tmp_path: Path) -> None:
    document = json.loads((EXAMPLES / "empty.json").read_text()) | {"surprise": 1}
    (tmp_path / "catalog.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match="surprise"):
        catalog.read(tmp_path / "catalog.json")


def test_catalog_of_a_new_root_has_nothing_measured(tmp_path: Path) -> None:
    house = make_house(tmp_path)
    built = catalog_build.build(house.settings, house.facts(), house.coverage(), now_utc(house.clock))
    assert (built.points, built.runs, built.drills) == ([], [], [])
    assert built.meters.local_at is built.meters.drill_due_at is None
    assert {asset.covered for asset in built.assets if asset.kind == "mailbox"} == {"missing"}
    assert (built.repository.state, built.vault.state) == ("off", "off")


def test_catalog_after_a_night_names_points_assets_meters_and_the_run(tmp_path: Path) -> None:
    house = make_house(tmp_path)
    house.conductor.conduct("run daily", "timer", lambda work: run(house, Asked(PointKind.DAILY), work))
    written = catalog.read(house.layout.catalog)
    [point] = written.points
    assert (point.verified, point.is_local, point.damage, point.failures) == (True, True, "", [])
    assert point.assets[:3] == ["files:config", "mailbox:anna@home.test", "mailbox:bo@home.test"]
    assert point.kept_because
    assert written.meters.local_at == point.started_at
    anna = next(asset for asset in written.assets if asset.name == "anna@home.test")
    assert (anna.point, anna.counts["messages"], anna.folders) == (point.id, 1, [""])
    [ended] = written.runs
    assert (ended.verb, ended.by, ended.exit_code) == ("run daily", "timer", 0)
    assert stat.S_IMODE(house.layout.catalog.stat().st_mode) == catalog.MODE


def test_point_that_only_the_vault_has_stays_listed_until_its_lock_ends(tmp_path: Path) -> None:
    clock = FakeClock()
    house = make_house(tmp_path, clock=clock)
    house.conductor.conduct("run daily", "timer", lambda work: run(house, Asked(PointKind.DAILY), work))
    [point] = catalog.read(house.layout.catalog).points
    facts, now = house.facts(), now_utc(clock)
    facts.set_point(point.id, vault_sealed_at=now, protected_until=now + timedelta(days=31))
    house.write_catalog(facts)
    shutil.rmtree(house.layout.root / point.id, onerror=_writable)
    house.write_catalog(facts)
    [listed] = catalog.read(house.layout.catalog).points
    assert (listed.id, listed.is_local, listed.assets) == (point.id, False, point.assets)
    assert listed.vault is not None
    clock.advance(32 * 86_400)
    house.write_catalog(facts)
    assert catalog.read(house.layout.catalog).points == []
    assert facts.points() == {}


@pytest.mark.parametrize(
    ("kind", "days", "counts"),
    [
        (PointKind.DAILY, 31, True),
        (PointKind.DAILY, 29, False),
        (PointKind.DAILY, -1, False),
        (PointKind.MANUAL, 29, True),
        (PointKind.MANUAL, -1, False),
    ],
)
def test_vaults_age_counts_only_what_is_protected_as_promised(
    tmp_path: Path, kind: PointKind, days: int, counts: bool
) -> None:
    house = with_vault(make_house(tmp_path, clock=FakeClock()))
    house.conductor.conduct("run", "timer", lambda work: run(house, Asked(kind), work))
    [point] = catalog.read(house.layout.catalog).points
    facts, now = house.facts(), now_utc(house.clock)
    facts.set_point(point.id, vault_sealed_at=now, protected_until=point.started_at + timedelta(days=days))
    house.write_catalog(facts)
    written = catalog.read(house.layout.catalog)
    [asset] = [each for each in written.assets if each.name == "anna@home.test"]
    assert asset.vault_at == (point.started_at if counts else None)
    assert written.meters.vault_at == (point.started_at if counts and kind is PointKind.DAILY else None)
    assert asset.local_at == point.started_at


@pytest.mark.parametrize("failed", [catalog_build.VAULT_SYNC, catalog_build.VAULT_VERIFY])
def test_neither_a_sync_nor_a_verification_hides_that_the_other_failed(tmp_path: Path, failed: str) -> None:
    house = with_vault(make_house(tmp_path))
    facts, now = house.facts(), now_utc(house.clock)

    def shown() -> tuple[str, str]:
        vault = catalog_build.build(house.settings, facts, [], now).vault
        return vault.state, vault.detail

    assert shown()[0] == "unknown"
    facts.put(failed, now, ok=False, detail="over the budget")
    for name in {catalog_build.VAULT_SYNC, catalog_build.VAULT_VERIFY} - {failed}:
        facts.put(name, now + timedelta(hours=1), ok=True, detail="")
    assert shown() == ("failed", "over the budget")
    assert catalog_build.build(house.settings, facts, [], now).vault.checked_at is not None
    facts.put(failed, now, ok=True, detail="")
    assert shown() == ("ok", "")


def test_point_with_a_damaged_state_is_listed_as_damaged_and_no_meter_counts_it(tmp_path: Path) -> None:
    house = make_house(tmp_path)
    house.conductor.conduct("run daily", "timer", lambda work: run(house, Asked(PointKind.DAILY), work))
    [point] = catalog.read(house.layout.catalog).points
    directory = house.layout.root / point.id
    directory.chmod(0o700)
    (directory / STATE).chmod(0o600)
    (directory / STATE).write_text("{}")
    house.write_catalog(house.facts())
    written = catalog.read(house.layout.catalog)
    assert "STATE.json" in written.points[0].damage
    assert not written.points[0].verified
    assert written.meters.local_at is None
    assert {asset.point for asset in written.assets} == {None}


def test_meters_take_the_longest_of_the_newest_good_drills(tmp_path: Path) -> None:
    house = make_house(tmp_path)
    facts = house.facts()
    at = datetime(2026, 10, 1, tzinfo=UTC)
    drills = [("mailbox", True, 900.0), ("mailbox", True, 100.0), ("site", True, 300.0), ("site", False, 9999.0)]
    for day, (kind, ok, projected) in enumerate(drills):
        facts.add_drill(
            catalog.Drill(
                at=at + timedelta(days=day),
                asset_kind=kind,
                asset="x",
                point="daily/2026-10-01",
                origin="local",
                ok=ok,
                seconds=1.0,
                projected_seconds=projected,
                detail="",
            )
        )
    built = catalog_build.build(house.settings, facts, [], at + timedelta(days=5))
    assert built.meters.rto_local_s == 300.0
    assert built.meters.rto_vault_s is None
    assert built.meters.drill_due_at == datetime(2026, 10, 31, 20, tzinfo=UTC)  # the 1st at 05:00 in Tokyo
    assert [drill.ok for drill in built.drills] == [False, True, True, True]


def with_vault(house: House) -> House:
    """One that is never asked."""
    return House(house.settings.model_copy(update={"vault": VaultSettings(bucket="vault")}), clock=house.clock)


def _writable(function: object, path: str, _: object) -> None:
    """Directories of a sealed point have no write bit."""
    for each in (Path(path).parent, Path(path)):
        each.chmod(0o700)
    Path(path).unlink() if Path(path).is_file() else shutil.rmtree(path, onerror=_writable)
