"""The list of sites that the backup reads: what was made here is kept without an edit of backup.toml.

    listed = BackupSites(settings.backup_dir)
    await listed.write([ListedSite("garden", "blog", "wp_garden")])      # all of them, each time

`told/sites.json` in the backup's directory for the portal: names only, whole by one rename. Where a site lies and which
server it has is said by backup.toml (`[sources.sites]`); the reader is backup/sources/listed.py.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from kit.atomic import write_durably
from kit.problem import Problem

PLACE = Path("told") / "sites.json"
VERSION = 1
MODE = 0o640  # the backup is in the directory's group, or root


class SitesListNotWritten(Problem):
    """The backup's list of sites could not be written, or read; `detail` says why. It is as it was before. Where
    `told/` is missing, `homeport backup init` makes it.
    """

    status, type, title = 503, "sites-list-not-written", "The backup's list of sites could not be written"


@dataclass(frozen=True, slots=True)
class ListedSite:
    """
    server    of its database, as backup.toml names it
    """

    name: str
    server: str
    database: str


class BackupSites:
    """directory   the backup's for the portal; None: no backup is connected"""

    def __init__(self, directory: Path | None) -> None:
        self._path = None if directory is None else directory / PLACE
        self._turn = asyncio.Lock()

    @property
    def is_connected(self) -> bool:
        return self._path is not None

    async def write(self, sites: Iterable[ListedSite]) -> bool:
        """Let the list be these, and no others. Return False where no backup is connected. Raise SitesListNotWritten.

        The backup knows a new site from its next run on.
        """
        if self._path is None:
            return False
        document = {"version": VERSION, "sites": [asdict(site) for site in sorted(sites, key=lambda site: site.name)]}
        data = json.dumps(document, indent=1).encode() + b"\n"
        async with self._turn:
            try:
                await asyncio.to_thread(write_durably, self._path, data, mode=MODE)
            except OSError as error:
                raise SitesListNotWritten(f"{self._path.parent}: {error.strerror or error}") from error
        return True

    async def read(self) -> list[ListedSite]:
        """The list as it is; empty while there is none. Raise SitesListNotWritten when it cannot be read."""
        if self._path is None:
            return []
        try:
            document = json.loads(await asyncio.to_thread(self._path.read_bytes))
            return [ListedSite(**site) for site in document["sites"]]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SitesListNotWritten(f"{self._path} cannot be read: {type(error).__name__}") from error
