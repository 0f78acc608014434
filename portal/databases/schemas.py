"""What goes over HTTP in the databases room. Sizes are bytes, times aware; names are the server's own."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from portal.operations.schemas import OperationView

# What can be made here. What is there already may be called otherwise; it is taken from the server's own list.
DATABASE = r"^[A-Za-z][A-Za-z0-9_]{0,63}$"
ACCOUNT = r"^[A-Za-z][A-Za-z0-9_]{0,63}$"
NAME = r"^[^\x00/]{1,64}$"
PIECE_BYTES = 4 * 1024**2  # of an upload, before base64
MAX_PIECE_BODY = 6 * 1024**2

Text = Annotated[str, StringConstraints(max_length=1000, pattern=r"^[^\x00]*$")]
Privilege = Literal[
    "SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "ALTER", "INDEX", "REFERENCES", "LOCK TABLES",
    "CREATE TEMPORARY TABLES", "CREATE VIEW", "SHOW VIEW", "TRIGGER", "EVENT", "CREATE ROUTINE", "ALTER ROUTINE",
    "EXECUTE", "DELETE HISTORY",
]  # fmt: skip
Compression = Literal["none", "gz", "zst"]
Layer = Literal["name", "tcp", "tls", "login", "permission", "answer"]


class _Wish(BaseModel):
    model_config = ConfigDict(extra="forbid")


# -- servers ----------------------------------------------------------------------------------------------------------


class DatabaseSummary(BaseModel):
    """
    others      tables that are not InnoDB: a dump locks them, and a crash may break them
    owner       the site that lives in it
    dumped_at   the newest dump that is kept here
    backed_up_at   the newest verified restore point that holds it
    """

    name: str
    charset: str
    collation: str
    tables: int
    views: int
    bytes: int
    others: int
    made_by: str | None
    owner: str | None = None
    dumped_at: AwareDatetime | None = None
    backed_up_at: AwareDatetime | None = None


class ServerSeen(BaseModel):
    """What was true of a server at one moment."""

    version: str
    uptime_s: int
    connections: int
    max_connections: int
    databases: list[DatabaseSummary]


class ServerView(BaseModel):
    """
    state     connected; silent: `layer` and `detail` say where the way to it ends, and what is shown is as old as
              `seen_at` says; unseen: silent, and never seen
    accounts  the purposes that an account is configured for
    """

    name: str
    host: str
    port: int
    tls: Literal["off", "required", "verified"]
    owner_of: str | None
    accounts: list[Literal["admin", "console", "write"]]
    state: Literal["connected", "silent", "unseen"]
    layer: Layer | None
    detail: str
    seen_at: AwareDatetime | None
    seen: ServerSeen | None


class ServerList(BaseModel):
    """mistakes: of the servers' file, each naming file, table and key; then there is no server."""

    is_configured: bool
    mistakes: list[str]
    servers: list[ServerView]


class ConnectionCheck(BaseModel):
    """One account's way to the server, gone just now; `layer` is where it ends, None when it answers."""

    purpose: Literal["admin", "console", "write"]
    user: str
    layer: Layer | None
    detail: str
    took_ms: float


class ConnectionChecks(BaseModel):
    checks: list[ConnectionCheck]


# -- structure --------------------------------------------------------------------------------------------------------


class TableSummary(BaseModel):
    """rows: the engine's estimate, which may be far off; None for a view."""

    name: str
    kind: Literal["table", "view", "sequence", "other"]
    engine: str | None
    rows: int | None
    data_bytes: int
    index_bytes: int
    collation: str | None
    auto_increment: int | None
    created_at: AwareDatetime | None
    updated_at: AwareDatetime | None
    comment: str


class RoutineView(BaseModel):
    name: str
    kind: Literal["function", "procedure"]
    definer: str
    security: str
    returns: str | None


class TriggerView(BaseModel):
    name: str
    table: str
    timing: str
    event: str
    definer: str
    statement: str


class DatabaseView(BaseModel):
    """One database as it is now. warnings: what its owner should know, in plain sentences."""

    server: str
    database: DatabaseSummary
    tables: list[TableSummary]
    routines: list[RoutineView]
    triggers: list[TriggerView]
    warnings: list[str]


class ColumnView(BaseModel):
    """can_sort: whether rows can be sorted and filtered by it."""

    name: str
    type: str
    is_nullable: bool
    default: str | None
    extra: str
    key: Literal["", "PRI", "UNI", "MUL"]
    collation: str | None
    comment: str
    can_sort: bool


class IndexView(BaseModel):
    name: str
    columns: list[str]
    is_unique: bool
    type: str
    cardinality: int | None


class ForeignKeyView(BaseModel):
    name: str
    columns: list[str]
    to_database: str
    to_table: str
    to_columns: list[str]
    on_update: str
    on_delete: str


class TableView(BaseModel):
    server: str
    database: str
    table: TableSummary
    columns: list[ColumnView]
    primary_key: list[str]
    indexes: list[IndexView]
    foreign_keys: list[ForeignKeyView]
    triggers: list[TriggerView]
    definition: str | None = Field(description="Of a view: its SELECT")


