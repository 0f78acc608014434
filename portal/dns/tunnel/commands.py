"""The tunnel's public hostnames: each a route in the tunnel and a record in DNS, made and removed together.

Every change is a plan. `add`, `remove`, `sweep`, `protect` and `undo` show what would change and change nothing;
`apply` does what was shown, or nothing when something has changed since.

A route is named by its hostname, with its path behind it where it has one: app.example.com/api. A service is
http://CONTAINER:PORT, https://CONTAINER:PORT or http_status:NNN.

Exit codes: 0 done, or shown · 1 refused or failed, said on standard error · 2 wrong usage. With --json, standard output
is one JSON document. A removal, and more than one change at once, asks for a fresh factor on the terminal.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import quote

import typer

from kit.terminal import local_time, print_json, print_table, visible
from portal.client import AsJson, Client, PortalError, Url
from portal.dns.command_line.asking import plan_id_of
from portal.dns.command_line.printing import clipped, ended, or_new_plan, show_end
from portal.dns.tunnel.schemas import MAX_ROUTES
from portal.dns.tunnel.targets import clean_hostname

app = typer.Typer(no_args_is_help=True, help=__doc__, rich_markup_mode=None, add_completion=False)

Json = dict[str, Any]
PATH = "/api/dns/tunnel"

Routes = Annotated[list[str], typer.Argument(metavar="ROUTE...", help="As `routes` shows them.")]
Protect = Annotated[
    bool, typer.Option("--protect", help="Also the rules in front of the mail API; only with --role mail-api.")
]
Reason = Annotated[str | None, typer.Option(help="Kept with the operation.")]


@app.command()
def routes(url: Url = None, as_json: AsJson = False) -> None:
    """Show the tunnel, its routes, the rules in front of the mail API, and what is orphaned on either side."""
    with Client.connect(url) as client:
        found = client.get(PATH)
    if as_json:
        print_json(found)
        return
    tunnel = found["tunnel"]
    if tunnel is None:
        print("No tunnel is known.")
    else:
        version = "on its host" if tunnel["version"] is None else f"version {tunnel['version']}"
        typer.echo(visible(f"{tunnel['name']} ({tunnel['id']}): {tunnel['status']}, configuration {version}"))
        rows = [
            (each["name"], each["service"], each["target_state"], _record(each), " ".join(each["trouble"]))
            for each in tunnel["routes"]
        ]
        if rows:
            print_table(("ROUTE", "SERVICE", "CONTAINER", "RECORD", "TROUBLE"), rows)
        typer.echo(visible(f"Every other hostname: {tunnel['fallback'] or 'nothing'}"))
    for rule in found["protection"]:
        typer.echo(visible(f"{rule['kind']} of {rule['hostname']}: {rule['state']} {rule['detail']}".rstrip()))
    for orphan in found["orphans"]:
        typer.echo(visible(f"orphan: {orphan['kind']} {orphan['name']} ({orphan['why']})"))
    if found["orphans"]:
        print("To sweep them: homeport tunnel sweep")
    if found["silent"]:
        typer.echo(visible(f"Not known, because it gave no answer: {', '.join(found['silent'])}"), err=True)
    if found["connection"]["state"] != "connected":
        typer.echo(visible(f"Cloudflare: {found['connection']['detail']}"), err=True)
        typer.echo(f"Last read: {local_time(found['read_at']) or 'never'}", err=True)


@app.command()
def add(
    hostname: Annotated[str, typer.Argument(help="Such as app.example.com, or *.example.com.")],
    service: Annotated[str, typer.Argument(help="Such as http://blog-nginx:80.")],
    path: Annotated[str | None, typer.Option(help="A regular expression over the path, such as /api.")] = None,
    role: Annotated[Literal["site", "webmail", "mail-api", "other"], typer.Option()] = "other",
    protect: Protect = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show what making a hostname public would change, or leading it elsewhere. Changes nothing."""
    route = {"hostname": hostname, "path": path, "service": service, "role": role}
    _plan({"add": [route], "protect": protect}, url, as_json=as_json)


@app.command()
def remove(names: Routes, url: Url = None, as_json: AsJson = False) -> None:
    """Show what removing routes would change; each hostname's record goes with its last route. Changes nothing."""
    _plan({"remove": names}, url, as_json=as_json)


