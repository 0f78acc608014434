"""Sixty nights by an injected clock: what was promised holds at every moment, and nothing is paid for twice."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from backup.signing import Signer
from backup.vault.seal import Seal
from tests.backup.vault.night import NIGHT_S, House, midnight

NIGHTS = 60
PROMISE = timedelta(days=30)


@pytest.fixture
def house(tmp_path: Path, signer: Signer) -> House:
    return House(tmp_path, signer)


def broken_promises(house: House, seals: list[Seal]) -> list[str]:
    """Every object of a stored point that could be deleted before its days are over; asked of the store alone."""
    found = []
    for seal in seals:
        started_at = max(each.started_at for each in seal.points)
        if started_at + PROMISE <= house.vault.now():
            continue
        for each in seal.objects:
            stored = house.vault.head(each.key, each.version_id)
            if stored.retain_until is None or stored.retain_until < started_at + PROMISE:
                found.append(f"{seal.point} {each.key} {stored.retain_until}")
    return found


def test_sixty_nights(house: House) -> None:
    seals: list[Seal] = []
    margins: list[timedelta] = []
    unneeded: dict[str, datetime | None] = {}
    for _ in range(NIGHTS):
        house.add_point(packs=2, reuse=6)
        for point in list(house.repository.points)[:-7]:
            house.repository.remove_point(point)
        report = house.sync()
        seals.append(report.sealed)
        if report.margin_found is not None:
            margins.append(report.margin_found)
        needed = {each.key for each in report.sealed.objects}
        for each in house.vault.versions("repository/"):
            if each.key not in needed and each.key not in unneeded:
                unneeded[each.key] = house.vault.head(each.key).retain_until
        assert broken_promises(house, seals) == []
        assert house.inspect().problems == ()
        house.clock.advance(NIGHT_S - 1)
        assert broken_promises(house, seals) == []
        assert house.inspect().problems == ()
        house.clock.advance(1)

    assert not house.told.warnings
    assert min(margins) == timedelta(days=30)
    # Nothing unchanged was sent twice, nothing deleted; what is not needed was left alone when its lock ended.
    assert set(house.vault.sent.values()) == {1}
    assert house.vault.calls["delete"] == 0
    ended = [key for key, until in unneeded.items() if until is not None and until < house.vault.now()]
    assert len(ended) > 20
    for key, until in unneeded.items():
        assert house.vault.head(key).retain_until == until
    # What was needed all the time was renewed every seventh night: with less than 31 of 37 days left.
    assert house.vault.extended[house.vault.keys.file("config")] == (NIGHTS - 1) // 7
    needed_for = {key: sum(key in {each.key for each in seal.objects} for seal in seals) for key in house.vault.sent}
    for key, nights in needed_for.items():
        assert house.vault.extended[key] <= nights / 6, key


@pytest.mark.parametrize("seed", range(3))
def test_nights_at_odd_hours_some_of_them_skipped(house: House, seed: int) -> None:
    """The promise to what is stored does not depend on the next sync; only the alarm does."""
    chance = random.Random(seed)
    seals: list[Seal] = []
    for night in range(40):
        house.add_point(packs=1, reuse=chance.randrange(5))
        for point in list(house.repository.points)[: -chance.randrange(3, 8)]:
            house.repository.remove_point(point)
        seals.append(house.sync().sealed)
        assert broken_promises(house, seals) == []
        skipped = chance.choice([0, 0, 0, 0, 1, 2, 8])
        house.clock.advance((skipped + 1) * NIGHT_S + chance.uniform(-0.05, 0.05) * NIGHT_S)
        assert broken_promises(house, seals) == []
        missed = [text for text in house.inspect().problems if "missed" in text]
        assert not (missed and skipped == 0)
        if skipped and night > 10:
            assert house.inspect().problems == tuple(missed)
    assert set(house.vault.sent.values()) == {1}


def test_a_sync_of_thirty_hours_leaves_nothing_below_the_threshold(house: House) -> None:
    """What had 31 days and an hour left when the upload began is renewed again when it ends."""
    house.night()
    house.clock.advance(5 * NIGHT_S - 3600)
    house.add_point(packs=30)
    house.vault.before = lambda act, key: house.clock.advance(3600) if act == "put" and "/data/" in key else None
    report = house.sync()
    house.vault.before = lambda act, key: None
    assert house.vault.now() - midnight(0) > timedelta(days=7)
    assert report.lowest_retain_until >= house.vault.now() + timedelta(days=31) - timedelta(minutes=1)
    assert house.inspect().problems == ()


def test_a_host_that_is_gone_lets_its_locks_run_out_after_31_days_at_least(house: House) -> None:
    for _ in range(10):
        house.night()
    last = midnight(9)
    report = house.inspect()
    assert report.lowest_retain_until is not None
    assert timedelta(days=31) <= report.lowest_retain_until - last <= timedelta(days=37)
