"""What a server is doing: seen, ended, and what is never ended; slow queries where the server keeps them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from portal.databases.failures import NoSuchProcess, ProcessProtected, ServerRefused, ServerUnavailable
from portal.databases.processes import kill, processes
from portal.databases.schemas import KillProcess
from portal.databases.servers import Server
from portal.databases.slow import slow_queries
from portal.databases.sql import Connection, fetch
from tests.services.mariadb import MariaDB

OURS = {"homeport_admin"}
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def _sleeping(connection: Connection) -> tuple[threading.Thread, list[Any]]:
    said: list[Any] = []

    def sleep() -> None:
        try:
            said.append(fetch(connection, "SELECT SLEEP(60)"))
        except (ServerRefused, ServerUnavailable) as problem:
            said.append(problem)

    thread = threading.Thread(target=sleep)
    thread.start()
    return thread, said


def _until(is_true: Callable[[], Any]) -> Any:
    give_up = time.monotonic() + 20
    while not (found := is_true()):
        assert time.monotonic() < give_up
        time.sleep(0.02)
    return found


@pytest.mark.parametrize("what", ["statement", "connection"])
def test_a_statement_is_seen_and_ended(admin: Connection, server: Server, what: str) -> None:
    with server.connect("console") as console:
        ((id_,),) = fetch(console, "SELECT CONNECTION_ID()")
        thread, said = _sleeping(console)

        def seen() -> Any:
            listed = processes(admin, "blog", OURS, NOW).processes
            return next((each for each in listed if each.id == id_ and each.statement), None)

        found = _until(seen)
        assert (found.user, found.statement, found.can_kill) == ("homeport_console", "SELECT SLEEP(60)", True)
        kill(admin, id_, KillProcess.model_validate({"what": what}), OURS)
        thread.join(20)
        assert not thread.is_alive()
        assert isinstance(said[0], ServerRefused | ServerUnavailable) or said == [[(1,)]]


def test_homeports_own_connections_are_hidden_and_not_ended(admin: Connection, server: Server) -> None:
    with server.connect("admin") as other:
        ((id_,),) = fetch(other, "SELECT CONNECTION_ID()")
        listed = processes(admin, "blog", OURS, NOW)
        assert id_ not in {each.id for each in listed.processes}
        assert listed.hidden >= 2
        with pytest.raises(ProcessProtected):
            kill(admin, id_, KillProcess(), OURS)


def test_a_process_that_is_gone_is_said_to_be(admin: Connection) -> None:
    with pytest.raises(NoSuchProcess):
        kill(admin, 2**40, KillProcess(), OURS)


def test_the_servers_own_work_is_not_ended(admin: Connection, mariadb: MariaDB) -> None:
    mariadb.execute("SET GLOBAL event_scheduler = ON")
    try:
        listed = _until(
            lambda: [each for each in processes(admin, "blog", OURS, NOW).processes if each.user == "event_scheduler"]
        )
        assert not listed[0].can_kill
        with pytest.raises(ProcessProtected):
            kill(admin, listed[0].id, KillProcess(), OURS)
    finally:
        mariadb.execute("SET GLOBAL event_scheduler = OFF")


def test_slow_queries_come_from_the_log_or_are_unknown(admin: Connection, mariadb: MariaDB, server: Server) -> None:
    assert slow_queries(admin, "blog", 10).source == "unknown"
    mariadb.execute(
        "SET GLOBAL log_output = 'TABLE'", "SET GLOBAL slow_query_log = ON", "SET GLOBAL long_query_time=0.1"
    )
    try:
        with server.connect("console") as console:
            fetch(console, "SELECT SLEEP(0.15), '<img src=x>'")
        found = slow_queries(admin, "blog", 10)
        assert (found.source, found.threshold_s) == ("slow-log", 0.1)
        query = next(each for each in found.queries if "<img" in each.statement)
        assert query.user == "homeport_console"
        assert query.seconds >= 0.1
    finally:
        mariadb.execute(
            "SET GLOBAL slow_query_log = OFF", "SET GLOBAL log_output = 'FILE'", "SET GLOBAL long_query_time = 10"
        )
