"""A repository as the vault sees one: files named by their SHA-256. What restic would take a second for, in no time.

Each point has packs, of which later ones reuse some, an index and a snapshot. Real restic repositories are in
test_restic_in_vault.py.
"""

from __future__ import annotations

import hashlib
import os
from datetime import datetime
from pathlib import Path

from backup.points import PointId
from backup.vault.seal import SealedPoint


class SyntheticRepository:
    """
    points   that it holds, by point
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for name in ("data", "index", "keys", "snapshots", "locks", "tmp"):
            (directory / name).mkdir(parents=True)
        (directory / "config").write_bytes(b"config of " + os.urandom(16))
        self._add("keys", os.urandom(400))
        self._needs: dict[PointId, set[Path]] = {}
        self.points: dict[PointId, SealedPoint] = {}

    def add_point(
        self, point: PointId, started_at: datetime, *, packs: int = 2, pack_bytes: int = 200, reuse: int = 1_000_000
    ) -> SealedPoint:
        """A point of so many new packs, and of the newest `reuse` packs of the point before."""
        before = sorted(self._needs[list(self.points)[-1]]) if self.points else []
        data = {path for path in before if "data" in path.parts}
        kept = set(sorted(data, key=lambda path: path.stat().st_mtime_ns)[-reuse:] if reuse else ())
        new = {self._add("data", os.urandom(pack_bytes)) for _ in range(packs)}
        index = self._add("index", "\n".join(sorted(path.name for path in new)).encode())
        snapshot = self._add("snapshots", f"{point} {started_at}".encode() + os.urandom(8))
        self._needs[point] = kept | new | {index, snapshot}
        self.points[point] = SealedPoint(point, started_at, snapshot.name)
        return self.points[point]

    def remove_point(self, point: PointId) -> None:
        """Forget and prune it: whatever no other point needs is gone."""
        gone = self._needs.pop(point)
        del self.points[point]
        for path in gone.difference(*self._needs.values()):
            path.unlink()

    def files(self) -> list[Path]:
        return sorted(path for path in self.directory.rglob("*") if path.is_file())

    def names(self) -> set[str]:
        return {str(path.relative_to(self.directory)) for path in self.files()}

    def _add(self, kind: str, data: bytes) -> Path:
        name = hashlib.sha256(data).hexdigest()
        path = self.directory / kind / (f"{name[:2]}/{name}" if kind == "data" else name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o400)
        return path
