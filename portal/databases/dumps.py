"""Dumps made and loaded: by the server's own client, streamed, verified. Everything here blocks.

A dump is whole when its program ended well, its last line says so, and it makes the very tables that the server lists.

A dump is loaded by an account of its own, `homeport_load_<hash of the database>`, which may do everything in that one
database and nothing anywhere else: whatever the dump says, it can't touch another database, the server's variables, the
binary log, files or accounts, nor make code in another one's name. What it makes (views, triggers) belongs to this
account; when there is such code the account stays, locked, else it is dropped. Its sessions are ended in any case.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import zstandard

from kit.logging import get_logger
from kit.problem import Problem
from portal.databases import client, structure
from portal.databases.accounts import Account, drop_account, hash_of, new_password
from portal.databases.dump_text import Scan, inspect, pieces, without_definers
from portal.databases.failures import DumpFailed, LoadFailed
from portal.databases.schemas import Compression
from portal.databases.servers import Server
from portal.databases.sql import Connection, execute, fetch, identifier, like, pattern

log = get_logger()

DUMP_S = 6 * 3600.0
LOAD_S = 12 * 3600.0
LEVEL = 3
LOADER = "homeport_load_"

Sink = Callable[[bytes], object]
Tell = Callable[[int], None]
IsCancelled = Callable[[], bool]


class Cancelled(Exception):
    """Whoever asked for it is gone, or does not want it any more."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """
    tables      that the dump makes, all of them there now
    keeps_code  whether views, triggers or routines belong to the account that loaded them, which stays, locked
    """

    tables: int
    bytes: int
    keeps_code: bool


def dump(server: Server, database: str, sink: Sink, *, is_cancelled: IsCancelled, tell: Tell) -> Scan:
    """Dump a database; `sink` gets its text. Raise DumpFailed unless it is whole, Cancelled."""
    with contextlib.closing(server.connect("admin")) as connection:
        ((version,),) = fetch(connection, "SELECT VERSION()")
        client.require_series(version)
        before = _tables(connection, database)
        is_locking = structure.summary(connection, database).others > 0
    scan = Scan()

    def take(chunk: bytes) -> None:
        if is_cancelled():
            raise Cancelled
        scan.feed(chunk)
        sink(chunk)
        tell(scan.bytes)

    try:
        client.dump(server, database, take, is_locking=is_locking, timeout_s=DUMP_S)
    except client.ProgramFailed as error:
        raise DumpFailed(f"{server.name}/{database}: {error}") from error
    if not scan.is_dump or not scan.is_whole:
        raise DumpFailed(f"{server.name}/{database}: the dump is cut off: it ends with {scan.last_words!r}")
    with contextlib.closing(server.connect("admin")) as connection:
        after = _tables(connection, database)
    if not before == after == set(scan.tables):
        names = sorted((before | after | set(scan.tables)) - (before & after & set(scan.tables)))
        raise DumpFailed(f"{server.name}/{database}: its tables changed during the dump: {', '.join(names[:10])}")
    return scan


@contextlib.contextmanager
def compressed(sink: Sink, kind: Compression) -> Iterator[Sink]:
    """Yield a sink whose text arrives compressed at the given one; its end is written when the block ends well."""
    if kind == "none":
        yield sink
        return
    packer = (
        zlib.compressobj(LEVEL, wbits=31)
        if kind == "gz"
        else zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compressobj()
    )

    def take(chunk: bytes) -> None:
        if packed := packer.compress(chunk):
            sink(packed)

    yield take
    sink(packer.flush())


def load(server: Server, database: str, path: Path, *, is_cancelled: IsCancelled, tell: Tell) -> Loaded:
    """Load a dump into an existing database, over what is there.

    path    `.sql`, `.sql.gz` or `.sql.zst`, by its content
    tell    gets how many bytes of the file were read
    raises  DumpUnreadable before anything is done; LoadFailed, Cancelled: then a part of it may have been loaded
    """
    scan = inspect(path)
    with _loader(server, database) as (user, password):
        _feed(server, user, password, database, path, scan, is_cancelled, tell)
        with contextlib.closing(server.connect("admin")) as connection:
            missing = set(scan.tables) - _tables(connection, database)
            keeps_code = _owns_code(connection, database, user)
    if missing:
        raise LoadFailed(f"{server.name}/{database}: not there after the load: {', '.join(sorted(missing)[:10])}")
    return Loaded(tables=len(scan.tables), bytes=scan.bytes, keeps_code=keeps_code)


def _feed(
    server: Server,
    user: str,
    password: str,
    database: str,
    path: Path,
    scan: Scan,
    is_cancelled: IsCancelled,
    tell: Tell,
) -> None:
    """Run the client, and write the dump's text into it meanwhile."""
    reading, writing = os.pipe()
    trouble: list[BaseException] = []

    def write() -> None:
        """Until the text ends, or the client does, or nobody wants it any more."""
        try:
            text = pieces(path)
            for chunk, read in without_definers(text) if scan.is_dump else text:
                rest = memoryview(chunk)
                while rest:
                    rest = rest[os.write(writing, rest) :]
                tell(read)
        except BrokenPipeError:
            pass  # the client has ended, and says why
        except BaseException as error:
            trouble.append(error)
        finally:
            os.close(writing)

    done = threading.Event()

    def watch() -> None:
        """The client ends when its connection does: that is the only way to end what the server is doing for it."""
        while not done.wait(0.2):
            if is_cancelled():
                trouble.append(Cancelled())
                _end_sessions(server, user)
                return

    writer, watcher = threading.Thread(target=write, name="dump"), threading.Thread(target=watch, name="dump-watch")
    try:
        writer.start()
        watcher.start()
        client.load(server, user, password, database, reading, timeout_s=LOAD_S)
    except client.ProgramFailed as error:
        if not trouble:
            raise LoadFailed(f"{server.name}/{database}: {_with_hint(str(error))}") from error
    finally:
        os.close(reading)  # a writer that still writes learns that nobody reads
        done.set()
        writer.join()
        watcher.join()
    if trouble:
        raise trouble[0]


