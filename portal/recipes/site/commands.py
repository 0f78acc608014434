"""Sites as a whole: make one, remove one, bring one in from elsewhere.

Each shows its plan first and asks. A step that fails has those before it taken back; what was there before is never
touched. `remove` makes a final restore point, keeps a dump of the database, and puts the files aside. What a stopped
portal has left half done is listed by `unfinished`, and finished or taken back from there.

Exit codes: 0 done · 1 refused or failed, said on standard error · 2 wrong usage. With --json, standard output is one
JSON document. Progress goes to standard error.
"""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any
from urllib.parse import quote

import typer

from kit.terminal import local_time, print_json, print_table, progress, visible
from portal.client import AsJson, Client, PortalError, Url

app = typer.Typer(no_args_is_help=True, help=__doc__, rich_markup_mode=None, add_completion=False)

POLL_S = 0.5
PATH = "/api/sites"

Name = Annotated[str, typer.Argument(help="What the site is called here: a-z, 0-9 and -, at most 31.")]
Hostnames = Annotated[list[str], typer.Option("--host", help="A host name; several times, the primary one first.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask. Needed where there is no terminal to ask on.")]
PlanOnly = Annotated[bool, typer.Option("--plan", help="Show what would be done, and change nothing.")]
Reason = Annotated[str | None, typer.Option(help="Why; it is kept in the audit.")]
Ring = Annotated[int, typer.Option(min=1, max=2, help="1 is updated first, 2 with the rest.")]
Server = Annotated[str | None, typer.Option(help="Database server; by default the blog stack's.")]
Private = Annotated[bool, typer.Option("--private", help="Without a route of the tunnel and without records.")]


