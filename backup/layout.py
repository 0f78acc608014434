"""Where things lie below the backup root. No other module puts such a path together.

<root>/.homeport-backup-root        the marker: without it the disk is not mounted
<root>/{daily,weekly,manual}/<name>/{mail,sites,databases,stacks}/ MANIFEST.jsonl MANIFEST.sig STATE.json
<root>/{daily,weekly,manual}/{.partial-,.incomplete-,.trash-}<name>/
<root>/repository/                  restic
<root>/locks/
<root>/state/                       what the backup process remembers: facts.sqlite3, vault.sqlite3
<root>/portal/                      catalog.json, runs/<id>.jsonl, requests/: what the portal sees
<root>/portal/told/                 sites.json, <site>.lock: what the portal tells, and no request
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from backup.exit_codes import DestinationFailed
from backup.points import PointId, PointKind

MARKER = ".homeport-backup-root"
MANIFEST = "MANIFEST.jsonl"
SIGNATURE = "MANIFEST.sig"
STATE = "STATE.json"
PARTIAL, INCOMPLETE, TRASH = ".partial-", ".incomplete-", ".trash-"
RESTORING = ".homeport-restore-"  # in live data: what a restore has staged there, and no source takes


@dataclass(frozen=True, slots=True)
class Layout:
    root: Path

    @property
    def marker(self) -> Path:
        return self.root / MARKER

    @property
    def repository(self) -> Path:
        return self.root / "repository"

    @property
    def locks(self) -> Path:
        return self.root / "locks"

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def portal(self) -> Path:
        return self.root / "portal"

    @property
    def catalog(self) -> Path:
        return self.portal / "catalog.json"

    @property
    def runs(self) -> Path:
        return self.portal / "runs"

    @property
    def requests(self) -> Path:
        return self.portal / "requests"

    @property
    def told(self) -> Path:
        return self.portal / "told"

    def point(self, point: PointId) -> Path:
        return self.root / point.kind / point.name

    def staging(self, point: PointId, prefix: str = PARTIAL) -> Path:
        return self.root / point.kind / f"{prefix}{point.name}"

    def sealed(self, *kinds: PointKind) -> list[PointId]:
        """Every sealed point of these kinds (all when none is given), oldest first by name within each kind."""
        found = []
        for kind in kinds or tuple(PointKind):
            directory = self.root / kind
            for name in sorted(entry.name for entry in directory.iterdir()) if directory.is_dir() else []:
                try:
                    point = PointId.parse(f"{kind}/{name}")
                except ValueError:
                    continue
                if (directory / name).is_dir():
                    found.append(point)
        return found

    def create(self, group: int | None = None) -> None:
        """Make the root's directories and its marker; what is there stays. The root itself must exist.

        group  the portal's: it may read below `portal`, and write into `requests` and `told` alone, where the sticky
               bit leaves what is ours to us
        """
        for directory in (self.locks, self.state, *(self.root / kind for kind in PointKind)):
            directory.mkdir(mode=0o700, exist_ok=True)
        theirs = ((self.requests, 0o3770), (self.told, 0o3770))
        for directory, mode in ((self.portal, 0o2750), (self.runs, 0o2750), *theirs):
            directory.mkdir(mode=0o700, exist_ok=True)
            if group is not None:
                os.chown(directory, -1, group)
            directory.chmod(mode)
        self.marker.touch(mode=0o600)

    def require(self) -> None:
        """Raise DestinationFailed when the root's disk is not there: an unmounted directory must not be filled."""
        if not self.marker.is_file():
            raise DestinationFailed(
                f"{self.root} has no {MARKER}: its disk is not mounted, or it was never set up. Nothing was written."
                " On a new disk: homeport backup init"
            )
