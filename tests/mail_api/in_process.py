"""The mail pipe inside the test process, on a clock that the test moves on: deadlines of minutes pass at once.

    async with ingress(tmp_path, ScriptedLmtp(), clock) as pipe:
        request = pipe.request(raw, rcpt_to="anna@home.test")
        request.feed(raw[:10])
        clock.advance(LIVE_UPLOAD_S)  # the timers of the event loop too
        answer = await request.answer()

Real are the parts themselves, the spool's disk, the ledger's file and the LMTP connection; only the HTTP server and
the passing of time are the test's.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from kit.signing import Key
from mail_api import trace_headers
from mail_api.content import Content
from mail_api.envelope import Envelope
from mail_api.ingress import Parts, create_app
from mail_api.keys import KeyRing
from mail_api.ledger import Ledger
from mail_api.observe import Observer
from mail_api.scan.verdict import NoScanner, Scanner
from mail_api.settings import LEASE_MARGIN_S, LIVE_DEADLINE_S, MailSettings
from mail_api.spool import Spool
from mail_api.transport.lmtp import LmtpTransport
from tests.clock import FakeClock
from tests.services.dovecot import SENTINEL
from tests.services.homeport import Answer, Poster
from tests.services.lmtp_scripted import HOLD_BACK_S, ScriptedLmtp

SOON_S = 5.0  # by the system's clock: for something that needs no waiting


class MovableLoop(asyncio.SelectorEventLoop):
    """An event loop whose time can be moved on. conftest.py makes it the loop of every test here."""

    ahead_s = 0.0

    def time(self) -> float:
        return super().time() + self.ahead_s


class MovableClock(FakeClock):
    """A FakeClock that takes the running loop's timers along. Between two moves it stands still."""

    def advance(self, seconds: float) -> None:
        super().advance(seconds)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, MovableLoop)
        loop.ahead_s += seconds


async def until(condition: Callable[[], Any]) -> Any:
    """Return the first true value of `condition`, which other threads or tasks bring about; fail if there is none."""
    for _ in range(round(SOON_S / 0.005)):
        if value := condition():
            return value
        await asyncio.sleep(0.005)
    raise AssertionError("it did not happen in time")


@asynccontextmanager
async def mail_parts(
    directory: Path,
    lmtp_port: int,
    clock: FakeClock,
    *,
    keys: Iterable[Key] = (),
    scanner: Scanner | None = None,
    **settings: Any,
) -> AsyncIterator[Parts]:
    """Build what both processes are made of, over one state directory. Without `keys` there is a fresh one."""
    keys_file = directory / "keys"
    if not keys_file.exists():
        keys_file.write_text("".join(f"{key.line}\n" for key in keys) or f"{Key.generate('test').line}\n")
        keys_file.chmod(0o600)
    values: dict[str, Any] = {
        "transport": f"lmtp://127.0.0.1:{lmtp_port}",
        "state_dir": directory,
        "keys_file": keys_file,
        "hostname": "mx.test",
        "sentinel": SENTINEL,
    }
    built = MailSettings(**values | settings)
    spool = Spool(built.spool_dir, clock=clock)
    spool.prepare()
    transport = LmtpTransport(built.transport, hostname=built.hostname, sentinel=built.sentinel, clock=clock)
    ledger = Ledger.open(built.ledger_file, clock=clock)
    try:
        observer = Observer(spool, clock=clock)
        ring = KeyRing(keys_file, clock=clock)
        yield Parts(built, ring, spool, ledger, transport, scanner or NoScanner(), observer, clock)
    finally:
        await transport.close()
        ledger.close()


