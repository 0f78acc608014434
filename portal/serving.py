"""The portal's process: one application behind two doors, TCP for browsers and a unix socket for the administrator.

    <STATE_DIR>/portal.lock   held for as long as the process lives: two portals would undo each other's operations
    <STATE_DIR>/admin.sock    0600; who connects is told by the kernel (SO_PEERCRED): the portal's own user or root

A third listener, METRICS_LISTEN, has /metrics, /readyz and /livez and nothing else; it is off unless it is set.

The TCP door listens on loopback or on a Tailscale address, and over plain HTTP only on loopback. Everything else is
refused, unless the process stands in a container, whose published ports are the compose file's matter.

Stops on SIGTERM or Ctrl-C: event streams end at once, requests under way may end, running operations are told to.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import ipaddress
import os
import signal
import socket
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from kit.logging import get_logger
from kit.problem import Problem
from portal.app import Adapters, Portal, create_app
from portal.auth.site import Site
from portal.client import SOCKET_NAME
from portal.db import Database
from portal.observe import checks, create_metrics_app
from portal.settings import PortalSettings

log = get_logger()

LOCK_NAME = "portal.lock"
TAILSCALE = (
    ipaddress.ip_network("100.64.0.0/10"),
    ipaddress.ip_network("fd7a:115c:a1e0::/48"),
)  # tailscale.com/kb/1015
KEEP_ALIVE_S = 75
GRACE_S = 5  # requests are short; what takes time is an operation
BACKLOG = 128

_SERVER: dict[str, Any] = {
    "lifespan": "off",  # one application, two servers: it is started here, once
    "ws": "none",
    "log_config": None,
    "log_level": "warning",  # what matters of its start and end, we log ourselves
    "access_log": False,
    "server_header": False,
    "proxy_headers": False,  # door.py believes named proxies only
    "timeout_keep_alive": KEEP_ALIVE_S,
    "timeout_graceful_shutdown": GRACE_S,
}


class CannotServe(Exception):
    """The portal does not start like this. The text says why and what to do."""


class NotLocalAdministrator(Problem):
    """The admin socket is for root and the portal's own user."""

    status, type, title = 403, "not-local-administrator", "Not the local administrator"


def serve(settings: PortalSettings, listen: str, *, is_in_container: bool = False) -> None:
    """Serve until stopped. Raise CannotServe, or DatabaseUnavailable."""
    host, port = parse_listen(listen)
    site = Site.from_public_url(settings.public_url)
    observed = parse_listen(settings.metrics_listen) if settings.metrics_listen else None
    if not is_in_container:
        check_address(host, is_plain_http=site.is_embedded)
        if observed is not None:
            check_address(observed[0], is_plain_http=False)  # it has no passwords that could be overheard
    prepare_state_dir(settings.state_dir)
    with _locked(settings.state_dir / LOCK_NAME):
        _check_schema(settings)
        with contextlib.ExitStack() as stack:
            listeners = [
                stack.enter_context(listener_on(host, port)),
                stack.enter_context(_admin_listener(settings.state_dir / SOCKET_NAME)),
                *([stack.enter_context(listener_on(*observed))] if observed is not None else []),
            ]
            asyncio.run(_serve(create_app(settings, Adapters.of(settings)), listeners, site.base_url))


async def _serve(app: FastAPI, listeners: Sequence[socket.socket], url: str) -> None:
    """listeners   the public one, the administrator's, and that of the metrics if there is one"""
    async with app.router.lifespan_context(app):
        portal: Portal = app.state.portal
        observed = create_metrics_app(checks(portal.db, portal.containers.picture, portal.clock))
        servers = [
            _Server(uvicorn.Config(_PublicDoor(app), **_SERVER), before_stop=portal.hub.close),
            _Server(uvicorn.Config(AdminDoor(app), http=_HttpWithPeer, **_SERVER)),
            _Server(uvicorn.Config(observed, **_SERVER)),
        ][: len(listeners)]

        def stop() -> None:
            for server in servers:
                server.should_exit = True

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)
        if link := await portal.auth.users.begin_setup():
            sys.stdout.write(f"Nobody can log in yet. Make the first administrator here, once:\n  {link}\n")
            sys.stdout.flush()
        gc.freeze()  # what start-up made stays: no collection needs to look at it again, with everybody waiting
        log.info("portal_started", listen="{}:{}".format(*listeners[0].getsockname()[:2]), url=url)
        async with asyncio.TaskGroup() as tasks:
            for server, listener in zip(servers, listeners, strict=True):
                tasks.create_task(server.serve(sockets=[listener]))
    log.info("portal_stopped")


