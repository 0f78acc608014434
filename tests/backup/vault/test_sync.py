"""The sync: what is sent, renewed, read back and sealed, and every way in which it must fail."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from backup.exit_codes import (
    DestinationFailed,
    OverBudget,
    RepositoryFailed,
    VaultUnreachable,
    VaultUnsafe,
    VerificationFailed,
    WrongUsage,
)
from backup.signing import Signer
from backup.vault import seal
from backup.vault.known import Known
from backup.vault.sync import Planned
from backup.vault.vault import NotThere
from tests.backup.vault.directory import LOCKED
from tests.backup.vault.night import NIGHT_S, House, daily
from tests.clock import FakeClock

HOUR_S = 3600.0


@pytest.fixture
def house(tmp_path: Path, signer: Signer) -> House:
    return House(tmp_path, signer)


def test_everything_of_the_repository_is_there_locked_and_sealed(house: House) -> None:
    point = house.add_point(packs=3)
    report = house.sync()
    names = house.repository.names()
    assert {house.vault.keys.name(each.key) for each in report.sealed.objects} == names
    assert report.uploaded == report.checked == report.objects == len(names)
    assert report.uploaded_bytes == report.locked_bytes == sum(path.stat().st_size for path in house.repository.files())
    assert (report.extended, report.adopted, report.margin_found) == (0, 0, None)
    assert report.lowest_retain_until == house.vault.now() + timedelta(days=37)
    for each in report.sealed.objects:
        stored = house.vault.head(each.key, each.version_id)
        assert (stored.mode, stored.sha256) == ("COMPLIANCE", each.sha256)
    newest = seal.newest(house.vault, house.signer.verifier)
    assert newest == report.sealed
    assert newest.points == (point,)


def test_nothing_is_sent_twice(house: House) -> None:
    house.add_point()
    house.sync()
    sent = house.vault.sent_bytes
    house.clock.advance(HOUR_S)
    report = house.sync()
    assert (report.uploaded, report.extended, report.adopted) == (0, 0, 0)
    assert set(house.vault.sent.values()) == {1}
    assert house.vault.sent_bytes - sent < 10_000  # the second seal
    assert house.vault.calls["extend"] == 0


def test_locks_and_temporary_files_stay_at_home(house: House) -> None:
    house.add_point()
    hexes = "ab" * 32
    for name in (
        f"locks/{hexes}",
        f"data/ab/{hexes}-tmp-123",
        f"data/ab/.{hexes}.part",
        f"data/cd/{hexes}",
        "index/README",
        "snapshots/short",
        "tmp/x",
        "other",
    ):
        path = house.repository.directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    (house.repository.directory / "index" / ("cd" * 32)).symlink_to("/etc/passwd-does-not-exist")
    report = house.sync()
    assert all("tmp" not in each.key and "locks" not in each.key for each in report.sealed.objects)
    assert len(report.sealed.objects) == 2 + 3 + 1  # packs, index, snapshot, key, config


def test_no_snapshot_appears_before_its_packs_and_the_seal_comes_last(house: House) -> None:
    house.add_point(packs=5)
    order: list[str] = []

    def note(act: str, key: str) -> None:
        if act == "put":
            order.append(key.removeprefix("repository/").split("/")[0])

    house.vault.before = note
    house.sync()
    assert sorted(order, key=["data", "index", "keys", "config", "snapshots", "seals"].index) == order
    assert order.count("seals") == 2


def test_the_budget_is_asked_before_the_first_byte(house: House) -> None:
    house.add_point(packs=3, pack_bytes=1000)
    plans: list[Planned] = []

    def refuse(planned: Planned) -> None:
        plans.append(planned)
        raise OverBudget("10.20 USD, the limit is 10.00")

    with pytest.raises(OverBudget):
        house.sync(estimate=refuse)
    assert house.vault.calls["put"] == house.vault.calls["extend"] == 0
    total = sum(path.stat().st_size for path in house.repository.files())
    assert plans == [Planned(stored_bytes=0, objects=7, upload_bytes=total, uploads=7, renewals=0)]


def test_over_budget_renews_what_is_there(house: House) -> None:
    """A budget that is passed on the first night of a long leave must not let the vault run out."""
    house.add_point()
    first = house.sync()
    house.clock.advance(7 * NIGHT_S)
    house.add_point(packs=3)
    sent = house.vault.calls["put"]

    def refuse(planned: Planned) -> None:
        raise OverBudget("10.20 USD, the limit is 10.00")

    with pytest.raises(OverBudget):
        house.sync(estimate=refuse)
    assert house.vault.calls["put"] == sent
    for each in first.sealed.objects:
        assert house.vault.head(each.key).retain_until == house.vault.now() + timedelta(days=37)


def test_what_has_run_out_and_is_stored_still_is_paid_for(house: House) -> None:
    house.add_point()
    stored = house.sync().locked_bytes
    house.clock.advance(40 * NIGHT_S)
    assert house.plan().stored_bytes == stored


def test_a_pack_that_is_lost_here_is_renewed_there_and_nothing_is_sealed(house: House) -> None:
    """The repository's own check has found it. The next seal without that pack would let the only copy run out."""
    house.add_point()
    first = house.sync().sealed
    lost = next(path for path in house.repository.files() if "data" in path.parts)
    house.clock.advance(7 * NIGHT_S)
    house.add_point()
    lost.unlink()
    with pytest.raises(RepositoryFailed, match=r"(?s)pack .* not found.*No seal was written"):
        house.sync(damage=f"pack {lost.name} not found")
    key = house.vault.keys.file(lost.relative_to(house.repository.directory).as_posix())
    assert house.vault.head(key).retain_until == house.vault.now() + timedelta(days=37)
    assert seal.newest(house.vault, house.signer.verifier) == first
    assert house.plan().uploads == 0, "what is here was carried up"
    house.known.unlink()
    house.clock.advance(7 * NIGHT_S)
    with pytest.raises(RepositoryFailed):
        house.sync(damage="damaged")
    assert house.vault.head(key).retain_until == house.vault.now() + timedelta(days=37)


