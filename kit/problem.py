"""Errors of every HTTP interface, in one shape: `application/problem+json` (RFC 9457).

A domain error is a subclass of `Problem`, declared beside its cause:

    class TargetBusy(Problem):
        \"""Another operation holds this target.\"""

        status, type, title = 409, "target-busy", "Target is busy"

    raise TargetBusy("blog-nginx is restarting", operation=str(operation.id))

`type` is a stable slug, served as `/problems/<slug>` and listed in docs/problems.md; clients branch on it, never on
text. `detail` is shown to whoever asked, so it holds nothing secret; causes go to the log (`raise ... from error`).

`install(app)` makes every answer of 400 and above that is not already a document of the application's own come out in
this shape: problems, the framework's own errors (404, 405, 413, malformed payloads), and what nobody expected (500,
without a word of its text). It also names each request: `request_id` is bound to the log's context for as long as the
request runs, and appears in every problem document.
"""

from __future__ import annotations

import itertools
import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MEDIA_TYPE = "application/problem+json"

_PROCESS = secrets.token_hex(4)  # a request id is this and a count: random bytes for each would cost a system call
_numbers = itertools.count()


class Problem(Exception):
    """An error with an HTTP status and a documented type.

    status      400 to 599
    type        slug, unique in the project
    title       the same for every occurrence
    detail      about this occurrence; safe to show; "" leaves the member out
    headers     sent with the response, such as Retry-After
    extensions  further members of the document, such as `instance`; anything JSON can hold
    """

    status: int
    type: str
    title: str

    def __init__(self, detail: str = "", *, headers: Mapping[str, str] | None = None, **extensions: object) -> None:
        super().__init__(f"{self.title}: {detail}" if detail else self.title)
        self.detail = detail
        self.headers = dict(headers or {})
        self.extensions = extensions

    def document(self) -> dict[str, object]:
        """Return the members of the problem document; without `request_id`, which only a response has."""
        standard = {"type": f"/problems/{self.type}", "title": self.title, "status": self.status}
        return self.extensions | standard | ({"detail": self.detail} if self.detail else {})

    def response(self) -> Response:
        return _response(self.status, self.document(), self.headers)


class InvalidRequest(Problem):
    """The payload or a parameter has the wrong form; `errors` lists where and what, never the value."""

    status, type, title = 422, "invalid-request", "Invalid request"


class BadRequest(Problem):
    """The request cannot be read at all, such as a body that is not JSON."""

    status, type, title = 400, "bad-request", "Bad request"


class NotFound(Problem):
    """There is nothing at this path."""

    status, type, title = 404, "not-found", "Not found"


class MethodNotAllowed(Problem):
    """The path exists, but not for this method; `Allow` lists those it has."""

    status, type, title = 405, "method-not-allowed", "Method not allowed"


class ContentTooLarge(Problem):
    """The body is longer than this route accepts."""

    status, type, title = 413, "content-too-large", "Content too large"


class InternalError(Problem):
    """An unexpected error. Its cause is in the log under `request_id`."""

    status, type, title = 500, "internal-error", "Internal error"


def all_problems() -> list[type[Problem]]:
    """Return every declared problem, sorted by type: those of the modules that have been imported."""
    declared = {cls for cls in _subclasses(Problem) if "type" in vars(cls)}
    return sorted(declared, key=lambda cls: cls.type)


def _subclasses(cls: type[Problem]) -> Iterator[type[Problem]]:
    for subclass in cls.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)


def install(app: FastAPI, *, short_way: Callable[[ASGIApp], ASGIApp] | None = None) -> None:
    """Make every error of `app` a problem document, and give every request its id. Call it once per application.

    short_way   wraps the whole framework: an application that answers some requests itself, for speed, and hands on
                the rest. It raises like any other code, except that it turns `Problem` into a response itself.
    """
    app.add_exception_handler(Problem, _from_problem)
    app.add_exception_handler(HTTPException, _from_http_exception)
    app.add_exception_handler(RequestValidationError, _from_validation_error)
    # The framework has no hook outside its own body limit and its own last resort, and both answer in plain text.
    build = app.build_middleware_stack
    wrap = short_way or (lambda inner: inner)
    app.build_middleware_stack = lambda: _Edge(wrap(build()))  # type: ignore[method-assign]


async def _from_problem(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return error.response()


async def _from_http_exception(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _from_status(error.status_code, str(error.detail), error.headers or {})


async def _from_validation_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [{"where": ".".join(map(str, each["loc"])), "message": each["msg"]} for each in error.errors()]
    return InvalidRequest(errors=errors).response()


_BY_STATUS = {cls.status: cls for cls in (BadRequest, NotFound, MethodNotAllowed, ContentTooLarge, InternalError)}
_PHRASES = {status.value: status.phrase for status in HTTPStatus} | {413: "Content Too Large"}  # renamed in Python 3.13


def _from_status(status: int, detail: str, headers: Mapping[str, str]) -> Response:
    """An error that only has a status: one of the types above, or `about:blank` (RFC 9457 4.2.1)."""
    detail = "" if detail == _PHRASES.get(status) else detail
    if known := _BY_STATUS.get(status):
        return known(detail, headers=headers).response()
    document: dict[str, object] = {"type": "about:blank", "title": _PHRASES.get(status, "Error"), "status": status}
    return _response(status, document | ({"detail": detail} if detail else {}), headers)


def _response(status: int, document: Mapping[str, object], headers: Mapping[str, str]) -> Response:
    request_id = structlog.contextvars.get_contextvars().get("request_id")
    members = dict(document) | ({"request_id": request_id} if request_id else {})
    return Response(json.dumps(members, default=str), status, headers, MEDIA_TYPE)


class _Edge:
    """The outermost layer: binds the request's id, and answers for whatever has not answered in our shape."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(scope, receive, send)
        with structlog.contextvars.bound_contextvars(request_id=f"{_PROCESS}{next(_numbers):08x}"):
            try:
                await self._app(scope, receive, answer.send)
            except ClientDisconnect:
                _log().info("client_disconnected", method=scope["method"], path=scope["path"])
            except Exception:
                _log().exception("request_failed", method=scope["method"], path=scope["path"])
                if not answer.is_started:
                    await InternalError().response()(scope, receive, send)
                elif not answer.is_complete:
                    raise  # the server cuts the connection, so that half an answer does not look whole


class _Answer:
    """The response on its way out. An error in plain text is the framework's own: it is sent as a problem instead."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._is_replaced = False
        self.is_started = False
        self.is_complete = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.is_started = True
            self._is_replaced = message["status"] >= 400 and _is_plain_text(message)
        elif message["type"] == "http.response.body":
            self.is_complete = not message.get("more_body", False)
        if not self._is_replaced:
            await self._send(message)
        elif message["type"] == "http.response.start":
            response = _from_status(message["status"], "", dict(_kept_headers(message)))
            await response(self._scope, self._receive, self._send)


def _is_plain_text(start: Message) -> bool:
    return MutableHeaders(raw=list(start["headers"])).get("content-type", "text/").startswith("text/")


def _kept_headers(start: Message) -> Iterable[tuple[str, str]]:
    headers = MutableHeaders(raw=list(start["headers"]))
    return ((name, value) for name, value in headers.items() if not name.startswith("content-"))


def _log() -> structlog.typing.FilteringBoundLogger:
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return logger
