"""The DNS room as its users see it: records, drift, files, an outage, and text that means harm."""

from __future__ import annotations

import contextlib
import math
import re
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Dialog, Locator, Page, expect

from tests.browser.conftest import Visit, logged_in, set_up
from tests.browser.test_pages import faults, file_name, is_shown, screens
from tests.fakes.cloudflare import CloudflareFake
from tests.fakes.cloudflare.demo import JAPANESE, SAMPLE
from tests.fakes.cloudflare.dns import answer_of
from tests.services.portal import PASSWORD, Portal

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


def listed(page: Page) -> Locator:
    """The names in the list of records."""
    return page.get_by_role("rowheader").get_by_role("link")


def tab_to(page: Page, target: Locator, key: str = "Tab") -> None:
    """Go there as somebody without a mouse does."""
    target.wait_for()
    for _ in range(80):
        page.keyboard.press(key)
        if target.evaluate("element => element === document.activeElement"):
            return
    pytest.fail(f"the focus never came to {target}")


def asked_in(page: Page) -> dict[str, list[str]]:
    """What the page's address says of it."""
    return parse_qs(urlsplit(page.url).query)


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


@pytest.mark.parametrize(
    ("locale", "read_now", "badge", "history", "title", "take_all_back", "take_back", "none"),
    [
        (
            "ja-JP",
            "今すぐ読み込む",
            "ずれ",
            "履歴",
            "ずれ",
            "1 件すべてを元に戻す",
            "元に戻す",
            "ずれはありません。",
        ),
        ("en-GB", "Read now", "Drifted", "History", "Drift", "Take all 1 back", "Take back", "No drift."),
    ],
)
def test_change_from_outside_appears_as_drift_and_is_taken_back(
    portal_with_cloudflare: Portal,
    anna: Options,
    cloudflare: CloudflareFake,
    visit: Visit,
    locale: str,
    read_now: str,
    badge: str,
    history: str,
    title: str,
    take_all_back: str,
    take_back: str,
    none: str,
) -> None:
    page = visit(portal_with_cloudflare, f"/dns/{JAPANESE}", locale=locale, **anna)
    row = page.get_by_role("row", name=re.compile("memo"))
    expect(row).to_contain_text("日本語のメモ")
    before = record(cloudflare, "TXT", "memo", JAPANESE)
    cloudflare.edit(JAPANESE, type="TXT", name="memo", content='"gone"', comment="not by Homeport")
    page.get_by_role("button", name=read_now).click()
    expect(row).to_contain_text(badge)
    page.get_by_role("link", name=re.compile(f"^{history}")).click()
    drift = page.get_by_role("list", name=title, exact=True).get_by_role("listitem")
    expect(drift).to_have_count(1)
    expect(drift).to_contain_text(re.compile("日本語のメモ.*gone"))
    expect(drift).to_contain_text("not by Homeport")
    page.get_by_role("button", name=take_all_back).click()
    dialog = page.get_by_role("dialog")
    expect(changes_in(dialog)).to_contain_text(re.compile("gone.*日本語のメモ"))
    dialog.get_by_role("button", name=take_back).click()
    expect(page.get_by_text(none)).to_be_visible()
    assert record(cloudflare, "TXT", "memo", JAPANESE) == before


@pytest.mark.parametrize(
    ("locale", "new", "paste", "preview", "apply", "stale", "done"),
    [
        (
            "ja-JP",
            "neu",
            "または、ここに貼り付け",
            "プレビュー",
            "適用",
            "確認後に状況が変わったため",
            "DNS レコードの変更({}): 完了",
        ),
        (
            "en-GB",
            "new",
            "Or paste it here",
            "Preview",
            "Apply",
            "Something has changed since you looked",
            "Change DNS records ({}): Done",
        ),
    ],
)
def test_import_is_looked_at_again_when_the_zone_has_changed_meanwhile(
    portal_with_cloudflare: Portal,
    anna: Options,
    cloudflare: CloudflareFake,
    visit: Visit,
    locale: str,
    new: str,
    paste: str,
    preview: str,
    apply: str,
    stale: str,
    done: str,
) -> None:
    page = visit(portal_with_cloudflare, f"/dns/{SAMPLE}/import", locale=locale, **anna)
    file = f"$ORIGIN {SAMPLE}.\n{new} 300 IN A 192.0.2.77\n{new}er 300 IN A 192.0.2.78\n"
    page.get_by_role("textbox", name=paste).fill(file)
    page.get_by_role("button", name=preview).click()
    dialog = page.get_by_role("dialog")
    changes = changes_in(dialog).locator(":scope > li")
    expect(changes).to_have_text([re.compile(f"A {new}.{SAMPLE}"), re.compile(f"A {new}er.{SAMPLE}")])
    cloudflare.edit(SAMPLE, type="A", name=new, content="192.0.2.77", ttl=300)
    writes = len(cloudflare.writes)
    dialog.get_by_role("button", name=apply).click()
    expect(dialog.get_by_role("alert")).to_contain_text(stale)
    expect(changes).to_have_text([re.compile(f"A {new}er.{SAMPLE}")])
    assert len(cloudflare.writes) == writes
    dialog.get_by_role("button", name=apply).click()
    expect(page.get_by_text(done.format(f"A {new}er.{SAMPLE}"))).to_be_visible()
    assert record(cloudflare, "A", f"{new}er")["content"] == "192.0.2.78"


