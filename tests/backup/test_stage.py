"""The stage on a real disk: what is linked and what is copied, names of every kind, sources that move meanwhile."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import stat
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from backup.exit_codes import DestinationFailed, SourceFailed
from backup.journal import Journal
from backup.linux import exchange
from backup.manifest import Entry, entries
from backup.snapshot import Outcome
from backup.sources.source import Estimate, Staged
from backup.stage import Stage, TreeCounts
from backup.state import PointState
from tests.backup.nights import Night, settle


@pytest.fixture
def night(tmp_path: Path) -> Night:
    return Night(tmp_path)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "from"
    path.mkdir()
    return path


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path / "stage")


def listed(stage: Stage) -> dict[bytes, Entry]:
    stage.write_manifest()
    return {entry.path: entry for entry in entries(stage.root / "MANIFEST.jsonl")}


def is_same_inode(night: Night, one: Outcome, other: Outcome, name: str, before: str | None = None) -> bool:
    first = night.point(one) / "mail" / (before or name)
    return first.stat().st_ino == (night.point(other) / "mail" / name).stat().st_ino


# -- one thing --------------------------------------------------------------------------------------------------------


def test_a_file_is_copied_with_its_mode_time_and_hash(stage: Stage, source: Path) -> None:
    path = source / "a"
    path.write_bytes(b"hello")
    path.chmod(0o640)
    os.utime(path, ns=(1, 1_700_000_000_123_456_789))
    entry = stage.copy_file(path, b"mail/home.test/a")
    found = path.stat()
    assert entry == Entry(
        *(b"mail/home.test/a", "file", 5, 0o640, found.st_uid, found.st_gid, 1_700_000_000_123_456_789),
        *(hashlib.sha256(b"hello").hexdigest(), None, found.st_dev, found.st_ino, entry.ctime_ns),
    )
    copy = (stage.root / "mail/home.test/a").stat()
    assert (stat.S_IMODE(copy.st_mode), copy.st_mtime_ns) == (0o640, 1_700_000_000_123_456_789)
    assert listed(stage)[b"mail/home.test/a"] == entry
    assert [path for path, entry in listed_dirs(stage)] == [b"mail", b"mail/home.test"]


def listed_dirs(stage: Stage) -> list[tuple[bytes, Entry]]:
    found = entries(stage.root / "MANIFEST.jsonl")
    return [(entry.path, entry) for entry in found if entry.type == "dir"]


def test_a_setuid_bit_is_recorded_and_not_applied_and_an_unreadable_copy_can_be_read(
    stage: Stage, source: Path
) -> None:
    for name, mode in (("suid", 0o4755), ("none", 0o000)):
        (source / name).write_bytes(b"")
        (source / name).chmod(mode)
        assert stage.copy_file(source / name, name.encode()).mode == mode
    assert stat.S_IMODE((stage.root / "suid").stat().st_mode) == 0o755
    assert stat.S_IMODE((stage.root / "none").stat().st_mode) == 0o400


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_owners_are_applied_by_root(stage: Stage, source: Path) -> None:
    (source / "a").write_bytes(b"")
    os.chown(source / "a", 1234, 2345)
    (source / "link").symlink_to("a")
    os.lchown(source / "link", 1234, 2345)
    entry, link = stage.copy_file(source / "a", b"a"), stage.copy_link(source / "link", b"link")
    for name, each in (("a", entry), ("link", link)):
        copy = (stage.root / name).lstat()
        assert (each.uid, each.gid) == (copy.st_uid, copy.st_gid) == (1234, 2345)


def test_a_file_that_is_younger_than_the_stage_gets_no_ctime_so_that_the_next_run_reads_it(
    tmp_path: Path, source: Path
) -> None:
    (source / "old").write_bytes(b"1")
    settle()
    stage = Stage(tmp_path / "stage")
    (source / "young").write_bytes(b"2")
    assert stage.copy_file(source / "old", b"old").ctime_ns == (source / "old").stat().st_ctime_ns
    assert stage.copy_file(source / "young", b"young").ctime_ns == 0


def test_a_symlink_is_kept_as_a_symlink_wherever_it_points(stage: Stage, source: Path) -> None:
    (source / "link").symlink_to(b"/nowhere/\xff")
    assert stage.copy_link(source / "link", b"link").target == b"/nowhere/\xff"
    assert os.fsencode((stage.root / "link").readlink()) == b"/nowhere/\xff"
    with pytest.raises(SourceFailed, match="not, or no longer, a regular file"):
        stage.copy_file(source / "link", b"file")
    with pytest.raises(SourceFailed, match="not, or no longer, a symlink"):
        stage.copy_link(source, b"link2")


def test_what_has_vanished_is_told_as_that(stage: Stage, source: Path) -> None:
    for copy in (stage.copy_file, stage.copy_link):
        with pytest.raises(FileNotFoundError):
            copy(source / "gone", b"gone")
    with pytest.raises(FileNotFoundError):
        stage.copy_tree(source / "gone", b"gone")
    assert not stage.has(b"gone")


@pytest.mark.parametrize("kind", ["dir", "fifo", "link"])
def test_what_is_no_regular_file_fails_the_source_and_blocks_nobody(stage: Stage, source: Path, kind: str) -> None:
    path = source / "a"
    match kind:
        case "dir":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case _:
            path.symlink_to("/etc/passwd")
    with pytest.raises(SourceFailed, match="regular file"):
        stage.copy_file(path, b"a")


@pytest.mark.parametrize("path", [b"", b"/a", b"../a", b"a/../b", b"a//b", b"./a", b"a/", b"a\0b", b"STATE.json"])
def test_a_path_that_leaves_the_stage_is_a_bug_of_the_source(stage: Stage, source: Path, path: bytes) -> None:
    (source / "a").write_bytes(b"")
    for act in (lambda: stage.copy_file(source / "a", path), lambda: stage.make_dir(path)):
        with pytest.raises(ValueError, match="not a path of a stage"):
            act()
    with pytest.raises(ValueError, match="not a path of a stage"), stage.stream(path):
        pass


def test_a_path_that_no_program_could_open_fails_the_source(stage: Stage) -> None:
    with pytest.raises(SourceFailed, match="a path of 4000 bytes"):
        stage.make_dir(b"/".join([b"x" * 199] * 20) + b"x")


def test_a_path_that_is_taken_fails_the_second_source(stage: Stage, source: Path) -> None:
    (source / "a").write_bytes(b"first")
    stage.copy_file(source / "a", b"stacks/a")
    (source / "a").write_bytes(b"second")
    acts: list[Callable[[], object]] = [
        lambda: stage.copy_file(source / "a", b"stacks/a"),
        lambda: stage.copy_tree(source, b"stacks"),
        lambda: stage.make_dir(b"stacks/a"),
        lambda: stage.stream(b"stacks/a").__enter__(),
    ]
    for act in acts:
        with pytest.raises(SourceFailed, match="stacks/a is in the point already"):
            act()
    assert (stage.root / "stacks/a").read_bytes() == b"first"


def test_a_stream_stands_whole_or_not_at_all(stage: Stage) -> None:
    with stage.stream(b"databases/mail/app.sql") as writer:
        writer.write(b"one\n")
        writer.write(b"two\n")
    entry = listed(stage)[b"databases/mail/app.sql"]
    assert (entry.size, entry.sha256, entry.mode) == (8, hashlib.sha256(b"one\ntwo\n").hexdigest(), 0o600)
    assert (entry.dev, entry.ino, entry.ctime_ns) == (0, 0, 0)

    def cut() -> None:
        with stage.stream(b"databases/mail/cut.sql") as writer:
            writer.write(b"half")
            raise ConnectionError("the server has gone away")

    with pytest.raises(ConnectionError):
        cut()
    assert not stage.has(b"databases/mail/cut.sql")


def test_what_is_discarded_is_neither_on_disk_nor_in_the_manifest(stage: Stage, source: Path) -> None:
    (source / "a").write_bytes(b"")
    stage.copy_file(source / "a", b"stacks/a")
    stage.discard(b"stacks/a")
    assert not stage.has(b"stacks/a")
    assert list(listed(stage)) == [b"stacks"]


# -- trees ------------------------------------------------------------------------------------------------------------

HOSTILE = [b"line\nbreak", b"\xff\xfe", b"-rf", b"n" * 255, b"a\\b", b'quo"te', b"tab\t", b" ", b"...", "é".encode()]


def test_names_of_every_kind_are_copied_and_listed(stage: Stage, source: Path) -> None:
    for name in HOSTILE:
        directory = source / os.fsdecode(name)
        directory.mkdir()
        (directory / os.fsdecode(name)).write_bytes(name)
    assert stage.copy_tree(source, b"t") == TreeCounts(files=10, dirs=11, bytes=sum(map(len, HOSTILE)))
    found = listed(stage)
    for name in HOSTILE:
        path = b"t/%b/%b" % (name, name)
        assert found[path].sha256 == hashlib.sha256(name).hexdigest()
        assert (stage.root / os.fsdecode(path)).read_bytes() == name
    assert list(found) == sorted(found)


def test_sockets_fifos_and_devices_are_left_out_and_counted(stage: Stage, source: Path) -> None:
    os.mkfifo(source / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(source / "s"))
        assert stage.copy_tree(source, b"t") == TreeCounts(dirs=1, special=2)
    assert list(listed(stage)) == [b"t"]


def test_what_is_skipped_is_left_out_with_all_below(stage: Stage, source: Path) -> None:
    for name in ("cur/1", "tmp/2", "cur/tmp", "sub/tmp/3"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(b"")
    asked = []

    def skip(path: bytes, is_dir: bool) -> bool:
        asked.append((path, is_dir))
        return is_dir and path.endswith(b"tmp")

    stage.copy_tree(source, b"t", skip=skip)
    assert list(listed(stage)) == [b"t", b"t/cur", b"t/cur/1", b"t/cur/tmp", b"t/sub"]
    assert (b"sub/tmp", True) in asked
    assert (b"cur/tmp", False) in asked
    assert all(not path.startswith(b"tmp/") for path, _ in asked)


def test_directories_keep_what_the_source_says_of_them(stage: Stage, source: Path) -> None:
    (source / "d").mkdir(mode=0o750)
    (source / "d").chmod(0o2750)
    os.utime(source / "d", ns=(1, 1_600_000_000_000_000_000))
    stage.copy_tree(source, b"t")
    entry = listed(stage)[b"t/d"]
    assert (entry.mode, entry.mtime_ns) == (0o2750, 1_600_000_000_000_000_000)


def test_a_tree_deeper_than_recursion_allows_is_copied(stage: Stage, source: Path) -> None:
    deep = source.joinpath(*["d"] * 250)
    deep.mkdir(parents=True)
    (deep / "f").write_bytes(b"x")
    assert stage.copy_tree(source, b"t") == TreeCounts(files=1, dirs=251, bytes=1)


class Meddler:
    """Does something at the moment when a source file is about to be opened or read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, verb: str, act: Callable[[], object], name: bytes) -> None:
        real = getattr(os, verb)
        self.count = 0

        def call(first: object, *args: object, **kwargs: object) -> object:
            if first == name or (verb == "read" and isinstance(first, int)):
                self.count += 1
                if self.count == 1:
                    act()
            return real(first, *args, **kwargs)

        monkeypatch.setattr(os, verb, call)


