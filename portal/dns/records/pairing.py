"""Changes as people read them: a record that goes and one of its name and type that comes are one change. Pure.

A key is made of the content, so an edit of the content is, to a plan, one key that goes and one that comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Literal

from portal.dns.records.values import Value

COMPARED_MOST = 400  # pairs of one name and type that are compared; beyond that they pair in their order
ABSENT = object()


@dataclass
class Paired:
    """
    name     what people read: "A www.example.com"
    keys     of the plan's changes behind it: the one that goes, then the one that comes
    fields   those that differ, "data.port" of the parts; empty unless act is "change"
    """

    name: str
    act: Literal["create", "change", "delete"]
    keys: list[str]
    before: Value | None
    after: Value | None
    fields: list[str]


def pair(changes: Iterable[tuple[str, Value | None, Value | None]]) -> list[Paired]:
    """Given (key, before, after) of each change, return them by name. What is equal before and after is left out."""
    found: list[Paired] = []
    going: dict[tuple[str, str], list[tuple[str, Value]]] = {}
    coming: dict[tuple[str, str], list[tuple[str, Value]]] = {}
    for key, before, after in changes:
        if before is not None and after is not None:
            if before != after:
                found.append(_changed([key], before, after))
        elif before is not None:
            going.setdefault(_place(before), []).append((key, before))
        elif after is not None:
            coming.setdefault(_place(after), []).append((key, after))
    for place in going.keys() | coming.keys():
        found += _matched(sorted(going.get(place, []), key=_by_key), sorted(coming.get(place, []), key=_by_key))
    return sorted(found, key=lambda each: (each.name.partition(" ")[2], each.name, each.keys))


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The fields in which two values differ, in their own order; "data.port" for a part."""
    fields: list[str] = []
    for name in dict.fromkeys([*before, *after]):
        old, new = before.get(name, ABSENT), after.get(name, ABSENT)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            fields += [f"{name}.{part}" for part in differing(old, new)]
        else:
            fields.append(name)
    return fields


def _place(value: Value) -> tuple[str, str]:
    return value["type"], value["name"]


def _by_key(each: tuple[str, Value]) -> str:
    return each[0]


def _changed(keys: list[str], before: Value, after: Value) -> Paired:
    return Paired(" ".join(_place(after)), "change", keys, before, after, differing(before, after))


def _matched(going: list[tuple[str, Value]], coming: list[tuple[str, Value]]) -> Iterable[Paired]:
    """Pair what is most alike; what is left over really goes, or really comes."""
    if len(going) * len(coming) <= COMPARED_MOST:
        ranked = sorted(
            (-_likeness(old, new), at, to) for at, (_, old) in enumerate(going) for to, (_, new) in enumerate(coming)
        )
        order = [(at, to) for _, at, to in ranked]
    else:
        order = [(at, at) for at in range(min(len(going), len(coming)))]
    paired_going, paired_coming = set(), set()
    for at, to in order:
        if at not in paired_going and to not in paired_coming:
            paired_going.add(at)
            paired_coming.add(to)
            yield _changed([going[at][0], coming[to][0]], going[at][1], coming[to][1])
    for at, (key, old) in enumerate(going):
        if at not in paired_going:
            yield Paired(" ".join(_place(old)), "delete", [key], old, None, [])
    for to, (key, new) in enumerate(coming):
        if to not in paired_coming:
            yield Paired(" ".join(_place(new)), "create", [key], None, new, [])


def _likeness(before: Value, after: Value) -> float:
    """Higher for what is more alike: fields that are equal, and content that nearly is."""
    equal = -len(differing(before, after))
    old, new = str(before.get("content", ""))[:200], str(after.get("content", ""))[:200]
    return equal + (SequenceMatcher(None, old, new, autojunk=False).quick_ratio() if old and new else 0)