@asynccontextmanager
async def serving(parts: Parts) -> AsyncIterator[FastAPI]:
    """The ingress over these parts, started."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Parts]:
        yield parts

    app = create_app(opened)
    async with app.router.lifespan_context(app):
        yield app


class Request:
    """One request, its body fed by hand. Given all at once: `await Request(app, fields).answer_to(body)`.

    fields   header fields as ASGI has them, or as a mapping
    """

    def __init__(
        self,
        app: FastAPI,
        fields: Mapping[str, str] | Iterable[tuple[bytes, bytes]],
        *,
        method: str = "POST",
        path: str = "/v1/messages",
    ) -> None:
        if isinstance(fields, Mapping):
            fields = [(name.encode(), value.encode("latin-1")) for name, value in fields.items()]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": list(fields),
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
        }
        self._body: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._sent: list[dict[str, Any]] = []
        self._task = asyncio.create_task(self._run(app, scope))

    async def _run(self, app: FastAPI, scope: dict[str, Any]) -> None:
        async def send(message: Any) -> None:
            self._sent.append(message)

        await app(scope, self._body.get, send)

    @property
    def is_answered(self) -> bool:
        return self._task.done()

    def feed(self, block: bytes, *, is_last: bool = False) -> None:
        self._body.put_nowait({"type": "http.request", "body": block, "more_body": not is_last})

    def leave(self) -> None:
        """Let the client go away."""
        self._body.put_nowait({"type": "http.disconnect"})

    async def answer_to(self, body: bytes) -> Answer:
        self.feed(body, is_last=True)
        return await self.answer()

    async def answer(self) -> Answer:
        """Wait for the answer, without moving the clock."""
        await until(lambda: self.is_answered)
        self._task.result()
        start, *blocks = self._sent
        content = b"".join(block.get("body", b"") for block in blocks)
        headers = {name.decode(): value.decode() for name, value in start["headers"]}
        return Answer(start["status"], json.loads(content), headers)


class Pipe:
    """An ingress in this process, a client of it, and the mailbox server behind it."""

    def __init__(self, parts: Parts, app: FastAPI, peer: ScriptedLmtp) -> None:
        self.parts, self.app, self.peer = parts, app, peer

    def request(self, raw: bytes, **envelope: Any) -> Request:
        """Begin to post `raw`; its body is still to be fed."""
        poster = Poster(0, self.parts.keys.current)
        headers = poster.headers(raw, timestamp=int(self.parts.clock.now()), **envelope)
        return Request(self.app, {name: value for name, value in headers.items() if value is not None})

    async def post(self, raw: bytes, **envelope: Any) -> Answer:
        return await self.request(raw, **envelope).answer_to(raw)

    def posted(self, raw: bytes, **envelope: Any) -> Request:
        request = self.request(raw, **envelope)
        request.feed(raw, is_last=True)
        return request

    def bodies(self) -> list[bytes]:
        """What the mailbox server was sent."""
        return [transaction.body for transaction in self.peer.transactions if transaction.body]

    async def sent(self) -> None:
        """Wait until the mailbox server has a body and does with it what its script says."""
        await until(self.bodies)
        await asyncio.sleep(2 * HOLD_BACK_S)

    async def claim_and_die(self, raw: bytes, message_id: str) -> None:
        """Leave what an ingress leaves that is killed after its claim."""
        content = Content(raw, len(raw), hashlib.sha256(raw).hexdigest())
        envelope = Envelope(message_id, "a@example.org", "anna@home.test", content.size_bytes, content.sha256)
        fingerprint = trace_headers.fingerprint(envelope.mail_from, envelope.rcpt_to, content)
        lease_s = LIVE_DEADLINE_S + LEASE_MARGIN_S
        await self.parts.ledger.claim(envelope, fingerprint, lease_s=lease_s, key_id="test")


@asynccontextmanager
async def ingress(directory: Path, peer: ScriptedLmtp, clock: MovableClock, **options: Any) -> AsyncIterator[Pipe]:
    """An ingress before a scripted mailbox server; `options` as for `mail_parts`."""
    with peer:
        async with mail_parts(directory, peer.port, clock, **options) as parts, serving(parts) as app:
            yield Pipe(parts, app, peer)
