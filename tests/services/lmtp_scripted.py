"""An LMTP server that says what a test tells it to, on a real socket, and counts replies.

    with ScriptedLmtp(rcpt=["250 2.1.5 OK", "452 4.2.2 Full"], body=[DROP]) as peer:
        ...                       # a client talks to 127.0.0.1:peer.port
    assert peer.transactions[0].body == message

Each stage has a list of steps, used up in order over all connections; then the stage answers positively. Stages:
`greeting lhlo mail rcpt data chunk body rset noop quit`; `data` is the answer to DATA (354), `chunk` to a BDAT without
LAST, and `body` is asked once for every accepted recipient, in order (RFC 2033 4.2).

A step is the reply, a text without line end or bytes exactly as sent (garbage, over-long, several lines), or

    HANG              never answer again on this connection, go on reading
    DROP              end the connection without an answer
    Slowly(text, s)   one byte every s seconds
    Last(text)        the reply, then the end of the connection, as with 421

Leaving the context raises AssertionError when a client

- went on, or left, before the last reply to the body was sent: it doesn't read one reply per recipient. To see this the
  last one is held back for HOLD_BACK_S, so a client may pipeline one transaction but not the next;
- left without QUIT after a transaction in which everything was answered: it waited for one reply too many;
- used what LHLO didn't list: pipelining, BDAT, a MAIL parameter; or sent a bare LF in DATA.

A connection in which a step broke the protocol (all but a reply in text with a code of its stage) is not judged by the
first two rules: whoever hangs or talks garbage is rightly left. Nor is one that is still open when the context ends.
"""

from __future__ import annotations

import enum
import re
import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.services.tcp import TcpServer, reset

CAPABILITIES = ("8BITMIME", "CHUNKING", "ENHANCEDSTATUSCODES", "PIPELINING")  # as Dovecot 2.3.19 lists them
HOLD_BACK_S = 0.05


class Act(enum.Enum):
    HANG = enum.auto()
    DROP = enum.auto()


HANG, DROP = Act.HANG, Act.DROP


@dataclass(frozen=True, slots=True)
class Slowly:
    text: str
    pause_s: float = 0.01


@dataclass(frozen=True, slots=True)
class Last:
    text: str


Step = str | bytes | Slowly | Last | Act


@dataclass(slots=True)
class Transaction:
    """What one client said between MAIL and the replies to the body.

    mail, rcpts   the paths without angle brackets; rcpts are those that were accepted
    parameters    of MAIL, such as BODY=8BITMIME
    body          after unstuffing; what arrived of it, when the connection ended early
    verb          "BDAT", "DATA", or "" when no body was announced
    """

    mail: str
    parameters: tuple[str, ...] = ()
    rcpts: list[str] = field(default_factory=list)
    body: bytes = b""
    verb: str = ""


class ScriptedLmtp:
    """One scripted server; see the module for its steps.

    capabilities       what LHLO lists
    drop_after_bytes   reset the connection once so many bytes of a body were read
    commands           every line that any client sent, in order of arrival
    """

    def __init__(
        self,
        *,
        capabilities: Sequence[str] = CAPABILITIES,
        drop_after_bytes: int | None = None,
        **script: Sequence[Step],
    ) -> None:
        if unknown := script.keys() - _POSITIVE.keys():
            raise TypeError(f"no such stages: {sorted(unknown)}")
        self.capabilities = tuple(capabilities)
        self.drop_after_bytes = drop_after_bytes
        self.commands: list[str] = []
        self.transactions: list[Transaction] = []
        self.violations: list[str] = []
        self._script = {stage: list(steps) for stage, steps in script.items()}
        self._server = TcpServer(lambda connection: _Session(self, connection).run())

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def connections(self) -> int:
        return self._server.connections

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.__exit__(kind, error, trace)
        if error is None:
            assert not self.violations, "; ".join(self.violations)

    def has_hung_up(self, connection: socket.socket) -> bool:
        """Whether the test left the context while this client was still connected."""
        return connection in self._server.hung_up

    def next_step(self, stage: str, default: str) -> Step:
        steps = self._script.get(stage)
        return steps.pop(0) if steps else default