@pytest.mark.parametrize("is_remembered", [True, False])
def test_another_repository_under_the_same_prefix_is_refused_untouched(house: House, is_remembered: bool) -> None:
    """As after `init` in the place of a damaged one: no alarm of tampering, and the old one is not written over."""
    house.add_point()
    house.sync()
    if not is_remembered:
        house.known.unlink()
    config = house.repository.directory / "config"
    config.write_bytes(b"of a new repository")
    house.clock.advance(7 * NIGHT_S)
    house.add_point()
    before = house.vault.calls["put"], house.vault.calls["extend"]
    with pytest.raises(WrongUsage, match=r"another repository than the one in .*give vault\.prefix a new value"):
        house.sync(config_sha256=hashlib.sha256(config.read_bytes()).hexdigest())
    assert (house.vault.calls["put"], house.vault.calls["extend"]) == before


def test_a_config_that_was_written_over_there_stays_an_alarm(house: House) -> None:
    house.add_point()
    house.sync()
    house.vault.rot(house.vault.keys.file("config"))
    recorded = hashlib.sha256((house.repository.directory / "config").read_bytes()).hexdigest()
    for _ in range(2):
        with pytest.raises(VaultUnsafe, match="of the SHA-256 0000"):
            house.sync(config_sha256=recorded)


def test_what_is_still_needed_is_renewed_and_what_is_not_is_left_alone(house: House) -> None:
    house.add_point()
    unneeded = house.sync().sealed
    kept = house.repository.points[daily(0)]
    house.clock.advance(NIGHT_S)
    house.add_point(reuse=1)
    house.sync()
    house.repository.remove_point(kept.point)
    house.clock.advance(5.1 * NIGHT_S)
    assert house.plan().renewals > 0
    report = house.sync()
    assert report.extended == report.objects - 3 - 1  # all but what the second night brought: 2 packs, index, snapshot
    needed = {each.key for each in report.sealed.objects}
    gone = [each for each in unneeded.objects if each.key not in needed]
    assert gone
    for each in gone:
        assert house.vault.head(each.key).retain_until == each.retain_until


def test_a_margin_below_the_floor_is_told_and_mended(house: House) -> None:
    house.add_point()
    house.sync()
    house.clock.advance(6.9 * NIGHT_S)
    assert house.sync().margin_found == timedelta(days=37 - 6.9)
    assert not house.told.warnings
    house.clock.advance(8 * NIGHT_S)
    report = house.sync()
    assert report.margin_found == timedelta(days=29)
    assert "a renewal was missed" in house.told.warnings[-1]
    assert report.lowest_retain_until == house.vault.now() + timedelta(days=37)


def test_a_rotten_file_is_named_and_the_old_locks_are_renewed_all_the_same(house: House) -> None:
    first = house.add_point()
    house.sync()
    house.clock.advance(7 * NIGHT_S)
    before = set(house.repository.files())
    house.add_point()
    rotten = next(path for path in set(house.repository.files()) - before if "data" in path.parts)
    rotten.chmod(0o600)
    rotten.write_bytes(bytes([rotten.read_bytes()[0] ^ 1]) + rotten.read_bytes()[1:])
    with pytest.raises(VerificationFailed, match=f"(?s){rotten}.*No seal was written"):
        house.sync()
    assert house.vault.calls["extend"] > 0
    assert all("snapshots" not in key or first.snapshot in key for key in house.vault.sent)
    newest = seal.newest(house.vault, house.signer.verifier)
    assert newest.point == first.point
    assert all(
        house.vault.head(each.key).retain_until == house.vault.now() + timedelta(days=37) for each in newest.objects
    )


