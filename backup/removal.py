"""Removing trees below the backup root: first renamed to `.trash-`, so that no half of a point has a point's name."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from backup.copier import shown
from backup.exit_codes import DestinationFailed
from backup.journal import Journal
from backup.layout import PARTIAL, TRASH, Layout
from backup.points import PointId, PointKind
from kit.atomic import fsync_dir


def remove(point: PointId, layout: Layout, journal: Journal) -> None:
    """Remove a sealed point. The caller holds the points lock. Raise DestinationFailed."""
    journal.note(f"removing {point}")
    discard(layout.point(point), layout.staging(point, TRASH))


def clear(layout: Layout, journal: Journal) -> None:
    """Remove what runs left that died. The caller holds the points lock. Raise DestinationFailed."""
    for kind in PointKind:
        directory = layout.root / kind
        for name in sorted(os.listdir(directory)) if directory.is_dir() else []:
            if name.startswith((PARTIAL, TRASH)):
                journal.note(f"removing {kind}/{name}, left by a run that did not end")
                delete(directory / name)


def discard(directory: Path, trash: Path) -> None:
    """Remove a tree by way of its name in the trash. Raise DestinationFailed."""
    if trash.exists():
        delete(trash)
    try:
        os.rename(directory, trash)
        fsync_dir(trash.parent)
    except OSError as error:
        raise DestinationFailed(f"{directory} cannot be removed: {error.strerror}") from error
    delete(trash)


def delete(directory: Path) -> None:
    """Delete a tree, also one whose directories have no write bit. Symlinks are not followed.

    raises  DestinationFailed; some of the tree is gone then
    """
    pending = [os.fsencode(directory)]
    try:
        while pending:
            inner = _empty(pending[-1])
            if not inner:
                os.rmdir(pending.pop())
            pending.extend(inner)
        fsync_dir(directory.parent)
    except OSError as error:
        where = shown(os.fsencode(error.filename or directory))
        raise DestinationFailed(f"{where} cannot be removed: {error.strerror}") from error


def _empty(directory: bytes) -> list[bytes]:
    """Remove what is no directory; return the directories that are left. They are entered one after the other."""
    if os.geteuid() != 0:
        os.chmod(directory, 0o700)
    inner = []
    with os.scandir(directory) as listing:
        for each in listing:
            if each.is_dir(follow_symlinks=False):
                inner.append(each.path)
            else:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(each.path)
    return inner
