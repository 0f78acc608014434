"""Backup: points, repository, vault, restores and drills.

A night makes a point of every source, seals it, keeps and removes by the rules, carries it into the restic repository
and from there into the vault. Settings: backup.toml (docs/settings.md); `init` writes one to start from. Success means
done and verified; each other end has a code of its own:
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from backup import restore_commands, schedule_commands, vault_commands
from backup.command_line import (
    DEFAULT_CONFIG,
    AsJson,
    By,
    Config,
    DryRun,
    IfDue,
    conduct,
    end_document,
    exit_code_table,
    house,
    reported,
)
from backup.exit_codes import WrongUsage
from kit.terminal import print_json, print_pairs, print_table

if TYPE_CHECKING:  # imported where they are used, so that --help stays quick
    from backup.make_point import Plan
    from backup.retention import Decision

# \b keeps the lines of the table apart in the help.
HELP = f"{(__doc__ or '').strip()}\n\n\b\n{exit_code_table()}"

app = typer.Typer(no_args_is_help=True, help=HELP, rich_markup_mode=None, add_completion=False)
app.add_typer(vault_commands.app, name="vault")
restore_commands.register(app)
schedule_commands.register(app)

Kind = Literal["daily", "weekly", "manual"]


@app.command()
def init(
    root: Annotated[Path, typer.Option(help="The backup root: a directory on a disk of its own, which must exist.")],
    config: Config = DEFAULT_CONFIG,
    zone: Annotated[str, typer.Option(help="Time zone of the schedule.")] = "Asia/Tokyo",
    host: Annotated[str, typer.Option(help="This machine's name in points and snapshots.")] = "homeport",
    portal_group: Annotated[
        str | None, typer.Option(help="Group (name or number) of the portal: it reads the catalog, writes requests.")
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Write the recovery sheet into this new file (0600), for the printer.")
    ] = None,
    code: Annotated[
        str | None, typer.Option(help="The code of the printed sheet, typed back; without it, it is asked for.")
    ] = None,
    no_input: Annotated[bool, typer.Option("--no-input", help="Ask nothing; the sheet stays unconfirmed.")] = False,
) -> None:
    """Set up a backup root: settings, keys, directories, repository, recovery sheet. What is there already stays.

    The recovery sheet is what a restore begins with when this machine is gone: print it, keep it elsewhere, then type
    its code back, as the proof that it can be read. Until that is done the portal and the doctor say so.
    """
    from backup import recovery_sheet, setup

    with reported():
        made = setup.prepare(
            config=config, root=root, zone=zone, host=host, group=setup.group_id(portal_group) if portal_group else None
        )
        for line in made.done:
            typer.echo(line)
        text = recovery_sheet.text(made.settings)
        if sheet is not None:
            setup.write_sheet(sheet, text)
            typer.echo(f"wrote the recovery sheet to {sheet}: print it, then remove the file")
        elif code is None:
            typer.echo(f"\n{text}")
        if code is None and not no_input:
            code = typer.prompt("The code at the foot of the printed sheet", default="", show_default=False)
        if not code:
            typer.echo("The sheet is not confirmed yet: homeport backup init --root ... --code CODE", err=True)
            return
        setup.confirm_sheet(made.settings, code)
        typer.echo("The recovery sheet is confirmed.")


@app.command()
def run(
    kind: Annotated[Kind, typer.Argument(help="daily and weekly keep by their rules; manual is an on-demand point.")],
    config: Config = DEFAULT_CONFIG,
    scope: Annotated[
        str, typer.Option(help="Of a manual point: all, or <kind>:<name> such as site:blog, as `coverage` lists it.")
    ] = "all",
    label: Annotated[str | None, typer.Option(help="Of a manual point: what it is for, such as before-update.")] = None,
    accept_smaller: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="SERVER/DATABASE or a source whose copy may be much smaller than the last; repeat for more.",
        ),
    ] = None,
    real_copy: Annotated[bool, typer.Option("--real-copy", help="Link nothing to earlier points.")] = False,
    if_due: IfDue = False,
    by: By = "host",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Make a point, apply retention, carry it into the repository. A later run waits for an earlier one.

    A failing source does not stop the others, but the point is not sealed: it is kept as incomplete, nothing is
    removed, and the exit code is 4.
    """
    from backup import make_point, pipeline
    from backup.due import is_due
    from backup.journal import Silent
    from backup.points import PointKind

    with reported():
        asked = make_point.Asked(PointKind(kind), scope, label, real_copy)
        if (scope != "all" or label is not None) and kind != "manual":
            raise WrongUsage("--scope and --label belong to a manual point")
        if label is not None and make_point.slug(label) != label:
            raise WrongUsage("a label consists of a-z, 0-9, '.', '_' and '-'")
        here = house(config, accept_smaller=frozenset(accept_smaller or ()))
        if dry_run:
            plan = make_point.plan(here, asked, Silent())
            _print_plan(plan, as_json=as_json)
            return
        if if_due and not is_due(here, f"run {kind}"):
            return
        verb = "run" if kind == "manual" else f"run {kind}"
        conduct(here, verb, by, lambda work: pipeline.run(here, asked, work), as_json=as_json)


