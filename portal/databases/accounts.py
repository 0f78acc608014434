"""Databases and accounts of a server: made, granted, rotated, dropped. Blocks; the connection is the admin's.

Accounts are looked up in the server's own list and called `user@host`. A password goes to the server as its hash, so
that it stands in no log of the server. Privileges are the closed list of `schemas.Privilege`, and hold for one database
each, whose name is escaped: in a grant "_" stands for any character.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from portal.databases.failures import AccountExists, AccountProtected, DatabaseExists, NoSuchAccount, ServerRefused
from portal.databases.schemas import DatabaseAccountView, GrantView, Privilege
from portal.databases.sql import Connection, bound, execute, fetch, identifier, pattern
from portal.databases.structure import MADE_BY

PRIVILEGES = frozenset(get_args(Privilege))
OF_A_SITE: tuple[Privilege, ...] = (
    *("SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "ALTER", "INDEX", "REFERENCES", "LOCK TABLES"),
    *("CREATE TEMPORARY TABLES", "CREATE VIEW", "SHOW VIEW", "TRIGGER"),
)
HOST = "%"  # containers have no fixed address
PASSWORD_BYTES = 24  # 32 characters of [A-Za-z0-9_-]
COLLATION = "utf8mb4_unicode_520_ci"  # what WordPress asks for

_OF_THE_SERVER = frozenset({"", "root", "mysql", "mariadb.sys", "mariadb-backup", "debian-sys-maint", "PUBLIC"})
_OURS = "homeport_"
_EXISTS_DATABASE, _CANNOT_USER, _NO_SUCH_GRANT = 1007, 1396, 1141


@dataclass(frozen=True, slots=True)
class Account:
    user: str
    host: str

    @property
    def name(self) -> str:
        return f"{self.user}@{self.host}"

    @classmethod
    def parse(cls, text: str) -> Account:
        """ "user@host", or a user on any host."""
        user, at, host = text.rpartition("@")
        return cls(user, host) if at else cls(text, HOST)


def new_password() -> str:
    return secrets.token_urlsafe(PASSWORD_BYTES)


def hash_of(password: str) -> str:
    """As mysql_native_password keeps it: PHP's driver knows that one by default."""
    inner = hashlib.sha1(password.encode(), usedforsecurity=False).digest()
    return "*" + hashlib.sha1(inner, usedforsecurity=False).hexdigest().upper()


def is_protected(user: str, ours: Collection[str]) -> bool:
    """Whether it is the server's own account, or one of Homeport's."""
    return user in _OF_THE_SERVER or user.startswith(_OURS) or user in ours


# -- looking ----------------------------------------------------------------------------------------------------------


def accounts(
    connection: Connection, databases: Sequence[str], ours: Collection[str], owners: Mapping[str, str]
) -> list[DatabaseAccountView]:
    """
    databases   of the server, to say which of them a pattern opens
    ours        the portal's accounts on this server
    owners      user -> site
    """
    grants = _grants(connection, databases)
    rows = fetch(
        connection,
        "SELECT user, host, COALESCE(JSON_VALUE(priv, '$.account_locked'), '0') IN ('1', 'true'),"
        " COALESCE(JSON_VALUE(priv, '$.plugin'), ''),"
        " COALESCE(JSON_VALUE(priv, '$.authentication_string'), '') NOT IN ('', 'invalid')"
        " FROM mysql.global_priv WHERE COALESCE(JSON_VALUE(priv, '$.is_role'), '0') NOT IN ('1', 'true')"
        " ORDER BY user, host",
    )
    return [
        DatabaseAccountView(
            name=Account(user, host).name,
            user=user,
            host=host,
            is_locked=bool(is_locked),
            plugin=plugin,
            has_password=bool(has_password),
            is_protected=is_protected(user, ours),
            owner=owners.get(user),
            grants=grants.get(f"'{user}'@'{host}'", []),
        )
        for user, host, is_locked, plugin, has_password in rows
    ]


