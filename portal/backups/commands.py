"""Backups as the portal knows them: points, coverage, and what it may ask the backup for.

What is asked for (`run`, `verify`, `drill`, `preview`, `restore`) is followed to its end; its log goes to standard
error. Ctrl-C ends only the following: the job goes on, and `homeport operations follow` takes it up again. Schedule,
retention and vault are changed on the host, by `homeport backup`.

Exit codes: 0 done · 1 refused or failed, said on standard error · 2 wrong usage. With --json, standard output is one
JSON document. A restore in place needs --confirm with the point's id; a fresh factor is then asked for on the terminal.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import typer

from kit.terminal import local_time, print_json, print_pairs, print_table, progress, visible
from portal.client import AsJson, Client, Url

app = typer.Typer(no_args_is_help=True, help=__doc__, rich_markup_mode=None, add_completion=False)

POLL_S = 0.5
SHOWN_CHANGES = 50

Point = Annotated[str, typer.Argument(metavar="POINT", help="Such as daily/2026-11-22, as `list` shows it.")]
Asset = Annotated[str, typer.Argument(metavar="ASSET", help="Such as mailbox:anna@home.test, as `coverage` shows it.")]


@app.command("list")
def list_(url: Url = None, as_json: AsJson = False) -> None:
    """Show every restore point, newest first, and until when the vault keeps it."""
    with Client.connect(url) as client:
        found = client.get("/api/backups")
    if as_json:
        print_json({"state": found["state"], "written_at": found["written_at"], "points": found["points"]})
    elif found["points"]:
        headings = ("POINT", "STATE", "MADE", "SIZE", "NEW", "LIES IN", "PROTECTED UNTIL", "KEPT BECAUSE")
        print_table(headings, [_point_row(point) for point in found["points"]])
    else:
        print("There is no restore point yet: homeport backups run")
    _warn(found)


@app.command()
def show(point: Point, url: Url = None, as_json: AsJson = False) -> None:
    """Show one restore point and what lies in it."""
    with Client.connect(url) as client:
        found = client.get(f"/api/backups/points/{_flat(point)}")
    if as_json:
        print_json(found)
        return
    known = found["point"]
    names = known["assets"] or [f"{each['kind']}:{each['name']}" for each in found["assets"]]
    pairs = [
        ("point", known["id"]),
        ("state", _state(known)),
        ("damage", known["damage"]),
        ("made", local_time(known["started_at"])),
        ("sealed", local_time(known["sealed_at"])),
        ("verified", local_time(known["verified_at"])),
        ("took", f"{known['seconds']:.0f} s"),
        ("size", f"{_size(known['bytes'])} in {known['files']} files, {_size(known['new_bytes'])} of it new"),
        ("lies in", _places(known)),
        ("protected", local_time(known["vault"] and known["vault"]["protected_until"])),
        ("kept", known["kept_because"]),
        *(("failed", failure) for failure in known["failures"]),
        *(("holds", name) for name in names),
    ]
    print_pairs([(name, text) for name, text in pairs if text])


@app.command()
def status(url: Url = None, as_json: AsJson = False) -> None:
    """Show how old the newest points are against the targets, the vault, what comes next, what runs."""
    with Client.connect(url) as client:
        found = client.get("/api/backups")
    if as_json:
        print_json({name: value for name, value in found.items() if name not in ("points", "assets", "runs", "drills")})
        return
    meters, vault = found["meters"] or {}, found["vault"] or {}
    cost = vault.get("cost")
    limit = f"at most {_hours(meters.get('rpo_limit_s'))}"
    pairs = [
        ("state", found["state"]),
        ("local", meters and f"{_age(meters['local_at'])} old; {limit}"),
        ("vault", meters and f"{_age(meters['vault_at'])} old; {limit}"),
        ("restore", _projected(meters, "local")),
        ("restore", _projected(meters, "vault")),
        ("drill due", local_time(meters.get("drill_due_at"))),
        ("vault is", vault and f"{vault['state']} {vault['detail']}".strip()),
        ("locked until", local_time(vault.get("lowest_retain_until"))),
        ("cost", cost and f"${cost['month_usd']:.2f} this month, of ${cost['budget_usd']:.2f}"),
        *(("next", f"{each['verb']} {local_time(each['next_at'])}") for each in found["schedule"]),
        *(("now", f"{each['verb']} {each['state']} {each['step'] or ''} ({each['id']})") for each in found["pending"]),
    ]
    print_pairs([(name, text) for name, text in pairs if text])
    _warn(found)


@app.command()
def coverage(url: Url = None, as_json: AsJson = False) -> None:
    """Show what is backed up and what is not; what is missing first."""
    with Client.connect(url) as client:
        assets = client.get("/api/backups/assets")["assets"]
    order = {"missing": 0, "same-device": 1, "yes": 2, "excluded": 3}
    assets = sorted(assets, key=lambda each: (order[each["covered"]], each["kind"], each["name"]))
    if as_json:
        print_json({"assets": assets})
    elif not assets:
        print("The catalog names nothing yet.")
    else:
        print_table(("ASSET", "COVERED", "NEWEST POINT", "SIZE", "DRILL", "WHY"), [_asset_row(each) for each in assets])


@app.command()
def run(
    scope: Annotated[str, typer.Argument(help="all, or one asset, such as site:blog.")] = "all",
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Make an on-demand restore point."""
    _act("/api/backups/run", {"scope": scope}, url, as_json=as_json)


