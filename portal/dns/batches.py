"""A plan's changes as transactions of Cloudflare's batch endpoint. Pure.

One batch is one transaction. It carries out deletes, then puts, then posts (Cloudflare's order, whatever the body's),
so a name can change from an address to a CNAME in one. What belongs to one name stays in one batch, unless it is more
than a batch holds. Batches that take records away come first: a zone at its limit of records has room for the others.

A removal and an addition of one type and name are one put, so that the record keeps its id.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from portal.dns.records.pairing import Paired, pair
from portal.dns.records.values import value_of
from portal.integrations.records import Json
from portal.operations.plans import Change

FREE_LIMIT, PAID_LIMIT = 200, 3_500  # Cloudflare docs, "Batch record changes": Free, and Pro, Business, Enterprise
_FREE_PLANS = frozenset({"", "free"})


@dataclass(slots=True)
class Batch:
    """
    changes   of the plan, those that it brings about
    deletes, puts, posts   as Cloudflare wants them
    """

    changes: list[Change] = field(default_factory=list)
    deletes: list[Json] = field(default_factory=list)
    puts: list[Json] = field(default_factory=list)
    posts: list[Json] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.deletes) + len(self.puts) + len(self.posts)

    def body(self) -> dict[str, list[Json]]:
        """What is sent; without the lists that are empty."""
        lists = {"deletes": self.deletes, "puts": self.puts, "posts": self.posts}
        return {name: items for name, items in lists.items() if items}

    def inverse(self) -> list[Change]:
        """The changes that take it back."""
        return [Change(change.name, change.after, change.before) for change in self.changes]


def limit_of(plan: str) -> int:
    """How many operations one batch may have, by the zone's plan as Cloudflare names it ("free", "pro" ...)."""
    return FREE_LIMIT if plan.lower() in _FREE_PLANS else PAID_LIMIT


def plan_batches(changes: Iterable[Change], present: Mapping[str, Json], *, limit: int = FREE_LIMIT) -> list[Batch]:
    """
    present   the zone's records by key, as they were just read: where the ids come from
    raises    KeyError when a record that is to be changed or removed is not there
    """
    by_key = {change.name: change for change in changes}
    pairs = pair((change.name, change.before, change.after) for change in by_key.values())
    batches = []
    for part in packed(pairs, limit=limit):
        batch = Batch()
        for paired in part:
            _add(batch, paired, present)
            batch.changes += [by_key[key] for key in paired.keys]
        batches.append(batch)
    return batches


def packed(pairs: Iterable[Paired], *, limit: int) -> list[list[Paired]]:
    """What is paired, one operation each, as it goes into batches."""
    by_name: dict[str, list[Paired]] = defaultdict(list)
    for paired in pairs:
        by_name[_host(paired)].append(paired)
    growth = {name: sum(_GROWTH[paired.act] for paired in steps) for name, steps in by_name.items()}
    parts: list[list[Paired]] = []
    for name in sorted(by_name, key=lambda name: (growth[name], name)):
        steps = sorted(by_name[name], key=lambda paired: _ORDER[paired.act])
        if parts and len(parts[-1]) + len(steps) <= limit:
            parts[-1] += steps
        else:
            parts += [steps[start : start + limit] for start in range(0, len(steps), limit)]
    return parts


def is_as(value: Mapping[str, Any] | None, record: Json | None) -> bool:
    """Whether a record with the key of `value` is as wished, however Cloudflare spells its content."""
    if value is None or record is None:
        return value is None and record is None
    spelled = {"content", "data", "name"}  # the key has compared their meaning
    present = value_of(record)
    return all(present.get(each) == value.get(each) for each in (present.keys() | value.keys()) - spelled)


def are_there(changes: Sequence[Change], present: Mapping[str, Json]) -> bool:
    """Whether all of them have come about."""
    return all(is_as(change.after, present.get(change.name)) for change in changes)


def end_of(changes: Sequence[Change], present: Mapping[str, Json]) -> Literal["done", "reverted"] | None:
    """How a plan's changes have ended; None while only some of them are there."""
    if are_there(changes, present):
        return "done"
    return "reverted" if all(is_as(change.before, present.get(change.name)) for change in changes) else None


def _host(paired: Paired) -> str:
    return paired.name.partition(" ")[2]


def _add(batch: Batch, paired: Paired, present: Mapping[str, Json]) -> None:
    """One operation. Of a pair's keys the first is the record's that goes or changes."""
    id_ = None if paired.act == "create" else present[paired.keys[0]]["id"]
    if paired.act == "delete":
        batch.deletes.append({"id": id_})
    elif paired.act == "change":
        batch.puts.append({"id": id_, **(paired.after or {})})
    else:
        batch.posts.append(dict(paired.after or {}))


_GROWTH = {"create": 1, "change": 0, "delete": -1}
_ORDER = {"delete": 0, "change": 1, "create": 2}  # Cloudflare's
