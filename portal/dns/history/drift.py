"""Drift: what differs from the zone as Homeport left it. Pure.

The zone as Homeport left it (the baseline) is not kept anywhere: it is the zone as it was last seen, with each open
drift taken back. So a drift that somebody accepts, or that Homeport itself overwrites, is part of the baseline as soon
as it isn't open any more, and what was changed and changed back is no drift.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from portal.dns.records.pairing import Paired, pair
from portal.dns.records.values import Value

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
    def keys(self) -> frozenset[str]:
        return frozenset(self.paired.keys)

    def is_of_edge(self, marker: str | None) -> bool:
        return is_written_by_edge(self.paired.before, self.paired.after, marker)


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


def reconcile(seen: Values, now: Values, known: Sequence[Open], *, ours: Collection[str]) -> Reconciled:
    """Given the zone as it was last seen, as it is now, and what drift is open, say what drift there is.

    ours   keys that Homeport may have changed since the zone was last seen; see `ours_of`
    """
    baseline = dict(seen)
    for each in known:
        for key, before, _ in each.changes:
            _put(baseline, key, before)
    overwritten = [each for each in known if not each.keys.isdisjoint(ours)]
    for key in frozenset[str]().union(*(each.keys for each in overwritten)):
        _put(baseline, key, seen.get(key))  # as it was when Homeport wrote over the rest of it
    for key in ours:
        _put(baseline, key, now.get(key))
    settled: list[tuple[Open, Settled]] = [(each, _how_it_ended(each, baseline)) for each in overwritten]

    left = {each.id: each for each in known if each.keys.isdisjoint(ours)}
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


def ours_of(changes: Sequence[Triple], *, is_ours: bool, keys: Collection[str] | None) -> frozenset[str]:
    """Which of the keys that differ Homeport has changed. keys: all that it may have changed; None: they aren't known,
    and all that differs is taken for its own."""
    if not is_ours:
        return frozenset()
    return frozenset(key for key, _, _ in changes if keys is None or key in keys)


def _how_it_ended(drift: Open, left: Values) -> Settled:
    """What Homeport wrote over it: what was there before, or something that was planned from what was there then."""
    return "reverted" if all(left.get(key) == before for key, before, _ in drift.changes) else "accepted"


def _put(values: dict[str, Value], key: str, value: Value | None) -> None:
    if value is None:
        values.pop(key, None)
    else:
        values[key] = value


def is_written_by_edge(before: Value | None, after: Value | None, marker: str | None) -> bool:
    """Whether `homeport edge` wrote a record. What becomes of its records afterwards is anybody's change.

    marker   the whole comment that this installation's edge writes: another's, or one that only begins so, is not ours.
             None: it isn't known
    """
    return marker is not None and _is_marked(after, marker) and not _is_marked(before, marker)


def _is_marked(value: Value | None, marker: str) -> bool:
    return value is not None and value.get("comment") == marker


def _ends(changes: Iterable[Triple]) -> dict[str, tuple[Value | None, Value | None]]:
    return {key: (before, after) for key, before, after in changes}
