"""Directories at one moment, and never through a link."""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path

import pytest

from backup.exit_codes import SourceFailed
from backup.sources import listing
from backup.sources.listing import Directory, measure, opened, shown
from backup.stage import Stage

FILES = 1500


def test_a_listing_has_every_file_while_another_thread_renames_them(tmp_path: Path) -> None:
    for number in range(FILES):
        (tmp_path / f"{number}:2,").touch()
    ended = threading.Event()

    def rename() -> None:
        flags = dict.fromkeys(range(FILES), "")
        drawn = random.Random(6)
        while not ended.is_set():
            number = drawn.randrange(FILES)
            new = "" if flags[number] else "S"
            (tmp_path / f"{number}:2,{flags[number]}").rename(tmp_path / f"{number}:2,{new}")
            flags[number] = new

    thread = threading.Thread(target=rename)
    thread.start()
    try:
        with opened(tmp_path, b"") as directory:
            for _ in range(50):
                assert len({name.name.partition(b":")[0] for name in directory.names()}) == FILES
    finally:
        ended.set()
        thread.join()


def test_a_directory_larger_than_the_buffers_is_listed_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(200):
        (tmp_path / f"{number:0200}").touch()
    monkeypatch.setattr(listing, "FIRST_BYTES", 4096)
    for most in (listing.MOST_BYTES, 8192):
        monkeypatch.setattr(listing, "MOST_BYTES", most)
        with opened(tmp_path, b"") as directory:
            assert len({name.name for name in directory.names()}) == 200


def test_names_are_bytes_with_their_type(tmp_path: Path) -> None:
    strange = b"-\xff\n" + b"x" * 252
    (tmp_path / os.fsdecode(strange)).mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("/")
    os.mkfifo(tmp_path / "fifo")
    with opened(tmp_path, b"") as directory:
        found = {name.name: (name.is_dir, name.is_file, name.is_link) for name in directory.names()}
    assert found == {
        strange: (True, False, False),
        b"file": (False, True, False),
        b"link": (False, False, True),
        b"fifo": (False, False, False),
    }


def test_a_directory_that_became_a_link_is_not_entered(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "top").mkdir()
    (tmp_path / "top" / "folder").symlink_to("../outside")
    with opened(tmp_path / "top", b"") as top:
        with (
            pytest.raises(SourceFailed, match="top/folder is not, or no longer, a readable directory"),
            top.below(b"folder"),
        ):
            pass
        with top.below(b"gone") as below:
            assert below is None


def test_a_file_is_copied_from_the_directory_that_was_opened(tmp_path: Path, stage: Stage) -> None:
    """Somebody moves the directory away and puts a link to the passwords in its place."""
    (tmp_path / "top" / "folder").mkdir(parents=True)
    (tmp_path / "top" / "folder" / "name").write_bytes(b"a mail")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "name").write_bytes(b"a password")
    with opened(tmp_path / "top", b"mail") as top, top.below(b"folder") as folder:
        assert folder is not None
        (tmp_path / "top" / "folder").rename(tmp_path / "away")
        (tmp_path / "top" / "folder").symlink_to(tmp_path / "etc")
        folder.copy_file(stage, b"name")
    assert (stage.root / "mail" / "folder" / "name").read_bytes() == b"a mail"


def test_an_error_names_the_place_and_not_the_descriptor(tmp_path: Path, stage: Stage) -> None:
    os.mkfifo(tmp_path / "fifo")
    with opened(tmp_path, b"mail") as top, pytest.raises(SourceFailed, match=f"^{tmp_path}/fifo is not"):
        top.copy_file(stage, b"fifo")


def test_measure_counts_files_and_bytes_without_following_links(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(b"12345")
    (tmp_path / "skipped").mkdir()
    (tmp_path / "skipped" / "c").write_bytes(b"123")
    (tmp_path / "a" / "up").symlink_to("..")
    found = measure(tmp_path, lambda path, is_dir: is_dir and path == b"skipped")
    assert (found.files, found.bytes) == (3, 5 + len(".."))
    with pytest.raises(SourceFailed, match="gone: No such file"):
        measure(tmp_path / "gone")


def test_shown_is_one_printable_line() -> None:
    assert "\n" not in shown(b"a b/\xff\n")
    assert shown("日本".encode()) == "日本"


def test_a_directory_descriptor_is_closed(tmp_path: Path) -> None:
    before = len([*Path("/proc/self/fd").iterdir()])
    (tmp_path / "a").mkdir()
    with opened(tmp_path, b"") as top, top.below(b"a") as below:
        assert isinstance(below, Directory)
    assert len([*Path("/proc/self/fd").iterdir()]) == before
