"""What scanners say about a message, and what that means for it: the table of mail.md 6.3. Pure.

"Not scanned" is not "clean": without a configured scanner mail is delivered, and its trace says that nobody looked.
With one, nothing is delivered that it could not look at, but for the one setting that excuses the spam scanner.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from pydantic import TypeAdapter, ValidationError

from kit.health import Check
from mail_api.content import Content
from mail_api.envelope import Envelope
from mail_api.history import Event, Step
from mail_api.settings import SpamScannerDown
from mail_api.trace_headers import Trace


class Action(enum.StrEnum):
    DELIVER = "deliver"
    REFUSE = "refuse"  # virus, or spam at the reject score
    DEFER = "defer"  # a scanner is down or asks for patience: never delivered unscanned
    HOLD = "hold"  # over a scanner's limit, or policy


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with a message, and why.

    reason       one log-safe line: what each scanner said
    is_scanned   every configured scanner has looked at it; what is not scanned is scanned before it is delivered
    headers      fields to prepend, each `Name: value CRLF`, ASCII
    report       by scanner, what it said in full; JSON-ready, kept with a message in the spool; {} = nobody was asked
    is_outage    deferred only because a scanner cannot be reached: says nothing about this message
    released_by  the operator who overruled the scanners; then it is not scanned again
    """

    action: Action
    reason: str
    is_scanned: bool
    headers: str = ""
    report: dict[str, Any] = field(default_factory=dict)
    is_outage: bool = False
    released_by: str = ""

    @staticmethod
    def stored(document: dict[str, Any] | None) -> Verdict | None:
        """Given what lies with an entry of the spool, return it; None also when it cannot be read."""
        try:
            return None if document is None else _VERDICT.validate_python(document)
        except ValidationError:
            return None

    @property
    def is_settled(self) -> bool:
        """Whether it still stands when the message leaves the queue; if not, the scanners are asked again."""
        return bool(self.released_by) or (self.is_scanned and self.action is Action.DELIVER)

    def event(self, at: float) -> Event:
        """Its step in the message's trace; `at` in epoch seconds."""
        data = {"action": self.action.value, "scanned": self.is_scanned, "reason": self.reason}
        return Event(Step.SCANNED, at, data)

    def released(self, actor: str) -> Verdict:
        """What stands after an operator let the message go.

        What every scanner has looked at is overruled, and the report keeps what was said. What was not scanned is not
        overruled: nobody has decided about it, and it is scanned before it is delivered.
        """
        if not self.is_scanned or self.action is Action.DELIVER:
            return self
        overruled = {"action": self.action.value, "reason": self.reason}
        return replace(
            self,
            action=Action.DELIVER,
            reason=f"released by {actor}; was {self.action.value}: {self.reason}",
            report=self.report | {"overruled": overruled},
            released_by=actor,
        )


_VERDICT = TypeAdapter(Verdict)


class Scanner(Protocol):
    async def scan(self, envelope: Envelope, content: Content, trace: Trace, *, timeout_s: float) -> Verdict:
        """Never raises for what a scanner does: an unknown error is DEFER."""
        ...

    async def close(self) -> None: ...


class NoScanner:
    """The settled behaviour when no scanner is configured: deliver, and say that nobody looked."""

    checks: Mapping[str, Check] = {}

    async def scan(self, envelope: Envelope, content: Content, trace: Trace, *, timeout_s: float) -> Verdict:
        return Verdict(Action.DELIVER, "no scanner is configured", is_scanned=False)

    async def close(self) -> None:
        return None


# -- from what each scanner found to the verdict ----------------------------------------------------------------------


class Finding(enum.StrEnum):
    CLEAN = "clean"
    SPAM = "spam"  # to be marked, and delivered
    REFUSED = "refused"  # spam at the reject score; a virus
    PATIENCE = "patience"  # greylist, soft reject
    SET_ASIDE = "set-aside"  # a policy of the scanner's own: quarantine, discard
    OVER_LIMIT = "over-limit"  # larger or deeper than the scanner looks: not scanned, and never will be
    FAILED = "failed"  # down, too late, an error, an answer that makes no sense


@dataclass(frozen=True, slots=True)
class Opinion:
    """One scanner's answer.

    said            one log-safe line
    report          the same in full, JSON-ready
    headers         as in `Verdict`
    is_unreachable  it failed before this message mattered: nobody listens at its address
    """

    finding: Finding
    said: str
    report: dict[str, Any] = field(default_factory=dict)
    headers: str = ""
    is_unreachable: bool = False


ACTIONS = {
    Finding.CLEAN: Action.DELIVER,
    Finding.SPAM: Action.DELIVER,
    Finding.REFUSED: Action.REFUSE,
    Finding.PATIENCE: Action.DEFER,
    Finding.SET_ASIDE: Action.HOLD,
    Finding.OVER_LIMIT: Action.HOLD,
    Finding.FAILED: Action.DEFER,
}


def judge(spam: Opinion | None, virus: Opinion | None, *, spam_scanner_down: SpamScannerDown) -> Verdict:
    """Given what each scanner found (None = not configured, at least one is), return the verdict.

    A refusal stands whatever the other one says. Next comes the virus scanner's absence: what is held can be released
    by a human, who must not thereby wave through what no virus scanner has seen.
    """
    opinions = {name: opinion for name, opinion in (("rspamd", spam), ("clamd", virus)) if opinion is not None}
    actions = {name: ACTIONS[opinion.finding] for name, opinion in opinions.items()}
    if spam is not None and spam.finding is Finding.FAILED:
        actions["rspamd"] = Action(spam_scanner_down.value)
    asked_for = set(actions.values())
    if Action.REFUSE in asked_for:
        action = Action.REFUSE
    elif actions.get("clamd") is Action.DEFER:
        action = Action.DEFER
    else:
        action = next(each for each in (Action.HOLD, Action.DEFER, Action.DELIVER) if each in asked_for)
    deferring = [opinion for name, opinion in opinions.items() if actions[name] is Action.DEFER]
    return Verdict(
        action,
        "; ".join(f"{name}: {opinion.said}" for name, opinion in opinions.items()),
        is_scanned=all(opinion.finding is not Finding.FAILED for opinion in opinions.values()),
        headers=spam.headers if spam is not None else "",
        report={
            name: {"finding": opinion.finding.value, "said": opinion.said} | opinion.report
            for name, opinion in opinions.items()
        },
        is_outage=action is Action.DEFER and all(opinion.is_unreachable for opinion in deferring),
    )


def one_line(text: str, limit: int = 200) -> str:
    """Text of a scanner, which may quote the message: printable, one line, cut to `limit` characters."""
    line = " ".join("".join(char if char.isprintable() or char.isspace() else "?" for char in text).split())
    return line if len(line) <= limit else line[: limit - 3] + "..."
