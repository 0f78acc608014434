"""Seals: what is signed is what counts, under the key that belongs to it, whatever others put beside or over it."""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from backup.exit_codes import RepositoryFailed, VaultUnsafe, VerificationFailed
from backup.signing import Signer
from backup.vault import seal
from backup.vault.keys import Keys, is_repository_file, sha256_in
from backup.vault.vault import Denied, NotThere
from tests.backup.vault.night import House, daily, midnight

HEX = "ab" * 32


@pytest.fixture
def house(tmp_path: Path, signer: Signer) -> House:
    found = House(tmp_path, signer)
    found.add_point()
    return found


def sealed_document(house: House) -> tuple[str, bytes]:
    written = house.sync().sealed
    return written.key, house.vault.read(written.key)


def test_a_seal_reads_as_it_was_written(house: House) -> None:
    written = house.sync().sealed
    assert seal.parse(house.vault.read(written.key), written.key, house.signer.verifier) == written
    assert written.key == f"seals/20261101T030000Z-{daily(0).flat}.json"


def test_the_table_beside_it_lists_the_same_for_a_shell(house: House) -> None:
    written = house.sync().sealed
    table = house.vault.read(written.key.replace(".json", ".txt"))
    assert hashlib.sha256(table).hexdigest() == json.loads(house.vault.read(written.key))["table_sha256"]
    lines = [line.split(" ") for line in table.decode().splitlines()]
    assert lines == [[each.version_id, each.sha256, str(each.size), each.key] for each in written.objects]
    assert house.vault.head(written.key.replace(".json", ".txt")).retain_until == house.vault.now() + timedelta(days=37)


def test_no_flipped_bit_goes_unseen(house: House) -> None:
    key, data = sealed_document(house)
    chance = random.Random(6)
    for _ in range(400):
        flipped = bytearray(data.rstrip(b"\n"))
        flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
        with pytest.raises(VerificationFailed, match=key):
            seal.parse(bytes(flipped), key, house.signer.verifier)


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"null", b"\xff", b'{"signature": 1}', b'{"signature": "x"}', b"[" * 99_999]
)
def test_what_is_no_seal_is_refused(data: bytes, signer: Signer) -> None:
    with pytest.raises(VerificationFailed):
        seal.parse(data, "seals/x.json", signer.verifier)


def test_a_seal_of_another_key_is_refused(house: House) -> None:
    key, data = sealed_document(house)
    other = Signer(Ed25519PrivateKey.generate())
    with pytest.raises(VerificationFailed, match="is signed by the key"):
        seal.parse(data, key, other.verifier)


def test_an_old_seal_copied_under_a_newer_key_is_refused(house: House) -> None:
    _, data = sealed_document(house)
    newer = Keys().seal(midnight(9), daily(9))
    with pytest.raises(VerificationFailed, match="somebody has copied it"):
        seal.parse(data, newer, house.signer.verifier)


def test_a_signed_seal_cannot_lead_out_of_the_repository(house: House) -> None:
    written = house.sync().sealed
    evil = replace(written, objects=(replace(written.objects[0], key="repository/data/../../../etc/passwd"),))
    with pytest.raises(VerificationFailed, match="no file of a repository"):
        seal.parse(seal.serialize(evil, house.signer), evil.key, house.signer.verifier)


def test_the_newest_valid_seal_is_found_among_what_others_have_put(house: House) -> None:
    first = house.sync().sealed
    keys = Keys()
    house.vault.overwrite(keys.seal(midnight(3), daily(3)), b"junk")
    house.vault.overwrite(keys.seal(midnight(4), daily(4)), house.vault.read(first.key))
    house.vault.overwrite(first.key, b"evil")
    house.vault.hide(first.key)
    house.vault.overwrite("seals/not-one.json", b"x")
    assert seal.newest(house.vault, house.signer.verifier) == first
    assert list(seal.valid(house.vault, house.signer.verifier)) == [first]


@pytest.mark.parametrize("error", [VaultUnsafe("larger than 256 MiB"), Denied("AccessDenied: its key is another's")])
def test_a_seal_that_cannot_be_read_hides_none_below_it(house: House, error: Exception) -> None:
    """Under a key of the thief, with his SSE-C key, or in an archive: whoever may write may put such a one."""
    first = house.sync().sealed
    evil = Keys().seal(midnight(3), daily(3))
    house.vault.overwrite(evil, b"x")

    def refuse(act: str, key: str) -> None:
        if act == "read" and key == evil:
            raise error

    house.vault.before = refuse
    assert seal.newest(house.vault, house.signer.verifier) == first
    assert any(f"{evil} cannot be read: {error}" in each for each in house.inspect().problems)


