"""What a transport answered for one recipient, and what that answer means. The only reply table.

Pure. A transport returns exactly one `Reply` per recipient, whatever happens on the wire: what the server said
(`ANSWERED`), or that the message cannot have been taken (`NOT_SENT`), or that nobody knows (`UNKNOWN`: the last byte
may have arrived, its reply did not). RFC 1047: an unknown outcome is delivered again, never reported as failed.

The class of an answer is derived from its code and never set twice. What the table does not name is temporary: a bad
deployment must not bounce mail (wire.md, "Never final").
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace


class Kind(enum.StrEnum):
    ANSWERED = "answered"
    NOT_SENT = "not-sent"
    UNKNOWN = "unknown"


class Stage(enum.StrEnum):
    """Where in the LMTP session the reply belongs."""

    CONNECT = "connect"
    LHLO = "lhlo"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"


class Meaning(enum.StrEnum):
    """What a reply says about one recipient."""

    DELIVERED = "delivered"  # 2xx after the data: durable in the mailbox
    ACCEPTED = "accepted"  # 2xx at RCPT: the mailbox exists, nothing was sent yet
    NO_MAILBOX = "no-mailbox"
    MAILBOX_FULL = "mailbox-full"
    UNREACHABLE = "unreachable"  # the transport as a whole failed, before this message mattered
    UNKNOWN = "unknown"
    TEMPORARY = "temporary"


@dataclass(frozen=True, slots=True)
class Reply:
    """One recipient's reply.

    code               200-599 when the server answered, 0 otherwise
    enhanced           "x.y.z" (RFC 3463) or "" when the server sent none
    text               the reply's text, lines joined by a space, without codes; never shown to a sender
    sentinel_accepted  after an unknown mailbox: whether the sentinel was accepted in the same session; None = no
                       sentinel is configured or it could not be asked
    """

    kind: Kind
    stage: Stage
    code: int = 0
    enhanced: str = ""
    text: str = ""
    sentinel_accepted: bool | None = None

    @property
    def is_positive(self) -> bool:
        return self.kind is Kind.ANSWERED and 200 <= self.code < 300

    @property
    def meaning(self) -> Meaning:
        if self.kind is Kind.UNKNOWN:
            return Meaning.UNKNOWN
        if self.kind is Kind.NOT_SENT:
            return Meaning.UNREACHABLE if self.stage in (Stage.CONNECT, Stage.LHLO) else Meaning.TEMPORARY
        if self.is_positive:
            return Meaning.DELIVERED if self.stage is Stage.DATA else Meaning.ACCEPTED
        return _TABLE.get((self.code, self.enhanced), Meaning.TEMPORARY)

    def with_sentinel(self, accepted: bool | None) -> Reply:
        return replace(self, sentinel_accepted=accepted)

    def __str__(self) -> str:
        """The reply as one log-safe line, such as `550 5.1.1 User doesn't exist (rcpt)`."""
        said = " ".join(part for part in (str(self.code or ""), self.enhanced, self.text) if part) or self.kind.value
        return f"{said} ({self.stage})"


# (code, enhanced) -> meaning, as Dovecot says them (mail.md 3.1). Everything else is temporary.
_TABLE = {
    (550, "5.1.1"): Meaning.NO_MAILBOX,
    (552, "5.2.2"): Meaning.MAILBOX_FULL,
    (452, "4.2.2"): Meaning.MAILBOX_FULL,
}


def not_sent(stage: Stage, why: str) -> Reply:
    """The message cannot have reached the mailbox: safe to repeat."""
    return Reply(Kind.NOT_SENT, stage, text=why)


def unknown(why: str) -> Reply:
    """The message may or may not be in the mailbox: repeat with the same id."""
    return Reply(Kind.UNKNOWN, Stage.DATA, text=why)
