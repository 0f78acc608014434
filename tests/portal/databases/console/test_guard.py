"""The guard alone: what it lets through, what it refuses and where, and that two readers never read it differently."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.databases.console import lexer
from portal.databases.console.guard import Allowed, check, masked_roughly
from portal.databases.console.lexer import Refused
from tests.portal.databases.console.corpus import CORPUS, LET_THROUGH

GOOD = (
    "SELECT 1",
    "select * from wp_posts where post_title = 'a;b -- c /*! x' limit 5;  ",
    "(SELECT 1) UNION (SELECT 2) ORDER BY 1",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10) SELECT i FROM n",
    "SELECT COUNT(*), MAX(a) FROM t GROUP BY b WITH ROLLUP HAVING COUNT(*) > 1 -- ok",
    "SHOW TABLES",
    "show full columns from `a b`.c like 'x%'",
    "SHOW CREATE TABLE wp_posts",
    "SHOW TABLE STATUS FROM wp_a LIKE 'wp%'",
    "DESCRIBE wp_posts",
    "desc a.b c",
    "EXPLAIN SELECT 1",
    "explain format=json select * from t where a in (1,2)",
    "SELECT GROUP_CONCAT(a ORDER BY b SEPARATOR ',') FROM t",
    "SELECT CAST(a AS CHAR(10)), CONVERT(a USING utf8mb4), a->'$.x', JSON_VALUE(a, '$.y') FROM t",
    'SELECT `日本`, 列 FROM 表 WHERE a = "it\'\'s \\" ok"',
    "SELECT ROW_NUMBER() OVER (PARTITION BY a ORDER BY b) FROM t USE INDEX (x) WHERE d > NOW() - INTERVAL 1 DAY",
    "SELECT a FROM t WHERE (a, b) IN ((1, 2), (3, 4)) AND EXISTS (SELECT 1 FROM u)",
    "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()",
    "SELECT @@version, x'4D', 0x4D, 1.5e3, .5, -1, - -1, !a, a || b FROM t",
    "SELECT a FROM t\n# c\nWHERE b = 1 /* x */ AND c = 2",
    "SELECT option_name FROM wp_options WHERE option_value REGEXP '^a:[0-9]+' AND autoload <> 'no'",
    "SELECT 'O''Reilly', 'back\\\\slash', \"double\"",
)


@pytest.mark.parametrize("statement", GOOD)
def test_what_reads_is_let_through(statement: str) -> None:
    assert isinstance(check(statement), Allowed)


@pytest.mark.parametrize(("tries", "statement"), [each for each in CORPUS if each[0] not in LET_THROUGH])
def test_what_does_more_is_refused(tries: str, statement: str) -> None:
    with pytest.raises(Refused):
        check(statement.format(db="wp_a", table="wp_a.things", out="/tmp"))


@pytest.mark.parametrize(
    ("statement", "rule", "position"),
    [
        ("SELECT 1; SELECT 2", "several-statements", 8),
        ("SELECT 1 /*!50000 x */", "version-comment", 9),
        ("SELECT SLEEP(1)", "function", 7),
        ("SELECT *\nFROM t\nFOR UPDATE", "lock", 16),
        ("SELECT 1--1", "ambiguous-comment", 8),
        ("SELECT 'a", "unterminated", 7),
        ("SELECT (1", "unbalanced", 9),
        ("DROP TABLE t", "not-a-query", 0),
        ("  SHOW GRANTS", "show", 2),
        ("EXPLAIN DELETE FROM t", "explain", 0),
        ("SELECT @a := 1", "user-variable", 7),
        ("SELECT FROM WHERE", "not-understood", None),
        ("   ", "empty", 0),
        ("SELECT " + "(" * 17 + "1" + ")" * 17, "too-deep", 23),
        ("SELECT " + "NOT " * 3000 + "1", "too-deep", 0),
        ("SELECT " + "1," * 6000 + "1", "too-long", None),
    ],
)
def test_a_refusal_says_which_rule_and_where(statement: str, rule: str, position: int | None) -> None:
    with pytest.raises(Refused) as refused:
        check(statement)
    assert refused.value.rule == rule
    assert position is None or refused.value.position == position
    assert refused.value.why


def test_comments_are_blanked_and_everything_keeps_its_place() -> None:
    allowed = check("SELECT /* a\nb */ 'c -- d' -- e\n, 2 # f")
    assert allowed.text == "SELECT     \n     'c -- d'     \n, 2"


def test_the_same_question_has_the_same_fingerprint_and_no_values() -> None:
    one = check("SELECT a FROM t WHERE b = 'anna' AND c IN (1, 2)")
    assert "anna" not in one.masked
    assert one.masked == "SELECT a FROM t WHERE b = ? AND c IN ( ? )"
    assert check("SELECT a FROM t WHERE b = 1").fingerprint == check("SELECT  a  FROM t WHERE b = 'x'").fingerprint
    assert one.fingerprint != check("SELECT b FROM t WHERE b = 'anna' AND c IN (1, 2)").fingerprint
    assert masked_roughly("SELECT 'secret") == "SELECT ... (14 characters)"
    assert "secret" not in masked_roughly("DELETE FROM t WHERE a = 'secret'")


@given(st.text(max_size=200))
def test_any_text_is_let_through_or_refused(text: str) -> None:
    found: Allowed | Refused
    try:
        found = check(text)
    except Refused as refused:
        found = refused
    assert len(found.text) <= len(text) if isinstance(found, Allowed) else 0 <= found.position <= len(text)


@given(st.lists(st.sampled_from([*"'\"`\\;#-/*!()", "--", "/*", "*/", "\n", " ", "a", "1", "SELECT"]), max_size=40))
def test_tokens_and_blanks_are_the_whole_text(parts: list[str]) -> None:
    text = "".join(parts)
    try:
        lexed = lexer.read(text)
    except Refused:
        return
    assert len(lexed.text) == len(lexed.masked) == len(text)
    covered = set()
    for token in lexed.tokens:
        assert lexed.text[token.start : token.end] == text[token.start : token.end]
        covered |= set(range(token.start, token.end))
    assert all(lexed.text[at] in " \n" for at in range(len(text)) if at not in covered)
    assert lexed.masked.isascii()