def _with_hint(said: str) -> str:
    for code, hint in _HINTS.items():
        if f"ERROR {code} " in said:
            return f"{said} ({hint})"
    return said


_HINTS = {
    1044: "the dump speaks of another database: make it without --databases",
    1142: "the dump speaks of another database: make it without --databases",
    1227: "the dump wants rights on the whole server: make it without --set-gtid-purged and without other definers",
}


# -- the account that loads -------------------------------------------------------------------------------------------


def loader_of(database: str) -> Account:
    return Account(LOADER + hashlib.sha256(database.encode()).hexdigest()[:16], "%")


@contextlib.contextmanager
def _loader(server: Server, database: str) -> Iterator[tuple[str, str]]:
    """Yield name and password of an account that may write into one database only."""
    account, password = loader_of(database), new_password()
    with contextlib.closing(server.connect("admin")) as connection:
        execute(connection, "CREATE USER IF NOT EXISTS %s@%s ACCOUNT LOCK", [account.user, account.host])
        execute(connection, f"GRANT ALL ON {pattern(database)}.* TO %s@%s", [account.user, account.host])
        execute(
            connection,
            "ALTER USER %s@%s IDENTIFIED BY PASSWORD %s ACCOUNT UNLOCK",
            [account.user, account.host, hash_of(password)],
        )
    try:
        yield account.user, password
    finally:
        with contextlib.closing(server.connect("admin")) as connection:
            retire(connection, database, account)


def retire(connection: Connection, database: str, account: Account) -> None:
    """End an account's sessions; drop it, or lock it while views, triggers or routines belong to it."""
    execute(connection, "ALTER USER IF EXISTS %s@%s ACCOUNT LOCK", [account.user, account.host])
    if _owns_code(connection, database, account.user):
        execute(connection, "KILL HARD CONNECTION USER %s@%s", [account.user, account.host])
    else:
        drop_account(connection, account)


def retire_all(connection: Connection) -> None:
    """Lock what a killed portal has left unlocked; its code is looked for by whoever loads next."""
    rows = fetch(connection, "SELECT user, host FROM mysql.global_priv WHERE user LIKE %s", [like(LOADER) + "%"])
    for user, host in rows:
        execute(connection, "ALTER USER IF EXISTS %s@%s ACCOUNT LOCK", [user, host])
        execute(connection, "KILL HARD CONNECTION USER %s@%s", [user, host])


def _owns_code(connection: Connection, database: str, user: str) -> bool:
    definer = f"{user}@%"
    rows = fetch(
        connection,
        "SELECT definer FROM information_schema.views WHERE table_schema = %s UNION ALL"
        " SELECT definer FROM information_schema.triggers WHERE trigger_schema = %s UNION ALL"
        " SELECT definer FROM information_schema.routines WHERE routine_schema = %s UNION ALL"
        " SELECT definer FROM information_schema.events WHERE event_schema = %s",
        [database] * 4,
    )
    return definer in {row[0] for row in rows}


def _end_sessions(server: Server, user: str) -> None:
    try:
        with contextlib.closing(server.connect("admin")) as connection:
            execute(connection, "KILL HARD CONNECTION USER %s@'%%'", [user])
    except Problem as problem:  # the client goes on until its end, or until its time is up
        log.warning("load_not_ended", problem=problem.type, detail=problem.detail)


# -- what a database holds --------------------------------------------------------------------------------------------


def checksum(connection: Connection, database: str) -> str:
    """A hash of what a database holds: every table's columns, indexes and rows, every view, trigger and routine.

    Two are equal when a dump of one, loaded, has given the other.
    """
    digest = hashlib.sha256()
    for statement in (
        "SELECT table_name, column_name, column_type, is_nullable, column_default, extra, collation_name"
        " FROM information_schema.columns WHERE table_schema = %s ORDER BY table_name, ordinal_position",
        "SELECT table_name, index_name, seq_in_index, column_name, non_unique, sub_part, index_type"
        " FROM information_schema.statistics WHERE table_schema = %s ORDER BY 1, 2, 3",
        "SELECT table_name, view_definition FROM information_schema.views WHERE table_schema = %s ORDER BY 1",
        "SELECT trigger_name, event_object_table, action_timing, event_manipulation, action_statement"
        " FROM information_schema.triggers WHERE trigger_schema = %s ORDER BY 1",
        "SELECT routine_name, routine_type, routine_definition FROM information_schema.routines"
        " WHERE routine_schema = %s ORDER BY 2, 1",
    ):
        for row in fetch(connection, statement, [database]):
            digest.update(repr(row).replace(f"{identifier(database)}.", "").encode())  # a view names its database
        digest.update(b"\0")
    for table in sorted(_tables(connection, database)):
        name = f"{identifier(database)}.{identifier(table)}"
        for _, value in fetch(connection, f"CHECKSUM TABLE {name} EXTENDED"):
            digest.update(f"{table}\0{value}\0".encode())
    return digest.hexdigest()


def _tables(connection: Connection, database: str) -> set[str]:
    """Those that a dump makes."""
    return {each.name for each in structure.tables(connection, database) if each.kind in ("table", "other")}
