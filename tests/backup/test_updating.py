"""The portal's update of a site and the backup's copy of it, which exclude each other by one lock."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from backup.sources.updating import HALF, kept_off
from portal.integrations.backup_locks import Lock, site_lock


def taken(directory: Path) -> Lock | None:
    held = asyncio.run(site_lock(directory, "garden", within_s=0))
    return None if held is None else held.thing  # type: ignore[attr-defined]


@pytest.fixture
def portal(tmp_path: Path) -> Path:
    (tmp_path / "told").mkdir()
    return tmp_path


def test_copy_waits_for_the_end_of_an_update(portal: Path) -> None:
    lock, waited = taken(portal), []
    assert lock is not None

    def told(text: str) -> None:
        waited.append(text)
        threading.Timer(0.2, lock.close).start()

    with kept_off(portal / "told" / "garden.lock", waiting=told, wait_s=60) as warnings:
        assert (warnings, len(waited)) == ([], 1)
        assert taken(portal) is None  # nor does an update begin now
    again = taken(portal)
    assert again is not None
    again.close()
    again.close()


def test_portal_that_never_lets_go_keeps_nobody_from_a_copy(portal: Path) -> None:
    lock = taken(portal)
    assert lock is not None
    with kept_off(portal / "told" / "garden.lock", waiting=lambda _: None, wait_s=0.1) as warnings:
        assert warnings == [HALF]
    lock.close()


def test_update_waits_for_the_end_of_a_copy(portal: Path) -> None:
    lock = taken(portal)
    assert lock is not None
    lock.close()

    async def update() -> bool:
        waits = []
        with kept_off(portal / "told" / "garden.lock", waiting=lambda _: None) as _:

            async def wait(seconds: float) -> None:
                waits.append(seconds)

            assert await site_lock(portal, "garden", within_s=10, wait=wait) is None
            assert sum(waits) == 10
        held = await site_lock(portal, "garden", within_s=10, wait=wait)
        assert held is not None
        with held:
            return True

    assert asyncio.run(update())


@pytest.mark.parametrize("kind", ["missing", "link", "pipe", "directory"])
def test_what_is_no_lock_is_not_waited_for(portal: Path, kind: str) -> None:
    path = portal / "told" / "garden.lock"
    if kind == "link":
        path.symlink_to(portal / "elsewhere")
        with pytest.raises(OSError, match="symbolic"):
            taken(portal)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    with kept_off(path, waiting=pytest.fail) as warnings:
        assert warnings == []
    assert not (portal / "elsewhere").exists()
    with kept_off(None, waiting=pytest.fail) as warnings:
        assert warnings == []
