"""The repository, written by real restic: what it stores, what it reads again, how it fails, what a kill leaves."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backup.exit_codes import DestinationFailed, RepositoryFailed, SourceFailed, WrongUsage
from backup.layout import Layout
from backup.points import PointId
from backup.repository import Reader, Repository
from backup.settings import RepositorySettings
from tests.backup.vault.night import Told
from tests.crash.small_disk import MIB, SmallDisk

PASSWORD = "correct-horse-battery-staple"
FIRST, SECOND, THIRD = (PointId.parse(f"daily/2026-11-0{day}") for day in (1, 2, 3))
ODD_NAMES = [b"plain", b"-rf", b"a\nb", b"\xff\xfe", b"[x]*?\\", b"x" * 255, b" ", "日本語".encode()]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with an empty repository, to be copied: restic takes a second to make one."""
    root = tmp_path_factory.mktemp("made") / "root"
    root.mkdir()
    (root / "password").write_text(f"{PASSWORD}\n")
    opened(root).create()
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "root")
    return tmp_path / "root"


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def repository(root: Path, told: Told) -> Repository:
    return opened(root, told)


def opened(root: Path, told: Told | None = None, program: str = "restic") -> Repository:
    layout = Layout(root)
    layout.create()
    settings = RepositorySettings(password_file=root / "password", program=program)
    return Repository(layout, settings, "host", told)


def make_point(root: Path, point: PointId, files: dict[bytes, bytes], *, like: PointId | None = None) -> None:
    """A sealed tree; what another point holds alike is a hard link to it, as the stage makes them."""
    layout = Layout(root)
    mail = layout.point(point) / "mail"
    mail.mkdir(parents=True)
    for name, content in files.items():
        path = mail / os.fsdecode(name)
        before = layout.point(like or point) / "mail" / path.name
        if before.exists():
            path.hardlink_to(before)
        else:
            path.write_bytes(content)


def contents(directory: Path) -> dict[bytes, bytes]:
    return {
        os.fsencode(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def flip_a_bit(path: Path) -> None:
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


FILES = {b"%d" % number: b"mail %d " % number * 200 for number in range(20)} | {name: name * 3 for name in ODD_NAMES}


@pytest.mark.slow
def test_a_point_comes_back_byte_for_byte_by_stock_restic(root: Path, repository: Repository, tmp_path: Path) -> None:
    make_point(root, FIRST, FILES)
    snapshot = repository.backup(FIRST)
    argv: list[str | Path] = [
        "restic",
        "-r",
        root / "repository",
        "-p",
        root / "password",
        "restore",
        snapshot,
        "-t",
        tmp_path / "back",
    ]
    subprocess.run(argv, check=True, capture_output=True, env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)})
    assert contents(tmp_path / "back") == contents(Layout(root).point(FIRST))


@pytest.mark.slow
def test_what_was_linked_is_not_read_again_except_once_a_month(root: Path, repository: Repository, told: Told) -> None:
    make_point(root, FIRST, FILES)
    make_point(root, SECOND, {**FILES, b"new": b"new"}, like=FIRST)
    make_point(root, THIRD, {**FILES, b"new": b"new"}, like=SECOND)
    for point, reread in ((FIRST, False), (SECOND, False), (THIRD, True)):
        repository.backup(point, reread=reread)
    number = re.compile(r"(\d+) (?:files new|changed|as before)")
    counts = [tuple(int(found) for found in number.findall(note)) for note in told.notes]
    assert counts == [(len(FILES), 0, 0), (1, 0, len(FILES)), (len(FILES) + 1, 0, 0)]


@pytest.mark.slow
def test_snapshots_say_whose_they_are_and_secrets_stand_apart(
    root: Path, repository: Repository, tmp_path: Path
) -> None:
    key = tmp_path / "tunnel.json"
    key.write_text("a secret")
    accounts = tmp_path / "accounts"
    accounts.mkdir()
    (accounts / "mail.accounts.sql").write_text("GRANT")
    make_point(root, FIRST, FILES)
    make_point(root, SECOND, FILES, like=FIRST)
    first = repository.backup(FIRST)
    secrets = repository.backup_secrets(FIRST, [key], accounts)
    second = repository.backup(SECOND)
    found = {each.id: (each.point, each.is_secrets) for each in repository.snapshots()}
    assert found == {first: (FIRST, False), secrets: (FIRST, True), second: (SECOND, False)}
    assert [each.id for each in repository.snapshots()] == [first, secrets, second]
    reader = Repository.at(root / "repository", root / "password")
    reader.restore(secrets, tmp_path / "back")
    assert (tmp_path / "back" / str(key).lstrip("/")).read_text() == "a secret"
    with pytest.raises(SourceFailed, match=r"gone\.json"):
        repository.backup_secrets(FIRST, [key, tmp_path / "gone.json"])

    repository.forget([first, secrets, "0" * 64])
    repository.forget([first])
    repository.prune()
    repository.check((1, 1))
    assert [each.id for each in repository.snapshots()] == [second]
    assert not repository.has_locks()
    assert repository.size_bytes() == sum(
        path.stat().st_size for path in (root / "repository").rglob("*") if path.is_file()
    )


