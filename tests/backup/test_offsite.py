"""A night's way into the vault, on a real S3 server with Object Lock: what is told, remembered and shown."""

from __future__ import annotations

import atexit
import functools
import json
import shutil
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from backup import catalog, offsite, pipeline, removal
from backup.house import NIGHT, VAULT, House
from backup.journal import Silent
from backup.make_point import Asked
from backup.points import PointId, PointKind
from backup.runs import End
from backup.vault import seal
from kit.clock import SystemClock, now_utc
from tests.backup.houses import make_house, settled
from tests.clock import FakeClock
from tests.services.seaweedfs import SeaweedFS

pytestmark = pytest.mark.services

DAY_S = 86_400.0


@pytest.fixture
def house(tmp_path: Path, seaweedfs: SeaweedFS) -> House:
    """A house with a vault, and one point in its repository."""
    return made(tmp_path, seaweedfs)


@functools.cache
def template() -> Path:
    """A root with one point in tree and repository: restic needs seconds for it, a copy does not."""
    directory = Path(tempfile.mkdtemp(prefix="vault-house-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    house = make_house(directory, repository=True)
    point = Asked(PointKind.MANUAL)  # a scheduled one would go up by itself at this hour
    assert conduct(house, "run", lambda work: pipeline.run(house, point, work)).exit_code == 0
    return directory


def made(directory: Path, seaweedfs: SeaweedFS, **more: Any) -> House:
    shutil.copytree(template(), directory, dirs_exist_ok=True, symlinks=True)
    (directory / "vault").mkdir()
    bucket = more.pop("bucket", None) or seaweedfs.new_bucket()
    return settled(directory, repository=True, vault=seaweedfs.vault_settings(bucket, directory / "vault", **more))


def conduct(house: House, verb: str, work: Any) -> End:
    return house.conductor.conduct(verb, "timer", work)


def sync(house: House) -> End:
    return conduct(house, "vault sync", lambda work: offsite.sync(house, work))


def shown(house: House) -> catalog.Catalog:
    return catalog.read(house.layout.catalog)


def test_point_goes_up_sealed_and_is_protected_for_the_promise(house: House) -> None:
    end = sync(house)
    assert end.exit_code == 0, end.error
    [point] = shown(house).points
    assert point.vault is not None
    assert point.vault.protected_until >= point.started_at + timedelta(days=30)
    vault = shown(house).vault
    assert (vault.state, vault.detail) == ("ok", "")
    assert vault.objects > 3
    assert vault.uploaded_bytes > 0
    assert vault.lowest_retain_until == point.vault.protected_until
    assert vault.cost is not None
    assert 0 < vault.cost.month_usd < vault.cost.budget_usd


def test_second_sync_sends_nothing_again(house: House) -> None:
    sync(house)
    assert sync(house).result["uploaded_bytes"] == 0


def test_dry_run_says_what_would_go_up_and_sends_nothing(house: House) -> None:
    from backup.runs import Run

    looked = Run("", Silent())
    offsite.sync(house, looked, dry_run=True)
    assert looked.result["uploads"] > 3
    assert looked.result["month_usd"] > 0
    assert list(house.store("verifier").versions("")) == []


def test_over_budget_stops_before_the_first_byte(tmp_path: Path, seaweedfs: SeaweedFS) -> None:
    house = made(tmp_path, seaweedfs, budget_usd=0.0000001)
    end = sync(house)
    assert end.exit_code == 10
    assert list(house.store("verifier").versions("")) == []
    assert shown(house).vault.state == "failed"


def test_verification_does_not_hide_that_the_sync_is_over_budget(house: House) -> None:
    sync(house)
    vault = house.vault_settings().model_copy(update={"budget_usd": 0.0000001})
    poor = House(house.settings.model_copy(update={"vault": vault}), clock=house.clock)
    assert sync(poor).exit_code == 10
    end = conduct(poor, "vault verify", lambda work: offsite.verify(poor, work))
    assert end.exit_code == 0, end.error
    assert (shown(house).vault.state, "budget" in shown(house).vault.detail) == ("failed", True)
    assert shown(house).vault.objects > 3
    assert sync(house).exit_code == 0
    assert (shown(house).vault.state, shown(house).vault.detail) == ("ok", "")


def test_pack_that_is_lost_here_is_not_sealed_away(house: House) -> None:
    assert sync(house).exit_code == 0
    sealed = seal.newest(house.store("verifier"), house.verifier())
    lost = max((house.layout.repository / "data").rglob("*"), key=lambda path: path.is_file())
    lost.unlink()
    end = sync(house)
    assert end.exit_code == 6
    assert lost.name[:8] in end.error
    assert "No seal was written" in end.error
    assert seal.newest(house.store("verifier"), house.verifier()) == sealed
    assert shown(house).vault.state == "failed"


def test_snapshot_older_than_a_tree_made_anew_is_sealed_with_its_own_instant(house: House) -> None:
    """Its promise of 30 days counts from what it holds."""
    [snapshot] = [each for each in house.repository().snapshots() if not each.is_secrets]
    [point] = shown(house).points
    facts = house.facts()
    removal.remove(PointId.parse(point.id), house.layout, Silent())
    later = point.model_copy(update={"started_at": snapshot.time + timedelta(hours=6)})
    facts.set_point(point.id, shown=later)
    assert sync(house).exit_code == 0
    [sealed] = seal.newest(house.store("verifier"), house.verifier()).points
    assert sealed.started_at == snapshot.time.replace(microsecond=0)


def test_bucket_without_a_lock_makes_the_run_fail(tmp_path: Path, seaweedfs: SeaweedFS) -> None:
    house = made(tmp_path, seaweedfs, bucket=seaweedfs.new_bucket(locked=False))
    end = sync(house)
    assert end.exit_code == 7
    assert "Object Lock" in shown(house).vault.detail


def test_vault_out_of_reach_leaves_the_local_point_and_what_was_known(house: House) -> None:
    assert sync(house).exit_code == 0
    before = shown(house)
    vault = house.vault_settings().model_copy(update={"endpoint": "http://127.0.0.1:1"})
    away = House(house.settings.model_copy(update={"vault": vault}), clock=house.clock)
    end = sync(away)
    assert end.exit_code == 11
    after = shown(house)
    assert (after.vault.state, after.vault.objects) == ("failed", before.vault.objects)
    assert after.points[0].vault == before.points[0].vault
    assert after.vault.last_sync_at == before.vault.last_sync_at


def test_verify_reads_back_and_attack_is_refused(house: House) -> None:
    sync(house)
    end = conduct(house, "vault verify", lambda work: offsite.verify(house, work, with_attack=True))
    assert end.exit_code == 0, end.error
    assert end.result["problems"] == []
    assert len(end.result["points"]) == 1
    assert {each["verdict"] for each in end.result["attack"]} <= {"refused", "harmless", "unenforceable"}
    assert shown(house).vault.attack_ok is True


def test_verify_of_an_empty_vault_fails(house: House) -> None:
    end = conduct(house, "vault verify", lambda work: offsite.verify(house, work))
    assert end.exit_code == 7
    assert shown(house).vault.state == "failed"


@pytest.mark.slow
def test_late_night_carries_its_point_up_itself(tmp_path: Path, seaweedfs: SeaweedFS) -> None:
    """Past the vault's hour the run does not leave the point to the next day's sync."""
    house = made(tmp_path, seaweedfs)
    zone = house.settings.time_zone
    today = now_utc(SystemClock()).astimezone(zone)
    for hour, is_late in ((3, False), (5, True)):
        at = today.replace(hour=hour, minute=30)
        assert pipeline.is_late(replace(house, clock=FakeClock(at.timestamp()))) is is_late
    late = replace(house, clock=FakeClock((today.replace(hour=5, minute=30) + timedelta(days=1)).timestamp()))
    end = conduct(late, "run daily", lambda work: pipeline.run(late, Asked(PointKind.DAILY), work))
    assert end.exit_code == 0, end.error
    assert all(point.vault for point in shown(house).points)


def test_sync_waits_for_the_night_at_work_and_goes_on_without_it_in_the_end(house: House) -> None:
    waiting = House(house.settings.model_copy(update={"lock_wait_hours": 0.00005}), clock=house.clock)

    def work(run: Any) -> None:
        offsite.after_the_night(waiting, run)
        offsite.sync(waiting, run)

    with house.hold(NIGHT, "daily/2026-11-22", Silent()):
        end = conduct(waiting, "vault sync", work)
    assert end.exit_code == 0
    lines = (house.layout.runs / f"{end.run}.jsonl").read_text()
    assert "daily/2026-11-22" in lines
    assert "goes on with the points that are there" in lines


def test_one_sync_at_a_time(house: House) -> None:
    waiting = House(house.settings.model_copy(update={"lock_wait_hours": 0.00005}), clock=house.clock)
    with house.hold(VAULT, "vault sync", Silent()):
        assert sync(waiting).exit_code == 3


def test_audit_head_goes_up_while_a_sync_is_at_work(house: House) -> None:
    file = house.layout.requests / offsite.AUDIT_HEAD
    head = {"schema_version": 1, "sequence": 7, "hash": "ab" * 32, "at": "2026-11-22T01:05:00Z"}
    file.write_text(json.dumps(head))
    with house.hold(VAULT, "vault sync", Silent()):
        end = conduct(house, "vault audit-head", lambda work: offsite.audit_head(house, work, file))
    assert end.exit_code == 0, end.error
    assert end.result["key"].endswith("audit/20261122T010500Z.json")


@pytest.mark.parametrize("kind", ["link", "fifo", "large", "text"])
def test_hostile_audit_head_is_refused_unread(kind: str, house: House, tmp_path: Path) -> None:
    import os

    file = house.layout.requests / offsite.AUDIT_HEAD
    (tmp_path / "secret").write_text("a secret of somebody")
    match kind:
        case "link":
            file.symlink_to(tmp_path / "secret")
        case "fifo":
            os.mkfifo(file)
        case "large":
            file.write_bytes(b" " * 10_000)
        case _:
            file.write_text("a secret of somebody")
    end = conduct(house, "vault audit-head", lambda work: offsite.audit_head(house, work, file))
    assert end.exit_code == 4
    assert "a secret of somebody" not in end.error
