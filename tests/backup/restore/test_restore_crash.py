"""A restore that is killed, or meets a full disk, at every call that changes something."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backup.exit_codes import DestinationFailed
from backup.restore import RestoreRequest, apply, plan
from tests.backup.restore.house import ANNA, MAILBOX, House, mailbox, request, site, tree

CHANGING = ("mkdir", "open", "write", "rename", "link", "unlink", "rmdir", "symlink", "utime", "fchmod")
NEW = {"index.php": b"new", "wp-content/a.png": b"new a", "wp-content/deep/b.png": b"new b"}
OLD = {"index.php": b"old", "wp-content/a.png": b"old a", "planted/evil.php": b"evil"}
MAIL = {"cur/1.M1.h:2,S": b"one", "new/2.M2.h": b"two", ".Sent/cur/3.M3.h:2,": b"three"}


@pytest.fixture
def house(tmp_path: Path) -> House:
    house = House(tmp_path)
    files = {f"sites/blog/files/{name}": data for name, data in NEW.items()}
    files |= {f"{MAILBOX}/{name}": data for name, data in MAIL.items()}
    house.point(files, [site(), mailbox()])
    return house


def put(directory: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(data)


def at_call(number: int, act: Callable[[], Any]) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield replacements for the calls of `os`; before the one of that number, `act` is called."""
    left = number

    def wrap(call: Callable[..., Any], changes: Callable[..., bool]) -> Callable[..., Any]:
        def wrapped(*args: Any, **options: Any) -> Any:
            nonlocal left
            if changes(*args):
                left -= 1
                if left < 0:
                    act()
            return call(*args, **options)

        return wrapped

    for name in CHANGING:
        yield name, wrap(getattr(os, name), _creates if name == "open" else lambda *_: True)


def _creates(_: object, flags: int, *__: object) -> bool:
    return bool(flags & os.O_CREAT)


def killed_at(number: int, house: House, wanted: RestoreRequest) -> bool:
    """Restore in a child that dies before the call of that number; say whether it came so far."""
    planned = plan(wanted, house.context())
    child = os.fork()
    if child == 0:
        try:
            for name, call in at_call(number, lambda: os.kill(os.getpid(), signal.SIGKILL)):
                setattr(os, name, call)
            apply(planned, house.context(f"killed-{number}"))
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
    return os.WIFSIGNALED(status)


def test_a_site_killed_anywhere_holds_whole_files_and_the_next_restore_ends_it(house: House) -> None:
    live, number = house.live / "blog", 0
    while True:
        shutil.rmtree(live)
        put(live, OLD)
        was_killed = killed_at(number, house, request("site", "blog", where="in-place"))
        for name, data in tree(live).items():
            if not name.startswith(".homeport-restore-"):
                assert data in (OLD.get(name), NEW.get(name)), (number, name)
        house.restore(request("site", "blog", where="in-place"), f"again-{number}")
        assert tree(live) == NEW, number
        assert sorted(path.name for path in live.iterdir()) == ["index.php", "wp-content"], number
        if not was_killed:
            break
        number += 1
    assert number > 20


def test_a_mailbox_killed_anywhere_gets_each_message_once(house: House) -> None:
    number, was_killed = 0, True
    while was_killed:
        shutil.rmtree(house.live / "mail")
        (house.live / "mail").mkdir()
        was_killed = killed_at(number, house, request("mailbox", ANNA, where="in-place"))
        house.restore(request("mailbox", ANNA, where="in-place"), f"again-{number}")
        assert tree(house.live / "mail") == {f"home.test/anna/{name}": data for name, data in MAIL.items()}, number
        number += 1
    assert number > 20


def test_a_restore_beside_killed_anywhere_leaves_no_half_directory(house: House) -> None:
    number = 0
    while killed_at(number, house, request("site", "blog")):
        assert not (house.root / "restored" / f"killed-{number}").exists(), number
        number += 1
    house.restore(request("site", "blog"), "again")
    assert sorted(path.name for path in (house.root / "restored").iterdir()) == ["again", f"killed-{number}"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
def test_a_full_disk_at_any_write_of_the_staging_changes_nothing_live(
    house: House, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    live = house.live / "blog"
    put(live, OLD)
    planned = plan(request("site", "blog", where="in-place"), house.context())
    steps: list[str] = []

    class Noting(type(house.context().journal)):  # type: ignore[misc]
        def step(self, name: str, **detail: Any) -> None:
            steps.append(name)

    def fail() -> None:
        raise OSError(code, os.strerror(code))

    for number in range(200):
        steps.clear()
        with monkeypatch.context() as patched:
            for name, call in at_call(number, fail):
                if name in ("write", "open", "mkdir"):
                    patched.setattr(os, name, call)
            with contextlib.suppress(DestinationFailed, OSError):
                apply(planned, replace(house.context(f"full-{number}"), journal=Noting()))
        if "swap" in steps:
            break
        assert tree(live) == OLD, number
    assert number >= 5
