"""Rights of an account against an allow-list: as tables, and as a real server tells them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from portal.databases.console.grants import CONSOLE, WRITE, excess, excess_of
from portal.databases.servers import Server
from tests.services.mariadb import MariaDB

TO = "TO `c`@`%`"
FINE = (
    f"GRANT USAGE ON *.* {TO} IDENTIFIED BY PASSWORD '*ABC' REQUIRE SSL WITH MAX_QUERIES_PER_HOUR 5",
    f"GRANT SELECT, SHOW VIEW ON `wp\\_%`.* {TO}",
    f"GRANT SELECT ON `wp_a`.`posts` {TO}",
    f"GRANT SELECT (`a`, `b c`) ON `wp_a`.`posts` {TO}",
    f"GRANT SELECT ON `strange`` TO x`.* {TO}",
    f"GRANT SELECT ON `m_sql_not`.* {TO}",
)


@pytest.mark.parametrize("line", FINE)
def test_no_more_than_reading_single_databases_is_fine(line: str) -> None:
    assert excess([line], CONSOLE) == []


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (f"GRANT SELECT ON *.* {TO}", "SELECT on *.*"),
        (f"GRANT SELECT, INSERT ON `a`.* {TO}", "INSERT on `a`.*"),
        (f"GRANT SELECT, EXECUTE ON `a`.* {TO}", "EXECUTE on `a`.*"),
        (f"GRANT FILE ON *.* {TO}", "FILE on *.*"),
        (f"GRANT ALL PRIVILEGES ON `a`.* {TO}", "ALL PRIVILEGES on `a`.*"),
        (f"GRANT SELECT ON `a`.* {TO} WITH GRANT OPTION", "GRANT OPTION on `a`.*"),
        (f"GRANT USAGE ON *.* {TO} WITH GRANT OPTION", "GRANT OPTION on *.*"),
        (f"GRANT SELECT ON `%`.* {TO}", "covers"),
        (f"GRANT SELECT ON `mysq_`.* {TO}", "covers mysql"),
        (f"GRANT SELECT ON `MYSQL`.* {TO}", "covers mysql"),
        (f"GRANT SELECT (`a`), UPDATE (`a`) ON `d`.`t` {TO}", "UPDATE on `d`.`t`"),
        (f"GRANT EXECUTE ON PROCEDURE `a`.`p` {TO}", "not known"),
        (f"GRANT `role` {TO}", "not known"),
        ("SET DEFAULT ROLE `role` FOR `c`@`%`", "not known"),
        (f"GRANT PROXY ON 'a'@'%' {TO}", "not known"),
        ("", "not known"),
        ("GRANT something new", "not known"),
    ],
)
def test_more_is_told(line: str, says: str) -> None:
    (found,) = excess([line], CONSOLE)
    assert says in found


def test_a_hash_is_never_quoted() -> None:
    found = excess([f"GRANT SUPER ON *.* {TO} IDENTIFIED BY PASSWORD '*CANARY'"], CONSOLE)
    assert found == ["SUPER on *.*"]


def test_the_stack_s_accounts_are_fine_and_any_more_is_seen(
    mariadb: MariaDB, server: Server, new_name: Callable[[], str]
) -> None:
    for purpose, allowed in (("console", CONSOLE), ("write", WRITE)):
        connection = server.connect(purpose)  # type: ignore[arg-type]
        assert excess_of(connection, allowed) == []
        connection.close()
    account = new_name()
    mariadb.execute(f"CREATE USER {account}@'%' IDENTIFIED BY 'x'", f"GRANT SELECT ON `wp_a`.* TO {account}@'%'")
    for grant, revoke, says in (
        (f"GRANT FILE ON *.* TO {account}@'%'", f"REVOKE FILE ON *.* FROM {account}@'%'", "FILE on *.*"),
        (f"GRANT DROP ON wp_a.* TO {account}@'%'", f"REVOKE DROP ON wp_a.* FROM {account}@'%'", "DROP on `wp_a`.*"),
        ("CREATE ROLE homeport_r", f"GRANT homeport_r TO {account}@'%'", ""),
    ):
        mariadb.execute(grant, *([revoke] if not says else []))
        connection = server.connect_as(account, "x")
        found = excess_of(connection, CONSOLE)
        connection.close()
        assert found == ([says] if says else ["a role, a proxy or another right that is not known here"])
        mariadb.execute(*([revoke] if says else ["DROP ROLE homeport_r"]))


def test_what_everybody_may_counts_too(mariadb: MariaDB, server: Server) -> None:
    try:
        mariadb.execute("GRANT INSERT ON `wp_public`.* TO PUBLIC")
    except Exception:
        pytest.skip("this server has no rights for everybody")
    try:
        connection = server.connect("console")
        assert excess_of(connection, CONSOLE) == ["INSERT on `wp_public`.*"]
        connection.close()
    finally:
        mariadb.execute("REVOKE INSERT ON `wp_public`.* FROM PUBLIC")
