"""The DNS room as its users see it: records, drift, files, an outage, and text that means harm."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Dialog, Locator, expect

from tests.browser.conftest import Visit, logged_in, set_up
from tests.browser.test_pages import faults, file_name, is_shown, screens
from tests.fakes.cloudflare import CloudflareFake
from tests.fakes.cloudflare.demo import JAPANESE, SAMPLE
from tests.fakes.cloudflare.dns import answer_of
from tests.services.portal import Portal

__all__ = ["screens"]

RECORDS = f"/dns/{SAMPLE}"
Options = dict[str, Any]
PAGES = (
    "dns",
    RECORDS[1:],
    f"dns/{JAPANESE}",
    f"dns/{SAMPLE}/history",
    f"dns/{SAMPLE}/import",
    "dns/tunnel",
    "dns/tunnel?ask=add",
    f"dns/mail?zone={SAMPLE}",
    "domains",
    "domains?ask=add",
)
HARM = '<script>alert(1)</script><img src=x onerror=alert(2)> \u202egnol\u202c \u0007\u001b[31m "q\\'
SEEN = "<script>alert(1)</script><img src=x onerror=alert(2)> ⟨U+202E⟩gnol"


def record(cf: CloudflareFake, type_: str, name: str, zone: str = SAMPLE) -> dict[str, object]:
    """The one record of this type and name, as Cloudflare would list it, without what tells when it was written."""
    (found,) = [each for each in cf.state.zones[zone].records if (each.type, each.name) == (type_, f"{name}.{zone}")]
    return {name: value for name, value in answer_of(found).items() if name not in ("id", "created_on", "modified_on")}


def changes_in(dialog: Locator) -> Locator:
    return dialog.get_by_role("list", name=re.compile("^(変更内容|What changes)$"))


@pytest.mark.parametrize(
    ("locale", "label", "edit", "content", "preview", "apply", "undo", "done"),
    [
        (
            "ja-JP",
            "printer",
            "{} を変更",
            "IPv4 アドレス",
            "プレビュー",
            "適用",
            "元に戻す",
            "DNS レコードの変更({}): 完了",
        ),
        ("en-GB", "nas", "Change {}", "IPv4 address", "Preview", "Apply", "Undo", "Change DNS records ({}): Done"),
    ],
)
def test_record_is_edited_looked_at_applied_and_taken_back(
    portal_with_cloudflare: Portal,
    anna: Options,
    cloudflare: CloudflareFake,
    visit: Visit,
    locale: str,
    label: str,
    edit: str,
    content: str,
    preview: str,
    apply: str,
    undo: str,
    done: str,
) -> None:
    page = visit(portal_with_cloudflare, RECORDS, locale=locale, **anna)
    page.evaluate("window.isTheSamePage = true")
    before = record(cloudflare, "A", label)
    name, old, writes = f"A {label}.{SAMPLE}", str(before["content"]), len(cloudflare.writes)
    change = page.get_by_role("button", name=edit.format(name))
    row = page.get_by_role("row").filter(has=change)
    change.click()
    dialog = page.get_by_role("dialog")
    field = dialog.get_by_label(content)
    field.fill("192.0.2.999")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(dialog.get_by_role("button", name=preview)).to_be_disabled()
    field.fill("192.0.2.99")
    dialog.get_by_role("button", name=preview).click()
    expect(changes_in(dialog)).to_contain_text(re.compile(f"{old}.*192.0.2.99"))
    expect(dialog).to_contain_text("homeport dns apply ")
    assert len(cloudflare.writes) == writes
    dialog.get_by_role("button", name=apply).click()
    toast = page.get_by_role("status").filter(has_text=done.format(name))
    expect(toast).to_be_visible()
    expect(row).to_contain_text("192.0.2.99")
    assert record(cloudflare, "A", label) == before | {"content": "192.0.2.99"}

    toast.get_by_role("button", name=undo).click()
    expect(changes_in(dialog)).to_contain_text(re.compile(f"192.0.2.99.*{old}"))
    dialog.get_by_role("button", name=undo).click()
    expect(row).to_contain_text(old)
    assert record(cloudflare, "A", label) == before
    assert page.evaluate("window.isTheSamePage")


def test_change_from_outside_appears_as_drift_and_is_taken_back(
    portal_with_cloudflare: Portal, anna: Options, cloudflare: CloudflareFake, visit: Visit
) -> None:
    page = visit(portal_with_cloudflare, f"/dns/{JAPANESE}", **anna)
    row = page.get_by_role("row", name=re.compile("memo"))
    expect(row).to_contain_text("日本語のメモ")
    before = record(cloudflare, "TXT", "memo", JAPANESE)
    cloudflare.edit(JAPANESE, type="TXT", name="memo", content='"gone"', comment="not by Homeport")
    page.get_by_role("button", name="今すぐ読み込む").click()
    expect(row).to_contain_text("ずれ")
    page.get_by_role("link", name=re.compile("^履歴")).click()
    drift = page.get_by_role("list", name="ずれ").get_by_role("listitem")
    expect(drift).to_have_count(1)
    expect(drift).to_contain_text(re.compile("日本語のメモ.*gone"))
    expect(drift).to_contain_text("not by Homeport")
    page.get_by_role("button", name="1 件すべてを元に戻す").click()
    dialog = page.get_by_role("dialog")
    expect(changes_in(dialog)).to_contain_text(re.compile("gone.*日本語のメモ"))
    dialog.get_by_role("button", name="元に戻す").click()
    expect(page.get_by_text("ずれはありません。")).to_be_visible()
    assert record(cloudflare, "TXT", "memo", JAPANESE) == before


def test_import_is_looked_at_again_when_the_zone_has_changed_meanwhile(
    portal_with_cloudflare: Portal, anna: Options, cloudflare: CloudflareFake, visit: Visit
) -> None:
    page = visit(portal_with_cloudflare, f"/dns/{SAMPLE}/import", locale="en-GB", **anna)
    file = f"$ORIGIN {SAMPLE}.\nnew 300 IN A 192.0.2.77\nnewer 300 IN A 192.0.2.78\n"
    page.get_by_role("textbox", name="Or paste it here").fill(file)
    page.get_by_role("button", name="Preview").click()
    dialog = page.get_by_role("dialog")
    changes = changes_in(dialog).locator(":scope > li")
    expect(changes).to_have_text([re.compile(f"A new.{SAMPLE}"), re.compile(f"A newer.{SAMPLE}")])
    cloudflare.edit(SAMPLE, type="A", name="new", content="192.0.2.77", ttl=300)
    writes = len(cloudflare.writes)
    dialog.get_by_role("button", name="Apply").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Something has changed since you looked")
    expect(changes).to_have_text([re.compile(f"A newer.{SAMPLE}")])
    assert len(cloudflare.writes) == writes
    dialog.get_by_role("button", name="Apply").click()
    expect(page.get_by_text(f"Change DNS records (A newer.{SAMPLE}): Done")).to_be_visible()
    assert record(cloudflare, "A", "newer")["content"] == "192.0.2.78"


def test_text_that_means_harm_is_shown_as_text(
    portal_with_cloudflare: Portal, anna: Options, cloudflare: CloudflareFake, visit: Visit
) -> None:
    cloudflare.edit(SAMPLE, type="TXT", name="hostile", content=HARM, comment=HARM[:100])
    cloudflare.edit(SAMPLE, type="TXT", name="long", content="x" * 4000)
    page = visit(portal_with_cloudflare, "/dns", **anna)
    asked: list[str] = []

    def tell(dialog: Dialog) -> None:
        asked.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", tell)
    page.get_by_role("link", name=SAMPLE).click()
    page.get_by_role("button", name="今すぐ読み込む").click()
    row = page.get_by_role("row", name=re.compile("hostile"))
    expect(row).to_contain_text(SEEN)
    expect(row.locator("img, script")).to_have_count(0)
    row.get_by_role("link", name="hostile").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("hostile")
    expect(page.get_by_text(SEEN).first).to_be_visible()
    expect(page.locator("main img, main script")).to_have_count(0)
    page.go_back()
    row.get_by_role("button", name=re.compile("を削除$")).click()
    expect(changes_in(page.get_by_role("dialog"))).to_contain_text(SEEN)
    assert "\u202e" not in page.locator("body").inner_text()
    page.keyboard.press("Escape")
    page.get_by_role("link", name="long").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("long")
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    assert asked == []


def test_without_a_token_every_page_says_what_to_set(portal: Portal, visit: Visit) -> None:
    page = visit(portal, locale="en-GB", bypass_csp=True)
    set_up(page, portal)
    for path in ("/dns", "/dns/tunnel", f"/dns/{SAMPLE}"):
        page.goto(path)
        expect(page.get_by_text("No Cloudflare account is connected.")).to_be_visible()
        expect(page.get_by_text("HOMEPORT_PORTAL_CLOUDFLARE_TOKEN", exact=True)).to_be_visible()
        expect(page.get_by_text("DNS Write", exact=True)).to_be_visible()
        assert faults(page) == []
    page.goto("/domains")
    expect(page.get_by_text("HOMEPORT_PORTAL_CLOUDFLARE_TOKEN is not set")).to_be_visible()


@pytest.mark.parametrize(("theme", "locale", "width"), [("light", "ja-JP", 1360), ("dark", "en-GB", 360)])
def test_every_page_of_the_room_has_no_serious_fault_and_fits(
    portal_with_cloudflare: Portal,
    anna: Options,
    visit: Visit,
    screens: Path,
    theme: str,
    locale: str,
    width: int,
) -> None:
    look = {"color_scheme": theme, "locale": locale, "viewport": {"width": width, "height": 860}, "bypass_csp": True}
    page = visit(portal_with_cloudflare, **look, **anna)
    found: list[str] = []
    for path in PAGES:
        page.goto(f"/{path}")
        is_shown(page)
        expect(page.get_by_text(re.compile("架空のもの|are made up"))).to_be_visible()
        page.screenshot(path=screens / file_name(path, theme, locale, width))
        found += [f"/{path} {fault}" for fault in faults(page)]
    assert found == []


def test_outage_shows_what_was_last_known_with_its_age(
    cloudflare: CloudflareFake, cloudflare_settings: dict[str, str], tmp_path: Path, visit: Visit
) -> None:
    with Portal(tmp_path, cloudflare_settings) as portal:
        page = visit(portal, RECORDS, **logged_in(portal))
        row = page.get_by_role("row", name=re.compile("status"))
        expect(row).to_contain_text("status.hosting.example")
        cloudflare.fail("*", "", 500, times=math.inf)
        page.get_by_role("button", name="今すぐ読み込む").click()
        notice = page.get_by_role("alert").filter(has_text="Cloudflare が応答しません。")
        expect(notice).to_contain_text(re.compile("表示は次の時点のものです: .*前"))
        page.reload()
        expect(notice).to_be_visible()
        expect(row).to_contain_text("status.hosting.example")
        cloudflare.heal()
        page.get_by_role("button", name="今すぐ読み込む").click()
        expect(notice).to_have_count(0)
