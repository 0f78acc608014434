"""The ledger: which messages we have seen, and what became of them.

One SQLite file (WAL) shared by every ingress worker and the delivery process. It makes a repeat harmless: the same
message id, or the same content under a new id (the sender's own retry), gets the receipt of the message's present
state instead of a second delivery. It is not what keeps mail: a lost ledger may cost a duplicate, never a message, so
it is not flushed per message (`synchronous=NORMAL`) and a file that is no database is set aside, loudly.

A claim comes before delivery: the row says `in-flight`, by whom (a random token) and until when (the lease). Whoever
finds a live lease waits for its outcome; an expired one is *unknown* (RFC 1047) and is taken over, so the message is
delivered again under the same id. Only the holder of the token may settle the row.

    (none) -> in-flight -> delivered | queued | held | released        released -> in-flight (a later try)
              queued    -> delivered | held | dropped                  held -> queued | dropped

A message's SQL runs on the event loop: a few writes into the page cache, without fsync and without waiting for a lock
(docs/adr/0011). Calls that come within GATHER_S of each other share one transaction (group commit). What may take
time, checkpoints and pruning, runs in a thread with a connection of its own. There is no index but the two that every
message needs; an operator's question and the hourly pruning read the table.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import enum
import fcntl
import itertools
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from kit.clock import Clock
from kit.logging import get_logger
from mail_api import history
from mail_api.envelope import Envelope
from mail_api.history import Event, Step

log = get_logger()
T = TypeVar("T")

FINGERPRINT_KEEP_S = 86400.0  # wire.md: content is compared within 24 h only
KEY_USE_EVERY_S = 60.0  # how exact "last used" of a key is
BUSY_TIMEOUT_S = 5.0  # wait for another process's transaction; on the event loop by trying again, never by blocking
BUSY_RETRY_S = 0.002
GATHER_S = 0.001  # what a call may wait for company; a transaction of its own would cost it 0.05 ms
RESTART_WAIT_MS = 50  # a checkpoint may hold up writers for a slow reader's sake; then the next one tries
CHECKPOINT_CALLS = 1000  # of calls, some 10 MB of write-ahead log

SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
    message_id TEXT PRIMARY KEY,
    envelope TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    mail_from TEXT NOT NULL,
    rcpt_to TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    state TEXT NOT NULL,
    queue_id TEXT,
    duplicate_of TEXT,
    fingerprint TEXT,
    token TEXT NOT NULL,
    lease_until REAL NOT NULL,
    received_at REAL NOT NULL,
    updated_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS messages_by_fingerprint ON messages (fingerprint) WHERE fingerprint IS NOT NULL;
CREATE TABLE IF NOT EXISTS key_use (key_id TEXT PRIMARY KEY, last_used_at REAL NOT NULL) WITHOUT ROWID;
"""
SCHEMA_VERSION = 1


class State(enum.StrEnum):
    IN_FLIGHT = "in-flight"
    DELIVERED = "delivered"
    QUEUED = "queued"
    HELD = "held"
    RELEASED = "released"  # refused or failed: nothing of ours keeps it, the next try starts anew
    DROPPED = "dropped"  # an operator removed it


SETTLED = frozenset({State.DELIVERED, State.QUEUED, State.HELD, State.DROPPED})


@dataclass(frozen=True, slots=True)
class Claim:
    """This caller delivers the message. `is_repeat`: an earlier holder's outcome is unknown."""

    message_id: str
    token: str
    is_repeat: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """The message, or the same content under the id `original`, was accepted before."""

    state: State
    queue_id: str | None
    original: str


