"""What write mode takes, and what it makes of it."""

from __future__ import annotations

import pytest

from portal.databases.console.lexer import Refused
from portal.databases.console.write_guard import check


@pytest.mark.parametrize(
    ("statement", "kind", "table", "condition"),
    [
        ("UPDATE t SET a = 1", "update", "t", ""),
        (
            "update `t t` as x set x.a = (select 1 limit 1) where x.b = 'limit' order by c limit 3;",
            "update",
            "t t",
            None,
        ),
        ("DELETE FROM t WHERE a IN (SELECT b FROM u WHERE c = 1)", "delete", "t", None),
        ("DELETE FROM d.t ORDER BY a LIMIT 5", "delete", "t", "ORDER BY a LIMIT 5"),
        ("INSERT INTO t (a, b) VALUES (1, 'x'), (2, CONCAT('y', 'z'))", "insert", "t", ""),
        ("INSERT INTO t SET a = 1", "insert", "t", ""),
        ("INSERT INTO t SELECT a, b FROM u WHERE c = 1", "insert", "t", ""),
        ("REPLACE INTO t (a) VALUES (1)", "replace", "t", ""),
        ("REPLACE INTO t VALUES (REPLACE('a', 'b', 'c'))", "replace", "t", ""),
    ],
)
def test_one_write_on_one_table_is_taken(statement: str, kind: str, table: str, condition: str | None) -> None:
    wanted = check(statement)
    assert (wanted.kind, wanted.table) == (kind, table)
    if condition is None:
        assert wanted.condition == statement[statement.lower().index(" where ") + 1 :].rstrip(";")
    else:
        assert wanted.condition == condition


def test_what_an_update_assigns_is_known() -> None:
    wanted = check("UPDATE t AS x SET x.A = 1, `b` = b + 1 WHERE c = 1")
    assert wanted.assigned == {"a", "b"}
    assert (wanted.database, wanted.alias) == (None, "x")
    assert check("DELETE FROM d.t").database == "d"


@pytest.mark.parametrize(
    "statement",
    [
        *("SELECT 1", "DROP TABLE t", "TRUNCATE t", "CALL p()", "", "SET a = 1"),
        *("UPDATE t, u SET t.a = 1", "UPDATE t JOIN u ON 1 SET t.a = 1", "UPDATE (SELECT 1) a SET a = 1"),
        *("UPDATE LOW_PRIORITY t SET a = 1", "UPDATE IGNORE t SET a = 1", "UPDATE t PARTITION (p) SET a = 1"),
        *("DELETE t FROM t JOIN u", "DELETE FROM t USING t JOIN u", "DELETE QUICK FROM t", "DELETE FROM t, u WHERE 1"),
        *("DELETE FROM t RETURNING *", "INSERT INTO t VALUES (1) RETURNING a", "DELETE HISTORY FROM t"),
        *("INSERT INTO t VALUES (1) ON DUPLICATE KEY UPDATE a = 1", "INSERT IGNORE INTO t VALUES (1)"),
        *("INSERT DELAYED INTO t VALUES (1)", "INSERT t VALUES (1)", "INSERT INTO t TABLE u"),
        *("UPDATE t SET a = SLEEP(9)", "UPDATE t SET a = 1 WHERE RAND() < 0.5", "DELETE FROM t WHERE a = UUID()"),
        *("UPDATE t SET a = LOAD_FILE('/etc/passwd')", "UPDATE t SET a = f(1)", "INSERT INTO t SELECT NEXTVAL(s)"),
        *("UPDATE t SET a = 1; DROP TABLE t", "UPDATE t SET a = 1 /*! , b = 2 */", "UPDATE t SET a = @x"),
        *("INSERT INTO t SELECT 1 INTO OUTFILE '/x'", "UPDATE t SET a = (SELECT 1 INTO @x)"),
        *("UPDATE t SET a = (SELECT b FROM u FOR UPDATE)", "WITH a AS (SELECT 1) DELETE FROM t", "UPDATE t", "UPDATE"),
        *(
            "DELETE FROM",
            "INSERT INTO",
            "INSERT INTO t",
            "DELETE FROM a.b.c",
            "DELETE FROM t x",
            "EXPLAIN DELETE FROM t",
        ),
        "INSERT INTO t(a) VALUES (sleep(1))",
    ],
)
def test_everything_else_is_refused(statement: str) -> None:
    with pytest.raises(Refused):
        check(statement)
