"""What is said in one LMTP session, and what may be concluded from it. No connection is opened or kept here.

An exchange runs in a session until every answer it needs was taken. Whatever ends it before that, a loss, a deadline,
leaves in it what is known; `conclude` turns that into one reply for each recipient (lmtp.py says which).
"""

from __future__ import annotations

import asyncio
import enum
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence

from mail_api.content import Outgoing
from mail_api.reply import Meaning, Reply, Stage, not_sent, unknown
from mail_api.transport.lmtp_session import Answer, DotStuffer, Session, SessionLost

FRESH_S = 2.0  # so soon after its last answer no server closes a connection for idleness
WHOLE_BYTES = 64 * 1024  # in memory: up to here a body sent in vain costs less than waiting for an accepted recipient

_NULL_SENDER = b"MAIL FROM:<>\r\n"
_RSET = b"RSET\r\n"
# What may stand between angle brackets: no control character; a space or an angle bracket in a quoted string alone
_PATH = re.compile(r'(?:[^\x00-\x20\x7f-\x9f<>"]|"(?:[^\x00-\x1f\x7f-\x9f"\\]|\\[^\x00-\x1f\x7f-\x9f])*")*')


def _path(address: str) -> bytes:
    """Return an address as it stands between angle brackets. Raise ValueError when it could say more than that."""
    if not _PATH.fullmatch(address):
        raise ValueError("an address has control characters, or spaces or angle brackets outside quotes")
    return address.encode()


def rcpt_command(address: str) -> bytes:
    """Raise ValueError for an address that cannot stand in a command."""
    if not address:
        raise ValueError("a recipient is empty")
    return b"RCPT TO:<%s>\r\n" % _path(address)


class Exchange(ABC):
    """One use of a session.

    stage    of the answer that is awaited; MAIL stands for the whole envelope
    failure  why the exchange ended early, or None
    """

    def __init__(self) -> None:
        self.stage = Stage.CONNECT
        self.failure: OSError | None = None

    @property
    def is_repeatable(self) -> bool:
        """The same in another session would not do anything twice."""
        return True

    @abstractmethod
    async def run(self, session: Session) -> None:
        """Leave the session settled. Raise SessionLost when an answer is missing, OSError when the message is."""


class Noop(Exchange):
    """Is anybody there? `offers` is what LHLO listed."""

    offers: frozenset[str] = frozenset()

    async def run(self, session: Session) -> None:
        await session.ask([b"NOOP\r\n"])
        session.settle()
        self.offers = session.offers


class _Envelope(Exchange):
    """An exchange that names recipients. Its transcript: the answers to MAIL and each RCPT, then those to the body."""

    def __init__(self, rcpt_tos: Sequence[str], sentinel: bytes | None) -> None:
        super().__init__()
        self._rcpts = [rcpt_command(address) for address in rcpt_tos]
        self._sentinel = sentinel
        self._sentinel_accepted: bool | None = None
        self._transcript: list[Answer] = []
        self._is_answered = False  # every recipient has its reply; what follows can only add to it

    @property
    def is_repeatable(self) -> bool:
        return not self._is_answered

    def conclude(self) -> list[Reply]:
        """Return one reply for each recipient: what the server said to it, or what follows from its silence."""
        mail, rcpts = self._transcript[:1], self._transcript[1 : 1 + len(self._rcpts)]
        if mail and not mail[0].is_positive:
            return [mail[0].at(Stage.MAIL)] * len(self._rcpts)
        replies: list[Reply] = []
        rank = 0  # the server answers the body once for each accepted recipient, in their order
        for rcpt in rcpts:
            if rcpt.is_positive:
                replies.append(self._accepted(rcpt, rank))
                rank += 1
            else:
                replies.append(self._refused(rcpt))
        return replies + [self._silence() for _ in self._rcpts[len(rcpts) :]]

    @abstractmethod
    def _accepted(self, rcpt: Answer, rank: int) -> Reply:
        """Return the reply for the `rank`-th recipient that was accepted."""

    def _refused(self, rcpt: Answer) -> Reply:
        reply = rcpt.at(Stage.RCPT)
        return reply.with_sentinel(self._sentinel_accepted) if reply.meaning is Meaning.NO_MAILBOX else reply

    def _silence(self) -> Reply:
        return not_sent(self.stage, str(self.failure))

    def _count_accepted(self) -> int:
        mail, *rcpts = self._transcript[: 1 + len(self._rcpts)]
        return sum(rcpt.is_positive for rcpt in rcpts) if mail.is_positive else 0

    async def _leave(self, session: Session, *, must_reset: bool) -> None:
        """End a transaction that is still open, ask for the sentinel if a mailbox is unknown, settle the session."""
        commands = [_RSET] if must_reset else []
        asks_sentinel = False
        if self._sentinel and self._count_accepted() < len(self._rcpts):
            asks_sentinel = any(reply.meaning is Meaning.NO_MAILBOX for reply in self.conclude())
            commands += [_NULL_SENDER, self._sentinel, _RSET] if asks_sentinel else []
        if commands:
            answers = await session.ask(commands)
            if asks_sentinel and answers[-3].is_positive:
                self._sentinel_accepted = answers[-2].is_positive
            if not answers[-1].is_positive:
                raise SessionLost(f"the server said {answers[-1]} to RSET")
        session.settle()


