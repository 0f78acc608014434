"""Queries that took long: from the server's slow log when it is a table, else from its performance schema. Blocks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from portal.databases.failures import ServerRefused
from portal.databases.schemas import SlowList, SlowQuery
from portal.databases.sql import Connection, fetch

MAX_QUERIES = 200
STATEMENT_CHARACTERS = 2000
PICOSECONDS = 10**12


def slow_queries(connection: Connection, server: str, limit: int) -> SlowList:
    """The newest, or the most expensive ones. A server that keeps neither is said to be unknown, never "none"."""
    variables = _variables(connection)
    threshold = float(variables["LONG_QUERY_TIME"])
    is_logged = variables["SLOW_QUERY_LOG"] == "ON" and "TABLE" in variables["LOG_OUTPUT"]
    try:
        if is_logged:
            queries = [_logged(row) for row in fetch(connection, _LOG, [STATEMENT_CHARACTERS, limit])]
            return SlowList(server=server, source="slow-log", threshold_s=threshold, detail="", queries=queries)
        if variables["PERFORMANCE_SCHEMA"] == "ON":
            queries = [_summed(row) for row in fetch(connection, _SUMS, [STATEMENT_CHARACTERS, limit])]
            return SlowList(server=server, source="performance-schema", threshold_s=None, detail="", queries=queries)
        detail = "neither is the slow log on and a table (slow_query_log, log_output), nor the performance schema"
    except ServerRefused as error:
        detail = f"the admin account may not read it: {error.detail}"
    return SlowList(server=server, source="unknown", threshold_s=threshold, detail=detail, queries=[])


_LOG = (
    "SELECT start_time, user_host, db, query_time, rows_sent, rows_examined, LEFT(sql_text, %s)"
    " FROM mysql.slow_log ORDER BY start_time DESC LIMIT %s"
)
_SUMS = (
    "SELECT last_seen, schema_name, sum_timer_wait, sum_rows_sent, sum_rows_examined, count_star, LEFT(digest_text, %s)"
    " FROM performance_schema.events_statements_summary_by_digest WHERE digest_text IS NOT NULL"
    " ORDER BY sum_timer_wait DESC LIMIT %s"
)


def _variables(connection: Connection) -> Mapping[str, str]:
    return dict(
        fetch(
            connection,
            "SELECT variable_name, variable_value FROM information_schema.global_variables WHERE variable_name IN"
            " ('SLOW_QUERY_LOG', 'LOG_OUTPUT', 'LONG_QUERY_TIME', 'PERFORMANCE_SCHEMA')",
        )
    )


def _logged(row: tuple[Any, ...]) -> SlowQuery:
    at, user_host, database, took, sent, examined, statement = row
    return SlowQuery(
        at=_utc(at),
        user=str(user_host).partition("[")[0] or None,
        database=database or None,
        seconds=took.total_seconds() if isinstance(took, timedelta) else float(took),
        rows_sent=sent,
        rows_examined=examined,
        count=1,
        statement=_text(statement),
    )


def _summed(row: tuple[Any, ...]) -> SlowQuery:
    at, database, waited, sent, examined, count, statement = row
    return SlowQuery(
        at=_utc(at),
        user=None,
        database=database,
        seconds=round(int(waited) / PICOSECONDS / max(int(count), 1), 6),
        rows_sent=int(sent),
        rows_examined=int(examined),
        count=int(count),
        statement=_text(statement),
    )


def _text(statement: Any) -> str:
    return statement.decode("utf-8", "replace") if isinstance(statement, bytes) else str(statement)


def _utc(at: Any) -> datetime | None:
    return at.replace(tzinfo=UTC) if isinstance(at, datetime) else None
