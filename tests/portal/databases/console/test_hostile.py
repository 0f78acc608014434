"""Hostile statements on a real server with the real grants: nothing writes, nothing runs past its limit.

Each layer alone: with the guard switched off, the account, the session and the limits still hold.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kit.clock import SystemClock
from kit.problem import Problem
from portal.databases.console.guard import check
from portal.databases.console.lexer import Refused
from portal.databases.console.run import Limits, Running
from portal.databases.servers import Server, Servers
from tests.portal.databases.console.conftest import Rows
from tests.portal.databases.console.corpus import CORPUS, LET_THROUGH
from tests.services.mariadb import MariaDB

LIMITS = Limits(timeout_s=0.2, rows=1000, bytes=1024**2, characters=1000)
NEVER_S = 15.0  # what wants 20 s was ended, however slow the machine
HARM = re.compile(r"sleep|outfile|load_file|get_lock|drop|delete", re.IGNORECASE)
CHANGING = re.compile(r"gtid_.*|.*_pos|timestamp|.*rand_seed.*|innodb_buffer_pool_(load|dump).*|last_.*")


class World:
    """A database that invites harm, and everything that a statement could change."""

    def __init__(self, mariadb: MariaDB, rows: Rows, database: str, server: Server) -> None:
        self.mariadb, self.rows, self.database, self.server = mariadb, rows, database, server
        self.out = mariadb.directory / f"out-{database}"
        self.out.mkdir()
        self.out.chmod(0o777)
        self.before = self.state()

    def filled(self, statement: str) -> str:
        table = f"{self.database}.things"
        return statement.format(db=self.database, table=table, out=self.out)

    def state(self) -> dict[str, object]:
        listed = self.rows(f"SHOW FULL TABLES FROM `{self.database}`")
        tables = [name for name, kind in listed if kind == "BASE TABLE"]
        routines = "SELECT routine_name FROM information_schema.routines WHERE routine_schema = %s"
        return {
            "rows": [self.rows(f"CHECKSUM TABLE `{self.database}`.`{table}`") for table in sorted(tables)],
            "sequence": self.rows(f"SELECT next_not_cached_value FROM `{self.database}`.counter"),
            "routines": self.rows(routines, self.database),
            "triggers": self.rows("SELECT trigger_name FROM information_schema.triggers"),
            "events": self.rows("SELECT event_name FROM information_schema.events"),
            "databases": sorted(self.rows("SELECT schema_name FROM information_schema.schemata")),
            "grants": [self.rows("SELECT * FROM mysql.global_priv"), self.rows("SELECT * FROM mysql.db")],
            "plugins": self.rows("SELECT COUNT(*) FROM information_schema.all_plugins"),
            "variables": [row for row in self.rows("SHOW GLOBAL VARIABLES") if not CHANGING.fullmatch(row[0])],
            "files": sorted(path.name for path in self.out.iterdir()),
            "here": sorted(path.name for path in (self.mariadb.directory / "data" / self.database).iterdir()),
        }

    def run(self, statement: str) -> None:
        """As the console runs it, past its guard. What it refuses, it refuses as a problem."""
        clock = SystemClock()
        began = clock.monotonic()
        try:
            Running(self.server, "console", clock).read(statement, self.database, LIMITS)
        except Problem:
            pass
        except UnicodeEncodeError:  # a lone surrogate reaches no server
            pass
        assert clock.monotonic() - began < NEVER_S, statement

    def sleepers(self) -> list[tuple[object, ...]]:
        """What of the console's is at work at the server."""
        query = (
            "SELECT id, info FROM information_schema.processlist WHERE user = 'homeport_console' AND command = 'Query'"
        )
        return self.rows(query)


