"""A WordPress site as one unit: its database first, then its files and what serves it.

A file that is newer than the dump does no harm, a row whose file is missing does. Backup and restore of a site exclude
each other by the lock `site-<name>`, backup and the portal's updates by one of the portal's (updating.py).
wp-config.php holds the database's password: it goes into the secret set.

    sites/<name>/db.sql   files/   extra/<absolute path>
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from backup import lock
from backup.exit_codes import LockBusy, SourceFailed
from backup.journal import Journal
from backup.settings import Server, Site
from backup.sources import mariadb
from backup.sources.files import Tally, inside, measure_at
from backup.sources.secrets import SecretSet
from backup.sources.source import Estimate, Staged
from backup.sources.updating import kept_off
from backup.state import AssetState, PointState

if TYPE_CHECKING:
    from backup.stage import Stage


@dataclass(frozen=True, slots=True)
class WordPressSite:
    """
    server          of its database; None when it has none
    locks           the directory of the locks; wait_s for the site's own
    accept_smaller  databases, as "<server>/<database>", whose dump may be less than half of the previous one; this
                    source's name when it may hold no file by now
    """

    settings: Site
    server: Server | None
    secrets: SecretSet
    locks: Path
    wait_s: float
    accept_smaller: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        return f"site:{self.settings.name}"

    @property
    def paths(self) -> Sequence[Path]:
        return (self.settings.path, *self.settings.extra)

    def _skip(self, top: Path) -> Callable[[bytes, bool], bool]:
        return self.secrets.skip(top, *self.settings.left_out)

    def estimate(self) -> Estimate:
        found = [measure_at(path, self._skip(path)) for path in self.paths]
        if self.server and self.settings.database:
            found.append(Estimate(mariadb.data_bytes(self.server, self.settings.database), 1))
        return Estimate(sum(each.bytes for each in found), sum(each.files for each in found))

    def stage(self, stage: Stage, previous: PointState | None, journal: Journal) -> Staged:
        site = self.settings.name
        try:
            with (
                lock.hold(self.locks, f"site-{site}", who="backup", wait_s=self.wait_s, waiting=journal.note),
                kept_off(
                    self.settings.update_lock, waiting=lambda text: journal.note(f"site {site}: {text}")
                ) as doubts,
            ):
                staged = self._stage(stage, previous, journal)
                return replace(staged, warnings=[*staged.warnings, *(f"site {site}: {doubt}" for doubt in doubts)])
        except LockBusy as error:
            raise SourceFailed(f"site {site}: {error}") from error

    def _stage(self, stage: Stage, previous: PointState | None, journal: Journal) -> Staged:
        site = self.settings.name
        top = f"sites/{site}"
        paths = [f"{top}/files"]
        counts: dict[str, int] = {}
        facts: dict[str, str] = {}
        versions: dict[str, str] = {}
        tally = Tally()
        if self.server and self.settings.database:
            versions = mariadb.versions(self.server)
            dumped = mariadb.dump_database(
                self.server,
                self.settings.database,
                stage,
                f"{top}/db.sql",
                previous_bytes=mariadb.previous_bytes(previous, "site", site),
                accept_smaller=mariadb.asset_name(self.server, self.settings.database) in self.accept_smaller,
                journal=journal,
            )
            paths.append(f"{top}/db.sql")
            counts |= dumped.counts
            facts |= dumped.facts | {"dump_bytes": str(dumped.bytes)}
            tally.bytes += dumped.bytes
            tally.warnings += dumped.warnings
        if not self.settings.path.is_dir():
            raise SourceFailed(f"site {site}: {self.settings.path} is no directory")
        for path in self.settings.extra:
            tally.copy(stage, path, inside(f"{top}/extra", path), self.secrets.skip(path))
        if self.settings.extra:
            paths.append(f"{top}/extra")
        others = tally.files
        tally.copy(stage, self.settings.path, f"{top}/files".encode(), self._skip(self.settings.path))
        counts["files"] = tally.files - others
        if not counts["files"] and self.name not in self.accept_smaller and _had_files(previous, site):
            raise SourceFailed(f"site {site}: {self.settings.path} is empty, and was not before: is its disk mounted?")
        asset = AssetState(
            kind="site", name=site, source=self.name, paths=paths, bytes=tally.bytes, counts=counts, facts=facts
        )
        return Staged([asset], tally.warnings, versions)


def _had_files(previous: PointState | None, site: str) -> bool:
    assets = previous.assets if previous else ()
    return any(asset.counts.get("files") for asset in assets if (asset.kind, asset.name) == ("site", site))
