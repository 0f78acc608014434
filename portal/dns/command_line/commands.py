"""Zones and records at Cloudflare: shown, planned, applied, taken back.

Every change is a plan. `plan`, `import`, `rollback`, `undo` and `drift --revert` show what would change and change
nothing; `apply` does what was shown, or nothing when the zone has changed since. `sync` does both: it makes a zone
equal to a file.

A record is named as in `list`: "A www", "MX @", or with its content where a name has several: "A www 192.0.2.1"; or by
its key. Names are below the zone, or in full; Unicode is understood. Type `--` before content that begins with "-".

Exit codes: 0 done, or shown · 1 refused or failed, said on standard error · 2 wrong usage. With --json, standard output
is one JSON document. A deletion, and more than one change at once, asks for a fresh factor on the terminal.
"""

from __future__ import annotations

import json
from typing import Annotated, Literal

import typer

from kit.terminal import local_time, print_json, print_pairs, print_table, visible
from portal.client import AsJson, Client, PortalError, Url
from portal.dns.command_line import asking, file_commands, history_commands
from portal.dns.command_line.asking import Zone
from portal.dns.command_line.printing import Json, change_lines, clipped, or_new_plan, show_plan, ttl_text

app = typer.Typer(no_args_is_help=True, help=__doc__, rich_markup_mode=None, add_completion=False)
app.command()(file_commands.export)
app.command("import")(file_commands.import_)
app.command()(file_commands.sync)
app.command()(history_commands.snapshots)
app.command()(history_commands.diff)
app.command()(history_commands.rollback)
app.command()(history_commands.drift)

Records = Annotated[list[str], typer.Argument(metavar="RECORD...", help='Such as "A www", or a key.')]
PlanId = Annotated[str, typer.Argument(metavar="PLAN", help="As the plan shows it.")]
InZone = Annotated[str | None, typer.Option("--zone", help="The zone; found by itself when left out.")]
Content = Annotated[str | None, typer.Option(help="New content.")]
Data = Annotated[list[str] | None, typer.Option(help="A part of structured data, NAME=VALUE; repeatable.")]
Ttl = Annotated[int | None, typer.Option(min=1, help="Seconds; 1 is automatic.")]
Proxied = Annotated[bool | None, typer.Option("--proxied/--no-proxied", help="Through Cloudflare's proxy.")]
Priority = Annotated[int | None, typer.Option(min=0, max=65_535, help="Of MX and URI.")]
Comment = Annotated[str | None, typer.Option(help='"" takes it away.')]
Tags = Annotated[list[str] | None, typer.Option("--tag", help="NAME:VALUE; repeatable, replaces those there are.")]
Name = Annotated[str | None, typer.Option(help="New name.")]


@app.command()
def zones(url: Url = None, as_json: AsJson = False) -> None:
    """Show the zones: how many records each has, when it was read, what has drifted, what is half applied."""
    with Client.connect(url) as client:
        found = client.get("/api/dns")
    if as_json:
        print_json(found)
        return
    if found["zones"]:
        rows = [
            (
                each["unicode_name"],
                each["status"],
                each["records"],
                each["drift"] or "",
                local_time(each["read_at"]) or "never",
                each["error"],
            )
            for each in found["zones"]
        ]
        print_table(("ZONE", "STATUS", "RECORDS", "DRIFT", "READ AT", "TROUBLE"), rows)
    else:
        print("No zone is known.")
    for each in found["unfinished"]:
        done = f"{each['batches_done']} of {each['batches']} transactions"
        typer.echo(f"{each['zone']}: {done} of plan {each['plan_id']} are at Cloudflare. To go on, or back:", err=True)
        typer.echo(
            f"  homeport dns finish {each['operation_id']} · homeport dns revert {each['operation_id']}", err=True
        )
    _tell_connection(found["connection"])


