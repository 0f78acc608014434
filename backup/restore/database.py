"""A database out of its dump: loaded beside under a name of ours, counted, and only then put in the live one's place.

    load    hash of the dump -> CREATE DATABASE homeport_restore_<hex> -> the client loads it -> tables and rows counted
    keep    beside: that database stays, as restored_<database>_<instant>
    swap    in place: one RENAME TABLE moves the live tables out (homeport_before_<hex>) and the new ones in; it is
            atomic. Triggers, views, routines and events cannot move between databases: they are read from both sides
            first, dropped, and made again after the move. When that fails, everything is moved back.

MariaDB refuses to move a table that has triggers (error 1435), and never moves views. Between dropping triggers and
making them again the live database works without: services are stopped meanwhile. Killed in between, the former tables
are in homeport_before_<hex>, which nothing of ours ever drops unasked; restoring once more, or the safety copy, heals.

A dump is loaded by an account made for it, which may write into the new database and read elsewhere: the body of a
trigger stands in a dump as it was typed, and one that names its database would else be made in the live one. Such a
dump fails to load, and says so; `drill` loads it, in a server of its own.

Names of ours cannot be those of live databases: whatever is dropped here is checked for its prefix first.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from backup.exit_codes import RestoreRefused, SourceFailed, VerificationFailed
from backup.manifest import Entry
from backup.restore.model import Change, Context
from backup.restore.schema import MOVABLE, TABLES, Code, counts, objects, triggers
from backup.restore.tree import Copier
from backup.settings import Server
from backup.sources import client
from backup.sources.client import identifier, literal
from backup.sources.mariadb import OF_A_RESTORE
from backup.state import AssetState
from kit.clock import now_utc

SCRATCH, BEFORE = OF_A_RESTORE
BESIDE = "restored_"
LOADER_MAY = ("SELECT", "SHOW VIEW", "EXECUTE", "SET USER", "BINLOG ADMIN")  # views of others, definers, functions
LOAD_S = 12 * 3600.0
LOCK_WAIT_S = 60  # for the metadata of a live table that somebody holds
MAX_NAME = 64  # characters, of a database: MariaDB's "Identifier Names"
_AT_FIRST_LINE = re.compile(r"ERROR[^\n]{0,40} at line 1:")
_WORD = re.compile(r"[A-Za-z0-9_]+")


@dataclass(slots=True)
class DatabaseRestore:
    """One dump and the database that it is of.

    dump     its path in the point
    table    restore this table alone
    is_live  in place; else beside
    """

    server: Server
    asset: AssetState
    dump: str
    table: str | None
    context: Context
    is_live: bool
    loaded: str = ""
    _token: str = field(default_factory=lambda: secrets.token_hex(4))

    def __post_init__(self) -> None:
        if self.table is not None and self.table not in self.tables:
            raise RestoreRefused(f"the dump of {self.database} holds no table {self.table!r}")

    @property
    def database(self) -> str:
        return self.asset.facts["database"]

    @property
    def tables(self) -> list[str]:
        """What the dump holds."""
        return [name.removeprefix("rows.") for name in self.asset.counts if name.startswith("rows.")]

    @property
    def target(self) -> str:
        where = self.database if self.is_live else self.loaded or f"{BESIDE}{self.database}_..."
        return f"database {where} on server {self.server.name}"

    @property
    def bytes(self) -> int:
        return int(self.asset.facts.get("dump_bytes", self.asset.bytes))

    def changes(self) -> Iterator[Change]:
        """Tables by name. Rows are no part of a plan: a live database changes all the time."""
        there = set(objects(self.server, self.database, TABLES)) if self.is_live else set()
        if self.is_live:
            self._require_unbound(self.database)
        wanted = [self.table] if self.table is not None else self.tables
        for table in sorted(wanted):
            yield Change(f"table {table}", "overwrite" if table in there else "add")
        if self.table is None:
            for table in sorted(there.difference(wanted)):
                yield Change(f"table {table}", "delete")

    def load(self, copier: Copier, entry: Entry) -> None:
        """Load the dump beside and count what came of it.

        raises  VerificationFailed when dump or counts are not what the point says; SourceFailed in the client's words.
                Nothing is left then
        """
        self._clear_left_behind()
        name = f"{SCRATCH}{self._token}" if self.is_live or self.table is not None else self._beside_name()
        with copier.checked(entry) as descriptor:
            try:
                self._create(name)
                with self._loader(name) as server:
                    self._load_into(server, name, descriptor)
                self._require_counts(name)
            except BaseException:
                self._drop(name)
                raise
        self.loaded = name
        copier.bytes += entry.size

    def keep(self) -> None:
        """Leave beside what was loaded; of a single table, that table."""
        if self.table is None:
            return
        scratch, name = self.loaded, self._beside_name()
        self._create(name)
        self._sql(f"DROP TRIGGER {identifier(scratch)}.{identifier(each)}" for each in triggers(self.server, scratch))
        table = identifier(self.table)
        self._sql([f"RENAME TABLE {identifier(scratch)}.{table} TO {identifier(name)}.{table}"])
        self._drop(scratch)
        self.loaded = name

    def drop_scratch(self) -> None:
        if self.loaded.startswith(SCRATCH):
            self._drop(self.loaded)

    def swap(self) -> None:
        """Put what was loaded in the place of what is live. Raise SourceFailed: then what was live is back."""
        live, scratch, before = self.database, self.loaded, f"{BEFORE}{self._token}"
        self._require_unbound(scratch)
        self._sql([f"CREATE DATABASE IF NOT EXISTS {identifier(live)} {self._charset()}"])
        former, coming = Code.of(self.server, live, self.table), Code.of(self.server, scratch, self.table)
        out = self._movable(live)
        moved_in = self._movable(scratch)
        self._create(before)
        self._sql([*coming.drops(scratch), *former.drops(live)])
        try:
            self._move([(live, name, before) for name in out] + [(scratch, name, live) for name in moved_in])
            try:
                coming.install(self.server, live)
                if self.table is None:
                    self._sql([f"ALTER DATABASE {identifier(live)} {self._charset()}"])
            except SourceFailed:
                self._sql(Code.of(self.server, live, self.table).drops(live))
                self._move([(live, name, scratch) for name in moved_in] + [(before, name, live) for name in out])
                raise
        except SourceFailed as error:
            try:
                former.install(self.server, live)
            except SourceFailed as second:
                raise SourceFailed(
                    f"{self.target}: {error}. Its former tables are back in their place, its triggers, views, routines"
                    f" and events not all: {second}. The safety copy holds them"
                ) from error
            self._drop(before)
            raise SourceFailed(f"{self.target}: {error}. What was live is back in its place") from error
        self._drop(before)

    def _require_unbound(self, database: str) -> None:
        """Foreign keys follow a table that moves: one that others refer to cannot be exchanged alone."""
        if self.table is None:
            return
        here, name = literal(database), literal(self.table)
        rows = client.query(
            self.server,
            "SELECT DISTINCT table_name, referenced_table_name FROM information_schema.referential_constraints"
            f" WHERE constraint_schema = {here} AND (table_name = {name} OR referenced_table_name = {name})",
            restore=True,
        )
        if bound := sorted({each for row in rows for each in row} - {self.table}):
            raise RestoreRefused(
                f"table {self.table} is bound by foreign keys to {', '.join(bound)}: it cannot go back alone."
                " Restore the database, or the table beside"
            )

    def _movable(self, database: str) -> list[str]:
        found = objects(self.server, database, MOVABLE)
        return found if self.table is None else [name for name in found if name == self.table]

    def _move(self, moves: list[tuple[str, str, str]]) -> None:
        if moves:
            each = (f"{identifier(a)}.{identifier(name)} TO {identifier(b)}.{identifier(name)}" for a, name, b in moves)
            self._sql([f"RENAME TABLE {', '.join(each)}"])

    @contextlib.contextmanager
    def _loader(self, name: str) -> Iterator[Server]:
        """Yield the server as seen by an account that may write into one database only."""
        password = secrets.token_hex(16)
        ((host,),) = client.query(self.server, "SELECT SUBSTRING_INDEX(CURRENT_USER(), '@', -1)", restore=True)
        account = f"{_account_part(f'{SCRATCH}{self._token}')}@{_account_part(host)}"
        with tempfile.TemporaryDirectory(prefix="homeport-restore-") as directory:
            password_file = Path(directory) / "password"
            password_file.touch(mode=0o600)
            password_file.write_text(f"{password}\n")
            self._sql(
                [
                    f"CREATE USER {account} IDENTIFIED BY '{password}'",
                    f"GRANT {', '.join(LOADER_MAY)} ON *.* TO {account}",
                    f"GRANT ALL ON {identifier(name.replace('_', chr(92) + '_'))}.* TO {account}",
                ]
            )
            changed = {"restore_user": f"{SCRATCH}{self._token}", "restore_password_file": password_file}
            try:
                yield self.server.model_copy(update=changed)
            finally:
                self._sql([f"DROP USER {account}"])

    def _load_into(self, server: Server, name: str, descriptor: int) -> None:
        try:
            self._feed(server, name, descriptor)
        except SourceFailed as error:
            # A client from before the sandbox mode (MDEV-33727) takes the dump's first line for an unknown command.
            first = os.pread(descriptor, 200, 0).partition(b"\n")[0]
            if b"sandbox" not in first or not _AT_FIRST_LINE.search(str(error)):
                raise
            self.context.journal.note(f"{self.dump}: loaded without its first line, which this client does not know")
            self._feed(server, name, descriptor, skip=len(first) + 1)

    def _feed(self, server: Server, name: str, descriptor: int, skip: int = 0) -> None:
        os.lseek(descriptor, skip, os.SEEK_SET)
        # --binary-mode: nothing in the dump is a command to the client, such as one that runs a program
        client.execute(server, descriptor, "--binary-mode", name, restore=True, timeout_s=LOAD_S)

    def _require_counts(self, name: str) -> None:
        found = counts(self.server, name)
        expected = {key: n for key, n in self.asset.counts.items() if key == "tables" or key.startswith("rows.")}
        wrong = sorted(key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key))
        if wrong:
            says = ", ".join(f"{key} {expected.get(key)}, found {found.get(key)}" for key in wrong[:5])
            raise VerificationFailed(f"{self.dump} does not give what its point says: {says}. No live data was touched")

    def _beside_name(self) -> str:
        stamp = now_utc(self.context.clock).strftime("_%Y%m%dT%H%M%S_") + self._token
        return f"{BESIDE}{self.database}"[: MAX_NAME - len(stamp)] + stamp

    def _create(self, name: str) -> None:
        self._sql([f"CREATE DATABASE {identifier(name)} {self._charset()}"])

    def _charset(self) -> str:
        charset, collation = self.asset.facts.get("charset", ""), self.asset.facts.get("collation", "")
        if not (_WORD.fullmatch(charset) and _WORD.fullmatch(collation)):
            return ""
        return f"CHARACTER SET {charset} COLLATE {collation}"

    def _drop(self, name: str) -> None:
        if not name.startswith((SCRATCH, BEFORE, BESIDE)) or name == self.database:
            raise RestoreRefused(f"{name} is no scratch database: not dropped")
        try:
            self._sql([f"DROP DATABASE IF EXISTS {identifier(name)}"])
        except SourceFailed as error:
            self.context.journal.warn(f"the database {name} could not be dropped: {error}")

    def _clear_left_behind(self) -> None:
        """Of restores that were killed: one at a time holds the lock, so whatever is scratch is dead."""
        for (name,) in client.query(
            self.server, "SELECT schema_name FROM information_schema.schemata ORDER BY 1", restore=True
        ):
            if name.startswith(BEFORE):
                self.context.journal.warn(
                    f"the database {name} holds the former tables of a restore that was killed: look, then drop it"
                )
            elif name.startswith(SCRATCH):
                self._drop(name)
        accounts = client.query(
            self.server, f"SELECT user, host FROM mysql.user WHERE user LIKE '{SCRATCH}%'", restore=True
        )
        self._sql([f"DROP USER {_account_part(user)}@{_account_part(host)}" for user, host in accounts])

    def _sql(self, statements: Iterator[str] | list[str]) -> None:
        text = ";\n".join(statements)
        if text:
            settings = f"SET foreign_key_checks = 0, lock_wait_timeout = {LOCK_WAIT_S};\n"
            client.query(self.server, settings + text, restore=True, timeout_s=LOAD_S)


def _account_part(text: str) -> str:
    """The name or the host of an account."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
