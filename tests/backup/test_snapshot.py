"""One run's point: what is sealed, what is not, and what the second run of a date does."""

from __future__ import annotations

import os
import random
import shutil
import stat
import subprocess
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from backup import manifest, previous, removal
from backup.exit_codes import DestinationFailed, SourceFailed, VerificationFailed, WrongUsage
from backup.journal import Silent
from backup.layout import MANIFEST, SIGNATURE, STATE
from backup.manifest import read_state
from backup.points import PointId, PointKind
from backup.sources.source import Staged
from backup.verify import verify_point
from tests.backup.faults import ended, every_step
from tests.backup.nights import SIGNER, Night, TreeSource, content, settle

SECRET = b"correct horse battery staple"
LARGE = bytes(range(256)) * 4097  # is written before its hash is known


@dataclass
class Notes(Silent):
    """A journal that a test reads."""

    lines: list[str] = field(default_factory=list)

    def step(self, name: str, **detail: Any) -> None:
        self.lines.append(name)

    def note(self, text: str) -> None:
        self.lines.append(text)

    def warn(self, text: str) -> None:
        self.lines.append(f"warning: {text}")


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Night]:
    night = Night(tmp_path, Notes())
    night.fill({"cur/1": b"one", "cur/2": b"two"})
    yield night
    for point in night.layout.sealed():
        if point.day == night.day:
            assert verify_point(night.layout.point(point), SIGNER.verifier) == []


def names(night: Night, kind: PointKind = PointKind.DAILY) -> list[str]:
    return sorted(path.name for path in (night.layout.root / kind).iterdir())


def test_a_point_is_sealed_with_its_state_and_closed_directories(night: Night) -> None:
    outcome = night.run()
    point = night.point(outcome)
    assert outcome.is_sealed
    assert names(night) == ["2026-11-22"]
    assert sorted(path.name for path in point.iterdir()) == [MANIFEST, "MANIFEST.sig", STATE, "mail"]
    state = read_state(point)
    assert state == outcome.state
    assert (state.point, state.host, state.verified) == ("daily/2026-11-22", "homeport", True)
    assert (state.entries, state.files, state.bytes, state.linked_files) == (4, 2, 6, 0)
    assert [(source.source, source.ok) for source in state.sources] == [("files:tree", True)]
    assert state.started_at.isoformat() == "2026-11-22T03:00:00+00:00"
    for directory in (point, point / "mail", point / "mail/cur"):
        assert stat.S_IMODE(directory.stat().st_mode) & 0o222 == 0


def test_what_is_sealed_was_made_durable_before_its_name_and_the_name_after(night: Night) -> None:
    with every_step(lambda _number, _name: None) as steps:
        night.run()
    rename = len(steps) - 1 - steps[::-1].index("rename")
    last_write = rename - 1 - steps[:rename][::-1].index("write")
    assert "syncfs" in steps[:rename]
    assert steps.index("syncfs") > steps.index("utime")  # of the last file
    assert "fsync" in steps[last_write:rename]
    assert steps[rename:] == ["rename", "fsync"]


def test_a_failing_source_stops_no_other_and_its_point_is_kept_as_incomplete(night: Night) -> None:
    bad = TreeSource(night.source, b"bad", "files:bad", error="the engine's own words")
    outcome = night.run(bad, TreeSource(night.source))
    assert not outcome.is_sealed
    assert [(each.source, each.ok, each.error) for each in outcome.state.sources] == [
        ("files:bad", False, "the engine's own words"),
        ("files:tree", True, ""),
    ]
    assert not outcome.state.verified
    assert names(night) == [".incomplete-2026-11-22"]
    kept = night.layout.staging(outcome.point, ".incomplete-")
    assert verify_point(kept, SIGNER.verifier) == []
    assert (kept / "bad/cur/1").exists()  # what had been staged until then


def test_a_source_that_stumbles_over_a_name_fails_alone(night: Night) -> None:
    class Stumbles(TreeSource):
        def stage(self, *_: object) -> Staged:
            raise ValueError("no text: \udcff")

    outcome = night.run(Stumbles(night.source, b"x", "files:x"), TreeSource(night.source))
    assert [(each.ok, each.error) for each in outcome.state.sources] == [(False, r"no text: \xff"), (True, "")]


def test_secrets_that_cannot_be_read_fail_the_night_and_no_more(night: Night) -> None:
    def secrets() -> list[bytes]:
        raise SourceFailed("the secret /etc/x cannot be read")

    outcome = night.run(TreeSource(night.source, b"stacks/app"), secrets=secrets)
    assert not outcome.is_sealed
    assert [(each.source, each.ok) for each in outcome.state.sources] == [("files:tree", True), ("secrets:scan", False)]
    assert "the secret /etc/x cannot be read" in outcome.state.sources[1].error
    assert names(night) == [".incomplete-2026-11-22"]


