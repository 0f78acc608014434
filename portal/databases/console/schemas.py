"""The SQL console over HTTP.

A cell is null, true JSON where JSON can hold it, and text otherwise: decimals and integers beyond 2^53 are text, dates
ISO 8601, bytes hexadecimal digits. Text of the server and of its rows comes as it is; a page shows it as text.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from portal.operations.records import ID

MAX_STATEMENT = 65_536  # characters
MAX_NAME = 64

QueryId = Annotated[str, Field(pattern=r"^[A-Za-z0-9]{16,40}$", description="Drawn by the client, so that it can kill")]
ServerName = Annotated[str, Field(min_length=1, max_length=32)]
DatabaseName = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
Statement = Annotated[str, Field(min_length=1, max_length=MAX_STATEMENT)]
Cell = None | bool | int | float | str
Kind = Literal["integer", "decimal", "float", "text", "bytes", "date", "time", "datetime", "null"]
Form = Literal["csv", "ndjson"]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ConsoleSwitch(BaseModel):
    """Whether a mode can be used on a server. `why`: what keeps it off; `checked_at`: null before the first look."""

    is_on: bool
    why: str
    checked_at: datetime | None


class ConsoleServer(BaseModel):
    """`databases` are those that the console's account sees; empty while the server is silent, which `console` says."""

    name: str
    databases: list[str]
    console: ConsoleSwitch
    write: ConsoleSwitch


class ConsoleLimits(BaseModel):
    """What is in force for everybody."""

    statement_characters: int
    query_s: float
    query_rows: int
    query_bytes: int
    cell_characters: int
    at_once: int = Field(description="Queries and exports of one user")
    export_s: float
    export_rows: int
    write_rows: int
    write_bytes: int
    write_valid_min: int
    undo_days: int


class ConsoleView(BaseModel):
    servers: list[ConsoleServer]
    limits: ConsoleLimits


class RunQuery(_Body):
    id: QueryId
    server: ServerName
    database: DatabaseName | None = None
    statement: Statement


class QueryColumn(BaseModel):
    """`kind` says how the column's cells are to be read."""

    name: str
    kind: Kind


class ShortenedCell(BaseModel):
    """A cell that is shown in part: its place from 0, and how long it is (bytes of bytes, characters of text)."""

    row: int
    column: int
    length: int


class QueryResult(BaseModel):
    """`stopped_by` names the cap that ended the reading; null: these are all rows."""

    id: str
    columns: list[QueryColumn]
    rows: list[list[Cell]]
    cut: list[ShortenedCell]
    stopped_by: Literal["rows", "bytes"] | None
    bytes: int
    took_ms: float
    warnings: list[str] = Field(description="The server's own")


class KilledQuery(BaseModel):
    """Whether the query was still running."""

    was_running: bool


class RunExport(_Body):
    id: QueryId
    server: ServerName
    database: DatabaseName | None = None
    statement: Statement
    form: Form = "csv"


class HistoryEntry(BaseModel):
    """What somebody ran. `rows` and `bytes`: what was read, or touched by a write."""

    id: str
    at: datetime
    server: str
    database: str | None
    act: Literal["query", "export", "write"]
    statement: str
    state: Literal["done", "refused", "failed", "timed-out", "killed"]
    rows: int
    bytes: int
    took_ms: float
    error: str


class QueryHistory(BaseModel):
    """One's own, newest first."""

    entries: list[HistoryEntry]
    before: str | None = Field(description="Give this as `before` for the next page; null when this is the last")


class TableWords(BaseModel):
    name: str
    columns: list[str]


class CompletionWords(BaseModel):
    """What completion offers. `is_complete` is false when the database has more than is listed."""

    tables: list[TableWords]
    keywords: list[str]
    functions: list[str]
    is_complete: bool


class NewWrite(_Body):
    server: ServerName
    database: DatabaseName
    statement: Statement


class RowChange(BaseModel):
    """One row before and after, cells in the order of `columns`; null: it is not there."""

    before: list[Cell] | None
    after: list[Cell] | None


class WriteView(BaseModel):
    """A write as it was measured, and what became of it.

    affected_rows   rows that are added, changed or removed
    changes         the first of them
    """

    id: str
    kind: Literal["insert", "replace", "update", "delete", "undo"]
    state: Literal["measured", "applying", "applied", "not-applied", "unknown"]
    server: str
    database: str
    table: str = Field(description="The name to type")
    statement: str
    affected_rows: int
    columns: list[QueryColumn]
    key: list[str] = Field(description="The primary key's columns")
    changes: list[RowChange]
    image_bytes: int
    warnings: list[str]
    measured_at: datetime
    expires_at: datetime
    undoes: str | None = Field(description="Id of the write that this one takes back")
    undone_by: str | None
    operation_id: str | None
    applied_at: datetime | None
    undo_until: datetime | None = Field(description="Null: there is nothing to undo")


class WriteList(BaseModel):
    """Everybody's, newest first; without the changes."""

    writes: list[WriteView]
    before: str | None


class ApplyWrite(_Body):
    typed_name: Annotated[str, Field(max_length=MAX_NAME)] | None = None
    reason: Annotated[str, Field(max_length=500)] = ""


WriteId = Annotated[str, Field(pattern=ID)]
Document = dict[str, Any]
