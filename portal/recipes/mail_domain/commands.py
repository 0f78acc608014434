"""Domains that receive mail: add one in one action, prove it by a canary, remove it.

`add` makes what is missing and leaves what is in order: the mail server's domain and mailboxes, Email Routing with its
MX records, SPF merged into the record that is there, DKIM, DMARC, the Worker and the rule that turns mail to it, the
list of recipients. It is finished when a mail from outside has come in; running it again goes on where it stopped.
`remove` takes away only what was made for the domain; mailboxes and mail stay.

Exit codes: 0 done, or nothing to do · 1 refused or failed, said on standard error · 2 wrong usage. With --json,
standard output is one JSON document. Progress goes to standard error. A removal, and whatever changes more than one
thing in the zone, or one that was at Cloudflare before, asks for a fresh factor on the terminal.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any
from urllib.parse import quote

import typer

from kit.terminal import local_time, print_json, print_pairs, print_table, progress, visible
from portal.client import AsJson, Client, PortalError, Url
from portal.dns.command_line.printing import ended

app = typer.Typer(no_args_is_help=True, help=__doc__, rich_markup_mode=None, add_completion=False)

PATH = "/api/mail-domains"

Domain = Annotated[str, typer.Argument(help="The domain, as people write it: example.co.jp, bücher.example.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask. Needed where there is no terminal to ask on.")]
PlanOnly = Annotated[bool, typer.Option("--plan", help="Show what would change, and change nothing.")]
Confirm = Annotated[str | None, typer.Option(help="The domain once more, where something is taken away.")]
Reason = Annotated[str | None, typer.Option(help="Why; it is kept in the audit.")]


@app.command()
def add(
    domain: Domain,
    plan: PlanOnly = False,
    is_sure: Yes = False,
    replace_mail: Annotated[
        bool, typer.Option("--replace-mail", help="Take mail over that goes elsewhere: MX records and routing rules.")
    ] = False,
    adopt: Annotated[
        bool, typer.Option("--adopt", help="Use a Worker, bucket or KV namespace of our name that others made.")
    ] = False,
    mailbox: Annotated[
        str, typer.Option(help="The domain's first mailbox, before the @; made if there is none.")
    ] = "postmaster",
    confirm: Confirm = None,
    reason: Reason = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Let a domain receive mail. Shows the plan and asks first; a second run changes nothing.

    Where it changes more than one thing in the zone, or one that was at Cloudflare before, applying it asks for a fresh
    factor.
    """
    wanted = {"act": "add", "domain": domain, "replace_mail": replace_mail, "adopt": adopt, "mailbox": mailbox}
    _carry_out(wanted, confirm, reason, url, is_plan=plan, is_sure=is_sure, as_json=as_json)


