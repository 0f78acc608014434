"""A set of files: configuration, compose files, state; SQLite databases by their online backup.

They lie at `stacks/<set>/<absolute path>`. What belongs to the secret set is left out, and so is what `leave_out`
says: a pattern with a slash is matched against the whole path below each of `paths`, one without against each name.
"""

from __future__ import annotations

import fnmatch
import os
import shutil
import sqlite3
import stat
import tempfile
import urllib.parse
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from backup.exit_codes import DestinationFailed, SourceFailed
from backup.journal import Journal
from backup.settings import Files
from backup.sources.listing import measure
from backup.sources.secrets import SecretSet
from backup.sources.source import Estimate, Staged, require_content
from backup.state import AssetState, PointState

if TYPE_CHECKING:
    from backup.stage import Stage, TreeCounts

SIDE_FILES = ("-wal", "-shm", "-journal")  # of an SQLite database, sqlite.org/tempfiles.html
NOT_WRITABLE = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)  # the file system, or the directory to us
SQLITE_WAIT_S = 30.0  # for a writer that holds the database exclusively


@dataclass(frozen=True, slots=True)
class FileSet:
    """
    accept_smaller  holds this source's name when it may be empty by now
    """

    settings: Files
    secrets: SecretSet
    accept_smaller: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        return f"files:{self.settings.name}"

    @property
    def paths(self) -> Sequence[Path]:
        return (*self.settings.paths, *self.settings.sqlite)

    def estimate(self) -> Estimate:
        found = [measure_at(path, self._skip(path)) for path in self._tops()]
        found += [Estimate(_size(path), 1) for path in self.settings.sqlite]
        return Estimate(sum(each.bytes for each in found), sum(each.files for each in found))

    def stage(self, stage: Stage, previous: PointState | None, journal: Journal) -> Staged:
        top = f"stacks/{self.settings.name}"
        stage.make_dir(top.encode())
        tally = Tally()
        for path in self._tops():
            tally.copy(stage, path, inside(top, path), self._skip(path))
        for path in self.settings.sqlite:
            copy_sqlite(stage, path, inside(top, path))
            tally.files += 1
            tally.bytes += _size(path)
        asset = AssetState(
            kind="files",
            name=self.settings.name,
            source=self.name,
            paths=[top],
            bytes=tally.bytes,
            counts={"files": tally.files},
        )
        require_content(self.name, [asset], previous, self.name in self.accept_smaller)
        return Staged([asset], tally.warnings)

    def _tops(self) -> list[Path]:
        """Without those that lie in another one, and without secrets."""
        paths = {path for path in self.settings.paths if not self.secrets.holds(path)}
        return sorted(path for path in paths if paths.isdisjoint(path.parents))

    def _skip(self, top: Path) -> Callable[[bytes, bool], bool]:
        databases = [Path(f"{path}{suffix}") for path in self.settings.sqlite for suffix in ("", *SIDE_FILES)]
        other = self.secrets.skip(top, *databases)
        if not self.settings.leave_out:
            return other
        return lambda relative, is_dir: other(relative, is_dir) or self._is_left_out(os.fsdecode(relative))

    def _is_left_out(self, relative: str) -> bool:
        name = relative.rpartition("/")[2]
        return any(
            fnmatch.fnmatchcase(relative if "/" in pattern else name, pattern) for pattern in self.settings.leave_out
        )


class Tally:
    """Copies what an operator has named, files and directories, and keeps count."""

    def __init__(self) -> None:
        self.files = self.bytes = 0
        self.warnings: list[str] = []

    def copy(self, stage: Stage, source: Path, path: bytes, skip: Callable[[bytes, bool], bool]) -> None:
        """Raise SourceFailed, also when it is not there: it is named in backup.toml. Its own name may be a link."""
        try:
            if source.is_dir():
                self._add(source, stage.copy_tree(source, path, skip=skip))
            else:
                self.bytes += stage.copy_file(source.resolve(strict=True), path).size
                self.files += 1
        except FileNotFoundError as error:
            raise SourceFailed(f"{source} of backup.toml is not there") from error
        except OSError as error:
            raise SourceFailed(f"{source}: {error.strerror}") from error

    def _add(self, source: Path, counts: TreeCounts) -> None:
        self.files += counts.files
        self.bytes += counts.bytes
        if counts.special:
            self.warnings.append(f"{source}: {counts.special} sockets, pipes or devices left out")


def inside(top: str, path: Path) -> bytes:
    """Where an absolute path lies below `top` in the point."""
    return os.fsencode(f"{top}{path}")


def measure_at(path: Path, skip: Callable[[bytes, bool], bool] = lambda _path, _is_dir: False) -> Estimate:
    """Of a file or a directory. Raise SourceFailed."""
    return measure(path, skip) if path.is_dir() else Estimate(_size(path), 1)


def copy_sqlite(stage: Stage, source: Path, path: bytes) -> None:
    """Put a copy of a database into the stage as it is at one moment, whoever writes to it meanwhile.

    raises  SourceFailed in SQLite's words, also when the copy is damaged, as the database then is; DestinationFailed
    """
    like = _stat(source)
    if not stat.S_ISREG(like.st_mode):
        raise SourceFailed(f"{source} is no SQLite database")
    try:
        with tempfile.TemporaryDirectory(prefix=".sqlite-", dir=stage.root) as directory:
            copy = Path(directory, "copy")
            try:
                _online_backup(source, copy)
            except sqlite3.Error as error:
                kind = DestinationFailed if error.sqlite_errorcode == sqlite3.SQLITE_FULL else SourceFailed
                raise kind(f"{source}: SQLite says: {error}") from error
            shutil.copystat(source, copy)
            if os.geteuid() == 0:
                os.chown(copy, like.st_uid, like.st_gid)
            stage.copy_file(copy, path)
    except OSError as error:
        raise DestinationFailed(f"the copy of {source}: {error.strerror}") from error


def _online_backup(source: Path, copy: Path) -> None:
    try:
        _backup(source, copy, "mode=ro")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in NOT_WRITABLE or _is_in_use(source):
            raise
        # Closed in order, and in a directory that we may not write to: for the log, which is not there, SQLite would
        # make side files even to read. The file is all of the database, as long as nobody opens it.
        before = _stat(source)
        _backup(source, copy, "mode=ro&immutable=1")
        after = _stat(source)
        if _is_in_use(source) or (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
            _backup(source, copy, "mode=ro")


def _is_in_use(source: Path) -> bool:
    return any(Path(f"{source}{suffix}").exists() for suffix in ("-wal", "-journal"))


def _backup(source: Path, copy: Path, how: str) -> None:
    uri = f"file:{urllib.parse.quote(str(source))}?{how}"
    with (
        closing(sqlite3.connect(uri, uri=True, timeout=SQLITE_WAIT_S)) as database,
        closing(sqlite3.connect(copy)) as target,
    ):
        database.backup(target)  # in one step: in several, a busy writer would make it begin again for ever
        ((found,), *_) = target.execute("PRAGMA quick_check(1)").fetchall()
    if found != "ok":
        raise SourceFailed(f"{source} is damaged; SQLite says: {found}")


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise SourceFailed(f"{path} of backup.toml: {error.strerror}") from error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise SourceFailed(f"{path}: {error.strerror}") from error