def test_a_source_whose_directory_is_gone_fails_alone(night: Night) -> None:
    outcome = night.run(TreeSource(night.source / "gone", b"x", "files:gone"), TreeSource(night.source))
    assert [each.ok for each in outcome.state.sources] == [False, True]
    assert "No such file or directory" in outcome.state.sources[0].error


def test_a_bad_night_takes_nothing_from_the_good_one_of_the_same_date(night: Night) -> None:
    good = content(night.point(night.run()))
    night.run(TreeSource(night.source, error="no"))
    assert names(night) == [".incomplete-2026-11-22", "2026-11-22"]
    assert content(night.layout.root / "daily/2026-11-22") == good


def test_an_incomplete_tree_stays_until_the_next_run_of_its_kind(night: Night) -> None:
    night.run(TreeSource(night.source, error="no"))
    night.tomorrow()
    night.run(kind=PointKind.WEEKLY)
    night.run(TreeSource(night.source, error="no"))
    assert names(night) == [".incomplete-2026-11-23"]
    night.tomorrow()
    night.run()
    assert names(night) == ["2026-11-24"]


def test_nothing_is_linked_to_an_incomplete_tree(night: Night) -> None:
    night.run(TreeSource(night.source, error="no"))
    night.tomorrow()
    assert night.run().state.linked_files == 0


def test_a_second_run_of_a_date_takes_the_place_of_the_first(night: Night) -> None:
    settle()
    first = night.run()
    night.fill({"cur/3": b"three"})
    second = night.run()
    assert names(night) == ["2026-11-22"]
    assert (second.state.files, second.state.linked_files) == (3, 2)
    assert read_state(night.point(first)) == second.state


def test_the_daily_point_of_a_sunday_links_to_the_weekly_one_of_an_hour_before(night: Night) -> None:
    settle()
    night.run()
    night.tomorrow()
    night.fill({"cur/3": b"three"})
    night.run(kind=PointKind.WEEKLY)
    night.clock.advance(3600)
    assert night.run().state.linked_files == 3


def test_a_secret_in_the_stacks_stops_the_seal_and_is_named_by_its_file_only(night: Night) -> None:
    night.fill({"app/compose.yaml": b"x" * (1 << 20) + SECRET[:5], "app/.env": b"y" * ((1 << 20) - 9) + SECRET})
    outcome = night.run(TreeSource(night.source, b"stacks/app"), secrets=lambda: [b"", SECRET, b"another secret"])
    assert not outcome.is_sealed
    [scan] = [each for each in outcome.state.sources if not each.ok]
    assert scan.source == "secrets:scan"
    assert "stacks/app/app/.env" in scan.error
    assert "compose" not in scan.error
    assert isinstance(night.journal, Notes)
    assert SECRET.decode() not in "".join(night.journal.lines) + outcome.state.model_dump_json()
    kept = night.layout.staging(outcome.point, ".incomplete-")
    assert not (kept / "stacks/app/app/.env").exists()
    assert verify_point(kept, SIGNER.verifier) == []


def test_a_secret_elsewhere_is_none_of_the_scans_business(night: Night) -> None:
    night.fill({"cur/3": SECRET})  # somebody may well mail it
    assert night.run(secrets=lambda: [SECRET]).is_sealed


def test_a_disk_that_keeps_something_else_is_found_before_the_seal(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, b"tw0" if bytes(data) == b"two" else data))
    with pytest.raises(VerificationFailed, match=r"mail/cur/2: expected [0-9a-f]{64}, found [0-9a-f]{64}"):
        night.run()
    monkeypatch.undo()
    assert names(night) == [".incomplete-2026-11-22"]
    assert not read_state(night.layout.root / "daily/.incomplete-2026-11-22").verified


def test_a_run_without_a_source_or_without_a_file_is_no_good_night(night: Night, tmp_path: Path) -> None:
    with pytest.raises(WrongUsage):
        take_nothing(night)
    (tmp_path / "empty").mkdir()
    outcome = night.run(TreeSource(tmp_path / "empty"))
    assert not outcome.is_sealed
    assert outcome.state.sources[-1].error == "the sources gave no file"


def take_nothing(night: Night) -> None:
    from backup.snapshot import take

    point = PointId.scheduled(PointKind.DAILY, night.day)
    take(point, [], layout=night.layout, host="h", signer=SIGNER, clock=night.clock, journal=night.journal)


def test_an_unmounted_root_is_not_filled(night: Night) -> None:
    night.layout.marker.unlink()
    with pytest.raises(DestinationFailed, match="not mounted"):
        night.run()
    assert names(night) == []


