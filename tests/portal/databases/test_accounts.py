"""Databases and accounts: made, granted, rotated, dropped, by the rights that the stack gives, and no further."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from portal.databases import accounts, structure
from portal.databases.accounts import OF_A_SITE, Account, new_password
from portal.databases.failures import (
    AccountExists,
    AccountProtected,
    DatabaseExists,
    NoSuchAccount,
    ServerRefused,
    ServerUnavailable,
)
from portal.databases.servers import Server
from portal.databases.sql import Connection, execute, fetch
from tests.portal.databases.conftest import logs_in_as_a_site
from tests.services.mariadb import MariaDB


def _made(admin: Connection, name: str) -> str:
    password = new_password()
    accounts.create_database(admin, name, "01TEST")
    accounts.create_account(admin, Account(name, "%"), password)
    accounts.grant(admin, Account(name, "%"), name, OF_A_SITE)
    return password


def test_a_database_is_made_with_an_account_for_it_alone(
    admin: Connection, server: Server, mariadb: MariaDB, new_name: Callable[[], str], new_database: Callable[..., str]
) -> None:
    name, other = new_name(), new_database("CREATE TABLE t (a INT)")
    password = _made(admin, name)
    assert structure.made_by(admin, name) == "01TEST"
    with server.connect_as(name, password, database=name) as site:
        execute(site, "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, a TEXT) ENGINE=InnoDB")
        execute(site, "INSERT INTO t (a) VALUES ('x')")
        assert {row[0] for row in fetch(site, "SHOW DATABASES")} == {"information_schema", name}
        for statement in (
            f"SELECT * FROM `{other}`.t",
            "SELECT * FROM mysql.user",
            "CREATE USER x",
            f"GRANT SELECT ON `{name}`.* TO homeport_console@'%'",
            "SELECT 1 INTO OUTFILE '/tmp/never'",
            "SET GLOBAL general_log = 1",
            f"CREATE DATABASE `{name}x`",
        ):
            with pytest.raises(ServerRefused):
                execute(site, statement)


def test_an_underscore_in_a_name_opens_no_other_database(
    admin: Connection, server: Server, mariadb: MariaDB, new_name: Callable[[], str]
) -> None:
    """Unescaped, a grant on wp_a_b would open wp_aXb."""
    name = new_name() + "_a"
    like = name[:-2] + "Xa"
    mariadb.execute(f"CREATE DATABASE `{like}`", f"CREATE TABLE `{like}`.t (a INT)")
    try:
        password = _made(admin, name)
        with server.connect_as(name, password) as site, pytest.raises(ServerRefused):
            fetch(site, f"SELECT * FROM `{like}`.t")
    finally:
        mariadb.execute(
            f"DROP DATABASE `{like}`", f"DROP DATABASE IF EXISTS `{name}`", f"DROP USER IF EXISTS '{name}'@'%'"
        )


def test_what_exists_is_never_made_again(
    admin: Connection, new_name: Callable[[], str], new_database: Callable[..., str], mariadb: MariaDB
) -> None:
    there, name = new_database(), new_name()
    with pytest.raises(DatabaseExists):
        accounts.create_database(admin, there, "01TEST")
    with pytest.raises(DatabaseExists):
        accounts.require_free(admin, there, Account(name, "%"))
    mariadb.execute(f"CREATE USER '{name}'@'10.0.0.1'")
    with pytest.raises(AccountExists, match=r"10\.0\.0\.1"):
        accounts.require_free(admin, name, Account(name, "%"))
    mariadb.execute(f"DROP USER '{name}'@'10.0.0.1'", f"CREATE USER '{name}'@'%'")
    with pytest.raises(AccountExists):
        accounts.create_account(admin, Account(name, "%"), new_password())
    assert structure.made_by(admin, there) is None


def test_the_password_stands_in_no_log_of_the_server(
    admin: Connection, mariadb: MariaDB, new_name: Callable[[], str]
) -> None:
    name, log = new_name(), mariadb.directory / "general.log"
    mariadb.execute(f"SET GLOBAL general_log_file = '{log}'", "SET GLOBAL general_log = 1")
    try:
        password = _made(admin, name)
        accounts.set_password(admin, Account(name, "%"), second := new_password())
    finally:
        mariadb.execute("SET GLOBAL general_log = 0")
    said = Path(log).read_text("utf-8", "replace")
    assert name in said
    assert password not in said
    assert second not in said


def test_grants_are_shown_with_the_databases_that_they_open(
    admin: Connection, mariadb: MariaDB, new_name: Callable[[], str]
) -> None:
    name = new_name()
    _made(admin, name)
    mariadb.execute(f"CREATE DATABASE `{name}2`", f"ALTER USER '{name}'@'%' ACCOUNT LOCK")
    try:
        databases = [each.name for each in structure.databases(admin)]
        listed = {each.name: each for each in accounts.accounts(admin, databases, {"homeport_console"}, {name: "main"})}
    finally:
        mariadb.execute(f"DROP DATABASE `{name}2`")
    mine = listed[f"{name}@%"]
    assert (mine.is_locked, mine.has_password, mine.is_protected, mine.owner) == (True, True, False, "main")
    (grant,) = mine.grants
    assert (grant.matches, grant.privileges) == ([name], sorted(OF_A_SITE))
    admins = listed["homeport_admin@%"]
    assert admins.is_protected
    assert any({name, f"{name}2"} <= set(each.matches) for each in admins.grants)
    assert listed["root@localhost"].is_protected
    assert not any(mariadb.portal_passwords["admin"] in each.model_dump_json() for each in listed.values())


def test_grants_are_set_exactly(
    admin: Connection, server: Server, mariadb: MariaDB, new_name: Callable[[], str]
) -> None:
    name = new_name()
    password, account = _made(admin, name), Account(name, "%")

    def now() -> set[str]:
        listed = accounts.accounts(admin, [name], set(), {})
        (found,) = [each for each in listed if each.user == name]
        return {privilege for grant in found.grants for privilege in grant.privileges}

    before = accounts.set_grants(admin, account, name, ["SELECT", "SHOW VIEW"], [name])
    assert set(before) == set(OF_A_SITE)
    assert now() == {"SELECT", "SHOW VIEW"}
    with server.connect_as(name, password, database=name) as site, pytest.raises(ServerRefused):
        execute(site, "CREATE TABLE t (a INT)")
    accounts.set_grants(admin, account, name, [], [name])
    assert now() == set()
    accounts.set_grants(admin, account, name, OF_A_SITE, [name])
    assert now() == set(OF_A_SITE)
    with pytest.raises(ValueError, match="no privilege"):
        accounts.set_grants(admin, account, name, ["SUPER"], [name])


def test_rights_by_a_pattern_that_opens_more_are_left_alone(
    admin: Connection, mariadb: MariaDB, new_name: Callable[[], str]
) -> None:
    for pattern in ("wp\\_%", "{name}"):  # unescaped, as people write it
        name = new_name()
        _made(admin, name)
        mariadb.execute(f"GRANT SELECT ON `{pattern.format(name=name)}`.* TO '{name}'@'%'")
        with pytest.raises(AccountProtected):
            accounts.set_grants(admin, Account(name, "%"), name, [], [name, "wp_other"])


def test_every_password_holds_until_one_is_settled(
    admin: Connection, server: Server, new_name: Callable[[], str]
) -> None:
    name = new_name()
    first, account = _made(admin, name), Account(name, "%")
    accounts.add_password(admin, account, second := new_password())
    accounts.add_password(admin, account, third := new_password())  # whoever added the second one was cut off
    assert all(logs_in_as_a_site(server, name, each) for each in (first, second, third))
    accounts.set_password(admin, account, third)
    accounts.add_password(admin, account, fourth := new_password())  # nothing of what was ended comes back
    logged_in = [logs_in_as_a_site(server, name, each) for each in (first, second, third, fourth)]
    assert logged_in == [False, False, True, True]


def test_an_account_that_logs_in_otherwise_gets_the_password_alone(
    admin: Connection, mariadb: MariaDB, server: Server, new_name: Callable[[], str]
) -> None:
    name = new_name()
    mariadb.execute(f"CREATE USER '{name}'@'%' IDENTIFIED VIA unix_socket")
    accounts.add_password(admin, Account(name, "%"), password := new_password())
    server.connect_as(name, password).close()


@pytest.mark.parametrize("asked", ["root@localhost", "homeport_admin", "homeport_admin@%", "homeport_load_x"])
def test_accounts_of_the_server_and_of_homeport_are_not_changed(
    admin: Connection, mariadb: MariaDB, asked: str
) -> None:
    with pytest.raises((AccountProtected, NoSuchAccount)):
        accounts.account_of(admin, asked, set())
    for unknown in ("nobody", "root@%", "' OR 1=1 -- @%", "@"):
        with pytest.raises((NoSuchAccount, AccountProtected)):
            accounts.account_of(admin, unknown, set())


def test_who_is_connected_goes_with_the_account(admin: Connection, server: Server, new_name: Callable[[], str]) -> None:
    name = new_name()
    password = _made(admin, name)
    with server.connect_as(name, password) as site:
        accounts.drop_account(admin, Account(name, "%"))
        with pytest.raises((ServerUnavailable, ServerRefused)):
            fetch(site, "SELECT 1")
    accounts.drop_account(admin, Account(name, "%"))  # again: nothing to do
    accounts.drop_database(admin, name)
    accounts.drop_database(admin, name)