def test_record_of_many_parts_is_added_found_and_shared_with_its_columns(
    portal_with_cloudflare: Portal, anna: Options, cloudflare: CloudflareFake, visit: Visit
) -> None:
    page = visit(portal_with_cloudflare, RECORDS, **anna)
    page.get_by_role("button", name="レコードを追加").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("種類").select_option("SRV")
    dialog.get_by_label("名前").fill("_caldavs._tcp")
    for part, value in {"優先度": "10", "重み": "5", "ポート": "65536", "ターゲット": f"nas.{SAMPLE}"}.items():
        dialog.get_by_label(part).fill(value)
    port, preview = dialog.get_by_label("ポート"), dialog.get_by_role("button", name="プレビュー")
    expect(port).to_have_attribute("aria-invalid", "true")
    expect(preview).to_be_disabled()
    port.fill("8443")
    preview.click()
    expect(changes_in(dialog)).to_contain_text(re.compile(f"5 8443 nas.{SAMPLE}.*優先度10"))
    dialog.get_by_role("button", name="適用").click()
    expect(page.get_by_role("row", name=re.compile("_caldavs"))).to_contain_text(f"10 5 8443 nas.{SAMPLE}")
    data = record(cloudflare, "SRV", "_caldavs._tcp")["data"]
    assert data == {"priority": 10, "weight": 5, "port": 8443, "target": f"nas.{SAMPLE}"}

    page.keyboard.press("/")
    page.keyboard.type("8443 nas")
    box = page.get_by_label("名前、内容、コメントで絞り込み")
    expect(box).to_have_value("8443 nas")
    page.get_by_role("combobox", name="種類").select_option("SRV")  # a column is called so too
    expect(listed(page)).to_have_text(["_caldavs._tcp"])
    columns = page.get_by_role("columnheader")
    expect(columns.filter(has_text="TTL")).to_have_count(1)
    page.get_by_text("列", exact=True).click()
    page.get_by_role("checkbox", name="変更日時").check()
    page.get_by_role("checkbox", name="TTL").uncheck()
    expect(columns.filter(has_text="TTL")).to_have_count(0)
    expect(columns.filter(has_text="変更日時")).to_have_count(1)
    expect(page).to_have_url(re.compile("modified_on"))
    asked = {"find": ["8443 nas"], "type": ["SRV"], "columns": ["type,name,content,proxied,comment,modified_on"]}
    assert asked_in(page) == asked

    other = visit(portal_with_cloudflare, page.url, **anna)
    expect(listed(other)).to_have_text(["_caldavs._tcp"])
    expect(other.get_by_role("columnheader")).to_have_text(columns.all_inner_texts())
    expect(other.get_by_label("名前、内容、コメントで絞り込み")).to_have_value("8443 nas")
    page.goto(RECORDS)  # where the address says nothing of columns, what was chosen on this device holds
    expect(columns.filter(has_text="変更日時")).to_have_count(1)
    assert asked_in(page) == {}


def test_several_are_changed_by_keyboard_with_a_fresh_factor_and_the_zone_is_rolled_back(
    portal_with_cloudflare: Portal, anna: Options, cloudflare: CloudflareFake, visit: Visit
) -> None:
    hers = logged_in(portal_with_cloudflare, "anna")  # a step-up ends the login that the other tests share
    file = portal_with_cloudflare.state_dir / "portal.sqlite3"
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        newest = "(SELECT max(created_at) FROM sessions)"
        database.execute(f"UPDATE sessions SET factor_at = '2026-01-01 00:00:00.000000' WHERE created_at = {newest}")
    page = visit(portal_with_cloudflare, f"/dns/{SAMPLE}/history", locale="en-GB", **hers)
    points = page.get_by_role("table", name="Points in time").get_by_role("row")
    expect(points.nth(1)).to_be_visible()  # the zone is known; what is the same again is kept as no point of its own
    for number in (1, 2, 3):
        cloudflare.edit(SAMPLE, type="A", name=f"desk{number}", content=f"192.0.2.{40 + number}", ttl=300)
    page.get_by_role("button", name="Keep this moment").click()
    expect(points.nth(1)).to_contain_text("By hand")
    before = {name: record(cloudflare, "A", name) for name in ("desk1", "desk2", "desk3")}

    page.goto(f"{RECORDS}?find=desk")
    expect(listed(page)).to_have_text(["desk1", "desk2", "desk3"])
    for name in ("desk1", "desk3"):
        tab_to(page, page.get_by_role("checkbox", name=f"Select A {name}.{SAMPLE}"))
        page.keyboard.press("Space")
    expect(page.get_by_text("2 selected")).to_be_visible()
    tab_to(page, page.get_by_role("button", name="Set TTL"), "Shift+Tab")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    ttl = dialog.get_by_label("TTL")
    tab_to(page, ttl)
    for _ in range(4):  # automatic, 1, 2, 5, 10 minutes
        page.keyboard.press("ArrowDown")
    expect(ttl).to_have_value("600")
    tab_to(page, dialog.get_by_role("button", name="Preview"))
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text("2 to change")
    expect(dialog).to_contain_text("Applying it asks for a fresh factor.")
    writes = len(cloudflare.writes)
    tab_to(page, dialog.get_by_role("button", name="Apply"))
    page.keyboard.press("Enter")
    proof = page.get_by_role("dialog", name="Confirm it is you")
    expect(proof.get_by_label("Password")).to_be_focused()
    assert len(cloudflare.writes) == writes
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(proof).to_have_count(0)
    expect(dialog).to_contain_text("Done")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("row", name=re.compile("desk[13]")).filter(has_text="10m")).to_have_count(2)
    changed = {name: record(cloudflare, "A", name)["ttl"] for name in before}
    assert changed == {"desk1": 600, "desk2": 300, "desk3": 600}

    page.get_by_role("link", name=re.compile("^History")).click()
    kept = points.filter(has_text="Before a change").first  # the same point: it counts for more now
    kept.get_by_role("link", name=re.compile("^Compare")).click()
    expect(page.get_by_text("2 changed", exact=True)).to_be_visible()
    page.get_by_role("button", name="Roll the zone back to the first point").click()
    lines = changes_in(dialog).locator(":scope > li")
    expect(lines).to_have_text([re.compile(f"A {name}.{SAMPLE}.*10m.*5m") for name in ("desk1", "desk3")])
    dialog.get_by_role("button", name="Roll back").click()
    expect(dialog).to_contain_text("Done")
    dialog.get_by_role("button", name="Close").click()
    expect(page.get_by_text("Nothing differs.")).to_be_visible()
    assert {name: record(cloudflare, "A", name) for name in before} == before


