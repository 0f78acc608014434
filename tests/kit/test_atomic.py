"""write_durably and publish_dir, with every one of their system calls made to fail, and killed after each."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit.atomic import fsync_dir, publish_dir, write_durably

CALLS = ("open", "fchmod", "write", "fsync", "close", "rename")


class Tap:
    """Wraps functions of `os`: records the calls, and makes the n-th call of one of them fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self._fails: dict[tuple[str, int], OSError] = {}
        for name in (*CALLS, "unlink"):
            monkeypatch.setattr(os, name, self._wrap(name, getattr(os, name)))

    def fail(self, name: str, nth: int = 1, code: int = errno.EIO) -> None:
        self._fails[name, nth] = OSError(code, os.strerror(code))

    def _wrap(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name)
            if error := self._fails.get((name, self.calls.count(name))):
                if name == "close":
                    real(*args)  # close(2) releases the descriptor even when it reports an error
                raise error
            return real(*args, **kwargs)

        return call


@pytest.fixture
def tap(monkeypatch: pytest.MonkeyPatch) -> Tap:
    return Tap(monkeypatch)


def names(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


def test_write_durably_new_file_holds_the_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * 1000
    write_durably(tmp_path / "f", data)
    assert (tmp_path / "f").read_bytes() == data
    assert names(tmp_path) == ["f"]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_write_durably_any_umask_gives_exactly_the_mode(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_durably(tmp_path / "f", b"x", mode=0o640)
    finally:
        os.umask(before)
    assert (tmp_path / "f").stat().st_mode & 0o7777 == 0o640


def test_write_durably_existing_file_is_replaced_with_its_mode(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"old" * 10)
    (tmp_path / "f").chmod(0o644)
    write_durably(tmp_path / "f", b"new")
    assert (tmp_path / "f").read_bytes() == b"new"
    assert (tmp_path / "f").stat().st_mode & 0o7777 == 0o600


def test_write_durably_syncs_file_then_renames_then_syncs_directory(tmp_path: Path, tap: Tap) -> None:
    write_durably(tmp_path / "f", b"x")
    assert tap.calls == ["open", "fchmod", "write", "fsync", "close", "rename", "open", "fsync", "close"]


def test_write_durably_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, bytes(data[:7])))
    write_durably(tmp_path / "f", b"0123456789" * 10)
    assert (tmp_path / "f").read_bytes() == b"0123456789" * 10


@pytest.mark.parametrize("name", CALLS)
def test_write_durably_any_call_fails_old_content_stays_alone(tmp_path: Path, tap: Tap, name: str) -> None:
    (tmp_path / "f").write_bytes(b"old")
    tap.fail(name, code=errno.ENOSPC)
    with pytest.raises(OSError, match="No space") as caught:
        write_durably(tmp_path / "f", b"new")
    assert caught.value.errno == errno.ENOSPC
    assert (tmp_path / "f").read_bytes() == b"old"
    assert names(tmp_path) == ["f"]


def test_write_durably_fsync_failed_is_never_repeated_on_the_descriptor(tmp_path: Path, tap: Tap) -> None:
    tap.fail("fsync")
    with pytest.raises(OSError, match="Input/output"):
        write_durably(tmp_path / "f", b"new")
    assert tap.calls.count("fsync") == 1


def test_write_durably_directory_fsync_fails_is_an_error_though_the_file_is_there(tmp_path: Path, tap: Tap) -> None:
    tap.fail("fsync", nth=2)
    with pytest.raises(OSError, match="Input/output"):
        write_durably(tmp_path / "f", b"new")
    assert (tmp_path / "f").read_bytes() == b"new"


def test_write_durably_no_directory_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_durably(tmp_path / "absent" / "f", b"x")


def test_write_durably_leaks_no_descriptor(tmp_path: Path, tap: Tap) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    write_durably(tmp_path / "f", b"x")
    tap.fail("write", nth=2)
    with pytest.raises(OSError, match="Input/output"):
        write_durably(tmp_path / "f", b"x")
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


FILE_SIZE_LIMIT = """
import resource, signal, sys
from pathlib import Path
from kit.atomic import write_durably
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    write_durably(Path(sys.argv[1]), b"x" * 10_000)
except OSError as error:
    sys.exit(error.errno)
"""


def test_write_durably_kernel_refuses_half_way_leaves_nothing(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", FILE_SIZE_LIMIT, tmp_path / "f"], timeout=30)
    assert ended.returncode == errno.EFBIG  # after a real short write of 4096 bytes
    assert names(tmp_path) == []


KILLED_AT_STEP = """
import os, signal, sys
from pathlib import Path
from kit.atomic import write_durably
steps = 0
def wrap(real):
    def call(*args, **kwargs):
        global steps
        steps += 1
        if steps == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)
    return call
for name in ("open", "fchmod", "write", "fsync", "close", "rename"):
    setattr(os, name, wrap(getattr(os, name)))
write_durably(Path(sys.argv[1]), b"new" * 1000)
"""


@pytest.mark.parametrize("step", range(1, 11))
def test_write_durably_killed_at_any_step_shows_old_or_new(tmp_path: Path, step: int) -> None:
    (tmp_path / "f").write_bytes(b"old")
    ended = subprocess.run([sys.executable, "-c", KILLED_AT_STEP, tmp_path / "f", str(step)], timeout=30)
    assert ended.returncode == (0 if step == 10 else -signal.SIGKILL)  # nine calls in all
    assert (tmp_path / "f").read_bytes() == (b"old" if step <= 6 else b"new" * 1000)
    left = [name for name in names(tmp_path) if name != "f"]
    assert len(left) == (1 if 2 <= step <= 6 else 0)
    assert all(name.startswith(".f.") and name.endswith(".tmp") for name in left)


def test_publish_dir_moves_and_syncs_in_order(tmp_path: Path, tap: Tap) -> None:
    (tmp_path / "tmp" / "entry").mkdir(parents=True)
    (tmp_path / "queue").mkdir()
    (tmp_path / "tmp" / "entry" / "message.eml").write_bytes(b"x")
    tap.calls.clear()
    publish_dir(tmp_path / "tmp" / "entry", tmp_path / "queue" / "entry")
    assert (tmp_path / "queue" / "entry" / "message.eml").read_bytes() == b"x"
    assert names(tmp_path / "tmp") == []
    assert tap.calls == ["open", "fsync", "close", "rename", "open", "fsync", "close"]


def test_publish_dir_name_is_taken_refuses_and_keeps_both(tmp_path: Path) -> None:
    for name, content in (("new", b"new"), ("old", b"old")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_bytes(content)
    with pytest.raises(OSError, match="not empty") as caught:
        publish_dir(tmp_path / "new", tmp_path / "old")
    assert caught.value.errno == errno.ENOTEMPTY
    assert [(tmp_path / name / "f").read_bytes() for name in ("new", "old")] == [b"new", b"old"]


def test_publish_dir_fsync_of_source_fails_is_not_published(tmp_path: Path, tap: Tap) -> None:
    (tmp_path / "src").mkdir()
    tap.fail("fsync")
    with pytest.raises(OSError, match="Input/output"):
        publish_dir(tmp_path / "src", tmp_path / "dst")
    assert names(tmp_path) == ["src"]


def test_fsync_dir_of_a_file_raises(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        fsync_dir(tmp_path / "f")
