"""What there is to lose, and whether the newest point holds it.

Every known thing is covered, or left out with a reason, or missing; nothing is passed over. Known is what a look at
the servers, trees and directories of backup.toml shows now: a database that was made since last night is missing until
tonight's point holds it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from backup.exit_codes import BackupError
from backup.settings import BackupSettings
from backup.sources import listed, mariadb
from backup.sources.build import build
from backup.sources.maildir import addresses
from backup.sources.secrets import SecretSet
from backup.state import AssetKind, PointState, readable

Covered = Literal["yes", "excluded", "missing", "same-device"]

NO_POINT = "there is no verified point yet"
NOT_IN_POINT = "the newest point does not hold it"
NO_SOURCE = "no source of backup.toml names it"
ONE_DISK = "it lies on the same device as the backup"


@dataclass(frozen=True, slots=True)
class Coverage:
    """
    kind, name   as an asset's: "mailbox", "anna@home.test"
    covered      yes: in the newest point; excluded: left out on purpose; missing: neither; same-device: in the newest
                 point, but one broken disk takes both
    source       which source has it, "" when none does
    reason       why it is not covered
    """

    kind: AssetKind
    name: str
    covered: Covered
    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Known:
    """
    source    what covers it, "" when nothing does
    asset     what must be in the newest point for that; None: itself
    is_whole  it is in the point when its source is: a volume is no asset
    path      where it lies, if on a disk of this machine
    doubt     why it counts as missing, whatever the point holds
    """

    kind: AssetKind
    name: str
    source: str
    asset: tuple[AssetKind, str] | None = None
    is_whole: bool = False
    path: Path | None = None
    doubt: str = ""


def survey(
    settings: BackupSettings, newest: PointState | None, *, device: Callable[[Path], int] | None = None
) -> list[Coverage]:
    """Look at what there is and compare it with the newest verified point; sorted by kind and name.

    device  of a path, for tests
    """
    device = device or (lambda path: path.stat().st_dev)
    known = {(each.kind, each.name): each for each in _Look(settings).all()}
    judged = [_judge(each, settings, newest, device) for each in known.values()]
    return sorted(judged, key=lambda each: (each.kind, each.name))


def _judge(
    known: _Known, settings: BackupSettings, newest: PointState | None, device: Callable[[Path], int]
) -> Coverage:
    def said(covered: Covered, reason: str = "") -> Coverage:
        return Coverage(known.kind, readable(known.name), covered, known.source, readable(reason))

    for excluded in settings.coverage.exclude:
        if (excluded.kind, excluded.name) == (known.kind, known.name):
            return said("excluded", excluded.reason)
    if known.doubt:
        return said("missing", known.doubt)
    if not known.source:
        return said("missing", NO_SOURCE)
    if newest is None:
        return said("missing", NO_POINT)
    if not _is_in(known, newest):
        return said("missing", NOT_IN_POINT)
    try:
        if known.path is not None and device(known.path) == device(settings.root):
            return said("same-device", ONE_DISK)
    except OSError as error:
        return said("missing", f"{known.path}: {error.strerror}")
    return said("yes")


def _is_in(known: _Known, point: PointState) -> bool:
    if known.is_whole:
        return any(source.source == known.source and source.ok for source in point.sources)
    return any((asset.kind, asset.name) == (known.asset or (known.kind, known.name)) for asset in point.assets)


@dataclass(frozen=True, slots=True)
class _Look:
    settings: BackupSettings

    def all(self) -> Iterator[_Known]:
        """A later one of the same kind and name takes the place of an earlier one."""
        yield from self._databases()
        yield from self._mailboxes()
        yield from self._sites()
        yield from self._files()
        yield from self._volumes()
        yield from self._zones()
        yield from self._secrets()

    def _databases(self) -> Iterator[_Known]:
        of_sites = {(site.server, site.database): site.name for site in self.settings.sources.site if site.database}
        for server in self.settings.sources.mariadb:
            try:
                found = mariadb.databases(server)
            except BackupError as error:
                yield _Known("database", f"{server.name}/*", f"mariadb:{server.name}", doubt=str(error))
                continue
            for database in found:
                name = mariadb.asset_name(server, database)
                site = of_sites.get((server.name, database))
                if site is not None:
                    yield _Known("database", name, f"site:{site}", asset=("site", site))
                elif server.databases is None or database in server.databases:
                    yield _Known("database", name, f"mariadb:{server.name}")
                else:
                    yield _Known("database", name, "")

    def _mailboxes(self) -> Iterator[_Known]:
        for tree in self.settings.sources.maildir:
            source = f"maildir:{tree.name}"
            try:
                found = addresses(tree.path)
            except BackupError as error:
                yield _Known("mailbox", f"*@{tree.name}", source, doubt=str(error))
                continue
            for address in found:
                yield _Known("mailbox", address, source, path=tree.path)

    def _sites(self) -> Iterator[_Known]:
        paths = {site.path.resolve(): site for site in self.settings.sources.site}
        place = self.settings.sources.sites
        for directory in _directories([*self.settings.coverage.sites, *([place.root] if place else [])]):
            if directory.resolve() not in paths and not directory.name.startswith("."):  # such as what was removed
                yield _Known("site", directory.name, "")
        if why := listed.trouble(self.settings):
            yield _Known("site", "*", "", doubt=f"the portal's list of sites cannot be used: {why}")
        for site in self.settings.sources.site:
            yield _Known("site", site.name, f"site:{site.name}", path=site.path)

    def _files(self) -> Iterator[_Known]:
        for files in self.settings.sources.files:
            path = next(iter((*files.paths, *files.sqlite)), None)
            yield _Known("files", files.name, f"files:{files.name}", path=path)

    def _volumes(self) -> Iterator[_Known]:
        """A volume is covered when it lies in what a source reads; a part of it is not all of it."""
        readers = [(source.name, path.resolve()) for source in build(self.settings) for path in source.paths]
        for volume in _directories(self.settings.coverage.volumes):
            real = volume.resolve()
            whole = [name for name, path in readers if real == path or path in real.parents]
            parts = sorted({str(path) for _, path in readers if real in path.parents})
            if whole:
                yield _Known("volume", str(volume), whole[0], is_whole=True, path=volume)
            elif parts:
                yield _Known("volume", str(volume), "", doubt=f"of it only {', '.join(parts)} is in a source")
            else:
                yield _Known("volume", str(volume), "")

    def _zones(self) -> Iterator[_Known]:
        if not self.settings.coverage.zones:
            return
        exports = {}
        for files in self.settings.sources.files:
            for path in files.paths:
                for export in _zone_files(path):
                    exports[export.name.removesuffix(".zone")] = (files.name, export)
        for zone in self.settings.coverage.zones:
            if zone in exports:
                name, export = exports[zone]
                yield _Known("zone", zone, f"files:{name}", asset=("files", name), path=export)
            else:
                yield _Known("zone", zone, "", doubt=f"no source of files holds {zone}.zone: it was never exported")

    def _secrets(self) -> Iterator[_Known]:
        repository = self.settings.repository
        doubt = "" if repository and repository.enabled else "there is no repository, and secrets go nowhere else"
        try:
            names = SecretSet(self.settings).names()
        except BackupError as error:
            yield _Known("secret", "*", "secrets:names", doubt=str(error))
            return
        for name in names:
            yield _Known("secret", name, "secrets:names", doubt=doubt)


def _directories(parents: list[Path]) -> list[Path]:
    return [
        Path(entry.path)
        for parent in parents
        if parent.is_dir()
        for entry in sorted(os.scandir(parent), key=lambda entry: entry.name)
        if entry.is_dir()
    ]


def _zone_files(path: Path) -> Iterator[Path]:
    if path.is_file() and path.suffix == ".zone":
        yield path
    elif path.is_dir():
        yield from path.rglob("*.zone")
