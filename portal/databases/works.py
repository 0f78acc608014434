"""What is done to databases, without asking who wants it: for this room's own acts and for recipes, inside operations.

    made = await works.create("blog", "wp_main", "wp_main", password, made_by=progress.operation_id, progress=progress)
    await works.drop("blog", "wp_main", "wp_main", only_if_made_by=operation_id, progress=progress)

"Create if absent" is no ownership: a database says in its comment which operation made it, an account stands in the
portal's table before it is made. What a recipe takes back it names by that operation, and anything else stays.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from kit.clock import Clock, now_utc
from portal.databases import accounts, dump_text, dumps, structure
from portal.databases.accounts import Account
from portal.databases.dump_store import DumpStore
from portal.databases.dumps import Loaded
from portal.databases.failures import AccountExists, DatabaseExists, LoadFailed, NotOurs
from portal.databases.models import DumpRow, MadeRow
from portal.databases.pools import patiently, with_connection
from portal.databases.seen import Looks
from portal.databases.servers import Servers
from portal.databases.sql import Connection
from portal.db import Database
from portal.operations.progress import Progress

PROGRESS_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Made:
    """What a run has made. account: as user@host; of a site it may do what WordPress needs, in this database alone."""

    server: str
    database: str
    account: str
    made_by: str


@dataclass(frozen=True, slots=True)
class Dropped:
    """dump: id of the dump that was kept; None when none was wanted, or there was no database."""

    dump: str | None
    database_was_there: bool
    accounts: tuple[str, ...]


class Works:
    """Called inside an operation, whose `progress` brings the thread, the cancellation and the operation's id."""

    def __init__(self, servers: Servers, store: DumpStore, looks: Looks, database: Database, clock: Clock) -> None:
        self._servers, self._store, self._looks = servers, store, looks
        self._database, self._clock = database, clock

    async def create(
        self, server: str, database: str, account: str, password: str, *, made_by: str, progress: Progress
    ) -> Made:
        """Make an empty database, and an account that may do in it what a site needs.

        account    a user's name; it may come from any host that reaches the server
        made_by    the operation, which alone may take it back
        raises     DatabaseExists, AccountExists: then nothing was done
        """
        found, user = self._servers.find(server), Account(account, accounts.HOST)
        await progress.in_thread(with_connection, found, "admin", accounts.require_free, database, user)
        await self._database.run(lambda session: self._intend(session, server, database, user, made_by))
        progress.note(f"making database {database} and account {user.name}")
        try:
            await progress.in_thread(with_connection, found, "admin", _create, database, user, password, made_by)
        except (DatabaseExists, AccountExists):  # made by somebody else since the look a moment ago
            await self._database.run(lambda session: self._removed(session, server, database, [user], made_by))
            raise
        finally:
            self._looks.age(server)
        return Made(server, database, user.name, made_by)

    async def drop(
        self,
        server: str,
        database: str,
        account: str | Sequence[str] | None,
        *,
        only_if_made_by: str | None = None,
        dump: bool = True,
        progress: Progress,
    ) -> Dropped:
        """Remove a database, after a verified dump that is kept, and then accounts. What is gone already is no error.

        account          one or several, as user or user@host; None: no account
        only_if_made_by  raise NotOurs unless this operation made them
        """
        found = self._servers.find(server)
        names = () if account is None else (account,) if isinstance(account, str) else tuple(account)
        wanted = [Account.parse(name) for name in names]
        is_there = await progress.in_thread(with_connection, found, "admin", _is_there, database, only_if_made_by)
        if only_if_made_by is not None:
            await self._require_ours(server, wanted, only_if_made_by)
        kept = None
        try:
            if is_there and dump:
                kept = (await self.keep_dump(server, database, "drop", progress=progress)).id
            progress.note(f"removing {database}")
            loader = dumps.loader_of(database)
            gone = await progress.in_thread(patiently, found, _drop, database if is_there else None, wanted, loader)
            await self._database.run(lambda session: self._removed(session, server, database, wanted))
        finally:
            self._looks.age(server)
        return Dropped(kept, is_there, tuple(gone))

    async def keep_dump(self, server: str, database: str, why: str, *, progress: Progress) -> DumpRow:
        """Dump a database into the state directory and keep it. Raise NoSuchDatabase, DumpFailed, NotEnoughRoom."""
        found = self._servers.find(server)
        name = await progress.in_thread(with_connection, found, "admin", structure.database_of, database)
        progress.note(f"dumping {server}/{name}")
        made_at, dump_id = now_utc(self._clock), self._store.new_id()

        def work() -> DumpRow:
            scans = []

            def make(sink: dumps.Sink) -> None:
                scans.append(
                    dumps.dump(found, name, sink, is_cancelled=lambda: progress.is_cancelled, tell=_telling(progress))
                )

            size, digest = self._store.write(dump_id, make)
            (scan,) = scans
            return DumpRow(
                id=dump_id,
                server=server,
                database=name,
                why=why,
                bytes=size,
                sha256=digest,
                tables=len(scan.tables),
                rows=scan.rows,
                made_by=progress.operation_id,
                made_at=made_at,
                kept_until=self._store.kept_until(made_at),
            )

        row = await progress.in_thread(work)
        await self._store.add(row)
        progress.note(f"dump {row.id}: {row.tables} tables, {row.rows} rows, {row.bytes} bytes, kept for 30 days")
        return row

    async def load(self, server: str, database: str, path: Path, progress: Progress) -> Loaded:
        """Load a dump into a database that is there; what it held is dumped first and kept.

        raises   DumpUnreadable, NoSuchDatabase before anything is done; LoadFailed, whose `dump` is what was there
        """
        found = self._servers.find(server)
        name = await progress.in_thread(with_connection, found, "admin", structure.database_of, database)
        await progress.in_thread(dump_text.inspect, path)
        former = None
        if await progress.in_thread(with_connection, found, "admin", structure.tables, name):
            former = (await self.keep_dump(server, name, "load", progress=progress)).id
        progress.note(f"loading into {server}/{name}")

        def work() -> Loaded:
            tell = _telling(progress, of=path.stat().st_size)
            return dumps.load(found, name, path, is_cancelled=lambda: progress.is_cancelled, tell=tell)

        try:
            loaded = await progress.in_thread(work)
        except LoadFailed as error:
            raise LoadFailed(error.detail, dump=former) from error
        finally:
            self._looks.age(server)
        progress.note(f"{loaded.tables} tables are there")
        if loaded.keeps_code:
            progress.note(f"its views or triggers belong to the locked account {dumps.loader_of(name).name}")
        return loaded

    async def checksum(self, server: str, database: str, progress: Progress) -> str:
        """A hash of everything that a database holds. Raise NoSuchDatabase."""
        found = self._servers.find(server)
        name = await progress.in_thread(with_connection, found, "admin", structure.database_of, database)
        return await progress.in_thread(patiently, found, dumps.checksum, name)

    # -- what was made by whom ----------------------------------------------------------------------------------------

    def _intend(self, session: Session, server: str, database: str, account: Account, made_by: str) -> None:
        """Before it is made: a row without the thing is harmless, a thing without its row could never be taken back."""
        now = now_utc(self._clock)
        for kind, name in (("database", database), ("account", account.name)):
            row = session.scalar(_made(server, kind, name, made_by))
            if row is None:
                session.add(MadeRow(server=server, kind=kind, name=name, made_by=made_by, made_at=now))
            else:  # taken back once, and made again by whoever goes on with the same run
                row.made_at, row.removed_at = now, None

    def _removed(
        self, session: Session, server: str, database: str, wanted: Sequence[Account], made_by: str | None = None
    ) -> None:
        now = now_utc(self._clock)
        for kind, name in (("database", database), *(("account", each.name) for each in wanted)):
            query = select(MadeRow).where(MadeRow.server == server, MadeRow.kind == kind, MadeRow.name == name)
            for row in session.scalars(query.where(MadeRow.removed_at.is_(None))):
                if made_by in (None, row.made_by):
                    row.removed_at = now

    async def _require_ours(self, server: str, wanted: Sequence[Account], made_by: str) -> None:
        for account in wanted:
            query = _made(server, "account", account.name, made_by).where(MadeRow.removed_at.is_(None))
            if await self._database.read(partial(_first, query)) is None:
                raise NotOurs(f"account {account.name} was not made by operation {made_by}")


