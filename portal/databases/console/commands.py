"""The SQL console: one reading statement, an export, a write that is measured first, and what one has run.

`query` and `export` take one SELECT, SHOW, DESCRIBE or EXPLAIN, as an argument or, with "-", from standard input.
`write` shows what an INSERT, REPLACE, UPDATE or DELETE would change and changes nothing; `write --apply ID` does it,
`write --undo ID` shows the way back, which is applied like any other.

Exit codes: 0 done · 1 refused or failed, said on standard error · 2 wrong usage. With --json, standard output is one
JSON document; an export is what it is.
"""

from __future__ import annotations

import secrets
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from kit.terminal import local_time, print_json, print_pairs, print_table, progress, visible
from portal.client import AsJson, Client, PortalError, Url

app = typer.Typer(no_args_is_help=True, help=__doc__, rich_markup_mode=None, add_completion=False)

POLL_S = 0.25
SHOWN_CHARACTERS = 80

Server = Annotated[str, typer.Argument(help="The server's name, as `servers` shows it.")]
Statement = Annotated[str, typer.Argument(help='One statement; "-" reads it from standard input.')]
Form = Annotated[Literal["csv", "ndjson"], typer.Option("--format", help="csv for spreadsheets, ndjson for programs.")]
Database = Annotated[str | None, typer.Option("--database", "-d", help="The database it is about.")]


@app.command()
def query(
    server: Server, statement: Statement, database: Database = None, url: Url = None, as_json: AsJson = False
) -> None:
    """Run one reading statement and show its rows, up to the console's caps."""
    wanted = _wanted(server, database, statement)
    with Client.connect(url) as client:
        try:
            found = client.post("/api/console/query", wanted)
        except KeyboardInterrupt:
            client.post(f"/api/console/query/{wanted['id']}/kill")
            raise
    if as_json:
        print_json(found)
        return
    if found["columns"]:
        print_table([each["name"] for each in found["columns"]], [list(map(_cell, row)) for row in found["rows"]])
    if found["stopped_by"]:
        progress(f"There are more rows than these {len(found['rows'])}: the cap on {found['stopped_by']} was reached.")
    for warning in found["warnings"]:
        progress(warning)


@app.command()
def export(
    server: Server,
    statement: Statement,
    to: Annotated[Path, typer.Option("--to", help="The file to write; it must not exist.")],
    form: Form = "csv",
    database: Database = None,
    url: Url = None,
) -> None:
    """Run one reading statement and write all its rows to a file."""
    wanted = _wanted(server, database, statement) | {"form": form}
    try:
        file = to.open("xb")
    except FileExistsError:
        raise PortalError(f"{to} exists: nothing was written") from None
    try:
        with file, Client.connect(url) as client, client.download("/api/console/export", wanted) as parts:
            file.writelines(parts)
    except BaseException:
        to.unlink(missing_ok=True)  # it is ours, and it is not whole
        raise
    progress(f"{to}: {to.stat().st_size} bytes")


@app.command()
def write(
    server: Annotated[str | None, typer.Argument(help="The server's name.")] = None,
    statement: Annotated[str | None, typer.Argument(help='One statement; "-" reads it from standard input.')] = None,
    database: Database = None,
    apply: Annotated[str | None, typer.Option("--apply", metavar="ID", help="Do what was measured.")] = None,
    undo: Annotated[str | None, typer.Option("--undo", metavar="ID", help="Show the way back of one.")] = None,
    confirm: Annotated[str | None, typer.Option(help="With --apply: the table's name.")] = None,
    reason: Annotated[str, typer.Option(help="With --apply: why, for the audit.")] = "",
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Measure a write, apply one that was measured, or plan the way back. Needs a fresh factor."""
    if [bool(statement), bool(apply), bool(undo)].count(True) > 1:
        raise typer.BadParameter("give a statement, --apply or --undo")
    with Client.connect(url) as client:
        if apply:
            _apply(client, apply, confirm, reason, as_json=as_json)
        elif undo:
            _show_write(client.post(f"/api/console/writes/{undo.upper()}/undo"), as_json=as_json)
        elif server and statement and database:
            wanted = {"server": server, "database": database, "statement": _text(statement)}
            _show_write(client.post("/api/console/writes", wanted), as_json=as_json)
        elif statement or server:
            raise typer.BadParameter("a write needs a server, a statement and --database")
        else:
            _list_writes(client.get("/api/console/writes"), as_json=as_json)


@app.command()
def history(limit: Annotated[int, typer.Option(min=1, max=500)] = 50, url: Url = None, as_json: AsJson = False) -> None:
    """Show what you have run, newest first."""
    with Client.connect(url) as client:
        found = client.get("/api/console/history", limit=limit)
    if as_json:
        print_json(found)
    elif not found["entries"]:
        print("You have run nothing yet.")
    else:
        names = ("server", "database", "act", "state", "rows")
        rows = [
            (local_time(each["at"]), *(each[name] for name in names), _cut(each["statement"]))
            for each in found["entries"]
        ]
        print_table(("AT", "SERVER", "DATABASE", "ACT", "STATE", "ROWS", "STATEMENT"), rows)


def _apply(client: Client, write_id: str, confirm: str | None, reason: str, *, as_json: bool) -> None:
    path = f"/api/console/writes/{write_id.upper()}"
    try:
        operation = client.post(f"{path}/apply", {"typed_name": confirm, "reason": reason})
    except PortalError as error:
        if "write" in error.problem:
            _show_write(error.problem["write"], as_json=as_json)
        raise
    while operation["state"] == "running":
        time.sleep(POLL_S)
        operation = client.get(f"/api/operations/{operation['id']}")
    if as_json:
        print_json(operation)
    elif operation["state"] == "done":
        print(f"{operation['result']['rows']} rows. The way back: homeport db write --undo {write_id}")
    if operation["state"] != "done":
        said = operation["error"] or {}
        raise PortalError(f"{operation['state']}: {said.get('title', '')} {said.get('detail', '')}".strip())


def _show_write(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    print_pairs(
        [
            ("write", found["id"]),
            ("table", _place(found)),
            ("rows", str(found["affected_rows"])),
            *(("warning", each) for each in found["warnings"]),
        ]
    )
    names = [each["name"] for each in found["columns"]]
    rows = []
    for change in found["changes"]:
        for sign, cells in (("-", change["before"]), ("+", change["after"])):
            if cells is not None:
                rows.append([sign, *map(_cell, cells)])
    print_table(["", *names], rows)
    if found["affected_rows"]:
        print(f"To do it: homeport db write --apply {found['id']} --confirm {visible(found['table'])}")


def _list_writes(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    rows = [
        (each["id"], local_time(each["measured_at"]), each["kind"], each["state"], each["affected_rows"], _place(each))
        for each in found["writes"]
    ]
    print_table(("WRITE", "MEASURED", "KIND", "STATE", "ROWS", "TABLE"), rows)


def _place(found: dict[str, Any]) -> str:
    return f"{found['server']}/{found['database']}/{found['table']}"


def _wanted(server: str, database: str | None, statement: str) -> dict[str, Any]:
    return {"id": secrets.token_hex(16), "server": server, "database": database, "statement": _text(statement)}


def _text(statement: str) -> str:
    return sys.stdin.read() if statement == "-" else statement


def _cell(value: Any) -> str:
    return "NULL" if value is None else _cut(str(value))


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN_CHARACTERS else line[: SHOWN_CHARACTERS - 1] + "…"
