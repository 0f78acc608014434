"""Whether an account has no more rights than its task: what SHOW GRANTS says, against an allow-list.

    excess(lines, CONSOLE) -> ["DELETE on `wp_blog`.*"]      # empty: the account is as it must be

The grants are what holds when everything above them fails, so a line that is not understood counts as too much: a role,
a proxy, a default role, a form that a newer server may have. Only words of privileges and names are quoted, never the
line, which may hold a password's hash.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import pymysql  # type: ignore[import-untyped]
from pymysql.constants import ER  # type: ignore[import-untyped]

from portal.databases.sql import OWN, Connection, problem_of

CONSOLE = frozenset({"USAGE", "SELECT", "SHOW VIEW"})
WRITE = CONSOLE | {"INSERT", "UPDATE", "DELETE"}

_QUOTED = r"`(?:[^`]|``)*`"
_GRANT = re.compile(
    rf"GRANT (?P<privileges>[A-Z][A-Z ,]*(?:\((?:{_QUOTED}|[, ])+\)[A-Z ,]*)*) ON (?:TABLE )?"
    rf"(?P<database>\*|{_QUOTED})\.(?P<table>\*|{_QUOTED}) TO (?P<rest>.*)",
    re.DOTALL,
)
_QUOTES = re.compile(r"`(?:[^`]|``)*`|'(?:[^'\\]|\\.|'')*'")
_NO_SUCH_GRANT = frozenset({ER.NONEXISTING_GRANT, ER.PARSE_ERROR, 1959})  # 1959: invalid role specification


def excess(lines: Iterable[str], allowed: frozenset[str]) -> list[str]:
    """What goes further than `allowed` on single databases; sorted, empty when nothing does."""
    return sorted({found for line in lines for found in _excess(line, allowed)})


def excess_of(connection: Connection, allowed: frozenset[str]) -> list[str]:
    """As `excess`, of the account that is connected and of everybody (PUBLIC). Raise the room's problems."""
    return excess([*_granted(connection, "CURRENT_USER()"), *_granted(connection, "PUBLIC", may_be_none=True)], allowed)


def _granted(connection: Connection, whom: str, *, may_be_none: bool = False) -> list[str]:
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SHOW GRANTS FOR {whom}")
            return [str(row[0]) for row in cursor.fetchall()]
    except pymysql.MySQLError as error:
        if may_be_none and error.args and error.args[0] in _NO_SUCH_GRANT:
            return []  # nothing was ever granted to everybody, or the server knows no such thing
        raise problem_of(error) from error


def _excess(line: str, allowed: frozenset[str]) -> Iterator[str]:
    match = _GRANT.fullmatch(line.strip())
    if match is None:
        yield "a role, a proxy or another right that is not known here"
        return
    database, where = match["database"], f"{match['database']}.{match['table']}"
    privileges = [each.strip() for each in re.sub(r"\([^)]*\)", "", match["privileges"]).split(",")]
    if "GRANT OPTION" in _QUOTES.sub("", match["rest"]):
        yield f"GRANT OPTION on {where}"
    for privilege in privileges:
        if privilege not in allowed or (database == "*" and privilege != "USAGE"):
            yield f"{privilege} on {where}"
        elif database != "*" and (own := sorted(name for name in OWN if _covers(database, name))):
            yield f"{privilege} on {where}, which covers {', '.join(own)}"


def _covers(quoted: str, database: str) -> bool:
    """Whether a database's name in GRANT, where _ and % stand for others unless escaped, means this one too."""
    name, pattern, at = quoted[1:-1].replace("``", "`"), "", 0
    while at < len(name):
        if name[at] == "\\" and at + 1 < len(name):
            at += 1
            pattern += re.escape(name[at])
        else:
            pattern += {"%": ".*", "_": "."}.get(name[at], re.escape(name[at]))
        at += 1
    return re.fullmatch(pattern, database, re.IGNORECASE) is not None