@pytest.fixture
def world(mariadb: MariaDB, rows: Rows, new_database: Callable[..., str], servers: Servers) -> World:
    name = new_database(
        "CREATE TABLE things (id INT PRIMARY KEY, name VARCHAR(40)) ENGINE=InnoDB",
        "INSERT INTO things SELECT seq, CONCAT('n', seq) FROM mysql.seq_1_to_500",
        "CREATE SEQUENCE counter",
        "CREATE FUNCTION harmful() RETURNS INT MODIFIES SQL DATA BEGIN DELETE FROM things; RETURN 1; END",
    )
    return World(mariadb, rows, name, servers["blog"])


@pytest.mark.slow
def test_without_the_guard_grants_session_and_limits_still_hold(world: World) -> None:
    for _tries, statement in CORPUS:
        world.run(world.filled(statement))
    assert world.state() == world.before
    assert not world.sleepers()


def _comment(text: str) -> str:
    return text.replace(" ", "/**/")


def _line_comment(text: str) -> str:
    return text.replace(" ", " -- x\n", 1)


def _homoglyph(text: str) -> str:
    return text.replace("e", "é").replace("O", "\u039f")  # a Greek letter


def _quoted(text: str) -> str:
    return re.sub(r"\b([A-Z_]{4,})(?= *\()", r"`\1`", text)


MUTATIONS: dict[str, Callable[[str], str]] = {
    "lower": str.lower,
    "swap": str.swapcase,
    "comment": _comment,
    "line comment": _line_comment,
    "hash comment": lambda text: text.replace(" ", "#\n", 1),
    "version comment": lambda text: f"/*!{text}*/",
    "numbered comment": lambda text: f"/*!50000 {text} */",
    "own comment": lambda text: f"/*M!100000 {text} */",
    "behind a query": lambda text: f"SELECT 1 /*!99999 x */; {text}",
    "in a subquery": lambda text: f"SELECT * FROM ({text}) a",
    "in parentheses": lambda text: f"({text})",
    "explained": lambda text: f"EXPLAIN {text}",
    "prefixed": lambda text: f"/* x */ -- y\n {text}",
    "tabs": lambda text: text.replace(" ", "\t\v\f"),
    "hard spaces": lambda text: text.replace(" ", "\u00a0"),
    "homoglyphs": _homoglyph,
    "quoted names": _quoted,
    "statement": lambda text: f"SET STATEMENT max_statement_time = 0 FOR {text}",
    "union": lambda text: f"SELECT 1 UNION {text}",
    "half a string": lambda text: f"SELECT 'a\\' {text} -- '",
    "semicolons": lambda text: f";;{text};",
    "nothing": str,
}


@pytest.mark.slow
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    chosen=st.sampled_from(CORPUS),
    mutations=st.lists(st.sampled_from(sorted(MUTATIONS)), min_size=1, max_size=3, unique=True),
)
def test_mutated_too_whatever_the_guard_says(world: World, chosen: tuple[str, str], mutations: list[str]) -> None:
    tries, statement = chosen
    text = world.filled(statement)
    for mutation in mutations:
        text = MUTATIONS[mutation](text)
    try:
        allowed = check(text)
    except Refused:
        world.run(text)
    else:  # what it lets through has become harmless: cut off by a comment, or a query that only takes long
        world.run(allowed.text)
        assert tries in LET_THROUGH or not HARM.search(_outside(allowed.text))
    assert world.state() == world.before


def _outside(text: str) -> str:
    """The text without its strings."""
    return re.sub(r"`[^`]*`|'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.)*\"", "", text, flags=re.DOTALL)


def test_what_hides_in_a_statement_that_reads_is_seen_by_both(world: World, tmp_path: Path) -> None:
    """The server reads what was checked: the comments are gone before it sees them."""
    allowed = check("SELECT 1 AS one /* ; DROP TABLE things */ -- ; DROP TABLE things")
    assert "DROP" not in allowed.text
    found = Running(world.server, "console", SystemClock()).read(allowed.text, world.database, LIMITS)
    assert found.rows == [[1]]
