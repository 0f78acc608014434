"""What a source is: it knows what it covers, how large it is, and how to put a consistent copy into a stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from backup.exit_codes import SourceFailed
from backup.journal import Journal
from backup.state import AssetState, PointState

if TYPE_CHECKING:
    from backup.stage import Stage


@dataclass(frozen=True, slots=True)
class Estimate:
    """For the preflight: what a full copy would need."""

    bytes: int
    files: int


@dataclass(frozen=True, slots=True)
class Staged:
    """What a source has put into the stage."""

    assets: Sequence[AssetState]
    warnings: Sequence[str] = ()
    versions: dict[str, str] = field(default_factory=dict)


class Source(Protocol):
    """
    name   "<kind>:<name>", unique among the sources
    paths  what it reads from disk: for the check that data and backup are on two devices; empty for a server
    """

    @property
    def name(self) -> str: ...
    @property
    def paths(self) -> Sequence[Path]: ...

    def estimate(self) -> Estimate:
        """Look at what is there. Raise SourceFailed when it cannot be read at all."""
        ...

    def stage(self, stage: Stage, previous: PointState | None, journal: Journal) -> Staged:
        """Copy. `previous` is the state of the point before, for comparing sizes.

        raises  SourceFailed: what was wrong, in the engine's own words. What was staged until then stays
                DestinationFailed, from the stage
        """
        ...


def require_content(source: str, assets: Sequence[AssetState], previous: PointState | None, accepted: bool) -> None:
    """Raise SourceFailed when a source has nothing at all, though the point before has something of it.

    That is a disk that is not mounted, or an account that lost its rights, and not a house without mail.
    """
    before = sum(asset.bytes for asset in previous.assets if asset.source == source) if previous else 0
    if before and not accepted and not sum(asset.bytes for asset in assets):
        raise SourceFailed(
            f"{source} has nothing at all, though the point before holds {before} bytes of it: is its disk mounted?"
            f" If that is right: homeport backup run --accept-smaller {source}"
        )