@pytest.mark.parametrize("size", [10, 3 << 20])
def test_a_file_that_grows_while_it_is_read_is_kept_as_it_was_and_said_so(
    stage: Stage, source: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    (source / "log").write_bytes(b"x" * size)
    with (source / "log").open("ab", buffering=0) as log:
        Meddler(monkeypatch, "read", lambda: log.write(b"more"), b"")
        counts = stage.copy_tree(source, b"t")
    assert (counts.files, counts.changed, counts.bytes) == (1, 1, size)
    entry = listed(stage)[b"t/log"]
    assert (entry.size, entry.sha256) == (size, hashlib.sha256(b"x" * size).hexdigest())
    assert (stage.root / "t/log").stat().st_size == size


@pytest.mark.parametrize("size", [10, 3 << 20])
def test_a_file_that_shrinks_while_it_is_read_has_the_size_that_was_read(
    stage: Stage, source: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    (source / "log").write_bytes(b"x" * size)
    Meddler(monkeypatch, "read", lambda: os.truncate(source / "log", 3), b"")
    assert stage.copy_tree(source, b"t").changed == 1
    entry = listed(stage)[b"t/log"]
    assert (entry.size, entry.sha256) == (3, hashlib.sha256(b"xxx").hexdigest())


@pytest.mark.parametrize("becomes", ["nothing", "fifo", "dir", "symlink to a secret"])
def test_a_file_that_becomes_something_else_before_it_is_opened_counts_as_vanished(
    stage: Stage, source: Path, monkeypatch: pytest.MonkeyPatch, becomes: str
) -> None:
    (source / "a").write_bytes(b"1")
    (source / "b").write_bytes(b"2")

    def swap() -> None:
        (source / "a").unlink()
        match becomes:
            case "fifo":
                os.mkfifo(source / "a")
            case "dir":
                (source / "a").mkdir()
            case "symlink to a secret":
                (source / "a").symlink_to("/etc/shadow")

    Meddler(monkeypatch, "open", swap, b"a")
    assert stage.copy_tree(source, b"t") == TreeCounts(files=1, dirs=1, bytes=1, vanished=1)
    assert list(listed(stage)) == [b"t", b"t/b"]


@pytest.mark.parametrize("becomes", ["nothing", "symlink"])
def test_a_directory_that_vanishes_or_becomes_a_symlink_is_not_followed(
    stage: Stage, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, becomes: str
) -> None:
    (source / "d").mkdir()
    (source / "d/mine").write_bytes(b"")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/secret").write_bytes(b"")

    def swap() -> None:
        (source / "d").rename(tmp_path / "moved")
        if becomes == "symlink":
            (source / "d").symlink_to(tmp_path / "elsewhere")

    Meddler(monkeypatch, "open", swap, b"d")
    assert stage.copy_tree(source, b"t").vanished == 1
    assert list(listed(stage)) == [b"t", b"t/d"]


def test_a_tree_that_is_torn_down_while_it_is_copied_ends_well(stage: Stage, source: Path) -> None:
    for number in range(300):
        (source / f"{number % 30:02}").mkdir(exist_ok=True)
        (source / f"{number % 30:02}/{number}").write_bytes(b"x")

    def tear_down() -> None:
        for number in reversed(range(300)):
            (source / f"{number % 30:02}/{number}").unlink()

    thread = threading.Thread(target=tear_down)
    thread.start()
    counts = stage.copy_tree(source, b"t")
    thread.join()
    assert counts.files + counts.vanished <= 300
    assert len([entry for entry in listed(stage).values() if entry.type == "file"]) == counts.files


def test_a_source_that_the_disk_does_not_give_back_fails_the_source(
    stage: Stage, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source / "a").write_bytes(b"1")

    def read(*_: object) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "read", read)
    with pytest.raises(SourceFailed, match="t/a cannot be read: Input/output error"):
        stage.copy_tree(source, b"t")
    assert not stage.has(b"t/a")


@pytest.mark.parametrize("verb", ["write", "fchmod", "utime", "mkdir", "symlink"])
@pytest.mark.parametrize("code", ["ENOSPC", "EROFS", "EIO", "EDQUOT"])
def test_whatever_the_own_disk_refuses_is_the_destinations_fault(
    stage: Stage, source: Path, monkeypatch: pytest.MonkeyPatch, verb: str, code: str
) -> None:
    number = getattr(errno, code)
    (source / "a").write_bytes(b"1")
    (source / "0").symlink_to("a")  # before "a", so that nothing but the file's own error keeps it away

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, verb, refuse)
    with pytest.raises(DestinationFailed, match=os.strerror(number)) as failed:
        stage.copy_tree(source, b"t")
    assert ("bytes are missing" in str(failed.value)) == (code in ("ENOSPC", "EDQUOT"))
    assert not stage.has(b"t/a")


