"""Roundcube in Debian's Chromium: a person logs in and reads; a hostile message does nothing."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright

from tests.services.edge import TAKEN, Edge
from tests.stacks.deployment import HOSTNAME, Deployment
from tests.stacks.mailbox import StackMailbox

CHROMIUM = "/usr/bin/chromium"
PATIENCE_MS = 30_000

HOSTILE = """\
<html><head><style>body { background: url(https://evil.test/style.png) }</style>
<meta http-equiv="refresh" content="0; url=https://evil.test/refresh"></head>
<body onload="parent.document.title = 'run'">
<script>parent.document.title = 'run'; top.document.title = 'run'</script>
<img src="https://evil.test/pixel.png"><img src=x onerror="parent.document.title = 'run'">
<svg onload="parent.document.title = 'run'"></svg><a href="javascript:parent.document.title='run'">a link</a>
<iframe src="https://evil.test/frame"></iframe><form action="https://evil.test/form"><input name="password"></form>
<p>The harmless sentence is %s.</p></body></html>
"""


@pytest.fixture(scope="module")  # not longer: while it runs, no asyncio test can in the same process
def browser() -> Iterator[Browser]:
    arguments = [f"--host-resolver-rules=MAP {HOSTNAME} 127.0.0.1, MAP *.test ~NOTFOUND"]
    arguments += ["--no-sandbox"] if os.geteuid() == 0 else []  # as root Chromium refuses to start with it
    with sync_playwright() as running:
        expect.set_options(timeout=PATIENCE_MS)
        chromium = running.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser, stack: Deployment) -> Iterator[Page]:
    """Roundcube's login page in a fresh profile. The browser does not know the run's authority."""
    context = browser.new_context(
        base_url=f"https://{HOSTNAME}:{stack.ports['webmail']}/", locale="en-GB", ignore_https_errors=True
    )
    context.set_default_timeout(PATIENCE_MS)
    fresh = context.new_page()
    fresh.goto("/")
    yield fresh
    context.close()


def log_in(page: Page, user: str, password: str) -> None:
    page.locator("#rcmloginuser").fill(user)
    page.locator("#rcmloginpwd").fill(password)
    page.locator("#rcmloginsubmit").click()


def test_login_and_reading_a_hostile_message_that_does_nothing(edge: Edge, anna: StackMailbox, page: Page) -> None:
    word = secrets.token_hex(8)
    raw = (
        f"Message-ID: <{word}.1@example.org>\r\nDate: Sun, 22 Nov 2026 09:00:00 +0000\r\nFrom: A <a@example.org>\r\n"
        f"To: <{anna.address}>\r\nSubject: about {word}\r\nMIME-Version: 1.0\r\n"
        "Content-Type: text/html; charset=utf-8\r\n\r\n" + (HOSTILE % word).replace("\n", "\r\n")
    )
    assert edge.receive(raw.encode(), rcpt_to=anna.address) == TAKEN
    anna.wait_for(1)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(_host(request)))
    page.on("dialog", lambda dialog: pytest.fail(f"a dialog: {dialog.message}"))
    log_in(page, anna.address, anna.password)
    page.get_by_text(f"about {word}").first.dblclick()
    body = page.locator("#messagebody")
    expect(body).to_contain_text(f"The harmless sentence is {word}.")
    expect(page.locator("#remote-objects-message")).to_be_visible()  # remote pictures: only when asked for
    assert "run" not in page.title()
    body.get_by_text("a link").click()
    assert "run" not in page.title()
    assert {host for host in asked if host} <= {HOSTNAME}


def test_letter_written_in_webmail_leaves_by_the_smarthost(stack: Deployment, anna: StackMailbox, page: Page) -> None:
    subject = f"from webmail {secrets.token_hex(4)}"
    log_in(page, anna.address, anna.password)
    expect(page.locator("#messagelist")).to_be_attached()
    page.wait_for_load_state("networkidle")  # Roundcube keeps what the last of two requests at once makes of a session
    page.goto("/?_task=mail&_action=compose")
    page.locator("#_to, #to, .recipient-input input").first.fill("bob@remote.test")
    page.keyboard.press("Enter")
    page.locator("#compose-subject").fill(subject)
    page.locator("#composebody").fill("Written in a browser.")
    page.locator("#toolbar-menu a.send, a.send, button.send").first.click()
    relayed = stack.smarthost.wait_for(subject)
    assert relayed.mail_from == anna.address
    assert relayed.rcpt_to == ("bob@remote.test",)
    anna.wait_for(1, "Sent")


def test_login_by_guessing_is_slowed_down(stack: Deployment, page: Page) -> None:
    """After five at once from an address nginx answers 429; the page itself still comes."""
    url = f"https://127.0.0.1:{stack.ports['webmail']}/?_task=login"  # not by name: Chromium alone resolves it
    statuses = [page.request.post(url, form={"_task": "login", "_action": "login"}).status for _ in range(8)]
    assert statuses[-1] == 429
    page.reload()
    expect(page.locator("#rcmloginuser")).to_be_visible()


@pytest.mark.parametrize("action", ["login", "login!", "lo<b>gin"])
def test_login_that_is_not_counted_is_no_login(stack: Deployment, anna: StackMailbox, page: Page, action: str) -> None:
    """Roundcube reads `_task` and `_action` loosely and from the body too; nginx counts by the address alone."""
    form: dict[str, str | float | bool] = {
        "_task": "login",
        "_action": action,
        "_user": anna.address,
        "_pass": anna.password,
    }
    answer = page.request.post(f"https://127.0.0.1:{stack.ports['webmail']}/", form=form, max_redirects=0)
    assert answer.status == 400


def _host(request: Request) -> str:
    return (
        request.url.removeprefix("https://").partition("/")[0].partition(":")[0]
        if request.url.startswith("http")
        else ""
    )
