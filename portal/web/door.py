"""What holds for every request and every answer, whichever route it is: the door of the portal.

    request -> headers (outermost) -> kit.problem -> log -> proxies, host -> the framework

- Answers carry the security headers of `security_headers`; under /api nothing is stored by anybody.
- A request is for one of our own names (`hosts`), or it is 421: a page elsewhere whose name was made to point at this
  machine (DNS rebinding) gets nothing. `/livez` is answered under any name: whoever asks it has only an address.
- `X-Forwarded-For` and `-Proto` are believed from the named proxies and from nobody else. Other headers of that kind
  are never read.

The admin socket has its own door (serving.py): there is no name to check, and the kernel vouches for who speaks.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Any, cast

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from kit import problem
from kit.logging import get_logger
from kit.problem import Problem
from portal import metrics

log = get_logger()

HSTS_S = 365 * 86_400
SLOW_S = 1.0

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "font-src 'self'",
        "manifest-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "object-src 'none'",
        "form-action 'self'",
        "require-trusted-types-for 'script'",
    )
)


class WrongHost(Problem):
    """The request was sent to a name that is not the portal's own; `HOMEPORT_PORTAL_PUBLIC_URL` says which is."""

    status, type, title = 421, "wrong-host", "Not a name of this portal"


def security_headers(*, is_https: bool) -> dict[str, str]:
    """The headers of every answer (security.md 3.12)."""
    return {
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",  # for browsers that do not know frame-ancestors
    } | ({"Strict-Transport-Security": f"max-age={HSTS_S}"} if is_https else {})


def install(app: FastAPI, *, hosts: Collection[str], proxies: Collection[str], is_https: bool) -> None:
    """Put the door before an application, problem documents included. Call it once, instead of `problem.install`.

    hosts    our own names as the Host header has them, with the port where it is not the scheme's own
    proxies  addresses or networks whose forwarded headers are believed
    """
    problem.install(app, short_way=lambda inner: _Log(_proxied(_Hosts(inner, frozenset(hosts)), proxies)))
    build = app.build_middleware_stack
    headers = security_headers(is_https=is_https)
    app.build_middleware_stack = lambda: _Headers(build(), headers)  # type: ignore[method-assign]  # as kit.problem does


def _proxied(app: ASGIApp, proxies: Collection[str]) -> ASGIApp:
    if not proxies:
        return app
    return cast(ASGIApp, ProxyHeadersMiddleware(cast(Any, app), trusted_hosts=list(proxies)))


class _Hosts:
    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_local(scope) or scope["path"] == "/livez" or self._is_ours(scope):
            await self._app(scope, receive, send)
        else:
            await WrongHost().response()(scope, receive, send)

    def _is_ours(self, scope: Scope) -> bool:
        given = [value for name, value in scope["headers"] if name == b"host"]
        return len(given) == 1 and given[0].decode("latin-1").lower() in self._hosts


class _Headers:
    """The outermost layer: no answer leaves without them."""

    def __init__(self, app: ASGIApp, headers: Mapping[str, str]) -> None:
        self._app, self._headers = app, headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                if scope["path"].startswith("/api/"):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


class _Log:
    """One line and one count per request. Reading is only a line where it failed or took long."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.monotonic(), 500
        answered: float | None = None  # a stream ends hours after that

        async def note_status(message: Message) -> None:
            nonlocal status, answered
            if message["type"] == "http.response.start":
                status, answered = message["status"], time.monotonic()
            await send(message)

        try:
            await self._app(scope, receive, note_status)
        finally:
            seconds = time.monotonic() - started
            is_quiet = scope["method"] in ("GET", "HEAD") and status < 500 and seconds < SLOW_S
            say = log.debug if is_quiet else log.info
            say("answered", method=scope["method"], path=scope["path"], status=status, seconds=round(seconds, 3))
            until_answered = seconds if answered is None else answered - started
            metrics.count_request(scope["method"], getattr(scope.get("route"), "path", ""), status, until_answered)


def is_local(scope: Scope) -> bool:
    """Whether a request came over the admin socket. Only that socket's own door can have said so."""
    return "local_uid" in scope.get("state", {})
