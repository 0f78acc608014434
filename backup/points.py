"""Names of restore points, pure: `daily/2026-11-22`, `weekly/2026-11-22`, `manual/20261122T031500Z-mail`.

The date of a daily or weekly point is its scheduled local date, whatever the hour it was made; a manual one carries its
instant in UTC and its scope. In keys of the vault and in file names the slash is a hyphen.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Self

_INSTANT = "%Y%m%dT%H%M%SZ"
_SCOPE = r"[a-z0-9][a-z0-9._-]{0,62}"
_MANUAL = re.compile(rf"(\d{{8}}T\d{{6}}Z)-({_SCOPE})")


class PointKind(enum.StrEnum):
    DAILY = "daily"
    WEEKLY = "weekly"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True, order=True)
class PointId:
    """
    kind    which directory it stands in
    name    the directory's name: a date, or instant and scope
    """

    kind: PointKind
    name: str

    @classmethod
    def scheduled(cls, kind: PointKind, day: date) -> Self:
        return cls(kind, day.isoformat())

    @classmethod
    def manual(cls, at: datetime, scope: str) -> Self:
        """Raise ValueError for a scope that is not `[a-z0-9][a-z0-9._-]*` of 63 characters at most."""
        if not re.fullmatch(_SCOPE, scope):
            raise ValueError(
                f"a scope is 1 to 63 of a-z, 0-9, '.', '_' and '-', and begins with a letter or digit: {scope!r}"
            )
        return cls(PointKind.MANUAL, f"{at.astimezone(UTC).strftime(_INSTANT)}-{scope}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Given `kind/name` or, as in the vault, `kind-name`, return the id. Raise ValueError."""
        kind, _, name = text.replace("-", "/", 1).partition("/") if "/" not in text else text.partition("/")
        try:
            found = cls(PointKind(kind), name)
            if found.kind is PointKind.MANUAL:
                match = _MANUAL.fullmatch(name)
                if not match:
                    raise ValueError(name)
                datetime.strptime(match[1], _INSTANT).replace(tzinfo=UTC)
            elif date.fromisoformat(name).isoformat() != name:
                raise ValueError(name)
        except ValueError:
            raise ValueError(f"not the id of a point: {text!r}; one looks like daily/2026-11-22") from None
        return found

    @property
    def day(self) -> date:
        """Of a daily or weekly point its date, of a manual one that of its instant in UTC."""
        if self.kind is PointKind.MANUAL:
            return datetime.strptime(self.name[:16], _INSTANT).replace(tzinfo=UTC).date()
        return date.fromisoformat(self.name)

    @property
    def scope(self) -> str:
        """Of a manual point what it was made for, else ""."""
        return self.name[17:] if self.kind is PointKind.MANUAL else ""

    @property
    def flat(self) -> str:
        """Without a slash: for keys of the vault, file names and URLs."""
        return f"{self.kind}-{self.name}"

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"