@app.command()
def add(
    site: Name,
    host: Hostnames,
    title: Annotated[str, typer.Option(help="The site's title.")],
    admin: Annotated[str, typer.Option(help="Login of its first administrator.")],
    email: Annotated[str, typer.Option(help="That user's address.")],
    locale: Annotated[str | None, typer.Option(help="Such as ja; by default English.")] = None,
    ring: Ring = 2,
    server: Server = None,
    private: Private = False,
    plan: PlanOnly = False,
    is_sure: Yes = False,
    reason: Reason = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Make a new, empty WordPress. Nobody knows its password: one is set, and shown once, at the end."""
    wanted: dict[str, Any] = {"act": "add", "site": site, "hostnames": host, "title": title, "admin_login": admin}
    wanted |= {"admin_email": email, "locale": locale, "ring": ring, "server": server, "is_public": not private}
    with Client.connect(url) as client:
        operation = _carried_out(client, wanted, None, reason, is_plan=plan, is_sure=is_sure, as_json=as_json)
        if operation is None:
            return
        _require_done(operation, as_json=as_json)
        path = f"/api/wordpress/sites/{quote(site, safe='')}/users/{quote(admin, safe='')}/password"
        try:
            login = client.post(path, {})
        except PortalError as error:
            progress(f"the site is there, but no password was set: {error}; `homeport wordpress password` sets one")
            login = None
    if as_json:
        print_json({"operation": operation, "login": login})
        return
    print(f"Done: https://{host[0]}/")
    if login is not None:
        print(f"Log in at https://{host[0]}/wp-login.php as {login['login']}")
        print(f"with the password {login['password']}  (shown this once)")


@app.command()
def remove(
    site: Name,
    without_restore_point: Annotated[
        bool, typer.Option("--without-restore-point", help="Also where no final restore point can be made.")
    ] = False,
    plan: PlanOnly = False,
    is_sure: Yes = False,
    confirm: Annotated[str | None, typer.Option(help="The site's name once more.")] = None,
    reason: Reason = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Remove a site, after a final restore point. Its files are put aside, and a dump of its database is kept."""
    wanted = {"act": "remove", "site": site, "without_restore_point": without_restore_point}
    with Client.connect(url) as client:
        operation = _carried_out(client, wanted, confirm, reason, is_plan=plan, is_sure=is_sure, as_json=as_json)
    _finish(operation, as_json=as_json)


@app.command("import")
def import_(
    site: Name,
    host: Hostnames,
    archive: Annotated[str, typer.Option(help="The archive of its files in the import directory.")],
    dump: Annotated[str, typer.Option(help="The dump of its database there.")],
    old_url: Annotated[
        str | None, typer.Option("--old-url", help="Its address until now, replaced by the new one in its content.")
    ] = None,
    ring: Ring = 2,
    server: Server = None,
    private: Private = False,
    plan: PlanOnly = False,
    is_sure: Yes = False,
    reason: Reason = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Bring in a WordPress from elsewhere, out of an archive of its files and a dump of its database."""
    wanted: dict[str, Any] = {"act": "import", "site": site, "hostnames": host, "archive": archive, "dump": dump}
    wanted |= {"old_url": old_url, "ring": ring, "server": server, "is_public": not private}
    with Client.connect(url) as client:
        operation = _carried_out(client, wanted, None, reason, is_plan=plan, is_sure=is_sure, as_json=as_json)
    _finish(operation, as_json=as_json)


@app.command()
def imports(url: Url = None, as_json: AsJson = False) -> None:
    """Show what lies in the import directory."""
    with Client.connect(url) as client:
        listed = client.get(f"{PATH}/imports")
    if as_json:
        print_json(listed)
        return
    rows = [
        (each["name"], each["kind"], str(each["bytes"]), local_time(each["changed_at"])) for each in listed["files"]
    ]
    if rows:
        print_table(("NAME", "KIND", "BYTES", "CHANGED"), rows)
    else:
        print(listed["detail"] or "There is no archive and no dump.")


@app.command()
def unfinished(
    run: Annotated[str | None, typer.Argument(help="The run to go on with; without it, all are shown.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Do what is left of it.")] = False,
    revert: Annotated[bool, typer.Option("--revert", help="Take back what it made.")] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show what was left half done; finish it, or take it back."""
    if (run is None) == (resume or revert) or (resume and revert):
        raise typer.BadParameter("a run and one of --resume and --revert, or none of them")
    with Client.connect(url) as client:
        if run is None:
            _print_unfinished(client.get(f"{PATH}/unfinished"), as_json=as_json)
            return
        way = "resume" if resume else "revert"
        operation = _ended(client, client.post(f"{PATH}/unfinished/{quote(run, safe='')}/{way}", {}))
    _finish(operation, as_json=as_json)


# -- what they share --------------------------------------------------------------------------------------------------


def _carried_out(
    client: Client,
    wanted: dict[str, Any],
    confirm: str | None,
    reason: str | None,
    *,
    is_plan: bool,
    is_sure: bool,
    as_json: bool,
) -> dict[str, Any] | None:
    """Plan, ask and apply; return the operation when it has ended. None: only the plan was wanted."""
    plan = client.post(f"{PATH}/plans", wanted)
    conflicts = [f"{visible(each['what'])} ({visible(each['way_out'])})" for each in plan["conflicts"]]
    if is_plan or conflicts:
        if as_json:
            print_json(plan)
        else:
            _print_plan(plan)
        if conflicts:
            raise PortalError("; ".join(conflicts))
        return None
    if not as_json or not is_sure:
        _print_plan(plan, to_stderr=as_json)
    if not is_sure:
        if not sys.stdin.isatty():
            raise PortalError("there is no terminal to ask on; --yes does it without asking")
        typer.confirm("Do this?", abort=True, err=True)
    typed = confirm
    if plan["needs_typed_name"] and typed is None and sys.stdin.isatty():
        typed = typer.prompt(f"The site goes. Type {plan['site']}", err=True)
    asked = {"typed_names": [typed] if typed else [], "reason": reason}
    return _ended(client, client.post(f"{PATH}/plans/{plan['id']}/apply", asked))


def _ended(client: Client, operation: dict[str, Any]) -> dict[str, Any]:
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


def _finish(operation: dict[str, Any] | None, *, as_json: bool) -> None:
    """Print how it ended; exit 1 when it did not go well. None: there was nothing but a plan."""
    if operation is None:
        return
    _require_done(operation, as_json=as_json)
    if as_json:
        print_json(operation)
    else:
        print("Done.")


def _require_done(operation: dict[str, Any], *, as_json: bool) -> None:
    if operation["state"] == "done":
        return
    if as_json:
        print_json(operation)
    error = operation["error"] or {}
    said = ": ".join(filter(None, (error.get("title"), error.get("detail"))))
    raise PortalError(visible(said) or f"the operation is {operation['state']}: {operation['outcome_detail']}")


def _print_plan(plan: dict[str, Any], *, to_stderr: bool = False) -> None:
    lines = [f"{plan['wanted']} {plan['site']}:"]
    for step in plan["steps"]:
        lines.append(f"  {step['name']}: {step['detail']}")
        changes = [change for change in plan["changes"] if change["step"] == step["name"]]
        lines += [f"      {'make' if change['before'] is None else 'remove'} {change['name']}" for change in changes]
    lines += [f"  note: {note}" for note in plan["notes"]]
    for conflict in plan["conflicts"]:
        lines += [f"  conflict: {conflict['what']}", f"      {conflict['way_out']}"]
    if plan["needs_typed_name"]:
        lines.append(f"  the site goes: --confirm {plan['site']}")
    if plan["needs_step_up"]:
        lines.append("  it needs a fresh factor")
    for line in lines:
        typer.echo(visible(line), err=to_stderr)


def _print_unfinished(listed: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(listed)
        return
    if not listed["runs"]:
        print("Nothing is unfinished.")
    for run in listed["runs"]:
        print(visible(f"{run['run']}  {run['wanted']} {run['site']}, begun {local_time(run['began_at'])}"))
        for step in run["steps"]:
            print(f"  {step['name']}: {step['state']}")
        print(visible(f"  {run['trouble'] or 'it was stopped on its way'}"))
        print(f"  homeport site unfinished {run['run']} --resume or --revert")
