"""`python -m tests.bench.log_view`: the log view with 100,000 lines, in Debian's Chromium.

Engine, broker, portal and browser are real. One container writes 100,000 lines at once, and then 200 a second. What the
page does meanwhile is seen from inside it, by the browser's own observers:

    fill      the 100,000 lines arrive live and are followed; until the view holds them all
    follow    the full view goes on following
    wheel     it is scrolled by the wheel, a notch every 50 ms, while lines go on arriving
    jump      it is sent to places anywhere in it, as by dragging the scroll bar
    search    a word is typed that one line in seven has

    frames    how many were drawn, and how many of them came more than 50 ms after the one before (three of 60 a second)
    long      tasks of more than 50 ms: how many, the longest, and all of them together as a share of the time
    answer    from a key or a notch of the wheel to the next frame: median and worst of what the browser reports
    memory    the JavaScript heap after a collection, and the elements in the document

The browser draws without a graphics card and shares the processors with engine, broker and portal: figures are upper
bounds. Needs root, for the engine. docs/benchmarks.md has the results.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import re
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from tests.bench.first_load import PATIENCE_MS, chromium, logged_in
from tests.bench.portal import broker
from tests.services.docker_engine import DockerEngine
from tests.services.portal import Portal

LINES = 100_000
BLOCK_LINES = 1000  # a shell is slow at loops: these are made once
WRITER = f"""
block=$(i=0; while [ $i -lt {BLOCK_LINES} ]; do
  i=$((i+1)); echo "192.0.2.$((i % 250)) GET /wp-content/uploads/2026/11/picture-$((i % 7)).webp 200 $i"
done)
while [ ! -e /tmp/go ]; do sleep 0.1; done
i=0; while [ $i -lt {LINES // BLOCK_LINES} ]; do i=$((i+1)); echo "$block"; done
while true; do
  n=0; while [ $n -lt 20 ]; do n=$((n+1)); echo "192.0.2.7 POST /wp-cron.php 200 $n"; done
  sleep 0.1
done
"""
FILL_MS = 300_000
WHEEL_EVERY_MS = 50
SEED = 7

OBSERVE = """() => {
  const seen = { began: performance.now(), frames: [], tasks: [], answers: [], isOver: false };
  window.seen = seen;
  const frame = (at) => { seen.frames.push(at); if (!seen.isOver) requestAnimationFrame(frame); };
  requestAnimationFrame(frame);
  seen.observers = [["longtask", (entry) => seen.tasks.push(entry.duration)],
                    ["event", (entry) => seen.answers.push(entry.duration)]].map(([type, read]) => {
    const observer = new PerformanceObserver((list) => list.getEntries().forEach(read));
    observer.observe({ type, durationThreshold: 16 });
    return observer;
  });
}"""
READ = """() => {
  const seen = window.seen;
  seen.isOver = true;
  for (const observer of seen.observers) observer.disconnect();
  const gaps = seen.frames.slice(1).map((at, index) => at - seen.frames[index]);
  const answers = seen.answers.toSorted((one, other) => one - other);
  return { seconds: (performance.now() - seen.began) / 1000, frames: seen.frames.length,
    late: gaps.filter((gap) => gap > 50).length, longest_gap: Math.max(0, ...gaps),
    tasks: seen.tasks.length, longest: Math.max(0, ...seen.tasks), sum: seen.tasks.reduce((sum, each) => sum + each, 0),
    median: answers[Math.floor(answers.length / 2)] ?? 0, worst: answers.at(-1) ?? 0 };
}"""


def phase(page: Page, name: str, act: Callable[[], None]) -> None:
    """Observe the page while something is done to it, and print what was seen."""
    page.evaluate(OBSERVE)
    act()
    seen: dict[str, Any] = page.evaluate(READ)
    share = seen["sum"] / (seen["seconds"] * 10)
    print(
        f"{name:7} {seen['seconds']:5.1f} s: {seen['frames']:4} frames, {seen['late']:3} late,"
        f" worst {seen['longest_gap']:4.0f} ms; {seen['tasks']:3} long tasks, worst {seen['longest']:4.0f} ms,"
        f" {share:4.1f} % of the time; answer {seen['median']:3.0f} / {seen['worst']:4.0f} ms",
        flush=True,
    )


def memory(page: Page, when: str) -> None:
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    heap = session.send("Runtime.getHeapUsage")["usedSize"]
    elements = page.evaluate("() => document.querySelectorAll('*').length")
    print(f"memory  {when}: heap {heap / 1024**2:.1f} MiB, {elements} elements", flush=True)
    session.detach()


def bench(page: Page, begin: Callable[[], object], seconds: float) -> None:
    log = page.get_by_role("log")
    log.wait_for()
    page.get_by_text("Live", exact=True).wait_for()
    memory(page, "before")

    def fill() -> None:
        begin()
        page.get_by_text(re.compile(r"^1\d{5} lines$")).wait_for(timeout=FILL_MS)

    def wheel() -> None:
        log.hover()
        for number in range(int(seconds * 1000 / WHEEL_EVERY_MS)):
            page.mouse.wheel(0, -700 if number % 40 < 30 else 700)
            page.wait_for_timeout(WHEEL_EVERY_MS)

    def jump() -> None:
        places = random.Random(SEED)  # where to look, no secret
        for _ in range(int(seconds * 5)):
            log.evaluate("(element, part) => { element.scrollTop = element.scrollHeight * part; }", places.random())
            page.wait_for_timeout(200)

    def search() -> None:
        page.get_by_role("searchbox", name="Search the log").press_sequentially("picture-3", delay=150)
        page.wait_for_timeout(1000)

    phase(page, "fill", fill)
    memory(page, "full")
    phase(page, "follow", lambda: page.wait_for_timeout(seconds * 1000))
    phase(page, "wheel", wheel)
    phase(page, "jump", jump)
    phase(page, "search", search)
    memory(page, "at the end")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.log_view", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--seconds", type=float, default=8.0, help="of each phase but the first")
    options = parser.parse_args()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="homeport-bench-")))
        engine = stack.enter_context(DockerEngine())
        container = engine.run(WRITER, name="blog-nginx", stack="blog")
        _, socket = stack.enter_context(broker(engine, directory))
        portal = stack.enter_context(Portal(directory, {"BROKER_SOCKET": str(socket), "LOG_LEVEL": "info"}))
        cookies = logged_in(portal)
        browser = stack.enter_context(chromium())
        machine = f"{os.cpu_count()} CPUs, {platform.machine()}, Chromium {browser.version}"
        print(f"# {machine}, load {os.getloadavg()[0]:.1f}", flush=True)
        context = browser.new_context(base_url=portal.url, locale="en-GB", viewport={"width": 1360, "height": 860})
        context.set_default_timeout(PATIENCE_MS)
        context.add_cookies(cookies)
        page = context.new_page()
        page.goto("/containers/blog-nginx?tab=logs")
        bench(page, lambda: engine.client.containers.get(container.id).exec_run("touch /tmp/go"), options.seconds)
        context.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
