"""What is asked before the first byte is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backup import preflight
from backup.exit_codes import DestinationFailed, SourceFailed
from backup.journal import Journal, Silent
from backup.layout import Layout
from backup.points import PointId
from backup.sources.source import Estimate, Staged
from backup.state import AssetState, PointState

AT = datetime(2026, 11, 21, 18, 0, tzinfo=UTC)
GIB = 1024**3
NOTHING = Estimate(0, 0)


def state(point: str = "daily/2026-11-22", *, bytes_: int = 0, files: int = 0, dump: int = 0) -> PointState:
    asset = AssetState(kind="database", name="mail/mail", source="mariadb:mail", paths=["databases/x"], bytes=dump)
    return PointState(
        point=point,
        started_at=AT,
        sealed_at=AT,
        host="homeport",
        homeport="0",
        verified=True,
        sources=[],
        assets=[asset] if dump else [],
        entries=files + 10,
        files=files,
        bytes=bytes_,
        linked_files=0,
        linked_bytes=0,
        manifest_sha256="",
    )


@dataclass
class Fake:
    """A source that only says where it lies and how large it is."""

    name: str
    paths: Sequence[Path] = ()
    found: Estimate | SourceFailed = NOTHING

    def estimate(self) -> Estimate:
        if isinstance(self.found, SourceFailed):
            raise self.found
        return self.found

    def stage(self, stage: object, previous: PointState | None, journal: Journal) -> Staged:
        raise AssertionError("only looked at")


def test_clock_that_jumped_back_dates_no_point_before_the_newest() -> None:
    for now, point in (
        (AT - timedelta(days=400), PointId.parse("daily/2025-10-18")),
        (AT - timedelta(hours=2), PointId.parse("daily/2026-11-21")),
        (AT - timedelta(hours=1), PointId.parse("manual/20261121T170000Z-all")),
    ):
        with pytest.raises(DestinationFailed, match=r"clock says .* Nothing was written or removed"):
            preflight.check_clock(now, point, state())


def test_clock_that_was_set_right_by_a_little_and_a_second_run_of_the_date_are_taken() -> None:
    preflight.check_clock(AT - timedelta(minutes=4), PointId.parse("daily/2026-11-22"), state())
    preflight.check_clock(AT + timedelta(hours=1), PointId.parse("weekly/2026-11-22"), state())
    preflight.check_clock(AT, PointId.parse("daily/2026-11-22"), None)


def test_source_on_the_disk_of_its_backup_is_refused_unless_allowed(tmp_path: Path) -> None:
    layout, sources = Layout(tmp_path), [Fake("files:config", [tmp_path]), Fake("mariadb:mail")]
    with pytest.raises(DestinationFailed, match=r"files:config.*allow_same_device"):
        preflight.check_devices(layout, sources, allow=False, journal=Silent())
    preflight.check_devices(layout, sources, allow=True, journal=Silent())


def test_source_on_another_disk_is_taken(tmp_path: Path) -> None:
    assert preflight.same_device(Layout(tmp_path), [Fake("files:config", [Path("/proc"), Path("/not there")])]) == []


def test_source_that_cannot_be_looked_at_counts_nothing_and_stops_nobody() -> None:
    sources = [Fake("a", found=Estimate(5, 1)), Fake("b", found=SourceFailed("gone")), Fake("c", found=Estimate(7, 2))]
    assert preflight.estimate(sources, Silent()) == Estimate(12, 3)


def test_first_point_and_a_real_copy_need_everything() -> None:
    full = Estimate(10 * GIB, 1000)
    assert preflight.expected(full, None, real_copy=False).bytes == 10 * GIB
    assert preflight.expected(full, state(bytes_=10 * GIB, files=1000), real_copy=True).bytes == 10 * GIB


def test_next_point_needs_its_dumps_its_growth_and_a_little() -> None:
    need = preflight.expected(
        Estimate(11 * GIB, 1100), state(bytes_=10 * GIB, files=1000, dump=2 * GIB), real_copy=False
    )
    assert 3 * GIB < need.bytes < 4 * GIB
    assert 100 < need.inodes < 300


def test_disk_without_room_is_refused_with_the_missing_bytes(tmp_path: Path) -> None:
    preflight.check_room(tmp_path, preflight.Need(4096, 4))
    with pytest.raises(DestinationFailed, match=r"are missing. Nothing was written or removed"):
        preflight.check_room(tmp_path, preflight.Need(2**60, 4))


def test_disk_without_inodes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DestinationFailed, match="inodes free"):
        preflight.check_room(tmp_path, preflight.Need(1, 2**50))
