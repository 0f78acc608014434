"""Homeport's own mail processes, as an operator starts them: `homeport mail ingress` and `homeport mail delivery`.

    with Homeport(directory, transport=dovecot.lmtp_url, sentinel=SENTINEL) as homeport:
        answer = homeport.post(message, rcpt_to="anna@home.test")
        assert answer.status == 200

`Poster` is what the Email Worker is in production: it signs, posts, and says what came back. It speaks plain
`http.client` on one connection per post, so that nothing of a client library stands between test and wire.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import re
import secrets
import socket
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kit.signing import Key
from mail_api.envelope import Envelope
from mail_api.signature import signed_headers
from tests.services.process import POLL_S, Daemon, Service, free_port

HOMEPORT = [str(Path(sys.executable).with_name("homeport"))]
POST_TIMEOUT_S = 60.0


def message(body: bytes = b"Hello.\r\n") -> bytes:
    """A small message that differs from every other one. Its id doesn't end in its sender's address: that is spam."""
    return b"From: <a@example.org>\r\nMessage-ID: <%s.1@example.org>\r\n\r\n" % secrets.token_hex(8).encode() + body


def received(stored: bytes) -> tuple[str, bytes]:
    """Given a message as a mailbox has it, return its Homeport id and what stands below our header fields."""
    match = _OUR_FIELDS.search(stored)
    assert match, stored[:1000]
    return match[1].decode(), stored[match.end() :]


# the topmost id is ours; the Received field ends behind its date, even if what follows continues that line
_OUR_FIELDS = re.compile(rb"^X-Homeport-Id: (\w{32})\r?\nReceived: [^;]*;\r?\n\t[^\r\n]*\r?\n", re.MULTILINE)


def eventually(condition: Callable[[], Any], *, within_s: float = 10.0) -> Any:
    """Return the first true value of `condition`; fail if there is none in time."""
    give_up = time.monotonic() + within_s
    while not (value := condition()):
        assert time.monotonic() < give_up, "it did not happen in time"
        time.sleep(POLL_S)
    return value


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: HTTP status, JSON document ({} when it was none), header fields in lower case."""

    status: int
    document: dict[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def smtp(self) -> dict[str, Any] | None:
        return self.document.get("smtp")

    @property
    def type(self) -> str:
        return str(self.document.get("type", "")).removeprefix("/problems/")


@dataclass(slots=True)
class Poster:
    """A client of the ingress, signing with one key."""

    port: int
    key: Key

    def post(
        self,
        raw: bytes,
        *,
        announced: bytes | None = None,
        chunked: bool = False,
        timeout_s: float = POST_TIMEOUT_S,
        change: Mapping[str, str | None] | None = None,
        **envelope: Any,
    ) -> Answer:
        """Post a message.

        announced  what length and digest are signed for, if not for `raw`
        change     header fields (lower case) to set after signing, None = leave out
        envelope   as for `headers`
        raises     OSError, http.client.HTTPException when there is no answer
        """
        headers = self.headers(raw if announced is None else announced, **envelope) | dict(change or {})
        sent = {name: value for name, value in headers.items() if value is not None}
        body: bytes | Iterable[bytes] = (raw[at : at + 65536] for at in range(0, len(raw), 65536)) if chunked else raw
        return self.request("POST", "/v1/messages", headers=sent, body=body, chunked=chunked, timeout_s=timeout_s)

    def headers(
        self,
        raw: bytes,
        *,
        rcpt_to: str = "anna@home.test",
        mail_from: str = "a@example.org",
        message_id: str | None = None,
        retained_at: int | None = None,
        timestamp: int | None = None,
    ) -> dict[str, str | None]:
        """Return the header fields of a request that posts `raw`, signed now or at `timestamp`."""
        envelope = Envelope(
            message_id or secrets.token_hex(16),
            mail_from,
            rcpt_to,
            len(raw),
            hashlib.sha256(raw).hexdigest(),
            retained_at,
        )
        now = int(time.time()) if timestamp is None else timestamp
        signed = signed_headers(self.key, now=now, method="POST", path="/v1/messages", message=envelope)
        return {"content-type": "message/rfc822", **signed}

    def get_health(self) -> Answer:
        headers = signed_headers(self.key, now=int(time.time()), method="GET", path="/v1/health")
        return self.request("GET", "/v1/health", headers=headers)

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Iterable[bytes] = b"",
        chunked: bool = False,
        timeout_s: float = POST_TIMEOUT_S,
    ) -> Answer:
        """Send any request, signed or not. Raise OSError or http.client.HTTPException when there is no answer."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)) as connection:
            connection.request(method, path, body, dict(headers or {}), encode_chunked=chunked)
            return _answer(connection.getresponse())

    def begin(self, fields: Iterable[tuple[str, object]]) -> socket.socket:
        """Send the head of a post by hand, with these header fields; its body is the caller's, then `answer_on`."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=POST_TIMEOUT_S)
        lines = ["POST /v1/messages HTTP/1.1", "host: homeport", *(f"{name}: {value}" for name, value in fields)]
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
        return connection


