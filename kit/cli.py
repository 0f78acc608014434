"""The command `homeport`: it only finds the command groups that installed deployables register, and runs one.

A deployable registers a Typer application under the entry point group `homeport.commands`. The name is the group's
name; what follows a dot in it only keeps two entries apart (`mail`, `mail.accounts`): groups of one name are merged,
and a command that two of them define is an error. Only the modules of the invoked group are imported, so a group whose
extra is not installed breaks nothing but itself, and `homeport --help` imports none. The images hold one deployable
each, of a distribution that registers all: where a deployable's package is not there, neither are its groups.

Exit codes: 0 done · 1 failed, said in one line on standard error · 2 wrong usage, or the group's extra is not
installed · 130 interrupted · anything else is the command's own. HOMEPORT_DEBUG=1 shows tracebacks.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points, version
from pathlib import Path

import typer
from typer.core import TyperGroup

ENTRY_POINTS = "homeport.commands"


def main(argv: Sequence[str] | None = None) -> None:
    """Run `homeport` with the given arguments (the process's own by default). Always ends in SystemExit."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    groups = _groups()
    try:
        match arguments:
            case [] | ["--help" | "-h"]:
                print(_usage(groups))
            case ["--version"]:
                print(f"homeport {version('homeport')}")
            case [name, *rest] if name in groups:
                _load(name, groups[name]).main(rest, prog_name=f"homeport {name}")
            case [name, *_]:
                _stop(2, f"there is no command {name!r}; `homeport --help` lists what is installed")
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # the edge of the process: one line instead of a traceback
        if os.environ.get("HOMEPORT_DEBUG") == "1":
            raise
        _stop(1, str(error) or type(error).__name__)
    sys.exit(0)


def _groups() -> dict[str, list[EntryPoint]]:
    groups: dict[str, list[EntryPoint]] = {}
    for entry in sorted(entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name):
        if importlib.util.find_spec(entry.module.partition(".")[0]) is not None:
            groups.setdefault(entry.name.partition(".")[0], []).append(entry)
    return groups


def _load(name: str, entries: Sequence[EntryPoint]) -> TyperGroup:
    """Import a group's modules and merge them. A part whose extra is missing is left out, unless it is the only one."""
    parts: list[TyperGroup] = []
    for entry in entries:
        try:
            app = entry.load()
        except ModuleNotFoundError as error:
            missing, package = (error.name or "").partition(".")[0], entry.module.partition(".")[0]
            if missing in (package, "kit"):  # our own module is missing: a defect, not an extra
                raise
            extra = package.replace("_", "-")
            print(f"homeport: {name} needs {missing}: pip install 'homeport[{extra}]'", file=sys.stderr)
            continue
        parts.append(typer.main.get_group(app))
    if not parts:
        sys.exit(2)
    merged = parts[0]
    for part in parts[1:]:
        if both := merged.commands.keys() & part.commands.keys():
            raise RuntimeError(f"{name}: defined twice: {', '.join(sorted(both))}")
        merged.commands.update(part.commands)
    return merged


def _usage(groups: dict[str, list[EntryPoint]]) -> str:
    lines = ["Usage: homeport GROUP COMMAND ...  |  homeport --version", "", "Groups (homeport GROUP --help):"]
    lines += [f"  {name:<12} {_summary(entries[0])}".rstrip() for name, entries in groups.items()]
    return "\n".join(lines)


def _summary(entry: EntryPoint) -> str:
    """The first line of the module's docstring, read without importing the module."""
    try:
        spec = importlib.util.find_spec(entry.module)
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.origin is None:
        return "(not installed)"
    docstring = ast.get_docstring(ast.parse(Path(spec.origin).read_bytes())) or ""
    return docstring.partition("\n")[0]


def _stop(code: int, text: str) -> None:
    print(f"homeport: error: {text}", file=sys.stderr)
    sys.exit(code)