@app.command()
def remove(
    domain: Domain,
    plan: PlanOnly = False,
    is_sure: Yes = False,
    confirm: Confirm = None,
    reason: Reason = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Take away what was made for a domain, and only that. Its mailboxes and their mail stay.

    Applying it asks for a fresh factor.
    """
    wanted = {"act": "remove", "domain": domain}
    _carry_out(wanted, confirm, reason, url, is_plan=plan, is_sure=is_sure, as_json=as_json)


@app.command("list")
def list_(url: Url = None, as_json: AsJson = False) -> None:
    """Show the domains that Homeport receives mail for, and what is missing before one can be added."""
    with Client.connect(url) as client:
        listed = client.get(PATH)
    if as_json:
        print_json(listed)
        return
    if listed["domains"]:
        rows = [(_both(each), each["managed_by"], _finished(each), each["detail"]) for each in listed["domains"]]
        print_table(("DOMAIN", "BY", "FINISHED", ""), rows)
    else:
        print("There is no mail domain yet.")
    for line in listed["not_ready"]:
        progress(f"missing: {line}")


@app.command()
def status(domain: Domain, url: Url = None, as_json: AsJson = False) -> None:
    """Show one domain: whether a mail from outside has come in, when, and how long it took."""
    with Client.connect(url) as client:
        found = [each for each in client.get(PATH)["domains"] if domain in (each["domain"], each["unicode_domain"])]
    if not found:
        raise PortalError(f"Homeport receives no mail for {domain}; `homeport domain list` shows the domains")
    (each,) = found
    if as_json:
        print_json(each)
        return
    seconds = each["canary_seconds"]
    print_pairs(
        [
            ("domain", _both(each)),
            ("managed by", each["managed_by"]),
            ("finished", _finished(each)),
            ("added", local_time(each["added_at"]) or "never"),
            ("last canary", local_time(each["canary_at"]) or "never"),
            ("took", "unknown" if seconds is None else f"{seconds:g} s"),
            ("", each["detail"]),
        ]
    )


@app.command()
def canary(domain: Domain, url: Url = None, as_json: AsJson = False) -> None:
    """Send a mail from outside and wait until it is in its mailbox. Without a relay, wait for one that you write."""
    with Client.connect(url) as client:
        found = [each for each in client.get(PATH)["domains"] if domain in (each["domain"], each["unicode_domain"])]
        name = found[0]["domain"] if found else domain
        operation = ended(client, client.post(f"{PATH}/{quote(name, safe='')}/canary"))
    _finish(operation, as_json=as_json)


def _carry_out(
    wanted: dict[str, Any],
    confirm: str | None,
    reason: str | None,
    url: str | None,
    *,
    is_plan: bool,
    is_sure: bool,
    as_json: bool,
) -> None:
    with Client.connect(url) as client:
        plan = client.post(f"{PATH}/plans", wanted)
        conflicts = [f"{visible(each['what'])} ({visible(each['way_out'])})" for each in plan["conflicts"]]
        if is_plan or conflicts or not plan["changes"]:
            if as_json:
                print_json(plan)
            else:
                _print_plan(plan)
            if conflicts:
                raise PortalError("; ".join(conflicts))
            return
        if not as_json or not is_sure:
            _print_plan(plan, to_stderr=as_json)
        if not is_sure:
            if not sys.stdin.isatty():
                raise PortalError("there is no terminal to ask on; --yes does it without asking")
            typer.confirm("Do this?", abort=True, err=True)
        typed = confirm
        if plan["needs_typed_name"] and typed is None and sys.stdin.isatty():
            typed = typer.prompt(f"Something is taken away. Type {plan['domain']}", err=True)
        path = f"{PATH}/plans/{plan['id']}/apply"
        asked = {"typed_names": [typed] if typed else [], "reason": reason}
        operation = ended(client, client.post(path, asked))
    _finish(operation, as_json=as_json)


def _finish(operation: dict[str, Any], *, as_json: bool) -> None:
    """Print how it ended; exit 1 when it did not go well."""
    if as_json:
        print_json(operation)
    if operation["state"] != "done":
        error = operation["error"] or {}
        said = ": ".join(filter(None, (error.get("title"), error.get("detail"))))
        raise PortalError(said or f"the operation is {operation['state']}: {operation['outcome_detail']}")
    if not as_json:
        seconds = (operation["result"] or {}).get("canary_seconds")
        print("Done." if seconds is None else f"Done: a mail from outside came in after {seconds:g} s.")


def _print_plan(plan: dict[str, Any], *, to_stderr: bool = False) -> None:
    lines = [f"{_both(plan)}: " + (f"{len(plan['changes'])} to do" if plan["changes"] else "nothing to change")]
    for step in plan["steps"]:
        lines.append(f"  {step['name']}: {step['state']} ({step['detail']})")
        for change in step["changes"]:
            lines.append(f"      {change['act']} {change['name']}{_from_to(change)}")
            lines += [f"          {change['reason']}"] if change["reason"] else []
    lines += [f"  note: {note}" for note in plan["notes"]]
    for conflict in plan["conflicts"]:
        lines += [f"  conflict: {conflict['what']}", f"      {conflict['way_out']}"]
    if plan["needs_typed_name"]:
        lines.append(f"  something is taken away: --confirm {plan['domain']}")
    if plan["needs_step_up"]:
        lines.append("  applying it asks for a fresh factor")
    for line in lines:
        typer.echo(visible(line), err=to_stderr)


def _from_to(change: dict[str, Any]) -> str:
    before, after = (each if isinstance(each, str) else None for each in (change["before"], change["after"]))
    if before and after:
        return f": {before} -> {after}"
    return f": {after or before}" if after or before else ""


def _both(each: dict[str, Any]) -> str:
    """The domain as people write it, and as DNS has it where that differs."""
    if each["domain"] == each["unicode_domain"]:
        return str(each["domain"])
    return f"{visible(each['unicode_domain'])} ({each['domain']})"


def _finished(each: dict[str, Any]) -> str:
    return "yes" if each["is_finished"] else "not yet"
