"""A journal that remembers, and says when a step begins, so that a test can act at that moment."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from backup.state import AssetState, PointState


class Notes:
    def __init__(self, at_step: Callable[[str], object] = lambda _name: None) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self._at_step = at_step

    def step(self, name: str, **detail: Any) -> None:
        self._at_step(name)

    def progress(self, done: float, total: float | None, unit: str = "bytes") -> None:
        pass

    def note(self, text: str) -> None:
        self.notes.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def point_with(*assets: AssetState, sources: tuple[str, ...] = ()) -> PointState:
    """The state of a point that holds these."""
    at = datetime(2026, 11, 22, 3, tzinfo=UTC)
    return PointState.model_validate(
        {
            "point": "daily/2026-11-22",
            "started_at": at,
            "sealed_at": at,
            "host": "test",
            "homeport": "0.1.0",
            "verified": True,
            "sources": [{"source": name, "ok": True, "seconds": 1.0} for name in sources],
            "assets": [asset.model_dump() for asset in assets],
            "entries": 1,
            "files": 1,
            "bytes": 1,
            "linked_files": 0,
            "linked_bytes": 0,
            "manifest_sha256": "0" * 64,
        }
    )


def files_below(top: Path) -> set[str]:
    """Paths of everything that is no directory, relative to `top`; names that are not UTF-8 as os.fsdecode has them."""
    return {str(path.relative_to(top)) for path in top.rglob("*") if path.is_symlink() or not path.is_dir()}


@contextmanager
def unprivileged() -> Iterator[Path]:
    """Be nobody while the body runs, in a new directory of its own: root may read and write everything."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        if os.geteuid() != 0:
            yield directory
            return
        shutil.chown(directory, "nobody")
        os.seteuid(directory.stat().st_uid)
        try:
            yield directory
        finally:
            os.seteuid(0)
