"""Zip files of plugins and themes that the operator has laid into the import directory: what each one holds.

What an archive says of itself decides under which name and version it is planned; WordPress unpacks it. Everything here
blocks, reads little of each file, and takes no name out of an archive that has not the form of one.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kit.problem import Problem
from portal.wordpress.names import INSTALLED, PACKAGE, VERSION

DIRECTORY = "packages"  # in the import directory
MAX_PACKAGES = 200
MAX_ENTRIES = 50_000
MAX_CANDIDATES = 50  # files that may hold the header
HEADER_BYTES = 8192  # as much as WordPress reads of a file for its header

_PLUGIN = re.compile(rb"^[ \t/*#@]*Plugin Name:[ \t]*\S", re.MULTILINE | re.IGNORECASE)
_THEME = re.compile(rb"^[ \t/*#@]*Theme Name:[ \t]*\S", re.MULTILINE | re.IGNORECASE)
_VERSION = re.compile(rb"^[ \t/*#@]*Version:[ \t]*(\S{1,64})[ \t]*\r?$", re.MULTILINE | re.IGNORECASE)


class PackageUnusable(Problem):
    """The file is no zip archive of one plugin or theme, is not in the directory `packages` of the import directory, or
    says no version. `detail` says which. Lay a good one there."""

    status, type, title = 422, "package-unusable", "The package cannot be used"


@dataclass(frozen=True, slots=True)
class Package:
    """file: its name in the directory. slug and version: what its header and its only directory say."""

    file: str
    kind: Literal["plugin", "theme"]
    slug: str
    version: str


class Packages:
    def __init__(self, import_dir: Path | None) -> None:
        self._directory = None if import_dir is None else import_dir / DIRECTORY

    def all(self) -> list[Package]:
        """Those that can be used, by file name."""
        if self._directory is None:
            return []
        try:
            names = sorted(path.name for path in self._directory.iterdir() if re.fullmatch(PACKAGE, path.name))
        except OSError:
            return []
        found = []
        for name in names[:MAX_PACKAGES]:
            try:
                found.append(self.read(name))
            except PackageUnusable:
                continue
        return found

    def find(self, kind: str, slug: str, version: str) -> Package | None:
        """The package that holds exactly this, if there is one."""
        wanted = (kind, slug, version)
        return next((each for each in self.all() if (each.kind, each.slug, each.version) == wanted), None)

    def read(self, name: str) -> Package:
        """Raise PackageUnusable."""
        if self._directory is None or not re.fullmatch(PACKAGE, name):
            raise PackageUnusable("there is no directory of packages" if self._directory is None else "no name of one")
        path = self._directory / name
        if path.is_symlink() or not path.is_file():
            raise PackageUnusable(f"{name} is not there")
        try:
            with zipfile.ZipFile(path) as archive:
                return _package(name, archive)
        except (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, ValueError) as error:
            raise PackageUnusable(f"{name} cannot be read as a zip archive") from error


def _package(name: str, archive: zipfile.ZipFile) -> Package:
    entries = archive.infolist()
    if len(entries) > MAX_ENTRIES:
        raise PackageUnusable(f"{name} has more than {MAX_ENTRIES} entries")
    tops = {entry.filename.split("/", 1)[0] for entry in entries} - {"__MACOSX"}
    slug = tops.pop() if len(tops) == 1 else ""
    if not re.fullmatch(INSTALLED, slug):
        raise PackageUnusable(f"{name} does not hold one directory, named like a plugin or theme")
    files = [entry for entry in entries if re.fullmatch(rf"{re.escape(slug)}/[^/]+\.(?:php|css)", entry.filename)]
    for entry in files[:MAX_CANDIDATES]:
        with archive.open(entry) as content:
            header = content.read(HEADER_BYTES)
        is_theme = entry.filename == f"{slug}/style.css" and _THEME.search(header)
        if not is_theme and not (entry.filename.endswith(".php") and _PLUGIN.search(header)):
            continue
        version = _VERSION.search(header)
        text = version[1].decode("ascii", "replace") if version else ""
        if not re.fullmatch(VERSION, text):
            raise PackageUnusable(f"{name} says no version that can be planned")
        return Package(name, "theme" if is_theme else "plugin", slug, text)
    raise PackageUnusable(f"{name} holds no header of a plugin or theme")