class _Server(uvicorn.Server):
    """A server beside another one: signals are the process's matter."""

    def __init__(self, config: uvicorn.Config, *, before_stop: Callable[[], None] = lambda: None) -> None:
        super().__init__(config)
        self._before_stop = before_stop

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._before_stop()  # an open event stream would hold the server for the whole grace
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


# -- the doors --------------------------------------------------------------------------------------------------------


class _PublicDoor:
    """Nobody who comes by TCP is the local administrator, whatever was put into the scope."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.get("state", {}).pop("local_uid", None)
        await self._app(scope, receive, send)


class AdminDoor:
    """Whoever comes by the admin socket is the local administrator, if the kernel says root or our own user."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._uids = {0, os.geteuid()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        uid = int(scope["client"][1])
        scope["client"] = (SOCKET_NAME, 0)
        if uid in self._uids:
            scope["state"] = dict(scope.get("state", {}), local_uid=uid)
            await self._app(scope, receive, send)
        else:
            await NotLocalAdministrator().response()(scope, receive, send)


class _HttpWithPeer(H11Protocol):
    """HTTP whose `scope["client"]` is (SOCKET_NAME, uid): who connected, as the kernel knows it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        peer = transport.get_extra_info("socket")
        _pid, uid, _gid = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        self.client = (SOCKET_NAME, uid)


# -- before it starts -------------------------------------------------------------------------------------------------


def parse_listen(listen: str) -> tuple[str, int]:
    """Given HOST:PORT, an IPv6 address in brackets, return both. Raise CannotServe."""
    host, _, port = listen.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not host or not port.isdecimal() or not port.isascii() or int(port) > 65535:
        raise CannotServe(f"--listen {listen}: not HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080")
    return host, int(port)


def check_address(host: str, *, is_plain_http: bool) -> None:
    """Refuse an address that strangers can reach, or where passwords would travel in the clear. Raise CannotServe."""
    if host == "localhost":
        return
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise CannotServe(f"--listen {host}: give an address, such as 127.0.0.1, not a name") from None
    if address.is_loopback:
        return
    if not any(address in network for network in TAILSCALE):
        raise CannotServe(
            f"--listen {host}: the portal listens on loopback or a Tailscale address only. Put `tailscale serve` in "
            "front of 127.0.0.1; in a container, whose port is published to such an address, say --in-container"
        )
    if is_plain_http:
        raise CannotServe(
            f"--listen {host}: plain HTTP is for loopback; set HOMEPORT_PORTAL_PUBLIC_URL to the https:// address that "
            "browsers use"
        )


def prepare_state_dir(path: Path) -> None:
    """Make the directory; whatever this process writes from now on is for its own user alone."""
    os.umask(0o077)
    path.mkdir(parents=True, exist_ok=True)


def _check_schema(settings: PortalSettings) -> None:
    database = Database(settings.database)
    try:
        if not database.is_current():
            raise CannotServe(
                "the database's schema is not this version's; bring it up to date: homeport portal migrate"
            )
    finally:
        database.close()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotServe(f"another portal is at work in {path.parent}") from None
        yield


@contextlib.contextmanager
def listener_on(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise CannotServe(f"cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}") from error
    with listener:
        # Inherited by each connection. asyncio sets it only where it was told the protocol, as it was not here; without
        # it an answer's second part waits up to 40 ms for the client's acknowledgement of the first (RFC 896).
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield listener


@contextlib.contextmanager
def _admin_listener(path: Path) -> Iterator[socket.socket]:
    """A stale socket is replaced: we hold the lock, so it is nobody's."""
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        try:
            listener.bind(str(path))  # under the umask of prepare_state_dir: 0700 from its first moment on
            path.chmod(0o600)
        except OSError as error:
            raise CannotServe(f"cannot listen on {path}: {error.strerror or error}") from error
        listener.listen(BACKLOG)
        yield listener
    path.unlink(missing_ok=True)
