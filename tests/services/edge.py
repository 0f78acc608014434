"""The edge on this machine: the built Email Worker in workerd, with its own R2, KV and cron, and no account.

    with Edge(directory, mail_api=homeport.url, key=homeport.key) as edge:
        assert edge.receive(message, rcpt_to="anna@home.test") == TAKEN
        edge.tick()                      # the cron handler, once
        assert edge.retained() == []

It is stacks/mailserver/email-worker/local/edge.mjs, the program behind `make run EDGE=1`, with a process of its own and
workerd as its child. What lies in R2 and KV is in `directory`: after `kill` and `start` the same mail is there.
`make worker` builds what it runs.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from kit.signing import Key, signed_headers_without_body
from tests.services.homeport import Answer
from tests.services.process import Daemon, Service, ServiceFailed, free_port

ROOT = Path(__file__).parents[2]
NODE = ROOT / ".node" / "bin" / "node"
WORKER = ROOT / "stacks" / "mailserver" / "email-worker"
SCRIPT = WORKER / "dist" / "worker.js"

ANSWER_S = 60.0  # a live message has its answer within 28 s, a tick is done after 50 s and its last message
METADATA = "Homeport-Local-Metadata"
PENDING, HELD = "pending/", "held/"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the Email Worker's `email()` came to.

    outcome   "ok", or "exception": the sender hears of a temporary failure
    reject    what it gave to `setReject`: the sender's message is refused for good; None if it did not
    """

    outcome: str
    reject: str | None
    error: str | None = None


TAKEN = Outcome("ok", None)


@dataclass(frozen=True, slots=True)
class Stored:
    """One object in R2."""

    key: str
    size_bytes: int
    metadata: Mapping[str, str]

    @property
    def message_id(self) -> str:
        """Of pending/ and held/, whose keys end in it."""
        return self.key.removesuffix(".eml").rpartition("-")[2]

    @property
    def received_at(self) -> int:
        """Epoch seconds; of pending/ and held/."""
        return int(self.metadata["received-at"])


class Edge(Service):
    """One local edge, on the same port for as long as the object lives. Leaving the `with` kills what still runs.

    mail_api    URL of the mail API
    key         signs the Worker's requests, and those to its own routes
    bindings    more text bindings and secrets of the Worker (wire.md, "Worker environment")
    without     which of RETAINED and RECIPIENTS it shall not have
    alert_mail  whether it has the send_email binding
    """

    def __init__(
        self,
        directory: Path,
        *,
        mail_api: str,
        key: Key,
        bindings: Mapping[str, str] | None = None,
        without: Iterable[str] = (),
        alert_mail: bool = False,
    ) -> None:
        for path in (NODE, SCRIPT):
            if not path.exists():
                raise ServiceFailed(f"{path} is not there: make worker")
        directory.mkdir(parents=True, exist_ok=True)
        self.key = key
        self.port = free_port()
        config = directory / "edge.json"
        required = {"MAIL_API_URL": mail_api, "MAIL_API_KEY_ID": key.key_id, "MAIL_API_KEY": key.secret.hex()}
        options = {
            "bindings": required | dict(bindings or {}),
            "persist": str(directory / "state"),
            "without": list(without),
            "alert_mail": alert_mail,
        }
        config.write_text(json.dumps(options))
        argv = [str(NODE), str(WORKER / "local" / "edge.mjs"), "--config", str(config), "--port", str(self.port)]
        self.daemon = Daemon(argv, ready=self._answers, log=directory / "edge.log")

    def close(self) -> None:
        self.kill()

    def start(self) -> None:
        self.daemon.start()

    def stop(self) -> None:
        self.daemon.stop()

    def kill(self) -> None:
        """End it like a power cut would, in the middle of what it does. What R2 has acknowledged stays."""
        self.daemon.kill()

    # -- what Cloudflare does -------------------------------------------------------------------------------------

    def receive(self, raw: bytes, *, rcpt_to: str, mail_from: str = "a@example.org") -> Outcome:
        """Let a message arrive. `mail_from` "" is the null sender. Raise as `tick` does."""
        document = self._document("POST", "/email", {"from": mail_from, "to": rcpt_to}, raw)
        return Outcome(document["outcome"], document["reject"], document["error"])

    def tick(self) -> None:
        """Run the cron handler once; return when it has ended.

        raises   ConnectionError or ServiceFailed when the edge dies over it
        """
        document = self._document("POST", "/scheduled")
        assert document == {"outcome": "ok"}, document

    # -- what lies there ------------------------------------------------------------------------------------------

    def objects(self, prefix: str = "") -> list[Stored]:
        """The objects of R2 whose keys begin like this, in order of their keys."""
        return [
            Stored(each["key"], each["size"], each["metadata"])
            for each in self._document("GET", "/retained", {"prefix": prefix})
        ]

    def retained(self) -> list[Stored]:
        return self.objects(PENDING)

    def held(self) -> list[Stored]:
        return self.objects(HELD)

    def get(self, key: str) -> bytes:
        return self._bytes("GET", "/object", {"key": key})

    def put(self, key: str, content: bytes, metadata: Mapping[str, str] | None = None) -> None:
        self._bytes("PUT", "/object", {"key": key}, content, {METADATA: json.dumps(dict(metadata or {}))})

    def delete(self, key: str) -> None:
        self._bytes("DELETE", "/object", {"key": key})

    def put_recipients(self, domain: str, document: Mapping[str, Any]) -> None:
        """Write a domain's list of recipients into KV (wire.md, "Recipients")."""
        self._bytes("PUT", "/kv", {"key": f"recipients/{domain}"}, json.dumps(document).encode())

    def sent_mail(self) -> list[str]:
        """What it has sent by the send_email binding since it was started, oldest first."""
        sent: list[str] = self._document("GET", "/sent")
        return sent

    # -- its own routes -------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        return self._own("GET", "/status")

    def drain(self) -> dict[str, Any]:
        return self._own("POST", "/drain")

    def ask(self, method: str, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Send a request to a route of the Worker, signed by whatever `headers` say."""
        status, fields, content = self._request(method, f"/worker{path}", headers=headers)
        try:
            document = json.loads(content)
        except ValueError:
            document = {}
        return Answer(status, document, fields)

    def _own(self, method: str, path: str) -> dict[str, Any]:
        answer = self.ask(
            method, path, signed_headers_without_body(self.key, now=int(time.time()), method=method, path=path)
        )
        assert answer.status == 200, answer
        return answer.document

    # -- HTTP -----------------------------------------------------------------------------------------------------

    def _document(self, method: str, path: str, query: Mapping[str, str] | None = None, body: bytes = b"") -> Any:
        return json.loads(self._bytes(method, path, query, body))

    def _bytes(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        status, _, content = self._request(method, f"{path}?{urlencode(query or {})}", body, headers)
        if status != 200:  # of the local edge itself, also while it is being killed
            raise ServiceFailed(f"{method} {path} {query}: {status} {content[:1000]!r}\n{self.daemon.log_tail()}")
        return content

    def _request(
        self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Raise OSError when there is no answer, or only the beginning of one: ConnectionError when the edge died."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_S)) as connection:
            try:
                connection.request(method, target, body, dict(headers or {}))
                response = connection.getresponse()
                content = response.read()
            except http.client.HTTPException as error:
                raise ConnectionError(f"{method} {target}: {error!r}") from error
            return response.status, {name.lower(): value for name, value in response.getheaders()}, content

    def _answers(self) -> None:
        self.objects("nothing/")  # by way of the driver and R2: workerd has loaded both Workers then