@app.command("list")
def list_(
    zone: Zone,
    find: Annotated[str | None, typer.Option(help="Text in name, content or comment.")] = None,
    type_: Annotated[str | None, typer.Option("--type", help="Such as MX.")] = None,
    proxied: Proxied = None,
    tag: Annotated[str | None, typer.Option(help="A tag, as NAME:VALUE.")] = None,
    show: Annotated[Literal["all", "drifted", "ours", "locked"], typer.Option()] = "all",
    sort: Annotated[
        Literal["name", "type", "content", "ttl", "proxied", "comment", "modified_on"], typer.Option()
    ] = "name",
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show a zone's records, as last read."""
    type_ = type_ and type_.upper()
    with Client.connect(url) as client:
        page = asking.all_records(
            client, asking.zone_name(zone), find=find, type=type_, proxied=proxied, tag=tag, show=show, sort=sort
        )
    if as_json:
        print_json(page)
        return
    rows = [
        (
            each["type"],
            each["unicode_name"],
            clipped(asking.content_of(each)),
            ttl_text(each["ttl"]),
            "yes" if each["proxied"] else "",
            each["comment"],
            " ".join(each["tags"]),
        )
        for each in page["records"]
    ]
    if rows:
        print_table(("TYPE", "NAME", "CONTENT", "TTL", "PROXIED", "COMMENT", "TAGS"), rows)
    else:
        print("Nothing fits.")
    if page["zone"]["is_stale"] or page["zone"]["error"]:
        typer.echo(f"Last read: {local_time(page['zone']['read_at']) or 'never'}", err=True)
    _tell_connection(page["connection"])


@app.command()
def show(zone: Zone, record: Records, url: Url = None, as_json: AsJson = False) -> None:
    """Show one record, what depends on it, who changed it last."""
    with Client.connect(url) as client:
        name = asking.zone_name(zone)
        detail = client.get(f"{asking.zone_path(name)}/record", key=asking.key_of(client, name, " ".join(record)))
    if as_json:
        print_json(detail)
        return
    found, last = detail["record"], detail["last_change"]
    pairs = [
        ("type", found["type"]),
        ("name", found["name"]),
        ("", found["unicode_name"] if found["unicode_name"] != found["name"] else None),
        ("content", asking.content_of(found)),
        ("ttl", ttl_text(found["ttl"])),
        ("proxied", "yes" if found["proxied"] else None),
        ("comment", found["comment"]),
        *(("tag", tag) for tag in found["tags"]),
        ("kept by", "Email Routing: it can't be changed here" if found["is_locked"] else None),
        *(("used by", f"{use['kind']} {use['name']}") for use in detail["used_by"]),
        ("changed", last and f"{local_time(last['at'])} by {last['by']}"),
        *(("drift", line) for drift in detail["drift"] for line in change_lines(drift)),
        ("key", found["key"]),
    ]
    print_pairs([(label, text) for label, text in pairs if text])
    if detail["silent_rooms"]:
        typer.echo(f"Not known, because it gave no answer: {', '.join(detail['silent_rooms'])}", err=True)


@app.command()
def read(zone: Zone, url: Url = None, as_json: AsJson = False) -> None:
    """Read a zone from Cloudflare now, instead of at the next poll."""
    with Client.connect(url) as client:
        found = client.post(f"{asking.path_of(zone)}/read")
    if as_json:
        print_json(found)
    else:
        print(f"{found['unicode_name']}: {found['records']} records, {found['drift']} drifted")


@app.command()
def propagation(zone: Zone, record: Records, url: Url = None, as_json: AsJson = False) -> None:
    """Show what each configured resolver answers for a record, compared by meaning with what Cloudflare holds."""
    with Client.connect(url) as client:
        name = asking.zone_name(zone)
        found = client.get(f"{asking.zone_path(name)}/propagation", key=asking.key_of(client, name, " ".join(record)))
    if as_json:
        print_json(found)
        return
    if not found["is_comparable"]:
        print("The record is proxied: resolvers answer with Cloudflare's addresses.")
    verdicts = {True: "agrees", False: "differs", None: "unknown"}
    rows = [
        (each["resolver"], verdicts[each["agrees"]], each["ttl"], ", ".join(each["answers"]) or each["detail"])
        for each in found["resolvers"]
    ]
    print_table(("RESOLVER", "VERDICT", "TTL", "ANSWER"), rows)


# -- plans ------------------------------------------------------------------------------------------------------------


@app.command()
def plan(
    zone: Zone,
    act: Annotated[Literal["add", "set", "delete"], typer.Argument(help="What is to happen.")],
    words: Annotated[
        list[str], typer.Argument(metavar="TYPE NAME [CONTENT] | RECORD...", help="For add; for set and delete.")
    ],
    name: Name = None,
    content: Content = None,
    data: Data = None,
    ttl: Ttl = None,
    proxied: Proxied = None,
    priority: Priority = None,
    comment: Comment = None,
    tag: Tags = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show what adding, setting or deleting records would change. Changes nothing.

    \b
    homeport dns plan example.com add A www 192.0.2.1 --ttl 300
    homeport dns plan example.com add MX @ mail.example.com --priority 0
    homeport dns plan example.com set "A www" "A api" --proxied
    homeport dns plan example.com set "TXT @ v=spf1 -all" --content "v=spf1 mx -all"
    homeport dns plan example.com delete "CNAME old"
    """
    record = {
        "name": name,
        "content": content,
        "data": _data(data),
        "ttl": ttl,
        "proxied": proxied,
        "priority": priority,
        "comment": comment,
        "tags": tag,
    }
    fields = {member: value for member, value in record.items() if value is not None}
    with Client.connect(url) as client:
        zone_name = asking.zone_name(zone)
        edits = _edits(client, zone_name, act, words, fields)
        show_plan(asking.new_plan(client, f"{asking.zone_path(zone_name)}/plans", {"edits": edits}), as_json=as_json)


@app.command()
def apply(
    plan_id: PlanId,
    zone: InZone = None,
    reason: Annotated[str | None, typer.Option(help="Kept with the operation.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Do what was planned. When the zone has changed since, nothing is done and the new plan is shown: exit code 1."""
    with Client.connect(url) as client:
        asking.apply(client, asking.plan_of(client, plan_id, zone), reason, as_json=as_json)


@app.command()
def undo(
    applied: Annotated[str, typer.Argument(metavar="PLAN|OPERATION", help="What was applied, or what applied it.")],
    zone: InZone = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show the way back from a plan that was applied, as a plan to `apply`. Changes nothing."""
    with Client.connect(url) as client:
        found = asking.plan_of(client, asking.plan_id_of(client, applied), zone)
        show_plan(or_new_plan(client, f"{asking.plan_path(found)}/undo", {}, as_json=as_json), as_json=as_json)


@app.command()
def finish(
    operation: Annotated[str, typer.Argument(metavar="OPERATION", help="As `zones` shows it.")],
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show what is left of a plan that was applied in part, as a plan to `apply`. Changes nothing."""
    _unfinished(operation, "finish", url, as_json=as_json)


@app.command()
def revert(
    operation: Annotated[str, typer.Argument(metavar="OPERATION", help="As `zones` shows it.")],
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show the way back from a plan that was applied in part, as a plan to `apply`. Changes nothing."""
    _unfinished(operation, "revert", url, as_json=as_json)


# -- mail -------------------------------------------------------------------------------------------------------------


@app.command()
def check(
    domain: Annotated[str | None, typer.Argument(help="A mail domain; all, as last checked, when left out.")] = None,
    fix: Annotated[list[str] | None, typer.Option(metavar="FINDING", help="Plan the fix; repeatable.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Check a mail domain now: MX, SPF, DKIM, DMARC, MTA-STS, TLS-RPT. Exit code 1 when something is wrong.

    With --fix and the finding's id, show the fix as a plan to `apply`.
    """
    if fix and domain is None:
        raise typer.BadParameter("with --fix, name the domain", param_hint="DOMAIN")
    with Client.connect(url) as client:
        if domain is None:
            found = client.get("/api/dns/mail")
        elif fix:
            wanted = {"findings": fix}
            show_plan(
                client.post(f"/api/dns/mail/{asking.zone_name(domain)}/plans/fix", wanted),
                as_json=as_json,
            )
            return
        else:
            found = client.post(f"/api/dns/mail/{asking.zone_name(domain)}/check")
    if as_json:
        print_json(found)
    elif domain is None:
        rows = [
            (each["unicode_domain"], each["verdict"], local_time(each["checked_at"]) or "never")
            for each in found["domains"]
        ]
        print_table(("DOMAIN", "VERDICT", "CHECKED AT"), rows)
    else:
        _show_posture(found)
    verdicts = [found["verdict"]] if domain else [each["verdict"] for each in found["domains"]]
    if "error" in verdicts:
        raise typer.Exit(1)


def _show_posture(found: Json) -> None:
    for each in found["checks"]:
        is_said = any(finding["text"] == each["summary"] for finding in each["findings"])
        typer.echo(visible(f"{each['check']}: {each['verdict']}" + ("" if is_said else f"  {each['summary']}")))
        for quoted in each["quoted"]:
            typer.echo(f"    > {visible(clipped(quoted))}")
        for finding in each["findings"]:
            way_out = f"  (--fix {finding['id']})" if finding["is_fixable"] else ""
            typer.echo(visible(f"    {finding['verdict']}: {finding['text']}{way_out}"))


# -- parts ------------------------------------------------------------------------------------------------------------


def _edits(client: Client, zone: str, act: str, words: list[str], fields: Json) -> list[Json]:
    if act == "add":
        if len(words) < 2 or (len(words) == 2 and not fields.keys() & {"content", "data"}):
            raise typer.BadParameter("add takes TYPE NAME CONTENT, or --data in place of CONTENT", param_hint="WORDS")
        type_, name, *content = words
        record = {"type": type_.upper(), "name": name} | ({"content": " ".join(content)} if content else {}) | fields
        return [{"act": "create", "record": record}]
    if act == "delete" and fields:
        raise typer.BadParameter("delete takes records and no options", param_hint="WORDS")
    if act == "set" and not fields:
        raise typer.BadParameter("say what to set: --content, --ttl, --proxied ...", param_hint="WORDS")
    keys = [asking.key_of(client, zone, word) for word in words]
    if act == "delete":
        return [{"act": "delete", "key": key} for key in keys]
    return [{"act": "change", "key": key, "record": fields} for key in keys]


def _data(parts: list[str] | None) -> Json | None:
    """Parts of structured data; what reads as a number is one."""
    if not parts:
        return None
    found: Json = {}
    for part in parts:
        name, equals, value = part.partition("=")
        if not equals:
            raise typer.BadParameter(f"{part!r} is not NAME=VALUE", param_hint="--data")
        found[name] = json.loads(value) if value.isdecimal() and value.isascii() else value
    return found


def _unfinished(operation_id: str, way: str, url: str | None, *, as_json: bool) -> None:
    with Client.connect(url) as client:
        unfinished = {each["operation_id"]: each["zone"] for each in client.get("/api/dns")["unfinished"]}
        zone = unfinished.get(operation_id.upper())
        if zone is None:
            raise PortalError(f"nothing of operation {visible(operation_id)} is unfinished")
        path = f"{asking.zone_path(zone)}/unfinished/{operation_id.upper()}/plan"
        show_plan(client.post(path, {"way": way}), as_json=as_json)


def _tell_connection(connection: Json) -> None:
    if connection["state"] == "connected":
        return
    typer.echo(visible(f"Cloudflare is {connection['state']}: {connection['detail']}".rstrip(": ")), err=True)
    if connection["settings"]:
        typer.echo(f"Not set: {', '.join(connection['settings'])}", err=True)
    if connection["permission"]:
        typer.echo(visible(f"The token lacks: {connection['permission']}"), err=True)
    if connection["retry_at"]:
        typer.echo(f"Asked again at: {local_time(connection['retry_at'])}", err=True)
