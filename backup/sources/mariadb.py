"""A MariaDB server: one plain SQL dump for each database, by the server's own client, validated while it streams.

InnoDB is dumped in one consistent view (`--single-transaction`), which blocks nobody. A database that holds tables of
another engine is dumped under `--lock-tables`: consistent too, but whoever writes to it waits; a warning names them.

DDL breaks a consistent view, so the tables are listed before and after; when they differ, the dump is made once more,
then the source fails. A dump is valid when the client ended with 0, its last line says that it is whole, it makes the
very tables that the server lists, no table is empty in it that has rows in the server before and after, and it has at
least half the size of the previous one, unless an operator has accepted that it is smaller.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from backup.exit_codes import SourceFailed
from backup.journal import Journal
from backup.settings import Server
from backup.sources import client
from backup.sources.client import Version, identifier, literal
from backup.sources.dump_scan import DumpScan
from backup.sources.source import Estimate, Staged, require_content
from backup.state import AssetState, PointState

if TYPE_CHECKING:
    from backup.stage import Stage

OF_A_RESTORE = ("homeport_restore_", "homeport_before_")  # they come and go beside a night
OWN = frozenset({"information_schema", "mysql", "performance_schema", "sys"})  # the server's, not an operator's
DUMP_S = 6 * 3600.0
SMALLEST_SHARE = 0.5  # of the previous dump
OPTIONS = (
    *("--single-transaction", "--quick", "--routines", "--triggers", "--events", "--hex-blob", "--order-by-primary"),
    *("--skip-dump-date", "--default-character-set=utf8mb4"),
)
LOCKING = tuple("--lock-tables" if option == "--single-transaction" else option for option in OPTIONS)
NEEDED = ("SELECT", "SHOW VIEW", "TRIGGER", "EVENT")  # what an account lacks, its dump leaves out without a word

_TABLE_TYPES = ("BASE TABLE", "SYSTEM VERSIONED")
_DDL = re.compile(r"\((?:1412|1146|1356)\)")  # definition has changed, table is gone, view of a table that is gone
_GRANT = re.compile(r"GRANT (?P<rights>.+?) ON (?:(?P<all>\*\.\*)|`(?P<pattern>(?:[^`]|``)+)`\.\*) TO ")


class _Changed(SourceFailed):
    """The tables are others than before the dump."""


@dataclass(frozen=True, slots=True)
class Table:
    """As information_schema has it; `made_at` moves with each ALTER."""

    name: str
    type: str
    engine: str
    made_at: str

    @property
    def has_rows(self) -> bool:
        return self.type in _TABLE_TYPES


@dataclass(frozen=True, slots=True)
class Dumped:
    """
    counts   {"tables": n, "rows.<table>": n, ...}: what the dump holds, so what a load of it must give exactly.
             Tables are information_schema's of type BASE TABLE and SYSTEM VERSIONED
    facts    server, database, charset, collation, dump_version
    """

    bytes: int
    counts: dict[str, int]
    facts: dict[str, str]
    warnings: list[str]


@dataclass(frozen=True, slots=True)
class MariaDB:
    """
    left_out        databases that a site brings along, or that are excluded
    accept_smaller  databases, as "<server>/<database>", whose dump may be less than half of the previous one; this
                    source's name when it may hold no database by now
    """

    server: Server
    left_out: frozenset[str] = frozenset()
    accept_smaller: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        return f"mariadb:{self.server.name}"

    @property
    def paths(self) -> Sequence[Path]:
        return ()

    def databases(self) -> list[str]:
        """What this source is to dump. Raise SourceFailed, also for a database in the settings that is not there."""
        there = databases(self.server)
        wanted = there if self.server.databases is None else self.server.databases
        missing = sorted(set(wanted) - set(there) - self.left_out)
        if missing:
            raise SourceFailed(f"server {self.server.name} has no database {', '.join(missing)}")
        return [database for database in wanted if database not in self.left_out]

    def versions(self) -> dict[str, str]:
        return versions(self.server)

    def estimate(self) -> Estimate:
        wanted = self.databases()
        return Estimate(sum(data_bytes(self.server, database) for database in wanted), len(wanted))

    def stage(self, stage: Stage, previous: PointState | None, journal: Journal) -> Staged:
        found = versions(self.server)
        assets: list[AssetState] = []
        warnings: list[str] = []
        failures: list[str] = []
        for database in self.databases():
            name = asset_name(self.server, database)
            path = f"databases/{self.server.name}/{file_name(database)}.sql"
            try:
                dumped = dump_database(
                    self.server,
                    database,
                    stage,
                    path,
                    previous_bytes=previous_bytes(previous, "database", name),
                    accept_smaller=name in self.accept_smaller,
                    journal=journal,
                )
            except SourceFailed as error:
                failures.append(str(error))  # the others are dumped nevertheless
                continue
            warnings += dumped.warnings
            assets.append(
                AssetState(
                    kind="database",
                    name=name,
                    source=self.name,
                    paths=[path],
                    bytes=dumped.bytes,
                    counts=dumped.counts,
                    facts=dumped.facts,
                )
            )
        if failures:
            raise SourceFailed("\n".join(failures))
        require_content(self.name, assets, previous, self.name in self.accept_smaller)
        return Staged(assets, warnings, found)


def asset_name(server: Server, database: str) -> str:
    """Two servers may hold one name."""
    return f"{server.name}/{database}"


def file_name(database: str) -> str:
    """A database may have any character in its name: "/", "%", control characters and a leading "." become %XX."""
    return re.sub(r"[/%\x00-\x1f\x7f]|^\.", lambda match: f"%{ord(match[0]):02X}", database)


def previous_bytes(previous: PointState | None, kind: str, name: str) -> int | None:
    """Of the dump of this asset, a database or a site, in the point before."""
    for asset in previous.assets if previous else ():
        if (asset.kind, asset.name) == (kind, name):
            return int(asset.facts["dump_bytes"]) if "dump_bytes" in asset.facts else asset.bytes
    return None


def databases(server: Server) -> list[str]:
    """All but the server's own and what a restore is using beside, sorted. Raise SourceFailed."""
    rows = client.query(server, "SELECT schema_name FROM information_schema.schemata ORDER BY schema_name")
    return [name for (name,) in rows if name.lower() not in OWN and not name.startswith(OF_A_RESTORE)]


