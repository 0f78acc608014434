"""Does this mailbox exist? Asked of the transport by RCPT, before a message is scanned or queued.

Positive answers are remembered briefly. Negative ones never: an account made a second ago must not bounce.
"""

from __future__ import annotations

from collections import OrderedDict

from kit.clock import Clock
from mail_api.reply import Kind, Reply, Stage
from mail_api.transport import Transport

POSITIVE_TTL_S = 60.0  # a deleted mailbox is refused by the transport itself, so this only saves a round trip
MAX_REMEMBERED = 10_000

REMEMBERED = Reply(Kind.ANSWERED, Stage.RCPT, 250, "2.1.5", "remembered")


class Recipients:
    def __init__(self, transport: Transport, *, clock: Clock) -> None:
        self._transport = transport
        self._clock = clock
        self._known_until: OrderedDict[str, float] = OrderedDict()  # oldest first: entries are only ever appended

    async def ask(self, rcpt_to: str, *, timeout_s: float) -> Reply:
        """Return the transport's reply to RCPT, or a remembered positive one."""
        now = self._clock.monotonic()
        if self._known_until.get(rcpt_to, 0.0) > now:
            return REMEMBERED
        reply = await self._transport.probe(rcpt_to, timeout_s=timeout_s)
        self._known_until.pop(rcpt_to, None)
        if reply.is_positive:
            self._known_until[rcpt_to] = now + POSITIVE_TTL_S
            if len(self._known_until) > MAX_REMEMBERED:
                self._known_until.popitem(last=False)
        return reply

    def forget(self, rcpt_to: str) -> None:
        """The transport refused this mailbox: ask again next time."""
        self._known_until.pop(rcpt_to, None)
