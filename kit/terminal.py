"""What commands print: tables and pairs for the eye and for grep, one JSON document for programs.

Text of strangers goes through `visible`: what a terminal would obey is shown, not sent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import typer


def print_json(document: Any) -> None:
    """Text stays readable; what a terminal would obey is escaped, which leaves the JSON value the same."""
    text = json.dumps(document, indent=2, ensure_ascii=False, default=str)
    typer.echo("".join(char if char.isprintable() or char == "\n" else _escaped(char) for char in text))


def print_table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Columns two blanks apart, no line wrapped. Empty cells for None."""
    lines = [tuple(headings), *(tuple("" if cell is None else visible(str(cell)) for cell in row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def print_pairs(pairs: Iterable[tuple[str, str]]) -> None:
    """Each name once, in front of its first line."""
    lines = list(pairs)
    width = max((len(name) for name, _ in lines), default=0)
    last = None
    for name, text in lines:
        typer.echo(f"{(name if name != last else '').ljust(width)}  {visible(text)}".rstrip())
        last = name


def progress(text: str) -> None:
    """One line on standard error."""
    typer.echo(visible(text), err=True)


def visible(text: str) -> str:
    """Text of strangers, with what a terminal would obey made visible."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def local_time(at: str | None) -> str:
    """A time as the API writes it, in this machine's zone, with offset; "" for none."""
    return datetime.fromisoformat(at).astimezone().isoformat(" ", "seconds") if at else ""


def epoch_time(at: float | None) -> str:
    """Epoch seconds as local time with offset; "" for None and 0."""
    return datetime.fromtimestamp(at, UTC).astimezone().isoformat(" ", "seconds") if at else ""


def _escaped(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")  # JSON escapes UTF-16 code units
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
