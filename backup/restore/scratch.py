"""A directory below `<root>/state/scratch/` for the time of a restore or a drill: what is fetched and unpacked.

Its holder locks it, by flock on the directory itself, so that one whose holder was killed can be told from one in use:
whoever comes next removes it. It may hold mail in clear, and as much as the whole repository.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from backup.exit_codes import DestinationFailed
from backup.layout import Layout


@contextlib.contextmanager
def held(layout: Layout, name: str) -> Iterator[Path]:
    """Make an empty scratch directory, mode 0700; remove it at the end. Raise DestinationFailed."""
    above = layout.state / "scratch"
    try:
        above.mkdir(mode=0o700, exist_ok=True)
        _remove_dead(above)
        directory, descriptor = _make(above / name)
    except OSError as error:
        raise DestinationFailed(f"{above} cannot hold what a restore needs: {error.strerror}") from error
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        os.close(descriptor)


def _make(directory: Path) -> tuple[Path, int]:
    while True:
        directory.mkdir(mode=0o700)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if directory.stat().st_ino == os.fstat(descriptor).st_ino:
                return directory, descriptor
        os.close(descriptor)  # somebody took it for a dead one, between the two calls


def _remove_dead(above: Path) -> None:
    for directory in above.iterdir():
        try:
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            shutil.rmtree(directory, ignore_errors=True)
        finally:
            os.close(descriptor)
