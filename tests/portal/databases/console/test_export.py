"""Exports: the forms, formulas, errors before and after the first byte, and what becomes of a reader that leaves."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable

import pytest

from portal.databases.console import export as exports
from portal.databases.console.export import defused, different
from portal.databases.console.failures import NoSuchQuery, StatementFailed, StatementRefused, TooManyQueries
from portal.databases.console.schemas import Form, RunExport
from tests.portal.databases.console.conftest import ANNA, Desk, Rows

MIXED = (
    "CREATE TABLE mixed (id INT PRIMARY KEY, name TEXT, amount DECIMAL(8,2), raw VARBINARY(9), at DATETIME)"
    " ENGINE=InnoDB",
    "INSERT INTO mixed VALUES (1, 'plain', -5.50, X'00FF', '2026-01-02 03:04:05'), (2, '=1+1', NULL, NULL, NULL),"
    " (3, '', 0, '', NULL), (4, 'a,\"b\"\\nc', 1, NULL, NULL), (5, '\uff1dcmd', 1, NULL, NULL),"
    " (6, '日本 😀', 1, NULL, NULL),"
    " (7, '@x', 1, NULL, NULL), (8, ' pad ', 1, NULL, NULL)",
)


async def _whole(desk: Desk, database: str, statement: str, form: Form) -> bytes:
    wanted = RunExport(id=desk.new_id(), server="blog", database=database, statement=statement, form=form)
    return b"".join([part async for part in await desk.console.export(ANNA, wanted)])


async def test_csv_is_for_spreadsheets(desk: Desk, new_database: Callable[..., str]) -> None:
    name = new_database(*MIXED)
    text = (await _whole(desk, name, "SELECT *, 1 AS `=x` FROM mixed ORDER BY id", "csv")).decode()
    lines = text.split("\r\n")
    assert lines[0] == "id,name,amount,raw,at,'=x"
    assert lines[1] == "1,plain,-5.50,0x00ff,2026-01-02 03:04:05,1"
    assert lines[3] == '3,"",0.00,0x,,1'  # an empty text is quoted, NULL is not
    found = list(csv.reader(io.StringIO(text, newline="")))
    names = ["plain", "'=1+1", "", 'a,"b"\nc', "'\uff1dcmd", "日本 😀", "'@x", " pad "]
    assert [row[1] for row in found[1:]] == names
    assert text.endswith("\r\n")


async def test_json_keeps_the_values(desk: Desk, new_database: Callable[..., str]) -> None:
    name = new_database(*MIXED)
    text = await _whole(desk, name, "SELECT *, id FROM mixed ORDER BY id", "ndjson")
    lines = [json.loads(line) for line in text.splitlines()]
    first = {"id": 1, "name": "plain", "amount": "-5.50", "raw": "00ff", "at": "2026-01-02T03:04:05", "id_2": 1}
    assert lines[0] == first
    assert lines[1]["name"] == "=1+1"
    assert lines[1]["amount"] is None


async def test_nothing_found_is_a_header_alone(desk: Desk, new_database: Callable[..., str]) -> None:
    name = new_database(*MIXED)
    assert await _whole(desk, name, "SELECT id FROM mixed WHERE id > 99", "csv") == b"id\r\n"
    assert await _whole(desk, name, "SELECT id FROM mixed WHERE id > 99", "ndjson") == b""


async def test_refusals_come_before_the_first_byte_and_free_the_place(
    desk: Desk, new_database: Callable[..., str]
) -> None:
    name = new_database(*MIXED)
    for _ in range(3):
        with pytest.raises(StatementFailed):
            await _whole(desk, name, "SELECT none FROM mixed", "csv")
        with pytest.raises(StatementRefused):
            await _whole(desk, name, "SELECT * FROM mixed INTO OUTFILE '/tmp/x'", "csv")
    states = [(each.act, each.state) for each in (await desk.console.past(ANNA, before=None, limit=10)).entries]
    assert states == [("export", "refused"), ("export", "failed")] * 3


async def test_a_reader_that_leaves_ends_it_at_the_server(
    desk: Desk, new_database: Callable[..., str], rows: Rows
) -> None:
    name = new_database(*MIXED)
    wanted = RunExport(id=desk.new_id(), server="blog", database=name, statement="SELECT seq FROM seq_1_to_100000000")
    parts = await desk.console.export(ANNA, wanted)
    assert len(await anext(parts)) >= exports.FIRST_BYTES
    await parts.aclose()
    query = "SELECT id FROM information_schema.processlist WHERE user = 'homeport_console' AND command = 'Query'"
    assert not rows(query)
    (entry,) = (await desk.console.past(ANNA, before=None, limit=10)).entries
    assert (entry.state, entry.rows > 0) == ("killed", True)
    with pytest.raises(NoSuchQuery):
        await desk.console.kill(ANNA, wanted.id)


async def test_an_export_counts_as_a_query_until_its_end(desk: Desk, new_database: Callable[..., str]) -> None:
    name = new_database(*MIXED)
    held = []
    for _ in range(2):
        wanted = RunExport(
            id=desk.new_id(), server="blog", database=name, statement="SELECT seq FROM seq_1_to_100000000"
        )
        held.append(await desk.console.export(ANNA, wanted))
    with pytest.raises(TooManyQueries):
        await desk.query(name, "SELECT 1")
    for parts in held:
        await anext(parts)
        await parts.aclose()
    assert (await desk.query(name, "SELECT 1")).rows == [[1]]


async def test_a_cap_in_the_middle_is_an_error_not_an_end(
    desk: Desk, new_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "MAX_ROWS", 50_000)
    name = new_database(*MIXED)
    with pytest.raises(StatementFailed, match="50000 rows"):
        await _whole(desk, name, "SELECT seq FROM seq_1_to_100000", "csv")


async def test_a_row_that_is_too_long_is_an_error_not_an_end(desk: Desk, new_database: Callable[..., str]) -> None:
    name = new_database(*MIXED)
    long = "REPEAT('x', 10000000)"
    assert len(await _whole(desk, name, f"SELECT {long}", "ndjson")) > 10_000_000
    with pytest.raises(StatementFailed, match="16 MiB"):
        await _whole(desk, name, f"SELECT {long}, {long}", "ndjson")


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", "\t=1", "\r=1", "\n=1", "\uff0b1"])
def test_formulas_are_defused(text: str) -> None:
    assert defused(text) == f"'{text}"


def test_columns_of_one_name_are_told_apart() -> None:
    assert different(["a", "b", "a", "a_2", "a"]) == ["a", "b", "a_2", "a_2_2", "a_3"]
