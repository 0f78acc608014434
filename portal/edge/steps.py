"""A plan as data: steps with before and after, conflicts with their way out. Pure."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from portal.edge.ownership import Kind, Thing

Json = dict[str, Any]


class Act(StrEnum):
    CREATE = "create"
    CHANGE = "change"
    REPLACE = "replace"  # what was somebody else's
    ADOPT = "adopt"  # use as it is, and never remove
    REMOVE = "remove"
    RESTORE = "restore"  # what was there before us


@dataclass(frozen=True, slots=True)
class Step:
    """One change.

    name            what makes it one of its kind in its zone
    before, after   as an operator should see them; None: nothing is there
    id              Cloudflare's, of what is changed or removed
    former          the whole of what was there, to be put back
    content         what to write, where `after` is not enough
    """

    kind: Kind
    act: Act
    zone: str | None
    name: str
    before: Any
    after: Any
    reason: str
    id: str | None = None
    former: Any = None
    content: Any = None

    def document(self) -> Json:
        shown = ("kind", "act", "zone", "name", "before", "after", "reason")
        return {name: getattr(self, name) for name in shown}


@dataclass(frozen=True, slots=True)
class Conflict:
    """Why nothing is done, and how it can be."""

    what: str
    way_out: str


@dataclass(frozen=True, slots=True)
class Plan:
    """steps     in the order in which they are done
    conflicts    while there is one, nothing is done
    notes        what stays as it is and an operator should know
    kept         what cannot be removed yet, and why: the rest is done, and the command fails
    forgotten    what edge.json records and is no longer there, or no longer ours
    """

    steps: tuple[Step, ...]
    conflicts: tuple[Conflict, ...] = ()
    notes: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    forgotten: tuple[Thing, ...] = ()

    @property
    def digest(self) -> str:
        """Two plans are the same plan when their steps are."""
        text = json.dumps([step.document() for step in self.steps], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    def document(self) -> Json:
        conflicts = [{"what": each.what, "way_out": each.way_out} for each in self.conflicts]
        return {
            "digest": self.digest,
            "steps": [step.document() for step in self.steps],
            "conflicts": conflicts,
            "notes": list(self.notes),
            "kept": list(self.kept),
        }
