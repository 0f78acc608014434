"""The server: sockets, authentication, permissions, faults, the log of requests. Endpoints are in modules by product.

A request goes through, in this order: the log, a waiting fault, its token, the rate limit, its route, its permission,
its endpoint. An endpoint that raises anything but Refused answers 500 and fails the test when the context ends.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qsl, unquote

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from tests.fakes.cloudflare import accounts, bindings, dns, email_routing, kv, r2, rulesets, tunnels, workers
from tests.fakes.cloudflare.envelope import Answer, Call, Endpoint, Refused, failure, parts_of
from tests.fakes.cloudflare.faults import Fault, Faults, How, RateLimit
from tests.fakes.cloudflare.permissions import EVERY_PERMISSION, PERMISSIONS, Permission, Token, implied, refusal
from tests.fakes.cloudflare.state import Record, State, Zone
from tests.services.process import free_port

BASE = "/client/v4"
MAX_BODY_BYTES = 110 * 1024**2  # Cloudflare's own limit on a request is 100 MB on the Free plan

_ROUTES = [r for m in (accounts, dns, email_routing, workers, bindings, kv, r2, tunnels, rulesets) for r in m.ROUTES]
_READS_BY_POST = re.compile(r"/bulk/get$")
_AUTHORIZATION = re.compile(r"Bearer ([A-Za-z0-9_-]{40,})")
_NO_ROUTE = "Could not route to {}, perhaps your object identifier is invalid?"
_ZONE_ID = re.compile(r"[0-9a-f]{32}")

_LINGER_0 = struct.pack("ii", 1, 0)  # socket(7): close() then discards what is unsent and sends RST

Scope = MutableMapping[str, Any]
Receive = Callable[[], Any]
Send = Callable[[MutableMapping[str, Any]], Any]


class Request(NamedTuple):
    """One request as it was logged.

    path     below /client/v4, percent-encoded as sent, without the query
    status   0 when the connection ended without an answer
    """

    method: str
    path: str
    status: int


class _Compiled(NamedTuple):
    method: str
    pattern: re.Pattern[str]
    endpoint: Endpoint
    permission: Permission | None


def _compile() -> list[_Compiled]:
    """Return the routes, literal segments before placeholders, each with its permission."""
    assert PERMISSIONS.keys() == {(route.method, route.path) for route in _ROUTES}
    compiled = []
    for route in sorted(_ROUTES, key=lambda route: route.path.replace("{", "~")):
        pattern = re.sub(r"\{(\w+):path\}", r"(?P<\1>.+)", route.path)
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern)
        permission = PERMISSIONS[route.method, route.path]
        compiled.append(_Compiled(route.method, re.compile(pattern), route.endpoint, permission))
    return compiled


class CloudflareFake:
    """Cloudflare's API with one account, on 127.0.0.1 and a free port, while its context lasts.

    zones   names of the zones that the account starts with, all active, with no records
    clock   for the rate limit
    port    default: a free one
    """

    def __init__(
        self, zones: Iterable[str] = (), *, clock: Callable[[], float] = time.monotonic, port: int | None = None
    ) -> None:
        self.state = State()
        for name in zones:
            self.state.zones[name] = Zone(name)
        self.requests: list[Request] = []
        self.port = free_port() if port is None else port
        self._tokens: dict[str, Token] = {}
        self._faults = Faults()
        self._rate_limit = RateLimit(clock)
        self._routes = _compile()
        self._failures: list[Exception] = []
        self._server = _Server(self._serve, self.port)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{BASE}"

    @property
    def account_id(self) -> str:
        return self.state.account_id

    def zone_id(self, name: str) -> str:
        return self.state.zones[name].id

    @property
    def writes(self) -> list[Request]:
        """The requests that would change something, whether or not they did."""
        return [request for request in self.requests if _is_write(request.method, request.path)]

    def token(
        self,
        *,
        permissions: Iterable[str] | None = None,
        without: Iterable[str] = (),
        zones: Iterable[str] | None = None,
        status: str = "active",
    ) -> str:
        """Return a new token.

        permissions   names of the groups it has; default: all that PERMISSIONS names
        without       names of groups it lacks. Without "X Write" it can still read; without "X Read" it can't write
                      either, because "X Write" implies it
        zones         names of the zones it is valid for; default: all
        status        active, disabled or expired
        raises        ValueError for a group that PERMISSIONS doesn't name
        """
        lacking = set(without)
        groups = EVERY_PERMISSION if permissions is None else frozenset(permissions)
        if unknown := (groups | lacking) - EVERY_PERMISSION:
            raise ValueError(f"no endpoint here takes {sorted(unknown)}")
        lacking |= {f"{group.removesuffix(' Read')} Write" for group in lacking if group.endswith(" Read")}
        token = Token(implied(groups) - lacking, None if zones is None else frozenset(zones), status)
        self._tokens[token.secret] = token
        return token.secret

    def revoke(self, token: str) -> None:
        """Forget a token, as the account's owner does by deleting it."""
        del self._tokens[token]

    def edit(self, zone: str, *, type: str, name: str, was: str | None = None, **given: Any) -> Record:  # noqa: A002
        """Write a record as somebody at the dashboard does: nobody here is told.

        The given fields (content, data, ttl, comment ...) go into the one record of this type and name, or make a new
        one where there is none.
        was      its content, where several have this type and name; a record of other content is then another one
        raises   LookupError when several do; what else can't be, Refused
        """
        draft = dns.Draft(self.state.zones[zone])
        record = self._one(zone, type, name, was)
        if record is None:
            record = draft.create({"ttl": 1, **given, "type": type, "name": name})
        else:
            record = draft.change(record.id, given, keep=True)
        draft.commit()
        return record

    def remove(self, zone: str, *, type: str, name: str, was: str | None = None) -> None:  # noqa: A002
        """Delete a record as somebody at the dashboard does. Raise LookupError unless it is one."""
        record = self._one(zone, type, name, was)
        if record is None:
            raise LookupError(f"no record {type} {name}")
        draft = dns.Draft(self.state.zones[zone])
        draft.remove(record.id)
        draft.commit()

    def _one(self, zone: str, type_: str, name: str, was: str | None) -> Record | None:
        full = dns.full_name(self.state.zones[zone], name)
        found = [each for each in self.state.zones[zone].records if (each.type, each.name) == (type_, full)]
        found = [each for each in found if was in (None, each.content)]
        if len(found) > 1:
            raise LookupError(f"{len(found)} records {type_} {full}")
        return found[0] if found else None

    def fail(
        self,
        method: str,
        path: str,
        status: int | How = 500,
        *,
        times: float = 1,
        skip: int = 0,
        retry_after: int | None = None,
        code: int | None = None,
        message: str | None = None,
    ) -> None:
        """Make coming requests fail; of several faults that fit, the one added first strikes.

        method   or "*" for all, "write" for those that `writes` would list
        path     regular expression, searched in the path below /client/v4
        status   an HTTP status, or
                 "unsuccessful"         200 with `success: false` and no result
                 "hang"                 no answer until the client gives up
                 "reset"                the connection ends, nothing was done
                 "applied-then-reset"   the request is carried out, then the connection ends without an answer
        times    how many requests; math.inf for all
        skip     how many fitting requests pass first
        """
        self._faults.add(Fault(method, re.compile(path), status, times, skip, retry_after, code, message))

    def heal(self) -> None:
        """Forget all faults that `fail` added."""
        self._faults.clear()

    def rate_limit(self, per_window: int | None, window_s: float = 300.0) -> None:
        """Allow each token so many requests per window, from now on; None: no limit."""
        self._rate_limit.set(per_window, window_s)

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()
        if self._failures and error is None:
            raise ExceptionGroup("in endpoints of this fake", self._failures)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._answer_request(scope, receive, send)
        except Exception as error:  # a server has no caller: the test hears of it when the context ends
            self._failures.append(error)
            raise

    async def _answer_request(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"]
        path = scope["raw_path"].decode("ascii")
        path = path.removeprefix(BASE) if path.startswith(BASE) else path
        fault = self._faults.strike(method, path, is_write=_is_write(method, path))
        if fault is not None and fault.status in ("hang", "reset"):
            self.requests.append(Request(method, path, 0))
            await _abandon(scope, receive, at_once=fault.status == "reset")
            return
        body = await _read(receive)
        if body is None:  # the client went away: nobody hears an answer
            self.requests.append(Request(method, path, 0))
            return
        if fault is None or fault.status == "applied-then-reset":
            answer = self._handle(scope, method, path, body)
        else:
            answer = fault.answer()
        if fault is not None and fault.status == "applied-then-reset":
            self.requests.append(Request(method, path, 0))
            await _abandon(scope, receive, at_once=True)
            return
        self.requests.append(Request(method, path, answer.status))
        await _send(send, answer)

    def _handle(self, scope: Scope, method: str, path: str, body: bytes) -> Answer:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        extra: Mapping[str, str] = {}
        try:
            token = self._authenticate(headers, path)
            extra, refused = self._rate_limit.take(token.secret)
            answer = refused or self._route(token, scope, headers, method, path, body)
        except Refused as error:
            answer = error.answer
        except Exception as error:
            self._failures.append(error)
            answer = failure(500, 10001, f"The fake broke: {error!r}")
        return Answer(answer.status, answer.body, answer.content_type, {**extra, **answer.headers})

    def _authenticate(self, headers: Mapping[str, str], path: str) -> Token:
        if "authorization" not in headers:
            raise Refused(400, 9106, "Missing X-Auth-Key, X-Auth-Email or Authorization headers")
        match = _AUTHORIZATION.fullmatch(headers["authorization"])
        if match is None:
            raise Refused(400, 6003, "Invalid request headers")
        token = self._tokens.get(match[1])
        is_verification = path.endswith("/tokens/verify")
        if token is None and is_verification:
            raise Refused(401, 1000, "Invalid API Token")
        if token is None or (token.status != "active" and not is_verification):
            raise Refused(401, 10000, "Authentication error")
        return token

    def _route(
        self, token: Token, scope: Scope, headers: Mapping[str, str], method: str, path: str, body: bytes
    ) -> Answer:
        allowed: list[str] = []
        for route in self._routes:
            match = route.pattern.fullmatch(path)
            if match is None:
                continue
            if route.method != method:
                allowed.append(route.method)
                continue
            values = {name: unquote(value) for name, value in match.groupdict().items()}
            self._permit(token, route.permission, values)
            given = parse_qsl(scope["query_string"].decode("ascii"), keep_blank_values=True)
            parts = parts_of(headers.get("content-type", ""), body)
            call = Call(self.state, token, method, values, dict(given), headers, body, parts)
            return route.endpoint(call)
        if allowed:
            raise Refused(405, 10405, "Method not allowed for this authentication scheme")
        raise Refused(404, 7003, _NO_ROUTE.format(path))

    def _permit(self, token: Token, permission: Permission | None, values: Mapping[str, str]) -> None:
        """Refuse a token that lacks the permission, and a zone or account that this token knows nothing of."""
        zone_name = None
        if (zone_id := values.get("zone_id")) is not None:
            if not _ZONE_ID.fullmatch(zone_id):
                raise Refused(404, 7003, _NO_ROUTE.format(f"/zones/{zone_id}"))
            zone = self.state.zone(zone_id)
            zone_name = zone.name if zone is not None else ""
        is_stranger = values.get("account_id", self.account_id) != self.account_id
        if permission is None:
            if is_stranger:
                raise Refused(403, 9109, "Unauthorized to access requested resource")
        elif is_stranger or zone_name == "" or not token.may(permission, zone_name):
            raise refusal(permission, token)


def _is_write(method: str, path: str) -> bool:
    return method not in ("GET", "HEAD") and not _READS_BY_POST.search(path)


async def _read(receive: Receive) -> bytes | None:
    """Return the whole body, None when the client left before its end."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise AssertionError("a request of more than 100 MB")
        if not message.get("more_body"):
            return bytes(body)


async def _send(send: Send, answer: Answer) -> None:
    headers = {"content-type": answer.content_type, "content-length": str(len(answer.body)), **answer.headers}
    encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": encoded})
    await send({"type": "http.response.body", "body": answer.body})


async def _abandon(scope: Scope, receive: Receive, *, at_once: bool) -> None:
    """End the connection without an answer: at once, or when the client does."""
    if at_once:
        _reset(scope["state"]["transport"])
    while (await receive())["type"] != "http.disconnect":
        pass


def _reset(transport: asyncio.Transport) -> None:
    """End a connection the hard way, by RST."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
    transport.abort()


class _Server(uvicorn.Server):
    """uvicorn in a thread of its own, which ends at once: its own way takes 0.2 s, and longer when clients stay."""

    def __init__(self, application: Callable[[Scope, Receive, Send], Any], port: int) -> None:
        self._port = port
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_over = asyncio.Event()
        self._is_up = threading.Event()
        self._transports: set[asyncio.Transport] = set()
        self._thread = threading.Thread(target=self._run, name="cloudflare-fake", daemon=True)
        super().__init__(
            uvicorn.Config(
                application,
                http=_protocol(self._transports),
                interface="asgi3",
                loop="asyncio",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level=None,  # of the process it runs in: not ours to change
                access_log=False,
                proxy_headers=False,
                server_header=False,
            )
        )

    def start(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", self._port), backlog=128)
        # asyncio sets it only where it knows the protocol, and Linux lets connections inherit it; else each answer
        # waits 40 ms for an acknowledgement
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._thread.start()
        if not self._is_up.wait(timeout=20):
            raise RuntimeError("the fake of Cloudflare did not start")

    def stop(self) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._is_over.set)
        self._thread.join()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        self._is_up.set()

    async def main_loop(self) -> None:
        await self._is_over.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for transport in list(self._transports):
            _reset(transport)
        await asyncio.sleep(0)  # the loop closes them before it comes back here, and their requests hear of it
        await asyncio.gather(*self.server_state.tasks, return_exceptions=True)

    def _run(self) -> None:
        self.run(sockets=[self._socket])


def _protocol(transports: set[asyncio.Transport]) -> type[H11Protocol]:
    """Return uvicorn's protocol, made to put each connection into `transports` and into its requests' scopes."""

    class Protocol(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
            transports.add(transport)
            self.app_state = {**self.app_state, "transport": transport}
            super().connection_made(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            transports.discard(self.transport)
            super().connection_lost(exc)

    return Protocol
