"""The broker's process: a unix socket in front of the verbs.

Only the portal's user id may speak (SO_PEERCRED: the kernel's word, not the peer's); any other peer is hung up on
before a byte of it is read. One connection, one request, one answer or stream (frames.py). A request that is no frame,
no JSON, no verb or not exactly its schema is answered `broker-request-malformed`, without a word of it being repeated.

Every verb blocks in the SDK, so each connection has a thread, and there are at most MAX_CONNECTIONS; one more is told
that the broker is busy. Nothing here keeps state: the process can be killed and started at any moment, and the engine
behind it too. A stream ends when its client hangs up, when the container stops, or when the engine goes.

The audit line of this side is the log: every act, every refusal, every log that was read.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import stat
import struct
import threading
import time
from pathlib import Path
from types import FrameType

from pydantic import ValidationError

from kit.logging import configure, get_logger
from portal.broker import frames, schemas
from portal.broker.engine import Engine
from portal.broker.failures import BrokerBusy, BrokerFailed, BrokerProblem, EngineUnavailable, RequestMalformed
from portal.broker.settings import BrokerSettings
from portal.broker.verbs import Flow, Verbs

log = get_logger()

MAX_CONNECTIONS = 256  # of them: the portal's event stream, a few dozen logs and charts, calls
REQUEST_S = 5.0  # for the whole request, once connected
SEND_S = 30.0  # for one frame, to a client that does not read
BACKLOG = 128

# Logged also when done.
_LOUD = (
    schemas.Start,
    schemas.Stop,
    schemas.Restart,
    schemas.Logs,
    schemas.WpCli,
    schemas.SiteFiles,
    schemas.WebConfig,
)
_TARGETS = ("container", "site", "part")  # what an act is done to, by the name that its schema has for it
_ACTS = ("command", "action")


class Server:
    """Serves until `close`. One thread calls `serve`."""

    def __init__(self, verbs: Verbs, path: Path, *, portal_uid: int, max_connections: int = MAX_CONNECTIONS) -> None:
        self._verbs = verbs
        self._portal_uid = portal_uid
        self._places = threading.BoundedSemaphore(max_connections)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = bind(path)
        self._path = path

    def serve(self) -> None:
        """Accept connections; return after `close`."""
        log.info("broker_started", socket=str(self._path), portal_uid=self._portal_uid)
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # closed
                return
            with self._lock:
                self._open.add(connection)
            threading.Thread(target=self._serve_one, args=(connection,), name="broker", daemon=True).start()

    def close(self) -> None:
        """Stop accepting, hang up on everybody. From any thread; a verb at work runs to its end unheard."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _serve_one(self, connection: socket.socket) -> None:
        pid, uid, _gid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        try:
            with connection:
                if uid != self._portal_uid:
                    log.warning("broker_peer_refused", uid=uid, pid=pid)
                elif not self._places.acquire(blocking=False):
                    log.warning("broker_busy", pid=pid)
                    _send_failure(connection, BrokerBusy())
                else:
                    try:
                        self._answer(connection, pid)
                    finally:
                        self._places.release()
        except OSError as error:  # the peer went away
            log.debug("broker_peer_gone", pid=pid, error=str(error))
        finally:
            with self._lock:
                self._open.discard(connection)

    def _answer(self, connection: socket.socket, pid: int) -> None:
        try:
            document = frames.receive(connection, limit=frames.MAX_REQUEST_BYTES, timeout_s=REQUEST_S)
            request = schemas.REQUEST.validate_json(document)
        except (frames.FrameError, ValidationError) as error:
            log.warning("broker_request_malformed", pid=pid, error=type(error).__name__)
            _send_failure(connection, RequestMalformed())
            return
        started = time.monotonic()
        try:
            answer = self._verbs.do(request)
            if isinstance(answer, Flow):
                _send_flow(connection, answer)
            else:
                _send(connection, b'{"result":%b}' % answer.model_dump_json().encode())
        except BrokerProblem as problem:
            self._note(request, pid, started, result=problem.type)
            _send_failure(connection, problem)
        except OSError:
            self._note(request, pid, started, result="unheard")
            raise
        except Exception:  # the edge of a thread: a defect of ours, which must not look like an answer
            log.exception("broker_verb_failed", verb=_verb(request), request_id=request.request_id)
            self._note(request, pid, started, result="failed")
            _send_failure(connection, BrokerFailed())
        else:
            self._note(request, pid, started, result="done")

    def _note(self, request: schemas.Request, pid: int, started: float, *, result: str) -> None:
        is_quiet = not isinstance(request, _LOUD) and result in ("done", EngineUnavailable.type)  # engine.py logs that
        write = log.debug if is_quiet else log.info
        write(
            "broker_verb",
            verb=_verb(request),
            target=next((getattr(request, name) for name in _TARGETS if hasattr(request, name)), None),
            command=next((getattr(request, name) for name in _ACTS if hasattr(request, name)), None),
            override=getattr(getattr(request, "override", None), "reason", None),
            caller=request.caller,
            request_id=request.request_id,
            pid=pid,
            result=result,
            seconds=round(time.monotonic() - started, 3),
        )


