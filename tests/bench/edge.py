"""`python -m tests.bench.edge`: what one message costs the Email Worker, in CPU and memory, by its size.

Real workerd, with the local edge's driver in front, runs three Workers in turn:

    homeport   the built Email Worker
    plain      the least that does the same job: one buffer, its digest, an unsigned POST, and no care for the answer
    idle       an `email()` that reads nothing: roughly what driver and runtime cost without a Worker

Rounds are interleaved. CPU is all of workerd's (utime + stime), driver included; memory is the peak of a fresh workerd
(VmHWM), less that of a fresh idle one. The mail API is a thread here that answers receipts, so its CPU is not counted;
`retained` is the same Worker while nobody listens at that address. docs/benchmarks.md has the results.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import statistics
import sys
import tempfile
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from kit.signing import Key
from tests.bench.measure import pair_ratio, status_field
from tests.services.process import Daemon, free_port, process_stats

ROOT = Path(__file__).parents[2]
LOCAL_EDGE = ROOT / "stacks" / "mailserver" / "email-worker" / "local" / "edge.mjs"
NODE = ROOT / ".node" / "bin" / "node"

KIB, MIB = 1024, 1024**2
SIZES = {"4 KiB": 4 * KIB, "100 KiB": 100 * KIB, "1 MiB": MIB, "10 MiB": 10 * MIB, "25 MiB": 25 * MIB - 64 * KIB}
ROUND_BYTES = 100 * MIB  # of messages in a round, so that CPU can be read off a clock of 10 ms
MOST, LEAST = 400, 4  # messages in a round
MEMORY_MESSAGES = 4

IDLE = "export default { async email(message) { await message.raw.cancel(); } }"
PLAIN = """
export default {
  async email(message, env) {
    const raw = await new Response(message.raw).arrayBuffer();
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", raw));
    const sha256 = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
    const headers = { "Homeport-Message-Id": "00", "Homeport-Content-SHA256": sha256 };
    await fetch(env.MAIL_API_URL + "/v1/messages", { method: "POST", body: raw, headers });
  },
};
"""


class Receipts(BaseHTTPRequestHandler):
    """Takes every message and says so."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        for _ in self._chunks():
            pass
        names = ("Homeport-Message-Id", "Homeport-Content-SHA256")
        message_id, sha256 = (self.headers[name] for name in names)
        receipt = {"status": "delivered", "message_id": message_id, "sha256": sha256, "queue_id": None}
        body = json.dumps(receipt).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _chunks(self) -> Iterator[bytes]:
        """The body in pieces: it has a length, or comes in chunks."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            yield self.rfile.read(int(self.headers["Content-Length"]))
            return
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def handle(self) -> None:
        with contextlib.suppress(ConnectionResetError):  # workerd drops a connection it has no more use for
            super().handle()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@contextmanager
def receipts() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receipts)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class Runtime:
    """A local edge with one Worker."""

    def __init__(self, directory: Path, name: str, *, script: str | None, origin: str) -> None:
        directory.mkdir()
        key = Key.generate("bench")
        bindings = {"MAIL_API_URL": origin, "MAIL_API_KEY_ID": key.key_id, "MAIL_API_KEY": key.secret.hex()}
        config: dict[str, object] = {"bindings": bindings, "persist": str(directory / "state")}
        if script is not None:
            (directory / "worker.js").write_text(script)
            config["worker"] = str(directory / "worker.js")
        (directory / "config.json").write_text(json.dumps(config))
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        argv = [str(NODE), str(LOCAL_EDGE), "--config", str(directory / "config.json"), "--port", str(port)]
        self.daemon = Daemon(argv, ready=self._answers, log=directory / "log")
        self.name = name

    def __enter__(self) -> Runtime:
        self.daemon.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.daemon.kill()

    def send(self, raw: bytes, count: int) -> None:
        query = urllib.parse.urlencode({"from": "a@example.org", "to": "b@example.com"})
        for _ in range(count):
            request = urllib.request.Request(f"{self.url}/email?{query}", data=raw)
            with urllib.request.urlopen(request, timeout=60) as answer:
                outcome = json.load(answer)
            assert outcome["outcome"] == "ok", outcome
            assert outcome["reject"] is None, outcome

    def cpu_s(self) -> float:
        return sum(stat.cpu_s for stat in process_stats() if stat.pid == self._workerd())

    def peak_bytes(self) -> int:
        return KIB * status_field(self._workerd(), "VmHWM")

    def _workerd(self) -> int:
        """The pid of the runtime, which has the Worker's isolate."""
        names = {stat.pid: Path(f"/proc/{stat.pid}/comm").read_text().strip() for stat in self.daemon.members()}
        return next(pid for pid, name in names.items() if name == "workerd")

    def _answers(self) -> None:
        urllib.request.urlopen(f"{self.url}/retained", timeout=2).close()


