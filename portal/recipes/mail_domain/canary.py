"""A canary: a mail that goes the whole way from outside, and is looked for in its mailbox.

    said = await outside.send("homeport-canary@example.org", canary_id, clock.now())   # the relay has taken it
    is_there = await progress.in_thread(inbox.has, login, password, canary_id)
    is_proven = await progress.in_thread(inbox.has_mail_since, login, password, since)   # without a relay

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
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.utils import formatdate
from typing import Any
from urllib.parse import unquote, urlsplit

import aiosmtplib

from portal.settings import PortalSettings

HEADER = "X-Homeport-Canary"
INGRESS_HEADER = "X-Homeport-Id"  # of all mail that came through the mail API, and of no other
NEWEST = 500  # mails whose time is asked for; who writes a first mail writes no more
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

    def has(self, login: str, password: str, canary_id: str) -> bool:
        """Whether this canary is in the mailbox; what is found of it is deleted. Blocks. Raise NotLooked."""
        with self._inbox(login, password, is_read_only=False) as imap:
            numbers = _found(imap, "HEADER", HEADER, canary_id)
            for number in numbers:
                imap.store(number, "+FLAGS", r"(\Deleted)")
            imap.expunge()
            return bool(numbers)

    def has_mail_since(self, login: str, password: str, since: datetime) -> bool:
        """Whether any mail has come in through the mail API after `since`, and stays there. Blocks. Raise NotLooked.

        Mail that was there before, or came from inside, says nothing of the way from outside. The mail server notes
        whole seconds: what came in the same second as `since` does not count.
        """
        with self._inbox(login, password, is_read_only=True) as imap:
            day = imaplib.Time2Internaldate(since - timedelta(days=1))[1:12]  # the server has its own time zone
            numbers = _found(imap, "HEADER", INGRESS_HEADER, '""', "SINCE", day)[-NEWEST:]
            if not numbers:
                return False
            answers = _taken(*imap.fetch(",".join(numbers), "(INTERNALDATE)"))
            times = [imaplib.Internaldate2tuple(each) for each in answers if isinstance(each, bytes)]
            return any(each is not None and time.mktime(each) > since.timestamp() for each in times)

    @contextlib.contextmanager
    def _inbox(self, login: str, password: str, *, is_read_only: bool) -> Iterator[imaplib.IMAP4]:
        try:
            with self._logged_in(login, password) as imap:
                _taken(*imap.select("INBOX", readonly=is_read_only))
                yield imap
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


def _found(imap: imaplib.IMAP4, *criteria: str) -> list[str]:
    """The numbers of the mails that meet all criteria, the oldest first."""
    found = _taken(*imap.search(None, *criteria))
    return (found[0] or b"").decode().split()


def _taken(status: str, answers: list[Any]) -> list[Any]:
    """The answers to a command that the server took. imaplib hands a refusal over as if its words were the answer:
    of a refused search they would be mails that were found. Raise imaplib.IMAP4.error."""
    if status != "OK":
        said = b" ".join(each for each in answers if isinstance(each, bytes)).decode("utf-8", "replace")
        raise imaplib.IMAP4.error(f"{status} {said}")
    return answers


def _line(text: str, secret: str | None = None) -> str:
    """What somebody else said, as one short line without our password."""
    text = text.replace(secret, "[redacted]") if secret else text
    return " ".join(re.sub(r"[^ -~]+", " ", text).split())[:300]