def test_a_damaged_manifest_hands_its_hashes_to_nobody(night: Night) -> None:
    settle()
    first = night.point(night.run())
    night.tomorrow()
    second = night.point(night.run())
    text = (second / MANIFEST).read_bytes()
    (second / MANIFEST).write_bytes(text.replace(b'"size":3', b'"size":4', 1))
    night.tomorrow()
    third = night.run()
    assert third.state.linked_files == 2
    assert (night.point(third) / "mail/cur/1").stat().st_ino == (first / "mail/cur/1").stat().st_ino
    assert isinstance(night.journal, Notes)
    assert "the point before is daily/2026-11-22; links to it" in night.journal.lines


def test_a_removed_point_takes_nothing_from_those_that_share_its_files(night: Night) -> None:
    settle()
    first = night.run()
    night.tomorrow()
    second = night.run()
    kept = content(night.point(second))
    removal.remove(first.point, night.layout, Silent())
    assert names(night) == ["2026-11-23"]
    assert content(night.point(second)) == kept


def test_what_dead_runs_left_is_removed_by_the_next(night: Night) -> None:
    for name in (".partial-2026-11-20/mail/cur", ".trash-2026-11-19/mail"):
        directory = night.layout.root / "daily" / name
        directory.mkdir(parents=True)
        (directory / "1").write_bytes(b"")
        (directory / "link").symlink_to(night.source)
        directory.chmod(0o500)
    night.run()
    assert names(night) == ["2026-11-22"]
    assert (night.source / "cur/1").exists()


def test_the_signature_file_is_a_list_that_sha256sum_checks(night: Night) -> None:
    point = night.point(night.run())
    lists = b"".join(
        b"  ".join(line.split(b"  ")[:2]) + b"\n" for line in (point / SIGNATURE).read_bytes().splitlines()
    )
    subprocess.run(["sha256sum", "--check", "--strict"], input=lists, cwd=point, check=True, capture_output=True)


def as_it_is(directory: Path) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for path in directory.rglob("*"):
        about = path.lstat()
        if path.is_symlink():
            found[str(path.relative_to(directory))] = "link", path.readlink()
        elif path.is_dir():
            found[str(path.relative_to(directory))] = ("dir",)
        else:
            mode = stat.S_IMODE(about.st_mode)
            found[str(path.relative_to(directory))] = path.read_bytes(), mode, about.st_mtime_ns, about.st_uid
    return found


def meddle(draw: random.Random, source: Path) -> None:
    """Do something that happens to files."""
    files = [path for path in source.rglob("*") if path.is_file() and not path.is_symlink()]
    path = draw.choice(files)
    other = source / draw.choice("abcde") / f"{draw.choice('-./xyz').replace('/', '_')}{draw.randrange(40)}"
    other.parent.mkdir(exist_ok=True)
    match draw.randrange(9):
        case 0 | 1 | 2:
            other.write_bytes(draw.choice([b"", b"same", draw.randbytes(20), draw.randbytes(9), LARGE]))
        case 3 | 4:
            path.rename(other)
        case 5:
            path.chmod(draw.choice([0o600, 0o644, 0o400]))
        case 6:
            os.utime(path, ns=(1, draw.choice([1, 2, 3]) * 10**18))
        case 7:
            shutil.copy2(path, other)
        case _ if len(files) > 20:
            path.unlink()
        case _:
            other.with_name(f"link{draw.randrange(10**9)}").symlink_to(path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_after_any_history_every_point_is_the_source_as_it_was(
    night: Night, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(manifest, "RUN_LINES", 7)  # the sort goes through files, lookups through tables
    monkeypatch.setattr(previous, "FAR_LINES", 3)
    draw = random.Random(seed)
    was: list[tuple[Path, dict[str, tuple[object, ...]]]] = []
    linked = 0
    for _ in range(8):
        for _ in range(25):
            meddle(draw, night.source)
        outcome = night.run(real_copy=draw.random() < 0.1)
        linked += outcome.state.linked_files
        was.append((night.point(outcome), as_it_is(night.source)))
        night.tomorrow()
    for point, source in was:
        assert as_it_is(point / "mail") == source
        assert verify_point(point, SIGNER.verifier) == []
    assert linked > 100


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_somebody_without_rights_makes_links_replaces_and_removes_points() -> None:
    """In a container without capabilities the write bits that are gone are gone for us, too."""

    def act(directory: Path) -> None:
        night = Night(directory)
        night.fill({"cur/1": b"one", "cur/sub/2": b"two"})
        settle()
        night.run()
        first = night.run()
        night.tomorrow()
        second = night.run()
        assert second.state.linked_files == 2
        removal.remove(first.point, night.layout, Silent())
        assert names(night) == ["2026-11-23"]
        assert verify_point(night.point(second), SIGNER.verifier) == []

    with tempfile.TemporaryDirectory() as directory:  # not below pytest's own, which nobody else may enter
        os.chown(directory, 65534, 65534)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
                act(Path(directory))
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        assert not ended(child)
