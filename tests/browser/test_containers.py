"""The containers room as its users see it: live states, acts, logs, and text that means harm."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.conftest import Visit, set_up
from tests.services.docker_engine import DockerEngine
from tests.services.portal import Portal

OBEDIENT = "trap 'exit 0' TERM; while true; do sleep 0.1; done"
HOSTILE = r"""
printf '<img src=x onerror=alert(1)> \033[31mred\033[0m \342\200\256gnol\n'
printf 'bad\000\rend\n' >&2
sleep 1000
"""


def test_restart_is_confirmed_and_seen_without_a_reload(
    portal_with_engine: Portal, docker_engine: DockerEngine, visit: Visit
) -> None:
    container = docker_engine.run(OBEDIENT, name="blog-nginx", stack="blog")
    page = visit(portal_with_engine)
    set_up(page, portal_with_engine)
    page.goto("/containers")
    page.evaluate("window.isTheSamePage = true")
    row = page.get_by_role("row", name="blog-nginx")
    expect(row).to_contain_text("稼働中")
    row.get_by_role("button", name="blog-nginx を再起動").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="キャンセル")).to_be_focused()
    dialog.get_by_role("button", name="再起動").click()
    expect(page.get_by_text("コンテナの再起動(blog-nginx): 完了")).to_be_visible()

    container.engine.client.api.stop(container.id, timeout=1)  # by somebody else
    expect(row).to_contain_text(re.compile("停止|終了コード"))
    assert page.evaluate("window.isTheSamePage")


def test_protected_container_wants_its_name_and_a_reason(
    portal_with_engine: Portal, docker_engine: DockerEngine, visit: Visit
) -> None:
    docker_engine.run(OBEDIENT, name="mail-dovecot", service="mail-dovecot")
    page = visit(portal_with_engine)
    set_up(page, portal_with_engine)
    page.goto("/containers/mail-dovecot")
    page.get_by_role("button", name="停止").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("停止中に使えなくなるもの")
    stop = dialog.get_by_role("button", name="停止")
    expect(stop).to_be_disabled()
    dialog.get_by_label("理由").fill("設定の入れ替え")
    expect(stop).to_be_disabled()
    dialog.get_by_label("確認のため").fill("mail-dovecot")
    stop.click()
    expect(page.get_by_text("コンテナの停止(mail-dovecot): 完了")).to_be_visible()


def test_several_are_restarted_with_a_result_each(
    portal_with_engine: Portal, docker_engine: DockerEngine, visit: Visit
) -> None:
    for name in ("blog-nginx", "blog-php", "mail-dovecot"):
        docker_engine.run(OBEDIENT, name=name, service=name, stack=name[:4])
    page = visit(portal_with_engine)
    set_up(page, portal_with_engine)
    page.goto("/containers")
    for name in ("blog-nginx", "blog-php", "mail-dovecot"):
        page.get_by_role("checkbox", name=f"{name} を選択").check()
    page.get_by_role("button", name="再起動", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="再起動").click()
    results = page.get_by_role("dialog").get_by_role("listitem")
    expect(results).to_have_count(3)
    expect(results.filter(has_text="開始しました")).to_have_count(2)
    expect(results.filter(has_text="mail-dovecot")).to_contain_text("保護対象")
    expect(page.get_by_role("button", name="失敗した分だけ再試行")).to_be_visible()


def test_stop_is_planned_seen_to_its_end_and_taken_back_from_the_toast(
    portal_with_engine: Portal, docker_engine: DockerEngine, visit: Visit
) -> None:
    docker_engine.run(OBEDIENT, name="blog-nginx", stack="blog")
    page = visit(portal_with_engine)
    set_up(page, portal_with_engine)
    page.goto("/containers/blog-nginx?ask=stop")
    dialog = page.get_by_role("dialog", name="blog-nginx を停止")
    expect(dialog.get_by_role("list", name="変更内容")).to_contain_text(re.compile("blog-nginx.*稼働.*停止"))
    expect(dialog).to_contain_text("homeport containers apply ")
    dialog.get_by_role("button", name="停止").click()
    expect(page.get_by_text("コンテナの停止(blog-nginx): 完了")).to_have_count(1)
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert "ask" not in page.url

    page.get_by_role("status").get_by_role("button", name="元に戻す").click()
    back = page.get_by_role("dialog", name="元に戻す:コンテナの停止(blog-nginx)")
    expect(back.get_by_role("list", name="変更内容")).to_contain_text(re.compile("停止.*稼働"))
    back.get_by_role("button", name="元に戻す").click()
    expect(page.get_by_text("コンテナの起動(blog-nginx): 完了")).to_be_visible()
    expect(page.get_by_role("button", name="停止")).to_be_visible()


def test_several_are_stopped_with_a_result_each_and_started_again_from_the_operation(
    portal_with_engine: Portal, docker_engine: DockerEngine, visit: Visit
) -> None:
    for name in ("blog-nginx", "blog-php"):
        docker_engine.run(OBEDIENT, name=name, service=name, stack="blog")
    docker_engine.run("exit 3", name="blog-cron", service="blog-cron", stack="blog").wait_for(Status="exited")
    page = visit(portal_with_engine)
    set_up(page, portal_with_engine)
    page.goto("/containers")
    page.get_by_role("checkbox", name="blog をすべて選択").check()
    page.get_by_role("button", name="停止", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("list", name="変更内容").locator(":scope > li")).to_have_count(2)
    expect(dialog).to_contain_text("すでにその状態: blog-cron")
    dialog.get_by_role("button", name="停止").click()
    results = dialog.get_by_role("list", name="結果").get_by_role("listitem")
    expect(results.filter(has_text="完了")).to_have_count(2)
    dialog.get_by_role("link", name="詳細", exact=True).click()

    expect(page.get_by_role("heading", level=1)).to_have_text("コンテナの停止: blog-nginx、blog-php")
    expect(page.get_by_role("list", name="結果").get_by_role("listitem")).to_have_count(2)
    page.get_by_role("button", name="元に戻す").first.click()
    back = page.get_by_role("dialog")
    back.get_by_role("button", name="元に戻す").click()
    expect(back.get_by_role("list", name="結果").get_by_role("listitem").filter(has_text="完了")).to_have_count(2)
    assert docker_engine.client.containers.get("blog-php").status == "running"


def test_plan_that_no_longer_fits_is_shown_anew_and_does_nothing(
    portal_with_engine: Portal, docker_engine: DockerEngine, visit: Visit
) -> None:
    for name in ("blog-nginx", "blog-php"):
        docker_engine.run(OBEDIENT, name=name, service=name, stack="blog")
    page = visit(portal_with_engine)
    set_up(page, portal_with_engine)
    page.goto("/containers")
    page.get_by_role("checkbox", name="blog をすべて選択").check()
    page.get_by_role("button", name="停止", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("list", name="変更内容").locator(":scope > li")).to_have_count(2)
    docker_engine.client.api.stop("blog-php", timeout=5)  # by somebody else
    dialog.get_by_role("button", name="停止").click()
    expect(dialog.get_by_role("alert")).to_contain_text("何も実行していません")
    expect(dialog.get_by_role("list", name="変更内容").locator(":scope > li")).to_have_count(1)
    expect(dialog).to_contain_text("すでにその状態: blog-php")
    assert docker_engine.client.containers.get("blog-nginx").status == "running"

    dialog.get_by_role("button", name="停止").click()
    expect(page.get_by_text("コンテナの停止(blog-nginx): 完了")).to_be_visible()


def test_log_of_a_removed_container_is_found_and_read(
    portal_with_engine: Portal, docker_engine: DockerEngine, visit: Visit
) -> None:
    page = visit(portal_with_engine)
    set_up(page, portal_with_engine)
    page.goto("/containers?tab=removed")
    expect(page.get_by_text("保存されているログはまだありません。")).to_be_visible()
    container = docker_engine.run("echo last words; echo '<b>bad</b>' >&2; exit 3", name="blog-cron", stack="blog")
    container.wait_for(Status="exited")
    page.goto("/containers")
    expect(page.get_by_role("row", name="blog-cron")).to_contain_text("終了コード 3")
    container.remove()
    page.goto("/containers/blog-cron")
    expect(page.get_by_text("この名前のコンテナはありません。")).to_be_visible()
    page.get_by_role("link", name="blog-cron").click()
    log = page.get_by_role("log")
    expect(log).to_contain_text("last words")
    expect(log).to_contain_text("<b>bad</b>")
    expect(page.get_by_role("button", name="一時停止")).to_have_count(0)

    page.keyboard.press("Control+k")
    page.get_by_role("dialog").get_by_role("combobox").fill("削除済み blog-cron")
    page.keyboard.press("Enter")
    expect(log).to_contain_text("last words")
    page.goto("/containers/removed/" + "0" * 64)
    expect(page.get_by_text("このコンテナのログは保存されていません。")).to_be_visible()


def test_images_and_disk_use_are_shown_with_who_uses_them(
    portal_with_engine: Portal, docker_engine: DockerEngine, visit: Visit
) -> None:
    docker_engine.run("sleep 1000", name="blog-nginx", stack="blog")
    page = visit(portal_with_engine)
    set_up(page, portal_with_engine)
    page.goto("/containers?tab=images")
    image = page.get_by_role("row", name="homeport-test/busybox:1")
    expect(image.get_by_role("link", name="blog-nginx")).to_be_visible()
    expect(page.get_by_role("row", name="ビルドキャッシュ")).to_be_visible()


def test_keyboard_alone_plans_a_stop_and_takes_it_back(
    portal_with_engine: Portal, docker_engine: DockerEngine, visit: Visit
) -> None:
    docker_engine.run(OBEDIENT, name="blog-nginx", stack="blog")
    page = visit(portal_with_engine)
    set_up(page, portal_with_engine)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.keyboard.press("Control+k")
    expect(page.get_by_role("combobox")).to_be_focused()
    page.keyboard.type("停止 blog-nginx")
    expect(page.get_by_role("option").first).to_contain_text("blog-nginx")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("list", name="変更内容")).to_be_visible()
    expect(dialog.get_by_role("button", name="キャンセル")).to_be_focused()
    page.keyboard.press("Tab")
    expect(dialog.get_by_role("button", name="停止")).to_be_focused()
    page.keyboard.press("Enter")
    undo = page.get_by_role("status").get_by_role("button", name="元に戻す")
    expect(undo).to_be_visible()
    for _ in range(60):
        page.keyboard.press("Tab")
        if undo.evaluate("element => element === document.activeElement"):
            break
    expect(undo).to_be_focused()
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("list", name="変更内容")).to_be_visible()
    expect(dialog.get_by_role("button", name="キャンセル")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_text("コンテナの起動(blog-nginx): 完了")).to_be_visible()


def test_log_follows_pauses_and_is_searched(
    portal_with_engine: Portal, docker_engine: DockerEngine, visit: Visit
) -> None:
    script = "i=0; while true; do i=$((i+1)); echo line $i; [ $((i % 7)) = 0 ] && echo lucky $i >&2; sleep 0.1; done"
    docker_engine.run(script, name="blog-nginx", stack="blog")
    page = visit(portal_with_engine)
    set_up(page, portal_with_engine)
    page.goto("/containers/blog-nginx?tab=logs")
    log = page.get_by_role("log")
    expect(log).to_contain_text("line 30")
    expect(page.get_by_text("受信中")).to_be_visible()

    page.get_by_role("searchbox", name="ログを検索").fill("LUCKY")
    expect(log.locator("mark").first).to_have_text("lucky")
    page.get_by_role("button", name="一致と前後のみ").click()
    expect(log.get_by_text("line 1", exact=True)).to_have_count(0)
    page.get_by_role("searchbox", name="ログを検索").fill("")

    page.get_by_label("ストリーム").select_option("stderr")
    expect(log).not_to_contain_text("line ")
    page.get_by_label("ストリーム").select_option("both")

    page.get_by_role("button", name="一時停止").click()
    expect(page.get_by_role("button", name=re.compile("再開"))).to_contain_text(re.compile("[1-9]"))


def test_log_of_100000_live_lines_scrolls_with_few_elements(
    portal_with_engine: Portal, docker_engine: DockerEngine, visit: Visit
) -> None:
    script = "while [ ! -e /tmp/go ]; do sleep 0.1; done; seq 1 100000; sleep 1000"
    container = docker_engine.run(script, name="blog-nginx", stack="blog")
    page = visit(portal_with_engine)
    set_up(page, portal_with_engine)
    page.goto("/containers/blog-nginx?tab=logs")
    log = page.get_by_role("log")
    expect(page.get_by_text("受信中")).to_be_visible()
    docker_engine.client.containers.get(container.id).exec_run("touch /tmp/go")
    expect(page.get_by_text("100000 行", exact=True)).to_be_visible(timeout=60_000)
    expect(log.get_by_text("100000", exact=True)).to_be_visible()
    assert log.locator("*").count() < 2_000
    log.evaluate("element => { element.scrollTop = 0; }")
    expect(log.get_by_text("1", exact=True)).to_be_visible()
    page.get_by_role("button", name="最新へ").click()
    expect(log.get_by_text("100000", exact=True)).to_be_visible()


def test_hostile_lines_are_shown_as_text(portal_with_engine: Portal, docker_engine: DockerEngine, visit: Visit) -> None:
    docker_engine.run(HOSTILE, name="blog-nginx", stack="blog")
    page = visit(portal_with_engine)
    page.on("dialog", lambda dialog: dialog.dismiss())
    set_up(page, portal_with_engine)
    page.goto("/containers/blog-nginx?tab=logs")
    log = page.get_by_role("log")
    expect(log).to_contain_text("<img src=x onerror=alert(1)>")
    expect(log).to_contain_text("⟨U+202E⟩gnol")
    expect(log).to_contain_text("bad␀␍end")
    expect(log.get_by_text("red", exact=True)).to_have_class("ansi-1")
    expect(log.locator("img")).to_have_count(0)