def test_other_content_under_a_name_is_tampering(house: House) -> None:
    house.add_point()
    key = house.key_of("data")
    version = house.vault.overwrite(key, b"evil")
    with pytest.raises(VaultUnsafe, match=f"TAMPER: {key}.*{version}"):
        house.sync()
    with pytest.raises(NotThere):
        seal.newest(house.vault, house.signer.verifier)


def test_a_config_that_somebody_put_first_is_tampering(house: House) -> None:
    house.add_point()
    house.vault.overwrite(house.vault.keys.file("config"), b"evil")
    with pytest.raises(VaultUnsafe, match="TAMPER"):
        house.sync()


def test_a_config_that_has_rotted_stops_everything(house: House) -> None:
    house.add_point()
    recorded = hashlib.sha256((house.repository.directory / "config").read_bytes()).hexdigest()
    (house.repository.directory / "config").write_bytes(b"rotten")
    with pytest.raises(VerificationFailed, match="config"):
        house.sync(config_sha256=recorded)
    assert house.vault.calls["put"] == 0


def test_a_config_that_rots_later_is_known_without_a_record(house: House) -> None:
    house.add_point()
    house.sync()
    (house.repository.directory / "config").write_bytes(b"rotten")
    with pytest.raises(VerificationFailed, match="rotted, or this is another repository"):
        house.sync()


def test_an_object_that_is_gone_while_locked_is_unsafe_and_the_others_are_renewed(house: House) -> None:
    house.add_point()
    first = house.sync()
    key = first.sealed.objects[0].key
    house.vault.lose(key)
    with pytest.raises(VaultUnsafe, match=f"{key}.*is not there any more"):
        house.sync()
    house.clock.advance(7 * NIGHT_S)
    with pytest.raises(VaultUnsafe, match=f"{key}.*is gone though it was locked"):
        house.sync()
    assert sum(house.vault.extended.values()) == first.objects - 1


HARM: dict[str, Callable[[House, str], None]] = {
    "of the SHA-256 0000": lambda house, key: house.vault.rot(key),
    "only, after": lambda house, key: house.vault.shorten(key, house.vault.now() + timedelta(days=30), "COMPLIANCE"),
    "GOVERNANCE": lambda house, key: house.vault.shorten(key, house.vault.now() + timedelta(days=36), "GOVERNANCE"),
    "not at all": lambda house, key: house.vault.shorten(key, None, ""),
}


@pytest.mark.parametrize("said", HARM)
def test_what_reads_back_otherwise_is_unsafe_and_nothing_is_sealed(house: House, said: str) -> None:
    house.add_point()
    first = house.sync().sealed
    house.clock.advance(HOUR_S)
    HARM[said](house, first.objects[0].key)
    with pytest.raises(VaultUnsafe, match=f"(?s){first.objects[0].key}.*{said}"):
        house.sync()
    assert seal.newest(house.vault, house.signer.verifier) == first


@pytest.mark.parametrize(
    "wrong",
    [
        {"lock_enabled": False},
        {"default_mode": ""},
        {"default_mode": "GOVERNANCE"},
        {"default_days": 29},
        {"versioning": False},
        {"encryption": ""},
        {"public_access_blocked": False},
    ],
)
def test_a_bucket_that_is_no_vault_gets_nothing(house: House, wrong: dict[str, object]) -> None:
    house.add_point()
    house.vault.state = replace(LOCKED, **wrong)  # type: ignore[arg-type]
    with pytest.raises(VaultUnsafe, match="is no vault"):
        house.sync()
    assert house.vault.calls["put"] == 0
    house.vault.state = LOCKED
    house.sync()


def test_a_bucket_that_cannot_say_whether_it_is_public_is_a_vault_all_the_same(house: House) -> None:
    house.add_point()
    house.vault.state = replace(LOCKED, public_access_blocked=None)
    assert house.sync().uploaded > 0


def test_a_renewal_that_is_denied_ends_the_sync_without_a_seal(house: House) -> None:
    house.add_point()
    house.sync()
    house.clock.advance(7 * NIGHT_S)

    def deny(act: str, key: str) -> None:
        if act == "extend":
            raise VaultUnreachable("AccessDenied")

    house.vault.before = deny
    with pytest.raises(VaultUnreachable, match=r"(?s)AccessDenied.*The margin alarm sounds in 12 h"):
        house.sync()
    house.clock.advance(NIGHT_S)
    with pytest.raises(VaultUnreachable, match="The margin alarm sounds now"):
        house.sync()
    house.vault.before = lambda act, key: None
    assert house.sync().extended > 0


