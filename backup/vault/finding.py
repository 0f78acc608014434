"""What the doctor says: a level, what it found, and what to do about it."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Level(enum.StrEnum):
    """
    ok       as it should be
    warning  works, and should be put right
    failed   does not do what it is there for
    unknown  could not be found out
    """

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """
    text  one sentence without a secret
    fix   what to do; "" when nothing is
    """

    level: Level
    text: str
    fix: str = ""


def ok(text: str) -> Finding:
    return Finding(Level.OK, text)


def warning(text: str, fix: str) -> Finding:
    return Finding(Level.WARNING, text, fix)


def failed(text: str, fix: str) -> Finding:
    return Finding(Level.FAILED, text, fix)


def unknown(text: str, fix: str) -> Finding:
    return Finding(Level.UNKNOWN, text, fix)
