"""`homeport dns export`, `import` and `sync`: zones as files. commands.py lists them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from portal.client import AsJson, Client, PortalError, Url
from portal.dns.command_line import asking
from portal.dns.command_line.printing import Json, show_plan

SUFFIXES = {".csv": "csv", ".json": "json"}  # of files; anything else is a BIND zone file

Format = Annotated[
    Literal["bind", "csv", "json"] | None,
    typer.Option("--format", help="By default what the file's name says; bind otherwise."),
]


def export(
    zone: asking.Zone,
    format_: Annotated[Literal["bind", "csv", "json"], typer.Option("--format")] = "bind",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file.")] = None,
    url: Url = None,
) -> None:
    """Print a zone as a file, as it is at Cloudflare now: a BIND zone file, CSV or JSON."""
    with (
        Client.connect(url) as client,
        client.stream(f"{asking.path_of(zone)}/export", format=format_) as parts,
    ):
        content = b"".join(parts)
    if output is None:
        sys.stdout.buffer.write(content)
        return
    try:
        output.write_bytes(content)
    except OSError as error:
        raise PortalError(f"{output} cannot be written: {error.strerror}") from error


def import_(
    zone: asking.Zone,
    file: Annotated[Path, typer.Argument(help='A file; "-" is standard input.')],
    replace: Annotated[bool, typer.Option("--replace", help="What the file lacks is deleted.")] = False,
    format_: Format = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show what importing a file would change, as a plan to `apply`. Changes nothing.

    The zone's SOA, the NS records of its apex, and what Email Routing keeps stay as they are.
    """
    text = _text(file)
    with Client.connect(url) as client:
        show_plan(_import(client, asking.zone_name(zone), file, text, format_, replace=replace), as_json=as_json)


def sync(
    file: Annotated[Path, typer.Argument(help='A file that `export` wrote, or one like it; "-" is standard input.')],
    zone: Annotated[str | None, typer.Option(help="By default what $ORIGIN says, or the file's name.")] = None,
    only_plan: Annotated[bool, typer.Option("--plan", help="Show what would change, and end.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Apply without asking.")] = False,
    reason: Annotated[str | None, typer.Option(help="Kept with the operation.")] = None,
    format_: Format = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Make a zone equal to a file: show the plan, ask, apply. What the file lacks is deleted.

    The zone's SOA, the NS records of its apex, and what Email Routing keeps stay as they are. Lines that are wrong end
    it before anything is changed.
    """
    text = _text(file)
    with Client.connect(url) as client:
        name = asking.zone_name(zone) if zone else _zone_of_file(file, text)
        found = _import(client, name, file, text, format_, replace=True)
        if not found["changes"] or only_plan:
            show_plan(found, as_json=as_json)
            return
        if not (as_json and yes):
            show_plan(found, as_json=as_json)
        if not yes:
            if as_json or not sys.stdin.isatty():
                raise PortalError("nothing was done: this asks on a terminal; elsewhere give --yes, or --plan")
            typer.confirm(f"Make {name} equal to {file}?", abort=True, err=True)
        asking.apply(client, found, reason, as_json=as_json)


def _text(file: Path) -> str:
    try:
        raw = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        return raw.decode("utf-8-sig")
    except OSError as error:
        raise PortalError(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise PortalError(f"{file} is not UTF-8 text") from error


def _import(client: Client, zone: str, file: Path, text: str, format_: str | None, *, replace: bool) -> Json:
    wanted = {
        "format": format_ or SUFFIXES.get(file.suffix.lower(), "bind"),
        "text": text,
        "mode": "replace" if replace else "merge",
    }
    return asking.new_plan(client, f"{asking.zone_path(zone)}/plans/import", wanted)


def _zone_of_file(file: Path, text: str) -> str:
    """What $ORIGIN says, or the file's name without its last part. Raise BadParameter."""
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[0].upper() == "$ORIGIN":
            return asking.zone_name(words[1])
    if "." in file.stem:
        return asking.zone_name(file.stem)
    raise typer.BadParameter(
        "neither $ORIGIN nor the file's name says which zone it is: give --zone", param_hint="FILE"
    )