@dataclass(frozen=True, slots=True)
class Busy:
    """Somebody delivers it right now, for at most `seconds` more."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Conflict:
    """The id was used before, with another envelope or another body."""


@dataclass(frozen=True, slots=True)
class Row:
    message_id: str
    mail_from: str
    rcpt_to: str
    size_bytes: int
    sha256: str
    state: State
    queue_id: str | None
    duplicate_of: str | None
    received_at: float
    updated_at: float


_SELECT_ROW = (
    "SELECT message_id, mail_from, rcpt_to, size_bytes, sha256, state, queue_id, duplicate_of, received_at, updated_at"
    " FROM messages"
)


def _row(values: Sequence[Any]) -> Row:
    row = Row(*values)
    return dataclasses.replace(row, state=State(row.state))


class Ledger:
    """Open with `Ledger.open`; close with `close`. Raise sqlite3.Error or OSError when the file cannot be used."""

    def __init__(self, path: Path, *, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._process = secrets.token_hex(8)
        self._claims = itertools.count()
        self._key_used_at: dict[str, float] = {}
        self._db, self._inode = _open_file(path)
        self._pending: list[_Call] = []
        self._calls_since_checkpoint = 0
        self._checkpoint: asyncio.Future[None] | None = None

    @classmethod
    def open(cls, path: Path, *, clock: Clock) -> Ledger:
        return cls(path, clock=clock)

    def close(self) -> None:
        """Close the file. Calls that were not answered yet fail."""
        self._db.close()

    # -- what the pipe asks ---------------------------------------------------------------------------------------

    async def claim(
        self, envelope: Envelope, fingerprint: str | None, *, lease_s: float, key_id: str, events: Iterable[Event] = ()
    ) -> Claim | Seen | Busy | Conflict:
        """Ask for the right to deliver. `events` are written only when the content was seen under another id."""
        now = self._clock.now()
        token = f"{self._process}-{next(self._claims)}"
        note_key = now - self._key_used_at.get(key_id, 0.0) >= KEY_USE_EVERY_S
        if note_key:
            self._key_used_at[key_id] = now

        def transact(db: sqlite3.Connection) -> Claim | Seen | Busy | Conflict:
            if note_key:
                db.execute("REPLACE INTO key_use VALUES (?, ?)", (key_id, now))
            return _claim(db, envelope, fingerprint, token, now, now + lease_s, tuple(events))

        return await self._do(transact)

    async def settle(self, claim: Claim, state: State, queue_id: str | None, events: Iterable[Event]) -> None:
        """Record the outcome of a claim. Without effect on the state when the lease was lost to somebody else."""
        now = self._clock.now()

        def transact(db: sqlite3.Connection) -> None:
            db.execute(
                "UPDATE messages SET state = ?, queue_id = ?, lease_until = 0, updated_at = ?"
                " WHERE message_id = ? AND token = ? AND state = 'in-flight'",
                (state.value, queue_id, now, claim.message_id, claim.token),
            )
            history.write_events(db, claim.message_id, events)

        await self._do(transact)

    async def advance(self, message_id: str, state: State | None, events: Iterable[Event]) -> None:
        """Record what delivery or an operator did to an accepted message; `state` None = events only."""
        now = self._clock.now()

        def transact(db: sqlite3.Connection) -> None:
            if state is not None:
                db.execute(
                    "UPDATE messages SET state = ?, queue_id = CASE ? WHEN 'delivered' THEN NULL ELSE message_id END,"
                    " lease_until = 0, updated_at = ? WHERE message_id = ?",
                    (state.value, state.value, now, message_id),
                )
            history.write_events(db, message_id, events)

        await self._do(transact)

    async def state_of(self, message_id: str) -> State | None:
        def transact(db: sqlite3.Connection) -> State | None:
            row = db.execute("SELECT state FROM messages WHERE message_id = ?", (message_id,)).fetchone()
            return State(row[0]) if row else None

        return await self._do(transact)

    async def prune(self, *, limit: int = 5000) -> int:
        """Forget what is older than its keep; call again while it returns `limit` or more."""
        return await asyncio.to_thread(_prune, self._path, self._clock.now(), limit)

    # -- group commit ---------------------------------------------------------------------------------------------

    async def _do(self, transact: Callable[[sqlite3.Connection], T]) -> T:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._pending.append(_Call(transact, future, loop.time()))
        if len(self._pending) == 1:
            loop.call_later(GATHER_S, self._commit, loop)
        return await future

    def _commit(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run what is pending in one transaction, or come again when another process holds the lock."""
        try:
            if _inode(self._path) != self._inode:  # somebody set it aside, or removed it
                self._reopen()
            self._db.execute("BEGIN IMMEDIATE")
        except (sqlite3.Error, OSError) as error:
            if _is_busy(error) and loop.time() - self._pending[0].asked_at < BUSY_TIMEOUT_S:
                loop.call_later(BUSY_RETRY_S, self._commit, loop)
                return
            batch, self._pending = self._pending, []
            self._fail(batch, error)
            return
        batch, self._pending = self._pending, []
        try:
            results = [call.transact(self._db) for call in batch]
            self._db.execute("COMMIT")
        except Exception as error:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            self._fail(batch, error)
            return
        _resolve(batch, results)
        self._calls_since_checkpoint += len(batch)
        is_running = self._checkpoint is not None and not self._checkpoint.done()
        if self._calls_since_checkpoint >= CHECKPOINT_CALLS and not is_running:
            self._calls_since_checkpoint = 0
            self._checkpoint = loop.run_in_executor(None, _checkpoint, self._path)

    def _fail(self, batch: Sequence[_Call], error: Exception) -> None:
        _resolve(batch, error=error)
        if _is_spoiled(error):
            try:
                self._reopen(spoiled=self._inode)
            except (sqlite3.Error, OSError) as failed:  # the next call finds the same, and tries again
                log.error("ledger_not_reopened", error=str(failed))

    def _reopen(self, *, spoiled: int | None = None) -> None:
        self._db.close()
        self._db, self._inode = _open_file(self._path, spoiled=spoiled)


