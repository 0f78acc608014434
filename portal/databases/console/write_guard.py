"""What write mode lets through: one INSERT, REPLACE, UPDATE or DELETE on one table, so that it can be measured. Pure.

    wanted = check("UPDATE wp_options SET option_value = 'x' WHERE option_id = 3")
    wanted.table, wanted.condition            # "wp_options", "WHERE option_id = 3"

Narrower than what MariaDB takes: no modifiers (IGNORE, LOW_PRIORITY), no second table beside those of subqueries, no
RETURNING and no ON DUPLICATE KEY UPDATE, since then nobody could say before which rows it touches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlglot import exp

from portal.databases.console import lexer
from portal.databases.console.guard import (
    check_calls,
    check_nodes,
    check_words,
    fingerprint,
    masked_text,
    parsed,
    single,
)
from portal.databases.console.lexer import Lexed, Refused, Token
from portal.databases.console.words import BY_CHANCE, FUNCTIONS

WriteKind = Literal["insert", "replace", "update", "delete"]
_KINDS: dict[str, WriteKind] = {"INSERT": "insert", "REPLACE": "replace", "UPDATE": "update", "DELETE": "delete"}
_MODIFIERS = frozenset({"LOW_PRIORITY", "HIGH_PRIORITY", "DELAYED", "QUICK", "IGNORE", "PARTITION", "ONLY"})
_TAIL = frozenset({"WHERE", "ORDER", "LIMIT"})
_FUNCTIONS = FUNCTIONS - BY_CHANCE


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    database    as written before the table's name; None when it is not
    table       as it was written: to be found in the server's own list
    alias       of the table, "" without one
    condition   WHERE, ORDER BY and LIMIT as they were written; "" without any, and for INSERT and REPLACE
    assigned    columns that an UPDATE sets, in small letters
    """

    kind: WriteKind
    text: str
    database: str | None
    table: str
    alias: str
    condition: str
    assigned: frozenset[str]
    fingerprint: str
    masked: str


def check(statement: str) -> Wanted:
    """Raise Refused."""
    lexed = lexer.read(statement)
    tokens = single(lexed)
    kind = _KINDS.get(tokens[0].upper)
    if kind is None:
        raise Refused("not-a-write", tokens[0].start, "Only INSERT, REPLACE, UPDATE and DELETE are done here.")
    at = 1
    if kind != "update":
        word = "FROM" if kind == "delete" else "INTO"
        if len(tokens) < 2 or tokens[1].upper != word:
            raise Refused("form", tokens[0].start, f"Write {tokens[0].upper} {word} and the table, without modifiers.")
        at = 2
    database, table, name_at, at = _table(tokens, at)
    alias, at = _alias(tokens, at) if kind == "update" else ("", at)
    rest = tokens[at:]
    for token in rest:
        if token.upper in ("RETURNING", "DUPLICATE"):
            raise Refused("form", token.start, f"{token.upper} is not allowed in a write that is to be measured.")
    if kind == "delete" and rest and rest[0].upper not in _TAIL:
        raise Refused("form", rest[0].start, "After the table comes WHERE, ORDER BY or LIMIT.")
    if kind in ("insert", "replace") and (not rest or rest[0].upper not in ("(", "VALUES", "VALUE", "SET", "SELECT")):
        raise Refused("form", tokens[-1].start, "After the table come its columns, VALUES, SET or SELECT.")
    check_words(rest)
    check_calls(tokens, functions=_FUNCTIONS, but=name_at)
    instead = ("REPLACE", "INSERT") if kind == "replace" else None  # the parser knows no REPLACE
    tree = parsed(lexed, tokens, instead=instead)
    if not isinstance(tree, {"update": exp.Update, "delete": exp.Delete}.get(kind, exp.Insert)):
        raise Refused("not-understood", tokens[0].start, "This is not understood as SQL.")
    for part in tree.iter_expressions():
        check_nodes(part, tokens[0].start)
    return Wanted(
        kind=kind,
        text=lexed.text[: tokens[-1].end],
        database=database,
        table=table,
        alias=alias,
        condition=_condition(lexed, tokens, at) if kind in ("update", "delete") else "",
        assigned=_assigned(tree),
        fingerprint=fingerprint(tree, masked_text(tokens)),
        masked=masked_text(tokens),
    )


def _table(tokens: tuple[Token, ...], at: int) -> tuple[str | None, str, int, int]:
    """Database, table, the place of the table's name and what comes behind it."""
    names = []
    while at < len(tokens) and tokens[at].kind in ("word", "name") and tokens[at].upper not in _MODIFIERS:
        names.append(tokens[at].value)
        at += 1
        if at >= len(tokens) or tokens[at].upper != "." or len(names) == 2:
            database = names[0] if len(names) == 2 else None
            return database, names[-1], at - 1, at
        at += 1
    where = tokens[at] if at < len(tokens) else tokens[-1]
    raise Refused("form", where.start, "Here stands one table's name, without modifiers.")


def _alias(tokens: tuple[Token, ...], at: int) -> tuple[str, int]:
    """The alias of an UPDATE's table and the place of SET's successor."""
    alias = ""
    if at < len(tokens) and tokens[at].upper == "AS":
        at += 1
    if at < len(tokens) and tokens[at].kind in ("word", "name") and tokens[at].upper != "SET":
        alias, at = tokens[at].value, at + 1
    if at >= len(tokens) or tokens[at].upper != "SET":
        raise Refused("form", tokens[min(at, len(tokens) - 1)].start, "After the table comes SET: one table at a time.")
    return alias, at + 1


def _condition(lexed: Lexed, tokens: tuple[Token, ...], at: int) -> str:
    depth = 0
    for token in tokens[at:]:
        depth += {"(": 1, ")": -1}.get(token.upper, 0)
        if depth == 0 and token.upper in _TAIL:
            return lexed.text[token.start : tokens[-1].end]
    return ""


def _assigned(tree: exp.Expr) -> frozenset[str]:
    if not isinstance(tree, exp.Update):
        return frozenset()
    return frozenset(each.this.name.lower() for each in tree.expressions if isinstance(each, exp.EQ))
