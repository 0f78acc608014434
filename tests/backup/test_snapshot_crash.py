"""The crash table of docs/design/backup.md, asserted: SIGKILL and a full or broken disk at every step of a run."""

from __future__ import annotations

import errno
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from backup import removal
from backup.exit_codes import DestinationFailed
from backup.journal import Silent
from backup.layout import INCOMPLETE, PARTIAL, TRASH, Layout
from backup.points import PointId, PointKind
from backup.verify import verify_point
from tests.backup.faults import dies_at, ended, failing_from
from tests.backup.nights import SIGNER, Night, TreeSource, content, settle
from tests.crash.small_disk import MIB, SmallDisk

KILLS = 10_000
ENOUGH = 500  # steps; a run of these scenarios has about fifty


def first(night: Night) -> None:
    night.run()


def failed(night: Night) -> None:
    night.run(TreeSource(night.source, error="no"))


def retention(night: Night) -> None:
    removal.remove(night.layout.sealed()[0], night.layout, Silent())


# What runs, and whether today's point is there already, to be swapped with the new one
SCENARIOS = [
    pytest.param(first, False, id="first of its date"),
    pytest.param(first, True, id="second of its date"),
    pytest.param(failed, False, id="a source fails"),
    pytest.param(retention, False, id="retention"),
]
Contents = dict[PointId, dict[bytes, tuple[int, str]]]


def two_nights(night: Night) -> Night:
    """Two good nights; a renamed, a gone and a new mail since."""
    night.fill({"new/1": b"one", "cur/2": b"two", "new/0": b"zero"})
    (night.source / "link").symlink_to("cur")
    settle()
    night.run()
    night.tomorrow()
    night.run()
    return night


@pytest.fixture
def night(tmp_path: Path) -> Night:
    return two_nights(Night(tmp_path))


def a_day_passes(night: Night, number: int) -> None:
    """A mail arrives, the one of the day before is read, an older one removed."""
    night.tomorrow()
    night.fill({f"new/{number + 1}": b"%d" % number})
    (night.source / f"new/{number}").rename(night.source / f"cur/{number}:2,S")
    (night.source / f"cur/{number - 2}:2,S").unlink(missing_ok=True)


def contents(night: Night) -> Contents:
    """Of every sealed point, which must be whole."""
    found = {}
    for point in night.layout.sealed():
        assert verify_point(night.layout.point(point), SIGNER.verifier) == []
        found[point] = content(night.layout.point(point))
    return found


def left_over(night: Night) -> list[str]:
    names = (path.name for path in (night.layout.root / "daily").iterdir())
    return [name for name in names if name.startswith((PARTIAL, TRASH, INCOMPLETE))]


def assert_next_night_is_good(night: Night, kept: Contents) -> None:
    """What was sealed before is what it was, down to its inodes; the next run seals and clears up."""
    found = contents(night)
    assert {point: found[point] for point in kept} == kept
    night.tomorrow()
    assert night.run().is_sealed
    assert left_over(night) == []
    for point in night.layout.sealed()[:-2]:
        removal.remove(point, night.layout, Silent())
    contents(night)


def untouched(night: Night, scenario: Callable[[Night], None]) -> Contents:
    """What no death of this scenario may change."""
    found = contents(night)
    found.pop(PointId.scheduled(PointKind.DAILY, night.day), None)
    if scenario is retention:
        del found[night.layout.sealed()[0]]
    assert found
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("scenario", "is_second"), SCENARIOS)
def test_whatever_step_a_run_dies_at_no_point_is_lost_and_the_next_run_ends_the_same(
    night: Night, scenario: Callable[[Night], None], is_second: bool
) -> None:
    for step in range(ENOUGH):
        a_day_passes(night, step)
        if is_second:
            night.run()
            night.fill({"cur/later": b"%d" % step})
        kept = untouched(night, scenario)
        died = dies_at(step, lambda: scenario(night))
        assert_next_night_is_good(night, kept)
        if not died:
            assert step > (5 if scenario is retention else 30)
            return
    raise AssertionError("a run has more steps than was thought")


@pytest.mark.slow
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO, errno.EDQUOT])
def test_whatever_step_the_disk_fails_at_the_run_says_so_and_the_old_points_are_what_they_were(
    night: Night, code: int
) -> None:
    for number, step in enumerate(range(0, ENOUGH, 1 if code == errno.ENOSPC else 5)):
        a_day_passes(night, number)
        kept = untouched(night, first)
        said = ""
        with failing_from(step, code) as steps:
            try:
                night.run()
            except DestinationFailed as error:
                said = str(error)
        assert_next_night_is_good(night, kept)
        if len(steps) <= step:
            assert said == ""
            return
        assert os.strerror(code) in said
    raise AssertionError("a run has more steps than was thought")


@pytest.mark.slow
def test_a_small_disk_that_is_full_sooner_or_later_keeps_its_points(tmp_path: Path) -> None:
    """No injection: a tmpfs with a little less room each night, until a night fits."""
    with SmallDisk(8 * MIB) as disk:
        night = Night(tmp_path)
        night.layout = Layout(disk.path)
        night.layout.create()
        two_nights(night)
        night.fill({"big": os.urandom(200_000)})
        ends = set()
        for number, leave_bytes in enumerate(range(0, 400_000, 20_000)):
            a_day_passes(night, number)
            kept = untouched(night, first)
            disk.fill(leave_bytes=leave_bytes)
            try:
                night.run(real_copy=True)
            except DestinationFailed as error:
                ends.add("full" if "No space left on device" in str(error) else str(error))
            else:
                ends.add("sealed")
            disk.empty()
            assert_next_night_is_good(night, kept)
        assert ends == {"full", "sealed"}


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_ten_thousand_kills_at_any_moment_lose_no_point(night: Night) -> None:
    draw = random.Random(6)
    for number in range(KILLS):
        a_day_passes(night, number)
        if number % 2:
            night.run()
        kept = untouched(night, first)
        child = os.fork()
        if child == 0:
            try:
                night.run()
            finally:
                os._exit(0)
        time.sleep(draw.random() * 0.05)
        os.kill(child, signal.SIGKILL)
        ended(child)
        assert_next_night_is_good(night, kept)
