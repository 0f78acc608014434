"""Who is told how a run ended: a real mail server and a real HTTP server, both on this machine."""

from __future__ import annotations

import email.policy
import hmac
import http.server
import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest

from backup import monitor
from backup.settings import Monitor

AT = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
RUN = "20261122T030000Z-run-00000000"


def end(code: int = 0, verb: str = "run daily") -> monitor.Ended:
    meaning = "done and verified" if code == 0 else "a source failed or is inconsistent"
    return monitor.Ended("homeport", RUN, verb, AT, AT.replace(minute=9), code, meaning, "mariadb:mail: Access denied")


@dataclass
class Heard:
    """What came in: requests as (method, path, headers, body), and mails as they stood in DATA."""

    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    mails: list[bytes] = field(default_factory=list)


@contextmanager
def web(heard: Heard, status: int = 200) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            heard.requests.append((self.command, self.path, dict(self.headers), body))
            self.send_response(status)
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST  # noqa: N815  # the library's names

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def smtp(heard: Heard) -> Iterator[int]:
    """A mail server that takes everything, without TLS."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 mx\r\n")
            while line := self.rfile.readline().strip().upper():
                if line == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    lines = iter(self.rfile.readline, b".\r\n")
                    heard.mails.append(b"".join(lines))
                self.wfile.write(b"221 bye\r\n" if line == b"QUIT" else b"250 ok\r\n")
                if line == b"QUIT":
                    return

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def settings(directory: Path, **channels: Any) -> Monitor:
    """Addresses and secrets as files, as they stand in backup.toml."""
    document: dict[str, Any] = {}
    for name, value in channels.items():
        if isinstance(value, str):
            (directory / name).write_text(value + "\n")
            document[f"{name}_file"] = directory / name
        else:
            document[name] = value
    return Monitor.model_validate(document)


def mail(port: int) -> dict[str, Any]:
    sender, to = "backup@home.test", ["anna@elsewhere.test", "bo@elsewhere.test"]
    return {"host": "127.0.0.1", "port": port, "starttls": False, "sender": sender, "recipients": to}


def test_failed_night_is_told_by_mail_webhook_and_ping(tmp_path: Path) -> None:
    heard = Heard()
    with web(heard) as url, smtp(heard) as port:
        channels = settings(
            tmp_path,
            mail=mail(port),
            webhook_url=f"{url}/hook",
            webhook_secret="a shared secret",
            ping_url=f"{url}/ping",
        )
        assert monitor.started(channels, "run daily") == []
        assert monitor.ended(channels, end(4)) == []
    assert [(method, path) for method, path, _, _ in heard.requests] == [
        ("GET", "/ping/start"),
        ("POST", "/hook"),
        ("GET", "/ping/fail"),
    ]
    _, _, headers, body = heard.requests[1]
    assert headers[monitor.SIGNATURE_HEADER] == "sha256=" + hmac.digest(b"a shared secret", body, "sha256").hex()
    assert json.loads(body)["exit_code"] == 4
    [message] = (message_from_bytes(each, policy=email.policy.default) for each in heard.mails)
    assert message["Subject"] == "[homeport] backup: run daily FAILED: a source failed or is inconsistent"
    assert message["To"] == "anna@elsewhere.test, bo@elsewhere.test"
    assert "Access denied" in str(message.get_payload())


def test_good_night_pings_success(tmp_path: Path) -> None:
    heard = Heard()
    with web(heard) as url:
        assert monitor.ended(settings(tmp_path, ping_url=f"{url}/ping/"), end(0)) == []
    assert [path for _, path, _, _ in heard.requests] == ["/ping"]


def test_good_sync_does_not_cover_a_bad_night_but_a_bad_one_is_told(tmp_path: Path) -> None:
    heard = Heard()
    with web(heard) as url:
        channels = settings(tmp_path, ping_url=f"{url}/ping")
        assert monitor.started(channels, "vault sync") == []
        assert monitor.ended(channels, end(0, "vault sync")) == []
        assert heard.requests == []
        assert monitor.ended(channels, end(11, "vault sync")) == []
    assert [path for _, path, _, _ in heard.requests] == ["/ping/fail"]


def test_hourly_success_is_not_news(tmp_path: Path) -> None:
    heard = Heard()
    with web(heard) as url:
        channels = settings(tmp_path, webhook_url=f"{url}/hook")
        monitor.ended(channels, end(0, "vault audit-head"))
        assert heard.requests == []
        monitor.ended(channels, end(11, "vault audit-head"))
    assert len(heard.requests) == 1


def test_failing_channel_hides_no_other_and_gives_no_address_away(tmp_path: Path) -> None:
    heard = Heard()
    with web(heard, status=500) as url, smtp(heard) as port:
        channels = settings(tmp_path, mail=mail(1), webhook_url=f"{url}/hook?token=hidden", ping_url=f"{url}/hidden")
        failed = monitor.ended(channels, end(4))
        assert len(failed) == 3
        assert "hidden" not in "".join(failed)
        channels = settings(tmp_path, mail=mail(port), webhook_url="http://127.0.0.1:1/hook", ping_url=f"{url}/ping")
        failed = monitor.ended(channels, end(4))
    assert [sentence.partition(" was not sent")[0] for sentence in failed] == ["the webhook", "the monitor's ping"]
    assert len(heard.mails) == 1


def test_redirect_is_not_followed(tmp_path: Path) -> None:
    heard = Heard()
    with web(heard, status=302) as url:
        [failed] = monitor.ended(settings(tmp_path, webhook_url=f"{url}/hook"), end(4))
    assert "answered 302" in failed


@pytest.mark.parametrize("url", ["http://example.org/hook", "file:///etc/passwd", "ftp://127.0.0.1/x", "https://", "x"])
def test_address_that_is_not_https_is_refused(url: str, tmp_path: Path) -> None:
    [failed] = monitor.ended(settings(tmp_path, webhook_url=url), end(4))
    assert "is not https://" in failed


def test_mail_server_that_takes_no_tls_gets_no_mail_when_tls_is_wanted(tmp_path: Path) -> None:
    heard = Heard()
    with smtp(heard) as port:
        [failed] = monitor.ended(settings(tmp_path, mail=mail(port) | {"starttls": True}), end(4))
    assert failed.startswith("the mail was not sent")
    assert heard.mails == []


def test_file_of_an_address_that_is_gone_is_a_sentence(tmp_path: Path) -> None:
    channels = settings(tmp_path, webhook_url="https://example.org")
    (tmp_path / "webhook_url").unlink()
    [failed] = monitor.ended(channels, end(4))
    assert "cannot be read" in failed
