"""Databases: what servers hold, who may do what there, dumps, and the SQL console.

Servers are those of HOMEPORT_PORTAL_DATABASES_FILE; a database is named SERVER/DATABASE.

Exit codes: 0 done · 1 refused or failed, said on standard error · 2 wrong usage. With --json, standard output is one
JSON document. A database goes only with --confirm NAME, after a dump that is kept for 30 days; a fresh factor is then
asked for on the terminal.
"""

from __future__ import annotations

import base64
import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

import typer

from kit.terminal import local_time, print_json, print_pairs, print_table, progress, visible
from portal.client import AsJson, Client, PortalError, Url
from portal.databases.console.commands import app as console

app = typer.Typer(no_args_is_help=True, help=__doc__, rich_markup_mode=None, add_completion=False)
app.add_typer(console)  # without a name: its commands stand among these

POLL_S = 0.25
PIECE_BYTES = 4 * 1024**2
SHOWN_CHARACTERS = 60

Server = Annotated[str, typer.Argument(help="The server's name, as `servers` shows it.")]
Where = Annotated[str, typer.Argument(metavar="SERVER/DATABASE", help="Such as blog/wp_main.")]
Confirm = Annotated[str | None, typer.Option(help="The database's name once more.")]


# -- looking ----------------------------------------------------------------------------------------------------------


