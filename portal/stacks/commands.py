"""The Compose stacks: make a stack's settings and secrets, and check them before `docker compose up`.

    homeport stack init NAME     .env from .env.example, and every secret that can be drawn at random
    homeport stack check NAME    everything that is missing or wrong, each with its remedy

NAME is mailserver or blog.

The stack is looked for here, in the directories above, and in this program's own checkout; --dir names it. Variables of
the shell count more than .env, as they do for Compose. No secret is ever printed.

Exit codes: 0 in order (warnings are told) · 1 there are problems, or it could not be done · 2 wrong usage. With --json,
standard output is one JSON document.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from kit import terminal

if TYPE_CHECKING:  # imported where they are used, so that --help stays quick
    from portal.stacks.findings import Finding
    from portal.stacks.stack import Stack

app = typer.Typer(no_args_is_help=True, help=__doc__, rich_markup_mode=None, add_completion=False)


class Name(StrEnum):
    MAILSERVER = "mailserver"
    BLOG = "blog"


StackName = Annotated[Name, typer.Argument(help="Which stack.")]
Directory = Annotated[Path | None, typer.Option("--dir", help="The stack's directory, which holds compose.yaml.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command()
def init(
    name: StackName,
    self_signed: Annotated[
        bool,
        typer.Option(
            "--self-signed", help="Also a certificate for MAIL_HOSTNAME, which every mail program will doubt."
        ),
    ] = False,
    directory: Directory = None,
    as_json: AsJson = False,
) -> None:
    """Make .env and the secrets of a stack. Nothing that exists is overwritten; run it again at any time.

    What only you can get (the relay's key, a real certificate) is named at the end.
    """
    from kit.clock import now_utc
    from portal.stacks.prepare import CannotPrepare, prepare

    stack = _find(name, directory)
    try:
        done = prepare(stack, now_utc(), self_signed=self_signed)
    except (CannotPrepare, OSError) as error:
        _fail(str(error))
    if as_json:
        terminal.print_json(
            {
                "stack": stack.name,
                "directory": str(stack.directory),
                "made": done.made,
                "kept": done.kept,
                "tightened": done.tightened,
                "left": done.left,
            }
        )
        return
    terminal.print_pairs(
        [
            *(("made", path) for path in done.made),
            *(("kept as it is", path) for path in done.kept),
            *(("closed to others", path) for path in done.tightened),
            *(("left to you", f"{path}: {source}") for path, source in done.left.items()),
        ]
    )
    print(f"\nIn {terminal.visible(str(stack.directory))}. Next: edit .env, then `homeport stack check {stack.name}`.")


@app.command()
def check(name: StackName, directory: Directory = None, as_json: AsJson = False) -> None:
    """Say everything that would keep a stack from working, or leave it open to others. Changes nothing."""
    from kit.clock import now_utc
    from portal.stacks import checks

    stack = _find(name, directory)
    found = checks.check(stack, now_utc())
    problems = [(check, each) for check, findings in found.items() for each in findings if each.is_problem]
    warnings = [(check, each) for check, findings in found.items() for each in findings if not each.is_problem]
    if as_json:
        terminal.print_json(
            {
                "stack": stack.name,
                "directory": str(stack.directory),
                "checks": list(found),
                "problems": [_document(check, each) for check, each in problems],
                "warnings": [_document(check, each) for check, each in warnings],
            }
        )
    else:
        for kind, each in [*(("problem", each) for _, each in problems), *(("warning", each) for _, each in warnings)]:
            print(f"{kind}  {terminal.visible(f'{each.subject} {each.text}')}")
            print(f"         {terminal.visible(each.remedy)}")
        counts = f"Problems: {len(problems)}, warnings: {len(warnings)}" if problems or warnings else "All in order"
        print(f"{counts}; {len(found)} checks in {terminal.visible(str(stack.directory))}.")
    raise SystemExit(1 if problems else 0)


def _document(check: str, finding: Finding) -> dict[str, str]:
    return {"check": check, "subject": finding.subject, "text": finding.text, "remedy": finding.remedy}


def _find(name: Name, directory: Path | None) -> Stack:
    from kit import logging
    from portal.stacks.stack import Stack, StackNotFound

    logging.configure(json=False, level="warning")  # standard output is what the command prints
    try:
        return Stack.find(name.value, directory)
    except StackNotFound as error:
        _fail(str(error))


def _fail(text: str) -> NoReturn:
    terminal.progress(f"homeport: error: {text}")
    raise SystemExit(1)
