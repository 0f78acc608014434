"""The backups room as its users see it: what is kept, what is missing, acts that go on without them, a restore."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
from playwright.sync_api import Browser, Locator, Page, StorageState, expect

from tests.browser.backup_units import BackupUnits, catalog, with_history
from tests.browser.conftest import Visit, log_in, set_up
from tests.browser.test_pages import LOOKS, SCREENSHOTS, faults, file_name, is_shown
from tests.services.portal import PASSWORD, Portal


@dataclass
class House:
    """A portal that knows a backup, and its first administrator, logged in."""

    portal: Portal
    units: BackupUnits
    anna: StorageState


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[House]:
    """One for all tests of this module: each writes the catalogue that it wants."""
    directory = tmp_path_factory.mktemp("house")
    units = BackupUnits(directory / "backups")
    with units.at_work(), Portal(directory, {"BACKUP_DIR": str(units.directory)}) as portal:
        context = browser.new_context(base_url=portal.url)
        set_up(context.new_page(), portal)
        anna = context.storage_state()
        context.close()
        yield House(portal, units, anna)


@pytest.fixture
def units(house: House) -> Iterator[BackupUnits]:
    house.units.write_catalog(with_history(catalog()))
    yield house.units
    house.units.go()
    house.units.refusal = None


@pytest.fixture
def page(house: House, units: BackupUnits, visit: Visit) -> Page:
    """The room, as Anna sees it."""
    page = visit(house.portal, "/backups", storage_state=house.anna)
    expect(page.get_by_role("heading", level=1)).to_have_text("バックアップ")
    return page


def _newest() -> str:
    return str(catalog()["points"][0]["id"])


def _panel(page: Page, title: str) -> Locator:
    return page.locator("section", has=page.get_by_role("heading", name=title, exact=True))


def _preview(page: Page, asset: str = "mailbox:anna@home.test") -> None:
    page.goto(f"/backups/restore?point={_newest()}")
    page.get_by_label("対象").select_option(asset)
    page.get_by_role("button", name="プレビュー", exact=True).click()
    expect(page.get_by_role("table", name="変更されるもの")).to_be_visible()


def test_overview_says_what_is_kept_until_when_and_what_is_missing(page: Page) -> None:
    local = page.get_by_role("article", name="ローカルのコピー")
    expect(local).to_contain_text("目標内")
    expect(page.get_by_role("article", name="保管庫のコピー")).to_contain_text("削除不可の期限")
    expect(page.get_by_role("article", name="保管庫からの復元")).to_contain_text("目標内")
    attention = _panel(page, "要対応")
    expect(attention).to_contain_text("バックアップされていないものが 1 件あります")
    expect(attention).to_contain_text("破損のある復元時点が 1 件あります")
    calendar = page.get_by_role("table", name="復元時点の暦")
    expect(calendar.get_by_role("link", name=re.compile("週次"))).to_have_count(4)
    expect(calendar.get_by_role("link", name=re.compile("破損"))).to_have_count(1)
    points = page.get_by_role("table", name="復元時点", exact=True)
    expect(points.get_by_role("row", name=_newest())).to_contain_text("検証済み")
    expect(page.get_by_text("すべて拒否されました")).to_be_visible()

    attention.get_by_role("listitem").filter(has_text="バックアップされていない").get_by_role(
        "link", name="確認"
    ).click()
    first = page.get_by_role("table", name="バックアップの対象").get_by_role("row").nth(1)
    expect(first).to_contain_text(re.compile("shop.*なし"))
    page.get_by_role("button", name=re.compile("^除外")).click()
    expect(page.get_by_text("2 件", exact=True)).to_be_visible()
    page.get_by_role("link", name="履歴").first.click()
    expect(page.get_by_role("table", name="実行の履歴")).to_contain_text("完了、検証済み")
    expect(page.get_by_role("table", name="復元訓練の履歴")).to_contain_text("wp_posts: 830 rows expected, 0 found")


def test_point_shows_its_copies_its_damage_and_what_lies_in_it(page: Page, units: BackupUnits) -> None:
    page.get_by_role("table", name="復元時点の暦").get_by_role("link", name=re.compile("破損")).click()
    expect(_panel(page, "検証で見つかった破損")).to_contain_text("expected 5f1d, found 9ac0")
    expect(page.get_by_role("link", name="メールボックス anna@home.test を復元")).to_be_visible()
    page.get_by_role("button", name="検証").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("homeport backups verify daily/")
    dialog.get_by_role("button", name="検証").click()
    expect(_panel(page, "結果の内容")).to_contain_text(re.compile("破損.*なし"))
    assert units.taken[-1]["act"] == "verify"

    gone = page.get_by_text("この復元時点はありません。")
    page.goto("/backups/points/daily-2020-01-01")
    expect(gone).to_be_visible()


def test_run_goes_on_while_nobody_looks_and_its_progress_is_seen_on_coming_back(page: Page, units: BackupUnits) -> None:
    units.hold()
    page.get_by_role("button", name="今すぐ実行").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="キャンセル")).to_be_focused()
    dialog.get_by_label("対象").select_option("site:blog")
    expect(dialog).to_contain_text("homeport backups run site:blog")
    dialog.get_by_role("button", name="今すぐ実行").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("バックアップの実行.*site:blog"))
    expect(page.get_by_text("150 MiB / 300 MiB")).to_be_visible()

    page.goto("/backups")
    work = _panel(page, "実行中の処理")
    expect(work).to_contain_text(re.compile("150 MiB / 300 MiB.*7.50 MiB/秒.*残り 20"))
    units.go()
    expect(page.get_by_text("バックアップの実行(site:blog): 完了")).to_be_visible()
    expect(work).to_have_count(0)

    page.goto("/operations")
    page.get_by_role("link", name="バックアップの実行").first.click()
    expect(_panel(page, "結果の内容")).to_contain_text(re.compile("manual/.*300 MiB"))
    page.get_by_role("link", name=re.compile(r"^\d{8}T\d{6}Z-run-")).click()
    steps = _panel(page, "経過")
    expect(steps).to_contain_text(re.compile("事前確認.*取得"))
    expect(steps).to_contain_text("<i>an earlier point</i>")
    expect(page.get_by_text("完了、検証済み")).to_be_visible()


def test_drill_is_asked_for_and_its_result_is_seen(page: Page, units: BackupUnits) -> None:
    page.get_by_role("button", name="復元訓練").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("復元元").select_option("vault")
    expect(dialog).to_contain_text("$")
    dialog.get_by_role("button", name="復元訓練").click()
    expect(_panel(page, "結果の内容")).to_contain_text("5210 messages")
    assert units.taken[-1] | {"id": "", "at": ""} == {
        "schema_version": 1,
        "id": "",
        "act": "vaultdrill",
        "by": "anna",
        "at": "",
        "asset": None,
    }


def test_restore_beside_is_previewed_and_then_exactly_that_is_done(page: Page, units: BackupUnits) -> None:
    page.goto("/backups")
    page.get_by_role("link", name="復元", exact=True).first.click()
    expect(page.get_by_role("button", name="プレビュー", exact=True)).to_be_disabled()
    page.get_by_label("対象").select_option("mailbox:anna@home.test")
    page.get_by_label("フォルダー").select_option(label="Sent")
    page.get_by_role("button", name="プレビュー", exact=True).click()
    found = _panel(page, "3. 確認")
    expect(found).to_contain_text(re.compile("追加2上書き1削除0"))
    expect(found).to_contain_text("/srv/homeport/hdd/restores/<b>anna</b>")
    expect(found).to_contain_text("<img src=x onerror=alert(1)>⟨U+202E⟩")
    assert units.taken[-1]["folder"] == ".Sent"

    page.reload()  # what was found can be come back to
    page.get_by_role("button", name="復元を実行").click()
    result = _panel(page, "結果の内容")
    expect(result).to_contain_text("/srv/homeport/hdd/restores/anna")
    assert (units.taken[-1]["act"], units.taken[-1]["plan"], units.taken[-1]["confirm"]) == (
        "restore",
        "5f70bf18" * 8,
        None,
    )


def test_restore_in_place_wants_the_point_typed_and_a_fresh_factor(
    house: House, units: BackupUnits, visit: Visit
) -> None:
    page = visit(house.portal)  # of her own: a step-up ends the login that the other tests share
    log_in(page)
    expect(page.locator("#main h1")).to_be_visible()
    with sqlite3.connect(house.portal.state_dir / "portal.sqlite3") as database:
        database.execute("UPDATE sessions SET factor_at = '2026-01-01 00:00:00.000000'")
    page.goto(f"/backups/restore?point={_newest()}&asset=mailbox:anna@home.test&where=in-place")
    page.get_by_role("button", name="プレビュー", exact=True).click()
    page.get_by_role("button", name="復元を実行").click()
    dialog = page.get_by_role("dialog", name="元の場所に復元")
    expect(dialog.get_by_role("button", name="キャンセル")).to_be_focused()
    restore = dialog.get_by_role("button", name="復元を実行")
    expect(restore).to_be_disabled()
    dialog.get_by_label("確認のため").fill(_newest())
    restore.click()
    asked = page.get_by_role("dialog", name="再認証")
    asked.get_by_label("パスワード").fill(PASSWORD)
    asked.get_by_role("button", name="確認して続行").click()
    result = _panel(page, "結果の内容")
    expect(result).to_contain_text("before-restore")
    expect(result).to_contain_text("homeport backup restore manual/")
    assert units.taken[-1]["confirm"] == _newest()


def test_refused_restore_says_why_and_leads_back_to_its_preview(page: Page, units: BackupUnits) -> None:
    units.refusal = "the world has changed since the preview: 1 more file would be added"
    _preview(page)
    page.get_by_role("button", name="復元を実行").click()
    expect(page.get_by_text("復元は拒否されました。")).to_be_visible()
    expect(page.get_by_text(units.refusal).first).to_be_visible()
    page.get_by_role("link", name="もう一度プレビュー").click()
    expect(page.get_by_label("対象")).to_have_value("mailbox:anna@home.test")
    expect(page.get_by_role("button", name="プレビュー", exact=True)).to_be_enabled()


def test_what_is_chosen_anew_takes_an_old_preview_away(page: Page) -> None:
    _preview(page)
    page.get_by_label("対象").select_option("site:blog")
    expect(page.get_by_role("button", name="復元を実行")).to_have_count(0)
    far = next(point["id"] for point in catalog()["points"] if not point["is_local"])
    page.get_by_label("復元時点", exact=True).select_option(far)
    expect(page.get_by_label("ローカル")).to_be_disabled()
    expect(page.get_by_label("保管庫")).to_be_checked()


def test_old_catalogue_is_grey_and_a_new_one_is_seen_without_a_reload(
    house: House, units: BackupUnits, visit: Visit
) -> None:
    units.write_catalog(catalog(age=timedelta(hours=30)))
    page = visit(house.portal, "/backups", storage_state=house.anna)
    expect(page.get_by_role("alert")).to_contain_text("目録が更新されていません。")
    expect(page.get_by_role("article", name="ローカルのコピー")).to_contain_text("不明")
    expect(page.get_by_text("目標内")).to_have_count(0)
    units.write_catalog(catalog())
    expect(page.get_by_role("article", name="ローカルのコピー")).to_contain_text("目標内")
    expect(page.get_by_role("alert")).to_have_count(0)


def test_absent_damaged_and_empty_catalogues_are_different_things(
    house: House, units: BackupUnits, visit: Visit
) -> None:
    (units.directory / "catalog.json").unlink()
    page = visit(house.portal, "/backups", storage_state=house.anna)
    expect(page.get_by_text("まだ一度もバックアップされていません。")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)
    (units.directory / "catalog.json").write_text("{")
    expect(page.get_by_role("alert")).to_contain_text("目録を読めません。")
    units.write_catalog(catalog("empty"))
    expect(page.get_by_text("復元時点はまだありません。")).to_be_visible()
    expect(page.get_by_text("保管庫は設定されていません。")).to_be_visible()


def test_without_a_directory_the_room_says_how_to_connect_one(portal: Portal, visit: Visit) -> None:
    page = visit(portal)
    set_up(page, portal)
    expect(_panel(page, "バックアップ")).to_contain_text("バックアップは接続されていません。")
    page.goto("/backups")
    expect(page.get_by_text("バックアップは接続されていません。")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.get_by_role("button", name="今すぐ実行")).to_have_count(0)


def test_viewer_sees_everything_and_may_ask_for_nothing(house: House, units: BackupUnits, visit: Visit) -> None:
    anna, ben = house.portal.log_in("anna"), house.portal.browser()
    invitation = anna.post("/api/users", json={"name": "ben", "role": "viewer"}).json()["invitation"]
    answer = ben.post("/api/invitation", json={"token": invitation.partition("#")[2], "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    page = visit(house.portal, "/backups")
    log_in(page, "ben")
    expect(page.get_by_role("button", name="今すぐ実行")).to_be_disabled()
    page.goto(f"/backups/restore?point={_newest()}&asset=site:blog")
    expect(page.get_by_role("button", name="プレビュー", exact=True)).to_be_disabled()
    expect(page.get_by_text("運用者の権限が必要です")).to_be_visible()


@pytest.mark.parametrize(("theme", "locale", "width"), LOOKS)
def test_every_page_of_the_room_has_no_serious_fault_and_fits(
    house: House, units: BackupUnits, visit: Visit, theme: str, locale: str, width: int
) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    looks = {"color_scheme": theme, "locale": locale, "viewport": {"width": width, "height": 860}}
    page = visit(house.portal, storage_state=house.anna, bypass_csp=True, **looks)  # axe is a script of the test's own
    damaged = next(point["id"] for point in catalog()["points"] if point["damage"]).replace("/", "-")
    found: list[str] = []

    def look(name: str, path: str | None = None) -> None:
        if path is not None:
            page.goto(f"/{path}")
        is_shown(page)
        page.screenshot(path=SCREENSHOTS / file_name(name, theme, locale, width), full_page=True)
        found.extend(f"{name}: {fault}" for fault in faults(page))

    units.hold()
    page.goto("/backups?ask=run")
    page.get_by_role("dialog").locator("button[type=submit]").click()
    expect(page.get_by_text("150 MiB / 300 MiB").first).to_be_visible()
    look("backups-summary", "")
    look("backups", "backups")
    look("backups-coverage", "backups?tab=coverage")
    look("backups-history", "backups?tab=history")
    look("backups-point", f"backups/points/{damaged}")
    look("backups-ask-drill", "backups?ask=drill")
    look("backups-run", f"backups/runs/{units.taken[-1]['id']}")
    units.go()
    page.goto(f"/backups/restore?point={_newest()}&asset=mailbox:anna@home.test&where=in-place")
    page.locator("#main button").filter(has_text=re.compile("プレビュー|Preview")).click()
    page.get_by_role("button", name=re.compile("^(復元を実行|Restore)$")).click()
    look("backups-restore-ask")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    look("backups-restore")
    units.write_catalog(catalog("failed"))
    look("backups-failed", "backups")
    assert found == []
