"""A row of a check's table: a zone, what it is checked against, and what is found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Case:
    """records: of a zone file, where {d} stands for the domain. given: of MailDomain.subject. found: ids, in order."""

    records: str
    found: tuple[str, ...]
    given: dict[str, Any] = field(default_factory=dict)

    @property
    def codes(self) -> set[str]:
        return {each.partition(":")[0] for each in self.found}
