"""Containers: how they are, start, stop, restart, their logs, what they use, what happened to them.

`start`, `stop` and `restart` act at once, one container after the other. `plan` shows first what would change and what
goes dark, `apply` does it with regard to who needs whom, `undo` plans the way back.

Exit codes: 0 done · 1 refused or failed, said on standard error · 2 wrong usage. With --json, standard output is one
JSON document, or one a line where it goes on (`logs`, `stats --follow`). A protected container goes down only with
--confirm NAME and --reason; a fresh factor is then asked for on the terminal.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Annotated, Any, Literal
from urllib.parse import quote

import typer

from kit.terminal import local_time, print_json, print_pairs, print_table, progress, visible
from portal.client import AsJson, Client, PortalError, Url

app = typer.Typer(no_args_is_help=True, help=__doc__, rich_markup_mode=None, add_completion=False)

POLL_S = 0.25

Name = Annotated[str, typer.Argument(help="The container's name, as `list` shows it.")]
Names = Annotated[list[str], typer.Argument(help="One or more names.")]
Confirm = Annotated[str | None, typer.Option(help="The protected container's name once more.")]
Reason = Annotated[str | None, typer.Option(help="Why a protected container must go down.")]
PlanId = Annotated[str, typer.Argument(metavar="PLAN", help="As `plan` and `undo` show it.")]
Grace = Annotated[int, typer.Option(min=0, max=120, help="Seconds between SIGTERM and SIGKILL.")]


@app.command("list")
def list_(
    stack: Annotated[str | None, typer.Option(help="Only this stack, such as mail.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show the containers of the known stacks, and when that was measured."""
    with Client.connect(url) as client:
        listed = client.get("/api/containers")
    containers = [each for each in listed["containers"] if stack in (None, each["stack"])]
    if as_json:
        print_json(listed | {"containers": containers})
        return
    if containers:
        print_table(
            ("STACK", "NAME", "STATE", "TROUBLE", "CPU %", "MEMORY", "RESTARTS", "SINCE", "IMAGE"),
            [_row(each) for each in containers],
        )
    else:
        print("No container carries the label homeport.stack.")
    engine = listed["engine"]
    if engine["state"] != "connected":
        typer.echo(f"The engine is {engine['state']}: {visible(engine['detail'])}", err=True)
        typer.echo(f"Last measured: {local_time(listed['measured_at']) or 'never'}", err=True)


@app.command()
def show(name: Name, url: Url = None, as_json: AsJson = False) -> None:
    """Show one container as it is now."""
    with Client.connect(url) as client:
        container = client.get(_path(name))
        used_by = client.get(f"/api/used-by/container/{quote(name, safe='')}")
    if as_json:
        print_json(container | used_by)
        return
    pairs = [
        ("state", _state(container)),
        ("trouble", ", ".join(container["trouble"])),
        ("protected", container["role"]),
        *((use["why"].replace("-", " "), use["name"]) for use in used_by["uses"] if use["why"] != "publishes"),
        ("image", container["image"]),
        ("digest", container["digest"] or container["image_id"]),
        ("started", local_time(container["started_at"])),
        ("ended", local_time(container["finished_at"])),
        ("restarts", f"{container['restarts']} (policy: {container['restart_policy']})"),
        ("user", container["user"]),
        *(("port", port) for port in container["ports"]),
        *(("network", f"{each['name']} {each['address'] or ''}") for each in container["networks"]),
        *(("mount", f"{each['target']} <- {each['source']}") for each in container["mounts"]),
        *(("environment", each) for each in container["environment"]),
    ]
    print_pairs([(label, text) for label, text in pairs if text])


@app.command()
def start(names: Names, url: Url = None, as_json: AsJson = False) -> None:
    """Start containers, one after the other."""
    _act("start", names, {}, url, as_json=as_json)


