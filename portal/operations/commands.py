"""Operations: what runs and what ran, one of them in full, cancel it, follow it to its end.

Exit codes: 0 done · 1 refused or failed, said on standard error; also when the operation that was followed did not end
well · 2 wrong usage. With --json, standard output is one JSON document. The log of a followed operation goes to
standard error.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import typer

from kit.terminal import local_time, print_json, print_pairs, print_table, progress
from portal.client import AsJson, Client, NotReachable, Url

app = typer.Typer(no_args_is_help=True, help=__doc__, rich_markup_mode=None, add_completion=False)

TRIES = 5  # to get a lost stream back

OperationId = Annotated[str, typer.Argument(metavar="ID", help="As `homeport operations list` shows it.")]


@app.command("list")
def list_(
    state: Annotated[
        str | None, typer.Option(help="running, done, failed, cancelled, timed_out or interrupted.")
    ] = None,
    act: Annotated[str | None, typer.Option(help="Such as containers:restart.")] = None,
    target: Annotated[str | None, typer.Option(help="What it was done to, in full.")] = None,
    before: Annotated[str | None, typer.Option(metavar="ID", help="Only what is older than this operation.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show the newest operations that fit, newest first."""
    with Client.connect(url) as client:
        page = client.get("/api/operations", state=state, act=act, target=target, before=before, limit=limit)
    if as_json:
        print_json(page)
        return
    if not page["operations"]:
        print("Nothing fits.")
        return
    rows = [
        (each["id"], local_time(each["started_at"]), each["act"], each["target"], each["actor"]["name"], _state(each))
        for each in page["operations"]
    ]
    print_table(("ID", "STARTED", "ACT", "TARGET", "BY", "STATE"), rows)
    if page["before"]:
        print(f"There are older ones: --before {page['before']}")


@app.command()
def show(operation_id: OperationId, url: Url = None, as_json: AsJson = False) -> None:
    """Show one operation with its newest lines."""
    with Client.connect(url) as client:
        _show(client.get(_path(operation_id)), as_json=as_json)


@app.command()
def cancel(operation_id: OperationId, url: Url = None, as_json: AsJson = False) -> None:
    """Tell an operation's work to end. It has ended when `show` or `follow` says so."""
    with Client.connect(url) as client:
        operation = client.post(f"{_path(operation_id)}/cancel")
    if as_json:
        print_json(operation)
    else:
        print(f"{operation['act']} {operation['target']} was told to end; it is {_state(operation)}.")


@app.command()
def follow(operation_id: OperationId, url: Url = None, as_json: AsJson = False) -> None:
    """Show an operation's log as it grows, until it has ended. Ctrl-C ends the watching, not the operation."""
    with Client.connect(url) as client:
        operation = _follow(client, _path(operation_id))
    _show(operation, as_json=as_json, has_lines=False)
    if "done" not in (operation["state"], operation["outcome"]):
        raise SystemExit(1)


def _path(operation_id: str) -> str:
    if not operation_id.isalnum() or not operation_id.isascii():
        raise typer.BadParameter("an id is 26 letters and digits", param_hint="ID")
    return f"/api/operations/{operation_id.upper()}"


def _follow(client: Client, path: str) -> dict[str, Any]:
    """Tell every line once; return the operation when it has ended.

    An event only says that there is news. What is told is what the portal answers then, so that a stream that was cut
    or that missed something changes nothing.
    """
    told, tries_left = 0, TRIES
    while True:
        try:
            for _ in _news(client.lines("/api/events"), path.rpartition("/")[2]):
                tries_left = TRIES
                operation: dict[str, Any] = client.get(path)
                for line in operation["lines"]:
                    if line["number"] > told:
                        progress(line["text"])
                        told = line["number"]
                if operation["state"] != "running" and operation["outcome"] != "checking":
                    return operation
        except NotReachable:
            if tries_left == 0:
                raise
        tries_left -= 1
        if tries_left < 0:
            raise NotReachable("the portal ends every event stream; `homeport operations show` says how it went")


def _news(lines: Iterable[str], operation_id: str) -> Iterator[None]:
    """Given the lines of an event stream, yield whenever the operation may have changed; first of all at once."""
    topic = ""
    for line in lines:
        name, _, value = line.partition(": ")
        if name == "event":
            topic = value
        elif name == "data" and (
            topic == "ready" or (topic == "operations" and json.loads(value)["id"] == operation_id)
        ):
            yield


def _state(operation: dict[str, Any]) -> str:
    outcome = f" ({operation['outcome'].replace('_', ' ')})" if operation["outcome"] else ""
    return str(operation["state"]).replace("_", " ") + outcome


def _show(operation: dict[str, Any], *, as_json: bool, has_lines: bool = True) -> None:
    if as_json:
        print_json(operation)
        return
    done, of = operation["progress"]["done"], operation["progress"]["of"]
    error, inverse = operation["error"], operation["inverse"]
    pairs = [
        ("operation", operation["id"]),
        ("act", f"{operation['act']} {operation['target']}"),
        ("by", operation["actor"]["name"]),
        ("state", " ".join(filter(None, (_state(operation), operation["outcome_detail"])))),
        ("started", local_time(operation["started_at"])),
        ("ended", local_time(operation["ended_at"])),
        ("cancelled by", operation["cancelled_by"]),
        ("progress", None if done is None else f"{done} of {of}" if of is not None else str(done)),
        ("asked for", json.dumps(operation["detail"]) if operation["detail"] else None),
        ("result", None if operation["result"] is None else json.dumps(operation["result"])),
        ("error", error and ": ".join(filter(None, (error["title"], error["detail"])))),
        ("undo", inverse and f"{inverse['act']} {inverse['target']}"),
    ]
    if has_lines:
        pairs += [("log", line["text"]) for line in operation["lines"]]
    print_pairs((name, text) for name, text in pairs if text)
