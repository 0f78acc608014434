"""What the tests of sources share: a stage to copy into, and an account on a real server that may dump."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backup.settings import Server
from backup.stage import Stage
from tests.backup.sources.staging import Notes
from tests.services.mariadb import MariaDB

DUMP_RIGHTS = "SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage(tmp_path / "stage") as made:
        yield made


@pytest.fixture
def journal() -> Notes:
    return Notes()


@pytest.fixture(scope="session")
def dump_account(mariadb: MariaDB, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """The shared server, as an account with the rights that a dump needs and a password that is hard to quote."""
    return account(mariadb, tmp_path_factory.mktemp("account"), DUMP_RIGHTS + ", CREATE, DROP, INSERT, ALTER")


@pytest.fixture
def server_of(dump_account: Server) -> Callable[..., Server]:
    """Give the account's server with these databases only."""
    return lambda *databases, **more: dump_account.model_copy(update={"databases": list(databases), **more})


@pytest.fixture
def new_name() -> Callable[[], str]:
    return lambda: f"b{secrets.token_hex(6)}"


def account(mariadb: MariaDB, directory: Path, rights: str, on: str = "*.*") -> Server:
    name, password = f"a{secrets.token_hex(4)}", f"p\"a\\s's#w;o =rd-{secrets.token_hex(8)}"
    quoted = password.replace("\\", "\\\\").replace("'", "''")
    mariadb.execute(
        *(f"CREATE USER {name}@{host} IDENTIFIED BY '{quoted}'" for host in ("localhost", "'127.0.0.1'")),
        *(f"GRANT {rights} ON {on} TO {name}@{host}" for host in ("localhost", "'127.0.0.1'")),
    )
    file = directory / name
    file.write_text(password + "\n")
    return Server(name="main", socket=mariadb.unix_socket, user=name, password_file=file)