@dataclass(slots=True)
class _Call:
    transact: Callable[[sqlite3.Connection], Any]
    future: asyncio.Future[Any]
    asked_at: float  # by the event loop's clock


def _resolve(batch: Sequence[_Call], results: Iterable[Any] = (), *, error: Exception | None = None) -> None:
    for call, result in zip(batch, results if error is None else [None] * len(batch), strict=True):
        if call.future.done():  # its asker was cancelled
            continue
        if error is not None:
            call.future.set_exception(error)
        else:
            call.future.set_result(result)


def _is_busy(error: Exception) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def _checkpoint(path: Path) -> None:
    """Move the write-ahead log into the database file, and let it begin anew.

    First what can be moved while others write, then the little that they wrote meanwhile: only for that are they locked
    out, or the log would never be empty and grow for as long as there is load.
    """
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)) as db:
            db.execute("PRAGMA wal_checkpoint(PASSIVE)")
            db.execute(f"PRAGMA busy_timeout = {RESTART_WAIT_MS:d}")
            db.execute("PRAGMA wal_checkpoint(RESTART)")
    except sqlite3.Error as error:  # the log grows until it works again; nothing is lost
        if not _is_busy(error):
            log.error("ledger_checkpoint_failed", error=str(error))


def _prune(path: Path, now: float, limit: int) -> int:
    with contextlib.closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)) as db:
        old = db.execute(
            "SELECT message_id FROM messages WHERE updated_at < ? AND state NOT IN ('queued', 'held') LIMIT ?",
            (now - history.KEEP_S, limit),
        ).fetchall()
        stale = db.execute(
            "SELECT message_id FROM messages WHERE fingerprint IS NOT NULL AND received_at < ? LIMIT ?",
            (now - FINGERPRINT_KEEP_S, limit),
        ).fetchall()
        events = history.old_events(db, now, limit=limit)
        db.execute("BEGIN IMMEDIATE")  # only now: nobody waits while the tables are read
        db.executemany("DELETE FROM messages WHERE message_id = ?", old)
        db.executemany("UPDATE messages SET fingerprint = NULL WHERE message_id = ?", stale)
        history.delete_events(db, events)
        db.execute("COMMIT")
        return max(len(old), len(stale), len(events))


