"""What the console lets through: one reading statement, understood by a lexer and a parser. Pure.

    allowed = check("SELECT * FROM wp_posts")       # Allowed, or raises lexer.Refused(rule, position, why)

The guard is one layer, and the account's grants are the one that holds (grants.py): it is here so that a mistake is
told before it is made, and for what a reading account may still do, such as wait, lock or list grants. What is sent is
`Allowed.text`: the statement as it was typed with its comments blanked, so that the server reads what was checked.

Source of the rules: security.md, 3.7.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel, SqlglotError

from portal.databases.console import lexer
from portal.databases.console.lexer import Lexed, Refused, Token
from portal.databases.console.words import BEFORE_PAREN, FUNCTIONS

MASKED_CHARACTERS = 500  # of a statement in the audit
logging.getLogger("sqlglot").setLevel(logging.ERROR)  # it warns of what it does not know, which is refused anyway


@dataclass(frozen=True, slots=True)
class Allowed:
    """
    text          what is sent to the server
    fingerprint   SHA-256 of the statement without its values: the same for the same question about another row
    masked        the statement without its values, for the audit
    """

    kind: Literal["select", "show", "describe", "explain"]
    text: str
    fingerprint: str
    masked: str


def check(statement: str) -> Allowed:
    """Raise Refused for everything that is not one SELECT, SHOW, DESCRIBE or EXPLAIN of a SELECT, or not harmless."""
    lexed = lexer.read(statement)
    tokens = single(lexed)
    first = tokens[0].upper
    if first == "SHOW":
        _check_shape(tokens, _SHOW, "show", "This form of SHOW is not allowed.")
        return _allowed("show", lexed, tokens, None)
    if first in ("DESCRIBE", "DESC", "EXPLAIN"):
        if _DESCRIBE.fullmatch(_shape(tokens)):
            return _allowed("describe", lexed, tokens, None)
        skipped = _explained(tokens)
        tree = check_query(lexed, tokens[skipped:])
        return _allowed("explain", lexed, tokens, tree)
    return _allowed("select", lexed, tokens, check_query(lexed, tokens))


def single(lexed: Lexed) -> tuple[Token, ...]:
    """The tokens of the one statement, without a closing semicolon. Raise Refused."""
    tokens = lexed.tokens
    for index, token in enumerate(tokens):
        if token.upper == ";":
            if index + 1 < len(tokens):
                raise Refused("several-statements", token.start, "Only one statement at a time.")
            tokens = tokens[:-1]
    if not tokens:
        raise Refused("empty", 0, "There is no statement.")
    return tokens


def check_query(lexed: Lexed, tokens: tuple[Token, ...]) -> exp.Expr:
    """One SELECT, with UNION, WITH and parentheses; return its tree. Raise Refused."""
    if tokens[0].upper not in ("SELECT", "WITH", "("):
        raise Refused("not-a-query", tokens[0].start, "Only SELECT, SHOW, DESCRIBE and EXPLAIN are allowed here.")
    check_words(tokens)
    check_calls(tokens)
    tree = parsed(lexed, tokens)
    root = tree
    while isinstance(root, exp.Subquery):
        root = root.this
    if not isinstance(root, exp.Select | exp.SetOperation):
        raise Refused("not-a-query", tokens[0].start, "Only SELECT, SHOW, DESCRIBE and EXPLAIN are allowed here.")
    check_nodes(tree, tokens[0].start)
    return tree


def check_words(tokens: tuple[Token, ...]) -> None:
    """Raise Refused for words that write, lock or count up, wherever they stand outside of quotes."""
    for token, following in _pairs(tokens):
        if token.upper in _REFUSED_WORDS:
            raise Refused(_REFUSED_WORDS[token.upper], token.start, f"{token.upper} is not allowed.")
        if (token.upper, following) in _REFUSED_PAIRS:
            rule = _REFUSED_PAIRS[token.upper, following]
            raise Refused(rule, token.start, f"{token.upper} {following} is not allowed.")


def check_calls(tokens: tuple[Token, ...], *, functions: frozenset[str] = FUNCTIONS, but: int = -1) -> None:
    """Raise Refused for a call of a function that is not known as harmless.

    but   the place of a name that a list of columns follows: INSERT INTO here (a, b)
    """
    for index, token in enumerate(tokens[:-1]):
        if tokens[index + 1].upper != "(" or token.kind not in ("word", "name") or index == but:
            continue
        is_qualified = index > 0 and tokens[index - 1].upper == "."
        if not is_qualified and token.kind == "word" and token.upper in functions | BEFORE_PAREN:
            continue
        if not is_qualified and token.value.upper() not in functions and _is_common_table(tokens, index):
            continue
        raise Refused("function", token.start, f"The function {token.value!r} is not one of those that are allowed.")


def check_nodes(tree: exp.Expr, start: int) -> None:
    """Raise Refused when anything in the tree is more than reading."""
    for node in tree.walk():
        if isinstance(node, _REFUSED_NODES):
            raise Refused("not-a-query", start, f"{type(node).__name__} has no place in a query.")


def parsed(lexed: Lexed, tokens: tuple[Token, ...], *, instead: tuple[str, str] | None = None) -> exp.Expr:
    """The tree of these tokens. What the parser does not understand is refused.

    instead   of the first word, for the parser alone: (REPLACE, INSERT), of the same length or shorter
    """
    start, end = tokens[0].start, tokens[-1].end
    text = lexed.masked[start:end]
    if instead is not None:
        text = instead[1].ljust(len(instead[0])) + text[len(instead[0]) :]
    try:
        trees = sqlglot.parse(text, read="mysql", error_level=ErrorLevel.IMMEDIATE)
    except SqlglotError as error:
        raise Refused("not-understood", start + _place(text, error), "This is not understood as SQL.") from error
    except RecursionError as error:
        raise Refused("too-deep", start, "The statement is nested too deeply.") from error
    if len(trees) != 1 or not isinstance(trees[0], exp.Expr):
        raise Refused("several-statements", start, "Only one statement at a time.")
    return trees[0]


def fingerprint(tree: exp.Expr | None, masked: str) -> str:
    """SHA-256, lower-case hex."""
    text = masked
    if tree is not None:
        with contextlib.suppress(SqlglotError, RecursionError, ValueError, TypeError):  # then the tokens' form
            text = tree.transform(_without_value).sql("mysql", normalize_functions="upper", comments=False)
    return hashlib.sha256(text.encode()).hexdigest()


def masked_text(tokens: tuple[Token, ...], *, characters: int = MASKED_CHARACTERS) -> str:
    """The statement in one line, each value as a question mark."""
    parts = ["?" if token.kind in ("string", "number") else _written(token) for token in tokens]
    text = re.sub(r"\?(?: , \?)+", "?", " ".join(parts))
    return text if len(text) <= characters else text[: characters - 1] + "…"


def masked_roughly(statement: str) -> str:
    """As `masked_text` for what the lexer does not read: its first word, and how long it is."""
    try:
        return masked_text(lexer.read(statement).tokens)
    except Refused:
        word = re.match(r"\s*([A-Za-z]{1,20})", statement)
        return f"{word[1].upper() if word else '?'} ... ({len(statement)} characters)"


def _allowed(
    kind: Literal["select", "show", "describe", "explain"],
    lexed: Lexed,
    tokens: tuple[Token, ...],
    tree: exp.Expr | None,
) -> Allowed:
    masked = masked_text(tokens)
    return Allowed(kind, lexed.text[: tokens[-1].end], fingerprint(tree, masked), masked)


def _pairs(tokens: tuple[Token, ...]) -> Iterator[tuple[Token, str]]:
    for index, token in enumerate(tokens):
        yield token, tokens[index + 1].upper if index + 1 < len(tokens) else ""


def _is_common_table(tokens: tuple[Token, ...], index: int) -> bool:
    """Whether this is `name(a, b) AS (`, behind WITH, RECURSIVE or a comma."""
    if index == 0 or tokens[index - 1].upper not in ("WITH", "RECURSIVE", ","):
        return False
    at = index + 2
    while at < len(tokens) and (tokens[at].kind in ("word", "name") or tokens[at].upper == ","):
        at += 1
    return [each.upper for each in tokens[at : at + 3]] == [")", "AS", "("]


def _shape(tokens: tuple[Token, ...]) -> str:
    """The statement as keywords, `i` for a name and `s` for a string, with spaces between."""
    parts = []
    for token in tokens:
        if token.kind == "string":
            parts.append("s")
        elif token.upper in _SHAPE_WORDS or token.kind == "symbol":
            parts.append(token.upper)
        elif token.kind in ("word", "name"):
            parts.append("i")
        else:
            parts.append("?")
    return " ".join(parts)


def _check_shape(tokens: tuple[Token, ...], shapes: re.Pattern[str], rule: str, why: str) -> None:
    if not shapes.fullmatch(_shape(tokens)):
        raise Refused(rule, tokens[0].start, why)


def _explained(tokens: tuple[Token, ...]) -> int:
    """How many tokens stand before the explained query. Raise Refused."""
    found = _EXPLAIN.match(_shape(tokens))
    if found is None or found[0].count(" ") + 1 >= len(tokens):
        raise Refused("explain", tokens[0].start, "Only a SELECT is explained, and only a table described.")
    return str(found[0]).count(" ") + 1


def _place(text: str, error: SqlglotError) -> int:
    """Where the parser stumbled, in characters from 0; 0 when it does not say."""
    details: list[dict[str, Any]] = getattr(error, "errors", None) or [{}]
    line, column = details[0].get("line"), details[0].get("col")
    if not line or not column:
        return 0
    lines = text.split("\n")
    before = sum(len(each) + 1 for each in lines[: line - 1])
    return min(before + max(0, int(column) - len(details[0].get("highlight") or "x")), len(text))


def _without_value(node: exp.Expr) -> exp.Expr:
    return exp.Placeholder() if isinstance(node, exp.Literal | exp.HexString | exp.BitString) else node


def _written(token: Token) -> str:
    return f"`{token.value}`" if token.kind == "name" else token.value


_REFUSED_WORDS = {
    "INTO": "into",
    "OUTFILE": "into",
    "DUMPFILE": "into",
    "PROCEDURE": "procedure",
    "SQL_CALC_FOUND_ROWS": "counting",
}
_REFUSED_PAIRS = {
    ("FOR", "UPDATE"): "lock",
    ("FOR", "SHARE"): "lock",
    ("LOCK", "IN"): "lock",
    ("SKIP", "LOCKED"): "lock",
    ("NEXT", "VALUE"): "sequence",
    ("PREVIOUS", "VALUE"): "sequence",
    ("ROWS", "EXAMINED"): "not-understood",
}
_REFUSED_NODES = (
    *(exp.DDL, exp.DML, exp.Command, exp.Into, exp.Lock, exp.Hint, exp.Set, exp.SetItem, exp.Use, exp.Kill, exp.Show),
    *(exp.Describe, exp.Drop, exp.Alter, exp.Merge, exp.Transaction, exp.Commit, exp.Rollback, exp.LoadData, exp.Grant),
    *(exp.Analyze, exp.Pragma, exp.Execute, exp.PropertyEQ, exp.Returning),
)  # fmt: skip

_SHAPE_WORDS = frozenset(
    (
        *("SHOW", "DATABASES", "SCHEMAS", "TABLES", "TABLE", "STATUS", "COLUMNS", "FIELDS", "INDEX", "INDEXES", "KEYS"),
        *("CREATE", "VIEW", "GLOBAL", "SESSION", "VARIABLES", "ENGINES", "COLLATION", "CHARACTER", "SET", "CHARSET"),
        *("FULL", "FROM", "IN", "LIKE", "DESCRIBE", "DESC", "EXPLAIN", "EXTENDED", "PARTITIONS", "FORMAT", "JSON"),
        *("TRADITIONAL", "SELECT", "WITH", "WHERE", "FOR"),
    )
)
_FROM, _LIKE, _TABLE = "(?: (?:FROM|IN) i)?", "(?: LIKE s)?", "i(?: \\. i)?"
_SHOW = re.compile(
    "SHOW (?:"
    f"(?:DATABASES|SCHEMAS){_LIKE}|(?:FULL )?TABLES{_FROM}{_LIKE}|TABLE STATUS{_FROM}{_LIKE}"
    f"|(?:FULL )?(?:COLUMNS|FIELDS) (?:FROM|IN) {_TABLE}{_FROM}{_LIKE}"
    f"|(?:INDEX|INDEXES|KEYS) (?:FROM|IN) {_TABLE}{_FROM}|CREATE (?:TABLE|VIEW) {_TABLE}"
    f"|(?:GLOBAL |SESSION )?(?:STATUS|VARIABLES){_LIKE}|ENGINES|COLLATION{_LIKE}|CHARACTER SET{_LIKE}|CHARSET{_LIKE}"
    ")"
)
_DESCRIBE = re.compile(f"(?:DESCRIBE|DESC|EXPLAIN) {_TABLE}(?: i| s)?")
_EXPLAIN = re.compile(
    r"(?:DESCRIBE|DESC|EXPLAIN)(?: EXTENDED| PARTITIONS| FORMAT = (?:JSON|TRADITIONAL))?(?= (?:SELECT|WITH|\())"
)