class Probe(_Envelope):
    """Does the mailbox exist? Nothing is sent to it."""

    def __init__(self, rcpt_to: str, sentinel: bytes | None) -> None:
        super().__init__([rcpt_to], sentinel)

    async def run(self, session: Session) -> None:
        self.stage, self._transcript = Stage.RCPT, session.answers
        *_, rset = await session.ask([_NULL_SENDER, *self._rcpts, _RSET])
        self._is_answered = True
        await self._leave(session, must_reset=not rset.is_positive)

    def _accepted(self, rcpt: Answer, rank: int) -> Reply:
        return rcpt.at(Stage.RCPT)


class _Body(enum.Enum):
    """How much of the body the kernel has taken, for all we know."""

    NONE = enum.auto()
    PART = enum.auto()
    WHOLE = enum.auto()


class Delivery(_Envelope):
    """One message to its recipients."""

    def __init__(self, mail_from: str, rcpt_tos: Sequence[str], message: Outgoing, sentinel: bytes | None) -> None:
        super().__init__(rcpt_tos, sentinel)
        self._mail_from = _path(mail_from)
        self._message = message
        self._size_bytes = message.size_bytes
        self._is_small = isinstance(message.content.source, bytes) and self._size_bytes <= WHOLE_BYTES
        self._body = _Body.NONE
        self._body_at = 1 + len(rcpt_tos)  # where in the transcript the answers to the body begin
        self._refusal: Answer | None = None  # of DATA: nobody gets the message

    @property
    def is_repeatable(self) -> bool:
        return self._body is _Body.NONE and super().is_repeatable

    async def run(self, session: Session) -> None:
        self.stage, self._transcript = Stage.MAIL, session.answers
        envelope = [self._mail_command(session.offers), *self._rcpts]
        if self._is_small and session.idle_s <= FRESH_S and session.takes_whole:
            owed = await self._send_whole(session, envelope)
        else:
            await session.ask(envelope)
            owed = await self._send_body(session) if self._count_accepted() else 0
        if not await session.arrived(self._body_at + owed):
            raise session.why_over()
        self._is_answered = True
        self._transcript = list(self._transcript)  # whatever the server says from now on
        session.balance(self._body_at + owed)
        await self._leave(session, must_reset=self._refusal is not None or not self._count_accepted())

    def _mail_command(self, offers: frozenset[str]) -> bytes:
        body = b" BODY=8BITMIME" if "8BITMIME" in offers else b""
        size = b" SIZE=%d" % self._size_bytes if "SIZE" in offers else b""
        return b"MAIL FROM:<%s>%s%s\r\n" % (self._mail_from, body, size)

    async def _send_whole(self, session: Session, envelope: list[bytes]) -> int:
        """Send everything in one write; return how many answers to the body are owed, once the first is there.

        With nobody accepted that one is a 503, and the transaction stays open (mail.md 3.2).
        """
        session.expect(2 * len(envelope) - 1)
        await session.write(b"".join((*envelope, b"BDAT %d LAST\r\n" % self._size_bytes, *self._message.blocks())))
        self._body = _Body.WHOLE
        is_answered = await session.arrived(len(envelope) + 1)
        if session.farewell and any(answer.code == 421 for answer in self._transcript[: len(envelope)]):
            self._body = _Body.NONE  # the server itself says that it took nothing
            raise session.why_over()
        if not is_answered:
            raise session.why_over()
        return self._count_accepted() or 1

    async def _send_body(self, session: Session) -> int:
        """Send the body to those who were accepted; return how many answers to it are owed."""
        accepted = self._count_accepted()
        self.stage = Stage.DATA
        if "CHUNKING" not in session.offers:
            [answer] = await session.ask([b"DATA\r\n"])
            if answer.code >= 400:
                self._refusal = answer
                return 1
            if answer.code != 354:
                raise SessionLost(f"the server said {answer} to DATA")
            self._body_at += 1
        session.expect(accepted)
        stuffer = None if "CHUNKING" in session.offers else DotStuffer()
        self._body = _Body.PART
        async with asyncio.timeout_at(session.deadline):  # reading the message may hang, too
            if stuffer is None:
                await session.write(b"BDAT %d LAST\r\n" % self._size_bytes)
            async for chunk in self._message.chunks():
                await session.write(stuffer.feed(chunk) if stuffer else chunk)
            if stuffer is not None:
                await session.write(stuffer.end())
        self._body = _Body.WHOLE
        return accepted

    def _accepted(self, rcpt: Answer, rank: int) -> Reply:
        """The answer to the body. A positive one counts only when there was a whole body to be answered."""
        if self._refusal is not None:
            return self._refusal.at(Stage.DATA)
        answers = [] if self._body is _Body.NONE else self._transcript[self._body_at + rank :]
        if not answers or (answers[0].is_positive and self._body is not _Body.WHOLE):
            return self._silence()
        return answers[0].at(Stage.DATA)

    def _silence(self) -> Reply:
        return unknown(str(self.failure)) if self._body is _Body.WHOLE else super()._silence()
