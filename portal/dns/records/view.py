"""A record, or a value of a plan, as the pages show it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from portal.dns.records import rdata
from portal.dns.records.names import unicode_name
from portal.dns.records.types import TYPES
from portal.dns.records.values import is_locked, value_of
from portal.dns.schemas import RecordView


def view(given: Mapping[str, Any], *, key: str, marker: str | None = None) -> RecordView:
    """Given a record as Cloudflare sent it, or a value, return what is shown.

    marker   text in a comment by which Homeport knows its own
    """
    value = value_of(given)
    type_ = TYPES.get(value["type"])
    comment = value.get("comment")
    return RecordView(
        key=key,
        id=given.get("id"),
        type=value["type"],
        name=value["name"],
        unicode_name=unicode_name(value["name"]),
        content=str(given["content"]) if "id" in given and given.get("content") else rdata.content_of(value),
        data=value.get("data"),
        priority=_priority(value),
        ttl=value["ttl"],
        proxied=value["proxied"],
        proxiable=bool(given.get("proxiable", type_ is not None and type_.proxiable)),
        comment=comment,
        tags=value.get("tags", []),
        settings=value.get("settings", {}),
        is_locked=is_locked(given),
        is_ours=marker is not None and comment is not None and marker in comment,
        modified_on=_time(given.get("modified_on")),
    )


def _priority(value: Mapping[str, Any]) -> int | None:
    """Of MX and URI, and of the types that have it among their parts."""
    given = value.get("priority", (value.get("data") or {}).get("priority"))
    return int(given) if isinstance(given, int | float) else None


def _time(given: object) -> datetime | None:
    try:
        at = datetime.fromisoformat(given) if isinstance(given, str) else None
    except ValueError:
        return None
    return at if at is not None and at.tzinfo is not None else None
