"""What the room's commands have in common: a plan for the eye, an operation followed to its end.

Contents, comments and names are strangers' text; `kit.terminal` shows what a terminal would obey.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import typer

from kit.terminal import print_json, progress, visible
from portal.client import Client, PortalError

Json = dict[str, Any]

POLL_S = 0.25
SHOWN_CHARACTERS = 120  # of one content
SIGNS = {"create": "+", "change": "~", "delete": "-"}


def show_plan(plan: Json, *, as_json: bool) -> None:
    """Print a plan, and the command that applies it."""
    if as_json:
        print_json(plan)
        return
    for change in plan["changes"]:
        typer.echo("\n".join(map(visible, change_lines(change))))
    counts = plan["counts"]
    wanted = sum(counts.get(act, 0) for act in SIGNS)
    if (more := wanted - len(plan["changes"])) > 0:
        typer.echo(f"... and {more:,} more")
    for line in plan["skipped"]:
        typer.echo(visible(f"left alone: {line['text']}"), err=True)
    if plan["silent_rooms"]:
        typer.echo(f"Not known, because it gave no answer: {', '.join(plan['silent_rooms'])}", err=True)
    if not wanted:
        typer.echo("Nothing has to change.")
        return
    typer.echo(", ".join(f"{counts[act]:,} to {act}" for act in SIGNS if counts.get(act)))
    if plan["batches"] > 1:
        typer.echo(f"In {plan['batches']} transactions, one after another: what fails in between is put back.")
    typer.echo(f"To do it: homeport dns apply {plan['id']}")


def change_lines(change: Json) -> Iterator[str]:
    """A change as it is read: the record, what of it differs, and what is to be said of it."""
    sign, before, after = SIGNS[change["act"]], change["before"], change["after"]
    if before and after:
        yield f"{sign} {change['name']}"
        for part in change["fields"]:
            yield f"    {part}: {part_text(before, part)} -> {part_text(after, part)}"
    else:
        record = after or before
        yield f"{sign} {change['name']}  {record_text(record)}"
    uses = change.get("used_by", ())
    if uses is None:
        yield "    used by: not asked, the plan has too many changes"
    elif uses:
        yield "    used by: " + ", ".join(f"{use['kind']} {use['name']}" for use in uses)
    for warning in change.get("warnings", ()):
        yield f"    {warning['severity']}: {warning['text']}"


def record_text(record: Json) -> str:
    """What a record says, on one line."""
    priority = "" if record["priority"] is None else f"{record['priority']} "
    parts = (
        f"{priority}{clipped(record['content'])}",
        f"ttl {ttl_text(record['ttl'])}",
        "proxied" if record["proxied"] else "",
        f"comment {clipped(record['comment'])!r}" if record["comment"] else "",
        f"tags {', '.join(record['tags'])}" if record["tags"] else "",
    )
    return "  ".join(filter(None, parts))


def part_text(record: Json, part: str) -> str:
    """One field of a record; `part` is a member of the API's record, or of its data: "data.port"."""
    name, _, inner = part.partition(".")
    value = record.get(name)
    if inner and isinstance(value, dict):
        value = value.get(inner)
    if name == "ttl":
        return ttl_text(value or 1)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value in ("", [], {}):
        return "none"
    return clipped(", ".join(value) if isinstance(value, list) else str(value))


def ttl_text(ttl: int) -> str:
    return "auto" if ttl == 1 else str(ttl)


def clipped(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}... ({len(text):,} characters)"


def or_new_plan(
    client: Client, path: str, wanted: Json, *, as_json: bool, show: Callable[..., None] = show_plan
) -> Json:
    """POST to a plan. When it is refused as stale, show the plan that takes its place before raising.

    show   prints a plan of this room, given `as_json`
    """
    try:
        answer: Json = client.post(path, wanted)
    except PortalError as error:
        if plan := error.problem.get("plan"):
            show(plan, as_json=as_json)
        raise
    return answer


def ended(client: Client, operation: Json) -> Json:
    """The operation when it has ended; its lines go to standard error meanwhile."""
    shown = 0
    while True:
        operation = client.get(f"/api/operations/{operation['id']}")
        for line in operation["lines"]:
            if line["number"] > shown:
                progress(f"{operation['target']}: {line['text']}")
                shown = line["number"]
        if operation["state"] != "running":
            return operation
        time.sleep(POLL_S)


def show_end(operation: Json, *, as_json: bool, back: str) -> None:
    """Print how an operation ended; exit with 1 when it didn't end well. back: the command that takes it back."""
    if as_json:
        print_json(operation)
    else:
        problem = operation["error"] or {}
        why = problem.get("detail") or problem.get("title") or ""
        typer.echo(visible(f"{operation['state'].replace('_', ' ')} {why}".strip()))
        if operation["state"] == "done":
            typer.echo(f"The way back: {back}")
    if operation["state"] != "done":
        raise typer.Exit(1)
