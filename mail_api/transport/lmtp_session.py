"""One LMTP connection: commands out, answers in (RFC 2033, with PIPELINING, CHUNKING, 8BITMIME, SIZE).

A session knows how to talk, not what to say: envelopes and outcomes are in lmtp.py. Two accounts are kept here, and the
truth about every message rests on them:

    written   `write` returns when the kernel has every byte. Until then the server cannot have the message whole.
    answered  every command states how many answers it may bring. One answer more, a line or a reply without end, or
              bytes that are no reply at all, and the connection is given up: positions can no longer be trusted.

A session that was given up says why in `loss` and is never used again. 421 announces such an end: nothing after it is
waited for. Memory is bounded by MAX_LINE_BYTES x MAX_REPLY_LINES for each answer that is due.

A raw asyncio.Protocol, not streams: the task wakes up once for all answers of a transaction, not once for each line.
"""

from __future__ import annotations

import asyncio
import re
import select
from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

from kit.clock import Clock
from mail_api.reply import Kind, Reply, Stage

MAX_LINE_BYTES = 2048  # RFC 5321 4.5.3.1.5 says 512; longer texts are seen, endless ones are not answers
MAX_REPLY_LINES = 64  # LHLO lists fewer than 20
QUIT_S = 2.0  # how long the server may take to close after QUIT

_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
_ENHANCED = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: |$)")  # RFC 3463


class SessionLost(ConnectionError):
    """The connection ended, or the server broke the protocol and we ended it."""


class DeadlinePassed(SessionLost):
    """No answer came in time. A timer may fire a little early: by the clock there would be time for another try."""


class Answer(NamedTuple):
    """One reply as it came: its code and its lines' texts, without codes and line ends."""

    code: int
    lines: tuple[bytes, ...]

    @property
    def is_positive(self) -> bool:
        return 200 <= self.code < 300

    def at(self, stage: Stage) -> Reply:
        """Return the answer as the reply to a command of `stage`. An enhanced code of another class is mere text."""
        enhanced, texts = "", []
        for line in self.lines:
            text = line.decode("utf-8", "replace")
            if (match := _ENHANCED.match(text)) and int(text[0]) == self.code // 100:
                enhanced, text = enhanced or match[1], text[match.end() :]
            texts.append(text)
        text = " ".join(texts)
        if not text.isprintable():
            text = "".join(character if character.isprintable() else "?" for character in text)
        return Reply(Kind.ANSWERED, stage, self.code, enhanced, text)

    def __str__(self) -> str:
        return " ".join((str(self.code), *(line.decode("utf-8", "replace") for line in self.lines)))