def _claim(
    db: sqlite3.Connection,
    envelope: Envelope,
    fingerprint: str | None,
    token: str,
    now: float,
    lease_until: float,
    events: Sequence[Event],
) -> Claim | Seen | Busy | Conflict:
    row = db.execute(
        "SELECT state, queue_id, duplicate_of, lease_until, envelope, sha256 FROM messages WHERE message_id = ?",
        (envelope.message_id,),
    ).fetchone()
    if row is not None:
        if (row[4], row[5]) != (envelope.digest, envelope.sha256):
            return Conflict()
        state, original = State(row[0]), envelope.message_id
        if row[2] is not None:
            original = row[2]
            first = db.execute(
                "SELECT state, queue_id, lease_until FROM messages WHERE message_id = ?", (original,)
            ).fetchone()
            if first is not None and State(first[0]) in SETTLED:
                return Seen(State(first[0]), first[1], original)
        elif state in SETTLED:
            return Seen(state, row[1], original)
        elif state is State.IN_FLIGHT and row[3] > now:
            return Busy(row[3] - now)
    if fingerprint is not None:
        same = db.execute(
            "SELECT message_id, state, queue_id, lease_until FROM messages WHERE fingerprint = ? AND message_id != ?"
            " AND received_at > ? AND state IN ('delivered', 'queued', 'in-flight') ORDER BY received_at",
            (fingerprint, envelope.message_id, now - FINGERPRINT_KEEP_S),
        ).fetchall()
        for original, state_name, queue_id, _ in same:
            if state_name != State.IN_FLIGHT:
                _put(db, envelope, State(state_name), queue_id, original, None, "", 0.0, now)
                history.write_events(
                    db,
                    envelope.message_id,
                    [*events, Event(Step.DUPLICATE, now, {"of": original, "state": state_name})],
                )
                return Seen(State(state_name), queue_id, original)
        busy_until = max((until for _, _, _, until in same), default=0.0)
        if busy_until > now:
            return Busy(busy_until - now)
    is_repeat = row is not None and row[0] == State.IN_FLIGHT
    _put(db, envelope, State.IN_FLIGHT, None, None, fingerprint, token, lease_until, now)
    return Claim(envelope.message_id, token, is_repeat)


def _put(
    db: sqlite3.Connection,
    envelope: Envelope,
    state: State,
    queue_id: str | None,
    duplicate_of: str | None,
    fingerprint: str | None,
    token: str,
    lease_until: float,
    now: float,
) -> None:
    db.execute(
        "REPLACE INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            envelope.message_id,
            envelope.digest,
            envelope.sha256,
            envelope.mail_from,
            envelope.rcpt_to,
            envelope.size_bytes,
            state.value,
            queue_id,
            duplicate_of,
            fingerprint,
            token,
            lease_until,
            now,
            now,
        ),
    )


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA wal_autocheckpoint = 0")  # a checkpoint calls fsync: not here
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise sqlite3.OperationalError(f"{path} was written by a newer Homeport (schema {version})")
        if version < SCHEMA_VERSION:
            db.execute("BEGIN IMMEDIATE")
            for statement in (SCHEMA + history.SCHEMA).split(";"):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION:d}")
            db.execute("COMMIT")
    except BaseException:
        db.close()
        raise
    db.execute("PRAGMA busy_timeout = 0")
    path.chmod(0o600)
    return db


def _open_file(path: Path, *, spoiled: int | None = None) -> tuple[sqlite3.Connection, int]:
    """Open the ledger and return the connection and the file's inode. Errors but those of its content rise.

    A file that is no database, or whose inode is `spoiled`, is set aside and a new ledger begun: once, however many
    processes find it spoiled at the same moment.
    """
    with _locked(path.parent):
        if spoiled is None or _inode(path) != spoiled:
            try:
                return _connect(path), _inode(path) or 0
            except sqlite3.DatabaseError as error:
                if not _is_spoiled(error):
                    raise
        aside = f"{path.name}.corrupt-{secrets.token_hex(4)}"
        log.error("ledger_corrupt", moved_to=aside, consequence="repeats of earlier messages may be delivered twice")
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                path.with_name(path.name + suffix).rename(path.with_name(aside + suffix))
        return _connect(path), _inode(path) or 0


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def _is_spoiled(error: Exception) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


# -- questions of the command line: read-only, without a running process ----------------------------------------------


class LedgerReader:
    """Read the ledger from the command line. Raise FileNotFoundError when there is none yet."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise FileNotFoundError(f"there is no ledger at {path}: nothing has been received yet")
        self._db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S)

    def close(self) -> None:
        self._db.close()

    def row(self, message_id: str) -> Row | None:
        row = self._db.execute(_SELECT_ROW + " WHERE message_id = ?", (message_id,)).fetchone()
        return _row(row) if row else None

    def rows_of(self, address: str, *, limit: int) -> list[Row]:
        """The newest messages from or to an address, newest first."""
        rows = self._db.execute(
            _SELECT_ROW + " WHERE rcpt_to = ? OR mail_from = ? ORDER BY received_at DESC LIMIT ?",
            (address, address, limit),
        )
        return [_row(row) for row in rows]

    def events(self, message_id: str) -> list[Event]:
        return history.read_events(self._db, message_id)

    def key_use(self) -> dict[str, float]:
        """When each key was last used, to the minute."""
        return dict(self._db.execute("SELECT key_id, last_used_at FROM key_use").fetchall())
