"""`python -m tests.bench.portal`: the containers room with 200 containers and ten operators who watch it.

Containers, engine, broker and portal are real, each a process of its own. An operator is what an open page is: one
event stream, and the list again every POLL_S and whenever the stream says that something changed. Four figures:

    list      from the request's first byte to the answer's last, while all operators watch and containers are paused
              and resumed; `back to back` is the same with no pause between one operator's calls; its CPU time a call
              hardly depends on what else the machine does
    event     from the engine's own word, as a client of the Docker SDK on the same machine has it, to each operator's
              page; and from the moment somebody asked the engine to act
    memory    peak and present RSS of portal and broker; CPU while pages are open
    peer      what a program without the portal does for the same page: the Docker SDK's `containers.list(all=True)`,
              and the same with one measurement of each container, sixteen at a time; in turns with the portal's list.
              And a bare FastAPI route that answers the same bytes: what login, permission and the list's making cost

Needs root, for the engine. The clients share the machine's processors with what is measured: figures are upper bounds.
Exits with 1 when a target is missed. docs/benchmarks.md has the results.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import platform
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.bench.measure import cpu_s, memory_bytes, pair_ratio
from tests.services.docker_engine import DockerEngine, TestContainer
from tests.services.portal import HOMEPORT, PASSWORD, Browser, Portal
from tests.services.process import Daemon, free_port

MIB = 1024**2
TARGET_P95_MS = 100.0  # issue 4
TARGET_RSS_MIB = 200.0

POLL_S = 1.0  # of one operator; the page itself asks less often
ACT_EVERY_S = 0.5  # a container is paused or resumed, which every page hears and asks for the list again
SETTLE_S = 25.0  # after the start: two rounds of measurements, and what is only done once
ANSWER_S = 30.0
STARTERS = 4  # containers started at once
PEER_THREADS = 16
CALLS_A_ROUND = 15  # of which the median counts
EMPTY_LINE = b"\r\n\r\n"

BARE = """
import sys
from pathlib import Path
import uvicorn
from fastapi import FastAPI, Response

app, body = FastAPI(openapi_url=None), Path(sys.argv[2]).read_bytes()

@app.get("/api/containers")
async def listed() -> Response:
    return Response(body, media_type="application/json")

options = {"log_level": "warning", "access_log": False, "timeout_keep_alive": 3600}
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), **options)
"""


# -- what is measured -------------------------------------------------------------------------------------------------


@contextmanager
def broker(engine: DockerEngine, directory: Path) -> Iterator[tuple[Daemon, Path]]:
    """The broker's own process, and its socket."""
    path = directory / "broker.sock"
    environ = dict(os.environ) | {
        "HOMEPORT_BROKER_DOCKER_HOST": engine.url,
        "HOMEPORT_BROKER_PORTAL_UID": str(os.geteuid()),
        "HOMEPORT_BROKER_STACKS": "mail,blog,portal",
    }

    def answers() -> None:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(path))

    argv = [HOMEPORT, "portal", "broker", "--socket", str(path)]
    daemon = Daemon(argv, ready=answers, log=directory / "broker.log", env=environ)
    daemon.start()
    try:
        yield daemon, path
    finally:
        daemon.kill()


@contextmanager
def bare_fastapi(body: bytes) -> Iterator[int]:
    """A process with one route that answers these bytes to anybody; its port."""
    with tempfile.NamedTemporaryFile() as file, tempfile.NamedTemporaryFile() as log:
        file.write(body)
        file.flush()
        port = free_port()

        def answers() -> None:
            socket.create_connection(("127.0.0.1", port)).close()

        argv = [sys.executable, "-c", BARE, str(port), file.name]
        daemon = Daemon(argv, ready=answers, log=Path(log.name), env=dict(os.environ))
        daemon.start()
        try:
            yield port
        finally:
            daemon.kill()


def start_containers(engine: DockerEngine, count: int) -> list[TestContainer]:
    """Start so many containers that do nothing, in three stacks."""
    stacks = ("mail", "blog", "portal")

    def start(number: int) -> TestContainer:
        stack = stacks[number % len(stacks)]
        name = f"bench-{number:03}"
        return engine.run("exec sleep 100000", stack=stack, name=name, service=f"s{number:03}", network_mode="none")

    with ThreadPoolExecutor(STARTERS) as pool:
        return list(pool.map(start, range(count)))


