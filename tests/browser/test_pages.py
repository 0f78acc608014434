"""Every page: in both languages and themes, on a phone, by keyboard only, and without a serious fault for axe.

Screenshots of all of them are kept in var/screenshots/, written anew by every run: what a change does to a page can be
looked at afterwards. docs/images/containers.png is one of them: `containers-picture-light.png`.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from portal.settings import FRONT_END
from tests.browser.conftest import Visit, set_up
from tests.services.docker_engine import DockerEngine
from tests.services.portal import Portal

FRONTEND = FRONT_END.parent
AXE = FRONTEND / "node_modules" / "axe-core" / "axe.min.js"
SCREENSHOTS = FRONTEND.parent / "var" / "screenshots"
PAGES = (
    "",
    "containers",
    "containers?tab=removed",
    "containers?tab=images",
    "backups",
    "dns",
    "dns/tunnel",
    "dns/mail",
    "domains",
    "operations",
    "audit",
    "users",
    "users?tab=tokens",
    "users?tab=roles",
    "account",
    "settings",
)
ROOM = (
    "containers/blog-nginx?ask=stop",
    "containers/mail-dovecot?ask=stop",
    "containers/mail-dovecot?ask=restart",
    "containers/no-such-one",
    "logs?of=blog-nginx,mail-dovecot",
    "containers/blog-nginx",
    *(f"containers/blog-nginx?tab={tab}" for tab in ("logs", "stats", "events")),
)
LOOKS = [("light", "ja-JP", 1360), ("dark", "ja-JP", 1360), ("light", "en-GB", 1360), ("dark", "en-GB", 360)]
FIND_FAULTS = """async () => {
  const { violations } = await axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] });
  return violations.filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 200)).join(" | ")}`);
}"""

STOP_BY_A_PLAN = """async () => {
  const send = async (path, body) => {
    const headers = { "X-CSRF": "1", "Content-Type": "application/json" };
    const answer = await fetch(`/api/containers/plans${path}`, { method: "POST", headers, body: JSON.stringify(body) });
    return answer.json();
  };
  const plan = await send("", { names: ["blog-php", "blog-cache"], want: "stopped" });
  const { id } = await send(`/${plan.id}/apply`, { typed_names: [], reason: null });
  while ((await (await fetch(`/api/operations/${id}`)).json()).state === "running") {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return id;
}"""


@pytest.fixture
def screens() -> Path:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    return SCREENSHOTS


def is_shown(page: Page) -> None:
    expect(page.get_by_role("heading", level=1, include_hidden=True)).to_be_visible()
    if "ask=" in page.url:
        expect(page.get_by_role("dialog")).to_be_visible()
    expect(page.locator("[role=status][aria-label]")).to_have_count(0)  # skeletons, also those not yet seen


@pytest.mark.parametrize(("theme", "locale", "width"), LOOKS)
def test_every_page_has_no_serious_fault_and_fits(
    portal_with_engine: Portal,
    docker_engine: DockerEngine,
    visit: Visit,
    screens: Path,
    theme: str,
    locale: str,
    width: int,
) -> None:
    for name, stack in (
        ("blog-nginx", "blog"),
        ("mail-dovecot", "mail"),
        ("a-name-that-is-longer-than-any-column-has-room-for", "blog"),
        ("blog-php", "blog"),
        ("blog-cache", "blog"),
    ):
        docker_engine.run(
            "echo begun; trap 'exit 0' TERM; while true; do sleep 0.2; done", name=name, service=name, stack=stack
        )
    docker_engine.run("exit 3", name="mail-rspamd", service="mail-rspamd")
    gone = docker_engine.run("echo last words; exit 1", name="blog-cron", service="blog-cron", stack="blog")
    gone.wait_for(Status="exited")
    page = visit(
        portal_with_engine, color_scheme=theme, locale=locale, viewport={"width": width, "height": 860}, bypass_csp=True
    )  # axe is a script of the test's own; all other tests run under the portal's policy
    set_up(page, portal_with_engine)
    gone.remove()
    page.goto("/containers?tab=removed")
    expect(page.get_by_role("link", name="blog-cron")).to_be_visible()
    ended = {"removed": f"containers/removed/{gone.id}", "operation": f"operations/{page.evaluate(STOP_BY_A_PLAN)}"}
    found: list[str] = []
    for name, path in ({path: path for path in (*PAGES, *ROOM)} | ended).items():
        page.goto(f"/{path}")
        is_shown(page)
        page.screenshot(path=screens / file_name(name, theme, locale, width))
        found += [f"/{path} {fault}" for fault in faults(page)]
    assert found == []


@pytest.mark.parametrize(("theme", "locale", "width"), LOOKS)
def test_what_lies_before_and_above_pages_has_no_serious_fault_and_fits(
    portal: Portal, visit: Visit, screens: Path, theme: str, locale: str, width: int
) -> None:
    page = visit(portal, color_scheme=theme, locale=locale, viewport={"width": width, "height": 860}, bypass_csp=True)
    found: list[str] = []

    def look(name: str) -> None:
        page.screenshot(path=screens / file_name(name, theme, locale, width))
        found.extend(f"{name}: {fault}" for fault in faults(page))

    page.goto("/setup#a-token-of-nobody")
    expect(page.locator("input[autocomplete=new-password]").first).to_be_visible()
    look("setup")
    page.goto("/invitation#a-token-of-nobody")
    expect(page.locator("input[autocomplete=new-password]").first).to_be_visible()
    look("invitation")
    set_up(page, portal)
    for name, key in (("palette", "Control+k"), ("shortcuts", "?")):
        page.locator("body").press(key)
        expect(page.get_by_role("dialog")).to_be_visible()
        look(name)
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
    page.context.clear_cookies()
    page.goto("/")
    expect(page.locator("input[autocomplete=current-password]")).to_be_visible()
    look("login")
    assert found == []


def faults(page: Page) -> list[str]:
    """What axe calls serious on the page as it is shown, and whether it is wider than the window."""
    page.add_script_tag(content=AXE.read_text())
    found: list[str] = page.evaluate(FIND_FAULTS)
    over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return [*found, f"{over} px too wide"] if over else found


def file_name(name: str, theme: str, locale: str, width: int) -> Path:
    page = name.translate(str.maketrans("/?=", "---")) or "dashboard"
    return Path(f"{page}-{theme}-{locale[:2]}-{width}.png")


def test_language_changes_without_a_reload_and_is_kept(portal: Portal, visit: Visit) -> None:
    page = visit(portal)
    set_up(page, portal)
    page.evaluate("window.isTheSamePage = true")
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Dashboard")
    assert page.evaluate("window.isTheSamePage && document.documentElement.lang") == "en"
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("Dashboard")


def test_keyboard_alone_reaches_pages_and_preferences(portal: Portal, visit: Visit) -> None:
    page = visit(portal)
    set_up(page, portal)
    page.keyboard.press("Control+k")
    expect(page.get_by_role("combobox")).to_be_focused()
    page.keyboard.type("そんなものはない")
    expect(page.get_by_text("見つかりません。")).to_be_visible()
    page.get_by_role("combobox").fill("監査")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("監査")
    assert page.evaluate("document.activeElement.tagName") == "H1", "who listens hears where they are"
    page.keyboard.press("g")
    page.keyboard.press("c")
    expect(page.get_by_role("heading", level=1)).to_have_text("コンテナ")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="キーボードショートカット")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("Control+k")
    expect(page.get_by_role("combobox")).to_be_focused()
    page.keyboard.type("ダーク")
    page.keyboard.press("Enter")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_skip_link_is_the_first_stop(portal: Portal, visit: Visit) -> None:
    page = visit(portal)
    set_up(page, portal)
    page.reload()
    is_shown(page)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="本文へ移動")).to_be_focused()


def test_without_an_engine_the_page_says_how_to_connect_one(portal: Portal, visit: Visit) -> None:
    page = visit(portal, "/containers")
    set_up(page, portal)
    page.goto("/containers")
    expect(page.get_by_text("Docker エンジンは接続されていません。")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_viewer_sees_what_a_role_lacks(portal: Portal, visit: Visit) -> None:
    anna = portal.set_up()
    invitation = anna.post("/api/users", json={"name": "ben", "role": "viewer"}).json()["invitation"]
    ben = portal.browser()
    token, password = invitation.partition("#")[2], "seven grey herons on one roof"
    assert ben.post("/api/invitation", json={"token": token, "password": password}).status_code == 200
    page = visit(portal, "/audit")
    page.locator("input[autocomplete=username]").fill("ben")
    page.locator("input[autocomplete=current-password]").fill(password)
    page.locator("button[type=submit]").click()
    expect(page.get_by_text("運用者の権限が必要です")).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_picture_of_the_containers(
    portal_with_engine: Portal, docker_engine: DockerEngine, visit: Visit, screens: Path, theme: str
) -> None:
    busy = "while true; do i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 0.3; done"
    docker_engine.run(busy, name="blog-nginx", service="blog-nginx", stack="blog")
    docker_engine.run("sleep 1000", name="blog-php", service="blog-php", stack="blog")
    for name in ("mail-api", "mail-dovecot", "mail-clamav"):
        docker_engine.run("sleep 1000", name=name, service=name)
    docker_engine.run("exit 3", name="mail-rspamd", service="mail-rspamd").wait_for(Status="exited")
    docker_engine.run("sleep 1000", name="cloudflared", service="cloudflared", stack="portal")
    page = visit(portal_with_engine, color_scheme=theme, locale="en-GB", viewport={"width": 1280, "height": 780})
    set_up(page, portal_with_engine)
    page.goto("/containers")
    expect(page.get_by_role("row", name="blog-nginx")).to_contain_text("%", timeout=60_000)  # when it has been measured
    expect(page.get_by_role("button", name="Needs attention 1")).to_be_visible()
    page.screenshot(path=screens / f"containers-picture-{theme}.png")