@pytest.mark.slow
def test_names_that_look_like_patterns_are_taken_literally(root: Path, repository: Repository, tmp_path: Path) -> None:
    make_point(root, FIRST, FILES)
    snapshot = repository.backup(FIRST)
    wanted = [os.fsdecode(b"mail/" + name) for name in ODD_NAMES]
    repository.restore(snapshot, tmp_path / "back", wanted)
    assert contents(tmp_path / "back") == {b"mail/" + name: name * 3 for name in ODD_NAMES}


def test_config_is_recorded_and_a_repository_is_made_once(root: Path, repository: Repository) -> None:
    assert repository.exists()
    assert repository.config_sha256() == hashlib.sha256((root / "repository" / "config").read_bytes()).hexdigest()
    with pytest.raises(WrongUsage, match="it stays"):
        repository.create()
    assert re.fullmatch(r"0\.\d+\.\d+", repository.version)


# -- how it fails ------------------------------------------------------------------------------------------------------


def test_every_way_to_open_it_wrongly_is_told_in_restics_words(
    root: Path, repository: Repository, tmp_path: Path
) -> None:
    (root / "password").write_text("wrong\n")
    with pytest.raises(RepositoryFailed, match=r"(?s)wrong password.*does not hold this repository's password"):
        repository.snapshots()
    (root / "password").unlink()
    with pytest.raises(RepositoryFailed, match="password"):
        repository.snapshots()
    (root / "password").write_text(f"{PASSWORD}\n")
    with pytest.raises(RepositoryFailed, match="ended with"):
        Repository.at(tmp_path / "nothing", root / "password").snapshots()
    assert not Repository.at(tmp_path / "nothing", root / "password").exists()
    with pytest.raises(RepositoryFailed, match="without restic there are local points only"):
        opened(root, program="restic-is-not-here").snapshots()


def test_a_program_that_is_no_restic_is_not_believed(root: Path, tmp_path: Path) -> None:
    fake = fake_restic(tmp_path, 'echo "not json"; exit 0')
    make_point(root, FIRST, FILES)
    repository = opened(root, program=fake)
    with pytest.raises(RepositoryFailed, match="is no restic"):
        _ = repository.version
    with pytest.raises(RepositoryFailed, match="not JSON"):
        repository.snapshots()


def test_a_backup_that_could_not_read_everything_is_a_failure(root: Path, tmp_path: Path) -> None:
    says = '[ "$1" = backup ] && { echo "error: read x: I/O error" >&2; exit 3; }'
    fake = fake_restic(tmp_path, f'restic "$@"; code=$?; {says}; exit $code')
    make_point(root, FIRST, FILES)
    with pytest.raises(RepositoryFailed, match=r"(?s)I/O error.*lacks what could not be read"):
        opened(root, program=fake).backup(FIRST)
    repository = opened(root)
    assert repository.snapshots() == [], "nobody takes it for the point"
    [incomplete] = repository.incomplete()
    assert [each.id for each in at_rest(root).snapshots()] == [incomplete], "to forget it one must be alone"
    whole = repository.backup(FIRST)
    assert [each.id for each in repository.snapshots()] == [whole]
    repository.forget([])
    assert [each.id for each in at_rest(root).snapshots()] == [whole]
    assert not repository.incomplete()


def test_a_snapshot_that_cannot_be_found_masks_none_of_restics_words(root: Path, tmp_path: Path, told: Told) -> None:
    says = 'echo \'{"message_type":"summary","snapshot_id":"ffff"}\'; echo "error: read x: I/O error" >&2; exit 3'
    make_point(root, FIRST, FILES)
    fake = fake_restic(tmp_path, f'[ "$1" = backup ] || exec restic "$@"; {says}')
    with pytest.raises(RepositoryFailed, match="I/O error"):
        opened(root, told, program=fake).backup(FIRST)
    assert "ffff" in told.warnings[-1]


@pytest.mark.slow
def test_a_manual_point_is_no_base_for_the_night(root: Path, repository: Repository, told: Told) -> None:
    """It may hold one mailbox alone, and restic would read all the others again."""
    make_point(root, FIRST, FILES)
    repository.backup(FIRST)
    manual = PointId.parse("manual/20261101T120000Z-all")
    make_point(root, manual, {b"plain": b"plain" * 3})
    repository.backup(manual)
    make_point(root, SECOND, FILES, like=FIRST)
    repository.backup(SECOND)
    assert f" 0 files new, 0 changed, {len(FILES)} as before" in told.notes[-1]