def operators(portal: Portal, count: int) -> list[str]:
    """Make so many operators who are logged in; return each one's Cookie header."""
    admin = portal.set_up()
    cookies = []
    for number in range(count):
        created = admin.post("/api/users", json={"name": f"operator-{number}", "role": "operator"})
        assert created.status_code == 201, created.text
        token = created.json()["invitation"].partition("#")[2]
        theirs = portal.browser()
        accepted = theirs.post("/api/invitation", json={"token": token, "password": f"{PASSWORD} {number}"})
        assert accepted.status_code == 200, accepted.text
        cookies.append(cookie_of(theirs))
    return cookies


def cookie_of(browser: Browser) -> str:
    return "; ".join(f"{name}={value}" for name, value in browser.cookies.items())


# -- an operator's page -----------------------------------------------------------------------------------------------


@dataclass
class Heard:
    """When (perf_counter) something was heard of a container's action: by the SDK's client, by each page."""

    by_sdk: dict[tuple[str, str, int], float] = field(default_factory=dict)
    by_pages: dict[tuple[str, str, int], list[float]] = field(default_factory=dict)
    asked: dict[tuple[str, str, int], float] = field(default_factory=dict)


class Ears:
    """Numbers what one listener hears of each container's action, so that two listeners' n-th can be compared."""

    def __init__(self) -> None:
        self._count: dict[tuple[str, str], int] = {}

    def number(self, container: str, action: str) -> tuple[str, str, int]:
        self._count[container, action] = number = self._count.get((container, action), -1) + 1
        return container, action, number


class Page:
    """One operator: a connection that asks for the list, and one on which events come."""

    def __init__(self, port: int, cookie: str, expected: int, heard: Heard) -> None:
        self._port, self._expected, self._heard = port, expected, heard
        head = f"Host: localhost:{port}\r\nCookie: {cookie}\r\nHomeport-Background: 1\r\n\r\n"
        self._list = f"GET /api/containers HTTP/1.1\r\n{head}".encode()
        self._events = f"GET /api/events HTTP/1.1\r\nAccept: text/event-stream\r\n{head}".encode()
        self._changed = asyncio.Event()
        self.latencies_s: list[float] = []
        self.body = b""

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=4 * MIB)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def ask(self) -> float:
        """Ask for the list; return the seconds until all of it had come. Raise when it is not the whole list."""
        begun = time.perf_counter()
        self._writer.write(self._list)
        async with asyncio.timeout(ANSWER_S):
            head = await self._reader.readuntil(EMPTY_LINE)
            _, _, length = head.lower().partition(b"\r\ncontent-length:")
            body = await self._reader.readexactly(int(length.partition(b"\r\n")[0]))
        took = time.perf_counter() - begun
        if not head.startswith(b"HTTP/1.1 200 ") or body.count(b'"restart_policy":') != self._expected:
            raise RuntimeError(f"not the list of {self._expected} containers: {head!r} {body[:500]!r}")
        self.body = body
        return took

    async def watch(self, seconds: float) -> None:
        """Ask for the list again and again, so long: after a pause, and as soon as there is news."""
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            self._changed.clear()
            self.latencies_s.append(await self.ask())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), POLL_S)

    async def listen(self) -> None:
        """Follow the event stream and note what is heard of containers."""
        ears = Ears()
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(self._events)
            head = await reader.readuntil(EMPTY_LINE)
            if not head.startswith(b"HTTP/1.1 200 "):
                raise RuntimeError(head.decode())
            topic = b""
            while line := await reader.readline():
                if line.startswith(b"event: "):
                    topic = line[7:].strip()
                elif line.startswith(b"data: ") and topic == b"containers":
                    self._note(ears, json.loads(line[6:]))
        finally:
            writer.close()
        raise RuntimeError("the event stream has ended")

    def _note(self, ears: Ears, data: dict[str, Any]) -> None:
        self._changed.set()
        if data["action"] in ("pause", "unpause"):
            what = ears.number(data["id"], data["action"])
            self._heard.by_pages.setdefault(what, []).append(time.perf_counter())


# -- the scene --------------------------------------------------------------------------------------------------------


