"""What the room's commands have in common: the site's place, the end of an operation, a plan that is shown and done."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any
from urllib.parse import quote

import typer

from kit.terminal import print_json, print_table, progress, visible
from portal.client import Client, PortalError

Json = dict[str, Any]

POLL_S = 0.25
PLANS = "/api/wordpress/plans"

Site = Annotated[str, typer.Argument(help="The site's name, as `list` shows it.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask. Needed without a terminal.")]
PlanOnly = Annotated[bool, typer.Option("--plan", help="Show what would change, and change nothing.")]
WithoutPoint = Annotated[
    bool, typer.Option("--without-restore-point", help="Do what has no way back although no backup is connected.")
]


def site_path(site: str) -> str:
    return f"/api/wordpress/sites/{quote(site, safe='')}"


def ended(client: Client, operation: Json) -> Json:
    """The operation when it has ended; its lines go to standard error meanwhile."""
    shown = 0
    while True:
        operation = client.get(f"/api/operations/{operation['id']}")
        for line in operation.get("lines", ()):
            if line["number"] > shown:
                progress(f"{operation['target']}: {line['text']}")
                shown = line["number"]
        if operation["state"] != "running":
            return operation
        time.sleep(POLL_S)


def require_done(operation: Json) -> None:
    """Raise PortalError unless the operation went well."""
    if operation["state"] != "done":
        error = operation.get("error") or {}
        detail = f"{error.get('title', '')}: {error.get('detail', '')}".strip(": ")
        raise PortalError(f"{operation['state']}: {visible(detail)}".rstrip(": "), problem=error)


def planned(client: Client, path: str, wanted: Json) -> Json:
    """POST for a plan, or to one. When it is refused as stale, show the plan that takes its place before raising."""
    try:
        answer: Json = client.post(path, wanted)
    except PortalError as error:
        if "plan" in error.problem:
            show_plan(error.problem["plan"], is_error=True)
        raise
    return answer


def carry_out(
    client: Client, plan: Json, *, is_only_shown: bool, is_sure: bool, is_without_point: bool, as_json: bool
) -> None:
    """Show a plan, and do it after a yes."""
    if is_only_shown or not plan["changes"]:
        print_json(plan) if as_json else show_plan(plan)
        return
    if not as_json:
        show_plan(plan)
    if not is_sure:
        if as_json or not sys.stdin.isatty():
            raise PortalError("there is nobody to ask; --yes does it without asking, --plan only shows it")
        typer.confirm("Do this?", abort=True, err=True)
    apply(client, plan["id"], is_without_point=is_without_point, as_json=as_json)


def apply(client: Client, plan_id: str, *, is_without_point: bool, as_json: bool) -> None:
    wanted = {"without_restore_point": is_without_point}
    operation = ended(client, planned(client, f"{PLANS}/{quote(plan_id.upper(), safe='')}/apply", wanted))
    if as_json:
        print_json(operation)
    else:
        for each in (operation["result"] or {}).get("results", ()):
            why = visible((each["problem"] or {}).get("detail", ""))
            typer.echo(f"{visible(each['name'])}: {each['state']} {why}".strip())
        typer.echo(f"The way back: homeport wordpress undo {plan_id}")
    require_done(operation)


def show_plan(plan: Json, *, is_error: bool = False) -> None:
    """is_error: to standard error, beside a refusal."""
    if is_error:
        for each in plan["changes"]:
            typer.echo(f"{visible(each['name'])}: {said(each['before'])} -> {said(each['after'])}", err=True)
        return
    if not plan["changes"]:
        typer.echo("Nothing has to change.")
        return
    rows = [
        (each["name"], said(each["before"]), said(each["after"]), each["source"] or "", ", ".join(each["suffers"]))
        for each in plan["changes"]
    ]
    print_table(("NAME", "NOW", "THEN", "FROM", "WHAT SUFFERS"), rows)
    if plan["restore_point"] == "none":
        typer.echo("There is no way back, and no backup is connected: --without-restore-point does it.", err=True)
    elif plan["restore_point"] == "first":
        typer.echo("A restore point is made first.", err=True)


def said(value: Any) -> str:
    if isinstance(value, dict) and "tables" in value:
        return f"{value['replacements']} to replace"
    if isinstance(value, dict):
        return " ".join(str(each) for each in value.values() if each is not None)
    return "" if value is None else visible(str(value))


def size(value: int | None) -> str:
    """Binary units."""
    if value is None:
        return ""
    amount = float(value)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"
