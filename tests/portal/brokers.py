"""Brokers for tests: in this process, or as the process it really is, in front of any engine."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from portal.broker import frames
from portal.broker.client import Broker
from portal.broker.engine import Engine
from portal.broker.server import Server
from portal.broker.verbs import Verbs
from tests.services.docker_engine import DockerEngine
from tests.services.process import Daemon

STACKS = ("mail", "blog", "portal")
PROCESS = """
import sys
from pathlib import Path
from portal.broker.server import run
from portal.broker.settings import BrokerSettings
run(BrokerSettings.load(), Path(sys.argv[1]))
"""


@dataclass(frozen=True, slots=True)
class RunningBroker:
    path: Path
    server: Server

    @property
    def client(self) -> Broker:
        return Broker(self.path, answer_s=30.0)

    def raw(self, sent: bytes, *, and_end: bool = True) -> bytes:
        """Send bytes as they are and return all that comes back until the broker hangs up."""
        with connect(self.path) as connection:
            try:
                connection.sendall(sent)
                if and_end:
                    connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it hung up on us while we spoke
            return read_to_end(connection)

    def document(self, document: bytes) -> bytes:
        """Send a document in a well-formed frame; return the document of the answer."""
        answer = self.raw(frames.LENGTH.pack(len(document)) + document, and_end=False)
        return answer[frames.LENGTH.size :]


def connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(15.0)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


def read_to_end(connection: socket.socket) -> bytes:
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass  # it hung up with something of ours unread
    return b"".join(parts)


@pytest.fixture
def start_broker(tmp_path: Path) -> Iterator[Callable[..., RunningBroker]]:
    """Start brokers in this process, in front of any engine address."""
    started: list[tuple[Server, Verbs, threading.Thread]] = []

    def start(url: str, *, portal_uid: int | None = None, max_connections: int = 64) -> RunningBroker:
        path = tmp_path / f"broker-{len(started)}.sock"
        verbs = Verbs(Engine(url), STACKS, sites_root="/srv/sites")
        uid = os.geteuid() if portal_uid is None else portal_uid
        server = Server(verbs, path, portal_uid=uid, max_connections=max_connections)
        thread = threading.Thread(target=server.serve)
        thread.start()
        started.append((server, verbs, thread))
        return RunningBroker(path, server)

    yield start
    for server, verbs, thread in started:
        server.close()
        thread.join(10.0)
        assert not thread.is_alive()
        verbs.close()


@pytest.fixture
def broker(start_broker: Callable[..., RunningBroker], docker_engine: DockerEngine) -> RunningBroker:
    return start_broker(docker_engine.url)


@pytest.fixture
def broker_process(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """Start the broker as the process it really is: Daemon for a socket's path and HOMEPORT_BROKER_* settings."""
    daemons: list[Daemon] = []

    def start(path: Path, **settings: str) -> Daemon:
        settings = {"stacks": ",".join(STACKS)} | settings
        environ = dict(os.environ) | {f"HOMEPORT_BROKER_{name.upper()}": value for name, value in settings.items()}
        log = tmp_path / f"{path.name}.log"
        daemon = Daemon(
            [sys.executable, "-c", PROCESS, str(path)], ready=lambda: connect(path).close(), log=log, env=environ
        )
        daemons.append(daemon)
        daemon.start()
        return daemon

    yield start
    for daemon in daemons:
        daemon.kill()
