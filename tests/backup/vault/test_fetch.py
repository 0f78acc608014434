"""A repository comes back from its seal byte for byte, whatever was put over it, and goes on where it was ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from backup.exit_codes import DestinationFailed, VaultUnreachable, VaultUnsafe, VerificationFailed
from backup.signing import Signer
from backup.vault import seal
from backup.vault.fetch import fetch, size_bytes
from backup.vault.seal import Seal
from tests.backup.vault.night import House, Told


@pytest.fixture
def house(tmp_path: Path, signer: Signer) -> House:
    found = House(tmp_path, signer)
    for _ in range(3):
        found.night(packs=4)
    return found


def newest(house: House) -> Seal:
    return seal.newest(house.vault, house.signer.verifier)


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_it_comes_back_byte_for_byte(house: House, tmp_path: Path) -> None:
    told = Told()
    fetch(house.vault, newest(house), tmp_path / "back", told)
    assert contents(tmp_path / "back") == contents(house.repository.directory)
    assert (tmp_path / "back" / "locks").is_dir()
    assert told.done[-1] == (size_bytes(newest(house)), size_bytes(newest(house)), "bytes")


def test_delete_markers_and_newer_versions_change_nothing(house: House, tmp_path: Path) -> None:
    for each in newest(house).objects:
        house.vault.overwrite(each.key, b"evil")
        house.vault.hide(each.key)
    for version in list(house.vault.versions("seals/")):
        house.vault.hide(version.key)
    fetch(house.vault, newest(house), tmp_path / "back")
    assert contents(tmp_path / "back") == contents(house.repository.directory)


def test_it_goes_on_where_it_was_ended(house: House, tmp_path: Path) -> None:
    left = 5

    def fail(act: str, key: str) -> None:
        nonlocal left
        if act == "read" and key.startswith("repository/"):
            left -= 1
            if left < 0:
                raise VaultUnreachable("the network is gone")

    wanted = newest(house)
    house.vault.before = fail
    with pytest.raises(VaultUnreachable):
        fetch(house.vault, wanted, tmp_path / "back")
    here = {path for path in contents(tmp_path / "back") if ".parts" not in path}
    assert 0 < len(here) <= 5  # threads that were at work when it failed may have been given up
    house.vault.before = lambda act, key: None
    before = house.vault.calls["read"]
    fetch(house.vault, wanted, tmp_path / "back")
    assert house.vault.calls["read"] - before == len(wanted.objects) - len(here)
    assert contents(tmp_path / "back") == contents(house.repository.directory)


def test_what_was_left_of_a_kill_is_written_again(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part must stay writable to its owner until it has its name: root alone opens what is read-only."""
    renamed = Path.rename
    modes: list[int] = []

    def rename(self: Path, target: Path) -> Path:
        modes.append(self.stat().st_mode & 0o777)
        return renamed(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    fetch(house.vault, newest(house), tmp_path / "back")
    assert all(mode & 0o200 for mode in modes)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "back").rglob("*") if path.is_file()} == {0o400}


def test_what_has_rotted_at_home_is_fetched_again(house: House, tmp_path: Path) -> None:
    wanted = newest(house)
    fetch(house.vault, wanted, tmp_path / "back")
    rotten = next(path for path in (tmp_path / "back" / "data").rglob("*") if path.is_file())
    rotten.chmod(0o600)
    rotten.write_bytes(b"rotten")
    fetch(house.vault, wanted, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(house.repository.directory)


def test_what_is_not_what_was_sealed_is_named_and_the_rest_comes(house: House, tmp_path: Path) -> None:
    wanted = newest(house)
    key = house.key_of("data")
    house.vault.damage(key)
    with pytest.raises(VerificationFailed, match=key):
        fetch(house.vault, wanted, tmp_path / "back")
    missing = set(contents(house.repository.directory)) - set(contents(tmp_path / "back"))
    assert missing == {house.vault.keys.name(key)}


def test_an_object_that_is_gone_is_named(house: House, tmp_path: Path) -> None:
    wanted = newest(house)
    key = house.key_of("index")
    house.vault.lose(key)
    with pytest.raises(VaultUnsafe, match=f"{key}.*is gone"):
        fetch(house.vault, wanted, tmp_path / "back")


def test_a_link_in_the_target_is_not_followed(house: House, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    (tmp_path / "back").mkdir()
    (tmp_path / "back" / "config").symlink_to(victim)
    with pytest.raises(DestinationFailed, match="symbolic link"):
        fetch(house.vault, newest(house), tmp_path / "back")
    assert victim.read_bytes() == b"mine"


def test_a_target_that_is_a_file_is_a_failed_destination(house: House, tmp_path: Path) -> None:
    (tmp_path / "back").write_bytes(b"")
    with pytest.raises(DestinationFailed, match="cannot be made"):
        fetch(house.vault, newest(house), tmp_path / "back")