@app.command()
def verify(point: Point, url: Url = None, as_json: AsJson = False) -> None:
    """Read a local point back and compare it with its manifest."""
    _act("/api/backups/verify", {"point": point}, url, as_json=as_json)


@app.command()
def drill(
    asset: Annotated[str | None, typer.Argument(metavar="[ASSET]", help="By default what is due.")] = None,
    origin: Annotated[Literal["local", "vault"], typer.Option(help="Where it is restored from.")] = "local",
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Restore into scratch, compare with what was counted at backup time, measure, throw away."""
    _act("/api/backups/drill", {"asset": asset and _asset(asset), "origin": origin}, url, as_json=as_json)


@app.command()
def preview(
    point: Point,
    asset: Annotated[str, typer.Argument(metavar="ASSET", help="Such as mailbox:anna@home.test, or everything.")],
    folder: Annotated[str | None, typer.Option(help="Of a mailbox, such as .Sent; by default all of it.")] = None,
    origin: Annotated[Literal["local", "repository", "vault"], typer.Option(help="Where it comes from.")] = "local",
    in_place: Annotated[bool, typer.Option("--in-place", help="Over what is there; by default beside it.")] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show what a restore would add, overwrite and delete. Changes nothing."""
    wanted = {
        "point": point,
        "asset": _asset(asset),
        "folder": folder,
        "origin": origin,
        "where": "in-place" if in_place else "beside",
    }
    with Client.connect(url) as client:
        operation = _ended(client, client.post("/api/backups/previews", wanted))
    if as_json or operation["state"] != "done":
        _show(operation, as_json=as_json)
        return
    plan = operation["result"]
    print_pairs(
        [
            ("point", f"{plan['point']}, {'verified' if plan['verified'] else 'NOT VERIFIED'}, from {plan['origin']}"),
            ("target", plan["target"]),
            ("changes", f"{plan['adds']} added, {plan['overwrites']} overwritten, {plan['deletes']} deleted"),
            ("size", _size(plan["bytes"])),
            *([("time", f"about {plan['seconds']:.0f} s")] if plan["seconds"] is not None else []),
            *([("cost", f"${plan['egress_usd']:.2f} to fetch it")] if plan["egress_usd"] is not None else []),
            *(("stops", service) for service in plan["services"]),
            *((each["what"], each["path"]) for each in plan["changes"][:SHOWN_CHANGES]),
        ]
    )
    confirm = f" --confirm {plan['point']}" if in_place else ""
    print(f"To do it: homeport backups restore {plan['run']}{confirm}")


@app.command()
def restore(
    preview_id: Annotated[str, typer.Argument(metavar="PREVIEW", help="As `preview` shows it at its end.")],
    confirm: Annotated[str | None, typer.Option(help="Of a restore in place: the point's id once more.")] = None,
    services_stopped: Annotated[
        bool, typer.Option("--services-stopped", help="You have stopped the services that the portal cannot stop.")
    ] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Bring about what a preview has shown. Refused when something has changed since."""
    wanted = {"preview": preview_id, "confirm_point": confirm, "services_stopped": services_stopped}
    _act("/api/backups/restores", wanted, url, as_json=as_json)


def _act(path: str, wanted: dict[str, Any], url: str | None, *, as_json: bool) -> None:
    with Client.connect(url) as client:
        operation = _ended(client, client.post(path, wanted))
    _show(operation, as_json=as_json)


def _ended(client: Client, operation: dict[str, Any]) -> dict[str, Any]:
    """The operation when it has ended; its lines go to standard error meanwhile."""
    progress(f"operation {operation['id']}")
    shown = 0
    while True:
        operation = client.get(f"/api/operations/{operation['id']}")
        for line in operation["lines"]:
            if line["number"] > shown:
                progress(line["text"])
                shown = line["number"]
        if operation["state"] != "running":
            return operation
        time.sleep(POLL_S)


def _show(operation: dict[str, Any], *, as_json: bool) -> None:
    """What became of it. Exit code 1 unless it was done."""
    if as_json:
        print_json(operation)
    elif operation["state"] == "done":
        result = operation["result"] or {}
        print_pairs([(name.replace("_", " "), _said(value)) for name, value in result.items() if value is not None])
    else:
        error = operation["error"] or {}
        said = ": ".join(filter(None, (error.get("title"), error.get("detail")))) or operation["state"]
        typer.echo(f"homeport: error: {visible(said)}", err=True)
    if operation["state"] != "done":
        raise typer.Exit(1)


def _warn(found: dict[str, Any]) -> None:
    """Say on standard error why what was shown may not be believed."""
    if found["state"] == "stale":
        typer.echo(f"The catalog is of {local_time(found['written_at'])}: no run has ended since.", err=True)
    elif found["state"] != "fresh":
        typer.echo(f"The catalog is {found['state'].replace('_', ' ')}: {visible(found['detail'])}", err=True)


def _point_row(point: dict[str, Any]) -> tuple[Any, ...]:
    return (
        point["id"],
        _state(point),
        local_time(point["started_at"]),
        _size(point["bytes"]),
        _size(point["new_bytes"]),
        _places(point),
        local_time(point["vault"] and point["vault"]["protected_until"]),
        point["kept_because"],
    )


def _state(point: dict[str, Any]) -> str:
    if point["damage"]:
        return "damaged"
    if point["is_incomplete"]:
        return "incomplete"
    return "verified" if point["verified"] else "not verified"


def _places(point: dict[str, Any]) -> str:
    there = (("local", point["is_local"]), ("repository", point["repository"]), ("vault", point["vault"]))
    return ",".join(name for name, is_there in there if is_there)


def _asset_row(asset: dict[str, Any]) -> tuple[Any, ...]:
    tried = asset["drill"]
    return (
        f"{asset['kind']}:{asset['name']}",
        asset["covered"],
        asset["point"],
        _size(asset["bytes"]),
        tried and f"{'ok' if tried['ok'] else 'FAILED'} {local_time(tried['at'])[:10]}",
        asset["reason"],
    )


def _asset(text: str) -> dict[str, str]:
    """Given `kind:name` or `everything`, as the API takes it."""
    kind, _, name = text.partition(":")
    return {"kind": kind, "name": name}


def _flat(point: str) -> str:
    if not point.replace("/", "-").replace(".", "-").replace("_", "-").replace("-", "").isalnum() or ".." in point:
        raise typer.BadParameter("a point's id looks like daily/2026-11-22", param_hint="POINT")
    return point.replace("/", "-", 1)


def _projected(meters: dict[str, Any], origin: str) -> str:
    seconds = meters.get(f"rto_{origin}_s")
    limit = _hours(meters.get(f"rto_{origin}_limit_s"))
    return "" if seconds is None else f"everything from {origin} in {_hours(seconds)}; at most {limit}"


def _age(at: str | None) -> str:
    if at is None:
        return "unknown"
    return _hours((datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds())


def _hours(seconds: float | None) -> str:
    return "unknown" if seconds is None else f"{seconds / 3600:.1f} h"


def _said(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_said(each)}" for name, each in value.items())
    if isinstance(value, list):
        return "; ".join(map(_said, value)) or "none"
    return str(value)


def _size(value: int | None) -> str:
    """Binary units."""
    amount = float(value or 0)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"
