"""A Worker as `homeport edge` sees it: GET /status and POST /drain over HTTP, signatures checked, answers scripted."""

from __future__ import annotations

import hmac
import json
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from kit.signing import canonical_string, parse_keys, sign
from tests.services.process import free_port

Json = dict[str, Any]
STATUS: Json = {
    "v": 1,
    "version": "0123456789ab",
    "at": 1_800_000_000,
    "retained": {"count": 3, "oldest_at": 1_799_999_000, "complete": True},
    "held": {"count": 0, "oldest_at": None, "complete": True},
    "origin": {"failing_since": None, "alerted_at": None},
    "days": {"2026-11-22": {"retained": 1, "drained": 2, "refused": 0, "unlisted": 0, "held": 0}},
    "bindings": {"retained": True, "recipients": True, "alert_webhook": False, "alert_mail": False, "access": False},
}


class WorkerStub:
    """answers   what comes next, by path: a document, or (status, content type, body); the last one is repeated"""

    def __init__(self, keys: str) -> None:
        self.answers: dict[str, deque[Any]] = {"/status": deque([STATUS]), "/drain": deque()}
        self.requests: list[tuple[str, str]] = []
        self._keys = {key.key_id: key for key in parse_keys(keys)}
        self._server = ThreadingHTTPServer(("127.0.0.1", free_port()), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, str, bytes]:
        self.requests.append((method, path))
        if not self._is_signed(method, path, headers):
            return 401, "application/problem+json", b'{"status": 401}'
        waiting = self.answers.get(path)
        if not waiting:
            return 404, "application/problem+json", b'{"status": 404}'
        given = waiting.popleft() if len(waiting) > 1 else waiting[0]
        return given if isinstance(given, tuple) else (200, "application/json", json.dumps(given).encode())

    def _is_signed(self, method: str, path: str, headers: dict[str, str]) -> bool:
        key = self._keys.get(headers.get("homeport-key-id", ""))
        at = headers.get("homeport-timestamp", "0")
        if key is None or abs(time.time() - int(at)) > 300:
            return False
        empty = dict.fromkeys(("message_id", "mail_from", "rcpt_to", "content_length", "content_sha256"), "")
        text = canonical_string(key_id=key.key_id, timestamp=at, method=method, path=path, retained_at="", **empty)
        return hmac.compare_digest(sign(key.secret, text), headers.get("homeport-signature", ""))


def _handler(stub: WorkerStub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, content_type, body = stub.answer(self.command, self.path, headers)
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            if 300 <= status < 400:
                self.send_header("Location", f"{stub.url}/elsewhere")
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            """Nothing: the tests look at `requests`."""

    return Handler
