"""What the databases room's tests stand on: a real server with the stack's accounts, and databases of a test's own."""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from portal.databases.servers import Server, Servers
from portal.databases.sql import Connection
from tests.services.mariadb import MariaDB


@pytest.fixture
def servers_file(mariadb: MariaDB, tmp_path: Path) -> Path:
    return mariadb.servers_file(tmp_path)


@pytest.fixture
def servers(servers_file: Path) -> Servers:
    return Servers.load(servers_file)


@pytest.fixture
def server(servers: Servers) -> Server:
    return servers["blog"]


@pytest.fixture
def new_name(mariadb: MariaDB) -> Iterator[Callable[[], str]]:
    """Names of databases and accounts that no other test has; what is called so is removed at the end."""
    made: list[str] = []

    def new() -> str:
        made.append(f"wp_t{secrets.token_hex(5)}")
        return made[-1]

    yield new
    for name in made:
        mariadb.execute(f"DROP DATABASE IF EXISTS `{name}`", f"DROP USER IF EXISTS '{name}'@'%'")


@pytest.fixture
def new_database(mariadb: MariaDB, new_name: Callable[[], str]) -> Callable[..., str]:
    """Make a database by these statements, run in it as root; return its name."""

    def new(*statements: str) -> str:
        name = new_name()
        mariadb.execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4", f"USE `{name}`", *statements)
        return name

    return new


@pytest.fixture
def admin(server: Server) -> Iterator[Connection]:
    connection = server.connect("admin")
    yield connection
    connection.close()


_LOG_IN = """
[$host, $port, $user, $password] = json_decode(file_get_contents('php://stdin'));
try { new mysqli($host, $user, $password, null, $port); } catch (mysqli_sql_exception $e) { exit(3); }
"""


def logs_in_as_a_site(server: Server, user: str, password: str) -> bool:
    """Whether PHP's driver gets in, as a site does: pymysql gives up at an account's third password."""
    asked = json.dumps([server.host, server.port, user, password]).encode()
    ended = subprocess.run(["php", "-r", _LOG_IN], input=asked, capture_output=True, timeout=30, check=False)
    assert ended.returncode in (0, 3), ended.stderr
    return ended.returncode == 0
