"""What a scanner says about a message, and the answer when there is no scanner.

"Not scanned" is not "clean": without a configured scanner mail is delivered, and its trace says that nobody looked.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any, Protocol

from mail_api.content import Content
from mail_api.envelope import Envelope
from mail_api.trace_headers import Trace


class Action(enum.StrEnum):
    DELIVER = "deliver"
    REFUSE = "refuse"  # virus, or spam at the reject score
    DEFER = "defer"  # a scanner is down or asks for patience: never delivered unscanned
    HOLD = "hold"  # over a scanner's limit, or policy


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with a message, and why.

    headers     fields to prepend, each `Name: value CRLF`, ASCII
    is_scanned  whether anything looked at it
    report      what the scanners said, JSON-ready, kept with a held message
    """

    action: Action
    reason: str
    is_scanned: bool
    headers: str = ""
    report: dict[str, Any] = field(default_factory=dict)


class Scanner(Protocol):
    async def scan(self, envelope: Envelope, content: Content, trace: Trace, *, timeout_s: float) -> Verdict:
        """Never raises for what a scanner does: an unknown error is DEFER."""
        ...

    async def close(self) -> None: ...


class NoScanner:
    """The settled behaviour when no scanner is configured: deliver, and say that nobody looked."""

    async def scan(self, envelope: Envelope, content: Content, trace: Trace, *, timeout_s: float) -> Verdict:
        return Verdict(Action.DELIVER, "no scanner is configured", is_scanned=False)

    async def close(self) -> None:
        return None
