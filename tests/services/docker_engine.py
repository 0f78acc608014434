"""A real Docker engine for the tests, with images made of nothing but busybox.

    with DockerEngine() as engine:
        container = engine.run("echo hello", stack="mail", service="mail-nginx")
        engine.url                  # unix:///tmp/docker-XXXX/docker.sock
        engine.kill(); engine.start()

Debian's docker.io, started in network, mount and process namespaces of its own: it cannot touch an engine that runs on
this machine (two of them in one network namespace fight for docker0), its containers reach nothing but each other, and
when its first process is killed the kernel ends engine, containerd, shims and containers with it. Socket, data and log
lie in one fresh directory. Needs root.

`kill` is what a power cut is to an engine: containers are gone without a word, and after `start` they are found exited,
or come back where their restart policy says so.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import os
import re
import secrets
import shutil
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker  # type: ignore[import-untyped]

from tests.services.process import POLL_S, Daemon, Server, ServiceFailed

IMAGE = "homeport-test/busybox:1"
ANSWER_S = 10.0
APPLETS: tuple[str, ...] = (
    "sh",
    "sleep",
    "echo",
    "cat",
    "cp",
    "env",
    "id",
    "kill",
    "ls",
    "mkdir",
    "printf",
    "seq",
    "stat",
    "tail",
)
APPLETS += ("timeout", "touch", "true", "false", "yes", "head", "dd", "rm", "test", "chown", "nc")


@dataclass(frozen=True, slots=True)
class TestContainer:
    """One container of a running engine."""

    __test__ = False
    engine: DockerEngine
    id: str
    name: str

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = self.engine.client.api.inspect_container(self.id)["State"]
        return state

    def wait_for(self, **wanted: object) -> dict[str, Any]:
        """Return the state once each of the given members has the given value, such as Status="exited"."""
        give_up = time.monotonic() + ANSWER_S
        while any((state := self.state()).get(name) != value for name, value in wanted.items()):
            if time.monotonic() > give_up:
                raise ServiceFailed(f"{self.name} is not {wanted}: {state}")
            time.sleep(POLL_S)
        return state

    def remove(self) -> None:
        self.engine.client.api.remove_container(self.id, force=True)


class DockerEngine(Server):
    """One engine in a directory and namespaces of its own."""

    def __init__(self) -> None:
        if os.geteuid() != 0:
            raise ServiceFailed("a Docker engine needs root")
        if missing := [name for name in ("dockerd", "busybox", "unshare", "ip") if shutil.which(name) is None]:
            raise ServiceFailed(f"{', '.join(missing)} not installed: apt-get install docker.io busybox-static")
        self.directory = Path(tempfile.mkdtemp(prefix="docker-"))
        self.directory.chmod(0o711)  # another user's broker passes through
        self._client: docker.DockerClient | None = None
        dockerd = ["dockerd", "--host", self.url, "--data-root", f"{self.directory}/data"]  # all else in /run
        prepare = f"mount -t tmpfs tmpfs /run && ip link set lo up && exec {' '.join(dockerd)}"
        apart = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]
        self.daemon = Daemon(
            ["unshare", *apart, "sh", "-c", prepare],
            ready=self._answers,
            log=self.directory / "log",
        )

    @property
    def socket(self) -> Path:
        return self.directory / "docker.sock"

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    @property
    def client(self) -> docker.DockerClient:
        """The SDK, for setting a scene and for looking at what became of it."""
        if self._client is None:
            self._client = docker.DockerClient(base_url=self.url, version="auto", timeout=30)
        return self._client

    def start(self) -> None:
        self.daemon.start(deadline_s=60.0)
        if not self.client.images.list(name=IMAGE):
            self._import_image()

    def close(self) -> None:
        """Kill it and remove its directory."""
        if self._client is not None:
            self._client.close()
        super().close()

    def run(
        self,
        script: str = "sleep 1000",
        *,
        stack: str | None = "mail",
        service: str | None = None,
        name: str | None = None,
        project: str = "homeport-test",
        labels: Mapping[str, str] | None = None,
        start: bool = True,
        **options: Any,
    ) -> TestContainer:
        """Create a container that runs a shell script, and start it. PID 1 is the shell.

        stack     its label homeport.stack; None: it has none
        service   its name in Compose; default: a fresh one
        options   of the SDK's containers.create
        """
        service = service or f"s{secrets.token_hex(4)}"
        name = name or f"{project}-{service}-{secrets.token_hex(3)}"
        all_labels = {"com.docker.compose.project": project, "com.docker.compose.service": service}
        all_labels |= ({"homeport.stack": stack} if stack is not None else {}) | dict(labels or {})
        command: Sequence[str] = ["sh", "-c", script]
        created = self.client.containers.create(IMAGE, command, name=name, labels=all_labels, **options)
        container = TestContainer(self, str(created.id), name)
        if start:
            self.client.api.start(container.id)
        return container

    def clear(self) -> None:
        """Remove every container."""
        for each in self.client.api.containers(all=True):
            with contextlib.suppress(docker.errors.NotFound):
                self.client.api.remove_container(each["Id"], force=True)

    def _answers(self) -> None:
        connection = http.client.HTTPConnection("docker", timeout=ANSWER_S)
        connection.sock = socket.socket(socket.AF_UNIX)
        try:
            connection.sock.settimeout(ANSWER_S)
            connection.sock.connect(str(self.socket))
            connection.request("GET", "/_ping")
            if connection.getresponse().read() != b"OK":
                raise ConnectionError("the engine does not answer")
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()

    def _import_image(self) -> None:
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for directory in ("bin", "tmp", "etc"):
                entry = tarfile.TarInfo(directory)
                entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if directory == "tmp" else 0o755
                tar.addfile(entry)
            busybox = shutil.which("busybox")
            assert busybox is not None
            tar.add(busybox, "bin/busybox")
            for library in libraries(busybox):
                tar.add(os.path.realpath(library), library.lstrip("/"))
            for applet in APPLETS:
                entry = tarfile.TarInfo(f"bin/{applet}")
                entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(entry)
        repository, _, tag = IMAGE.partition(":")
        self.client.api.import_image_from_data(archive.getvalue(), repository=repository, tag=tag)


def libraries(program: str) -> list[str]:
    """What a program needs beside itself in an image of its own: nothing when it is static, as busybox-static is."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    return re.findall(r"(?:=> |^\s+)(/\S+) \(", listed, re.MULTILINE)
