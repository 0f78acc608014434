"""`vault verify`: it reads all back, says until when each point is protected, and fails when the vault is not safe."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from backup.exit_codes import VaultUnreachable, VaultUnsafe
from backup.signing import Signer
from backup.vault.keys import Keys
from backup.vault.verify import verify
from tests.backup.vault.directory import LOCKED
from tests.backup.vault.night import NIGHT_S, House, daily, midnight


@pytest.fixture
def house(tmp_path: Path, signer: Signer) -> House:
    return House(tmp_path, signer)


def test_every_stored_point_is_protected_for_its_days(house: House) -> None:
    for _ in range(10):
        house.night(keep=3)
    report = house.inspect()
    assert report.problems == report.warnings == ()
    assert [each.point for each in report.points] == [daily(day) for day in reversed(range(10))]
    for each in report.points:
        assert each.protected_until is not None
        assert each.protected_until >= each.started_at + timedelta(days=30)
    assert report.newest is not None
    assert report.objects == len(report.newest.objects)
    assert report.checked > report.objects
    assert report.lowest_retain_until is not None
    assert report.margin == report.lowest_retain_until - report.at
    assert report.margin >= timedelta(days=30)


def test_it_only_reads(house: House) -> None:
    house.night()
    before = house.vault.calls.copy()
    house.inspect()
    after = house.vault.calls - before
    assert set(after) <= {"bucket", "head", "read", "versions"}


def test_a_point_that_was_renewed_is_protected_for_longer(house: House) -> None:
    for _ in range(9):
        house.night(keep=30)
    oldest = house.inspect().points[-1]
    assert oldest.point == daily(0)
    assert oldest.sealed_at == midnight(8)
    assert oldest.protected_until is not None
    assert oldest.protected_until >= midnight(8) + timedelta(days=31)


def test_points_past_their_promise_are_no_longer_looked_at(house: House) -> None:
    house.night()
    house.clock.advance(29 * NIGHT_S - 3600)  # a night has taken one already
    house.sync()
    assert [each.point for each in house.inspect().points] == [daily(0)]
    house.clock.advance(2 * 3600)
    report = house.inspect()
    assert report.points == ()
    assert report.newest is not None
    assert report.problems == ()


def test_an_empty_vault_is_not_safe(house: House) -> None:
    report = house.inspect()
    assert "holds no valid seal" in report.problems[0]
    assert (report.newest, report.points, report.margin) == (None, (), None)
    with pytest.raises(VaultUnsafe, match="holds no valid seal"):
        verify(house.vault, house.signer.verifier, settings=house.settings)


@pytest.mark.parametrize(("skipped", "is_missed"), [(0, False), (1, True), (2, True), (8, True)])
def test_a_skipped_night_sounds_after_the_first(house: House, skipped: int, is_missed: bool) -> None:
    for _ in range(20):
        house.night()
    house.clock.advance(skipped * NIGHT_S)
    report = house.inspect()
    missed = [text for text in report.problems if "a renewal was missed" in text]
    assert bool(missed) == is_missed
    assert len(report.problems) == len(missed)  # what was promised to the stored points holds all the same
    house.night()
    assert house.inspect().problems == ()


def test_a_bucket_that_is_no_vault_any_more_is_reported(house: House) -> None:
    house.night()
    house.vault.state = LOCKED.__class__(True, "COMPLIANCE", 30, False, "AES256", True)
    with pytest.raises(VaultUnsafe, match="versioning is not enabled"):
        verify(house.vault, house.signer.verifier, settings=house.settings)


def test_an_object_that_is_gone_takes_its_points_with_it(house: House) -> None:
    house.night()
    key = house.key_of("data")
    house.vault.lose(key)
    report = house.inspect()
    assert any(key in text and "is gone" in text for text in report.problems)
    assert any(str(daily(0)) in text and "cannot be restored whole" in text for text in report.problems)
    assert report.points[0].protected_until is None
    with pytest.raises(VaultUnsafe, match="Do not delete anything"):
        report.require_safe()


def test_a_lock_that_is_not_what_it_was_is_reported(house: House) -> None:
    house.night()
    key = house.key_of("data")
    for until, mode, said in (
        (midnight(0) + timedelta(days=29), "COMPLIANCE", "its seal says"),
        (midnight(0) + timedelta(days=40), "GOVERNANCE", "not locked in COMPLIANCE mode but GOVERNANCE"),
        (None, "", "not locked in COMPLIANCE mode but not at all"),
    ):
        house.vault.shorten(key, until, mode)  # type: ignore[arg-type]
        assert any(key in text and said in text for text in house.inspect().problems)


def test_content_that_is_not_what_was_sealed_is_reported(house: House) -> None:
    house.night()
    house.vault.rot(house.key_of("index"))
    assert any("has the SHA-256 0000" in text for text in house.inspect().problems)


def test_a_seal_that_does_not_verify_is_reported_and_the_valid_one_counts(house: House) -> None:
    house.night()
    house.vault.overwrite(Keys().seal(midnight(1), daily(1)), b"junk")
    report = house.inspect()
    assert [text for text in report.problems if "does not verify" in text] == list(report.problems)
    assert report.newest is not None
    assert report.newest.point == daily(0)


def test_what_others_put_over_our_keys_is_told_and_harms_nothing(house: House) -> None:
    house.night()
    hidden, covered = house.key_of("data"), house.key_of("snapshots")
    house.vault.hide(hidden)
    house.vault.overwrite(covered, b"evil")
    report = house.inspect()
    assert report.problems == ()
    assert [hidden in text and "a delete marker" in text for text in report.warnings] == [True, False]
    assert [covered in text and "another version" in text for text in report.warnings] == [False, True]
    assert house.told.warnings == list(report.warnings)


def test_a_vault_that_does_not_answer_is_unreachable_and_not_unsafe(house: House) -> None:
    house.night()

    def refuse(act: str, key: str) -> None:
        if act == "head":
            raise VaultUnreachable("SlowDown")

    house.vault.before = refuse
    with pytest.raises(VaultUnreachable):
        house.inspect()
