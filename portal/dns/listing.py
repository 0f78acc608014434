"""A zone's records as pages search, filter and sort them: prepared once for each reading, so that ten thousand take
milliseconds. Pure.

Searching is by text that reads alike: NFKC, without case, in the name as A-labels and as people write it, the content
and the comment.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from portal.dns.records.names import unicode_name
from portal.dns.records.values import is_locked
from portal.integrations.records import Json

Sort = Literal["name", "type", "content", "ttl", "proxied", "comment", "modified_on"]
Show = Literal["all", "drifted", "ours", "locked"]

OURS = "homeport-"  # in the comment of a record that Homeport has made


@dataclass(frozen=True, slots=True)
class RecordQuery:
    find: str | None = None
    type: str | None = None
    proxied: bool | None = None
    tag: str | None = None
    show: Show = "all"
    sort: Sort = "name"
    is_descending: bool = False


class Listing:
    """types, tags: those that occur, sorted."""

    def __init__(self, records: Mapping[str, Json]) -> None:
        self._records = records
        self._texts = {key: _text(record) for key, record in records.items()}
        self._orders: dict[Sort, list[str]] = {"name": self._ordered("name")}
        self.types = sorted({record["type"] for record in records.values()})
        self.tags = sorted({tag for record in records.values() for tag in record.get("tags") or ()})

    def find(self, query: RecordQuery, *, drifted: Collection[str] = ()) -> list[str]:
        """The keys of all that match, in order. drifted: keys that `show="drifted"` means."""
        if query.sort not in self._orders:
            self._orders[query.sort] = self._ordered(query.sort)
        found: Iterable[str] = self._orders[query.sort]
        for test in self._tests(query, drifted):
            found = filter(test, found)
        keys = list(found)
        return keys[::-1] if query.is_descending else keys

    def _tests(self, query: RecordQuery, drifted: Collection[str]) -> Iterable[Callable[[str], bool]]:
        records, texts = self._records, self._texts
        if query.show == "drifted":
            yield lambda key: key in drifted
        elif query.show != "all":
            holds = _SHOWN[query.show]
            yield lambda key: holds(records[key])
        if query.type is not None:
            yield lambda key: records[key]["type"] == query.type
        if query.proxied is not None:
            yield lambda key: bool(records[key].get("proxied")) is query.proxied
        if query.tag is not None:
            yield lambda key: query.tag in (records[key].get("tags") or ())
        if query.find:
            wanted = folded(query.find)
            yield lambda key: wanted in texts[key]

    def _ordered(self, sort: Sort) -> list[str]:
        key_of = _SORTED[sort]
        by_name = self._orders["name"] if sort != "name" else sorted(self._records)
        return sorted(by_name, key=lambda key: key_of(self._records[key]))


def is_ours(record: Json) -> bool:
    return OURS in str(record.get("comment") or "")


def folded(text: str) -> str:
    """Text as it is searched."""
    return unicodedata.normalize("NFKC", text).casefold()


def _text(record: Json) -> str:
    name = record["name"]
    parts = [name, unicode_name(name) if "xn--" in name else "", record.get("content"), record.get("comment")]
    return folded("\n".join(str(part) for part in parts if part))


def _by_labels(record: Json) -> Any:
    """The apex first, then each name before those below it."""
    return record["name"].split(".")[::-1], record["type"]


_SHOWN: dict[str, Callable[[Json], bool]] = {"ours": is_ours, "locked": is_locked}
_SORTED: dict[Sort, Callable[[Json], Any]] = {
    "name": _by_labels,
    "type": lambda record: record["type"],
    "content": lambda record: folded(str(record.get("content") or "")),
    "ttl": lambda record: record.get("ttl") or 1,
    "proxied": lambda record: not record.get("proxied"),
    "comment": lambda record: folded(str(record.get("comment") or "")),
    "modified_on": lambda record: str(record.get("modified_on") or ""),
}