class AnswerParser:
    """Cuts what arrives into answers. Lines may end in LF alone; all else is as RFC 5321 4.2 has it."""

    def __init__(self) -> None:
        self._rest = b""  # of a line
        self._code = b""
        self._texts: list[bytes] = []  # of an answer whose last line has not come

    @property
    def is_inside(self) -> bool:
        """Part of an answer has arrived."""
        return bool(self._rest or self._texts)

    def feed(self, data: bytes) -> Iterator[Answer]:
        """Yield the answers that are now complete. Raise SessionLost at something that is no answer, or too long."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            match = _LINE.fullmatch(line.removesuffix(b"\r"))
            if match is None or len(line) > MAX_LINE_BYTES:
                raise SessionLost("the server sent a line that is no reply")
            code, separator, text = match.groups()
            if self._texts and code != self._code:
                raise SessionLost("the server sent one reply with two codes")
            self._code = code
            self._texts.append(text or b"")
            if separator != b"-":
                answer, self._texts = Answer(int(code), tuple(self._texts)), []
                yield answer
            elif len(self._texts) >= MAX_REPLY_LINES:
                raise SessionLost(f"the server sent a reply of more than {MAX_REPLY_LINES} lines")
        if len(self._rest) > MAX_LINE_BYTES:
            raise SessionLost(f"the server sent a line of more than {MAX_LINE_BYTES} bytes")


class DotStuffer:
    """Makes a message fit for DATA, for Dovecot 2.3 and 2.4 alike (mail.md 3.2), in pieces of any size.

    First every bare LF becomes CRLF, then a dot at the start of a line is doubled (RFC 5321 4.5.2). A line starts after
    CRLF and nowhere else: a bare CR stays what it is.
    """

    def __init__(self) -> None:
        self._is_line_start = True
        self._held = b""  # a CR whose LF may stand in the next piece

    def feed(self, piece: bytes) -> bytes:
        text = self._held + piece
        self._held = b"\r" if text.endswith(b"\r") else b""
        text = text.removesuffix(self._held)
        if not text:
            return b""
        text = text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n").replace(b"\r\n.", b"\r\n..")
        if self._is_line_start and text.startswith(b"."):
            text = b"." + text
        self._is_line_start = text.endswith(b"\r\n")
        return text

    def end(self) -> bytes:
        """Return what is still held, the line end that the message may lack, and the end of the data."""
        missing = b"" if self._is_line_start and not self._held else b"\r\n"
        return self._held + missing + b".\r\n"


class Session(asyncio.Protocol):
    """One connection, for one exchange at a time.

    offers         the keywords that LHLO listed; nothing else may be used
    takes_whole    a transaction, body included, may go out in one write
    answers        all that came since the session was settled last, in order; an exchange may keep the list
    deadline       in the loop's time, set by whoever uses the session; when it passes in a wait, that is a loss
    is_settled     everything was answered: fit for another exchange
    farewell       the answer that was 421, or None
    loss           why the session is of no more use, or None
    ended          done once the connection is gone
    """

    def __init__(self, *, deadline: float, clock: Clock) -> None:
        loop = asyncio.get_running_loop()
        self.deadline = deadline
        self.offers: frozenset[str] = frozenset()
        self.takes_whole = False
        self.answers: list[Answer] = []
        self.is_settled = False
        self.farewell: Answer | None = None
        self.loss: SessionLost | None = None
        self.ended: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._clock = clock
        self._settled_at = clock.monotonic()
        self._parser = AnswerParser()
        self._due = 1  # answers that may still come; the greeting is the first
        self._awaited = 0  # length of `answers` that wakes `_reader`
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None  # exists while the kernel has not taken all

    # What an exchange calls

    async def greet(self) -> None:
        """Wait for the server's greeting. Raise SessionLost when it is not 220."""
        if not await self.arrived(1):
            raise self.why_over()
        _require_positive(self.answers[0])

    async def hello(self, hostname: bytes) -> None:
        """Say LHLO and note what is offered. Raise SessionLost when the server refuses."""
        [answer] = await self.ask([b"LHLO %s\r\n" % hostname])
        _require_positive(answer)
        self.offers = frozenset(line.partition(b" ")[0].decode("ascii", "replace").upper() for line in answer.lines[1:])
        self.takes_whole = {"CHUNKING", "PIPELINING"} <= self.offers
        self.settle()

    async def ask(self, commands: Sequence[bytes]) -> list[Answer]:
        """Send commands, in one write where PIPELINING is offered; return one answer for each.

        raises  SessionLost when an answer is missing, or one of them is 421
        """
        begin = end = len(self.answers)
        for batch in [commands] if "PIPELINING" in self.offers else [[command] for command in commands]:
            end += len(batch)
            self.expect(len(batch))
            await self.write(b"".join(batch))
            await self.arrived(end)
            if self._is_over:
                raise self.why_over()
        return self.answers[begin:]

    def expect(self, count: int) -> None:
        """State that what is written next may bring `count` more answers."""
        self._due += count

    async def write(self, data: bytes) -> None:
        """Return when the kernel has taken all of `data`. Raise SessionLost when the connection went away before."""
        self.is_settled = False
        if self.loss is None:
            self._transport.write(data)
            if self._writer is not None:
                await self._wait(self._writer)
            elif self._transport.is_closing():  # the write itself failed: connection_lost comes later
                self._give_up("the server closed the connection")
        if self.loss is not None:
            raise self.loss

    async def arrived(self, count: int) -> bool:
        """Wait until there are `count` answers; return False when the session was lost, or 421 said it will be."""
        self._awaited = count
        if not self._has_enough:
            self._reader = self._loop.create_future()
            await self._wait(self._reader)
            self._reader = None
        return len(self.answers) >= count

    def why_over(self) -> SessionLost:
        """Say why nothing more is to be expected."""
        if self.farewell is not None:
            return SessionLost(f"the server said {self.farewell}")
        return self.loss or SessionLost("the server owes no answer")

    def balance(self, count: int) -> None:
        """State that the server owed `count` answers up to now, not more. Raise SessionLost when more have come."""
        self._due = 0
        if len(self.answers) > count:
            self._give_up("the server sent more replies than it owed")
        if self.loss is not None:
            raise self.loss

    def settle(self) -> None:
        """State that every answer has come. What comes from now on was not asked for."""
        self.answers = []
        self._due = 0
        self._settled_at = self._clock.monotonic()
        self.is_settled = not self._is_over

    # What the pool calls

    @property
    def idle_s(self) -> float:
        return self._clock.monotonic() - self._settled_at

    def is_alive(self) -> bool:
        """Whether nothing speaks against using a settled session: neither its end nor a word has arrived.

        Asks the kernel too: the event loop may not have read yet what the server said.
        """
        return self.is_settled and self.loss is None and not self._parser.is_inside and not self._poll.poll(0)

    def quit(self) -> None:
        """Say goodbye if there is anybody left to say it to. `ended` is done QUIT_S later at the latest."""
        if not self.is_alive():
            self.abort()
            return
        self._due = 1
        self._transport.write(b"QUIT\r\n")
        self._loop.call_later(QUIT_S, self._transport.abort)

    def abort(self) -> None:
        """End the connection at once; what was not written never will be."""
        self._give_up("ended by us")

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=0)  # so that being paused means: not all is written
        self._poll = select.poll()
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        try:
            for answer in self._parser.feed(data):
                self._due -= 1
                if self._due < 0:
                    self.answers.clear()  # nobody can say which of them is the one too many
                    raise SessionLost(f"the server said, unasked, {answer}")
                if answer.code == 421:
                    self.farewell = answer
                self.answers.append(answer)
        except SessionLost as error:
            self._give_up(str(error))
        if self._reader is not None and self._has_enough:
            _wake(self._reader)

    def eof_received(self) -> None:
        self._give_up("the server closed the connection")

    def connection_lost(self, exc: Exception | None) -> None:
        self._give_up(f"the connection was lost: {exc}" if exc else "the server closed the connection")
        if not self.ended.done():
            self.ended.set_result(None)

    def pause_writing(self) -> None:
        self._writer = self._loop.create_future()

    def resume_writing(self) -> None:
        _wake(self._writer)
        self._writer = None

    # Inside

    @property
    def _is_over(self) -> bool:
        return self.loss is not None or self.farewell is not None

    @property
    def _has_enough(self) -> bool:
        return len(self.answers) >= self._awaited or self._is_over

    async def _wait(self, event: asyncio.Future[None]) -> None:
        timer = self._loop.call_at(self.deadline, self._lose, DeadlinePassed("no answer in time"))
        try:
            await event
        finally:
            timer.cancel()

    def _give_up(self, why: str) -> None:
        self._lose(SessionLost(why))

    def _lose(self, loss: SessionLost) -> None:
        if self.loss is None:
            self.loss = loss
            self._transport.abort()
            _wake(self._reader)
            _wake(self._writer)


def _require_positive(answer: Answer) -> None:
    if not answer.is_positive:
        raise SessionLost(f"the server said {answer}")


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
