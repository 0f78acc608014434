"""The portal in a real browser: Debian's Chromium, driven by Playwright, in front of `homeport portal serve`.

    anna = visit(portal)                     # a page of a fresh browser profile, Japanese unless told otherwise
    set_up(anna, portal)                     # the first administrator, by the link on the console

Whatever the browser says on its console as an error fails the test: a refused inline style or script is one of them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright, expect, sync_playwright

from portal.settings import FRONT_END
from tests.fakes.cloudflare import CloudflareFake, nameserver
from tests.fakes.cloudflare.demo import ELSEWHERE, JAPANESE, SAMPLE, furnish
from tests.services.docker_engine import DockerEngine
from tests.services.portal import HOMEPORT, PASSWORD, Portal
from tests.services.process import Daemon

CHROMIUM = "/usr/bin/chromium"
PATIENCE_MS = 20_000  # other work shares the machine
NETWORK_NOISE = "Failed to load resource"  # an answer of 400 and above, which the page shows or asks for

Visit = Callable[..., Page]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("services")


@pytest.fixture(scope="module")  # not longer: while it runs, no asyncio test can in the same process
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        expect.set_options(timeout=PATIENCE_MS)
        yield running


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    if not (FRONT_END / "index.html").is_file():
        pytest.fail("the front end is not built: make front-end")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []  # as root Chromium refuses to start with it
    running = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
    yield running
    running.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """Open pages of fresh profiles; `options` are those of a browser context."""
    contexts = []
    said: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith(NETWORK_NOISE):
            said.append(message.text)

    def open_(portal: Portal, path: str = "/", **options: Any) -> Page:
        context = browser.new_context(
            base_url=portal.url,
            **{"locale": "ja-JP", "timezone_id": "Asia/Tokyo", "reduced_motion": "reduce"} | options,
        )
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("console", listen)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(path)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert said == []


@pytest.fixture
def portal(tmp_path: Path) -> Iterator[Portal]:
    """A portal without an engine, as it is when nothing is set up."""
    with Portal(tmp_path) as running:
        yield running


@pytest.fixture
def portal_with_engine(tmp_path: Path, docker_engine: DockerEngine) -> Iterator[Portal]:
    """A portal, its broker as the process it is, and the shared engine without any container."""
    socket = tmp_path / "broker.sock"

    def is_there() -> None:
        if not socket.exists():
            raise OSError(f"no {socket}")

    broker = Daemon(
        [HOMEPORT, "portal", "broker", "--socket", str(socket)],
        ready=is_there,
        log=tmp_path / "broker.log",
        env={name: value for name, value in os.environ.items() if not name.startswith("HOMEPORT_")}
        | {"HOMEPORT_BROKER_DOCKER_HOST": docker_engine.url, "HOMEPORT_BROKER_STACKS": "mail,blog,portal"},
    )
    broker.start()
    try:
        with Portal(tmp_path, {"BROKER_SOCKET": str(socket)}) as running:
            yield running
    finally:
        broker.kill()


@pytest.fixture(scope="module")
def cloudflare() -> Iterator[CloudflareFake]:
    """Cloudflare with the account of the demonstration, one for all tests of a module: each has records of its own."""
    with CloudflareFake(zones=[SAMPLE, JAPANESE]) as fake:
        yield fake


@pytest.fixture(scope="module")
def cloudflare_settings(cloudflare: CloudflareFake) -> Iterator[dict[str, str]]:
    """What connects a portal with it, by the name behind the prefix; its resolver serves what Cloudflare holds."""
    settings = {name.removeprefix("HOMEPORT_PORTAL_"): value for name, value in furnish(cloudflare).items()}
    with nameserver.serving(cloudflare.state, ELSEWHERE) as port:
        yield settings | {"DNS_RESOLVERS": f"127.0.0.1:{port}"}


@pytest.fixture(scope="module")
def portal_with_cloudflare(
    cloudflare_settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Portal]:
    with Portal(tmp_path_factory.mktemp("portal"), cloudflare_settings) as running:
        yield running


@pytest.fixture(scope="module")
def anna(portal_with_cloudflare: Portal) -> dict[str, Any]:
    """Options of a browser context in which the first administrator is logged in."""
    return logged_in(portal_with_cloudflare)


def logged_in(portal: Portal, name: str | None = None) -> dict[str, Any]:
    """Log this user in anew, or make the first administrator; return the options of a browser context that is hers."""
    browser = portal.set_up() if name is None else portal.log_in(name)
    cookies = [
        {"name": each.name, "value": each.value, "domain": "localhost", "path": "/", "expires": -1}
        | {"httpOnly": True, "secure": False, "sameSite": "Lax"}
        for each in browser.cookies.jar
    ]
    return {"storage_state": {"cookies": cookies, "origins": []}}


def set_up(page: Page, portal: Portal, name: str = "anna") -> None:
    """Make the first administrator with the console's link, and end on the dashboard."""
    (*_, token) = re.findall(r"/setup#(\S+)", portal.log.read_text())
    page.goto(f"/setup#{token}")
    page.locator("input[autocomplete=username]").fill(name)
    for field in page.locator("input[autocomplete=new-password]").all():
        field.fill(PASSWORD)
    page.locator("button[type=submit]").click()
    expect(page.locator("#main h1")).to_be_visible()


def log_in(page: Page, name: str = "anna") -> None:
    page.locator("input[autocomplete=username]").fill(name)
    page.locator("input[autocomplete=current-password]").fill(PASSWORD)
    page.locator("button[type=submit]").click()


def log_out(page: Page) -> None:
    page.locator("aside").get_by_role("button", name=re.compile("ログアウト|Log out")).click()
    expect(page.locator("input[autocomplete=current-password]")).to_be_visible()