def answer_on(connection: socket.socket) -> Answer:
    """Read the answer to a request that was sent by hand."""
    response = http.client.HTTPResponse(connection, method="POST")
    response.begin()
    return _answer(response)


def _answer(response: http.client.HTTPResponse) -> Answer:
    content = response.read()
    try:
        document = json.loads(content)
    except ValueError:
        document = {}
    fields = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, document if isinstance(document, dict) else {}, fields)


class UnixHTTPConnection(http.client.HTTPConnection):
    """HTTP over a unix socket: the control socket of the delivery process."""

    def __init__(self, path: Path, *, timeout_s: float = 5.0) -> None:
        super().__init__("control", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Homeport(Service):
    """Both processes over one state directory. Leaving the `with` kills what still runs; the directory is the test's.

    settings   more HOMEPORT_MAIL_* by the name behind the prefix, such as {"DOMAINS": "home.test"}
    argv       how to run `homeport`; crash tests put their own interpreter set-up in front
    """

    def __init__(
        self,
        directory: Path,
        *,
        transport: str,
        sentinel: str | None = None,
        settings: Mapping[str, str] | None = None,
        state_dir: Path | None = None,
        workers: int = 1,
        argv: list[str] | None = None,
    ) -> None:
        self.directory = directory
        self.state_dir = state_dir or directory / "state"
        self.keys_file = directory / "keys"
        self.port, self.metrics_port, self.delivery_metrics_port = free_port(), free_port(), free_port()
        self.key = Key.generate("test")
        directory.mkdir(parents=True, exist_ok=True)
        self.keys_file.write_text(self.key.line + "\n")
        self.keys_file.chmod(0o600)
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("HOMEPORT_")} | {
            "HOMEPORT_MAIL_TRANSPORT": transport,
            "HOMEPORT_MAIL_STATE_DIR": str(self.state_dir),
            "HOMEPORT_MAIL_KEYS_FILE": str(self.keys_file),
            "HOMEPORT_MAIL_HOSTNAME": "mx.test",
        }
        if sentinel:
            self.environment["HOMEPORT_MAIL_SENTINEL"] = sentinel
        self.environment |= {f"HOMEPORT_MAIL_{name}": value for name, value in (settings or {}).items()}
        program = argv or HOMEPORT
        listen = ["--listen", f"127.0.0.1:{self.port}", "--workers", str(workers)]
        self.ingress = Daemon(
            [*program, "mail", "ingress", *listen],
            ready=self._ingress_answers,
            log=directory / "ingress.log",
            env=self.environment | {"HOMEPORT_MAIL_METRICS_LISTEN": f"127.0.0.1:{self.metrics_port}"},
        )
        self.delivery = Daemon(
            [*program, "mail", "delivery"],
            ready=self._delivery_answers,
            log=directory / "delivery.log",
            env=self.environment | {"HOMEPORT_MAIL_METRICS_LISTEN": f"127.0.0.1:{self.delivery_metrics_port}"},
        )
        self.poster = Poster(self.port, self.key)
        self.post = self.poster.post

    def close(self) -> None:
        self.kill()

    def start(self) -> None:
        self.ingress.start()
        self.delivery.start()

    def stop(self) -> None:
        self.ingress.stop()
        self.delivery.stop()

    def kill(self) -> None:
        self.ingress.kill()
        self.delivery.kill()

    def entries(self, place: str = "queue") -> list[str]:
        """The queue ids in a place of the spool."""
        return sorted(path.name for path in (self.state_dir / "spool" / place).iterdir())

    def control(self, method: str, path: str, body: Any = None) -> Answer:
        """Ask the delivery process on its control socket. Raise OSError when it does not answer."""
        content = None if body is None else json.dumps(body)
        fields = {} if content is None else {"content-type": "application/json"}
        with contextlib.closing(UnixHTTPConnection(self.state_dir / "control.sock")) as connection:
            connection.request(method, path, content, fields)
            return _answer(connection.getresponse())

    def _ingress_answers(self) -> None:
        answer = self.poster.request("GET", "/livez", timeout_s=2.0)
        if answer.status != 200:
            raise OSError(f"/livez answered {answer.status}")

    def _delivery_answers(self) -> None:
        with contextlib.closing(UnixHTTPConnection(self.state_dir / "control.sock", timeout_s=2.0)) as connection:
            connection.request("GET", "/livez")
            if connection.getresponse().status != 200:
                raise OSError("/livez of the control socket did not answer 200")
