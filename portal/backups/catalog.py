"""catalog.json as the portal sees it: read anew when it is another file, and whether it may be believed.

    file = CatalogFile(directory)
    seen = file.read()               # blocks; in a thread
    seen.catalog, seen.problem       # one of them is None
    seen.state(now)                  # fresh, stale, absent, damaged, not_connected

The backup replaces it by one rename, so what is read is whole. It is written at the end of every run, whatever its
end: one that is older than STALE_AFTER says that no run has ended since, and each of its texts is of that time.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from kit.problem import Problem
from portal.backups.files import read_plain
from portal.backups.schemas import Catalog

NAME = "catalog.json"
MAX_BYTES = 32 * 1024**2  # 1,000 points and as many assets are about 2 MB
STALE_AFTER = timedelta(hours=26)  # backup.md 8: a run a day, and two hours for it

State = Literal["fresh", "stale", "absent", "damaged", "not_connected"]


class BackupsNotConnected(Problem):
    """The portal was not told where the backup's directory is: HOMEPORT_PORTAL_BACKUP_DIR."""

    status, type, title = 409, "backups-not-connected", "Backups are not connected"


class CatalogUnreadable(Problem):
    """There is no catalog yet, or it cannot be read; `detail` says which. A backup run writes it anew."""

    status, type, title = 409, "backup-catalog-unreadable", "The backup's catalog cannot be read"


@dataclass(frozen=True, slots=True)
class Seen:
    """What was found. why_not: why there is no catalog; `detail` says more."""

    catalog: Catalog | None
    why_not: Literal["absent", "damaged", "not_connected"] | None = None
    detail: str = ""

    def state(self, now: datetime) -> State:
        if self.catalog is None:
            return self.why_not or "absent"
        return "stale" if now - self.catalog.written_at > STALE_AFTER else "fresh"

    def require(self) -> Catalog:
        """Raise BackupsNotConnected or CatalogUnreadable when there is none."""
        if self.catalog is not None:
            return self.catalog
        raise BackupsNotConnected if self.why_not == "not_connected" else CatalogUnreadable(self.detail)


class CatalogFile:
    """directory   the backup's for the portal; None: not connected"""

    def __init__(self, directory: Path | None) -> None:
        self._path = None if directory is None else directory / NAME
        self._lock = threading.Lock()
        self._last: tuple[object, Seen] | None = None

    def read(self) -> Seen:
        """Look at the file. Raises nothing for what is there."""
        if self._path is None:
            return Seen(None, "not_connected", "HOMEPORT_PORTAL_BACKUP_DIR is not set")
        with self._lock:
            try:
                found = self._path.stat(follow_symlinks=False)
                sign = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
                if self._last is None or self._last[0] != sign:
                    self._last = (sign, _parsed(self._path))
                return self._last[1]
            except FileNotFoundError:
                return Seen(None, "absent", "catalog.json is not there: no backup has ended yet, or its disk is away")
            except OSError as error:
                return Seen(None, "damaged", f"catalog.json cannot be read: {error.strerror or error}")


def _parsed(path: Path) -> Seen:
    data, _ = read_plain(path, limit=MAX_BYTES)
    try:
        return Seen(Catalog.model_validate_json(data))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        return Seen(None, "damaged", f"catalog.json is no catalog of version 1: {where or 'the text'}: {first['msg']}")
