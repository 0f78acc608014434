"""What this host remembers of the vault: key -> version, SHA-256, size, end of the lock. A cache, in SQLite.

Nothing is believed because it stands here: every sync asks the store for each object it needs before it seals. What is
lost, damaged or of another vault is built anew from the newest valid seal, the list of versions and a look at whatever
the seal does not name. Each object is written as soon as it is stored: a sync that was killed goes on from there.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

from backup.exit_codes import DestinationFailed
from backup.journal import Journal, Silent
from backup.signing import Verifier
from backup.vault import seal as seals
from backup.vault.keys import sha256_in
from backup.vault.vault import Mode, NotThere, Stored, VaultStore, Version

BUSY_S = 60.0  # another sync of the same host may write a row
FORGET_AFTER = timedelta(days=60)  # what has been neither needed nor locked for so long

_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS objects (
    key TEXT PRIMARY KEY, version_id TEXT NOT NULL, sha256 TEXT NOT NULL, size INTEGER NOT NULL,
    retain_until INTEGER, mode TEXT NOT NULL  -- seconds since the epoch; NULL: not locked
) WITHOUT ROWID;
"""


class Known:
    """One file; used by one thread. Raise DestinationFailed when it cannot be written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._database = self._open()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) and not path.exists():
                raise DestinationFailed(f"{path} cannot be made: {error}") from error
            self._remove()  # damaged, and only a cache
            self._database = self._open()

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Known:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def is_of(self, store: VaultStore) -> bool:
        """Whether this was filled from this vault, to the end."""
        row = self._database.execute("SELECT value FROM about WHERE name = 'store'").fetchone()
        return row is not None and row[0] == store.name

    def get(self, key: str) -> Stored | None:
        row = self._database.execute("SELECT * FROM objects WHERE key = ?", (key,)).fetchone()
        return None if row is None else _stored(row)

    def all(self) -> dict[str, Stored]:
        return {row[0]: _stored(row) for row in self._database.execute("SELECT * FROM objects")}

    def put(self, *stored: Stored) -> None:
        """Remember, durably as far as a cache has to be."""
        with self._writing():
            self._insert(stored)

    def forget(self, key: str) -> None:
        with self._writing():
            self._database.execute("DELETE FROM objects WHERE key = ?", (key,))

    def forget_old(self, needed: Iterable[str], now: datetime) -> None:
        """Drop what is not needed and whose lock ended long ago."""
        before = _seconds(now - FORGET_AFTER)
        old = self._database.execute(
            "SELECT key FROM objects WHERE coalesce(retain_until, 0) < ?", (before,)
        ).fetchall()
        with self._writing():
            for key in {row[0] for row in old} - set(needed):
                self._database.execute("DELETE FROM objects WHERE key = ?", (key,))

    def locked_bytes(self, now: datetime) -> int:
        """Of everything whose lock has not ended, needed or not."""
        query = "SELECT coalesce(sum(size), 0) FROM objects WHERE retain_until > ?"
        return int(self._database.execute(query, (_seconds(now),)).fetchone()[0])

    def stored_bytes(self) -> int:
        """Of everything that was put and is not known to be gone: past its lock it is still paid for."""
        return int(self._database.execute("SELECT coalesce(sum(size), 0) FROM objects").fetchone()[0])

    def rebuild(self, store: VaultStore, verifier: Verifier, journal: Journal | None = None) -> None:
        """Fill it from the store alone, replacing what it held."""
        journal = journal or Silent()
        journal.step("rebuild", vault=store.name)
        try:
            sealed = {each.key: each for each in seals.newest(store, verifier).objects}
        except NotThere:
            sealed = {}
        found: list[Stored] = []
        for key, versions in _by_key(store).items():
            stored = None
            if key in sealed and any(each.version_id == sealed[key].version_id for each in versions):
                known = sealed[key]
                stored = Stored(key, known.version_id, known.size, known.sha256, known.retain_until, "COMPLIANCE")
            else:
                stored = _first_true(store, key, versions)
            if stored is not None:
                found.append(stored)
            journal.progress(len(found), None, "objects")
        with self._writing():
            self._database.execute("DELETE FROM objects")
            self._insert(found)
            self._database.execute("INSERT OR REPLACE INTO about VALUES ('store', ?)", (store.name,))
        journal.note(f"{len(found)} objects of the vault are known again")

    # -- the file ------------------------------------------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None)
        try:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            database.executescript(_SCHEMA)
            if database.execute("PRAGMA quick_check").fetchone() != ("ok",):
                raise sqlite3.DatabaseError("damaged")
            database.execute("SELECT key, version_id, sha256, size, retain_until, mode FROM objects LIMIT 1").fetchone()
        except BaseException:
            database.close()
            raise
        return database

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # the error itself may have rolled it back
                    self._database.execute("ROLLBACK")
                raise
        except sqlite3.OperationalError as error:
            raise DestinationFailed(f"{self._path} cannot be written: {error}") from error

    def _insert(self, stored: Iterable[Stored]) -> None:
        self._database.executemany(
            "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?)",
            [
                (
                    *(each.key, each.version_id, each.sha256, each.size),
                    *(None if each.retain_until is None else _seconds(each.retain_until), each.mode),
                )
                for each in stored
            ],
        )


def _by_key(store: VaultStore) -> Mapping[str, list[Version]]:
    """The versions of each repository file, oldest first."""
    found: dict[str, list[Version]] = {}
    for version in store.versions(store.keys.repository):
        with contextlib.suppress(ValueError):
            store.keys.name(version.key)
            if not version.is_delete_marker:
                found.setdefault(version.key, []).append(version)
    for versions in found.values():
        versions.sort(key=lambda each: each.modified)
    return found


def _first_true(store: VaultStore, key: str, versions: Iterable[Version]) -> Stored | None:
    """The oldest version whose content is what the key promises; None for `config`, whose key promises nothing: the
    sync compares it with its own.
    """
    expected = sha256_in(store.keys.name(key))
    for version in versions if expected else ():
        try:
            stored = store.head(key, version.version_id)
        except NotThere:
            continue
        if stored.sha256 == expected:
            return stored
    return None


def _stored(row: tuple[str, str, str, int, int | None, str]) -> Stored:
    key, version_id, sha256, size, until, mode = row
    retain_until = None if until is None else datetime.fromtimestamp(until, UTC)
    return Stored(key, version_id, size, sha256, retain_until, cast(Mode, mode))


def _seconds(at: datetime) -> int:
    return int(at.timestamp())  # rounded down: never later than it is
