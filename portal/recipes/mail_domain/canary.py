"""A canary: a mail that goes the whole way from outside, and is looked for in its mailbox.

    said = await outside.send("homeport-canary@example.org", canary_id, clock.now())   # the relay has taken it
    is_there = await progress.in_thread(inbox.has, login, password, canary_id)

It is known by the header X-Homeport-Canary, whose value nobody can guess; what is found of it is deleted. The relay is
spoken to under TLS (smtps://, or STARTTLS) unless it is on this machine; imap:// is for the mail stack's own network,
where STARTTLS is used as soon as the server insists on it.
"""

from __future__ import annotations

import contextlib
import imaplib
import re
import secrets
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate
from urllib.parse import unquote, urlsplit

import aiosmtplib

from portal.settings import PortalSettings

HEADER = "X-Homeport-Canary"
ANSWER_S = 30.0
IMAP_ANSWER_S = 15.0
_LOCAL_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})


class NotSent(Exception):
    """The relay did not take it; one line, safe to show."""


class NotLooked(Exception):
    """The mailbox cannot be looked into now; one line, safe to show."""


def new_id() -> str:
    return secrets.token_hex(16)


@dataclass(frozen=True, slots=True)
class Server:
    """host, port    where it listens
    is_tls           whether TLS begins with the connection
    """

    host: str
    port: int
    is_tls: bool
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def is_local(self) -> bool:
        return self.host in _LOCAL_HOSTS


@dataclass(frozen=True, slots=True)
class Outside:
    """The relay that canaries are sent through."""

    server: Server
    sender: str

    @classmethod
    def of(cls, settings: PortalSettings) -> Outside | None:
        """None when no relay is set."""
        if settings.mail_relay_url is None or settings.mail_canary_from is None:
            return None
        parts = urlsplit(settings.mail_relay_url)
        secret = settings.mail_relay_password
        server = Server(
            parts.hostname or "",
            parts.port or 25,
            parts.scheme == "smtps",
            unquote(parts.username) if parts.username else None,
            secret.get_secret_value() if secret else None,
        )
        return cls(server, settings.mail_canary_from)

    async def send(self, to: str, canary_id: str, now: float) -> str:
        """Return the relay's answer. Raise NotSent."""
        server = self.server
        message = EmailMessage()
        message["From"], message["To"] = self.sender, to
        message["Subject"] = f"Homeport canary {canary_id}"
        message["Date"] = formatdate(now)
        message["Message-ID"] = f"<{canary_id}@{self.sender.rpartition('@')[2]}>"
        message[HEADER] = canary_id
        message["Auto-Submitted"] = "auto-generated"
        message.set_content("Homeport sent this mail to see that mail comes in. It is deleted when it is found.\n")
        try:
            _, answer = await aiosmtplib.send(
                message,
                sender=self.sender,
                recipients=[to],
                hostname=server.host,
                port=server.port,
                username=server.user if server.password else None,
                password=server.password,
                use_tls=server.is_tls,
                start_tls=None if server.is_tls or server.is_local else True,
                timeout=ANSWER_S,
            )
        except (aiosmtplib.SMTPException, OSError) as error:
            raise NotSent(f"{server.host}:{server.port}: {_line(str(error), server.password)}") from error
        return _line(answer)


@dataclass(frozen=True, slots=True)
class Inbox:
    """The server in whose mailboxes canaries are looked for."""

    server: Server

    @classmethod
    def of(cls, settings: PortalSettings) -> Inbox | None:
        """None when no server is set."""
        if settings.mail_imap_url is None:
            return None
        parts = urlsplit(settings.mail_imap_url)
        return cls(Server(parts.hostname or "", parts.port or 143, parts.scheme == "imaps"))

    def has(self, login: str, password: str, canary_id: str | None) -> bool:
        """Whether this canary (None: any mail) is in the mailbox; a canary is deleted. Blocks. Raise NotLooked."""
        try:
            with self._logged_in(login, password) as imap:
                imap.select("INBOX", readonly=canary_id is None)
                asked = ("ALL",) if canary_id is None else ("HEADER", HEADER, canary_id)
                _, found = imap.search(None, *asked)
                numbers = (found[0] or b"").split()
                if canary_id is not None:
                    for number in numbers:
                        imap.store(number.decode(), "+FLAGS", r"(\Deleted)")
                    imap.expunge()
                return bool(numbers)
        except (imaplib.IMAP4.error, OSError) as error:
            where = f"{self.server.host}:{self.server.port}"
            raise NotLooked(f"{where}, as {login}: {_line(str(error), password)}") from error

    @contextlib.contextmanager
    def _logged_in(self, login: str, password: str) -> Iterator[imaplib.IMAP4]:
        server, context = self.server, ssl.create_default_context()
        imap: imaplib.IMAP4
        if server.is_tls:
            imap = imaplib.IMAP4_SSL(server.host, server.port, ssl_context=context, timeout=IMAP_ANSWER_S)
        else:
            imap = imaplib.IMAP4(server.host, server.port, timeout=IMAP_ANSWER_S)
        with imap:
            if "LOGINDISABLED" in imap.capabilities:
                imap.starttls(context)
            imap.login(login, password)
            yield imap


def _line(text: str, secret: str | None = None) -> str:
    """What somebody else said, as one short line without our password."""
    text = text.replace(secret, "[redacted]") if secret else text
    return " ".join(re.sub(r"[^ -~]+", " ", text).split())[:300]
