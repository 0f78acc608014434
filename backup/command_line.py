"""What the commands of `homeport backup` share: options, how they end, what they print."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backup.exit_codes import BackupError, ExitCode
from kit.terminal import print_json, print_pairs, print_table, visible

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

    return House(load(config), journal=for_person, accept_smaller=accept_smaller).with_listed_sites()


def conduct(house: House, verb: str, by: str, work: Callable[[Run], None], *, as_json: bool) -> None:
    """Do it as a run; print its result; end with its exit code."""
    finish(house.conductor.conduct(verb, by, work), as_json=as_json)


def finish(end: End, *, as_json: bool) -> None:
    if as_json:
        print_json(end_document(end))
    else:
        _print_result(end.result)
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


def _print_result(result: dict[str, Any]) -> None:
    """Pairs; and what is many, such as drills, as a table of its own."""
    tables = {name: value for name, value in result.items() if isinstance(value, list) and value}
    print_pairs((name.replace("_", " "), shown(value)) for name, value in result.items() if name not in tables)
    for name, rows in tables.items():
        if isinstance(rows[0], dict):
            names = list(rows[0])
            headings = [each.replace("_", " ").upper() for each in names]
            print_table(headings, [[shown(row.get(each)) for each in names] for row in rows])
        else:
            print_table([name.replace("_", " ").upper()], [[shown(row)] for row in rows])


def shown(value: Any) -> str:
    """A value of a result, for the eye."""
    match value:
        case None | []:
            return "none"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.3g}"
        case _:
            return str(value)


def _lines(text: str) -> str:
    return "\n".join(visible(line) for line in text.split("\n"))