# -- links to the point before ----------------------------------------------------------------------------------------


def test_an_unchanged_file_is_linked_and_not_even_opened(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    night.fill({"cur/1": b"one", "cur/2": b"two"})
    settle()
    first = night.run()
    night.tomorrow()
    opened = []
    real = os.open

    def watched(path: bytes, *args: int, **kwargs: int) -> int:
        opened.append(path)
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", watched)
    second = night.run()
    assert not {b"1", b"2"} & set(opened)
    assert is_same_inode(night, first, second, "cur/1")
    assert (second.state.linked_files, second.state.linked_bytes, second.state.files) == (2, 6, 2)


def test_a_renamed_and_a_moved_mail_are_linked_by_content(night: Night) -> None:
    night.fill({"new/1": b"one", "cur/2:2,": b"two", "cur/big:2,": b"x" * (2 << 20)})
    first = night.run()
    for before, after in (("new/1", "cur/1:2,S"), ("cur/2:2,", "cur/2:2,S"), ("cur/big:2,", "cur/big:2,RS")):
        (night.source / before).rename(night.source / after)
    night.tomorrow()
    second = night.run()
    assert second.state.linked_files == 3
    assert is_same_inode(night, first, second, "cur/1:2,S", "new/1")
    assert is_same_inode(night, first, second, "cur/2:2,S", "cur/2:2,")
    assert is_same_inode(night, first, second, "cur/big:2,RS", "cur/big:2,")


@pytest.mark.parametrize("change", ["chmod", "utime", "chown"])
def test_another_mode_owner_or_time_is_copied_because_it_lives_in_the_inode(night: Night, change: str) -> None:
    night.fill({"a": b"same"})
    path = night.source / "a"
    first = night.run()
    match change:
        case "chmod":
            path.chmod(0o600 if path.stat().st_mode & 0o044 else 0o644)
        case "utime":
            os.utime(path, ns=(5, 5))
        case "chown" if os.geteuid() == 0:
            os.chown(path, 1234, 1234)
        case _:
            pytest.skip("only root gives files away")
    night.tomorrow()
    second = night.run()
    assert second.state.linked_files == 0
    assert not is_same_inode(night, first, second, "a")
    assert (night.point(first) / "mail/a").stat().st_mode != (night.point(second) / "mail/a").stat().st_mode or (
        change != "chmod"
    )


def test_a_same_size_edit_with_its_time_put_back_is_not_taken_for_the_old_file(night: Night) -> None:
    night.fill({"a": b"before"})
    settle()
    times = (night.source / "a").stat()
    night.run()
    (night.source / "a").write_bytes(b"after!")
    os.utime(night.source / "a", ns=(times.st_atime_ns, times.st_mtime_ns))
    night.tomorrow()
    assert (night.point(night.run()) / "mail/a").read_bytes() == b"after!"


@pytest.mark.parametrize("damage", ["size", "mode", "time", "gone", "symlink"])
def test_a_file_that_is_not_what_the_manifest_says_is_not_linked_again(night: Night, damage: str) -> None:
    night.fill({"a": b"good"})
    settle()
    victim = night.point(night.run()) / "mail/a"
    victim.parent.chmod(0o700)
    match damage:
        case "size":
            victim.write_bytes(b"bad")
        case "mode":
            victim.chmod(0o777)
        case "time":
            os.utime(victim, ns=(5, 5))
        case _:
            victim.unlink()
            if damage == "symlink":
                victim.symlink_to("/etc/passwd")
    night.tomorrow()
    second = night.run()
    assert second.state.linked_files == 0
    assert (night.point(second) / "mail/a").read_bytes() == b"good"


def test_when_an_inode_has_all_the_links_it_can_have_the_file_is_copied(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    night.fill({"a": b"1"})
    first = night.run()
    night.tomorrow()

    def link(*_: object, **__: object) -> None:
        raise OSError(errno.EMLINK, os.strerror(errno.EMLINK))

    monkeypatch.setattr(os, "link", link)
    second = night.run()
    assert second.is_sealed
    assert not is_same_inode(night, first, second, "a")


@dataclass
class Acting:
    """A source that does what it is told."""

    act: Callable[[Stage], object]
    name: str = "files:acting"
    paths: Sequence[Path] = ()

    def estimate(self) -> Estimate:
        return Estimate(0, 0)

    def stage(self, stage: Stage, previous: PointState | None, journal: Journal) -> Staged:
        self.act(stage)
        return Staged(assets=[])


def test_a_dump_of_the_same_bytes_is_linked_and_another_is_not(night: Night) -> None:
    def dump(stage: Stage, text: bytes) -> None:
        with stage.stream(b"databases/mail/app.sql") as writer:
            writer.write(text)

    points = []
    for text in (b"rows\n", b"rows\n", b"more rows\n"):
        points.append(night.point(night.run(Acting(partial(dump, text=text)))))
        night.tomorrow()
    inodes = [(point / "databases/mail/app.sql").stat().st_ino for point in points]
    assert inodes[0] == inodes[1] != inodes[2]
    assert (points[2] / "databases/mail/app.sql").read_bytes() == b"more rows\n"


def test_a_real_copy_links_nothing(night: Night) -> None:
    night.fill({"a": b"1"})
    first = night.run()
    night.tomorrow()
    second = night.run(real_copy=True)
    assert (second.state.linked_files, second.state.is_real_copy) == (0, True)
    assert not is_same_inode(night, first, second, "a")


def test_a_thousand_equal_files_are_looked_up_as_fast_as_different_ones(night: Night) -> None:
    for number in range(1000):
        path = night.source / f"{number:05}"
        path.touch()
        os.utime(path, ns=(7, 7))
    night.run()
    for number in range(1000):
        (night.source / f"{number:05}").rename(night.source / f"x{number:05}")
    night.tomorrow()
    assert night.run().state.linked_files == 1000


def test_sources_in_another_order_find_their_lines_all_the_same(night: Night) -> None:
    names = [f"{number:04}" for number in range(1000)]
    night.fill({name: name.encode() for name in names})
    settle()
    night.run()

    def backwards(stage: Stage) -> None:
        for name in reversed(names):
            stage.copy_file(night.source / name, b"mail/" + name.encode())

    night.tomorrow()
    assert night.run(Acting(backwards)).state.linked_files == 1000


def test_nothing_is_put_below_a_link_of_the_stage(stage: Stage, source: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (source / "link").symlink_to(outside)
    (source / "x").write_bytes(b"evil")
    stage.copy_link(source / "link", b"d")
    with pytest.raises(SourceFailed, match=r"taken|already"):
        stage.copy_file(source / "x", b"d/x")
    assert list(outside.iterdir()) == []


def test_a_directory_that_turns_into_a_link_and_back_leads_nowhere(tmp_path: Path, source: Path) -> None:
    """Whoever owns a site can do this while root makes the backup."""
    outside = tmp_path / "outside"
    outside.mkdir()
    mode = outside.stat().st_mode
    names = [b"%02d" % number for number in range(40)]
    for name in names:
        directory = os.path.join(os.fsencode(source), name)
        os.mkdir(directory)
        Path(os.fsdecode(directory), "x").write_bytes(b"evil")
        os.symlink(outside, os.path.join(os.fsencode(tmp_path), b"link" + name))
    done = threading.Event()

    def flip() -> None:
        while not done.is_set():
            for name in names:
                exchange(os.path.join(os.fsencode(source), name), os.path.join(os.fsencode(tmp_path), b"link" + name))

    thread = threading.Thread(target=flip)
    thread.start()
    try:
        for number in range(60):
            with Stage(tmp_path / f"stage{number}") as stage:
                stage.copy_tree(source, b"mail")
                stage.write_manifest()
    finally:
        done.set()
        thread.join()
    assert list(outside.iterdir()) == []
    assert outside.stat().st_mode == mode
