"""Coming in: set-up, password, TOTP, recovery codes, passkeys, step-up."""

from __future__ import annotations

import sqlite3
import time

import pyotp
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit, log_in, log_out, set_up
from tests.services.portal import PASSWORD, Portal

STEP_S = 30


def _enrol_totp(page: Page) -> tuple[pyotp.TOTP, list[str]]:
    """Set up an authenticator app; return it and the recovery codes."""
    page.goto("/account")
    page.get_by_role("button", name="認証アプリを登録").click()
    dialog = page.get_by_role("dialog")
    totp = pyotp.TOTP(dialog.locator("code").inner_text())
    dialog.get_by_label("認証アプリのコード").fill(totp.now())
    dialog.get_by_role("button", name="登録").click()
    codes = page.get_by_role("dialog", name="リカバリーコード")
    expect(codes).to_be_visible()
    found = codes.get_by_role("listitem").all_inner_texts()
    codes.get_by_role("button", name="保管しました").click()
    return totp, found


def test_setup_with_the_consoles_link_makes_the_first_administrator(portal: Portal, visit: Visit) -> None:
    page = visit(portal)
    expect(page.get_by_role("heading", level=1)).to_have_text("最初の管理者を作成")
    set_up(page, portal)
    expect(page.get_by_text("管理者")).to_be_visible()
    assert "#" not in page.url, "the token stays neither in the address nor in the history"
    page.goto("/setup")
    expect(page.get_by_role("heading", level=1)).to_have_text("概要")


def test_login_with_a_wrong_password_says_so_and_keeps_the_address(portal: Portal, visit: Visit) -> None:
    portal.set_up()
    page = visit(portal, "/audit?result=denied")
    page.locator("input[autocomplete=username]").fill("anna")
    page.locator("input[autocomplete=current-password]").fill("wrong, and long enough")
    page.locator("button[type=submit]").click()
    expect(page.get_by_role("alert")).to_contain_text("ログインできませんでした")
    log_in(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("監査")
    assert page.url.endswith("/audit?result=denied")


def test_login_with_totp_and_with_a_recovery_code(portal: Portal, visit: Visit) -> None:
    page = visit(portal)
    set_up(page, portal)
    totp, codes = _enrol_totp(page)
    assert len(codes) == 10

    log_out(page)
    log_in(page)
    page.get_by_label("認証アプリのコード").fill(totp.at(int(time.time()) + STEP_S))  # this step's code was used above
    page.locator("button[type=submit]").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("アカウント")

    log_out(page)
    log_in(page)
    page.get_by_role("button", name="リカバリーコードを使う").click()
    page.get_by_label("リカバリーコード").fill(codes[0])
    page.locator("button[type=submit]").click()
    expect(page.get_by_text("残り 9 個")).to_be_visible()


def test_passkey_is_made_and_logs_in_without_a_name(portal: Portal, visit: Visit) -> None:
    page = visit(portal)
    devtools = page.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    set_up(page, portal)
    page.goto("/account")
    page.get_by_role("button", name="パスキーを追加").click()
    page.get_by_role("dialog").get_by_label("名前").fill("<b>鍵</b>")
    page.get_by_role("dialog").get_by_role("button", name="パスキーを追加").click()
    page.get_by_role("button", name="保管しました").click()
    expect(page.get_by_text("<b>鍵</b>")).to_be_visible()

    log_out(page)
    page.get_by_role("button", name="パスキーを使う").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("アカウント")


def test_step_up_is_asked_and_the_act_goes_on(portal: Portal, visit: Visit) -> None:
    page = visit(portal)
    set_up(page, portal)
    with sqlite3.connect(portal.state_dir / "portal.sqlite3") as database:
        database.execute("UPDATE sessions SET factor_at = '2026-01-01 00:00:00.000000'")
    page.goto("/users")
    page.get_by_role("button", name="招待").click()
    page.get_by_role("dialog").get_by_label("ユーザー名").fill("ben")
    page.get_by_role("dialog").get_by_role("button", name="招待").click()

    asked = page.get_by_role("dialog", name="再認証")
    asked.get_by_label("パスワード").fill(PASSWORD)
    asked.get_by_role("button", name="確認して続行").click()
    expect(page.get_by_role("dialog", name="招待リンク")).to_contain_text("/invitation#")


def test_step_up_dismissed_does_nothing_and_says_nothing(portal: Portal, visit: Visit) -> None:
    page = visit(portal)
    set_up(page, portal)
    with sqlite3.connect(portal.state_dir / "portal.sqlite3") as database:
        database.execute("UPDATE sessions SET factor_at = '2026-01-01 00:00:00.000000'")
    page.goto("/account")
    page.get_by_role("button", name="認証アプリを登録").click()
    page.get_by_role("dialog", name="再認証").get_by_role("button", name="キャンセル").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.get_by_text("登録されていません。")).to_be_visible()


def test_invitation_is_taken_by_its_link(portal: Portal, visit: Visit) -> None:
    anna = portal.set_up()
    answer = anna.post("/api/users", json={"name": "ben", "role": "viewer"})
    assert answer.status_code == 201, answer.text
    page = visit(portal, answer.json()["invitation"])
    expect(page.get_by_role("heading", level=1)).to_have_text("招待を受ける")
    for field in page.locator("input[autocomplete=new-password]").all():
        field.fill(PASSWORD)
    page.locator("button[type=submit]").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("概要")
    expect(page.locator("aside")).to_contain_text("閲覧者")