def versions(server: Server) -> dict[str, str]:
    """Return those of client and server. Raise SourceFailed when the client's series is older than the server's."""
    ours = client.dump_version()
    ((said,),) = client.query(server, "SELECT VERSION()")
    theirs = Version.parse(said)
    if ours.series < theirs.series:
        raise SourceFailed(
            f"the dump client is {ours}, older than server {server.name} with {theirs}: what it does not know it would"
            " leave out. Nothing was dumped; install a client of the server's series"
        )
    return {"client": str(ours), "server": str(theirs)}


def data_bytes(server: Server, database: str) -> int:
    """What the tables take in the server, without indexes: about the size of a dump. Raise SourceFailed."""
    ((size,),) = client.query(
        server,
        "SELECT CAST(COALESCE(SUM(data_length), 0) AS UNSIGNED) FROM information_schema.tables"  # noqa: S608  # literal()
        f" WHERE table_schema = {literal(database)}",
    )
    return int(size)


def dump_database(
    server: Server,
    database: str,
    stage: Stage,
    path: str,
    *,
    previous_bytes: int | None,
    accept_smaller: bool,
    journal: Journal,
) -> Dumped:
    """Dump one database to `path` of the stage, where nothing stays unless the dump is valid.

    raises  SourceFailed: which, and in whose words
    """
    where = asset_name(server, database)
    try:
        _require_rights(server, database)
        try:
            return _dump(server, database, stage, path, previous_bytes, accept_smaller, journal)
        except _Changed as error:
            journal.note(f"{where}: {error}; once more")
            return _dump(server, database, stage, path, previous_bytes, accept_smaller, journal)
    except SourceFailed as error:
        raise SourceFailed(f"database {where}: {error}") from error


def _dump(
    server: Server,
    database: str,
    stage: Stage,
    path: str,
    previous_bytes: int | None,
    accept_smaller: bool,
    journal: Journal,
) -> Dumped:
    before = _tables(server, database)
    filled = _filled(server, database, before)
    others = sorted(table.name for table in before if table.has_rows and table.engine != "InnoDB")
    scan = DumpScan()
    journal.step("dump", database=asset_name(server, database))
    with stage.stream(path.encode()) as writer:

        def sink(chunk: bytes) -> None:
            writer.write(chunk)
            scan.feed(chunk)
            journal.progress(scan.bytes, previous_bytes)

        try:
            # "--" ends the options: a database may be named "-p"
            client.dump(server, [*(LOCKING if others else OPTIONS), "--", database], sink, timeout_s=DUMP_S)
        except SourceFailed as error:
            if _DDL.search(str(error)) or _tables(server, database) != before:
                raise _Changed(f"its tables were changed during the dump: {error}") from error
            raise
        scan.finish()
        after = _tables(server, database)
        if after != before:
            raise _Changed("its tables were changed during the dump")
        _require_whole(scan, after, filled & _filled(server, database, after))
        if previous_bytes and scan.bytes < SMALLEST_SHARE * previous_bytes and not accept_smaller:
            raise SourceFailed(
                f"its dump has {scan.bytes} bytes, less than half of the previous one with {previous_bytes}. If that is"
                f" right: homeport backup run --accept-smaller {asset_name(server, database)}"
            )
    return Dumped(
        bytes=scan.bytes,
        counts={"tables": len(scan.rows)} | {f"rows.{table}": rows for table, rows in sorted(scan.rows.items())},
        facts=_facts(server, database),
        warnings=_warnings(asset_name(server, database), before, others),
    )