@dataclass
class Scene:
    """What runs, and what was heard of it."""

    engine: DockerEngine
    containers: Sequence[TestContainer]
    portal: Daemon
    broker: Daemon
    heard: Heard

    async def act(self, seconds: float) -> None:
        """Pause and resume one container after another, so long."""
        api, ears, end = self.engine.client.api, Ears(), time.perf_counter() + seconds
        for container in itertools.cycle(self.containers):
            for action, call in (("pause", api.pause), ("unpause", api.unpause)):
                self.heard.asked[ears.number(container.id, action)] = time.perf_counter()
                await asyncio.to_thread(call, container.id)
                await asyncio.sleep(ACT_EVERY_S)
            if time.perf_counter() > end:
                return

    @contextmanager
    def sdk_listens(self) -> Iterator[None]:
        """A client of the SDK hears the same events, as the moment from which a page's delay is counted."""
        ears, stream = Ears(), self.engine.client.events(decode=True, filters={"type": "container"})

        def listen() -> None:
            for event in stream:
                if event["Action"] in ("pause", "unpause"):
                    self.heard.by_sdk[ears.number(event["Actor"]["ID"], event["Action"])] = time.perf_counter()

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        try:
            yield
        finally:
            stream.close()
            listener.join(ANSWER_S)

    @contextmanager
    def load(self) -> Iterator[dict[str, float]]:
        """Fill in, at the end, how much of one processor portal and broker used meanwhile, in per cent."""
        daemons = {"portal": self.portal, "broker": self.broker}
        used, begun = {name: cpu_s([daemon]) for name, daemon in daemons.items()}, time.perf_counter()
        percent: dict[str, float] = {}
        yield percent
        passed = time.perf_counter() - begun
        percent |= {name: 100 * (cpu_s([daemon]) - used[name]) / passed for name, daemon in daemons.items()}

    def memory(self, of: str) -> dict[str, float]:
        """RSS in MiB; VmHWM: the peak since the start, VmRSS: now."""
        return {
            "portal": memory_bytes(self.portal, of) / MIB,
            "broker": memory_bytes(self.broker, of) / MIB,
        }


async def bench(scene: Scene, pages: Sequence[Page], options: argparse.Namespace) -> bool:
    """Print the figures; return whether the targets are met."""
    async with contextlib.AsyncExitStack() as stack:
        for page in pages:
            await stack.enter_async_context(page)
        listening = [asyncio.create_task(page.listen()) for page in pages]
        try:
            with scene.load() as idle:
                await asyncio.sleep(SETTLE_S)
            await asyncio.gather(*(page.ask() for page in pages))
            with scene.sdk_listens(), scene.load() as busy:
                await asyncio.gather(scene.act(options.seconds), *(page.watch(options.seconds) for page in pages))
            with scene.load() as hurrying:
                hurried, rate = await back_to_back(pages, options.calls)
            with bare_fastapi(pages[0].body) as port:
                peers = await against_peers(scene, pages[0], port, options.rounds)
        finally:
            ended = [task for task in listening if task.done()]
            for task in listening:
                task.cancel()
            await asyncio.gather(*listening, return_exceptions=True)
        for task in ended:
            task.result()  # raises: a stream must not end by itself
    watched = [latency for page in pages for latency in page.latencies_s]
    peak, now = scene.memory("VmHWM"), scene.memory("VmRSS")
    p95 = percentile(watched, 95)
    from_engine, from_asking, lost = delays(scene.heard, len(pages))

    print(f"list_watched_ms      {spread(watched)}   {len(watched)} calls, {len(pages[0].body) / 1024:.0f} KiB each")
    print(f"list_back_to_back_ms {spread(hurried)}   {rate:.0f} calls/s")
    print(f"list_cpu_ms          {10 * hurrying['portal'] / rate:.1f} a call")
    print(f"event_from_engine_ms {spread(from_engine)}   {len(from_engine)} heard, {lost} not")
    print(f"event_from_asking_ms {spread(from_asking)}")
    for name in ("portal", "broker"):
        print(f"{name}_rss_mib       {peak[name]:.0f} at most, {now[name]:.0f} at the end")
        print(
            f"{name}_cpu_percent   {idle[name]:.1f} pages open and nothing else, {busy[name]:.1f} watched (of one CPU)"
        )
    portal_s = peers.pop("portal")
    for name, peer_s in peers.items():
        print(f"list_vs_{name:18} {pair_ratio(portal_s, peer_s)}   which takes {median_ms(peer_s)}")

    misses = [
        *([f"p95 of list calls is {p95:.0f} ms, not {TARGET_P95_MS:.0f}"] if p95 > TARGET_P95_MS else []),
        *([f"the portal takes {peak['portal']:.0f} MiB, not {TARGET_RSS_MIB:.0f}"] * (peak["portal"] > TARGET_RSS_MIB)),
        *([f"{lost} events did not reach every page"] if lost else []),
    ]
    for miss in misses:
        print(f"# MISSED: {miss}")
    return not misses