@app.command()
def sweep(url: Url = None, as_json: AsJson = False) -> None:
    """Show what removing every orphan would change: records to no route, routes to nothing that runs."""
    with Client.connect(url) as client:
        found = client.get(PATH)
        orphans = found["orphans"]
        if found["silent"] and not as_json:
            typer.echo(visible(f"Not known, because it gave no answer: {', '.join(found['silent'])}"), err=True)
        if not orphans and not as_json:
            print("Nothing is orphaned, as far as is known.")
            return
        wanted = {
            "remove": [each["name"] for each in orphans[:MAX_ROUTES] if each["kind"] == "route"],
            "remove_records": [each["name"] for each in orphans[:MAX_ROUTES] if each["kind"] == "record"],
        }
        _show_plan(client.post(f"{PATH}/plans", wanted), as_json=as_json)
        if len(orphans) > MAX_ROUTES:
            left = len(orphans) - MAX_ROUTES
            typer.echo(f"{left} more are left for another plan: apply this one, then sweep again.", err=True)


@app.command()
def protect(
    hostname: Annotated[str, typer.Argument(help="The mail API's hostname.")], url: Url = None, as_json: AsJson = False
) -> None:
    """Show what bringing the rules in front of the mail API about would change. Changes nothing."""
    try:
        name = clean_hostname(hostname)
    except ValueError as error:
        raise PortalError(visible(str(error))) from None
    with Client.connect(url) as client:
        tunnel = client.get(PATH)["tunnel"] or {"routes": []}
        found = [each for each in tunnel["routes"] if each["hostname"] == name]
        if not found:
            raise PortalError(f"the tunnel has no route {visible(hostname)}: `homeport tunnel add` makes one")
        add = [{name: each[name] for name in ("hostname", "path", "service")} | {"role": "mail-api"} for each in found]
        _show_plan(client.post(f"{PATH}/plans", {"add": add, "protect": True}), as_json=as_json)


@app.command()
def apply(
    plan_id: Annotated[str, typer.Argument(metavar="PLAN", help="As a plan shows it.")],
    reason: Reason = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Do what was planned. When something has changed since, nothing is done and the new plan is shown: exit code 1."""
    with Client.connect(url) as client:
        wanted = {"reason": reason} if reason else {}
        operation = or_new_plan(client, f"{_plan_path(plan_id)}/apply", wanted, as_json=as_json, show=_show_plan)
        show_end(ended(client, operation), as_json=as_json, back=f"homeport tunnel undo {operation['id']}")


@app.command()
def undo(
    applied: Annotated[str, typer.Argument(metavar="OPERATION", help="What applied a plan, or the plan.")],
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show the way back from a plan that was applied, as a plan to `apply`. Changes nothing."""
    with Client.connect(url) as client:
        plan_id = plan_id_of(client, applied)
        path = f"{_plan_path(plan_id)}/undo"
        _show_plan(or_new_plan(client, path, {}, as_json=as_json, show=_show_plan), as_json=as_json)


def _plan(wanted: Json, url: str | None, *, as_json: bool) -> None:
    with Client.connect(url) as client:
        _show_plan(client.post(f"{PATH}/plans", wanted), as_json=as_json)


def _show_plan(plan: Json, *, as_json: bool) -> None:
    if as_json:
        print_json(plan)
        return
    for change in plan["changes"]:
        before, after = change["before"], change["after"]
        sign = "+" if before is None else "-" if after is None else "~"
        texts = [_value(value) for value in (before, after) if value is not None]
        typer.echo(visible(f"{sign} {change['name']}  {' -> '.join(texts)}"))
        if change["used_by"]:
            uses = ", ".join(f"{use['kind']} {use['name']}" for use in change["used_by"])
            typer.echo(visible(f"    used by: {uses}"))
    for warning in plan["warnings"]:
        typer.echo(visible(f"{warning['name']}: {warning['text']}"), err=True)
    if plan["silent_rooms"]:
        typer.echo(f"Not known, because it gave no answer: {', '.join(plan['silent_rooms'])}", err=True)
    if plan["changes"]:
        print(f"To do it: homeport tunnel apply {plan['id']}")
    else:
        print("Nothing has to change.")


def _value(value: Json) -> str:
    """The part of a route, a record or a rule that says what it does."""
    text = clipped(str(value.get("service") or value.get("content") or value.get("expression") or ""))
    return text if value.get("enabled", True) else f"{text} (off)"


def _record(route: Json) -> str:
    if route["record"] is None:
        return ""
    return "ours" if route["is_ours"] else "there"


def _plan_path(plan_id: str) -> str:
    return f"{PATH}/plans/{quote(plan_id.upper(), safe='')}"