# -- rows -------------------------------------------------------------------------------------------------------------


class CutCell(BaseModel):
    """A long or binary value: its beginning, as text or as hex digits, and its whole length in characters or bytes."""

    kind: Literal["text", "bytes"]
    shown: str
    length: int


Cell = None | bool | int | float | str | CutCell


class Filter(_Wish):
    """One condition on a column; several must all hold. value: text, which the server reads as the column's type."""

    column: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    is_: Literal["=", "<>", "<", "<=", ">", ">=", "contains", "starts-with", "null", "not-null"] = Field(alias="is")
    value: Text = ""


class RowPage(BaseModel):
    """
    rows        as in `columns`; decimals, dates and integers beyond 2**53 are text
    after       where the next page begins, None when there is none
    is_sought   whether pages are found by key; else by counting, which ends at MAX_OFFSET rows
    took_ms     of the server's answer
    """

    columns: list[str]
    rows: list[list[Cell]]
    after: str | None
    is_sought: bool
    sort: str | None
    is_descending: bool
    estimated_rows: int | None
    took_ms: float


# -- processes, slow queries ------------------------------------------------------------------------------------------


class ProcessView(BaseModel):
    """can_kill: not the server's own work, nor replication, nor Homeport's."""

    id: int
    user: str
    host: str
    database: str | None
    command: str
    state: str
    seconds: float
    statement: str | None
    memory_bytes: int | None
    can_kill: bool


class ProcessList(BaseModel):
    server: str
    measured_at: AwareDatetime
    processes: list[ProcessView]
    hidden: int = Field(description="Homeport's own connections, which are not shown")


class KillProcess(_Wish):
    """what: the statement alone, or the whole connection."""

    what: Literal["statement", "connection"] = "statement"


class Killed(BaseModel):
    id: int
    what: Literal["statement", "connection"]


class SlowQuery(BaseModel):
    """count: how often, where the server keeps sums; else 1."""

    at: AwareDatetime | None
    user: str | None
    database: str | None
    seconds: float
    rows_sent: int | None
    rows_examined: int | None
    count: int
    statement: str


class SlowList(BaseModel):
    """source: where it comes from; unknown: the server keeps neither, or shows neither to us, and `detail` says why."""

    server: str
    source: Literal["slow-log", "performance-schema", "unknown"]
    threshold_s: float | None
    detail: str
    queries: list[SlowQuery]


# -- accounts ---------------------------------------------------------------------------------------------------------


class GrantView(BaseModel):
    """database: the pattern as the server keeps it; "*" for all. matches: those of its databases that it opens."""

    database: str
    matches: list[str]
    privileges: list[str]
    is_grantable: bool


class DatabaseAccountView(BaseModel):
    """
    name          user@host
    is_protected  the server's own, or one that Homeport works with
    owner         the site whose account it is
    """

    name: str
    user: str
    host: str
    is_locked: bool
    plugin: str
    has_password: bool
    is_protected: bool
    owner: str | None
    grants: list[GrantView]


class AccountList(BaseModel):
    server: str
    accounts: list[DatabaseAccountView]


class CreateDatabase(_Wish):
    """account: by default called as the database."""

    database: Annotated[str, StringConstraints(pattern=DATABASE)]
    account: Annotated[str, StringConstraints(pattern=ACCOUNT)] | None = None


class WithPassword(BaseModel):
    """password: shown once and kept nowhere; good when the operation ends well. None: it went where it is needed."""

    operation: OperationView
    account: str
    password: str | None


class ChangeGrants(_Wish):
    """privileges: what the account may do in the database from now on; empty: nothing."""

    database: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    privileges: list[Privilege]


# -- dumps ------------------------------------------------------------------------------------------------------------


class DumpView(BaseModel):
    id: str
    server: str
    database: str
    why: Literal["drop", "load", "asked"]
    bytes: int
    tables: int
    rows: int
    made_at: AwareDatetime
    kept_until: AwareDatetime


class DumpList(BaseModel):
    dumps: list[DumpView]


class BeginUpload(_Wish):
    """name: as it is called where it comes from; bytes: of the whole file."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f/\\]+$")]
    bytes: Annotated[int, Field(ge=1, le=1024**4)]


class UploadPiece(_Wish):
    """data: base64 of at most 4 MiB."""

    data: Annotated[str, StringConstraints(max_length=MAX_PIECE_BODY, pattern=r"^[A-Za-z0-9+/]*={0,2}$")]


class UploadView(BaseModel):
    """received: where the next piece begins."""

    id: str
    name: str
    bytes: int
    received: int


class LoadDump(_Wish):
    """One of upload and dump, by its id. typed_name: the database's, when it holds tables, which are dumped first."""

    upload: Annotated[str, StringConstraints(max_length=40)] | None = None
    dump: Annotated[str, StringConstraints(max_length=40)] | None = None
    typed_name: Text = ""