def main() -> int:
    parser = argparse.ArgumentParser(description="what a message costs the Email Worker")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    print(
        f"{platform.machine()}, Linux {platform.release()}, load {os.getloadavg()[0]:.1f}, workerd {workerd_version()}"
    )
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="homeport-bench-")))
        origin = stack.enter_context(receipts())
        nowhere = f"http://127.0.0.1:{free_port()}"
        numbers = iter(range(10_000))

        def runtime(name: str) -> Runtime:
            script = {"plain": PLAIN, "idle": IDLE}.get(name)
            address = nowhere if name == "retained" else origin
            return Runtime(directory / f"{next(numbers)}", name, script=script, origin=address)

        print(f"{'size':>8}  {'CPU ms: homeport':>17} {'plain':>7} {'ratio':>24} {'idle':>7} {'retained':>9}", end="")
        print(f"  {'peak MiB: homeport':>19} {'plain':>6} {'retained':>9}")
        for label, size in SIZES.items():
            speed = measure_cpu(stack, runtime, size, options.rounds)
            memory = {name: measure_memory(runtime, name, size) for name in ("idle", "homeport", "plain", "retained")}
            print(report(label, speed, memory), flush=True)
    return 0


def measure_cpu(stack: ExitStack, runtime: Callable[[str], Runtime], size: int, rounds: int) -> dict[str, list[float]]:
    """Return for each Worker the CPU milliseconds a message, one figure a round."""
    count = min(max(ROUND_BYTES // size, LEAST), MOST)
    with ExitStack() as these:
        runtimes = [these.enter_context(runtime(name)) for name in ("homeport", "plain", "retained", "idle")]
        raw = letter(size)
        for each in runtimes:
            each.send(raw, max(count // 10, 2))
        found: dict[str, list[float]] = {each.name: [] for each in runtimes}
        for turn in range(rounds):
            at = turn % len(runtimes)
            cost = {}
            for each in runtimes[at:] + runtimes[:at]:
                before = each.cpu_s()
                each.send(raw, count)
                cost[each.name] = 1000 * (each.cpu_s() - before) / count
            for name, ms in cost.items():
                found[name].append(ms)
    return found


def measure_memory(runtime: Callable[[str], Runtime], name: str, size: int) -> float:
    """Return the peak of a fresh workerd that was sent some messages one after the other, in MiB."""
    with runtime(name) as fresh:
        fresh.send(letter(size), MEMORY_MESSAGES)
        return fresh.peak_bytes() / MIB


def report(label: str, speed: dict[str, list[float]], memory: dict[str, float]) -> str:
    ms = {name: f"{statistics.median(values):.2f}" for name, values in speed.items()}
    peak = {name: f"{mib - memory['idle']:.0f}" for name, mib in memory.items()}
    ratio = str(pair_ratio(speed["homeport"], speed["plain"]))
    cpu = f"{ms['homeport']:>17} {ms['plain']:>7} {ratio:>24} {ms['idle']:>7} {ms['retained']:>9}"
    return f"{label:>8}  {cpu}  {peak['homeport']:>19} {peak['plain']:>6} {peak['retained']:>9}"


def letter(size: int) -> bytes:
    head = b"From: <a@example.org>\r\nMessage-ID: <1@example.org>\r\n\r\n"
    return head + os.urandom(size - len(head))


def workerd_version() -> str:
    lock = (LOCAL_EDGE.parents[1] / "package-lock.json").read_text()
    found = re.search(r'"node_modules/workerd": \{\s*"version": "([^"]+)"', lock)
    return found[1] if found else "?"


if __name__ == "__main__":
    sys.exit(main())
