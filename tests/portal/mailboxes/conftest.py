"""A mail server's database on a real MariaDB: its accounts as mail-db makes them, and `homeport mailboxes` on it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pymysql  # type: ignore[import-untyped]
import pytest

from portal.mailboxes.database import MailDatabase
from portal.mailboxes.settings import MailboxesSettings
from tests.portal.conftest import Ended
from tests.services.mariadb import MariaDB

PASSWORDS = {name: f"canary-{name}-5f3a" for name in ("mail_owner", "dovecot", "postfix")}
LOGIN = "canary: nine Quiet herons"  # a mailbox's password


@dataclass
class MailDb:
    server: MariaDB
    run_cli: Callable[..., Ended]

    @property
    def environment(self) -> dict[str, str]:
        return {
            "HOMEPORT_MAILBOXES_DATABASE_URL": f"mysql+pymysql://mail_owner@127.0.0.1:{self.server.port}/mail",
            "HOMEPORT_MAILBOXES_DATABASE_PASSWORD": PASSWORDS["mail_owner"],
        }

    @property
    def settings(self) -> MailboxesSettings:
        return MailboxesSettings.load(self.environment)

    def run(self, *arguments: str, stdin: str = "", **environment: str) -> Ended:
        """`homeport mailboxes ...`; whatever it prints, no secret is in it."""
        ended = self.run_cli("mailboxes", *arguments, stdin=stdin, environment=self.environment | environment)
        assert "canary" not in ended.out + ended.err
        return ended

    def done(self, *arguments: str, stdin: str = "") -> Ended:
        ended = self.run(*arguments, stdin=stdin)
        assert ended.code == 0, ended.err
        return ended

    def refused(self, *arguments: str, stdin: str = "") -> str:
        ended = self.run(*arguments, stdin=stdin)
        assert (ended.code, ended.out) == (1, "")
        return ended.error.removeprefix("homeport: error: ")

    def ask(self, account: str, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """What a daemon's account reads."""
        with (
            pymysql.connect(
                host="127.0.0.1",
                port=self.server.port,
                user=account,
                password=PASSWORDS[account],
                database="mail",
                charset="utf8mb4",
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement, values)
            return list(cursor.fetchall())

    def view(self, account: str, view: str) -> set[tuple[Any, ...]]:
        return set(self.ask(account, f"SELECT * FROM {view}"))


def make_accounts(server: MariaDB, *names: str) -> None:
    for name in names:
        server.execute(f"CREATE OR REPLACE USER {name}@'%' IDENTIFIED BY '{PASSWORDS[name]}'")


@pytest.fixture
def empty(mariadb: MariaDB, run_cli: Callable[..., Ended]) -> Iterator[MailDb]:
    """Database and accounts, and nothing in it."""
    make_accounts(mariadb, *PASSWORDS)
    mariadb.execute(
        "CREATE OR REPLACE DATABASE mail CHARACTER SET utf8mb4",
        "GRANT ALL ON mail.* TO mail_owner@'%' WITH GRANT OPTION",
    )
    yield MailDb(mariadb, run_cli)
    mariadb.execute("DROP DATABASE mail", *(f"DROP USER IF EXISTS {name}@'%'" for name in PASSWORDS))


@pytest.fixture
def mail(empty: MailDb) -> MailDb:
    """With its schema, and the domain example.org."""
    database = MailDatabase(empty.settings)
    database.migrate()
    database.close()
    empty.done("domain", "add", "example.org")
    return empty


def documents(ended: Ended) -> Any:
    return json.loads(ended.out)
