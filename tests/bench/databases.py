"""`python -m tests.bench.databases`: the databases room and its console: a real portal process, a real MariaDB.

One operator's browser asks; figures are from the request's first byte to the answer's last, or to its first row:

    table list     of a database with 500 tables, as its page opens
    raw client     a fresh connection of the console's account, one statement, its first row: what nobody can go below
    console        the same statement as a query; what it takes over the raw client is judged
    export         of a million rows: the first part, over the raw client; then the rest

Exits with 1 when a target is missed. docs/benchmarks.md has the results.
"""

from __future__ import annotations

import secrets
import statistics
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from pymysql.cursors import SSCursor  # type: ignore[import-untyped]

from portal.databases.servers import Servers
from tests.bench.dns import Figure, Operator
from tests.bench.measure import cpu_s
from tests.services.mariadb import MariaDB
from tests.services.portal import Browser, Portal

TABLES, ROWS = 500, 1_000_000
CALLS = 60
TABLE_LIST_P95_MS = 150.0
OVER_RAW_P95_MS = 50.0
DATABASE = "wp_bench"
STATEMENT = f"SELECT seq, CONCAT('title ', seq) AS title FROM seq_1_to_{ROWS}"


def fill(server: MariaDB) -> None:
    """As WordPress's tables are: a key, an index, some rows."""
    columns = "id BIGINT UNSIGNED PRIMARY KEY AUTO_INCREMENT, name VARCHAR(191), value LONGTEXT, KEY name (name)"
    tables = [f"CREATE TABLE wp_{number}_options ({columns}) ENGINE=InnoDB" for number in range(TABLES)]
    server.execute(f"CREATE DATABASE {DATABASE}", f"USE {DATABASE}", *tables)


def raw_s(servers: Servers, statement: str) -> float:
    """Seconds to the first row, without any portal."""
    begun = time.perf_counter()
    with closing(servers["blog"].connect("console", database=DATABASE, cursor=SSCursor)) as connection:
        cursor = connection.cursor()
        cursor.execute(statement)
        cursor.fetchone()
        took = time.perf_counter() - begun
        cursor.fetchall()
    return took


def export_s(browser: Browser, form: str) -> tuple[float, float]:
    """Seconds to the first part and to the last."""
    begun, first = time.perf_counter(), 0.0
    with browser.stream("POST", "/api/console/export", json=_body(STATEMENT, form=form), timeout=600) as answer:
        for _ in answer.iter_bytes():
            first = first or time.perf_counter() - begun
    return first, time.perf_counter() - begun


def over(name: str, took_s: list[float], raw: float, detail: str, used_s: float = 0.0) -> Figure:
    figure = Figure.of(name, [max(0.0, each - raw) for each in took_s], used_s, OVER_RAW_P95_MS, detail)
    print(figure, flush=True)
    return figure


def measure(directory: Path, server: MariaDB) -> list[Figure]:
    file = server.servers_file(directory)
    servers = Servers.load(file)
    fill(server)
    with Portal(directory, {"DATABASES_FILE": str(file), "LOG_LEVEL": "warning"}) as portal:
        browser = portal.set_up()
        operator = Operator(portal, browser)
        path = f"/api/databases/blog/{DATABASE}"
        operator.timed("table list, cold", 1, lambda: browser.get(path), None)
        listed = operator.timed("table list", CALLS, lambda: browser.get(path), TABLE_LIST_P95_MS)

        one = "SELECT id, name FROM wp_7_options ORDER BY id LIMIT 1"
        raws = [raw_s(servers, one) for _ in range(CALLS)]
        print(Figure.of("raw client", raws, 0.0, None), flush=True)
        took, used = [], cpu_s([portal.daemon])
        for _ in range(CALLS):
            begun = time.perf_counter()
            browser.post("/api/console/query", json=_body(one)).raise_for_status()
            took.append(time.perf_counter() - begun)
        used = cpu_s([portal.daemon]) - used
        console = over("console over raw client", took, statistics.median(raws), "a query's whole answer", used)

        raw = statistics.median([raw_s(servers, STATEMENT) for _ in range(3)])
        exports = [export_s(browser, form) for form in ("csv", "ndjson", "csv")]
        rest = ", ".join(f"{last:.1f} s" for _, last in exports)
        export = over("export over raw client", [first for first, _ in exports], raw, f"{ROWS:,} rows whole: {rest}")
        return [listed, console, export]


def _body(statement: str, **more: Any) -> dict[str, Any]:
    return {"id": secrets.token_hex(16), "server": "blog", "database": DATABASE, "statement": statement, **more}


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="bench-databases-") as directory, MariaDB() as server:
        figures = measure(Path(directory), server)
    return 0 if all(figure.is_held for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
