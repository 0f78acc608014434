"""The audit: who did what, and whether it is still as it was written.

Exit codes: 0 done · 1 failed, or the chain is broken · 2 wrong usage. With --json, standard output is one JSON
document. `verify` and `head` read the database itself, so that they work when the portal does not, or is not believed.
"""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from kit.terminal import local_time, print_json, print_table
from portal.client import AsJson, Client, Url

app = typer.Typer(no_args_is_help=True, help=__doc__, rich_markup_mode=None, add_completion=False)

Actor = Annotated[str | None, typer.Option(help="Part of who did it.")]
Action = Annotated[str | None, typer.Option(help="Part of source:subject:action, such as containers:restart.")]
Target = Annotated[str | None, typer.Option(help="Part of what it was done to.")]
Text = Annotated[str | None, typer.Option(help="Part of actor, action, target or detail.")]
Result = Annotated[str | None, typer.Option(help="accepted, done, failed or denied.")]
Since = Annotated[datetime | None, typer.Option(help="Local time, such as 2026-11-22 or 2026-11-22T18:00:00.")]
Until = Annotated[datetime | None, typer.Option(help="Local time; the moment itself is not included.")]
OperationId = Annotated[str | None, typer.Option("--operation", help="Id of the operation it belongs to.")]
RequestId = Annotated[str | None, typer.Option("--request", help="Id of the request, as problems and logs name it.")]


@app.command("list")
def list_(
    actor: Actor = None,
    action: Action = None,
    target: Target = None,
    text: Text = None,
    result: Result = None,
    since: Since = None,
    until: Until = None,
    operation_id: OperationId = None,
    request_id: RequestId = None,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 50,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show the newest rows that fit, newest first."""
    wanted = _wanted(actor, action, target, text, result, since, until, operation_id, request_id)
    with Client.connect(url) as client:
        page = client.get("/api/audit", limit=limit, **wanted)
    if as_json:
        print_json(page)
        return
    if not page["entries"]:
        print("Nothing fits.")
        return
    rows = [
        (
            entry["sequence"],
            local_time(entry["at"]),
            entry["actor"]["name"],
            entry["source"],
            entry["action"],
            entry["target"],
            entry["result"],
            entry["detail"],
        )
        for entry in page["entries"]
    ]
    print_table(("NUMBER", "AT", "ACTOR", "FROM", "ACTION", "TARGET", "RESULT", "DETAIL"), rows)
    if page["below"]:
        print(f"There are older ones: --limit, or --until {local_time(page['entries'][-1]['at'])[:19]!r}")


@app.command()
def export(
    form: Annotated[Literal["jsonl", "csv"], typer.Option("--format", help="jsonl or csv.")] = "jsonl",
    actor: Actor = None,
    action: Action = None,
    target: Target = None,
    text: Text = None,
    result: Result = None,
    since: Since = None,
    until: Until = None,
    operation_id: OperationId = None,
    request_id: RequestId = None,
    url: Url = None,
) -> None:
    """Write every row that fits to standard output, oldest first. The export itself is recorded."""
    wanted = _wanted(actor, action, target, text, result, since, until, operation_id, request_id)
    with Client.connect(url) as client, client.stream("/api/audit/export", form=form, **wanted) as parts:
        for part in parts:
            sys.stdout.buffer.write(part)
    sys.stdout.buffer.flush()


@app.command()
def verify(
    heads: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Directory of heads that were put aside (*.json, as the vault has them). Each must be in the chain: "
            "that finds rows cut off at its end.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check the whole chain in the database itself; name the first row that is not as it was written."""
    from portal.audit.chain import verify as verify_chain
    from portal.audit.heads import HeadUnreadable, first_missing, read
    from portal.audit.models import AuditHead
    from portal.db import Database
    from portal.settings import PortalSettings

    try:
        known = {} if heads is None else read(heads)
    except HeadUnreadable as error:
        typer.echo(f"homeport: error: {error}", err=True)
        raise SystemExit(1) from None
    database = Database(PortalSettings.load().database)
    try:
        rows, broken, missing = database.read_sync(
            lambda session: (
                getattr(session.get(AuditHead, 1), "sequence", 0),
                verify_chain(session),
                first_missing(session, known),
            )
        )
    finally:
        database.close()
    if as_json:
        found = {"rows": rows, "broken_at": broken and broken.sequence, "reason": broken.reason if broken else None}
        print_json(found | ({} if heads is None else {"heads": len(known), "missing_head": missing}))
    elif broken is None and missing is None:
        print(f"All {rows} rows are as they were written.")
        if heads is not None:
            print(f"All {len(known)} heads are in the chain.")
    if broken is not None:
        typer.echo(f"homeport: error: the audit is broken at row {broken.sequence}: {broken.reason}", err=True)
    if missing is not None:
        typer.echo(
            f"homeport: error: {missing} is not in the chain: row {known[missing].sequence} was cut off or replaced",
            err=True,
        )
    if broken is not None or missing is not None:
        raise SystemExit(1)


@app.command()
def head(
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write it there, at once and whole; by default it is printed.")
    ] = None,
) -> None:
    """Say which row is the newest, with its hash, for `backup vault audit-head`, which puts it into the vault."""
    from kit.atomic import write_durably
    from kit.clock import now_utc
    from portal.audit.heads import HeadUnreadable, present
    from portal.db import Database
    from portal.settings import PortalSettings

    database = Database(PortalSettings.load().database)
    try:
        document = database.read_sync(lambda session: present(session, now_utc())).document()
        if output is not None:
            write_durably(output, document, mode=0o644)  # no secret: a number and a hash
    except (HeadUnreadable, OSError) as error:
        typer.echo(f"homeport: error: {error}", err=True)
        raise SystemExit(1) from None
    finally:
        database.close()
    if output is None:
        sys.stdout.write(document.decode())


def _wanted(
    actor: str | None,
    action: str | None,
    target: str | None,
    text: str | None,
    result: str | None,
    since: datetime | None,
    until: datetime | None,
    operation_id: str | None,
    request_id: str | None,
) -> dict[str, Any]:
    return {
        "actor": actor,
        "action": action,
        "target": target,
        "text": text,
        "result": result,
        "since": since and since.astimezone(),  # as typed, it is local time
        "until": until and until.astimezone(),
        "operation_id": operation_id,
        "request_id": request_id,
    }
