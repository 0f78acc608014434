"""A broker whose containers are the fleet's daemons on this machine: the real server and verbs, another engine behind.

    python -m tests.services.host_engine STATE.json SOCKET

`HostEngine` has the methods of portal.broker.engine.Engine that the verbs use. A program is run as Docker would run it:
in the service's namespaces, as the user that was asked for, with a clean environment. The state file says which
services there are; the fleet writes it anew whenever one starts or stops.

Logs are the daemons' log files beside the state file; a line's time is when it was found there, to LOOK_S. Events never
come. Not covered, and refused as an engine refuses: start, stop, restart, statistics. Those are Docker itself, and
tests/services/docker_engine.py has a real one.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO, Any, TypeVar

from kit.logging import configure
from portal.broker import reading
from portal.broker.engine import Completed
from portal.broker.failures import EngineRefused, EngineUnavailable, NoSuchContainer
from portal.broker.server import Server
from portal.broker.verbs import Verbs
from tests.services.host_logs import Log, Logs, LogStream

T = TypeVar("T")
Json = dict[str, Any]

STACK = "blog"
SITES_ROOT = "/srv/sites"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
READ_BYTES = 64 * 1024


def container_id(service: str) -> str:
    return hashlib.sha256(f"fleet {service}".encode()).hexdigest()


def write_state(path: Path, services: Mapping[str, tuple[int, str]]) -> None:
    """services: name -> pid of its first process, and the user that it runs as, "UID:GID"."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps(services))
    new.rename(path)


class HostEngine:
    def __init__(self, state: Path) -> None:
        self._state = state
        self._logs = Logs(state.parent)

    def call(self, work: Callable[[Any], T]) -> T:
        """Do one thing with what stands for the SDK's client."""
        return work(_Client(self._services()))

    def open_stream(self, path: str, parameters: Mapping[str, str | int]) -> LogStream:
        """Begin a log; anything else is a stream in which nothing comes."""
        for service in self._services():
            if path == f"/containers/{service['Id']}/logs":
                return LogStream(self._logs.of(service["Name"].removeprefix("/")), parameters)
        return LogStream(Log(None), {"follow": 1})

    def run(
        self, container_id: str, argv: list[str], *, user: str, limit: int, stdin: bytes | None = None
    ) -> Completed:
        """Run a program beside the first process of a service."""
        found = [service for service in self._services() if service["Id"] == container_id]
        if not found:
            raise NoSuchContainer()
        pid, own_user = found[0]["State"]["Pid"], found[0]["Config"]["User"]
        uid, _, gid = (user or own_user).partition(":")
        groups = ["--clear-groups"] if uid != "0" else ["--groups=0"]
        become = ["setpriv", f"--reuid={uid}", f"--regid={gid}", *groups, "--"]
        inside = ["nsenter", f"--target={pid}", "--mount", "--net", "--pid", "--"]
        # Each output is the program's own, as runc makes it: nginx opens /dev/stderr by its name.
        outputs = [_pipe_of(int(uid)) for _ in range(2)]
        try:
            process = subprocess.Popen(
                [*inside, *become, *argv],
                stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
                stdout=outputs[0][1],
                stderr=outputs[1][1],
                env={"PATH": PATH, "HOME": "/"},
                cwd="/",
            )
        finally:
            for _, written in outputs:
                os.close(written)
        stdout, stderr = (os.fdopen(read, "rb") for read, _ in outputs)
        return _collected(process, stdin, stdout, stderr, limit)

    def close(self) -> None:
        """Let go of the logs."""
        self._logs.close()

    def _services(self) -> list[Json]:
        try:
            known: dict[str, tuple[int, str]] = json.loads(self._state.read_text())
        except OSError as error:
            raise EngineUnavailable() from error
        return [_inspected(name, pid, user) for name, (pid, user) in sorted(known.items())]


class _Client:
    """The SDK's low-level client, as far as the verbs read with it."""

    def __init__(self, services: Sequence[Json]) -> None:
        self._services = services

    def containers(self, *, all: bool = False, filters: object = None) -> list[Json]:  # noqa: A002  # the SDK's name
        return [
            {"Id": each["Id"], "State": each["State"]["Status"], "Labels": each["Config"]["Labels"]}
            for each in self._services
        ]

    def inspect_container(self, container: str) -> Json:
        for each in self._services:
            if each["Id"] == container:
                return each
        raise NoSuchContainer()

    def images(self) -> list[Json]:
        return []

    def __getattr__(self, name: str) -> Any:
        raise EngineRefused(f"the fleet has no {name}")


def _inspected(name: str, pid: int, user: str) -> Json:
    is_running = Path(f"/proc/{pid}").exists()
    return {
        "Id": container_id(name),
        "Name": f"/{name}",
        "State": {"Status": "running" if is_running else "exited", "Running": is_running, "Pid": pid},
        "Config": {
            "User": user,
            "Labels": {reading.STACK: STACK, reading.SERVICE: name, reading.PROJECT: "homeport"},
        },
    }


def _pipe_of(uid: int) -> tuple[int, int]:
    """A pipe that this user may open by its name in /proc."""
    read, written = os.pipe()
    os.fchown(written, uid, -1)
    return read, written


def _collected(
    process: subprocess.Popen[bytes], stdin: bytes | None, stdout: IO[bytes], stderr: IO[bytes], limit: int
) -> Completed:
    """Read both outputs to their ends and keep the first `limit` bytes of each."""
    kept: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
    cut = threading.Event()

    def read(name: str, stream: IO[bytes]) -> None:
        with stream:
            while data := stream.read1(READ_BYTES):  # type: ignore[attr-defined]  # a pipe is buffered
                room = limit - len(kept[name])
                kept[name] += data[:room]
                if len(data) > room:
                    cut.set()

    streams = (("stdout", stdout), ("stderr", stderr))
    readers = [threading.Thread(target=read, args=pair) for pair in streams]
    for reader in readers:
        reader.start()
    if process.stdin is not None:
        try:
            process.stdin.write(stdin or b"")
            process.stdin.close()
        except BrokenPipeError:  # it has ended already, unread
            pass
    for reader in readers:
        reader.join()
    code = process.wait()
    # Docker tells a signal as a shell does.
    return Completed(code if code >= 0 else 128 - code, bytes(kept["stdout"]), bytes(kept["stderr"]), cut.is_set())


def main(state: Path, path: Path) -> None:
    configure(json=False, level="debug")
    verbs = Verbs(HostEngine(state), (STACK,), sites_root=SITES_ROOT)  # type: ignore[arg-type]
    server = Server(verbs, path, portal_uid=os.geteuid())

    def end(_number: int, _frame: FrameType | None) -> None:
        threading.Thread(target=server.close).start()

    signal.signal(signal.SIGTERM, end)
    server.serve()
    verbs.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
