"""The MariaDB that other tests rely on does what `mariadb.py` promises."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from tests.services.mariadb import MariaDB
from tests.services.process import ServiceFailed, process_stats

pytestmark = pytest.mark.services


def ask(url: str, statement: str) -> object:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return connection.scalar(text(statement))
    finally:
        engine.dispose()


def test_mariadb_databases_are_kept_apart(mariadb: MariaDB) -> None:
    one, two = mariadb.new_database(), mariadb.new_database()
    name = one.rpartition("/")[2]
    assert ask(one, "SELECT DATABASE()") == name
    with pytest.raises(OperationalError, match="Access denied"):
        ask(two.rpartition("/")[0] + f"/{name}", "SELECT 1")


def test_mariadb_keeps_what_it_has_over_a_stop_and_leaves_nothing_at_the_end() -> None:
    with MariaDB() as server:
        url = server.new_database()
        server.stop()
        with pytest.raises(OperationalError):
            ask(url, "SELECT 1")
        server.start()
        assert ask(url, "SELECT 1") == 1
        pid = server.daemon.pid
    assert not server.directory.exists()
    assert all(stat.session != pid or stat.state == "Z" for stat in process_stats())


def test_mariadb_that_cannot_start_says_why() -> None:
    with pytest.raises(ServiceFailed, match="nonsense"), MariaDB("--nonsense=yes"):
        pass