async def back_to_back(pages: Sequence[Page], calls: int) -> tuple[list[float], float]:
    """All pages ask at once, each again as soon as it was answered; return the latencies and calls per second."""
    latencies_s: list[float] = []

    async def hurry(page: Page) -> None:
        latencies_s.extend([await page.ask() for _ in range(calls)])

    begun = time.perf_counter()
    await asyncio.gather(*(hurry(page) for page in pages))
    return latencies_s, len(latencies_s) / (time.perf_counter() - begun)


async def against_peers(scene: Scene, page: Page, bare_port: int, rounds: int) -> dict[str, list[float]]:
    """Return a figure a round, in seconds: the list of the portal, a bare route, the SDK, the SDK with measurements."""
    client = scene.engine.client

    def listed() -> list[Any]:
        found: list[Any] = client.containers.list(all=True)
        return found

    def measured() -> None:
        with ThreadPoolExecutor(PEER_THREADS) as pool:
            for _ in pool.map(lambda each: client.api.stats(each.id, stream=False, one_shot=True), listed()):
                pass

    async def timed(work: Callable[[], object]) -> float:
        begun = time.perf_counter()
        await asyncio.to_thread(work)
        return time.perf_counter() - begun

    async def asked(page: Page) -> float:
        return statistics.median([await page.ask() for _ in range(CALLS_A_ROUND)])

    figures: dict[str, list[float]] = {"portal": [], "bare_fastapi": [], "sdk_list": [], "sdk_list_and_stats": []}
    async with Page(bare_port, "", len(scene.containers), Heard()) as bare:
        for turn in range(rounds + 1):  # the first warms up
            round_ = await asked(page), await asked(bare), await timed(listed), await timed(measured)
            for each, figure in zip(figures.values(), round_, strict=True):
                each += [figure] if turn else []
    return figures


def delays(heard: Heard, pages: int) -> tuple[list[float], list[float], int]:
    """Return how long news took to each page, from the SDK's hearing and from the asking, and how many never came."""
    from_engine, from_asking, lost = [], [], 0
    for what, asked in heard.asked.items():
        arrivals = heard.by_pages.get(what, [])
        lost += pages - len(arrivals)
        from_asking += [at - asked for at in arrivals]
        if (by_sdk := heard.by_sdk.get(what)) is not None:
            from_engine += [at - by_sdk for at in arrivals]
    return from_engine, from_asking, lost


# -- figures ----------------------------------------------------------------------------------------------------------


def percentile(seconds: Sequence[float], percent: int) -> float:
    """In milliseconds."""
    return 1000 * statistics.quantiles(seconds, n=100)[percent - 1]


def spread(seconds: Sequence[float]) -> str:
    return "  ".join(f"p{percent} {percentile(seconds, percent):6.1f}" for percent in (50, 95, 99))


def median_ms(seconds: Sequence[float]) -> str:
    return f"{1000 * statistics.median(seconds):.1f} ms"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.portal", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--containers", type=int, default=200)
    parser.add_argument("--operators", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=30.0, help="of watching")
    parser.add_argument("--calls", type=int, default=30, help="of each operator, back to back")
    parser.add_argument("--rounds", type=int, default=7, help="against the peer")
    options = parser.parse_args()
    machine = f"{os.cpu_count()} CPUs, {platform.machine()}, Linux {platform.release()}"
    print(f"# {machine}, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}", flush=True)
    print(f"# {options.containers} real containers, {options.operators} operators", flush=True)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="homeport-bench-")))
        engine = stack.enter_context(DockerEngine())
        containers = start_containers(engine, options.containers)
        broker_daemon, broker_socket = stack.enter_context(broker(engine, directory))
        settings = {"BROKER_SOCKET": str(broker_socket), "LOG_LEVEL": "info"}
        portal = stack.enter_context(Portal(directory, settings))
        heard = Heard()
        cookies = operators(portal, options.operators)
        pages = [Page(portal.port, cookie, options.containers, heard) for cookie in cookies]
        scene = Scene(engine, containers, portal.daemon, broker_daemon, heard)
        return 0 if asyncio.run(bench(scene, pages, options)) else 1


if __name__ == "__main__":
    sys.exit(main())
