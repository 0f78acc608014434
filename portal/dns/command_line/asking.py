"""What the room's commands ask the portal for: the zone, the record, the plan that is meant."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from kit.terminal import visible
from portal.client import Client, PortalError
from portal.dns.command_line.printing import Json, ended, or_new_plan, show_end
from portal.dns.records import names

PAGE = 500  # records at once

Zone = Annotated[str, typer.Argument(help="The zone, such as example.com.")]


def zone_name(name: str) -> str:
    """As the API names it."""
    try:
        return names.a_labels(name)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="ZONE") from error


def zone_path(zone: str) -> str:
    return f"/api/dns/zones/{quote(zone, safe='')}"


def path_of(given: str) -> str:
    """The place of a zone as somebody wrote it."""
    return zone_path(zone_name(given))


def plan_path(plan_: Json) -> str:
    return f"{zone_path(plan_['target'])}/plans/{plan_['id']}"


def all_records(client: Client, zone: str, **filters: Any) -> Json:
    """Every page in one."""
    page: Json = client.get(f"{zone_path(zone)}/records", limit=PAGE, **filters)
    while len(page["records"]) < page["matching"]:
        more = client.get(f"{zone_path(zone)}/records", limit=PAGE, offset=len(page["records"]), **filters)
        if not more["records"]:
            break
        page["records"] += more["records"]
    return page


def key_of(client: Client, zone: str, words: str) -> str:
    """The key of the record that is meant. Raise PortalError when there is none, or more than one."""
    type_, _, rest = words.strip().partition(" ")
    name, _, content = rest.strip().partition(" ")
    if not name:
        raise typer.BadParameter(f'{words!r} names no record: say type and name, such as "A www"', param_hint="RECORD")
    try:
        full = names.full_name(name, zone)
    except ValueError as error:
        raise typer.BadParameter(f"{name!r}: {error}", param_hint="RECORD") from error
    listed = all_records(client, zone, type=type_.upper(), find=full)["records"]
    found = [each for each in listed if each["name"] == full]
    if content:
        found = [each for each in found if _is_meant(each, content)] or _begun(found, content)
    if len(found) == 1:
        return str(found[0]["key"])
    what = visible(f"{type_.upper()} {full} {content}".strip())
    if not found:
        raise PortalError(f"{zone} has no record {what}")
    ways = "; ".join(f'"{each["type"]} {each["name"]} {each["key"].split(" ", 2)[2]}"' for each in found[:10])
    raise PortalError(f"{zone} has {len(found)} records {what}: say which, by content or key: {ways}")


def new_plan(client: Client, path: str, wanted: Json) -> Json:
    """POST for a plan. What is wrong with the records is told line by line before PortalError is raised."""
    try:
        plan: Json = client.post(path, wanted)
    except PortalError as error:
        for each in (error.problem, *error.problem.get("edits", ())):
            for wrong in each.get("problems", ()):
                typer.echo(visible(f"{wrong['field']}: {wrong['text']}".removeprefix(": ")), err=True)
        raise
    return plan


def plan_of(client: Client, plan_id: str, zone: str | None) -> Json:
    """The plan of an id. It says nothing of its zone, so without --zone each is asked. Raise PortalError."""
    asked = [zone_name(zone)] if zone else [each["name"] for each in client.get("/api/dns")["zones"]]
    for name in asked:
        try:
            found: Json = client.get(f"{zone_path(name)}/plans/{quote(plan_id.upper(), safe='')}")
        except PortalError as error:
            if error.status != 404:
                raise
        else:
            return found
    raise PortalError(f"there is no plan {visible(plan_id)}" + (f" of {asked[0]}" if zone else ""))


def plan_id_of(client: Client, applied: str) -> str:
    """The id of the plan that an operation has applied, or the id as it is."""
    try:
        operation = client.get(f"/api/operations/{quote(applied.upper(), safe='')}")
    except PortalError as error:
        if error.status not in (404, 422):
            raise
        return applied
    plan_id = (operation["inverse"] or {}).get("plan_id")
    if plan_id is None:
        raise PortalError(f"operation {operation['id']} applied no plan")
    return str(plan_id)


def apply(client: Client, found: Json, reason: str | None, *, as_json: bool) -> None:
    wanted = {"reason": reason} if reason else {}
    operation = or_new_plan(client, f"{plan_path(found)}/apply", wanted, as_json=as_json)
    show_end(ended(client, operation), as_json=as_json, back=f"homeport dns undo {operation['id']}")


def content_of(record: Json) -> str:
    """As it is read: an MX record's priority stands before its host."""
    return str(record["content"]) if record["priority"] is None else f"{record['priority']} {record['content']}"


def _is_meant(record: Json, content: str) -> bool:
    """Whether that is the record's key, or all of its content, with or without quotes and priority."""
    if content == record["key"].split(" ", 2)[2]:
        return True
    return _plain(content) in (_plain(content_of(record)), _plain(record["content"]))


def _begun(found: list[Json], content: str) -> list[Json]:
    """Texts are long, so their beginning is enough. Of an address it would be another one."""
    return [each for each in found if each["type"] == "TXT" and _plain(each["content"]).startswith(_plain(content))]


def _plain(content: str) -> str:
    return content.replace('"', "")
