"""Telling the operator how a run ended: mail, webhook, and a monitor that alarms when nothing comes (dead-man ping).

Called from the outermost `finally`. Each channel is tried whatever became of the others; a channel that fails is a
sentence for the journal and never changes the exit code. Addresses that hold a token are read from files, are https://
(http:// to this machine alone), and never stand in a text.

The ping is for the daily run: `<url>/start` when it begins, `<url>` when it is done, `<url>/fail` when it is not. Every
other run pings `/fail` alone, so that a good sync does not cover a bad night.
"""

from __future__ import annotations

import email.policy
import hashlib
import hmac
import http.client
import ipaddress
import json
import smtplib
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from pathlib import Path
from urllib.parse import urlsplit

from backup.catalog import iso
from backup.exit_codes import WrongUsage
from backup.settings import Monitor, Smtp, read_secret

TIMEOUT_S = 15.0  # per channel: a peer that hangs delays the end of a run by this much
SIGNATURE_HEADER = "X-Homeport-Signature"  # sha256=<hex HMAC of the body>
DAILY = "run daily"
FAILURES_ONLY = frozenset({"vault audit-head", "preview"})  # hourly or by the click: good ends are not news


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended. `summary` is one paragraph without secrets."""

    host: str
    run: str
    verb: str
    started_at: datetime
    ended_at: datetime
    exit_code: int
    meaning: str
    summary: str

    @property
    def is_ok(self) -> bool:
        return self.exit_code == 0


def started(settings: Monitor, verb: str) -> list[str]:
    """Return what failed, one sentence a channel."""
    if verb != DAILY or settings.ping_url_file is None:
        return []
    return _attempt([("the monitor's ping", lambda: _ping(settings, "/start"))])


def ended(settings: Monitor, end: Ended) -> list[str]:
    """Return what failed, one sentence a channel."""
    if end.is_ok and end.verb in FAILURES_ONLY:
        return []
    channels: list[tuple[str, Callable[[], None]]] = []
    if settings.mail is not None:
        smtp = settings.mail
        channels.append(("the mail", lambda: _mail(smtp, end)))
    if settings.webhook_url_file is not None:
        channels.append(("the webhook", lambda: _webhook(settings, end)))
    if settings.ping_url_file is not None and (end.verb == DAILY or not end.is_ok):
        channels.append(("the monitor's ping", lambda: _ping(settings, "" if end.is_ok else "/fail")))
    return _attempt(channels)


def _attempt(channels: list[tuple[str, Callable[[], None]]]) -> list[str]:
    failed = []
    for name, send in channels:
        try:
            send()
        except WrongUsage as error:
            failed.append(f"{name} was not sent: {error}")
        except (OSError, smtplib.SMTPException, http.client.HTTPException, ValueError) as error:
            failed.append(f"{name} was not sent: {_said(error)}")
    return failed


def _said(error: Exception) -> str:
    """The kind of trouble without its text where that may repeat an address."""
    if isinstance(error, urllib.error.HTTPError):
        return f"answered {error.code}"
    if isinstance(error, urllib.error.URLError):
        return str(error.reason)
    return str(error) if isinstance(error, OSError) else type(error).__name__


# -- mail


def _mail(smtp: Smtp, end: Ended) -> None:
    message = EmailMessage(email.policy.default.clone(max_line_length=900))  # a folded subject is legal, and unreadable
    message["From"] = smtp.sender
    message["To"] = ", ".join(smtp.recipients)
    message["Subject"] = f"[{end.host}] backup: {end.verb} {'is done' if end.is_ok else 'FAILED'}: {end.meaning}"
    message["Date"] = format_datetime(end.ended_at)
    message["Message-ID"] = make_msgid(domain=smtp.sender.rpartition("@")[2] or None)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(
        f"{end.summary}\n\n"
        f"Run       {end.run} ({end.verb})\n"
        f"Began     {iso(end.started_at)}\n"
        f"Ended     {iso(end.ended_at)}\n"
        f"Exit code {end.exit_code}: {end.meaning}\n"
    )
    with smtplib.SMTP(smtp.host, smtp.port, timeout=TIMEOUT_S) as server:
        if smtp.starttls:
            server.starttls(context=ssl.create_default_context())
        if smtp.user is not None and smtp.password_file is not None:
            server.login(smtp.user, read_secret(smtp.password_file))
        server.send_message(message)


# -- webhook and ping


def _webhook(settings: Monitor, end: Ended) -> None:
    body = json.dumps(
        {
            "host": end.host,
            "run": end.run,
            "verb": end.verb,
            "started_at": iso(end.started_at),
            "ended_at": iso(end.ended_at),
            "exit_code": end.exit_code,
            "meaning": end.meaning,
            "summary": end.summary,
        }
    ).encode()
    headers = {"Content-Type": "application/json"}
    if settings.webhook_secret_file is not None:
        key = read_secret(settings.webhook_secret_file).encode()
        headers[SIGNATURE_HEADER] = "sha256=" + hmac.new(key, body, hashlib.sha256).hexdigest()
    assert settings.webhook_url_file is not None
    _send(_address(settings.webhook_url_file), body, headers)


def _ping(settings: Monitor, suffix: str) -> None:
    assert settings.ping_url_file is not None
    _send(_address(settings.ping_url_file).rstrip("/") + suffix, None, {})


def _send(url: str, body: bytes | None, headers: dict[str, str]) -> None:
    request = urllib.request.Request(url, data=body, headers={"User-Agent": "homeport-backup", **headers})  # noqa: S310
    opener = urllib.request.build_opener(_NoRedirect)
    with opener.open(request, timeout=TIMEOUT_S) as answer:
        answer.read(1024)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Whom we tell is written in the settings, not in an answer."""

    def redirect_request(self, *_: object) -> None:
        return None


def _address(file: Path) -> str:
    url = read_secret(file).strip()
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return url
    if parts.scheme == "http" and parts.hostname and _is_this_machine(parts.hostname):
        return url
    raise WrongUsage(f"the address in {file} is not https://")


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