_POSITIVE = {  # the codes a stage may answer with, when it does as the protocol wants
    "greeting": "[245]",
    "lhlo": "[245]",
    "mail": "[245]",
    "rcpt": "[245]",
    "data": "[345]",
    "chunk": "[245]",
    "body": "[245]",
    "rset": "2",
    "noop": "2",
    "quit": "2",
}


class _End(Exception):
    """The session is over."""


class _Session:
    def __init__(self, peer: ScriptedLmtp, connection: socket.socket) -> None:
        self._peer = peer
        self._connection = connection
        self._buffer = b""
        self._transaction: Transaction | None = None
        self._owes_quit = False  # a transaction was fully answered and nothing was said since
        self._is_faulty = False  # a step broke the protocol

    def run(self) -> None:
        try:
            self._say("greeting", "220 scripted LMTP")
            while True:
                self._command(self._line().decode("utf-8", "replace"))
        except _End:
            pass
        except ConnectionResetError:
            if self._is_judged:
                self._violation("reset the connection: it left a reply unread")

    def _command(self, line: str) -> None:
        self._peer.commands.append(line)
        self._owes_quit = False
        verb, _, argument = line.partition(" ")
        verb = verb.upper()
        if verb not in ("BDAT", "DATA") and self._has_more() and "PIPELINING" not in self._peer.capabilities:
            self._violation(f"pipelined after {line!r}")
        match verb:
            case "LHLO":
                lines = ["scripted", *self._peer.capabilities]
                self._say("lhlo", "\r\n".join(f"250{'- '[i == len(lines) - 1]}{text}" for i, text in enumerate(lines)))
            case "MAIL":
                self._mail(argument)
            case "RCPT":
                self._rcpt(argument)
            case "BDAT":
                self._bdat(argument)
            case "DATA":
                self._data()
            case "RSET" | "NOOP":
                if verb == "RSET":
                    self._transaction = None
                self._say(verb.lower(), "250 2.0.0 OK")
            case "QUIT":
                self._say("quit", "221 2.0.0 Bye")
                raise _End
            case _:
                self._violation(f"unknown command {line!r}")
                self._send(b"500 5.5.2 Unknown command\r\n")

    def _mail(self, argument: str) -> None:
        path, parameters = _path(argument)
        listed = {"BODY": "8BITMIME", "SIZE": "SIZE", "SMTPUTF8": "SMTPUTF8"}
        names = {capability.partition(" ")[0] for capability in self._peer.capabilities}
        if foreign := [text for text in parameters if listed.get(text.partition("=")[0]) not in names]:
            self._violation(f"used {foreign}, which LHLO doesn't list")
            self._send(b"555 5.5.4 Unsupported parameter\r\n")
        elif self._transaction is not None:
            self._violation("sent MAIL inside a transaction")
            self._send(b"503 5.5.1 MAIL already given\r\n")
        elif self._say("mail", "250 2.1.0 OK"):
            self._transaction = Transaction(path, parameters)
            self._peer.transactions.append(self._transaction)

    def _rcpt(self, argument: str) -> None:
        path, _ = _path(argument)
        if self._transaction is None:  # legal when MAIL was refused and the client pipelines
            self._send(b"503 5.5.1 MAIL needed first\r\n")
        elif self._say("rcpt", f"250 2.1.5 <{path}> OK"):
            self._transaction.rcpts.append(path)

    def _bdat(self, argument: str) -> None:
        match = re.fullmatch(r"(\d+)( LAST)?", argument, re.IGNORECASE)
        if match is None or "CHUNKING" not in self._peer.capabilities:
            self._violation(f"sent BDAT {argument}")
            self._send(b"502 5.5.1 BDAT refused\r\n")
            raise _End  # where its data would end is unknown
        left, transaction = int(match[1]), self._transaction
        while left:  # in pieces: `drop_after_bytes` may fall into the middle
            piece = self._some(left)
            left -= len(piece)
            self._keep(piece, "BDAT")
        self._keep(b"", "BDAT")
        if transaction is None or not transaction.rcpts:
            self._send(b"503 5.5.1 No valid recipients\r\n")  # one, and the transaction stays, as Dovecot does
        elif match[2]:
            self._answer_body(transaction)
        else:
            self._say("chunk", f"250 2.0.0 {match[1]} octets")

    def _data(self) -> None:
        transaction = self._transaction
        if transaction is None or not transaction.rcpts:
            self._send(b"503 5.5.1 No valid recipients\r\n")
            return
        if self._has_more():
            self._violation("sent a body before the answer to DATA")
        if not self._say("data", "354 OK"):
            return
        while (line := self._line(ends=b"\r\n")) != b".":
            if b"\n" in line:
                self._violation("sent a bare LF in DATA")
            self._keep(line.removeprefix(b".") + b"\r\n", "DATA")
        self._keep(b"", "DATA")
        self._answer_body(transaction)

    def _keep(self, piece: bytes, verb: str) -> None:
        if self._transaction is None:
            return
        self._transaction.verb = verb
        self._transaction.body += piece
        limit = self._peer.drop_after_bytes
        if limit is not None and len(self._transaction.body) >= limit:
            reset(self._connection)
            raise _End

    def _answer_body(self, transaction: Transaction) -> None:
        for number, rcpt in enumerate(transaction.rcpts, 1):
            if number == len(transaction.rcpts):
                self._hold_back(f"{number} of {number}")
            self._say("body", f"250 2.0.0 <{rcpt}> Saved, {number} of {len(transaction.rcpts)}")
        self._transaction = None
        self._owes_quit = True

    def _hold_back(self, which: str) -> None:
        """See whether the client goes on although it hasn't heard everything."""
        readable, _, _ = select.select([self._connection], [], [], HOLD_BACK_S)
        if readable and self._is_judged and not self._buffer:
            self._violation(f"went on before reply {which}")

    def _say(self, stage: str, default: str) -> bool:
        """Do the stage's next step; return whether it was a positive answer."""
        step = self._peer.next_step(stage, default)
        self._is_faulty |= not (isinstance(step, str) and re.match(_POSITIVE[stage], step))
        match step:
            case Act.HANG:
                while self._connection.recv(65536):
                    pass
                raise _End
            case Act.DROP:
                raise _End
            case Last(text):
                self._send(text.encode() + b"\r\n")
                raise _End
            case Slowly(text, pause_s):
                for byte in text.encode() + b"\r\n":
                    self._send(bytes([byte]))
                    time.sleep(pause_s)
                return text[:1] in "23"
            case bytes():
                self._send(step)
                return step[:1] in (b"2", b"3")
            case str():
                self._send(step.encode() + b"\r\n")
                return step[:1] in "23"

    def _send(self, data: bytes) -> None:
        self._connection.sendall(data)

    def _line(self, ends: bytes = b"\n") -> bytes:
        while (at := self._buffer.find(ends)) < 0:
            self._fill()
        line, self._buffer = self._buffer[:at], self._buffer[at + len(ends) :]
        return line.removesuffix(b"\r") if ends == b"\n" else line

    def _some(self, limit: int) -> bytes:
        if not self._buffer:
            self._fill()
        piece, self._buffer = self._buffer[:limit], self._buffer[limit:]
        return piece

    def _fill(self) -> None:
        data = self._connection.recv(262144)
        if not data:
            self._left()
            raise _End
        self._buffer += data

    @property
    def _is_judged(self) -> bool:
        return not self._is_faulty and not self._peer.has_hung_up(self._connection)

    def _left(self) -> None:
        if self._owes_quit and self._is_judged:
            self._violation("left without QUIT though everything was answered: it waited for one reply too many")

    def _has_more(self) -> bool:
        return bool(self._buffer) or (bool(select.select([self._connection], [], [], 0)[0]) and bool(self._peek()))

    def _peek(self) -> bytes:
        return self._connection.recv(1, socket.MSG_PEEK)

    def _violation(self, what: str) -> None:
        self._peer.violations.append(f"the client {what}")


def _path(argument: str) -> tuple[str, tuple[str, ...]]:
    """Split `FROM:<path> PARAMETER ...`."""
    match = re.fullmatch(r"(?:FROM|TO):<(.*)>((?: \S+)*)", argument, re.IGNORECASE)
    if match is None:
        raise AssertionError(f"not a path: {argument!r}")
    return match[1], tuple(match[2].upper().split())
