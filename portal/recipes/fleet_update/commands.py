"""`homeport wordpress update` and `homeport wordpress probes`: a client of the routes."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any
from urllib.parse import quote

import typer

from kit.terminal import local_time, print_json, print_pairs, print_table, progress, visible
from portal.client import AsJson, Client, PortalError, Url
from portal.wordpress.asking import site_path

POLL_S = 0.5
UPDATES = "/api/wordpress/updates"


def update(
    sites: Annotated[list[str] | None, typer.Argument(help="The sites; all when none is named.")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Show what would be updated, and change nothing.")] = False,
    plugins: Annotated[bool, typer.Option(help="Update plugins.")] = True,
    themes: Annotated[bool, typer.Option(help="Update themes.")] = True,
    core: Annotated[bool, typer.Option(help="Update WordPress itself.")] = True,
    ring: Annotated[int | None, typer.Option(min=1, max=2, help="Only the sites of this ring.")] = None,
    soak_minutes: Annotated[int, typer.Option(min=0, max=1440, help="Minutes between the rings.")] = 30,
    is_sure: Annotated[bool, typer.Option("--yes", help="Do not ask. Needed without a terminal.")] = False,
    show: Annotated[str | None, typer.Option(metavar="ID", help="Show how an update went, and do nothing.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Update sites safely: ring 1, a while, the rest; a restore point before each, and back to it where one is harmed.

    Exit codes: 0 every site came through, or nothing to do · 1 stopped, refused or failed · 2 wrong usage.
    """
    with Client.connect(url) as client:
        if show is not None:
            _print_report(client.get(f"{UPDATES}/{quote(show, safe='')}"), as_json=as_json)
            return
        wanted: dict[str, Any] = {"plugins": plugins, "themes": themes, "core": core, "soak_minutes": soak_minutes}
        wanted |= {"sites": sites} if sites else {}
        wanted |= {"rings": [ring]} if ring else {}
        made = client.post(f"{UPDATES}/plans", wanted)
        if plan or not made["changes"]:
            print_json(made) if as_json else _print_plan(made)
            return
        if not (as_json and is_sure):
            _print_plan(made, to_stderr=as_json)
        if not is_sure:
            if not sys.stdin.isatty():
                raise PortalError("there is no terminal to ask on; --yes does it without asking")
            typer.confirm("Do this?", abort=True, err=True)
        operation = ended(client, client.post(f"{UPDATES}/plans/{made['id']}/apply", {}))
        report = client.get(f"{UPDATES}/{operation['id']}")
    _print_report(report, as_json=as_json)
    require_done(operation)


def probes(
    site: Annotated[str, typer.Argument(help="The site's name.")], url: Url = None, as_json: AsJson = False
) -> None:
    """Show what was measured of a site: uptime, answer times, certificate, and whether the edge can stand in for it."""
    with Client.connect(url) as client:
        found = client.get(f"{site_path(site)}/probes")
    if as_json:
        print_json(found)
        return
    rows = []
    for each in found["probes"]:
        value = "unknown" if each["value"] is None else f"{each['value']} {each['unit']}".strip()
        at = local_time(each["measured_at"]) or "never"
        rows.append((each["name"], each["status"], value, each["limit"], at, visible(each["detail"])))
    print_table(("PROBE", "STATUS", "VALUE", "LIMIT", "MEASURED", ""), rows)


def ended(client: Client, operation: dict[str, Any]) -> dict[str, Any]:
    """Wait for an operation, telling what it says."""
    told = 0
    while True:
        operation = client.get(f"/api/operations/{operation['id']}")
        for line in operation["lines"]:
            if line["number"] > told:
                progress(visible(line["text"]))
                told = line["number"]
        if operation["state"] != "running":
            return operation
        time.sleep(POLL_S)


def require_done(operation: dict[str, Any]) -> None:
    """Exit 1, saying why, when it did not go well."""
    if operation["state"] != "done":
        error = operation["error"] or {}
        said = ": ".join(filter(None, (error.get("title"), error.get("detail"))))
        raise PortalError(said or f"the operation is {operation['state']}: {operation['outcome_detail']}")


def _print_plan(plan: dict[str, Any], *, to_stderr: bool = False) -> None:
    lines = [f"{len(plan['changes'])} updates" if plan["changes"] else "Nothing to update."]
    for ring in plan["rings"]:
        lines.append(f"ring {ring['ring']}")
        for site in ring["sites"]:
            lines.append(f"  {site['site']}")
            lines += [f"      {each['name']}: {each['before']} -> {each['after']}" for each in site["updates"]]
    lines += [f"left out: {each['site']}: {each['why']}" for each in plan["left_out"]]
    for line in lines:
        typer.echo(visible(line), err=to_stderr)


def _print_report(report: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(report)
        return
    print_pairs(
        [
            ("update", report["id"]),
            ("state", report["state"]),
            ("began", local_time(report["began_at"])),
            ("ended", local_time(report["ended_at"]) or "not yet"),
            ("stopped", visible(report["stopped"]) or "no"),
        ]
    )
    rows = [(s["site"], s["ring"], s["state"], s["point"] or "", visible(s["reason"])) for s in report["sites"]]
    print_table(("SITE", "RING", "STATE", "RESTORE POINT", ""), rows)