@app.command()
def servers(
    check: Annotated[bool, typer.Option("--check", help="Go the way of every account, and say where it ends.")] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show the configured servers, and whether they answer."""
    with Client.connect(url) as client:
        listed = client.get("/api/databases")
        names = [each["name"] for each in listed["servers"]] if check else []
        checks = {name: client.get(f"{_server(name)}/connection")["checks"] for name in names}
    if as_json:
        print_json(listed | ({"checks": checks} if check else {}))
        return
    for mistake in listed["mistakes"]:
        typer.echo(visible(mistake), err=True)
    if not listed["servers"]:
        print("No database server is configured." if not listed["mistakes"] else "The servers' file can't be used.")
        return
    print_table(
        ("SERVER", "WHERE", "STATE", "SEEN", "DATABASES", "CONNECTIONS", "WHY"),
        [_row(each) for each in listed["servers"]],
    )
    if check:
        rows = [
            (name, each["purpose"], each["user"], each["layer"] or "ok", f"{each['took_ms']} ms", each["detail"])
            for name, found in checks.items()
            for each in found
        ]
        print_table(("SERVER", "FOR", "ACCOUNT", "ENDS AT", "TOOK", "WHY"), rows)


@app.command("list")
def list_(server: Server, url: Url = None, as_json: AsJson = False) -> None:
    """Show a server's databases."""
    with Client.connect(url) as client:
        found = client.get(_server(server))
    if as_json:
        print_json(found)
        return
    if found["state"] != "connected":
        typer.echo(f"{server} is {found['state']}: {visible(found['detail'])}", err=True)
        typer.echo(f"As it was seen: {local_time(found['seen_at']) or 'never'}", err=True)
    databases = found["seen"]["databases"] if found["seen"] else []
    rows = [
        (
            *(each["name"], _size(each["bytes"]), each["tables"], each["others"] or "", each["owner"] or ""),
            *(local_time(each["dumped_at"]), local_time(each["backed_up_at"])),
        )
        for each in databases
    ]
    print_table(("DATABASE", "SIZE", "TABLES", "NOT INNODB", "SITE", "DUMPED", "BACKED UP"), rows)


@app.command()
def show(
    where: Where,
    table: Annotated[str | None, typer.Argument(help="Show this table's structure.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show a database's tables, or one table's columns, indexes and keys."""
    with Client.connect(url) as client:
        found = client.get(_database(where) if table is None else _table(where, table))
    if as_json:
        print_json(found)
        return
    if table is None:
        for warning in found["warnings"]:
            progress(visible(warning))
        rows = [
            (each["name"], each["kind"], each["engine"] or "", _about(each["rows"]), _size(_bytes(each)))
            for each in found["tables"]
        ]
        print_table(("TABLE", "KIND", "ENGINE", "ROWS (ESTIMATE)", "SIZE"), rows)
        return
    columns = [
        (
            each["name"],
            each["type"],
            "" if each["is_nullable"] else "not null",
            each["key"],
            each["default"],
            each["extra"],
        )
        for each in found["columns"]
    ]
    print_table(("COLUMN", "TYPE", "NULL", "KEY", "DEFAULT", "EXTRA"), columns)
    pairs = [
        (f"index {each['name']}", ", ".join(each["columns"]) + (" unique" if each["is_unique"] else ""))
        for each in found["indexes"]
    ]
    for each in found["foreign_keys"]:
        to = f"{each['to_table']} ({', '.join(each['to_columns'])})"
        pairs.append((f"key {each['name']}", f"{', '.join(each['columns'])} -> {to}"))
    pairs += [(f"trigger {each['name']}", f"{each['timing']} {each['event']}") for each in found["triggers"]]
    print_pairs(pairs)


@app.command()
def rows(
    where: Where,
    table: Annotated[str, typer.Argument(help="The table's or the view's name.")],
    sort: Annotated[str | None, typer.Option(help="The column to sort by.")] = None,
    descending: Annotated[bool, typer.Option("--descending", help="From the last to the first.")] = False,
    only: Annotated[
        list[str] | None,
        typer.Option("--where", metavar="COLUMN:OP:VALUE", help="=, <>, <, <=, >, >=, contains, starts-with, null."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 50,
    after: Annotated[str | None, typer.Option(help="Where a page begins, as the one before said.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show rows of a table, a page at a time."""
    filters = json.dumps([_filter(each) for each in only]) if only else None
    with Client.connect(url) as client:
        page = client.get(
            f"{_table(where, table)}/rows", sort=sort, descending=descending, filters=filters, limit=limit, after=after
        )
    if as_json:
        print_json(page)
        return
    print_table(page["columns"], [list(map(_cell, row)) for row in page["rows"]])
    if page["after"]:
        progress(f"There are more: --after {page['after']}")


@app.command()
def processes(server: Server, url: Url = None, as_json: AsJson = False) -> None:
    """Show what a server is doing now."""
    with Client.connect(url) as client:
        found = client.get(f"{_server(server)}/processes")
    if as_json:
        print_json(found)
        return
    table = [
        (
            *(each["id"], each["user"], each["database"] or "", each["command"]),
            *(f"{each['seconds']:.1f}", _cut(each["statement"])),
        )
        for each in found["processes"]
    ]
    print_table(("ID", "ACCOUNT", "DATABASE", "COMMAND", "SECONDS", "STATEMENT"), table)


@app.command()
def kill(
    server: Server,
    process: Annotated[int, typer.Argument(min=1, help="Its id, as `processes` shows it.")],
    connection: Annotated[
        bool, typer.Option("--connection", help="End the connection, not only the statement.")
    ] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """End a statement, or the connection it came by."""
    wanted = {"what": "connection" if connection else "statement"}
    with Client.connect(url) as client:
        found = client.post(f"{_server(server)}/processes/{process}/kill", wanted)
    if as_json:
        print_json(found)
    else:
        print(f"The {found['what']} of process {process} was ended.")


@app.command()
def slow(
    server: Server,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show queries that took long, as far as the server keeps them."""
    with Client.connect(url) as client:
        found = client.get(f"{_server(server)}/slow", limit=limit)
    if as_json:
        print_json(found)
        return
    if found["source"] == "unknown":
        raise PortalError(f"slow queries are not known: {found['detail']}")
    print_table(
        ("AT", "SECONDS", "TIMES", "DATABASE", "EXAMINED", "STATEMENT"),
        [
            (local_time(each["at"]), f"{each['seconds']:.2f}", each["count"], each["database"] or "",
             each["rows_examined"], _cut(each["statement"]))
            for each in found["queries"]
        ],
    )  # fmt: skip


@app.command()
def accounts(server: Server, url: Url = None, as_json: AsJson = False) -> None:
    """Show a server's accounts and what they may do."""
    with Client.connect(url) as client:
        found = client.get(f"{_server(server)}/accounts")
    if as_json:
        print_json(found)
        return
    table = []
    for each in found["accounts"]:
        notes = ", ".join(
            filter(None, ("protected" if each["is_protected"] else "", "locked" if each["is_locked"] else ""))
        )
        grants = each["grants"] or [{"database": "", "privileges": [], "matches": []}]
        for number, grant in enumerate(grants):
            first = (each["name"], each["owner"] or "", notes) if number == 0 else ("", "", "")
            table.append((*first, grant["database"], ", ".join(grant["privileges"])))
    print_table(("ACCOUNT", "SITE", "", "ON", "MAY"), table)


# -- changing ---------------------------------------------------------------------------------------------------------


@app.command()
def create(
    where: Where,
    account: Annotated[str | None, typer.Option(help="The account's name; by default the database's.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Make an empty database and an account for it. Its password is printed once and kept nowhere."""
    server, database = _parts(where)
    wanted = {"database": database, "account": account}
    with Client.connect(url) as client:
        _with_password(client, client.post(f"{_server(server)}/databases", wanted), as_json=as_json)


@app.command()
def rotate(
    server: Server,
    account: Annotated[str, typer.Argument(metavar="USER@HOST", help="As `accounts` shows it.")],
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Give an account another password: printed once, or handed to the site that works with it."""
    with Client.connect(url) as client:
        path = f"{_server(server)}/accounts/{quote(account, safe='')}/rotate"
        _with_password(client, client.post(path), as_json=as_json)


@app.command()
def grant(
    where: Where,
    account: Annotated[str, typer.Argument(metavar="USER@HOST", help="As `accounts` shows it.")],
    privileges: Annotated[
        list[str] | None, typer.Argument(help="Such as SELECT INSERT; none at all takes all.")
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Let an account do exactly these things in a database."""
    server, database = _parts(where)
    wanted = {"database": database, "privileges": [each.upper() for each in privileges or []]}
    with Client.connect(url) as client:
        _done(
            client, client.put(f"{_server(server)}/accounts/{quote(account, safe='')}/grants", wanted), as_json=as_json
        )


@app.command()
def drop(
    where: Where,
    confirm: Confirm = None,
    account: Annotated[list[str] | None, typer.Option(help="An account that goes with it; repeatable.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Remove a database after a verified dump, which is kept for 30 days."""
    _, database = _parts(where)
    typed = confirm or _typed(f"This removes {where}. Type {database} to do it")
    with Client.connect(url) as client:
        parameters = {"typed_name": typed, "account": account}
        _done(client, client.request("DELETE", _database(where), parameters=parameters), as_json=as_json)


# -- dumps ------------------------------------------------------------------------------------------------------------


@app.command()
def dump(
    where: Where,
    to: Annotated[
        Path | None, typer.Option("--to", help="Write it to this new file; by default it is kept in the portal.")
    ] = None,
    compression: Annotated[Literal["none", "gz", "zst"], typer.Option(help="Of the file.")] = "zst",
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Dump a database: into the portal, where it is kept for 30 days, or into a file."""
    with Client.connect(url) as client:
        if to is None:
            _done(client, client.post(f"{_database(where)}/dumps"), as_json=as_json)
            return
        _write(client, f"{_database(where)}/dump", to, compression=compression)


@app.command()
def dumps(
    fetch: Annotated[str | None, typer.Option("--fetch", metavar="ID", help="Write this one to the file --to.")] = None,
    to: Annotated[Path | None, typer.Option("--to", help="The file to write; it must not exist.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show the dumps that the portal keeps, or fetch one."""
    if (fetch is None) != (to is None):
        raise typer.BadParameter("--fetch and --to belong together")
    with Client.connect(url) as client:
        if fetch is not None and to is not None:
            _write(client, f"/api/databases/dumps/{quote(fetch, safe='')}", to)
            return
        found = client.get("/api/databases/dumps")
    if as_json:
        print_json(found)
    elif not found["dumps"]:
        print("No dump is kept.")
    else:
        print_table(
            ("ID", "DATABASE", "WHY", "MADE", "KEPT UNTIL", "SIZE", "TABLES"),
            [
                (each["id"], f"{each['server']}/{each['database']}", each["why"], local_time(each["made_at"]),
                 local_time(each["kept_until"]), _size(each["bytes"]), each["tables"])
                for each in found["dumps"]
            ],
        )  # fmt: skip


@app.command()
def load(
    where: Where,
    file: Annotated[Path | None, typer.Argument(help="A dump: .sql, .sql.gz or .sql.zst, by its content.")] = None,
    kept: Annotated[str | None, typer.Option("--dump", metavar="ID", help="A dump that the portal keeps.")] = None,
    confirm: Confirm = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Load a dump. What the database holds is dumped first; then its name must be given with --confirm."""
    if (file is None) == (kept is None):
        raise typer.BadParameter("give either a file or --dump")
    with Client.connect(url) as client:
        wanted: dict[str, Any] = {"dump": kept} if file is None else {"upload": _upload(client, file)}
        _done(client, client.post(f"{_database(where)}/load", wanted | {"typed_name": confirm or ""}), as_json=as_json)


# -- parts ------------------------------------------------------------------------------------------------------------


def _upload(client: Client, path: Path) -> str:
    """Send a file piece by piece; return the upload's id."""
    try:
        size = path.stat().st_size
        file = path.open("rb")
    except OSError as error:
        raise PortalError(f"{path} cannot be read: {error.strerror}") from error
    with file:
        upload = client.post("/api/databases/uploads", {"name": path.name, "bytes": size})
        while piece := file.read(PIECE_BYTES):
            document = {"data": base64.b64encode(piece).decode()}
            upload = client.put(f"/api/databases/uploads/{upload['id']}/{upload['received']}", document)
            progress(f"{upload['received']} of {upload['bytes']} bytes sent")
    return str(upload["id"])


def _write(client: Client, path: str, to: Path, **parameters: object) -> None:
    try:
        file = to.open("xb")
    except OSError as error:
        raise PortalError(f"{to} cannot be written: {error.strerror}") from error
    try:
        with file, client.stream(path, **parameters) as parts:
            file.writelines(parts)
    except BaseException:
        to.unlink(missing_ok=True)  # it is ours, and it is not whole
        raise
    progress(f"{to}: {to.stat().st_size} bytes")


def _with_password(client: Client, answer: dict[str, Any], *, as_json: bool) -> None:
    operation = _ended(client, answer["operation"])
    if as_json:
        print_json(answer | {"operation": operation})
    elif operation["state"] == "done":
        print_pairs(
            [
                ("account", answer["account"]),
                ("password", answer["password"] or "handed to the site that works with it"),
            ]
        )
        return
    _require_done(operation, as_json=as_json)


def _done(client: Client, operation: dict[str, Any], *, as_json: bool) -> None:
    operation = _ended(client, operation)
    if as_json:
        print_json(operation)
    elif operation["state"] == "done":
        result = {name: value for name, value in (operation["result"] or {}).items() if value not in (None, [], False)}
        print_pairs([("done", operation["target"]), *((name, _said(value)) for name, value in result.items())])
    _require_done(operation, as_json=as_json)


def _require_done(operation: dict[str, Any], *, as_json: bool) -> None:
    if operation["state"] == "done":
        return
    if not as_json:
        error = operation["error"] or {}
        typer.echo(f"{operation['state']}: {visible(error.get('detail') or error.get('title') or '')}", err=True)
        if kept := (operation["result"] or {}).get("dump"):
            typer.echo(f"What was there before: homeport db load SERVER/DATABASE --dump {kept}", err=True)
    raise typer.Exit(1)


def _ended(client: Client, operation: dict[str, Any]) -> dict[str, Any]:
    told = 0
    while operation["state"] == "running":
        time.sleep(POLL_S)
        operation = client.get(f"/api/operations/{operation['id']}")
        for line in operation["lines"]:
            if line["number"] > told:
                told = line["number"]
                progress(visible(line["text"]))
    return operation


def _parts(where: str) -> tuple[str, str]:
    server, slash, database = where.partition("/")
    if not (server and slash and database):
        raise typer.BadParameter(f"{where!r} is not SERVER/DATABASE")
    return server, database


def _server(name: str) -> str:
    return f"/api/databases/{quote(name, safe='')}"


def _database(where: str) -> str:
    server, database = _parts(where)
    return f"{_server(server)}/{quote(database, safe='')}"


def _table(where: str, table: str) -> str:
    return f"{_database(where)}/{quote(table, safe='')}"


def _typed(question: str) -> str:
    if not sys.stdin.isatty():
        raise PortalError("give the database's name once more with --confirm")
    return str(typer.prompt(question, err=True))


def _filter(text: str) -> dict[str, str]:
    column, colon, rest = text.partition(":")
    condition, _, value = rest.partition(":")
    if not colon:
        raise typer.BadParameter(f"{text!r} is not COLUMN:OP:VALUE")
    return {"column": column, "is": condition, "value": value}


def _row(server: dict[str, Any]) -> tuple[object, ...]:
    seen = server["seen"] or {"databases": [], "connections": "", "max_connections": ""}
    return (
        *(server["name"], f"{server['host']}:{server['port']}", server["state"], local_time(server["seen_at"])),
        *(len(seen["databases"]), f"{seen['connections']}/{seen['max_connections']}", server["detail"]),
    )


def _cell(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, dict):
        return f"{_cut(value['shown'])} ({value['length']} {'characters' if value['kind'] == 'text' else 'bytes'})"
    return _cut(str(value))


def _cut(text: str | None) -> str:
    text = " ".join((text or "").split())
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"


def _said(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _about(rows: int | None) -> str:
    return "" if rows is None else f"~{rows}"


def _bytes(table: dict[str, Any]) -> int:
    return int(table["data_bytes"]) + int(table["index_bytes"])


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError("GiB returns")
