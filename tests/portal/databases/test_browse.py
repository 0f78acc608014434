"""Pages of rows: nothing is shown twice or left out, whatever the key, and no name or value becomes SQL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kit.clock import SystemClock
from kit.problem import InvalidRequest
from portal.databases.browse import Wanted, rows
from portal.databases.failures import NoSuchColumn, ServerRefused
from portal.databases.schemas import CutCell, Filter, RowPage
from portal.databases.servers import Server
from portal.databases.sql import execute

CLOCK = SystemClock()


def _page(server: Server, database: str, table: str, **wanted: Any) -> RowPage:
    with server.connect("console") as connection:
        return rows(connection, database, table, Wanted(**wanted), CLOCK)


def _all(server: Server, database: str, table: str, **wanted: Any) -> list[list[Any]]:
    found: list[list[Any]] = []
    after = None
    while True:
        page = _page(server, database, table, after=after, **wanted)
        found += page.rows
        if page.after is None:
            return found
        after = page.after


def _filter(column: str, is_: str, value: str = "") -> Filter:
    return Filter.model_validate({"column": column, "is": is_, "value": value})


def test_pages_by_key_show_each_row_once(server: Server, new_database: Callable[..., str]) -> None:
    name = new_database(
        "CREATE TABLE t (a VARCHAR(20) NOT NULL, b INT NOT NULL, c VARBINARY(8) NOT NULL, n INT NOT NULL,"
        " d DECIMAL(8,3) NOT NULL, PRIMARY KEY (a, b, c), KEY (n)) COLLATE utf8mb4_unicode_ci",
        "INSERT INTO t SELECT CONCAT('k', seq % 7), seq, UNHEX(HEX(seq)), seq % 5, seq / 3 FROM seq_1_to_103",
    )
    with server.connect("admin") as connection:
        execute(connection, f"INSERT INTO `{name}`.t VALUES ('K1', -1, x'00ff', 3, 1.5), ('ä', 5, '', 3, 0)")
    for sort in (None, "a", "n", "d", "c"):
        for is_descending in (False, True):
            found = _all(server, name, "t", sort=sort, is_descending=is_descending, limit=10)
            assert len(found) == 105
            assert len({(row[0], row[1]) for row in found}) == 105, (sort, is_descending)
    page = _page(server, name, "t", sort="n", limit=3)
    assert page.is_sought
    assert [row[3] for row in page.rows] == [0, 0, 0]


def test_rows_that_come_in_between_pages_shift_nothing(server: Server, new_database: Callable[..., str]) -> None:
    name = new_database("CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t SELECT seq * 10 FROM seq_1_to_20")
    first = _page(server, name, "t", limit=5)
    with server.connect("admin") as connection:
        execute(connection, f"INSERT INTO `{name}`.t VALUES (1), (2), (3)")
    second = _page(server, name, "t", limit=5, after=first.after)
    assert [row[0] for row in second.rows] == [60, 70, 80, 90, 100]


def test_without_a_key_pages_are_counted(server: Server, new_database: Callable[..., str]) -> None:
    name = new_database("CREATE TABLE t (a INT NULL, f FLOAT)", "INSERT INTO t SELECT seq, seq / 7 FROM seq_1_to_23")
    page = _page(server, name, "t", limit=10)
    assert not page.is_sought
    assert page.after == "10"
    assert len(_all(server, name, "t", sort="a", limit=10)) == 23


def test_a_column_that_may_be_null_is_counted_too(server: Server, new_database: Callable[..., str]) -> None:
    name = new_database(
        "CREATE TABLE t (id INT PRIMARY KEY, a INT NULL)",
        "INSERT INTO t SELECT seq, IF(seq % 3, seq, NULL) FROM seq_1_to_31",
    )
    found = _all(server, name, "t", sort="a", limit=7)
    assert len(found) == 31
    assert found[0][1] is None


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("ENUM('z', 'm', 'a')", "ELT(1 + seq % 3, 'z', 'm', 'a')"),
        ("SET('z', 'a')", "IF(seq % 2, 'z', 'a')"),
        ("VARCHAR(2000)", "CONCAT(REPEAT('é', 1200), seq % 4)"),
        ("LONGTEXT", "REPEAT('x', 9000)"),
        ("BIT(9)", "seq % 5"),
        ("DOUBLE", "seq / 7"),
    ],
)
def test_what_sorts_by_another_order_than_it_compares_is_counted(
    server: Server, new_database: Callable[..., str], type_: str, value: str
) -> None:
    name = new_database(
        f"CREATE TABLE t (id INT PRIMARY KEY, a {type_} NOT NULL)",
        f"INSERT INTO t SELECT seq, {value} FROM seq_1_to_33",
    )
    assert not _page(server, name, "t", sort="a").is_sought
    assert len({row[0] for row in _all(server, name, "t", sort="a", limit=10)}) == 33


def test_a_key_of_the_longest_text_still_leads_to_the_next_page(
    server: Server, new_database: Callable[..., str]
) -> None:
    name = new_database(
        "CREATE TABLE t (a VARCHAR(255), b VARCHAR(255), c VARCHAR(255), PRIMARY KEY (a, b, c)) ROW_FORMAT=DYNAMIC",
        "INSERT INTO t SELECT REPEAT('😀', 255), REPEAT('😀', 255), CONCAT(REPEAT('😀', 250), seq) FROM seq_1_to_30",
    )
    assert len({str(row[2]) for row in _all(server, name, "t", limit=10)}) == 30
    assert 4000 < len(_page(server, name, "t", limit=10).after or "") < 8000


def test_cells_are_typed_and_long_ones_are_cut_by_the_server(server: Server, new_database: Callable[..., str]) -> None:
    name = new_database(
        "CREATE TABLE t (id INT PRIMARY KEY, big BIGINT, money DECIMAL(20,4), at DATETIME(3), d DATE, t TIME, f DOUBLE,"
        " long_text LONGTEXT, bin LONGBLOB, j JSON, p POINT, e ENUM('x','y'), bits BIT(4), n TEXT)",
        "INSERT INTO t VALUES (1, 9223372036854775807, 1.5, '2026-11-22 03:04:05.678', '2026-11-22', '-12:00:01', 0.5,"
        " REPEAT('ä', 5000), REPEAT(x'00ff', 1000), '{\"a\": 1}', ST_GeomFromText('POINT(1 2)'), 'y', b'1010', NULL)",
    )
    page = _page(server, name, "t")
    cells = dict(zip(page.columns, page.rows[0], strict=True))
    assert cells["big"] == "9223372036854775807"
    assert (cells["money"], cells["at"], cells["d"], cells["t"], cells["f"]) == (
        *("1.5000", "2026-11-22 03:04:05.678000", "2026-11-22", "-12:00:01", 0.5),
    )
    assert cells["long_text"] == CutCell(kind="text", shown="ä" * 500, length=5000)
    assert cells["bin"] == CutCell(kind="bytes", shown="00ff" * 64, length=2000)
    assert (cells["j"], cells["p"], cells["e"], cells["n"]) == ('{"a": 1}', "POINT(1 2)", "y", None)
    assert cells["bits"] == CutCell(kind="bytes", shown="0a", length=1)


@pytest.mark.parametrize(
    ("condition", "ids"),
    [
        (_filter("id", "=", "3"), [3]),
        (_filter("id", "<", " 3 "), [1, 2]),
        (_filter("id", ">=", "4"), [4, 5]),
        (_filter("id", "<>", "1"), [2, 3, 4, 5]),
        (_filter("a", "contains", "50%"), [2]),
        (_filter("a", "contains", "_"), [3]),
        (_filter("a", "contains", "\\"), [4]),
        (_filter("a", "starts-with", "x"), [1]),
        (_filter("a", "=", "' OR 1=1 -- "), []),
        (_filter("a", "null"), [5]),
        (_filter("a", "not-null"), [1, 2, 3, 4]),
        (_filter("money", "=", "0.1"), [2]),
        (_filter("at", ">", "2026-01-01"), [1]),
    ],
)
def test_filters_hold_on_the_server(
    server: Server, new_database: Callable[..., str], condition: Filter, ids: list[int]
) -> None:
    name = new_database(
        "CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(40), money DECIMAL(9,4), at DATETIME)",
        "INSERT INTO t VALUES (1, 'xa', 0, '2026-06-01'), (2, '50% off', 0.1, NULL), (3, 'a_b', 0.3, NULL),"
        " (4, 'c\\\\d', 0.2, '2020-01-01'), (5, NULL, 1, NULL)",
    )
    assert [row[0] for row in _page(server, name, "t", filters=(condition,)).rows] == ids


def test_names_that_the_table_does_not_have_are_refused(server: Server, new_database: Callable[..., str]) -> None:
    name = new_database("CREATE TABLE t (id INT PRIMARY KEY, p POINT)")
    for column in ("x", "id`; DROP TABLE t; -- ", "p", "ID "):
        with pytest.raises(NoSuchColumn):
            _page(server, name, "t", sort=column)
        with pytest.raises(NoSuchColumn):
            _page(server, name, "t", filters=(_filter(column, "=", "1"),))
    with pytest.raises(NoSuchColumn):
        _page(server, name, "t", filters=(_filter("id", "=", "one"),))


@pytest.mark.parametrize(
    "after", ["", "x", "-1", "99999999", "W10", "bnVsbA", "W1siaWQiXSxmYWxzZSxbW11dXQ", "W1siaWQiXSx0cnVlLFsxXV0", "⁵"]
)
def test_a_cursor_of_somebody_else_is_refused(server: Server, new_database: Callable[..., str], after: str) -> None:
    name = new_database("CREATE TABLE t (id INT PRIMARY KEY)", "CREATE TABLE u (a INT)")
    with pytest.raises(InvalidRequest):
        _page(server, name, "t", after=after)
    if after not in ("0", "5"):
        with pytest.raises(InvalidRequest):
            _page(server, name, "u", after=after or "x")


def test_a_view_and_a_hostile_column_are_browsed(server: Server, new_database: Callable[..., str]) -> None:
    name = new_database(
        "CREATE TABLE t (`a``b'%s` INT PRIMARY KEY, `<img>` TEXT)",
        "INSERT INTO t VALUES (1, '=1+1')",
        "CREATE SQL SECURITY INVOKER VIEW v AS SELECT * FROM t",
    )
    page = _page(server, name, "v")
    assert (page.columns, page.rows) == (["a`b'%s", "<img>"], [[1, "=1+1"]])
    assert _page(server, name, "t", sort="a`b'%s", filters=(_filter("a`b'%s", "=", "1"),)).rows == [[1, "=1+1"]]


def test_browsing_can_write_nothing(server: Server, new_database: Callable[..., str]) -> None:
    name = new_database("CREATE TABLE t (id INT PRIMARY KEY)")
    with server.connect("console") as connection:
        rows(connection, name, "t", Wanted(), CLOCK)
        with pytest.raises(ServerRefused):
            execute(connection, f"INSERT INTO `{name}`.t VALUES (1)")