def account_of(connection: Connection, asked: str, ours: Collection[str]) -> Account:
    """An account that may be changed here. Raise NoSuchAccount, AccountProtected."""
    wanted = Account.parse(asked)
    if not _exists(connection, wanted):
        raise NoSuchAccount(f"the server has no account {asked[:100]!r}")
    if is_protected(wanted.user, ours):
        raise AccountProtected(f"{wanted.name} is the server's own or Homeport's")
    return wanted


def _exists(connection: Connection, account: Account) -> bool:
    rows = fetch(connection, "SELECT user, host FROM mysql.global_priv WHERE user = %s", [account.user])
    return (account.user, account.host) in {(user, host) for user, host in rows}


def _grants(connection: Connection, databases: Sequence[str]) -> dict[str, list[GrantView]]:
    """Grantee, as information_schema writes it -> what it may do."""
    found: dict[tuple[str, str], GrantView] = {}
    for grantee, schema, privilege, is_grantable in fetch(
        connection,
        "SELECT grantee, '*', privilege_type, is_grantable FROM information_schema.user_privileges"
        " WHERE privilege_type <> 'USAGE' UNION ALL"
        " SELECT grantee, table_schema, privilege_type, is_grantable FROM information_schema.schema_privileges"
        " WHERE privilege_type <> 'USAGE'",
    ):
        grant = found.setdefault(
            (grantee, schema),
            GrantView(database=schema, matches=_matches(schema, databases), privileges=[], is_grantable=False),
        )
        grant.privileges.append(privilege)
        grant.is_grantable |= is_grantable == "YES"
    by_grantee: dict[str, list[GrantView]] = defaultdict(list)
    for (grantee, _), grant in sorted(found.items(), key=lambda each: each[0]):
        grant.privileges.sort()
        by_grantee[grantee].append(grant)
    return by_grantee


def _matches(schema: str, databases: Sequence[str]) -> list[str]:
    if schema == "*":
        return list(databases)
    parts = (
        re.escape(match["literal"] or match["other"]) if match["wild"] is None else {"_": ".", "%": ".*"}[match["wild"]]
        for match in re.finditer(r"\\(?P<literal>[_%\\])|(?P<wild>[_%])|(?P<other>.)", schema, re.DOTALL)
    )
    expression = re.compile("".join(parts), re.DOTALL)
    return [name for name in databases if expression.fullmatch(name)]


# -- making -----------------------------------------------------------------------------------------------------------


def create_database(connection: Connection, database: str, made_by: str) -> None:
    """Make an empty database that says in its comment which operation made it. Raise DatabaseExists."""
    statement = f"CREATE DATABASE {bound(database)} CHARACTER SET utf8mb4 COLLATE {COLLATION} COMMENT %s"
    try:
        execute(connection, statement, [MADE_BY + made_by])
    except ServerRefused as error:
        if error.extensions.get("code") == _EXISTS_DATABASE:
            raise DatabaseExists(f"there is a database {database} already") from error
        raise


def create_account(connection: Connection, account: Account, password: str) -> None:
    """Make an account that may do nothing yet. Raise AccountExists."""
    try:
        execute(
            connection,
            "CREATE USER %s@%s IDENTIFIED BY PASSWORD %s",
            [account.user, account.host, hash_of(password)],
        )
    except ServerRefused as error:
        if error.extensions.get("code") == _CANNOT_USER and _exists(connection, account):
            raise AccountExists(f"there is an account {account.name} already") from error
        raise


def require_free(connection: Connection, database: str, account: Account) -> None:
    """Raise DatabaseExists, AccountExists, AccountProtected for names that can't be made anew."""
    if fetch(connection, "SELECT 1 FROM information_schema.schemata WHERE schema_name = %s", [database]):
        raise DatabaseExists(f"there is a database {database} already")
    rows = fetch(connection, "SELECT host FROM mysql.global_priv WHERE user = %s", [account.user])
    if rows:
        raise AccountExists(f"there is an account {account.user}@{rows[0][0]} already")


