"""What the tests of the vault do each simulated night: a point, a sync, a look from outside."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from backup.points import PointId, PointKind
from backup.settings import VaultSettings
from backup.signing import Signer
from backup.vault.known import Known
from backup.vault.seal import SealedPoint
from backup.vault.sync import Planned, SyncReport, sync
from backup.vault.vault import VaultStore
from backup.vault.verify import VaultReport, inspect
from tests.backup.vault.directory import DirectoryVault
from tests.backup.vault.synthetic import SyntheticRepository
from tests.clock import FakeClock

FIRST_DAY = date(2026, 11, 1)
NIGHT_S = 86_400.0


class Told:
    """A journal that remembers."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.warnings: list[str] = []
        self.notes: list[str] = []
        self.done: list[tuple[float, float | None, str]] = []

    def step(self, name: str, **detail: Any) -> None:
        self.steps.append(name)

    def progress(self, done: float, total: float | None, unit: str = "bytes") -> None:
        self.done.append((done, total, unit))

    def note(self, text: str) -> None:
        self.notes.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def settings(**more: Any) -> VaultSettings:
    return VaultSettings.model_validate({"bucket": "vault", **more})


def daily(day: int) -> PointId:
    """The point of the day so many days after the first."""
    return PointId.scheduled(PointKind.DAILY, FIRST_DAY + timedelta(days=day))


def midnight(day: int) -> datetime:
    return datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day, 3, tzinfo=UTC) + timedelta(days=day)


@dataclass
class House:
    """A synthetic repository and the vault it goes to, both on one clock that begins on the first day at three."""

    directory: Path
    signer: Signer
    clock: FakeClock = field(default_factory=lambda: FakeClock(midnight(0).timestamp()))
    told: Told = field(default_factory=Told)
    settings: VaultSettings = field(default_factory=settings)

    def __post_init__(self) -> None:
        (self.directory / "objects").mkdir()
        self.vault = DirectoryVault(self.directory / "objects", self.clock)
        self.repository = SyntheticRepository(self.directory / "repository")
        self.known = self.directory / "vault.sqlite3"

    @property
    def today(self) -> int:
        return int((self.clock.now() - midnight(0).timestamp()) // NIGHT_S)

    def add_point(self, **more: Any) -> SealedPoint:
        return self.repository.add_point(daily(self.today), self.vault.now(), **more)

    def sync(self, store: VaultStore | None = None, **more: Any) -> SyncReport:
        points = list(self.repository.points.values())
        with Known(self.known) as known:
            return sync(
                store or self.vault,
                self.repository.directory,
                known,
                self.signer,
                points=points,
                point=points[-1].point,
                settings=self.settings,
                host="host",
                journal=self.told,
                clock=self.clock,
                **more,
            )

    def plan(self) -> Planned:
        """What a sync would do now."""

        class Stop(Exception):
            pass

        found: list[Planned] = []

        def stop(planned: Planned) -> None:
            found.append(planned)
            raise Stop

        with contextlib.suppress(Stop):
            self.sync(estimate=stop)
        return found[0]

    def key_of(self, kind: str) -> str:
        """The key of a file of this kind that the repository holds."""
        return self.vault.keys.file(min(name for name in self.repository.names() if name.startswith(kind)))

    def forget(self, what: str = "%") -> None:
        """Let this host lose what it remembers of keys like that, as when it was killed before it wrote them down."""
        with contextlib.closing(sqlite3.connect(self.known)) as database, database:
            database.execute("DELETE FROM objects WHERE key LIKE ?", (what,))

    def night(self, *, keep: int = 7, **more: Any) -> SyncReport:
        """A point, retention, a sync; then the next night comes."""
        self.add_point(**more)
        for point in list(self.repository.points)[:-keep]:
            self.repository.remove_point(point)
        report = self.sync()
        self.clock.advance(NIGHT_S)
        return report

    def inspect(self) -> VaultReport:
        return inspect(self.vault, self.signer.verifier, settings=self.settings, journal=self.told)
