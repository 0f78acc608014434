"""The file .env as Compose reads it: `NAME=value` lines, comments, quotes. Pure.

Of Compose's grammar the part that a settings file needs. What is beyond it (interpolation, values of several lines) is
reported instead of being read differently from Compose.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_.]*)\s*=\s*(.*)")
_COMMENT = re.compile(r"\s+#.*")  # behind an unquoted value; a # without a space before it is a part of the value


@dataclass(frozen=True, slots=True)
class Read:
    """values     by name, the last one of a name counts
    mistakes   what Compose would read otherwise than it looks, or not at all; never quotes a value
    """

    values: dict[str, str] = field(default_factory=dict)
    mistakes: tuple[str, ...] = ()


def read(text: str) -> Read:
    values: dict[str, str] = {}
    mistakes: list[str] = []
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            mistakes.append(f"line {number} is not NAME=value")
            continue
        name, raw = match.groups()
        if name in values:
            mistakes.append(f"line {number} sets {name} a second time")
        value = _value(raw)
        if value is None:
            mistakes.append(
                f"line {number}: the value of {name} has quotes that do not close, or something behind them"
            )
        elif "$" in value and not raw.startswith("'"):
            mistakes.append(f"line {number}: the value of {name} has a $, which Compose replaces; put it into '...'")
        else:
            values[name] = value
    return Read(values, tuple(mistakes))


def _value(raw: str) -> str | None:
    quote = raw[:1]
    if quote not in ("'", '"'):
        return _COMMENT.sub("", f" {raw}", count=1).strip()
    end = raw.find(quote, 1)
    if end < 0 or _COMMENT.sub("", raw[end + 1 :], count=1).strip():
        return None
    return raw[1:end]
