"""A point against its manifest: every kind of damage is named, and nothing else is."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from backup.layout import MANIFEST, SIGNATURE, STATE
from backup.manifest import sign
from backup.points import PointId, PointKind
from backup.signing import Signer
from backup.verify import verify_point
from tests.backup.nights import FIRST, SIGNER, Night

POINT = PointId.scheduled(PointKind.DAILY, FIRST)
GONE = "nothing"


@pytest.fixture
def night(tmp_path: Path) -> Night:
    night = Night(tmp_path)
    night.fill({"cur/1": b"one", "cur/2": b"two", "a-b": b"3", "a/b": b"4", "big": os.urandom(3 << 20)})
    (night.source / "link").symlink_to("cur/1")
    (night.source / os.fsdecode(b"\xff\n")).write_bytes(b"5")
    return night


@pytest.fixture
def point(night: Night) -> Path:
    """A sealed point whose directories can be written again."""
    point = night.point(night.run())
    for directory, _, _ in os.walk(point):
        Path(directory).chmod(0o700)
    return point


def damaged(point: Path, part: tuple[int, int] | None = None) -> list[tuple[str, str, str]]:
    return [(each.path, each.expected, each.found) for each in verify_point(point, SIGNER.verifier, part=part)]


def flip(path: Path, offset: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    with path.open("r+b") as file:
        file.write(data)


def test_a_point_as_it_was_sealed_has_no_damage(point: Path) -> None:
    assert damaged(point) == []


def test_one_flipped_bit_names_exactly_its_file_with_both_hashes(point: Path) -> None:
    flip(point / "mail/big", 2_000_000)
    [damage] = verify_point(point, SIGNER.verifier)
    assert (damage.point, damage.path) == (POINT, "mail/big")
    assert len(damage.expected) == len(damage.found) == 64
    assert str(damage) == f"{POINT}: mail/big: expected {damage.expected}, found {damage.found}"


def test_a_flipped_bit_in_a_linked_file_is_named_in_every_point_that_has_it(night: Night) -> None:
    points = []
    for _ in range(3):
        points.append(night.point(night.run()))
        night.tomorrow()
    flip(points[1] / "mail/cur/1")
    assert [[each.path for each in verify_point(point, SIGNER.verifier)] for point in points] == [["mail/cur/1"]] * 3


def test_after_a_night_that_distrusts_the_damaged_points_the_file_is_whole_again(night: Night) -> None:
    first = night.run()
    flip(night.point(first) / "mail/cur/1")
    night.tomorrow()
    second = night.run(distrusted=[first.point])
    assert second.state.linked_files == 0
    assert damaged(night.point(second)) == []


@pytest.mark.parametrize("name", [MANIFEST, STATE, SIGNATURE])
def test_a_flipped_bit_in_what_is_signed_names_that_file_alone(point: Path, name: str) -> None:
    flip(point / name, 30)
    flip(point / "mail/a-b")  # cannot be judged by a damaged manifest, and is not
    assert [path for path, _, _ in damaged(point)] == [name]


@pytest.mark.parametrize("name", [MANIFEST, STATE, SIGNATURE])
def test_a_signed_file_that_is_gone_is_named(point: Path, name: str) -> None:
    (point / name).unlink()
    assert [path for path, _, _ in damaged(point)] == [name]


def test_a_whole_state_of_another_night_is_not_this_ones(night: Night) -> None:
    first = night.point(night.run())
    night.tomorrow()
    night.fill({"new": b"6"})
    second = night.point(night.run())
    for directory in (first, second):
        directory.chmod(0o700)
    (second / STATE).write_bytes((first / STATE).read_bytes())
    sign(second, SIGNER)  # as nobody but us could
    assert [path for path, _, _ in damaged(second)] == [STATE]


def replace(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def move_and_link(point: Path) -> None:
    (point / "mail/a").rename(point / "mail/b")
    (point / "mail/a").symlink_to("b")


def remove_tree(point: Path) -> None:
    (point / "mail/cur/1").unlink()
    (point / "mail/cur/2").unlink()
    (point / "mail/cur").rmdir()


CASES: dict[str, tuple[Callable[[Path], object], list[tuple[str, str, str]]]] = {
    "a missing file": (lambda point: (point / "mail/cur/1").unlink(), [("mail/cur/1", "a file", GONE)]),
    "a missing tree": (
        remove_tree,
        [("mail/cur", "a dir", GONE), ("mail/cur/1", "a file", GONE), ("mail/cur/2", "a file", GONE)],
    ),
    "the last entry": (
        lambda point: (point / os.fsdecode(b"mail/\xff\n")).unlink(),
        [("mail/\\udcff\\n", "a file", GONE)],
    ),
    "a file more": (
        lambda point: (point / "mail/a/c").write_bytes(b""),
        [("mail/a/c", GONE, "something that is not in the manifest")],
    ),
    "a file more at the end": (
        lambda point: (point / "zzz").write_bytes(b""),
        [("zzz", GONE, "something that is not in the manifest")],
    ),
    "a tree more": (
        lambda point: (point / "mail/x/y").mkdir(parents=True),
        [(path, GONE, "something that is not in the manifest") for path in ("mail/x", "mail/x/y")],
    ),
    "a shorter file": (lambda point: os.truncate(point / "mail/cur/1", 2), [("mail/cur/1", "3 bytes", "2 bytes")]),
    "a longer file": (lambda point: (point / "mail/a-b").write_bytes(b"33"), [("mail/a-b", "1 bytes", "2 bytes")]),
    "another target": (
        lambda point: replace(point / "mail/link", lambda path: path.symlink_to("/etc")),
        [("mail/link", "cur/1", "/etc")],
    ),
    "a symlink for a file": (
        lambda point: replace(point / "mail/a-b", lambda path: path.symlink_to("cur/1")),
        [("mail/a-b", "a file", "a symlink")],
    ),
    "a symlink for a directory": (
        move_and_link,
        [
            ("mail/a", "a dir", "a symlink"),
            ("mail/a/b", "a file", GONE),
            ("mail/b", GONE, "something that is not in the manifest"),
            ("mail/b/b", GONE, "something that is not in the manifest"),
        ],
    ),
    "a fifo for a file": (
        lambda point: replace(point / "mail/a-b", os.mkfifo),
        [("mail/a-b", "a file", "a device, fifo or socket")],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_differs_is_named_exactly(point: Path, case: str) -> None:
    act, expected = CASES[case]
    act(point)
    assert damaged(point) == expected


def test_the_parts_of_a_month_read_every_file_once_and_all_names_each_day(night: Night) -> None:
    night.fill({f"many/{number}": b"x" for number in range(100)})
    point = night.point(night.run())
    flip(point / "mail/many/7")
    (point / "mail/many").chmod(0o700)
    (point / "mail/many/9").unlink()
    days = [[path for path, _, _ in damaged(point, part=(day, 28))] for day in range(28)]
    assert all("mail/many/9" in found for found in days)
    assert sum("mail/many/7" in found for found in days) == 1


def test_an_incomplete_tree_can_be_verified_too(night: Night) -> None:
    night.run()
    directory = night.layout.point(POINT)
    kept = directory.rename(directory.with_name(f".incomplete-{directory.name}"))
    flip(kept / "mail/cur/2")
    assert [each.point for each in verify_point(kept, SIGNER.verifier)] == [POINT]


def test_a_point_signed_by_somebody_else_is_damaged(point: Path, signer: Signer) -> None:
    assert {each.path for each in verify_point(point, signer.verifier)} == {SIGNATURE}


def test_a_file_that_the_disk_does_not_give_back_is_named(point: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def refuse(path: object, *args: int, **kwargs: int) -> int:
        if path == b"2":
            raise OSError(5, os.strerror(5))
        return real(path, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", refuse)
    [(path, _, found)] = damaged(point)
    assert (path, found) == ("mail/cur/2", "Input/output error")
