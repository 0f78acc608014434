"""A mailbox of the booted stack, as its owner's programs use it: IMAPS, POP3S, submission, ManageSieve."""

from __future__ import annotations

import base64
import contextlib
import imaplib
import poplib
import re
import smtplib
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

from tests.services.homeport import eventually

HOST = "127.0.0.1"
ANSWER_S = 30.0
DELIVERED_S = 150.0  # on a busy machine a scanner may exceed its time; the next try is after a minute


@dataclass(frozen=True, slots=True)
class StackMailbox:
    """`ports` are the published ones by their protocol; `authority` has signed the server's certificate."""

    address: str
    password: str
    ports: Mapping[str, int]
    authority: Path

    @property
    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.authority)

    # -- reading --------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def imap(self) -> Iterator[imaplib.IMAP4_SSL]:
        connection = imaplib.IMAP4_SSL(HOST, self.ports["imaps"], ssl_context=self.tls, timeout=ANSWER_S)
        try:
            connection.login(self.address, self.password)
            yield connection
        finally:
            with contextlib.suppress(OSError, imaplib.IMAP4.error):
                connection.logout()

    def messages(self, folder: str = "INBOX") -> list[bytes]:
        """Every message as IMAP shows it, oldest first. None of them is seen for it."""
        with self.imap() as connection:
            status, (count, *_) = connection.select(folder, readonly=True)
            assert status == "OK", count
            if count == b"0":
                return []
            status, parts = connection.fetch("1:*", "(BODY.PEEK[])")
            assert status == "OK", parts
            return [part[1] for part in parts if isinstance(part, tuple)]

    def wait_for(self, count: int, folder: str = "INBOX", *, within_s: float = DELIVERED_S) -> list[bytes]:
        """Return the messages of a folder once there are so many. More of them are an error."""
        found: list[bytes] = eventually(
            lambda: messages if len(messages := self.messages(folder)) >= count else None, within_s=within_s
        )
        assert len(found) == count, [each[:300] for each in found]
        return found

    def move(self, source: str, target: str) -> None:
        """Move everything from one folder to another one (RFC 6851)."""
        with self.imap() as connection:
            status, said = connection.select(source)
            assert status == "OK", said
            status, said = connection.uid("MOVE", "1:*", target)
            assert status == "OK", said

    def remove_all(self, folder: str = "INBOX") -> None:
        with self.imap() as connection:
            connection.select(folder)
            connection.store("1:*", "+FLAGS.SILENT", "\\Deleted")
            connection.expunge()

    @contextlib.contextmanager
    def pop3(self) -> Iterator[poplib.POP3_SSL]:
        connection = poplib.POP3_SSL(HOST, self.ports["pop3s"], timeout=ANSWER_S, context=self.tls)
        try:
            connection.user(self.address)
            connection.pass_(self.password)
            yield connection
        finally:
            connection.quit()

    # -- sending --------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def submission(self, *, login: bool = True, implicit_tls: bool = False) -> Iterator[smtplib.SMTP]:
        """A session at 587 after STARTTLS, or at 465; logged in unless told otherwise."""
        session: smtplib.SMTP
        if implicit_tls:
            session = smtplib.SMTP_SSL(
                HOST, self.ports["submissions"], "phone.invalid", timeout=ANSWER_S, context=self.tls
            )
        else:
            session = smtplib.SMTP(HOST, self.ports["submission"], "phone.invalid", timeout=ANSWER_S)
        with session:
            if not implicit_tls:
                session.starttls(context=self.tls)
            if login:
                session.login(self.address, self.password)
            yield session

    def letter(self, subject: str, *, to: str = "bob@remote.test", sender: str | None = None) -> EmailMessage:
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = sender or self.address, to, subject
        message["Message-ID"] = f"<{subject}@home.test>"
        message["Date"] = "Sun, 22 Nov 2026 09:00:00 +0000"
        message.set_content("Shall we meet on Tuesday at the lake?\r\n")
        return message

    # -- filters --------------------------------------------------------------------------------------------------

    def put_script(self, name: str, script: str) -> str:
        """Store a Sieve script and make it the active one (RFC 5804); return what the server offered before TLS."""
        with socket.create_connection((HOST, self.ports["sieve"]), timeout=ANSWER_S) as plain:
            offered = _heard(plain)
            plain.sendall(b"STARTTLS\r\n")
            _heard(plain)
            with self.tls.wrap_socket(plain, server_hostname=HOST) as secured:
                _heard(secured)
                login = base64.b64encode(f"\0{self.address}\0{self.password}".encode()).decode()
                content = script.encode()
                for command in (
                    f'AUTHENTICATE "PLAIN" "{login}"',
                    f'PUTSCRIPT "{name}" {{{len(content)}+}}\r\n{script}',
                    f'SETACTIVE "{name}"',
                ):
                    secured.sendall(f"{command}\r\n".encode())
                    _heard(secured)
                secured.sendall(b"LOGOUT\r\n")
        return offered


_LAST_LINE = re.compile(rb"^(OK|NO|BYE)\b.*\r\n\Z", re.MULTILINE)


def _heard(connection: socket.socket) -> str:
    """Read a ManageSieve answer to its last line, which must be OK."""
    answer = b""
    while not (end := _LAST_LINE.search(answer)):
        piece = connection.recv(65536)
        assert piece, answer
        answer += piece
    assert end[1] == b"OK", answer
    return answer.decode()