def test_a_seal_that_is_too_large_is_not_even_read(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    first = house.sync().sealed
    large = Keys().seal(midnight(3), daily(3))
    monkeypatch.setattr(seal, "MAX_BYTES", 100_000)
    house.vault.overwrite(large, b"x" * 100_001)

    def refuse(act: str, key: str) -> None:
        assert (act, key) != ("read", large)

    house.vault.before = refuse
    assert seal.newest(house.vault, house.signer.verifier) == first
    monkeypatch.setattr(seal, "MAX_BYTES", 100)
    house.clock.advance(10)
    with pytest.raises(RepositoryFailed, match="too many for one seal"):
        house.sync()


def test_why_no_seal_counts_is_told(house: House) -> None:
    """Rights that lack one action look like a vault without seals; a person at night wants to know which it is."""
    house.sync()

    def refuse(act: str, key: str) -> None:
        if act == "read":
            raise Denied("AccessDenied")

    house.vault.before = refuse
    with pytest.raises(NotThere, match=r"1 are none, the newest because: .*AccessDenied"):
        seal.newest(house.vault, house.signer.verifier)


def test_the_newest_seal_of_a_point_that_is_not_in_the_repository_any_more_is_found(house: House) -> None:
    first = house.sync().sealed
    house.clock.advance(86_400)
    house.add_point()
    house.repository.remove_point(daily(0))
    second = house.sync().sealed
    assert seal.newest(house.vault, house.signer.verifier) == second
    assert seal.newest(house.vault, house.signer.verifier, point=daily(0)) == first
    with pytest.raises(NotThere, match="daily/2026-11-10"):
        seal.newest(house.vault, house.signer.verifier, point=daily(9))
    assert list(seal.valid(house.vault, house.signer.verifier, since=midnight(1))) == [second]


def test_a_second_that_is_taken_is_passed_over_and_not_for_ever(house: House) -> None:
    house.vault.overwrite(Keys().seal_table(midnight(0), daily(0)), b"x")
    assert house.sync().sealed.sealed_at == midnight(0) + timedelta(seconds=1)
    house.clock.advance(2)
    for moment in range(2, 120):
        house.vault.overwrite(Keys().seal_table(midnight(0) + timedelta(seconds=moment), daily(0)), b"x")
    with pytest.raises(VaultUnsafe, match="seals that are not ours"):
        house.sync()


def test_a_seal_whose_answer_was_lost_is_not_written_twice(house: House) -> None:
    """The store did what it was asked, twice: the second time it finds the same content."""
    written = house.sync().sealed
    retain_until = house.vault.now() + timedelta(days=37)
    again = seal.write(house.vault, written, house.signer, retain_until=retain_until)
    assert again == written
    assert len(list(house.vault.versions("seals/"))) == 2


# -- keys --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "a/", "repository/", "home/port/"])
def test_keys_and_names_are_each_others_inverse(prefix: str) -> None:
    keys = Keys(prefix)
    for name in (f"data/ab/{HEX}", f"index/{HEX}", f"keys/{HEX}", f"snapshots/{HEX}", "config"):
        assert keys.file(name).startswith(f"{prefix}repository/")
        assert keys.name(keys.file(name)) == name
    assert keys.parse_seal(keys.seal(midnight(1), daily(1))) == (midnight(1), daily(1))


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "/", f"locks/{HEX}", f"data/{HEX}", f"data/cd/{HEX}", f"data/ab/{HEX}-tmp-1"),
        *(f"index/{HEX.upper()}", f"index/{HEX}\n", "config\n", "configs", f"data/ab/../{HEX}", f"/data/ab/{HEX}"),
        f"data/ab/{HEX}/x",
    ],
)
def test_nothing_else_is_a_repository_file(name: str) -> None:
    assert not is_repository_file(name)
    for function in (Keys().file, Keys().name, sha256_in):
        with pytest.raises(ValueError, match="not "):
            function(name)
    with pytest.raises(ValueError, match="not the key"):
        Keys().name(f"repository/{name}")
    with pytest.raises(ValueError, match="not the key"):
        Keys("a/").name(f"repository/data/ab/{HEX}")
