"""The mail server's database: reached, brought up to date, and opened to the daemons' accounts.

    migrate:  wait for the server -> one at a time (GET_LOCK) -> revisions -> grants

Every step can be repeated, so whatever is killed or fails half-way is simply run again. Grants are given anew each
time: an account that was dropped and made again has lost them.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from kit.logging import get_logger
from portal.db import Database
from portal.mailboxes.settings import MailboxesSettings

log = get_logger()

MIGRATIONS = Path(__file__).parent / "migrations"
GRANTS = {"dovecot": ("dovecot_users", "dovecot_addresses"), "postfix": ("postfix_senders",)}
LOCK = "homeport.mailboxes.migrate"
RETRY_S = 0.5
LOCK_TRY_S = 5  # at a time: well below what the driver waits for an answer

_NOT_YET = frozenset({1040, 1053, 2002, 2003, 2005, 2006, 2013})  # too many connections, shutting down, no connection
_NO_SUCH_ACCOUNT = frozenset({1133, 1410})
_REFUSALS = {
    1044: "the account has no rights on the database; mail-db's accounts are made at its start",
    1045: "the server refuses the account: its password is another one than the server was started with",
    1049: "the server has no such database",
    1130: "the server has no such account",
    1142: "the account lacks a right on the schema; it needs ALL on the database WITH GRANT OPTION",
}


class SchemaError(Exception):
    """The schema cannot be brought up to date, or is not the one this version was written for. The text says why."""


class MailDatabase(Database):
    """As the portal's own, on another server, with its own revisions."""

    def __init__(self, settings: MailboxesSettings) -> None:
        super().__init__(settings.url.render_as_string(hide_password=False))
        self._name = settings.url.database

    def is_current(self) -> bool:
        """Whether the schema is the one this version was written for. Raise SchemaError if it cannot be seen."""
        from alembic.runtime.migration import MigrationContext

        try:
            with self._engine.connect() as connection:
                return set(MigrationContext.configure(connection).get_current_heads()) == set(_scripts().get_heads())
        except DBAPIError as error:
            raise _explained(error) from error

    def migrate(self, revision: str = "head", *, wait_s: float = 0.0) -> None:
        """Bring schema and grants up to date.

        wait_s   how long a server that does not answer yet, and another migration that is at work, are waited for
        raises   SchemaError
        """
        give_up = time.monotonic() + wait_s
        try:
            self._wait(give_up)
            with self._engine.begin() as connection:
                _take_turn(connection, give_up)
                before = _revision(connection)
                _upgrade(connection, revision)
                self._grant(connection)
                log.info("schema_migrated", database="mail", before=before, after=_revision(connection))
        except DBAPIError as error:
            raise _explained(error) from error
        finally:
            self._engine.dispose()  # ends the session, and with it the lock

    def _wait(self, give_up: float) -> None:
        is_said = False
        while True:
            try:
                with self._engine.connect():
                    return
            except DBAPIError as error:
                if _code(error) not in _NOT_YET or time.monotonic() >= give_up:
                    raise
                if not is_said:
                    log.warning("database_awaited", error=str(error.orig))
                is_said = True
                time.sleep(RETRY_S)

    def _grant(self, connection: Connection) -> None:
        quoted = connection.dialect.identifier_preparer.quote_identifier
        for account, views in GRANTS.items():
            for view in views:
                try:
                    connection.execute(text(f"GRANT SELECT ON {quoted(str(self._name))}.{view} TO '{account}'@'%'"))
                except DBAPIError as error:
                    if _code(error) in _NO_SUCH_ACCOUNT:
                        raise SchemaError(
                            f"the server has no account '{account}'@'%'; mail-db makes it at its start from its secret"
                        ) from error
                    raise


def _take_turn(connection: Connection, give_up: float) -> None:
    while not connection.scalar(text("SELECT GET_LOCK(:lock, :wait)"), {"lock": LOCK, "wait": LOCK_TRY_S}):
        if time.monotonic() >= give_up:
            raise SchemaError("another migration is at work; run it again when that one has ended")


def _upgrade(connection: Connection, revision: str) -> None:
    from alembic import command
    from alembic.util import CommandError

    config = _alembic_config()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, revision)
    except CommandError as error:
        raise SchemaError(f"the schema is of another version of Homeport: {error}") from error


def _revision(connection: Connection) -> str | None:
    from alembic.runtime.migration import MigrationContext

    return MigrationContext.configure(connection).get_current_revision()


def _scripts() -> Any:
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(_alembic_config())


def _alembic_config() -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def _explained(error: DBAPIError) -> SchemaError:
    """What the server said (never the statement, nor a value) and what it means."""
    code, said = _code(error), str(error.orig)
    if code in _NOT_YET:
        return SchemaError(f"the database server does not answer: {said}")
    meaning = _REFUSALS.get(code) if code is not None else None
    return SchemaError(f"{meaning}: {said}" if meaning else said)


def _code(error: DBAPIError) -> int | None:
    arguments = getattr(error.orig, "args", ())
    return arguments[0] if arguments and isinstance(arguments[0], int) else None