def bind(path: Path) -> socket.socket:
    """Listen at `path`, mode 0660. A socket nobody answers at is replaced; anything else there is an error."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise OSError(f"cannot listen on {path}: something else is there")
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(path))
            except OSError:
                path.unlink()
            else:
                raise OSError(f"cannot listen on {path}: another broker answers there")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o117)  # never open to others, not even for a moment
    try:
        listener.bind(str(path))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise OSError(f"cannot listen on {path}: {error.strerror or error}") from error
    finally:
        os.umask(before)
    return listener


def run(settings: BrokerSettings, path: Path) -> None:
    """`homeport portal broker --socket PATH`: serve until SIGTERM or SIGINT."""
    configure(json=settings.log_format == "json", level=settings.log_level)
    verbs = Verbs(Engine(settings.docker_host), settings.stacks, sites_root=settings.sites_root)
    server = Server(verbs, path, portal_uid=settings.portal_uid)
    if os.geteuid() == 0 and settings.portal_uid != 0:
        os.chown(path, settings.portal_uid, -1)  # connecting needs write permission

    def end(_number: int, _frame: FrameType | None) -> None:
        threading.Thread(target=server.close).start()  # not in a signal handler: it takes a lock

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    try:
        server.serve()
    finally:
        path.unlink(missing_ok=True)
        verbs.close()
        log.info("broker_ended")


def _send_flow(connection: socket.socket, flow: Flow) -> None:
    """Send items until the flow ends, or the client hangs up: then it is closed, which ends the engine's side too."""
    over = threading.Event()

    def hang_up() -> None:
        poll = select.poll()
        poll.register(connection, select.POLLIN | select.POLLRDHUP)
        poll.poll()
        over.set()
        flow.close()

    watcher = threading.Thread(target=hang_up, name="broker-watch", daemon=True)
    watcher.start()
    try:
        for item in flow:
            if over.is_set():
                break
            _send(connection, b'{"item":%b}' % item.model_dump_json().encode())
        if not over.is_set():
            _send(connection, b'{"end":%b}' % schemas.End(why=flow.why).model_dump_json().encode())
    finally:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)  # wakes the watcher, which still holds the descriptor
        watcher.join()


def _send_failure(connection: socket.socket, problem: BrokerProblem) -> None:
    protection = problem.extensions.get("protection")
    failure = schemas.Failure(
        type=problem.type,
        detail=problem.detail,
        protection=protection if isinstance(protection, schemas.Protection) else None,
    )
    _send(connection, b'{"error":%b}' % failure.model_dump_json().encode())


def _send(connection: socket.socket, document: bytes) -> None:
    connection.settimeout(SEND_S)
    connection.sendall(frames.encode(document, limit=frames.MAX_ANSWER_BYTES))


def _verb(request: schemas.Request) -> str:
    return str(getattr(request, "verb", "?"))
