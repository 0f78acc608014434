"""The one decision: verdict and reply in, what becomes of the message out. Shared by ingress and delivery. Pure.

    mode    live   the sender waits at the edge: a final refusal can still be said
            drain  the message comes from the edge's store: the sender is gone
            queue  the message comes from our spool: the sender is gone

Where the sender is gone, what would have been a final refusal is held for the operator; it is never bounced.
Everything that is not surely delivered and not surely final is queued and tried again.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from mail_api.refusal import ContentRefused, FinalRefusal, MailboxFull, UnknownMailbox
from mail_api.reply import Meaning, Reply
from mail_api.scan.verdict import Action, Verdict


class Mode(enum.StrEnum):
    LIVE = "live"
    DRAIN = "drain"
    QUEUE = "queue"


class Outcome(enum.StrEnum):
    DELIVERED = "delivered"
    QUEUE = "queue"
    HOLD = "hold"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Decision:
    """`refusal` is set when the outcome is REFUSE; `reason` is one log-safe line."""

    outcome: Outcome
    reason: str
    refusal: type[FinalRefusal] | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator settled.

    has_sentinel           a sentinel is configured: an unknown mailbox is final only while the sentinel is accepted
    mailbox_full_is_final  a full mailbox is refused for good instead of queued
    """

    has_sentinel: bool
    mailbox_full_is_final: bool


def final_refusal(reply: Reply, policy: Policy) -> type[FinalRefusal] | None:
    """Return the refusal that this reply means for good, or None when it is not final."""
    match reply.meaning:
        case Meaning.NO_MAILBOX if reply.sentinel_accepted or not policy.has_sentinel:
            return UnknownMailbox
        case Meaning.MAILBOX_FULL if policy.mailbox_full_is_final:
            return MailboxFull
    return None


def refuse(refusal: type[FinalRefusal], mode: Mode, reason: str) -> Decision:
    """A final refusal is said while the sender waits, and held once it has gone."""
    if mode is Mode.LIVE:
        return Decision(Outcome.REFUSE, reason, refusal)
    return Decision(Outcome.HOLD, reason)


def judge_verdict(verdict: Verdict, mode: Mode) -> Decision | None:
    """Return the decision that the verdict alone forces, or None when the message may be delivered."""
    match verdict.action:
        case Action.REFUSE:
            return refuse(ContentRefused, mode, verdict.reason)
        case Action.HOLD:
            return Decision(Outcome.HOLD, verdict.reason)
        case Action.DEFER:
            return Decision(Outcome.QUEUE, verdict.reason)
        case Action.DELIVER:
            return None


def judge_reply(reply: Reply, mode: Mode, policy: Policy) -> Decision:
    """Given what the transport answered after the data, or why it was not sent, return what becomes of the message."""
    if reply.meaning is Meaning.DELIVERED:
        return Decision(Outcome.DELIVERED, str(reply))
    refusal = final_refusal(reply, policy)
    if refusal is not None:
        return refuse(refusal, mode, str(reply))
    return Decision(Outcome.QUEUE, str(reply))
