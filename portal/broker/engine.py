"""The Docker engine through the SDK: the only module that imports it. Blocks; every call runs in a worker's thread.

Made anew whenever the engine was lost: an engine that comes back may be a newer one and speak another API version.
Reads and acts have a timeout; a stream has none, since silence is normal there, and ends when it is closed from another
thread, when the container stops or when the engine goes.

The SDK merges a container's two log streams into one and gives a stream no way to end: `open_stream` reads the engine's
own answer instead, by the SDK's session (github.com/docker/docker-py, `APIClient.logs`, 7.2).
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeVar, cast

import docker  # type: ignore[import-untyped]
import docker.errors  # type: ignore[import-untyped]
import docker.types  # type: ignore[import-untyped]
import requests
import urllib3

from kit.logging import get_logger
from portal.broker.failures import EngineRefused, EngineUnavailable, NoSuchContainer

log = get_logger()
T = TypeVar("T")
Json = dict[str, Any]

CALL_S = 30.0  # of one answer; disk usage on a full host takes longest
CONNECT_S = 5.0
READ_BYTES = 64 * 1024
REFUSAL_CHARACTERS = 300  # of the engine's own text
POOLED = 32  # connections kept


@dataclass(frozen=True, slots=True)
class Completed:
    """How a program in a container ended."""

    exit_code: int
    stdout: bytes
    stderr: bytes
    is_cut: bool


class Stream:
    """Bytes of an answer that goes on. One thread reads, another one may close."""

    def __init__(self, response: requests.Response) -> None:
        self._response = response
        self._closing = threading.Event()
        self.is_lost = False  # cut off by the engine's end, not ended by it and not closed by us

    def read(self) -> bytes:
        """Return what has arrived, waiting for the first byte of it; b"" at the end."""
        try:
            return cast(bytes, self._response.raw.read1(READ_BYTES))
        except (urllib3.exceptions.HTTPError, OSError, ValueError, AttributeError):
            # The connection was cut: by us, in whatever state the SDK's objects were, or because the engine ended.
            self.is_lost = not self._closing.is_set()
            return b""

    def close(self) -> None:
        """End it from any thread: a `read` that waits returns b""."""
        self._closing.set()
        with contextlib.suppress(OSError, AttributeError, ValueError):
            docker.types.CancellableStream(iter(()), self._response).close()

    def release(self) -> None:
        """Give everything back; by the reading thread, at the end."""
        with contextlib.suppress(urllib3.exceptions.HTTPError, OSError):
            self._response.close()


class Engine:
    def __init__(self, url: str) -> None:
        self._url = url
        self._client: docker.APIClient | None = None
        self._lock = threading.Lock()
        self._is_available: bool | None = None  # not known yet

    def call(self, work: Callable[[docker.APIClient], T]) -> T:
        """Do one thing with the SDK.

        raises   EngineUnavailable, NoSuchContainer, EngineRefused
        """
        client = self._connected()
        try:
            done = work(client)
        except docker.errors.NotFound as error:
            raise NoSuchContainer() from error
        except docker.errors.APIError as error:
            raise EngineRefused(str(error.explanation or error)[:REFUSAL_CHARACTERS]) from error
        except (
            requests.RequestException,
            docker.errors.DockerException,
            urllib3.exceptions.HTTPError,
            OSError,
        ) as error:
            self._forget(client)
            self._note(is_available=False)
            raise EngineUnavailable() from error
        self._note(is_available=True)
        return done

    def open_stream(self, path: str, parameters: Mapping[str, str | int]) -> Stream:
        """Begin an answer that goes on. `path` is a fixed one of ours, with at most a full id in it."""

        def begin(client: docker.APIClient) -> requests.Response:
            url = f"{client.base_url}/v{client.api_version}{path}"
            response = client.get(url, params=dict(parameters), stream=True, timeout=(CONNECT_S, None))
            try:
                response.raise_for_status()
            except requests.HTTPError as error:
                raise docker.errors.create_api_error_from_http_exception(error) from error
            return cast(requests.Response, response)

        return Stream(self.call(begin))

    def run(
        self, container_id: str, argv: list[str], *, user: str, limit: int, stdin: bytes | None = None
    ) -> Completed:
        """Run a program in a container and collect its output, each stream up to `limit` bytes; the rest is dropped.

        user    "": as the container itself runs
        stdin   at most what a pipe holds (64 KiB), so that a program that reads none of it holds nobody up
        """
        takes = stdin is not None
        execution = self.call(lambda client: client.exec_create(container_id, argv, user=user, stdin=takes))["Id"]
        stdout, stderr, is_cut = self.call(lambda client: _output(client, execution, limit, stdin))
        exit_code = self.call(lambda client: client.exec_inspect(execution)).get("ExitCode")
        if exit_code is None:
            raise EngineRefused("the program's output ended before the program")
        return Completed(exit_code, stdout, stderr, is_cut)

    def close(self) -> None:
        """Give back what connections are idle."""
        with self._lock:
            if self._client is not None:
                self._client.close()
            self._client = None

    def _connected(self) -> docker.APIClient:
        with self._lock:
            if self._client is None:
                try:
                    self._knock()
                    self._client = docker.APIClient(
                        base_url=self._url, version="auto", timeout=CALL_S, max_pool_size=POOLED
                    )
                except (docker.errors.DockerException, requests.RequestException, OSError) as error:
                    self._note(is_available=False)
                    raise EngineUnavailable() from error
            return self._client

    def _note(self, *, is_available: bool) -> None:
        """Log each change, and only that."""
        if self._is_available is not is_available:
            self._is_available = is_available
            log.info("engine_available" if is_available else "engine_unavailable", engine=self._url)

    def _knock(self) -> None:
        """Raise OSError when nobody listens. The SDK would find out too, but leaves its socket open then (7.2)."""
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(CONNECT_S)
            probe.connect(self._url.removeprefix("unix://"))

    def _forget(self, client: docker.APIClient) -> None:
        with self._lock:
            if self._client is client:
                self._client = None
        client.close()


def _output(client: docker.APIClient, execution: str, limit: int, stdin: bytes | None) -> tuple[bytes, bytes, bool]:
    output, is_cut = {1: bytearray(), 2: bytearray()}, False
    raw = client.exec_start(execution, socket=True)
    try:
        connection = raw._sock  # what the SDK returns reads only
        connection.settimeout(None)  # the program's end is its command line's matter
        if stdin is not None:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it has ended already, unread
                connection.sendall(stdin)
                connection.shutdown(socket.SHUT_WR)
        for kind, data in _frames(raw._response.raw._fp.fp):
            room = limit - len(output[kind])
            output[kind] += data[:room]
            is_cut |= len(data) > room
    finally:
        with contextlib.suppress(ValueError):  # it has closed its own file first
            raw._response.close()  # the SDK puts it there, and nobody else has it
        raw.close()
    return bytes(output[1]), bytes(output[2]), is_cut


def _frames(reader: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield (stream, data) of an exec's output: docs.docker.com/engine/api, "Stream format".

    reader   the response's own buffer. The SDK's frames_iter reads from the socket below it, and so misses what came
             in one piece with the headers: all output of a program that was quick.
    """
    while len(header := reader.read(8)) == 8:
        kind, size = struct.unpack(">BxxxL", header)
        yield kind, reader.read(size)


def documents(stream: Stream) -> Iterator[Json]:
    """Yield the JSON documents of a stream, one a line."""
    rest = b""
    while data := stream.read():
        *lines, rest = (rest + data).split(b"\n")
        yield from (json.loads(line) for line in lines if line.strip())
