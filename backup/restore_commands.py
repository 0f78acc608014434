"""`homeport backup restore`, `drill` and `bootstrap`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from backup.command_line import (
    DEFAULT_CONFIG,
    AsJson,
    By,
    Config,
    DryRun,
    IfDue,
    conduct,
    house,
    reported,
    shown,
)
from backup.exit_codes import RestoreRefused, WrongUsage
from kit.terminal import print_json, print_pairs, print_table, visible

Origin = Annotated[
    Literal["local", "repository", "vault"],
    typer.Option(help="The local tree, the restic repository, or the vault (needs the restorer's credentials)."),
]


def register(app: typer.Typer) -> None:
    app.command()(restore)
    app.command()(drill)
    app.command()(bootstrap)


def restore(
    point: Annotated[str, typer.Argument(help="Such as daily/2026-11-22; `list` shows what there is.")],
    asset: Annotated[
        str,
        typer.Argument(help="mailbox:anna@home.test, database:mail/mailserver, site:blog, files:config, everything."),
    ],
    path: Annotated[
        str | None, typer.Option(help="Only this file or directory below the asset; of a database a table.")
    ] = None,
    folder: Annotated[str | None, typer.Option(help="Of a mailbox: only this folder, such as .Sent.")] = None,
    origin: Origin = "local",
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Over the live data. Without it: beside, in a directory of its own.")
    ] = False,
    confirm: Annotated[str | None, typer.Option(help="For --in-place: the point's id, typed again.")] = None,
    allow_unverified: Annotated[
        bool, typer.Option("--allow-unverified", help="Take also what is not sealed, not signed, or damaged.")
    ] = False,
    plan: Annotated[
        str | None, typer.Option(metavar="SHA256", help="Only if the world is as this preview saw it.")
    ] = None,
    config: Config = DEFAULT_CONFIG,
    by: By = "host",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Bring something back. --dry-run shows what would be added, overwritten and deleted, by the same code.

    In place a point of the present is made first: the report names it, and the command that undoes the restore. Mail
    that arrived since is kept. Stop the services that --dry-run names before, and start them after.
    """
    from backup import restore as restores
    from backup import work
    from backup.points import PointId
    from backup.runs import Run, new_id
    from kit.clock import now_utc

    with reported():
        here = house(config)
        kind, _, name = asset.partition(":")
        try:
            request = restores.RestoreRequest(
                point=PointId.parse(point),
                asset_kind=_asset_kind(kind),
                asset_name=name,
                path=path,
                folder=folder,
                origin=origin,
                where="in-place" if in_place else "beside",
                allow_unverified=allow_unverified,
            )
        except ValueError as error:
            raise WrongUsage(str(error)) from None
        if dry_run:
            from backup.journal import Silent

            here.layout.require()
            preview = Run(new_id("preview", now_utc(here.clock)), Silent())
            work.preview(here, request, preview)
            _print_plan(preview.result, as_json=as_json)
            return
        if in_place and confirm != point:
            raise RestoreRefused(
                f"in place this overwrites live data. To go on: --confirm {point}. Nothing was changed"
            )
        conduct(here, "restore", by, lambda run: work.apply(here, request, run, plan_sha256=plan), as_json=as_json)


def drill(
    asset: Annotated[
        str | None, typer.Argument(help="As for `restore`; without one: what was drilled least lately.")
    ] = None,
    origin: Annotated[Literal["local", "vault"], typer.Option(help="Where it is restored from.")] = "local",
    config: Config = DEFAULT_CONFIG,
    if_due: IfDue = False,
    by: By = "host",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Restore into scratch, hold it against the counts of its point, measure, destroy. Live data are not touched."""
    from backup import checks, work
    from backup import drill as drills
    from backup.due import is_due
    from backup.journal import Silent
    from backup.runs import Run, new_id
    from kit.clock import now_utc

    with reported():
        here = house(config)
        kind, _, name = (asset or "").partition(":")
        chosen = (_asset_kind(kind), name) if asset else None
        if dry_run:
            looking = work.context(here, Run(new_id("drill", now_utc(here.clock)), Silent()))
            due = [chosen] if chosen else drills.due_now(looking, origin)
            names = [f"{each[0]}:{each[1]}" for each in due]
            print_json(names) if as_json else typer.echo(
                "\n".join(visible(each) for each in names) or "Nothing is due."
            )
            return
        verb = "drill" if origin == "local" else "drill --origin vault"
        if if_due and not is_due(here, verb):
            return
        conduct(
            here,
            verb,
            by,
            lambda run: checks.run_drills(here, run, work.context(here, run), chosen, origin),
            as_json=as_json,
        )


def bootstrap(
    public_key: Annotated[str, typer.Option(help="The public key on the recovery sheet, 44 characters.")],
    from_vault: Annotated[bool, typer.Option("--from-vault", help="Where from; there is no other place yet.")] = False,
    config: Config = DEFAULT_CONFIG,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before paying for the egress.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Rebuild the local side on an empty machine: repository, newest points, secrets. Shows first what egress costs."""
    from backup import bootstrap as bootstraps
    from backup.file_journal import for_person
    from backup.signing import Verifier

    with reported():
        if not from_vault:
            raise WrongUsage("say --from-vault: that is where everything is fetched from")
        here = house(config)
        try:
            verifier = Verifier.parse(public_key)
        except ValueError as error:
            raise WrongUsage(f"this is no public key of a recovery sheet: {error}") from None
        here.vault_settings()
        store = here.store("restorer")
        if dry_run:
            typer.echo(bootstraps.offer(store, verifier, here.settings).text)
            return
        rebuilt = bootstraps.from_vault(
            store,
            verifier,
            here.settings,
            confirm=lambda offer: yes or typer.confirm(offer.text, err=True),
            journal=for_person(),
        )
        here.write_catalog(here.facts())
        document = {
            "repository": str(rebuilt.repository),
            "points": [str(point) for point in rebuilt.points],
            "secrets": None if rebuilt.secrets is None else str(rebuilt.secrets),
        }
        print_json(document) if as_json else print_pairs([(name, shown(value)) for name, value in document.items()])


def _asset_kind(kind: str) -> Literal["database", "mailbox", "site", "files", "zone", "everything"]:
    match kind:
        case "database" | "mailbox" | "site" | "files" | "zone" | "everything":
            return kind
        case _:
            raise WrongUsage(f"{kind!r} is no kind of asset; one of database, mailbox, site, files, zone, everything")


def _print_plan(plan: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        print_json(plan)
        return
    names = (
        "point",
        "origin",
        "where",
        "target",
        "adds",
        "overwrites",
        "deletes",
        "bytes",
        "services",
        "verified",
        "plan",
    )
    print_pairs([(name, shown(plan[name])) for name in names if plan.get(name) not in (None, [])])
    changes = plan.get("changes")
    if isinstance(changes, list) and changes:
        print_table(("WHAT", "PATH"), [(each["what"], each["path"]) for each in changes])
