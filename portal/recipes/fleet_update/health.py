"""Whether an update has harmed a site: what was seen before it, held against what is seen after it. Pure.

A site is held against itself, never against an ideal: one that answered 404 before may go on doing so. What counts
is in `harm`, one rule a line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from portal.wordpress.look import Look

PATHS = ("/", "/wp-login.php")
SLOW_S = 5.0  # what may be slow on a busy machine is not slow because of an update
SLOWER = 4.0
MIN_MARKER = 3  # characters of a title that can be looked for
MAX_LINES = 20
_FATAL = re.compile(r"PHP (?:Fatal|Parse|Core|Compile|Recoverable fatal) error:")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


@dataclass(frozen=True, slots=True)
class Seen:
    """One page at one moment, without its text.

    has_marker   the site's own title stands in it; None where there is none to look for
    """

    status: int | None
    seconds: float
    is_whole: bool
    has_marker: bool | None
    error: str = ""

    @classmethod
    def of(cls, look: Look, marker: str) -> Seen:
        has_marker = marker in look.body if len(marker) >= MIN_MARKER else None
        return cls(look.status, round(look.seconds, 3), look.is_whole, has_marker, look.error)

    def document(self) -> dict[str, Any]:
        return {
            "status": self.status,
            "seconds": self.seconds,
            "is_whole": self.is_whole,
            "has_marker": self.has_marker,
            "error": self.error,
        }


@dataclass(frozen=True, slots=True)
class Health:
    """
    pages   "origin /" -> what was seen there
    fatals  PHP errors of the site, quoted: before an update of the last hour, after it those since it began; None:
            nobody could look
    """

    pages: Mapping[str, Seen] = field(default_factory=dict)
    fatals: Sequence[str] | None = None

    @classmethod
    def parsed(cls, text: str | None) -> Health:
        """Given a document's JSON; None: nothing was seen."""
        document = json.loads(text) if text is not None else {}
        pages = {name: Seen(**seen) for name, seen in document.get("pages", {}).items()}
        return cls(pages, document.get("fatals"))

    def document(self) -> dict[str, Any]:
        pages = {name: seen.document() for name, seen in self.pages.items()}
        return {"pages": pages, "fatals": None if self.fatals is None else list(self.fatals)}


def unfit(before: Health) -> list[str]:
    """Why a site cannot be updated safely: it is ill already, so nobody could tell what an update does to it."""
    found = []
    for name, seen in before.pages.items():
        if seen.status is None:
            found.append(f"{name} does not answer: {seen.error}")
        elif seen.status >= 500:
            found.append(f"{name} answers {seen.status}")
    return found


def harm(before: Health, after: Health) -> list[str]:
    """What is worse than before, one line each; empty when nothing is."""
    found = []
    for name, was in before.pages.items():
        now = after.pages.get(name)
        if now is None:
            continue  # it was not looked at again, as a public name during maintenance
        if now.status is None:
            found.append(f"{name} does not answer any more: {now.error}")
        elif now.status != was.status:
            found.append(f"{name} answered {was.status} before and answers {now.status} now")
        elif was.is_whole and not now.is_whole:
            found.append(f"{name} breaks off in the middle")
        elif was.has_marker and now.has_marker is False:
            found.append(f"{name} does not show the site's title any more")
        elif now.seconds > SLOW_S and now.seconds > SLOWER * was.seconds:
            found.append(f"{name} took {was.seconds:.1f} s before and takes {now.seconds:.1f} s now")
    return found + [f"PHP: {line}" for line in after.fatals or ()]


def fatals_of(site: str, lines: Sequence[str]) -> list[str]:
    """Given lines of PHP's log of all sites, return the fatal errors of this one, as one line each, cut.

    A site can write into this log what it likes, also another site's name: at worst that one's update is taken back.
    """
    place = f"/srv/sites/{site}/"
    found = [line[error.start() :] for line in lines if (error := _FATAL.search(line)) and place in line]
    quoted = [_CONTROL.sub(" ", line)[:300] for line in found]  # without what stands before: it has the time in it
    return list(dict.fromkeys(quoted))[:MAX_LINES]
