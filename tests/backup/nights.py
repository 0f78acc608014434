"""Nights on a disk: a backup root, a source tree, a clock, and runs of `take`."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from backup.copier import YOUNG_NS
from backup.exit_codes import SourceFailed
from backup.journal import Journal, Silent
from backup.layout import Layout
from backup.points import PointId, PointKind
from backup.signing import Signer
from backup.snapshot import Outcome, take
from backup.sources.source import Estimate, Source, Staged
from backup.stage import Stage
from backup.state import AssetState, PointState
from tests.clock import FakeClock

FIRST = date(2026, 11, 22)
SIGNER = Signer(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))


@dataclass
class TreeSource:
    """A directory, as it is; `error` makes it fail after its first half."""

    path: Path
    below: bytes = b"mail"
    name: str = "files:tree"
    error: str = ""
    paths: Sequence[Path] = ()

    def estimate(self) -> Estimate:
        return Estimate(0, 0)

    def stage(self, stage: Stage, previous: PointState | None, journal: Journal) -> Staged:
        counts = stage.copy_tree(self.path, self.below)
        if self.error:
            raise SourceFailed(self.error)
        path = self.below.decode()
        asset = AssetState(kind="files", name=path, source=self.name, paths=[path], bytes=counts.bytes)
        return Staged(assets=[asset])


@dataclass
class Night:
    """One run after the other; `clock` moves a day with each."""

    directory: Path
    journal: Journal = field(default_factory=Silent)
    clock: FakeClock = field(default_factory=lambda: FakeClock(datetime(2026, 11, 22, 3, tzinfo=UTC).timestamp()))
    day: date = FIRST

    def __post_init__(self) -> None:
        self.source = self.directory / "source"
        self.layout = Layout(self.directory / "root")
        for each in (self.source, self.layout.root):
            each.mkdir(exist_ok=True)
        self.layout.create()

    def fill(self, files: dict[str, bytes]) -> None:
        for name, data in files.items():
            path = self.source / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def run(
        self,
        *sources: Source,
        kind: PointKind = PointKind.DAILY,
        secrets: Callable[[], Iterable[bytes]] = lambda: (),
        real_copy: bool = False,
        distrusted: Sequence[PointId] = (),
    ) -> Outcome:
        """Today's point."""
        return take(
            PointId.scheduled(kind, self.day),
            sources or [TreeSource(self.source)],
            layout=self.layout,
            host="homeport",
            signer=SIGNER,
            clock=self.clock,
            journal=self.journal,
            known_secrets=secrets,
            real_copy=real_copy,
            distrusted=distrusted,
        )

    def tomorrow(self) -> None:
        self.day += timedelta(days=1)
        self.clock.advance(86400)

    def point(self, outcome: Outcome) -> Path:
        return self.layout.point(outcome.point)


def settle() -> None:
    """Wait until what was just written is old enough for its times to be trusted."""
    time.sleep(2 * YOUNG_NS / 1e9)


def content(directory: Path) -> dict[bytes, tuple[int, str]]:
    """Every file below: path -> inode and SHA-256; of a symlink its target. Directories have inode 0."""
    found: dict[bytes, tuple[int, str]] = {}
    for path in directory.rglob("*"):
        if path.is_symlink():
            what = 0, str(path.readlink())
        elif path.is_dir():
            what = 0, ""
        else:
            what = path.stat().st_ino, hashlib.sha256(path.read_bytes()).hexdigest()
        found[os.fsencode(path.relative_to(directory))] = what
    return found
