"""`python -m tests.bench.mail`: how fast mail gets into mailboxes through Homeport, and what that costs. Linux, root.

Three routes into one Dovecot, on one file system, with messages of the same size (4 KB), 16 connections, closed loop:

    homeport   signed POST over HTTP -> `homeport mail ingress` -> Dovecot
    postfix    `smtp-source` over SMTP -> Postfix smtpd, queue, lmtp -> Dovecot
    raw_lmtp   whole transactions by BDAT straight into Dovecot

The rounds are interleaved and their order rotates. The clock of a round starts with its first message and stops when
its last *file* is in `new/`. A round has 16 fresh mailboxes and sends some messages before its clock starts, so
mailboxes, processes and connections exist. A ratio is the median over the rounds of (ours / theirs), with a 95 %
bootstrap interval. docs/benchmarks.md has the method in full, and the results.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

import uvloop

from tests.bench.load import (
    ClosedLoop,
    HttpConnection,
    LmtpConnection,
    SmtpSource,
    http_requests,
    lmtp_transactions,
    post_large,
)
from tests.bench.measure import Arrivals, counted_fsyncs, cpu_s, memory_bytes, pair_ratio, quiet_cpu_s, wait_for_files
from tests.services.dovecot import Dovecot
from tests.services.homeport import Homeport, UnixHTTPConnection
from tests.services.postfix import Postfix
from tests.services.process import Daemon, free_port

DOMAIN = "bench.test"
CONNECTIONS = MAILBOXES = 16
WARM_UP = 112  # on each route, before everything
ROUND_WARM_UP = 32
FSYNC_MESSAGES = 160
ROUND_DEADLINE_S = 120.0
LARGE_POSTS = 32
QUEUE_ENTRIES = 100_000
QUEUE_WATCHED_S = 20.0  # after the start, for the peak of memory

Send = Callable[[], Awaitable[list[float]]]  # sends all; see `Round.ack_s` for what it returns
Prepare = Callable[[Sequence[str], int], Send]  # given recipients and a number, does all that needn't be on the clock


class Round(NamedTuple):
    """What one route did in one round."""

    rate: float  # messages per second
    cpu_s: float  # per message
    ack_s: list[float]  # from writing a message to its answer; empty where the driver doesn't say


class Route(Protocol):
    """One way into Dovecot."""

    @property
    def daemons(self) -> Sequence[Daemon]:
        """Those whose CPU time this route uses."""
        ...

    def connected(self) -> AbstractAsyncContextManager[Prepare]:
        """Make the connections of one round."""
        ...


class HomeportRoute:
    def __init__(self, dovecot: Dovecot, homeport: Homeport) -> None:
        self.daemons: Sequence[Daemon] = (dovecot.daemon, homeport.ingress, homeport.delivery)
        self._homeport = homeport

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Prepare]:
        async with ClosedLoop(HttpConnection, self._homeport.port, CONNECTIONS) as loop:
            yield lambda rcpts, count: partial(loop.send, http_requests(self._homeport.key, rcpts, count))


class RawLmtpRoute:
    def __init__(self, dovecot: Dovecot) -> None:
        self.daemons = (dovecot.daemon,)
        self._port = dovecot.lmtp_port

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Prepare]:
        async with ClosedLoop(LmtpConnection, self._port, CONNECTIONS) as loop:
            yield lambda rcpts, count: partial(loop.send, lmtp_transactions(rcpts, count))


class PostfixRoute:
    def __init__(self, dovecot: Dovecot, postfix: Postfix) -> None:
        self.daemons = (dovecot.daemon, postfix.daemon)
        self._port = postfix.smtp_port

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Prepare]:
        """`smtp-source` connects by itself, when it is let go."""
        yield lambda rcpts, count: SmtpSource(self._port, rcpts, count).send


async def run_round(dovecot: Dovecot, route: Route, count: int) -> Round:
    """Send `count` messages to fresh mailboxes. Raise if one is refused, comes late, or comes twice."""
    mailboxes = [dovecot.add_user(f"u{i:02}-{time.monotonic_ns()}@{DOMAIN}") for i in range(MAILBOXES)]
    rcpts = [mailbox.address for mailbox in mailboxes]
    async with route.connected() as prepare:
        await prepare(rcpts, ROUND_WARM_UP)()
        directories = [mailbox.directory / "new" for mailbox in mailboxes]
        await wait_for_files(directories, ROUND_WARM_UP, deadline_s=ROUND_DEADLINE_S)
        send = prepare(rcpts, count)
        with Arrivals(directories) as arrivals:
            cpu_before_s = await quiet_cpu_s(route.daemons)
            started = time.perf_counter()
            ack_s, ended = await asyncio.gather(send(), arrivals.wait_for(count, deadline_s=ROUND_DEADLINE_S))
            used_s = await quiet_cpu_s(route.daemons) - cpu_before_s
            await arrivals.wait_for(count, deadline_s=ROUND_DEADLINE_S)
            if arrivals.count != count:
                raise RuntimeError(f"{count} messages were sent, {arrivals.count} files came")
    return Round(count / (ended - started), used_s / count, ack_s)


async def run_rounds(dovecot: Dovecot, routes: dict[str, Route], pairs: int, count: int) -> dict[str, list[Round]]:
    """Return the rounds of each route; the n-th rounds of all are neighbours in time."""
    for route in routes.values():
        await run_round(dovecot, route, WARM_UP)
    names, rounds = list(routes), {name: list[Round]() for name in routes}
    for i in range(pairs):
        shift = i % len(names)
        for name in names[shift:] + names[:shift]:
            rounds[name].append(await run_round(dovecot, routes[name], count))
        print("#", i + 1, *(f"{name} {rounds[name][-1].rate:.0f}/s" for name in names), flush=True)
    return rounds


async def count_fsyncs(dovecot: Dovecot, route: Route) -> dict[Daemon, float]:
    """Return the flushes per message of each daemon of a route, in a round of its own: strace slows it down."""
    with ExitStack() as stack:
        finish = {daemon: stack.enter_context(counted_fsyncs(daemon)) for daemon in route.daemons}
        await run_round(dovecot, route, FSYNC_MESSAGES)
        return {daemon: finish[daemon]() / (FSYNC_MESSAGES + ROUND_WARM_UP) for daemon in route.daemons}


async def bench_speed(pairs: int, count: int, settings: dict[str, str]) -> None:
    with ExitStack() as stack:
        dovecot = stack.enter_context(Dovecot())
        postfix = stack.enter_context(Postfix(dovecot.lmtp_port, domains=[DOMAIN], concurrency=CONNECTIONS))
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="homeport-bench-")))
        sentinel = dovecot.sentinel.address
        homeport = stack.enter_context(
            Homeport(directory, transport=dovecot.lmtp_url, sentinel=sentinel, settings=settings)
        )
        routes: dict[str, Route] = {
            "homeport": HomeportRoute(dovecot, homeport),
            "postfix": PostfixRoute(dovecot, postfix),
            "raw_lmtp": RawLmtpRoute(dovecot),
        }
        rounds = await run_rounds(dovecot, routes, pairs, count)
        rates = {name: [item.rate for item in items] for name, items in rounds.items()}
        cpus = {name: [item.cpu_s for item in items] for name, items in rounds.items()}
        for name in routes:
            print(
                f"# {name}: {statistics.median(rates[name]):.0f} messages/s (median; {min(rates[name]):.0f} to "
                f"{max(rates[name]):.0f}), {1000 * statistics.median(cpus[name]):.2f} ms CPU a message"
            )
        print("ingest_vs_postfix", pair_ratio(rates["homeport"], rates["postfix"]))
        print("ingest_vs_raw_lmtp", pair_ratio(rates["homeport"], rates["raw_lmtp"]))
        print("cpu_per_message_vs_postfix", pair_ratio(cpus["homeport"], cpus["postfix"]))
        ack_ms = statistics.quantiles([1000 * ack for item in rounds["homeport"] for ack in item.ack_s], n=100)
        print(f"ack_p50_ms {ack_ms[49]:.1f}")
        print(f"ack_p99_ms {ack_ms[98]:.1f}")

        ours = await count_fsyncs(dovecot, routes["homeport"])
        theirs = await count_fsyncs(dovecot, routes["postfix"])
        print(f"fsyncs_per_message {ours[homeport.ingress] + ours[homeport.delivery]:.2f}")
        print(f"# Dovecot's own {ours[dovecot.daemon]:.2f}; Postfix {theirs[postfix.daemon]:.2f}")


async def bench_large(settings: dict[str, str]) -> None:
    """Peak memory of a fresh ingress while all large posts are under way at once."""
    with (
        tempfile.TemporaryDirectory(prefix="homeport-bench-") as directory,
        Dovecot() as dovecot,
        Homeport(Path(directory), transport=dovecot.lmtp_url, settings=settings) as homeport,
    ):
        idle = memory_bytes(homeport.ingress, "VmHWM")
        started = time.perf_counter()
        statuses = await post_large(homeport.port, homeport.key, dovecot.add_user().address, LARGE_POSTS)
        took_s = time.perf_counter() - started
        peak = memory_bytes(homeport.ingress, "VmHWM")
    print(f"rss_{LARGE_POSTS}x25MiB_mib {peak / 1024**2:.0f}")
    print(f"# idle {idle / 1024**2:.0f} MiB; {took_s:.1f} s; answers {statuses}")


def bench_queue(entries: int, settings: dict[str, str]) -> None:
    """Start-up and memory of delivery over a full spool whose transport nobody listens on."""
    with tempfile.TemporaryDirectory(prefix="queue-") as state:
        state_dir = Path(state, "state")
        subprocess.run([sys.executable, "-m", "tests.bench.fill_spool", state_dir, str(entries)], check=True)
        homeport = Homeport(
            state_dir.parent, transport=f"lmtp://127.0.0.1:{free_port()}", state_dir=state_dir, settings=settings
        )
        try:
            started = time.perf_counter()
            homeport.delivery.start(deadline_s=120)
            with contextlib.closing(UnixHTTPConnection(state_dir / "control.sock", timeout_s=60)) as control:
                control.request("GET", "/v1/status")
                counts = json.load(control.getresponse())["counts"]
            took_s = time.perf_counter() - started
            cpu_before_s = cpu_s([homeport.delivery])
            time.sleep(QUEUE_WATCHED_S)
            busy = (cpu_s([homeport.delivery]) - cpu_before_s) / QUEUE_WATCHED_S
            peak = memory_bytes(homeport.delivery, "VmHWM")
        finally:
            homeport.kill()
    print(f"queue_{entries // 1000}k_startup_s {took_s:.2f}")
    print(f"queue_{entries // 1000}k_memory_mib {peak / 1024**2:.0f}")
    print(f"# it counts {counts}; CPU in the {QUEUE_WATCHED_S:.0f} s after that {100 * busy:.0f} %")


def describe_machine() -> str:
    def said(*argv: str) -> str:
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()

    model = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    file_system = said("findmnt", "-n", "-o", "FSTYPE", "--target", tempfile.gettempdir())
    if file_system == "tmpfs":
        raise SystemExit(f"{tempfile.gettempdir()} is a tmpfs: set TMPDIR to a directory on a disk")
    return (
        f"# {os.cpu_count()} x {model.partition(':')[2].strip()}, Linux {platform.release()}, {file_system}, "
        f"Python {platform.python_version()}, Dovecot {said('dovecot', '--version').split()[0]}, "
        f"Postfix {said('postconf', '-dh', 'mail_version')}; load {os.getloadavg()[0]:.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.mail", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="2 rounds, a queue of 10,000: to see that it works")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--messages", type=int, default=640, help=f"a round; a multiple of {MAILBOXES}")
    parser.add_argument("--only", choices=["speed", "large", "queue"], action="append", help="may be repeated")
    parser.add_argument("--scan", action="store_true", help="with Rspamd and clamd, and nothing else (scan.py)")
    parser.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], help="a HOMEPORT_MAIL_* to try")
    chosen = parser.parse_args()
    settings = dict(item.split("=", 1) for item in chosen.set)
    parts = chosen.only or ["speed", "large", "queue"]
    print(describe_machine(), flush=True)
    if chosen.scan:
        from tests.bench.scan import bench_scan  # it uses this module's routes

        uvloop.run(bench_scan(2 if chosen.quick else chosen.rounds, chosen.messages, settings))
        return
    if "speed" in parts:
        uvloop.run(bench_speed(2 if chosen.quick else chosen.rounds, chosen.messages, settings))
    if "large" in parts:
        uvloop.run(bench_large(settings))
    if "queue" in parts:
        bench_queue(QUEUE_ENTRIES // 10 if chosen.quick else QUEUE_ENTRIES, settings)


if __name__ == "__main__":
    main()
