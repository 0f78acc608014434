"""Drift: what differs from the zone as Homeport left it. Pure.

The zone as Homeport left it (the baseline) is not kept anywhere: it is the zone as it was last seen, with each open
drift taken back. So a drift that somebody accepts, or that Homeport itself overwrites, is part of the baseline as soon
as it isn't open any more, and what was changed and changed back is no drift.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from portal.dns.records.pairing import Paired, pair
from portal.dns.records.values import Value

EDGE_MARKER = "homeport-edge-"  # how the comment of a record begins that `homeport edge` wrote
EDGE = "edge"

Values = Mapping[str, Value]
Triple = tuple[str, Value | None, Value | None]  # key, before, after
Settled = Literal["accepted", "reverted"]


@dataclass(frozen=True, slots=True)
class Open:
    """A drift that nobody has settled yet."""

    id: int
    changes: tuple[Triple, ...]

    @property
    def keys(self) -> frozenset[str]:
        return frozenset(key for key, _, _ in self.changes)


@dataclass(frozen=True, slots=True)
class Difference:
    """One record that differs, for people, and the changes behind it."""

    paired: Paired
    changes: tuple[Triple, ...]

    @property
    def is_of_edge(self) -> bool:
        return is_written_by_edge(self.paired.before, self.paired.after)


@dataclass(frozen=True, slots=True)
class Reconciled:
    """
    new       drift that was not known
    changed   open drift that is another one now
    settled   drift that is open no more: it is as before again, or Homeport has written over it
    """

    new: tuple[Difference, ...]
    changed: tuple[tuple[Open, Difference], ...]
    settled: tuple[tuple[Open, Settled], ...]


def triples(before: Values, after: Values) -> list[Triple]:
    """What differs, sorted by key."""
    return [
        (key, before.get(key), after.get(key))
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]


def differences(changes: Iterable[Triple]) -> list[Difference]:
    """A removal and an addition of one type and name are one difference."""
    by_key = {key: (key, before, after) for key, before, after in changes}
    return [Difference(each, tuple(by_key[key] for key in each.keys)) for each in pair(by_key.values())]


def reconcile(seen: Values, now: Values, known: Sequence[Open], *, is_ours: bool) -> Reconciled:
    """Given the zone as it was last seen, as it is now, and what drift is open, say what drift there is.

    is_ours   Homeport made what has changed since the zone was last seen
    """
    baseline = dict(seen)
    for each in known:
        for key, before, _ in each.changes:
            _put(baseline, key, before)
    ours = {key for key, _, _ in triples(seen, now)} if is_ours else set()
    overwritten = [each for each in known if each.keys & ours]
    for key in ours.union(*(each.keys for each in overwritten)):
        _put(baseline, key, now.get(key))
    settled: list[tuple[Open, Settled]] = [(each, _how_it_ended(each, now)) for each in overwritten]

    left = {each.id: each for each in known if not each.keys & ours}
    owner = {key: each.id for each in left.values() for key in each.keys}
    new: list[Difference] = []
    changed: list[tuple[Open, Difference]] = []
    for difference in differences(triples(baseline, now)):
        mine = next((owner[key] for key in difference.paired.keys if owner.get(key) in left), None)
        if mine is None:
            new.append(difference)
        else:
            drift = left.pop(mine)
            if _ends(drift.changes) != _ends(difference.changes):
                changed.append((drift, difference))
    settled += [(each, "reverted") for each in left.values()]
    return Reconciled(tuple(new), tuple(changed), tuple(settled))


def _how_it_ended(drift: Open, now: Values) -> Settled:
    """What Homeport wrote over it: what was there before, or something that was planned from what was there then."""
    return "reverted" if all(now.get(key) == before for key, before, _ in drift.changes) else "accepted"


def _put(values: dict[str, Value], key: str, value: Value | None) -> None:
    if value is None:
        values.pop(key, None)
    else:
        values[key] = value


def is_written_by_edge(before: Value | None, after: Value | None) -> bool:
    """Whether `homeport edge` wrote a record. What becomes of its records afterwards is anybody's change."""
    return _is_marked(after) and not _is_marked(before)


def _is_marked(value: Value | None) -> bool:
    return value is not None and str(value.get("comment") or "").startswith(EDGE_MARKER)


def _ends(changes: Iterable[Triple]) -> dict[str, tuple[Value | None, Value | None]]:
    return {key: (before, after) for key, before, after in changes}