def grant(connection: Connection, account: Account, database: str, privileges: Collection[str]) -> None:
    """Let an account do these things in a database, beside what it may."""
    named = _named(privileges)
    if named:
        execute(connection, f"GRANT {named} ON {pattern(database)}.* TO %s@%s", [account.user, account.host])


def set_grants(
    connection: Connection, account: Account, database: str, privileges: Collection[str], databases: Sequence[str]
) -> list[str]:
    """Let an account do exactly these things in a database; return what it might do before.

    New rights are given before old ones are taken, so that a kill in between leaves it with more than it should have
    had for a while, never with none. Raise AccountProtected when a wider pattern gives the rights.
    """
    present = [
        each
        for each in _grants(connection, databases).get(f"'{account.user}'@'{account.host}'", [])
        if database in each.matches
    ]
    if foreign := [each.database for each in present if bound(each.database) != pattern(database)]:
        raise AccountProtected(
            f"{account.name} has rights here by the pattern {foreign[0]!r}, which opens more than this database: change"
            " it on the server"
        )
    before = sorted({privilege for each in present for privilege in each.privileges})
    grant(connection, account, database, privileges)
    if named := _named((set(before) & PRIVILEGES) - set(privileges)):
        execute(connection, f"REVOKE {named} ON {pattern(database)}.* FROM %s@%s", [account.user, account.host])
    return before


def add_password(connection: Connection, account: Account, password: str) -> None:
    """Let an account log in by another password too, beside every one that holds; `set_password` ends the others.

    So whoever works with it is never without one that holds, also when we are killed before they were told, or don't
    know whether they took it. Of an account with another kind of login than passwords nothing is kept.
    """
    hashes = [*_native_hashes(connection, account), hash_of(password)]
    each = " OR ".join(["mysql_native_password USING %s"] * len(hashes))
    execute(connection, f"ALTER USER %s@%s IDENTIFIED VIA {each}", [account.user, account.host, *hashes])


def set_password(connection: Connection, account: Account, password: str) -> None:
    """Give an account this password alone. Who is connected stays so."""
    execute(
        connection,
        "ALTER USER %s@%s IDENTIFIED BY PASSWORD %s",
        [account.user, account.host, hash_of(password)],
    )


def _native_hashes(connection: Connection, account: Account) -> list[str]:
    """Of the passwords that hold now; empty when another kind of login is among them."""
    rows = fetch(
        connection,
        "SELECT priv FROM mysql.global_priv WHERE user = %s AND host = %s",
        [account.user, account.host],
    )
    document = json.loads(rows[0][0]) if rows else {}
    logins = [each or document for each in document.get("auth_or") or [{}]]  # an empty one stands for the document's
    if any(each.get("plugin") != "mysql_native_password" or not each.get("authentication_string") for each in logins):
        return []
    return list(dict.fromkeys(str(each["authentication_string"]) for each in logins))


# -- removing ---------------------------------------------------------------------------------------------------------


def drop_database(connection: Connection, database: str) -> None:
    execute(connection, f"DROP DATABASE IF EXISTS {identifier(database)}")


def drop_account(connection: Connection, account: Account) -> None:
    """Remove an account and end its connections, which its removal alone would leave open."""
    if not _exists(connection, account):
        return
    execute(connection, "DROP USER %s@%s", [account.user, account.host])
    execute(connection, "KILL HARD CONNECTION USER %s@%s", [account.user, account.host])


def _named(privileges: Collection[str]) -> str:
    """A list for GRANT. Raise ValueError for what isn't on the closed list."""
    if strange := set(privileges) - PRIVILEGES:
        raise ValueError(f"no privilege of this room: {sorted(strange)}")
    return ", ".join(sorted(privileges))
