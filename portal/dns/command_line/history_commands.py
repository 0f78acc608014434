"""`homeport dns snapshots`, `diff`, `rollback` and `drift`: what a zone was like. commands.py lists them."""

from __future__ import annotations

from typing import Annotated

import typer

from kit.terminal import local_time, print_json, print_table, visible
from portal.client import AsJson, Client, Url
from portal.dns.command_line import asking
from portal.dns.command_line.printing import change_lines, show_plan


def snapshots(
    zone: asking.Zone,
    take: Annotated[bool, typer.Option("--take", help="Read the zone now and keep it.")] = False,
    before: Annotated[str | None, typer.Option(metavar="ID", help="Only older ones.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show a zone's points in time, newest first; with --take, add one."""
    with Client.connect(url) as client:
        path = f"{asking.path_of(zone)}/snapshots"
        if take:
            client.post(path)
        found = client.get(path, before=before, limit=1 if take else limit)
    if as_json:
        print_json(found["snapshots"][0] if take else found)
        return
    if not found["snapshots"]:
        typer.echo("There is none yet.")
        return
    rows = [
        (
            each["id"],
            local_time(each["taken_at"]),
            local_time(each["seen_until"]),
            each["records"],
            " ".join(filter(None, (each["reason"], each["operation_id"]))),
        )
        for each in found["snapshots"]
    ]
    print_table(("ID", "TAKEN AT", "SEEN UNTIL", "RECORDS", "WHY"), rows)
    if found["next_before"] and not take:
        typer.echo(f"There are older ones: --before {found['next_before']}")


def diff(
    zone: asking.Zone,
    from_id: Annotated[str, typer.Argument(metavar="FROM", help="A snapshot's id.")],
    to_id: Annotated[str, typer.Argument(metavar="[TO]", help="A snapshot's id, or now.")] = "now",
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show what differs between two points in time."""
    with Client.connect(url) as client:
        found = client.get(f"{asking.path_of(zone)}/diff", from_id=from_id, to_id=to_id)
    if as_json:
        print_json(found)
        return
    for each in found["differences"]:
        typer.echo("\n".join(map(visible, change_lines(each))))
    if not found["differences"]:
        typer.echo("Nothing differs.")


def rollback(
    zone: asking.Zone,
    snapshot: Annotated[str, typer.Argument(metavar="SNAPSHOT", help="As `snapshots` shows it.")],
    key: Annotated[list[str] | None, typer.Option(help="Only this record, by its key; repeatable.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show what going back to a point in time would change, as a plan to `apply`. Changes nothing."""
    wanted = {"snapshot_id": snapshot} | ({"keys": key} if key else {})
    with Client.connect(url) as client:
        show_plan(client.post(f"{asking.path_of(zone)}/plans/rollback", wanted), as_json=as_json)


def drift(
    zone: Annotated[str | None, typer.Argument(help="The zone; all zones when left out.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Also what was accepted or taken back.")] = False,
    accept: Annotated[list[int] | None, typer.Option(metavar="ID", help="Take it as it is; repeatable.")] = None,
    take_back: Annotated[
        list[int] | None, typer.Option("--revert", metavar="ID", help="Plan the way back; repeatable.")
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show what was changed without Homeport; accept it, or plan to take it back."""
    if (accept or take_back) and zone is None:
        raise typer.BadParameter("with --accept or --revert, name the zone", param_hint="ZONE")
    if accept and take_back:
        raise typer.BadParameter("either --accept or --revert", param_hint="--revert")
    with Client.connect(url) as client:
        if zone is not None and take_back:
            wanted = {"drift_ids": take_back}
            show_plan(client.post(f"{asking.path_of(zone)}/plans/drift", wanted), as_json=as_json)
            return
        if zone is not None and accept:
            found = client.post(f"{asking.path_of(zone)}/drift/accept", {"drift_ids": accept})["drift"]
        else:
            drifted = [each["name"] for each in client.get("/api/dns")["zones"] if each["drift"] or every]
            asked = [asking.zone_name(zone)] if zone else drifted
            state = "all" if every else "open"
            found = [
                each for name in asked for each in client.get(f"{asking.zone_path(name)}/drift", state=state)["drift"]
            ]
    if as_json:
        print_json({"drift": found})
        return
    for each in found:
        settled = f" {each['state']} {local_time(each['settled_at'])} {each['settled_by'] or ''}".rstrip()
        state = "" if each["state"] == "open" else settled
        typer.echo(visible(f"{each['id']}  {each['zone']}  seen {local_time(each['seen_at'])}{state}"))
        typer.echo("\n".join(f"  {visible(line)}" for line in change_lines(each)))
    if not found:
        typer.echo("Nothing was changed without Homeport.")