@app.command()
def stop(
    names: Names,
    confirm: Confirm = None,
    reason: Reason = None,
    grace: Grace = 10,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Stop containers, one after the other."""
    _act("stop", names, {"typed_name": confirm, "reason": reason, "grace_s": grace}, url, as_json=as_json)


@app.command()
def restart(
    names: Names,
    confirm: Confirm = None,
    reason: Reason = None,
    grace: Grace = 10,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Restart containers, one after the other."""
    _act("restart", names, {"typed_name": confirm, "reason": reason, "grace_s": grace}, url, as_json=as_json)


@app.command()
def plan(
    want: Annotated[Literal["running", "stopped"], typer.Argument(help="How they are to be.")],
    names: Names,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show what would have to change for containers to run, or to be stopped, and what goes dark. Changes nothing."""
    with Client.connect(url) as client:
        _show_plan(client.post("/api/containers/plans", {"names": names, "want": want}), as_json=as_json)


@app.command()
def apply(
    plan_id: PlanId,
    confirm: Annotated[
        list[str] | None, typer.Option(help="A protected container's name once more; repeatable.")
    ] = None,
    reason: Reason = None,
    grace: Grace = 10,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Do what was planned. When something has changed since, nothing is done and the new plan is shown: exit code 1."""
    wanted = {"typed_names": confirm or [], "reason": reason, "grace_s": grace}
    with Client.connect(url) as client:
        operation = _ended(client, _or_new_plan(client, f"{_plan_path(plan_id)}/apply", wanted, as_json=as_json))
    results = (operation["result"] or {}).get("results", [])
    if as_json:
        print_json(operation)
    elif results:
        print_table(
            ("NAME", "STATE", "WHY"), [(each["name"], each["state"], _said(each["problem"])) for each in results]
        )
        print(f"The way back: homeport containers undo {plan_id}")
    else:
        print(f"{operation['state']} {_why(operation)}".strip())
    if operation["state"] != "done":
        raise typer.Exit(1)


@app.command()
def undo(plan_id: PlanId, url: Url = None, as_json: AsJson = False) -> None:
    """Show the way back from a plan that was applied, as a plan to `apply`. Changes nothing."""
    with Client.connect(url) as client:
        _show_plan(_or_new_plan(client, f"{_plan_path(plan_id)}/undo", {}, as_json=as_json), as_json=as_json)


@app.command()
def logs(
    name: Name,
    tail: Annotated[int, typer.Option(min=0, max=20_000, help="At most so many of the newest lines.")] = 200,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the container stops, or Ctrl-C.")] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Print a container's log. Lines of standard error go to standard error."""
    with Client.connect(url) as client:
        if not follow:
            for line in client.get(f"{_path(name)}/logs", tail=tail)["lines"]:
                _print_line(line, as_json=as_json)
            return
        for event, data in _events(client, f"{_path(name)}/logs/follow", tail=tail):
            for line in data if event == "lines" else ():
                _print_line(line, as_json=as_json)


@app.command("kept-logs")
def kept_logs(
    container_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="Print the lines of this one.")] = None,
    tail: Annotated[int, typer.Option(min=0, max=20_000)] = 1000,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show which removed containers' last lines are kept, or print those of one."""
    with Client.connect(url) as client:
        if container_id is not None:
            path = f"/api/containers/kept-logs/{quote(container_id, safe='')}"
            for line in client.get(path, tail=tail)["lines"]:
                _print_line(line, as_json=as_json)
            return
        kept = client.get("/api/containers/kept-logs")
    if as_json:
        print_json(kept)
    elif not kept["logs"]:
        print("Nothing is kept of removed containers.")
    else:
        rows = [(each["stack"], each["name"], local_time(each["last_at"]), each["id"]) for each in kept["logs"]]
        print_table(("STACK", "NAME", "LAST LINE", "ID"), rows)


@app.command()
def images(url: Url = None, as_json: AsJson = False) -> None:
    """Show the images that the known containers were made of."""
    with Client.connect(url) as client:
        found = client.get("/api/containers/images")
    if as_json:
        print_json(found)
    elif not found["images"]:
        print("No container carries the label homeport.stack.")
    else:
        rows = [
            (", ".join(each["tags"]) or each["id"], _size(each["size_bytes"]), len(each["containers"]))
            for each in found["images"]
        ]
        print_table(("IMAGE", "SIZE", "CONTAINERS"), rows)


@app.command()
def disk(url: Url = None, as_json: AsJson = False) -> None:
    """Show what images, containers, volumes and build cache take on the engine's disk."""
    with Client.connect(url) as client:
        found = client.get("/api/containers/disk-usage")
    if as_json:
        print_json(found)
        return
    rows = [
        (name.replace("_", " "), use["count"], _size(use["size_bytes"]), _size(use["reclaimable_bytes"]))
        for name, use in found.items()
    ]
    print_table(("WHAT", "COUNT", "SIZE", "COULD BE FREED"), rows)


@app.command()
def stats(
    name: Name,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="One measurement a second, until Ctrl-C.")] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show what a container has used in the last minutes."""
    with Client.connect(url) as client:
        if follow:
            for event, data in _events(client, f"{_path(name)}/stats/follow"):
                if event == "sample":
                    print(json.dumps(data) if as_json else "  ".join(map(str, _sample(data))))
            return
        history = client.get(f"{_path(name)}/stats")
    if as_json:
        print_json(history)
    elif not history["samples"]:
        print("Nothing was measured in the last minutes.")
    else:
        print_table(("AT", "CPU %", "MEMORY", "IN", "OUT"), [_sample(each) for each in history["samples"]])


@app.command()
def events(
    name: Annotated[str | None, typer.Argument(help="Only containers of this name.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show what happened to containers, also to those that are gone; newest first."""
    with Client.connect(url) as client:
        found = client.get(f"{_path(name)}/events" if name else "/api/containers/events", limit=limit)
    if as_json:
        print_json(found)
        return
    if not found["events"]:
        print("Nothing has happened yet.")
        return
    rows = [(local_time(each["at"]), each["name"], each["action"], _what(each)) for each in found["events"]]
    print_table(("AT", "NAME", "EVENT", "DETAIL"), rows)


def _act(act: str, names: list[str], wanted: dict[str, Any], url: str | None, *, as_json: bool) -> None:
    """Do it to each, follow each operation to its end; go on after a refusal. Exit code 1 if one was not done."""
    results, failed = [], 0
    with Client.connect(url) as client:
        for name in names:
            try:
                operation = _ended(client, client.post(f"{_path(name)}/{act}", wanted))
            except PortalError as error:
                if len(names) == 1 and not as_json:
                    raise
                operation = {"target": name, "state": "refused", "error": error.problem, "detail": str(error)}
            failed += operation["state"] != "done"
            results.append(operation)
    if as_json:
        print_json({"results": results})
    else:
        print_table(("NAME", "STATE", "WHY"), [(each["target"], each["state"], _why(each)) for each in results])
    if failed:
        raise typer.Exit(1)


def _or_new_plan(client: Client, path: str, wanted: dict[str, Any], *, as_json: bool) -> dict[str, Any]:
    """POST to a plan. When it is refused as stale, show the plan that takes its place before raising."""
    try:
        answer: dict[str, Any] = client.post(path, wanted)
    except PortalError as error:
        if "plan" in error.problem:
            _show_plan(error.problem["plan"], as_json=as_json)
        raise
    return answer


def _show_plan(plan: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(plan)
        return
    if plan["changes"]:
        rows = [(each["name"], each["before"] or "gone", each["after"], _suffers(each)) for each in plan["changes"]]
        print_table(("NAME", "NOW", "THEN", "WHAT SUFFERS"), rows)
    else:
        print("Nothing has to change.")
    if plan["silent_rooms"]:
        typer.echo(f"Not known, because it gave no answer: {', '.join(plan['silent_rooms'])}", err=True)
    protected = [each["name"] for each in plan["changes"] if each["is_protected"] and each["after"] == "stopped"]
    options = "".join(f" --confirm {name}" for name in protected) + (" --reason ..." if protected else "")
    if plan["changes"]:
        print(f"To do it: homeport containers apply {plan['id']}{options}")


def _suffers(change: dict[str, Any]) -> str:
    return ", ".join(f"{use['why'].replace('-', ' ')} {use['name']}" for use in change["used_by"])


def _ended(client: Client, operation: dict[str, Any]) -> dict[str, Any]:
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


def _events(client: Client, path: str, **parameters: object) -> Iterator[tuple[str, Any]]:
    """The events of a stream. Raise PortalError for a problem on it."""
    event, data = "", ""
    for line in client.lines(path, **parameters):
        field, _, value = line.rstrip("\r").partition(":")
        if field == "event":
            event = value.strip()
        elif field == "data":
            data += value.removeprefix(" ")
        elif not line.strip() and event:
            document = json.loads(data)
            if event == "problem":
                raise PortalError(f"{document['title']}: {document.get('detail', '')}", problem=document)
            yield event, document
            event, data = "", ""


def _print_line(line: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(line))
    else:
        typer.echo(f"{line['at']}  {visible(line['text'])}", err=line["stream"] == "stderr")


def _row(container: dict[str, Any]) -> tuple[Any, ...]:
    used = container["stats"] or {}
    return (
        container["stack"],
        container["name"],
        _state(container),
        ",".join(container["trouble"]),
        _percent(used.get("cpu_percent")),
        _size(used.get("memory_bytes")),
        container["restarts"],
        local_time(container["started_at"] if container["state"] == "running" else container["finished_at"]),
        container["image"],
    )


def _state(container: dict[str, Any]) -> str:
    text = str(container["health"] or container["state"])
    if container["exit_code"] is not None:
        text = f"{container['state']} ({container['exit_code']})"
    return text + (" OOM" if container["is_oom_killed"] else "")


def _sample(sample: dict[str, Any]) -> tuple[str, ...]:
    return (
        local_time(sample["measured_at"]),
        _percent(sample["cpu_percent"]),
        _size(sample["memory_bytes"]),
        _size(sample["network_in_bytes"]),
        _size(sample["network_out_bytes"]),
    )


def _what(event: dict[str, Any]) -> str:
    parts = (
        f"exit code {event['exit_code']}" if event["exit_code"] is not None else "",
        f"signal {event['signal']}" if event["signal"] else "",
        event["health"] or "",
    )
    return ", ".join(filter(None, parts))


def _why(operation: dict[str, Any]) -> str:
    return _said(operation.get("error"))


def _said(problem: dict[str, Any] | None) -> str:
    return str((problem or {}).get("detail") or (problem or {}).get("title") or "")


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _size(value: int | None) -> str:
    """Binary units."""
    if value is None:
        return ""
    amount = float(value)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"


def _path(name: str) -> str:
    return f"/api/containers/{quote(name, safe='')}"


def _plan_path(plan_id: str) -> str:
    return f"/api/containers/plans/{quote(plan_id.upper(), safe='')}"
