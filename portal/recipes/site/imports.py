"""The directory into which an operator lays archives and dumps of sites that are to come here. Nothing is written."""

from __future__ import annotations

import os
import re
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from portal.recipes.site.schemas import ARCHIVE, DUMP, ImportFile, ImportFiles

MAX_FILES = 200

_KINDS: tuple[tuple[Literal["archive", "dump"], re.Pattern[str]], ...] = (
    ("archive", re.compile(ARCHIVE)),
    ("dump", re.compile(DUMP)),
)


class ImportDirectory:
    """directory   None: none is set"""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory

    def files(self) -> ImportFiles:
        """What can be imported, the newest first; files of other names, directories and links are left out. Blocks."""
        if self._directory is None:
            return ImportFiles(files=[], detail="HOMEPORT_PORTAL_IMPORT_DIR is not set")
        try:
            with os.scandir(self._directory) as entries:
                found = [each for entry in entries if (each := _file(entry)) is not None]
        except OSError as error:
            return ImportFiles(files=[], detail=f"the import directory cannot be read: {error.strerror}")
        found.sort(key=lambda each: (each.changed_at, each.name), reverse=True)
        return ImportFiles(files=found[:MAX_FILES], detail="")

    def path(self, name: str) -> Path | None:
        """Where a file of this name lies; None when there is none, or it is no plain file. Blocks."""
        if self._directory is None or kind_of(name) is None:
            return None
        path = self._directory / name
        try:
            return path if stat.S_ISREG(path.stat(follow_symlinks=False).st_mode) else None
        except OSError:
            return None


def kind_of(name: str) -> Literal["archive", "dump"] | None:
    return next((kind for kind, pattern in _KINDS if pattern.fullmatch(name)), None)


def _file(entry: os.DirEntry[str]) -> ImportFile | None:
    kind = kind_of(entry.name)
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError:
        return None
    if kind is None or not stat.S_ISREG(status.st_mode):
        return None
    changed = datetime.fromtimestamp(status.st_mtime, UTC)
    return ImportFile(name=entry.name, kind=kind, bytes=status.st_size, changed_at=changed)
