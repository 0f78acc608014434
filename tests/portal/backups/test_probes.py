"""What the dashboard and Prometheus read of a catalog: nothing is ok that was not measured."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from portal.backups import probes
from portal.backups.catalog import CatalogFile
from portal.probes import Reading, Status
from tests.clock import FakeClock
from tests.portal.backups.unit import Json, example, iso, make_directory

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
OK_DRILL = {
    "at": iso(NOW - timedelta(days=3)),
    "asset_kind": "mailbox",
    "asset": "anna@home.test",
    "origin": "local",
} | {
    "point": "daily/2026-11-19",
    "ok": True,
    "seconds": 9.5,
    "projected_seconds": 1200.0,
    "detail": "5180 messages in 6 folders",
}


def _catalog(**changes: Any) -> Json:
    """A catalog in which everything is as it should be, and what the test changes of it: `meters__local_at=...`."""
    catalog = example("full") | {"written_at": iso(NOW - timedelta(hours=1)), "drills": [OK_DRILL]}
    catalog["assets"] = [each for each in catalog["assets"] if each["covered"] == "yes"]
    catalog["meters"] |= {"local_at": iso(NOW - timedelta(hours=9)), "vault_at": iso(NOW - timedelta(hours=9))}
    catalog["meters"]["drill_due_at"] = iso(NOW + timedelta(days=20))
    catalog["vault"] |= {"state": "ok", "lowest_retain_until": iso(NOW + timedelta(days=31))}
    for name, value in changes.items():
        member, _, inner = name.partition("__")
        if inner:
            catalog[member][inner] = value
        else:
            catalog[member] = value
    return catalog


async def _readings(directory: Path, now: datetime = NOW) -> dict[str, Reading]:
    found = probes.of(CatalogFile(directory), FakeClock(now.timestamp()))
    return {probe.name.partition(":")[2]: await probe.measure() for probe in found}


async def test_after_a_good_night_everything_is_ok_with_value_and_limit(tmp_path: Path) -> None:
    readings = await _readings(make_directory(tmp_path / "b", _catalog()))
    assert {name: (each.status.value, each.value, each.unit, each.limit) for name, each in readings.items()} == {
        "local": ("ok", 9.0, "h", "at most 26 h"),
        "vault": ("ok", 9.0, "h", "at most 26 h"),
        "margin": ("ok", 31.0, "d", "at least 29.5 d"),
        "drill": ("ok", 3.0, "d", "due 2026-12-12"),
        "coverage": ("ok", 0, "", "none"),
    }
    assert all(each.measured_at == NOW for each in readings.values())


@pytest.mark.parametrize(
    ("name", "changes", "status", "detail"),
    [
        ("local", {"meters__local_at": iso(NOW - timedelta(hours=26, minutes=10))}, Status.CRITICAL, ""),
        ("local", {"meters__local_at": None}, Status.CRITICAL, "no verified point"),
        ("vault", {"meters__vault_at": iso(NOW - timedelta(hours=49))}, Status.CRITICAL, ""),
        ("vault", {"vault__state": "off", "vault__detail": "no vault is configured"}, Status.NOT_CONNECTED, "no vault"),
        (
            "vault",
            {"vault__state": "failed", "vault__detail": "a lock is missing"},
            Status.CRITICAL,
            "a lock is missing",
        ),
        ("margin", {"vault__lowest_retain_until": iso(NOW + timedelta(days=29, hours=11))}, Status.CRITICAL, ""),
        ("margin", {"vault__lowest_retain_until": iso(NOW + timedelta(days=29, hours=13))}, Status.OK, ""),
        ("margin", {"vault__lowest_retain_until": None}, Status.UNKNOWN, "no sync"),
        ("margin", {"vault__state": "off"}, Status.NOT_CONNECTED, ""),
        ("drill", {"drills": []}, Status.WARNING, "no restore was tried yet"),
        ("drill", {"drills": [], "meters__drill_due_at": iso(NOW - timedelta(days=9))}, Status.CRITICAL, "no restore"),
        ("drill", {"meters__drill_due_at": iso(NOW - timedelta(days=1))}, Status.WARNING, "due"),
        ("drill", {"meters__drill_due_at": iso(NOW - timedelta(days=8, hours=1))}, Status.CRITICAL, "due"),
        (
            "drill",
            {"drills": [OK_DRILL | {"ok": False, "detail": "0 of 5180"}]},
            Status.CRITICAL,
            "anna@home.test: 0 of",
        ),
        ("coverage", {"assets": example("full")["assets"]}, Status.CRITICAL, "site shop"),
        ("coverage", {"written_at": iso(NOW - timedelta(hours=27))}, Status.UNKNOWN, ""),
    ],
)
async def test_what_is_not_as_it_should_be_is_said(
    tmp_path: Path, name: str, changes: Json, status: Status, detail: str
) -> None:
    reading = (await _readings(make_directory(tmp_path / "b", _catalog(**changes))))[name]
    assert reading.status is status
    assert detail in reading.detail


async def test_failed_drill_counts_until_one_of_the_same_asset_goes_well(tmp_path: Path) -> None:
    failed = OK_DRILL | {"ok": False, "at": iso(NOW - timedelta(days=5))}
    readings = await _readings(make_directory(tmp_path / "b", _catalog(drills=[OK_DRILL, failed])))
    assert readings["drill"].status is Status.OK
    other = failed | {"asset": "blog", "asset_kind": "site"}
    readings = await _readings(make_directory(tmp_path / "c", _catalog(drills=[OK_DRILL, other])))
    assert readings["drill"].status is Status.CRITICAL


@pytest.mark.parametrize("what", ["absent", "damaged"])
async def test_without_a_catalog_everything_is_unknown(tmp_path: Path, what: str) -> None:
    directory = make_directory(tmp_path / "b", None)
    if what == "damaged":
        (directory / "catalog.json").write_text("{")
    readings = await _readings(directory)
    assert {each.status for each in readings.values()} == {Status.UNKNOWN}
    assert all(each.detail for each in readings.values())


async def test_age_goes_on_growing_while_nobody_writes_a_catalog(tmp_path: Path) -> None:
    readings = await _readings(make_directory(tmp_path / "b", _catalog()), NOW + timedelta(days=3))
    assert (readings["local"].status, readings["local"].value) == (Status.CRITICAL, 81.0)
    assert (readings["margin"].status, readings["margin"].value) == (Status.CRITICAL, 28.0)


def _number(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


async def test_metrics_are_what_the_catalog_says_and_no_numbers_without_one(tmp_path: Path) -> None:
    directory = make_directory(tmp_path / "b", _catalog())
    await _readings(directory)
    assert _number("homeport_backup_age_seconds", copy="local") == 9 * 3600
    assert _number("homeport_vault_lock_margin_seconds") == 31 * 86400
    assert _number("homeport_backup_drill_seconds", asset_kind="mailbox", origin="local") == 9.5
    (directory / "catalog.json").unlink()
    await _readings(directory)
    for value in (
        _number("homeport_backup_age_seconds", copy="vault"),
        _number("homeport_vault_lock_margin_seconds"),
    ):
        assert value is not None
        assert math.isnan(value)
    assert _number("homeport_backup_drill_seconds", asset_kind="mailbox", origin="local") is None