def test_what_was_exported_is_nothing_to_do_when_imported(
    portal_with_cloudflare: Portal, anna: Options, cloudflare: CloudflareFake, visit: Visit, tmp_path: Path
) -> None:
    cloudflare.edit(SAMPLE, type="TXT", name="odd", content=HARM, comment=HARM[:100])
    page = visit(portal_with_cloudflare, f"/dns/{SAMPLE}/import", locale="en-GB", **anna)
    writes = len(cloudflare.writes)
    dialog = page.get_by_role("dialog")
    for form, name in {"bind": "BIND zone file", "csv": "CSV", "json": "JSON"}.items():
        with page.expect_download() as download:
            page.get_by_role("link", name=name).click()
        file = tmp_path / download.value.suggested_filename
        download.value.save_as(file)
        assert "status.hosting.example" in file.read_text()
        page.get_by_label("Choose a file").set_input_files(file)
        expect(page.get_by_label("Format")).to_have_value(form)
        page.get_by_role("radio", name=re.compile("^They are deleted")).check()
        page.get_by_role("button", name="Preview").click()
        expect(dialog).to_contain_text("Nothing to do: everything is so already.")
        dialog.get_by_role("button", name="Close").click()
    assert len(cloudflare.writes) == writes


@pytest.mark.parametrize(
    ("locale", "read_now", "delete"),
    [("ja-JP", "今すぐ読み込む", "を削除$"), ("en-GB", "Read now", "^Delete TXT")],
)
def test_text_that_means_harm_is_shown_as_text(
    portal_with_cloudflare: Portal,
    anna: Options,
    cloudflare: CloudflareFake,
    visit: Visit,
    locale: str,
    read_now: str,
    delete: str,
) -> None:
    cloudflare.edit(SAMPLE, type="TXT", name="hostile", content=HARM, comment=HARM[:100])
    cloudflare.edit(SAMPLE, type="TXT", name="long", content="x" * 4000)
    page = visit(portal_with_cloudflare, "/dns", locale=locale, **anna)
    asked: list[str] = []

    def tell(dialog: Dialog) -> None:
        asked.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", tell)
    page.get_by_role("link", name=SAMPLE).click()
    page.get_by_role("button", name=read_now).click()
    row = page.get_by_role("row", name=re.compile("hostile"))
    expect(row).to_contain_text(SEEN)
    expect(row.locator("img, script")).to_have_count(0)
    row.get_by_role("link", name="hostile").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("hostile")
    expect(page.get_by_text(SEEN).first).to_be_visible()
    expect(page.locator("main img, main script")).to_have_count(0)
    page.go_back()
    row.get_by_role("button", name=re.compile(delete)).click()
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
        expect(page.get_by_text("DNS Edit", exact=True)).to_be_visible()
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
        try:
            page.get_by_role("button", name="今すぐ読み込む").click()
            notice = page.get_by_role("alert").filter(has_text="Cloudflare が応答しません。")
            expect(notice).to_contain_text(re.compile("表示は次の時点のものです: .*前"))
            page.reload()
            expect(notice).to_be_visible()
            expect(row).to_contain_text("status.hosting.example")
        finally:
            cloudflare.heal()  # it is every test's
        page.get_by_role("button", name="今すぐ読み込む").click()
        expect(notice).to_have_count(0)