def _require_whole(scan: DumpScan, tables: list[Table], filled: set[str]) -> None:
    listed = {table.name for table in tables if table.has_rows}
    if listed != scan.rows.keys():
        names = ", ".join(sorted(listed ^ scan.rows.keys()))
        raise SourceFailed(f"the dump does not hold the very tables that the server lists; they differ in {names}")
    empty = sorted(table for table in filled if not scan.rows[table])
    if empty:
        raise _Changed(f"the dump has no row of {', '.join(empty)}, which has some in the server")


def _warnings(where: str, tables: list[Table], others: list[str]) -> list[str]:
    found = []
    if others:
        found.append(
            f"{where}: dumped with its tables locked, writers waited; not InnoDB: {', '.join(others)}."
            " ALTER TABLE ... ENGINE=InnoDB ends that"
        )
    if versioned := sorted(table.name for table in tables if table.type == "SYSTEM VERSIONED"):
        found.append(f"{where}: only the present rows of {', '.join(versioned)}, not their history")
    return found


def _tables(server: Server, database: str) -> list[Table]:
    rows = client.query(
        server,
        "SELECT table_name, table_type, COALESCE(engine, ''), COALESCE(create_time, '')"  # noqa: S608  # literal()
        f" FROM information_schema.tables WHERE table_schema = {literal(database)} ORDER BY table_name",
    )
    return [Table(*row) for row in rows]


def _filled(server: Server, database: str, tables: list[Table]) -> set[str]:
    """The tables that have a row."""
    asked = [table.name for table in tables if table.has_rows]
    looks = [
        f"(SELECT {number} FROM {identifier(database)}.{identifier(table)} LIMIT 1)"  # noqa: S608  # identifier()
        for number, table in enumerate(asked)
    ]
    return {asked[int(number)] for (number,) in client.query(server, " UNION ALL ".join(looks))} if looks else set()


def _facts(server: Server, database: str) -> dict[str, str]:
    rows = client.query(
        server,
        "SELECT default_character_set_name, default_collation_name"  # noqa: S608  # literal()
        f" FROM information_schema.schemata WHERE schema_name = {literal(database)}",
    )
    if not rows:
        raise SourceFailed("it is gone")
    ((charset, collation),) = rows
    return {
        "server": server.name,
        "database": database,
        "charset": charset,
        "collation": collation,
        "dump_version": str(client.dump_version()),
    }


def _require_rights(server: Server, database: str) -> None:
    """Raise SourceFailed when the account cannot see all of a database: a dump would be smaller, and green."""
    held: set[str] = set()
    for (grant,) in client.query(server, "SHOW GRANTS"):
        match = _GRANT.match(grant)
        if match and (match["all"] or _like(match["pattern"].replace("``", "`"), database)):
            held |= {right.strip() for right in match["rights"].split(",")}
    lacking = [] if "ALL PRIVILEGES" in held else [right for right in NEEDED if right not in held]
    if lacking:
        raise SourceFailed(
            f"the account {server.user!r} lacks {', '.join(lacking)}: what it cannot see would be missing from the"
            f" dump. GRANT {', '.join(NEEDED)}, LOCK TABLES ON *.* TO it"
        )


def _like(pattern: str, name: str) -> bool:
    """Whether the name of a database is in the pattern of a grant: "_", "%", and "\\" before one that is literal."""
    pieces = (
        re.escape(match["literal"] or match["other"]) if match["wild"] is None else {"_": ".", "%": ".*"}[match["wild"]]
        for match in re.finditer(r"\\(?P<literal>[_%\\])|(?P<wild>[_%])|(?P<other>.)", pattern, re.DOTALL)
    )
    return re.fullmatch("".join(pieces), name, re.DOTALL | re.IGNORECASE) is not None