def _made(server: str, kind: str, name: str, made_by: str) -> Select[MadeRow]:
    return select(MadeRow).where(
        MadeRow.server == server, MadeRow.kind == kind, MadeRow.name == name, MadeRow.made_by == made_by
    )


def _first(query: Select[MadeRow], session: Session) -> MadeRow | None:
    return session.scalar(query)


def _create(connection: Connection, database: str, account: Account, password: str, made_by: str) -> None:
    accounts.create_database(connection, database, made_by)
    try:
        accounts.create_account(connection, account, password)
    except BaseException:
        with contextlib.suppress(Exception):
            accounts.drop_database(connection, database)  # made a moment ago by this very call, and empty
        raise
    try:
        accounts.grant(connection, account, database, accounts.OF_A_SITE)
    except BaseException:
        with contextlib.suppress(Exception):
            accounts.drop_account(connection, account)
            accounts.drop_database(connection, database)
        raise


def _is_there(connection: Connection, database: str, only_if_made_by: str | None) -> bool:
    listed = {each.name for each in structure.databases(connection)}
    if database not in listed:
        return False
    if only_if_made_by is not None and structure.made_by(connection, database) != only_if_made_by:
        raise NotOurs(f"database {database} was not made by operation {only_if_made_by}")
    return True


def _drop(connection: Connection, database: str | None, wanted: Sequence[Account], loader: Account) -> list[str]:
    """database: None when there was none, of which a dump could have been made; one that came since stays."""
    if database is not None:
        accounts.drop_database(connection, database)
    for account in (*wanted, loader):
        accounts.drop_account(connection, account)
    return [account.name for account in wanted]


def _telling(progress: Progress, of: int | None = None) -> dumps.Tell:
    """Progress in bytes, told every PROGRESS_BYTES."""
    last = 0

    def tell(done: int) -> None:
        nonlocal last
        if done - last >= PROGRESS_BYTES or done == of:
            last = done
            progress.at(done, of)

    return tell
