"""The WordPress room as its users meet it: a real portal, its broker and real sites behind it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Visit, logged_in, set_up
from tests.browser.test_pages import faults, file_name, is_shown, screens
from tests.portal.wordpress.adopted import adopt
from tests.services.fleet import Fleet
from tests.services.portal import Portal

__all__ = ["screens"]

pytestmark = pytest.mark.timeout(300)  # the first test of a process waits for a fleet

Options = dict[str, Any]
HARM = "<script>alert(1)</script><img src=x onerror=alert(2)> \u202egnol\u202c"
SEEN = "<script>alert(1)</script><img src=x onerror=alert(2)>"  # what turns the direction is taken out when it is read
LOOKS = [("light", "ja-JP", 1360), ("dark", "en-GB", 1360), ("dark", "ja-JP", 360)]
LONG_MS = 60_000  # an act of its own, on a machine that has others to do
PAGES = (
    "wordpress",
    "wordpress?ask=add",
    "wordpress?ask=import",
    "wordpress/updates",
    "wordpress/mail",
    "wordpress/sites/alder",
    *(f"wordpress/sites/alder?tab={tab}" for tab in ("plugins", "themes", "users", "probes", "tools")),
)


@pytest.fixture(scope="module")
def gardens() -> Iterator[Fleet]:
    """Two sites, of which one has a title that means harm and a plugin with an update."""
    if os.geteuid() != 0:
        pytest.skip("a fleet in namespaces of its own needs root")
    with Fleet(2) as running:
        running.query("birch", "UPDATE wp_options SET option_value = %s WHERE option_name = 'blogname'", HARM)
        running.flush_cache("birch")
        running.add_plugin_update("quay-forms", "1.1.0")
        yield running


@pytest.fixture(scope="module")
def portal(gardens: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    settings = gardens.portal_settings() | {"SITES_EDGE_URL": gardens.origin_url}
    running = Portal(tmp_path_factory.mktemp("portal"), settings)
    adopt(running, gardens)
    with running:
        yield running


@pytest.fixture(scope="module")
def anna(portal: Portal) -> Options:
    return logged_in(portal)


def row(page: Page, name: str) -> Locator:
    return page.get_by_role("row").filter(has_text=name)


def test_sites_are_listed_read_and_their_titles_are_text(portal: Portal, anna: Options, visit: Visit) -> None:
    page = visit(portal, "/wordpress", locale="en-GB", **anna)
    expect(row(page, "alder")).to_be_visible()
    page.get_by_role("button", name="Read all again").click()
    expect(row(page, "alder")).to_contain_text(re.compile(r"Active.*1 update", re.DOTALL), timeout=LONG_MS)
    expect(row(page, "birch")).to_contain_text(SEEN, timeout=LONG_MS)
    assert page.locator("img[src=x]").count() == 0
    page.goto("/")
    summary = page.locator("section").filter(has=page.get_by_role("heading", name="WordPress", exact=True))
    expect(summary.get_by_role("link", name="2 sites have updates")).to_be_visible(timeout=LONG_MS)
    summary.get_by_role("link", name="2 sites have updates").click()
    expect(page.get_by_role("button", name="With updates 2")).to_have_attribute("aria-pressed", "true")
    page.get_by_label("Filter sites").fill("bir")
    expect(row(page, "alder")).to_have_count(0)
    expect(page).to_have_url(re.compile("find=bir"))


@pytest.mark.parametrize(
    ("locale", "deactivate", "activate", "inactive", "active"),
    [("ja-JP", "無効化", "有効化", "無効", "有効"), ("en-GB", "Deactivate", "Activate", "Inactive", "Active")],
)
def test_plugin_is_switched_by_a_plan_and_back_by_undo(
    portal: Portal, anna: Options, visit: Visit, locale: str, deactivate: str, activate: str, inactive: str, active: str
) -> None:
    page = visit(portal, "/wordpress/sites/alder?tab=plugins", locale=locale, **anna)
    plugin = page.get_by_role("row").filter(has_text="quay-forms").first
    plugin.get_by_role("button", name=re.compile(deactivate)).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("plugin quay-forms")
    expect(dialog).to_contain_text("homeport wordpress apply ")
    dialog.get_by_role("button", name=deactivate).click()
    expect(plugin.get_by_role("button", name=re.compile(activate))).to_be_visible(timeout=LONG_MS)
    toast = page.get_by_role("status").filter(has=page.get_by_role("button", name=re.compile("^(元に戻す|Undo)$")))
    toast.get_by_role("button", name=re.compile("元に戻す|Undo")).click()
    dialog.get_by_role("button", name=re.compile("元に戻す|Undo")).click()
    expect(plugin.get_by_role("button", name=re.compile(deactivate))).to_be_visible(timeout=LONG_MS)


def test_replacement_is_counted_first_and_needs_a_word_without_a_restore_point(
    portal: Portal, anna: Options, gardens: Fleet, visit: Visit
) -> None:
    before = gardens.checksum("alder")
    page = visit(portal, "/wordpress/sites/alder?tab=tools", locale="en-GB", **anna)
    page.get_by_label("Text that stands there").fill("alder.example")
    page.get_by_label("Text to stand there").fill("elder.example")
    page.get_by_role("button", name="Count").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("row").filter(has_text="wp_options.option_value")).to_be_visible(timeout=LONG_MS)
    expect(dialog).to_contain_text("alder.example → elder.example")
    replace = dialog.get_by_role("button", name="Replace")
    expect(replace).to_be_disabled()
    dialog.get_by_label("Do it without a restore point").check()
    expect(replace).to_be_enabled()
    dialog.get_by_role("button", name="Cancel").click()
    assert gardens.checksum("alder") == before


@pytest.mark.parametrize(
    ("locale", "add", "to_password", "reset", "kept", "remove"),
    [
        ("ja-JP", "サイトを作成", "新しいパスワード", "anna: 新しいパスワード", "控えました", "サイトを削除"),
        ("en-GB", "New site", "New password", "New password: anna", "I have kept it", "Remove the site"),
    ],
)
def test_site_is_made_its_administrator_gets_a_password_and_it_is_removed(
    portal: Portal,
    anna: Options,
    gardens: Fleet,
    visit: Visit,
    locale: str,
    add: str,
    to_password: str,
    reset: str,
    kept: str,
    remove: str,
) -> None:
    site = f"willow-{locale[:2]}"
    page = visit(
        portal, "/wordpress", locale=locale, **(anna | logged_in(portal, "anna"))
    )  # a removal needs fresh ones
    page.get_by_role("button", name=add).click()
    dialog = page.get_by_role("dialog", name=add)
    form = [site, f"{site}.example", HARM.partition(" ")[0], "anna", "anna@sites.example"]
    fields = dialog.locator("input:not([type=checkbox])")
    expect(fields).to_have_count(len(form))
    for field, text in zip(fields.all(), form, strict=True):
        field.fill(text)
    dialog.get_by_role("checkbox").uncheck()  # nothing leads there from outside: Cloudflare is not connected
    dialog.locator("button[type=submit]").click()
    expect(dialog.get_by_text(f"database blog/wp_{site.replace('-', '_')}")).to_be_visible(timeout=LONG_MS)
    assert not (gardens.sites_root / site).exists()
    dialog.get_by_role("button", name=add).click()
    page.get_by_role("link", name=to_password).click(timeout=LONG_MS)
    page.get_by_role("button", name=reset).click(timeout=LONG_MS)
    page.get_by_role("dialog").get_by_role("button", name=to_password).click()
    expect(page.get_by_role("dialog").locator("code")).to_have_text(re.compile(r"^\S{12,}$"), timeout=LONG_MS)
    page.get_by_role("button", name=kept).click()
    page.get_by_role("button", name=remove).click()
    dialog = page.get_by_role("dialog")
    apply = dialog.get_by_role("button", name=remove)
    expect(apply).to_be_disabled()
    dialog.get_by_role("checkbox").click()  # without a restore point: no backup is connected; another plan
    expect(dialog.get_by_role("checkbox")).to_be_checked(timeout=LONG_MS)
    dialog.locator("input:not([type=checkbox])").fill(site)
    apply.click()
    expect(page).to_have_url(re.compile("/operations/"), timeout=LONG_MS)
    expect(page.get_by_role("heading", level=1)).to_contain_text(site)
    page.get_by_role("link", name=re.compile("^(サイトの一覧を開く|Open the list of sites)$")).click(timeout=LONG_MS)
    expect(row(page, "alder")).to_be_visible()
    expect(row(page, site)).to_have_count(0)


def test_keyboard_alone_chooses_sites_and_reaches_their_update(portal: Portal, anna: Options, visit: Visit) -> None:
    page = visit(portal, "/wordpress", **anna)
    choose = page.get_by_role("checkbox", name="birch を選択")
    choose.focus()
    page.keyboard.press("Space")
    expect(page.get_by_text("1 件を選択中")).to_be_visible()
    page.get_by_role("link", name="選択したサイトを更新").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("一括更新")
    expect(page.get_by_role("checkbox", name="birch")).to_be_checked()
    expect(page.get_by_role("checkbox", name="alder")).not_to_be_checked()
    page.goto("/wordpress")
    expect(page.get_by_role("button", name="サイトを作成")).to_be_enabled()
    page.get_by_role("button", name="サイトを作成").focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="サイトを作成")
    expect(dialog.locator("input").first).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("button", name="サイトを作成")).to_be_focused()


def test_password_is_shown_once(portal: Portal, anna: Options, visit: Visit) -> None:
    page = visit(portal, "/wordpress/sites/birch?tab=users", locale="en-GB", **anna)
    page.get_by_role("button", name="New password: warden").click()
    page.get_by_role("dialog").get_by_role("button", name="New password").click()
    dialog = page.get_by_role("dialog", name="The new password")
    password = dialog.locator("code")
    expect(password).to_have_text(re.compile(r"^\S{12,}$"), timeout=LONG_MS)
    secret = password.inner_text()
    dialog.get_by_role("button", name="I have kept it").click()
    expect(dialog).to_have_count(0)
    assert secret not in page.content()


def test_line_of_wp_says_how_it_ended(portal: Portal, anna: Options, visit: Visit) -> None:
    page = visit(portal, "/wordpress/sites/alder?tab=tools", locale="en-GB", **anna)
    page.get_by_label("Subcommand").fill("wp core version")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_text("Ended with exit code 0")).to_be_visible(timeout=LONG_MS)
    page.get_by_label("Subcommand").fill("eval 'echo 1;'")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_role("alert")).to_be_visible()


@pytest.mark.parametrize(("theme", "locale", "width"), LOOKS)
def test_pages_are_without_a_serious_fault(
    portal: Portal, anna: Options, visit: Visit, screens: Path, theme: str, locale: str, width: int
) -> None:
    page = visit(
        portal,
        locale=locale,
        color_scheme=theme,
        viewport={"width": width, "height": 860},
        bypass_csp=True,  # axe is a script of the test's own; all other tests run under the portal's policy
        **anna,
    )
    found: list[str] = []
    for path in PAGES:
        page.goto(f"/{path}")
        is_shown(page)
        page.screenshot(path=screens / file_name(path, theme, locale, width), full_page=True)
        found += [f"/{path} {fault}" for fault in faults(page)]
    assert found == []


def test_room_without_a_broker_says_what_to_do(tmp_path: Path, visit: Visit) -> None:
    with Portal(tmp_path) as bare:
        page = visit(bare, locale="ja-JP")
        set_up(page, bare)
        page.goto("/wordpress")
        expect(page.get_by_text("WordPress に接続していません")).to_be_visible()
        expect(page.get_by_role("button", name="サイトを作成")).to_be_disabled()
