"""`homeport wordpress mail ...`: a client of the routes."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from kit.terminal import print_json, print_table, visible
from portal.client import AsJson, Client, PortalError, Url
from portal.recipes.fleet_update.commands import ended, require_done
from portal.wordpress.asking import site_path

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, add_completion=False)

PATH = "/api/wordpress/mail"

Sites = Annotated[list[str] | None, typer.Argument(help="The sites; all when none is named.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask. Needed where there is no terminal to ask on.")]
PlanOnly = Annotated[bool, typer.Option("--plan", help="Show what would change, and change nothing.")]


@app.callback()
def mail() -> None:
    """The mail that sites send: who they send as, through our own submission server."""


@app.command("list")
def list_(url: Url = None, as_json: AsJson = False) -> None:
    """Show each site's sender, and what is missing before sites can send."""
    with Client.connect(url) as client:
        found = client.get(PATH)
    if as_json:
        print_json(found)
        return
    rows = [(each["site"], each["sender"] or "none", visible(each["sender_name"])) for each in found["sites"]]
    print_table(("SITE", "SENDER", "NAME"), rows)
    for line in found["not_ready"]:
        typer.echo(f"missing: {line}", err=True)


@app.command()
def configure(
    sites: Sites = None,
    domain: Annotated[str | None, typer.Option(help="The mail domain in which each site gets an account.")] = None,
    plan: PlanOnly = False,
    is_sure: Yes = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Give sites an account of their own, and have them send through our submission server."""
    _carry_out(
        {"act": "configure", "sites": sites, "domain": domain}, url, is_plan=plan, is_sure=is_sure, as_json=as_json
    )


@app.command()
def remove(
    sites: Sites = None, plan: PlanOnly = False, is_sure: Yes = False, url: Url = None, as_json: AsJson = False
) -> None:
    """Let sites send no mail through our server any more; the accounts that were made for them are disabled."""
    _carry_out({"act": "remove", "sites": sites}, url, is_plan=plan, is_sure=is_sure, as_json=as_json)


@app.command("test")
def send_test(
    site: Annotated[str, typer.Argument(help="The site's name.")], url: Url = None, as_json: AsJson = False
) -> None:
    """Have the site send a mail by its own WordPress, and wait until it is in a mailbox of ours."""
    with Client.connect(url) as client:
        operation = ended(client, client.post(f"{site_path(site)}/mail-test", {}))
    if as_json:
        print_json(operation)
    require_done(operation)
    if not as_json:
        print(f"Arrived after {operation['result']['seconds']:g} s.")


def _carry_out(wanted: dict[str, Any], url: str | None, *, is_plan: bool, is_sure: bool, as_json: bool) -> None:
    with Client.connect(url) as client:
        made = client.post(f"{PATH}/plans", {name: value for name, value in wanted.items() if value})
        if not (as_json and is_sure) or is_plan or not made["changes"]:
            _print_plan(made, as_json=as_json)
        if is_plan or not made["changes"]:
            return
        if not is_sure:
            if not sys.stdin.isatty():
                raise PortalError("there is no terminal to ask on; --yes does it without asking")
            typer.confirm("Do this?", abort=True, err=True)
        operation = ended(client, client.post(f"{PATH}/plans/{made['id']}/apply", {}))
    if as_json:
        print_json(operation)
    require_done(operation)
    if not as_json:
        print("Done.")


def _print_plan(plan: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(plan)
        return
    print(f"{len(plan['changes'])} sites to change" if plan["changes"] else "Nothing to change.")
    for change in plan["changes"]:
        before, after = ((each or {}).get("sender", "none") for each in (change["before"], change["after"]))
        print(visible(f"  {change['name']}: {before} -> {after}"))
