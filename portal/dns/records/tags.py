"""A list of tags as one text, the way Cloudflare writes them in zone files. Pure.

    awesome,ticket:THIS-12345,note:"with, a comma"

A value with a quote, an equals sign, a comma or a backslash is a JSON string ("Import and export records" in
Cloudflare's documentation, checked 2026-11).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

_QUOTED_FOR = re.compile(r'["=,\\]|[^\x20-\x7e]|^\s|\s$')
_TAG = re.compile(r'\s*([A-Za-z0-9_-]+)\s*(?::("(?:[^"\\]|\\.)*"|[^,]*))?\s*(?:,|$)')


def written_tags(tags: Iterable[str]) -> str:
    return ",".join(map(_written, tags))


def read_tags(text: str) -> list[str]:
    """Raise ValueError for what is no list of tags. A tag with an empty value and one without any are the same."""
    found: list[str] = []
    at = 0
    while at < len(text):
        match = _TAG.match(text, at)
        if match is None:
            raise ValueError("tags are name or name:value, with commas between them")
        name, value = match[1], (match[2] or "").strip()
        if value.startswith('"'):
            value = json.loads(value)
        found.append(f"{name}:{value}" if value else name)
        at = match.end()
    return found


def _written(tag: str) -> str:
    name, _, value = tag.partition(":")
    if not value:
        return name
    return f"{name}:{json.dumps(value) if _QUOTED_FOR.search(value) else value}"
