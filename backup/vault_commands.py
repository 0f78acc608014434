"""The vault: what lies there can be deleted by nobody, not even by whoever has this machine, until its lock ends."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backup.command_line import DEFAULT_CONFIG, AsJson, By, Config, DryRun, IfDue, conduct, house, reported
from backup.exit_codes import ExitCode
from kit.terminal import print_json, print_pairs, print_table

if TYPE_CHECKING:
    from backup.house import House
    from backup.runs import Run

HEAD_AGE = timedelta(hours=2)  # it is written every hour

app = typer.Typer(no_args_is_help=True, help=__doc__, rich_markup_mode=None)


@app.command()
def sync(
    config: Config = DEFAULT_CONFIG,
    if_due: IfDue = False,
    by: By = "host",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Upload what the repository has new, renew locks, read everything back, seal. Deletes nothing.

    Waits for the night's run that is at work. Stops with 10 before the first byte if the month would cost more than the
    budget; with 7 if anything is not locked as it must be.
    """
    from backup import offsite
    from backup.due import is_due
    from backup.runs import Run

    with reported():
        here = house(config)
        here.vault_settings()
        if dry_run:
            from backup.journal import Silent

            looked = Run("", Silent())
            offsite.sync(here, looked, dry_run=True)
            print_json(looked.result) if as_json else print_pairs([(k, str(v)) for k, v in looked.result.items()])
            return
        if if_due and not is_due(here, "vault sync"):
            return

        def work(run: Run) -> None:
            offsite.after_the_night(here, run)
            offsite.sync(here, run)

        conduct(here, "vault sync", by, work, as_json=as_json)


@app.command()
def verify(
    attack: Annotated[
        bool,
        typer.Option("--attack", help="Also try to delete, shorten and overwrite, as a thief of the uploader would."),
    ] = False,
    config: Config = DEFAULT_CONFIG,
    if_due: IfDue = False,
    by: By = "host",
    as_json: AsJson = False,
) -> None:
    """Ask for each object of every stored point: version, lock, checksum. Fails if one has less than was promised."""
    from backup import offsite
    from backup.due import is_due

    with reported():
        here = house(config)
        here.vault_settings()
        verb = "vault verify --attack" if attack else "vault verify"
        if if_due and not is_due(here, verb):
            return
        conduct(here, verb, by, lambda run: offsite.verify(here, run, with_attack=attack), as_json=as_json)


@app.command()
def doctor(config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Look at everything a night and a restore depend on, and say what to do. Ends with 7 if something has failed."""
    from backup import checks
    from backup.file_journal import for_person

    with reported():
        here = house(config)
        findings = checks.doctor(here, for_person())
        if as_json:
            print_json([{"level": str(each.level), "text": each.text, "fix": each.fix} for each in findings])
        else:
            print_table(("", "FOUND", "WHAT TO DO"), [(each.level, each.text, each.fix) for each in findings])
        if any(each.level == "failed" for each in findings):
            raise typer.Exit(int(ExitCode.VAULT_UNSAFE))


@app.command()
def gc(
    apply: Annotated[
        bool, typer.Option("--apply", help="Delete what is listed; without it nothing is changed.")
    ] = False,
    config: Config = DEFAULT_CONFIG,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Remove versions whose lock has ended and that no recent seal names. Never on the machine that is backed up: it
    takes the collector's credentials, which that machine must not have. Shows objects, bytes and money.
    """
    from backup.file_journal import for_person, size
    from backup.vault import collector

    with reported():
        here = house(config)
        found = collector.collect(
            here.store("collector"), here.verifier(), here.vault_settings(), for_person(), dry_run=dry_run or not apply
        )
        document = {
            "newest_seal": found.newest_seal.isoformat(),
            "expired": len(found.expired),
            "size_bytes": found.size_bytes,
            "month_usd": round(found.month_usd, 4),
            "deleted": found.deleted,
            "renewed": list(found.renewed),
            "unlocked": list(found.unlocked),
            "delete_markers": list(found.markers),
        }
        if as_json:
            print_json(document | {"objects": [[each.key, each.version_id, each.size] for each in found.expired]})
        else:
            document["size"] = size(found.size_bytes)
            print_pairs([(name, str(value)) for name, value in document.items()])


@app.command("audit-head")
def audit_head(
    file: Annotated[
        Path | None, typer.Option(help="As `homeport audit head --output FILE` writes it; default: <root>/portal's.")
    ] = None,
    config: Config = DEFAULT_CONFIG,
    by: By = "host",
    as_json: AsJson = False,
) -> None:
    """Sign the head of the portal's audit chain and put it under lock: a later cut is found. No sync delays it.

    Ends with 4 when the head is older than two hours: the portal does not write it, and what it does meanwhile could be
    cut off unseen.
    """
    with reported():
        here = house(config)
        here.vault_settings()
        conduct(here, "vault audit-head", by, lambda run: put_head(here, run, file), as_json=as_json)


def put_head(here: House, run: Run, file: Path | None = None) -> None:
    """Put the portal's head, or the given file's; then raise SourceFailed if it is an old one."""
    from backup import offsite
    from backup.exit_codes import SourceFailed
    from backup.vault import audit_heads as heads
    from kit.clock import now_utc

    offsite.audit_head(here, run, file or here.layout.requests / offsite.AUDIT_HEAD)
    head = heads.read(here.layout.state / "audit-head.json")  # the copy that was put
    age = now_utc(here.clock) - head.at
    if age > HEAD_AGE:
        raise SourceFailed(
            f"the portal's audit head is of {head.at:%Y-%m-%dT%H:%M:%SZ}, {age / timedelta(hours=1):.0f} hours old. It"
            " was put again. Does the portal run? `homeport audit head` writes a new one"
        )


@app.command("audit-heads")
def audit_heads(
    into: Annotated[Path, typer.Argument(help="An existing directory.")],
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Fetch every audit head, with the verifier's credentials, for `homeport audit verify --heads DIR`."""
    from backup.file_journal import for_person
    from backup.vault import audit_heads as heads

    with reported():
        here = house(config)
        count = heads.fetch(here.store("verifier"), here.verifier(), into, for_person())
        print_json({"heads": count}) if as_json else typer.echo(f"{count} heads in {into}")


@app.command()
def status(config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Show what the last runs found of the vault. Asks nobody: `verify` does."""
    from backup import catalog_build
    from kit.clock import now_utc

    with reported():
        here = house(config)
        built = catalog_build.build(here.settings, here.facts(), [], now_utc(here.clock))
        vault = built.vault.model_dump(mode="json")
        points = {each.id: each.vault.model_dump(mode="json") for each in built.points if each.vault is not None}
        if as_json:
            print_json(vault | {"points": points})
            return
        print_pairs([(name, str(value)) for name, value in vault.items() if value is not None])
        rows = [(point, found["sealed_at"], found["protected_until"]) for point, found in points.items()]
        if rows:
            print_table(("POINT", "SEALED", "PROTECTED UNTIL"), rows)
