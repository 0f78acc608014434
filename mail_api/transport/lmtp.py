"""The LMTP client: a bounded pool of long-lived connections, and what may be concluded from what happens on them.

For every recipient exactly one reply, whatever the server does:

    answered  the reply to the data, or the refusal of MAIL or RCPT that made it needless
    not sent  the message cannot be in the mailbox: there was no connection, or it ended, or time ran out, before the
              kernel had the last byte of the body (BDAT states its length, DATA its end: half a message is none)
    unknown   the kernel had the last byte, and no reply came

A transaction is repeated at once on a new connection when the server left, or said 421, before any byte of the body was
written; also when the body was pipelined behind the envelope and 421 answers the envelope: then the server itself says
that it took nothing. Nothing else is repeated here; the spool does that.

The body goes by BDAT where CHUNKING is offered, byte for byte, otherwise by DATA, normalised and dot-stuffed. A small
message on a connection that was in use a moment ago goes out whole, MAIL to body, in one write. A large one, or one on
a connection that the server may be about to close for idleness, waits until a recipient is accepted.

A connection goes back to the pool when every answer that it owed was taken; any other end, cancellation too, aborts it.
lmtp_exchange.py has the dialogue, lmtp_session.py the wire.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

from kit.clock import Clock
from kit.logging import get_logger
from mail_api.content import Outgoing
from mail_api.reply import Reply, Stage
from mail_api.transport.lmtp_exchange import Delivery, Exchange, Noop, Probe, rcpt_command
from mail_api.transport.lmtp_session import DeadlinePassed, Session, SessionLost

POOL_SIZE = 8  # Dovecot has one process per connection; 8 came close to its ceiling (mail.md 8)
CONNECT_TIMEOUT_S = 5.0  # for connection, greeting and LHLO: the server is on this machine or the next
IDLE_S = 60.0  # well under the minutes after which Dovecot says 421 (mail.md 3.1)
REPEATS = 2  # of a transaction whose body was not sent

log = get_logger()


class Unreachable(ConnectionError):
    """No session could be opened; `stage` says how far it got."""

    def __init__(self, stage: Stage, why: str) -> None:
        super().__init__(why)
        self.stage = stage


class LmtpTransport:
    """See mail_api.transport.Transport, and this module for what its replies mean.

    url        lmtp://HOST:PORT or lmtp+unix:///path/of/socket, the path percent-encoded
    hostname   our name in LHLO
    sentinel   an address that always exists, asked for after an unknown mailbox in the same session; None = never
    pool_size  connections at most; who finds none free waits in order of arrival
    idle_s     a connection unused for longer is closed instead of used
    raises     ValueError for a url, a hostname or a sentinel that cannot be used
    """

    def __init__(
        self,
        url: str,
        *,
        hostname: str,
        sentinel: str | None,
        clock: Clock,
        pool_size: int = POOL_SIZE,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        idle_s: float = IDLE_S,
    ) -> None:
        parts = urlsplit(url)
        self._host, self._port, self._path = parts.hostname or "", parts.port or 0, unquote(parts.path)
        match parts.scheme:
            case "lmtp" if self._host and self._port and not self._path:
                self._address = parts.netloc
            case "lmtp+unix" if self._path and not parts.netloc:
                self._address = self._path
            case _:
                raise ValueError(f"{url!r} is neither lmtp://HOST:PORT nor lmtp+unix:///path")
        if not re.fullmatch(r"[!-~]+", hostname):
            raise ValueError(f"{hostname!r} cannot stand in LHLO")
        self._hostname = hostname.encode("ascii")
        self._sentinel = rcpt_command(sentinel) if sentinel else None
        self._clock = clock
        self._connect_timeout_s = connect_timeout_s
        self._idle_s = idle_s
        self._slots = asyncio.Semaphore(pool_size)  # one for each connection that is in use or being opened; FIFO
        self._idle: deque[Session] = deque()  # last used at the right and used first, so that few stay warm
        self._is_unreachable = False  # as logged
        self._is_closed = False

    async def deliver(
        self, mail_from: str, rcpt_tos: Sequence[str], message: Outgoing, *, message_id: str, timeout_s: float
    ) -> list[Reply]:
        """See Transport. Raise ValueError, before anything is sent, for an address that cannot stand in a command."""
        delivery = Delivery(mail_from, rcpt_tos, message, self._sentinel)
        if rcpt_tos:
            await self._run(delivery, timeout_s, message_id)
        return delivery.conclude()

    async def probe(self, rcpt_to: str, *, timeout_s: float) -> Reply:
        """See Transport. Raise ValueError as `deliver` does."""
        probe = Probe(rcpt_to, self._sentinel)
        await self._run(probe, timeout_s)
        [reply] = probe.conclude()
        return reply

    async def check(self, *, timeout_s: float) -> str:
        """Return a line such as `LMTP 127.0.0.1:24 8BITMIME CHUNKING PIPELINING`. Raise OSError if nobody answers."""
        noop = Noop()
        await self._run(noop, timeout_s)
        if noop.failure is not None:
            raise noop.failure
        return " ".join(("LMTP", self._address, *sorted(noop.offers & {"8BITMIME", "CHUNKING", "PIPELINING", "SIZE"})))

    async def close(self) -> None:
        """Say QUIT on the idle connections and wait until the server has closed them, briefly. Those in use follow."""
        self._is_closed = True
        sessions, self._idle = self._idle, deque()
        for session in sessions:
            session.quit()
        await asyncio.gather(*(session.ended for session in sessions))

    async def _run(self, exchange: Exchange, timeout_s: float, message_id: str | None = None) -> None:
        """Take an exchange through a session, through new ones where that is safe. What went wrong is left in it."""
        deadline = self._now() + timeout_s
        try:
            await self._take_slot(deadline)
            try:
                session = self._take_idle(deadline) or await self._open(deadline)
                for repeats_left in reversed(range(REPEATS + 1)):
                    try:
                        await exchange.run(session)
                        return
                    except SessionLost as error:
                        stage = exchange.stage.value
                        log.warning("lmtp_connection_lost", message_id=message_id, stage=stage, error=str(error))
                        is_late = isinstance(error, DeadlinePassed) or self._now() >= deadline
                        if is_late or not (repeats_left and exchange.is_repeatable):
                            raise
                    finally:
                        self._put_back(session)
                    session = await self._open(deadline)
            finally:
                self._slots.release()
        except Unreachable as error:
            exchange.stage, exchange.failure = error.stage, error
        except TimeoutError:
            exchange.failure = TimeoutError("the body was not sent in time")
        except OSError as error:
            exchange.failure = error

    async def _take_slot(self, deadline: float) -> None:
        """Raise Unreachable when no connection may be used or opened before the deadline."""
        if self._now() >= deadline:
            raise Unreachable(Stage.CONNECT, "there was no time left")
        if not self._slots.locked():
            await self._slots.acquire()  # at once: a timer for nothing would be a tenth of a delivery's cost
            return
        try:
            async with asyncio.timeout_at(deadline):
                await self._slots.acquire()
        except TimeoutError as error:
            raise Unreachable(Stage.CONNECT, "no connection became free in time") from error

    def _take_idle(self, deadline: float) -> Session | None:
        """Return the connection used last that is still good; drop those that are not."""
        while self._idle and self._idle[0].idle_s > self._idle_s:
            self._idle.popleft().quit()
        while self._idle:
            session = self._idle.pop()
            if session.is_alive():
                session.deadline = deadline
                return session
            session.abort()
        return None

    def _put_back(self, session: Session) -> None:
        if not session.is_settled:
            session.abort()
        elif self._is_closed:
            session.quit()
        else:
            self._idle.append(session)

    async def _open(self, deadline: float) -> Session:
        """Return a new session. Raise Unreachable; an outage is logged when it begins and when it ends."""
        stage, session = Stage.CONNECT, None
        try:
            async with asyncio.timeout_at(min(deadline, self._now() + self._connect_timeout_s)):
                session = await self._connect(deadline)
                await session.greet()
                stage = Stage.LHLO
                await session.hello(self._hostname)
        except OSError as error:
            why = "no answer in time" if isinstance(error, TimeoutError) else str(error)
            if not self._is_unreachable:
                log.error("lmtp_unreachable", address=self._address, stage=stage.value, error=why)
            self._is_unreachable = True
            raise Unreachable(stage, why) from error
        finally:
            if session is not None and not session.is_settled:
                session.abort()
        if self._is_unreachable:
            log.info("lmtp_reachable", address=self._address)
        self._is_unreachable = False
        return session

    async def _connect(self, deadline: float) -> Session:
        loop = asyncio.get_running_loop()

        def session() -> Session:
            return Session(deadline=deadline, clock=self._clock)

        if self._path:
            return (await loop.create_unix_connection(session, self._path))[1]
        return (await loop.create_connection(session, self._host, self._port))[1]

    def _now(self) -> float:
        """The event loop's time, in which deadlines are given."""
        return asyncio.get_running_loop().time()
