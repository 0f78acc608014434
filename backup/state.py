"""STATE.json: what a run found out about its point. Written before the seal, never changed after it.

Later facts (a verification, a drill, an upload) stand in the catalog.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict

AssetKind = Literal["database", "mailbox", "site", "files", "secret", "zone", "volume"]


def readable(text: str) -> str:
    r"""Given text that may name a path as Python has it, return what UTF-8 can hold: other bytes become \xff."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half a character that came another way
        return text.encode("utf-8", "backslashreplace").decode()


Readable = Annotated[str, AfterValidator(readable)]


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AssetState(Record):
    """One thing that an operator may lose and restore: a database, a mailbox, a site, a set of files.

    paths    where it lies below the point, "/" between parts, no slash at the end; a prefix or a file. A site has its
             `sites/<name>/files` and its `sites/<name>/db.sql`
    bytes    of its files
    counts   what a drill asserts. database: {"tables": 3, "rows.<table>": 12, ...}; mailbox: {"messages": 5,
             "folders": 2}; site: {"files": 100, "tables": 12, "rows.<table>": ...}; files: {"files": 7}
    folders  of a mailbox: its folders' names as they are on disk below it, INBOX as ""; else empty
    facts    text that a restore needs, such as {"server": "mail", "database": "mailserver", "charset": "utf8mb4"}
    """

    kind: AssetKind
    name: str
    source: str
    paths: list[str]
    bytes: int
    counts: dict[str, int] = {}
    folders: list[str] = []
    facts: dict[str, str] = {}


class SourceState(Record):
    """
    source    "<kind>:<name>", such as "mariadb:mail"
    ok        False: `error` says why, in the engine's own words, and the point is not sealed
    warnings  e.g. tables that only a lock could dump
    versions  e.g. {"client": "11.8.3", "server": "11.8.3"}
    """

    source: str
    ok: bool
    error: Readable = ""
    seconds: float
    warnings: list[Readable] = []
    versions: dict[str, str] = {}


class PointState(Record):
    """
    point         its id, "daily/2026-11-22"
    started_at    UTC; the instant that the point stands for
    sealed_at     UTC, just before the rename
    host          whose point it is
    verified      everything written in this run was read back and every dump was valid. A sealed point has it True
    entries       lines of the manifest
    bytes         of all files; linked_*: those that were hard-linked to an earlier point
    is_real_copy  nothing was linked: once a month, so that one bad write cannot damage all points
    """

    schema_version: Literal[1] = 1
    point: str
    started_at: datetime
    sealed_at: datetime
    host: str
    homeport: str
    verified: bool
    sources: list[SourceState]
    assets: list[AssetState]
    entries: int
    files: int
    bytes: int
    linked_files: int
    linked_bytes: int
    is_real_copy: bool = False
    manifest_sha256: str
