"""What is known of points, runs and the vault beside what lies in the trees: `<root>/state/facts.sqlite3`.

One writer at a time by SQLite's own lock; several runs may be at work (a sync of 30 hours and tonight's point). A lost
file costs the history and the meters, no point: everything that a restore needs stands in the trees, the repository and
the vault. So a damaged file is moved aside and a new one begun: no night is lost for its history.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from backup import catalog
from backup.catalog import iso
from backup.exit_codes import DestinationFailed
from kit.clock import now_utc

WAIT_S = 60.0
KEPT_ROWS = 2000  # of runs and drills
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
OF_THE_DISK = (
    *(*DAMAGED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN),
    *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED),
)

SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (id TEXT PRIMARY KEY, verb TEXT NOT NULL, by TEXT NOT NULL, started_at TEXT NOT NULL,
    ended_at TEXT, exit_code INTEGER, meaning TEXT NOT NULL DEFAULT '', summary TEXT NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS drills (at TEXT NOT NULL, asset_kind TEXT NOT NULL, asset TEXT NOT NULL, point TEXT NOT NULL,
    origin TEXT NOT NULL, ok INTEGER NOT NULL, seconds REAL NOT NULL, projected_seconds REAL, detail TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS points (id TEXT PRIMARY KEY, snapshot TEXT NOT NULL DEFAULT '',
    verified_at TEXT, damage TEXT NOT NULL DEFAULT '', kept_because TEXT NOT NULL DEFAULT '',
    vault_sealed_at TEXT, protected_until TEXT, shown TEXT NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS things (name TEXT PRIMARY KEY, at TEXT NOT NULL, document TEXT NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class PointFacts:
    """
    shown   the point as the catalog last showed it: its tree may be gone while the vault still has it; None: never
    """

    snapshot: str = ""
    verified_at: datetime | None = None
    damage: str = ""
    kept_because: str = ""
    vault_sealed_at: datetime | None = None
    protected_until: datetime | None = None
    shown: catalog.Point | None = None


@dataclass(frozen=True, slots=True)
class Thing:
    """The last word on something there is one of: "repository", "vault", "sync", "attack", "cost", "sheet", ..."""

    at: datetime
    document: dict[str, Any]


class Facts:
    """
    every method raises DestinationFailed when the file cannot be read or written
    moved_to             where a damaged file now lies in whose place a new one was made; None: it was whole
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.moved_to: Path | None = None
        try:
            self._make()
        except DestinationFailed as error:
            if not _is_damage(error):
                raise
            self._begin_anew()

    def _make(self) -> None:
        with self._connect() as connection:
            connection.executescript(SCHEMA)
            if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                damage = sqlite3.DatabaseError("its pages do not fit together")
                damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
                raise damage

    def _begin_anew(self) -> None:
        """Under a lock on the directory, and after one more look: another run may have begun anew meanwhile."""
        try:
            directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(directory, fcntl.LOCK_EX)
                try:
                    self._make()
                except DestinationFailed as error:
                    if not _is_damage(error):
                        raise
                    self.moved_to = self._move_aside()
                    self._make()
            finally:
                os.close(directory)
        except OSError as error:
            raise DestinationFailed(
                f"{self._path} is damaged, and cannot be moved aside: {error.strerror}. Move it away by hand: it holds"
                " the history of runs and drills, and no point"
            ) from error

    def _move_aside(self) -> Path:
        aside = self._path.with_name(f"facts.damaged-{now_utc():%Y%m%dT%H%M%S.%fZ}")
        journal = self._path.with_name(f"{self._path.name}-journal")  # else SQLite would play it into the new file
        with contextlib.suppress(FileNotFoundError):
            journal.rename(f"{aside}-journal")
        self._path.rename(aside)
        return aside

    @contextlib.contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        try:
            with contextlib.closing(sqlite3.connect(self._path, timeout=WAIT_S)) as connection, connection:
                yield connection  # then it commits, or rolls back
        except sqlite3.DatabaseError as error:
            if _primary(error) not in OF_THE_DISK:
                raise
            raise DestinationFailed(
                f"{self._path}: SQLite says: {error}. Points that are there were not touched; free the disk or put it"
                " right, then run again"
            ) from error

    # -- runs

    def run_started(self, run: str, verb: str, by: str, at: datetime) -> None:
        with self._connect() as connection:
            connection.execute(
                "INSERT INTO runs (id, verb, by, started_at) VALUES (?, ?, ?, ?)", (run, verb, by, iso(at))
            )

    def run_ended(self, run: str, at: datetime, exit_code: int, meaning: str, summary: str) -> None:
        with self._connect() as connection:
            connection.execute(
                "UPDATE runs SET ended_at = ?, exit_code = ?, meaning = ?, summary = ? WHERE id = ?",
                (iso(at), exit_code, meaning, summary, run),
            )
            connection.execute(
                # the newest of each verb stays: what is rare is not to look as if it had never been done
                "DELETE FROM runs WHERE id NOT IN (SELECT id FROM runs ORDER BY started_at DESC LIMIT ?) AND EXISTS"
                " (SELECT 1 FROM runs AS later WHERE later.verb = runs.verb AND later.started_at > runs.started_at)",
                (KEPT_ROWS,),
            )

    def last_started(self, verb: str, *, without: int) -> datetime | None:
        """When the newest run of a verb began, of those that did not end with one exit code."""
        query = "SELECT max(started_at) FROM runs WHERE verb = ? AND exit_code IS NOT ?"
        with self._connect() as connection:
            (found,) = connection.execute(query, (verb, without)).fetchone()
        return _time(found)

    def runs(self, limit: int = catalog.RUNS_SHOWN) -> list[catalog.Run]:
        """Newest first."""
        query = "SELECT id, verb, by, started_at, ended_at, exit_code, meaning, summary FROM runs"
        with self._connect() as connection:
            rows = connection.execute(f"{query} ORDER BY started_at DESC, id DESC LIMIT ?", (limit,)).fetchall()
        names = ("id", "verb", "by", "started_at", "ended_at", "exit_code", "meaning", "summary")
        return [catalog.Run.model_validate(dict(zip(names, row, strict=True))) for row in rows]

    # -- drills

    def add_drill(self, drill: catalog.Drill) -> None:
        row = drill.model_dump(mode="json")
        with self._connect() as connection:
            connection.execute(
                "INSERT INTO drills (at, asset_kind, asset, point, origin, ok, seconds, projected_seconds, detail)"
                " VALUES (:at, :asset_kind, :asset, :point, :origin, :ok, :seconds, :projected_seconds, :detail)",
                row,
            )
            connection.execute(
                "DELETE FROM drills WHERE rowid NOT IN (SELECT rowid FROM drills ORDER BY at DESC LIMIT ?)",
                (KEPT_ROWS,),
            )

    def drills(self) -> list[catalog.Drill]:
        """Newest first."""
        names = tuple(catalog.Drill.model_fields)
        with self._connect() as connection:
            rows = connection.execute(f"SELECT {', '.join(names)} FROM drills ORDER BY at DESC, rowid DESC").fetchall()  # noqa: S608
        return [catalog.Drill.model_validate(dict(zip(names, row, strict=True))) for row in rows]

    # -- points

    def set_point(self, point: str, **columns: str | datetime | catalog.Point | None) -> None:
        """Given some of PointFacts' fields, remember them and leave the others as they are."""
        unknown = columns.keys() - PointFacts.__slots__
        if unknown:
            raise ValueError(f"no facts of a point: {sorted(unknown)}")
        values = {name: _column(value) for name, value in columns.items()}
        assigned = ", ".join(f"{name} = :{name}" for name in values)
        with self._connect() as connection:
            connection.execute("INSERT OR IGNORE INTO points (id) VALUES (?)", (point,))
            connection.execute(f"UPDATE points SET {assigned} WHERE id = :id", values | {"id": point})  # noqa: S608  # names are checked above

    def forget_point(self, point: str) -> None:
        with self._connect() as connection:
            connection.execute("DELETE FROM points WHERE id = ?", (point,))

    def points(self) -> dict[str, PointFacts]:
        columns = "id, snapshot, verified_at, damage, kept_because, vault_sealed_at, protected_until, shown"
        with self._connect() as connection:
            rows = connection.execute(f"SELECT {columns} FROM points").fetchall()  # noqa: S608
        return {
            row[0]: PointFacts(
                snapshot=row[1],
                verified_at=_time(row[2]),
                damage=row[3],
                kept_because=row[4],
                vault_sealed_at=_time(row[5]),
                protected_until=_time(row[6]),
                shown=catalog.Point.model_validate_json(row[7]) if row[7] else None,
            )
            for row in rows
        }

    # -- single things

    def put(self, name: str, at: datetime, **document: Any) -> None:
        with self._connect() as connection:
            connection.execute(
                "INSERT INTO things (name, at, document) VALUES (?, ?, ?)"
                " ON CONFLICT (name) DO UPDATE SET at = excluded.at, document = excluded.document",
                (name, iso(at), json.dumps(document)),
            )

    def get(self, name: str) -> Thing | None:
        with self._connect() as connection:
            row = connection.execute("SELECT at, document FROM things WHERE name = ?", (name,)).fetchone()
        return None if row is None else Thing(datetime.fromisoformat(row[0]).astimezone(UTC), json.loads(row[1]))


def _primary(error: BaseException | None) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest is detail


def _is_damage(error: DestinationFailed) -> bool:
    return _primary(error.__cause__) in DAMAGED


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC)


def _column(value: str | datetime | catalog.Point | None) -> str | None:
    if isinstance(value, datetime):
        return iso(value)
    return value.model_dump_json() if isinstance(value, catalog.Point) else value
