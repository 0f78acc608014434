"""The portal's own client: what `homeport ...` commands speak to a running portal with.

    client = Client.connect(url)                     # url: the command's --url, or None
    for entry in client.get("/api/audit", limit=10)["entries"]: ...
    view = client.post("/api/containers/blog-nginx/restart", {})

Without a URL it is the portal on this machine, by `<HOMEPORT_PORTAL_STATE_DIR>/admin.sock`: the kernel says who asks,
and root or the portal's own user is the local administrator. With a URL it is any portal, by the API token in
HOMEPORT_TOKEN or the file HOMEPORT_TOKEN_FILE.

What needs a fresh factor asks for it on the terminal and is repeated once; a token can never do it. A changing request
carries an Idempotency-Key, so that repeating it is safe. No redirect is followed, no proxy of the environment is used.

    PortalError        the portal refused, in one line; `status` and `problem` say what
     └── NotReachable  there was no answer
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Self
from urllib.parse import urlsplit

import typer

if TYPE_CHECKING:  # imported when it is used, so that --help stays quick
    import httpx2

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="HOMEPORT_URL",
        help="Portal to speak to, with the token in HOMEPORT_TOKEN or HOMEPORT_TOKEN_FILE. By default the one on this "
        "machine, through admin.sock in HOMEPORT_PORTAL_STATE_DIR.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]

STATE_DIR = "HOMEPORT_PORTAL_STATE_DIR"
SOCKET_NAME = "admin.sock"
CONNECT_S = 5.0
ANSWER_S = 60.0  # a portal answers at once and works afterwards
STEP_UP = "/problems/step-up-required"
MAX_ERRORS = 5  # of one refused document

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_SAFE = frozenset({"GET", "HEAD"})


class PortalError(Exception):
    """The portal refused. The text is one line; `problem` is its problem document, {} when it sent none."""

    def __init__(self, text: str, *, status: int = 0, problem: Mapping[str, Any] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.problem = dict(problem or {})


class NotReachable(PortalError):
    """No portal answered."""


class Client:
    """One portal. A context manager; what it raises is shown to the operator as it is."""

    def __init__(self, *, socket: Path | None = None, url: str | None = None, token: str | None = None) -> None:
        """Give a socket, or a URL with a token. Raise PortalError for a URL that would send the token in the clear."""
        import httpx2

        self._is_local = socket is not None
        self._where = str(socket) if socket is not None else str(url)
        if socket is None:
            parts = urlsplit(str(url))
            if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
                raise PortalError(f"{url} does not begin with https://")
        self._client = httpx2.Client(
            base_url="http://localhost" if socket is not None else str(url),
            transport=httpx2.HTTPTransport(uds=None if socket is None else str(socket)),
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=httpx2.Timeout(ANSWER_S, connect=CONNECT_S),
            follow_redirects=False,
            trust_env=False,
        )
        self._ticket: str | None = None

    @classmethod
    def connect(cls, url: str | None) -> Self:
        """Given --url or None, return a client. Raise PortalError naming the variable that is missing."""
        if url:
            return cls(url=url, token=_token())
        state_dir = os.environ.get(STATE_DIR)
        if not state_dir:
            raise PortalError(f"{STATE_DIR} is not set, and neither is --url: where is the portal?")
        return cls(socket=Path(state_dir) / SOCKET_NAME)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def get(self, path: str, **parameters: object) -> Any:
        """Parameters that are None are left out."""
        return self.request("GET", path, parameters=parameters)

    def post(self, path: str, document: Mapping[str, Any] | None = None) -> Any:
        return self.request("POST", path, document=document or {})

    def put(self, path: str, document: Mapping[str, Any]) -> Any:
        return self.request("PUT", path, document=document)

    def patch(self, path: str, document: Mapping[str, Any]) -> Any:
        return self.request("PATCH", path, document=document)

    def delete(self, path: str) -> Any:
        return self.request("DELETE", path)

    def request(
        self,
        method: str,
        path: str,
        *,
        parameters: Mapping[str, object] | None = None,
        document: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the answer's document, None when it has none. Raise PortalError."""
        headers = {} if method in _SAFE else {"Idempotency-Key": secrets.token_hex(16), "Content-Type": _JSON}
        content = None if document is None else json.dumps(document).encode()
        try:
            return self._once(method, path, parameters, content, headers)
        except PortalError as error:
            if error.problem.get("type") != STEP_UP:
                raise
            self._step_up(error)
        return self._once(method, path, parameters, content, headers | {"Idempotency-Key": secrets.token_hex(16)})

    @contextmanager
    def stream(self, path: str, **parameters: object) -> Iterator[Iterator[bytes]]:
        """GET an answer of any length, such as an export or a log that is followed: its parts as they come."""
        import httpx2

        try:
            with self._client.stream(
                "GET", path, params=_given(parameters), headers=self._headers(), timeout=_WITHOUT_END
            ) as answer:
                if answer.status_code >= 400:
                    answer.read()
                    raise self._refusal(answer)
                yield answer.iter_bytes()
        except httpx2.HTTPError as error:
            raise self._unreachable(error) from error

    @contextmanager
    def download(self, path: str, document: Mapping[str, Any]) -> Iterator[Iterator[bytes]]:
        """As `stream`, for what is asked for by a POST. Raise NotReachable where the answer is cut off."""
        import httpx2

        headers = {"Idempotency-Key": secrets.token_hex(16), "Content-Type": _JSON} | self._headers()
        try:
            with self._client.stream(
                "POST", path, content=json.dumps(document).encode(), headers=headers, timeout=_WITHOUT_END
            ) as answer:
                if answer.status_code >= 300:
                    answer.read()
                    raise self._refusal(answer)
                yield answer.iter_bytes()
        except httpx2.HTTPError as error:
            raise self._unreachable(error) from error

    def lines(self, path: str, **parameters: object) -> Iterator[str]:
        """As `stream`, line by line."""
        with self.stream(path, **parameters) as parts:
            rest = b""
            for part in parts:
                *whole, rest = (rest + part).split(b"\n")
                for line in whole:
                    yield line.decode("utf-8", "replace")
            if rest:
                yield rest.decode("utf-8", "replace")

    def _once(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, object] | None,
        content: bytes | None,
        headers: Mapping[str, str],
    ) -> Any:
        import httpx2

        try:
            answer = self._client.request(
                method, path, params=_given(parameters or {}), content=content, headers=self._headers() | dict(headers)
            )
        except httpx2.HTTPError as error:
            raise self._unreachable(error) from error
        if answer.status_code >= 300:
            raise self._refusal(answer)
        return answer.json() if answer.content else None

    def _headers(self) -> dict[str, str]:
        return {"Homeport-Step-Up": self._ticket} if self._ticket else {}

    def _step_up(self, refusal: PortalError) -> None:
        """Ask on the terminal for what confirms the act, and keep the portal's ticket for this client's life."""
        if not self._is_local:
            raise PortalError(
                "this needs a fresh factor, which a token never has: do it in the browser or on the portal's machine",
                status=refusal.status,
                problem=refusal.problem,
            )
        if self._ticket or not sys.stdin.isatty():
            raise PortalError(
                "this needs a fresh factor, which is asked for on a terminal"
                if not self._ticket
                else "the confirmation was not accepted for this act",
                status=refusal.status,
                problem=refusal.problem,
            )
        name = typer.prompt("This needs a confirmation. Your name in the portal", err=True)
        code = typer.prompt("Code of your authenticator (empty: give the password)", default="", err=True)
        factor = {"totp": code} if code else {"password": typer.prompt("Password", hide_input=True, err=True)}
        content = json.dumps({"name": name, **factor}).encode()
        self._ticket = self._once("POST", "/api/step-up", None, content, {"Content-Type": _JSON})["ticket"]

    def _refusal(self, answer: httpx2.Response) -> PortalError:
        try:
            problem = answer.json()
        except ValueError:
            problem = None
        if not isinstance(problem, dict) or "title" not in problem:
            return PortalError(f"{self._where} gave an answer that is not a portal's: HTTP {answer.status_code}")
        errors = [f"{each.get('where')}: {each.get('message')}" for each in problem.get("errors", [])[:MAX_ERRORS]]
        text = ": ".join(filter(None, (problem["title"], problem.get("detail"), "; ".join(errors))))
        if answer.status_code >= 500:
            text += f" (request {problem.get('request_id')}: see the portal's log)"
        return PortalError(text, status=answer.status_code, problem=problem)

    def _unreachable(self, error: Exception) -> NotReachable:
        hint = "; is `homeport portal serve` running, and are you its user or root?" if self._is_local else ""
        return NotReachable(f"no portal answers at {self._where} ({error}){hint}")


_JSON = "application/json"
_WITHOUT_END = 24 * 3600.0  # a stream may be silent for as long as nothing happens; keep-alives come every 15 s


def _given(parameters: Mapping[str, object]) -> dict[str, Any]:
    """As the API reads them: none that is None, times in ISO form, truths as true and false."""
    return {name: _text(value) for name, value in parameters.items() if value is not None}


def _text(value: object) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return [_text(each) for each in value]
    return value.isoformat() if hasattr(value, "isoformat") else value


def _token() -> str:
    """The API token of the environment. Raise PortalError."""
    plain, file = os.environ.get("HOMEPORT_TOKEN"), os.environ.get("HOMEPORT_TOKEN_FILE")
    if plain and file:
        raise PortalError("HOMEPORT_TOKEN and HOMEPORT_TOKEN_FILE are both set")
    if plain:
        return plain
    if not file:
        raise PortalError("--url needs an API token: set HOMEPORT_TOKEN_FILE (or HOMEPORT_TOKEN)")
    try:
        return Path(file).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise PortalError(f"HOMEPORT_TOKEN_FILE cannot be read: {error}") from error