def test_a_point_without_a_snapshot_is_not_promised(house: House) -> None:
    point = house.add_point()
    (house.repository.directory / "snapshots" / point.snapshot).unlink()
    with pytest.raises(RepositoryFailed, match=f"{point.snapshot} of {point.point}"):
        house.sync()
    assert house.vault.calls["put"] == 0


def test_a_file_that_vanishes_is_an_error(house: House) -> None:
    house.add_point(packs=4)
    pack = next(path for path in house.repository.files() if "data" in path.parts)
    house.vault.before = lambda act, key: pack.unlink(missing_ok=True) if act == "put" else None
    with pytest.raises(RepositoryFailed, match="without the repository lock"):
        house.sync()


def test_a_clock_that_is_off_is_told_and_does_not_count(house: House) -> None:
    house.add_point()
    clock, house.clock = house.clock, FakeClock(house.clock.now() + 900)
    report = house.sync()
    house.clock = clock
    assert "15 min off" in house.told.warnings[0]
    assert report.lowest_retain_until == house.vault.now() + timedelta(days=37)


# -- what is remembered ------------------------------------------------------------------------------------------------


def test_what_was_stored_and_not_noted_is_adopted(house: House) -> None:
    """A sync killed between the PUT and its own note: the object is there, under the right name, with its own lock."""
    house.add_point()
    house.sync()
    house.forget("%/data/%")
    house.clock.advance(HOUR_S)
    report = house.sync()
    assert (report.uploaded, report.adopted) == (0, 2)
    assert report.lowest_retain_until == house.vault.now() + timedelta(days=37, hours=-1)


def test_what_is_adopted_with_a_short_lock_is_renewed(house: House) -> None:
    house.add_point()
    house.sync()
    house.forget()
    house.clock.advance(7 * NIGHT_S)
    report = house.sync()
    assert (report.adopted, report.extended) == (report.objects, report.objects)


@pytest.mark.parametrize("harm", ["lost", "damaged", "truncated", "of another vault", "no database"])
def test_a_memory_that_is_no_good_is_built_anew(house: House, harm: str) -> None:
    house.add_point()
    house.sync()
    house.clock.advance(NIGHT_S)
    house.add_point()
    house.sync()
    for suffix in ("-wal", "-shm"):
        house.known.with_name(house.known.name + suffix).unlink(missing_ok=True)
    match harm:
        case "lost":
            house.known.unlink()
        case "damaged":
            data = bytearray(house.known.read_bytes())
            data[4096:] = b"\xff" * (len(data) - 4096)
            house.known.write_bytes(data)
        case "truncated":
            house.known.write_bytes(house.known.read_bytes()[:5000])
        case "no database":
            house.known.write_bytes(b"not a database at all " * 500)
        case _:
            with contextlib.closing(sqlite3.connect(house.known)) as database, database:
                database.execute("UPDATE about SET value = 'another'")
    before = house.vault.calls["put"]
    report = house.sync()
    assert (report.uploaded, report.adopted, house.vault.calls["put"] - before) == (0, 0, 2)
    assert "rebuild" in house.told.steps


def test_a_memory_built_anew_knows_what_no_seal_lists(house: House) -> None:
    """The sync was killed before its first seal, and the host's disk is another one now."""
    house.add_point()
    house.sync()
    for version in list(house.vault.versions("seals/")):
        house.vault.lose(version.key)
    house.known.unlink()
    hidden = next(iter(house.vault.versions("repository/data/"))).key
    house.vault.hide(hidden)
    evil = house.vault.overwrite(hidden, b"evil")
    report = house.sync()
    assert (report.uploaded, report.adopted) == (0, 1)  # `config` alone is not known by its name
    assert all(each.version_id != evil for each in report.sealed.objects)


def test_what_has_run_out_and_was_collected_is_sent_again(house: House) -> None:
    house.add_point()
    first = house.sync().sealed
    house.clock.advance(40 * NIGHT_S)
    collected = first.objects[0]
    house.vault.delete(collected.key, collected.version_id)
    report = house.sync()
    assert report.uploaded == 1
    assert report.extended == report.objects - 1
    assert house.inspect().problems == ()


def test_a_memory_that_cannot_be_written_is_a_failed_destination(house: House) -> None:
    with pytest.raises(DestinationFailed):
        Known(house.directory / "not-there" / "vault.sqlite3")


def test_progress_reaches_the_total(house: House) -> None:
    house.add_point(packs=6)
    house.sync()
    done, total, unit = [each for each in house.told.done if each[2] == "bytes"][-1]
    assert done == total
    assert unit == "bytes"
    assert house.told.steps[:1] == ["vault"]
    assert house.told.steps[-2:] == ["read back", "seal"]
