"""The two processes, wired and run: `ingress` (public HTTP) and `delivery` (the queue, control on a unix socket).

Wiring happens here and nowhere else. Both stop on SIGTERM or Ctrl-C: what is at work may end, what is not done stays
where a crash would leave it too.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import uvicorn
from fastapi import FastAPI
from uvicorn.supervisors import Multiprocess

from kit import logging
from kit.clock import SystemClock
from kit.logging import get_logger
from mail_api.keys import KeyRing
from mail_api.ledger import Ledger
from mail_api.scan.verdict import NoScanner
from mail_api.settings import MailSettings, parse_listen
from mail_api.settle import Policy
from mail_api.spool import Spool
from mail_api.transport import Transport

if TYPE_CHECKING:  # imported where they are configured: httpx2 takes 0.1 s
    from mail_api.scan.scanners import Scanners

log = get_logger()

KEEP_ALIVE_S = 95  # cloudflared keeps idle origin connections for 90 s; the server must be the later one to close
GRACE_S = 20  # requests under way get this long when the process is stopped
IO_THREADS = 16  # fsync, hashing and file reads; never the event loop
MULTIPROC = "PROMETHEUS_MULTIPROC_DIR"


class PortInUse(Exception):
    """The address to listen on is taken, or not ours."""


def open_transport(settings: MailSettings, clock: SystemClock) -> Transport:
    """Build the transport that the setting names."""
    if settings.transport.startswith("maildir:"):
        from mail_api.transport.maildir import MaildirTransport

        return MaildirTransport(settings.transport_path, domains=settings.domains, hostname=settings.hostname)

    from mail_api.transport.lmtp import LmtpTransport

    return LmtpTransport(
        settings.transport,
        hostname=settings.hostname,
        sentinel=settings.sentinel,
        pool_size=settings.lmtp_connections,
        clock=clock,
    )


def open_scanner(settings: MailSettings, clock: SystemClock, *, time_s: float | None = None) -> Scanners | NoScanner:
    """Build the scanners that the settings name.

    time_s   each scanner's budget where nobody waits for the answer; the settings' by default
    """
    if settings.rspamd is None and settings.clamd is None:
        return NoScanner()
    from mail_api.scan.clamd import Clamd
    from mail_api.scan.rspamd import Rspamd
    from mail_api.scan.scanners import Scanners

    return Scanners(
        Rspamd(settings.rspamd, hostname=settings.hostname) if settings.rspamd else None,
        Clamd(settings.clamd) if settings.clamd else None,
        rspamd_s=time_s or settings.rspamd_timeout_s,
        clamd_s=time_s or settings.clamd_timeout_s,
        spam_scanner_down=settings.spam_scanner_down,
        clock=clock,
    )


def prepare_state(settings: MailSettings, clock: SystemClock) -> Spool:
    """Create the state directory and the spool. Raise OSError naming what cannot be used."""
    settings.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    spool = Spool(settings.spool_dir, clock=clock)
    spool.prepare()
    try:
        spool.try_write()
    except OSError as error:
        raise OSError(f"{settings.spool_dir} cannot hold a spool (it needs O_TMPFILE and fsync): {error}") from error
    return spool


def warn_of_weak_settings(settings: MailSettings) -> None:
    if settings.sentinel is None and settings.transport.startswith("lmtp"):
        log.warning(
            "no_sentinel",
            consequence="while the user table is empty or unreadable, every message is refused as unknown mailbox",
            remedy="set HOMEPORT_MAIL_SENTINEL to a mailbox that always exists",
        )
    missing = [name for name, value in (("rspamd", settings.rspamd), ("clamd", settings.clamd)) if value is None]
    if missing:
        log.warning(
            "no_scanner",
            missing=missing,
            consequence="mail is delivered unscanned" if len(missing) == 2 else "mail is delivered half scanned",
            remedy="set " + " and ".join(f"HOMEPORT_MAIL_{name.upper()}" for name in missing),
        )


# -- ingress ----------------------------------------------------------------------------------------------------------


def run_ingress(settings: MailSettings, listen: str, workers: int) -> None:
    """Serve until stopped. Raise PortInUse, SettingsError, KeysError or OSError when it cannot start."""
    prepare_state(settings, SystemClock())
    KeyRing(settings.keys_file, clock=SystemClock())  # a bad keys file is said now, not by every worker
    public = bind(listen)
    with _shared_metrics(workers):
        config = uvicorn.Config(
            "mail_api.processes:ingress_app",
            factory=True,
            workers=workers,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
            **_SERVER,
        )
        warn_of_weak_settings(settings)
        log.info("ingress_starting", listen=listen, workers=workers, transport=settings.transport)
        if workers > 1:
            Multiprocess(config, sockets=[public]).run()
        else:
            server = uvicorn.Server(config)
            server.run(sockets=[public])
            if not server.started:
                raise SystemExit(1)


_SERVER: dict[str, Any] = {
    "http": "httptools",
    "loop": "uvloop",
    "ws": "none",
    "lifespan": "on",
    "log_config": None,
    "log_level": "warning",  # what matters of its start and end, we log ourselves
    "access_log": False,
    "server_header": False,
    "date_header": False,
    "proxy_headers": False,
}


def ingress_app() -> FastAPI:
    """What each ingress worker runs: the public application with its parts, built from the environment."""
    from mail_api import observe
    from mail_api.ingress import Parts, create_app

    settings = MailSettings.load()
    clock = SystemClock()
    logging.configure(json=settings.log_format == "json", level=settings.log_level)
    spool = Spool(settings.spool_dir, clock=clock)
    observer = observe.Observer(spool, clock=clock)

    @asynccontextmanager
    async def parts() -> AsyncIterator[Parts]:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(IO_THREADS, "io"))
        transport = open_transport(settings, clock)
        scanner = open_scanner(settings, clock)
        ledger = Ledger.open(settings.ledger_file, clock=clock)
        keys = KeyRing(settings.keys_file, clock=clock)
        gc.freeze()  # what start-up made stays: no collection needs to look at it again
        try:
            async with _metrics_server(settings, spool, transport, scanner, observer, clock):
                yield Parts(settings, keys, spool, ledger, transport, scanner, observer, clock)
        finally:
            await scanner.close()
            await transport.close()
            ledger.close()

    return create_app(parts)


# -- delivery ---------------------------------------------------------------------------------------------------------


def run_delivery(settings: MailSettings) -> None:
    """Deliver until stopped. Raise SpoolLocked when another delivery process is at work."""
    clock = SystemClock()
    spool = prepare_state(settings, clock)
    lock = spool.lock()
    try:
        import uvloop

        uvloop.run(_deliver(settings, spool, clock))
    finally:
        os.close(lock)


async def _deliver(settings: MailSettings, spool: Spool, clock: SystemClock) -> None:
    from mail_api import control, observe
    from mail_api.delivery import SCAN_S, Delivery

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(IO_THREADS, "io"))
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    transport = open_transport(settings, clock)
    scanner = open_scanner(settings, clock, time_s=SCAN_S)
    ledger = Ledger.open(settings.ledger_file, clock=clock)
    observer = observe.Observer(spool, clock=clock)
    delivery = Delivery(
        spool,
        ledger,
        scanner,
        transport,
        policy=Policy(settings.sentinel is not None, settings.mailbox_full_is_final),
        hostname=settings.hostname,
        concurrency=settings.delivery_concurrency,
        clock=clock,
    )
    warn_of_weak_settings(settings)
    log.info("delivery_starting", transport=settings.transport, control=str(settings.control_socket))
    try:
        async with (
            _metrics_server(settings, spool, transport, scanner, observer, clock),
            _serve(
                control.create_app(delivery, spool, ledger, observer, clock=clock),
                control.bind(settings.control_socket),
                http=control.HttpWithPeer,
            ),
        ):
            await delivery.run(stop)
    finally:
        settings.control_socket.unlink(missing_ok=True)
        await scanner.close()
        await transport.close()
        ledger.close()
    log.info("delivery_stopped")


# -- listeners --------------------------------------------------------------------------------------------------------


def bind(listen: str, *, is_shared: bool = False) -> socket.socket:
    """Given HOST:PORT, return a listening socket. Raise PortInUse or ValueError.

    is_shared   several workers listen on this address, each with a socket of its own
    """
    host, port = parse_listen(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=512, reuse_port=is_shared)
    except OSError as error:
        raise PortInUse(f"cannot listen on {listen}: {os.strerror(error.errno or 0)}") from error


@asynccontextmanager
async def _metrics_server(
    settings: MailSettings,
    spool: Spool,
    transport: Transport,
    scanner: Scanners | NoScanner,
    observer: Any,
    clock: SystemClock,
) -> AsyncIterator[None]:
    from mail_api import observe

    if settings.metrics_listen is None:
        yield
        return
    checks = observe.checks(spool, transport, scanner.checks, observer, settings.sentinel, clock)
    app = observe.create_metrics_app(checks, observer)
    async with _serve(app, bind(settings.metrics_listen, is_shared=MULTIPROC in os.environ)):
        yield


@asynccontextmanager
async def _serve(app: FastAPI, listener: socket.socket, *, http: Any = "httptools") -> AsyncIterator[None]:
    """Serve an application beside the process's main work; its signals stay the main work's."""
    config = uvicorn.Config(app, timeout_graceful_shutdown=2, **_SERVER | {"http": http})
    server = _SideServer(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await task


class _SideServer(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.contextmanager
def _shared_metrics(workers: int) -> Iterator[None]:
    """With several workers, their numbers are added up through files; they are of no use after the run."""
    if workers == 1:
        yield
        return
    directory = tempfile.mkdtemp(prefix="homeport-metrics-")
    os.environ[MULTIPROC] = directory
    try:
        yield
    finally:
        shutil.rmtree(directory, ignore_errors=True)
