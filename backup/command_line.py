"""What the commands of `homeport backup` share: options, how they end, what they print."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backup.exit_codes import BackupError, ExitCode
from kit.terminal import print_json, visible

if TYPE_CHECKING:  # imported where they are used, so that --help stays quick
    from backup.house import House
    from backup.runs import End, Run

DEFAULT_CONFIG = Path("/etc/homeport/backup.toml")

Config = Annotated[
    Path,
    typer.Option("--config", envvar="HOMEPORT_BACKUP_CONFIG", help="The settings, backup.toml.", show_default=True),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done; change nothing.")]
IfDue = Annotated[
    bool, typer.Option("--if-due", help="Do nothing if this run has begun since its hour: for cron, which asks often.")
]
By = Annotated[str, typer.Option("--by", help="Who asks, for the list of runs: host, or timer.", metavar="WHO")]


def exit_code_table() -> str:
    return "\n".join(f"  {int(code):>3}  {code.meaning}" for code in ExitCode)


@contextmanager
def reported() -> Iterator[None]:
    """Turn an error that the operator can act on into its sentence on standard error and its exit code."""
    from backup.file_journal import INTERRUPTED
    from backup.runs import Interrupted, terminable
    from kit import logging
    from kit.settings import SettingsError

    logging.configure(json=False, level="warning")
    try:
        with terminable():
            yield
    except BackupError as error:
        typer.echo(f"homeport: error: {_lines(str(error))}", err=True)
        raise typer.Exit(int(error.code)) from None
    except Interrupted:
        raise typer.Exit(INTERRUPTED) from None
    except SettingsError as error:
        typer.echo(f"homeport: error: {_lines(str(error))}", err=True)
        raise typer.Exit(int(ExitCode.USAGE)) from None


def house(config: Path, *, as_json: bool = False, accept_smaller: frozenset[str] = frozenset()) -> House:
    """The settings' house; whoever runs it on a terminal sees its progress."""
    from backup.file_journal import for_person
    from backup.house import House
    from backup.settings import load

    return House(load(config), journal=for_person, accept_smaller=accept_smaller)


def conduct(house: House, verb: str, by: str, work: Callable[[Run], None], *, as_json: bool) -> None:
    """Do it as a run; print its result; end with its exit code."""
    finish(house.conductor.conduct(verb, by, work), as_json=as_json)


def finish(end: End, *, as_json: bool) -> None:
    if as_json:
        print_json(end_document(end))
    else:
        for name, value in end.result.items():
            typer.echo(visible(f"{name}: {_short(value)}"))
    if end.exit_code:
        typer.echo(f"homeport: error: {end.meaning} ({end.exit_code})\n{_lines(end.error)}", err=True)
        raise typer.Exit(end.exit_code)


def end_document(end: End) -> dict[str, Any]:
    return {
        "run": end.run,
        "exit_code": end.exit_code,
        "meaning": end.meaning,
        "error": end.error,
        "result": end.result,
    }


def _short(value: Any) -> str:
    if isinstance(value, list):
        return f"{len(value)} ({', '.join(str(each) for each in value[:5])}{', ...' if len(value) > 5 else ''})"
    return str(value)


def _lines(text: str) -> str:
    return "\n".join(visible(line) for line in text.split("\n"))