def test_the_password_is_in_no_argument_no_environment_and_no_log(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    seen = tmp_path / "seen"
    note = r'tr "\0" " " < /proc/$$/cmdline; tr "\0" " " < /proc/$$/environ'
    fake = fake_restic(tmp_path, f'{{ {note}; }} >> {seen}; exec restic "$@"')
    make_point(root, FIRST, FILES)
    opened(root, program=fake).backup(FIRST)
    assert "backup" in seen.read_text()
    assert PASSWORD not in seen.read_text() + caplog.text + "".join(capfd.readouterr())


def at_rest(root: Path) -> Reader:
    """Seen by somebody who knows nothing but the repository."""
    return Repository.at(root / "repository", root / "password")


def fake_restic(directory: Path, script: str) -> str:
    path = directory / "restic-fake"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["data", "index", "snapshots", "keys", "config"])
def test_a_flipped_bit_is_found(root: Path, repository: Repository, kind: str) -> None:
    make_point(root, FIRST, FILES)
    repository.backup(FIRST)
    here = root / "repository" / kind
    files = [path for path in here.rglob("*") if path.is_file()] or [here]
    flip_a_bit(max(files, key=lambda path: path.stat().st_size))
    shutil.rmtree(root / "state" / "restic-cache")
    with pytest.raises(RepositoryFailed) as found:
        repository.check((1, 1))
    assert len(str(found.value)) > 40


# -- killed, full ------------------------------------------------------------------------------------------------------


@pytest.fixture
def stdin_backup(root: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A restic that holds its lock and waits."""
    process = subprocess.Popen(
        ["restic", "-r", root / "repository", "-p", root / "password", "--no-cache", "backup", "--stdin"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield process
    process.kill()
    process.communicate()


@pytest.mark.slow
def test_a_run_that_was_killed_blocks_no_later_one(
    root: Path, repository: Repository, told: Told, stdin_backup: subprocess.Popen[bytes]
) -> None:
    make_point(root, FIRST, FILES)
    wait_for_lock(repository)
    stdin_backup.kill()
    stdin_backup.communicate()
    assert repository.has_locks()
    half = root / "repository" / "data" / "ab" / f"{'ab' * 32}-tmp-123"
    half.parent.mkdir(exist_ok=True)
    half.write_bytes(b"half a pack")
    first = repository.backup(FIRST)
    repository.prune()
    assert not half.exists()
    assert not repository.has_locks()
    assert "killed" in told.warnings[0]
    repository.check()
    assert [each.id for each in repository.snapshots()] == [first]


@pytest.mark.slow
def test_a_prune_that_was_killed_loses_nothing_and_is_unlocked(
    root: Path, repository: Repository, tmp_path: Path
) -> None:
    make_point(root, FIRST, {b"%d" % number: os.urandom(200_000) for number in range(20)})
    make_point(root, SECOND, FILES)
    first, second = repository.backup(FIRST), repository.backup(SECOND)
    repository.forget([first])
    argv: list[str | Path] = [
        "restic",
        "-r",
        root / "repository",
        "-p",
        root / "password",
        "--no-cache",
        "prune",
        "--max-unused=0",
    ]
    for _ in range(20):  # on a busy machine one or the other ends before it is caught
        with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None and not repository.has_locks():
                time.sleep(0.001)
            process.kill()
        if repository.has_locks():
            break
    assert repository.has_locks()
    with pytest.raises(RepositoryFailed, match=r"(?s)already locked.*a run that was killed left its lock"):
        repository.backup(SECOND)
    repository.unlock()
    repository.prune()
    repository.check((1, 1))
    repository.restore(second, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(Layout(root).point(SECOND))


def wait_for_lock(repository: Repository) -> None:
    give_up = time.monotonic() + 30
    while not repository.has_locks():
        assert time.monotonic() < give_up
        time.sleep(0.001)


@pytest.mark.slow
def test_a_full_disk_is_a_failed_destination_and_the_snapshots_stand(root: Path, tmp_path: Path) -> None:
    make_point(root, FIRST, FILES)
    make_point(root, SECOND, {b"large": os.urandom(12 * MIB)})
    with SmallDisk(16 * MIB) as disk:
        shutil.move(root / "repository", disk.path / "repository")
        (root / "repository").symlink_to(disk.path / "repository")
        repository = opened(root)
        first = repository.backup(FIRST)
        disk.fill(leave_bytes=4 * MIB)
        with pytest.raises(DestinationFailed, match=r"(?s)no space left.*The snapshots before this one stand"):
            repository.backup(SECOND)
        disk.fill(leave_bytes=0)
        repository.restore(first, tmp_path / "back")
        assert contents(tmp_path / "back") == contents(Layout(root).point(FIRST))
        with pytest.raises((DestinationFailed, RepositoryFailed)):
            repository.prune()
        disk.empty()
        if repository.has_locks():
            repository.unlock()
        repository.prune()
        repository.check((1, 1))
        assert [each.id for each in repository.snapshots()] == [first]
