"""The last hop: into a mailbox. One `Reply` per recipient, always."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mail_api.content import Outgoing
from mail_api.reply import Reply


class Transport(Protocol):
    """Puts messages into mailboxes. Never raises for what the other side does: the replies say it.

    Cancellation passes through and leaves no half-used connection behind.
    """

    async def deliver(
        self, mail_from: str, rcpt_tos: Sequence[str], message: Outgoing, *, message_id: str, timeout_s: float
    ) -> list[Reply]:
        """Given an envelope and a message, return one reply per entry of `rcpt_tos`, same order, duplicates kept.

        mail_from   "" for the null sender
        rcpt_tos    validated addresses, domain as lower-case A-label
        message_id  the idempotency key (wire.md), 32 hex characters; a transport may use it to recognise a repeat
        timeout_s   for the whole transaction; what was not answered by then is unknown or not sent
        """
        ...

    async def probe(self, rcpt_to: str, *, timeout_s: float) -> Reply:
        """Ask whether the mailbox exists, sending nothing. After an unknown mailbox the sentinel is asked too."""
        ...

    async def check(self, *, timeout_s: float) -> str:
        """For /readyz: return one line on what was reached, or raise OSError saying why not."""
        ...

    async def close(self) -> None: ...