@app.command("list")
def list_(config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Show every point: when, how large, verified, where else it is, and why it is kept. Newest first."""
    from backup import catalog_build
    from backup.file_journal import size
    from kit.clock import now_utc
    from kit.terminal import local_time

    with reported():
        here = house(config)
        with_facts = catalog_build.build(here.settings, here.facts(), [], now_utc(here.clock))
        if as_json:
            print_json([point.model_dump(mode="json") for point in with_facts.points])
            return
        rows = [
            (
                point.id,
                local_time(point.started_at.isoformat()),
                size(point.bytes),
                size(point.new_bytes),
                "incomplete"
                if point.is_incomplete
                else "damaged"
                if point.damage
                else "yes"
                if point.verified
                else "no",
                "yes" if point.repository else "",
                local_time(point.vault.protected_until.isoformat()) if point.vault else "",
                point.kept_because,
            )
            for point in with_facts.points
        ]
        print_table(("POINT", "BEGAN", "SIZE", "NEW", "VERIFIED", "REPOSITORY", "VAULT UNTIL", "WHY"), rows)


@app.command()
def verify(
    points: Annotated[list[str] | None, typer.Argument(help="Such as daily/2026-11-22.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every point that lies here.")] = False,
    config: Config = DEFAULT_CONFIG,
    by: By = "host",
    as_json: AsJson = False,
) -> None:
    """Read points from the disk and hold every file against the signed manifest. Changes nothing."""
    from backup import checks
    from backup.points import PointId

    with reported():
        here = house(config)
        try:
            chosen = here.layout.sealed() if every else [PointId.parse(text) for text in points or []]
        except ValueError as error:
            raise WrongUsage(str(error)) from None
        if not chosen:
            raise WrongUsage("name a point, or say --all")
        conduct(here, "verify", by, lambda work: checks.verify_points(here, work, chosen), as_json=as_json)


@app.command()
def prune(config: Config = DEFAULT_CONFIG, by: By = "host", dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Apply retention now, then free the repository's space. Nights do this by themselves; the vault stays as it is."""
    from backup import make_point, pipeline

    with reported():
        here = house(config)
        if dry_run:
            decisions = make_point.decisions(here)
            if as_json:
                print_json([_decision(each) for each in decisions])
            else:
                _print_decisions(decisions)
            return
        conduct(here, "prune", by, lambda work: pipeline.prune(here, work), as_json=as_json)


@app.command()
def requests(
    unit: Annotated[
        Literal["run", "restore"],
        typer.Option(
            help="run: points, verifications, drills. restore: previews and restores, where data may be written."
        ),
    ],
    config: Config = DEFAULT_CONFIG,
    poll_for: Annotated[
        float, typer.Option(min=0, max=86400, help="Look again every 10 s for so many seconds; 0: once.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Do what the portal asks for, one request after the other. Ends with 0 unless a request met a bug: each request's
    own end stands in the list of runs.
    """
    from backup import work

    with reported():
        here = house(config)
        ends = work.serve(here, unit, poll_for_s=poll_for)
        if as_json:
            print_json([end_document(end) for end in ends])
        else:
            for end in ends:
                typer.echo(f"{end.run}: {end.meaning} ({end.exit_code})")
        if any(end.exit_code == 1 for end in ends):
            raise typer.Exit(1)


@app.command()
def coverage(
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show every known database, mailbox, site, volume, zone and secret: covered, left out and why, or missing.

    Ends with 4 when something is missing or lies on the disk of its backup.
    """
    with reported():
        here = house(config)
        lines = here.coverage()
        if as_json:
            names = ("kind", "name", "covered", "source", "reason")
            print_json([{name: getattr(each, name) for name in names} for each in lines])
        else:
            print_table(
                ("KIND", "NAME", "COVERED", "SOURCE", "REASON"),
                [(each.kind, each.name, each.covered, each.source, each.reason) for each in lines],
            )
        if any(each.covered in ("missing", "same-device") for each in lines):
            raise typer.Exit(4)


def _print_plan(plan: Plan, *, as_json: bool) -> None:
    from backup.file_journal import size

    document = {
        "point": str(plan.point),
        "sources": plan.sources,
        "real_copy": plan.is_real_copy,
        "expected_bytes": plan.need.bytes,
        "expected_inodes": plan.need.inodes,
    }
    if as_json:
        print_json(document | {"retention": [_decision(each) for each in plan.decisions]})
        return
    print_pairs(
        [
            ("point", str(plan.point)),
            ("sources", ", ".join(plan.sources)),
            ("links", "none: a real copy" if plan.is_real_copy else "to the point before"),
            ("expected", f"about {size(plan.need.bytes)} in {plan.need.inodes} inodes"),
        ]
    )
    typer.echo("\nIf this point is verified, retention then decides:")
    _print_decisions(plan.decisions)


def _print_decisions(decisions: Sequence[Decision]) -> None:
    rows = [(each.point, "keep" if each.keep else "REMOVE", each.reason) for each in decisions]
    print_table(("POINT", "", "WHY"), rows)


def _decision(each: Decision) -> dict[str, Any]:
    return {"point": str(each.point), "keep": each.keep, "reason": each.reason}
